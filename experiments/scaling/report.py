"""The report of a finished study: tables, laws and figures, as Markdown and as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.common import page
from experiments.scaling import export, sections
from experiments.scaling.found import Found
from w2v_jax.files import write_json
from w2v_jax.scaling import analysis
from w2v_jax.scaling.fitted import Fit, Refusal, finite
from w2v_jax.scaling.records import FINISHED, Record
from w2v_jax.scaling.study import Study

FIGURES, LAWS = "figures", "laws.json"


def report(study: Study, made: Sequence[Record], workdir: Path, command: str) -> int:
    """Prints the report of the runs `made`, and writes report.md, report.html, laws.json and the figures.

    Returns 0, or 1 where a fitted floor misses the known best possible loss. OSError: a file cannot be written.
    """
    folder = workdir / FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    usable = analysis.usable(made)
    arms = analysis.by_arm(usable)
    laws = [analysis.laws(arm, arms[arm], study.budgets) for arm in study.arms if arm in arms]
    floors = analysis.floors(laws, usable)
    small = small_print(study, made, command)
    found = Found(study, list(made), usable, laws, floors, folder, small)
    print(page.write(workdir, "Scaling study", sections.sections(found), small))
    write_json(workdir / LAWS, as_json(command, laws, floors))
    export.write(made, workdir / export.RUNS)
    print(f"report: {workdir / page.PAGE}\nlaws: {workdir / LAWS}\nruns: {workdir / export.RUNS}\nfigures: {folder}")
    return int(study.optimum and (not floors or any(not floor.holds for floor in floors)))


def small_print(study: Study, made: Sequence[Record], command: str) -> str:
    """Data, the most words of a run, seeds, machine, code and command."""
    seeds = ",".join(str(s) for s in study.seeds)
    done = [r for r in made if r.status == FINISHED]
    device = sorted({r.device for r in done})
    revisions = sorted({r.revision for r in done if r.revision})
    code = f", code {', '.join(revisions)}" if revisions else ""
    words = f", at most {max(r.tokens for r in done):,.0f} tokens" if done else ""
    return f"{study.data.source}{words}, seed {seeds}, {', '.join(device)}{code}; {command}"


def as_json(command: str, laws: Sequence[analysis.Laws], floors: Sequence[analysis.Floor]) -> dict[str, Any]:
    """Fitted values and refusals, ready for JSON."""
    return {
        "command": command,
        "arms": {law.arm: {name: _one(result) for name, result in law.named().items()} for law in laws},
        "left out, on the plateau of single words": {law.arm: [r.run for r in law.plateau] for law in laws},
        "floors": [floor._asdict() | {"holds": floor.holds} for floor in floors],
    }


def _one(result: analysis.Result) -> dict[str, Any]:
    if isinstance(result, Refusal):
        return {"refused": result.reason}
    values = {k: [finite(x) for x in v] for k, v in result.values.items()}
    out = {"runs": result.points, "values": values, "notes": list(result.notes)}
    return {"formula": result.law.formula} | out if isinstance(result, Fit) else out
