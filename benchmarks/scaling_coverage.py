"""How often the intervals of fitted scaling laws hold the truth, and how wide they are; and a fit of published runs.

    python -m benchmarks.scaling_coverage [--trials=100] [--methods=auto,region] [--table=RUNS.csv] [--out=FILE.json]
    python -m benchmarks.scaling_coverage --studies [--trials=40] [--out=FILE.json]

Losses of 40 runs are made from a known law, sizes at random over two decades, with 1 % of lognormal noise; every trial
has its own sizes and noise. "width" is that of the interval over that of the Gauss-Newton one, 2 * 1.96 sqrt(diagonal
of s^2 (J^T J)^-1) in log loss, the median over trials. Exit status 1 when an exponent of the default method is covered
in fewer than 90 % of trials or its median width is above 1.5. With --table, e.g. the runs of Hoffmann et al. 2022 that
Besiroglu et al. 2024 (arXiv 2404.10102) read off figure 4, also the parametric law of all its runs, and of all but the
five with the fewest tokens a parameter.

With --studies, the designs are those of the committed studies: each arm's own sizes, tokens and number of runs, less
those on the plateau of single words, and losses of the arm's fitted law and noise. Exit status 1 when E, alpha or beta
is covered in fewer than 90 % of trials, or an interval has no width.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from experiments.common import cli
from experiments.figures import studies
from w2v_jax.errors import UserError
from w2v_jax.files import write_json
from w2v_jax.scaling import analysis
from w2v_jax.scaling.bootstrap import METHODS, Method
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit, Refusal
from w2v_jax.scaling.laws import with_slopes
from w2v_jax.scaling.published import PUBLISHED
from w2v_jax.scaling.records import read
from w2v_jax.scaling.run_table import read_table
from w2v_jax.tables import aligned

RUNS = 40
NOISE = 0.01  # standard deviation of log loss
PARAMETERS, TOKENS = (1e6, 1e8), (1e8, 1e10)
TRUE = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
EXPONENTS = ("alpha", "beta")
LEAST_COVERAGE, MOST_WIDTH = 0.90, 1.5
BESIROGLU_DROPPED = 5


STUDIES = ("results/scaling_wiki.jsonl", "results/figures/scaling_synthetic.json")
GRID_ARMS = ("transformer", "lstm")  # the arms of a study that have several sizes and amounts of text


class Design(NamedTuple):
    """The runs of one arm of a committed study, and a law near the fitted one."""

    name: str
    n: np.ndarray  # float [runs]
    d: np.ndarray
    true: dict[str, float]
    noise: float

    def plant(self, seed: int) -> np.ndarray:
        """Losses of one trial, float [runs]."""
        t, rng = self.true, np.random.default_rng([seed, len(self.n)])
        loss = t["E"] + t["A"] / self.n ** t["alpha"] + t["B"] / self.d ** t["beta"]
        return np.asarray(loss * np.exp(self.noise * rng.standard_normal(len(self.n))))


class Trial(NamedTuple):
    """Of one value in one trial."""

    covered: bool
    width: float  # over the Gauss-Newton one; nan for values that are no parameter of the minimiser


def plant(law: str, seed: int, runs: int = RUNS, noise: float = NOISE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes N and D and losses, float [runs], of the planted law: "parametric", "floor" (in N alone) or "power"."""
    rng = np.random.default_rng([seed, len(law)])
    n, d = (low * (high / low) ** rng.uniform(size=runs) for low, high in (PARAMETERS, TOKENS))
    loss = TRUE["A"] / n ** TRUE["alpha"]
    if law != "power":
        loss = loss + TRUE["E"]
    if law == "parametric":
        loss = loss + TRUE["B"] / d ** TRUE["beta"]
    return n, d, loss * np.exp(noise * rng.standard_normal(runs))


def fit(law: str, seed: int, method: Method, resamples: int, runs: int = RUNS) -> Fit | Refusal:
    """The fit of one trial."""
    n, d, loss = plant(law, seed, runs)
    if law == "parametric":
        return fit_parametric(n, d, loss, seed=seed, resamples=resamples, method=method)
    return fit_power(n, loss, floor=law == "floor", symbol="N", seed=seed, resamples=resamples, method=method)


def gauss_newton_widths(fitted: Fit) -> dict[str, float]:
    """2 * 1.96 standard errors of the linearised least squares, by name of exponent."""
    _, slopes = with_slopes(fitted.law, fitted.theta, np.log(fitted.sizes) - fitted.centres)
    errors = np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes))) * fitted.noise
    k = len(fitted.law.sizes)
    return {name: float(2 * 1.96 * errors[k + i]) for i, name in enumerate(fitted.law.exponents)}


def trials(law: str, seed: int, method: Method, resamples: int) -> dict[str, Trial]:
    """By value's name. Raises UserError when the law is refused, which a planted one must not be."""
    fitted = fit(law, seed, method, resamples)
    if isinstance(fitted, Refusal):
        raise UserError(f"trial {seed} of the {law} law was refused: {fitted.reason}")
    widths = gauss_newton_widths(fitted)
    found = {}
    for name, true in TRUE.items():
        if name in fitted.values:
            value = fitted.values[name]
            found[name] = Trial(value.covers(true), (value.high - value.low) / widths.get(name, np.nan))
    return found


def coverage(law: str, method: Method, count: int, resamples: int) -> list[dict[str, Any]]:
    """One row a value: share of trials covered, median width, processor seconds a fit."""
    begin = time.process_time()
    found = [trials(law, seed, method, resamples) for seed in range(count)]
    seconds = (time.process_time() - begin) / count
    return [
        {
            "law": law,
            "method": method,
            "value": name,
            "trials": count,
            "covered": float(np.mean([trial[name].covered for trial in found])),
            "width": float(np.median([trial[name].width for trial in found])) if name in EXPONENTS else None,
            "seconds": seconds,
        }
        for name in found[0]
    ]


def designs(path: Path) -> list[Design]:
    """The arms of a committed study. UserError: an arm has no parametric law."""
    if path.suffix == ".jsonl":
        made = read([path])
    else:
        made = [studies.record(row, studies.FAMILIES) for row in json.loads(path.read_text())["result"]["runs"]]
    found = []
    for arm, own in analysis.by_arm(analysis.usable(made)).items():
        if arm not in GRID_ARMS:
            continue
        kept, _ = analysis.fitted_runs(own)
        n, d, _, loss = analysis.columns(kept)
        fitted = fit_parametric(n, d, loss, resamples=10)
        if isinstance(fitted, Refusal):
            raise UserError(f"{path}: {arm}: {fitted.reason}")
        true = {name: fitted.values[name].value for name in TRUE}
        found.append(Design(f"{path.stem}, {arm}", n, d, true, fitted.noise))
    return found


def study_coverage(design: Design, count: int, resamples: int) -> list[dict[str, Any]]:
    """One row a value: share of trials covered among those fitted, and the median interval."""
    fits = [fit_parametric(design.n, design.d, design.plant(seed), resamples=resamples) for seed in range(count)]
    done = [one for one in fits if isinstance(one, Fit)]
    rows = []
    for name in ("E", *EXPONENTS):
        own, true = [one.values[name] for one in done], design.true[name]
        rows.append(
            {
                "design": design.name,
                "runs": len(design.n),
                "noise": design.noise,
                "value": name,
                "true": true,
                "trials": count,
                "refused": count - len(done),
                "covered": float(np.mean([v.covers(true) for v in own])),
                "low": float(np.median([v.low for v in own])),
                "high": float(np.median([v.high for v in own])),
                "narrowest": float(min(v.high - v.low for v in own)),
            }
        )
    return rows


def show_studies(rows: Sequence[dict[str, Any]]) -> str:
    """The coverage at the designs of studies as text."""
    lines = [["design", "runs", "noise", "value", "planted", "trials", "refused", "covered", "median interval"]]
    for r in rows:
        span = f"[{r['low']:.3g}, {r['high']:.3g}]"
        cells = [str(r["trials"]), str(r["refused"]), f"{r['covered']:.1%}", span]
        lines.append([r["design"], str(r["runs"]), f"{r['noise']:.2%}", r["value"], f"{r['true']:.3g}", *cells])
    return aligned(lines, left=(0, 3))


def failed_studies(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Values that are covered too seldom, or had an interval of no width, one line each."""
    return [
        f"{r['design']}: {r['value']}: covered {r['covered']:.3f}, narrowest {r['narrowest']:.3g}"
        for r in rows
        if r["covered"] < LEAST_COVERAGE or not r["narrowest"] > 0
    ]


def refit_table(path: str, resamples: int) -> list[dict[str, Any]]:
    """The parametric law of a table, all runs and without the five of fewest tokens a parameter."""
    reference, rows = next(law for law in PUBLISHED if law.name == "Besiroglu"), list[dict[str, Any]]()
    for drop in (0, BESIROGLU_DROPPED):
        runs = read_table(path, drop_fewest_tokens_per_parameter=drop)
        fitted = fit_parametric(runs.parameters, runs.tokens, runs.loss, resamples=resamples)
        if isinstance(fitted, Refusal):
            raise UserError(f"{path}: {fitted.reason}")
        for name, true in reference.values.items():
            away = (fitted.values[name].value - true) / reference.errors[name]
            rows.append({"dropped": drop, "name": name, **fitted.values[name]._asdict(), "errors_from_besiroglu": away})
    return rows


def failed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What the default method does not hold, one line each."""
    return [
        f"{r['law']}: {r['value']}: covered {r['covered']:.2f}, width {r['width']:.2f}"
        for r in rows
        if r["method"] == "auto" and r["width"] is not None
        if r["covered"] < LEAST_COVERAGE or r["width"] > MOST_WIDTH
    ]


def show(rows: Sequence[dict[str, Any]], table: Sequence[dict[str, Any]]) -> str:
    """Both results as text."""
    lines = [["law", "method", "value", "trials", "covered", "width / Gauss-Newton", "seconds a fit"]]
    for r in rows:
        width = "" if r["width"] is None else f"{r['width']:.2f}"
        cells = (str(r["trials"]), f"{r['covered']:.1%}", width, f"{r['seconds']:.2f}")
        lines.append([r["law"], r["method"], r["value"], *cells])
    text = aligned(lines, left=(0, 1, 2))
    if not table:
        return text
    lines = [["runs dropped", "value", "fitted", "low", "high", "standard errors from Besiroglu et al."]]
    for r in table:
        numbers = [f"{r[key]:.5g}" for key in ("value", "low", "high")]
        lines.append([str(r["dropped"]), r["name"], *numbers, f"{r['errors_from_besiroglu']:+.2f}"])
    return text + "\n\n" + aligned(lines, left=(0, 1))


def define_flags() -> None:
    """A call, not an import, defines the flags."""
    flags.DEFINE_bool("studies", False, "The designs of the committed studies.")
    flags.DEFINE_integer("trials", 100, "Data sets of each law.", lower_bound=1)
    flags.DEFINE_integer("resamples", 500, "Bootstrap draws a fit.", lower_bound=10)
    flags.DEFINE_list("methods", ["auto", "region"], f"Of {', '.join(METHODS)}.")
    flags.DEFINE_list("laws", ["parametric", "floor", "power"], "Of parametric, floor, power.")
    flags.DEFINE_string("table", None, "Table of runs to fit too.")
    flags.DEFINE_string("out", None, "JSON file of the result.")


def main(argv: Sequence[str]) -> int:
    """Prints the tables; 1 when the default method fails."""
    given = flags.FLAGS
    if given.studies:
        return main_studies(given.trials, given.resamples, given.out)
    for flag, known in (("methods", METHODS), ("laws", ("parametric", "floor", "power"))):
        wrong = [word for word in getattr(given, flag) if word not in known]
        if wrong:
            raise UserError(f"--{flag}: {wrong[0]!r} is none of {', '.join(known)}")
    table = refit_table(given.table, given.resamples) if given.table else []
    rows = []
    for law in given.laws:
        for method in given.methods:
            rows += coverage(law, method, given.trials, given.resamples)
            print(f"{law}, {method}: done", file=sys.stderr, flush=True)
    print(show(rows, table))
    return end({"coverage": rows, "table": table}, failed(rows), given.out)


def main_studies(trials: int, resamples: int, out: str | None) -> int:
    """As `main`, at the designs of the committed studies."""
    rows = []
    for path in STUDIES:
        for design in designs(cli.ROOT / path):
            rows += study_coverage(design, trials, resamples)
            print(f"{design.name}: done", file=sys.stderr, flush=True)
    print(show_studies(rows))
    return end({"studies": rows}, failed_studies(rows), out)


def end(result: dict[str, Any], problems: Sequence[str], out: str | None) -> int:
    """Writes the result, prints what failed; returns the exit status."""
    if out:
        os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
        write_json(out, result)
    print("\n".join(f"FAILED: {line}" for line in problems) or "every interval of the default method holds")
    return 1 if problems else 0


if __name__ == "__main__":
    define_flags()
    cli.run(main)
