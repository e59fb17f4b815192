"""Looks into the recurrence of trained models: what their layers hold, and how far back their losses reach."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data import synthetic
from w2v_jax.data.bayes import Language
from w2v_jax.data.synthetic import Sample
from w2v_jax.errors import UserError
from w2v_jax.evaluation.recurrence import state_gradients
from w2v_jax.models.recurrent_classifier import RecurrentClassifierConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.nn.head import next_token_logits
from w2v_jax.nn.recurrent import Cell, State, run_cell, trace_cell, zero_state
from w2v_jax.train.restore import Model
from w2v_jax.types import Array, Params


class Stack(NamedTuple):
    """The recurrent part of a model."""

    cell: Cell
    table: Array  # [V', D] word vectors
    layers: list[Params]
    start: list[State]  # of each layer before the first word, [1, H]


def stack_of(model: Model) -> Stack:
    """The layers that read from left to right, in the state in which the model expects a text to begin.

    Raises:
      UserError: the family or its cell has no recurrence.
    """
    cfg, params = model.cfg, model.params
    if isinstance(cfg, RecurrentLMConfig):
        table = model.consts["vectors"] if cfg.frozen else params["embed"]
        layers = [params["layers"][str(i)] for i in range(cfg.layers)]
    elif isinstance(cfg, RecurrentClassifierConfig) and cfg.directions:
        table = params["embed"] if cfg.trains_embedding else model.consts["vectors"]
        layers = [params["cells"]["forward"]]
    else:
        cell = getattr(cfg, "cell", "none")
        raise UserError(f"family={model.config.family!r}, model.cell={cell}: has no memory to look into")
    stack = Stack(cfg.kind, table, layers, [zero_state(cfg.kind, 1, cfg.hidden) for _ in layers])
    if isinstance(cfg, RecurrentLMConfig) and model.tokenizer.end_id is not None:
        # It was trained on documents that follow the end of another.
        stack = stack._replace(start=trace(stack, table[jnp.array([model.tokenizer.end_id])])[1])
    return stack


def trace(stack: Stack, x: Array) -> tuple[list[dict[str, Array]], list[State]]:
    """Inner values of every layer, {name: [T, H]} each, and the states after a text of vectors x [T, D]."""
    h, parts, after = x[:, None], [], []
    for params, start in zip(stack.layers, stack.start, strict=True):
        inner, state = trace_cell(stack.cell, params, h, start)
        h = inner["h"]
        parts.append({name: values[:, 0] for name, values in inner.items()})
        after.append(state)
    return parts, after


def advance(stack: Stack, states: list[State], ids: Array) -> list[State]:
    """The states of all layers one token later; ids int32 [B]."""
    h, after = stack.table[ids], []
    for params, state in zip(stack.layers, states, strict=True):
        out, state = run_cell(stack.cell, params, h[None], state)
        h = out[0]
        after.append(state)
    return after


def logits_of(model: Model, states: list[State]) -> Array:
    """Of the next token, [B, V]."""
    head = model.params["head"]
    table = head.get("table", model.params.get("embed"))
    return next_token_logits(states[-1]["h"], table, head["bias"], model.cfg.vocab_size)


def read(model: Model, stack: Stack, ids: Array) -> list[State]:
    """The states after texts int32 [B, T], from zero."""
    zero = [zero_state(stack.cell, ids.shape[0], model.cfg.hidden) for _ in stack.layers]
    return jax.lax.scan(lambda states, x: (advance(stack, states, x), None), zero, ids.T)[0]


def gradient_norms(model: Model, windows: np.ndarray, furthest: int) -> dict[str, np.ndarray]:
    """Norms of d loss_t / d state_{t-k}, mean over windows, float64 [K + 1].

    Each window ends in the token that is predicted; those before the last K + 2 only bring the state to where a text
    has it.

    Returns:
      'h', by the cells' outputs (of an LSTM with its memory held fixed); 'state', by all that an LSTM remembers.
    """
    stack = stack_of(model)

    @jax.jit
    def norms(ids: Array) -> dict[str, Array]:
        start, inputs, target = read(model, stack, ids[:, : -furthest - 2]), ids[:, -furthest - 2 : -1], ids[:, -1:]

        def loss(states: list[State]) -> Array:
            return -jnp.take_along_axis(jax.nn.log_softmax(logits_of(model, states)), target, axis=1)[:, 0]

        grads = state_gradients(lambda states, x: advance(stack, states, x), loss, start, inputs.T)
        parts = {"h": [g["h"] for g in grads]}
        if len(stack.cell.memory) > 1:
            parts["state"] = jax.tree.leaves(grads)
        return {
            name: jnp.sqrt(sum(jnp.sum(jnp.square(g), axis=2) for g in leaves)).mean(1)
            for name, leaves in parts.items()
        }

    return {name: np.asarray(values, np.float64) for name, values in norms(jnp.asarray(windows)).items()}


def forget_gates(model: Model, windows: np.ndarray) -> np.ndarray | None:
    """Every forget gate at every token in the second half of the windows, [N]; None for cells without."""
    carry = model.spec.carry(model.cfg, len(windows))
    apply = jax.jit(lambda ids, carry: model.spec.apply(model.cfg, model.params, model.consts, ids, carry)["parts"])
    found = [part["forget"] for part in apply(jnp.asarray(windows), carry) if "forget" in part]
    return np.concatenate([np.asarray(f)[:, windows.shape[1] // 2 :].reshape(-1) for f in found]) if found else None


def agreement_text(data: DataConfig) -> tuple[Language, Sample]:
    """The synthetic language of a run, and its held-out text with its verbs marked."""
    spoken = Language.from_config(data.synthetic, data.end_token or synthetic.FULL_STOP)
    return spoken, spoken.generate(*synthetic.plan(data.synthetic, "heldout"))


def agreement(model: Model, most: int) -> dict[int, tuple[float, float]]:
    """How often the right class of verbs is the likelier one where a verb is due, by distance from the subject.

    Args:
      model: trained on the synthetic language.
      most: verbs asked a distance, of the held-out text.

    Returns:
      {distance: (share right, its standard error)}.
    """
    spoken, text = agreement_text(model.config.data)
    g, index, stack = spoken.grammar, model.tokenizer.vocab.index, stack_of(model)
    ids = np.array([index[word] for word in g.words], np.int32)
    first = synthetic.SUBJECT + g.classes  # kind of the verbs of class 0
    verbs = [ids[g.kinds == first + c] for c in range(g.classes)]
    before = g.distances[-1] + model.cfg.length  # words that are read

    @jax.jit
    def likelier(words: Array) -> Array:
        odds = jax.nn.softmax(logits_of(model, read(model, stack, words)))
        return jnp.stack([odds[:, of_class].sum(1) for of_class in verbs], axis=1).argmax(1)

    out = {}
    for d in g.distances:
        places = np.flatnonzero(text.distance == d)
        places = places[places >= before]
        places = places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(np.int64)]
        if len(places):
            words = ids[text.ids[places[:, None] + np.arange(-before, 0)[None]]]
            right = np.asarray(likelier(jnp.asarray(words))) == g.kinds[text.ids[places]] - first
            out[d] = float(right.mean()), float(right.std() / np.sqrt(len(places)))
    return out
