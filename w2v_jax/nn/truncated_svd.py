"""The largest singular values of a matrix and their vectors, by randomised subspace iteration, sweep by sweep.

A [N, V] ~ L S W^T with D singular values S. With l = D + oversample columns Q [V, l], orthonormal and at first random,
one sweep multiplies by A and A^T once:

    Z = A^T (A Q)                                     [V, l]
    Q^T Z = (A Q)^T (A Q) = P diag(r^2) P^T           [l, l]
    B = (Z P diag(1 / r))^T = H^T A                   H = A Q P diag(1 / r) is orthonormal, and never made
    B = U' S W^T                                      S and W so far;  L = H U'
    Q <- orthonormal columns of Z - (b / 2) Q - (b / 4)^2 Q'

The last line is a power iteration for b = 0. Otherwise b is the square of the last singular value so far, and Q' the
basis before in the same coordinates: a Chebyshev recurrence, which keeps what lies in [0, b] small and lets the rest
grow faster.

Halko, Martinsson and Tropp (2011), "Finding Structure with Randomness", algorithm 4.4; Saad (2011), "Numerical Methods
for Large Eigenvalue Problems", section 7.4.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.types import Array

State = dict[str, Array]
_EPS = 1e-7  # of 32-bit numbers: what is smaller beside the largest eigenvalue is rounding
_SPREAD = 0.03  # of eigenvalues: above it, one orthonormalisation is exact to about 1e-6
_COLUMNS = 16  # of the basis that a thread takes at least: narrower products only read the matrix once more


def begin(seed: int, columns: int, dim: int, oversample: int) -> State:
    """The state before the first sweep, for A with V = `columns`: a random basis [V, l], l = dim + oversample at most
    V; W [V, D] and the values [l] are filled by `solve`."""
    size = min(dim + oversample, columns)
    basis = orthonormal(jax.random.normal(jax.random.key(seed), (columns, size), jnp.float32))
    return {
        "basis": basis,
        "before": jnp.zeros_like(basis),
        "right": basis[:, :dim],
        "values": jnp.zeros(size, jnp.float32),
    }


def column_parts(basis: Array) -> list[np.ndarray]:
    """Some columns for each thread of the host, contiguous; more threads than cores or narrow parts gain nothing."""
    host = np.asarray(basis)
    threads = max(1, min(_threads(), host.shape[1] // _COLUMNS))
    edges = [host.shape[1] * i // threads for i in range(threads + 1)]
    return [np.ascontiguousarray(host[:, a:b]) for a, b in itertools.pairwise(edges)]


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def products(matrix: Any, basis: Array) -> tuple[np.ndarray, np.ndarray]:
    """(A Q float32 [N, l], A^T A Q float32 [V, l]) of a scipy csr matrix A [N, V], on all cores of the host.

    Each thread computes some columns over all rows, so that the result does not depend on their number. On CPUs this is
    several times as fast as XLA's sparse products.
    """
    parts = column_parts(basis)

    def one(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image = matrix @ columns
        return image, matrix.T @ image

    with ThreadPoolExecutor(len(parts)) as pool:  # scipy's products leave the interpreter free
        found = list(pool.map(one, parts))
    left, right = (np.concatenate(sides, axis=1) for sides in zip(*found, strict=True))
    return left, right


def solve(state: State, image: Array, dim: int, accelerate: bool = True) -> tuple[State, Array]:
    """(the state after a sweep with Z = A^T A Q, `image` [V, l]; R [l, D] such that L = A Q R, for the Q before).

    Operations are dispatched one by one: compiled together, XLA's CPU back end joins large products with what is around
    them and is several times slower.

    Directions that A does not have get the singular value 0. In every column of W, the entry 'right', the number
    furthest from 0 is positive.
    """
    basis = state["basis"]
    gram = basis.T @ image
    squares, turn = jnp.linalg.eigh((gram + gram.T) / 2)
    squares, turn = squares[::-1], turn[:, ::-1]  # columns of falling size, so that each can be scaled
    lengths = jnp.sqrt(jnp.maximum(squares, _EPS * squares[0]))
    to_scaled = turn / jnp.where(lengths > 0, lengths, 1.0)[None]

    columns, upper, _ = _factor(image @ to_scaled)
    inner, values, outer = jnp.linalg.svd(upper, full_matrices=False)
    right = columns @ inner[:, :dim]
    sign = jnp.where(right.max(0) < -right.min(0), -1.0, 1.0)
    after = {"basis": columns, "before": state["before"], "right": right * sign[None], "values": values}

    if accelerate:
        # The first basis is random and tells nothing about b yet.
        bound = jnp.where(state["values"][0] > 0, values[-1] ** 2, 0.0)
        following = (image - (bound / 2) * basis - (bound / 4) ** 2 * state["before"]) @ turn
        after["basis"], _, change = _factor(following)
        after["before"] = basis @ (turn @ change)
    return after, to_scaled @ outer[:dim].T * sign[None]


def orthonormal(columns: Array) -> Array:
    """Orthonormal columns [V, l] that span those given; columns of zeros stay."""
    return _factor(columns)[0]


def _factor(given: Array) -> tuple[Array, Array, Array]:
    """(Y, R [l, l], C [l, l]) with X = Y R and Y = X C of orthonormal columns, for X [V, l]; columns of zeros stay.

    By the eigenvectors of X^T X: products of matrices, which are several times as fast as Householder's QR. The columns
    are scaled first, as those of a power iteration are nearly orthogonal and of very different sizes. Where they are
    not, as in the first sweeps, rounding leaves an error, and the same is done once more.
    """
    gram = given.T @ given
    change, spread = _inverse_root(gram)
    columns = given @ change

    if float(spread) >= _SPREAD:
        return columns, change.T @ gram, change
    more, _ = _inverse_root(columns.T @ columns)
    columns = columns @ more
    return columns, columns.T @ given, change @ more


@jax.jit
def _inverse_root(gram: Array) -> tuple[Array, Array]:
    """(C [l, l] with C^T G C = 1, the smallest eigenvalue of G scaled to a diagonal of ones as a share of the largest).

    C is the inverse root of the scaled G times the scale, so that columns keep their order."""
    sizes = jnp.sqrt(jnp.diagonal(gram))
    scale = 1.0 / jnp.where(sizes > 0, sizes, 1.0)
    squares, turn = jnp.linalg.eigh(gram * scale[:, None] * scale[None])
    part = (turn / jnp.sqrt(jnp.maximum(squares, _EPS * squares[-1]))[None]) @ turn.T
    return scale[:, None] * part, squares[0] / squares[-1]
