"""The joint law of N and D: by hand, its limits, planted truth far beyond the runs, and its choice by a forecast."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from experiments.scaling import forecast
from experiments.scaling.fit import Options, fit
from tests.commands import refused, run
from tests.scaling.planted import record
from tests.scaling.test_forecast import larger, loss_of, made, small
from w2v_jax.scaling import records
from w2v_jax.scaling.allocation import allocate
from w2v_jax.scaling.expected import expect
from w2v_jax.scaling.fit import closest, fit_excess, fit_parametric
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.laws import JOINT, PARAMETRIC, excess, log_law, named, with_slopes
from w2v_jax.scaling.projection import minimise
from w2v_jax.scaling.robust import DELTA, mean_misfit, refit
from w2v_jax.scaling.study import Planned, Study, runs

__all__ = ["larger", "small"]  # fixtures
TRUE = (2.0, 60.0, 120.0, 0.4, 0.3)  # E, A, B, alpha, beta
N, D = (x.ravel() for x in np.meshgrid(np.geomspace(3e3, 2e5, 5), np.geomspace(2e5, 4e6, 4)))


def joined(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Equation 1.5 of Kaplan et al. 2020 with a floor."""
    e, a, b, alpha, beta = TRUE
    return np.asarray(e + ((a / n**alpha) ** (1 / beta) + (b / d**beta) ** (1 / beta)) ** beta)


def by_joined(planned: Sequence[Planned], path: Path) -> Path:
    """Results in which every run has the planted loss."""
    rows = []
    for one in planned:
        loss = float(joined(np.array(float(one.ledger.parameters)), np.array(one.tokens)))
        known = {"run": one.name, "arm": one.arm, "config_hash": records.config_hash(one.config), "heldout_loss": loss}
        known |= {"parameters": one.ledger.parameters, "tokens": one.tokens, "training_flops": one.flops}
        rows.append(record(**known, optimum=TRUE[0]))
    records.write(path, rows)
    return path


@pytest.mark.parametrize("law", [JOINT, excess(JOINT)], ids=lambda law: law.name)
@pytest.mark.parametrize("beta", [0.3, 2.5, 1e-4, -0.2])
def test_by_hand_and_by_finite_differences(law, beta: float) -> None:
    logs = np.log(np.stack([N, D], -1))
    centres = logs.mean(0)
    theta = np.array([0.3, -0.2, 0.4, beta, 0.5])[: law.parameters]
    predicted, slopes = with_slopes(law, theta, logs - centres)
    np.testing.assert_array_equal(predicted, log_law(law, theta, logs - centres))
    if beta > 0.01:
        v = named(law, theta, centres)
        terms = (v["A"] / N ** v["alpha"]) ** (1 / beta) + (v["B"] / D ** v["beta"]) ** (1 / beta)
        np.testing.assert_allclose(np.exp(predicted), v.get("E", 0.0) + terms**beta, rtol=1e-12)
    for i in range(len(N)):
        numeric = approx_fprime(theta, lambda t, i=i: log_law(law, t, (logs - centres)[i : i + 1])[0], 1e-7)
        np.testing.assert_allclose(slopes[i], numeric, atol=2e-6)


def test_one_term_alone_is_that_of_the_sum_and_both_count_less() -> None:
    theta, logs = np.array([0.3, -0.2, 0.4, 0.3]), np.array([[0.0, 40.0], [-40.0, 0.0], [0.0, 0.0]])
    both, summed = log_law(excess(JOINT), theta, logs), log_law(excess(PARAMETRIC), theta, logs)
    np.testing.assert_allclose(both[:2], summed[:2], atol=1e-4)
    assert both[2] < summed[2] - 0.1


def test_the_planted_law_comes_back_far_beyond_the_runs_and_the_sum_does_not() -> None:
    rng = np.random.default_rng(0)
    loss = joined(N, D) * np.exp(rng.normal(0, 0.002, len(N)))
    fits = {law.name: fit_parametric(N, D, loss, law=law) for law in (JOINT, PARAMETRIC)}
    far, truth = (2e6, 6e7), float(joined(np.array(2e6), np.array(6e7)))
    found, other = fits[JOINT.name], fits[PARAMETRIC.name]
    assert isinstance(found, Fit) and isinstance(other, Fit)
    assert found.noise < 0.003 < other.noise and closest([other, found]) is found
    assert expect(found, *far).loss.value == pytest.approx(truth, rel=0.02)
    assert expect(found, *far).law.covers(truth)
    assert abs(expect(other, *far).loss.value / truth - 1) > 0.05
    above = fit_excess(N, D, loss - TRUE[0], law=JOINT)
    assert isinstance(above, Fit)
    assert above.values["alpha"].covers(TRUE[3]) and above.values["beta"].covers(TRUE[4])
    with pytest.raises(ValueError, match=r"allocate needs a fit of .* = E \+ A/N\^alpha"):
        allocate(found, 1e20)


@pytest.mark.parametrize("above", [2.0, 0.2])
def test_no_random_start_finds_a_lower_loss(above: float) -> None:
    """Sizes up to two decades, or ten times fewer tokens, of which N hardly matters."""
    rng = np.random.default_rng(1)
    logs = np.log(np.stack([N, D * above], -1))
    log_y = np.log(joined(N, D * above)) + rng.normal(0, 0.01, len(N))
    logs -= logs.mean(0)
    drawn = rng.uniform((-2.0, -2.0, 0.02, 0.02, -2.0), (1.5, 1.5, 1.5, 1.0, 1.0), (60, 5))
    many = np.tile(log_y, (60, 1))
    _, others = refit(JOINT, drawn, logs, many, np.ones_like(many), 1e-12)
    mine = mean_misfit(JOINT, minimise(JOINT, logs, log_y), logs, log_y)
    assert mine * len(N) / DELTA**2 <= others.min() * (1 + 1e-6)


def test_further_runs_are_inside_as_often_as_stated() -> None:
    """At a hundred times the FLOPs of the largest."""
    at = np.array(2e6), np.array(4e7)
    held = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        fit = fit_parametric(N, D, joined(N, D) * np.exp(rng.normal(0, 0.003, len(N))), law=JOINT)
        assert isinstance(fit, Fit)
        held += expect(fit, *map(float, at)).loss.covers(float(joined(*at) * np.exp(rng.normal(0, 0.003))))
    assert held >= 3  # the seeds are fixed


def test_a_forecast_takes_the_form_that_is_closer_or_the_one_that_is_named(
    small: Study, larger: list[Planned], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summed, together = made(runs(small, 200), tmp_path / "sum.jsonl"), by_joined(runs(small, 200), tmp_path / "j.jsonl")
    for results, floor, form, wanted in (
        (summed, "free", "best", PARAMETRIC),
        (together, "free", "best", JOINT),
        (together, "known", "best", excess(JOINT)),
        (together, "free", "sum", PARAMETRIC),
    ):
        file = tmp_path / f"{results.stem}-{floor}-{form}.json"
        assert forecast.write(file, results, small, larger, floor, "", form) == 0
        found = json.loads(file.read_text(encoding="utf-8"))
        assert found["laws"]["transformer"]["formula"] == wanted.formula
        assert f"transformer: {wanted.formula}, off by " in capsys.readouterr().out
        sizes = [np.array([t[name] for t in found["targets"]]) for name in ("parameters", "tokens")]
        truth = loss_of(*sizes) if results is summed else joined(*sizes)
        near = np.allclose([t["loss"][0] for t in found["targets"]], truth, rtol=2e-3)
        assert near == (form == "best")


def test_a_table_is_fitted_by_the_law_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, sizes = tmp_path / "runs.csv", np.geomspace(1e3, 1e6, 7)
    every = [(n, c / 6 / n) for c in (1e9, 1e10, 1e11) for n in sizes]
    rows = [f"{n:.6g},{d:.6g},{float(joined(np.array(n), np.array(d))):.8f}" for n, d in every]
    table.write_text("\n".join(["parameters,tokens,loss", *rows]), encoding="utf-8")
    fit(table, Options(law="joint"), str(tmp_path / "out"))
    shown = capsys.readouterr().out
    assert f"joint law: {JOINT.formula}, 21 run(s)" in shown and "Hoffmann" not in shown
    found = json.loads((tmp_path / "out" / "fit.json").read_text(encoding="utf-8"))["parametric"]
    assert found["beta"]["value"] == pytest.approx(TRUE[4], rel=0.02)
    assert all((tmp_path / "out" / f"{name}.png").stat().st_size > 10_000 for name in ("parametric", "isoflop"))


def test_where_the_form_is_refused() -> None:
    refused(run("experiments.scaling", "--law=joint"), "--law: is for --forecast and --fit")
