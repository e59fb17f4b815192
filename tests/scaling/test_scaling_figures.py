"""Pictures of scaling laws are written, and hold what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from benchmarks.scaling_coverage import TRUE, plant
from w2v_jax.figures.scaling import draw_forest, draw_isoflop, draw_law, draw_parametric
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit, Value
from w2v_jax.scaling.isoflop import Isoflop, compute_optimal, fit_isoflop


def text_of(path: Path) -> str:
    """An .svg draws text as paths, but keeps the text in comments."""
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("floor", [False, True])
def test_a_law(tmp_path: Path, floor: bool) -> None:
    n, _, loss = plant("floor", 0)
    fit = fit_power(n, loss, floor=floor, symbol="N", resamples=30)
    assert isinstance(fit, Fit)
    draw_law(fit, tmp_path / "law.svg", floor=1.69, source="planted")
    text = text_of(tmp_path / "law.svg")
    assert all(word in text for word in ("<!-- extrapolation -->", "true optimum, 1.69", "95 % band", "40 runs"))
    assert ("fitted floor, E =" in text) is floor
    with pytest.raises(ValueError, match="draw_law"):
        draw_parametric(fit, tmp_path / "x.png")


def test_a_floor_that_is_nothing_is_told_and_not_drawn(tmp_path: Path) -> None:
    """Losses without a floor: the picture keeps to the runs, and the fit says that it shows none."""
    sizes, d = np.meshgrid(np.geomspace(1e5, 4e6, 4), np.geomspace(5e5, 2e7, 4))
    n, d = sizes.ravel(), d.ravel()
    fit = fit_parametric(n, d, 4 * (n / 1e6) ** -0.07 + 2 * (d / 1e6) ** -0.09, resamples=30)
    assert isinstance(fit, Fit) and fit.values["E"].value < 1e-2
    assert "the runs do not show that there is a floor" in " ".join(fit.notes)
    draw_parametric(fit, tmp_path / "parametric.svg")
    text = text_of(tmp_path / "parametric.svg")
    assert ": below the picture -->" in text and "<!-- 5.0 -->" in text and "<!-- 2.0 -->" not in text


def test_parametric_and_isoflop(tmp_path: Path) -> None:
    budgets = np.repeat(np.geomspace(1e15, 1e18, 4), 5)
    n = compute_optimal(TRUE, budgets).n * np.tile(np.geomspace(0.3, 3, 5), 4)
    d = budgets / (6 * n)
    noise = np.exp(0.002 * np.random.default_rng(0).standard_normal(20))
    loss = (TRUE["E"] + TRUE["A"] / n ** TRUE["alpha"] + TRUE["B"] / d ** TRUE["beta"]) * noise
    fit = fit_parametric(n, d, loss, resamples=30)
    iso = fit_isoflop(n, budgets, loss, resamples=30)
    assert isinstance(fit, Fit) and isinstance(iso, Isoflop)
    draw_parametric(fit, tmp_path / "parametric.svg")
    assert "training tokens D" in text_of(tmp_path / "parametric.svg")
    draw_isoflop(iso, tmp_path / "isoflop.svg", parametric=fit)
    text = text_of(tmp_path / "isoflop.svg")
    assert "minima: a = 0.4" in text and "parametric law: a = 0.4" in text and "extrapolation" in text
    with pytest.raises(ValueError, match="draw_parametric"):
        draw_law(fit, tmp_path / "x.png")


def test_a_forest(tmp_path: Path) -> None:
    values = {"ours": Value(0.3, 0.2, 0.4), "theirs": Value(0.34, np.nan, np.nan)}
    draw_forest({"exponent": values, "other": values}, tmp_path / "forest.png")
    assert imread(tmp_path / "forest.png").std() > 0
    with pytest.raises(ValueError, match="every group"):
        draw_forest({"exponent": {}}, tmp_path / "x.png")
    assert [p.name for p in tmp_path.iterdir()] == ["forest.png"]
