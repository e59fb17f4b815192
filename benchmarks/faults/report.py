"""The table of a campaign: by kind of fault and by run, how many faults ended in which way, and what went wrong."""

from __future__ import annotations

import collections
import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults import damages, outcome, plan, record
from benchmarks.faults.record import Fault
from w2v_jax.errors import UserError
from w2v_jax.figures.style import GREY, PALETTE, drawing
from w2v_jax.files import read_json, write_json, write_text
from w2v_jax.tables import Rows, aligned, markdown

NAMES = {
    outcome.SAME: "bit for bit",
    outcome.REFUSED: "refused in one line",
    outcome.AGAIN: "said, made again",
    outcome.SILENT: "silent",
    outcome.WRONG: "wrong",
}
Counts = dict[str, int]  # faults by verdict
MOST = 40  # causes that are listed
LISTED = 5  # names of faults of one cause


def group_of(kind: str) -> str:
    """Stops, damages, or commands at once."""
    if kind in plan.STOPS:
        return "stops"
    return "damages" if kind in damages.TARGETS else "at once"


def counts(faults: Iterable[Fault]) -> Counts:
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


def table(by: Mapping[str, Counts]) -> Rows:
    """A row for each kind or run, and one for all."""
    rows = [["", "tried", *NAMES.values()]]
    whole = {verdict: sum(found[verdict] for found in by.values()) for verdict in NAMES}
    for name, found in [*by.items(), ("all", whole)]:
        rows.append([name.replace("_", " "), f"{sum(found.values()):,}", *(f"{n:,}" for n in found.values())])
    return rows


def summary(faults: Sequence[Fault]) -> dict[str, Any]:
    """The committed results: small, without the lines of each fault."""
    runs = sorted({fault.run for fault in faults})
    stops = [fault for fault in faults if group_of(fault.kind) == "stops"]
    return {
        "faults": sum(fault.faults for fault in faults),
        "by_group": {g: counts(f for f in faults if group_of(f.kind) == g) for g in ("stops", "damages", "at once")},
        "by_kind": {
            k: counts(f for f in faults if f.kind == k) for k in plan.KINDS if any(f.kind == k for f in faults)
        },
        "by_run": {run: counts(f for f in faults if f.run == run) for run in runs},
        "most_steps_lost": max((fault.lost for fault in stops), default=0),
        "runs_with_temporary_files_left": sum(fault.left > 0 for fault in faults),
        "silent_or_wrong": causes(faults)[:MOST],
    }


def added(old: dict[str, Any], new: dict[str, Any], made: Iterable[Fault]) -> dict[str, Any]:
    """The summary of both: `old` of an earlier campaign whose lines are gone, `new` of the faults `made`. One that the
    old summary names as silent or wrong, and that was made again, has its new verdict alone."""
    whole, again = copy.deepcopy(old), {fault.name for fault in made}
    for entry in whole["silent_or_wrong"]:
        for name in again.intersection(entry["names"]):
            kind, verdict, _ = entry["cause"].split(": ", 2)
            run = name.split("/")[1]
            for table, key in (("by_group", group_of(kind)), ("by_kind", kind), ("by_run", run)):
                whole[table][key][verdict] -= 1
            whole["faults"] -= 1
            entry["faults"] -= 1
    for table in ("by_group", "by_kind", "by_run"):
        for key, found in new[table].items():
            known = whole[table].setdefault(key, dict.fromkeys(NAMES, 0))
            whole[table][key] = {verdict: known[verdict] + found[verdict] for verdict in NAMES}
    whole["by_kind"] = {kind: whole["by_kind"][kind] for kind in plan.KINDS if kind in whole["by_kind"]}
    whole["by_run"] = dict(sorted(whole["by_run"].items()))
    whole["faults"] += new["faults"]
    whole["most_steps_lost"] = max(old["most_steps_lost"], new["most_steps_lost"])
    left = "runs_with_temporary_files_left"
    whole[left] = old[left] + new[left]
    known_bad = [entry for entry in whole["silent_or_wrong"] if entry["faults"]]
    whole["silent_or_wrong"] = (known_bad + new["silent_or_wrong"])[:MOST]
    return whole


def draw(by_kind: Mapping[str, Counts], out: Path) -> None:
    """One bar for each kind, by verdict."""
    kinds = list(by_kind)[::-1]
    found = [by_kind[kind] for kind in kinds]
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


def report(results: Path, out: Path, add: bool = False) -> int:
    """Prints the tables; writes OUT/faults.json, faults.md and faults.png, with `add` together with what they say so
    far. UserError: there are no results."""
    faults = record.read(results)
    if not faults:
        raise UserError(f"--results={results}: holds no faults; make some without --report")
    found = summary(faults)
    old = read_json(out / "faults.json") if add else None
    if old is not None:
        found = added(old, found, faults)
    by_kind, by_run = table(found["by_kind"]), table(found["by_run"])
    print(f"{aligned(by_kind)}\n\n{aligned(by_run)}\n")
    for entry in found["silent_or_wrong"]:
        print(f"{entry['faults']:5,}  {entry['cause']}\n       --only={','.join(entry['names'])}")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "faults.json", found, indent=1)
    write_text(out / "faults.md", f"{markdown(by_kind)}\n\n{markdown(by_run)}\n")
    draw(found["by_kind"], out / "faults.png")
    print(f"\nresults: {out / 'faults.json'}")
    return int(bool(found["silent_or_wrong"]))
