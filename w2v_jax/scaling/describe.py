"""Fits as text: `name = value [low, high]`, and tables beside the published laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.scaling.fitted import FAR, FREE_EXPONENT, Fit, Heldout, Refusal, Value
from w2v_jax.scaling.isoflop import FEW, SAME, Isoflop
from w2v_jax.scaling.published import PUBLISHED, Published
from w2v_jax.tables import aligned

SHOWN = 5  # budgets with too few sizes for a parabola that have a line each


def number(value: float) -> str:
    """Four significant digits; powers of ten from a million up and below a thousandth."""
    return f"{value:.3e}" if value and not 1e-3 <= abs(value) < 1e6 else f"{value:.4g}"


def cell(value: Value, most: float = np.inf) -> str:
    """`0.3473 [0.3152, 0.3731]`; without the brackets where there is no interval.

    `most`: what no value may exceed in size. An end of the interval at it is `no end`."""
    if not np.isfinite([value.low, value.high]).all():
        return number(value.value)
    low, high = (number(end) if abs(end) < most else "no end" for end in (value.low, value.high))
    return f"{number(value.value)} [{low}, {high}]"


def show(name: str, value: Value, most: float = np.inf) -> str:
    """`alpha = 0.3473 [0.3152, 0.3731]`; see `cell`."""
    return f"{name} = {cell(value, most)}"


def describe(result: Fit | Isoflop | Refusal) -> str:
    """A fit in several lines; a refusal in one."""
    if isinstance(result, Refusal):
        return f"{result.law}: not fitted: {result.reason}"
    return _fit(result) if isinstance(result, Fit) else _isoflop(result)


def compare(values: Mapping[str, Value], laws: Sequence[Published] = PUBLISHED) -> str:
    """A table of our values and those of the same names in published laws, with their settings."""
    rows = [["", *values, "setting"], ["ours", *(cell(v) for v in values.values()), ""]]
    for law in laws:
        if set(law.values) & set(values):
            rows.append([law.name, *(cell(law.value(k)) if k in law.values else "" for k in values), law.setting])
    return aligned(rows, left=(0, len(values) + 1))


def published_table() -> list[list[str]]:
    """The published laws, their values and settings; the first row names the columns."""
    rows = [["law", "formula", "values", "source", "setting"]]
    for law in PUBLISHED:
        values = ", ".join(show(name, law.value(name)) for name in law.values)
        rows.append([law.name, law.formula, values, law.source, law.setting])
    return rows


def _fit(fit: Fit) -> str:
    lines = [f"{fit.law.name}: {fit.law.formula}, {fit.points} run(s)"]
    lines += [
        show(name, value, FREE_EXPONENT if name in fit.law.exponents else np.inf) for name, value in fit.values.items()
    ]
    lines.append(f"95 % intervals: of {how_of_intervals(fit)}")
    for name, low, high in zip(fit.law.sizes, fit.smallest, fit.largest, strict=True):
        lines.append(f"{name} from {number(low)} to {number(high)}; beyond {number(FAR * high)} is extrapolation")
    lines.append(f"noise {fit.noise:.2%} of the loss; cross-validated error {fit.error_ratio:.2f} of a constant's")
    if fit.heldout is not None:
        lines.append(describe_largest(fit.heldout))
    return "\n".join([*lines, *fit.notes])


def how_of_intervals(fit: Fit) -> str:
    """How the intervals were made, and where that is by another misfit than the values."""
    if not fit.whole:
        return f"{len(fit.samples)} bootstrap draws of the runs"
    joined = f"the values are of the least {fit.misfit}, to which the intervals are stretched where they lie beside"
    return f"all laws that the runs do not rule out by least squares of log loss; {joined}"


def describe_largest(heldout: Heldout) -> str:
    """Errors of the predicted largest runs, beside those of a rule that needs no law."""
    errors, copied = heldout.relative_errors, heldout.copied_errors
    verdict = "; the law is no better at the largest" if abs(copied[-1]) <= abs(errors[-1]) else ""
    law = f"largest {len(errors)} run(s) predicted without them: {_errors(errors)}"
    return f"{law}; copying the lowest loss of any smaller run instead: {_errors(copied)}{verdict}"


def _errors(errors: np.ndarray) -> str:
    return f"mean error {np.abs(errors).mean():.2%}, of the largest {errors[-1]:+.2%}"


def _isoflop(result: Isoflop) -> str:
    tolerance = f"runs with up to {SAME - 1:.0%} more FLOPs than the least of a budget belong to it"
    how = "every run belongs to the nearest of the study's budgets" if result.nominal else tolerance
    lines = [f"IsoFLOP parabolas: {len(result.parabolas)} budget(s), {result.points} run(s); {how}"]
    lines += [show(name, value) for name, value in result.values.items()]
    if result.reason:
        lines.append(f"no power law of the minima: {result.reason}")
    rows = [["FLOPs", "apart by", "runs", "best parameters", "tokens", "loss"]]
    for p in result.parabolas:
        own = [number(p.flops), f"{p.spread - 1:.1%}", str(len(p.sizes))]
        rows.append([*own, cell(p.best), number(p.tokens), f"{p.lowest:.4f}"])
    return "\n".join([*lines, *aligned(rows).splitlines(), *_left_out(result.refused), *result.notes])


def _left_out(refused: Sequence[Refusal]) -> list[str]:
    """A line for each budget without a parabola; one for many that have too few sizes, as most of a table's may."""
    few = [r for r in refused if r.reason.endswith(FEW)]
    apart = [r for r in refused if len(few) <= SHOWN or r not in few]
    lines = [f"{r.law}: left out: {r.reason}" for r in apart]
    if len(few) > SHOWN:
        names = ", ".join(r.reason.removesuffix(f"; {FEW}") for r in few)
        lines.append(f"IsoFLOP: {len(few)} budgets left out, as {FEW}: {names}")
    return lines
