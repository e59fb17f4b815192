"""The largest singular values of a matrix and their vectors, by random subspaces, sweep by sweep.

A [N, V] ~ L S W^T with D singular values S. A sweep multiplies by A and by A^T once, Z = A^T (A Q).

**Block Krylov.** Every sweep adds a block of b columns to K = [Q_1 .. Q_i] [V, m], orthonormal:

    Q_{i+1} <- orthonormal columns of Z - K K^T Z,        Z = A^T A Q_i
    H = [K Q_{i+1}]^T A^T A K                             [m + b, m], block tridiagonal; its first m rows are G
    G = T T^T                                             Cholesky; A K T^-T is orthonormal, and never made
    H T^-T = X S Y^T                                      W = [K Q_{i+1}] X;  L = A K T^-T Y

**Power iterations**, the usual scheme, with l = D + oversample columns:

    Q^T Z = P diag(r^2) P^T                               A Q P diag(1 / r) is orthonormal, and never made
    Z P diag(1 / r) = U' S Y^T                            W = U', the next Q

Products of all V rows are in 32 bits, by JAX; by numpy where the arrays lie in the memory of the host, as it is twice
as fast as XLA there. What is left is small, and done in 64 bits on the host. The host's linear algebra has one thread:
products with few columns gain nothing from more, which then wait for the next one on the cores that the sparse products
need. So the bits do not depend on their number either.

Halko, Martinsson and Tropp (2011), "Finding Structure with Randomness", algorithm 4.4; Golub, Luk and Overton (1981),
"A Block Lanczos Method for Computing the Singular Values"; Musco and Musco (2015), "Randomized Block Krylov Methods".
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from w2v_jax.types import Array

State = dict[str, Any]
_F = TypeVar("_F", bound=Callable[..., Any])
_EPS = 1e-7  # of 32-bit numbers: what is smaller beside the largest eigenvalue is rounding
_SPREAD = 0.03  # of eigenvalues: above it, one orthonormalisation is exact to about 1e-6
_NEW = 0.25  # the squared length that a unit column must keep beside the basis; less of it is rounding
_SPAN = 3.0  # columns of all blocks, as a multiple of D + oversample
_COLUMNS = 16  # of the basis that a thread takes at least: narrower products only read the matrix once more


def _one_thread(function: _F) -> _F:
    """The function with one thread for the linear algebra of numpy and scipy."""

    @wraps(function)
    def inner(*given: Any, **named: Any) -> Any:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            return function(*given, **named)

    return inner  # type: ignore[return-value]


def width(columns: int, dim: int, oversample: int, sweeps: int, krylov: bool = True) -> int:
    """The columns that one sweep multiplies by A, for A with V = `columns`."""
    wanted = dim + oversample
    return min(math.ceil(_SPAN * wanted / sweeps) if krylov else wanted, columns)


@_one_thread
def begin(seed: int, columns: int, dim: int, oversample: int, sweeps: int, krylov: bool = True) -> State:
    """The state before the first sweep, for A with V = `columns`.

    'basis' holds the blocks [V, b], the first one random and those of later sweeps 0; 'values' [D] the singular values
    so far; 'products' H [(sweeps + 1) b, sweeps b]; 'sweep' the number made. Power iterations have one block, and no H.
    """
    size = width(columns, dim, oversample, sweeps, krylov)
    first = jax.random.normal(jax.random.key(seed), (columns, size), jnp.float32)
    state: State = {"basis": [orthonormal(first)], "values": jnp.zeros(dim, jnp.float32), "sweep": jnp.int32(0)}
    if krylov:
        state["basis"] += [jnp.zeros_like(first)] * sweeps
        state["products"] = jnp.zeros(((sweeps + 1) * size, sweeps * size), jnp.float32)
    return state


def current(state: State) -> Array:
    """Q [V, b] that the next sweep multiplies by A^T A."""
    return state["basis"][int(state["sweep"]) if "products" in state else 0]


def _near(array: Any) -> Any:
    """The array for numpy, without a copy, where it lies in the memory of the host."""
    host = isinstance(array, np.ndarray) or next(iter(array.devices())).platform == "cpu"
    return np.asarray(array) if host else array


# ---- products on the host ----


def column_parts(basis: Array) -> list[np.ndarray]:
    """Some columns for each thread of the host, contiguous; more threads than cores or narrow parts gain nothing."""
    host = np.asarray(basis)
    threads = max(1, min(_threads(), host.shape[1] // _COLUMNS))
    edges = [host.shape[1] * i // threads for i in range(threads + 1)]
    return [np.ascontiguousarray(host[:, a:b]) for a, b in itertools.pairwise(edges)]


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def products(matrix: Any, basis: Array) -> tuple[np.ndarray, np.ndarray]:
    """(A Q float32 [N, b], A^T A Q float32 [V, b]) of a scipy csr matrix A [N, V], on the cores of the host.

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


# ---- a sweep ----


@_one_thread
def solve(state: State, image: Any, dim: int) -> State:
    """The state after a sweep, for Z = A^T A Q [V, b] of the `current` Q. Directions that A does not have get the
    singular value 0."""
    return (_krylov if "products" in state else _power)(state, _near(image), dim)


def _krylov(state: State, image: Any, dim: int) -> State:
    """One more block, and the singular values."""
    made, size = int(state["sweep"]), image.shape[1]
    blocks, held = [_near(block) for block in state["basis"][: made + 1]], np.array(state["products"])
    newest, at = blocks[made], slice(made * size, (made + 1) * size)
    own = np.asarray(newest.T @ image)
    held[at, at] = (own + own.T) / 2
    rest = image - newest @ held[at, at]
    if made:
        before = held[at, at.start - size : at.start]
        rest = rest - blocks[made - 1] @ before.T
        held[at.start - size : at.start, at] = before.T
    # Columns that are shorter than the rounding of Z are nothing but that.
    rest = _new_columns(rest, blocks, _EPS**2 * float((image * image).sum(0).max()))
    held[at.stop : at.stop + size, at] = rest.T @ image

    values = np.zeros(dim, np.float32)
    squares = np.linalg.eigvalsh(_scaled(held, at.stop, size)[0])[::-1][:dim]
    values[: len(squares)] = np.sqrt(np.maximum(squares, 0.0))
    return {
        "basis": [*state["basis"][: made + 1], jnp.asarray(rest), *state["basis"][made + 2 :]],
        "products": jnp.asarray(held),
        "values": jnp.asarray(values),
        "sweep": jnp.int32(made + 1),
    }


def _scaled(held: np.ndarray, columns: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B^T B, B, T) in 64 bits, with B = H T^-T [m + b, m] and m = `columns`."""
    tall = held[: columns + size, :columns].astype(np.float64)
    square, floor = tall[:columns], _EPS * np.abs(tall).max(initial=1e-30)
    while True:
        try:
            lower = np.linalg.cholesky(square + floor * np.eye(columns))
            break
        except np.linalg.LinAlgError:  # rounding made an eigenvalue negative
            floor *= 10.0
    found = scipy.linalg.solve_triangular(lower, tall.T, lower=True).T
    return found.T @ found, found, lower


def _power(state: State, image: Any, dim: int) -> State:
    """The next basis and the singular values."""
    basis = _near(state["basis"][0])
    gram, outer = (np.asarray(x, np.float64) for x in (basis.T @ image, image.T @ image))
    squares, turn = np.linalg.eigh((gram + gram.T) / 2)
    lengths = np.sqrt(np.maximum(squares, _EPS * squares[-1]))
    turn = turn / np.where(lengths > 0, lengths, 1.0)
    squares, inner = np.linalg.eigh(turn.T @ outer @ turn)
    squares, inner = np.maximum(squares[::-1], 0.0), inner[:, ::-1]
    floor = np.sqrt(np.maximum(squares, _EPS * squares[0]))
    columns = image @ (turn @ inner / np.where(floor > 0, floor, 1.0)).astype(np.float32)
    sizes = np.sqrt(np.diagonal(outer))
    scale = 1.0 / np.where(sizes > 0, sizes, 1.0)
    spread = np.linalg.eigvalsh(outer * scale[:, None] * scale)
    if spread[0] < _SPREAD * spread[-1]:  # as in the first sweeps, where columns are nearly parallel
        columns = orthonormal(columns)
    values = jnp.asarray(np.sqrt(squares[:dim]).astype(np.float32))
    return {"basis": [jnp.asarray(columns)], "values": values, "sweep": state["sweep"] + 1}


def orthonormal(columns: Array) -> Array:
    """Orthonormal columns [V, l] that span those given, each as near to its own as can be; columns of 0 stay.

    By the inverse root of X^T X: products of matrices, which are several times as fast as Householder's QR; done twice,
    as rounding leaves an error where columns are nearly parallel.
    """
    for _ in range(2):
        scale, squares, turn = _spectrum(columns.T @ columns)
        root = turn / np.sqrt(np.maximum(squares, max(_EPS * squares[-1], 1e-30))) @ turn.T
        columns = columns @ (scale[:, None] * root).astype(np.float32)
    return columns


def _spectrum(gram: Array, least: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lengths^-1 [l] of the columns X, 0 where the square is `least` or less; eigenvalues and -vectors of X^T X of the
    columns scaled by them), in 64 bits from 32."""
    products = np.asarray(gram, np.float64)
    there = np.diagonal(products) > least
    scale = np.where(there, 1.0 / np.sqrt(np.where(there, np.diagonal(products), 1.0)), 0.0)
    return scale, *np.linalg.eigh(products * scale[:, None] * scale)


def _new_columns(rest: Array, blocks: list[Array], least: float) -> Array:
    """Orthonormal columns [V, b] that span what `rest` has beside the blocks; columns of 0 for what it lacks."""
    for given, floor in ((blocks, 0.0), ([], _NEW)):
        scale, squares, turn = _spectrum(rest.T @ rest, least)
        kept = squares > max(10 * _EPS * squares[-1], floor)
        weights = np.where(kept, 1.0 / np.sqrt(np.where(kept, squares, 1.0)), 0.0)
        rest = rest @ (scale[:, None] * turn * weights).astype(np.float32)
        for block in given:
            rest = rest - block @ (block.T @ rest)
        least = _NEW
    return rest


# ---- results ----


@_one_thread
def vectors(state: State, dim: int) -> tuple[Array, np.ndarray]:
    """(W [V, D]; C [m, D] such that L = A K C, nothing [0, D] for power iterations).

    In every column of W the number furthest from 0 is positive. Before the first sweep, and for singular values of 0,
    columns may be 0.
    """
    if "products" not in state:
        words = _near(state["basis"][0])[:, :dim]
        return jnp.asarray(words * _signs(words)[None]), np.zeros((0, dim), np.float32)
    made, size = int(state["sweep"]), state["basis"][0].shape[1]
    back = np.zeros((made * size, dim), np.float32)
    if not made:
        return jnp.zeros((state["basis"][0].shape[0], dim), jnp.float32), back
    square, tall, lower = _scaled(np.asarray(state["products"]), made * size, size)
    squares, turn = np.linalg.eigh(square)
    squares, turn = squares[::-1][:dim], turn[:, ::-1][:, :dim]
    there = squares > _EPS**2 * squares[0]
    forth = (tall @ turn * np.where(there, 1.0 / np.sqrt(np.where(there, squares, 1.0)), 0.0)).astype(np.float32)
    back[:, : forth.shape[1]] = scipy.linalg.solve_triangular(lower, turn, lower=True, trans="T")
    forth = np.pad(forth, ((0, 0), (0, dim - forth.shape[1])))
    words = sum(_near(block) @ forth[i * size : (i + 1) * size] for i, block in enumerate(state["basis"][: made + 1]))
    signs = _signs(words)
    return jnp.asarray(words * signs[None]), back * signs[None]


def _signs(words: Any) -> np.ndarray:
    """float32 [D] of 1 and -1 that make the number furthest from 0 of each column positive."""
    return np.where(np.asarray(words.max(0)) < -np.asarray(words.min(0)), -1.0, 1.0).astype(np.float32)
