"""The compiled functions of a run, for the mesh they are handed.

Training, held-out scoring, the preflight and benchmarks take their programs from here, and nothing else compiles a
training step. So the preflight compiles the programs of the run, and the run finds them in the compile cache. What
applies a model without training it stands in `w2v_jax.train.applied`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from w2v_jax import memory
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.models import MODELS
from w2v_jax.train.applied import Applied
from w2v_jax.train.device import place
from w2v_jax.train.gradients import check_accumulate, count_rows, gather_rows, with_row
from w2v_jax.train.kernel import native
from w2v_jax.train.optimizers import Horizon, schedule
from w2v_jax.train.sharding import batch_sharding, make_mesh, replicated
from w2v_jax.train.step import TrainState, init_state, laid_out, make_step, square_sum, state_sharding
from w2v_jax.types import Array, Batch, Consts, Metrics, Params, Words


class Program(NamedTuple):
    """A jitted function with the shapes, dtypes and shardings of its arguments."""

    function: Any
    arguments: tuple[Any, ...]

    def lower(self) -> Any:
        """A `jax.stages.Lowered`: its text can be read, and `.compile()` gives memory analysis and collectives."""
        return self.function.lower(*self.arguments)

    def compile(self) -> Any:
        """A `jax.stages.Compiled`: it can be called with arrays, and never compiles again."""
        return self.lower().compile()


@dataclasses.dataclass(frozen=True)
class Programs:
    """The programs of one run, and what they are made from."""

    spec: Family
    config: Config
    cfg: Any  # the family's config, with its sizes and the platform's choices filled in
    consts: Consts  # numpy arrays
    mesh: Mesh
    state: TrainState  # shapes, dtypes and shardings

    def start(self) -> Program:
        """(consts) -> the state before the first step."""
        shardings = jax.tree.map(lambda x: x.sharding, self.state)
        function = jax.jit(lambda consts: init_state(self.spec, self.config, self.cfg, consts), out_shardings=shardings)
        return Program(function, (self._shapes_of_consts(),))

    @property
    def takes_horizon(self) -> bool:
        """Whether the length of the run is an argument of `train`, so that runs of all lengths share one program.

        On several CPU devices the length is compiled in: with one more argument XLA started two collectives in
        different orders on different devices, which then waited for each other.
        """
        return self.mesh.size == 1 or platform_of(self.mesh) != "cpu"

    def train(self, horizon: Horizon) -> Program:
        """`train.steps_per_call` steps at a time: see `make_call`. `horizon` is used where `takes_horizon` is false."""
        known = None if self.takes_horizon else horizon
        function = make_call(self.spec, self.config, self.cfg, known, self.mesh, self.state, self.consts)
        number = self._whole((), np.int32)
        flags = jax.ShapeDtypeStruct((self.mesh.size,), jnp.int32)
        batches = self._shapes_of_batches(self.config.train.steps_per_call)
        arguments = (self.state, self._shapes_of_consts(), batches, number, flags)
        return Program(function, (*arguments, Horizon(number, number)) if self.takes_horizon else arguments)

    def training(self, horizon: Horizon, consts: Consts) -> Callable[[TrainState, Any, Any, Any], Any]:
        """`train`, compiled for `consts` on the devices: (state, batches, count, stop) -> (state, metrics, stop)."""
        compiled = self.train(horizon).compile()
        last = [jax.tree.map(lambda n: place(self.mesh, np.int32(n)), horizon)] if self.takes_horizon else []
        return lambda state, batches, count, stop: compiled(state, consts, batches, count, stop, *last)

    def evaluate(self, batches: int) -> Program:
        """(params, consts, `batches` stacked batches, number of the first) -> their metrics: see `make_eval`."""
        function = make_eval(self.spec, self.config, self.cfg, self.mesh, self.state.params)
        shapes = self._shapes_of_batches(batches)
        return Program(function, (self.state.params, self._shapes_of_consts(), shapes, self._whole((), np.int32)))

    @cached_property
    def applied(self) -> Applied:
        """The functions that apply the model: states, labels, losses of tokens, generated text."""
        return Applied(self.spec, self.cfg, self.mesh, self.config.mesh.fsdp)

    def logged(self, horizon: Horizon) -> Program:
        """(params, step) -> (the norm of the parameters, padding included; the scheduled rate): float32 scalars.

        On the device, right after a call: what the loop computed there later would wait for the calls in flight.
        """
        rate = schedule(self.config.optimizer, *horizon)
        function = jax.jit(
            lambda params, step: (jnp.sqrt(square_sum(params)), jnp.float32(rate(step))),
            out_shardings=replicated(self.mesh),
        )
        return Program(function, (self.state.params, self.state.step))

    def _whole(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=replicated(self.mesh))

    def _shapes_of_consts(self) -> Any:
        return jax.tree.map(lambda x: self._whole(x.shape, x.dtype), self.consts)

    def _shapes_of_batches(self, count: int) -> dict[str, Any]:
        split = batch_sharding(self.mesh)
        entries = self.spec.trained.shapes(self.cfg, self.config.train.batch_size)
        return {k: jax.ShapeDtypeStruct((count, *s.shape), s.dtype, sharding=split) for k, s in entries.items()}


def programs(config: Config, words: Words, devices: Sequence[jax.Device] | None = None) -> Programs:
    """The programs of a run, for all devices or for some, which may be descriptions of absent devices.

    `words` is the vocabulary, or `stand_in` without the text. UserError: the config does not fit the devices or the
    vocabulary.
    """
    spec, mesh = MODELS[config.family], make_mesh(config.mesh, devices)
    check_rows(spec, config, mesh)
    cfg = placed(spec, spec.resolve(config.model, len(words.counts)), platform_of(mesh))
    consts = spec.consts(cfg, words)
    shapes = jax.eval_shape(lambda consts: init_state(spec, config, cfg, consts), consts)
    shardings = state_sharding(spec, cfg, mesh, shapes, config.mesh.fsdp)
    state = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
    return Programs(spec, config, cfg, consts, mesh, state)


def platform_of(mesh: Mesh) -> str:
    """'cpu', 'gpu' or 'tpu': where the programs run, whatever machine compiles them."""
    return str(mesh.devices.flat[0].platform)


def placed(spec: Family, cfg: Any, platform: str) -> Any:
    """A family's config with its 'auto' choices made for a platform."""
    return spec.place(cfg, platform) if spec.place else cfg


def stand_in(config: Config, vocab_size: int = 0) -> Words:
    """Zipfian word counts for an unread text, V from the config or `vocab_size`. UserError: neither is set."""
    size = config.model.vocab_size or vocab_size
    if size < 0:
        raise UserError(f"a vocabulary of {size} tokens: must be 2 or more")
    if not size:
        raise UserError("model.vocab_size=0: the size of the vocabulary is not known without the text; state it")
    memory.require(f"a vocabulary of {size} tokens", {"its counts": 16 * size})
    return Words(None, np.maximum(1e7 / np.arange(1, size + 1), 5.0).astype(np.int64))


def check_rows(spec: Family, config: Config, mesh: Mesh) -> int:
    """Rows of a batch for each device along `data`.

    UserError: they do not divide over the devices, or over `train.accumulate`; the keys to change are named.
    """
    if spec.train is None:
        raise UserError(f"family={config.family!r}: is fitted in sweeps, so there is no training step to compile")
    size, data = config.train.batch_size, mesh.shape["data"]
    rows = count_rows(spec.trained.shapes(config.model, size))
    if rows % data:
        keys = ", ".join([f"train.batch_size={size}", *_keys_of_rows(spec, config, rows)])
        raise UserError(f"{keys}: makes {rows} rows a batch, which do not divide over mesh.data={data} devices")
    check_accumulate(config.train.accumulate, rows // data)
    if not spec.trained.additive(config.model):
        for key, value, need in (
            ("train.accumulate", config.train.accumulate, 1),
            ("mesh.per_device", config.mesh.per_device, False),
        ):
            if value != need:
                raise UserError(
                    f"{key}={value}: the loss of {config.family} compares all rows of a batch with one another, and "
                    f"parts of a batch would have another loss; use {key}={need}"
                )
    return rows // data


def _keys_of_rows(spec: Family, config: Config, rows: int) -> list[str]:
    """The model's options that the number of rows depends on, found by doubling each."""
    found = []
    for name, value in vars(config.model).items():
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        try:
            other = dataclasses.replace(config.model, **{name: 2 * value})
            if count_rows(spec.trained.shapes(other, 2 * config.train.batch_size)) != 2 * rows:
                found.append(f"model.{name}={value}")
        except UserError:  # an impossible value
            continue
    return found


def make_call(
    spec: Family, config: Config, cfg: Any, horizon: Horizon | None, mesh: Mesh, state: Any, consts: Consts
) -> Any:
    """Many steps in one device call: (state, consts, batches, count, stop) -> (state, metrics, stop).

    `batches` are stacked [steps_per_call, ...]; the call makes `count` steps, and a short last call compiles nothing
    new. `metrics` are summed over the call. `stop` holds a signal number per device, 0 for none; the call returns the
    largest, so that every process reads the same answer for the same step. The state is donated. Without `horizon` the
    call has a last argument, the run's `Horizon`.
    """

    def run(step: Callable[..., Any], state: TrainState, consts: Consts, batches: Batch, count: Array) -> Any:
        step = jax.jit(step, inline=True)  # traced once, for its shapes here and inside the loop
        first = jax.tree.map(lambda x: x[0], batches)
        shapes = jax.eval_shape(step, state, consts, first)[1]
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def body(i: Array, held: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            batch = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), batches)
            state, metrics = step(held[0], consts, batch)
            return state, jax.tree.map(jnp.add, held[1], metrics)

        return jax.lax.fori_loop(0, count, body, (state, zeros))

    shardings = state_sharding(spec, cfg, mesh, state, config.mesh.fsdp)
    by_kernels, _ = native(spec, config, cfg, mesh)
    whole, split, flags = replicated(mesh), batch_sharding(mesh), NamedSharding(mesh, PartitionSpec(("data", "model")))
    last = (whole,) if horizon is None else ()
    if config.mesh.per_device:
        everywhere, by_leaf = PartitionSpec(), jax.tree.map(lambda s: s.spec, shardings)

        def inner(state: TrainState, consts: Consts, batches: Batch, count: Array, stop: Array, *given: Horizon) -> Any:
            step = make_step(spec, config, cfg, horizon or given[0], axis="data", native=by_kernels)
            state, metrics = run(step, state, consts, batches, count)
            return state, metrics, jax.lax.pmax(stop.max(), ("data", "model"))

        # check_vma off: gradients then stay local and are summed once, explicitly, in make_step.
        call: Callable[..., Any] = jax.shard_map(
            inner,
            mesh=mesh,
            in_specs=(by_leaf, everywhere, split.spec, everywhere, flags.spec, *(everywhere for _ in last)),
            out_specs=(by_leaf, everywhere, everywhere),
            check_vma=False,
        )
    else:

        def call(state: TrainState, consts: Consts, batches: Batch, count: Array, stop: Array, *given: Horizon) -> Any:
            step = make_step(spec, config, cfg, horizon or given[0], mesh=mesh, native=by_kernels)
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # `row_parts` asks for it
                state, metrics = run(step, state, consts, batches, count)
            return state, metrics, stop.max()

    return jax.jit(
        call,
        in_shardings=(shardings, whole, split, whole, flags, *last),
        out_shardings=(shardings, whole, whole),
        donate_argnums=(0,),
    )


def make_eval(spec: Family, config: Config, cfg: Any, mesh: Mesh, params: Any) -> Any:
    """Metrics of stacked batches without any update: (params, consts, batches, first step) -> summed metrics.

    Rows are split over `data`, and fully sharded parameters are gathered, as in training; `params` are their shapes.
    The carry goes from batch to batch, from `Train.carry` on. Draws are the same at every evaluation, so that held-out
    losses of one run can be compared.
    """

    def evaluate(params: Params, consts: Consts, batches: Batch, start: Array) -> Metrics:
        params = laid_out(mesh if config.mesh.fsdp else None, spec.axes(cfg), params)

        def one(held: tuple[Array, Any], batch: Batch) -> tuple[tuple[Array, Any], Metrics]:
            step, carry = held
            rng = jax.random.fold_in(jax.random.key(0), step)
            ids, batch = spec.trained.rows(cfg, consts, with_row(batch), rng)
            given = params | gather_rows(params, ids)
            _, (carry, metrics) = spec.trained.loss(cfg, given, consts, carry, batch, None)
            return (step + 1, carry), metrics

        rows = NamedSharding(mesh, PartitionSpec("data"))
        carry = jax.lax.with_sharding_constraint(spec.trained.carry(cfg, next(iter(batches.values())).shape[1]), rows)
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh), jax.named_scope("evaluation"):
            _, metrics = jax.lax.scan(one, (start, carry), dict(batches))
        return jax.tree.map(lambda x: x.sum(0), metrics)

    whole, by_leaf = replicated(mesh), jax.tree.map(lambda x: x.sharding, params)
    return jax.jit(evaluate, in_shardings=(by_leaf, whole, batch_sharding(mesh), whole), out_shardings=whole)
