"""Two commands at once on one run folder or one cache, and folders that are deleted under a run."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import lives, outcome
from benchmarks.faults.kept import Kept, after_whole, copy
from benchmarks.faults.lives import Job
from benchmarks.faults.outcome import REFUSED, SILENT, WRONG, Verdict
from benchmarks.faults.record import Fault, made
from benchmarks.faults.runs import CACHE, RUN, STUDY


def _judge(kept: Kept, ending: lives.Ending, place: Path) -> Verdict:
    return outcome.judge([ending], after_whole(kept)[:1], outcome.content(place), kept.want)


def _second(place: Path, kept: Kept, *more: str) -> Job:
    """The run's command once more; its output goes into files of its own, beside another name of the folder."""
    other = place.with_name(f"{place.name}.second")
    if not other.is_symlink():
        other.symlink_to(place.name)
    return Job(other, kept.run.module, (*kept.run.arguments, *more))


def one_workdir(kept: Kept, number: int, place: Path, rng: random.Random) -> tuple[Verdict, str]:
    """The same command twice, the second at any moment of the first's life: one refuses, or prints the result."""
    copy(kept.fresh, place)
    first = lives.begin([kept.job(place)])
    lives.at_work(first, rng.choice((0.0, rng.uniform(0, kept.seconds))))
    second = lives.begin([_second(place, kept)])
    ends = [lives.finish(first)[0], lives.finish(second)[0]]
    return _verdict_of_two(kept, ends, place), f"statuses {[e.status for e in ends]}"


def _verdict_of_two(kept: Kept, ends: list[lives.Ending], place: Path) -> Verdict:
    found = [outcome.refusal(e) for e in ends]
    bad = next((v for v in found if v is not None and v.kind == WRONG), None)
    if bad is not None:
        return bad
    if all(found):
        return Verdict(WRONG, f"both are refused: {found[0]}")
    winner = next(e for e, v in zip(ends, found, strict=True) if v is None)
    return _judge(kept, winner, place)


def two_configs(kept: Kept, number: int, place: Path, rng: random.Random) -> tuple[Verdict, str]:
    """Another seed on the same fresh folder: one of both commands is refused, and the folder is the other's alone."""
    copy(kept.fresh, place)
    jobs = [kept.job(place), _second(place, kept, "--config.train.seed=5")]
    if number % 2:
        jobs.reverse()
    begun = [lives.begin([jobs[0]])]
    lives.at_work(begun[0], rng.choice((0.0, rng.uniform(0, kept.seconds))))
    begun.append(lives.begin([jobs[1]]))
    ends = [lives.finish(life)[0] for life in begun]
    what = f"statuses {[e.status for e in ends]}"
    found = [outcome.refusal(e) for e in ends]
    bad = next((v for v in found if v is not None and v.kind == WRONG), None)
    if bad is not None:
        return bad, what
    if [v is None for v in found].count(True) != 1:
        return Verdict(SILENT if not any(found) else WRONG, "both ended or both were refused"), what
    winner = [v is None for v in found].index(True)
    seed = json.loads((place / RUN / "config.json").read_text())["train"]["seed"]
    mine = "--config.train.seed=5" in jobs[winner].arguments
    if (seed == 5) != mine:
        return Verdict(SILENT, "config.json is that of the command that was refused"), what
    return (Verdict(REFUSED, str(found[1 - winner])) if mine else _judge(kept, ends[winner], place)), what


def one_cache(kept: Kept, number: int, place: Path, rng: random.Random) -> tuple[Verdict, str]:
    """Two runs fill one empty cache at once."""
    cache = place.with_name(f"{place.name}.cache")
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    places = [copy(kept.fresh, place), copy(kept.fresh, place.with_name(f"{place.name}.other"))]
    for one in places:
        (one / CACHE).symlink_to(cache)
    begun = [lives.begin([kept.job(places[0])])]
    lives.at_work(begun[0], rng.uniform(0, 0.3))
    begun.append(lives.begin([kept.job(places[1])]))
    ends = [lives.finish(life)[0] for life in begun]
    verdicts = [_judge(kept, e, p) for e, p in zip(ends, places, strict=True)]
    worst = next((v for v in verdicts if v.kind not in outcome.GOOD), verdicts[0])
    return worst, f"statuses {[e.status for e in ends]}"


def _deleted(folder: str) -> Callable[[Kept, int, Path, random.Random], tuple[Verdict, str]]:
    def deleted(kept: Kept, number: int, place: Path, rng: random.Random) -> tuple[Verdict, str]:
        copy(kept.fresh, place)
        life = lives.begin([kept.job(place)])
        lives.at_work(life, rng.uniform(0, kept.seconds))
        found = sorted(place.glob(folder))
        for one in found:
            shutil.rmtree(one, ignore_errors=True)
        first = lives.finish(life)[0]
        what = f"deleted {len(found)}, status {first.status}"
        verdict = outcome.refusal(first)
        if verdict is not None and verdict.kind == WRONG:
            return verdict, what
        if verdict is None:
            return _judge(kept, first, place), what
        again = lives.run(place, kept.run.module, kept.run.arguments)
        return _judge(kept, again, place), f"{what}, then {again.status}"

    return deleted


TOGETHER: dict[str, Callable[[Kept, int, Path, random.Random], tuple[Verdict, str]]] = {
    "two_on_a_workdir": one_workdir,
    "two_configs": two_configs,
    "two_on_a_cache": one_cache,
    "cache_deleted": _deleted(CACHE),
    "checkpoints_deleted": _deleted(f"{RUN}/**/checkpoints"),
}


def together(kept: Kept, kind: str, number: int, place: Path) -> Fault | None:
    """One fault of `TOGETHER`; None where it does not apply to the run."""
    if kept.run.name == STUDY and kind == "two_configs":
        return None  # its config is a file
    name = f"{kind}/{kept.run.name}/{number}"
    verdict, what = TOGETHER[kind](kept, number, place, random.Random(name))
    return made(name, verdict, what)
