"""Profiles of some steps of training."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import jax

from w2v_jax.storage import in_bucket, put
from w2v_jax.types import Say


class Tracer:
    """Writes a profile of the steps between two numbers, on call boundaries."""

    def __init__(self, steps: tuple[int, int] | None, where: Path) -> None:
        self.steps, self.where, self.running = steps, where, False
        self._folder = Path(tempfile.mkdtemp(prefix="w2v_jax-")) if steps and in_bucket(where) else where

    def before(self, step: int) -> None:
        """Starts before the first call at or past the first step."""
        if self.steps and not self.running and step >= self.steps[0]:
            jax.profiler.start_trace(str(self._folder))
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
        if self._folder is not self.where:  # the profiler itself writes to no bucket
            for file in sorted(f for f in self._folder.rglob("*") if f.is_file()):
                put(file, f"{self.where}/{file.relative_to(self._folder).as_posix()}")
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = self.where
        self.steps, self.running = None, False
