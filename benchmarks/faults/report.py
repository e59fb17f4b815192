"""The table of a campaign: by kind of fault and by run, how many faults ended in which way, and what went wrong."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults import damages, outcome, plan, record
from benchmarks.faults.record import Fault
from w2v_jax.errors import UserError
from w2v_jax.figures.style import GREY, PALETTE, drawing
from w2v_jax.files import write_json, write_text
from w2v_jax.tables import Rows, aligned, markdown

NAMES = {
    outcome.SAME: "bit for bit",
    outcome.REFUSED: "refused in one line",
    outcome.AGAIN: "said, made again",
    outcome.SILENT: "silent",
    outcome.WRONG: "wrong",
}
MOST = 40  # causes that are listed
LISTED = 5  # names of faults of one cause


def group(fault: Fault) -> str:
    """Stops, damages, or commands at once."""
    if fault.kind in plan.STOPS:
        return "stops"
    return "damages" if fault.kind in damages.TARGETS else "at once"


def counts(faults: Iterable[Fault]) -> dict[str, int]:
    """Number of faults by verdict; a chain counts with all of its faults."""
    found = dict.fromkeys(NAMES, 0)
    for fault in faults:
        found[fault.verdict] += fault.faults
    return found


def cause(fault: Fault) -> str:
    """What went wrong, without the numbers and paths of this fault."""
    why = re.sub(r"\S*/(\w[\w.]*)", r"\1", fault.why)
    return f"{fault.verdict}: {re.sub(r'[0-9][0-9,.]*', 'n', why)[:140]}"


def causes(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    """Everything that was silent or wrong, by cause, the most frequent first; each with names that make it again."""
    found: dict[str, list[Fault]] = collections.defaultdict(list)
    for fault in faults:
        if fault.verdict not in outcome.GOOD:
            found[f"{fault.kind}: {cause(fault)}"].append(fault)
    return [
        {"cause": text, "faults": sum(f.faults for f in some), "names": [f.name for f in some[:LISTED]]}
        for text, some in sorted(found.items(), key=lambda pair: -len(pair[1]))
    ]


def table(faults: Sequence[Fault], key: Any, order: Sequence[str]) -> Rows:
    """A row for each value of `key`, and one for all."""
    by: Mapping[str, list[Fault]] = collections.defaultdict(list)
    for fault in faults:
        by[key(fault)].append(fault)
    rows = [["", "tried", *NAMES.values()]]
    for name in [*(n for n in order if n in by), "all"]:
        found = counts(faults if name == "all" else by[name])
        rows.append([name.replace("_", " "), f"{sum(found.values()):,}", *(f"{n:,}" for n in found.values())])
    return rows


def summary(faults: Sequence[Fault]) -> dict[str, Any]:
    """The committed results: small, without the lines of each fault."""
    runs = sorted({fault.run for fault in faults})
    stops = [fault for fault in faults if group(fault) == "stops"]
    return {
        "faults": sum(fault.faults for fault in faults),
        "by_group": {g: counts(f for f in faults if group(f) == g) for g in ("stops", "damages", "at once")},
        "by_kind": {
            k: counts(f for f in faults if f.kind == k) for k in plan.KINDS if any(f.kind == k for f in faults)
        },
        "by_run": {run: counts(f for f in faults if f.run == run) for run in runs},
        "most_steps_lost": max((fault.lost for fault in stops), default=0),
        "runs_with_temporary_files_left": sum(fault.left > 0 for fault in faults),
        "silent_or_wrong": causes(faults)[:MOST],
    }


def draw(faults: Sequence[Fault], out: Path) -> None:
    """One bar for each kind, by verdict."""
    kinds = [k for k in plan.KINDS if any(f.kind == k for f in faults)][::-1]
    found = [counts(f for f in faults if f.kind == kind) for kind in kinds]
    colours = (PALETTE[0], PALETTE[5], PALETTE[2], "black", PALETTE[1])
    with drawing(out, (8.0, 0.9 + 0.26 * len(kinds)), "python -m benchmarks.faults") as figure:
        axes = figure.subplots()
        left = [0] * len(kinds)
        for (verdict, name), colour in zip(NAMES.items(), colours, strict=True):
            width = [f[verdict] for f in found]
            axes.barh([k.replace("_", " ") for k in kinds], width, left=left, color=colour, label=name)
            left = [a + b for a, b in zip(left, width, strict=True)]
        axes.set_xlabel("faults")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="lower right", edgecolor=GREY)


def report(results: Path, out: Path) -> int:
    """Prints the tables; writes OUT/faults.json, faults.md and faults.png. UserError: there are no results."""
    faults = record.read(results)
    if not faults:
        raise UserError(f"--results={results}: holds no faults; make some without --report")
    by_kind = table(faults, lambda f: f.kind, plan.KINDS)
    by_run = table(faults, lambda f: f.run, sorted({f.run for f in faults}))
    found = summary(faults)
    print(f"{aligned(by_kind)}\n\n{aligned(by_run)}\n")
    for entry in found["silent_or_wrong"]:
        print(f"{entry['faults']:5,}  {entry['cause']}\n       --only={','.join(entry['names'])}")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "faults.json", found, indent=1)
    write_text(out / "faults.md", f"{markdown(by_kind)}\n\n{markdown(by_run)}\n")
    draw(faults, out / "faults.png")
    print(f"\nresults: {out / 'faults.json'}")
    return int(bool(found["silent_or_wrong"]))
