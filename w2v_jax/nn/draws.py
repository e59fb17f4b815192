"""Random bits by counter, in one elementwise program.

`jax.random` splits a key for every row, and on CPUs runs each hash as a loop of its own, which takes a good part of a
CBOW step. Here row and place are the counter of one hash, unrolled.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.types import Array

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def threefry(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Threefry-2x32 of 20 rounds (Salmon et al. 2011, doi 10.1145/2063384.2063405), the hash of `jax.random`.

    Args:
      key: uint32 [2].
      high: uint32 of any shape, the counter's first word.
      low: uint32, its second.

    Returns:
      Two words for every counter, uint32.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = high + keys[0], low + keys[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(turn)) | (y >> np.uint32(32 - turn))) ^ x
        x, y = x + keys[(group + 1) % 3], y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def row_bits(rng: Array, row: Array, count: int) -> tuple[Array, Array]:
    """Two independent uint32 [R, count]; a row's depend on `rng` and its number alone, not on the rows beside it.

    Args:
      rng: random key.
      row: int32 [R], from 0; -1 is one more row.
      count: places a row.
    """
    key = jax.random.key_data(rng).ravel()[-2:]  # all there is, but for generators with wider keys
    place = jnp.arange(count, dtype=jnp.uint32)[None]
    return threefry(key, *jnp.broadcast_arrays(row.astype(jnp.uint32)[:, None], place))
