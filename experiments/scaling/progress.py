"""Progress of a study, and the time left."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from typing import TextIO

import numpy as np
from scipy.optimize import nnls

from w2v_jax.scaling import analysis
from w2v_jax.scaling.expected import expect
from w2v_jax.scaling.fit import fit_parametric
from w2v_jax.scaling.fitted import Refusal, Value
from w2v_jax.scaling.laws import PARAMETRIC
from w2v_jax.scaling.records import FINISHED, Record
from w2v_jax.scaling.study import Planned, cost_of
from w2v_jax.tables import duration


class Progress:
    """Prints one line before and one after each of `runs`, of which `done` are recorded, with the time left.

    A run takes the mean time of earlier runs beside training (compiling, scoring), plus a cost per token and a cost per
    FLOP, fitted to the runs of the same arm, or of all arms until the arm has runs of two sizes. A rate of FLOPs alone
    would be too optimistic for small runs.
    """

    def __init__(self, runs: Sequence[Planned], done: Sequence[Record], out: TextIO | None = None) -> None:
        self.runs, self.out = list(runs), out or sys.stderr
        names = {record.run for record in done}
        self.left = {run.name: run for run in runs if run.name not in names}
        self.trained = [record for record in done if record.status == FINISHED]
        self.expected: Value | None = None  # loss of the run that is made
        self.beside: list[float] = []  # seconds per run beside training
        self.total = cost_of(runs) or 1.0

    def begin(self, run: Planned) -> None:
        """Prints which run starts."""
        number = len(self.runs) - len(self.left) + 1
        size = f"{run.ledger.parameters:,} parameters, {run.tokens:,.0f} tokens, {run.made / 1e12:.3g} TFLOP"
        size += f" from token {run.shared:,.0f} on" if run.shared else ""
        print(f"--- run {number} of {len(self.runs)}: {run.name} ({size})", file=self.out, flush=True)
        self.expected = expected_loss(run, self.trained)
        if self.expected is not None:
            print(f"    expected {_show(self.expected)} by the law of the runs before it", file=self.out, flush=True)

    def end(self, run: Planned, record: Record, seconds: float) -> None:
        """Prints the result of a run that took `seconds`, compiling and scoring included, and the time left."""
        self.left.pop(run.name, None)
        if record.status == FINISHED:
            self.trained.append(record)
            own = record.seconds if record.made_seconds is None else record.made_seconds
            self.beside.append(max(seconds - (own or 0.0), 0.0))
        done = 1 - cost_of([*self.left.values()]) / self.total
        if record.status != FINISHED:
            what = f"{record.status}: {record.error}"
        elif record.heldout_loss is None:
            what = "finished"
        else:
            what = f"held-out loss {record.heldout_loss:.4f}"
            if self.expected is not None:
                what += f", {record.heldout_loss / self.expected.value - 1:+.2%} from what was expected"
        rest = f"{done:.0%} of the study's FLOPs done, {self.time_left()} left"
        print(f"    {what}; {seconds:.1f} s; {rest}", file=self.out, flush=True)

    def costs(self, arm: str) -> np.ndarray | None:
        """Seconds of training per token and per FLOP, at least 0, by least relative error; None before any run."""
        timed = [r for r in self.trained if r.seconds and r.tokens and r.training_flops]
        own = [r for r in timed if r.arm == arm]
        if len({r.flops_per_token for r in own}) < 2:
            own = timed
        if not own:
            return None
        units = np.array([[r.tokens / r.seconds, r.training_flops / r.seconds] for r in own if r.seconds])
        scale = units.max(axis=0)
        return nnls(units / scale, np.ones(len(units)))[0] / scale

    def seconds_left(self) -> float | None:
        """Time of the remaining runs; None before the first."""
        beside = statistics.fmean(self.beside) if self.beside else 0.0
        seconds = 0.0
        for run in self.left.values():
            costs = self.costs(run.arm)
            if costs is None:
                return None
            seconds += beside + float(costs @ (run.tokens - run.shared, run.made))
        return seconds

    def time_left(self) -> str:
        """As h:mm:ss."""
        seconds = self.seconds_left()
        return "?" if seconds is None else duration(seconds)


def expected_loss(run: Planned, made: Sequence[Record]) -> Value | None:
    """The held-out loss of a run by the law of the finished runs of its arm, with the 95 % interval of one run.

    None where these have no law yet, or were made at several rates: then it says nothing of one of them.
    """
    own = [r for r in made if r.arm == run.arm and r.heldout_loss is not None]
    runs, _ = analysis.fitted_runs(own)
    if len(runs) <= PARAMETRIC.parameters or len(analysis.usable(own)) < len(own):
        return None
    n, d, _, loss = analysis.columns(runs)
    fit = fit_parametric(n, d, loss)
    return None if isinstance(fit, Refusal) else expect(fit, float(run.ledger.parameters), run.tokens).loss


def _show(value: Value) -> str:
    ends = (f"{x:.4f}" if math.isfinite(x) else "free" for x in (value.low, value.high))
    return f"{value.value:.4f} [{', '.join(ends)}]"
