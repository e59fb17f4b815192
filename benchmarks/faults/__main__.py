"""Puts faults into small runs of every family and looks at what becomes of them.

    python -m benchmarks.faults [--seconds=600] [--count=500] [--kinds=kill,checkpoint] [--runs=skipgram,lstm]
        [--first=100]
    python -m benchmarks.faults --only=checkpoint/skipgram/7
    python -m benchmarks.faults --again
    python -m benchmarks.faults --report [--add] [--out=results/faults]

Signals at any moment, disks that are full or fail at any write, damaged and deleted files, two commands at once, joined
processes of which one dies: `benchmarks/faults/plan.py` lists the kinds. Every continuation must end bit for bit like
the undisturbed run, or be refused in one line; a damage may also be said and the work made again. All else is `silent`
or `wrong` and is listed by a name, which --only makes again; --again makes all of these again.

The campaign runs in parts: each appends to RESULTS (one JSON line a fault) and goes on where the last one ended. With
--scratch the undisturbed runs are kept for the next part, too. Linux only. One life takes 2 to 3 s of one core.
Exit status 1 when a fault was silent or went wrong.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import flags

from benchmarks.faults import inject, kept, lives, outcome, plan, record, runs
from experiments.common import cli
from w2v_jax.errors import UserError
from w2v_jax.tables import duration

ROOT = Path(__file__).resolve().parents[2]
READY = "W2V_JAX_FAULTS"  # set in the process whose environment is right


def define_flags() -> None:
    """A call, not an import, defines the flags."""
    flags.DEFINE_integer("seconds", 600, "Begin no fault later than this.", lower_bound=1)
    flags.DEFINE_integer("count", 1_000_000, "End after so many faults.", lower_bound=1)
    flags.DEFINE_integer("first", 0, "Number of the first round; a part that is added begins after all others.", 0)
    flags.DEFINE_list("kinds", [], "Only these kinds of faults; see benchmarks/faults/plan.py.")
    flags.DEFINE_list("runs", [], "Only these runs, such as skipgram, lstm or study.")
    flags.DEFINE_list("only", [], "Make the faults of these names again: KIND/RUN/NUMBER.")
    flags.DEFINE_bool("again", False, "Make again every fault that was silent or went wrong.")
    flags.DEFINE_bool("report", False, "Make the table and the picture of RESULTS; put in no fault.")
    flags.DEFINE_bool("add", False, "--report: adds to the summary in --out, of parts whose lines are gone.")
    flags.DEFINE_string("results", "runs/faults.jsonl", "File of the results, one line a fault; appended to.")
    flags.DEFINE_string("scratch", None, "Folder of the runs, kept; a temporary one without.")
    flags.DEFINE_string("out", "results/faults", "--report: folder of the summary.")


def code() -> str:
    """Of the code under test: kept runs of other code are not used."""
    folders = ("w2v_jax", "experiments", "configs")
    files = [*(p for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))), Path(runs.__file__)]
    return hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()[:12]


def restart(scratch: Path) -> None:
    """Starts this command once more with the environment of the lives: the library below Python, one device."""
    library = inject.build(scratch)
    set_there = lives.ENVIRONMENT | {READY: str(scratch), "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled")}
    if library is not None:
        set_there["LD_PRELOAD"] = str(library)
    set_there["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks.faults", *sys.argv[1:]], os.environ | set_there)


def campaign(scratch: Path, results: Path) -> int:
    """Makes faults until the time or the count is over; returns the exit status."""
    f = flags.FLAGS
    small = runs.small_runs()
    for given, known in ((f.runs, small), (f.kinds, plan.KINDS)):
        for name in given:
            if name not in known:
                raise UserError(f"{name}: no such run or kind of fault; known are {', '.join(known)}")
    before = record.read(results)
    wanted: Iterable[plan.Unit]
    if f.only or f.again:
        bad = [x.name for x in before if x.verdict not in outcome.GOOD]
        wanted, done = plan.again(f.only or bad), set()
    else:
        wanted = plan.units(f.runs or list(small), f.kinds or plan.KINDS, f.first)
        done = {fault.name for fault in before}
    lives.prepare()
    folder = scratch / f"kept-{code()}"
    for old in scratch.glob("kept-*"):
        if old != folder:
            shutil.rmtree(old)
    begin, count, found = time.monotonic(), 0, []
    for unit in wanted:
        if done.intersection(unit.names):
            continue
        passed = time.monotonic() - begin
        if passed > f.seconds or count >= f.count:
            break
        one = kept.keep(small[unit.run], folder)
        faults = unit.make(one, scratch / "work")
        record.write(results, faults)
        count += sum(fault.faults for fault in faults)
        found += faults
        tell(faults, count, time.monotonic() - begin)
    bad = [fault.name for fault in found if fault.verdict not in outcome.GOOD]
    print(f"{count} faults, {len(bad)} silent or wrong{': ' * bool(bad)}{', '.join(bad)}")
    return int(bool(bad))


def tell(faults: Sequence[record.Fault], count: int, passed: float) -> None:
    """One line of progress, and one for each fault that went wrong."""
    f = flags.FLAGS
    rate = count / passed
    left = min(f.seconds - passed, (f.count - count) / rate if rate else f.seconds)
    for fault in faults:
        if fault.verdict not in outcome.GOOD:
            print(f"{fault.verdict}: {fault.name}: {fault.detail}: {fault.why}", file=sys.stderr)
    what = f"{count} faults, {60 * rate:.0f} a minute, {duration(max(0.0, left))} left"
    print(what, file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Runs the campaign or its report; returns the exit status."""
    f = flags.FLAGS
    results = Path(f.results).resolve()
    if f.report:
        from benchmarks.faults import report

        return report.report(results, Path(f.out), f.add)
    results.parent.mkdir(parents=True, exist_ok=True)
    if READY not in os.environ:
        scratch = Path(f.scratch or tempfile.mkdtemp(prefix="w2v_jax_faults_")).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        restart(scratch)
    scratch = Path(os.environ[READY])
    try:
        return campaign(scratch, results)
    finally:
        if not f.scratch:
            shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
