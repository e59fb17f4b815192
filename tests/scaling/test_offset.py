"""The law of the frontier with an offset of either sign, against planted laws and scipy's least squares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import t

from w2v_jax.scaling.expected import Expected, widened
from w2v_jax.scaling.fitted import Fit, Refusal, Value
from w2v_jax.scaling.frontier import Frontier, seeds_apart
from w2v_jax.scaling.offset import Offset, as_fit, fit_offset

FLOPS = np.geomspace(2e11, 1e13, 7)


def planted(flops: np.ndarray | float, offset: float, alpha: float = 0.06) -> np.ndarray:
    """Losses that come to 4.4 nats at 1e13 FLOPs."""
    return np.asarray(offset + (4.4 - offset) * (np.asarray(flops) / 1e13) ** -alpha)


def points(flops: np.ndarray, loss: np.ndarray) -> Frontier:
    return Frontier(flops, loss, np.ones(len(flops)))


def fitted(flops: np.ndarray, loss: np.ndarray) -> Offset:
    found = fit_offset(points(flops, loss))
    assert isinstance(found, Offset)
    return found


@pytest.mark.parametrize("offset", [-4.0, 0.5, 2.0])
def test_a_planted_offset_is_found(offset: float) -> None:
    loss = planted(FLOPS, offset)
    found = fitted(FLOPS, loss)
    values = found.values()
    assert values["E"].value == pytest.approx(offset, abs=0.05)
    assert values["alpha"].value == pytest.approx(0.06, rel=0.02)
    assert found.expect(1e15).law.value == pytest.approx(float(planted(1e15, offset)), rel=1e-3)
    fit = as_fit(points(FLOPS, loss), found)
    assert isinstance(fit, Fit) and fit.values == values
    assert "below zero" in fit.notes[0] if offset < 0 else "a floor" in fit.notes[0]


def test_it_is_the_least_squares_of_log_loss() -> None:
    rng = np.random.default_rng(0)
    loss = planted(FLOPS, -1.0) * np.exp(0.003 * rng.standard_normal(7))
    logs = np.log(FLOPS / 1e13)

    def residuals(p: np.ndarray) -> np.ndarray:
        return np.log(p[0] + np.exp(p[1] - p[2] * logs)) - np.log(loss)

    other = least_squares(residuals, [-1.0, np.log(5.4), 0.06], x_scale=[1.0, 0.1, 0.01], xtol=1e-14, ftol=1e-14)
    found = fitted(FLOPS, loss)
    assert found.noise == pytest.approx(np.sqrt(2.0 * other.cost / 4), rel=1e-3)
    assert found.expect(1e14).law.value == pytest.approx(
        other.x[0] + np.exp(other.x[1] - other.x[2] * np.log(10)), rel=1e-3
    )


@pytest.mark.parametrize("offset", [-4.0, 2.0])
def test_intervals_hold_a_further_run_as_often_as_they_say(offset: float) -> None:
    """At 10 and at 100 times the FLOPs of the largest run: 95 % of 200, three standard errors allowed."""
    rng = np.random.default_rng(1)
    truth, inside = planted(FLOPS, offset), np.zeros(2)
    for _ in range(200):
        found = fitted(FLOPS, truth * np.exp(0.001 * rng.standard_normal(7)))
        for i, flops in enumerate((1e14, 1e15)):
            _, low, high = found.expect(flops).loss
            inside[i] += low <= planted(flops, offset) * np.exp(0.001 * rng.standard_normal()) <= high
    assert (inside >= 181).all() and (inside < 200).all()


def test_where_a_line_in_log_flops_is_as_good_the_offset_is_free_below() -> None:
    values = fitted(FLOPS, 4.4 - 0.24 * np.log(FLOPS / 1e13)).values()
    assert values["E"].low == -np.inf


def test_too_few_points_are_refused() -> None:
    found = fit_offset(points(FLOPS[:3], planted(FLOPS[:3], 1.0)))
    assert isinstance(found, Refusal) and found.reason == "3 point(s) of the frontier: at least 4 are needed"
    assert as_fit(points(FLOPS[:3], planted(FLOPS[:3], 1.0)), found) == found


def test_flops_must_be_positive() -> None:
    with pytest.raises(ValueError, match="flops=0"):
        fitted(FLOPS, planted(FLOPS, 0.0)).expect(0.0)


def test_a_single_run_has_the_noise_that_means_of_seeds_lack() -> None:
    n, d = np.array([1e5, 1e5, 1e5, 2e5, 2e5]), np.array([1e6, 1e6, 1e6, 2e6, 2e6])
    loss = np.exp(np.array([1.51, 1.50, 1.49, 1.42, 1.40]))
    pooled = (0.01**2 * 2 + 0.01**2 * 2) / 3
    want = t.ppf(0.975, 3) * np.sqrt(pooled * ((2 / 3) + (1 / 2)) / 2)
    assert seeds_apart(n, d, 6.0 * n * d, loss) == pytest.approx(want)
    assert seeds_apart(n[2:4], d[2:4], 6.0 * (n * d)[2:4], loss[2:4]) == 0.0
    two = Expected(Value(4.0, 4.0 * np.exp(-0.03), 4.0 * np.exp(0.03)), Value(4.0, 3.9, 4.1))
    wider = widened(two, 0.04)
    assert wider.law == two.law
    np.testing.assert_allclose(wider.loss, [4.0, 4.0 * np.exp(-0.05), 4.0 * np.exp(0.05)])
