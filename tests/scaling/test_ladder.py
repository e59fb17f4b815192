"""The two-step ladder: planted steps come back, and the OLMo ladder's published forecasts come out again."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ladder_coverage
from experiments.scaling import published_ladder
from w2v_jax.errors import UserError
from w2v_jax.scaling import ladder
from w2v_jax.scaling.ladder import Link, Run, climb, fit_link, second_step, trailing

LINK = Link(-0.75, 1.1, 5.0, 1.0)


def planted(noise: float = 0.0) -> list[Run]:
    """Runs of a known surface whose checkpoints approach their last loss; accuracy is a known curve of it."""
    rng, runs = np.random.default_rng(0), []
    for n in (1e8, 3e8, 1e9, 3e9):
        for ratio in (20, 100, 400, 2000):
            d = ratio * n
            end = loss_of(n, d) * np.exp(rng.normal(0, noise))
            loss = end * (1 + np.concatenate([np.geomspace(1.0, 0.01, 35), np.zeros(5)]))
            runs.append(Run(n, d, loss, LINK(loss)))
    return runs


def loss_of(n: float, d: float) -> float:
    return float(0.5 + 40 / n**0.25 + 200 / d**0.3)


def test_both_planted_steps_come_back_far_beyond_the_runs() -> None:
    found = climb(planted(), 3e10, 3e13, 0.7, resamples=20)
    truth = loss_of(3e10, 3e13)
    assert found.loss.value == pytest.approx(truth, rel=1e-4)
    assert found.accuracy.value == pytest.approx(float(LINK(truth)), abs=2e-3)
    assert found.known.value == pytest.approx(float(LINK(0.7)), abs=2e-3)


def test_the_interval_widens_with_the_noise_of_the_runs() -> None:
    quiet, loud = (climb(planted(noise), 3e10, 3e13, 0.7, resamples=20) for noise in (0.0, 0.03))
    assert loud.loss.high - loud.loss.low > 10 * (quiet.loss.high - quiet.loss.low)
    assert loud.loss.covers(loss_of(3e10, 3e13)) and loud.accuracy.covers(float(LINK(loss_of(3e10, 3e13))))


def test_planted_truth_at_the_published_design_is_inside() -> None:
    """Few trials; the benchmark has a hundred."""
    row = ladder_coverage.coverage(0.003, 2, 20)
    assert min(row[name] for name in ladder_coverage.VALUES) >= 0.5
    assert 0.01 < row["loss, width"] < 0.2 and 0.01 < row["accuracy, width"] < 0.15
    assert "0.3%" in ladder_coverage.show([row])


def test_the_curve_is_found_within_its_bounds() -> None:
    loss = np.linspace(0.4, 3, 60)
    np.testing.assert_allclose(fit_link(loss, LINK(loss)), LINK, rtol=1e-4)
    above = fit_link(loss, LINK._replace(b=1.1)(loss))
    assert above.b == pytest.approx(1.0, abs=1e-6)


def test_a_moving_mean_looks_back_only() -> None:
    np.testing.assert_allclose(trailing(np.array([1.0, 2, 6, 3]), 3), [1, 1.5, 3, 11 / 3])


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(UserError, match="5 run.s. for a ladder: at least 6"):
        climb(planted()[:5], 1e10, 1e12, 0.7)


def test_the_published_forecasts_come_out_again(shared_data: Path) -> None:
    folder, columns = shared_data / "scaling", {v: k for k, v in published_ladder.TASKS.items()}
    found = published_ladder.forecasts(folder / "olmo_ladder.csv.xz", resamples=4)
    ours, came = published_ladder.numbers(found), published_ladder.outcomes(found)
    kinds = {"step1_main": "bits a byte", "step2_main": "accuracy by the measured bits", "chained_main": "accuracy"}
    rows = list(csv.DictReader((folder / "olmo_ladder_published.csv").open()))
    assert len(rows) == 24
    for row in rows:
        task, number = columns[row["task"].removesuffix("_5shot")], kinds[row["table"]]
        assert ours[f"{task}, {number}"].value == pytest.approx(float(row["predicted"]), abs=1e-5)
        kind = "loss" if row["table"] == "step1_main" else "accuracy"
        assert came[task][kind] == pytest.approx(float(row["actual"]), abs=1e-6)
    said = published_ladder.show(ours, came)
    assert "ARC easy" in said and "-9.9" in said


def test_the_plain_curve_is_taken_where_the_runs_do_not_contradict_it() -> None:
    rng, loss = np.random.default_rng(5), np.linspace(4.9, 6.0, 32)
    flat = [np.array([[x], [0.62 - 0.05 * (x - 4.9) + rng.normal(0, 0.01)]]) for x in loss]
    four, plain = (second_step(flat, None, further=True, plain=way) for way in (False, True))
    assert plain.link.a == -1.0 and plain.link.b == 1.0
    assert plain.at(4.4).value == pytest.approx(0.645, abs=0.01), "four free numbers put it anywhere"
    assert plain.at(4.4).high - plain.at(4.4).low < four.at(4.4).high - four.at(4.4).low
    steep = Link(-0.4, 5.4, 9.0, 0.95)
    step = [np.array([[x], [float(steep(x)) + rng.normal(0, 0.01)]]) for x in loss]
    found = second_step(step, None, further=True, plain=True)
    assert found.link.a == pytest.approx(-0.4, abs=0.05) and found.at(4.4).value == pytest.approx(0.95, abs=0.02)
    few = second_step(step[::6], None, plain=True)  # six runs: the criterion of four numbers is not defined
    assert few.link.a == -1.0 and few.link.b == 1.0


def test_the_plain_curve_stands_where_no_other_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = np.linspace(4.9, 6.0, 12)
    runs = [np.array([[x], [0.6 - 0.02 * x]]) for x in loss]
    monkeypatch.setattr(ladder, "fit_link", lambda *_: (_ for _ in ()).throw(UserError("no end")))
    assert second_step(runs, None, plain=True).link.a == -1.0
    with pytest.raises(UserError, match="no end"):
        second_step(runs, None)
