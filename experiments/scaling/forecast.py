"""`experiments.scaling --forecast`: losses written down before the runs are made; `grade` compares what came.

A forecast is a file that is written once. It holds the law, the runs that the law rests on and the expected loss of
each run of another study.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common.machine import machine, revision
from experiments.scaling.grade import DIGEST, digest
from w2v_jax.errors import UserError
from w2v_jax.files import write_json
from w2v_jax.recorded import to_dict
from w2v_jax.scaling import analysis, records, tasks
from w2v_jax.scaling.describe import number, show
from w2v_jax.scaling.expected import Expected, expect, widened
from w2v_jax.scaling.fit import closest, fit_excess, fit_parametric
from w2v_jax.scaling.fitted import Fit, Refusal, Value, finite
from w2v_jax.scaling.frontier import (
    WORSE,
    Frontier,
    fit_frontier,
    frontier,
    off,
    on_frontier,
    seeds_apart,
    with_floor,
)
from w2v_jax.scaling.ladder import SecondStep
from w2v_jax.scaling.laws import BEST, FORMS
from w2v_jax.scaling.left_out import LeftOut, counts, left_out, warning
from w2v_jax.scaling.offset import Offset, as_fit, fit_offset
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.study import Planned, Study
from w2v_jax.scaling.trust import LackOfFit, lack_of_fit
from w2v_jax.tables import aligned

FREE, FITTED, SIGNED, KNOWN = "free", "fitted", "signed", "known"  # floors of a law
FRONTIER = "frontier"  # the form of law of `w2v_jax.scaling.frontier`


class Law(NamedTuple):
    """What the loss of an arm is expected to be, and its accuracy on tasks by that loss."""

    fit: Fit  # of the loss, or of its distance from the floor
    floor: float  # nats that are added to what the fit says; 0 where the fit has a floor of its own
    tasks: dict[str, SecondStep | Refusal]
    optimum: float | None = None  # the best possible loss, where all runs record it
    frontier: Frontier | None = None  # what the law rests on, where it is one of compute
    runs: tuple[Record, ...] = ()  # that the law is fitted to
    left: LeftOut = LeftOut()
    offset: Offset | None = None  # the law itself, where its floor is of either sign
    seeds: float = 0.0  # `frontier.seeds_apart`

    def expect(self, run: Planned) -> Expected:
        """The loss of one further run."""
        sizes = [run.flops] if self.frontier else [float(run.ledger.parameters), run.tokens]
        found = expect(self.fit, *sizes) if self.offset is None else self.offset.expect(*sizes)
        found = widened(found, self.seeds)
        return Expected(*(Value(*(self.floor + x for x in value)) for value in found))


def fits(results: Path, arms: Sequence[str], floor: str, form: str = "sum") -> dict[str, Law]:
    """L(N, D) of each arm by the results of a finished study, of one of the `FORMS` or the `BEST` of them; or L(C).

    With `floor` "known" the best possible loss is that of the records, and the distance from it is fitted. "free" fits
    the floor of a law of N and D, and gives L(C) none; "fitted" fits that of L(C), too, and "signed" an offset of L(C)
    of either sign.

    UserError: an arm without runs, or without a fit; a known floor that the records do not have; "signed" without L(C).
    """
    if floor == SIGNED and form != FRONTIER:
        raise UserError("--floor=signed: is for --law=frontier; leave --floor out, or add --law=frontier")
    every = analysis.by_arm(records.read([results]))
    by_arm = {arm: own for arm, runs in every.items() if (own := analysis.usable(runs))}
    found = {}
    for arm in arms:
        if arm not in by_arm:
            raise UserError(f"--laws={results}: has no finished run of the arm {arm}; it has {', '.join(by_arm)}")
        runs, _ = analysis.fitted_runs(by_arm[arm])
        n, d, c, loss = analysis.columns(runs)
        best = [r.optimum for r in runs if r.optimum is not None]
        if floor == KNOWN and len(best) < len(runs):
            why = "records no best possible loss; a study with optimum=True does"
            raise UserError(f"--floor=known: {results}: arm {arm} {why}")
        optimum = float(np.mean(best)) if len(best) == len(runs) else None
        zero = (optimum or 0.0) if floor == KNOWN else 0.0
        below = next((r for r in runs if (r.heldout_loss or 0.0) <= zero), None)
        if floor == KNOWN and below is not None:
            why = f"its loss, {below.heldout_loss}, is not above {zero}, the best possible one"
            raise UserError(f"--floor=known: {results}: the run {below.run}: {why}; leave --floor out")
        least = frontier(n, d, c, loss) if form == FRONTIER else None
        offset = fit_offset(least) if least is not None and floor == SIGNED else None
        if least is None:
            fit = _of_sizes(n, d, loss, zero, floor, form)
        else:
            fit = as_fit(least, offset) if offset else fit_frontier(least, zero, floor == FITTED)
        if isinstance(fit, Refusal):
            raise UserError(f"--laws={results}: arm {arm}: no law, so no forecast: {fit.reason}")
        assert not isinstance(offset, Refusal)  # `as_fit` returns it
        steps = tasks.second_steps(runs, optimum)
        seeds = 0.0
        if least is not None:
            runs = [r for r, on in zip(runs, on_frontier(n, d, c, loss), strict=True) if on]
            seeds = seeds_apart(n, d, c, loss - zero)
        found[arm] = Law(fit, zero, steps, optimum, least, tuple(runs), left_out(every[arm]), offset, seeds)
    return found


def _of_sizes(n: np.ndarray, d: np.ndarray, loss: np.ndarray, zero: float, floor: str, form: str) -> Fit | Refusal:
    """The law of N and D of `form`."""
    return closest(
        [
            fit_excess(n, d, loss - zero, law=law) if floor == KNOWN else fit_parametric(n, d, loss, law=law)
            for name, law in FORMS.items()
            if form in (name, BEST)
        ]
    )


def check(file: Path, results: Path) -> list[Record]:
    """The runs of the results that a forecast would rest on. UserError: the file is there already; a bad line."""
    if file.exists():
        raise UserError(f"--forecast={file}: is there already, and a forecast is never changed; name another file")
    return records.read([results])


def write(
    file: Path, results: Path, study: Study, planned: Sequence[Planned], floor: str, command: str, form: str = BEST
) -> int:
    """Writes the forecast of every run of `planned`, and prints it. `floor`, `form`: see `fits`.

    UserError: the file is there already; no law of an arm; a run of the forecast is among those that were fitted.
    """
    made = {r.config_hash for r in check(file, results)}
    laws = fits(results, list(dict.fromkeys(run.arm for run in planned)), floor, form)
    known = next((run.name for run in planned if records.config_hash(run.config) in made), None)
    if known is not None:
        raise UserError(f"--forecast={file}: the run {known} is in {results} already; forecast runs that are not made")
    targets = [_target(run, laws[run.arm]) for run in planned]
    forecast = {
        "made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "code": revision(),
        "machine": machine(),
        "data": to_dict(study.data),
        "rests on": {"file": results.name, "sha256": hashlib.sha256(results.read_bytes()).hexdigest()},
        "laws": {arm: _law(law) for arm, law in laws.items()},
        "targets": targets,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, forecast | {DIGEST: digest(forecast)})
    print(aligned(_rows(targets)))
    _warn_of_impossible(targets, laws)
    for arm, law in laws.items():
        what = "distance from the floor" if law.floor else "loss"
        values = law.fit.values
        ends = f"; {show('E', values['E'])}, 95 % interval" if "E" in values else ""
        print(f"{arm}: {law.fit.law.formula}, off by {law.fit.noise:.2%} of the {what} at the runs{ends}")
        for note in law.fit.notes:
            print(f"{arm}: {note}")
        print_rests_on(arm, law, results)
        if law.frontier is None:
            print_doubt(arm, lack_of_fit(law.fit))
        else:
            _print_frontier(arm, law.frontier, [run for run in planned if run.arm == arm])
            if not law.floor and not law.fit.law.floor and law.offset is None:
                print_no_floor(arm, law.fit, law.frontier)
    print_tasks(targets, laws)
    print(f"intervals: 95 %, of one further run each\nforecast: {file}; make the runs, then give it to --grade")
    return 0


def _warn_of_impossible(targets: Sequence[Mapping[str, Any]], laws: Mapping[str, Law]) -> None:
    """A warning where a loss is forecast that no model can have."""
    for t in targets:
        least = laws[t["arm"]].optimum
        if least is not None and t["loss"][0] < least:
            print(
                f"warning: {t['run']}: {t['loss'][0]:.4f} is below {least:.4f}, the best possible loss that the runs "
                "record; --floor=known fits the distance from it"
            )


def print_rests_on(arm: str, law: Law, results: Path) -> None:
    """How many runs a law is fitted to, and what of the results was left out."""
    left = "; ".join(counts(law.left)) or "none"
    print(f"{arm}: rests on {len(law.runs)} run(s) of {results.name}; left out: {left}")
    if (doubt := warning(law.left)) is not None:
        print(f"warning: {arm}: {doubt}")


def print_doubt(arm: str, found: LackOfFit | None) -> None:
    """A warning where the runs contradict the law, or cannot say so."""
    if found is None:
        print(f"{arm}: no two runs differ by their seeds alone, so whether the law has the right form is not known")
    elif found.wrong:
        print(
            f"warning: {arm}: the runs are farther from the law than their seeds are from one another (F = "
            f"{found.ratio:.3g}, chance {found.chance:.1g}): its form is wrong here, and the intervals are too narrow"
        )


def _print_frontier(arm: str, found: Frontier, planned: Sequence[Planned]) -> None:
    """What the law rests on, and a warning where a run is not one that it speaks of."""
    low, high = found.per_parameter.min(), found.per_parameter.max()
    points = f"{len(found.flops)} points that no cheaper one beats, seeds together"
    print(f"{arm}: by {points}, of {low:.3g} to {high:.3g} tokens a parameter")
    for run in planned:
        if off(found, run.ledger.parameters, run.tokens):
            per = run.tokens / run.ledger.parameters
            print(f"warning: {run.name}: has {per:.3g} tokens a parameter: the law is of the best split of its cost")


def print_no_floor(arm: str, fit: Fit, found: Frontier) -> None:
    """That a law of the frontier has no floor, what a fitted one would be, and a warning where that is closer."""
    print(f"{arm}: this law has no floor, which is an assumption: where the loss has one, the intervals are too low")
    test = with_floor(found)
    if isinstance(test.fit, Refusal):
        print(f"{arm}: with a fitted floor there is no law: {test.fit.reason}")
    else:
        noises = f"off by {test.fit.noise:.2%} at the runs, without it by {fit.noise:.2%}"
        print(f"{arm}: with a fitted floor, {show('E', test.fit.values['E'])}, the law is {noises}")
    if test.worse:
        chance = f"F = {test.ratio:.3g}, chance {test.chance:.1g}, below {WORSE:g}"
        print(
            f"warning: {arm}: a law with a floor is closer to the runs ({chance}): use --floor=fitted or --floor=known"
        )
    elif isinstance(offset := fit_offset(found), Offset) and (below := offset.values()["E"]).high < 0:
        print(
            f"warning: {arm}: the loss falls faster than a power of the FLOPs ({show('E', below)} below zero, by the "
            "law of --floor=signed): the intervals are too high; use --floor=signed"
        )


def print_tasks(targets: Sequence[Mapping[str, Any]], laws: Mapping[str, Law]) -> None:
    """The expected accuracy of every target on each task, and the tasks of which nothing is forecast."""
    rows = [["run", "task", "accuracy", "from", "to"]]
    rows += [[t["run"], name, *(f"{x:.4f}" for x in value)] for t in targets for name, value in t["tasks"].items()]
    if len(rows) > 1:
        print(aligned(rows))
    for arm, law in laws.items():
        for name, step in law.tasks.items():
            if isinstance(step, Refusal):
                print(f"{arm}: no forecast of {name}: {step.reason}")
            elif step.runs < law.fit.points:
                print(f"{arm}: {name} rests on {step.runs} of the {law.fit.points} runs: the others have no such score")


def _law(law: Law) -> dict[str, Any]:
    fit = law.fit
    values = {name: [finite(x) for x in value] for name, value in fit.values.items()}
    values |= {"E": [law.floor] * 3} if law.floor else {}
    doubt = lack_of_fit(fit)
    curves = {
        name: step.reason if isinstance(step, Refusal) else step.link._asdict() for name, step in law.tasks.items()
    }
    found = {
        "lack of fit": None if doubt is None else list(doubt),
        "tasks": curves,
        "runs of tasks": {name: step.runs for name, step in law.tasks.items() if isinstance(step, SecondStep)},
        "formula": fit.law.formula,
        "values": values,
        "noise": fit.noise,
        "misfit": str(fit.misfit),
        "runs": [r.run for r in law.runs],
        "left out": counts(law.left),
    }
    if law.frontier is not None:
        found["frontier"] = {name: column.tolist() for name, column in law.frontier._asdict().items()}
    return found


def _target(run: Planned, law: Law) -> dict[str, Any]:
    """One run as it is planned, with what is expected of it."""
    expected = law.expect(run)
    cost = run.flops if law.frontier else 6.0 * run.ledger.parameters * run.tokens
    largest = float(law.fit.sizes.prod(1).max()) * (1.0 if law.frontier else 6.0)
    return {
        "run": run.name,
        "arm": run.arm,
        "config_hash": records.config_hash(run.config),
        "config": to_dict(run.config),
        "parameters": run.ledger.parameters,
        "tokens": run.tokens,
        "training_flops": run.flops,
        "times": cost / largest,
        "learning_rate": run.config.optimizer.learning_rate,
        "loss": [finite(x) for x in expected.loss],
        "law": [finite(x) for x in expected.law],
        "tasks": {name: list(value) for name, value in tasks.expected(law.tasks, expected.loss).items()},
    }


def _rows(targets: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = [["run", "parameters", "tokens", "FLOPs", "of the largest fitted", "loss", "from", "to"]]
    for t in targets:
        sizes = [f"{t['parameters']:,}", f"{t['tokens']:,.0f}", number(t["training_flops"]), f"{t['times']:.3g} times"]
        rows.append([t["run"], *sizes, *("free" if x is None else f"{x:.4f}" for x in t["loss"])])
    return rows
