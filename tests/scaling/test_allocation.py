"""What a budget buys: against the known optimum of surfaces, with and without noise, and the bias of parabolas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import linregress, t

from benchmarks.allocation import SURFACES, design, known
from w2v_jax.scaling import profile
from w2v_jax.scaling.allocation import allocate, design_bias
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.isoflop import compute_optimal
from w2v_jax.scaling.laws import POWER

FAR = 1e24


def fitted(*columns: np.ndarray, **options: object) -> Fit:
    fit = fit_parametric(*columns, resamples=100, **options)
    assert isinstance(fit, Fit)
    return fit


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize(("spread", "drift"), [(2, 1), (16, 1), (4, 3), (16, 3)])
def test_without_noise_the_optimum_far_away_is_exact(name: str, spread: float, drift: float) -> None:
    n, d, _, loss = design(name, spread, drift)
    found, true = allocate(fitted(n, d, loss), FAR), compute_optimal(known(name), FAR)
    assert found.n.value == pytest.approx(float(true.n), rel=1e-3)  # the goal is 1 %
    assert found.d.value == pytest.approx(float(true.d), rel=1e-3)
    assert found.loss.value == pytest.approx(float(true.loss), rel=1e-5)
    assert found.times == pytest.approx(1e3)
    assert 6 * found.n.value * found.d.value == pytest.approx(FAR)


@pytest.mark.parametrize(
    ("name", "spread", "drift", "per_cent"),
    [  # measured by another program before this one was written
        ("Hoffmann", 16, 1, 6.2),
        ("Besiroglu", 4, 3, 9.1),
        ("asymmetric", 16, 1, 34.9),
        ("asymmetric", 16, 3, 40.2),
        ("Besiroglu", 8, 1, -1.0),
    ],
)
def test_the_bias_of_a_design_is_that_of_its_parabolas(name: str, spread: float, drift: float, per_cent: float) -> None:
    n, d, c, loss = design(name, spread, drift)
    noisy = loss * np.exp(np.random.default_rng(0).normal(0, 1e-5, len(loss)))
    bias = design_bias(fitted(n, d, noisy), c, None, [FAR])
    assert bias is not None and bias[0].flops == FAR
    assert 100 * bias[0].share == pytest.approx(per_cent, abs=0.1)


@pytest.mark.parametrize("power", [0.0, 0.1])
def test_the_bias_is_of_one_count_of_flops(power: float) -> None:
    """Narrow parabolas about the optimum of a grid have next to none, whether C is 9 N D or grows with the size."""
    values = known("Besiroglu")

    def surface(n: np.ndarray, flops: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        d = flops / (9 * (n / 1e8) ** power * n)
        return d, values["E"] + values["A"] / n ** values["alpha"] + values["B"] / d ** values["beta"]

    fine, flops = np.geomspace(1e6, 1e12, 40_001), np.geomspace(1e17, 1e21, 5)
    best = [fine[surface(fine, c)[1].argmin()] for c in flops]
    n, c = np.outer(best, np.geomspace(0.7, 1.4, 7)).ravel(), np.repeat(flops, 7)
    bias = design_bias(fitted(n, *surface(n, c)), c, None, [1e20])
    assert bias is not None and abs(bias[0].share) < 0.005


def test_few_runs_have_an_interval_that_holds_the_optimum() -> None:
    """Twelve runs; the benchmark has 200 trials of each design."""
    n, d, _, loss = design("asymmetric", 8, sizes=4, budgets=3)
    true = compute_optimal(known("asymmetric"), FAR)
    held = np.zeros(3)
    for seed in range(6):
        noisy = loss * np.exp(np.random.default_rng(seed).normal(0, 0.003, len(loss)))
        found = allocate(fitted(n, d, noisy), FAR)
        for i, (value, exact) in enumerate(((found.n, true.n), (found.d, true.d), (found.loss, true.loss))):
            held[i] += value.covers(float(exact))
            assert value.low < value.value < value.high < 10 * value.value
    assert (held >= 5).all()  # the seeds are fixed; the benchmark counts


def test_many_runs_have_bootstrap_quantiles() -> None:
    n, d, _, loss = design("Hoffmann", 8)
    noisy = loss * np.exp(np.random.default_rng(1).normal(0, 0.003, len(loss)))
    fit = fitted(n, d, noisy)
    found = allocate(fit, 1e21)
    assert not fit.whole and found.n.covers(float(compute_optimal(known("Hoffmann"), 1e21).n))


def line(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.linspace(-2, 2, 9)
    y = 0.7 - 0.3 * x + np.random.default_rng(seed).normal(0, 0.05, 9)
    return x, y, np.array([0.6, 0.25])


@pytest.mark.parametrize(
    ("quantity", "at"),
    [(lambda theta: theta[..., 0] - 5 * theta[..., 1], 5.0), (lambda theta: theta[..., 1], None)],
    ids=["a far value", "the slope"],
)
def test_of_a_line_the_profile_is_students_interval(
    quantity: Callable[[np.ndarray], np.ndarray], at: float | None
) -> None:
    x, y, start = line(0)
    low, high = profile.ends(POWER, start, x[:, None], y, quantity)
    fit = linregress(x, y)
    reach = t.ppf(0.975, 7)
    if at is None:
        value, error = -fit.slope, fit.stderr
    else:
        value, error = fit.intercept + at * fit.slope, np.hypot(fit.intercept_stderr, at * fit.stderr)
    assert [low, high] == pytest.approx([value - reach * error, value + reach * error], abs=2e-3 * reach * error)


def test_what_the_runs_do_not_show_is_free() -> None:
    x, y, start = line(1)
    low, high = profile.ends(POWER, start, x[:, None], y, lambda theta: np.asarray(0.0 * theta[..., 0]))
    assert (low, high) == (-np.inf, np.inf)


def test_only_a_surface_and_a_budget_are_allocated() -> None:
    n, d, _, loss = design("Hoffmann", 8)
    power = fit_power(n[::7], loss[::7], floor=False, resamples=10)
    surface = fitted(n, d, loss)
    with pytest.raises(ValueError, match="needs a fit of"):
        allocate(power, 1e20)
    for flops in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="must be a positive number"):
            allocate(surface, flops)
