"""The one training step, for every model: sparse rows and dense leaves, jitted over a mesh or mapped by device.

The loss is differentiated by (dense leaves, gathered rows). optax updates the former; the row optimiser scatters the
latter into donated tables, so that a sampled loss never has a dense gradient of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from w2v_jax.config import Config
from w2v_jax.nn.apart import compute_apart
from w2v_jax.train import optimizers, rows
from w2v_jax.train.sharding import batch_sharding, replicated, shard_tree
from w2v_jax.types import Array, Batch, Consts, Metrics, ModelSpec, Params


@flax.struct.dataclass
class TrainState:
    """Everything a step changes, and so everything a checkpoint holds."""

    step: Array  # int32
    params: Params
    row_state: dict[str, dict[str, Array]]  # of the row optimiser, by table
    opt_state: Any  # of optax, over the leaves that are not sparse tables
    carry: Any


def sparse_tables(spec: ModelSpec, cfg: Any, consts: Consts, batch_size: int) -> tuple[str, ...]:
    """Names of the tables that `spec.rows` asks to be updated by rows."""
    batch = with_row(dict(spec.batch(cfg, batch_size)))
    ids, _ = jax.eval_shape(lambda c, b: spec.rows(cfg, c, b, jax.random.key(0)), consts, batch)
    return tuple(sorted(ids))


def with_row(batch: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch's shapes with the 'row' entry that the step adds."""
    size = next(iter(batch.values())).shape[0]
    return batch | {"row": jax.ShapeDtypeStruct((size,), jnp.int32)}


def gather_rows(params: Params, ids: dict[str, Array]) -> Params:
    """The rows of each table that `ids` names, [*ids.shape, D]."""

    def get(table: Array, index: Array) -> Array:
        return table.at[index].get(mode="promise_in_bounds")

    return {name: compute_apart(get, index, params[name], index) for name, index in ids.items()}


def init_state(spec: ModelSpec, config: Config, cfg: Any, consts: Consts, total_steps: int) -> TrainState:
    """The state before the first step; a pure function of the config's seed."""
    params = spec.init(jax.random.key(config.train.seed), cfg, consts)
    tables = sparse_tables(spec, cfg, consts, config.train.batch_size)
    dense = {k: v for k, v in params.items() if k not in tables}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        row_state={k: rows.init(config.optimizer.rows, params[k], config.optimizer.initial_square) for k in tables},
        opt_state=optimizers.dense(config.optimizer, total_steps).init(dense),
        carry=spec.carry(cfg, config.train.batch_size),
    )


def state_sharding(spec: ModelSpec, cfg: Any, mesh: Mesh, state: TrainState) -> Any:
    """Shardings of a state (or of its shapes): params by their logical axes, what follows a leaf like the leaf."""
    params = shard_tree(mesh, spec.axes(cfg))
    by_shape = {jax.tree_util.keystr(p): s for p, s in jax.tree_util.tree_flatten_with_path(params)[0]}

    def like_param(path: tuple[Any, ...], leaf: Any) -> Any:
        # Optimiser state repeats the params tree somewhere below its own: match by the end of the path.
        name = jax.tree_util.keystr(path)
        for key, sharding in by_shape.items():
            if name.endswith(key) and leaf.ndim == len(sharding.spec):
                return sharding
        return replicated(mesh)

    row_state = {
        table: {k: shard_tree(mesh, spec.axes(cfg)[table][: v.ndim]) for k, v in entry.items()}
        for table, entry in state.row_state.items()
    }
    return state.replace(  # type: ignore[attr-defined]  # flax adds it at run time
        step=replicated(mesh),
        params=params,
        row_state=row_state,
        opt_state=jax.tree_util.tree_map_with_path(like_param, state.opt_state),
        carry=jax.tree.map(lambda _: replicated(mesh), state.carry),
    )


def make_step(
    spec: ModelSpec, config: Config, cfg: Any, total_steps: int, axis: str | None = None
) -> Callable[[TrainState, Consts, Batch], tuple[TrainState, Metrics]]:
    """One step as a pure function of (state, consts, batch).

    Args:
      axis: name of the mapped axis inside `shard_map`, where gradients and metrics are exchanged by hand; None under
      jit,
        where the partitioner does it.
    """
    rate = optimizers.schedule(config.optimizer, total_steps)
    optimizer = optimizers.dense(config.optimizer, total_steps)
    base = jax.random.key(config.train.seed + 1)

    def gather(x: Array) -> Array:
        return jax.lax.all_gather(x, axis, tiled=True) if axis else x

    def total(tree: Any) -> Any:
        return jax.lax.psum(tree, axis) if axis else tree

    def step(state: TrainState, consts: Consts, batch: Batch) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(base, state.step)
        size = next(iter(batch.values())).shape[0]
        offset = jax.lax.axis_index(axis) * size if axis else 0
        batch = batch | {"row": offset + jnp.arange(size, dtype=jnp.int32)}
        ids, batch = spec.rows(cfg, consts, batch, rng)
        gathered = gather_rows(state.params, ids)
        dense = {k: v for k, v in state.params.items() if k not in ids}

        def loss(dense: Params, gathered: Params) -> tuple[Array, tuple[Any, Metrics]]:
            return spec.loss(cfg, dense | gathered, consts, state.carry, batch, rng)

        grads, (carry, metrics) = jax.grad(loss, argnums=(0, 1), has_aux=True)(dense, gathered)
        updates, opt_state = optimizer.update(total(grads[0]), state.opt_state, dense)
        params: Params = dict(optax.apply_updates(dense, updates))
        row_state = {}
        for table, index in ids.items():
            flat = gather(grads[1][table].reshape(index.size, -1))
            params[table], row_state[table] = rows.update(
                config.optimizer.rows,
                state.params[table],
                state.row_state[table],
                gather(index.reshape(-1)),
                flat,
                rate(state.step),
                config.optimizer.clip_row,
            )
        state = TrainState(state.step + 1, params, row_state, opt_state, carry)
        return state, total(metrics)

    return step


def make_call(
    spec: ModelSpec, config: Config, cfg: Any, total_steps: int, mesh: Mesh, state: TrainState, consts: Consts
) -> Any:
    """Compiles many steps into one device call: (state, consts, batches, count, stop) -> (state, metrics, stop).

    `batches` are stacked [steps_per_call, ...], of which the first `count` are made, so that a short last call compiles
    nothing new. `metrics` are summed over the call. `stop` is a flag a device, and comes back as the largest of them:
    every process then reads the same answer for the same step. The state is donated.
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

    shardings = state_sharding(spec, cfg, mesh, state)
    whole, split = replicated(mesh), batch_sharding(mesh)
    fixed = jax.tree.map(lambda _: whole, consts)
    if config.mesh.per_device:
        local = make_step(spec, config, cfg, total_steps, axis="data")
        everywhere, by_batch = PartitionSpec(), PartitionSpec(None, "data")

        def inner(state: TrainState, consts: Consts, batches: Batch, count: Array, stop: Array) -> Any:
            state, metrics = run(local, state, consts, batches, count)
            return state, metrics, jax.lax.pmax(stop.max(), ("data", "model"))

        # check_vma off: gradients then stay local and are summed once, explicitly, in make_step.
        call = jax.shard_map(
            inner,
            mesh=mesh,
            in_specs=(everywhere, everywhere, by_batch, everywhere, PartitionSpec(("data", "model"))),
            out_specs=(everywhere, everywhere, everywhere),
            check_vma=False,
        )
    else:
        step = make_step(spec, config, cfg, total_steps)

        def call(state: TrainState, consts: Consts, batches: Batch, count: Array, stop: Array) -> Any:
            state, metrics = run(step, state, consts, batches, count)
            return state, metrics, stop.max()

    flags = jax.sharding.NamedSharding(mesh, PartitionSpec(("data", "model")))
    return jax.jit(
        call,
        in_shardings=(shardings, fixed, {k: split for k in spec.batch(cfg, config.train.batch_size)}, whole, flags),
        out_shardings=(shardings, whole, whole),
        donate_argnums=(0,),
    )


def make_eval(spec: ModelSpec, cfg: Any) -> Callable[[Params, Consts, Mapping[str, Array], Array], Metrics]:
    """Metrics of stacked batches without any update: (params, consts, batches, first step) -> summed metrics.

    Draws are the same at every evaluation, so that held-out losses of one run can be compared.
    """

    @jax.jit
    def evaluate(params: Params, consts: Consts, batches: Batch, start: Array) -> Metrics:
        def one(held: Array, batch: Batch) -> tuple[Array, Metrics]:
            size = next(iter(batch.values())).shape[0]
            rng = jax.random.fold_in(jax.random.key(0), held)
            ids, batch = spec.rows(cfg, consts, batch | {"row": jnp.arange(size, dtype=jnp.int32)}, rng)
            given = params | gather_rows(params, ids)
            _, (_, metrics) = spec.loss(cfg, given, consts, spec.carry(cfg, size), batch, None)
            return held + 1, metrics

        _, metrics = jax.lax.scan(one, start, dict(batches))
        return jax.tree.map(lambda x: x.sum(0), metrics)

    return evaluate
