"""Random bits by counter, in one elementwise program.

`jax.random` splits a key for every row and on CPUs runs each hash as a separate loop, a good part of a CBOW step. Here
row and place are the counter of one unrolled hash.
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

    All are uint32: the key [2], the two words of the counters, of any shape, and the two words returned for each.
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
    """Two independent uint32 [R, count] from a random key. Those of a row depend only on the key and its number in
    `row`, int32 [R]; -1 is one more row."""
    key = jax.random.key_data(rng).ravel()[-2:]  # the whole key, except for generators with wider keys
    place = jnp.arange(count, dtype=jnp.uint32)[None]
    return threefry(key, *jnp.broadcast_arrays(row.astype(jnp.uint32)[:, None], place))


def alias_words(accept: Array, alias: Array, rng: Array, row: Array, count: int) -> Array:
    """`count` words per row from the alias table of `w2v_jax.models.frequencies.alias_table`, int32 [R, count],
    determined by `rng` and the row's number."""
    pick, coin = row_bits(rng, row, count)
    # The remainder favours some words by at most V / 2^32 of their probability.
    word = (pick % np.uint32(alias.shape[0])).astype(jnp.int32)
    keep = (coin >> 8).astype(jnp.float32) * 2.0**-24 < accept[word]
    return jnp.where(keep, word, alias[word])
