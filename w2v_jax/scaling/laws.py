"""Laws of loss: sums of falling powers and a floor, as a log-sum-exp of lines in log size.

    y = sum_k A_k x_k^-alpha_k [+ E],    log y = logsumexp_k(c_k - alpha_k (log x_k - centre_k) [, e])

A joint law of parameters N and tokens D is that of Kaplan et al. 2020 (arXiv 2001.08361, equation 1.5) with a floor:

    y = (T_N^(1/beta) + T_D^(1/beta))^beta [+ E],    T_N = A N^-alpha, T_D = B D^-beta

Its terms alone are those of the sum, but each counts less where the other is as large: a model too small for its text
does not gain all that more text would give.

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
    joint: bool = False  # whether the terms are joined by the last exponent, instead of summed

    @property
    def parameters(self) -> int:
        """Number of fitted parameters P."""
        return 2 * len(self.sizes) + self.floor


POWER = Law("power law", "y = A x^-alpha", ("x",), ("A",), ("alpha",), False)
FLOOR = Law("power law with floor", "y = E + A x^-alpha", ("x",), ("A",), ("alpha",), True)
PARAMETRIC = Law(
    "parametric law", "L(N, D) = E + A/N^alpha + B/D^beta", ("N", "D"), ("A", "B"), ("alpha", "beta"), True
)
JOINT = PARAMETRIC._replace(
    name="joint law", formula="L(N, D) = E + ((A/N^alpha)^(1/beta) + (B/D^beta)^(1/beta))^beta", joint=True
)
FORMS = {"sum": PARAMETRIC, "joint": JOINT}
BEST = "best"  # the form with the least noise about it: both have as many parameters
_LEAST = 1e-3  # exponent that joins: below, the larger term is all


def excess(law: Law) -> Law:
    """The law of what lies above a known floor."""
    return law._replace(
        name=f"{law.name} above a known floor", formula=law.formula.replace(" = E + ", " - E = "), floor=False
    )


def lines(law: Law, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Logarithms of the law's summands, float [..., n, K + floor], of a joint law [..., n, 1 + floor]; the floor last.

    `theta` is [..., P]; `logs` [..., n, K] are log sizes less their centres. Leading axes broadcast.
    """
    k = len(law.sizes)
    terms = _terms(law, theta, logs)
    if law.joint:
        by = _joins(law, theta)
        terms = by * _log_sum(terms / by)[0]
    if not law.floor:
        return np.asarray(terms)
    floor = np.broadcast_to(theta[..., None, 2 * k :], (*terms.shape[:-1], 1))
    return np.concatenate([terms, floor], -1)


def log_law(law: Law, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """log y, float [..., n]; arguments as in `lines`."""
    return np.asarray(_log_sum(lines(law, theta, logs))[0][..., 0])


def with_slopes(law: Law, theta: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log y [..., n] and its derivatives by theta [..., n, P]: the share of each term, and -share times log size.

    The terms of a joint law share what their sum has, and its last exponent also changes how they are joined.
    """
    total, share = _log_sum(lines(law, theta, logs))
    k, summands = len(law.sizes), share.shape[-1] - law.floor
    own, floor = share[..., :summands], share[..., summands:]
    if not law.joint:
        return total[..., 0], np.concatenate([own, -own * logs, floor], -1)
    by = _joins(law, theta)
    scaled = _terms(law, theta, logs) / by
    whole, part = _log_sum(scaled)
    joined = own * (whole - (part * scaled).sum(-1, keepdims=True)) * (theta[..., None, 2 * k - 1 : 2 * k] > _LEAST)
    exponents = -own * part * logs + np.concatenate([np.zeros_like(part[..., 1:]), joined], -1)
    return total[..., 0], np.concatenate([own * part, exponents, floor], -1)


def _terms(law: Law, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """c_k - alpha_k log size, float [..., n, K]."""
    k = len(law.sizes)
    return np.asarray(theta[..., None, :k] - theta[..., None, k : 2 * k] * logs)


def _joins(law: Law, theta: np.ndarray) -> np.ndarray:
    """The exponent that joins the terms, float [..., 1, 1]."""
    k = len(law.sizes)
    return np.maximum(theta[..., None, 2 * k - 1 : 2 * k], _LEAST)


def _log_sum(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log sum exp over the last axis, which is kept with size 1, and each term's share."""
    top = terms.max(-1, keepdims=True)
    powers = np.exp(terms - top)
    total = powers.sum(-1, keepdims=True)
    return top + np.log(total), powers / total


def named(law: Law, theta: np.ndarray, centres: np.ndarray) -> dict[str, np.ndarray]:
    """Coefficients, exponents and floor by name, each float [...], from theta [..., P]; centres float [K]."""
    k = len(law.sizes)
    exponents = theta[..., k : 2 * k]
    with np.errstate(over="ignore"):
        coefficients = np.exp(theta[..., :k] + exponents * centres)
        values = {"E": np.exp(theta[..., 2 * k])} if law.floor else {}
    values |= {name: coefficients[..., i] for i, name in enumerate(law.coefficients)}
    return values | {name: exponents[..., i] for i, name in enumerate(law.exponents)}
