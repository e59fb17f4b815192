"""Attention block by block on TPUs, by JAX's Pallas kernel "splash attention"; no array of T x S is ever in HBM.

The kernel holds one block of queries beside one block of keys in the memory of the core, and keeps for every query the
largest product and the sum of exponentials so far (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022,
arXiv 2205.14135). Its backward pass computes the products again. Blocks that a causal mask hides are skipped.

The partitioner of XLA cannot split a kernel. So it runs inside a `shard_map` over the mesh in context: rows of the
batch are split over `data`, heads over `model`, and nothing is sent.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from w2v_jax.nn.layers import pad_to
from w2v_jax.types import Array

LANES = 128  # sequences are padded to a multiple of this
BLOCKS = (512, 256, 128)  # lengths of a block, the largest that divides the padded sequence is taken


def _kernel(heads: int, queries: int, keys: int, causal: bool, interpret: bool) -> Any:
    """The library's kernel for q [N, T, H], k and v [N, S, H] of one text."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as library
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    mask = (masks.CausalMask if causal else masks.FullMask)((queries, keys))
    q, k = (next(b for b in BLOCKS if size % b == 0) for size in (queries, keys))
    sizes = library.BlockSizes(block_q=q, block_kv=k, block_q_dkv=q, block_kv_dkv=k, block_q_dq=q, block_kv_dq=k)
    return library.make_splash_mha_single_device(
        mask=masks.MultiHeadMask([mask] * heads), block_sizes=sizes, interpret=interpret
    )


def _mix(query: Array, key: Array, value: Array, lengths: Array | None, causal: bool, interpret: bool) -> Array:
    """One device's part: [B, T, N, H] and [B, S, N, H] -> [B, T, N, H]."""
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as library

    length, keys, width = query.shape[1], key.shape[1], query.shape[-1]
    query = (query.astype(jnp.float32) * width**-0.5).astype(query.dtype)  # the kernel does not scale

    def ready(x: Array) -> Array:
        x = jnp.swapaxes(x, 1, 2)
        return jnp.pad(x, ((0, 0), (0, 0), (0, pad_to(x.shape[2], LANES) - x.shape[2]), (0, 0)))

    query, key, value = ready(query), ready(key), ready(value)
    if lengths is None and not causal and keys < key.shape[2]:
        lengths = jnp.full(query.shape[0], keys, jnp.int32)  # hides the padding, which a causal mask does by itself
    kernel = _kernel(query.shape[1], query.shape[2], key.shape[2], causal, interpret)
    if lengths is None:
        mixed = jax.vmap(kernel)(query, key, value)
    else:
        # A query sees the keys of its own segment: all queries and the keys below a row's length are in segment 0.
        beyond = (jnp.arange(key.shape[2], dtype=jnp.int32)[None] >= lengths[:, None]).astype(jnp.int32)
        segments = library.SegmentIds(jnp.zeros((query.shape[0], query.shape[2]), jnp.int32), beyond)
        mixed = jax.vmap(lambda q, k, v, s: kernel(q, k, v, segment_ids=s))(query, key, value, segments)
    return jnp.swapaxes(mixed[:, :, :length], 1, 2)


def mix(
    query: Array,
    key: Array,
    value: Array,
    *,
    causal: bool,
    lengths: Array | None = None,
    interpret: bool = False,
) -> Array:
    """o of `w2v_jax.nn.attention`, [B, T, N, H], from q [B, T, N, H], k and v [B, S, N, H], float32 or bfloat16.

    `lengths` int32 [B], 1 or more: row b sees its first `lengths[b]` keys. `causal` needs S = T. `interpret` runs the
    kernel without a TPU, slowly, for tests.
    """

    def part(query: Array, key: Array, value: Array, *given: Array) -> Array:
        return _mix(query, key, value, given[0] if given else None, causal, interpret)

    inputs = (query, key, value) if lengths is None else (query, key, value, lengths)
    mesh = jax.sharding.get_abstract_mesh()
    if not any(kind == AxisType.Auto for kind in mesh.axis_types):  # one device, or already inside a shard_map
        return part(*inputs)
    rows = "data" if query.shape[0] % mesh.shape["data"] == 0 else None
    heads = "model" if query.shape[2] % mesh.shape["model"] == 0 else None
    spec = PartitionSpec(rows, None, heads, None)
    specs = (spec, spec, spec, PartitionSpec(rows))[: len(inputs)]
    # The kernel's outputs do not say over which axes they differ.
    return jax.shard_map(part, in_specs=specs, out_specs=spec, check_vma=False)(*inputs)
