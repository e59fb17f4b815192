"""The training loop: one, for every model.

Calls to the device are dispatched ahead and their metrics fetched late, so that the host never stands between two of them.
Logs, held-out losses and checkpoints fall on call boundaries.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from w2v_jax.config import Config, to_dict
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train import folder
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.fingerprint import fingerprint
from w2v_jax.train.logs import Interval, RunLog
from w2v_jax.train.sharding import batch_sharding, make_mesh, replicated
from w2v_jax.train.step import TrainState, init_state, make_call, make_eval, state_sharding
from w2v_jax.types import Consts, HostBatch, ModelSpec, Source

IN_FLIGHT = 2  # calls dispatched beyond the one whose metrics are read


class Interrupted(Exception):
    """Training stopped by a signal after it saved; `.step` says where."""

    def __init__(self, step: int, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} at step {step}, saved")
        self.step, self.number = step, number


class Diverged(Exception):
    """The loss is not finite. The message names the step, the last good checkpoint and what to try."""


class Run(NamedTuple):
    """Everything that is fixed for a run."""

    config: Config
    spec: ModelSpec
    cfg: Any
    corpus: Corpus
    consts: Consts
    mesh: Mesh
    source: Source
    total_steps: int
    stop_step: int


def prepare(config: Config, say: Callable[[str], None]) -> Run:
    """Reads the corpus and builds what stays fixed. Raises UserError for a config that does not fit corpus or devices."""
    spec = MODELS[config.family]
    mesh = make_mesh(config.mesh)
    for name, entry in spec.batch(config.model, config.train.batch_size).items():
        if entry.shape[0] % mesh.shape["data"]:
            raise UserError(
                f"train.batch_size={config.train.batch_size}: makes {entry.shape[0]} rows of {name}, which do not divide "
                f"over mesh.data={mesh.shape['data']} devices"
            )
    corpus = build_corpus(config.data, say)
    cfg = spec.resolve(config.model, len(corpus.vocab.words))
    source = spec.source(cfg, corpus, "train", config.train.batch_size, config.train.seed)
    consts = jax.tree.map(lambda x: place(mesh, np.asarray(x)), spec.consts(cfg, corpus))
    total = max(1, math.ceil(config.train.passes * source.steps_per_epoch))
    stop = min(total, config.train.max_steps or total)
    return Run(config, spec, cfg, corpus, consts, mesh, source, total, stop)


def place(mesh: Mesh, value: np.ndarray) -> jax.Array:
    """The same array on every device of every process."""
    return jax.make_array_from_callback(value.shape, replicated(mesh), lambda index: value[index])


def send(run: Run, batches: HostBatch) -> dict[str, jax.Array]:
    """This process's part of stacked batches -> global arrays, without waiting for the copy."""
    sharding = batch_sharding(run.mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batches.items()}


class Held(NamedTuple):
    """Held-out text, read once and kept on the devices, and the function that scores it."""

    batches: dict[str, jax.Array] | None
    evaluate: Callable[..., Any]

    def loss(self, params: Any, consts: Consts) -> float | None:
        """Mean held-out loss, None without held-out text."""
        if self.batches is None:
            return None
        total, count = self.evaluate(params, consts, self.batches, jnp.int32(0))["loss"]
        return float(total) / max(float(count), 1.0)


def held_out(run: Run) -> Held:
    """Loads `log.eval_steps` batches of held-out text (0: all of it)."""
    evaluate = make_eval(run.spec, run.cfg)
    if run.corpus.heldout.documents == 0:
        return Held(None, evaluate)
    source = run.spec.source(run.cfg, run.corpus, "heldout", run.config.train.batch_size, run.config.train.seed)
    steps = min(source.steps_per_epoch, run.config.log.eval_steps or source.steps_per_epoch)
    batches = next(source.iterate(0, steps, steps))
    return Held({k: place(run.mesh, v) for k, v in batches.items()}, evaluate)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGTERM and SIGINT instead of dying of them; a second one of either acts as usual."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.signal(number, before[number])

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {n: signal.signal(n, note) for n in numbers}
    try:
        yield seen
    finally:
        for n in numbers:
            signal.signal(n, before[n])


class Trainer:
    """The mutable part of a run: state, clocks, metrics on their way. `train` is the entry."""

    def __init__(self, run: Run, workdir: Path, say: Callable[[str], None]) -> None:
        self.run, self.workdir, self.say = run, workdir, say
        make = jax.eval_shape(lambda c: init_state(run.spec, run.config, run.cfg, c, run.total_steps), run.consts)
        self.shardings = state_sharding(run.spec, run.cfg, run.mesh, make)
        self.target = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), make, self.shardings
        )
        self.pending: deque[tuple[int, Any, jax.Array]] = deque()
        self.interval = Interval()
        self.seconds, self.words, self.waited = 0.0, 0.0, 0.0  # of all training so far, resumed parts included
        self.logged = (0, 0.0, 0.0, 0.0)  # step, seconds, words, waited at the last log line
        self.held_loss: float | None = None
        self.stopping = 0

    def start(self, checkpoints: Checkpointer) -> TrainState:
        """The newest checkpoint's state, or a fresh one. Raises UserError for a checkpoint of another model or text."""
        run = self.run
        self.fixed = {"corpus": run.corpus.digest, "consts": fingerprint(run.consts)}
        found = checkpoints.restore(self.target)
        if found is None:
            init = jax.jit(
                lambda c: init_state(run.spec, run.config, run.cfg, c, run.total_steps), out_shardings=self.shardings
            )
            return init(run.consts)
        step, state, meta = found
        for key, value in self.fixed.items():
            if meta[key] != value:
                raise UserError(f"--workdir={self.workdir}: its checkpoint was trained on another {key}; use another workdir")
        self.seconds, self.words, self.waited = meta["seconds"], meta["words"], meta["waited"]
        self.held_loss = meta["held_loss"]
        self.logged = (step, self.seconds, self.words, self.waited)
        self.say(f"continuing at step {step:,} of {run.stop_step:,}")
        return state

    def compile(self, state: TrainState) -> Any:
        """Compiles the call ahead, so that its time is told apart; it can then never be compiled again."""
        run, stack = self.run, self.run.config.train.steps_per_call
        call = make_call(run.spec, run.config, run.cfg, run.total_steps, run.mesh, self.target, run.consts)
        sharding = batch_sharding(run.mesh)
        shapes = {
            k: jax.ShapeDtypeStruct((stack, *s.shape), s.dtype, sharding=sharding)
            for k, s in run.spec.batch(run.cfg, run.config.train.batch_size).items()
        }
        start = time.perf_counter()
        flags = jax.ShapeDtypeStruct((run.mesh.size,), jnp.int32)
        count = jax.ShapeDtypeStruct((), jnp.int32)
        compiled = call.lower(self.target, run.consts, shapes, count, flags).compile()  # type: ignore[attr-defined]
        self.compile_seconds = time.perf_counter() - start
        self.say(f"compiled in {self.compile_seconds:.1f} s")
        return compiled

    def settle(self, log: RunLog, down_to: int) -> None:
        """Fetches the metrics of dispatched calls until `down_to` are left, and writes log lines that fall due."""
        while len(self.pending) > down_to:
            step, metrics, flag = self.pending.popleft()
            sums = self.interval.add(metrics)
            self.seconds += self.lap()
            self.words += sums["words"][0]
            if not math.isfinite(sums["loss"][0]):
                raise Diverged(self.advice(step))
            self.stopping = max(self.stopping, int(flag))
            every = self.run.config.log.every_steps
            if step // every > self.logged[0] // every or step == self.run.stop_step:
                self.write_log(log, step)

    def lap(self) -> float:
        """Seconds since the last call of this method."""
        now = time.perf_counter()
        passed, self.clock = now - self.clock, now
        return passed

    def write_log(self, log: RunLog, step: int, **extra: Any) -> None:
        """One line of the run's log: the interval since the last one."""
        _, seconds, words, waited = self.logged
        took = max(self.seconds - seconds, 1e-9)
        means = {k: s / c for k, (s, c) in self.interval.flush().items() if k != "words" and c}
        run = self.run
        row = {
            "step": step,
            "pass": step / run.source.steps_per_epoch,
            **means,
            "heldout_loss": self.held_loss,
            "words_per_second": (self.words - words) / took,
            "data_wait": (self.waited - waited) / took,
            "seconds": self.seconds,
        }
        self.last = row
        self.logged = (step, self.seconds, self.words, self.waited)
        log.write(row)

    def advice(self, step: int) -> str:
        newest = self.checkpoints.latest_step()
        good = f"the last good checkpoint is step {newest}" if newest is not None else "no checkpoint was saved before"
        rate = self.run.config.optimizer.learning_rate
        return (
            f"the loss is not finite by step {step}; {good}. Try a new --workdir with optimizer.learning_rate below {rate:g}, "
            "optimizer.rows=adagrad, or optimizer.clip_row above 0"
        )

    def save(self, step: int, state: TrainState, block: bool = False) -> None:
        meta = self.fixed | {
            "seconds": self.seconds,
            "words": self.words,
            "waited": self.waited,
            "held_loss": self.held_loss,
            "config": to_dict(self.run.config),
        }
        self.checkpoints.save(step, state, meta, self.held_loss, block=block)

    def fit(self, checkpoints: Checkpointer, log: RunLog, profile: tuple[int, int] | None) -> TrainState:
        """Makes all remaining steps. Raises Interrupted after a signal, Diverged for a loss that is not finite."""
        run, train = self.run, self.run.config.train
        self.checkpoints = checkpoints
        state = self.start(checkpoints)
        step = int(state.step)
        log.truncate_after(step)
        held = held_out(run)
        every = run.config.log.eval_every_steps or run.source.steps_per_epoch
        compiled = self.compile(state) if step < run.stop_step else None
        batches = run.source.iterate(
            step, run.stop_step, train.steps_per_call, jax.process_index(), jax.process_count()
        )
        tracing = False
        with _signals() as seen:
            self.clock = time.perf_counter()
            while step < run.stop_step:
                start = time.perf_counter()
                stack = send(run, next(batches))
                self.waited += time.perf_counter() - start
                if profile and not tracing and step >= profile[0]:
                    jax.profiler.start_trace(str(self.workdir / "profile"))
                    tracing = True
                before, step = step, min(step + train.steps_per_call, run.stop_step)
                assert compiled is not None
                state, metrics, flag = compiled(state, run.consts, stack, np.int32(step - before), self.flags(seen))
                self.pending.append((step, metrics, flag))
                self.settle(log, IN_FLIGHT)
                evaluating = step // every > before // every
                saving = step // run.config.checkpoint.every_steps > before // run.config.checkpoint.every_steps
                profiled = profile is not None and tracing and step >= profile[1]
                if evaluating or saving or profiled or self.stopping or step == run.stop_step:
                    self.settle(log, 0)
                if profiled:
                    jax.profiler.stop_trace()
                    self.say(f"profile of steps {profile} in {self.workdir / 'profile'}")
                    profile, tracing = None, False
                if evaluating or step == run.stop_step:
                    self.held_loss = held.loss(state.params, run.consts)
                    self.lap()  # held-out scoring is no training time
                if self.stopping:
                    self.save(step, state, block=True)
                    raise Interrupted(step, self.stopping)
                if saving and step < run.stop_step:
                    self.save(step, state)
            self.save(step, state, block=True)
        return state

    def flags(self, seen: list[int]) -> jax.Array:
        """The signal this process has seen, if any, on each of its devices."""
        from jax.sharding import NamedSharding, PartitionSpec

        mesh = self.run.mesh
        sharding = NamedSharding(mesh, PartitionSpec(("data", "model")))
        value = np.full(1, seen[0] if seen else 0, np.int32)
        return jax.make_array_from_callback((mesh.size,), sharding, lambda _: value)


def train(
    config: Config,
    workdir: Path,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    profile: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Trains `config` in `workdir`, continues an interrupted run there, or returns a finished run's result.

    Args:
      config: the frozen config.
      workdir: the run folder; gets config.json, metrics.jsonl, TensorBoard events, checkpoints/, result.json and vectors.
      say: takes lines for people.
      profile: (first, last) step to trace into `workdir/profile`.

    Returns:
      The result that is also in result.json.

    Raises:
      UserError, OSError: bad input; nothing half-written stays.
      Interrupted: a signal came; the state is saved.
      Diverged: the loss is not finite.
    """
    done = folder.open_run(workdir, config)
    if done is not None:
        say(f"{workdir} is finished: nothing to do")
        return done
    run = prepare(config, say)
    lead = jax.process_index() == 0
    trainer = Trainer(run, workdir, say)
    with (
        Checkpointer(workdir / folder.CHECKPOINTS, keep=config.checkpoint.keep) as checkpoints,
        contextlib.closing(RunLog(workdir, tensorboard=config.log.tensorboard, total_steps=run.stop_step)) as log,
    ):
        state = trainer.fit(checkpoints, log, profile)
        best = checkpoints.best_step()
    result = {
        "family": config.family,
        "steps": run.stop_step,
        "passes": run.stop_step / run.source.steps_per_epoch,
        "words": trainer.words,
        "loss": getattr(trainer, "last", {}).get("loss"),
        "heldout_loss": trainer.held_loss,
        "best_step": best,
        "seconds": trainer.seconds,
        "words_per_second": trainer.words / max(trainer.seconds, 1e-9),
        "data_wait": trainer.waited / max(trainer.seconds, 1e-9),
        "vocabulary": len(run.corpus.vocab.words),
        "corpus": run.corpus.report,
        "seed": config.train.seed,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "jax": jax.__version__,
    }
    if run.spec.embed is not None:
        matrices = fetch(run.mesh, run.spec.embed(run.cfg, state.params))
        if lead:
            counts = np.asarray(run.corpus.vocab.counts)
            folder.export_vectors(workdir, tuple(run.corpus.vocab.words), counts, matrices)
    if lead:
        folder.write_json(workdir / folder.RESULT, result)  # last: its presence means that the run is finished
    return result


def fetch(mesh: Mesh, tree: Any) -> Any:
    """Global arrays -> numpy on every process."""
    whole = jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree)
    return jax.tree.map(lambda x: np.asarray(x.addressable_data(0)), whole)
