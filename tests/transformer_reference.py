"""One pre-norm block of a transformer in plain numpy, float64, position by position and head by head."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Weights = Mapping[str, np.ndarray]


def norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return gain * x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def turn(x: np.ndarray, first: int = 0) -> np.ndarray:
    """Rotary positions of [T, H]: pair (i, i + H/2) as one complex number, turned by t * 10000^(-2i/H)."""
    half = x.shape[1] // 2
    pairs = x[:, :half] + 1j * x[:, half:]
    place = first + np.arange(len(x))
    turned = pairs * np.exp(1j * place[:, None] * 10000.0 ** (-2 * np.arange(half) / x.shape[1]))
    return np.concatenate([turned.real, turned.imag], axis=1)


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max())
    return raised / raised.sum()


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, causal: bool) -> np.ndarray:
    """[T, H], [S, H], [S, H] -> [T, H]."""
    rows = []
    for t in range(len(query)):
        seen = t + 1 if causal else len(key)
        rows.append(softmax(key[:seen] @ query[t] / math.sqrt(query.shape[1])) @ value[:seen])
    return np.stack(rows)


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def block(
    x: np.ndarray, w: Weights, heads: int, causal: bool, given: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """[T, D] -> [T, D]; `w` has norm_attention, query, keys, values, output, norm_wide, up, down.

    `given` names what 'keys' and 'values' are computed from, [T, D], where it is not the layer's own normed input.
    """
    normed, width = norm(x, w["norm_attention"]), x.shape[1] // heads
    read = {"keys": normed, "values": normed, "query": normed, **(given or {})}
    mixed = []
    for n in range(heads):
        part = slice(n * width, (n + 1) * width)
        query, key, value = (read[name] @ w[name][:, part] for name in ("query", "keys", "values"))
        mixed.append(attention(turn(query), turn(key), value, causal))
    x = x + np.concatenate(mixed, axis=1) @ w["output"]
    return x + gelu(norm(x, w["norm_wide"]) @ w["up"]) @ w["down"]


def slopes(of: Callable[[Weights], float], at: Weights, step: float = 1e-5) -> dict[str, np.ndarray]:
    """Gradient of `of` by every number of every array, by central differences."""
    out = {}
    for name, array in at.items():
        grad = np.zeros_like(array)
        for place in np.ndindex(*array.shape):
            up, down = array.copy(), array.copy()
            up[place] += step
            down[place] -= step
            grad[place] = (of({**at, name: up}) - of({**at, name: down})) / (2 * step)
        out[name] = grad
    return out


def close(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    """Within the tolerance of the largest number of each leaf."""
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True):
        b = np.asarray(b)
        atol = tolerance * max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path))
