"""Runs of families that are fitted in sweeps over the whole text: the same folder, log, checkpoints and signals as
`w2v_jax.train.loop`, with a sweep in the place of a step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from w2v_jax.config import Config, to_dict
from w2v_jax.errors import Diverged, Interrupted, UserError
from w2v_jax.train import folder
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.device import all_finite
from w2v_jax.train.fingerprint import fingerprint
from w2v_jax.train.logs import Record, RunLog
from w2v_jax.train.prepare import check_same_text
from w2v_jax.train.stop import signals
from w2v_jax.types import Family, Say, Words


@contextlib.contextmanager
def opened(workdir: Path, config: Config, steps: int, passes: float) -> Iterator[tuple[Checkpointer, RunLog]]:
    """The run folder claimed, its checkpoints and its log open. UserError: another process trains in it."""
    with (
        # Not before the input proved good: a run that never began must not claim the folder for its mistaken config.
        folder.claimed(workdir, config) if jax.process_index() == 0 else contextlib.nullcontext(),
        Checkpointer(workdir / folder.CHECKPOINTS, keep=config.checkpoint.keep) as checkpoints,
        RunLog(workdir, tensorboard=config.log.tensorboard, total_steps=steps, total_passes=passes) as log,
    ):
        yield checkpoints, log


def fit(family: Family, config: Config, workdir: Path, say: Say) -> dict[str, Any]:
    """Makes all sweeps that are left, saving after each, and finishes the run folder; returns the result.

    Raises:
      UserError, OSError, Interrupted, Diverged: as `w2v_jax.train.loop.train`.
    """
    part = family.fit
    assert part is not None
    text = family.text(config.model, config.data, say)
    check_same_text(text.digest)
    cfg = family.resolve(config.model, len(text.vocab.words))
    consts = family.consts(cfg, Words(text.vocab.words, text.vocab.counts))
    last = min(part.sweeps(cfg), config.train.max_steps or part.sweeps(cfg))
    fixed = {"corpus": text.digest, "tokenizer": text.tokenizer.digest, "consts": fingerprint(consts)}
    seconds, metrics = 0.0, dict[str, float]()
    with opened(workdir, config, last, float(last)) as (checkpoints, log), signals() as seen:
        state = part.start(cfg, text, config.train.seed)
        step, found = 0, checkpoints.restore(_target({"params": part.params(cfg, state), "fit": state}))
        if found is not None:
            step, state, meta = found[0], found[1]["fit"], found[2]
            for key, value in fixed.items():
                if meta.get(key) != value:
                    raise UserError(
                        f"--workdir={workdir}: its checkpoint was fitted to another {key}; use another workdir"
                    )
            seconds, metrics = meta["seconds"], meta["metrics"]
            log.note(f"continuing at sweep {step:,} of {last:,}")
        log.truncate_after(step)
        while step < last:
            began = time.perf_counter()
            state, metrics = part.advance(cfg, text, state)
            step, seconds = step + 1, seconds + time.perf_counter() - began
            if not all_finite(state):
                raise Diverged(f"the state is not finite after sweep {step:,}; the sweep before is saved in {workdir}")
            extra = {name: value for name, value in metrics.items() if name not in ("loss", "heldout_loss")}
            held = metrics.get("heldout_loss")
            log.write(Record(step, float(step), metrics.get("loss"), held, seconds=seconds), extra)
            meta = fixed | {"seconds": seconds, "metrics": metrics, "config": to_dict(config)}
            number = _everywhere(seen[0] if seen else 0)
            tree = {"params": part.params(cfg, state), "fit": state}
            checkpoints.save(step, tree, meta, held, step == last or bool(number))
            if number and step < last:
                raise Interrupted(step, number)
    matrices = {} if family.embed is None else family.embed(cfg, part.params(cfg, state))
    own = {"family": config.family, "steps": step, "passes": float(step), "seconds": seconds, **metrics}
    return folder.finish(workdir, text, matrices, own | folder.about(config, text))


def _target(tree: Any) -> Any:
    """Shapes, dtypes and places of a tree of arrays, on this process's first device where they have none."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", here)), tree)


def _everywhere(number: int) -> int:
    """The largest of all processes' numbers, so that all stop after the same sweep."""
    return int(np.max(multihost_utils.process_allgather(np.int32(number)))) if jax.process_count() > 1 else number
