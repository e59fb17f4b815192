"""Recurrent cells behind one interface, and their common loop over time.

A cell gets its input x_t and its last output h_{t-1} through two products:

    xz_t = W x_t + b      for all t at once, before the loop
    hz_t = U h_{t-1} + c  inside the loop (c for cells that multiply hz by a gate)

W and U are matrices, or one weight per dimension for the elementwise cells of the notes. The rest is elementwise:
`gate(xz, hz, state) -> state`. The backward pass of the loop is written by hand, so that the gradient of U is one large
product after the loop instead of a sum inside it, and so that the number of steps may be known only at run time.

Arrays are float32 and time comes first: x [T, B, I], h [T, B, H]. G is the number of gates of a cell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.nn.arrays import constant, uniform
from w2v_jax.nn.transfer import STANDARD, Scale
from w2v_jax.types import Array, Leaf, Params

State = dict[str, Array]  # 'h', the output, and the rest of a cell's memory, [B, H] each


class Cell(NamedTuple):
    """One kind of recurrence."""

    gates: int
    """G: xz and hz are [B, G * H]."""
    memory: tuple[str, ...]
    """Names of the state's entries, 'h' first."""
    gate: Callable[[Array, Array, State], State]
    """(xz, hz, state) -> state."""
    parts: Callable[[Array, Array, State], dict[str, Array]]
    """The inner values of the same step by name, [B, H] each, for inspection."""
    elementwise: bool = False
    """U, and W if `weighs_input`, hold one weight per dimension and gate, [G, H]; the input size is then H."""
    weighs_input: bool = True
    """False: xz = x, without W and b."""
    recurrent_bias: bool = False
    """Whether the last gate has a bias c [H] inside hz, as hz is not simply added to xz."""
    bounded: bool = False
    """The weight per dimension is U cut to [-1, 1]; its gradient is that by U without the cut."""


# ---- the cells ----


def _leak(xz: Array, hz: Array, state: State) -> State:
    return {"h": xz + hz}


def _tanh(xz: Array, hz: Array, state: State) -> State:
    return {"h": jnp.tanh(xz + hz)}


def _lstm_parts(xz: Array, hz: Array, state: State, linear: bool = False) -> dict[str, Array]:
    i, f, g, o = jnp.split(xz + hz, 4, axis=-1)
    candidate = g if linear else jnp.tanh(g)
    parts = {"input": jax.nn.sigmoid(i), "forget": jax.nn.sigmoid(f), "candidate": candidate}
    memory = parts["forget"] * state["c"] + parts["input"] * candidate
    output = jax.nn.sigmoid(o)
    return parts | {"output": output, "memory": memory, "h": output * jnp.tanh(memory)}


def _lstm(xz: Array, hz: Array, state: State, linear: bool = False) -> State:
    parts = _lstm_parts(xz, hz, state, linear)
    return {"h": parts["h"], "c": parts["memory"]}


def _gru_parts(xz: Array, hz: Array, state: State) -> dict[str, Array]:
    xr, xu, xn = jnp.split(xz, 3, axis=-1)
    hr, hu, hn = jnp.split(hz, 3, axis=-1)
    reset, update = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xu + hu)
    candidate = jnp.tanh(xn + reset * hn)
    h = (1.0 - update) * candidate + update * state["h"]
    return {"reset": reset, "update": update, "candidate": candidate, "h": h}


def _gru(xz: Array, hz: Array, state: State) -> State:
    return {"h": _gru_parts(xz, hz, state)["h"]}


CELLS: dict[str, Cell] = {
    # c <- w * c + x, one weight per dimension, shared by all words: the recurrence of the notes.
    "elementwise": Cell(1, ("h",), _leak, _leak, elementwise=True, weighs_input=False),
    # The same with w between -1 and 1: beyond, a state grows without limit, and with many units some state does.
    "elementwise_bounded": Cell(1, ("h",), _leak, _leak, elementwise=True, weighs_input=False, bounded=True),
    # h <- tanh(W x + U h + b) (Elman 1990).
    "rnn": Cell(1, ("h",), _tanh, _tanh),
    # The notes' LSTM: every gate has one weight per dimension for x and h; the candidate is w * x + u * h + b.
    "lstm_elementwise": Cell(
        4, ("h", "c"), partial(_lstm, linear=True), partial(_lstm_parts, linear=True), elementwise=True
    ),
    # c <- f * c + i * tanh(g), h <- o * tanh(c) (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).
    "lstm": Cell(4, ("h", "c"), _lstm, _lstm_parts),
    # h <- (1 - u) * n + u * h, n = tanh(W x + r * (U h + c) + b) (Cho et al. 2014, arXiv 1406.1078).
    "gru": Cell(3, ("h",), _gru, _gru_parts, recurrent_bias=True),
}


def cell_arrays(
    cell: Cell, inputs: int, hidden: int, scale: float, forget_bias: float = 0.0, rule: Scale = STANDARD
) -> dict[str, Any]:
    """The arrays of one layer: 'U' and, if the cell has them, 'W', 'b' [G * H] and 'c' [H].

    U is [H, G * H] and W [I, G * H], uniform on [-scale, scale) over the square root of the width by the scale `rule`,
    or both [G, H], uniform on [-scale, scale), for elementwise cells. Biases are 0, `forget_bias` for the forget gate.
    The weight of `elementwise` starts in [0.5, 1): it is a rate of forgetting, and around 0 no word but the last would
    reach the loss.
    """
    columns = cell.gates * hidden

    def weight(size: int, start: Any) -> Leaf:
        if cell.elementwise:
            return Leaf((cell.gates, hidden), (None, "embed"), start)
        return Leaf((size, columns), ("embed", "mlp"), start, size, 1.0, rate=rule.rate)

    def bias(key: Any, shape: tuple[int, ...]) -> Array:
        zero = jnp.zeros(shape, jnp.float32)
        return zero.at[hidden : 2 * hidden].set(forget_bias) if "c" in cell.memory else zero

    if not cell.weighs_input:
        return {"U": weight(hidden, uniform(0.5, 1.0))}
    edge = scale if cell.elementwise else scale / rule.shrink
    start = uniform(-edge, edge)
    arrays: dict[str, Any] = {"U": weight(hidden, start), "W": weight(inputs, start)}
    arrays["b"] = Leaf((columns,), (None if cell.elementwise else "mlp",), bias)
    return arrays | ({"c": Leaf((hidden,), ("mlp",), constant(0.0))} if cell.recurrent_bias else {})


def cell_keys(rng: Array) -> dict[str, Array]:
    """Random keys for the drawn arrays of `cell_arrays`."""
    return dict(zip(("U", "W"), jax.random.split(rng), strict=True))


def zero_state(cell: Cell, batch: int, hidden: int) -> State:
    """The state before the first step."""
    return {name: jnp.zeros((batch, hidden), jnp.float32) for name in cell.memory}


def recurrent_weight(cell: Cell, params: Params) -> Array:
    """What multiplies h: U, or U cut to [-1, 1] for a bounded cell. A weight that left it can come back."""
    u = params["U"]
    return u + jax.lax.stop_gradient(jnp.clip(u, -1.0, 1.0) - u) if cell.bounded else u


def input_product(cell: Cell, params: Params, x: Array) -> Array:
    """xz of all steps: [T, B, I] -> [T, B, G * H]."""
    if not cell.weighs_input:
        return x
    if cell.elementwise:
        wide = x[..., None, :] * params["W"].reshape((1,) * (x.ndim - 1) + params["W"].shape)
        return wide.reshape(*x.shape[:-1], -1) + params["b"].reshape((1,) * (x.ndim - 1) + (-1,))
    flat = x.reshape(-1, x.shape[-1]) @ params["W"] + params["b"][None]
    return flat.reshape(*x.shape[:-1], -1)


def _product(cell: Cell, u: Array, c: Array | None, h: Array) -> Array:
    """hz: [B, H] -> [B, G * H]."""
    hz = (h[:, None] * u[None]).reshape(h.shape[0], -1) if cell.elementwise else h @ u
    return hz if c is None else hz.at[:, -h.shape[1] :].add(c[None])


def _product_transposed(cell: Cell, back: Array, g: Array) -> Array:
    """Gradient of hz by h, [B, G * H] -> [B, H]; `back` is U transposed, or U of an elementwise cell."""
    return jnp.sum(g.reshape(g.shape[0], *back.shape) * back[None], axis=1) if cell.elementwise else g @ back


# ---- the loop over time ----
#
# XLA's CPU back end fuses a dynamic slice into its readers, and does not vectorise a fusion that uses such a value more
# than once (jaxlib 0.10.2). So each step takes the slices for the next one and carries them as plain arrays.


def _at(tree: Any, t: Array) -> Any:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, t, keepdims=False), tree)


def _put(tree: Any, values: Any, t: Array) -> Any:
    return jax.tree.map(lambda a, v: jax.lax.dynamic_update_index_in_dim(a, v, t, 0), tree, values)


def _on(lengths: Array | None, t: Array) -> Array | None:
    """bool [B, 1], the rows that step t changes; None for all."""
    return None if lengths is None else (t < lengths)[:, None]


def _gate(cell: Cell, z: tuple[Array, ...], state: State) -> State:
    """z is (xz + hz,), or (xz, hz) for cells with a recurrent bias."""
    return cell.gate(z[0], z[1] if cell.recurrent_bias else jnp.zeros_like(z[0]), state)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recur(
    cell: Cell, u: Array, c: Array | None, xz: Array, state: State, lengths: Array | None, count: Array | None
) -> tuple[Array, State]:
    return _forward(cell, u, c, xz, state, lengths, count)[0]


def _forward(
    cell: Cell, u: Array, c: Array | None, xz: Array, state: State, lengths: Array | None, count: Array | None
) -> tuple[tuple[Array, State], Any]:
    """Keeps the z of each step, in place of xz where xz is not needed again, and the state before it."""
    steps = jnp.int32(xz.shape[0]) if count is None else count
    kept = (xz, jnp.zeros_like(xz)) if cell.recurrent_bias else (xz,)
    before = {k: jnp.zeros((xz.shape[0] + 1, *v.shape), v.dtype) for k, v in state.items()}

    def body(t: Array, held: Any) -> Any:
        state, (x, on), kept, before = held
        before = _put(before, state, t)
        hz = _product(cell, u, c, state["h"])
        z = (x, hz) if cell.recurrent_bias else (x + hz,)
        new = _gate(cell, z, state)
        if on is not None:
            new = {k: jnp.where(on, new[k], state[k]) for k in state}
        kept = (*kept[:-1], _put(kept[-1], z[-1], t))
        return new, (_at(kept[0], t + 1), _on(lengths, t + 1)), kept, before

    first = (xz[0], _on(lengths, jnp.int32(0)))
    state, _, kept, before = jax.lax.fori_loop(0, steps, body, (state, first, kept, before))
    before = _put(before, state, steps)
    return (before["h"][1:], state), (u, c, kept, before, lengths, count)


def _backward(cell: Cell, saved: Any, grads: tuple[Array, State]) -> Any:
    u, c, kept, before, lengths, count = saved
    grad_h, grad_state = grads
    size = grad_h.shape[0]
    steps = jnp.int32(size) if count is None else count
    back = u if cell.elementwise else u.T
    if count is not None:  # steps beyond `count` have gradient 0
        kept = tuple(jnp.where((jnp.arange(size) < count)[:, None, None], a, 0.0) for a in kept)

    def read(kept: tuple[Array, ...], t: Array) -> Any:
        return (*_at((kept, before, grad_h), t), _on(lengths, t))

    def body(i: Array, held: Any) -> Any:
        grad_state, (z, state, grad_out, on), kept = held
        t = steps - 1 - i
        total = grad_state | {"h": grad_state["h"] + grad_out}
        _, pull = jax.vjp(partial(_gate, cell), z, state)
        if on is None:
            gz, through = pull(total)
        else:
            gz, through = pull({k: jnp.where(on, v, 0.0) for k, v in total.items()})
            through = {k: jnp.where(on, through[k], total[k]) for k in total}
        through["h"] = through["h"] + _product_transposed(cell, back, gz[-1])
        kept = _put(kept, gz, t)  # in place of the value, which is not read again
        return through, read(kept, t - 1), kept

    grad_state, _, found = jax.lax.fori_loop(0, steps, body, (grad_state, read(kept, steps - 1), kept))
    grad_xz, grad_hz, last = found[0], found[-1], before["h"][:-1]
    if cell.elementwise:
        grad_u = jnp.einsum("tbh,tbgh->gh", last, grad_hz.reshape(*last.shape[:2], *u.shape))
    else:
        grad_u = last.reshape(-1, last.shape[-1]).T @ grad_hz.reshape(-1, grad_hz.shape[-1])
    grad_c = None if c is None else grad_hz[..., -last.shape[-1] :].sum((0, 1))
    return grad_u, grad_c, grad_xz, grad_state, None, None


_recur.defvjp(_forward, _backward)


def run_cell(
    cell: Cell, params: Params, x: Array, state: State, lengths: Array | None = None, count: Array | None = None
) -> tuple[Array, State]:
    """(h [T, B, H], last state) of one layer over x [T, B, I] from `state`; `params` are those of `cell_arrays`.

    From step `lengths[b]` (int32 [B]) the state of row b stays as it is; None for all T steps. `count` (int32 scalar)
    is the number of steps made, at least the largest length; later outputs are 0.
    """
    u, xz = recurrent_weight(cell, params), input_product(cell, params, x)
    return _recur(cell, u, params.get("c"), xz, state, lengths, count)


def trace_cell(cell: Cell, params: Params, x: Array, state: State) -> tuple[dict[str, Array], State]:
    """`run_cell` with all inner values of every step, {name: [T, B, H]}, instead of h; slower."""

    u = recurrent_weight(cell, params)

    def one(state: State, xz: Array) -> tuple[State, dict[str, Array]]:
        hz = _product(cell, u, params.get("c"), state["h"])
        return cell.gate(xz, hz, state), cell.parts(xz, hz, state)

    state, parts = jax.lax.scan(one, state, input_product(cell, params, x))
    return parts, state
