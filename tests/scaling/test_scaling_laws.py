"""The forms of law and their minimiser: values by hand, finite differences, the fits of scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, curve_fit
from threadpoolctl import threadpool_limits

from benchmarks.scaling_coverage import TRUE, plant
from w2v_jax.errors import UserError
from w2v_jax.scaling.describe import how_of_intervals
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit, predict
from w2v_jax.scaling.laws import FLOOR, PARAMETRIC, POWER, Law, log_law, named, with_slopes
from w2v_jax.scaling.projection import minimise
from w2v_jax.scaling.robust import DELTA, LOGS, SQUARES, Misfit, huber, mean_misfit, refit


def test_huber_by_hand() -> None:
    r = np.array([0.0, 0.0005, -0.0005, 0.001, 0.003, -0.003])
    want = [0.0, 1.25e-7, 1.25e-7, 5e-7, 1e-3 * (0.003 - 0.0005), 1e-3 * (0.003 - 0.0005)]
    np.testing.assert_allclose(huber(r), want, rtol=1e-12)


@pytest.mark.parametrize("law", [POWER, FLOOR, PARAMETRIC], ids=lambda law: law.name)
def test_law_and_gradient(law: Law) -> None:
    rng = np.random.default_rng(0)
    k = len(law.sizes)
    sizes = rng.uniform(1e3, 1e6, (12, k))
    centres = np.log(sizes).mean(0)
    logs = np.log(sizes) - centres
    theta = np.array([0.3, -0.2][:k] + [0.4, 0.25][:k] + [0.5][: law.floor])
    values = named(law, theta, centres)
    by_hand = sum(
        values[c] * sizes[:, i] ** -values[e]
        for i, (c, e) in enumerate(zip(law.coefficients, law.exponents, strict=True))
    )
    by_hand = by_hand + (values["E"] if law.floor else 0.0)
    np.testing.assert_allclose(np.exp(log_law(law, theta, logs)), by_hand, rtol=1e-12)
    predicted, slopes = with_slopes(law, theta, logs)
    np.testing.assert_allclose(predicted, np.log(by_hand), rtol=1e-12)
    for i in range(len(sizes)):
        numeric = approx_fprime(theta, lambda t, i=i: log_law(law, t, logs[i : i + 1])[0], 1e-7)
        np.testing.assert_allclose(slopes[i], numeric, atol=1e-6)


@pytest.mark.parametrize("misfit", [LOGS, Misfit(1e-4), Misfit(1e-3, of_logs=False), SQUARES], ids=str)
def test_the_mean_misfit_is_that_of_the_errors(misfit: Misfit) -> None:
    n, d, loss = plant("parametric", 0)
    sizes = np.log(np.stack([n, d], -1))
    logs = sizes - sizes.mean(0)
    theta = np.array([0.1, -0.3, 0.3, 0.25, 0.4])
    curve = np.exp(log_law(PARAMETRIC, theta, logs))
    error = np.log(loss / curve) if misfit.of_logs else loss - curve
    size = np.abs(error)
    by_hand = np.where(size <= misfit.delta, size**2 / 2, misfit.delta * (size - misfit.delta / 2))
    assert mean_misfit(PARAMETRIC, theta, logs, np.log(loss), misfit) == pytest.approx(by_hand.mean(), rel=1e-9)


def test_noiseless_power_law_is_numpys_line_and_scipys_curve() -> None:
    n, _, loss = plant("power", 0, noise=0.0)
    fit = fit_power(n, loss, floor=False, resamples=20)
    assert isinstance(fit, Fit)
    slope, intercept = np.polyfit(np.log(n), np.log(loss), 1)
    assert fit.values["alpha"].value == pytest.approx(-slope, rel=1e-9)
    assert fit.values["A"].value == pytest.approx(np.exp(intercept), rel=1e-8)

    n, _, loss = plant("floor", 0, noise=0.0)
    fit = fit_power(n, loss, floor=True, resamples=20)
    assert isinstance(fit, Fit)
    found, _ = curve_fit(
        lambda x, e, a, p: e + a * (x / 1e7) ** -p, n, loss, p0=(1.0, 1.0, 0.5), xtol=1e-13, ftol=1e-13
    )
    assert fit.values["E"].value == pytest.approx(found[0], rel=1e-7)
    assert fit.values["alpha"].value == pytest.approx(found[2], rel=1e-7)
    np.testing.assert_allclose(predict(fit, n[:6].reshape(2, 3)), loss[:6].reshape(2, 3), rtol=1e-10)


def test_noiseless_parametric_law_is_planted_and_scipys() -> None:
    n, d, loss = plant("parametric", 0, noise=0.0)
    fit = fit_parametric(n, d, loss, resamples=20)
    assert isinstance(fit, Fit) and fit.noise < 1e-9
    for name, true in TRUE.items():
        assert fit.values[name].value == pytest.approx(true, rel=1e-6)

    def curve(x: np.ndarray, e: float, a: float, b: float, alpha: float, beta: float) -> np.ndarray:
        return e + a * (x[0] / 1e7) ** -alpha + b * (x[1] / 1e9) ** -beta

    found, _ = curve_fit(curve, np.stack([n, d]), loss, p0=(1, 1, 1, 0.5, 0.5), xtol=1e-13, ftol=1e-13)
    np.testing.assert_allclose([fit.values[k].value for k in ("E", "alpha", "beta")], found[[0, 3, 4]], rtol=1e-6)
    assert fit.values["a"].value == pytest.approx(0.28 / 0.62, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("misfit", [LOGS, Misfit(1e-3, of_logs=False)], ids=str)
def test_no_other_minimiser_finds_less(seed: int, misfit: Misfit) -> None:
    """The objective is nearly a sum of absolute values: simplex searches from many places must not get below."""
    from scipy.optimize import minimize

    n, _, loss = plant("floor", seed)
    logs, log_y = (np.log(n) - np.log(n).mean())[:, None], np.log(loss)

    def objective(theta: np.ndarray) -> float:
        return float(mean_misfit(FLOOR, theta, logs, log_y, misfit)) * 1e6

    theta = minimise(FLOOR, logs, log_y, misfit)
    rng = np.random.default_rng(seed)
    for _ in range(2):
        start = theta + 0.1 * rng.standard_normal(3)
        options = {"maxiter": 800, "xatol": 1e-9, "fatol": 1e-9}
        other = minimize(objective, start, method="Nelder-Mead", options=options)
        assert objective(theta) <= other.fun * (1 + 1e-7)


def test_many_refits_are_single_fits() -> None:
    n, d, loss = plant("parametric", 2)
    sizes = np.log(np.stack([n, d], -1))
    logs = sizes - sizes.mean(0)
    weights = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 2).astype(float)
    best = minimise(PARAMETRIC, logs, np.log(loss))
    with threadpool_limits(1, "blas"):
        thetas, values = refit(PARAMETRIC, np.tile(best, (2, 1)), logs, np.tile(np.log(loss), (2, 1)), weights)
    for theta, value, weight in zip(thetas, values, weights, strict=True):
        rows = np.repeat(np.arange(40), weight.astype(int))  # a weight counts repeats
        with threadpool_limits(1, "blas"):
            alone = minimise(PARAMETRIC, logs[rows], np.log(loss)[rows])
        least = mean_misfit(PARAMETRIC, alone, logs[rows], np.log(loss)[rows]) * len(rows) / DELTA**2
        assert value == pytest.approx(least, rel=1e-3)
        curve, other = log_law(PARAMETRIC, theta, logs), log_law(PARAMETRIC, alone, logs)
        np.testing.assert_allclose(curve, other, atol=1e-3)


def test_bad_numbers_are_user_errors() -> None:
    with pytest.raises(UserError, match="loss is nan at run 3"):
        fit_power([1, 10, 100, 1000], [4, 3, 2, np.nan], floor=False)
    with pytest.raises(UserError, match="D is 0.0 at run 1"):
        fit_parametric(np.ones(3), [1, 0, 1], np.ones(3))
    with pytest.raises(ValueError, match="one length"):
        fit_power([1, 10], [1.0], floor=False)


def test_the_largest_runs_are_predicted_by_the_misfit_of_the_fit() -> None:
    """And the text says that the intervals of few runs are of another one."""
    n, d, loss = plant("parametric", 2)
    other = Misfit(0.5, of_logs=False)
    fit = fit_parametric(n, d, loss, misfit=other, method="runs", resamples=2)
    assert isinstance(fit, Fit) and fit.heldout is not None
    rest = n * d < fit.heldout.sizes.prod(1).min()
    theirs = fit_parametric(n[rest], d[rest], loss[rest], misfit=other, method="runs", resamples=2)
    assert isinstance(theirs, Fit)
    np.testing.assert_allclose(fit.heldout.predicted, predict(theirs, *fit.heldout.sizes.T), rtol=1e-6)
    usual = fit_parametric(n[rest], d[rest], loss[rest], method="runs", resamples=2)
    assert isinstance(usual, Fit)
    assert np.abs(fit.heldout.predicted / predict(usual, *fit.heldout.sizes.T) - 1).max() > 1e-5
    assert how_of_intervals(fit) == "2 bootstrap draws of the runs"
    assert f"least squares of log loss; the values are of the least {other}" in how_of_intervals(
        fit._replace(whole=True)
    )
