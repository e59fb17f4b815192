"""One dial: from the number of parameters to a whole run, by the sizes of a study and the law of its finished runs.

Width, heads, layers and whatever else the sizes of an arm vary keep their proportion to the first of them; batch,
schedule and weight decay are those of the arm; the rate is carried by the arm's scale rule (`w2v_jax.nn.transfer`). The
tokens are those at which N parameters are the best use of 6 N D FLOPs: with L = E + A/N^alpha + B/D^beta

    alpha A N^-alpha = beta B D^-beta,    D = (beta B N^alpha / (alpha A))^(1 / beta)
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from w2v_jax.errors import UserError
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.ledger import ledger
from w2v_jax.scaling.study import TOKENS, Arm, Study, sized

_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}
_MOST = 1 << 16  # widths that are looked at
_ROOM = 1.1  # times the largest, or a part of the smallest, of what was fitted: sizes come in steps


class Recipe(NamedTuple):
    """One run of an arm."""

    asked: float  # parameters
    parameters: int  # of the nearest size that keeps the proportions
    size: str  # its overrides, tokens included
    tokens: float


def parse(text: str) -> list[float]:
    """Numbers of parameters from "300K,3M". UserError: something else."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)([KMB]?)", part.strip(), re.IGNORECASE)
        if not match or not float(match[1]):
            raise UserError(f"--size={text}: must be parameters such as 300K or 3M, or several with commas between")
        found.append(float(match[1]) * _UNITS[match[2].upper()])
    return found


def best_tokens(fit: Fit, n: float) -> float:
    """D above. UserError: a law in which loss does not fall with both."""
    a, b, alpha, beta = (fit.values[name].value for name in ("A", "B", "alpha", "beta"))
    if min(a, b, alpha, beta) <= 0:
        raise UserError("--size: the fitted loss does not fall with both parameters and tokens, so no amount is best")
    return math.exp((math.log(beta * b / (alpha * a)) + alpha * math.log(n)) / beta)


def recipe(arm: Arm, fit: Fit, asked: float, vocabulary: int) -> Recipe:
    """The run of `asked` parameters of an arm whose law is `fit`, on a text of `vocabulary` words.

    UserError: sizes without one proportion, rates that no scale rule carries, a size or its tokens outside of what the
    law was fitted to.
    """
    scaled, fixed = proportions(arm.sizes)
    if not getattr(arm.run.model, "base_dim", 0):
        raise UserError("--size: needs model.base_dim: one rate must serve every size of the arm")
    step = math.lcm(*(share.denominator for share in scaled.values()))

    @functools.cache
    def at(steps: int) -> tuple[int, str]:
        text = " ".join([*(f"{key}={int(steps * step * share)}" for key, share in scaled.items()), *fixed])
        return ledger(sized(arm.run, text), vocabulary).parameters, text

    above = 1
    while at(above)[0] <= asked and above * step < _MOST:
        above *= 2
    below = bisect.bisect_right(range(1, above), asked, key=lambda steps: at(steps)[0])
    n, text = min(
        (at(max(1, steps)) for steps in (below, below + 1)), key=lambda found: abs(math.log(found[0] / asked))
    )
    tokens = best_tokens(fit, n)
    for name, value, low, high in zip(("parameters", "tokens"), (n, tokens), fit.smallest, fit.largest, strict=True):
        if not low / _ROOM <= value <= high * _ROOM:
            why = f"is {value:,.0f} {name}; the law was fitted to runs of {low:,.0f} to {high:,.0f}"
            raise UserError(f"--size={asked:g}: {why}; choose a size inside, or fit larger runs")
    return Recipe(asked, n, f"{text} {TOKENS}={tokens:.4g}", float(f"{tokens:.4g}"))


def proportions(sizes: Sequence[str]) -> tuple[dict[str, Fraction], list[str]]:
    """What sizes vary, as shares of their first key, and the overrides that all of them have alike.

    UserError: a value that is neither a constant share of the first key nor the same in all sizes.
    """
    rows = [dict(word.split("=", 1) for word in size.split() if not word.startswith(f"{TOKENS}=")) for size in sizes]
    first = next(iter(rows[0]), "")
    scaled, fixed = dict[str, Fraction](), list[str]()
    for key, value in rows[0].items():
        shares = {_share(row.get(key, ""), row.get(first, "")) for row in rows}
        if len(shares) == 1 and None not in shares and not (key != first and _same(rows, key)):
            scaled[key] = shares.pop() or Fraction()
        elif _same(rows, key):
            fixed.append(f"{key}={value}")
        else:
            values = ", ".join(row.get(key, "none") for row in rows)
            raise UserError(
                f"--size: the sizes of the arm have {key} {values}: no constant share of {first}, nor equal"
            )
    return scaled, fixed


def _same(rows: Sequence[Mapping[str, str]], key: str) -> bool:
    return len({row.get(key) for row in rows}) == 1


def _share(value: str, of: str) -> Fraction | None:
    return Fraction(int(value), int(of)) if value.isdecimal() and of.isdecimal() and int(of) else None


def study_of(
    study: Study, laws: Mapping[str, Fit], asked: Sequence[float], vocabulary: int
) -> tuple[Study, list[Recipe]]:
    """The study with these sizes in the place of its own, of the arms that have a law; and the recipes in order.

    UserError: see `recipe`; two sizes that are one.
    """
    arms, found = {}, []
    for name, arm in study.arms.items():
        if name in laws:
            own = [recipe(arm, laws[name], n, vocabulary) for n in asked]
            if len({one.size for one in own}) < len(own):
                raise UserError("--size: two of the sizes are one, as sizes come in steps; name one of them")
            arms[name] = dataclasses.replace(arm, sizes=tuple(one.size for one in own), tokens=())
            found += own
    return dataclasses.replace(study, arms=arms, tokens=(), budgets=(), most_flops=0.0), found
