"""What data, models and training pass to one another. Everything else imports it; it imports nothing of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Array = jax.Array
Params = dict[str, Any]
Consts = dict[str, Any]
Batch = dict[str, Array]
HostBatch = dict[str, np.ndarray]
Shapes = dict[str, jax.ShapeDtypeStruct]
# A metric is a (sum, count) pair of float32 scalars; it is divided only when written.
Metrics = dict[str, tuple[Array, Array]]
Say = Callable[[str], object]
Cfg = Any  # an instance of the family's config class, its sizes filled in by `resolve`


class Words(NamedTuple):
    """A vocabulary by falling count. `words` is None for a text that was not read: constants then have the right shapes
    only."""

    words: Sequence[str] | None
    counts: np.ndarray  # int64 [V]


class Source(Protocol):
    """Batches as a pure function of (seed, step). Nothing is remembered between calls: any step can be requested."""

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Global shape and dtype of every entry of one step; axis 0, the batch axis, is split over devices."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass, the same for every pass."""

    @property
    def report(self) -> Mapping[str, int | float]:
        """Facts about the text, for people."""

    def iterate(
        self, start: int, stop: int, steps_per_call: int = 1, process_index: int = 0, process_count: int = 1
    ) -> Iterator[HostBatch]:
        """Yields steps `start..stop-1`, stacked `steps_per_call` at a time on a new leading axis.

        Empty steps pad the last stack. Each process gets its contiguous slice of axis 1 (the batch axis); the slices of
        all processes, in order, are the global batch.
        """


class Text(Protocol):
    """The input of a family: a `w2v_jax.data.corpus.Corpus`, or a `LabelledCorpus`.

    `vocab` is a `Vocabulary` and `tokenizer` a `Tokenizer` of `w2v_jax.data`. `digest` covers the tokens and the rules
    that made them; `report` says what was read and what was dropped; each split has its number of `documents`.
    """

    @property
    def vocab(self) -> Any: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def digest(self) -> str: ...
    @property
    def report(self) -> dict[str, Any]: ...
    @property
    def train(self) -> Any: ...
    @property
    def heldout(self) -> Any: ...
    @property
    def test(self) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One trained array, declared once for initial values, sharding, parameter counts and FLOPs."""

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    """A logical name per axis, or None; `w2v_jax.train.sharding.RULES` maps names to the mesh."""
    start: Callable[[Any, tuple[int, ...]], Array]
    """(key, shape) -> initial values; see `w2v_jax.nn.arrays`. The key is None where nothing is drawn."""
    width: int = 0
    """Fan-in, the scale for rules of initial values or rates; 0 for none."""
    uses: float = 0.0
    """Multiplications with each number in one forward pass, per unit (token, word) of the family: 1 for a matrix."""
    dtype: str = "float32"
    rate: float = 1.0
    """Multiplier of the learning rate under Adam, by the scale rule of the model; see `w2v_jax.nn.transfer`."""
