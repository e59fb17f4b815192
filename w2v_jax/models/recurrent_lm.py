"""Recurrent language model: embedding, layers of one recurrent cell, and a softmax over the vocabulary.

    p(y_t | y_<t) = softmax(h_t A^T + a),   h of the last layer, A = E where the head is tied

Text comes in contiguous lanes (`w2v_jax.data.lanes`): the state at the end of one window of `length` tokens is where
the next begins, gradients stop there (truncated backpropagation through time), and it is zero at the start of a pass.
Dropout is on what flows up, never on what flows along (Zaremba et al. 2014, arXiv 1409.2329).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import check, check_choice
from w2v_jax.errors import UserError
from w2v_jax.models.running_text import PAD_VOCAB, metrics_of, read_text, resolve, rows, shapes, source
from w2v_jax.models.vectors import start_vectors
from w2v_jax.nn.arrays import constant, draw, given, training_flops, uniform
from w2v_jax.nn.head import CHUNK, cross_entropy, next_token_logits
from w2v_jax.nn.layers import dropout, pad_to
from w2v_jax.nn.recurrence import Recurrence, trace
from w2v_jax.nn.recurrent import CELLS, Cell, State, cell_arrays, cell_keys, run_cell, zero_state
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Decode, Encode, Family, Leaf, Metrics, Params, Train, Words

RESETS = 1 << 20  # number of the resets' draw within the model, beyond those of dropout


@dataclasses.dataclass(frozen=True)
class RecurrentLMConfig:
    """Options of the family."""

    cell: str = "lstm"  # elementwise | rnn | lstm_elementwise | lstm | gru
    layers: int = 2
    hidden: int = 200
    dim: int = 200  # of the embedding
    tied: bool = False  # the head's table is the embedding; dim must equal hidden
    length: int = 20  # tokens backpropagated through
    dropout: float = 0.0  # share dropped of embeddings, between layers and before the head
    # Share of windows that begin from the zero state in training. With 0 a model sees that state once a pass, and some
    # drift so far from it that a text which starts anew is read many times worse than one that goes on.
    reset: float = 0.0
    init_scale: float = 0.1  # weights start uniform on [-init_scale, init_scale]
    forget_bias: float = 0.0
    vectors: str = ""  # word vectors (word2vec or GloVe file) that the embedding starts from
    frozen: bool = False  # they are never trained
    head_chunk: int = CHUNK  # tokens whose logits are in memory at a time
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.cell", self.cell, tuple(CELLS))
        for key in ("layers", "hidden", "dim", "length", "head_chunk"):
            check(getattr(self, key) >= 1, f"model.{key}", getattr(self, key), "at least 1")
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "0 or more and below 1")
        check(0 <= self.reset <= 1, "model.reset", self.reset, "from 0 to 1")
        check(self.init_scale > 0, "model.init_scale", self.init_scale, "above 0")
        if (self.tied or CELLS[self.cell].elementwise) and self.dim != self.hidden:
            why = "a tied head" if self.tied else f"model.cell={self.cell}"
            raise UserError(f"model.dim={self.dim}: {why} needs it equal to model.hidden={self.hidden}")
        if self.frozen and not self.vectors:
            raise UserError("model.frozen=True: needs model.vectors, a file of word vectors")
        if self.frozen and self.tied:
            raise UserError("model.tied=True: a frozen embedding cannot be the head's table")

    @property
    def padded_vocab(self) -> int:
        """V', rows of the tables."""
        return pad_to(self.vocab_size, PAD_VOCAB)

    @property
    def kind(self) -> Cell:
        """The cell's functions."""
        return CELLS[self.cell]


def consts(cfg: RecurrentLMConfig, words: Words) -> Consts:
    """{'vectors': [V', D]} where the embedding starts from given vectors, else {}."""
    if not cfg.vectors:
        return {}
    return {"vectors": start_vectors(cfg.vectors, words.words, cfg.dim, cfg.padded_vocab, cfg.init_scale)}


def arrays(cfg: RecurrentLMConfig) -> dict[str, Any]:
    """{'embed' [V', D], 'layers': {'0': cell, ...}, 'head': {'table' [V', H], 'bias' [V']}}, without frozen or tied
    tables. Tables are split by vocabulary, cells by their gate columns."""
    start, inputs = uniform(-cfg.init_scale, cfg.init_scale), [cfg.dim] + [cfg.hidden] * (cfg.layers - 1)
    head = {"bias": Leaf((cfg.padded_vocab,), ("vocab",), constant(0.0))}
    if not cfg.tied:
        head["table"] = Leaf((cfg.padded_vocab, cfg.hidden), ("vocab", "embed"), start, cfg.hidden, 1.0)
    tree: dict[str, Any] = {
        "layers": {
            str(i): cell_arrays(cfg.kind, size, cfg.hidden, cfg.init_scale, cfg.forget_bias)
            for i, size in enumerate(inputs)
        },
        "head": head,
    }
    if not cfg.frozen:
        uses = 1.0 if cfg.tied else 0.0
        tree["embed"] = Leaf((cfg.padded_vocab, cfg.dim), ("vocab", "embed"), start, cfg.dim, uses)
    return tree


def init(rng: Array, cfg: RecurrentLMConfig, consts: Consts) -> Params:
    """See `arrays`; the embedding starts from the given vectors where there are any."""
    embed_key, head_key, *keys = jax.random.split(rng, 2 + cfg.layers)
    tree = arrays(cfg)
    if "embed" in tree and "vectors" in consts:
        tree["embed"] = dataclasses.replace(tree["embed"], start=given(consts["vectors"]))
    layers = {str(i): cell_keys(key) for i, key in enumerate(keys)}
    return draw(tree, {"embed": embed_key, "head": {"table": head_key}, "layers": layers})


def carry(cfg: RecurrentLMConfig, rows: int) -> dict[str, State]:
    """The layers' states, zero; [B, H] each."""
    return {str(i): zero_state(cfg.kind, rows, cfg.hidden) for i in range(cfg.layers)}


def _embed(cfg: RecurrentLMConfig, params: Params, consts: Consts, tokens: Array) -> Array:
    """int32 [B, T] -> [T, B, D]."""
    table = consts["vectors"] if cfg.frozen else params["embed"]
    return take_rows(table, tokens.T)


def _table(params: Params) -> Array:
    return params["head"].get("table", params.get("embed"))


def hidden_states(
    cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, Any]:
    """Last layer's outputs after dropout, [T, B, H], and the new carry."""
    fresh = batch["start"][:, None] > 0
    if rng is not None and cfg.reset:
        kept = dropout(jnp.ones_like(batch["start"], jnp.float32), cfg.reset, rng, batch["row"], RESETS, axis=0)
        fresh = fresh | (kept[:, None] == 0.0)
    x = _embed(cfg, params, consts, batch["tokens"])
    after = {}
    for i in range(cfg.layers):
        x = dropout(x, cfg.dropout, rng, batch["row"], i)
        state = {k: jnp.where(fresh, 0.0, v) for k, v in carry[str(i)].items()}
        x, after[str(i)] = run_cell(cfg.kind, params["layers"][str(i)], x, state)
    return dropout(x, cfg.dropout, rng, batch["row"], cfg.layers), jax.lax.stop_gradient(after)


def _scored(
    cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[tuple[Array, Array, Array], Any]:
    """((sum of nats / length, nats [B * T], whether the target scored highest [B * T]), carry)."""
    hidden, carry = hidden_states(cfg, params, consts, carry, batch, rng)
    targets = batch["targets"].reshape(-1)
    scored = cross_entropy(
        hidden.swapaxes(0, 1).reshape(-1, cfg.hidden),  # row after row, as rows are what devices split
        _table(params),
        params["head"]["bias"],
        targets,
        jnp.full(targets.shape, 1.0 / cfg.length),
        cfg.vocab_size,
        cfg.head_chunk,
    )
    return scored, carry


def loss(
    cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """Mean loss in nats over a full batch's places (length x rows of the whole step), additive over rows.

    Metrics: 'loss' (nats, tokens), 'correct' (tokens whose target scored highest, tokens), 'words' (raw tokens, rows).
    """
    (total, nats, correct), carry = _scored(cfg, params, consts, carry, batch, rng)
    metrics = metrics_of(batch, nats, correct, batch["targets"] >= 0)
    return total / batch["global_rows"], (carry, metrics)


def score(cfg: RecurrentLMConfig, params: Params, consts: Consts, carry: Any, batch: Batch) -> tuple[Array, Any]:
    """Nats of every target, [B, T], 0 where there is none; and the new carry."""
    (_, nats, _), carry = _scored(cfg, params, consts, carry, batch, None)
    return nats.reshape(batch["targets"].shape), carry


def states(cfg: RecurrentLMConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """The looked-up vectors and the outputs h of every layer, from the zero state on."""
    x = _embed(cfg, params, consts, tokens).swapaxes(0, 1)
    return [x, *(parts["h"] for parts in trace(recurrence(cfg, params, consts), x)[0])]


def recurrence(cfg: RecurrentLMConfig, params: Params, consts: Consts) -> Recurrence:
    """All layers."""
    table = consts["vectors"] if cfg.frozen else params["embed"]
    return Recurrence(cfg.kind, cfg.hidden, table, [params["layers"][str(i)] for i in range(cfg.layers)])


def logits(cfg: RecurrentLMConfig, params: Params, h: Array) -> Array:
    """Of the token after each output of the last layer, [..., H] -> [..., V]."""
    return next_token_logits(h, _table(params), params["head"]["bias"], cfg.vocab_size)


def weights(cfg: RecurrentLMConfig, params: Params) -> Params:
    """The parameters, and 'out' [H, V], the head's table as the product with a few rows reads it."""
    return params | {"out": _table(params)[: cfg.vocab_size].T}


def start(cfg: RecurrentLMConfig, rows: int, capacity: int) -> dict[str, State]:
    """The layers' states, zero, whatever the capacity."""
    return carry(cfg, rows)


def step(
    cfg: RecurrentLMConfig, weights: Params, consts: Consts, kept: dict[str, State], tokens: Array
) -> tuple[Array, dict[str, State]]:
    """(logits [B, V] of the token after the last of int32 [B, T], the states there)."""
    x, after = _embed(cfg, weights, consts, tokens), {}
    for name, state in kept.items():
        x, after[name] = run_cell(cfg.kind, weights["layers"][name], x, state)
    return x[-1] @ weights["out"] + weights["head"]["bias"][None, : cfg.vocab_size], after


def size(cfg: RecurrentLMConfig) -> tuple[int, int]:
    """Every layer keeps its state, float32 [H] for each name, and nothing of any token."""
    return 4 * cfg.layers * cfg.hidden * len(cfg.kind.memory), 0


def context(cfg: RecurrentLMConfig) -> None:
    """No limit: the state was carried through the whole text in training."""
    return None


def embed(cfg: RecurrentLMConfig, params: Params) -> dict[str, Array]:
    """The trained embedding and, untied and of the same width, the head's table; [V, D]."""
    out = {} if cfg.frozen else {"E": params["embed"][: cfg.vocab_size]}
    if "table" in params["head"] and cfg.hidden == cfg.dim:
        out["A"] = params["head"]["table"][: cfg.vocab_size]
    return out


def flops(cfg: RecurrentLMConfig) -> tuple[float, str]:
    """Matrix products of cells and head, forward and backward: 6 a weight and token."""
    return training_flops(arrays(cfg), cfg.vocab_size), "token"


def describe(cfg: RecurrentLMConfig) -> str:
    """What is kept of a text."""
    return f"state: {size(cfg)[0]:,} bytes a text, whatever its length"


def _examples() -> tuple[RecurrentLMConfig, ...]:
    tiny = RecurrentLMConfig(layers=1, hidden=8, dim=8, length=6, head_chunk=16)
    return (
        *(dataclasses.replace(tiny, cell=cell, tied=cell == "gru") for cell in CELLS),
        dataclasses.replace(tiny, layers=2, dim=6, dropout=0.2, reset=0.3, forget_bias=1.0),
    )


FAMILY = Family(
    config=RecurrentLMConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=Train(shapes, source, init, carry, rows, loss),
    embed=embed,
    score=score,
    decode=Decode(weights, start, step, size, context, describe),
    encode=Encode(lambda cfg: cfg.layers, states, lambda cfg: True, logits, recurrence=recurrence),
)
