"""A stack of pre-norm transformer blocks. Keys and values are computed in each layer or shared by all layers.

With x_0 the embeddings, n_* root-mean-square norms with a gain each, and Attn of `w2v_jax.nn.attention`:

    q = n_1(x) W_q                                 in every layer
    k = n_1(x) W_k      or    n_kv(x_0) W_k        in every layer, or once from the embeddings for all layers
    v = n_1(x) W_v      or    n_kv(x_0) W_v
    x <- x + Attn(q, k, v) W_o
    x <- x + gelu(n_2(x) W_up) W_down

`Stack.scale` multiplies q and what is added to x, see `w2v_jax.nn.transfer`; it is 1 by default.
No matrix has a bias. The norm is RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467), which trains like LayerNorm
without mean and bias. Parameters of all layers are stacked on a first axis, so that checkpoints fit both the loop over
layers and the unrolled layers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.nn.arrays import constant, normal
from w2v_jax.nn.attention import attend, attention_weights, rotate
from w2v_jax.nn.layers import dropout
from w2v_jax.nn.transfer import Scale, scaled
from w2v_jax.types import Array, Leaf, Params

EPS = 1e-6


class Stack(NamedTuple):
    """The fixed properties of a stack."""

    layers: int
    dim: int  # D
    heads: int  # N
    units: int  # F, of the feed-forward layer
    shared_keys: bool
    shared_values: bool
    causal: bool
    dropout: float = 0.0
    scan: bool = False
    remat: bool = False
    implementation: str = "auto"
    scale: Scale = Scale()


class Drop(NamedTuple):
    """Arguments of `w2v_jax.nn.layers.dropout`."""

    rng: Array | None
    row: Array | None


NO_DROP = Drop(None, None)


def rms_norm(x: Array, gain: Array) -> Array:
    """gain * x / sqrt(mean(x^2) + EPS) over the last axis, taken in float32; [..., D] and [D] -> [..., D]."""
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + EPS)
    return (wide * scale * gain.reshape((1,) * (x.ndim - 1) + (-1,))).astype(x.dtype)


@jax.custom_vjp
def project(x: Array, matrix: Array) -> Array:
    """x W in the dtype of x, [..., D] and float32 [D, F] -> [..., F]; the gradient of W is float32 again."""
    return x @ matrix.astype(x.dtype)


def _project_backward(given: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, matrix = given
    left, right = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
    # x^T grad, transposing the narrower factor: under JAX's own rule XLA writes grad^T, which costs CPUs more than the
    # product itself.
    if left.shape[1] <= right.shape[1]:
        by_matrix = jnp.matmul(left.T, right, preferred_element_type=jnp.float32)
    else:
        by_matrix = jnp.matmul(right.T, left, preferred_element_type=jnp.float32).T
    return grad @ matrix.astype(grad.dtype).T, by_matrix.astype(matrix.dtype)


project.defvjp(lambda x, matrix: (project(x, matrix), (x, matrix)), _project_backward)


DRAWN = ("query", "output", "up", "down", "keys", "values")  # in the order of their keys


def stack_arrays(stack: Stack, scale: float) -> dict[str, Any]:
    """{'layers': {name: [L, ...]}, 'keys' and 'values' [L, D, D] or [D, D], 'norm_shared' [D] where any is shared}.

    Matrices are normal with standard deviation `scale`. 'output' and 'down', which add to the sum of layers, start
    smaller by sqrt(2 L), so that the variance of the sum does not grow with L (GPT-2, Radford et al. 2019); L is that
    of the base where depth is scaled. Heads and feed-forward units are split over devices.
    """
    rule = stack.scale
    dim, units, smaller = stack.dim, stack.units, math.sqrt(2 * (rule.base_layers or stack.layers))

    def matrix(first: int, last: int, axes: tuple[str, str], over: float = 1.0) -> Leaf:
        return Leaf((first, last), axes, normal(scale, over * rule.shrink), first, 1.0, rate=rule.rate)

    def of_layers(leaf: Leaf, shared: bool = False) -> Leaf:
        """The arrays of all layers on a first axis, or the one array that they share."""
        return leaf if shared else replace(leaf, shape=(stack.layers, *leaf.shape), axes=("layers", *leaf.axes))

    square, gain = matrix(dim, dim, ("embed", "heads")), Leaf((dim,), ("embed",), constant(1.0))
    arrays: dict[str, Any] = {
        "keys": of_layers(square, stack.shared_keys),
        "values": of_layers(square, stack.shared_values),
        "layers": {
            "query": of_layers(square),
            "output": of_layers(matrix(dim, dim, ("heads", "embed"), smaller)),
            "up": of_layers(matrix(dim, units, ("embed", "mlp"))),
            "down": of_layers(matrix(units, dim, ("mlp", "embed"), smaller)),
            "norm_attention": of_layers(gain),
            "norm_wide": of_layers(gain),
        },
    }
    return arrays | ({"norm_shared": gain} if stack.shared_keys or stack.shared_values else {})


def stack_keys(rng: Array) -> dict[str, Any]:
    """Random keys for the drawn arrays of `stack_arrays`."""
    keys = dict(zip(DRAWN, jax.random.split(rng, len(DRAWN)), strict=True))
    return keys | {"layers": keys}


def by_heads(x: Array, heads: int) -> Array:
    """[B, T, D] -> [B, T, N, D / N]."""
    return x.reshape(*x.shape[:2], heads, -1)


def shared_keys_values(stack: Stack, params: Params, x: Array, offset: Array | int = 0) -> dict[str, Array]:
    """{'keys', 'values': [B, T, N, H]}, those of the two that are shared, from embeddings x [B, T, D] whose first
    position is `offset`."""
    if not (stack.shared_keys or stack.shared_values):
        return {}
    normed = rms_norm(x, params["norm_shared"])
    out = {}
    if stack.shared_keys:
        out["keys"] = rotate(by_heads(project(normed, params["keys"]), stack.heads), offset)
    if stack.shared_values:
        out["values"] = by_heads(project(normed, params["values"]), stack.heads)
    return out


def layer_parts(stack: Stack, params: Params) -> Params:
    """The parameters that differ between layers, each leaf [L, ...]."""
    own = {"keys": stack.shared_keys, "values": stack.shared_values}
    return params["layers"] | {name: params[name] for name, shared in own.items() if not shared}


def unstacked(stack: Stack, params: Params) -> list[Params]:
    """`layer_parts` layer by layer. It is a split because the gradient of a split is one concatenation, while that of L
    slices is a sum of L arrays, each zero but for one layer."""
    leaves, tree = jax.tree.flatten(layer_parts(stack, params))
    pieces = [jax.lax.split(p, [1] * stack.layers) for p in leaves]
    return [jax.tree.unflatten(tree, [p[i][0] for p in pieces]) for i in range(stack.layers)]


def queries_keys_values(
    stack: Stack, layer: Params, shared: dict[str, Array], x: Array, offset: Array | int = 0
) -> tuple[Array, Array, Array]:
    """Rotated q, rotated k and v of one layer (a slice of `layer_parts`), [B, T, N, H] each."""
    normed = rms_norm(x, layer["norm_attention"])

    def of(name: str) -> Array:
        return by_heads(project(normed, layer[name]), stack.heads)

    key = shared["keys"] if stack.shared_keys else rotate(of("keys"), offset)
    query = scaled(of("query"), stack.scale.query)
    return rotate(query, offset), key, shared["values"] if stack.shared_values else of("values")


def finish_layer(stack: Stack, layer: Params, x: Array, mixed: Array, drop: Drop, index: Array | int) -> Array:
    """x after adding the output `mixed` [B, T, N, H] of attention and the feed-forward layer, in layer `index`."""

    def dropped(y: Array, place: Array | int) -> Array:
        return y if drop.row is None else dropout(y, stack.dropout, drop.rng, drop.row, place, axis=0)

    branch = stack.scale.branch
    x = x + scaled(dropped(project(mixed.reshape(x.shape), layer["output"]), 1 + 2 * index), branch)
    unit = jax.nn.gelu(project(rms_norm(x, layer["norm_wide"]), layer["up"]))
    return x + scaled(dropped(project(unit, layer["down"]), 2 + 2 * index), branch)


def run_layers(
    stack: Stack,
    params: Params,
    x: Array,
    drop: Drop = NO_DROP,
    lengths: Array | None = None,
    mask: Array | None = None,
) -> Array:
    """Output of the stack [B, T, D] before the last norm, from embeddings x [B, T, D]. `lengths` and `mask` are those
    of `attend`.

    Dropout is on what each layer adds (places 1 to 2 L of `drop`).
    """
    shared = shared_keys_values(stack, params, x)

    def one(x: Array, layer: Params, shared: dict[str, Array], index: Array | int) -> Array:
        query, key, value = queries_keys_values(stack, layer, shared, x)
        mixed = attend(
            query,
            key,
            value,
            causal=stack.causal,
            mask=mask,
            lengths=lengths,
            implementation=stack.implementation,
        )
        return finish_layer(stack, layer, x, mixed, drop, index)

    step = jax.checkpoint(one) if stack.remat else one
    if stack.scan:

        def body(x: Array, part: tuple[Params, Array]) -> tuple[Array, None]:
            return step(x, part[0], shared, part[1]), None

        return jax.lax.scan(body, x, (layer_parts(stack, params), jnp.arange(stack.layers)))[0]
    for i, layer in enumerate(unstacked(stack, params)):
        x = step(x, layer, shared, i)
    return x


def trace_layers(
    stack: Stack, params: Params, x: Array, lengths: Array | None = None, mask: Array | None = None
) -> tuple[list[Array], list[Array]]:
    """(x after each layer [B, T, D], attention weights of each layer [B, N, T, T]), as `run_layers`."""
    shared, states, looks = shared_keys_values(stack, params, x), [], []
    seen: dict[str, Any] = {"causal": stack.causal, "mask": mask, "lengths": lengths}
    for i, layer in enumerate(unstacked(stack, params)):
        query, key, value = queries_keys_values(stack, layer, shared, x)
        mixed = attend(query, key, value, **seen, implementation=stack.implementation)
        x = finish_layer(stack, layer, x, mixed, NO_DROP, i)
        states.append(x)
        looks.append(attention_weights(query, key, **seen))
    return states, looks
