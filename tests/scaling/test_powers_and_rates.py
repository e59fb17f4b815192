"""Products of powers against numpy and scipy, and the optima of rate and batch against planted ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import linregress, t

from w2v_jax.errors import UserError
from w2v_jax.scaling.powers import fit_powers
from w2v_jax.scaling.rates import fit_rates


def test_one_power_is_scipys_line_with_students_interval() -> None:
    rng = np.random.default_rng(0)
    x = np.geomspace(1e15, 1e20, 7)
    y = 0.3 * x**0.46 * np.exp(rng.normal(0, 0.1, 7))
    found, line = fit_powers({"C": x}, y), linregress(np.log(x), np.log(y))
    reach = t.ppf(0.975, 5)
    exponent = found.exponents["C"]
    want = [line.slope, line.slope - reach * line.stderr, line.slope + reach * line.stderr]
    assert list(exponent) == pytest.approx(want, rel=1e-9)
    assert np.log(found.coefficient.value) == pytest.approx(line.intercept, rel=1e-9)
    assert np.log(found.coefficient.high) == pytest.approx(line.intercept + reach * line.intercept_stderr, rel=1e-6)
    assert found.at(C=1e22) == pytest.approx(np.exp(line.intercept + line.slope * np.log(1e22)))


def test_two_powers_with_weights_are_scipys_weighted_curve() -> None:
    rng = np.random.default_rng(1)
    n, d, error = rng.uniform(1e6, 1e9, 12), rng.uniform(1e8, 1e11, 12), rng.uniform(0.02, 0.3, 12)
    y = 2.0 * n**-0.7 * d**0.3 * np.exp(error * rng.standard_normal(12))
    found = fit_powers({"N": n, "D": d}, y, error**-2)

    def line(logs: np.ndarray, k: float, a: float, b: float) -> np.ndarray:
        return k + a * logs[0] + b * logs[1]

    want, covariance = curve_fit(line, np.log([n, d]), np.log(y), sigma=error)
    assert [found.exponents[x].value for x in "ND"] == pytest.approx(want[1:], rel=1e-6)
    width = found.exponents["N"].high - found.exponents["N"].low
    assert width == pytest.approx(2 * t.ppf(0.975, 9) * np.sqrt(covariance[1, 1]), rel=1e-5)


def test_points_that_do_not_tell_powers_apart_are_refused() -> None:
    x = np.array([1.0, 2.0, 4.0])
    with pytest.raises(UserError, match="do not tell 3 numbers apart; vary N and D more"):
        fit_powers({"N": x, "D": 5 * x**2}, x)
    with pytest.raises(UserError, match="y is 0.0 at run 1"):
        fit_powers({"N": x}, np.array([1.0, 0.0, 1.0]))
    exact = fit_powers({"N": x[:2]}, x[:2])
    assert exact.exponents["N"].value == pytest.approx(1.0) and np.isnan(exact.exponents["N"].low)


def sweeps(shift: float = 0.0) -> list[np.ndarray]:
    """Cells of 5 x 5 rates and batches about planted optima, which are not on the grid."""
    rows = []
    for n in (1e6, 1e7, 1e8):
        for d in (1e8, 1e9):
            best = np.log([1.8 * n**-0.7 * d**0.3, 0.6 * d**0.55])
            for u in np.arange(-2, 3) * 0.35 + shift:
                for v in np.arange(-2, 3) * 0.35 + shift:
                    away = 0.02 * (u**2 + 0.5 * u * v + v**2)
                    rows.append([n, d, *np.exp(best + [u, v]), 3.0 + away])
    return list(np.array(rows).T)


def test_planted_rates_and_batches_are_found_between_what_was_tried() -> None:
    n, d, rate, batch, loss = sweeps(0.1)
    found = fit_rates(n, d, rate, batch, loss)
    assert len(found.cells) == 6 and not found.refused
    assert [found.rate.exponents[x].value for x in "ND"] == pytest.approx([-0.7, 0.3], abs=1e-9)
    assert found.rate.coefficient.value == pytest.approx(1.8) and found.batch.coefficient.value == pytest.approx(0.6)
    assert found.batch.exponents["D"].value == pytest.approx(0.55)
    assert found.cells[0].loss == pytest.approx(3.0)
    assert float(found.rate.at(N=1e9, D=1e10)) == pytest.approx(1.8 * 1e9**-0.7 * 1e10**0.3)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rate, batch, loss: (rate, batch, 6.0 - loss), "no minimum"),
        (lambda rate, batch, loss: (rate, rate, loss), "not varied apart"),
        (lambda rate, batch, loss: (rate, batch, loss + 1e3 * (np.arange(len(loss)) % 25 > 6)), "8 are needed"),
    ],
)
def test_cells_without_an_optimum_are_named(change, why: str) -> None:  # noqa: ANN001
    n, d, rate, batch, loss = sweeps()
    with pytest.raises(UserError, match=f"3 are needed; the first: N = 1e\\+06, D = 1e\\+08: .*{why}"):
        fit_rates(n, d, *change(rate, batch, loss))


def test_a_minimum_outside_of_what_was_tried_is_no_optimum() -> None:
    n, d, rate, batch, loss = sweeps(1.0)
    with pytest.raises(UserError, match="outside of what was tried"):
        fit_rates(n, d, rate, batch, loss)
