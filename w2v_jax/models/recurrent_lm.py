"""Recurrent language model: embedding, layers of one recurrent cell, and a softmax over the vocabulary.

    p(y_t | y_<t) = softmax(h_t A^T + a),   h of the last layer, A = E where the head is tied

Text comes in contiguous lanes (`w2v_jax.data.lanes`). Each window of `length` tokens starts from the last state of the
window before; gradients stop there (truncated backpropagation through time). A pass starts from the zero state.
Dropout is on the connections between layers, not on those through time (Zaremba et al. 2014, arXiv 1409.2329).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import check, check_choice, check_least, check_most
from w2v_jax.errors import UserError
from w2v_jax.family import Decode, Encode, Family
from w2v_jax.formats import ENCODING_ERRORS
from w2v_jax.models.running_text import (
    PAD_VOCAB,
    metrics_of,
    noise_of,
    read_text,
    resolve,
    score_targets,
    share_scored,
    training,
)
from w2v_jax.models.vectors import given_vectors
from w2v_jax.nn.arrays import constant, draw, given, training_flops, uniform
from w2v_jax.nn.head import CHUNK, next_token_logits
from w2v_jax.nn.layers import dropout, pad_to
from w2v_jax.nn.recurrence import Recurrence, trace
from w2v_jax.nn.recurrent import CELLS, Cell, State, cell_arrays, cell_keys, run_cell, zero_state
from w2v_jax.nn.segments import take_rows
from w2v_jax.nn.transfer import Scale, check_powers, scaled
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params

RESETS = 1 << 20  # place of the resets' draw within the model, beyond those of dropout


@dataclasses.dataclass(frozen=True)
class RecurrentLMConfig:
    cell: str = "lstm"  # elementwise | elementwise_bounded | rnn | lstm_elementwise | lstm | gru
    layers: int = 2  # recurrent ones, on top of each other
    hidden: int = 200  # units of a layer
    dim: int = 200  # of the embedding
    tied: bool = False  # the head's table is the embedding; needs dim = hidden
    length: int = 20  # tokens backpropagated through
    dropout: float = 0.0  # share dropped of embeddings, between layers and before the head
    # Share of training windows that start from the zero state. With 0 a model sees that state once per pass, and some
    # models drift so far from it that they read the start of a text many times worse than its middle.
    reset: float = 0.0
    init_scale: float = 0.1  # weights start uniform on [-init_scale, init_scale]
    forget_bias: float = 0.0  # of the LSTM's forget gate at the start
    vectors: str = ""  # file of word vectors (word2vec, GloVe or fastText) that the embedding starts from
    encoding_errors: str = "strict"  # words of that file that are not UTF-8: strict | replace | ignore
    frozen: bool = False  # given vectors are not trained
    noise_words: int = 0  # words that stand for the vocabulary in the softmax of training; 0: all of it
    head_chunk: int = CHUNK  # tokens whose logits are in memory at a time
    base_dim: int = 0  # units at which rate and init_scale were chosen, for the scale rule; 0: the standard one
    table_rate: float = 1.0  # multiplies the rate of the embedding and of the head's table
    table_power: float = 0.0  # this rate is divided by (width / base_dim) to this power
    logits_power: float = 1.0  # logits are divided by (width / base_dim) to this power
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.cell", self.cell, tuple(CELLS))
        check_least(1, "model", self, "layers", "hidden", "dim", "length", "head_chunk")
        check_most(1000, "model", self, "layers")  # the programs hold each layer
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "0 or more and below 1")
        check(0 <= self.reset <= 1, "model.reset", self.reset, "from 0 to 1")
        check_least(0, "model", self, "noise_words", "base_dim")
        check(self.init_scale > 0, "model.init_scale", self.init_scale, "above 0")
        check_powers(self.table_rate, self.table_power, self.logits_power, self.base_dim)
        check_choice("model.encoding_errors", self.encoding_errors, ENCODING_ERRORS)
        if (self.tied or CELLS[self.cell].elementwise) and self.dim != self.hidden:
            why = "a tied head" if self.tied else f"model.cell={self.cell}"
            raise UserError(f"model.dim={self.dim}: {why} needs it equal to model.hidden={self.hidden}")
        if self.base_dim and self.dim != self.hidden:
            raise UserError(f"model.base_dim={self.base_dim}: the scale rule needs model.dim equal to model.hidden")
        if self.frozen and not self.vectors:
            raise UserError("model.frozen=True: needs model.vectors, a file of word vectors")
        if self.frozen and self.tied:
            raise UserError("model.tied=True: a frozen embedding cannot be the head's table")

    @property
    def padded_vocab(self) -> int:
        """V', rows of the tables."""
        return pad_to(self.vocab_size, PAD_VOCAB)

    @property
    def scale(self) -> Scale:
        """The size against that of the base; see `w2v_jax.nn.transfer`."""
        width = self.hidden / self.base_dim if self.base_dim else 1.0
        return Scale(width, table_power=self.table_power, logits_power=self.logits_power)

    @property
    def kind(self) -> Cell:
        """The cell's functions."""
        return CELLS[self.cell]


def arrays(cfg: RecurrentLMConfig) -> dict[str, Any]:
    """{'embed' [V', D], 'layers': {'0': cell, ...}, 'head': {'table' [V', H], 'bias' [V']}}, without frozen or tied
    tables. Tables are split by vocabulary, cells by their gate columns."""
    inputs = [cfg.dim] + [cfg.hidden] * (cfg.layers - 1)
    cells = [cell_arrays(cfg.kind, size, cfg.hidden, cfg.init_scale, cfg.forget_bias, cfg.scale) for size in inputs]
    head = {"bias": Leaf((cfg.padded_vocab,), ("vocab",), constant(0.0))}
    tree: dict[str, Any] = {"layers": {str(i): cell for i, cell in enumerate(cells)}, "head": head}

    def table(width: int, uses: float) -> Leaf:
        start = uniform(-cfg.init_scale, cfg.init_scale)
        return Leaf(
            (cfg.padded_vocab, width), ("vocab", "embed"), start, width, uses, rate=cfg.table_rate * cfg.scale.table
        )

    read = share_scored(cfg)
    if not cfg.tied:
        head["table"] = table(cfg.hidden, read)
    if not cfg.frozen:
        tree["embed"] = table(cfg.dim, read if cfg.tied else 0.0)
    return tree


def init(rng: Array, cfg: RecurrentLMConfig, consts: Consts) -> Params:
    """See `arrays`; the embedding starts from given vectors where there are any."""
    embed_key, head_key, *keys = jax.random.split(rng, 2 + cfg.layers)
    tree = arrays(cfg)
    if "embed" in tree and "vectors" in consts:
        tree["embed"] = dataclasses.replace(tree["embed"], start=given(consts["vectors"]))
    layers = {str(i): cell_keys(key) for i, key in enumerate(keys)}
    return draw(tree, {"embed": embed_key, "head": {"table": head_key}, "layers": layers})


def carry(cfg: RecurrentLMConfig, rows: int) -> dict[str, State]:
    """The zero states of all layers, [B, H] each."""
    return {str(i): zero_state(cfg.kind, rows, cfg.hidden) for i in range(cfg.layers)}


def _word_vectors(cfg: RecurrentLMConfig, params: Params, consts: Consts) -> Array:
    table: Array = consts["vectors"] if cfg.frozen else params["embed"]
    return table


def _head_table(params: Params) -> Array:
    return params["head"].get("table", params.get("embed"))


def hidden_states(
    cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, Any]:
    """(outputs of the last layer after dropout [T, B, H], carry)."""
    fresh = batch["start"][:, None] > 0
    if rng is not None and cfg.reset:
        kept = dropout(jnp.ones_like(batch["start"], jnp.float32), cfg.reset, rng, batch["row"], RESETS, axis=0)
        fresh = fresh | (kept[:, None] == 0.0)
    x, after = take_rows(_word_vectors(cfg, params, consts), batch["tokens"].T), {}
    for i in range(cfg.layers):
        x = dropout(x, cfg.dropout, rng, batch["row"], i)
        state = {k: jnp.where(fresh, 0.0, v) for k, v in carry[str(i)].items()}
        x, after[str(i)] = run_cell(cfg.kind, params["layers"][str(i)], x, state)
    return dropout(x, cfg.dropout, rng, batch["row"], cfg.layers), jax.lax.stop_gradient(after)


def _scored(
    cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[tuple[Array, Array, Array], Any]:
    """(`score_targets`, carry)."""
    hidden, carry = hidden_states(cfg, params, consts, carry, batch, rng)
    table, bias = _head_table(params), params["head"]["bias"]
    read = scaled(hidden.swapaxes(0, 1), cfg.scale.logits)
    return score_targets(cfg, consts, read, table, bias, batch["targets"], rng), carry


def loss(
    cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """Mean loss in nats over the places of a full batch (length x global rows), additive over rows; metrics of
    `metrics_of`."""
    (total, nats, correct), carry = _scored(cfg, params, consts, carry, batch, rng)
    metrics = metrics_of(batch, nats, correct, batch["targets"] >= 0)
    return total / batch["global_rows"], (carry, metrics)


def score(cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch) -> tuple[Array, Array, Any]:
    """See `Score`."""
    (_, nats, correct), carry = _scored(cfg, params, consts, carry, batch, None)
    shape = batch["targets"].shape
    return nats.reshape(shape), correct.reshape(shape), carry


def states(cfg: RecurrentLMConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """The looked-up vectors and the outputs h of every layer, from the zero state."""
    x = take_rows(_word_vectors(cfg, params, consts), tokens)
    return [x, *(parts["h"] for parts in trace(recurrence(cfg, params, consts), x)[0])]


def recurrence(cfg: RecurrentLMConfig, params: Params, consts: Consts) -> Recurrence:
    """All layers."""
    layers = [params["layers"][str(i)] for i in range(cfg.layers)]
    return Recurrence(cfg.kind, cfg.hidden, _word_vectors(cfg, params, consts), layers)


def logits(cfg: RecurrentLMConfig, params: Params, h: Array) -> Array:
    """Of the token after each output of the last layer, [..., H] -> [..., V]."""
    return next_token_logits(scaled(h, cfg.scale.logits), _head_table(params), params["head"]["bias"], cfg.vocab_size)


def weights(cfg: RecurrentLMConfig, params: Params) -> Params:
    """The parameters, and 'out' [H, V], the transposed table of the head."""
    return params | {"out": _head_table(params)[: cfg.vocab_size].T}


def step(
    cfg: RecurrentLMConfig, weights: Params, consts: Consts, kept: dict[str, State], tokens: Array
) -> tuple[Array, dict[str, State]]:
    """(logits [B, V] of the token after int32 [B, T], the states there)."""
    x, after = take_rows(_word_vectors(cfg, weights, consts), tokens.T), {}
    for name, state in kept.items():
        x, after[name] = run_cell(cfg.kind, weights["layers"][name], x, state)
    return scaled(x[-1], cfg.scale.logits) @ weights["out"] + weights["head"]["bias"][None, : cfg.vocab_size], after


def size(cfg: RecurrentLMConfig) -> tuple[int, int]:
    """Every layer keeps its state, float32 [H] for each name; a token adds nothing."""
    return 4 * cfg.layers * cfg.hidden * len(cfg.kind.memory), 0


def embed(cfg: RecurrentLMConfig, params: Params) -> dict[str, Array]:
    """The trained embedding and, without tying and at the same width, the table of the head; [V, D]."""
    out = {} if cfg.frozen else {"E": params["embed"][: cfg.vocab_size]}
    if "table" in params["head"] and cfg.hidden == cfg.dim:
        out["A"] = params["head"]["table"][: cfg.vocab_size]
    return out


def flops(cfg: RecurrentLMConfig) -> tuple[float, str]:
    """Matrix products of cells and head, forward and backward: 6 per weight and token. With noise words the head scores
    those and the target alone."""
    return training_flops(arrays(cfg), cfg.vocab_size), "token"


def describe(cfg: RecurrentLMConfig) -> str:
    """The size of the state."""
    return f"state: {size(cfg)[0]:,} bytes per text of any length"


def _examples() -> tuple[RecurrentLMConfig, ...]:
    tiny = RecurrentLMConfig(layers=1, hidden=8, dim=8, length=6, head_chunk=16)
    deep = dataclasses.replace(tiny, cell="lstm", layers=2, dim=6, forget_bias=1.0)
    return (
        *(dataclasses.replace(tiny, cell=cell, tied=cell == "gru") for cell in CELLS if cell != "lstm"),
        dataclasses.replace(deep, dropout=0.2, reset=0.3, noise_words=8),
    )


FAMILY = Family(
    config=RecurrentLMConfig,
    resolve=resolve,
    text=read_text,
    consts=lambda cfg, words: given_vectors(cfg, words) | noise_of(cfg, words),
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=training(init, loss, carry),
    embed=embed,
    score=score,
    # The state was carried through the whole text in training, so its length has no limit.
    decode=Decode(weights, lambda cfg, rows, capacity: carry(cfg, rows), step, size, lambda cfg: None, describe),
    encode=Encode(lambda cfg: cfg.layers, states, lambda cfg: True, logits, recurrence=recurrence),
)
