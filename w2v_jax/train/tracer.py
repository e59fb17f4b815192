"""Profiles of some steps of training."""

from __future__ import annotations

from pathlib import Path

import jax

from w2v_jax.types import Say


class Tracer:
    """Writes a profile of the steps between two numbers, on call boundaries."""

    def __init__(self, steps: tuple[int, int] | None, where: Path) -> None:
        self.steps, self.where, self.running = steps, where, False

    def before(self, step: int) -> None:
        """Starts before the first call at or past the first step."""
        if self.steps and not self.running and step >= self.steps[0]:
            jax.profiler.start_trace(str(self.where))
            self.running = True

    def ends(self, step: int) -> bool:
        return self.steps is not None and self.running and step >= self.steps[1]

    def after(self, step: int, say: Say) -> None:
        if self.ends(step):
            self.close()
            say(f"profile written to {self.where}: open it with TensorBoard or Perfetto")

    def close(self) -> None:
        if self.running:
            jax.profiler.stop_trace()
        self.steps, self.running = None, False
