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
from w2v_jax.models.lane_models import PAD_VOCAB, batch, metrics_of, resolve, rows, source
from w2v_jax.models.vectors import start_vectors
from w2v_jax.nn.head import CHUNK, cross_entropy, next_token_logits
from w2v_jax.nn.layers import dropout, pad_to
from w2v_jax.nn.recurrent import CELLS, Cell, State, cell_axes, init_cell, run_cell, trace_cell, zero_state
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Decode, Metrics, ModelSpec, Params

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


def consts(cfg: RecurrentLMConfig, corpus: Any) -> Consts:
    """{'vectors': [V', D]} where the embedding starts from given vectors, else {}."""
    if not cfg.vectors:
        return {}
    return {"vectors": start_vectors(cfg.vectors, corpus.vocab.words, cfg.dim, cfg.padded_vocab, cfg.init_scale)}


def init(rng: Array, cfg: RecurrentLMConfig, consts: Consts) -> Params:
    """{'embed' [V', D], 'layers': {'0': cell, ...}, 'head': {'table' [V', H], 'bias' [V']}}, without frozen or tied
    tables."""
    embed_key, head_key, *keys = jax.random.split(rng, 2 + cfg.layers)

    def uniform(key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.uniform(key, shape, jnp.float32, -cfg.init_scale, cfg.init_scale)

    layers = {
        str(i): init_cell(key, cfg.kind, cfg.hidden if i else cfg.dim, cfg.hidden, cfg.init_scale, cfg.forget_bias)
        for i, key in enumerate(keys)
    }
    params: Params = {"layers": layers, "head": {"bias": jnp.zeros(cfg.padded_vocab, jnp.float32)}}
    if not cfg.tied:
        params["head"]["table"] = uniform(head_key, (cfg.padded_vocab, cfg.hidden))
    if not cfg.frozen:
        given = consts.get("vectors")
        params["embed"] = uniform(embed_key, (cfg.padded_vocab, cfg.dim)) if given is None else jnp.array(given)
    return params


def carry(cfg: RecurrentLMConfig, batch_size: int) -> dict[str, State]:
    """The layers' states, zero; [B, H] each."""
    return {str(i): zero_state(cfg.kind, batch_size, cfg.hidden) for i in range(cfg.layers)}


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


def apply(cfg: RecurrentLMConfig, params: Params, consts: Consts, tokens: Array, carry: Any) -> dict[str, Any]:
    """Everything about a few tokens, int32 [B, T], after `carry`.

    Returns:
      'logits' [B, T, V] of the token that follows each; 'parts', one dict a layer of inner values [B, T, H] (gates,
      memory, h); 'carry', the state after the last token.
    """
    x = _embed(cfg, params, consts, tokens)
    parts, after = [], {}
    for i in range(cfg.layers):
        inner, after[str(i)] = trace_cell(cfg.kind, params["layers"][str(i)], x, carry[str(i)])
        x = inner["h"]
        parts.append({k: v.swapaxes(0, 1) for k, v in inner.items()})
    logits = next_token_logits(x.swapaxes(0, 1), _table(params), params["head"]["bias"], cfg.vocab_size)
    return {"logits": logits, "parts": parts, "carry": after}


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


def axes(cfg: RecurrentLMConfig) -> Params:
    """Tables split by vocabulary, cells by their gate columns."""
    tree: Params = {
        "layers": {str(i): cell_axes(cfg.kind) for i in range(cfg.layers)},
        "head": {"bias": ("vocab",)},
    }
    if not cfg.tied:
        tree["head"]["table"] = ("vocab", "embed")
    return tree if cfg.frozen else tree | {"embed": ("vocab", "embed")}


def flops(cfg: RecurrentLMConfig) -> tuple[float, str]:
    """Matrix products of cells and head, forward and backward: 6 a weight and token."""
    weights = cfg.hidden * cfg.vocab_size
    if not cfg.kind.elementwise:
        sizes = [cfg.dim] + [cfg.hidden] * (cfg.layers - 1)
        weights += sum((inputs + cfg.hidden) * cfg.kind.gates * cfg.hidden for inputs in sizes)
    return 6.0 * weights, "token"


def _examples() -> tuple[RecurrentLMConfig, ...]:
    tiny = RecurrentLMConfig(layers=1, hidden=8, dim=8, length=6, head_chunk=16)
    return (
        *(dataclasses.replace(tiny, cell=cell, tied=cell == "gru") for cell in CELLS),
        dataclasses.replace(tiny, layers=2, dim=6, dropout=0.2, reset=0.3, forget_bias=1.0),
    )


SPEC = ModelSpec(
    config=RecurrentLMConfig,
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
    score=score,
    decode=Decode(weights, start, step, size, context),
)
