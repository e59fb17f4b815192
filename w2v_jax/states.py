"""Inside trained models: states and attention of every layer, and how far back recurrent losses reach.

Everything here uses `Family.encode` and never a family by name.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data import synthetic
from w2v_jax.data.bayes import Language
from w2v_jax.data.synthetic import Sample
from w2v_jax.errors import UserError
from w2v_jax.evaluation.recurrence import state_gradients
from w2v_jax.family import Encode
from w2v_jax.nn.recurrence import Recurrence, advance, begin, read, trace
from w2v_jax.nn.recurrent import State
from w2v_jax.train.restore import Model
from w2v_jax.types import Array

ENTRIES = 1 << 24  # numbers of attention in memory at a time


def encode_of(model: Model) -> Encode:
    """`Encode` of the family. UserError: the family has none."""
    if model.spec.encode is None:
        raise UserError(f"family={model.config.family!r}: has no states to inspect; choose another run")
    return model.spec.encode


def recurrence_of(model: Model) -> Recurrence:
    """The layers that read from left to right. UserError: the family or its cell has none."""
    encode = encode_of(model)
    if encode.recurrence is None:
        raise UserError(f"family={model.config.family!r}: has no memory to look into; choose a recurrent model")
    found: Recurrence = encode.recurrence(model.cfg, model.params, model.consts)
    return found


def before_text(model: Model, recurrence: Recurrence) -> list[State]:
    """The states in which the model expects a text to begin: those of a language model after an end token, since in
    training each document followed the end token of another."""
    end = model.tokenizer.end_id
    if encode_of(model).logits is None or end is None:
        return begin(recurrence, 1)
    return trace(recurrence, recurrence.table[jnp.array([[end]])])[1]


def logits_of(model: Model, states: list[State]) -> Array:
    """Logits of the next token, [B, V]."""
    logits = encode_of(model).logits
    assert logits is not None
    return logits(model.cfg, model.params, states[-1]["h"])


def attention_of(model: Model, ids: np.ndarray) -> np.ndarray:
    """Attention over one text of int32 [T] tokens, float32 [L, N, T, T]. UserError: a model without attention."""
    if encode_of(model).attention is None:
        raise UserError(f"family={model.config.family!r}: has no attention to inspect; choose a transformer")
    _, found = model.applied.inside(model.params, model.consts, ids[None], np.array([len(ids)], np.int32))
    return np.stack([np.asarray(layer[0]) for layer in found])


def documents_of(model: Model, offsets: np.ndarray) -> np.ndarray | None:
    """The document of every token of a text as the model kept them apart in training, int32 [N], from int64 [D + 1]
    `offsets`; None for a model that reads across documents. A token that predicts the next one is of that one's."""
    encode = encode_of(model)
    if not encode.documents(model.cfg):
        return None
    places = np.arange(int(offsets[-1])) + encode.causal(model.cfg)
    return np.searchsorted(offsets[1:], places, side="right").astype(np.int32)


def states_of(
    model: Model, windows: np.ndarray, documents: np.ndarray | None = None
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray] | None]]:
    """For each chunk of windows int32 [W, T]: float32 states [B, T, D] after 0 to L layers, and attention [B, N, T, T]
    of each layer or None. `documents` int32 [W, T] are the windows of `documents_of`."""
    encode_of(model)
    inside, length = model.applied.inside, windows.shape[1]
    given = [windows] if documents is None else [windows, documents]
    first = windows[:1], np.full(1, length, np.int32), *(x[:1] for x in given[1:])
    one = jax.eval_shape(inside, model.params, model.consts, *first)
    entries = sum(x.size for x in jax.tree.leaves(one[1])) or length
    size = max(1, min(len(windows), ENTRIES // entries))
    lengths = np.full(size, length, np.int32)
    for at in range(0, len(windows), size):
        there = slice(len(windows[at : at + size]))
        # One shape, so that one program is compiled.
        whole, *apart = (np.pad(x[at : at + size], ((0, size - there.stop), (0, 0))) for x in given)
        states, seen = jax.device_get(inside(model.params, model.consts, whole, lengths, *apart))
        yield [x[there] for x in states], None if seen is None else [x[there] for x in seen]


def gradient_norms(model: Model, windows: np.ndarray, furthest: int) -> dict[str, np.ndarray]:
    """Norms of d loss_t / d state_{t-k}, mean over windows, float64 [K + 1] with K = `furthest`.

    Each window ends in the predicted token; the tokens before the last K + 2 only bring the state into its usual range.
    'h' is by the outputs of the cells (for an LSTM with its memory fixed), 'state' by the whole state of an LSTM.
    """
    recurrence = recurrence_of(model)

    @jax.jit
    def norms(ids: Array) -> dict[str, Array]:
        start, inputs, target = read(recurrence, ids[:, : -furthest - 2]), ids[:, -furthest - 2 : -1], ids[:, -1:]

        def loss(states: list[State]) -> Array:
            return -jnp.take_along_axis(jax.nn.log_softmax(logits_of(model, states)), target, axis=1)[:, 0]

        grads = state_gradients(lambda states, x: advance(recurrence, states, x), loss, start, inputs.T)
        parts = {"h": [g["h"] for g in grads]}
        if len(recurrence.cell.memory) > 1:
            parts["state"] = jax.tree.leaves(grads)
        return {
            name: jnp.sqrt(sum(jnp.sum(jnp.square(g), axis=2) for g in leaves)).mean(1)
            for name, leaves in parts.items()
        }

    return {name: np.asarray(values, np.float64) for name, values in norms(jnp.asarray(windows)).items()}


def forget_gates(model: Model, windows: np.ndarray) -> np.ndarray | None:
    """Every forget gate at every token in the second half of the windows, [N]; None for cells without."""
    recurrence = recurrence_of(model)
    inner = jax.jit(lambda ids: trace(recurrence, recurrence.table[ids])[0])(jnp.asarray(windows))
    found = [part["forget"] for part in inner if "forget" in part]
    return np.concatenate([np.asarray(f)[:, windows.shape[1] // 2 :].reshape(-1) for f in found]) if found else None


def agreement_text(data: DataConfig) -> tuple[Language, Sample]:
    """The synthetic language of a run, and its held-out text with its verbs marked."""
    spoken = Language.from_config(data.synthetic, data.end_token or synthetic.FULL_STOP)
    return spoken, spoken.generate(*synthetic.plan(data.synthetic, "heldout"))


def agreement(model: Model, most: int) -> dict[int, tuple[float, float]]:
    """How often the right class of verbs is the likeliest before a verb, {distance from the subject: (share right, its
    standard error)}, from at most `most` verbs per distance in the held-out text of a synthetic language."""
    spoken, text = agreement_text(model.config.data)
    g, index, recurrence = spoken.grammar, model.tokenizer.vocab.index, recurrence_of(model)
    ids = np.array([index[word] for word in g.words], np.int32)
    first = synthetic.SUBJECT + g.classes  # kind of the verbs of class 0
    verbs = [ids[g.kinds == first + c] for c in range(g.classes)]
    before = g.distances[-1] + model.cfg.length  # words read

    @jax.jit
    def likelier(words: Array) -> Array:
        odds = jax.nn.softmax(logits_of(model, read(recurrence, words)))
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
