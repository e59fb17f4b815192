"""Text classifier: word vectors, one recurrent cell or their plain mean, and a softmax over the classes.

    p(y | w_1..w_n) = softmax(s W + b),    s = pool(h_1..h_n),    h_t = cell(h_{t-1}, x_t),    x_t = vectors[w_t]

With the cell `average`, s is the mean of the x_t: logistic regression on mean vectors. With `elementwise` and
pool=last the model is the recurrence of the notes, c <- w * c + x. Every text begins with a state of zeros. A
bidirectional model reads it once in each direction, and s holds both halves. Given vectors are constants unless
`frozen` is off. Dropout is on the vectors and on s (Srivastava et al. 2014).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import check_choice
from w2v_jax.errors import UserError
from w2v_jax.family import Encode, Family
from w2v_jax.models import label_models
from w2v_jax.models.label_models import LabelOptions, embedding, head, label_loss, logits_of, pool, word_vectors
from w2v_jax.nn.arrays import draw, training_flops, uniform
from w2v_jax.nn.layers import dropout
from w2v_jax.nn.recurrence import Recurrence
from w2v_jax.nn.recurrent import CELLS, Cell, cell_arrays, cell_keys, run_cell, zero_state
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Metrics, Params

AVERAGE = "average"


@dataclasses.dataclass(frozen=True)
class RecurrentClassifierConfig(LabelOptions):
    cell: str = "lstm"  # average | elementwise | elementwise_bounded | rnn | lstm_elementwise | lstm | gru
    classes: int = 2  # labels
    hidden: int = 128  # units of a layer, in each direction
    dim: int = 100  # of the word vectors
    pool: str = "last"  # last: the state after the last word | mean | max over the outputs of all words
    bidirectional: bool = False  # a second cell reads from the end to the start
    dropout: float = 0.0  # share dropped of word vectors and before the softmax
    max_length: int = 400  # words read of a text; the rest is cut off
    init_scale: float = 0.1  # weights start uniform on [-init_scale, init_scale]
    forget_bias: float = 1.0  # of the LSTM's forget gate at the start
    vectors: str = ""  # file of word vectors (word2vec, GloVe or fastText); its words become the vocabulary
    encoding_errors: str = "strict"  # words of that file that are not UTF-8: strict | replace | ignore
    frozen: bool = True  # given vectors are not trained; an embedding that starts random always is
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.cell", self.cell, (AVERAGE, *CELLS))
        check_choice("model.pool", self.pool, ("last", "mean", "max"))
        self.check_shared()
        if self.cell == AVERAGE:
            if self.bidirectional:
                raise UserError("model.bidirectional=True: an average has no direction; choose another model.cell")
        elif self.kind.elementwise and self.dim != self.hidden:
            raise UserError(f"model.dim={self.dim}: model.cell={self.cell} needs it equal to model.hidden")

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


def arrays(cfg: RecurrentClassifierConfig, vectors: Array | None = None) -> dict[str, Any]:
    """{'cells': {'forward': ..., 'backward': ...}, 'head': {'W' [F, classes], 'b' [classes]}, 'embed' [V', D]}.

    `average` has no 'cells', frozen vectors no 'embed'. Cells are split by their gate columns.
    """
    tree = {"head": head(cfg, cfg.features, uniform(-cfg.init_scale, cfg.init_scale))} | embedding(cfg, vectors)
    cell = cell_arrays(cfg.kind, cfg.dim, cfg.hidden, cfg.init_scale, cfg.forget_bias) if cfg.directions else {}
    return tree | ({"cells": dict.fromkeys(cfg.directions, cell)} if cfg.directions else {})


def init(rng: Array, cfg: RecurrentClassifierConfig, consts: Consts) -> Params:
    """See `arrays`."""
    embed_key, head_key, *keys = jax.random.split(rng, 2 + len(cfg.directions))
    cells = {name: cell_keys(key) for name, key in zip(cfg.directions, keys, strict=True)}
    return draw(arrays(cfg, consts.get("vectors")), {"embed": embed_key, "head": {"W": head_key}, "cells": cells})


def _embed(cfg: RecurrentClassifierConfig, params: Params, consts: Consts, tokens: Array) -> Array:
    """int32 [B, T] -> [T, B, D]."""
    return take_rows(word_vectors(cfg, params, consts), tokens.T)


def _reversed(x: Array, length: Array) -> Array:
    """[B, T, ...] with the first length[b] entries of row b reversed; the others stay."""
    place = jnp.arange(x.shape[1], dtype=jnp.int32)[None]
    index = jnp.where(place < length[:, None], length[:, None] - 1 - place, place)
    return jnp.take_along_axis(x, index.reshape(index.shape + (1,) * (x.ndim - 2)), axis=1)


def summaries(cfg: RecurrentClassifierConfig, params: Params, consts: Consts, batch: Batch, rng: Array | None) -> Array:
    """s of every text, after dropout, [B, F]."""
    tokens, length, row = batch["tokens"], batch["length"], batch["row"]
    parts = []
    if cfg.cell == AVERAGE:
        x = dropout(_embed(cfg, params, consts, tokens), cfg.dropout, rng, row, 0)
        parts.append(pool("mean", x, length))
    for place, direction in enumerate(cfg.directions):
        # Pools do not depend on the order of the outputs, so only the words are reversed.
        words = _reversed(tokens, length) if direction == "backward" else tokens
        x = dropout(_embed(cfg, params, consts, words), cfg.dropout, rng, row, place)
        state = zero_state(cfg.kind, x.shape[1], cfg.hidden)
        h, state = run_cell(cfg.kind, params["cells"][direction], x, state, length, batch["steps"].max())
        parts.append(state["h"] if cfg.pool == "last" else pool(cfg.pool, h, length))
    return dropout(jnp.concatenate(parts, axis=1)[None], cfg.dropout, rng, row, len(parts))[0]


def loss(
    cfg: RecurrentClassifierConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """See `label_models.label_loss`."""
    total, metrics = label_loss(logits_of(params, summaries(cfg, params, consts, batch, rng)), batch)
    return total, (carry, metrics)


def states(
    cfg: RecurrentClassifierConfig, params: Params, consts: Consts, tokens: Array, lengths: Array
) -> list[Array]:
    """The word vectors, and the cells' outputs with both directions side by side; no layer for `average`."""
    out = []
    for direction in cfg.directions:
        back = direction == "backward"
        x = _embed(cfg, params, consts, _reversed(tokens, lengths) if back else tokens)
        h, _ = run_cell(cfg.kind, params["cells"][direction], x, zero_state(cfg.kind, len(tokens), cfg.hidden))
        h = h.swapaxes(0, 1)
        out.append(_reversed(h, lengths) if back else h)
    words = take_rows(word_vectors(cfg, params, consts), tokens)
    return [words, jnp.concatenate(out, axis=2)] if out else [words]


def recurrence(cfg: RecurrentClassifierConfig, params: Params, consts: Consts) -> Recurrence:
    """The cell that reads from left to right. UserError: an average has none."""
    if not cfg.directions:
        raise UserError(f"model.cell={cfg.cell}: has no memory to look into; choose a model with a recurrent cell")
    return Recurrence(cfg.kind, cfg.hidden, word_vectors(cfg, params, consts), [params["cells"]["forward"]])


def classify(cfg: RecurrentClassifierConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> Array:
    """Logits of the labels, [B, classes]; words from `lengths` on are not read. Lengths 1..T of one repeated text give
    the prediction after each word."""
    steps, row = jnp.broadcast_to(lengths.max(), lengths.shape), jnp.arange(len(tokens), dtype=jnp.int32)
    given = {"tokens": tokens, "length": lengths, "steps": steps, "row": row}
    return logits_of(params, summaries(cfg, params, consts, given, None))


def flops(cfg: RecurrentClassifierConfig) -> tuple[float, str]:
    """Matrix products of cells and softmax, forward and backward: 6 per weight, for the softmax once per text."""
    return training_flops(arrays(cfg), cfg.vocab_size), "word"


def _examples() -> tuple[RecurrentClassifierConfig, ...]:
    tiny = RecurrentClassifierConfig(hidden=8, dim=8, max_length=6)
    return (
        dataclasses.replace(tiny, dim=6, dropout=0.2),
        dataclasses.replace(tiny, cell=AVERAGE, classes=3),
        dataclasses.replace(tiny, cell="elementwise", pool="mean"),
        dataclasses.replace(tiny, cell="gru", pool="max", bidirectional=True, dropout=0.2),
    )


FAMILY = Family(
    config=RecurrentClassifierConfig,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=label_models.training(init, loss),
    encode=Encode(
        lambda cfg: int(bool(cfg.directions)),
        states,
        lambda cfg: not cfg.bidirectional,
        recurrence=recurrence,
        context=lambda cfg: cfg.max_length,
    ),
    classify=classify,
    **label_models.SHARED,
)
