"""What both sides of a benchmark beside PyTorch share: the models' sizes, the data, and how memory is measured."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

STACK = 8  # steps that our side makes by one call; both sides warm up for so many
RATE, DECAY = 1e-3, 0.01  # of AdamW; beta1 .9, beta2 .999, eps 1e-8
SCALE = 0.02  # of the transformer's weights at the start


class Sizes(Protocol):
    """Of a model and of a step's batch."""

    @property
    def batch(self) -> int: ...

    @property
    def length(self) -> int: ...

    @property
    def vocabulary(self) -> int: ...

    @property
    def tokens(self) -> int:
        """Of a step."""
        ...

    @property
    def flops(self) -> float:
        """Of a step, matrix products only, forward and backward."""
        ...


S = TypeVar("S", bound=Sizes)


@dataclasses.dataclass(frozen=True)
class LSTMSizes:
    """Embedding, LSTM and a head of its own."""

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


@dataclasses.dataclass(frozen=True)
class TransformerSizes:
    """Pre-norm blocks without biases, and a head that is the embedding."""

    layers: int = 4
    dim: int = 256
    heads: int = 4
    batch: int = 32
    length: int = 128  # all that a prediction sees
    vocabulary: int = 8192  # a multiple of 128, as our tables are padded to one

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.batch * self.length

    @property
    def parameters(self) -> int:
        """Embedding, four square matrices and two of the feed-forward layer a layer, and the gains of the norms."""
        return self.vocabulary * self.dim + self.layers * 12 * self.dim**2 + (2 * self.layers + 1) * self.dim

    @property
    def flops(self) -> float:
        """Of a step, matrix products only: 6 a weight and token, and 6 T D a layer and token for attention, which is
        its half below the diagonal."""
        weights = self.vocabulary * self.dim + self.layers * 12 * self.dim**2
        return self.tokens * 6.0 * (weights + self.layers * self.length * self.dim)


def arguments(sizes: type[S]) -> tuple[S, int]:
    """(sizes, timed steps, a multiple of STACK) from a side's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="{}", help=f"JSON object; see {sizes.__name__}")
    parser.add_argument("--steps", type=int, required=True, help=f"timed steps, a multiple of {STACK}")
    args = parser.parse_args()
    if args.steps < STACK or args.steps % STACK:
        parser.error(f"--steps={args.steps}: must be a multiple of {STACK}")
    return sizes(**json.loads(args.sizes)), args.steps


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

    def found(self) -> dict[str, Any]:
        """Both, for a side's result."""
        return {"peak_mb": self.peak_mb(), "baseline_mb": self.baseline_mb}


def _status(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
