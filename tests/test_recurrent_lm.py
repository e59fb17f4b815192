"""The recurrent language model: truncated windows, state carried and reset, heads, starts from given vectors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import quick, random_params, whole_logits
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.models import recurrent_lm
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.nn.recurrence import trace
from w2v_jax.types import Words

FAMILY = recurrent_lm.FAMILY
VOCAB, LANES = 23, 3
TINY = RecurrentLMConfig(layers=2, hidden=8, dim=6, length=4, vocab_size=VOCAB)


def stream(length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, targets) of every lane, [B, N] each."""
    ids = np.random.default_rng(seed).integers(0, VOCAB, (LANES, length + 1)).astype(np.int32)
    return ids[:, :-1], ids[:, 1:]


def batch_of(tokens: np.ndarray, targets: np.ndarray, start: bool) -> dict[str, Any]:
    rows = len(tokens)
    return {
        "tokens": jnp.asarray(tokens),
        "targets": jnp.asarray(targets),
        "start": jnp.full(rows, int(start), jnp.int32),
        "words": jnp.full(rows, tokens.shape[1], jnp.int32),
        "row": jnp.arange(rows, dtype=jnp.int32),
        "global_rows": jnp.float32(rows),
    }


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "elementwise", "elementwise_bounded", "lstm_elementwise"])
def test_windows_of_truncated_backpropagation_give_the_loss_of_one_long_pass(cell: str) -> None:
    windows = 3
    cfg = dataclasses.replace(TINY, cell=cell, dim=8)
    whole = dataclasses.replace(cfg, length=cfg.length * windows)
    params = random_params(FAMILY, cfg, {}, 0)
    tokens, targets = stream(whole.length)
    nats, _, last = jax.jit(FAMILY.score, static_argnums=0)(  # type: ignore[arg-type]
        whole, params, {}, FAMILY.trained.carry(whole, LANES), batch_of(tokens, targets, True)
    )
    carry, parts = FAMILY.trained.carry(cfg, LANES), []
    for i in range(windows):
        cut = slice(i * cfg.length, (i + 1) * cfg.length)
        value, _, carry = jax.jit(FAMILY.score, static_argnums=0)(  # type: ignore[arg-type]
            cfg, params, {}, carry, batch_of(tokens[:, cut], targets[:, cut], i == 0)
        )
        parts.append(value)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), nats, rtol=2e-5, atol=1e-5)
    for a, b in zip(jax.tree.leaves(carry), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_start_of_a_pass_forgets_and_gradients_stop_between_windows() -> None:
    params = random_params(FAMILY, TINY, {}, 0)
    tokens, targets = stream(TINY.length)
    used = jax.tree.map(lambda x: x + 0.7, FAMILY.trained.carry(TINY, LANES))

    @jax.jit
    def both(carry: Any, batch: Any) -> tuple[jax.Array, Any]:
        """The loss, and the gradient of the state after the window by the state before it."""

        def through(carry: Any) -> tuple[jax.Array, jax.Array]:
            value, (after, _) = FAMILY.trained.loss(TINY, params, {}, carry, batch, None)
            return sum(jnp.sum(x) for x in jax.tree.leaves(after)), value  # type: ignore[return-value]

        slope, value = jax.grad(through, has_aux=True)(carry)
        return value, slope

    def total(carry: Any, start: bool) -> Any:
        return both(carry, batch_of(tokens, targets, start))

    fresh = total(FAMILY.trained.carry(TINY, LANES), True)[0]
    going, slope = total(used, False)
    assert total(used, True)[0] == fresh and going != fresh
    assert not any(np.any(g) for g in jax.tree.leaves(slope))


def test_loss_is_a_mean_over_places_and_metrics_count_tokens() -> None:
    params = random_params(FAMILY, TINY, {}, 0)
    tokens, targets = stream(TINY.length)
    targets = targets.copy()
    targets[0, 2:] = -1

    def run(params: Any, carry: Any, batch: Any) -> Any:
        return FAMILY.trained.loss(TINY, params, {}, carry, batch, None), FAMILY.score(TINY, params, {}, carry, batch)  # type: ignore[misc]

    (value, (_, metrics)), (nats, correct, _) = quick(
        run, params, FAMILY.trained.carry(TINY, LANES), batch_of(tokens, targets, True)
    )
    assert not nats[0, 2:].any() and (nats[1:] > 0).all()
    assert metrics["loss"][1] == targets.size - 2
    np.testing.assert_allclose(metrics["loss"][0], nats.sum(), rtol=1e-5)
    assert metrics["correct"][0] == correct.sum() and not correct[0, 2:].any()
    np.testing.assert_allclose(value, nats.sum() / (TINY.length * LANES), rtol=1e-5)


def test_states_give_the_same_probabilities_and_the_gates() -> None:
    params = random_params(FAMILY, TINY, {}, 0)
    tokens, targets = stream(TINY.length)

    def run(params: Any, carry: Any, batch: Any) -> Any:
        recurrence = recurrent_lm.recurrence(TINY, params, {})
        parts, states = trace(recurrence, recurrence.table[batch["tokens"]])
        logs = jax.nn.log_softmax(whole_logits(FAMILY, TINY, params, {}, batch["tokens"]))
        return FAMILY.score(TINY, params, {}, carry, batch), parts, states, logs  # type: ignore[misc]

    args = (params, FAMILY.trained.carry(TINY, LANES), batch_of(tokens, targets, True))
    (nats, correct, after), traced, states, logs = quick(run, *args)
    np.testing.assert_array_equal(correct, np.asarray(logs).argmax(2) == targets)
    chosen = -np.take_along_axis(np.asarray(logs), targets[..., None], 2)[..., 0]
    np.testing.assert_allclose(chosen, nats, rtol=1e-4, atol=1e-5)
    for a, b in zip(jax.tree.leaves(states), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    parts = traced[0]
    assert parts["forget"].shape == (LANES, TINY.length, TINY.hidden)
    remembered = parts["forget"][:, 1] * parts["memory"][:, 0] + parts["input"][:, 1] * parts["candidate"][:, 1]
    np.testing.assert_allclose(parts["memory"][:, 1], remembered, rtol=1e-5, atol=1e-6)


def test_dropout_falls_on_rows_by_their_number_and_never_on_the_carried_state() -> None:
    cfg = dataclasses.replace(TINY, dropout=0.5)
    params = random_params(FAMILY, cfg, {}, 0)
    tokens, targets = stream(cfg.length)
    whole = batch_of(tokens, targets, True)
    carry = FAMILY.trained.carry(cfg, LANES)

    @jax.jit
    def states(batch: dict[str, Any], carry: Any, rng: Any) -> Any:
        return recurrent_lm.hidden_states(cfg, params, {}, carry, batch, rng)

    out, after = states(whole, carry, jax.random.key(1))
    one = {k: v[1:2] if jnp.ndim(v) else v for k, v in whole.items()}
    alone, alone_after = states(one, jax.tree.map(lambda x: x[1:2], carry), jax.random.key(1))
    np.testing.assert_allclose(alone[:, 0], out[:, 1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone_after["1"]["h"][0], after["1"]["h"][1], rtol=1e-5, atol=1e-6)
    share = float(np.mean(np.asarray(out) == 0.0))
    assert 0.3 < share < 0.7, "half of the outputs are dropped"
    assert np.asarray(after["1"]["h"]).all()
    other, _ = states(whole, carry, jax.random.key(2))
    assert not np.array_equal(other, out)


def test_given_vectors_start_the_embedding_and_frozen_ones_stay(tmp_path: Path) -> None:
    words = tuple(f"w{i}" for i in range(VOCAB))
    matrix = np.random.default_rng(0).normal(size=(VOCAB - 3, 6)).astype(np.float32)
    save(Embeddings(words[3:], matrix), tmp_path / "vectors.txt", "text")
    vocabulary = Words(words, np.ones(VOCAB, np.int64))
    cfg = dataclasses.replace(TINY, vectors=str(tmp_path / "vectors.txt"))
    consts = FAMILY.consts(cfg, vocabulary)
    assert consts["vectors"].shape == (cfg.padded_vocab, 6) and not consts["vectors"][VOCAB:].any()
    params = FAMILY.trained.init(jax.random.key(0), cfg, jax.tree.map(jnp.asarray, consts))
    np.testing.assert_allclose(params["embed"][3:VOCAB], matrix, rtol=1e-5)
    frozen = dataclasses.replace(cfg, frozen=True)
    params = FAMILY.trained.init(jax.random.key(0), frozen, jax.tree.map(jnp.asarray, consts))
    assert "embed" not in params and "E" not in FAMILY.embed(frozen, params)  # type: ignore[misc]
    tokens, targets = stream(TINY.length)
    args = (FAMILY.trained.carry(frozen, LANES), batch_of(tokens, targets, True), None)
    loss = jax.jit(FAMILY.trained.loss, static_argnums=0)  # type: ignore[arg-type]
    assert np.isfinite(loss(frozen, params, jax.tree.map(jnp.asarray, consts), *args)[0])
    with pytest.raises(UserError, match="has 6 dimensions, model.dim=7"):
        FAMILY.consts(dataclasses.replace(cfg, dim=7, hidden=7), vocabulary)
    strangers = Words(("x", "y"), np.ones(2, np.int64))
    with pytest.raises(UserError, match="none of the 2 words"):
        FAMILY.consts(cfg, strangers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tied": True}, "model.dim=6: a tied head needs it equal to model.hidden=8"),
        ({"cell": "elementwise"}, "model.dim=6: model.cell=elementwise needs it equal"),
        ({"frozen": True}, "model.frozen=True: needs model.vectors"),
        ({"dropout": 1.0}, "model.dropout=1.0: must be"),
        ({"cell": "lsmt"}, r"did you mean 'lstm'\?"),
    ],
)
def test_values_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TINY, **change)


def test_flops_and_parameters_by_hand() -> None:
    """Zaremba's small model: 2 x (200 + 200) x 800 in the cells, 200 x 10,000 in the head, 4.65 million in all."""
    cfg = RecurrentLMConfig(vocab_size=10_000)
    assert FAMILY.flops(cfg) == (6.0 * (2 * 400 * 800 + 200 * 10_000), "token")
    shapes = jax.eval_shape(lambda: FAMILY.trained.init(jax.random.key(0), cfg, {}))
    padding = (cfg.padded_vocab - 10_000) * 401
    assert sum(x.size for x in jax.tree.leaves(shapes)) - padding == 2 * 2_000_000 + 10_000 + 2 * (400 * 800 + 800)


def test_a_share_of_the_windows_begins_from_the_zero_state_in_training_only() -> None:
    rows = 64
    cfg = dataclasses.replace(TINY, reset=0.3)
    params = random_params(FAMILY, cfg, {}, 0)
    tokens = np.random.default_rng(1).integers(0, VOCAB, (rows, cfg.length)).astype(np.int32)
    zero = FAMILY.trained.carry(cfg, rows)
    carried = jax.tree.map(lambda x: x + 0.5, zero)

    @jax.jit
    def after(carry: Any, rng: Any, start: Any) -> Any:
        batch = batch_of(tokens, tokens, False) | {"start": start}
        return recurrent_lm.hidden_states(cfg, params, {}, carry, batch, rng)[0][-1]

    none, key = jnp.zeros(rows, jnp.int32), jax.random.key(2)
    goes_on, anew = after(carried, None, none), after(zero, None, none)
    drawn = after(carried, key, none)
    is_fresh = np.abs(drawn - anew).max(-1) == 0
    np.testing.assert_array_equal(np.asarray(drawn)[~is_fresh], np.asarray(goes_on)[~is_fresh])
    assert 0.1 < is_fresh.mean() < 0.5
    np.testing.assert_array_equal(after(carried, key, none + 1), anew)
    assert (np.abs(goes_on - anew).max(-1) > 0).all()
