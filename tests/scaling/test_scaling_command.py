"""`experiments.scaling` on a study of a few seconds: made, sharded, planned, refused."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import jax
import pytest

from tests.commands import ROOT, Done, refused, run, start
from tests.scaling.small_study import TAME, WILD, losses, rows, scaling, undrawn
from w2v_jax import storage
from w2v_jax.scaling import records
from w2v_jax.scaling.records import Record

pytestmark = pytest.mark.xdist_group("scaling")  # one worker: runs share their compiled programs


def test_arms_are_made_one_by_one(tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undrawn(monkeypatch)
    workdir = tmp_path / "runs"
    refused(
        scaling(study, workdir, "--arms=tamed"), r"--arms=tamed: must be one of tame, wild \(did you mean .tame.\?\)"
    )
    refused(scaling(study, workdir, "--arms=wild,wild"), "--arms: wild comes 2 times; name each arm once")
    refused(run("experiments.scaling", "--fit=x.csv", "--arms=tame"), "--arms: is for the study of --config")
    assert not workdir.exists()
    assert scaling(study, workdir, "--arms=wild").status == 1
    assert set(rows(workdir / "results.jsonl")) == {WILD}
    made = (workdir / "results.jsonl").read_text()
    assert scaling(study, workdir, "--arms=tame", "--config.tokens=(320,)").status == 1
    assert set(rows(workdir / "results.jsonl")) == {WILD, TAME[0], TAME[2]}
    assert (workdir / "results.jsonl").read_text().startswith(made)


def test_a_study_is_made_and_reported(study: Path, whole: tuple[Done, Path]) -> None:
    done, workdir = whole
    # The floor of so small a study is no truth: the command says so by its status.
    assert done.status == 1, done.err
    found = rows(workdir / "results.jsonl")
    assert set(found) == {*TAME, WILD}
    assert found[WILD]["status"] == "diverged" and "not finite" in found[WILD]["error"]
    for name in TAME:
        row = found[name]
        assert row["status"] == "finished" and row["heldout_loss"] > row["optimum"] > 0
        assert 0 <= row["heldout_accuracy"] <= 1 and len(row["by_position"]) == 8
        assert row["tokens"] == pytest.approx(int(name.split("_")[2]), rel=0.11)
        assert row["training_flops"] == row["tokens"] * row["flops_per_token"]
    assert len({row["optimum"] for name, row in found.items() if name != WILD}) == 1
    assert "not fitted" in done.out and WILD in done.out  # laws that need more runs, and the run that diverged
    page = (workdir / "report.html").read_text()
    assert "data:image/png;base64," in page and not re.search(r'(src|href)="(?!data:|#)', page)
    assert "of 5" in done.err and "left" in done.err
    fitted = run("experiments.scaling", f"--fit={workdir / 'results.jsonl'}")
    assert fitted.status == 0 and "4 run(s) for 5 parameters" in fitted.out
    assert "time: measured: the 4 runs in the study's folder" in scaling(study, workdir, "--plan").out
    other = scaling(study, workdir, "--plan", "--config.arms.tame.run.optimizer.learning_rate=0.02")
    assert "measured" not in other.out and "assumed" in other.out, other.out


def test_two_shards_at_once_make_all_runs_once(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes in one folder and one cache; then one command that finds all runs and reports."""
    fewer, names = ["--config.tokens=(320,)", "--config.window=0"], {TAME[0], TAME[2], WILD}
    line = ["-m", "experiments.scaling", f"--config={study}", f"--workdir={tmp_path / 'runs'}", *fewer]
    undrawn(monkeypatch)
    with start(*line, "--shard=0/2") as other:
        while not (tmp_path / "runs" / "runs").exists() and other.poll() is None:  # until it trains
            time.sleep(0.05)
        mine = scaling(study, tmp_path / "runs", *fewer, "--shard=1/2")
        out, err = other.communicate(timeout=300)
    # The one that ends last finds all runs, and reports a floor that is no truth.
    for status, told in ((mine.status, mine.out), (other.returncode, out)):
        assert status in (0, 1), err
        assert ("the others belong to other shards" in told) == (status == 0)
    assert ("report.html" in out) == (other.returncode == 1)
    halves = [rows(tmp_path / "runs" / f"results-{i}-of-2.jsonl") for i in range(2)]
    assert not set(halves[0]) & set(halves[1]) and set(halves[0] | halves[1]) == names
    together = tmp_path / "together"
    together.mkdir()
    parts = [(tmp_path / "runs" / f"results-{i}-of-2.jsonl").read_bytes() for i in range(2)]
    (together / "results.jsonl").write_bytes(b"".join(parts))
    done = scaling(study, together, *fewer)
    assert done.status == 1 and "--- run" not in done.err, "it has all runs, and reports"


def test_a_study_in_a_bucket_by_two_shards_is_that_on_a_disk(
    study: Path, whole: tuple[Done, Path], bucket: str
) -> None:
    """The second shard finds the results of the first, and reports into the bucket."""
    workdir, fewer = storage.to_path(f"{bucket}/study"), ["--config.tokens=(320,)"]
    for shard, status in (("0/2", 0), ("1/2", 1)):
        done = scaling(study, workdir, *fewer, f"--shard={shard}")
        assert done.status == status, done.err
    made = rows(workdir / "results-0-of-2.jsonl") | rows(workdir / "results-1-of-2.jsonl")
    expected = rows(whole[1] / "results.jsonl")
    assert losses(made) == {name: expected[name]["heldout_loss"] for name in (TAME[0], TAME[2], WILD)}
    page = (workdir / "report.html").read_text()
    assert "data:image/png;base64," in page and (workdir / "laws.json").is_file()
    assert not (workdir / "runs" / TAME[0] / "checkpoints").exists() and (workdir / "runs" / TAME[0]).is_dir()


def test_a_plan_makes_nothing_and_tells_the_costs(study: Path, tmp_path: Path) -> None:
    done = scaling(study, tmp_path / "runs", "--plan", "--rate=1e9")
    assert done.status == 0, done.err
    for name in (*TAME, WILD):
        assert name in done.out
    assert "5 runs" in done.out and "--rate" in done.out and not (tmp_path / "runs").exists()
    assert "measured" not in done.out
    other = Record(TAME[0], "tame", "recurrent_lm", "finished", 0, "other", {}, "", 1, 1, 1.0, 1.0, 1.0, seconds=9.0)
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    (tmp_path / "other").mkdir()
    records.write(tmp_path / "other/results.jsonl", [dataclasses.replace(other, device=device)])
    assumed = scaling(study, tmp_path / "other", "--plan", "--config.seeds=(0,)")  # runs of another study say nothing
    assert "assumed" in assumed.out and "measured" not in assumed.out, assumed.out
    large = "--config.arms.tame.run.train.batch_size=400"
    stated = scaling(study, tmp_path / "runs", "--plan", "--device=v5e:4", large)
    assert "35% of 4 x v5e" in stated.out
    kept = {row[0]: float(row[6]) for row in map(str.split, stated.out.splitlines()) if row and row[0] in TAME}
    assert set(kept) == set(TAME) and min(kept.values()) >= 0.1, "MiB that a step keeps for its gradient"


def test_a_budget_of_a_rising_surface_is_refused(tmp_path: Path) -> None:
    sizes, amounts = (10.0**k for k in (5, 5.5, 6, 6.5, 7)), tuple(10.0**k for k in (7, 8, 9))
    table = [f"{n},{d},{1.8 + 0.001 * n**0.2 + 30 / d**0.3}" for n in sizes for d in amounts]
    (tmp_path / "rising.csv").write_text("parameters,tokens,loss\n" + "\n".join(table) + "\n")
    done = run("experiments.scaling", f"--fit={tmp_path / 'rising.csv'}", "--budget=1e18")
    assert done.status == 1, done.err
    assert "no optimum of a budget: by this surface loss does not fall with N" in done.out and "nan" not in done.out


def test_bad_input_is_one_line(study: Path, tmp_path: Path) -> None:
    at = tmp_path / "runs"
    refused(scaling(study, at, "--shard=2/2"), "--shard=2/2", "0/2 and 1/2", alone=False)
    refused(scaling(study, at, "--plan", "--device=v9"), "--device=v9", "did you mean", alone=False)
    refused(scaling(study, at, "--config.arms.tame.run.model.dmi=3"), "dmi")
    refused(scaling(study, at, "--config.tokens=(0,)"), "tokens", "above 0")
    refused(run("experiments.scaling", f"--config={ROOT / 'configs/ptb.py'}"), "config of one run")
    refused(run("experiments.scaling", f"--config={tmp_path / 'none.py'}"), "no such config")
    refused(run("experiments.scaling", f"--fit={tmp_path / 'none.csv'}"), "none.csv: no such file")
    refused(scaling(study, at, "--drop_fewest_tokens_per_parameter=2"), "is for --fit")


def test_a_folder_of_another_study_is_refused(study: Path, tmp_path: Path) -> None:
    at = tmp_path / "runs"
    at.mkdir()
    sizes: dict[str, Any] = dict(parameters=1, parameters_without_embeddings=1, tokens=1.0)
    costs: dict[str, Any] = dict(flops_per_token=1.0, training_flops=1.0)
    other = Record(TAME[0], "tame", "recurrent_lm", "finished", 0, "other", {}, "", **sizes, **costs)
    records.write(at / "results.jsonl", [other])
    refused(scaling(study, at), TAME[0], "another workdir", alone=False)
