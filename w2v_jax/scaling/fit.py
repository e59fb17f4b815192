"""Fits a power law, or Hoffmann's law of parameters and tokens, with intervals, or returns why it cannot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from w2v_jax.scaling import bootstrap
from w2v_jax.scaling.checks import BEATS, check_columns, error_ratio, refuse
from w2v_jax.scaling.fitted import FREE_EXPONENT, Fit, Heldout, Refusal, Value, interval
from w2v_jax.scaling.laws import FLOOR, PARAMETRIC, POWER, Law, excess, log_law, named
from w2v_jax.scaling.projection import minimise
from w2v_jax.scaling.robust import LOGS, Misfit

RESAMPLES = 1000
LARGEST_SHARE = 0.2  # of the runs, held out once and predicted from the others
_NO_FLOOR = 1e-6  # a floor below this share of the lowest loss is none


def fit_power(
    x: np.ndarray,
    y: np.ndarray,
    *,
    floor: bool,
    symbol: str = "x",
    seed: int = 0,
    resamples: int = RESAMPLES,
    method: bootstrap.Method = "auto",
) -> Fit | Refusal:
    """y = A x^-alpha, or with `floor` y = E + A x^-alpha, by the Huber loss of log y (see `robust.DELTA`).

    Args:
      x: float [n], parameters, tokens or FLOPs. y: float [n], loss in nats per token, or any positive number.
      floor: whether to fit E. Without it, losses that flatten out give too small an exponent.
      symbol: name of x in messages and pictures: N, D or C.
      seed: of the folds and of the `resamples` draws; see `bootstrap.resample` for `method`.

    Returns:
      A Fit with values A, alpha and E, or a Refusal; see `checks.refuse` and `checks.error_ratio`.

    Raises:
      UserError: a number that is not positive. ValueError: shapes that differ.
    """
    law = FLOOR if floor else POWER
    law = law._replace(sizes=(symbol,), formula=law.formula.replace("x", symbol))
    return _fit(law, (x,), y, seed, resamples, method)


def fit_parametric(
    n: np.ndarray,
    d: np.ndarray,
    loss: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    method: bootstrap.Method = "auto",
    misfit: Misfit = LOGS,
    law: Law = PARAMETRIC,
) -> Fit | Refusal:
    """L(N, D) = E + A/N^alpha + B/D^beta: approach 3 of Hoffmann et al. 2022 (arXiv 2203.15556).

    Or another `law` of N and D. Arrays are float [n], the loss in nats per token. `misfit` is what is minimised, in
    which publications differ. The other arguments and the errors are those of `fit_power`. A Fit also has the exponents
    of the compute-optimal sizes: a = beta / (alpha + beta) of N, and b = 1 - a of D.
    """
    return _fit(law, (n, d), loss, seed, resamples, method, misfit)


def closest(fits: Sequence[Fit | Refusal]) -> Fit | Refusal:
    """Of fits of several laws to the same runs the one with the least noise about it; the first refusal without any."""
    return min((each for each in fits if isinstance(each, Fit)), key=lambda each: each.noise, default=fits[0])


def fit_excess(
    n: np.ndarray, d: np.ndarray, above: np.ndarray, *, seed: int = 0, law: Law = PARAMETRIC
) -> Fit | Refusal:
    """L(N, D) - E = A/N^alpha + B/D^beta, where the best possible loss E is known and not fitted; or another `law`.

    `above` is L - E in nats per token, float [n]; other arguments and errors as `fit_parametric`. Its logarithm is
    fitted: a run near E counts as much as one far from it.
    """
    return _fit(excess(law), (n, d), above, seed, RESAMPLES, "auto")


def _fit(
    law: Law,
    columns: Sequence[np.ndarray],
    loss: np.ndarray,
    seed: int,
    resamples: int,
    method: bootstrap.Method,
    misfit: Misfit = LOGS,
) -> Fit | Refusal:
    *columns, y = (np.asarray(column, np.float64) for column in (*columns, loss))
    check_columns(law.name, dict(zip(law.sizes, columns, strict=True)) | {"loss": y})
    sizes = np.stack(columns, -1)
    if method not in bootstrap.METHODS or resamples < 2:
        raise ValueError(f"method must be of {bootstrap.METHODS}, resamples at least 2")
    reason = refuse(law, sizes)
    if reason:
        return Refusal(law.name, reason)
    centres = np.log(sizes).mean(0)
    logs, log_y = np.log(sizes) - centres, np.log(y)
    # Matrices here are tiny: threads of linear algebra wait for one another (twenty times slower on two busy cores).
    with threadpool_limits(1, "blas"):
        theta = minimise(law, logs, log_y, misfit)
        ratio = error_ratio(law, theta, logs, log_y, seed, misfit)
        if not ratio <= BEATS:
            errors = f"its cross-validated error is {ratio:.2f} of a constant's; at most {BEATS} is needed"
            return Refusal(law.name, f"does not beat a constant: {errors}")
        samples, whole = bootstrap.resample(
            law, theta, logs, log_y, seed=seed, resamples=resamples, method=method, misfit=misfit
        )
        heldout = _predict_largest(law, sizes, y, misfit)
    best, drawn = (_derived(law, named(law, parameters, centres), float(y.min())) for parameters in (theta, samples))
    values = {name: interval(float(best[name]), drawn[name], whole) for name in best}
    if len(law.sizes) == 1 and values["alpha"].covers(0.0) and values["alpha"].high >= FREE_EXPONENT:
        known = f"every exponent from {values['alpha'].low:.3g} up fits the {len(y)} runs"
        return Refusal(law.name, f"{known}; more runs, or a wider range of {law.sizes[0]}, are needed")
    noise = float(np.sqrt(((log_y - log_law(law, theta, logs)) ** 2).sum() / (len(y) - law.parameters)))
    notes = _notes(law, values, heldout, float(y.min()))
    return Fit(law, values, sizes, y, theta, centres, samples, whole, noise, ratio, heldout, notes, misfit)


def _derived(law: Law, values: dict[str, np.ndarray], lowest: float) -> dict[str, np.ndarray]:
    """Values with a floor of nothing as 0, and the exponents of the compute-optimal sizes of the parametric law.

    Those are from 0 to 1: where loss does not fall with N, the best N is the smallest, and a is 0.
    """
    if law.floor:
        values |= {"E": np.where(values["E"] < _NO_FLOOR * lowest, 0.0, values["E"])}
    if len(law.sizes) < 2:
        return values
    alpha, beta = (np.maximum(values[name], 0.0) for name in ("alpha", "beta"))
    with np.errstate(invalid="ignore"):
        a = beta / (alpha + beta)
    return values | {"a": a, "b": 1.0 - a}


def _predict_largest(law: Law, sizes: np.ndarray, y: np.ndarray, misfit: Misfit) -> Heldout | None:
    """Predicts the largest fifth of the runs, at least one, by a fit of the others; None where those are too few.

    A run's size is the product of its sizes. Repeats of the smallest run held out are held out too. The rule beside it
    copies the lowest loss of the smaller runs, held out or not.
    """
    product = np.log(sizes).sum(-1)
    count = max(1, int(np.floor(LARGEST_SHARE * len(y) + 1e-9)))
    out = product >= np.sort(product)[-count] - 1e-9
    if refuse(law, sizes[~out]):
        return None
    centres = np.log(sizes[~out]).mean(0)
    theta = minimise(law, np.log(sizes[~out]) - centres, np.log(y[~out]), misfit)
    order = np.flatnonzero(out)[np.argsort(product[out], kind="stable")]
    predicted = np.exp(log_law(law, theta, np.log(sizes[order]) - centres))
    copied = [y[product < product[i] - 1e-9].min() for i in order]
    return Heldout(sizes[order], y[order], predicted, np.array(copied))


def _notes(law: Law, values: dict[str, Value], heldout: Heldout | None, lowest: float) -> tuple[str, ...]:
    notes = [
        f"the interval of {name} includes zero: the runs do not show that loss falls with {size}"
        for name, size in zip(law.exponents, law.sizes, strict=True)
        if values[name].covers(0.0)
    ]
    notes += [
        f"{name} is free above: the runs do not show where the fall with {size} ends"
        for name, size in zip(law.exponents, law.sizes, strict=True)
        if values[name].high >= FREE_EXPONENT
    ]
    if law.floor and values["E"].low < 1e-3 * lowest:
        free = f"the floor is free from 0 to {values['E'].high:.4g}"
        notes.append(f"{free}: the runs do not show that there is a floor")
    if heldout is None:
        notes.append("no check on the largest runs: without them too few runs, or too narrow a range, would be left")
    return tuple(notes)
