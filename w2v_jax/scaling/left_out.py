"""Which runs of an arm no law is fitted to, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from w2v_jax.recorded import differences
from w2v_jax.scaling.analysis import fitted_runs, twin_of, usable
from w2v_jax.scaling.records import FINISHED, Record

_RATE = "optimizer.learning_rate"


class LeftOut(NamedTuple):
    """Runs of one arm, each once."""

    ended: tuple[Record, ...] = ()  # failed or diverged
    unscored: tuple[Record, ...] = ()  # finished without a held-out loss
    rates: tuple[Record, ...] = ()  # another run differs in its rate alone, or in nothing, and has a lower loss
    others: tuple[Record, ...] = ()  # another run of equal parameters, tokens and seed has a lower loss
    keys: tuple[str, ...] = ()  # of the config, in which those differ
    plateau: tuple[Record, ...] = ()  # of single words


def left_out(records: Sequence[Record]) -> LeftOut:
    """Of all runs of one arm those that `analysis.laws` is not fitted to."""
    kept = usable(records)
    best = {twin_of(r): r for r in kept}
    scored = [r for r in records if r.status == FINISHED and r.heldout_loss is not None]
    passed = [r for r in scored if best[twin_of(r)] is not r]
    differ = {id(r): _differ(r.config, best[twin_of(r)].config) - {_RATE} for r in passed}
    return LeftOut(
        tuple(r for r in records if r.status != FINISHED),
        tuple(r for r in records if r.status == FINISHED and r.heldout_loss is None),
        tuple(r for r in passed if not differ[id(r)]),
        tuple(r for r in passed if differ[id(r)]),
        tuple(sorted(set().union(*differ.values()))),
        tuple(fitted_runs(kept)[1]),
    )


def counts(left: LeftOut) -> list[str]:
    """How many runs were left out, by reason; nothing where none was."""
    named = [
        (left.plateau, "on the plateau of single words"),
        (left.ended, "that failed or diverged"),
        (left.unscored, "without a held-out loss"),
        (left.rates, "at other rates, of which the best counts"),
        (left.others, f"that differ from a better one of equal parameters, tokens and seed in {', '.join(left.keys)}"),
    ]
    return [f"{len(runs)} run(s) {why}" for runs, why in named if runs]


def warning(left: LeftOut) -> str | None:
    """Where runs count as one although they differ in more than their rate."""
    if not left.others:
        return None
    first, keys = left.others[0].run, ", ".join(left.keys)
    return (
        f"{len(left.others)} run(s) have the parameters, tokens and seed of a better one, such as {first}, and differ "
        f"from it in {keys}: only the better one counts; give each its own arm"
    )


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """Keys that both configs have with other values, but for those that decide no result."""
    return {key for key in differences(one, other) if _has(one, key) and _has(other, key)}


def _has(tree: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True
