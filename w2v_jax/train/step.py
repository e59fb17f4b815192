"""The one training step, for every model: sparse rows and dense leaves, jitted over a mesh or mapped by device.

The loss is differentiated by (dense leaves, gathered rows). optax updates the former; the row optimiser scatters the
latter into donated tables, so that a sampled loss never has a dense gradient of a table. Losses are additive over rows:
gradients are summed over devices and over the microbatches of `train.accumulate` before the one update.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from w2v_jax.config import Config
from w2v_jax.family import Family
from w2v_jax.train import optimizers, rows
from w2v_jax.train.gradients import accumulate, count_rows, gradients, with_row
from w2v_jax.train.sharding import check_divides, replicated, shard_tree
from w2v_jax.types import Array, Batch, Consts, Metrics, Params

# Metrics of every step: norms of the gradient before clipping and of the change of the parameters, both with the rows
# of sparse tables, summed by word first.
NORMS = ("grad_norm", "update_norm")


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes, and so the content of a checkpoint."""

    step: Array  # int32
    params: Params
    row_state: dict[str, dict[str, Array]]  # of the row optimiser, by table
    opt_state: Any  # of optax, over the leaves that are not sparse tables
    carry: Any  # of the model; split over devices as the batch is
    rate_scale: Array  # float32, multiplies the scheduled rate; the loop lowers it under the plateau schedule


def square_sum(tree: Any) -> Array:
    """Sum of the squares of all numbers in a tree of arrays, float32."""
    return sum((jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)), jnp.float32(0))


def sparse_tables(spec: Family, cfg: Any, consts: Consts, batch_size: int) -> tuple[str, ...]:
    """Names of the tables that are updated by rows, as `spec.trained.rows` names them."""

    def ids(consts: Consts, batch: Batch) -> dict[str, Array]:
        return spec.trained.rows(cfg, consts, with_row(batch), jax.random.key(0))[0]

    return tuple(sorted(jax.eval_shape(ids, consts, dict(spec.trained.shapes(cfg, batch_size)))))


def init_state(spec: Family, config: Config, cfg: Any, consts: Consts) -> TrainState:
    """The state before the first step; a pure function of the config's seed."""
    params = spec.trained.init(jax.random.key(config.train.seed), cfg, consts)
    size = count_rows(spec.trained.shapes(cfg, config.train.batch_size))
    tables = sparse_tables(spec, cfg, consts, config.train.batch_size)
    dense = {k: v for k, v in params.items() if k not in tables}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        row_state={k: rows.init(config.optimizer.rows, params[k], config.optimizer.initial_square) for k in tables},
        opt_state=optimizers.dense(config.optimizer, spec.axes(cfg), spec.rates(cfg)).init(dense),
        carry=spec.trained.carry(cfg, size),
        rate_scale=jnp.ones((), jnp.float32),
    )


def state_sharding(spec: Family, cfg: Any, mesh: Mesh, state: TrainState, fsdp: bool = False) -> Any:
    """Shardings of a state (or of its shapes): params by their logical axes, optimiser state like its leaf, the carry
    by its batch axis, the first. UserError: the mesh does not divide a parameter."""
    params = shard_tree(mesh, spec.axes(cfg), fsdp)
    check_divides(params, state.params)
    by_name = {jax.tree_util.keystr(p): s for p, s in jax.tree_util.tree_flatten_with_path(params)[0]}

    def like_param(path: tuple[Any, ...], leaf: Any) -> Any:
        # Optimiser state repeats the params tree somewhere inside: match by the end of the path, the longest first, as
        # a leaf at the top may have the name of a deeper one.
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


def laid_out(mesh: Mesh | None, axes: Any, params: Params, fsdp: bool = False) -> Params:
    """Parameters, or their gradients, in one of the two layouts of full sharding; unchanged where `mesh` is None.

    `fsdp` False: whole along `data`, so that split parameters are gathered for use. `fsdp` True: split along `data`, so
    that gradients are scattered to the devices that keep their parameters. Without this the partitioner would split the
    sums of products and send activations of the whole batch, instead of gathering weights. `axes` are the logical axis
    names of all parameters.
    """
    if mesh is None:
        return params
    return jax.lax.with_sharding_constraint(params, shard_tree(mesh, {k: axes[k] for k in params}, fsdp))


def make_step(
    spec: Family,
    config: Config,
    cfg: Any,
    horizon: optimizers.Horizon,
    axis: str | None = None,
    mesh: Mesh | None = None,
    native: bool = False,
) -> Callable[[TrainState, Consts, Batch], tuple[TrainState, Metrics]]:
    """One step as a pure function of (state, consts, batch), for a run of length `horizon`.

    Args:
      axis: the mapped axis inside `shard_map`, where the step itself sums gradients and metrics; None under jit, where
        the partitioner does.
      mesh: the devices over which the partitioner splits rows and parameters; None for one.
      native: gradients and updates of rows by kernels, as `w2v_jax.train.kernel` chooses.

    Raises:
      UserError: from the step, when `train.accumulate` does not divide the rows of a device.
    """
    rate = optimizers.schedule(config.optimizer, *horizon)
    axes, sharded = spec.axes(cfg), mesh if config.mesh.fsdp else None
    optimizer = optimizers.dense(config.optimizer, axes, spec.rates(cfg))
    base = jax.random.key(config.train.seed + 1)
    parts, devices = config.train.accumulate, 1 if mesh is None else mesh.shape["data"]

    def gather(x: Array) -> Array:
        """The rows of all devices. Left to itself the partitioner would add the rows of each device to zeros of the
        size of the table, and sum those over the devices."""
        if axis:
            return jax.lax.all_gather(x, axis, tiled=True)
        return x if mesh is None else jax.lax.with_sharding_constraint(x, replicated(mesh))

    def total(tree: Any) -> Any:
        return jax.lax.psum(tree, axis) if axis else tree

    def step(state: TrainState, consts: Consts, batch: Batch) -> tuple[TrainState, Metrics]:
        # The same for every device and microbatch: a draw for one row folds in the row.
        rng = jax.random.fold_in(base, state.step)
        first = jax.lax.axis_index(axis) * count_rows(batch) if axis else 0
        batch = with_row(batch, first, jax.lax.axis_size(axis) if axis else 1)
        one = partial(gradients, spec, cfg, laid_out(sharded, axes, state.params), consts, rng, native=native)
        found = one(state.carry, batch) if parts == 1 else accumulate(one, state.carry, batch, parts, devices)
        now = rate(state.step) * state.rate_scale
        dense = {k: v for k, v in state.params.items() if k not in found.rows}
        with jax.named_scope("optimizer"):
            grads = laid_out(sharded, axes, total(found.dense), fsdp=True)
            updates, opt_state = optimizer.update(grads, state.opt_state, dense)
            params: Params = dict(optax.apply_updates(dense, jax.tree.map(lambda u: -now * u, updates)))
            squares = [(square_sum(grads), now * now * square_sum(updates))]
        row_state = {}
        for table, (ids, by_row) in found.rows.items():
            with jax.named_scope(f"rows_{table}"):
                params[table], row_state[table], both = rows.update(
                    config.optimizer.rows,
                    state.params[table],
                    state.row_state[table],
                    gather(ids),
                    gather(by_row),
                    now,
                    config.optimizer.clip_row,
                    native,
                )
            squares.append(both)
        norms = {
            name: (jnp.sqrt(sum(square)), jnp.float32(1))
            for name, square in zip(NORMS, zip(*squares, strict=True), strict=True)
        }
        state = TrainState(state.step + 1, params, row_state, opt_state, found.carry, state.rate_scale)
        return state, total(found.metrics) | norms

    return step
