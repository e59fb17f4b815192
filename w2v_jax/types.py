"""The contract between data, models and training. Everything else imports it; it imports nothing of ours.

A model family is one `Family`: pure functions over plain dict pytrees. They keep apart what is configuration (`cfg`),
what is constant data (`consts`), what is trained (`params`), what is carried from step to step (`carry`) and what is
drawn (`rng`). A family is either trained by gradient steps (`Train`) or fitted in sweeps (`Fit`). The optional parts
`Score`, `Decode`, `Encode` and `Classify` say what else it can do; commands ask for a part, never for a family.
"""

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
    """A vocabulary by falling count; words is None where it stands in for a text that was not read: constants then have
    the right shapes and no meaning."""

    words: Sequence[str] | None
    counts: np.ndarray  # int64 [V]


class Source(Protocol):
    """Batches as a pure function of (seed, step): nothing is remembered between calls, so any step can be asked for.

    `spec` maps each batch entry to its global shape and dtype for one step; axis 0 of every entry is the batch axis
    that processes and devices split. `seed`, epoch and position follow from the step alone.
    """

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Global shape and dtype of every entry of one step."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass, the same for every pass."""
        ...

    def iterate(
        self, start: int, stop: int, steps_per_call: int = 1, process_index: int = 0, process_count: int = 1
    ) -> Iterator[HostBatch]:
        """Yields steps `start..stop-1`, stacked `steps_per_call` at a time on a new leading axis.

        The last stack is padded with empty steps when `stop - start` is no multiple of `steps_per_call`. Each process
        gets its own contiguous slice of axis 1 (the batch axis); the slices of all processes, in order, are the global
        batch.
        """
        ...


class Text(Protocol):
    """What a family reads. `w2v_jax.data.corpus.Corpus` is running text; labelled texts have a class of their own.

    `vocab` is a `Vocabulary` and `tokenizer` a `Tokenizer` of `w2v_jax.data`; `digest` is of the tokens and the rules
    that made them; `report` tells what was read and what was dropped; splits know the number of their `documents`.
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
    """One trained array, declared once: initial values, sharding, parameter counts and FLOPs all follow from it."""

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    """A logical name for each axis, or None; `w2v_jax.train.sharding.RULES` maps them to the mesh."""
    start: Callable[[Any, tuple[int, ...]], Array]
    """(key, shape) -> the initial values; see `w2v_jax.nn.arrays`. The key is None where nothing is drawn."""
    width: int = 0
    """Numbers that one output sums over (fan-in): what a rule for initial values or rates scales with; 0 for none."""
    uses: float = 0.0
    """Multiplications of one forward pass with each number, by the family's unit (token, word): 1 for a matrix."""
    dtype: str = "float32"


# ---- what a family is made of: each protocol is one function, its arguments by name ----


class Resolve(Protocol):
    def __call__(self, cfg: Cfg, vocab_size: int) -> Cfg:
        """`cfg` with every size filled in, so that programs are lowered without any data. UserError: impossible."""


class ReadText(Protocol):
    def __call__(self, cfg: Cfg, data: Any, say: Say) -> Any:
        """The `Text` that a DataConfig names; `say` takes lines of progress. UserError: bad input."""


class MakeConsts(Protocol):
    def __call__(self, cfg: Cfg, words: Words) -> Consts:
        """Arrays that are never trained (noise table, Huffman paths, given vectors), an argument of every program."""


class Embed(Protocol):
    def __call__(self, cfg: Cfg, params: Params) -> dict[str, Array]:
        """Named word-vector matrices [V, D] of the unpadded vocabulary, the main one first."""


class Declare(Protocol):
    def __call__(self, cfg: Cfg) -> dict[str, Any]:
        """Every trained array, a tree of `Leaf` with the structure of `params`."""


class Flops(Protocol):
    def __call__(self, cfg: Cfg) -> tuple[float, str]:
        """(training FLOPs by the unit, matrix products only, forward and backward; the unit, e.g. 'word')."""


class MakeShapes(Protocol):
    def __call__(self, cfg: Cfg, batch_size: int) -> Shapes:
        """Shape and dtype of every entry of one step's batch; axis 0 is the batch axis. This is the only statement of
        them. A step may hand over its rows in parts, to several devices or in microbatches, and adds two entries:
        'row', int32 [rows of this part], the global index along that axis: a draw that belongs to a row folds it in,
        so that it is the same in whichever part the row lands (`rng` is the same for all parts);
        'global_rows', float32 scalar, the rows of the whole step: a loss that is a mean divides by it and not by the
        rows at hand, so that it stays a sum over rows. UserError: the batch size does not fit the model."""


class MakeSource(Protocol):
    def __call__(self, cfg: Cfg, text: Any, split: str, batch_size: int, seed: int) -> Source:
        """Batches of a split: 'train', 'heldout' or 'test'."""


class Init(Protocol):
    def __call__(self, rng: Array, cfg: Cfg, consts: Consts) -> Params:
        """The initial values of what `arrays` declares."""


class Carry(Protocol):
    def __call__(self, cfg: Cfg, rows: int) -> Any:
        """What is carried from step to step, as it is at the start; {} for most models. `rows` is the length of the
        batch axis, and axis 0 of every leaf is that axis: it is split over devices and microbatches like the batch. A
        model that starts anew at times does so by an entry of the batch."""


class Rows(Protocol):
    def __call__(self, cfg: Cfg, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
        """({table: int32 ids of any one shape}, batch'). The step gathers `params[table][ids]` and hands `loss` these
        rows in the table's place, so that no dense gradient of a table ever exists. `batch'` holds every random draw.
        An empty dict means that nothing is sparse."""


class Loss(Protocol):
    def __call__(
        self, cfg: Cfg, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
    ) -> tuple[Array, tuple[Any, Metrics]]:
        """(scalar that is differentiated, (carry, metrics)). `rng` None means evaluation: nothing is drawn. With rows,
        `params[table]` are the gathered rows. Where `additive`, scalar and metrics of a batch are the sums of those of
        its parts, given the same 'global_rows'."""


class Train(NamedTuple):
    """A family that is trained by gradient steps."""

    shapes: MakeShapes
    source: MakeSource
    init: Init
    carry: Carry
    rows: Rows
    loss: Loss
    additive: Callable[[Cfg], bool] = lambda cfg: True
    """Whether the loss is additive over rows. Where it is not (contrastive losses within a batch), the step refuses
    microbatches and the per-device variant, which would compute another loss."""


class Fit(NamedTuple):
    """A family that is solved, or iterated in sweeps over the whole text. The state is a tree of arrays."""

    start: Callable[[Cfg, Any, int], Any]
    """(cfg, text, seed) -> the state before the first sweep."""
    advance: Callable[[Cfg, Any, Any], tuple[Any, dict[str, float]]]
    """(cfg, text, state) -> (state, metrics) after one sweep; deterministic. States are saved between sweeps."""
    sweeps: Callable[[Cfg], int]
    """(cfg) -> how many there are; 1 for a solution in closed form."""
    params: Callable[[Cfg, Any], Params]
    """(cfg, state) -> the arrays that `Family.arrays` declares."""


class Score(Protocol):
    def __call__(self, cfg: Cfg, params: Params, consts: Consts, carry: Any, batch: Batch) -> tuple[Array, Any]:
        """(nats of every target [B, T], 0 where there is none; carry) of a batch; nothing is dropped out."""


class Decode(NamedTuple):
    """A causal language model token by token: what it keeps of a text instead of reading it anew for every token.

    `start` then `step`, any number of tokens at a time, gives the next-token logits of the whole text.
    """

    weights: Callable[[Cfg, Params], Params]
    """(cfg, params) -> the parameters laid out for decoding: slices and transposes are made once here, outside of the
    loop over tokens, where XLA would repeat them for every token."""
    start: Callable[[Cfg, int, int], Any]
    """(cfg, rows, capacity) -> what is kept of `rows` texts before their first token, if each will have at most
    `capacity`. UserError: the model is not causal."""
    step: Callable[[Cfg, Params, Consts, Any, Array], tuple[Array, Any]]
    """(cfg, weights, consts, kept, tokens int32 [B, T]) -> (logits float32 [B, V] of the token that follows the last,
    kept)."""
    size: Callable[[Cfg], tuple[int, int]]
    """(cfg) -> (bytes kept of a text whatever its length, bytes that each of its tokens adds)."""
    context: Callable[[Cfg], int | None]
    """(cfg) -> tokens that a text may have, as no prediction sees more in training; None: any number."""
    describe: Callable[[Cfg], str]
    """(cfg) -> what is kept of a text, as one line for people."""


class States(Protocol):
    def __call__(self, cfg: Cfg, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
        """tokens int32 [B, T], lengths int32 [B] -> L + 1 arrays [B, T, D_l], defined up to each row's length. Entry 0
        holds the looked-up word vectors, entry l the states after layer l."""


class Encode(NamedTuple):
    """The states of every layer for every token: one face of all families, for probes, senses and pictures."""

    layers: Callable[[Cfg], int]
    """(cfg) -> L."""
    states: States
    causal: Callable[[Cfg], bool]
    """(cfg) -> whether a state depends on its own token and those before it only. Of language models, only causal ones
    give a text a probability and write texts."""
    logits: Callable[[Cfg, Params, Array], Array] | None = None
    """(cfg, params, last states [..., D]) -> float32 [..., V], of the token that each predicts; None: predicts none."""
    attention: States | None = None
    """As `states`, but L arrays float32 [B, N, T, T]: where each token (axis 2) looks. None without attention."""
    recurrence: Callable[[Cfg, Params, Consts], Any] | None = None
    """(cfg, params, consts) -> `w2v_jax.nn.recurrence.Recurrence`, the layers that read from left to right, to be
    followed step by step. UserError: this cell has none. None: no model of the family has."""


class Classify(Protocol):
    def __call__(self, cfg: Cfg, params: Params, consts: Consts, tokens: Array, lengths: Array) -> Array:
        """tokens int32 [B, T], lengths int32 [B] -> logits of the labels, float32 [B, classes]."""


class Family(NamedTuple):
    """One model family. `cfg` is always an instance of `config`; exactly one of `train` and `fit` is given."""

    config: type
    """Frozen dataclass of the options, validated in `__post_init__`, with a field `vocab_size` that 0 leaves open."""
    resolve: Resolve
    text: ReadText
    consts: MakeConsts
    arrays: Declare
    flops: Flops
    examples: tuple[Any, ...]
    """Tiny configs that together touch every switch; the contract tests run over them."""
    train: Train | None = None
    fit: Fit | None = None
    embed: Embed | None = None
    """None: no word vectors."""
    score: Score | None = None
    decode: Decode | None = None
    encode: Encode | None = None
    classify: Classify | None = None
    place: Callable[[Cfg, str], Cfg] | None = None
    """(cfg, platform) -> cfg with the options left to 'auto' decided for 'cpu', 'gpu' or 'tpu'. None: nothing depends
    on the platform."""

    @property
    def trained(self) -> Train:
        """`train`, for what asks it of a family that has one. TypeError: the family is fitted."""
        if self.train is None:
            raise TypeError("this family is fitted, not trained")
        return self.train

    def axes(self, cfg: Cfg) -> dict[str, Any]:
        """Logical axis names, the tree of `params` with a tuple of names a leaf."""
        return dict(jax.tree.map(lambda leaf: leaf.axes, self.arrays(cfg)))
