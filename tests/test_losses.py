"""Losses over gathered rows against plain numpy loops in float64, values and gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import quick
from w2v_jax import losses
from w2v_jax.nn.apart import compute_apart

# (rows, length, window, dim): one block, several, a length that 32 does not divide, windows wider than the row.
SHAPES = [(2, 32, 3, 4), (1, 64, 5, 3), (3, 40, 2, 5), (2, 7, 9, 2), (1, 1, 1, 1)]


def band(rows: int, length: int, window: int, dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random (centres, contexts, weights)."""
    rng = np.random.default_rng(seed)
    shapes = ((rows, length, dim), (rows, length + 2 * window, dim), (rows, length, 2 * window + 1))
    centres, contexts, weights = (rng.standard_normal(s) for s in shapes)
    return centres, contexts, weights


def loop_scores(centres: np.ndarray, contexts: np.ndarray, window: int) -> np.ndarray:
    out = np.zeros((*centres.shape[:2], 2 * window + 1))
    for r, i, j in np.ndindex(*out.shape):
        out[r, i, j] = centres[r, i] @ contexts[r, i + j]
    return out


def loop_sum(contexts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    out = np.zeros((*weights.shape[:2], contexts.shape[2]))
    for r, i, j in np.ndindex(*weights.shape):
        out[r, i] += weights[r, i, j] * contexts[r, i + j]
    return out


def loop_spread(centres: np.ndarray, weights: np.ndarray) -> np.ndarray:
    out = np.zeros((centres.shape[0], centres.shape[1] + weights.shape[2] - 1, centres.shape[2]))
    for r, i, j in np.ndindex(*weights.shape):
        out[r, i + j] += weights[r, i, j] * centres[r, i]
    return out


def close(got: Any, want: np.ndarray, tolerance: float = 1e-5) -> None:
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1.0, float(np.abs(want).max(initial=0))))


def single(*arrays: np.ndarray) -> list[Any]:
    return [a.astype(np.float32) for a in arrays]


def pulled(fn: Callable[..., jax.Array], args: Sequence[Any], g: Any) -> Any:
    """(fn(*args), its gradients by every argument, weighed by g), compiled as one."""

    def run(args: Sequence[Any], g: Any) -> Any:
        value, pull = jax.vjp(fn, *args)
        return value, pull(g)

    return quick(run, args, g)


@pytest.mark.parametrize("shape", SHAPES)
def test_window_scores_and_their_gradient(shape: tuple[int, int, int, int]) -> None:
    centres, contexts, weights = band(*shape)
    window = shape[2]
    a, b, g = single(centres, contexts, weights)
    scores, (by_centres, by_contexts) = pulled(lambda x, y: losses.window_scores(x, y, window), (a, b), g)
    close(scores, loop_scores(centres, contexts, window))
    close(by_centres, loop_sum(contexts, weights))
    close(by_contexts, loop_spread(centres, weights))


@pytest.mark.parametrize("shape", SHAPES)
def test_window_sum_its_gradient_and_its_transpose(shape: tuple[int, int, int, int]) -> None:
    centres, contexts, weights = band(*shape, seed=1)
    b, w, g = single(contexts, weights, centres)

    def run(b: Any, w: Any, g: Any) -> Any:
        value, pull = jax.vjp(losses.window_sum, b, w)
        return value, pull(g), losses.window_spread(g, w)

    sums, (by_contexts, by_weights), spread = quick(run, b, w, g)
    close(sums, loop_sum(contexts, weights))
    close(by_contexts, loop_spread(centres, weights))
    close(by_weights, loop_scores(centres, contexts, shape[2]))
    close(spread, loop_spread(centres, weights))


@pytest.mark.parametrize("block", [1, 8, 16, 48])
def test_the_block_size_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    centres, contexts, _ = band(2, 48, 4, 3, seed=2)
    monkeypatch.setattr(losses, "BLOCK", block)
    scores = quick(lambda a, b: losses.window_scores(a, b, 4), *single(centres, contexts))
    close(scores, loop_scores(centres, contexts, 4))


def test_softplus_is_the_logistic_loss_everywhere() -> None:
    x = np.array([-1e4, -90.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 90.0, 1e4])
    value, slope = quick(jax.vmap(jax.value_and_grad(losses.softplus)), *single(x))
    np.testing.assert_allclose(value, np.logaddexp(0.0, x), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(np.clip(-x, -700, 700))), rtol=1e-6, atol=1e-30)


def test_scale_forward_passes_the_gradient_on_unscaled() -> None:
    x, factor, g = single(
        np.array([[1.0, -2.0], [3.0, 4.0]]), np.array([[0.5], [0.25]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    )
    value, (by_x, by_factor) = pulled(losses.scale_forward, (x, factor), g)
    np.testing.assert_allclose(value, [[0.5, -1.0], [0.75, 1.0]])
    np.testing.assert_allclose(by_x, g)
    assert not np.asarray(by_factor).any()


def loop_weights(doc: np.ndarray, reach: np.ndarray, window: int, draw: str) -> np.ndarray:
    out = np.zeros((*reach.shape, 2 * window + 1))
    for r, i in np.ndindex(*reach.shape):
        for place in range(i, i + 2 * window + 1):
            distance = abs(place - i - window)
            if distance == 0 or doc[r, i + window] < 0 or doc[r, place] != doc[r, i + window]:
                continue
            rule = {
                "full": 1.0,
                "sampled": float(distance <= reach[r, i]),
                "expected": (window - distance + 1) / window,
            }
            out[r, i, place - i] = rule[draw]
    return out


@pytest.mark.parametrize("draw", ["full", "sampled", "expected"])
def test_window_weights_stay_within_documents(draw: str) -> None:
    rng = np.random.default_rng(3)
    window, doc = 4, np.sort(rng.integers(0, 5, (3, 28)), axis=1)
    doc[0, :6], doc[2, -9:] = -1, -1
    reach = rng.integers(1, window + 1, (3, 20))
    got = quick(partial(losses.window_weights, window=window, draw=draw), np.int32(doc), np.int32(reach))
    want = loop_weights(doc, reach, window, draw)
    assert got.dtype == jnp.float32 and want.sum() > 50
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_expected_window_is_the_mean_over_every_reach() -> None:
    window, doc = 5, np.zeros((1, 22), np.int32)
    weights = partial(losses.window_weights, doc, window=window)
    reaches = np.arange(1, window + 1, dtype=np.int32)[:, None, None] * np.ones((1, 1, 12), np.int32)
    drawn = quick(jax.vmap(partial(weights, draw="sampled")), reaches)
    expected = quick(partial(weights, draw="expected"), np.zeros((1, 12), np.int32))
    np.testing.assert_allclose(expected, np.mean(drawn, axis=0), rtol=1e-6)


def test_shared_noise_against_a_loop() -> None:
    rng = np.random.default_rng(4)
    hidden, noise, weights = rng.standard_normal((2, 6, 4)), rng.standard_normal((2, 7, 4)), rng.random((2, 6))
    want = np.zeros(6)
    for r, i, n in np.ndindex(2, 6, 7):
        want[i] += weights[r, i] * 5 / 7 * np.log1p(np.exp(hidden[r, i] @ noise[r, n]))
    a, b, w = single(hidden, noise, weights)
    shared = partial(losses.shared_noise, a, b, w, 5)
    whole, *parts = quick(lambda: (shared(), *(shared(3, turn) for turn in range(3))))
    assert float(whole) == pytest.approx(want.sum(), rel=1e-5)
    np.testing.assert_allclose(parts, [3 * want[turn::3].sum() for turn in range(3)], rtol=1e-5)
    assert np.mean(parts) == pytest.approx(want.sum(), rel=1e-5), "every centre has its turn"


def test_path_loss_against_a_loop() -> None:
    rng = np.random.default_rng(5)
    hidden, nodes = rng.standard_normal((3, 2, 4)), rng.standard_normal((3, 5, 4))
    signs = np.array([[1, -1, 1, -1, 1], [-1, 0, 0, 0, 0], [1, 1, -1, 0, 0]], np.float64)
    want = np.zeros((3, 2))
    for w, h, p in np.ndindex(3, 2, 5):
        if signs[w, p]:
            want[w, h] -= np.log(1 / (1 + np.exp(-signs[w, p] * (hidden[w, h] @ nodes[w, p]))))
    close(quick(losses.path_loss, *single(hidden, nodes, signs)), want)


def test_node_loss_against_a_loop() -> None:
    rng = np.random.default_rng(6)
    x, plus, minus = 4 * rng.standard_normal((2, 3, 4)), rng.random((2, 3, 4)), rng.random((2, 3, 4))
    want = sum(plus[k] * np.logaddexp(0, -x[k]) + minus[k] * np.logaddexp(0, x[k]) for k in np.ndindex(*x.shape))
    assert float(quick(losses.node_loss, *single(x, plus, minus))) == pytest.approx(want, rel=1e-5)


def loop_paths(contexts: np.ndarray, nodes: np.ndarray, signs: np.ndarray, weights: np.ndarray) -> Any:
    """(sum of the weighted path losses, its gradients by contexts and by nodes)."""
    total, by_contexts, by_nodes = 0.0, np.zeros_like(contexts), np.zeros_like(nodes)
    for (r, i, j), p in itertools.product(np.ndindex(*weights.shape), range(nodes.shape[2])):
        if sign := signs[r, i, p]:
            x = contexts[r, i + j] @ nodes[r, i, p]
            total += weights[r, i, j] * np.logaddexp(0, -sign * x)
            slope = -sign * weights[r, i, j] / (1 + np.exp(sign * x))
            by_contexts[r, i + j] += slope * nodes[r, i, p]
            by_nodes[r, i, p] += slope * contexts[r, i + j]
    return total, by_contexts, by_nodes


@pytest.mark.parametrize(("shape", "depth"), [*((shape, 5) for shape in SHAPES), (SHAPES[0], 0), (SHAPES[0], 1)])
def test_window_path_loss_and_its_gradient(shape: tuple[int, int, int, int], depth: int) -> None:
    rows, length, _, dim = shape
    _, contexts, weights = band(*shape, seed=7)
    rng = np.random.default_rng(8)
    nodes, signs = rng.standard_normal((rows, length, depth, dim)), rng.integers(-1, 2, (rows, length, depth))
    c, n, s, w = single(contexts, nodes, signs, weights)
    want, by_contexts, by_nodes = loop_paths(contexts, nodes, signs, weights)
    run = jax.value_and_grad(lambda c, n: 3.0 * losses.window_path_loss(c, n, s, w), (0, 1))
    value, slopes = quick(run, c, n)
    assert float(value) == pytest.approx(3 * want, rel=1e-5, abs=1e-5 * np.abs(weights).sum())
    for got, wanted in zip(slopes, (by_contexts, by_nodes), strict=True):
        close(got, 3 * wanted)


def test_the_deepest_path_overflows_nothing() -> None:
    shape = (1, 4, 1, 2)
    _, contexts, weights = band(*shape, seed=9)
    signs = np.ones((1, 4, 58))
    c, s, w = single(contexts, signs, weights)
    run = jax.jit(losses.window_path_loss)
    zero = run(c, np.zeros((1, 4, 58, 2), np.float32), s, w)
    assert float(zero) == pytest.approx(58 * np.log(2) * weights.sum(), rel=1e-5)
    far = run(np.ones_like(c), np.full((1, 4, 58, 2), -1e4, np.float32), s, w)
    assert float(far) == pytest.approx(58 * 2e4 * weights.sum(), rel=1e-5)


@pytest.mark.parametrize(("count", "chunk"), [(7, 512), (7, 3), (6, 3), (1, 1)])
def test_log_partition_leaves_the_padding_out(count: int, chunk: int) -> None:
    rng = np.random.default_rng(6)
    hidden, table = rng.standard_normal((count, 4)), rng.standard_normal((11, 4))
    table[8:] = 1e3  # padding that would win every softmax
    a, b = single(hidden, table)
    value, (by_hidden, by_table) = pulled(
        lambda h, t: losses.log_partition(h, t, 8, chunk), (a, b), *single(np.ones(count))
    )
    scores = hidden @ table[:8].T
    close(value, np.log(np.exp(scores).sum(1)))
    share = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    close(by_hidden, share @ table[:8])
    close(by_table, np.concatenate([share.T @ hidden, np.zeros((3, 4))]))


@pytest.mark.parametrize("first", [-1, 0, 7])
def test_compute_apart_is_the_function_itself(first: int) -> None:
    (x,) = single(np.array([0.5, -2.0, 3.0]))
    witness = np.array([[first, 5]], np.int32)

    def apart(x: jax.Array) -> jax.Array:
        return compute_apart(lambda x: jnp.sin(x) * 2, witness, x)

    value, (slope,) = pulled(apart, (x,), np.ones_like(x))
    np.testing.assert_allclose(value, 2 * np.sin(x), rtol=1e-6)
    np.testing.assert_allclose(slope, 2 * np.cos(x), rtol=1e-6)
