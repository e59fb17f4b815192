"""What held-out scores decide: when the rate falls under the plateau schedule, and when training has reached its goal.
The state is a few numbers and goes into checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2v_jax.config import LogConfig, OptimizerConfig
from w2v_jax.errors import UserError


class Plateau:
    """Judges held-out scores, one every `eval_every` steps; under other schedules the rate never falls, and without
    `stop_at` (`train.stop_at`) no goal is reached."""

    def __init__(self, optimizer: OptimizerConfig, log: LogConfig, eval_every: int, stop_at: float = 0.0) -> None:
        self._cfg, self._stop_at = optimizer, stop_at
        self._evaluations = {"eval_every_steps": eval_every, "eval_steps": log.eval_steps}
        self.best: float | None = None  # held-out loss of the last improvement, nats
        self.bad = 0  # evaluations in a row without one, or since the rate fell

    def falls(self, loss: float | None) -> bool:
        """Judges one evaluation: whether to multiply the rate by `optimizer.decay` now.

        An improvement is a loss below the best by more than `min_improvement` nats; only then it becomes the best.
        After `patience` other evaluations in a row the rate falls, and the count restarts.
        """
        if self._cfg.schedule != "plateau" or loss is None:
            return False
        if self.best is None or loss < self.best - self._cfg.min_improvement:
            self.best, self.bad = loss, 0
            return False
        self.bad = (self.bad + 1) % self._cfg.patience
        return self.bad == 0

    def reached(self, correct: float | None) -> bool:
        """Whether an evaluation ends the training: a share `correct` of right answers of at least `stop_at`."""
        return self._stop_at > 0 and correct is not None and correct >= self._stop_at

    def to_meta(self) -> dict[str, Any]:
        """The state as JSON values, for a checkpoint."""
        return {"best": self.best, "bad": self.bad, **self._evaluations}

    def restore(self, meta: Mapping[str, Any]) -> None:
        """Continues from `to_meta`. UserError: evaluations differ from before, and so would what they decide."""
        plateau = self._cfg.schedule == "plateau"
        if not plateau and not self._stop_at:
            return
        what = "the plateau schedule depends" if plateau else "the end by train.stop_at depends"
        for key, value in self._evaluations.items():
            if meta[key] != value:
                raise UserError(
                    f"log.{key}: is {value} here and was {meta[key]} before, and {what} on it: "
                    "use the value from before, or another workdir"
                )
        self.best, self.bad = meta["best"], meta["bad"]
