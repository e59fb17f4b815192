"""Attention, rotary positions and one block of the transformer, against plain numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import transformer_reference as reference
from tests.examples import quick
from tests.transformer_reference import close
from w2v_jax.nn.arrays import shapes as shapes_of
from w2v_jax.nn.attention import attend, attention_weights, masked_softmax, rotate
from w2v_jax.nn.blocks import Stack, run_layers, stack_arrays


def test_the_softmax_numbers_of_the_notes() -> None:
    similar = np.float32([[0.18, 0.78, 0.95, 0.35]] * 2)
    seen = np.array([[True] * 4, [True, True, True, False]])
    weights = np.asarray(quick(masked_softmax, similar, seen))
    assert np.round(weights, 4).tolist() == pytest.approx(
        np.array([[0.1621, 0.2955, 0.3502, 0.1922], [0.2007, 0.3657, 0.4335, 0.0]])
    )
    # The same through attention: one coordinate a key, the query undoing the division by sqrt(H).
    query, key = np.zeros((2, 1, 4, 1, 4), np.float32)
    key[0, :, 0, 0], query[..., 0] = similar[0], 2.0
    third = np.asarray(quick(partial(attention_weights, causal=True), query, key))[0, 0, 2]
    assert np.round(third, 4).tolist() == pytest.approx([0.2007, 0.3657, 0.4335, 0.0])


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_the_formula_in_numpy(causal: bool) -> None:
    rng = np.random.default_rng(0)
    query, key, value, slope = rng.normal(size=(4, 2, 5, 3, 4)).astype(np.float32)

    def total(w: reference.Weights) -> np.ndarray:
        by_head = [
            [
                reference.attention(reference.turn(q, 3), reference.turn(k, 3), v, causal)
                for q, k, v in zip(*x, strict=True)
            ]
            for x in zip(*(w[name].swapaxes(1, 2) for name in ("q", "k", "v")), strict=True)
        ]
        return np.stack([np.stack(h, axis=1) for h in by_head])

    def ours(w: dict[str, jax.Array]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """(what is differentiated, (the mixture, the weights))."""
        query, key = rotate(w["q"], 3), rotate(w["k"], 3)
        mixed = attend(query, key, w["v"], causal=causal)
        return jnp.sum(mixed * slope), (mixed, attention_weights(query, key, causal=causal))

    at = {"q": query, "k": key, "v": value}
    exact = {k: v.astype(np.float64) for k, v in at.items()}
    (_, (mixed, weights)), grads = quick(jax.value_and_grad(ours, has_aux=True), at)
    close(mixed, total(exact))
    close(grads, reference.slopes(lambda w: float((total(w) * slope).sum()), exact))
    close(np.einsum("bnts,bsnh->btnh", weights, value), mixed)


@pytest.mark.parametrize("causal", [True, False])
def test_a_block_is_the_formula_in_numpy(causal: bool) -> None:
    stack = Stack(1, dim=4, heads=2, units=8, shared_keys=False, shared_values=False, causal=causal)
    rng = np.random.default_rng(1)
    shapes = shapes_of(stack_arrays(stack, 0.1))
    params = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)
    x, slope = rng.normal(size=(2, 5, 4)).astype(np.float32)

    def plain(w: reference.Weights) -> np.ndarray:
        return reference.block(w["x"], w, stack.heads, causal)

    def total(params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        out = run_layers(stack, params, x[None])[0]
        return jnp.sum(out * slope), out

    (_, out), (grads, grad_x) = quick(jax.value_and_grad(total, argnums=(0, 1), has_aux=True), params, x)
    flat = {k: v[0].astype(np.float64) for k, v in (params["layers"] | params).items() if k != "layers"}
    flat["x"] = x.astype(np.float64)
    close(out, plain(flat))
    want = reference.slopes(lambda w: float((plain(w) * slope).sum()), flat)
    got = {k: v[0] for k, v in (grads["layers"] | grads).items() if k != "layers"} | {"x": grad_x}
    close({k: got[k] for k in want}, want)


@pytest.mark.parametrize("shared", [(), ("keys",), ("values",), ("keys", "values")], ids=str)
def test_shared_keys_and_values_are_those_of_the_embeddings(shared: tuple[str, ...]) -> None:
    stack = Stack(2, 4, 2, 8, shared_keys="keys" in shared, shared_values="values" in shared, causal=True)
    rng = np.random.default_rng(4)
    shapes = shapes_of(stack_arrays(stack, 0.1))
    params = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)
    first = rng.normal(size=(5, 4)).astype(np.float32)
    x = first.astype(np.float64)
    given = {name: reference.norm(x, params["norm_shared"]) for name in shared}
    for i in range(stack.layers):
        layer = {k: v[i] for k, v in params["layers"].items()}
        layer |= {k: params[k] if k in shared else params[k][i] for k in ("keys", "values")}
        x = reference.block(x, layer, stack.heads, True, given)
    close(quick(lambda p, x: run_layers(stack, p, x[None])[0], params, first), x)


def test_rotary_products_depend_on_the_distance_alone() -> None:
    rng = np.random.default_rng(2)
    query, key = rng.normal(size=(2, 1, 1, 2, 6)).astype(np.float32)

    def product(t: int, s: int) -> np.ndarray:
        return np.asarray(jnp.sum(rotate(query, t) * rotate(key, jnp.int32(s)), axis=-1))

    np.testing.assert_allclose(product(9, 4), product(105, 100), rtol=1e-4, atol=1e-4)
    assert not np.allclose(product(9, 4), product(9, 5), atol=1e-3)
    with pytest.raises(ValueError, match="odd"):
        rotate(jnp.zeros((1, 1, 1, 3)))


def test_documents_are_kept_apart_where_a_mask_says_so() -> None:
    query, key, value = np.random.default_rng(3).normal(size=(3, 1, 5, 2, 4)).astype(np.float32)
    segment = np.array([[0, 0, 1, 1, 1]])
    mask = (segment[:, :, None] == segment[:, None, :])[:, None]

    def run(query: jax.Array, key: jax.Array, value: jax.Array) -> Any:
        both = attend(query, key, value, causal=True, mask=mask)
        later = attend(query[:, 2:], key[:, 2:], value[:, 2:], causal=True)
        short = attend(query, key, value, causal=False, lengths=jnp.array([2]))
        return (both[:, 2:], short), (later, attend(query, key[:, :2], value[:, :2], causal=False))

    close(*quick(run, query, key, value))
