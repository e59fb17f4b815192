"""Recurrent cells against Linen's, against the worked numbers of the notes, and as one long pass cut in windows."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import quick
from w2v_jax.nn.arrays import shapes as shapes_of
from w2v_jax.nn.recurrent import CELLS, Cell, cell_arrays, input_product, run_cell, trace_cell, zero_state
from w2v_jax.types import Params

STEPS, BATCH, INPUTS, HIDDEN = 5, 3, 5, 4
# Order of our gate columns as Linen's names of them: (input kernel, recurrent kernel).
LINEN = {
    "lstm": [("ii", "hi"), ("if", "hf"), ("ig", "hg"), ("io", "ho")],
    "gru": [("ir", "hr"), ("iz", "hz"), ("in", "hn")],
    "rnn": [("i", "h")],
}


def params_of(cell: Cell, inputs: int, seed: int = 0) -> Params:
    """Random parameters, biases included."""
    shapes = shapes_of(cell_arrays(cell, inputs, HIDDEN, 1.0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.6, s.shape), jnp.float32), shapes)


def data(inputs: int, seed: int = 1) -> tuple[jax.Array, jax.Array]:
    """(inputs [T, B, I], weights of every output [T, B, H])."""
    rng = np.random.default_rng(seed)
    draw = [rng.normal(size=(STEPS, BATCH, size)).astype(np.float32) for size in (inputs, HIDDEN)]
    return jnp.asarray(draw[0]), jnp.asarray(draw[1])


def linen_cell(name: str) -> nn.RNNCellBase:
    return {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell, "rnn": nn.SimpleCell}[name](HIDDEN)


def to_linen(name: str, params: Params) -> dict[str, Any]:
    """Our parameters in Linen's layout. Its LSTM and RNN have one bias a gate, on the recurrent side for the LSTM."""
    gates = LINEN[name]
    parts = {k: jnp.split(params[k], len(gates), axis=-1) for k in ("W", "U", "b")}
    out: dict[str, Any] = {}
    for n, (given, recurrent) in enumerate(gates):
        out[given] = {"kernel": parts["W"][n]}
        out[recurrent] = {"kernel": parts["U"][n]}
        out[recurrent if name == "lstm" else given]["bias"] = parts["b"][n]
    if name == "gru":
        out["hn"]["bias"] = params["c"]
    return {"params": {"cell": out}}


@pytest.mark.parametrize("name", list(LINEN))
def test_cells_agree_with_linen_in_values_and_gradients(name: str) -> None:
    cell, params = CELLS[name], params_of(CELLS[name], INPUTS)
    x, weights = data(INPUTS)
    rnn = nn.RNN(linen_cell(name), time_major=True)

    def ours(params: Params, x: jax.Array) -> jax.Array:
        return jnp.sum(weights * jnp.square(run_cell(cell, params, x, zero_state(cell, BATCH, HIDDEN))[0]))

    def theirs(params: Params, x: jax.Array) -> jax.Array:
        return jnp.sum(weights * jnp.square(rnn.apply(to_linen(name, params), x)))  # type: ignore[arg-type]

    mine, other = (jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(params, x) for f in (ours, theirs))
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", list(CELLS))
def test_gradients_of_the_loop_are_those_of_automatic_differentiation(name: str) -> None:
    cell = CELLS[name]
    inputs = HIDDEN if cell.elementwise else INPUTS
    params, (x, weights) = params_of(cell, inputs), data(inputs)
    lengths = jnp.array([5, 3, 1])
    start = jax.tree.map(lambda z: z + 0.3, zero_state(cell, BATCH, HIDDEN))

    def loss(run: Any, params: Params, x: jax.Array, state: Any) -> jax.Array:
        h, after = run(params, x, state)
        return jnp.sum(weights * jnp.square(h)) + sum(jnp.sum(jnp.sin(v)) for v in after.values())

    def fast(params: Params, x: jax.Array, state: Any) -> Any:
        return run_cell(cell, params, x, state, lengths)

    def plain(params: Params, x: jax.Array, state: Any) -> Any:
        xz = input_product(cell, params, x)
        out = []
        for t in range(STEPS):
            h = state["h"]
            u = params["U"]
            u = u + jax.lax.stop_gradient(jnp.clip(u, -1, 1) - u) if cell.bounded else u
            hz = (h[:, None] * u[None]).reshape(BATCH, -1) if cell.elementwise else h @ u
            hz = hz.at[:, -HIDDEN:].add(params["c"][None]) if "c" in params else hz
            new = cell.gate(xz[t], hz, state)
            state = {k: jnp.where((t < lengths)[:, None], new[k], state[k]) for k in state}
            out.append(state["h"])
        return jnp.stack(out), state

    found, wanted = (
        jax.jit(jax.value_and_grad(lambda *a, f=f: loss(f, *a), argnums=(0, 1, 2)))(params, x, start)
        for f in (fast, plain)
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", list(CELLS))
def test_windows_continue_where_the_last_one_ended(name: str) -> None:
    cell = CELLS[name]
    inputs = HIDDEN if cell.elementwise else INPUTS
    start = zero_state(cell, BATCH, HIDDEN)

    def run(params: Params, x: jax.Array) -> Any:
        first, state = run_cell(cell, params, x[:3], start)
        return (
            run_cell(cell, params, x, start),
            first,
            run_cell(cell, params, x[3:], state),
            trace_cell(cell, params, x, start),
        )

    (whole, last), first, (second, state), (parts, traced) = quick(run, params_of(cell, inputs), data(inputs)[0])
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(parts["h"], whole, rtol=1e-6, atol=1e-6)
    for key, value in last.items():
        np.testing.assert_allclose(state[key], value, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(traced[key], value, rtol=1e-6, atol=1e-6)


def test_a_loop_that_ends_early_leaves_the_same_state() -> None:
    cell, lengths = CELLS["lstm"], jnp.array([4, 2, 3])
    params, (x, _) = params_of(cell, INPUTS), data(INPUTS)

    def last(params: Params, count: jax.Array | None) -> jax.Array:
        return run_cell(cell, params, x, zero_state(cell, BATCH, HIDDEN), lengths, count)[1]["h"].sum()

    full = quick(jax.value_and_grad(last), params, None)
    early = quick(jax.value_and_grad(last), params, jnp.int32(4))
    for a, b in zip(jax.tree.leaves(early), jax.tree.leaves(full), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_elementwise_recurrence_of_the_notes() -> None:
    words = jnp.array([[0.1, 0.5, 0.2], [0.3, 0.7, 0.1], [0.4, 0.2, 0.8], [0.6, 0.9, 0.3]])[:, None]
    cell, params = CELLS["elementwise"], {"U": jnp.array([[0.8, 0.8, 0.7]])}

    def last(words: jax.Array) -> jax.Array:
        return run_cell(cell, params, words, zero_state(cell, 1, 3))[1]["h"][0]

    memory, slope = quick(lambda x: (last(x), jax.jacobian(last)(x)), words)
    np.testing.assert_allclose(memory, [1.1632, 1.764, 0.9776], rtol=1e-5)
    np.testing.assert_allclose(slope[:, 0, 0], np.diag([0.512, 0.512, 0.343]), rtol=1e-5, atol=1e-7)


def test_bounded_states_stay_small_where_others_grow_and_large_weights_come_back() -> None:
    """With a weight of 2 the state after T ones is 2^T - 1; bounded it is T, and a lower T has a lower weight."""
    ones, weights = jnp.ones((100, 1, 1)), {"U": jnp.full((1, 1), 2.0)}

    def last(name: str, params: Params) -> jax.Array:
        return run_cell(CELLS[name], params, ones, zero_state(CELLS[name], 1, 1))[1]["h"].sum()

    assert last("elementwise", weights) == pytest.approx(2.0**100, rel=1e-5)
    assert last("elementwise_bounded", weights) == 100.0
    slope = jax.grad(lambda u: last("elementwise_bounded", {"U": u}))(weights["U"])
    assert slope.item() == pytest.approx(sum(k for k in range(100)), rel=1e-5)  # of the sum of w^k at w = 1


def test_elementwise_lstm_of_the_notes() -> None:
    """Candidates of *the* and *dog*, the memory after *dog* with forget gate 0.8, and after one more step with 0.85."""
    cell = CELLS["lstm_elementwise"]
    weights = jnp.zeros((4, 3)).at[2].set(jnp.array([0.92, 0.92, 0.82]))
    words = jnp.array([[0.1, 0.5, 0.2], [0.3, 0.7, 0.1]])[:, None]
    large = 40.0  # a closed sigmoid: the notes add the whole candidate

    @jax.jit
    def memory(words: jax.Array, forget: jax.Array, state: Any) -> tuple[Any, Any]:
        bias = jnp.concatenate([jnp.full(3, large), jnp.full(3, jnp.log(forget / (1 - forget))), jnp.zeros(6)])
        return trace_cell(cell, {"W": weights, "U": jnp.zeros((4, 3)), "b": bias}, words, state)

    parts, state = memory(words, 0.8, zero_state(cell, 1, 3))
    np.testing.assert_allclose(parts["candidate"][:, 0], [[0.092, 0.46, 0.164], [0.276, 0.644, 0.082]], rtol=1e-5)
    np.testing.assert_allclose(state["c"][0], [0.3496, 1.012, 0.2132], rtol=1e-5)
    _, state = memory(jnp.zeros((1, 1, 3)), 0.85, state)
    np.testing.assert_allclose(state["c"][0], [0.29716, 0.8602, 0.18122], rtol=1e-5)


def test_how_fast_a_gate_forgets() -> None:
    """A constant forget gate f keeps f^k after k steps: the notes' 0.8 and 0.85 keep little over 13, 0.948 half."""
    cell = CELLS["lstm_elementwise"]

    @jax.jit
    def kept(gate: jax.Array) -> jax.Array:
        bias = jnp.concatenate([jnp.full(3, -40.0), jnp.full(3, jnp.log(gate / (1 - gate))), jnp.zeros(6)])
        params = {"W": jnp.zeros((4, 3)), "U": jnp.zeros((4, 3)), "b": bias}
        state = {"h": jnp.zeros((1, 3)), "c": jnp.ones((1, 3))}
        return run_cell(cell, params, jnp.zeros((13, 1, 3)), state)[1]["c"]

    for gate, left in ((0.8, 0.055), (0.85, 0.121), (0.948, 0.5), (0.992, 0.9)):
        np.testing.assert_allclose(kept(gate), np.full((1, 3), left), atol=1e-3)
