"""The launcher under random schedules: preemption, lost workers, hangs, refusals, kills of the launcher itself.

    python -m benchmarks.launch_chaos --schedules=1000 [--first=0] [--jobs=2] [--out=results/launch_chaos.json]
    python -m benchmarks.launch_chaos --only=17

Each schedule is drawn by its seed: a machine of 1 to 4 workers in the fake cloud, up to 4 faults, and what happens to
the launcher (killed, Ctrl-C, `down` from another terminal). Workers are real processes; hours pass in seconds. A
schedule is refused when a resource or a process is left, when the launcher does not end, when the parameters are not
those of an undisturbed run, when there are none and no reason was told, or when it gave up what can be mended. Counted
apart (`forsaken`): every worker of a spot machine was dead and nobody came back, so that only the next `down` of a
person deletes it; with --flex_start Cloud TPU itself ends every machine. With
--out the parts of a campaign add up: seeds that are there are not lived again. One takes about a second of one core.
Exit status 1 when one was refused.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import schedules
from experiments.common import cli
from launch.fake.play import checkout
from w2v_jax.files import write_text
from w2v_jax.tables import aligned

WORK = Path(tempfile.gettempdir())


def one(job: tuple[int, str, float, bool]) -> dict[str, Any] | None:
    """Lives the schedule of a seed in its own folder below the one that is given; None after a time (since 1970)."""
    seed, below, until, flex_start = job
    if time.time() > until:
        return None
    folder = Path(below) / str(seed)
    try:
        return schedules.live(schedules.draw(seed), folder, Path(below) / "source", flex_start)._asdict()
    finally:
        schedules.end_all(folder)
        shutil.rmtree(folder, ignore_errors=True)


def campaign(
    seeds: Iterable[int], jobs: int, seconds: float = 1e9, flex_start: bool = False
) -> Iterator[dict[str, Any]]:
    """Lives through the schedules of some seeds, `jobs` at once, as they end; begins none after `seconds`."""
    below = Path(tempfile.mkdtemp(prefix="w2v_jax-chaos-"))
    checkout(below / "source")
    work = [(seed, str(below), time.time() + seconds, flex_start) for seed in seeds]
    try:
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            yield from filter(None, pool.imap_unordered(one, work))
    finally:
        schedules.end_all(below)
        shutil.rmtree(below, ignore_errors=True)


def summary(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all schedules."""
    found = list(found)
    faults = Counter(kind for v in found for kind in v["happened"])
    return {
        "schedules": len(found),
        "leaked": sum(bool(v["leaked"]) for v in found),
        "stuck": sum(v["stuck"] for v in found),
        "wrong": sum(v["result"] == "wrong" for v in found),
        "refused": sum(bool(v["refused"]) for v in found),
        "forsaken": sum(v.get("forsaken", False) for v in found),
        "right": sum(v["result"] == "right" for v in found),
        "reasons": dict(Counter(v["reason"] for v in found if v["result"] == "none").most_common()),
        "faults": dict(faults.most_common()),
        "kills_and_interrupts": sum(len(schedules.draw(v["seed"]).events) for v in found),
        "hours_of_the_fake": round(sum(v["hours"] for v in found), 1),
        "seconds": round(sum(v["seconds"] for v in found), 1),
    }


def save(out: Path, verdicts: Sequence[dict[str, Any]]) -> None:
    """Writes what is known so far: a campaign may end at any moment."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(v) for v in verdicts]
    write_text(out, json.dumps(summary(verdicts) | {"verdicts": []})[:-2] + "\n" + ",\n".join(lines) + "\n]}\n")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    if f.only is not None:
        print(schedules.draw(f.only))
    out = Path(f.out) if f.out else None
    before = json.loads(out.read_text())["verdicts"] if out and out.exists() else []
    seeds = [f.only] if f.only is not None else range(f.first, f.first + f.schedules)
    have = {v["seed"] for v in before}
    every = before
    for verdict in campaign([s for s in seeds if s not in have], f.jobs, f.seconds, f.flex_start):
        every = sorted([*every, verdict], key=lambda v: v["seed"])
        if out:
            save(out, every)
    counts = summary(every)
    print(aligned([[key, str(value)] for key, value in counts.items()]))
    for verdict in every:
        if verdict["refused"] or f.only is not None:
            print(f"seed {verdict['seed']}: {verdict['refused'] or 'ok'}: {verdict}")
    return int(counts["refused"] > 0)


if __name__ == "__main__":
    flags.DEFINE_integer("schedules", 1000, "Number of schedules.", lower_bound=1)
    flags.DEFINE_integer("first", 0, "Seed of the first.", lower_bound=0)
    flags.DEFINE_integer("only", None, "The schedule of this seed only, with all that is known of it.", lower_bound=0)
    flags.DEFINE_integer("jobs", 2, "Schedules at once.", lower_bound=1)
    flags.DEFINE_float("seconds", 1e9, "Begins no further schedules after so many seconds; the next part goes on.")
    flags.DEFINE_bool("flex_start", False, "Machines that Cloud TPU itself ends after the paid hours.")
    flags.DEFINE_string("out", "", "JSON file of the results; the parts of a campaign add up in it.")
    cli.run(main)
