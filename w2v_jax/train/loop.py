"""The one training loop, for every model.

Calls to the device are dispatched ahead and their metrics fetched late, so that the device never waits for the host.
Log lines, held-out losses and checkpoints fall on call boundaries.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from w2v_jax.config import Config
from w2v_jax.errors import Diverged, Interrupted
from w2v_jax.exported import has_checkpoint
from w2v_jax.models import MODELS
from w2v_jax.recorded import to_dict
from w2v_jax.train import advice, continued, fitting, folder, trunk, world
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.device import all_finite, fetch, place, send, send_flag, threads
from w2v_jax.train.fingerprint import fingerprint
from w2v_jax.train.logs import RunLog, tell
from w2v_jax.train.meter import Meter
from w2v_jax.train.plateau import Plateau
from w2v_jax.train.prepare import Run, held_out, prepare
from w2v_jax.train.step import TrainState
from w2v_jax.train.stop import signals
from w2v_jax.train.tracer import Tracer
from w2v_jax.types import Say

IN_FLIGHT = 2  # calls dispatched beyond the one whose metrics are read


class Trainer:
    """The changing part of a run: clocks and pending metrics. `train` below is the entry."""

    def __init__(
        self, run: Run, workdir: Path, checkpoints: Checkpointer, log: RunLog, trunks: Sequence[Path] = ()
    ) -> None:
        self.run, self.workdir, self.checkpoints, self.log, self.trunks = run, workdir, checkpoints, log, trunks
        self.trunk = trunk.end(run)
        self.shared: trunk.Shared | None = None  # what was begun from
        self.begun: continued.Begun | None = None  # what `train.start` gave
        texts = {"corpus": run.corpus.digest, "tokenizer": run.corpus.tokenizer.digest}
        self.fixed = texts | {"consts": fingerprint(run.consts)}
        self.rate_scale = 1.0  # as in the train state
        self.eval_every = run.config.log.eval_every_steps or run.source.steps_per_epoch
        self.plateau = Plateau(run.config.optimizer, run.config.log, self.eval_every, run.config.train.stop_at)
        self.stop_step = run.stop_step  # earlier where an evaluation reaches `train.stop_at`
        # Step, metrics, flag and, where a log line may be due, the norm of the parameters and the scheduled rate.
        self.pending: deque[tuple[int, Any, jax.Array, tuple[jax.Array, jax.Array] | None]] = deque()
        self.meter = Meter(run.source.steps_per_epoch)
        self.held: dict[str, float] = {}  # the last held-out loss and the other metrics there
        self.held_step = -1
        self.best: tuple[float, int] | None = None  # lowest held-out loss of a checkpoint, and its step
        self.written: str | None = None  # digest of the log up to the checkpoint, as it was saved
        self.stopping = 0

    def start(self) -> TrainState:
        """The newest intact checkpoint's state, or the one that this run has in common with one of `trunks`, or a fresh
        one. UserError: a checkpoint of another text or model."""
        run, began = self.run, None
        found = self.checkpoints.restore(
            run.programs.state, lambda meta: folder.check_fixed(self.workdir, meta, self.fixed)
        )
        if found is None and self.trunks:
            found = began = trunk.find(run, self.trunks, self.fixed, self.log.note)
        if found is None and run.config.train.start:
            if (longer := continued.whole(run, self.fixed, self.log.note)) is None:
                fresh = run.programs.start().compile()(run.consts)
                state, self.begun = continued.grown(run, fresh, self.log.note)
                return state
            found, self.begun = longer
            began = found
        if found is None:
            return run.programs.start().compile()(run.consts)
        step, state, meta = found
        self.plateau.restore(meta["plateau"])
        self.meter.restore(step, meta)
        self.held, self.best, self.rate_scale = meta["held"], meta["best"], float(state.rate_scale)
        if self.begun is not None:  # its best checkpoint, and its log, are in the other folder
            self.best = None
        elif began is None:
            self.begun = continued.begun_of(meta)
            self.written = meta.get("log")
            self.shared = trunk.Shared(**meta["shared"]) if meta.get("shared") else None
            self.stop_step = step if meta.get("reached") else run.stop_step
            self.log.note(f"continuing at step {step:,} of {self.stop_step:,}")
        else:  # the lines of the other run's log stay there
            self.shared = trunk.Shared(step, self.meter.total["words"], self.meter.total["seconds"])
        had, has = meta.get("threads"), threads(run.mesh)
        if had and has and had != has:
            self.log.note(
                f"note: computes with {has} threads, with {had} before; NPROC={had} keeps the last bits equal"
            )
        if meta.get("kernel", run.kernel) != run.kernel:  # older checkpoints do not say it
            self.log.note(
                f"note: steps are made by train.kernel={run.kernel}, by {meta['kernel']} before; "
                f"W2V_JAX_KERNEL={meta['kernel']} keeps the last bits equal"
            )
        return state

    def fit(self, profile: tuple[int, int] | None) -> TrainState:
        """Makes all remaining steps. Raises Interrupted after a signal, Diverged when the loss is not finite."""
        run, config = self.run, self.run.config
        state = self.start()
        folder.keep_tokenizer(self.workdir, run.corpus)  # not before `start`, which refuses another text
        step = int(state.step)
        self.log.truncate_after(step, self.written)
        score = held_out(run, self.log.note)
        # Every half interval: even a kill during a write then loses at most one interval, rounded up to whole calls.
        save_every = max(1, config.checkpoint.every_steps // 2)
        per_call, stacks = config.train.steps_per_call, trunk.stacks(run, step)
        if step < self.stop_step:
            stacks = itertools.chain([next(stacks)], stacks)  # the pipeline starts before the clock does
            began = time.perf_counter()
            call, logged = run.programs.training(run.horizon, run.consts), run.programs.logged(run.horizon).compile()
            self.log.note(f"compiled in {time.perf_counter() - began:.1f} s")
        tracer = Tracer(profile, self.workdir / "profile")
        with signals() as seen, contextlib.closing(tracer):
            self.meter.begin()
            self.log.progress.begin(step)
            while step < self.stop_step:
                tracer.before(step)
                before, step = step, min(step + per_call, self.trunk if step < self.trunk else run.stop_step)
                last = step == run.stop_step
                saving = last or step == self.trunk or step // save_every > before // save_every
                judging = step // self.eval_every > before // self.eval_every
                # A checkpoint is ranked by the held-out loss of its own parameters.
                scoring = saving or judging
                logging = scoring or step // config.log.every_steps > before // config.log.every_steps
                with jax.transfer_guard("disallow"):  # what sends its own numbers would wait for the calls in flight
                    asked = time.perf_counter()
                    stack = send(run.mesh, next(stacks))
                    if not self.busy():
                        self.meter.total["waited"] += time.perf_counter() - asked
                    count, flags = place(run.mesh, np.int32(step - before)), send_flag(run.mesh, seen[0] if seen else 0)
                    state, metrics, flag = call(state, stack, count, flags)
                    self.pending.append((step, metrics, flag, logged(state.params, state.step) if logging else None))
                    left = 0 if scoring or saving or tracer.ends(step) else IN_FLIGHT
                    self.settle(left, quiet=step if scoring else -1)
                    while self.stopping and self.pending:  # every process has read the same flag of the same call
                        self.settle(len(self.pending) - 1)  # one by one, each with the line that is due
                tracer.after(step, self.log.note)
                if scoring:
                    self.held, self.held_step = score(state.params), step
                    self.meter.lap()  # scoring is no training time
                    # Not where the loss is only for a checkpoint: how often one is saved changes no result.
                    if judging and self.plateau.falls(self.held.get("loss")):
                        state = self.lower_rate(state)
                    self.write_log(step, self.held)
                    if judging and self.plateau.reached(self.held.get("correct")):
                        self.stop_step, last = step, True
                        self.log.note(f"held-out accuracy {self.held['correct']:.4f}: train.stop_at is reached")
                if saving or last or self.stopping:
                    self.save(step, state, block=last or bool(self.stopping))
                if self.stopping and not last:
                    raise Interrupted(step, self.stopping)
            self.stopping = world.largest(max([self.stopping, *seen]))  # during the last save, too
        return state

    def busy(self) -> bool:
        """Whether the newest call still runs, so that the device has not waited for the stack that is here by now."""
        return bool(self.pending) and not all(x.is_ready() for x in jax.tree.leaves(self.pending[-1][1]))

    def lower_rate(self, state: TrainState) -> TrainState:
        """Multiplies the rate by `optimizer.decay` from here on."""
        scale = np.float32(self.rate_scale * self.run.config.optimizer.decay)
        self.rate_scale = float(scale)
        return state.replace(rate_scale=place(self.run.mesh, scale))  # type: ignore[attr-defined]  # flax adds it

    def settle(self, left: int, quiet: int = -1) -> None:
        """Fetches the metrics of dispatched calls until `left` remain, then writes one log line if one is due.

        The caller writes the line of step `quiet`, with its held-out loss.
        """
        step = int(self.meter.logged["step"])
        while len(self.pending) > left:
            step, *found = self.pending.popleft()
            metrics, flag, shown = jax.device_get(found)
            pairs = {k: np.array([float(x) for x in pair]) for k, pair in metrics.items()}
            if not np.isfinite(pairs["loss"][0]):
                raise Diverged(self.advice(step))
            self.meter.add(pairs, None if shown is None else (float(shown[0]), float(shown[1])))
            self.stopping = max(self.stopping, int(flag))
        if step != quiet and self.meter.due(step, self.run.config.log.every_steps):
            self.write_log(step, {})

    def write_log(self, step: int, held: Mapping[str, float]) -> None:
        """One log line for the time since the one before."""
        self.log.write(*self.meter.read(step, self.rate_scale, held))

    def advice(self, step: int, what: str = "loss is") -> str:
        """The message for a run that diverged."""
        newest = self.checkpoints.latest_step()
        good = "no checkpoint was saved before" if newest is None else f"the last good checkpoint is step {newest:,}"
        state = self.run.programs.state
        tries = advice.against_divergence(
            self.run.config.optimizer, rows=bool(state.row_state), dense=set(state.params) > set(state.row_state)
        )
        return f"the {what} not finite by step {step:,}; {good}. In a new --workdir, try {tries}"

    def save(self, step: int, state: TrainState, block: bool) -> None:
        """Starts a checkpoint; metrics up to it must be settled. Raises Diverged rather than save a diverged state."""
        if not all_finite(state):  # the last step's loss is that of the parameters before it
            raise Diverged(self.advice(step, "parameters are"))
        # On a trunk none is the best: which of its steps a run saves depends on where it began.
        loss = self.held.get("loss") if self.held_step == step > self.trunk else None
        if loss is not None and math.isfinite(loss) and (self.best is None or loss < self.best[0]):
            self.best = loss, step
        meta = self.fixed | self.meter.to_meta() | {"held": self.held, "best": self.best}
        meta |= {
            "threads": threads(self.run.mesh),
            "kernel": self.run.kernel,
            "plateau": self.plateau.to_meta(),
            "reached": step == self.stop_step < self.run.stop_step,
            "config": to_dict(self.run.config),
            "stop_step": self.run.stop_step,
            "log": self.log.digest,
            "shared": self.shared and self.shared._asdict(),
            "continued_from": self.begun and self.begun._asdict(),
        }
        self.log.sync()
        self.checkpoints.save(step, state, meta, loss, block)


def train(
    config: Config,
    workdir: Path,
    profile: tuple[int, int] | None = None,
    say: Say = tell,
    trunks: Sequence[Path] = (),
) -> dict[str, Any]:
    """Trains `config` in `workdir`, continues an interrupted run there, or returns a finished run's result.

    Args:
      workdir: the run folder. Gets config.json, metrics.jsonl, TensorBoard events, checkpoints/, vectors and
        result.json, which holds the returned result.
      profile: (first, last) step to trace into `workdir/profile`.
      say: takes lines about the corpus and about a finished run.
      trunks: folders of runs from which a new run of schedule wsd may begin, see `w2v_jax.train.trunk`.

    Raises:
      UserError, OSError: bad input, or a failed write; nothing half-written stays.
      Interrupted: a signal came during training; the state is saved.
      Diverged: the loss is not finite.
    """
    done = folder.open_run(workdir, config)
    family = MODELS[config.family]
    if done is not None:
        folder.check_text(workdir, config, family, done.get("corpus_digest"), say)
        say(f"{workdir} holds this run, finished")
        if profile is not None:
            say("warning: --profile_steps: a finished run makes no step that could be traced; use a new --workdir")
        return done
    if config.train.start and not has_checkpoint(workdir):
        continued.check(config, workdir)
    if family.fit is not None:
        if profile is not None:
            say(f"warning: --profile_steps: family {config.family} makes no steps that could be traced")
        return fitting.fit(family, config, workdir, say)
    run = prepare(config, say)
    passes = run.stop_step / run.source.steps_per_epoch
    with folder.opened(workdir, config, run.stop_step, passes, trunk.end(run) or None) as (checkpoints, log):
        trainer = Trainer(run, workdir, checkpoints, log, trunks)
        state = trainer.fit(profile)
        folder.tell_gone(checkpoints, run.stop_step if trainer.best is None else trainer.best[1])
        if warning := advice.wrecked(trainer.held.get("loss"), run.baseline.get("unigram_loss")):
            log.note(warning)
    matrices: dict[str, Any] = {}
    if family.embed is not None:
        # One by one: jit returns a dict sorted, and the main matrix must stay first.
        matrices = {
            k: fetch(run.mesh, v) for k, v in family.vectors(run.programs.cfg, state.params, run.consts).items()
        }
    parts = None
    if family.subwords is not None:
        parts = family.subwords(run.programs.cfg, {name: fetch(run.mesh, x) for name, x in state.params.items()})
    rows = None
    if family.documents is not None:
        table = fetch(run.mesh, state.params[family.documents.table])
        rows = table[: run.corpus.train.documents]
    result = folder.finish(workdir, run.corpus, matrices, summary(trainer), parts, rows)
    if trainer.stopping:  # whoever trains several models must not go on to the next
        raise Interrupted(trainer.stop_step, trainer.stopping)
    return result


def summary(trainer: Trainer) -> dict[str, Any]:
    """The result of a finished run."""
    run, meter = trainer.run, trainer.meter
    own = {
        "steps": trainer.stop_step,
        "passes": trainer.stop_step / run.source.steps_per_epoch,
        "words": meter.total["words"],
        "loss": meter.loss,
        "heldout_loss": trainer.held.get("loss"),
        "heldout_accuracy": trainer.held.get("correct"),
        "best_heldout_loss": trainer.best and trainer.best[0],
        "best_heldout_step": trainer.best and trainer.best[1],
        **{f"heldout_{name}": value for name, value in run.baseline.items()},
        **meter.summary(),
        **({"shared": trainer.shared._asdict()} if trainer.shared else {}),
        **({"continued_from": trainer.begun._asdict()} if trainer.begun else {}),
    }
    return {"family": run.config.family, **own, "kernel": run.kernel, **folder.about(run.config, run.corpus)}
