"""What the word2vec benchmark trains on both sides, and what our side must reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from w2v_jax.errors import UserError, nearest
from w2v_jax.evaluation.frequency import BINS

PASSES = 5
# Of gensim: one thread a worker, as its workers are the threads.
PEER_ENV = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR")}
SEEN = tuple(f"seen {name}" for name in BINS)  # similarity over all sets, by the count of the rarer word
# Largest shortfall from the peer that passes, by test.
QUALITY_GATES = {"men": 0.01, "analogies": 0.01, "ws353": 0.02, "simlex999": 0.02} | dict.fromkeys(SEEN, 0.01)
DATA_WAIT_GATE = 0.03  # largest share of the training time spent waiting for batches
# Shown in this order: what settings may be chosen by (`benchmarks.quality`), then the rest.
TESTS = (
    *("ws353", "men", "analogies_dev", "analogies_rest", "analogies", "msr", "bats"),
    *("simlex999", "simverb3500", "mturk287", "rg65", "yp130", "verb143", *SEEN),
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One model at one size. Common to all: window 5, sample 1e-3, minimum count 5, 5 passes, 5 negatives or none."""

    name: str
    config: str  # of ours
    dim: int
    skipgram: bool
    hierarchical: bool = False
    speed_gate: float = 0.0  # least median ratio of words/s, ours to the peer's; 0 is shown only
    speed_aim: float = 0.0
    extra: tuple[str, ...] = ()  # further overrides of ours, part of the recipe

    def overrides(self) -> list[str]:
        """Config overrides of our training command."""
        loss = "hierarchical" if self.hierarchical else "negative"
        return [f"--config.model.dim={self.dim}", f"--config.model.loss={loss}", *self.extra]

    def peer(self) -> dict[str, Any]:
        """Arguments of gensim's Word2Vec, what is left out being its default."""
        return {
            "vector_size": self.dim,
            "sg": int(self.skipgram),
            "alpha": 0.025 if self.skipgram else 0.05,
            "hs": int(self.hierarchical),
            "negative": 0 if self.hierarchical else 5,
            "window": 5,
            "sample": 1e-3,
            "min_count": 5,
        }


HALF = "--config.model.noise_dtype=bfloat16"
SUMS = "--config.optimizer.initial_square=10.0"  # as in configs/cbow.py; named, so that a run's line has it

SETTINGS = (
    Setting("skipgram-100", "configs/skipgram.py", 100, True, speed_gate=2.0, speed_aim=4.0),
    Setting(
        "skipgram-300",
        "configs/skipgram.py",
        300,
        True,
        speed_gate=1.5,
        speed_aim=4.0,
        extra=(
            "--config.model.segment=64",
            "--config.optimizer.learning_rate=0.2",
            "--config.optimizer.initial_square=0.0",
            HALF,
        ),
    ),
    Setting("cbow-100", "configs/cbow.py", 100, False, speed_gate=1.0, speed_aim=2.0, extra=(SUMS,)),
    Setting(
        "cbow-300",
        "configs/cbow.py",
        300,
        False,
        speed_aim=2.0,
        extra=(SUMS, "--config.train.batch_size=4096", HALF, "--config.model.gradient_dtype=bfloat16"),
    ),
    Setting("hs-100", "configs/skipgram.py", 100, True, hierarchical=True, speed_aim=2.0),
    Setting(
        "hs-cbow-100",
        "configs/cbow.py",
        100,
        False,
        hierarchical=True,
        speed_aim=2.0,
        extra=(SUMS, "--config.train.batch_size=8192", "--config.optimizer.learning_rate=0.45"),
    ),
)


def chosen(names: Sequence[str]) -> list[Setting]:
    """The settings of these names, all for none. Raises UserError for an unknown name."""
    known = {s.name: s for s in SETTINGS}
    for name in names:
        if name not in known:
            raise UserError(f"--only={name}: must be one of {', '.join(known)}{nearest(name, known)}")
    return [known[name] for name in names] if names else list(SETTINGS)
