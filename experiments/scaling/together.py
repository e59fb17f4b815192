"""The runs of a study under several processes: large ones by all of them together, small ones packed, one a process.

A run is packed where the devices of one process can hold it and none waits long for it: with H processes it has at most
1.25 / H of the packed FLOPs. A run that cannot be split over all devices, say for a batch of few rows, is packed too.
Runs of one trunk count as one run.
"""

from __future__ import annotations

import io
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from experiments.scaling import execute
from experiments.scaling.execute import Text, tidy
from experiments.scaling.progress import Progress
from w2v_jax.errors import Interrupted, UserError
from w2v_jax.models import MODELS
from w2v_jax.scaling import records, study
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.study import Planned
from w2v_jax.train import world
from w2v_jax.train.estimate import check_memory
from w2v_jax.train.programs import check_rows
from w2v_jax.train.sharding import make_mesh

SHARES = 1.25  # of the packed FLOPs of a process, for one run at most


def apart(runs: Sequence[Planned]) -> list[list[Planned]]:
    """The runs to pack, for each process its own; [] for a lone process. Every process gets the same answer."""
    hosts = world.count()
    if hosts == 1:
        return []
    names = world.from_first(lambda: [run.name for run in packed(runs, hosts, jax.local_devices(), jax.devices())])
    chosen = [run for run in runs if run.name in names]
    return [study.shard(chosen, i, hosts) for i in range(hosts)] if chosen else []


def packed(
    runs: Sequence[Planned], hosts: int, own: Sequence[jax.Device], every: Sequence[jax.Device]
) -> list[Planned]:
    """The runs that one process each trains on its `own` devices; the others take the devices of `every` process."""
    able = sorted((g for g in study.trunks(runs) if all(_fits(run, own) for run in g)), key=study.cost_of)
    must = {id(g) for g in able if not all(_fits(run, every) for run in g)}
    while (
        able and id(able[-1]) not in must and study.cost_of(able[-1]) * hosts > SHARES * sum(map(study.cost_of, able))
    ):
        able.pop()
    return [run for group in able for run in group]


def _fits(run: Planned, devices: Sequence[jax.Device]) -> bool:
    """Whether these devices may train a run. Their memory is compared with the least that it needs."""
    spec = MODELS[run.config.family]
    try:
        mesh = make_mesh(run.config.mesh, devices)
        check_rows(spec, run.config, mesh)
        check_memory(spec, run.config, mesh)
    except UserError:
        return False
    return True


def train_packed(lists: Sequence[Sequence[Planned]], text: Text, workdir: Path, stem: str, keep: bool) -> None:
    """Each process trains its own of the `lists`, and then waits for the others.

    A signal, or an error, of one ends all: each saves the run that it trains. Raises as `execute`.
    """
    me, key = jax.process_index(), world.fresh("packed")
    try:
        with world.alone(), world.ended_together(key):
            train(lists[me], [], text, workdir, workdir / f"{stem}-host-{me}.jsonl", keep)
        world.meet(key)
    except BaseException as e:
        world.tell_stop(key, _number(e))
        raise


def _number(e: BaseException) -> int:
    """The signal that ended this process, to end the others with."""
    if isinstance(e, KeyboardInterrupt):
        return int(e.args[0] if e.args else signal.SIGINT)
    return e.number if isinstance(e, Interrupted) else signal.SIGTERM


def train(
    runs: Sequence[Planned], done: Sequence[Record], text: Text, workdir: Path, results: Path, keep: bool
) -> None:
    """Trains those of the `runs` that are not `done`, one after another; process 0 records them. Raises as `execute`.

    Process 0 alone uses `done`: the others give [], and only the runs that are to be trained.
    """
    first = world.index() == 0
    kept = records.read([results]) if first and results.exists() else []
    progress = Progress(runs, done, sys.stderr if first else io.StringIO())
    for run in list(progress.left.values()):
        progress.begin(run)
        started = time.perf_counter()
        record = execute.execute(run, text, workdir)
        if first:
            kept.append(record)
            records.write(results, kept)
            if not keep:
                tidy(run, record, [other for other in progress.left.values() if other.name != run.name], workdir)
        progress.end(run, record, time.perf_counter() - started)
