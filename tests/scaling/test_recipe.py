"""One dial: sizes and tokens from a planted law, against scipy's optimum and the ledger."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from configs.scaling import forecast as study_file
from experiments.scaling import dial
from tests.scaling.planted import record
from w2v_jax.errors import UserError
from w2v_jax.scaling import records
from w2v_jax.scaling.fit import fit_parametric
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.recipe import best_tokens, parse, proportions, recipe
from w2v_jax.scaling.study import Study, runs

TRUE = (3.9, 2000.0, 1500.0, 0.9, 0.65)  # E, A, B, alpha, beta
WORDS = 2000


def loss_of(n: float, d: float) -> float:
    e, a, b, alpha, beta = TRUE
    return float(e + a / n**alpha + b / d**beta)


@pytest.fixture(scope="module")
def study() -> Study:
    return dataclasses.replace(study_file.get_config(), seeds=(0,), optimum=False)


@pytest.fixture(scope="module")
def fit(study: Study) -> Fit:
    made = runs(study, WORDS)
    n, d = np.array([(run.ledger.parameters, run.tokens) for run in made], float).T
    found = fit_parametric(n, d, np.array([loss_of(*pair) for pair in zip(n, d, strict=True)]))
    assert isinstance(found, Fit)
    return found


def test_tokens_are_those_of_the_least_loss_at_their_cost(fit: Fit) -> None:
    n = 60_000.0
    d = best_tokens(fit, n)

    def at_cost(log_n: float) -> float:
        return loss_of(np.exp(log_n), n * d / np.exp(log_n))

    best = minimize_scalar(at_cost, bounds=(np.log(n) - 3, np.log(n) + 3), method="bounded", options={"xatol": 1e-9})
    assert np.exp(best.x) == pytest.approx(n, rel=1e-3)


def test_a_size_keeps_the_proportions_of_the_study(study: Study, fit: Fit) -> None:
    arm = study.arms["transformer"]
    for asked in (20_000.0, 45_000.0):
        found = recipe(arm, fit, asked, WORDS)
        keys = dict(word.split("=") for word in found.size.split())
        width = int(keys["model.dim"])
        assert width % 8 == 0 and int(keys["model.heads"]) == width // 8
        planned = runs(
            dataclasses.replace(study, arms={"transformer": dataclasses.replace(arm, sizes=(found.size,))}), WORDS
        )
        (run,) = planned
        assert run.ledger.parameters == found.parameters and run.tokens == found.tokens
        others = [run.ledger.parameters for run in runs(_widths(study, width - 8, width + 8), WORDS) if width > 8]
        assert all(abs(np.log(n / asked)) >= abs(np.log(found.parameters / asked)) for n in others)
        assert run.config.optimizer.learning_rate == study_file.RATE


def _widths(study: Study, *widths: int) -> Study:
    sizes = tuple(f"model.dim={w} model.heads={w // 8} tokens=1e6" for w in widths if w > 0)
    return dataclasses.replace(study, arms={"a": dataclasses.replace(study.arms["transformer"], sizes=sizes)})


def test_outside_of_what_was_fitted_it_refuses(study: Study, fit: Fit) -> None:
    arm = study.arms["transformer"]
    with pytest.raises(
        UserError, match=r"--size=3e\+06: is 2,961,816 parameters; the law was fitted to runs of 17,576"
    ):
        recipe(arm, fit, 3e6, WORDS)
    with pytest.raises(UserError, match="tokens; the law was fitted to runs of 300,000 to 3,100,000"):
        recipe(arm, fit, 226_624, WORDS)
    model = dataclasses.replace(arm.run.model, base_dim=0, base_heads=0)
    standard = dataclasses.replace(arm, run=dataclasses.replace(arm.run, model=model))
    with pytest.raises(UserError, match="needs model.base_dim"):
        recipe(standard, fit, 60_000, WORDS)
    with pytest.raises(UserError, match="optimizer.learning_rate 0.1, 0.2: no constant share of model.dim, nor equal"):
        proportions(("model.dim=8 optimizer.learning_rate=0.1", "model.dim=16 optimizer.learning_rate=0.2"))
    assert proportions(("model.dim=8 model.layers=2 tokens=5", "model.dim=16 model.layers=2"))[1] == ["model.layers=2"]


@pytest.mark.parametrize("bad", ["", "3X", "0", "-3M", "3M,", "1e99999K,"])
def test_sizes_are_numbers_with_a_unit(bad: str) -> None:
    assert parse("300K,3M, 1.5b") == [3e5, 3e6, 1.5e9]
    with pytest.raises(UserError, match="must be parameters such as 300K or 3M"):
        parse(bad)


def test_the_command_says_from_which_runs_it_comes(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    rows = []
    for run in runs(study, WORDS):
        n, d = run.ledger.parameters, run.tokens
        known = {"run": run.name, "arm": run.arm, "parameters": n, "tokens": d, "vocabulary": WORDS}
        rows.append(record(**known, config_hash=records.config_hash(run.config), heldout_loss=loss_of(n, d)))
    records.write(results, rows)
    changed = dial.turned(study, results, [20_000.0, 45_000.0])
    assert len(runs(changed, WORDS)) == 2
    said = capsys.readouterr().out
    assert "transformer: from 16 runs of" in said and "17,576 to 226,624 parameters" in said and "0.01" in said
    with pytest.raises(UserError, match="two of the sizes are one"):
        dial.turned(study, results, [40_000.0, 40_100.0])
    with pytest.raises(UserError, match="has no run of the arms other"):
        dial.turned(dataclasses.replace(study, arms={"other": study.arms["transformer"]}), results, [40_000.0])
