"""Bits by counter against the generator of jax.random."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry2x32_p

from tests.examples import quick
from w2v_jax.nn.draws import row_bits, threefry


def test_the_hash_is_that_of_jax() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, (4, 50), np.uint32)
    words[:, :4] = [[0, 0, 2**32 - 1, 1]] * 4
    counter = jnp.asarray(words[2:])
    for key in words[:2, :6].T:
        got = quick(threefry, jnp.asarray(key), *counter)
        want = threefry2x32_p.bind(*(jnp.full(50, k) for k in key), *counter)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_a_row_has_its_own_bits_whatever_lies_beside_it(impl: str) -> None:
    rng, rows = jax.random.key(3, impl=impl), jnp.array([0, 1, 2, 1000, -1])
    both = np.asarray(row_bits(rng, rows, 40))
    assert both.shape == (2, 5, 40) and both.dtype == np.uint32
    assert len(np.unique(both)) > 395, "rows, places and the two words differ"
    np.testing.assert_array_equal(row_bits(rng, rows[2:4], 40), both[:, 2:4])
    np.testing.assert_array_equal(row_bits(rng, rows, 7), both[:, :, :7])
    assert (np.asarray(row_bits(jax.random.key(4, impl=impl), rows, 40)) != both).any((1, 2)).all()
