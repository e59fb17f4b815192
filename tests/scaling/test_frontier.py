"""The law of loss by compute along the frontier, and forecasts by it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import f, linregress

from configs.scaling import synthetic
from experiments.scaling import forecast
from tests.commands import ROOT
from tests.scaling.planted import record
from w2v_jax.errors import UserError
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.expected import expect
from w2v_jax.scaling.fitted import Fit, Refusal
from w2v_jax.scaling.frontier import Frontier, fit_frontier, frontier, off, on_frontier, with_floor
from w2v_jax.scaling.study import Planned, Study, runs


def test_the_frontier_is_below_all_that_costs_no_more_by_the_mean_of_seeds() -> None:
    n = np.array([10.0, 10.0, 20.0, 40.0, 20.0, 80.0])
    c = np.array([1.0, 1.0, 2.0, 2.0, 3.0, 4.0])
    loss = np.array([4.0, 9.0, 5.0, 5.5, 5.9, 5.0])
    found = frontier(n, np.full(6, 200.0), c, loss)
    assert found.flops.tolist() == [1.0, 2.0], "a run as good as a cheaper one is not on it"
    np.testing.assert_allclose(found.loss, [6.0, 5.0])  # the geometric mean of 4 and 9
    assert found.per_parameter.tolist() == [20.0, 10.0]
    assert not off(found, 10.0, 50.0) and not off(found, 10.0, 400.0)
    assert off(found, 10.0, 49.0) and off(found, 10.0, 401.0)


def test_seeds_that_draw_a_few_words_more_or_less_are_one_point_of_the_frontier() -> None:
    """The luckier of them does not stand for both."""
    n, d = np.array([10.0, 10.0, 20.0, 20.0]), np.array([1000.0, 1003.0, 1000.0, 1030.0])
    c, loss = 6.0 * n * d, np.array([4.0, 9.0, 3.0, 2.9])
    found = frontier(n, d, c, loss)
    np.testing.assert_allclose(found.loss, [6.0, 3.0, 2.9])  # the last two are 3 % apart: two amounts of text
    np.testing.assert_allclose(found.flops, [60_090.0, 120_000.0, 123_600.0])
    assert on_frontier(n, d, c, loss).all()
    loss[3] = 3.1
    assert on_frontier(n, d, c, loss).tolist() == [True, True, True, False]


@pytest.mark.parametrize(("floor", "fitted"), [(0.0, False), (1.5, False), (1.5, True)])
def test_a_planted_law_of_the_frontier_is_found(floor: float, fitted: bool) -> None:
    """Runs beside the frontier, of other splits between N and D, do not move it."""
    c = np.repeat(np.geomspace(1e11, 1e13, 7), 3)
    split = np.tile([0.3, 1.0, 3.0], 7)
    n = np.sqrt(c / 120.0) * split
    loss = floor + 30.0 * c**-0.06 * (1.0 + 0.02 * np.log(split) ** 2)
    found = frontier(n, c / 6.0 / n, c, loss)
    fit = fit_frontier(found, fitted=True) if fitted else fit_frontier(found, floor)
    assert isinstance(fit, Fit) and fit.points == 7
    assert fit.values["alpha"].value == pytest.approx(0.06, rel=5e-3 if fitted else 1e-4)
    assert fit.values["A"].value == pytest.approx(30.0, rel=5e-2 if fitted else 1e-3)
    assert fit.values["E"].value == pytest.approx(floor, rel=2e-2) if fitted else "E" not in fit.values
    known = "L(C) - E = A C^-alpha" if floor else "y = A C^-alpha"
    assert fit.law.formula == ("y = E + A C^-alpha" if fitted else known)


@pytest.fixture
def small() -> Study:
    whole = synthetic.get_config()
    arm = dataclasses.replace(whole.arms["transformer"], seeds=(0,))
    return dataclasses.replace(whole, arms={"transformer": arm}, optimum=False)


def loss_of(run: Planned, optimum: float = 0.0) -> float:
    return float(optimum + 40.0 * run.flops**-0.08)


@pytest.mark.parametrize(("optimum", "floor"), [(None, "free"), (1.25, "free"), (1.25, "known"), (1.25, "fitted")])
def test_a_forecast_by_the_frontier(
    small: Study, optimum: float | None, floor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every run is on it; a run of far more tokens a parameter gets a warning."""
    planned, results, file = runs(small, 200), tmp_path / "results.jsonl", tmp_path / "a.json"
    rows = []
    for run in planned:
        known = {"run": run.name, "arm": run.arm, "config_hash": records.config_hash(run.config)}
        known |= {"parameters": run.ledger.parameters, "tokens": run.tokens, "training_flops": run.flops}
        rows.append(record(**known, heldout_loss=loss_of(run, optimum or 0.0), optimum=optimum))
    records.write(results, rows)
    arm = dataclasses.replace(small.arms["transformer"], sizes=("model.dim=128",), tokens=(8e6, 8e9))
    larger = runs(dataclasses.replace(small, arms={"transformer": arm}), 200)
    assert forecast.write(file, results, small, larger, floor, "the command", "frontier") == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    for target, run in zip(found["targets"], larger, strict=True):
        near = target["loss"][0] == pytest.approx(loss_of(run, optimum or 0.0), rel=1e-4)
        assert near == (optimum is None or floor != "free")
        assert target["times"] == pytest.approx(run.flops / max(r.flops for r in planned))
    law = found["laws"]["transformer"]
    assert (law["values"]["alpha"][0] == pytest.approx(0.08, rel=1e-3)) == (optimum is None or floor != "free")
    assert len(law["frontier"]["flops"]) == len({run.flops for run in planned})
    said = capsys.readouterr().out
    warned = [line for line in said.splitlines() if line.startswith("warning")]
    contradicted = optimum is not None and floor == "free"
    assert len(warned) == 1 + contradicted and larger[1].name in warned[0] and "tokens a parameter" in warned[0]
    assert ("a law with a floor is closer to the runs (F = " in warned[-1]) == contradicted
    assert ("this law has no floor, which is an assumption" in said) == (floor == "free")
    assert ("; E = 1.25" in said and ", 95 % interval" in said) == (floor == "fitted")


def test_the_comparison_with_a_floor_is_the_f_test_of_one_parameter() -> None:
    """By scipy's own fits; a planted floor is found, and where there is none that is rarely said."""
    c, rng = np.geomspace(1e9, 1e13, 9), np.random.default_rng(0)
    logs = np.log(c) - 25.0
    bare = 30.0 * c**-0.08 * np.exp(rng.normal(0, 0.003, (8, 9)))

    def law(x: np.ndarray, a: float, b: float, e: float) -> np.ndarray:
        return np.log(np.exp(a - b * x) + e)

    log_y = np.log(bare[0] + 2.0)
    line, theta = linregress(logs, log_y), curve_fit(law, logs, log_y, (1.4, 0.1, 1.0))[0]
    one = ((log_y - line.intercept - line.slope * logs) ** 2).sum()
    two = ((log_y - law(logs, *theta)) ** 2).sum()
    found = with_floor(Frontier(c, bare[0] + 2.0, c))
    assert found.worse and found.ratio == pytest.approx((one - two) / (two / 6), rel=1e-3)
    assert found.chance == pytest.approx(f.sf(found.ratio, 1, 6), rel=1e-2)
    assert sum(with_floor(Frontier(c, loss, c)).worse for loss in bare) <= 1
    few = with_floor(Frontier(c[:3], bare[0, :3], c[:3]))
    assert isinstance(few.fit, Refusal) and not few.worse


def test_too_few_runs_have_no_frontier(small: Study, tmp_path: Path) -> None:
    run = runs(small, 200)[0]
    known = {"run": run.name, "arm": run.arm, "config_hash": records.config_hash(run.config)}
    known |= {"parameters": run.ledger.parameters, "tokens": run.tokens, "training_flops": run.flops}
    results = tmp_path / "results.jsonl"
    records.write(results, [record(**known, heldout_loss=4.0)])
    with pytest.raises(UserError, match="arm transformer: no law, so no forecast: 1 run"):
        forecast.write(tmp_path / "a.json", results, small, runs(small, 200)[1:2], "free", "", "frontier")
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("small", "large", "known", "most"),
    [
        ("wiki_small", "wiki_large", False, 0.015),
        ("wiki_second", "wiki_large", False, 0.015),
        ("tasks_small", "tasks_large", True, 0.004),
        ("tasks_small", "tasks_largest", True, 0.004),
    ],
)
def test_committed_runs_of_10_to_105_times_are_where_the_frontier_says(
    small: str, large: str, known: bool, most: float
) -> None:
    """After the fact: the law was chosen when these runs were known."""
    folder = ROOT / "results" / "forecasts"
    made, came = (analysis.usable(records.read([folder / f"{name}.jsonl"])) for name in (small, large))
    floor = float(np.mean([r.optimum or 0.0 for r in made])) if known else 0.0
    fit = fit_frontier(frontier(*analysis.columns(made)), floor)
    assert isinstance(fit, Fit)
    fitted = {r.config_hash for r in made}
    further = [r for r in came if r.config_hash not in fitted]
    assert further
    for run in further:
        value, low, high = (floor + x for x in expect(fit, run.training_flops).loss)
        loss = run.heldout_loss or 0.0
        assert low <= loss <= high and abs(value / loss - 1.0) <= most, run.run
