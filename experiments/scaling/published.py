"""`experiments.scaling --published`: the numbers of published studies, fitted again from their tables.

A number of ours is beside the published one with two answers: whether the published number is inside our 95 % interval,
and where the study states an interval of its own, whether ours is inside that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.scaling import published_ladder
from w2v_jax.figures import published_fits
from w2v_jax.figures.published_fits import Pair
from w2v_jax.files import write_json
from w2v_jax.papers import NUMBERS, PAPERS
from w2v_jax.scaling.describe import cell
from w2v_jax.scaling.fit import RESAMPLES, fit_parametric
from w2v_jax.scaling.fitted import Refusal, Value, draws, interval
from w2v_jax.scaling.powers import fit_powers
from w2v_jax.scaling.rates import fit_rates
from w2v_jax.scaling.robust import LOGS, Misfit, mean_misfit
from w2v_jax.scaling.run_table import read_columns, read_table
from w2v_jax.scaling.where import parse
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned

_SIDED = 1.959964  # standard errors each way for 95 %


class Surface(NamedTuple):
    """A published fit of L(N, D) and how it was made."""

    paper: str
    file: str
    prefix: str  # of its numbers in the table of papers
    numbers: tuple[str, ...]
    where: str = ""
    misfit: Misfit = LOGS
    drop: int = 0
    repeats: bool = True
    objective: float | None = None  # as published, a sum over the runs


class Optima(NamedTuple):
    """A published power of compute, from a table of optima."""

    paper: str
    file: str
    number: str
    column: str  # parameters or tokens
    where: str
    weights: str = ""  # a column of standard deviations of log N


_ALL = ("E", "A", "B", "alpha", "beta")
_LOGS = ("ln E", "ln A", "ln B", "alpha", "beta")
_GEM = Surface(
    "gemstones", "gemstones.csv", "constant, ", _LOGS, "schedule=constant", Misfit(1e-4), 0, True, 0.00069233
)
# Left out: the Gemstones' runs from 120 B tokens on, whose tokens span a factor of 2.9, which `fit` refuses.
SURFACES = (
    Surface("besiroglu", "chinchilla_figure4.csv", "", _ALL, drop=5),
    Surface("misfitting", "misfitting.csv", "", _LOGS, "portion=1.0", objective=0.0050217),
    _GEM,
    _GEM._replace(prefix="constant to 100B, ", where="schedule=constant,tokens<=1.01e11", objective=0.0002076),
    _GEM._replace(prefix="cooldown, ", where="schedule=cooldown", objective=0.0002059),
    _GEM._replace(prefix="half rate, ", where="schedule=half_rate", objective=0.0002059),
    Surface(
        "vpnls",
        "isoflop_experiments.csv",
        "Hoffmann, ",
        ("E", "alpha", "beta"),
        "experiment=ml_scalefit__massivetext__chinchilla",
        Misfit(1e-3, of_logs=False),
    ),
)
_NOISE = "log_std_parameters"
_PORIAN = "dataset=refinedweb,loss_kind={},hyperparameters={},warmup={},decay={},counting={}"
_SETTINGS = {
    "Kaplan's way": ("train", "base", "long", "kaplan", "kaplan"),
    "last layer counted": ("val", "base", "long", "kaplan", "standard"),
    "short warm-up": ("val", "base", "short", "kaplan", "standard"),
    "cosine decay": ("val", "base", "short", "chinchilla", "standard"),
    "tuned, no decay": ("val", "tuned", "short", "const", "standard"),
}
_COUNTS = {"all but embeddings": "kaplan", "all parameters": "chinchilla", "transformer alone": "transformer_only"}
OPTIMA = (
    *(
        Optima(
            "porian", "porian_optima.csv", f"RefinedWeb, {k}", "parameters", _PORIAN.format(*v), "log_std_parameters"
        )
        for k, v in _SETTINGS.items()
    ),
    *(
        Optima("nanochat", "nanochat_optima.csv", f"{k}, {symbol}", column, f"counting={v}")
        for k, v in _COUNTS.items()
        for symbol, column in (("a", "parameters"), ("b", "tokens"))
    ),
)


class Row(NamedTuple):
    """One number of a study, and ours."""

    paper: str
    number: str
    published: Value  # nan bounds where the study states none
    ours: Value
    runs: int

    @property
    def held(self) -> bool:
        """Whether either interval holds the other's number."""
        return self.ours.covers(self.published.value) or self.published.covers(self.ours.value)


def published(paper: str, number: str) -> Value:
    """A number of the table of papers with 1.96 standard errors each way, where it has any."""
    n = NUMBERS[paper, number]
    return Value(n.value, n.value - _SIDED * n.error, n.value + _SIDED * n.error)


def surface(folder: Path, its: Surface, resamples: int = RESAMPLES) -> tuple[list[Row], dict[str, Any]]:
    """The rows of one fit, and its objective beside the published. UserError: a missing or bad table."""
    where = parse(its.where)
    runs = read_table(
        find(folder, its.file), where=where, repeats=its.repeats, drop_fewest_tokens_per_parameter=its.drop
    )
    fit = fit_parametric(runs.parameters, runs.tokens, runs.loss, misfit=its.misfit, method="runs", resamples=resamples)
    if isinstance(fit, Refusal):
        raise ValueError(f"{its.file}: {fit.reason}")
    drawn, rows = draws(fit), []
    for name in its.numbers:
        if name.startswith("ln "):
            own, samples = np.log(fit.values[name[3:]].value), np.log(drawn[name[3:]])
        else:
            own, samples = fit.values[name].value, drawn[name]
        ours = interval(float(own), samples)
        rows.append(Row(its.paper, its.prefix + name, published(its.paper, its.prefix + name), ours, fit.points))
    total = fit.points * float(
        mean_misfit(fit.law, fit.theta, np.log(fit.sizes) - fit.centres, np.log(fit.y), its.misfit)
    )
    about = {"misfit": str(its.misfit), "objective": total, "published": its.objective, "runs": fit.points}
    return rows, {f"{its.paper} {its.prefix}".strip(" ,"): about}


def optima(folder: Path, its: Optima) -> Row:
    """The row of one power of compute."""
    names = [its.column, "training_flops", *([its.weights] if its.weights else [])]
    table = read_columns(find(folder, its.file), names, parse(its.where))
    weights = table[its.weights] ** -2 if its.weights else None
    law = fit_powers({"C": table["training_flops"]}, table[its.column], weights)
    return Row(its.paper, its.number, published(its.paper, its.number), law.exponents["C"], law.points)


def rates(folder: Path) -> list[Row]:
    """The exponents of the best rate and batch of the Step law's runs."""
    names = ("parameters", "tokens", "learning_rate", "batch_tokens", "loss")
    table = read_columns(find(folder, "steplaw_dense.csv"), names)
    found = fit_rates(*(table[name] for name in names))
    ours = {"rate by N": found.rate.exponents["N"], "rate by D": found.rate.exponents["D"]}
    ours["batch by D"] = found.batch.exponents["D"]
    return [Row("steplaw", k, published("steplaw", k), v, len(found.cells)) for k, v in ours.items()]


def find(folder: Path, name: str) -> Path:
    """The table of that name, packed or not."""
    packed = folder / f"{name}.xz"
    return packed if packed.is_file() else folder / name


def everything(folder: Path) -> tuple[list[Row], dict[str, Any], dict[str, Any]]:
    """All rows, what was minimised in each surface, and what came of the tasks that the OLMo ladder forecasts."""
    rows, about = list[Row](), dict[str, Any]()
    for its in SURFACES:
        own, objective = surface(folder, its)
        rows += own
        about |= objective
    rows += [optima(folder, its) for its in OPTIMA]
    found = published_ladder.forecasts(find(folder, published_ladder.FILE))
    rows += rates(folder)
    for number, ours in published_ladder.numbers(found).items():
        paper = published_ladder.PAPER
        rows.append(Row(paper, number, published(paper, number), ours, len(published_ladder.FITTED)))
    return rows, about, published_ladder.outcomes(found)


def show(rows: list[Row], about: Mapping[str, Any]) -> str:
    """Both tables as text."""
    table = [["study", "number", "published", "ours", "runs", "inside"]]
    for row in rows:
        inside = "yes" if row.held else "no"
        table.append([PAPERS[row.paper].name, row.number, cell(row.published), cell(row.ours), str(row.runs), inside])
    objectives = [["fit", "minimised", "runs", "ours", "published"]]
    for name, each in about.items():
        theirs = "" if each["published"] is None else f"{each['published']:.5g}"
        objectives.append([name, each["misfit"], str(each["runs"]), f"{each['objective']:.5g}", theirs])
    return f"{aligned(table, left=(0, 1))}\n\nSums of what each fit minimises:\n{aligned(objectives, left=(0, 1))}"


def make(folder: Path, out: str | None, source: str) -> int:
    """Fits every table in `folder`, prints ours beside the published numbers, and writes published.json and .png."""
    with threadpool_limits(1, "blas"):
        rows, about, came = everything(folder)
    print(f"{show(rows, about)}\n\n{published_ladder.show({row.number: row.ours for row in rows}, came)}")
    held = sum(row.held for row in rows)
    whole = {row.paper for row in rows} - {row.paper for row in rows if not row.held}
    print(
        f"\n{held} of {len(rows)} numbers are inside; every number of {len(whole)} studies: {', '.join(sorted(whole))}"
    )
    if out is not None:
        target = to_path(out)
        target.mkdir(parents=True, exist_ok=True)
        write_json(target / "published.json", as_json(rows, about, came))
        draw(rows, str(target / "published.png"), source)
        print(f"results: {target / 'published.json'}")
    return 0


def as_json(rows: list[Row], about: Mapping[str, Any], came: Mapping[str, Any]) -> dict[str, Any]:
    """What `of_json` reads; an interval that is not stated is null."""
    return {
        "rows": [
            row._asdict()
            | {key: [x if np.isfinite(x) else None for x in getattr(row, key)] for key in ("published", "ours")}
            for row in rows
        ],
        "surfaces": dict(about),
        "came": dict(came),
    }


def of_json(result: Mapping[str, Any]) -> list[Row]:
    """The rows of `as_json`."""

    def value(three: list[float | None]) -> Value:
        return Value(*(np.nan if x is None else float(x) for x in three))

    return [
        Row(r["paper"], r["number"], value(r["published"]), value(r["ours"]), int(r["runs"])) for r in result["rows"]
    ]


def draw(rows: list[Row], out: str, source: str) -> None:
    """Our exponents beside the published ones, of one fit of each study."""
    pairs = [Pair(f"{PAPERS[r.paper].name}, {r.number}", r.ours, r.published) for r in rows if drawn(r)]
    published_fits.draw(pairs, out, source=source)


def drawn(row: Row) -> bool:
    """Whether the picture has this number: exponents, of one fit of each study."""
    name = row.number.rpartition(", ")[2]
    if row.paper == published_ladder.PAPER:
        return False
    return (row.paper != "gemstones" or row.number.startswith("constant, ")) and not name.startswith(
        ("ln ", "A", "B", "E")
    )
