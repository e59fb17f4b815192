"""The contract of a model family: one `Family`, pure functions over plain dict pytrees.

They separate configuration (`cfg`), constant data (`consts`), trained arrays (`params`), state carried from step to
step (`carry`) and random draws (`rng`). A family is either trained by gradient steps (`Train`) or fitted in sweeps
(`Fit`). `Score`, `Decode`, `Encode`, `Classify`, `Compare`, `Senses` and `Represent` are its further abilities, of
which every trained family has `Encode`. Commands ask for one of these, never for a family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from w2v_jax.types import Array, Batch, Cfg, Consts, HostBatch, Metrics, Params, Say, Shapes, Source, Words

# ---- the parts of a family: each protocol is one function, its arguments by name ----


class Resolve(Protocol):
    def __call__(self, cfg: Cfg, vocab_size: int) -> Cfg:
        """`cfg` with every size filled in, so that programs can be lowered without data. UserError: impossible."""


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
        """(training FLOPs per unit, of matrix products, forward and backward; the unit, e.g. 'word')."""


class MakeShapes(Protocol):
    def __call__(self, cfg: Cfg, batch_size: int) -> Shapes:
        """Shape and dtype of every entry of the batch of one step; axis 0 is the batch axis. A step may split its rows
        over devices and microbatches, and adds two entries:
        'row', int32 [rows of this part], the global index of each row: a draw for a row folds it in, and is then the
        same in every part (`rng` is the same for all parts);
        'global_rows', float32 scalar, the rows of the whole step. A mean loss of a part is the sum over the rows of the
        part, divided by global_rows; the losses of all parts then add up to the mean over the step.
        UserError: the batch size does not fit the model."""


class MakeSource(Protocol):
    def __call__(self, cfg: Cfg, text: Any, split: str, batch_size: int, seed: int) -> Source:
        """Batches of a split: 'train', 'heldout' or 'test'."""


class Init(Protocol):
    def __call__(self, rng: Array, cfg: Cfg, consts: Consts) -> Params:
        """The initial values of the arrays that `arrays` declares."""


class Carry(Protocol):
    def __call__(self, cfg: Cfg, rows: int) -> Any:
        """The initial state that is carried from step to step; {} for most models. Axis 0 of every leaf is the batch
        axis of length `rows` and is split like the batch. An entry of the batch says where a model starts again."""


class Rows(Protocol):
    def __call__(self, cfg: Cfg, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
        """({table: int32 ids of any shape}, batch'), {} where nothing is sparse. The step gives `loss` the gathered
        rows `params[table][ids]` in place of the table, so that no dense gradient of a table exists. `batch'` holds
        every random draw."""


class Loss(Protocol):
    def __call__(
        self, cfg: Cfg, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
    ) -> tuple[Array, tuple[Any, Metrics]]:
        """(scalar to differentiate, (carry, metrics)). `rng` None means evaluation: nothing is drawn. `params[table]`
        are the rows that `Rows` names. Where `additive`, scalar and metrics of a batch are the sums of those of its
        parts with the same 'global_rows'."""


class Direct(Protocol):
    def __call__(
        self, cfg: Cfg, params: Params, consts: Consts, batch: Batch, rng: Array
    ) -> tuple[dict[str, tuple[Array, Array]], Metrics]:
        """({table: (ids int32 [M], gradients [M, D], perhaps zeros after)}, metrics): those of `Loss` by the rows
        that `Rows` names, from whole tables. All of `params` are such tables, and there is no carry. An id beyond the
        table has an undefined gradient, which the update leaves out."""


class Train(NamedTuple):
    """A family that is trained by gradient steps."""

    shapes: MakeShapes
    source: MakeSource
    init: Init
    carry: Carry
    rows: Rows
    loss: Loss
    additive: Callable[[Cfg], bool] = lambda cfg: True
    """Whether the loss is additive over rows. Otherwise (contrastive losses within a batch) the step refuses
    microbatches and the per-device variant, which would compute another loss."""
    direct: Callable[[Cfg], Direct | None] = lambda cfg: None
    """(cfg) -> the same gradients by kernels for CPUs; None without."""
    attention: Callable[[Cfg], int] = lambda cfg: 0
    """(cfg after `Family.place`) -> numbers, float32, that a layer of attention surely holds at once for a row of the
    batch; 0 where it holds no array of all pairs of tokens."""


def _text_itself(cfg: Cfg, text: Any, seed: int, devices: Sequence[jax.Device]) -> Any:
    """The text is the work."""
    return text


class Fit(NamedTuple):
    """A family that is solved in sweeps over the whole text. The state is a tree of arrays."""

    start: Callable[[Cfg, Any, int], Any]
    """(cfg, work, seed) -> the state before the first step."""
    advance: Callable[[Cfg, Any, Any], tuple[Any, dict[str, float]]]
    """(cfg, work, state) -> (state, metrics) after one step; deterministic. A step with metrics is logged."""
    sweeps: Callable[[Cfg], int]
    """(cfg) -> number of sweeps; 1 for a solution in closed form."""
    params: Callable[[Cfg, Any], Params]
    """(cfg, state) -> the arrays that `Family.arrays` declares."""
    prepare: Callable[[Cfg, Any, int, Sequence[jax.Device]], Any] = _text_itself
    """(cfg, text, seed, this process's devices) -> the work: what all steps read. Made once per process, never saved;
    by default the text. UserError: bad input."""
    steps: Callable[[Cfg, Any], int] = lambda cfg, work: 1
    """(cfg, work) -> steps of a sweep: mini-batches, or 1."""


class Score(Protocol):
    def __call__(self, cfg: Cfg, params: Params, consts: Consts, carry: Any, batch: Batch) -> tuple[Array, Array, Any]:
        """(nats of every target [B, T], 0 where there is none; whether it had the highest probability, bool [B, T];
        carry) of a batch; nothing is dropped out."""


class Decode(NamedTuple):
    """A causal language model token by token. It keeps a memory of the text instead of reading it again for each token.

    `start`, then `step` with any number of tokens at a time, gives the next-token logits of the whole text.
    """

    weights: Callable[[Cfg, Params], Params]
    """(cfg, params) -> the parameters laid out for decoding. Slices and transposes are made once here: inside the loop
    over tokens XLA would repeat them."""
    start: Callable[[Cfg, int, int], Any]
    """(cfg, rows, capacity) -> the memory of `rows` texts of at most `capacity` tokens, before their first. UserError:
    the model is not causal."""
    step: Callable[[Cfg, Params, Consts, Any, Array], tuple[Array, Any]]
    """(cfg, weights, consts, kept, tokens int32 [B, T]) -> (logits float32 [B, V] of the next token, kept)."""
    size: Callable[[Cfg], tuple[int, int]]
    """(cfg) -> (fixed bytes kept per text, bytes that each token adds)."""
    context: Callable[[Cfg], int | None]
    """(cfg) -> most tokens of a text, as in training; None: any number."""
    describe: Callable[[Cfg], str]
    """(cfg) -> one line that describes the memory."""


class States(Protocol):
    def __call__(self, cfg: Cfg, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
        """tokens int32 [B, T], lengths int32 [B] -> L + 1 arrays [B, T, D_l], defined up to each row's length. Entry 0
        holds the looked-up word vectors, entry l the states after layer l."""


class Encode(NamedTuple):
    """The states of every layer for every token, for probes, senses and pictures."""

    layers: Callable[[Cfg], int]
    """(cfg) -> L."""
    states: States
    causal: Callable[[Cfg], bool]
    """(cfg) -> whether a state depends only on its own and earlier tokens. Only causal language models give a text a
    probability and generate text."""
    logits: Callable[[Cfg, Params, Array], Array] | None = None
    """(cfg, params, last states [..., D]) -> float32 [..., V], of the token that each predicts; None without."""
    attention: States | None = None
    """As `states`, but L arrays float32 [B, N, T, T]: where each token (axis 2) looks; None without attention."""
    recurrence: Callable[[Cfg, Params, Consts], Any] | None = None
    """(cfg, params, consts) -> `w2v_jax.nn.recurrence.Recurrence`, the layers that read from left to right; None
    without. UserError: the cell of this config has none."""
    context: Callable[[Cfg], int | None] = lambda cfg: None
    """(cfg) -> most tokens of a text, as in training; None: any number."""
    mask: Callable[[Cfg], int | None] = lambda cfg: None
    """(cfg) -> the id that hides a token, beyond those of the vocabulary; None where the model has no such id."""
    documents: Callable[[Cfg], bool] = lambda cfg: False
    """(cfg) -> whether a token sees its own document only. `states` and `attention` of such a model may be given, last,
    the document int32 [B, T] of every token, by `states.documents_of`; without it each row is one."""


class Classify(Protocol):
    def __call__(self, cfg: Cfg, params: Params, consts: Consts, tokens: Array, lengths: Array) -> Array:
        """tokens int32 [B, T], lengths int32 [B] -> logits of the labels, float32 [B, classes]."""


class Compare(NamedTuple):
    """Two texts and how alike they are. Both go through the same tower."""

    vectors: Callable[[Cfg, Params, Consts, Array, Array], Array]
    """(cfg, params, consts, tokens int32 [B, T], lengths int32 [B]) -> vectors of the texts, float32 [B, F]."""
    pairs: Callable[[Cfg, Params, Array, Array], tuple[Array, Array]]
    """(cfg, params, vectors [B, F], vectors [B, F]) -> (distances, scores), float32 [B] each. A pair is SAME up to a
    threshold of the distance; a higher score is more alike, and that of a regression is from 0 to 1."""
    threshold: Callable[[Cfg], float]
    """(cfg) -> the threshold that training counts with, where the config states none the middle of the distances."""
    regresses: Callable[[Cfg], bool]
    """(cfg) -> whether the scores are trained to be those of the pairs."""


class Senses(Protocol):
    def __call__(self, cfg: Cfg, params: Params, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(shares of the senses of words int [N], float32 [N, K], which sum to 1; their vectors, float32 [N, K, D])."""


class Represent(Protocol):
    def __call__(self, cfg: Cfg, params: Params, consts: Consts, counts: Any) -> np.ndarray:
        """Vectors of documents, float32 [N, D], from their word counts, a scipy csr matrix [N, V]. A document without a
        known word gets the vector that the family states for it, never NaN."""


class Documents(NamedTuple):
    """A table with a row for each document, and how new documents get one: the rest stays as it is trained."""

    table: str
    """Its name in params. The batch has 'document', int32, the row of each unit."""
    sized: Callable[[Cfg, int], Cfg]
    """(cfg, N) -> cfg with N rows of documents."""
    chunks: Callable[[Cfg, Words, Sequence[np.ndarray], np.ndarray, int], HostBatch]
    """(cfg, words, token ids of B documents, their names int64 [B], number of the pass) -> M batches of one pass,
    arrays [M, B, ...] as `MakeShapes` says; row b of every batch is of document b. Draws of a document depend on its
    name and the number alone."""


class Family(NamedTuple):
    """One model family. `cfg` is always an instance of `config`; exactly one of `train` and `fit` is given."""

    config: type
    """Frozen dataclass of the options, validated in `__post_init__`; its field `vocab_size` is 0 until `resolve`."""
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
    compose: Callable[[Cfg, Params, Consts], Params] | None = None
    """(cfg, params, consts) -> the params that `embed` reads, where its tables are made of parts; None: they are not.
    `vectors` applies both."""
    given: Callable[[Cfg, Params, Consts, np.ndarray, Any], Params] | None = None
    """(cfg, params, consts, which rows of the main table hold a given vector, bool; `formats.Subwords` of the same file
    that hash as `subwords` does, or None), all of numpy -> the tables that change, so that `vectors` has the given
    ones: for `train.start`. None: the main table itself is what `vectors` has."""
    subwords: Callable[[Cfg, Params], Any] | None = None
    """(cfg, params) -> `w2v_jax.formats.Subwords`, which give unseen words a vector; None: they have none."""
    score: Score | None = None
    decode: Decode | None = None
    encode: Encode | None = None
    classify: Classify | None = None
    compare: Compare | None = None
    senses: Senses | None = None
    """None: one vector a word."""
    represent: Represent | None = None
    """None: documents have no vectors of their own."""
    documents: Documents | None = None
    """None: no document has a trained vector."""
    grow: Callable[[Cfg, Words, Cfg, Words], dict[str, np.ndarray]] | None = None
    """(earlier cfg, its words, cfg, words) -> {table: int64 [rows of the table], the row of the earlier table that each
    row begins with, -1 for none}, for `train.start` with another text; both configs are resolved. None: such a run
    cannot start from another. UserError: the sizes differ."""
    place: Callable[[Cfg, str], Cfg] | None = None
    """(cfg, platform) -> cfg with 'auto' options decided for 'cpu', 'gpu' or 'tpu'; None without such options."""

    @property
    def trained(self) -> Train:
        """`train` of a trained family. TypeError: the family is fitted."""
        if self.train is None:
            raise TypeError("this family is fitted, not trained")
        return self.train

    def vectors(self, cfg: Cfg, params: Params, consts: Consts) -> dict[str, Array]:
        """The matrices of `embed`, {} of a family without."""
        if self.embed is None:
            return {}
        return self.embed(cfg, params if self.compose is None else self.compose(cfg, params, consts))

    def axes(self, cfg: Cfg) -> dict[str, Any]:
        """The tree of `params` with a tuple of logical axis names per leaf."""
        return dict(jax.tree.map(lambda leaf: leaf.axes, self.arrays(cfg)))

    def rates(self, cfg: Cfg) -> dict[str, Any]:
        """The tree of `params` with the multiplier of the learning rate per leaf."""
        return dict(jax.tree.map(lambda leaf: leaf.rate, self.arrays(cfg)))
