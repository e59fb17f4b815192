"""Row optimisers against dense formulas in numpy, duplicates included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import quick
from w2v_jax.nn import segments
from w2v_jax.train import rows

VOCAB, DIM, COUNT = 40, 6, 150
# One program for equal shapes, whatever the test.
UPDATE = jax.jit(rows.update, static_argnames=("name", "clip"))
SUMS = [segments.sum_by_first, segments.sum_by_scatter, segments.sum_by_scan, segments.sum_duplicates]


def case(seed: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(table, ids with many duplicates and rows never named, gradients)."""
    rng = np.random.default_rng(seed)
    ids = np.minimum(rng.zipf(1.4, count), VOCAB - 3).astype(np.int32)
    return rng.standard_normal((VOCAB, DIM)), ids, rng.standard_normal((count, DIM))


def added(ids: np.ndarray, grads: np.ndarray) -> np.ndarray:
    dense = np.zeros((VOCAB, DIM))
    np.add.at(dense, ids, grads)
    return dense


@pytest.mark.parametrize("count", [1, 2, 3, 64, COUNT])
@pytest.mark.parametrize("size", [VOCAB, 2**30], ids=["packed", "sorted"])
def test_segments_group_equal_ids(size: int, count: int) -> None:
    _, ids, _ = case(0, count)
    ids = ids + (size - VOCAB)  # up to the largest ids of the table
    found = quick(partial(segments.find_segments, num_rows=size), jnp.asarray(ids))
    distinct = np.unique(ids)
    np.testing.assert_array_equal(found.ids[: len(distinct)], distinct)
    rest = np.asarray(found.ids[len(distinct) :])
    assert (rest >= size).all() and (np.diff(found.ids) > 0).all(), "unused places: distinct, rising, beyond the table"
    np.testing.assert_array_equal(np.asarray(found.ids)[found.segment], np.sort(ids))
    np.testing.assert_array_equal(ids[np.asarray(found.order)], np.sort(ids))
    assert sorted(np.asarray(found.order).tolist()) == list(range(count))


def test_large_and_small_tables_take_the_same_way() -> None:
    _, ids, _ = case(1)
    packed, by_two_keys = (quick(partial(segments.find_segments, num_rows=n), ids) for n in (2**24, 2**25))
    assert 2**24 * 256 == 2**32, "the first is the largest table whose keys fit 32 bits beside 150 places"
    np.testing.assert_array_equal(packed.order, by_two_keys.order)
    np.testing.assert_array_equal(packed.segment, by_two_keys.segment)


@pytest.mark.parametrize("add", SUMS)
@pytest.mark.parametrize("ids", ["zipf", "all equal", "all distinct", "one"])
def test_sums_are_those_of_numpy(add: Callable[..., Any], ids: str) -> None:
    _, zipf, grads = case(2)
    count = {"one": 1, "all distinct": VOCAB}.get(ids, COUNT)
    chosen = {"zipf": zipf, "all equal": np.full(COUNT, 5), "one": np.array([3])}.get(ids, np.arange(VOCAB)[::-1])
    chosen, grads = chosen[:count].astype(np.int32), grads[:count]
    found, got = quick(partial(add, num_rows=VOCAB), jnp.asarray(chosen), jnp.asarray(grads, jnp.float32))
    used = np.asarray(found) < VOCAB
    assert len(set(np.asarray(found).tolist())) == count, "also those of unused places"
    np.testing.assert_array_equal(np.sort(found[used]), np.unique(chosen))
    np.testing.assert_allclose(got[used], added(chosen, grads)[found[used]], atol=1e-5)
    assert not np.asarray(got)[~used].any()


def test_large_tables_are_not_marked_row_by_row() -> None:
    for size, sorts in ((segments.MARKED * 64, False), (segments.MARKED * 64 + 1, True)):
        run = jax.jit(partial(segments.sum_duplicates, num_rows=size))
        shapes = jax.ShapeDtypeStruct((64,), jnp.int32), jax.ShapeDtypeStruct((64, DIM), jnp.float32)
        assert ("stablehlo.sort" in run.lower(*shapes).as_text()) == sorts


def test_taken_rows_have_the_gradient_of_a_plain_gather() -> None:
    table, ids, grads = case(4)
    weigh = jnp.asarray(grads, jnp.float32)

    def loss(take: Callable[..., Any]) -> Any:
        return quick(jax.grad(lambda t: jnp.sum(take(t, jnp.asarray(ids)) ** 2 * weigh)), jnp.asarray(table))

    taken = loss(segments.take_rows)
    np.testing.assert_allclose(taken, loss(lambda t, i: t[i]), atol=1e-4)
    expected = np.zeros(table.shape)
    np.add.at(expected, ids, 2 * np.asarray(table)[ids] * np.asarray(grads))
    np.testing.assert_allclose(taken, expected, atol=1e-4)


def test_row_wise_sgd_is_the_dense_gradient_step() -> None:
    table, ids, _ = case(3)
    targets = np.random.default_rng(3).standard_normal((COUNT, DIM))

    def loss(gathered: Any) -> Any:
        return jnp.sum(jnp.tanh(gathered - targets.astype(np.float32)) ** 2)

    def both(table: Any) -> Any:
        sparse, state, _ = rows.update("sgd", table, {}, jnp.asarray(ids), jax.grad(loss)(table[ids]), jnp.float32(0.1))
        assert state == {}
        return sparse, table - 0.1 * jax.grad(lambda t: loss(t[ids]))(table)

    sparse, dense = quick(both, jnp.asarray(table, jnp.float32))
    np.testing.assert_allclose(sparse, dense, atol=2e-6)
    untouched = np.setdiff1d(np.arange(VOCAB), ids)
    assert len(untouched) > 3
    np.testing.assert_array_equal(np.asarray(sparse)[untouched], table.astype(np.float32)[untouched])


@pytest.mark.parametrize(("name", "square_start"), [("sgd", 0.0), ("adagrad", 0.0), ("adagrad", 0.3)])
def test_several_steps_against_the_formula(name: str, square_start: float) -> None:
    table, *_ = case(4)
    rates = [0.5, 0.3, 0.2, 0.1]
    got = jnp.asarray(table, jnp.float32)
    state = rows.init(name, got, square_start)
    assert {k: v.shape for k, v in state.items()} == ({"square": (VOCAB,)} if name == "adagrad" else {})
    square = np.full(VOCAB, square_start)
    for seed, rate in enumerate(rates):
        _, ids, grads = case(10 + seed)
        got, state, squares = UPDATE(name, got, state, ids, grads.astype(np.float32), np.float32(rate))
        total = added(ids, grads)
        gradient = (total**2).sum()
        if name == "adagrad":
            square += (total**2).mean(1)
            total /= np.sqrt(square + 1e-10)[:, None]
        table = table - rate * total
        np.testing.assert_allclose(squares, (gradient, (rate * total) ** 2 @ np.ones(DIM) @ np.ones(VOCAB)), rtol=1e-4)
    np.testing.assert_allclose(got, table, atol=2e-5)
    if name == "adagrad":
        np.testing.assert_allclose(state["square"], square, rtol=1e-5)
        assert (square == square_start).any() and (square > square_start).any()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_a_word_500_times_in_a_step_moves_by_a_bounded_length(scale: float) -> None:
    """The 500 gradients agree, as those of a frequent word with stale rows do: summed under plain SGD they diverge."""
    rate, rng = 0.25, np.random.default_rng(5)
    grads = scale * (1 + 0.1 * rng.standard_normal((500, DIM)))
    ids = np.r_[np.full(499, 7), 8].astype(np.int32)
    table = jnp.zeros((VOCAB, DIM))
    given = (ids, grads.astype(np.float32), np.float32(rate))
    moved, *_ = UPDATE("adagrad", table, rows.init("adagrad", table), *given)
    length = np.linalg.norm(np.asarray(moved), axis=1)
    np.testing.assert_allclose(length[[7, 8]], rate * np.sqrt(DIM), rtol=1e-3)
    assert np.delete(length, [7, 8]).max() == 0
    plain, *_ = UPDATE("sgd", table, {}, *given)
    assert np.linalg.norm(plain[7]) == pytest.approx(rate * np.linalg.norm(grads[:499].sum(0)), rel=1e-4)
    clipped, _, squares = UPDATE("sgd", table, {}, *given, clip=0.125)
    assert float(squares[1]) == pytest.approx(float((np.asarray(clipped) ** 2).sum()), rel=1e-4)
    assert np.linalg.norm(clipped[7]) == pytest.approx(min(0.125, float(np.linalg.norm(plain[7]))), rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_gradients_of_zero_change_nothing(name: str) -> None:
    table, ids, grads = case(6)
    start = jnp.asarray(table, jnp.float32)
    none = np.zeros(grads.shape, np.float32)
    after, state, _ = UPDATE(name, start, rows.init(name, start), ids, none, np.float32(1))
    np.testing.assert_array_equal(after, start)
    assert not any(np.asarray(v).any() for v in state.values())
