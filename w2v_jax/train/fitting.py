"""Runs of families that are fitted in sweeps over the whole text: as `w2v_jax.train.loop`, without gradients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from w2v_jax.config import Config
from w2v_jax.data.meeting import together
from w2v_jax.errors import Diverged, Interrupted
from w2v_jax.family import Family, Fit
from w2v_jax.recorded import to_dict
from w2v_jax.train import folder, world
from w2v_jax.train.device import all_finite, here
from w2v_jax.train.fingerprint import fingerprint
from w2v_jax.train.logs import Record, RunLog
from w2v_jax.train.prepare import check_same_text
from w2v_jax.train.programs import placed
from w2v_jax.train.sharding import make_mesh
from w2v_jax.train.stop import signals
from w2v_jax.types import Say, Words

SAVE_SECONDS = 5.0  # sweeps that take less share a save


class Task(NamedTuple):
    """What all steps of a fit read."""

    part: Fit
    cfg: Any  # resolved, its 'auto' options decided
    work: Any
    per_sweep: int  # steps of a sweep

    @property
    def last(self) -> int:
        """Steps of all sweeps."""
        return self.part.sweeps(self.cfg) * self.per_sweep


def begin(family: Family, config: Config, text: Any, devices: Sequence[jax.Device]) -> Task:
    """Resolves the config for a text and prepares the work. UserError: bad input."""
    part = family.fit
    assert part is not None
    cfg = placed(family, family.resolve(config.model, len(text.vocab.words)), devices[0].platform)
    work = part.prepare(cfg, text, config.train.seed, devices)
    return Task(part, cfg, work, part.steps(cfg, work))


def steps(task: Task, state: Any, done: int, last: int) -> Iterator[tuple[int, Any, dict[str, float], float]]:
    """(steps made, state, metrics or {}, seconds) of each step from `done` to `last`."""
    for step in range(done + 1, last + 1):
        began = time.perf_counter()
        state, metrics = task.part.advance(task.cfg, task.work, state)
        yield step, state, metrics, time.perf_counter() - began


def fit(family: Family, config: Config, workdir: Path, say: Say) -> dict[str, Any]:
    """Makes all remaining sweeps, saves as it goes and finishes the run folder; returns and raises as `loop.train`.

    The state is saved after a sweep that was scored on held-out text, or that ends `SAVE_SECONDS` after the last save;
    within a sweep every `checkpoint.every_steps` steps; on a signal; and at the end.
    """
    with together(world.crew()):
        text = family.text(config.model, config.data, say)
    check_same_text(text.digest)
    devices = make_mesh(config.mesh).devices.flat
    task = begin(family, config, text, [d for d in devices if d.process_index == jax.process_index()])
    part, cfg, per_sweep = task.part, task.cfg, task.per_sweep
    consts = family.consts(cfg, Words(text.vocab.words, text.vocab.counts))
    last = min(task.last, config.train.max_steps or task.last)
    fixed = {"corpus": text.digest, "tokenizer": text.tokenizer.digest, "consts": fingerprint(consts)}
    seconds, metrics = 0.0, dict[str, float]()
    with folder.opened(workdir, config, last, last / per_sweep) as (checkpoints, log), signals() as seen:
        state = part.start(cfg, task.work, config.train.seed)
        unit = "sweep" if per_sweep == 1 else "step"
        target = here({"params": part.params(cfg, state), "fit": state})
        written: str | None = None  # digest of the log
        step, found = 0, checkpoints.restore(target, lambda meta: folder.check_fixed(workdir, meta, fixed))
        if found is not None:
            step, state, meta = found[0], found[1]["fit"], found[2]
            seconds, metrics, written = meta["seconds"], meta["metrics"], meta.get("log")
            log.note(f"continuing at {unit} {step:,} of {last:,}")
        log.truncate_after(step, written)
        saved = time.perf_counter()
        for made, after, new, took in steps(task, state, step, last):
            step, state, seconds = made, after, seconds + took
            if new:
                metrics = new
                if not all_finite(state):
                    raise Diverged(
                        f"the state is not finite after {unit} {step:,}; the last that was saved stands in {workdir}"
                    )
                _log(log, step, step / per_sweep, metrics, seconds)
            held = new.get("heldout_loss")
            # Clocks and signals of processes differ; all of them must save, or none.
            over = time.perf_counter() - saved > SAVE_SECONDS
            number, due = divmod(world.largest(2 * (seen[0] if seen else 0) + over), 2)
            waited = held is not None or due == 1
            if (
                step == last
                or number
                or (waited and step % per_sweep == 0)
                or step % config.checkpoint.every_steps == 0
            ):
                meta = fixed | {"seconds": seconds, "metrics": metrics, "config": to_dict(config), "log": log.digest}
                tree = {"params": part.params(cfg, state), "fit": state}
                log.sync()
                checkpoints.save(step, tree, meta, held, step == last or bool(number))
                saved = time.perf_counter()
            if number and step < last:
                raise Interrupted(step, number)
    matrices = {} if family.embed is None else family.embed(cfg, part.params(cfg, state))
    own = {"family": config.family, "steps": step, "passes": step / per_sweep, "seconds": seconds, **metrics}
    result = folder.finish(workdir, text, matrices, own | folder.about(config, text))
    number = world.largest(seen[0] if seen else 0)
    if number:
        raise Interrupted(step, number)
    return result


def _log(log: RunLog, step: int, passes: float, metrics: dict[str, float], seconds: float) -> None:
    extra = {name: value for name, value in metrics.items() if name not in ("loss", "heldout_loss")}
    log.write(Record(step, passes, metrics.get("loss"), metrics.get("heldout_loss"), seconds=seconds), extra)
