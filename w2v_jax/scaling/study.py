"""A study: families of models at several sizes, each trained on several amounts of the same text, as a list of runs.

A file in `configs/scaling/` returns a `Study`. Every run reads the first part of the study's text, once: for D tokens,
`train.passes` is D over the tokens of one pass. Runs that differ in D alone share one compiled program, and with
schedule wsd a trunk, too: each begins where the next shorter one began to decay (`w2v_jax.train.trunk`).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from w2v_jax.config import Config, DataConfig, check
from w2v_jax.errors import UserError, nearest
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.scaling.ledger import Ledger, ledger
from w2v_jax.train import trunk

TOKENS = "tokens"  # of a size: the D of its one run
LEAST_STEPS = 2  # of a run: a shorter schedule has no shape


@dataclasses.dataclass(frozen=True)
class Arm:
    """One line of a study: a family at several sizes."""

    run: Config  # shared by its runs; `data`, `train.seed` and `train.passes` are the study's
    # Overrides for each size, "model.dim=64 model.heads=2"; with "tokens=2e6" that is the D of the size's one run.
    sizes: tuple[str, ...]
    tokens: tuple[float, ...] = ()  # D of its runs; if empty, the study's
    seeds: tuple[int, ...] = ()  # if empty, the study's


@dataclasses.dataclass(frozen=True)
class Study:
    """One run for every arm, size, amount of text, rate and seed."""

    data: DataConfig
    arms: Mapping[str, Arm]
    tokens: tuple[float, ...] = ()  # D, tokens trained on
    budgets: tuple[float, ...] = ()  # instead of tokens, the training FLOPs C of a run: D = C / FLOPs per token
    most_flops: float = 0.0  # runs above these training FLOPs are left out; 0 is no limit
    rates: tuple[float, ...] = ()  # learning rates to try, as multiples of the arm's; each run counts with its best
    seeds: tuple[int, ...] = (0,)
    window: int = 0  # tokens in the windows whose loss by position is measured; 0 measures none
    optimum: bool = False  # whether the fitted floor must contain the best possible loss; for the synthetic text only
    vocabulary: int = 0  # vocabulary size for a plan that is made without the text; 0 reads the text

    def __post_init__(self) -> None:
        check(bool(self.arms), "arms", dict(self.arms), "at least one")
        for key in ("tokens", "budgets", "rates", "seeds"):
            values = getattr(self, key)
            check(all(v > 0 for v in values) or key == "seeds", key, values, "above 0")
            check(len(set(values)) == len(values), key, values, "different numbers")
        check(bool(self.seeds), "seeds", self.seeds, "at least one")
        check(self.most_flops >= 0, "most_flops", self.most_flops, "0 (no limit) or more")
        check(not (self.tokens and self.budgets), "budgets", self.budgets, "empty where tokens are given")
        for name, arm in self.arms.items():
            check(bool(arm.sizes), f"arms.{name}.sizes", arm.sizes, "at least one")
            amounts = arm.tokens or self.tokens or self.budgets or all(own_tokens(size) for size in arm.sizes)
            check(bool(amounts), f"arms.{name}.tokens", arm.tokens, "given, or tokens or budgets of the study")
        need = "False: the best possible loss is known of data.source=synthetic only, read from the left"
        known = self.data.source == "synthetic" and not self.data.reversed
        check(not self.optimum or known, "optimum", self.optimum, need)


def of_arms(study: Study, names: Sequence[str]) -> Study:
    """`study` with these arms alone, in its own order. UserError: an arm that it does not have, or one twice."""
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--arms: {name} comes {names.count(name)} times; name each arm once")
        if name not in study.arms:
            raise UserError(f"--arms={name}: must be one of {', '.join(study.arms)}{nearest(name, study.arms)}")
    return dataclasses.replace(study, arms={name: arm for name, arm in study.arms.items() if name in names})


class Planned(NamedTuple):
    """One run before it is made."""

    name: str
    arm: str
    config: Config  # without `train.passes`, which depends on the text
    tokens: float  # D
    ledger: Ledger
    flops: float  # of the whole training
    trunk: str = ""  # equal in all runs of a trunk; '' where it shares none
    begins: tuple[str, ...] = ()  # names of the shorter runs of its trunk, the longest first
    shared: float = 0.0  # tokens before the longest of these began to decay

    @property
    def made(self) -> float:
        """FLOPs of what is trained for this run where the shorter ones are there."""
        return self.flops * (1.0 - self.shared / self.tokens)


def sized(run: Config, size: str) -> Config:
    """`run` with the values of a size, "key=value key=value". UserError: an impossible key or value."""
    pairs = [word.partition("=") for word in size.split()]
    pairs = [pair for pair in pairs if pair[0] != TOKENS]
    try:
        for key, equals, _ in pairs:
            if not equals:
                raise UserError(f"{key!r} must be key=value, such as model.dim=64")
            if key.startswith("data."):
                raise UserError(f"{key} is the study's: all of its runs read one text")
        return override(run, {key: value.strip("\"'") for key, _, value in pairs}, MODELS)
    except UserError as e:
        raise UserError(f"sizes: {size!r}: {e}") from None


def own_tokens(size: str) -> tuple[float, ...]:
    """D of a size that has its own; () of one that has not. UserError: not a positive number, or several."""
    values = [value for key, _, value in (word.partition("=") for word in size.split()) if key == TOKENS]
    try:
        found = tuple(float(value) for value in values)
    except ValueError:
        found = (math.nan,)
    if len(found) > 1 or not all(0 < x < math.inf for x in found):
        raise UserError(f"sizes: {size!r}: {TOKENS} must be one positive number, such as {TOKENS}=2e6")
    return found


def runs(study: Study, vocabulary: int, activations: bool = False) -> list[Planned]:
    """Every run on a text of `vocabulary` words, the cheapest first; their ledgers count `activations` if asked to.

    UserError: a bad size; two runs of one name.
    """
    found = [run for name, arm in study.arms.items() for run in _of_arm(study, name, arm, vocabulary, activations)]
    names = [run.name for run in found]
    if not names:
        raise UserError(f"most_flops={study.most_flops:g}: every run of the study is above it")
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UserError(f"sizes: two runs are called {twice}; sizes of an arm must differ")
    return sorted((run for group in trunks(found) for run in _joined(group)), key=lambda run: (run.flops, run.name))


def trunks(planned: Sequence[Planned]) -> list[list[Planned]]:
    """The runs by trunk, the shortest first; those that share none are alone."""
    groups: dict[str, list[Planned]] = {}
    for run in planned:
        groups.setdefault(run.trunk or run.name, []).append(run)
    return [sorted(group, key=lambda run: (run.tokens, run.name)) for group in groups.values()]


def _joined(group: Sequence[Planned]) -> list[Planned]:
    """The runs of a trunk, each with the shorter ones that it begins from."""
    found = [group[0]]
    for before, run in itertools.pairwise(group):
        held = before.tokens * (1.0 - before.config.optimizer.decay_fraction)
        found.append(run._replace(begins=(before.name, *found[-1].begins), shared=held))
    return found


def _of_arm(study: Study, name: str, arm: Arm, vocabulary: int, activations: bool) -> list[Planned]:
    out = []
    for text in arm.sizes:
        base = dataclasses.replace(sized(arm.run, text), data=study.data)
        if MODELS[base.family].train is None:
            raise UserError(f"arms.{name}: family {base.family} is fitted, and has no steps to make more or fewer of")
        costs = ledger(base, vocabulary, activations)
        label = _label(text)
        shared: Sequence[float] = arm.tokens or study.tokens or [c / costs.flops_per_token for c in study.budgets]
        amounts = own_tokens(text) or shared
        for tokens in amounts:
            for rate in study.rates or (1.0,):
                for seed in arm.seeds or study.seeds:
                    optimizer = dataclasses.replace(base.optimizer, learning_rate=base.optimizer.learning_rate * rate)
                    train = dataclasses.replace(base.train, seed=seed)
                    config = dataclasses.replace(base, optimizer=optimizer, train=train)
                    rest = [*([f"x{rate:g}"] if study.rates else []), f"s{seed}"]
                    stem = "_".join([name, label, *rest]) if trunk.shares(config) else ""
                    run = "_".join([name, label, f"{tokens:.0f}", *rest])
                    flops = costs.flops_per_token * tokens
                    if not study.most_flops or flops <= study.most_flops:
                        out.append(Planned(run, name, config, tokens, costs, flops, stem))
    return out


def _label(text: str) -> str:
    """A size in a file name: its overrides of the model, or all of them where it has none."""
    pairs = [word.partition("=") for word in text.split()]
    of_model = [pair for pair in pairs if pair[0].startswith("model.")] or pairs
    return "-".join(key.rpartition(".")[2] + value for key, _, value in of_model) or "base"


def with_passes(run: Planned, steps_per_pass: int, pass_tokens: int) -> Config:
    """The run's config with `train.passes` for the number of whole steps that is nearest to its tokens.

    A pass has `steps_per_pass` steps and predicts `pass_tokens` tokens.
    """
    steps = max(LEAST_STEPS, round(run.tokens / pass_tokens * steps_per_pass))
    # The loop rounds up to whole steps: half a step less is safe from rounding errors.
    passes = (steps - 0.5) / steps_per_pass
    return dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, passes=passes))


def shard(planned: Sequence[Planned], index: int, count: int) -> list[Planned]:
    """The runs, in order, of machine `index` of `count`: each run, the most expensive first, goes to the machine with
    the fewest FLOPs. Runs of one trunk stay together. ValueError: index outside 0..count-1."""
    if not 0 <= index < count:
        raise ValueError(f"index={index}: must be from 0 to {count - 1}")
    loads, mine = [0.0] * count, set()
    for group in sorted(trunks(planned), key=lambda group: (-cost_of(group), group[0].name)):
        at = loads.index(min(loads))
        loads[at] += cost_of(group)
        if at == index:
            mine |= {run.name for run in group}
    return [run for run in planned if run.name in mine]


def cost_of(runs: Sequence[Planned]) -> float:
    """FLOPs that are made for these runs."""
    return sum(run.made for run in runs)
