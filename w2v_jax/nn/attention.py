"""Multi-head attention with rotary positions (Vaswani et al. 2017, arXiv 1706.03762; Su et al. 2021, arXiv 2104.09864).

For each head, with queries q_t, keys k_s and values v_s of width H:

    o_t = sum_s p_ts v_s,    p_t. = softmax_s((R_t q_t) . (R_s k_s) / sqrt(H))    over the s that t may see

R_t turns each pair of coordinates (i, i + H/2) by the angle t * 10000^(-2i/H), so that a product depends on t - s only.
The caller gives queries, keys and values, and may use the same keys and values in many layers.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.nn import splash
from w2v_jax.types import Array

BASE = 10_000.0  # the slowest pair turns once in 2 pi * BASE positions
IMPLEMENTATIONS = ("auto", "xla", "cudnn", "splash")
FUSED_FROM = 256  # tokens of a text from which a TPU gets the fused kernel; it pads shorter ones to 128


def rotate(x: Array, offset: Array | int = 0) -> Array:
    """R_t x_t for x [B, T, N, H] and t = offset, offset + 1, ...; angles are float32. ValueError: H is odd."""
    if x.shape[-1] % 2:
        raise ValueError(f"rotary positions turn pairs of coordinates; a head of {x.shape[-1]} is odd")
    half = x.shape[-1] // 2
    # numpy where positions are known: XLA would recompute the sines for every row, head and layer.
    lib: Any = np if isinstance(offset, int) else jnp
    place = offset + lib.arange(x.shape[1])
    speed = np.exp(np.arange(half) * (-math.log(BASE) / half))
    angle = (place[:, None] * speed[None].astype(np.float32))[None, :, None]
    cos, sin = lib.cos(angle).astype(np.float32), lib.sin(angle).astype(np.float32)
    a, b = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def kernel(platform: str, dtype: str, width: int, length: int) -> str:
    """The implementation for 'auto'. On GPUs it is cuDNN's fused kernel for bfloat16 heads of up to 128 in steps of 8.
    On TPUs it is the kernel of `w2v_jax.nn.splash` for texts of FUSED_FROM tokens or more. Otherwise it is XLA's."""
    if platform == "tpu":
        return "splash" if length >= FUSED_FROM else "xla"
    return "cudnn" if platform == "gpu" and dtype == "bfloat16" and width % 8 == 0 and width <= 128 else "xla"


def attend(
    query: Array,
    key: Array,
    value: Array,
    *,
    causal: bool,
    mask: Array | None = None,
    lengths: Array | None = None,
    implementation: str = "auto",
) -> Array:
    """o above, [B, T, N, H]; the softmax is in float32 under every implementation.

    Args:
      query: [B, T, N, H], after `rotate`.
      key, value: [B, S, N, H].
      causal: position t sees s <= t only; needs S = T.
      mask: bool with 4 axes that broadcast to [B, N, T, S]; True where t may see s.
      lengths: int32 [B]; row b sees its first `lengths[b]` keys. Unlike `mask` it needs no array of T x S.
      implementation: one of IMPLEMENTATIONS; here 'auto' is XLA's, see `kernel`. 'splash' takes no `mask`.
    """
    if implementation == "splash" and mask is None:
        return splash.mix(query, key, value, causal=causal, lengths=lengths)
    library: Literal["cudnn", "xla"] = "cudnn" if implementation == "cudnn" else "xla"
    return jax.nn.dot_product_attention(
        query, key, value, mask=mask, is_causal=causal, key_value_seq_lengths=lengths, implementation=library
    )


def attention_weights(
    query: Array, key: Array, *, causal: bool, mask: Array | None = None, lengths: Array | None = None
) -> Array:
    """p above, float32 [B, N, T, S], for inspection; arguments as for `attend`."""
    shape = (query.shape[1], key.shape[1])
    similar = jnp.einsum("btnh,bsnh->bnts", query, key, preferred_element_type=jnp.float32)
    similar = similar / math.sqrt(query.shape[-1])
    seen = (jnp.tril(jnp.ones(shape, bool)) if causal else jnp.ones(shape, bool))[None, None]
    if mask is not None:
        seen = seen & mask
    if lengths is not None:
        seen = seen & (jnp.arange(shape[1])[None, None, None] < lengths[:, None, None, None])
    return masked_softmax(similar, jnp.broadcast_to(seen, similar.shape))


def masked_softmax(similar: Array, seen: Array) -> Array:
    """softmax over the last axis of the numbers that are `seen` (bool of the same shape), 0 elsewhere."""
    return jax.nn.softmax(jnp.where(seen, similar, jnp.finfo(similar.dtype).min), axis=-1)
