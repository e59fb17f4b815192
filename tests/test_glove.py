"""GloVe against formulas by hand: loss and gradients, the update of the paper's program, and the pairs of an epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import glove as config_file
from tests.data.corpora import build_text, sample_lines
from tests.data.test_cooccurrence import by_hand, rows
from tests.examples import with_rows
from w2v_jax.data.cooccurrence import Rules
from w2v_jax.data.pipeline import stacked
from w2v_jax.errors import UserError
from w2v_jax.models import glove
from w2v_jax.models.glove import GloVeConfig
from w2v_jax.train import rows as row_optimizer
from w2v_jax.train.gradients import gradients

CFG = GloVeConfig(dim=3, x_max=10.0, alpha=0.75, window=2, vocab_size=5)


def batch() -> dict[str, Any]:
    """Pairs with counts below and above x_max, a word twice, and a place without a pair."""
    return with_rows(
        {
            "word": np.array([0, 3, 0, 4], np.int32),
            "context": np.array([1, 3, 2, 0], np.int32),
            "count": np.array([2.5, 40.0, 10.0, 0.0], np.float32),
            "words": np.array([1, 2, 3, 4], np.int32),
        }
    )


def params(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((CFG.padded_vocab, CFG.dim + 1)).astype(np.float32) for name in ("W", "C")}


def pair_by_hand(w: np.ndarray, c: np.ndarray, x: float) -> tuple[float, np.ndarray, np.ndarray]:
    """(f d^2, its gradients by the rows with their biases), d = w . c + b + b' - log x."""
    weight = (x / 10.0) ** 0.75 if x < 10.0 else 1.0
    d = w[:3] @ c[:3] + w[3] + c[3] - np.log(x)
    return weight * d * d, 2 * weight * d * np.append(c[:3], 1.0), 2 * weight * d * np.append(w[:3], 1.0)


def test_loss_and_gradients_are_those_by_hand() -> None:
    held, given = params(), batch()
    found = gradients(glove.FAMILY, CFG, held, {}, jax.random.key(0), {}, jax.tree.map(jnp.asarray, given))
    total = 0.0
    for i in range(4):
        x = float(given["count"][i])
        w, c = (held[name][given[key][i]].astype(np.float64) for name, key in (("W", "word"), ("C", "context")))
        value, by_w, by_c = pair_by_hand(w, c, x) if x else (0.0, np.zeros(4), np.zeros(4))
        total += value
        np.testing.assert_allclose(found.rows["W"][1][i], by_w, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(found.rows["C"][1][i], by_c, rtol=2e-5, atol=1e-6)
    assert not found.dense and found.rows["W"][0].tolist() == [0, 3, 0, 4]
    assert float(found.metrics["loss"][0]) == pytest.approx(total, rel=1e-5)
    assert (float(found.metrics["loss"][1]), float(found.metrics["words"][0])) == (3, 10)


def test_places_without_a_pair_weigh_nothing_for_any_alpha() -> None:
    """0^0 is 1, but no pair is no pair."""
    given = {k: jnp.asarray(v) for k, v in batch().items()}
    rows_of = {name: jnp.asarray(params()[name][given[key]]) for name, key in (("W", "word"), ("C", "context"))}
    flat = dataclasses.replace(CFG, alpha=0.0)
    found, (_, metrics) = glove.loss(flat, rows_of, {}, {}, given, None)
    d = [
        params()["W"][i, :3] @ params()["C"][j, :3] + params()["W"][i, 3] + params()["C"][j, 3] - np.log(x)
        for i, j, x in ((0, 1, 2.5), (3, 3, 40.0), (0, 2, 10.0))
    ]
    assert float(found) == pytest.approx(np.square(d).sum(), rel=1e-5) and float(metrics["loss"][1]) == 3


def test_the_config_file_is_the_update_of_the_papers_program() -> None:
    """Pair by pair: that program takes half of our gradient g, times .05, divides it by the root of a sum which starts
    at 1, and adds its square to the sum; here the square of the step itself is already in the sum."""
    optimizer = config_file.get_config().optimizer
    rng = np.random.default_rng(1)
    table = np.asarray(rng.standard_normal((2, 4)), np.float64)
    mine: Any = jnp.asarray(table, jnp.float32)
    state = row_optimizer.init(optimizer.rows, mine, optimizer.initial_square)
    sums = np.ones((2, 4))
    for _ in range(30):
        gradient = 400.0 * rng.standard_normal(4)
        scaled = 0.05 * gradient / 2
        sums[1] += scaled * scaled
        table[1] -= scaled / np.sqrt(sums[1])
        mine, state, (squares, change) = row_optimizer.update(
            optimizer.rows,
            mine,
            state,
            jnp.array([1], jnp.int32),
            jnp.asarray(gradient[None], jnp.float32),
            jnp.float32(optimizer.learning_rate),
        )
        assert float(squares) == pytest.approx(gradient @ gradient, rel=1e-5)
        assert float(change) == pytest.approx((scaled**2 / sums[1]).sum(), rel=1e-4)
    np.testing.assert_allclose(mine, table, rtol=1e-4, atol=1e-4)
    assert optimizer.schedule == "constant" and config_file.get_config().model.x_max == 100


def test_repeated_rows_of_elementwise_adagrad_are_summed_first() -> None:
    table, grads = jnp.ones((4, 2)), jnp.array([[1.0, 2.0], [3.0, -1.0], [1.0, 0.5]])
    state = row_optimizer.init("adagrad_elementwise", table, 2.0)
    ids = jnp.array([2, 0, 2], jnp.int32)
    after, state, _ = row_optimizer.update("adagrad_elementwise", table, state, ids, grads, jnp.float32(0.1))
    want = np.ones((4, 2))
    want[2] -= 0.1 * np.array([2.0, 2.5]) / np.sqrt(2 + np.array([4.0, 6.25]))
    want[0] -= 0.1 * np.array([3.0, -1.0]) / np.sqrt(2 + np.array([9.0, 1.0]))
    np.testing.assert_allclose(after, want, rtol=1e-6)
    np.testing.assert_allclose(state["square"], [[11, 3], [2, 2], [6, 8.25], [2, 2]], rtol=1e-6)


def test_held_out_counts_are_scaled_to_the_training_text_and_stay_in_order(tmp_path: Path) -> None:
    text = build_text(tmp_path, "\n".join(sample_lines(40)), heldout_every=4, unknown="drop")
    cfg = dataclasses.replace(CFG, vocab_size=len(text.vocab.words))
    source = glove.source(cfg, text, "heldout", 64, seed=3)
    made = stacked(source, 0, source.steps_per_epoch, source.steps_per_epoch)
    want = by_hand(rows(text.heldout), cfg.vocab_size, Rules(2, "harmonic"))
    there = made["count"] > 0
    i, j = made["word"][there], made["context"][there]
    assert len(set(zip(i.tolist(), j.tolist(), strict=True))) == len(i) == (want > 0).sum()
    scale = len(text.train.tokens) / len(text.heldout.tokens)
    assert scale > 2
    np.testing.assert_allclose(made["count"][there], scale * want[i, j], rtol=1e-6)


@pytest.mark.parametrize("side", ["both", "right"])
def test_an_epoch_holds_every_pair_once_in_another_order(side: str, tmp_path: Path) -> None:
    text = build_text(tmp_path, "\n".join(sample_lines(40)))
    size = len(text.vocab.words)
    cfg = dataclasses.replace(CFG, side=side, vocab_size=size)
    source = glove.source(cfg, text, "train", 64, seed=3)
    want = by_hand(rows(text.train), size, Rules(2, "harmonic", side))
    orders = []
    for epoch in (0, 1):
        first = epoch * source.steps_per_epoch
        made = stacked(source, first, first + source.steps_per_epoch, source.steps_per_epoch)
        there = made["count"] > 0
        pairs = list(zip(made["word"][there].tolist(), made["context"][there].tolist(), strict=True))
        assert len(set(pairs)) == len(pairs) == (want > 0).sum()
        i, j = np.array(pairs).T
        np.testing.assert_allclose(made["count"][there], want[i, j], rtol=1e-6)
        assert made["words"].sum() == len(text.train.tokens)
        orders.append(pairs)
    assert orders[0] != orders[1] and pairs != sorted(pairs)


def test_the_vectors_are_the_sum_without_biases() -> None:
    held = params(2)
    found = glove.embed(CFG, held)
    assert list(found) == ["sum", "W", "C"]
    np.testing.assert_array_equal(found["sum"], held["W"][:5, :3] + held["C"][:5, :3])
    tokens, tables = np.array([[4, 0]], np.int32), jax.tree.map(jnp.asarray, held)
    (states,) = glove.states(CFG, tables, {}, jnp.asarray(tokens), jnp.array([2]))
    np.testing.assert_array_equal(states, found["sum"][tokens])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0}, "model.window=0: must be"),
        ({"weighting": "half"}, "model.weighting='half'"),
        ({"side": "up"}, "model.side='up'"),
        ({"x_max": 0.0}, "model.x_max=0.0: must be above 0"),
        ({"memory_mb": 1}, "model.memory_mb=1: must be"),
    ],
)
def test_impossible_options_are_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GloVeConfig(**change)
