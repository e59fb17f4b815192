"""Laws of loss: sums of falling powers and a floor, as a log-sum-exp of lines in log size.

    y = sum_k A_k x_k^-alpha_k [+ E],    log y = logsumexp_k(c_k - alpha_k (log x_k - centre_k) [, e])

The parameters of a fit are theta = (c_1..c_K, alpha_1..alpha_K[, e]) with e = log E. The logarithm keeps every
coefficient positive, as in Hoffmann et al. 2022 (arXiv 2203.15556, section D.3). The centre is ours: without it (log N
is near 20) a coefficient and its exponent are almost the same direction, and minimisers are slow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # of all intervals


class Law(NamedTuple):
    """A form of law."""

    name: str
    formula: str
    sizes: tuple[str, ...]  # one per term, as named in messages
    coefficients: tuple[str, ...]
    exponents: tuple[str, ...]
    floor: bool

    @property
    def parameters(self) -> int:
        """Number of fitted parameters P."""
        return 2 * len(self.sizes) + self.floor


POWER = Law("power law", "y = A x^-alpha", ("x",), ("A",), ("alpha",), False)
FLOOR = Law("power law with floor", "y = E + A x^-alpha", ("x",), ("A",), ("alpha",), True)
PARAMETRIC = Law(
    "parametric law", "L(N, D) = E + A/N^alpha + B/D^beta", ("N", "D"), ("A", "B"), ("alpha", "beta"), True
)
EXCESS = PARAMETRIC._replace(
    name="parametric law above a known floor", formula="L(N, D) - E = A/N^alpha + B/D^beta", floor=False
)


def lines(law: Law, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Logarithms of the law's terms, float [..., n, K + floor], the floor last.

    `theta` is [..., P]; `logs` [..., n, K] are log sizes less their centres. Leading axes broadcast.
    """
    k = len(law.sizes)
    terms = theta[..., None, :k] - theta[..., None, k : 2 * k] * logs
    if not law.floor:
        return np.asarray(terms)
    floor = np.broadcast_to(theta[..., None, 2 * k :], (*terms.shape[:-1], 1))
    return np.concatenate([terms, floor], -1)


def log_law(law: Law, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """log y, float [..., n]; arguments as in `lines`."""
    terms = lines(law, theta, logs)
    top = terms.max(-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(terms - top).sum(-1)))


def with_slopes(law: Law, theta: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log y [..., n] and its derivatives by theta [..., n, P]: the share of each term, and -share times log size."""
    terms = lines(law, theta, logs)
    top = terms.max(-1, keepdims=True)
    powers = np.exp(terms - top)
    total = powers.sum(-1, keepdims=True)
    share = powers / total
    k = len(law.sizes)
    slopes = np.concatenate([share[..., :k], -share[..., :k] * logs, share[..., k:]], -1)
    return (top + np.log(total))[..., 0], slopes


def named(law: Law, theta: np.ndarray, centres: np.ndarray) -> dict[str, np.ndarray]:
    """Coefficients, exponents and floor by name, each float [...], from theta [..., P]; centres float [K]."""
    k = len(law.sizes)
    exponents = theta[..., k : 2 * k]
    with np.errstate(over="ignore"):
        coefficients = np.exp(theta[..., :k] + exponents * centres)
        values = {"E": np.exp(theta[..., 2 * k])} if law.floor else {}
    values |= {name: coefficients[..., i] for i, name in enumerate(law.coefficients)}
    return values | {name: exponents[..., i] for i, name in enumerate(law.exponents)}
