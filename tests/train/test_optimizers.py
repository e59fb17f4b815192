"""Schedules, clipping, weight decay and AdamW against numbers by hand and formulas in numpy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.config import LogConfig, OptimizerConfig
from w2v_jax.errors import UserError
from w2v_jax.train.optimizers import decay_start, decays, dense, schedule
from w2v_jax.train.plateau import Plateau

AXES: Any = {
    "embed": ("vocab", "embed"),
    "cell": {"W": ("embed", "mlp"), "b": ("mlp",)},
    "head": {"table": ("vocab", "embed"), "free": None},
    "absent": ("vocab",),
}
SHAPES: Any = {"embed": (5, 3), "cell": {"W": (3, 4), "b": (4,)}, "head": {"table": (5, 3), "free": (2, 2)}}


def tree(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: rng.standard_normal(s), SHAPES, is_leaf=lambda s: isinstance(s, tuple))


def on_device(values: Any) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), values)


def rates(steps: Sequence[int], total: int = 100, steps_per_pass: int = 10, **keys: Any) -> list[float]:
    rate = schedule(OptimizerConfig(learning_rate=0.2, **keys), total, steps_per_pass)
    given = [float(rate(s)) for s in steps]
    assert given == pytest.approx([float(jax.jit(rate)(jnp.int32(s))) for s in steps]), "the log's and the step's"
    return given


# Schedules


def test_linear_falls_in_a_line_to_its_floor() -> None:
    got = rates([0, 50, 90, 99, 1000], schedule="linear", final_fraction=0.1)
    assert got == pytest.approx([0.2, 0.1, 0.02, 0.02, 0.02])


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_constant(name: str) -> None:
    assert rates([0, 99], schedule=name) == pytest.approx([0.2, 0.2])


def test_cosine_ends_at_the_final_fraction() -> None:
    got = rates([0, 25, 50, 100, 200], schedule="cosine", final_fraction=0.1)
    quarter = 0.02 + 0.18 * (1 + math.sqrt(0.5)) / 2
    assert got == pytest.approx([0.2, quarter, 0.11, 0.02, 0.02])


def test_step_holds_four_passes_then_halves_at_every_pass() -> None:
    got = rates([0, 39, 40, 49, 50, 60, 99], schedule="step")
    assert got == pytest.approx([0.2, 0.2, 0.1, 0.1, 0.05, 0.025, 0.2 / 64])
    got = rates([0, 9, 10, 20], schedule="step", hold_passes=1, decay=0.8)
    assert got == pytest.approx([0.2, 0.2, 0.16, 0.128])


def test_wsd_holds_the_rate_and_then_falls_by_the_root_of_the_decay_done() -> None:
    got = rates([0, 50, 80, 85, 95, 100, 200], schedule="wsd", final_fraction=0.1)
    falls = [0.02 + 0.18 * (1 - math.sqrt(share)) for share in (0.25, 0.75)]
    assert got == pytest.approx([0.2, 0.2, 0.2, *falls, 0.02, 0.02])
    assert rates([90, 91, 99], schedule="wsd", decay_fraction=0.1)[:1] == pytest.approx([0.2])
    assert rates([91], schedule="wsd", decay_fraction=0.1)[0] < 0.2
    assert rates([99, 100], schedule="wsd", decay_fraction=0.0001) == pytest.approx([0.2, 0.2 * 1e-4])


def test_wsd_has_the_same_bits_in_runs_of_any_length_until_the_shorter_one_decays() -> None:
    """Also where 32-bit floats no longer tell two numbers of steps apart."""
    cfg = OptimizerConfig(
        learning_rate=0.0123, schedule="wsd", final_fraction=0.02, warmup_steps=7, decay_fraction=0.15
    )
    for total in (11, 1237, 2**31 - 1, 2**24 + 1):
        begin = decay_start(cfg, total)
        assert begin == int(jax.jit(lambda n: decay_start(cfg, n))(jnp.int32(total)))
        assert isinstance(begin, int) and abs(total - begin - 0.15 * total) <= 1
        steps = jnp.asarray(sorted({0, 3, 7, begin // 2, begin - 1}), jnp.int32)
        own, longer = (jax.jit(schedule(cfg, jnp.int32(n), 10))(steps) for n in (total, min(2 * total, 2**31 - 1)))
        np.testing.assert_array_equal(own, longer)
        fallen = float(schedule(cfg, total, 10)(jnp.int32(total - 1)))
        assert fallen < float(schedule(cfg, total, 10)(jnp.int32(begin))) or begin == total - 1


@pytest.mark.parametrize("name", ["linear", "constant", "cosine", "step", "plateau", "wsd"])
def test_warm_up_rises_from_zero_to_the_whole_rate(name: str) -> None:
    assert rates([0, 1, 5, 19, 20], schedule=name, warmup_steps=20) == pytest.approx([0, 0.01, 0.05, 0.19, 0.2])


def test_decay_takes_the_steps_that_warm_up_leaves() -> None:
    for name in ("linear", "cosine"):
        got = rates([60, 100], schedule=name, warmup_steps=20, final_fraction=0.0)
        assert got == pytest.approx([0.1, 0.0], abs=1e-7)


# Plateau


def falls(losses: Sequence[float], **keys: Any) -> list[int]:
    """After which evaluations the rate falls."""
    judge = Plateau(OptimizerConfig(schedule="plateau", **keys), LogConfig(), 10)
    return [i for i, loss in enumerate(losses) if judge.falls(loss)]


def test_plateau_counts_evaluations_without_improvement() -> None:
    losses = [5.0, 4.0, 4.5, 3.9, 3.9, 4.0, 3.95, 3.91, 3.0, 3.1]
    assert falls(losses) == [2, 4, 5, 6, 7, 9]
    assert falls(losses, patience=2) == [5, 7]
    assert falls(losses, patience=3) == [6]
    # By more than: 3.9 is no improvement on 4.0 here, and leaves it the best.
    assert falls([4.0, 3.9, 3.8, 3.4], min_improvement=0.3) == [1, 2]
    assert falls([4.0, float("nan"), 3.0]) == [1]


def test_plateau_goes_on_where_it_was_and_refuses_other_evaluations() -> None:
    cfg = OptimizerConfig(schedule="plateau", patience=3)
    first, second = (Plateau(cfg, LogConfig(eval_steps=4), 10) for _ in range(2))
    assert [first.falls(loss) for loss in (2.0, 2.0, 2.1)] == [False] * 3
    second.restore(first.to_meta())
    assert (second.best, second.bad) == (2.0, 2) and second.falls(2.0)
    with pytest.raises(UserError, match=r"log\.eval_every_steps: is 20 here and was 10 before"):
        Plateau(cfg, LogConfig(eval_steps=4), 20).restore(first.to_meta())
    with pytest.raises(UserError, match=r"log\.eval_steps: is 5 here and was 4 before"):
        Plateau(cfg, LogConfig(eval_steps=5), 10).restore(first.to_meta())
    other = Plateau(OptimizerConfig(), LogConfig(), 20)
    other.restore(first.to_meta())
    assert not any(other.falls(9.0) for _ in range(5)), "no other schedule looks at held-out losses"


# Optimisers of dense leaves


def updates(cfg: OptimizerConfig, steps: int) -> list[Any]:
    """Parameters after each of so many updates with fresh gradients, at a rate of 0.1."""
    optimizer = dense(cfg, AXES, {})
    params = on_device(tree(0))
    state, out = optimizer.init(params), []
    for i in range(steps):
        change, state = optimizer.update(on_device(tree(1 + i)), state, params)
        params = jax.tree.map(lambda p, u: p - 0.1 * u, params, change)
        out.append(params)
    return out


def test_the_norm_of_all_leaves_together_is_clipped() -> None:
    grads = tree(1)
    norm = math.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(grads)))
    for limit in (0.0, 0.5 * norm, 2 * norm):
        share = 0.5 if 0 < limit < norm else 1.0
        (got,) = updates(OptimizerConfig(dense="sgd", clip_norm=limit), 1)
        want = jax.tree.map(lambda p, g, share=share: p - 0.1 * share * g, tree(0), grads)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, want)


def test_which_leaves_decay() -> None:
    params = on_device(tree(0))
    some = {"embed": False, "cell": {"W": True, "b": False}, "head": {"table": False, "free": True}}
    assert decays(OptimizerConfig(), params, AXES) == some
    every = {"embed": True, "cell": {"W": True, "b": False}, "head": {"table": True, "free": True}}
    assert decays(OptimizerConfig(decay_embeddings=True), params, AXES) == every


@pytest.mark.parametrize("embeddings", [False, True])
def test_three_steps_of_adamw_are_those_of_numpy(embeddings: bool) -> None:
    beta1, beta2, eps, decay = 0.8, 0.95, 1e-3, 0.3
    cfg = OptimizerConfig(
        dense="adamw", beta1=beta1, beta2=beta2, eps=eps, weight_decay=decay, decay_embeddings=embeddings
    )
    got = updates(cfg, 3)
    share = {"embed": embeddings, "W": True, "b": False, "table": embeddings, "free": True}
    names = [path[-1].key for path, _ in jax.tree_util.tree_flatten_with_path(tree(0))[0]]
    params = jax.tree.leaves(tree(0))
    first, second = [0 * p for p in params], [0 * p for p in params]
    for t in (1, 2, 3):
        for i, g in enumerate(jax.tree.leaves(tree(t))):
            first[i] = beta1 * first[i] + (1 - beta1) * g
            second[i] = beta2 * second[i] + (1 - beta2) * g**2
            scaled = first[i] / (1 - beta1**t) / (np.sqrt(second[i] / (1 - beta2**t)) + eps)
            params[i] = params[i] - 0.1 * (scaled + decay * share[names[i]] * params[i])
        for leaf, want in zip(jax.tree.leaves(got[t - 1]), params, strict=True):
            np.testing.assert_allclose(leaf, want, atol=2e-6)


def test_adagrad_is_that_of_numpy() -> None:
    got = updates(OptimizerConfig(dense="adagrad", weight_decay=0.5), 2)  # which decays nothing
    params, squares = tree(0), jax.tree.map(lambda p: 0 * p + 0.1, tree(0))
    for t in (1, 2):
        squares = jax.tree.map(lambda a, g: a + g**2, squares, tree(t))
        params = jax.tree.map(lambda p, g, a: p - 0.1 * g / np.sqrt(a + 1e-7), params, tree(t), squares)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), got[-1], params)


@pytest.mark.parametrize(
    ("key", "value", "need"),
    [
        ("schedule", "cosin", "did you mean 'cosine'"),
        ("warmup_steps", -1, "0 \\(no warm-up\\) or more"),
        ("hold_passes", -1, "0 or more"),
        ("decay", 1.0, "above 0 and below 1"),
        ("patience", 0, "at least 1"),
        ("min_improvement", -0.1, "0 or more"),
        ("clip_norm", float("nan"), "0 or more"),
        ("beta1", 1.0, "0 or more and below 1"),
        ("beta2", -0.1, "0 or more and below 1"),
        ("eps", 0.0, "above 0"),
    ],
)
def test_impossible_options_are_refused(key: str, value: Any, need: str) -> None:
    with pytest.raises(UserError, match=rf"^optimizer\.{key}=.*{need}"):
        dataclasses.replace(OptimizerConfig(), **{key: value})
