"""The chunked output head against the plain formula."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.sharding import NamedSharding, PartitionSpec

from tests.examples import quick
from tests.transformer_reference import close
from w2v_jax.config import MeshConfig
from w2v_jax.nn.head import cross_entropy, next_token_logits
from w2v_jax.train.sharding import make_mesh

TOKENS, HIDDEN, VOCAB, PADDED = 13, 5, 11, 16


def inputs() -> tuple[np.ndarray, ...]:
    """(hidden, table, bias, targets, weights); padding rows of the table are large, so that they would be seen."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(PADDED, HIDDEN)).astype(np.float32)
    table[VOCAB:] = 10.0
    targets = rng.integers(0, VOCAB, TOKENS).astype(np.int32)
    targets[[2, 12]] = -1
    hidden = rng.normal(size=(TOKENS, HIDDEN)).astype(np.float32)
    bias = rng.normal(size=PADDED).astype(np.float32)
    return hidden, table, bias, targets, rng.random(TOKENS).astype(np.float32)


@pytest.mark.parametrize("chunk", [1, 4, 13, 100])
def test_values_and_gradients_are_those_of_the_formula(chunk: int) -> None:
    hidden, table, bias, targets, weights = inputs()

    def total(hidden: jax.Array, table: jax.Array, bias: jax.Array) -> jax.Array:
        return 2.0 * cross_entropy(hidden, table, bias, targets, jnp.asarray(weights), VOCAB, chunk)[0]

    value, grads = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))(*map(jnp.asarray, (hidden, table, bias)))
    logits = hidden.astype(np.float64) @ table[:VOCAB].T.astype(np.float64) + bias[:VOCAB]
    nats = -scipy.special.log_softmax(logits, axis=1)[np.arange(TOKENS), targets]
    there = targets >= 0
    np.testing.assert_allclose(value, 2 * np.sum((weights * nats)[there]), rtol=1e-5)
    slope = scipy.special.softmax(logits, axis=1)
    slope[np.arange(TOKENS), targets] -= 1
    slope *= 2 * (weights * there)[:, None]
    wanted_table = np.zeros((PADDED, HIDDEN))
    wanted_table[:VOCAB] = slope.T @ hidden
    np.testing.assert_allclose(grads[0], slope @ table[:VOCAB], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads[1], wanted_table, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads[2][:VOCAB], slope.sum(0), rtol=1e-4, atol=1e-5)
    assert not grads[2][VOCAB:].any()


def test_values_by_token_are_the_same_with_and_without_differentiation() -> None:
    hidden, table, bias, targets, weights = inputs()
    args = (jnp.asarray(hidden), jnp.asarray(table), jnp.asarray(bias), jnp.asarray(targets), jnp.asarray(weights))

    def total(*args: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        value, *rest = cross_entropy(*args, VOCAB, 4)
        return value, (rest[0], rest[1])

    (value, (nats, correct)), _ = quick(jax.value_and_grad(total, has_aux=True), *args)
    plain, logits = quick(lambda *args: (total(*args), next_token_logits(*args[:3], VOCAB)), *args)
    for a, b in zip((value, nats, correct), (plain[0], *plain[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert logits.shape == (TOKENS, VOCAB)
    there = targets >= 0
    np.testing.assert_array_equal(correct, (np.argmax(logits, -1) == targets) & there)
    np.testing.assert_allclose(
        nats, np.where(there, -scipy.special.log_softmax(logits, -1)[np.arange(TOKENS), targets], 0), 1e-5
    )


def test_the_logits_of_all_tokens_never_stand_in_memory() -> None:
    tokens, vocab, chunk = 4096, 4096, 256

    def total(hidden: jax.Array, table: jax.Array, targets: jax.Array) -> jax.Array:
        return cross_entropy(hidden, table, jnp.zeros(vocab), targets, jnp.ones(tokens), vocab, chunk)[0]

    shapes = [jax.ShapeDtypeStruct((n, 8), jnp.float32) for n in (tokens, vocab)]
    lowered = jax.jit(jax.grad(total, argnums=(0, 1))).lower(*shapes, jax.ShapeDtypeStruct((tokens,), jnp.int32))
    assert lowered.compile().memory_analysis().temp_size_in_bytes < tokens * vocab * 4 / 4


def test_in_bfloat16_only_products_are_rounded() -> None:
    hidden, table, bias, targets, weights = map(jnp.asarray, inputs())
    low = hidden.astype(jnp.bfloat16)

    def total(hidden: jax.Array, table: jax.Array) -> jax.Array:
        return cross_entropy(hidden, table, bias, targets, weights, VOCAB, 4)[0]

    value, grads = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(low, table)
    exact, wanted = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(low.astype(jnp.float32), table)
    assert value.dtype == grads[1].dtype == jnp.float32 and grads[0].dtype == jnp.bfloat16
    np.testing.assert_allclose(value, exact, rtol=5e-3)
    for got, want in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(got.astype(jnp.float32), want, atol=0.02 * float(jnp.abs(want).max()))


def test_devices_score_their_own_tokens_only() -> None:
    """The partitioner, left alone, has every device score all tokens; values stay those of one device."""
    mesh = make_mesh(MeshConfig(), jax.devices())
    rng = np.random.default_rng(3)
    hidden, table = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((64, 16), (128, 16)))
    targets = jnp.asarray(rng.integers(-1, 100, 64), jnp.int32)

    def loss(hidden: jax.Array, table: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        return cross_entropy(hidden, table, jnp.zeros(128), targets, jnp.ones(64), 100, 24)[:2]

    one = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)

    def split(*args: jax.Array) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return one(*args)

    rows, whole = (NamedSharding(mesh, PartitionSpec(name)) for name in ("data", None))
    apart = jax.jit(split, in_shardings=(rows, whole, rows)).lower(hidden, table, targets).compile()
    alone = jax.jit(one).lower(hidden, table, targets).compile()
    args = (jax.device_put(hidden, rows), jax.device_put(table, whole), jax.device_put(targets, rows))
    close(apart(*args), alone(hidden, table, targets), 1e-5)
    assert apart.cost_analysis()["flops"] < 0.3 * alone.cost_analysis()["flops"]
