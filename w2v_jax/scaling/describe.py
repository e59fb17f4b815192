"""Fits as text: `name = value [low, high]`, and tables beside the published laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.scaling.fitted import Fit, Heldout, Refusal, Value
from w2v_jax.scaling.isoflop import Isoflop
from w2v_jax.scaling.published import PUBLISHED, Published
from w2v_jax.tables import aligned

SHOWN = 5  # budgets without a parabola that are told one by one


def number(value: float) -> str:
    """Four significant digits; powers of ten from a million up and below a thousandth."""
    return f"{value:.3e}" if value and not 1e-3 <= abs(value) < 1e6 else f"{value:.4g}"


def show(name: str, value: Value) -> str:
    """`alpha = 0.3473 [0.3152, 0.3731]`; without the brackets where there is no interval."""
    brackets = f" [{number(value.low)}, {number(value.high)}]" if np.isfinite([value.low, value.high]).all() else ""
    return f"{name} = {number(value.value)}{brackets}"


def describe(result: Fit | Isoflop | Refusal) -> str:
    """All there is to know of a fit, for people, over several lines; a refusal is one."""
    if isinstance(result, Refusal):
        return f"{result.law}: not fitted: {result.reason}"
    return _fit(result) if isinstance(result, Fit) else _isoflop(result)


def compare(values: Mapping[str, Value], laws: Sequence[Published] = PUBLISHED) -> str:
    """Our values beside those that published laws have of the same names, one line a law, with its setting."""
    rows = [["", *values, "setting"], ["ours", *(_cell(v) for v in values.values()), ""]]
    for law in laws:
        if set(law.values) & set(values):
            rows.append([law.name, *(_cell(law.value(k)) if k in law.values else "" for k in values), law.setting])
    return aligned(rows, left=(0, len(values) + 1))


def published_table(laws: Sequence[Published] = PUBLISHED) -> list[list[str]]:
    """The published laws, their values and settings; the first row names the columns."""
    rows = [["law", "formula", "values", "source", "setting"]]
    for law in laws:
        values = ", ".join(show(name, law.value(name)) for name in law.values)
        rows.append([law.name, law.formula, values, law.source, law.setting])
    return rows


def _cell(value: Value) -> str:
    return show("", value).removeprefix(" = ")


def _values(values: Mapping[str, Value]) -> list[str]:
    """One `name = value [low, high]` a line."""
    return [show(name, value) for name, value in values.items()]


def _fit(fit: Fit) -> str:
    lines = [f"{fit.law.name}: {fit.law.formula}, {fit.points} runs", *_values(fit.values)]
    for name, low, high, far in zip(fit.law.sizes, fit.smallest, fit.largest, fit.extrapolation_from, strict=True):
        lines.append(f"{name} from {number(low)} to {number(high)}; beyond {number(far)} is extrapolation")
    lines.append(f"noise {fit.noise:.2%} of the loss; cross-validated error {fit.error_ratio:.2f} of a constant's")
    if fit.heldout is not None:
        lines.append(_heldout(fit.heldout))
    return "\n".join([*lines, *fit.notes])


def _heldout(heldout: Heldout) -> str:
    errors = heldout.relative_errors
    mean, last = np.abs(errors).mean(), errors[-1]
    return f"largest {len(errors)} run(s) predicted without them: mean error {mean:.2%}, of the largest {last:+.2%}"


def _isoflop(result: Isoflop) -> str:
    lines = [f"IsoFLOP parabolas: {len(result.parabolas)} budget(s), {result.points} runs", *_values(result.values)]
    if result.reason:
        lines.append(f"no power law of the minima: {result.reason}")
    rows = [["FLOPs", "runs", "best parameters", "tokens", "loss"]]
    for p in result.parabolas:
        tokens = number(p.flops / (6.0 * p.best.value))
        rows.append([number(p.flops), str(len(p.sizes)), _cell(p.best), tokens, f"{p.lowest:.4f}"])
    lines += aligned(rows).splitlines() + [f"{r.law}: left out: {r.reason}" for r in result.refused[:SHOWN]]
    if len(result.refused) > SHOWN:
        lines.append(f"and {len(result.refused) - SHOWN} more budgets left out")
    return "\n".join([*lines, *result.notes])
