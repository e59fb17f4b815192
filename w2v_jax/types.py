"""The contracts between data, models and training. Everything else imports these; these import nothing of ours.

A model is one `ModelSpec`: pure functions over plain dict pytrees that keep apart what is configuration (`cfg`), what
is constant data (`consts`), what is trained (`params`), what is carried from step to step (`carry`) and what is drawn
(`rng`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Array = jax.Array
Params = dict[str, Any]
Consts = dict[str, Any]
Batch = dict[str, Array]
HostBatch = dict[str, np.ndarray]
# A metric is a (sum, count) pair of float32 scalars; it is divided only when written.
Metrics = dict[str, tuple[Array, Array]]


class Words(NamedTuple):
    """A vocabulary by falling count; words is None where it stands in for a text that was not read: constants then have
    the right shapes and no meaning."""

    words: Sequence[str] | None
    counts: np.ndarray


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


class Decode(NamedTuple):
    """A causal language model token by token: what it keeps of a text instead of reading it anew for every token.

    `start` then `step`, any number of tokens at a time, gives the logits that `apply` gives for the whole text.
    """

    weights: Callable[[Any, Params], Params]
    """(cfg, params) -> the parameters as `step` reads them: what would be cut out of a larger array, or transposed, is
    so already. Taken once, before the program that loops over tokens and outside of it: XLA would move the copies into
    the loop and make them for every token."""
    start: Callable[[Any, int, int], Any]
    """(cfg, rows, capacity) -> what is kept of `rows` texts before their first token, if each will have at most
    `capacity`. UserError: the objective is not to predict the next token."""
    step: Callable[[Any, Params, Consts, Any, Array], tuple[Array, Any]]
    """(cfg, weights, consts, kept, tokens int32 [B, T]) -> (logits float32 [B, V] of the token that follows the last,
    kept)."""
    size: Callable[[Any], tuple[int, int]]
    """(cfg) -> (bytes kept of a text whatever its length, bytes that each of its tokens adds)."""
    context: Callable[[Any], int | None]
    """(cfg) -> tokens that a text may have, as no prediction sees more in training; None: any number."""


class ModelSpec(NamedTuple):
    """One trained model family. `cfg` is always an instance of `config`; a `corpus` is `w2v_jax.data.corpus.Corpus`."""

    config: type
    """Frozen dataclass of the family's options, validated in `__post_init__`."""
    resolve: Callable[[Any, int], Any]
    """(cfg, vocab_size) -> cfg with every size filled in, so that the step lowers without any data."""
    batch: Callable[[Any, int], dict[str, jax.ShapeDtypeStruct]]
    """(cfg, batch_size) -> shape and dtype of every entry of one step's batch; axis 0 is the batch axis. A step may
    hand over its rows in parts, to several devices or in microbatches, and adds two entries:
    'row', int32 [rows of this part], the global index along that axis: a draw that belongs to a row folds it in, so
    that it is the same in whichever part the row lands (`rng` is the same for all parts);
    'global_rows', float32 scalar, the rows of the whole step: a loss that is a mean divides by it and not by the rows
    at hand, so that it stays a sum over rows."""
    consts: Callable[[Any, Any], Consts]
    """(cfg, corpus) -> arrays that are never trained (noise table, Huffman paths). `corpus` may be any object with
    `vocab.counts`. They are arguments of the jitted step."""
    source: Callable[..., Source]
    """(cfg, corpus, split, batch_size, seed) -> Source, `split` being 'train' or 'heldout'."""
    init: Callable[[Array, Any, Consts], Params]
    """(rng, cfg, consts) -> params, a dict pytree of arrays."""
    carry: Callable[[Any, int], Any]
    """(cfg, rows) -> what is carried from step to step, as it is at the start; {} for most models. `rows` is the length
    of the batch axis, and axis 0 of every leaf is that axis: it is split over devices and microbatches like the batch.
    A model that starts anew at times does so by an entry of the batch. Held-out batches are scored one after another
    from this start."""
    rows: Callable[[Any, Consts, Batch, Array], tuple[dict[str, Array], Batch]]
    """(cfg, consts, batch, rng) -> ({table: int32 ids of any one shape}, batch'). The step gathers `params[table][ids]`
    and hands `loss` these rows in the table's place, so that no dense gradient of a table ever exists. `batch'` holds
    every random draw. An empty dict means that nothing is sparse."""
    loss: Callable[[Any, Params, Consts, Any, Batch, Array | None], tuple[Array, tuple[Any, Metrics]]]
    """(cfg, params, consts, carry, batch', rng) -> (scalar that is differentiated, (carry, metrics)). `rng` None means
    evaluation. With rows, `params[table]` are the gathered rows. Scalar and metrics are additive over rows: those of
    a batch are the sums of those of its parts, given the same 'global_rows'."""
    apply: Callable[..., Any]
    """Forward pass: (cfg, params, consts, inputs) -> outputs of the family (scores, logits, states)."""
    embed: Callable[[Any, Params], dict[str, Array]] | None
    """(cfg, params) -> named word-vector matrices [V, D] of unpadded vocabulary, the main one first; None without
    any."""
    axes: Callable[[Any], Any]
    """(cfg) -> logical axis names, the same tree as params with a tuple of names (or None) a leaf."""
    flops: Callable[[Any], tuple[float, str]]
    """(cfg) -> (training FLOPs, matrix products only, forward and backward, by the unit; the unit, e.g. 'word')."""
    examples: tuple[Any, ...]
    """Tiny configs that together touch every switch; the contract tests run over them."""
    score: Callable[[Any, Params, Consts, Any, Batch], tuple[Array, Any]] | None = None
    """Language models: (cfg, params, consts, carry, batch) -> (nats of every target [B, T], 0 where there is none,
    carry). Nothing is dropped out."""
    corpus: Callable[[Any, Any, Callable[[str], object]], Any] | None = None
    """Families that do not train on running text: (cfg, DataConfig, progress) -> what `source` and `consts` take as the
    corpus, with `vocab`, `tokenizer`, `heldout.documents`, `report` and `digest`. None: `build_corpus` reads the
    text."""
    decode: Decode | None = None
    """Language models: the same token by token; None for all others."""
    place: Callable[[Any, str], Any] | None = None
    """(cfg, platform) -> cfg with the options left to 'auto' decided for 'cpu', 'gpu' or 'tpu'. None: nothing depends
    on the platform."""
