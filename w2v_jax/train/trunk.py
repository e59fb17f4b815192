"""The trunk of a run of schedule wsd: its steps before the decay, which it shares with runs of other lengths.

Two runs whose configs differ in `train.passes` alone have the same states, bit for bit, until the shorter one begins to
decay: their batches, draws and rates depend on the step and not on the length. So a run can begin from the checkpoint
of another one, and ends as if it had made all of its steps itself (Hägele et al. 2024, arXiv 2405.18392).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.recorded import differences, freeze, to_dict
from w2v_jax.train import world
from w2v_jax.train.checkpoint import Checkpointer, Found, NoneIntact
from w2v_jax.train.folder import CHECKPOINTS, check_fixed
from w2v_jax.train.optimizers import decay_start
from w2v_jax.train.prepare import Run, steps_of
from w2v_jax.types import HostBatch, Say

LENGTH = "train.passes"  # the only key in which runs of one trunk may differ


class Shared(NamedTuple):
    """What a run did not make itself, as its trunk is that of another run."""

    steps: int
    words: float
    seconds: float


def shares(config: Config) -> bool:
    """Whether runs of this config have a trunk. `train.stop_at` judges evaluations, which each run has at other steps,
    `train.max_steps` may end a run before its decay, and with `train.start` a run begins elsewhere."""
    train = config.train
    return config.optimizer.schedule == "wsd" and not (train.stop_at or train.max_steps or train.start)


def end(run: Run) -> int:
    """The step at which the rate begins to fall; 0 where a run has no trunk."""
    return int(decay_start(run.config.optimizer, run.horizon.run)) if shares(run.config) else 0


def stacks(run: Run, start: int) -> Iterator[HostBatch]:
    """The batches of a run from step `start` on, stacked for its calls, of which one ends with the trunk."""
    cuts = [start, *([end(run)] if start < end(run) else []), run.stop_step]
    for first, stop in itertools.pairwise(cuts):
        yield from run.source.iterate(first, stop, run.config.train.steps_per_call, world.index(), world.count())


def find(run: Run, folders: Sequence[Path], fixed: Mapping[str, Any], say: Say) -> Found | None:
    """The newest state that `run` has in common with one of the run `folders`; None without one.

    All processes call it. A damaged checkpoint gives a warning by `say`, and way to the next. UserError: one was
    trained on another text or with other constants than `fixed`.
    """
    for folder, step in _shared(run, folders):

        def check(meta: Mapping[str, Any], folder: Path = folder) -> None:
            check_fixed(folder, meta, fixed)

        with (
            contextlib.suppress(NoneIntact),  # it is told by `warn`
            Checkpointer(folder / CHECKPOINTS, read_only=True, warn=say) as checkpoints,
        ):
            found = checkpoints.restore_step(step, run.programs.state, check)
            say(f"beginning at step {step:,}, where {folder} has the same state")
            return found
    return None


def _shared(run: Run, folders: Sequence[Path]) -> list[tuple[Path, int]]:
    """Checkpoints on the trunk of `run`, the newest first, as the first process sees them."""

    def listed() -> list[list[int]]:
        pairs = [[i, step] for i, folder in enumerate(folders) for step in _steps(run, folder)]
        return sorted(pairs, key=lambda pair: -pair[1])

    return [(folders[i], step) for i, step in world.from_first(listed)]


def _steps(run: Run, folder: Path) -> Iterator[int]:
    """Steps of a folder's checkpoints that are on the trunks of both runs."""
    if not (folder / CHECKPOINTS).is_dir():
        return
    with Checkpointer(folder / CHECKPOINTS, read_only=True) as checkpoints:
        metas = checkpoints.metas()
    own = to_dict(run.config)
    for step, meta in metas.items():
        other = freeze(meta["config"], MODELS)
        begin = decay_start(other.optimizer, steps_of(other.train, run.source.steps_per_epoch))
        if step <= min(end(run), int(begin)) and set(differences(to_dict(other), own)) <= {LENGTH}:
            yield step
