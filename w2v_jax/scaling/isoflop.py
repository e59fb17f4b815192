"""Compute-optimal sizes: parabolas of loss at equal FLOPs, and the optimum of a parametric law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from w2v_jax.scaling.checks import DECADE, check_columns
from w2v_jax.scaling.fit import RESAMPLES
from w2v_jax.scaling.fitted import Refusal, Value, interval

NAME = "IsoFLOP"
FLOPS_A_TOKEN = 6.0  # of training, a parameter: C = 6 N D (Kaplan et al. 2020, section 2.1)
SAME = 1.25  # runs within this factor of the smallest of a budget belong to it
FEW = "a parabola needs three"
_LOST = 0.05  # share of draws without a minimum above which a note says so
_LEVEL = 1e-9  # losses that differ by less than this share of them have no curvature, but rounding errors


class Parabola(NamedTuple):
    """loss = c0 + c1 u + c2 u^2 with u = log N - centre, at one budget."""

    flops: float  # geometric mean of its runs
    sizes: np.ndarray  # float [n], parameters
    loss: np.ndarray  # float [n]
    coefficients: np.ndarray  # float [3]: c0, c1, c2
    centre: float
    best: Value  # parameters at the minimum
    tokens: float  # there
    lowest: float  # loss at the minimum
    per_token: np.ndarray  # float [n], log FLOPs a parameter and token: log 6 where C = 6 N D
    spread: float  # the greatest FLOPs of its runs over the least


class Isoflop(NamedTuple):
    """The law of the parabolas' minima: N_opt = k_N C^a, D_opt = k_D C^b, for C as the runs count it."""

    parabolas: tuple[Parabola, ...]  # by rising budget
    refused: tuple[Refusal, ...]  # budgets without a parabola
    values: dict[str, Value]  # a, b, k_N, k_D; empty where there is a `reason`; bounds are nan without residuals
    reason: str  # for no power law of the minima
    points: int  # runs in the parabolas
    largest: float  # budget, FLOPs
    samples: np.ndarray  # float [B, 2]: log k_N and a of each draw; B = 0 without residuals
    notes: tuple[str, ...]
    nominal: bool = False  # whether the budgets were given; otherwise runs within a factor of `SAME` share one


class Optimum(NamedTuple):
    """Compute-optimal parameters, tokens and loss, each of the shape of the FLOPs (with draws first, where drawn)."""

    n: np.ndarray
    d: np.ndarray
    loss: np.ndarray


def compute_optimal(values: Mapping[str, np.ndarray | float], flops: np.ndarray | float) -> Optimum:
    """Least E + A/N^alpha + B/D^beta with 6 N D = C; equation 4 of Hoffmann et al. 2022 (arXiv 2203.15556).

        N = G (C/6)^a,  D = (C/6)^b / G,  G = (alpha A / (beta B))^(1 / (alpha + beta)),  a = beta / (alpha + beta)

    `values` are E, A, B, alpha and beta: numbers, or draws float [B, 1] that broadcast against the FLOPs C.
    """
    e, a, b, alpha, beta = (np.asarray(values[k], np.float64) for k in ("E", "A", "B", "alpha", "beta"))
    both = alpha + beta
    with np.errstate(invalid="ignore"):  # a draw with a negative exponent has no optimum: nan
        balance = np.exp((np.log(alpha * a) - np.log(beta * b)) / both)
    budget = np.asarray(flops, np.float64) / FLOPS_A_TOKEN
    n, d = balance * budget ** (beta / both), budget ** (alpha / both) / balance
    return Optimum(n, d, e + a / n**alpha + b / d**beta)


def fit_isoflop(
    n: np.ndarray,
    flops: np.ndarray,
    loss: np.ndarray,
    *,
    tokens: np.ndarray | None = None,
    budgets: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Isoflop | Refusal:
    """Approach 2 of Hoffmann et al. 2022: a parabola of loss in log N at each budget, and a line through its minima.

    Minima give log N_opt = log k_N + a log C by least squares. D_opt is C / (r N_opt), for r the runs' own C / (N D)
    between their sizes; where r is the same everywhere, b = 1 - a. A bootstrap draw gives every run a residual of the
    parabolas (over sqrt(1 - leverage), from all budgets) and repeats the whole fit.
    Parabolas through three sizes have no residuals: where no budget has more, nothing has an interval.

    Args:
      n, flops, loss: float [runs]: parameters, training FLOPs (6 N D where only tokens are known), nats per token.
      tokens: float [runs]. None: FLOPs / (6 parameters).
      budgets: nominal FLOPs; a run belongs to the nearest. None: runs within a factor of 1.25 share a budget.

    Returns:
      An Isoflop; budgets with fewer than three sizes, or whose minimum is not among the sizes seen, are in `refused`.
      A Refusal when that is every budget. Errors as `fit_power`.
    """
    n, flops, loss = (np.asarray(v, np.float64) for v in (n, flops, loss))
    check_columns(NAME, {"parameters": n, "FLOPs": flops, "loss": loss})
    d = flops / (FLOPS_A_TOKEN * n) if tokens is None else np.asarray(tokens, np.float64)
    check_columns(NAME, {"parameters": n, "tokens": d})
    per = np.log(flops / (n * d))
    found = [_parabola(n[own], flops[own], loss[own], per[own]) for own in _groups(flops, budgets)]
    kept = [p for p in found if isinstance(p, Parabola)]
    refused = [p for p in found if isinstance(p, Refusal)]
    if not kept:
        if not any("minimum" in r.reason for r in refused):
            return Refusal(NAME, "fewer than three sizes at every budget; a parabola needs three sizes of equal FLOPs")
        return Refusal(NAME, f"no budget has its minimum among the sizes seen; the first: {refused[0].reason}")
    minima, notes = _draw(kept, np.random.default_rng(seed), resamples)
    values, samples, reason = _law_of_minima(kept, minima)
    for k, p in enumerate(kept):
        kept[k] = p._replace(best=_interval(p.best.value, np.exp(minima[np.isfinite(minima[:, k]), k])))
    points, largest = sum(len(p.sizes) for p in kept), kept[-1].flops
    nominal = budgets is not None
    return Isoflop(tuple(kept), tuple(refused), values, reason, points, largest, samples, notes, nominal)


def _interval(value: float, draws: np.ndarray) -> Value:
    """The value with the bounds of its draws; nan where there are none."""
    return interval(value, draws) if len(draws) else Value(value, np.nan, np.nan)


def _groups(flops: np.ndarray, budgets: np.ndarray | None) -> list[np.ndarray]:
    """Indices of the runs of each budget, by rising budget."""
    if budgets is not None:
        nominal = np.sort(np.asarray(budgets, np.float64))
        nearest = np.abs(np.log(flops)[:, None] - np.log(nominal)).argmin(1)
        return [np.flatnonzero(nearest == k) for k in np.unique(nearest)]
    order = np.argsort(flops, kind="stable")
    starts = [0]
    for i in range(len(order)):
        if flops[order[i]] > SAME * flops[order[starts[-1]]]:
            starts.append(i)
    return np.split(order, starts[1:])


def _design(sizes: np.ndarray) -> tuple[np.ndarray, float]:
    centre = float(np.log(sizes).mean())
    u = np.log(sizes) - centre
    return np.stack([np.ones_like(u), u, u**2], -1), centre


def _parabola(sizes: np.ndarray, flops: np.ndarray, loss: np.ndarray, per_token: np.ndarray) -> Parabola | Refusal:
    budget = float(np.exp(np.log(flops).mean()))
    name = f"{NAME} {budget:.3g} FLOPs"
    count = len(np.unique(sizes))
    if count < 3:
        return Refusal(name, f"{count} size(s) at {budget:.3g} FLOPs; {FEW}")
    if np.ptp(loss) <= _LEVEL * np.abs(loss).max():
        return Refusal(name, f"no minimum at {budget:.3g} FLOPs: all losses are {loss[0]:.6g}")
    design, centre = _design(sizes)
    c = np.linalg.lstsq(design, loss, rcond=None)[0]
    if c[2] <= 0:
        return Refusal(name, f"no minimum at {budget:.3g} FLOPs: the parabola opens downwards")
    at = float(np.exp(centre - c[1] / (2 * c[2])))
    if not sizes.min() <= at <= sizes.max():
        seen = f"{sizes.min():.3g} to {sizes.max():.3g}"
        return Refusal(name, f"minimum at {at:.3g} parameters, outside the sizes seen at {budget:.3g} FLOPs ({seen})")
    lowest = float(c[0] - c[1] ** 2 / (4 * c[2]))
    spread = float(flops.max() / flops.min())
    found = Parabola(budget, sizes, loss, c, centre, Value(at, np.nan, np.nan), np.nan, lowest, per_token, spread)
    return found._replace(tokens=float(np.exp(_log_tokens(found, np.log(at)))))


def _log_tokens(parabola: Parabola, log_n: np.ndarray | float) -> np.ndarray:
    """log of the tokens that the budget buys at some sizes, of their shape: by the FLOPs a token of the runs near."""
    order = np.argsort(parabola.sizes, kind="stable")
    per = np.interp(log_n, np.log(parabola.sizes[order]), parabola.per_token[order])
    return np.asarray(np.log(parabola.flops) - per - log_n)


def _leverages(slopes: np.ndarray) -> np.ndarray:
    """Diagonal of J (J^T J)^-1 J^T for J [n, P]; float [n]. Directions without information are left out."""
    left = np.linalg.svd(slopes, full_matrices=False)
    kept = left.S.max() * 1e-10 < left.S
    return np.asarray((left.U[:, kept] ** 2).sum(-1))


def _draw(kept: list[Parabola], rng: np.random.Generator, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Minima log N_opt of the bootstrap draws, float [B, budgets], nan where a draw has none among the sizes; B = 0
    without residuals."""
    designs = [_design(p.sizes)[0] for p in kept]
    # A parabola through three sizes has no residuals to draw from.
    errors = []
    for p, x in zip(kept, designs, strict=True):
        if len(p.sizes) > 3:
            errors.append((p.loss - x @ p.coefficients) / np.sqrt(1.0 - np.minimum(_leverages(x), 0.95)))
    if not errors:
        why = "three runs at every budget: parabolas go through them, and nothing tells the noise: no intervals"
        return np.empty((0, len(kept))), (why,)
    pool = np.concatenate(errors)
    pool = pool - pool.mean()
    minima = np.empty((count, len(kept)))
    for k, (p, x) in enumerate(zip(kept, designs, strict=True)):
        drawn = x @ p.coefficients + rng.choice(pool, (count, len(p.sizes)))
        c = drawn @ np.linalg.pinv(x).T
        with np.errstate(divide="ignore", invalid="ignore"):
            minima[:, k] = np.where(c[:, 2] > 0, p.centre - c[:, 1] / (2 * c[:, 2]), np.nan)
        # A minimum outside the sizes seen does not count, as with the runs themselves.
        inside = (minima[:, k] >= np.log(p.sizes.min())) & (minima[:, k] <= np.log(p.sizes.max()))
        minima[:, k] = np.where(inside, minima[:, k], np.nan)
    notes = []
    for p, lost in zip(kept, 1.0 - np.isfinite(minima).mean(0), strict=True):
        if lost > _LOST:
            unsure = "of draws have no minimum among the sizes; its place is unsure"
            notes.append(f"{p.flops:.3g} FLOPs: {lost:.0%} {unsure}")
    return minima, tuple(notes)


def _law_of_minima(kept: list[Parabola], minima: np.ndarray) -> tuple[dict[str, Value], np.ndarray, str]:
    """(values, draws of log k_N and a, reason why there are none)."""
    flops = np.array([p.flops for p in kept])
    if len(kept) < 2 or flops.max() / flops.min() < DECADE * (1 - 1e-9):
        reason = f"minima at {len(kept)} budget(s) spanning a factor of {flops.max() / flops.min():.3g}; a power law "
        return {}, np.empty((0, 2)), reason + "needs two or more over at least one decade (10)"
    tokens = np.stack([_log_tokens(p, minima[:, k]) for k, p in enumerate(kept)], -1)
    best, other = (
        _line(np.log(flops), np.log([y]))[0] for y in zip(*((p.best.value, p.tokens) for p in kept), strict=True)
    )
    draws, others = _line(np.log(flops), minima), _line(np.log(flops), tokens)
    known = np.isfinite(draws).all(-1)
    draws, others = draws[known], others[known]
    if len(minima) and not len(draws):
        return {}, np.empty((0, 2)), "no bootstrap draw has minima at two budgets; runs are too few or too noisy"
    values = {"a": _interval(best[1], draws[:, 1]), "b": _interval(other[1], others[:, 1])}
    values["k_N"] = _interval(np.exp(best[0]), np.exp(draws[:, 0]))
    values["k_D"] = _interval(np.exp(other[0]), np.exp(others[:, 0]))
    return values, draws, ""


def _line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Intercept and slope by least squares of each row of y [B, k], nan left out; nan with fewer than two numbers."""
    there = np.isfinite(y)
    count = np.where(there.sum(-1) >= 2, there.sum(-1), np.nan)
    middle = np.where(there, x, 0.0).sum(-1) / count
    apart = np.where(there, x - middle[:, None], 0.0)
    height = np.where(there, y, 0.0)
    slope = (apart * height).sum(-1) / (apart**2).sum(-1)
    return np.stack([height.sum(-1) / count - slope * middle, slope], -1)
