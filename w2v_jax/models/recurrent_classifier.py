"""Text classifier: word vectors, one recurrent cell or their plain mean, and a softmax over the classes.

    p(y | w_1..w_n) = softmax(s W + b),    s = pool(h_1..h_n),    h_t = cell(h_{t-1}, x_t),    x_t = vectors[w_t]

With the cell `average`, s is the mean of the x_t: logistic regression on mean vectors. With `elementwise` and
pool=last it is the recurrence of the notes, c <- w * c + x. Every text begins with a state of zeros; a cell that is
bidirectional reads it once in each direction and s holds both halves. Given vectors are constants, never trained,
unless `frozen` is off. Dropout is on the vectors and on s (Srivastava et al. 2014).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import DataConfig, check, check_choice
from w2v_jax.errors import UserError
from w2v_jax.models.vectors import start_vectors
from w2v_jax.nn.layers import dropout, pad_to
from w2v_jax.nn.recurrent import CELLS, Cell, cell_axes, init_cell, run_cell, trace_cell, zero_state
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Metrics, ModelSpec, Params, Source

BUCKETS = 16  # groups of similar length: less padding than 1, and batches still differ from pass to pass
PAD_VOCAB = 128  # fixed, so that a checkpoint does not depend on the mesh
AVERAGE = "average"
HIDE = -1e30  # what a place beyond the text counts as under pool=max


@dataclasses.dataclass(frozen=True)
class RecurrentClassifierConfig:
    """Options of the family."""

    cell: str = "lstm"  # average | elementwise | rnn | lstm_elementwise | lstm | gru
    classes: int = 2
    hidden: int = 128
    dim: int = 100  # of the word vectors
    pool: str = "last"  # last: the state after the last word | mean | max over the outputs of all words
    bidirectional: bool = False  # a second cell reads from the end to the start
    dropout: float = 0.0  # share dropped of word vectors and before the softmax
    max_length: int = 400  # words of a text that are read; the rest is cut off
    init_scale: float = 0.1  # weights start uniform on [-init_scale, init_scale]
    forget_bias: float = 1.0
    vectors: str = ""  # word vectors (word2vec or GloVe file), whose words are then the vocabulary
    frozen: bool = True  # given vectors are never trained; without any, the embedding starts random and is
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.cell", self.cell, (AVERAGE, *CELLS))
        check_choice("model.pool", self.pool, ("last", "mean", "max"))
        check(self.classes >= 2, "model.classes", self.classes, "at least 2")
        for key in ("hidden", "dim", "max_length"):
            check(getattr(self, key) >= 1, f"model.{key}", getattr(self, key), "at least 1")
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "0 or more and below 1")
        check(self.init_scale > 0, "model.init_scale", self.init_scale, "above 0")
        if self.cell == AVERAGE:
            if self.bidirectional:
                raise UserError("model.bidirectional=True: an average has no direction; choose another model.cell")
        elif self.kind.elementwise and self.dim != self.hidden:
            raise UserError(f"model.dim={self.dim}: model.cell={self.cell} needs it equal to model.hidden")

    @property
    def padded_vocab(self) -> int:
        """V', rows of the table."""
        return pad_to(self.vocab_size, PAD_VOCAB)

    @property
    def kind(self) -> Cell:
        """The cell's functions; not for `average`."""
        return CELLS[self.cell]

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the cells' parameters."""
        if self.cell == AVERAGE:
            return ()
        return ("forward", "backward") if self.bidirectional else ("forward",)

    @property
    def features(self) -> int:
        """F, the width of s."""
        return len(self.directions) * self.hidden if self.directions else self.dim

    @property
    def trains_embedding(self) -> bool:
        """Whether the word vectors are parameters."""
        return not (self.vectors and self.frozen)


def resolve(cfg: RecurrentClassifierConfig, vocab_size: int) -> RecurrentClassifierConfig:
    """Fills in the vocabulary size."""
    if cfg.vocab_size and cfg.vocab_size != vocab_size:
        raise UserError(f"model.vocab_size={cfg.vocab_size}: the vocabulary has {vocab_size} words")
    return dataclasses.replace(cfg, vocab_size=vocab_size)


def batch(cfg: RecurrentClassifierConfig, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """`batch_size` labelled texts; see `w2v_jax.data.examples`."""
    column = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    tokens = jax.ShapeDtypeStruct((batch_size, cfg.max_length), jnp.int32)
    return {"tokens": tokens} | dict.fromkeys(("length", "steps", "label", "words"), column)


def corpus(cfg: RecurrentClassifierConfig, data: DataConfig, say: Callable[[str], object]) -> Any:
    """The labelled texts that `data` names, over the words of the given vectors where there are any."""
    from w2v_jax.data.labelled_corpus import build_labelled_corpus
    from w2v_jax.formats import read

    words = read(cfg.vectors, 0, None, "strict", False, None).words if cfg.vectors else ()
    return build_labelled_corpus(data, cfg.classes, words, say)


def consts(cfg: RecurrentClassifierConfig, corpus: Any) -> Consts:
    """{'vectors': [V', D]} where vectors are given, else {}."""
    if not cfg.vectors:
        return {}
    return {"vectors": start_vectors(cfg.vectors, corpus.vocab.words, cfg.dim, cfg.padded_vocab, cfg.init_scale)}


def source(cfg: RecurrentClassifierConfig, corpus: Any, split: str, batch_size: int, seed: int) -> Source:
    """Labelled texts of a split, those of similar length together; only the training texts are shuffled."""
    from w2v_jax.data.examples import example_source

    part = {"train": corpus.train, "heldout": corpus.heldout, "test": corpus.test}[split]
    return example_source(
        part.ids,
        part.labels,
        batch_size=batch_size,
        max_length=cfg.max_length,
        buckets=BUCKETS,
        seed=seed,
        shuffle=split == "train",
    )


def init(rng: Array, cfg: RecurrentClassifierConfig, consts: Consts) -> Params:
    """{'cells': {'forward': ..., 'backward': ...}, 'head': {'W' [F, classes], 'b' [classes]}, 'embed' [V', D]}.

    Without 'cells' for `average`, without 'embed' where the vectors are frozen.
    """
    embed_key, head_key, *keys = jax.random.split(rng, 2 + len(cfg.directions))

    def uniform(key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.uniform(key, shape, jnp.float32, -cfg.init_scale, cfg.init_scale)

    head = {"W": uniform(head_key, (cfg.features, cfg.classes)), "b": jnp.zeros(cfg.classes, jnp.float32)}
    params: Params = {"head": head}
    if cfg.directions:
        params["cells"] = {
            name: init_cell(key, cfg.kind, cfg.dim, cfg.hidden, cfg.init_scale, cfg.forget_bias)
            for name, key in zip(cfg.directions, keys, strict=True)
        }
    if cfg.trains_embedding:
        given = consts.get("vectors")
        params["embed"] = uniform(embed_key, (cfg.padded_vocab, cfg.dim)) if given is None else jnp.array(given)
    return params


def carry(cfg: RecurrentClassifierConfig, batch_size: int) -> dict[str, Array]:
    """Nothing: every text begins anew."""
    return {}


def rows(cfg: RecurrentClassifierConfig, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """Nothing is sparse: a step of long texts touches most of the words that matter."""
    return {}, batch


def _embed(cfg: RecurrentClassifierConfig, params: Params, consts: Consts, tokens: Array) -> Array:
    """int32 [B, T] -> [T, B, D]."""
    return take_rows(params["embed"] if cfg.trains_embedding else consts["vectors"], tokens.T)


def _reversed(x: Array, length: Array) -> Array:
    """[B, T, ...] with the first length[b] entries of row b in reverse; those beyond stay."""
    place = jnp.arange(x.shape[1], dtype=jnp.int32)[None]
    index = jnp.where(place < length[:, None], length[:, None] - 1 - place, place)
    return jnp.take_along_axis(x, index.reshape(index.shape + (1,) * (x.ndim - 2)), axis=1)


def _pool(how: str, h: Array, last: Array, length: Array) -> Array:
    """Outputs [T, B, H] and the last state [B, H] -> [B, H]; zeros for a text without words."""
    if how == "last":
        return last
    valid = (jnp.arange(h.shape[0], dtype=jnp.int32)[:, None] < length[None])[..., None]
    if how == "mean":
        return jnp.where(valid, h, 0.0).sum(0) / jnp.maximum(length, 1)[:, None]
    return jnp.where(length[:, None] > 0, jnp.where(valid, h, HIDE).max(0), 0.0)


def summaries(cfg: RecurrentClassifierConfig, params: Params, consts: Consts, batch: Batch, rng: Array | None) -> Array:
    """s of every text, after dropout, [B, F]."""
    tokens, length, row = batch["tokens"], batch["length"], batch["row"]
    parts = []
    if cfg.cell == AVERAGE:
        x = dropout(_embed(cfg, params, consts, tokens), cfg.dropout, rng, row, 0)
        parts.append(_pool("mean", x, x[0], length))
    for place, direction in enumerate(cfg.directions):
        # Pools do not ask for the order of the outputs, so that only the words have to be turned round.
        words = _reversed(tokens, length) if direction == "backward" else tokens
        x = dropout(_embed(cfg, params, consts, words), cfg.dropout, rng, row, place)
        state = zero_state(cfg.kind, x.shape[1], cfg.hidden)
        h, state = run_cell(cfg.kind, params["cells"][direction], x, state, length, batch["steps"].max())
        parts.append(_pool(cfg.pool, h, state["h"], length))
    return dropout(jnp.concatenate(parts, axis=1)[None], cfg.dropout, rng, row, len(parts))[0]


def _logits(params: Params, s: Array) -> Array:
    return s @ params["head"]["W"] + params["head"]["b"][None]


def loss(
    cfg: RecurrentClassifierConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """Sum of -log p(label) in nats over the rows of the whole step, additive over rows; rows of label -1 weigh 0.

    Metrics: 'loss' (nats, texts), 'correct' (texts whose label scored highest, texts), 'words' (raw words, rows).
    """
    logits = _logits(params, summaries(cfg, params, consts, batch, rng))
    label = batch["label"]
    there = label >= 0
    at_label = jnp.take_along_axis(logits, jnp.where(there, label, 0)[:, None], axis=1)[:, 0]
    total = jnp.where(there, jax.nn.logsumexp(logits, axis=1) - at_label, 0.0).sum()
    count = there.sum().astype(jnp.float32)
    correct = (there & (logits.argmax(1) == label)).sum().astype(jnp.float32)
    metrics = {
        "loss": (total, count),
        "correct": (correct, count),
        "words": (batch["words"].sum().astype(jnp.float32), jnp.float32(label.shape[0])),
    }
    return total / batch["global_rows"], (carry, metrics)


def apply(
    cfg: RecurrentClassifierConfig, params: Params, consts: Consts, tokens: Array, lengths: Array
) -> dict[str, Any]:
    """What the classifier says of texts, and everything on the way there.

    Args:
      tokens: int32 [B, T], any T.
      lengths: int32 [B]; words from there on are not read. The lengths 1..T of one repeated text tell what is thought
        after each word.

    Returns:
      'probabilities' [B, classes], 'logits' [B, classes], 'parts': {'forward': {name: [B, T, H]}, ...} of inner values
      (gates, memory, h), those of 'backward' in the order of the text; {} for `average`. Parts are defined up to each
      row's length.
    """
    size = tokens.shape[0]
    steps = jnp.broadcast_to(lengths.max(), (size,))
    given = {"tokens": tokens, "length": lengths, "steps": steps, "row": jnp.arange(size, dtype=jnp.int32)}
    logits = _logits(params, summaries(cfg, params, consts, given, None))
    parts = {}
    for direction in cfg.directions:
        words = _reversed(tokens, lengths) if direction == "backward" else tokens
        state = zero_state(cfg.kind, size, cfg.hidden)
        inner, _ = trace_cell(cfg.kind, params["cells"][direction], _embed(cfg, params, consts, words), state)
        found = {k: v.swapaxes(0, 1) for k, v in inner.items()}
        parts[direction] = {k: _reversed(v, lengths) for k, v in found.items()} if direction == "backward" else found
    return {"probabilities": jax.nn.softmax(logits, axis=1), "logits": logits, "parts": parts}


def embed(cfg: RecurrentClassifierConfig, params: Params) -> dict[str, Array]:
    """The trained word vectors, [V, D]; none where they are frozen."""
    return {"E": params["embed"][: cfg.vocab_size]} if cfg.trains_embedding else {}


def axes(cfg: RecurrentClassifierConfig) -> Params:
    """The table split by vocabulary, cells by their gate columns."""
    tree: Params = {"head": {"W": ("embed", None), "b": (None,)}}
    if cfg.directions:
        tree["cells"] = {name: cell_axes(cfg.kind) for name in cfg.directions}
    return tree | {"embed": ("vocab", "embed")} if cfg.trains_embedding else tree


def flops(cfg: RecurrentClassifierConfig) -> tuple[float, str]:
    """Matrix products of cells and softmax, forward and backward: 6 a weight, the softmax's shared by a full text."""
    weights = cfg.features * cfg.classes / cfg.max_length
    if cfg.directions and not cfg.kind.elementwise:
        weights += len(cfg.directions) * (cfg.dim + cfg.hidden) * cfg.kind.gates * cfg.hidden
    return 6.0 * weights, "word"


def _examples() -> tuple[RecurrentClassifierConfig, ...]:
    tiny = RecurrentClassifierConfig(hidden=8, dim=8, max_length=6)
    return (
        dataclasses.replace(tiny, dim=6, dropout=0.2),
        dataclasses.replace(tiny, cell=AVERAGE, classes=3),
        dataclasses.replace(tiny, cell="elementwise", pool="mean"),
        dataclasses.replace(tiny, cell="gru", pool="max", bidirectional=True, dropout=0.2),
    )


SPEC = ModelSpec(
    config=RecurrentClassifierConfig,
    resolve=resolve,
    batch=batch,
    consts=consts,
    source=source,
    init=init,
    carry=carry,
    rows=rows,
    loss=loss,
    apply=apply,
    embed=embed,
    axes=axes,
    flops=flops,
    examples=_examples(),
    corpus=corpus,
)
