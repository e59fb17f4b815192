"""`experiments.scaling --fit`: laws of a table of runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.scaling import budget
from w2v_jax.errors import UserError, one_line
from w2v_jax.figures import scaling as figures
from w2v_jax.files import write_json
from w2v_jax.scaling.allocation import Allocation
from w2v_jax.scaling.describe import compare, describe, how_of_intervals, show
from w2v_jax.scaling.fit import closest, fit_parametric
from w2v_jax.scaling.fitted import Fit, Refusal, Value, finite
from w2v_jax.scaling.isoflop import Isoflop, fit_isoflop
from w2v_jax.scaling.laws import BEST, FORMS
from w2v_jax.scaling.published import PUBLISHED
from w2v_jax.scaling.robust import LOGS, Misfit
from w2v_jax.scaling.run_table import NoRun, Rated, Runs, read_arms, read_rates, read_table
from w2v_jax.scaling.single import Single, fit_single
from w2v_jax.scaling.where import Condition
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned

_MEANT = '/\\:*?"<>|%#'  # signs that are not a part of a plain name everywhere
_LONGEST = 200  # bytes of a folder's name
SHOWN = ("E", "A", "B", "alpha", "beta", "a")


class Options(NamedTuple):
    """How a table is read and fitted; see `read_table` and `Misfit`."""

    drop: int = 0
    where: tuple[Condition, ...] = ()
    repeats: bool = False
    best: bool = False  # of runs of equal parameters and tokens, the one of the lowest loss
    misfit: Misfit = LOGS
    budgets: tuple[float, ...] = ()  # FLOPs
    device: str | None = None
    law: str = "sum"  # of `FORMS`, or BEST

    def read(self, path: Path, arm: str | None, drop: int | None = None) -> Runs:
        """The runs of one arm."""
        drop = self.drop if drop is None else drop
        return read_table(
            path,
            drop_fewest_tokens_per_parameter=drop,
            arm=arm,
            where=self.where,
            repeats=self.repeats,
            best=self.best,
        )

    def read_rates(self, path: Path, arm: str | None) -> Rated:
        """The runs of one arm that state their rate and batch, those that are not the best among them."""
        return read_rates(path, arm, self.where, self.repeats)


def fit(path: Path, options: Options, out: str | None) -> int:
    """Fits the laws of N and D, of each size alone and IsoFLOP parabolas to each arm of a table, and prints them beside
    published laws.

    An arm without a run to fit gets a line that says why. Returns the exit status: 1 where --budget has no answer for
    an arm. Errors as `read_table`, before anything is printed or written; fit.json and pictures go to the folder `out`,
    if any, of several arms to folders in it.
    """
    arms = read_arms(path, options.where)
    several, answered = len(arms.names) > 1, True  # a law describes one family of models
    wanted: Sequence[str | None] = arms.names if several else [None]
    found = _read_all(path, options, wanted)
    if arms.unnamed:
        alone = f"fitted with those of {arms.names[0]}"
        print(f"{path}: {arms.unnamed} run(s) have no arm, and are {'in no fit' if several else alone}")
    if arms.names and arms.unfinished:
        print(f"{path}: no finished run, so no law, of the arm(s) {', '.join(arms.unfinished)}")
    for i, (arm, runs) in enumerate(zip(wanted, found, strict=True)):
        if arm is not None:
            print(f"{chr(10) if i else ''}arm {one_line(arm)}")
        if isinstance(runs, NoRun):
            print(f"no law of this arm: {runs}")
            answered &= not options.budgets
            continue
        folder = None if out is None else to_path(out)
        answered &= fit_one(path, options, runs, folder if folder is None or arm is None else folder / named(arm), arm)
    return 0 if answered else 1


def _read_all(path: Path, options: Options, wanted: Sequence[str | None]) -> list[Runs | NoRun]:
    """The runs of each arm, or why it has none. UserError: as `read_table`, or no arm has a run."""
    found = list[Runs | NoRun]()
    for arm in wanted:
        try:
            found.append(options.read(path, arm))
        except NoRun as e:
            found.append(e)
    if all(isinstance(runs, NoRun) for runs in found):
        raise UserError(f"{found[0]}{'' if len(found) == 1 else f' (arm {wanted[0]}; no other arm has one either)'}")
    return found


def named(arm: str) -> str:
    """The arm as the name of one folder, another for each arm: what a path or a file system would read is written %XX,
    and the end of a long name is a digest."""
    safe = "".join(c if _plain(c) else "".join(f"%{byte:02X}" for byte in _bytes(c)) for c in arm)
    safe = f"%2E{safe[1:]}" if safe.startswith(".") else safe or "%"
    if len(safe.encode()) <= _LONGEST:
        return safe
    return f"{safe.encode()[: _LONGEST // 2].decode(errors='ignore')}%-{hashlib.sha256(_bytes(arm)).hexdigest()[:16]}"


def _plain(c: str) -> bool:
    return c.isprintable() and c not in _MEANT


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def fit_one(path: Path, options: Options, runs: Runs, out: Path | None, arm: str | None) -> bool:
    """Fits the runs of one arm; None is the whole table. False: --budget has no answer."""
    print(f"{path}: {len(runs.loss)} run(s)")
    for note in runs.notes:
        print(f"  {note}")
    parametric = closest(
        [
            fit_parametric(runs.parameters, runs.tokens, runs.loss, misfit=options.misfit, law=law)
            for name, law in FORMS.items()
            if options.law in (name, BEST)
        ]
    )
    print(f"\n{describe(parametric)}")
    if isinstance(parametric, Fit) and not parametric.law.joint:  # published ones are sums
        ours = {name: parametric.values[name] for name in SHOWN if name in parametric.values}
        print(f"\n{compare(ours, [law for law in PUBLISHED if 'E' in law.values])}")
    if options.drop and isinstance(parametric, Fit):
        _say_what_moves(options.read(path, arm, 0), parametric)
    single = fit_single(runs.parameters, runs.tokens, runs.flops, runs.loss)
    print(f"\nLaws of one size alone, with 95 % intervals:\n{_of_one_size(single)}")
    isoflop = fit_isoflop(runs.parameters, runs.flops, runs.loss, tokens=runs.tokens)
    print(f"\n{describe(isoflop)}")
    found = _say_budgets(path, options, runs, parametric, arm) if options.budgets else []
    if out is not None:
        _write(out, path, options, runs, parametric, single, isoflop, found)
    return not isinstance(found, str)


def _of_one_size(single: Single) -> str:
    """A line for each law with its values, or the reason for none."""
    rows = [["loss by", "runs", "values"]]
    for name, r in single.named().items():
        values = [f"not fitted: {r.reason}"] if isinstance(r, Refusal) else [show(k, v) for k, v in r.values.items()]
        rows.append([name, "" if isinstance(r, Refusal) else str(r.points), ", ".join(values)])
    return aligned(rows, left=(0, 2))


def _say_budgets(
    path: Path, options: Options, runs: Runs, parametric: Fit | Refusal, arm: str | None
) -> list[Allocation] | str:
    """Prints the optimum of each budget, or why there is none."""
    if not isinstance(parametric, Fit):
        reason = "no optimum of a budget without a fitted surface"
    elif min(parametric.values[k].value for k in ("alpha", "beta")) <= 0:
        reason = "no optimum of a budget: by this surface loss does not fall with N or with D"
    else:
        found = budget.show(parametric, options.budgets, runs, options.device)
        budget.show_rates(lambda: options.read_rates(path, arm), runs, found)
        return found
    print(f"\n{reason}")
    return reason


def _say_what_moves(every: Runs, kept: Fit) -> None:
    """Prints each value with and without the runs that were left out."""
    whole = fit_parametric(every.parameters, every.tokens, every.loss, misfit=kept.misfit, law=kept.law)
    if isinstance(whole, Fit):
        moved = ", ".join(f"{k} {kept.values[k].value:.4g} -> {v.value:.4g}" for k, v in whole.values.items())
        print(f"\nwith all {whole.points} runs: {moved}")


def _write(
    folder: Path,
    path: Path,
    options: Options,
    runs: Runs,
    parametric: Fit | Refusal,
    single: Single,
    isoflop: Isoflop | Refusal,
    budgets: Sequence[Allocation] | str,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    small = f"{path.name}, {len(runs.loss)} runs; python -m experiments.scaling --fit={path.name}"
    small += f" --drop_fewest_tokens_per_parameter={options.drop}" if options.drop else ""
    figures.draw_fits(parametric, isoflop, folder, source=small)
    found: dict[str, Any] = {"table": path.name, "dropped": options.drop, "runs": len(runs.loss)}
    results: dict[str, Fit | Isoflop | Refusal] = {"parametric": parametric, "isoflop": isoflop}
    for name, r in results.items():
        found[name] = r._asdict() if isinstance(r, Refusal) else {k: _value(v) for k, v in r.values.items()}
    found["of one size"] = {
        name: r._asdict()
        if isinstance(r, Refusal)
        else {"runs": r.points} | {k: _value(v) for k, v in r.values.items()}
        for name, r in single.named().items()
    }
    found["how"] = _how(options, runs, parametric)
    if isinstance(isoflop, Isoflop):
        found["minima"] = [
            {"flops": p.flops, "runs": len(p.sizes), "parameters": _value(p.best), "tokens": p.tokens, "loss": p.lowest}
            for p in isoflop.parabolas
        ]
        found["left out"] = [r.reason for r in isoflop.refused]
        found["isoflop notes"] = [*([isoflop.reason] if isoflop.reason else []), *isoflop.notes]
    if budgets:
        found["budgets"] = budgets if isinstance(budgets, str) else [_budget(its) for its in budgets]
    write_json(folder / "fit.json", found)
    print(f"\nresults: {folder / 'fit.json'}")


def _how(options: Options, runs: Runs, parametric: Fit | Refusal) -> dict[str, Any]:
    """What was fitted to which runs."""
    found: dict[str, Any] = {
        "where": ",".join(c.text for c in options.where),
        "repeats": options.repeats,
        "best": options.best,
        "misfit": str(options.misfit),
        "notes": list(runs.notes),
    }
    if isinstance(parametric, Fit):
        found["formula"] = parametric.law.formula
        found["intervals"] = how_of_intervals(parametric)
        found["noise"], found["cross-validated error"] = parametric.noise, parametric.error_ratio
        found["notes"] += parametric.notes
    return found


def _value(value: Value) -> dict[str, float | None]:
    return {name: finite(x) for name, x in value._asdict().items()}


def _budget(its: Allocation) -> dict[str, Any]:
    values = {"parameters": _value(its.n), "tokens": _value(its.d), "loss": _value(its.loss)}
    return {"flops": its.flops, "times the largest run": its.times, **values}
