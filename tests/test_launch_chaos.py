"""Fifty of the schedules of `benchmarks.launch_chaos`, and that its verdict is not blind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import launch_chaos, schedules
from launch.cloud import machine
from launch.fake.play import checkout

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker, with the other tests that start workers
# Quick ones that together have every kind of fault, of event and of ending that the first 300 had.
SEEDS = (
    1, 5, 6, 7, 8, 9, 11, 14, 15, 16, 17, 20, 25, 41, 50, 51, 54, 60, 65, 66, 69, 71, 72, 83, 85, 90, 91, 95, 96,
    98, 107, 123, 139, 145, 157, 159, 160, 164, 167, 171, 172, 176, 191, 201, 202, 205, 214, 220, 719, 852,
)  # fmt: skip
RESULTS = Path(__file__).resolve().parents[1] / "results/launch_chaos.json"


def test_fifty_schedules() -> None:
    assert len(set(SEEDS)) == 50
    found = sorted(launch_chaos.campaign(SEEDS, jobs=4), key=lambda v: v["seed"])
    assert [v["seed"] for v in found] == list(SEEDS)
    assert [v for v in found if v["refused"]] == []
    counts = launch_chaos.summary(found)
    assert counts["leaked"] == counts["stuck"] == counts["wrong"] == 0 and counts["right"] >= 25
    assert set(schedules.MENDABLE) <= {*counts["faults"]}, "every kind of fault happened"


def test_a_launcher_that_leaves_its_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict sees a `down` that only says so."""
    schedule = next(s for s in map(schedules.draw, range(400)) if not s.faults and not s.events and s.workers == 1)
    source = checkout(tmp_path / "source")
    assert schedules.live(schedule, tmp_path / "a", source).refused == ""
    monkeypatch.setattr(machine, "remove", lambda cloud, m, patience: None)
    assert schedules.live(schedule, tmp_path / "b", source).refused.startswith("leaked ['w2v'")
    schedules.end_all(tmp_path)


@pytest.mark.parametrize("flex_start", [False, True])
def test_the_only_worker_is_dead_and_nobody_comes_back(tmp_path: Path, flex_start: bool) -> None:
    """Cloud TPU itself ends a flex-start machine. A spot machine waits for the next `down`, and is counted apart."""
    schedule = schedules.draw(798)
    assert schedule.leaves and schedule.workers == 1 and [f["kind"] for f in schedule.faults] == ["dead"]
    found = schedules.live(schedule, tmp_path / "life", checkout(tmp_path / "source"), flex_start)
    assert found.leaked == [] and found.refused == "" and found.forsaken is not flex_start
    counts = launch_chaos.summary([found._asdict()])
    assert counts["forsaken"] == int(not flex_start) and (found.hours < 7) is flex_start


def test_schedules_are_drawn_by_their_seed() -> None:
    assert schedules.draw(7) == schedules.draw(7) != schedules.draw(8)
    assert {s.workers for s in map(schedules.draw, range(100))} == {1, 2, 4}


@pytest.mark.skipif(not RESULTS.exists(), reason="no committed results")
def test_the_committed_campaign_has_no_gap_and_none_refused() -> None:
    found = json.loads(RESULTS.read_text())
    assert [v["seed"] for v in found["verdicts"]] == list(range(found["schedules"])) and found["schedules"] == 1000
    assert found["forsaken"] <= 1, "docs/tpu.md tells of it"
    assert {k: v for k, v in found.items() if k != "verdicts"} == launch_chaos.summary(found["verdicts"])
    assert found["leaked"] == found["stuck"] == found["wrong"] == found["refused"] == 0
