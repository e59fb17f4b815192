"""The output head of a language model: cross-entropy against a large vocabulary, a chunk of tokens at a time.

For hidden vectors h_m [H], a table W [V', H], a bias b and targets y_m the loss is

    sum_m  a_m (log sum_v exp(h_m . w_v + b_v)  -  (h_m . w_{y_m} + b_{y_m}))

The logits [M, V'] of all tokens are never in memory together. Under differentiation the gradients of a chunk follow
its logits at once, so that nothing is computed twice. With e_mv = exp(h_m . w_v + b_v - top_m) and
s_m = a_m / sum_v e_mv they are

    dh_m = s_m sum_v e_mv w_v - a_m w_{y_m}        dw_v = sum_m s_m e_mv h_m - sum_{m: y_m = v} a_m h_m

so both products use e as it is, and the targets are rows of the table instead of logits. Products take numbers of the
dtype of the hidden vectors and sum them in float32; everything else is float32.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.nn.layers import row_parts
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array

CHUNK = 512  # tokens scored at a time
HIDE = -1e30  # logit of a padding row


def _chunks(size: int, *arrays: Array) -> tuple[Array, ...]:
    """[M, ...] -> [M / size, size, ...], padded with zeros. Every chunk holds an equal share of each device's tokens:
    consecutive tokens would be on one device, and all others would compute them too."""
    parts = _parts(arrays[0].shape[0])

    def cut(a: Array) -> Array:
        apart = a.reshape(parts, -1, *a.shape[1:])
        padded = jnp.pad(apart, ((0, 0), (0, -apart.shape[1] % (size // parts)), *((0, 0),) * (a.ndim - 1)))
        return padded.reshape(parts, -1, size // parts, *a.shape[1:]).swapaxes(0, 1).reshape(-1, size, *a.shape[1:])

    return tuple(cut(a) for a in arrays)


def _joined(chunks: Array, count: int) -> Array:
    """The inverse of `_chunks`: [N, size, ...] -> [count, ...]."""
    parts, rest = _parts(count), chunks.shape[2:]
    apart = chunks.reshape(chunks.shape[0], parts, -1, *rest).swapaxes(0, 1).reshape(parts, -1, *rest)
    return apart[:, : count // parts].reshape(count, *rest)


def _parts(count: int) -> int:
    """The number of devices over which `count` tokens are split."""
    return row_parts() if count % row_parts() == 0 else 1


def _size(count: int, chunk: int) -> int:
    """Tokens per chunk, at most about `chunk`: chunks are equal, with the same number from every device."""
    parts = _parts(count)
    mine, most = count // parts, max(1, chunk // parts)
    return parts * -(-mine // -(-mine // most))


def _product(a: Array, b: Array, dtype: jnp.dtype) -> Array:
    return jnp.matmul(a.astype(dtype), b.astype(dtype), preferred_element_type=jnp.float32)


def _score(hidden: Array, table: Array, bias: Array, target: Array) -> tuple[Array, Array, Array, Array]:
    """(exp of shifted logits [C, V'], their sum [C], nats [C], whether the target scored highest [C])."""
    logits = _product(hidden, table.T, hidden.dtype) + bias[None]
    top = logits.max(-1)
    at_target = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
    raised = jnp.exp(logits - top[:, None])
    total = raised.sum(-1)
    return raised, total, jnp.log(total) + top - at_target, at_target >= top


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _summed(hidden: Array, table: Array, bias: Array, targets: Array, weights: Array, size: int) -> tuple[Array, ...]:
    low = table.astype(hidden.dtype)  # once, not per chunk

    def one(part: tuple[Array, ...]) -> tuple[Array, Array]:
        return _score(part[0], low, bias, part[1])[2:]

    nats, correct = jax.lax.map(one, _chunks(size, hidden, targets))
    count = hidden.shape[0]
    nats, correct = _joined(nats, count), _joined(correct, count)
    return jnp.sum(weights * nats), nats, correct


def _summed_forward(
    hidden: Array, table: Array, bias: Array, targets: Array, weights: Array, size: int
) -> tuple[tuple[Array, ...], Any]:
    dtype, low = hidden.dtype, table.astype(hidden.dtype)

    def one(held: tuple[Array, Array], part: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        hidden, target, weight = part
        raised, total, nats, correct = _score(hidden, low, bias, target)
        scale = weight / total
        # [H, V'] and not [V', H]: on CPUs this product is 1.5 times as fast as its transpose.
        grad_table = held[0] + _product((hidden * scale[:, None]).T, raised, dtype)
        grad_hidden = _product(raised, low, dtype) * scale[:, None]
        return (grad_table, held[1] + scale @ raised), (grad_hidden, nats, correct)

    start = (jnp.zeros_like(table.T), jnp.zeros_like(bias))
    (grad_table, grad_bias), (grad_hidden, nats, correct) = jax.lax.scan(
        one, start, _chunks(size, hidden, targets, weights)
    )
    count = hidden.shape[0]
    nats, correct = _joined(nats, count), _joined(correct, count)
    at_target, add_rows = jax.vjp(lambda table: take_rows(table, targets), table)
    grads = (
        (_joined(grad_hidden, count) - weights[:, None] * at_target).astype(dtype),
        grad_table.T - add_rows(weights[:, None] * hidden)[0],
        grad_bias.at[targets].add(-weights),
    )
    return (jnp.sum(weights * nats), nats, correct), grads


def _summed_backward(size: int, grads: tuple[Array, ...], cotangents: tuple[Array, ...]) -> tuple[Any, ...]:
    # Only the sum is differentiated; the values per token are for inspection.
    hidden, table, bias = (cotangents[0].astype(g.dtype) * g for g in grads)
    return hidden, table, bias, None, None


_summed.defvjp(_summed_forward, _summed_backward)


def cross_entropy(
    hidden: Array, table: Array, bias: Array, targets: Array, weights: Array, vocab_size: int, chunk: int = CHUNK
) -> tuple[Array, Array, Array]:
    """Weighted sum of next-token losses, and the loss of each token.

    Args:
      hidden: [M, H], row after row, float32 or bfloat16; the table and everything returned are float32.
      table: [V', H], V' >= vocab_size; padding rows are ignored.
      bias: [V'].
      targets: int32 [M]; below 0 where nothing is predicted.
      weights: [M], a_m above; 0 is used where nothing is predicted. Not differentiated.
      vocab_size: V.
      chunk: most tokens scored at a time, over all devices.

    Returns:
      (the sum; nats [M], 0 where nothing is predicted; bool [M], whether the target had the highest logit). Gradients
      flow through the sum only.
    """
    there, size = targets >= 0, _size(hidden.shape[0], chunk)
    bias = jnp.where(jnp.arange(table.shape[0]) < vocab_size, bias, HIDE)
    known = jax.lax.stop_gradient(jnp.where(there, weights, 0.0).astype(jnp.float32))
    total, nats, correct = _summed(hidden, table, bias, jnp.where(there, targets, 0), known, size)
    return total, jnp.where(there, nats, 0.0), correct & there


def next_token_logits(hidden: Array, table: Array, bias: Array, vocab_size: int) -> Array:
    """[..., H] -> [..., V], for a few positions."""
    return hidden @ table[:vocab_size].T + bias[:vocab_size].reshape((1,) * (hidden.ndim - 1) + (-1,))
