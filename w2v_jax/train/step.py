"""The one training step, for every model: sparse rows and dense leaves, jitted over a mesh or mapped by device.

The loss is differentiated by (dense leaves, gathered rows). optax updates the former; the row optimiser scatters the
latter into donated tables, so that a sampled loss never has a dense gradient of a table. Losses are additive over rows,
so gradients are summed over devices and over the microbatches of `train.accumulate` before the one update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from w2v_jax.config import Config
from w2v_jax.train import optimizers, rows
from w2v_jax.train.gradients import accumulate, count_rows, gather_rows, gradients, with_row
from w2v_jax.train.sharding import batch_sharding, check_divides, replicated, shard_tree
from w2v_jax.types import Array, Batch, Consts, Family, Metrics, Params


@flax.struct.dataclass
class TrainState:
    """Everything a step changes, and so everything a checkpoint holds."""

    step: Array  # int32
    params: Params
    row_state: dict[str, dict[str, Array]]  # of the row optimiser, by table
    opt_state: Any  # of optax, over the leaves that are not sparse tables
    carry: Any  # of the model; split over devices as the batch is
    rate_scale: Array  # float32, multiplies the scheduled rate; the loop lowers it under the plateau schedule


def sparse_tables(spec: Family, cfg: Any, consts: Consts, batch_size: int) -> tuple[str, ...]:
    """Names of the tables that `spec.trained.rows` asks to be updated by rows."""

    def ids(consts: Consts, batch: Batch) -> dict[str, Array]:
        return spec.trained.rows(cfg, consts, with_row(batch), jax.random.key(0))[0]

    return tuple(sorted(jax.eval_shape(ids, consts, dict(spec.trained.shapes(cfg, batch_size)))))


def init_state(spec: Family, config: Config, cfg: Any, consts: Consts, total_steps: int) -> TrainState:
    """The state before the first step; a pure function of the config's seed."""
    params = spec.trained.init(jax.random.key(config.train.seed), cfg, consts)
    size = count_rows(spec.trained.shapes(cfg, config.train.batch_size))
    tables = sparse_tables(spec, cfg, consts, config.train.batch_size)
    dense = {k: v for k, v in params.items() if k not in tables}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        row_state={k: rows.init(config.optimizer.rows, params[k], config.optimizer.initial_square) for k in tables},
        opt_state=optimizers.dense(config.optimizer, spec.axes(cfg)).init(dense),
        carry=spec.trained.carry(cfg, size),
        rate_scale=jnp.ones((), jnp.float32),
    )


def state_sharding(spec: Family, cfg: Any, mesh: Mesh, state: TrainState, fsdp: bool = False) -> Any:
    """Shardings of a state (or of its shapes): params by their logical axes, what follows a leaf like the leaf, the
    carry by its batch axis, the first.

    Raises:
      UserError: the mesh does not divide a parameter.
    """
    params = shard_tree(mesh, spec.axes(cfg), fsdp)
    check_divides(params, state.params)
    by_name = {jax.tree_util.keystr(p): s for p, s in jax.tree_util.tree_flatten_with_path(params)[0]}

    def like_param(path: tuple[Any, ...], leaf: Any) -> Any:
        # Optimiser state repeats the params tree somewhere below its own: match by the end of the path, the longest
        # first, as the name of a leaf at the top may be that of one deeper down.
        name = jax.tree_util.keystr(path)
        for key, sharding in sorted(by_name.items(), key=lambda pair: -len(pair[0])):
            if name.endswith(key) and leaf.ndim == len(sharding.spec):
                return sharding
        return replicated(mesh)

    row_state = {
        table: {k: shard_tree(mesh, spec.axes(cfg)[table][: v.ndim], fsdp) for k, v in entry.items()}
        for table, entry in state.row_state.items()
    }
    return state.replace(  # type: ignore[attr-defined]  # flax adds it at run time
        step=replicated(mesh),
        params=params,
        row_state=row_state,
        opt_state=jax.tree_util.tree_map_with_path(like_param, state.opt_state),
        carry=jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec("data")), state.carry),
        rate_scale=replicated(mesh),
    )


def make_step(
    spec: Family,
    config: Config,
    cfg: Any,
    total_steps: int | optimizers.Horizon,
    axis: str | None = None,
    mesh: Mesh | None = None,
) -> Callable[[TrainState, Consts, Batch], tuple[TrainState, Metrics]]:
    """One step as a pure function of (state, consts, batch).

    Args:
      total_steps: of the run; or its horizon, where that is an argument of the program.
      axis: name of the mapped axis inside `shard_map`, where gradients and metrics are exchanged by hand; None under
        jit, where the partitioner does it.
      mesh: the devices that the partitioner splits rows and parameters over; None for one.

    Raises:
      UserError: from the step, when `train.accumulate` does not divide the rows of a device.
    """
    known = optimizers.horizon(config, total_steps) if isinstance(total_steps, int) else total_steps
    rate = optimizers.schedule_of(config, known)
    optimizer = optimizers.dense(config.optimizer, spec.axes(cfg))
    base = jax.random.key(config.train.seed + 1)
    parts, devices = config.train.accumulate, 1 if mesh is None else mesh.shape["data"]

    def kept(params: Params, fsdp: bool) -> Params:
        """How parameters, or their gradients, lie. Without it the partitioner would rather split the products' sums and
        send activations of the whole batch than gather weights."""
        if mesh is None or not config.mesh.fsdp:
            return params
        shardings = shard_tree(mesh, {k: spec.axes(cfg)[k] for k in params}, fsdp)
        return jax.lax.with_sharding_constraint(params, shardings)

    def gather(x: Array) -> Array:
        return jax.lax.all_gather(x, axis, tiled=True) if axis else x

    def total(tree: Any) -> Any:
        return jax.lax.psum(tree, axis) if axis else tree

    def step(state: TrainState, consts: Consts, batch: Batch) -> tuple[TrainState, Metrics]:
        # The same for every device and microbatch: a draw that belongs to a row folds in the row.
        rng = jax.random.fold_in(base, state.step)
        first = jax.lax.axis_index(axis) * count_rows(batch) if axis else 0
        batch = with_row(batch, first, jax.lax.axis_size(axis) if axis else 1)
        one = partial(gradients, spec, cfg, kept(state.params, fsdp=False), consts, rng)
        found = one(state.carry, batch) if parts == 1 else accumulate(one, state.carry, batch, parts, devices)
        now = rate(state.step) * state.rate_scale
        dense = {k: v for k, v in state.params.items() if k not in found.rows}
        updates, opt_state = optimizer.update(kept(total(found.dense), fsdp=True), state.opt_state, dense)
        params: Params = dict(optax.apply_updates(dense, jax.tree.map(lambda u: -now * u, updates)))
        row_state = {}
        for table, (ids, grads) in found.rows.items():
            params[table], row_state[table] = rows.update(
                config.optimizer.rows,
                state.params[table],
                state.row_state[table],
                gather(ids),
                gather(grads),
                now,
                config.optimizer.clip_row,
            )
        state = TrainState(state.step + 1, params, row_state, opt_state, found.carry, state.rate_scale)
        return state, total(found.metrics)

    return step


def make_call(
    spec: Family, config: Config, cfg: Any, total_steps: int | None, mesh: Mesh, state: TrainState, consts: Consts
) -> Any:
    """Compiles many steps into one device call: (state, consts, batches, count, stop) -> (state, metrics, stop).

    `batches` are stacked [steps_per_call, ...], of which the first `count` are made, so that a short last call compiles
    nothing new. `metrics` are summed over the call. `stop` is a flag a device, and comes back as the largest of them:
    every process then reads the same answer for the same step. The state is donated. Without `total_steps` the call has
    a last argument, the run's `optimizers.Horizon`, so that runs of all lengths share it; on one device only.
    """

    def run(step: Callable[..., Any], state: TrainState, consts: Consts, batches: Batch, count: Array) -> Any:
        first = jax.tree.map(lambda x: x[0], batches)
        shapes = jax.eval_shape(step, state, consts, first)[1]
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def body(i: Array, held: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            batch = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), batches)
            state, metrics = step(held[0], consts, batch)
            return state, jax.tree.map(jnp.add, held[1], metrics)

        return jax.lax.fori_loop(0, count, body, (state, zeros))

    shardings = state_sharding(spec, cfg, mesh, state, config.mesh.fsdp)
    whole, split = replicated(mesh), batch_sharding(mesh)
    fixed = jax.tree.map(lambda _: whole, consts)
    if config.mesh.per_device:
        assert total_steps is not None
        local = make_step(spec, config, cfg, total_steps, axis="data")
        everywhere, by_batch = PartitionSpec(), PartitionSpec(None, "data")
        by_leaf = jax.tree.map(lambda s: s.spec, shardings)

        def inner(state: TrainState, consts: Consts, batches: Batch, count: Array, stop: Array) -> Any:
            state, metrics = run(local, state, consts, batches, count)
            return state, metrics, jax.lax.pmax(stop.max(), ("data", "model"))

        # check_vma off: gradients then stay local and are summed once, explicitly, in make_step.
        call = jax.shard_map(
            inner,
            mesh=mesh,
            in_specs=(by_leaf, everywhere, by_batch, everywhere, PartitionSpec(("data", "model"))),
            out_specs=(by_leaf, everywhere, everywhere),
            check_vma=False,
        )
    else:

        def call(
            state: TrainState, consts: Consts, batches: Batch, count: Array, stop: Array, *lengths: optimizers.Horizon
        ) -> Any:
            step = make_step(spec, config, cfg, lengths[0] if total_steps is None else total_steps, mesh=mesh)
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # `row_parts` asks for it
                state, metrics = run(step, state, consts, batches, count)
            return state, metrics, stop.max()

    flags = NamedSharding(mesh, PartitionSpec(("data", "model")))
    given = (shardings, fixed, {k: split for k in spec.trained.shapes(cfg, config.train.batch_size)}, whole, flags)
    return jax.jit(
        call,
        in_shardings=given if total_steps is not None else (*given, whole),
        out_shardings=(shardings, whole, whole),
        donate_argnums=(0,),
    )


def make_eval(spec: Family, cfg: Any) -> Callable[[Params, Consts, Mapping[str, Array], Array], Metrics]:
    """Metrics of stacked batches without any update: (params, consts, batches, first step) -> summed metrics.

    What the model carries goes from one batch to the next, from `spec.trained.carry` on. Draws are the same at every
    evaluation, so that held-out losses of one run can be compared.
    """

    @jax.jit
    def evaluate(params: Params, consts: Consts, batches: Batch, start: Array) -> Metrics:
        def one(held: tuple[Array, Any], batch: Batch) -> tuple[tuple[Array, Any], Metrics]:
            step, carry = held
            rng = jax.random.fold_in(jax.random.key(0), step)
            ids, batch = spec.trained.rows(cfg, consts, with_row(batch), rng)
            given = params | gather_rows(params, ids)
            _, (carry, metrics) = spec.trained.loss(cfg, given, consts, carry, batch, None)
            return (step + 1, carry), metrics

        carry = spec.trained.carry(cfg, next(iter(batches.values())).shape[1])
        _, metrics = jax.lax.scan(one, (start, carry), dict(batches))
        return jax.tree.map(lambda x: x.sum(0), metrics)

    return evaluate
