"""A study whose runs of one size begin on the trunk of the next shorter one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from experiments.scaling import report
from tests.commands import Done, at_call, checkpoints, run
from tests.scaling.small_study import CONFIG

pytestmark = pytest.mark.xdist_group("scaling")  # one worker: runs share their compiled programs

# 5, 10 and 40 steps of 32 tokens; the decay is the last 1, 3 and 12 of them.
STABLE = CONFIG.replace(
    "learning_rate=0.01)", 'learning_rate=0.03, schedule="wsd", decay_fraction=0.3, warmup_steps=2)'
)
STABLE = (
    STABLE[: STABLE.index("    return Study(")]
    + """
    return Study(data=data, tokens=(160, 320, 1280), window=8, arms={"a": Arm(run, ("model.dim=4 model.hidden=4",))})
"""
)
NAMES = [f"a_dim4-hidden4_{tokens}_s0" for tokens in (160, 320, 1280)]
MEASURED = (
    "heldout_loss",
    "heldout_block_loss",
    "train_loss",
    "by_position",
    "tokens",
    "training_flops",
    "config_hash",
)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study.py").write_text(STABLE)
    return tmp_path / "study.py"


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report, which has a test of its own."""
    monkeypatch.setattr(report, "report", lambda *_: 0)


def scaling(study: Path, workdir: Path, *more: str) -> Done:
    return run("experiments.scaling", f"--config={study}", f"--workdir={workdir}", *more)


def rows(*paths: Path) -> dict[str, dict[str, Any]]:
    return {row["run"]: row for path in paths for row in map(json.loads, path.read_text().splitlines())}


def test_each_run_of_a_trunk_is_the_run_made_alone_and_costs_less(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, in a study that is stopped in its longest run and continued, too; nothing is left of the trunk."""
    workdir = tmp_path / "runs"
    with monkeypatch.context() as patch:
        # Calls of the three runs: 4, 5 | from step 4: 7, 10 | from step 7: 11, 15, ...
        at_call(patch, 6, lambda: os.kill(os.getpid(), signal.SIGTERM))
        stopped = scaling(study, workdir)
    assert stopped.status == 128 + signal.SIGTERM and set(rows(workdir / "results.jsonl")) == {*NAMES[:2]}
    folders = [workdir / "runs" / name for name in NAMES]
    assert not (folders[0] / "checkpoints").exists(), "the second run has a newer state of the trunk"
    assert checkpoints(folders[1]) == [7, 10] and 7 < checkpoints(folders[2])[0] < 28
    resumed = scaling(study, workdir)
    assert resumed.status == 0, resumed.err
    assert " parameters, 1,280 tokens, " in resumed.err and "TFLOP from token 224 on)" in resumed.err
    assert not any((folder / "checkpoints").exists() for folder in folders)
    found = rows(workdir / "results.jsonl")
    steps = {name: row["made_flops"] / row["flops_per_token"] / 32 for name, row in found.items()}
    assert [steps[name] for name in NAMES] == pytest.approx([5, 6, 33], abs=0.2)  # a few tokens have no word before
    assert [row["made_seconds"] < row["seconds"] for row in found.values()] == [False, True, True]
    # As where the shorter runs were made on another machine.
    (tmp_path / "alone").mkdir()
    lines = (workdir / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "alone/results.jsonl").write_text("".join(lines[:2]))
    alone = scaling(study, tmp_path / "alone", "--keep")
    assert alone.status == 0, alone.err
    row, other = found[NAMES[2]], rows(tmp_path / "alone/results.jsonl")[NAMES[2]]
    assert {key: other[key] for key in MEASURED} == {key: row[key] for key in MEASURED}
    assert other["made_flops"] == other["training_flops"] and other["made_seconds"] == other["seconds"]
    assert checkpoints(tmp_path / "alone/runs" / NAMES[2]) == [28, 40], "what --keep keeps has the trunk"


def test_a_plan_counts_what_is_made(study: Path, tmp_path: Path) -> None:
    planned = scaling(study, tmp_path / "runs", "--plan", "--rate=1e9", "--config.seeds=(0,1)")
    assert planned.status == 0, planned.err
    assert "runs of schedule wsd begin where the next shorter decays (81% of" in planned.out  # 1424 of 1760 tokens
    total = next(line for line in planned.out.splitlines() if line.startswith("6 runs"))
    assert "2,848" in total and "89" in total.split()


def test_both_grids_of_the_recorded_study_give_the_same_exponents_at_half_the_cost() -> None:
    """`results/figures/scaling_branches.json`: every value of one grid lies in the interval of the other."""
    from experiments.figures.gallery import figures
    from tests.drawn import record

    result = record("scaling_branches")
    amounts = {arm: {row["tokens"] for row in result["runs"] if row["arm"] == arm} for arm in ("wsd", "cosine")}
    assert amounts["wsd"] == amounts["cosine"] and len(amounts["wsd"]) >= 6
    measured = figures()["scaling_branches"].measure(result)
    assert measured["FLOPs of the trunks and decays, share of whole runs"] <= 0.5
    outside = {name: miss for name, miss in measured.items() if name.endswith("outside the other")}
    both = ("alpha", "beta", "power of C", "power of D, largest size")
    assert {f"{arm}: {x}, outside the other" for arm in amounts for x in both} <= set(outside)
    assert not any(outside.values()), outside
