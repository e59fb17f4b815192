"""What both sides of the LSTM benchmark share: the model's sizes, the data, and how memory is measured."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np

STACK = 8  # steps that our side makes by one call; both sides warm up for so many
RATE, DECAY = 1e-3, 0.01  # of AdamW; beta1 .9, beta2 .999, eps 1e-8


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of the model and of a step's batch."""

    layers: int = 2
    hidden: int = 256  # of a layer and of the embedding
    batch: int = 32
    length: int = 128  # tokens backpropagated through
    vocabulary: int = 8192  # a multiple of 128, as our tables are padded to one

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.batch * self.length

    @property
    def flops(self) -> float:
        """Of a step, matrix products only: 6 a weight and token, forward and backward."""
        return 6.0 * self.tokens * (self.hidden * self.vocabulary + self.layers * 8 * self.hidden**2)


def arguments() -> tuple[Sizes, int]:
    """(sizes, timed steps, a multiple of STACK) from a side's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="{}", help="JSON object; see Sizes")
    parser.add_argument("--steps", type=int, required=True, help=f"timed steps, a multiple of {STACK}")
    args = parser.parse_args()
    if args.steps < STACK or args.steps % STACK:
        parser.error(f"--steps={args.steps}: must be a multiple of {STACK}")
    return Sizes(**json.loads(args.sizes)), args.steps


def lanes(sizes: Sizes, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, targets), int32 [steps, batch, length]: lanes of random tokens cut in windows, the target the next."""
    rng = np.random.default_rng(0)
    lane = rng.integers(0, sizes.vocabulary, (sizes.batch, steps * sizes.length + 1), np.int32)

    def cut(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a.reshape(sizes.batch, steps, sizes.length).swapaxes(0, 1))

    return cut(lane[:, :-1]), cut(lane[:, 1:])


class Memory:
    """Peak resident memory above what it is when this is made: after the imports, before anything else."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):  # Linux: starts the peak anew, so that the imports' own does not count
            Path("/proc/self/clear_refs").write_text("5")
        self.baseline_mb = _status("VmRSS")

    def peak_mb(self) -> float:
        """MiB above the baseline so far; 0 where the system does not tell."""
        return max(0.0, _status("VmHWM") - self.baseline_mb)


def _status(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
