"""Counter-based draws in numpy: a 32-bit hash of (key, index), so that any draw needs no earlier one."""

from __future__ import annotations

import numpy as np


def _mix(x: int) -> int:
    """The 32-bit finaliser of MurmurHash3, a bijection."""
    x ^= x >> 16
    x = x * 0x85EBCA6B & 0xFFFFFFFF
    x ^= x >> 13
    x = x * 0xC2B2AE35 & 0xFFFFFFFF
    return x ^ x >> 16


def key_of(seed: int, epoch: int, purpose: int) -> tuple[int, int]:
    """Two 32-bit keys from (seed, epoch, purpose), all of them non-negative."""
    state = 0x9E3779B9
    for word in (seed & 0xFFFFFFFF, seed >> 32, epoch & 0xFFFFFFFF, epoch >> 32, purpose):
        state = _mix(state ^ word) + 0x7F4A7C15 & 0xFFFFFFFF
    return _mix(state ^ 0x243F6A88), _mix(state ^ 0x85A308D3)


def uniform_hash(key: tuple[int, int], start: int | np.ndarray, stop: int = 0) -> np.ndarray:
    """uint32 uniform on 0..2**32-1 for the indices start..stop-1, or for each of a non-negative int64 array."""
    index = start if isinstance(start, np.ndarray) else np.arange(start, stop)
    low = index.astype(np.uint32)
    if index.max(initial=0) >= 1 << 32:  # the upper half is hashed in; few files have any
        pages = index >> 32
        low += np.array([_mix(p) for p in range(int(pages.max()) + 1)], np.uint32)[pages]  # 0 for page 0
    return _hash(key, low)


def _hash(key: tuple[int, int], x: np.ndarray) -> np.ndarray:
    """MurmurHash3's finaliser with one key before and one in the middle; overwrites and returns `x` (uint32)."""
    shifted = np.empty_like(x)
    x += np.uint32(key[0])
    x ^= np.right_shift(x, np.uint32(16), out=shifted)
    x *= np.uint32(0x85EBCA6B)
    x ^= np.uint32(key[1])
    x ^= np.right_shift(x, np.uint32(13), out=shifted)
    x *= np.uint32(0xC2B2AE35)
    x ^= np.right_shift(x, np.uint32(16), out=shifted)
    return x


def thresholds(keep: np.ndarray) -> np.ndarray:
    """uint32 [V] such that a uniform hash is <= threshold with probability `keep`, float64 [V], exact to 2**-32.

    A word with probability 0 is kept once in 2**32 draws, which does not matter here.
    """
    return np.clip(np.round(keep * 2.0**32) - 1, 0, 2.0**32 - 1).astype(np.uint32)
