"""What is fixed before the first step: corpus, resolved config, constants, mesh, batches, held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from w2v_jax.config import Config
from w2v_jax.data.corpus import Corpus
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train import optimizers
from w2v_jax.train.gradients import check_accumulate
from w2v_jax.train.sharding import batch_sharding, make_mesh, replicated
from w2v_jax.train.step import TrainState, init_state, make_call, make_eval, state_sharding
from w2v_jax.types import Consts, Family, HostBatch, Params, Source, Words


class Run(NamedTuple):
    """Everything that stays fixed during a run."""

    config: Config
    spec: Family
    cfg: Any  # the family's config, resolved
    corpus: Corpus
    consts: Consts
    mesh: Mesh
    source: Source
    total_steps: int  # of the schedule
    stop_step: int  # where this run ends


def prepare(config: Config, say: Callable[[str], None]) -> Run:
    """Reads the corpus and builds what stays fixed.

    Raises:
      UserError: the config does not fit the corpus or the devices.
    """
    spec = MODELS[config.family]
    mesh = make_mesh(config.mesh)
    for name, entry in spec.trained.shapes(config.model, config.train.batch_size).items():
        if entry.shape[0] % mesh.shape["data"]:
            raise UserError(
                f"train.batch_size={config.train.batch_size}: makes {entry.shape[0]} rows of {name}, which do not "
                f"divide over mesh.data={mesh.shape['data']} devices"
            )
        check_accumulate(config.train.accumulate, entry.shape[0] // mesh.shape["data"])
    corpus = spec.text(config.model, config.data, say)
    check_same_text(corpus.digest)
    if config.optimizer.schedule == "plateau" and corpus.heldout.documents == 0:
        raise UserError("optimizer.schedule='plateau': needs held-out text; set data.heldout_every above 1")
    cfg = spec.resolve(config.model, len(corpus.vocab.words))
    source = spec.trained.source(cfg, corpus, "train", config.train.batch_size, config.train.seed)
    consts = jax.tree.map(
        lambda x: place(mesh, np.asarray(x)), spec.consts(cfg, Words(corpus.vocab.words, corpus.vocab.counts))
    )
    length = config.train.passes * source.steps_per_epoch
    if length >= 2**31:  # they are counted in 32 bits
        raise UserError(
            f"train.passes={config.train.passes:g}: makes {length:.3g} steps, of which 2**31 - 1 can be made"
        )
    total = max(1, math.ceil(length))
    return Run(config, spec, cfg, corpus, consts, mesh, source, total, min(total, config.train.max_steps or total))


def check_same_text(digest: str) -> None:
    """Raises UserError unless every process of the run has read the same text: another would hang in a collective."""
    if jax.process_count() > 1:
        mine = np.uint32(int(digest[:8], 16))
        if len({int(d) for d in multihost_utils.process_allgather(mine)}) > 1:
            raise UserError("data.source: the processes of this run read different texts; give all the same files")


def place(mesh: Mesh, value: np.ndarray) -> jax.Array:
    """The same array on every device of every process."""
    return jax.make_array_from_callback(value.shape, replicated(mesh), lambda index: value[index])


def fetch(mesh: Mesh, array: jax.Array) -> np.ndarray:
    """An array under any sharding -> numpy on every process."""
    whole = jax.jit(lambda x: x, out_shardings=replicated(mesh))(array)
    return np.asarray(whole.addressable_data(0))


def send(mesh: Mesh, batches: HostBatch) -> dict[str, jax.Array]:
    """This process's part of stacked batches -> global arrays, without waiting for the copy."""
    sharding = batch_sharding(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batches.items()}


def send_flag(mesh: Mesh, flag: int) -> jax.Array:
    """This process's number on each of its devices, int32 [devices]."""
    sharding = NamedSharding(mesh, PartitionSpec(("data", "model")))
    value = np.full(1, flag, np.int32)
    return jax.make_array_from_callback((mesh.size,), sharding, lambda _: value)


def fresh_state(run: Run) -> Callable[[Consts], TrainState]:
    """The initial state as a function of the constants, to be jitted or asked for its shapes."""
    return lambda consts: init_state(run.spec, run.config, run.cfg, consts, run.total_steps)


def state_target(run: Run) -> TrainState:
    """Shapes, dtypes and shardings of the train state."""
    shapes = jax.eval_shape(fresh_state(run), run.consts)
    shardings = state_sharding(run.spec, run.cfg, run.mesh, shapes, run.config.mesh.fsdp)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


@jax.jit
def _finite(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()


def all_finite(tree: Any) -> bool:
    """Whether no floating-point number in a tree of arrays is infinite or NaN."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return not leaves or bool(_finite(leaves))


def compile_call(run: Run, target: TrainState) -> Any:
    """Compiles the training call ahead of time, so that its cost is told apart and it can never be compiled again."""
    # On several CPU devices one more argument let two collectives start in another order on each, and wait for ever.
    shared = run.mesh.size == 1 and not run.config.mesh.per_device
    total = None if shared else run.total_steps
    call = make_call(run.spec, run.config, run.cfg, total, run.mesh, target, run.consts)
    stack, sharding = run.config.train.steps_per_call, batch_sharding(run.mesh)
    batches = {
        k: jax.ShapeDtypeStruct((stack, *s.shape), s.dtype, sharding=sharding)
        for k, s in run.spec.trained.shapes(run.cfg, run.config.train.batch_size).items()
    }
    number = jax.ShapeDtypeStruct((), jnp.int32)
    flags = jax.ShapeDtypeStruct((run.mesh.size,), jnp.int32)
    if not shared:
        return call.lower(target, run.consts, batches, number, flags).compile()
    lengths = jax.tree.map(np.int32, optimizers.horizon(run.config, run.total_steps))
    compiled = call.lower(target, run.consts, batches, number, flags, lengths).compile()
    return lambda *arguments: compiled(*arguments, lengths)


def held_out(run: Run) -> Callable[[Params], dict[str, float]]:
    """A function that scores params on `log.eval_steps` batches of held-out text (0: all), read once and kept on the
    devices.

    It returns the mean 'loss' and those of the family's other metrics, or {} without held-out text.
    """
    if run.corpus.heldout.documents == 0:
        return lambda params: {}
    train = run.config.train
    source = run.spec.trained.source(run.cfg, run.corpus, "heldout", train.batch_size, train.seed)
    steps = min(source.steps_per_epoch, run.config.log.eval_steps or source.steps_per_epoch)
    batches = {k: place(run.mesh, v) for k, v in next(source.iterate(0, steps, steps)).items()}
    evaluate = make_eval(run.spec, run.cfg)

    def score(params: Params) -> dict[str, float]:
        pairs = jax.device_get(evaluate(params, run.consts, batches, jnp.int32(0)))
        return {name: float(total) / max(float(count), 1.0) for name, (total, count) in pairs.items()}

    return score
