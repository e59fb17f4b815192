"""Fingerprints: their formula under every layout, and what they notice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tests.train.states import Moments, mesh
from w2v_jax.train.fingerprint import fingerprint

pytestmark = pytest.mark.xdist_group("checkpoint")  # as test_checkpoint.py


def digest_by_hand(x: np.ndarray) -> int:
    """The sum of the definition in Python integers, for 4-byte elements."""
    total = 0
    for i, word in enumerate(np.ascontiguousarray(x).view(np.uint32).ravel().tolist()):
        w = ((i ^ i >> 16) * 0x7FEB352D) % 2**32
        w = ((w ^ w >> 15) * 0x846CA68B) % 2**32
        total += word * (w ^ w >> 16 | 1)
    return total % 2**32


def test_fingerprint_follows_its_formula_under_every_layout() -> None:
    x = np.random.default_rng(0).standard_normal((64, 48)).astype(np.float32)
    zero = fingerprint(np.zeros_like(x))[""]
    assert (fingerprint(x)[""] - zero) % 2**32 == digest_by_hand(x)
    eight = mesh(8, model=2)
    for spec in (P(), P("model"), P("data", "model"), P(None, ("data", "model"))):
        assert fingerprint(jax.device_put(x, NamedSharding(eight, spec))) == fingerprint(x)
    assert fingerprint(x.T) != fingerprint(x)
    assert fingerprint(x.view(np.int32)) != fingerprint(x)
    assert fingerprint(np.zeros((2, 3))) != fingerprint(np.zeros((3, 2)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32, jnp.uint8, jnp.bool_, jnp.complex64])
def test_fingerprint_notices_any_single_bit_and_swapped_rows(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((12, 5)) * 50 > 0 if dtype == jnp.bool_ else rng.standard_normal((12, 5)) * 50).astype(
        dtype
    )
    before = fingerprint(x)
    raw = x.view(np.uint8).reshape(12, -1)
    bits = range(raw.size) if dtype == jnp.bool_ else rng.choice(raw.size * 8, 60, replace=False)
    for bit in bits:
        changed = raw.copy()
        if dtype == jnp.bool_:
            changed.ravel()[bit] ^= 1
        else:
            changed.ravel()[bit // 8] ^= 1 << bit % 8
        assert fingerprint(changed.view(x.dtype).reshape(x.shape)) != before, bit
    for i, j in rng.choice(12, (10, 2)):
        if not np.array_equal(x[i], x[j]):
            swapped = x.copy()
            swapped[[i, j]] = x[[j, i]]
            assert fingerprint(swapped) != before


def test_fingerprint_names_leaves_by_path() -> None:
    assert set(fingerprint({"a": jnp.zeros(2), "b": Moments({"E": jnp.zeros(3)}, ())})) == {"a", "b/sums/E"}
