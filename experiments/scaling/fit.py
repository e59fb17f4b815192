"""`experiments.scaling --fit`: laws of a table of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from w2v_jax.figures import scaling as figures
from w2v_jax.files import write_json
from w2v_jax.scaling.describe import compare, describe
from w2v_jax.scaling.fit import fit_parametric
from w2v_jax.scaling.fitted import Fit, Refusal
from w2v_jax.scaling.isoflop import Isoflop, fit_isoflop
from w2v_jax.scaling.published import PUBLISHED
from w2v_jax.scaling.run_table import Runs, read_arms, read_table
from w2v_jax.storage import to_path

SHOWN = ("E", "A", "B", "alpha", "beta", "a")


def fit(path: Path, drop: int, out: str | None) -> int:
    """Fits the parametric law and IsoFLOP parabolas to each arm of a table, and prints them beside published laws.

    `path` and `drop` are those of `read_table`, with its errors; fit.json and pictures go to the folder `out`, if any.
    """
    arms = read_arms(path)
    several = len(arms) > 1  # a law describes one family of models
    for i, arm in enumerate(arms if several else [None]):
        if several:
            print(f"{chr(10) if i else ''}arm {arm}")
        fit_one(path, drop, None if out is None else to_path(out) / (arm or ""), arm)
    return 0


def fit_one(path: Path, drop: int, out: Path | None, arm: str | None) -> None:
    """Fits the runs of one arm; None takes the whole table."""
    runs = read_table(path, drop_fewest_tokens_per_parameter=drop, arm=arm)
    print(f"{path}: {len(runs.loss)} runs")
    for note in runs.notes:
        print(f"  {note}")
    parametric = fit_parametric(runs.parameters, runs.tokens, runs.loss)
    print(f"\n{describe(parametric)}")
    if isinstance(parametric, Fit):
        ours = {name: parametric.values[name] for name in SHOWN if name in parametric.values}
        print(f"\n{compare(ours, [law for law in PUBLISHED if 'E' in law.values])}")
    if drop and isinstance(parametric, Fit):
        _say_what_moves(path, arm, parametric)
    isoflop = fit_isoflop(runs.parameters, runs.flops, runs.loss)
    print(f"\n{describe(isoflop)}")
    if out is not None:
        _write(out, path, drop, runs, parametric, isoflop)


def _say_what_moves(path: Path, arm: str | None, kept: Fit) -> None:
    """Prints each value with and without the runs that were left out."""
    every = read_table(path, arm=arm)
    whole = fit_parametric(every.parameters, every.tokens, every.loss)
    if isinstance(whole, Fit):
        moved = ", ".join(f"{k} {kept.values[k].value:.4g} -> {v.value:.4g}" for k, v in whole.values.items())
        print(f"\nwith all {whole.points} runs: {moved}")


def _write(
    folder: Path, path: Path, drop: int, runs: Runs, parametric: Fit | Refusal, isoflop: Isoflop | Refusal
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    small = f"{path.name}, {len(runs.loss)} runs; python -m experiments.scaling --fit={path.name}"
    small += f" --drop_fewest_tokens_per_parameter={drop}" if drop else ""
    figures.draw_fits(parametric, isoflop, folder, source=small)
    found: dict[str, Any] = {"table": path.name, "dropped": drop, "runs": len(runs.loss)}
    results: dict[str, Fit | Isoflop | Refusal] = {"parametric": parametric, "isoflop": isoflop}
    for name, r in results.items():
        found[name] = r._asdict() if isinstance(r, Refusal) else {k: v._asdict() for k, v in r.values.items()}
    write_json(folder / "fit.json", found)
    print(f"\nresults: {folder / 'fit.json'}")
