"""What the log lines and the result tell of a run: its seconds and words, and the means of its metrics. The state is a
few numbers and goes into checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from w2v_jax.train.logs import Record


class Meter:
    """The clock of a run and the sums since its last log line."""

    def __init__(self, steps_per_epoch: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.total = {"seconds": 0.0, "words": 0.0, "waited": 0.0}  # of all training, resumed parts included
        self.logged: dict[str, float] = {"step": 0} | self.total  # at the last log line
        self.sums: dict[str, np.ndarray] = {}  # float64 (sum, count) by metric since then
        self.loss: float | None = None  # of the last log interval with any unit that counts
        self.norm: float | None = None  # of the parameters, as last measured
        self.rate: float | None = None  # the scheduled one, likewise
        self._clock = 0.0

    def to_meta(self) -> dict[str, Any]:
        """The state as JSON values, for a checkpoint."""
        sums = {name: pair.tolist() for name, pair in self.sums.items()}
        return {"total": self.total, "loss": self.loss, "logged": self.logged, "sums": sums}

    def restore(self, step: int, meta: Mapping[str, Any]) -> None:
        """Continues from `to_meta` at `step`."""
        self.total, self.loss = meta["total"], meta["loss"]
        # A signal may have come between two lines of the log: the next one is of all calls since the last.
        self.sums = {name: np.array(pair) for name, pair in meta.get("sums", {}).items()}
        self.logged = meta.get("logged", {"step": step} | self.total)

    def begin(self) -> None:
        """Starts the clock."""
        self._clock = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last call of `lap` or `begin`."""
        now = time.perf_counter()
        passed, self._clock = now - self._clock, now
        return passed

    def add(self, pairs: Mapping[str, np.ndarray], shown: tuple[float, float] | None) -> None:
        """Counts a call that has ended: (sum, count) of its metrics, and the parameters' norm and the scheduled rate
        where they were asked for."""
        self.total["seconds"] += self.lap()
        for name, pair in pairs.items():
            if name == "words":
                self.total["words"] += float(pair[0])
            else:
                self.sums[name] = self.sums.get(name, np.zeros(2)) + pair
        self.norm, self.rate = shown or (self.norm, self.rate)

    def due(self, step: int, every: int) -> bool:
        """Whether a line that comes every `every` steps is due at `step`."""
        return step // every > self.logged["step"] // every

    def read(self, step: int, rate_scale: float, held: Mapping[str, float]) -> tuple[Record, dict[str, float]]:
        """The record since the last one, and further values by name. The sums start again."""
        took = max(self.total["seconds"] - self.logged["seconds"], 1e-9)
        means = {k: float(total / count) for k, (total, count) in self.sums.items() if count}
        means |= {f"heldout_{k}": held[k] for k in means if k in held and k != "loss"}
        loss = means.pop("loss", None)  # absent where no pair or token was counted
        self.loss = self.loss if loss is None else loss
        means |= {} if self.norm is None else {"param_norm": self.norm}
        record = Record(
            step=step,
            passes=step / self.steps_per_epoch,
            loss=loss,
            heldout_loss=held.get("loss"),
            words_per_second=(self.total["words"] - self.logged["words"]) / took,
            data_wait=(self.total["waited"] - self.logged["waited"]) / took,
            learning_rate=None if self.rate is None else self.rate * rate_scale,
            seconds=self.total["seconds"],
        )
        self.sums, self.logged = {}, {"step": step} | self.total
        return record, means

    def summary(self) -> dict[str, float]:
        """Seconds, words a second and the share of the time spent waiting for data, of all training."""
        seconds = max(self.total["seconds"], 1e-9)
        words, waited = self.total["words"], self.total["waited"]
        return {"seconds": self.total["seconds"], "words_per_second": words / seconds, "data_wait": waited / seconds}
