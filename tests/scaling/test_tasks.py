"""Accuracy on tasks by the loss of a study's runs: forecast, graded, and scored by kept models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.classify import texts
from experiments.scaling import forecast, grade, report
from tests.commands import refused, run
from tests.scaling.planted import record
from tests.scaling.small_study import CONFIG
from tests.scaling.test_forecast import larger, loss_of, made, small
from w2v_jax.config import DataConfig
from w2v_jax.scaling import records
from w2v_jax.scaling.fitted import Refusal
from w2v_jax.scaling.ladder import Link, SecondStep
from w2v_jax.scaling.study import Planned, Study, runs
from w2v_jax.scaling.tasks import LEAST, second_steps

__all__ = ["larger", "small"]  # fixtures
FLOOR = 3.04
LINK = Link(-0.8, 4.0, 12.0, 1.0)  # agreement is certain long before the floor
WORD = Link(-0.3, 3.8, 3.0, 0.4)  # the next word never is


def scored(path: Path, away: float = 0.0) -> None:
    """Adds tasks to results: planted curves of the loss, `away` from them."""
    rows = records.read([path])
    for i, row in enumerate(rows):
        assert row.heldout_loss is not None
        agrees, word = (float(link(row.heldout_loss)) for link in (LINK, WORD))
        rows[i] = record(
            **{**row.__dict__, "tasks": {"agreement 2 words on": agrees - away, "next word": word, "flat": 0.5}}
        )
    records.write(path, rows)


def test_planted_curves_are_forecast_and_graded(
    small: Study, larger: list[Planned], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = made(runs(small, 200), tmp_path / "results.jsonl", optimum=FLOOR)
    scored(results)
    file, folder = tmp_path / "a.json", tmp_path / "larger"
    assert forecast.write(file, results, small, larger, "known", "the command") == 0
    assert "transformer: no forecast of flat: all runs come to 0.5" in capsys.readouterr().out
    found = json.loads(file.read_text())
    for target, planned in zip(found["targets"], larger, strict=True):
        loss = float(loss_of(np.array(float(planned.ledger.parameters)), np.array(planned.tokens)))
        assert set(target["tasks"]) == {"agreement 2 words on", "next word"}
        assert target["tasks"]["agreement 2 words on"][0] == pytest.approx(float(LINK(loss)), abs=0.003)
        assert target["tasks"]["next word"][0] == pytest.approx(float(WORD(loss)), abs=0.003)
    folder.mkdir()
    made(larger, folder / "results.jsonl", optimum=FLOOR)
    scored(folder / "results.jsonl")
    assert grade.grade(file, folder) == 0
    assert "4 of 4 inside, 4 of 4 within a point" in capsys.readouterr().out
    scored(folder / "results.jsonl", away=0.2)
    assert grade.grade(file, folder) == 1
    said = capsys.readouterr().out
    assert "2 of 2 inside\n" in said and "2 of 4 inside, 2 of 4 within a point" in said
    assert len(re.findall(r"\+(?:19\.[789]|20\.[0123]) +NO\b", said)) == 2


def test_the_interval_of_one_more_run_has_its_noise() -> None:
    rng, loss = np.random.default_rng(0), np.linspace(3.2, 4.4, 14)
    found = second_steps(_runs(loss, LINK(loss) + rng.normal(0, 0.01, 14)))["task"]
    assert isinstance(found, SecondStep)
    further = LINK(3.5) + rng.normal(0, 0.01, 400)
    held = np.mean([found.at(3.5).covers(x) for x in further])
    assert 0.9 <= held <= 1.0 and found.at(3.5).high - found.at(3.5).low < 0.08


def test_the_best_possible_loss_is_a_point_of_agreement_alone() -> None:
    """From runs that are at chance nothing but that point says that the curve rises."""
    loss = np.linspace(4.2, 4.4, 8)
    chance = 0.25 + 0.001 * np.arange(8)[::-1]
    with_floor, without = (
        second_steps(_runs(loss, chance, "agreement"), floor)["agreement"] for floor in (FLOOR, None)
    )
    assert isinstance(with_floor, SecondStep) and isinstance(without, SecondStep)
    assert with_floor.at(FLOOR).value == pytest.approx(1.0, abs=0.01) and without.at(FLOOR).value < 0.9


def test_the_curve_of_agreement_ends_at_certainty_whatever_the_runs_are() -> None:
    """Runs that end 3 points short with noise: the curve keeps off them only close to the best possible loss."""
    loss = np.linspace(3.1, 4.4, 14)
    short = LINK(loss) - 0.03
    found = second_steps(_runs(loss, short, "agreement"), FLOOR)["agreement"]
    free = second_steps(_runs(loss, short, "agreement"))["agreement"]
    assert isinstance(found, SecondStep) and isinstance(free, SecondStep)
    assert found.link(FLOOR) == pytest.approx(1.0, abs=1e-2) and free.link(FLOOR) < 0.98
    assert found.link(3.9) == pytest.approx(free.link(3.9), abs=0.03)


def test_runs_without_a_score_are_counted(
    small: Study, larger: list[Planned], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = made(runs(small, 200), tmp_path / "results.jsonl", optimum=FLOOR)
    scored(results)
    first, second, *others = records.read([results])
    assert first.tasks
    less = {name: share for name, share in first.tasks.items() if name != "next word"}
    records.write(results, [record(**{**first.__dict__, "tasks": less}), second, *others])
    assert forecast.write(tmp_path / "a.json", results, small, larger, "known", "the command") == 0
    said, every = capsys.readouterr().out, len(others) + 2
    assert f"next word rests on {every - 1} of the {every} runs: the others have no such score" in said
    assert "agreement 2 words on rests on" not in said
    written = json.loads((tmp_path / "a.json").read_text())
    assert all("next word" in target["tasks"] for target in written["targets"])
    rests = next(iter(written["laws"].values()))["runs of tasks"]
    assert (rests["next word"], rests["agreement 2 words on"]) == (every - 1, every)


def test_few_runs_and_equal_ones_have_no_curve() -> None:
    loss = np.linspace(3.2, 4.4, LEAST - 1)
    assert second_steps(_runs(loss, LINK(loss)))["task"] == Refusal(
        "task", f"{LEAST - 1} run(s): at least {LEAST} are needed"
    )
    assert second_steps([]) == {} == second_steps([record(tasks=None)])


def test_tests_of_word_vectors_are_tasks_too() -> None:
    loss = np.linspace(3.2, 4.4, 14)
    rows = [record(heldout_loss=float(x), quality={"analogies": float(WORD(x))}, tasks=None) for x in loss]
    found = second_steps(rows)["analogies"]
    assert isinstance(found, SecondStep) and found.at(3.7).value == pytest.approx(float(WORD(3.7)), abs=1e-3)
    assert record(quality={"men": 0.5}, tasks={"next word": 0.2}).scores == {"men": 0.5, "next word": 0.2}


def _runs(loss: np.ndarray, shares: np.ndarray, name: str = "task") -> list[records.Record]:
    return [record(heldout_loss=float(x), tasks={name: float(y)}) for x, y in zip(loss, shares, strict=True)]


def test_the_first_texts_of_both_files_are_taken(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{i % 2}\ttext {i} of {name}\n" for i in range(40)))
    cfg = DataConfig(source=f"tsv:{tmp_path}/train.tsv", test_source=f"tsv:{tmp_path}/test.tsv")
    every, some = (texts.read(cfg, 0.2, lambda line: None, first) for first in (0, 30))
    assert (some.train, some.test) == (every.train[:30], every.test[:30]) and len(every.test) == 40


@pytest.mark.xdist_group("scaling")
def test_kept_models_are_scored_into_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "report", lambda *_: 0)
    study, workdir = tmp_path / "study.py", tmp_path / "runs"
    study.write_text(CONFIG)
    more = ("--config.tokens=(320,)", "--config.arms.wild.tokens=(160,)")
    assert run("experiments.scaling", f"--config={study}", f"--workdir={workdir}", "--keep", *more).status == 0
    results = workdir / "results.jsonl"
    before = [json.loads(line) for line in results.read_text().splitlines()]
    known = next(row["run"] for row in before if row["status"] == "finished")
    words = (workdir / "runs" / known / "vocab.txt").read_text().split("\n")
    words = [line.split()[0] for line in words if line.strip()]
    for name in ("train", "test"):  # the label is the word that stands three times
        lines = [f"{i % 2}\t{' '.join([words[3 + i % 2]] * 3)} {words[i]}" for i in range(40)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    task = f"easy source=tsv:{tmp_path}/train.tsv test_source=tsv:{tmp_path}/test.tsv max_tokens=9 texts=30"
    (tmp_path / "tests" / "similarity").mkdir(parents=True)
    pairs = [f"{words[i]}\t{words[i + 5]}\t{i}" for i in range(4, 16)]
    (tmp_path / "tests" / "similarity" / "own.tsv").write_text("\n".join(pairs) + "\n")
    for name in ("train", "dev"):  # a word of its own text beside one of another text
        sides = [(f"{words[4]} {words[3]}", f"{words[4 + i % 2]} {words[3]}") for i in range(8)]
        lines = [f"{'TF'[i % 2]}\t{words[3]}\tN\t1-1\t{a}\t{b}" for i, (a, b) in enumerate(sides)]
        (tmp_path / "wic").mkdir(exist_ok=True)
        (tmp_path / "wic" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    for _ in range(2):  # the second time there is nothing to do
        more_tests = ("--score=vectors", f"--data_dir={tmp_path}/tests", f"--score=wic folder={tmp_path}/wic")
        done = run("experiments.scaling", f"--workdir={workdir}", f"--score={task}", *more_tests)
        assert done.status == 0 and "the first 30 of 40 to train on, and of 40 to score, are taken" in done.err
    after = [json.loads(line) for line in results.read_text().splitlines()]
    finished = [row for row in after if row["status"] == "finished"]
    assert finished and all(row["tasks"]["easy"] > 0.8 for row in finished)
    assert all(row["tasks"]["wic"] == 1.0 for row in finished), "the same text has the same states"
    assert all({"next word", "similarity own"} <= set(row["tasks"]) for row in finished)
    assert [{**row, "tasks": None} for row in after] == [{**row, "tasks": None} for row in before]
    assert run("experiments.scaling", f"--config={study}", f"--workdir={workdir}", *more).status == 0, "continues"
    (workdir / "runs" / finished[0]["run"] / "checkpoints").rename(tmp_path / "gone")
    gone = run("experiments.scaling", f"--workdir={workdir}", f"--score={task}")
    refused(gone, "are gone; make the study again with --keep", alone=False)
