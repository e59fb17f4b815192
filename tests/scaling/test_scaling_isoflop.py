"""IsoFLOP parabolas and compute-optimal sizes, against brute force and planted exponents."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scaling_coverage import TRUE
from w2v_jax.errors import UserError
from w2v_jax.scaling.describe import describe
from w2v_jax.scaling.fitted import Refusal
from w2v_jax.scaling.isoflop import Isoflop, compute_optimal, fit_isoflop

BUDGETS = np.geomspace(1e15, 1e18, 4)


def grid(noise: float = 0.0, seed: int = 0, spread: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, FLOPs and losses of seven sizes about the optimum at each budget: exact parabolas in log N."""
    rng = np.random.default_rng(seed)
    flops = np.repeat(BUDGETS, 7)
    away = np.tile(np.linspace(-np.log(spread), np.log(spread), 7), 4)
    best = 0.5 * flops**0.46
    loss = 1.7 + 200 * flops**-0.12 + 0.08 * away**2
    return best * np.exp(away), flops, loss + noise * rng.standard_normal(28)


def test_the_optimum_is_the_least_on_a_fine_grid() -> None:
    flops = np.array([1e18, 1e21])
    found = compute_optimal(TRUE, flops)
    n = np.geomspace(1e6, 1e12, 600_001)[:, None]
    d = flops / (6 * n)
    loss = TRUE["E"] + TRUE["A"] / n ** TRUE["alpha"] + TRUE["B"] / d ** TRUE["beta"]
    np.testing.assert_allclose(found.n, n[loss.argmin(0), 0], rtol=1e-4)
    np.testing.assert_allclose(found.loss, loss.min(0), rtol=1e-9)
    np.testing.assert_allclose(6 * found.n * found.d, flops)
    slope = np.log(found.n[1] / found.n[0]) / np.log(1e3)
    assert slope == pytest.approx(TRUE["beta"] / (TRUE["alpha"] + TRUE["beta"]))


def test_exact_parabolas_give_the_planted_law() -> None:
    n, flops, loss = grid()
    result = fit_isoflop(n, flops, loss, resamples=50)
    assert isinstance(result, Isoflop) and not result.refused and not result.reason and result.points == 28
    assert result.values["a"].value == pytest.approx(0.46, rel=1e-8)
    assert result.values["b"].value == pytest.approx(0.54, rel=1e-8)
    assert result.values["k_N"].value == pytest.approx(0.5, rel=1e-6)
    tokens = result.values["k_D"].value * BUDGETS ** result.values["b"].value
    for p, d in zip(result.parabolas, tokens, strict=True):
        assert p.best.value * d * 6 == pytest.approx(p.flops, rel=1e-6)
        assert p.lowest == pytest.approx(1.7 + 200 * p.flops**-0.12, rel=1e-9)
        chosen = np.isclose(flops, p.flops)
        np.testing.assert_allclose(
            p.coefficients, np.polyfit(np.log(n[chosen]) - p.centre, loss[chosen], 2)[::-1], atol=1e-12
        )


def test_tokens_are_those_that_the_runs_own_flops_buy() -> None:
    """FLOPs of 9 N D, and of a count that grows with the size: the tokens of the minimum are those of a run there."""
    n, flops, loss = grid()
    for per in (np.full(28, 9.0), 6 * (n / 1e9) ** 0.05):
        result = fit_isoflop(n, flops, loss, tokens=flops / (per * n), resamples=50)
        assert isinstance(result, Isoflop)
        for i, p in enumerate(result.parabolas):
            middle = 7 * i + 3  # the run at the minimum
            assert p.tokens == pytest.approx(flops[middle] / (per[middle] * n[middle]), rel=1e-6)
        at = result.values["k_D"].value * BUDGETS ** result.values["b"].value
        np.testing.assert_allclose(at, [p.tokens for p in result.parabolas], rtol=1e-6)


def test_parabolas_through_three_sizes_have_no_intervals() -> None:
    """They have no residuals: an interval of the width zero would be a lie."""
    n, flops, loss = (x.reshape(4, 7)[:, 1:6:2].ravel() for x in grid(0.003))
    result = fit_isoflop(n, flops, loss)
    assert isinstance(result, Isoflop) and result.values["a"].value == pytest.approx(0.46, abs=0.05)
    bounds = [x for v in (*result.values.values(), *(p.best for p in result.parabolas)) for x in v[1:]]
    assert np.isnan(bounds).all() and not len(result.samples)
    assert "nothing tells the noise" in describe(result) and "[" not in describe(result)


def test_equal_losses_have_no_minimum() -> None:
    n, flops, loss = grid()
    result = fit_isoflop(n, flops, np.full_like(loss, 3.0) * (1 + 1e-15 * np.arange(28)))
    assert isinstance(result, Refusal) and "all losses are 3" in result.reason


def test_intervals_hold_the_planted_exponent() -> None:
    covered, widths, errors = 0, [], []
    for seed in range(40):
        result = fit_isoflop(*grid(0.01, seed), resamples=200, seed=seed)
        assert isinstance(result, Isoflop)
        a = result.values["a"]
        covered += a.covers(0.46)
        widths.append(a.high - a.low)
        errors.append(a.value - 0.46)
    assert covered >= 34  # at a true 95 %, fewer are seen once in 700
    assert np.median(widths) < 1.5 * 2 * 1.96 * np.std(errors)


def test_budgets_are_found_or_given() -> None:
    n, flops, loss = grid()
    near = flops * np.tile([0.97, 1.0, 1.03, 1.0, 0.98, 1.0, 1.02], 4)
    for budgets in (None, BUDGETS):
        result = fit_isoflop(n, near, loss, budgets=budgets, resamples=20)
        assert isinstance(result, Isoflop) and [len(p.sizes) for p in result.parabolas] == [7] * 4
    order = np.random.default_rng(0).permutation(28)
    again = fit_isoflop(n[order], near[order], loss[order], resamples=20)
    assert isinstance(again, Isoflop) and again.values["a"].value == pytest.approx(result.values["a"].value)


def test_refusals() -> None:
    n, flops, loss = grid()
    two = np.arange(28) % 7 < 2
    result = fit_isoflop(n[two], flops[two], loss[two])
    assert isinstance(result, Refusal) and "fewer than three sizes at every budget" in result.reason
    falling = np.arange(28) % 7 < 3  # the sizes seen are all below the best
    result = fit_isoflop(n[falling], flops[falling], loss[falling])
    assert isinstance(result, Refusal) and "outside the sizes seen" in result.reason
    result = fit_isoflop(n, flops, -loss + 2 * loss.max())
    assert isinstance(result, Refusal) and "opens downwards" in result.reason
    kept = ~two | (flops > 1e17)  # the minimum is still seen
    lame = np.where((flops < 2e15) & (np.arange(28) % 7 > 2), False, kept)
    part = fit_isoflop(n[lame], flops[lame], loss[lame], resamples=20)
    assert isinstance(part, Isoflop) and len(part.parabolas) == 3 and len(part.refused) == 1
    assert part.values["a"].value == pytest.approx(0.46, rel=1e-6) and "left out" in describe(part)
    one = flops < 2e15
    part = fit_isoflop(n[one], flops[one], loss[one], resamples=20)
    assert isinstance(part, Isoflop) and not part.values and "two or more over at least one decade" in part.reason
    assert "no power law of the minima" in describe(part)
    with pytest.raises(UserError, match="loss is .* at run 0; it must be a positive number"):
        fit_isoflop(n, flops, -loss)
