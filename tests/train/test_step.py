"""The training step: compiled once, donated, sparse, and the same on any mesh."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import QUICK, batch_size_for, device_consts, quick, random_batch, random_params, with_rows
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models.word2vec import FAMILY, Word2VecConfig
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import make_call, make_eval, programs, stand_in
from w2v_jax.train.sharding import make_mesh, shard_tree
from w2v_jax.train.step import NORMS, init_state, make_step, sparse_tables, state_sharding

pytestmark = pytest.mark.xdist_group("step")  # one worker: they share compiled steps

VOCAB, STACK = 50, 4
KINDS = {
    "negative": next(e for e in FAMILY.examples if (e.architecture, e.loss) == ("skipgram", "negative")),
    "hierarchical": next(e for e in FAMILY.examples if (e.architecture, e.loss) == ("cbow", "hierarchical")),
    "softmax": next(e for e in FAMILY.examples if (e.architecture, e.loss) == ("skipgram", "softmax")),
}
ROWS = {"negative": "adagrad", "hierarchical": "sgd", "softmax": "adagrad"}


def config_of(kind: str, mesh: MeshConfig | None = None, rows: str = "adagrad", dense: str = "adagrad") -> Config:
    """A run of small steps; its C is dense under the full softmax, and then has an optax state that is sharded too."""
    train = TrainConfig(batch_size=batch_size_for(FAMILY, KINDS[kind], 8), steps_per_call=STACK)
    optimizer = OptimizerConfig(rows=rows, dense=dense, learning_rate=0.05)
    return Config("word2vec", KINDS[kind], train=train, optimizer=optimizer, mesh=mesh or MeshConfig())


def start(config: Config) -> tuple[Any, Any, Any, dict[str, np.ndarray]]:
    """(cfg, consts, state on the host with random params, stacked batches on the host)."""
    cfg = FAMILY.resolve(config.model, VOCAB)
    consts = device_consts(FAMILY, cfg, VOCAB)
    state = init_state(FAMILY, config, cfg, consts)
    state = dataclasses.replace(state, params=random_params(FAMILY, cfg, consts, seed=1))
    rng = np.random.default_rng(2)
    steps = [random_batch(FAMILY, cfg, config.train.batch_size, rng) for _ in range(STACK)]
    return cfg, consts, jax.device_get(state), {k: np.stack([s[k] for s in steps]) for k in steps[0]}


def run(config: Config, devices: int, count: int = 3) -> tuple[Any, Any, Any]:
    """(call, state after `count` steps, metrics) from the same start on the first `devices` devices."""
    cfg, consts, state, batches = start(config)
    mesh = make_mesh(config.mesh, jax.devices()[:devices])
    call: Any = make_call(FAMILY, config, cfg, Horizon(10, 10), mesh, state, consts)
    state = jax.device_put(state, state_sharding(FAMILY, cfg, mesh, state))
    state, metrics, _ = call(state, consts, batches, np.int32(count), np.zeros(devices, np.int32))
    return call, state, metrics


@functools.cache
def alone(kind: str) -> tuple[Any, Any, Any]:
    """`run` on one device, in one piece."""
    return run(config_of(kind, rows=ROWS[kind]), 1)


@functools.cache
def one_step(kind: str, optimizer: str = "adagrad") -> Any:
    """The jitted step with one optimiser for rows and dense leaves."""
    config = config_of(kind, rows=optimizer, dense=optimizer)
    return jax.jit(make_step(FAMILY, config, FAMILY.resolve(config.model, VOCAB), Horizon(10, 10)))


def evaluation(spec: Any, config: Config, cfg: Any, mesh: Any, params: Any) -> Any:
    """The evaluation of one mesh."""
    shardings = shard_tree(mesh, spec.axes(cfg), config.mesh.fsdp)
    shapes = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), params, shardings)
    return make_eval(spec, config, cfg, mesh, shapes)


def agree(a: Any, b: Any) -> None:
    flat, tree = jax.tree_util.tree_flatten_with_path(a)
    other: Any = jax.tree.structure(b)
    assert other == tree
    for (path, x), y in zip(flat, jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        scale = max(1.0, float(np.abs(y).max()))
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-5 * scale, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize(
    ("kind", "meshes"),
    [
        ("negative", ["model=4", "per_device"]),
        ("hierarchical", ["model=2"]),
        ("softmax", ["model=8", "per_device"]),
    ],
)
def test_one_and_eight_devices_agree(kind: str, meshes: list[str]) -> None:
    """`test_contracts` has the mesh of `data` alone."""
    _, want, counted = alone(kind)
    _, _, before, _ = start(config_of(kind))
    assert all(np.abs(np.asarray(want.params[k]) - before.params[k]).max() > 1e-2 for k in "EC")
    for name in meshes:
        key, _, number = name.partition("=")
        size = int(number or 1)
        mesh = MeshConfig(per_device=True) if key == "per_device" else MeshConfig(model=size)
        _, state, metrics = run(config_of(kind, mesh, ROWS[kind]), 8)
        table = state.params["E"]
        assert table.sharding.shard_shape(table.shape)[0] == table.shape[0] // size, name
        agree((state, metrics), (want, counted))


def test_compiled_once_for_full_and_short_calls_and_donated() -> None:
    config = config_of("negative")
    cfg, consts, state, batches = start(config)
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    call, *_ = alone("negative")  # its own call is the first, of 3 steps
    state, done = jax.device_put(state, state_sharding(FAMILY, cfg, mesh, state)), 0
    for count, flag in ((STACK, 0), (1, 9), (0, 3)):
        before = jax.tree.leaves(state.params)
        state, metrics, stop = call(state, consts, batches, np.int32(count), np.full(1, flag, np.int32))
        done += count
        assert all(t.is_deleted() for t in before), "the tables of the call before are gone: no second copy"
        assert (int(state.step), int(stop)) == (done, flag)
        assert float(metrics["words"][0]) == batches["words"][:count].sum()
    assert call._cache_size() == 1


def test_a_short_call_makes_the_same_steps_as_plain_python() -> None:
    """`count` of the stacked steps, each exactly `make_step`, which draws by the step's number."""
    _, consts, state, batches = start(config_of("negative"))
    sums: Any = None
    for i in range(3):
        state, metrics = one_step("negative")(state, consts, {k: v[i] for k, v in batches.items()})
        sums = metrics if sums is None else jax.tree.map(jnp.add, sums, metrics)
    _, want, counted = alone("negative")
    agree((want, counted), (state, sums))


def test_without_jit_the_step_is_the_same() -> None:
    """Everything, the random draws included, run operation by operation, gradients and updates too."""
    config = config_of("negative", rows="sgd")
    cfg, consts, state, batches = start(config)
    batch = {k: v[0, :1] for k, v in batches.items()}
    step = make_step(FAMILY, config, cfg, Horizon(10, 10))
    want = quick(step, state, consts, batch)
    agree(step(jax.tree.map(jnp.asarray, state), consts, jax.tree.map(jnp.asarray, batch)), want)


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_empty_step_changes_no_table(kind: str) -> None:
    _, consts, state, batches = start(config_of(kind))
    empty = {k: np.full_like(v[0], -1 if k == "doc" else 0) for k, v in batches.items()}
    after, metrics = one_step(kind)(state, consts, empty)
    assert int(after.step) == 1
    for name, table in state.params.items():
        np.testing.assert_array_equal(after.params[name], table)
    assert [float(x) for x in (*metrics["loss"], metrics["words"][0])] == [0, 0, 0]


@pytest.mark.parametrize("kind", list(KINDS))
def test_padding_words_are_left_alone(kind: str) -> None:
    _, state, _ = alone(kind)
    *_, before, _ = start(config_of(kind))
    for name, table in before.params.items():
        assert (np.asarray(state.params[name])[:VOCAB] != table[:VOCAB]).any()
        np.testing.assert_array_equal(np.asarray(state.params[name])[VOCAB:], table[VOCAB:])


@pytest.mark.parametrize("kind", ["negative", "hierarchical"])
def test_no_dense_gradient_of_a_table(kind: str) -> None:
    """The compiled call holds each table once: nothing of its size is made, copied or kept beside the donated ones."""
    vocab = 20_000
    config = dataclasses.replace(config_of(kind), train=TrainConfig(batch_size=64, steps_per_call=2))
    cfg = FAMILY.resolve(config.model, vocab)
    lowered = programs(config, stand_in(config, vocab), jax.devices()[:1]).train(Horizon(10, 10)).lower()
    compiled = lowered.compile(compiler_options=QUICK)
    memory = compiled.memory_analysis()
    table = cfg.padded_vocab * cfg.dim * 4
    marks = 2 * 4 * cfg.padded_vocab  # a number for each row, in place of sorting
    assert memory.temp_size_in_bytes < table / 4 + marks
    assert memory.alias_size_in_bytes > 2 * table, "E and C are updated in place"
    shape = re.escape(f"f32[{cfg.padded_vocab},{cfg.dim}]")
    made = re.findall(rf"= {shape}\S* ([\w-]+)\(", compiled.as_text())
    assert "parameter" in made and not {"broadcast", "copy", "add", "constant", "select", "multiply"} & set(made)


def test_which_tables_are_sparse() -> None:
    cases = {"negative": ("C", "E"), "hierarchical": ("C", "E"), "softmax": ("E",)}
    for kind, tables in cases.items():
        config = config_of(kind)
        cfg, consts, state, _ = start(config)
        assert sparse_tables(FAMILY, cfg, consts, config.train.batch_size) == tables
        assert set(state.row_state) == set(tables)
        dense = [x.shape for x in jax.tree.leaves(state.opt_state) if x.ndim == 2]
        assert dense == ([(1024, 8)] if kind == "softmax" else [])


def test_accumulators_start_where_the_config_says() -> None:
    config = config_of("negative")
    config = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, initial_square=0.3))
    _, _, state, _ = start(config)
    assert all((entry["square"] == np.float32(0.3)).all() for entry in state.row_state.values())


def test_evaluation_repeats_itself_and_is_the_training_loss() -> None:
    config = config_of("negative")
    cfg, consts, state, batches = start(config)
    evaluate = evaluation(FAMILY, config, cfg, make_mesh(config.mesh, jax.devices()[:1]), state.params)
    first = evaluate(state.params, consts, batches, jnp.int32(0))
    agree(evaluate(state.params, consts, batches, jnp.int32(0)), first)
    assert float(first["words"][0]) == batches["words"].sum()

    def step_loss(params: Any, batch: Any, i: Any) -> Any:
        ids, drawn = FAMILY.trained.rows(cfg, consts, batch, jax.random.fold_in(jax.random.key(0), i))
        return FAMILY.trained.loss(cfg, params | {k: params[k][v] for k, v in ids.items()}, consts, {}, drawn, None)[1][
            1
        ]["loss"]

    one = jax.jit(step_loss)
    losses = [one(state.params, with_rows({k: v[i] for k, v in batches.items()}), i) for i in range(STACK)]
    np.testing.assert_allclose(first["loss"], np.sum(losses, axis=0), rtol=1e-5)


@pytest.mark.parametrize(("kind", "parts"), [("negative", 2), ("hierarchical", 4), ("softmax", 4)])
def test_microbatches_make_the_same_steps(kind: str, parts: int) -> None:
    """Sampled noise, sparse tables and a dense one."""
    config = config_of(kind, rows=ROWS[kind])
    _, want, counted = alone(kind)
    _, state, metrics = run(dataclasses.replace(config, train=with_parts(config, parts)), 1)
    agree((state, metrics), (want, counted))


def test_microbatches_on_two_devices_make_the_same_steps() -> None:
    _, want, counted = alone("negative")
    for mesh in (MeshConfig(data=2), MeshConfig(data=2, per_device=True)):
        config = config_of("negative", mesh)
        _, state, metrics = run(dataclasses.replace(config, train=with_parts(config, 4)), 2)
        agree((state, metrics), (want, counted))


def with_parts(config: Config, parts: int) -> TrainConfig:
    return dataclasses.replace(config.train, accumulate=parts)


@pytest.mark.parametrize("kind", ["negative", "softmax"])
def test_the_scale_of_the_rate_acts_on_rows_and_on_dense_leaves(kind: str) -> None:
    """A quarter of the scale is a quarter of the rate."""
    config = config_of(kind)
    cfg, consts, state, batches = start(config)
    batch = {k: v[0] for k, v in batches.items()}
    quarter = dataclasses.replace(state, rate_scale=np.float32(0.25))
    slow = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, learning_rate=0.0125))
    got, _ = one_step(kind)(quarter, consts, batch)
    want, _ = quick(make_step(FAMILY, slow, cfg, Horizon(10, 10)), state, consts, batch)
    assert float(got.rate_scale) == 0.25
    agree(got.params, want.params)
    assert all(np.abs(got.params[k] - state.params[k]).max() > 1e-3 for k in "EC")


@pytest.mark.parametrize(
    ("kind", "optimizer"), [*((kind, "adagrad") for kind in KINDS), ("negative", "sgd"), ("softmax", "sgd")]
)
def test_norms_of_a_step(kind: str, optimizer: str) -> None:
    """That of the update is the length of what really changed; that of plain gradients is it over the rate."""
    _, consts, state, batches = start(config_of(kind, rows=optimizer, dense=optimizer))
    after, metrics = one_step(kind, optimizer)(state, consts, {k: v[0] for k, v in batches.items()})
    moved = [np.asarray(after.params[k], np.float64) - state.params[k] for k in state.params]
    length = sum(float((x**2).sum()) for x in moved) ** 0.5
    assert float(metrics["update_norm"][0]) == pytest.approx(length, rel=1e-3) and length > 0
    assert [float(metrics[k][1]) for k in NORMS] == [1, 1]
    if optimizer == "sgd":
        assert float(metrics["grad_norm"][0]) == pytest.approx(length / 0.05, rel=1e-3)


def test_meshes() -> None:
    devices = jax.devices()
    assert dict(make_mesh(MeshConfig(), devices).shape) == {"data": 8, "model": 1}
    assert dict(make_mesh(MeshConfig(model=4), devices).shape) == {"data": 2, "model": 4}
    assert dict(make_mesh(MeshConfig(data=2), devices).shape) == {"data": 2, "model": 1}
    with pytest.raises(UserError, match="mesh.model=3: does not divide the 8 devices"):
        make_mesh(MeshConfig(model=3), devices)
    with pytest.raises(UserError, match="mesh.data=5 x mesh.model=2: there are 8 devices"):
        make_mesh(MeshConfig(data=5, model=2), devices)


def test_lowering_without_data_needs_the_vocabulary_size() -> None:
    config = Config("word2vec", Word2VecConfig(segment=8), train=TrainConfig(batch_size=8))
    with pytest.raises(UserError, match="model.vocab_size=0"):
        stand_in(config)
