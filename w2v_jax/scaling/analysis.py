"""From the records of a study to its laws: the runs that each law is fitted to, and how the fits compare.

An arm is one line of a study: a family of models at several sizes. A law is always fitted to the runs of one arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.papers import CLAIMED_ACCURACY
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit, Refusal
from w2v_jax.scaling.isoflop import Isoflop, fit_isoflop
from w2v_jax.scaling.plateau import Score, on_plateau
from w2v_jax.scaling.records import FINISHED, Record
from w2v_jax.scaling.single import MOST, Single, fit_single

_SAME_OPTIMUM = 1e-9  # nats within which best possible losses are of the same positions

Result = Fit | Isoflop | Refusal
Curve = tuple[np.ndarray, np.ndarray]


class Laws(NamedTuple):
    """Fits to the runs of one arm."""

    arm: str
    parametric: Fit | Refusal  # of N and D, all runs
    by_size: Fit | Refusal  # of N, the runs of the most tokens
    by_size_floor: Fit | Refusal
    by_tokens: Fit | Refusal  # of D, the runs of the largest model
    by_tokens_floor: Fit | Refusal
    frontier: Fit | Refusal  # of C, the runs that no cheaper run equals
    isoflop: Isoflop | Refusal
    by_size_bare: Fit | Refusal  # as `by_size`, of N without embeddings
    plateau: tuple[Record, ...] = ()  # runs that are left out of all fits; see `plateau`

    def named(self) -> dict[str, Result]:
        """Results by the quantity that loss is fitted against."""
        single = Single(self.by_size, self.by_size_floor, self.by_tokens, self.by_tokens_floor, self.frontier)
        return {
            "N and D": self.parametric,
            **single.named(),
            "N without embeddings, at the most tokens": self.by_size_bare,
            "sizes at equal C": self.isoflop,
        }


class Floor(NamedTuple):
    """A fitted floor beside the best possible loss."""

    arm: str
    fitted: float
    low: float
    high: float
    optimum: float

    @property
    def miss(self) -> float:
        """Nats from the optimum to the nearer end of the interval; 0 inside."""
        return max(self.low - self.optimum, self.optimum - self.high, 0.0)

    @property
    def holds(self) -> bool:
        """Whether the optimum is inside the interval."""
        return self.miss == 0.0


def usable(records: Sequence[Record]) -> list[Record]:
    """Finished runs with a held-out loss; of those of equal arm, parameters, tokens and seed the one with the lowest.

    They differ in their learning rate, as a rule; `left_out` says in what else.
    """
    best: dict[tuple[str, int, int, int], Record] = {}
    for r in records:
        if r.status != FINISHED or r.heldout_loss is None:
            continue
        key = twin_of(r)
        if key not in best or r.heldout_loss < (best[key].heldout_loss or np.inf):
            best[key] = r
    return list(best.values())


def twin_of(r: Record) -> tuple[str, int, int, int]:
    """What runs have in common of which one counts."""
    return r.arm, r.parameters, round(r.tokens), r.seed


def above_chance(records: Sequence[Record]) -> list[Record]:
    """Of `usable` runs those that laws are fitted to although a uniform guess is better: a loss above log V, for V the
    vocabulary."""
    kept = [r for own in by_arm(records).values() for r in fitted_runs(own)[0]]
    return [r for r in kept if r.vocabulary and (r.heldout_loss or 0.0) > np.log(r.vocabulary)]


def below_counts(records: Sequence[Record]) -> list[Record]:
    """Of `usable` runs those that laws are fitted to although the counts of tokens alone predict better."""
    kept = [r for own in by_arm(records).values() for r in fitted_runs(own)[0]]
    return [r for r in kept if r.heldout_unigram_loss is not None and (r.heldout_loss or 0.0) > r.heldout_unigram_loss]


def columns(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, tokens, training FLOPs and held-out loss, float64 [n] each."""
    rows = [(r.parameters, r.tokens, r.training_flops, r.heldout_loss) for r in records]
    n, d, c, loss = np.array(rows, np.float64).reshape(-1, 4).T
    return n, d, c, loss


def at_most_tokens(records: Sequence[Record]) -> list[Record]:
    """The runs on the arm's largest amount of text, up to rounding to whole steps."""
    most = max(r.tokens for r in records)
    return [r for r in records if r.tokens > MOST * most]


def loss_curves(arms: Mapping[str, Sequence[Record]]) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """(parameters, loss) at the most tokens, and (training FLOPs, loss) of all runs, float64 [n] each, by arm."""
    by_size, by_flops = {}, {}
    for arm, own in arms.items():
        by_size[arm] = columns(at_most_tokens(own))[0::3]
        by_flops[arm] = columns(own)[2:]
    return by_size, by_flops


def fitted_runs(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """The runs of one arm that a law is fitted to, and those on the plateau of single words."""
    scores = [
        Score(r.heldout_loss or 0.0, r.heldout_accuracy, r.heldout_unigram_loss, r.heldout_unigram_accuracy)
        for r in records
    ]
    flat = on_plateau(scores)
    kept, out = ([r for r, f in zip(records, flat, strict=True) if f is which] for which in (False, True))
    return kept, out


def laws(arm: str, records: Sequence[Record], budgets: Sequence[float] = ()) -> Laws:
    """Fits all laws to the `usable` runs of one arm, at least one; `budgets` are nominal FLOPs of an IsoFLOP study.

    Runs on the plateau of single words are left out.
    """
    records, flat = fitted_runs(records)
    if not records:
        none = Refusal("every law", f"all {len(flat)} run(s) are on the plateau of single words")
        return Laws(arm, none, none, none, none, none, none, none, none, tuple(flat))
    n, d, c, loss = columns(records)
    single = fit_single(n, d, c, loss)
    bare = np.array([r.parameters_without_embeddings for r in at_most_tokens(records)], np.float64)
    by_size_bare: Fit | Refusal = Refusal("power law", "some runs have no parameters but embeddings")
    if bare.all():
        by_size_bare = fit_power(bare, columns(at_most_tokens(records))[3], floor=False, symbol="N")
    equal: Isoflop | Refusal = Refusal("IsoFLOP", "no two sizes were trained with equal FLOPs; see budgets of a study")
    if budgets:
        equal = fit_isoflop(n, c, loss, tokens=d, budgets=np.array(budgets))
    return Laws(
        arm,
        fit_parametric(n, d, loss),
        *single,
        equal,
        by_size_bare,
        tuple(flat),
    )


def floors(found: Sequence[Laws], records: Sequence[Record]) -> list[Floor]:
    """Fitted floor and optimum of every arm with a parametric law; none where the runs have several, see `apart`."""
    known = [] if apart(records) else [r.optimum for r in records if r.optimum is not None]
    return [
        Floor(laws.arm, *laws.parametric.values["E"], optimum=known[0])
        for laws in found
        if known and isinstance(laws.parametric, Fit)
    ]


def apart(records: Sequence[Record]) -> str | None:
    """Which runs were scored on different positions of the text, so that their best possible losses differ."""
    known = sorted((r.optimum, r.run) for r in records if r.optimum is not None)
    if not known or known[-1][0] - known[0][0] <= _SAME_OPTIMUM:
        return None
    (least, one), (most, other) = known[0], known[-1]
    return f"{one} and {other} record the best possible losses {least:.10g} and {most:.10g}"


def by_arm(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by arm, arms in the order of their first."""
    found: dict[str, list[Record]] = {}
    for r in records:
        found.setdefault(r.arm, []).append(r)
    return found


def accuracies(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and next-word accuracy of an arm's runs of the most tokens, float64 [n] each; n may be 0."""
    pairs = [(r.parameters, r.heldout_accuracy) for r in at_most_tokens(records) if r.heldout_accuracy is not None]
    sizes, shares = np.array(pairs, np.float64).reshape(-1, 2).T
    return sizes, shares


def over_trained(records: Sequence[Record]) -> dict[int, Curve]:
    """(tokens a parameter, loss), float64 [n] each, of each size with two amounts of text or more."""
    found = {}
    for n in sorted({r.parameters for r in records}):
        own = sorted((r.tokens / n, r.heldout_loss) for r in records if r.parameters == n and r.heldout_loss)
        if len({x for x, _ in own}) > 1:
            found[n] = (np.array([x for x, _ in own]), np.array([y for _, y in own]))
    return found


def read_longest(records: Sequence[Record]) -> Record | None:
    """The largest run at the most tokens among those with loss by position; None without any."""
    known = [r for r in records if r.by_position]
    return max(at_most_tokens(known), key=lambda r: r.parameters) if known else None


def gains(curve: np.ndarray) -> tuple[float, float]:
    """Nats gained from the first position to a quarter of the curve [window], and from there to its last eighth."""
    quarter, width = len(curve) // 4, max(1, len(curve) // 8)
    at_quarter = curve[max(0, quarter - width // 2) : quarter + width // 2 + 1].mean()
    return float(curve[0] - at_quarter), float(at_quarter - curve[-width:].mean())


def behind(curves: Mapping[str, np.ndarray]) -> tuple[str, dict[str, list[tuple[int, int, float]]]]:
    """The model with the lowest mean loss, and the distance of the others from it in each span of positions.

    `curves` are nats by position [window] of each model on the same text, so the difficulty of places cancels. Returns
    (the best, {other: [(first token, last token, mean nats above the best)]}), tokens from 1, spans that double.
    """
    best = min(curves, key=lambda name: float(np.mean(curves[name])))
    window = len(curves[best])
    edges = [0, *sorted({window >> i for i in range(4)} - {0})]
    spans = list(zip(edges[:-1], edges[1:], strict=True))
    return best, {
        name: [(a + 1, b, float((np.asarray(curve) - curves[best])[a:b].mean())) for a, b in spans]
        for name, curve in curves.items()
        if name != best
    }


class Quality(NamedTuple):
    """Scores of word vectors by their dimensions and the number of training words."""

    dims: list[int]
    words: list[float]  # of training, in whole thousands
    scores: dict[str, np.ndarray]  # by test, [dims, words], means over the runs; nan where no run was scored
    cells: dict[tuple[int, float], list[Record]]


def vector_quality(records: Sequence[Record]) -> Quality:
    """Finished runs of word vectors that were scored, by dimensions and words; empty without any."""
    cells: dict[tuple[int, float], list[Record]] = {}
    for r in records:
        if r.status == FINISHED and r.quality:
            cells.setdefault((r.config["model"]["dim"], round(r.tokens, -3)), []).append(r)
    dims, words = (sorted({cell[i] for cell in cells}) for i in (0, 1))
    tests = list(dict.fromkeys(test for own in cells.values() for r in own for test in r.quality or {}))
    scores = {test: np.full((len(dims), len(words)), np.nan) for test in tests}
    for (dim, amount), own in cells.items():
        for test, grid in scores.items():
            known = [r.quality[test] for r in own if r.quality and r.quality.get(test) is not None]
            if known:
                grid[dims.index(dim), words.index(amount)] = np.mean(known)
    return Quality([int(d) for d in dims], words, scores, cells)


def claimed_accuracy(parameters: float) -> float:
    """The accuracy that the notes claim at a size, interpolated over log parameters; nan below their first size."""
    sizes = np.log10(list(CLAIMED_ACCURACY))
    return float(np.interp(np.log10(parameters), sizes, list(CLAIMED_ACCURACY.values()), left=np.nan, right=np.nan))
