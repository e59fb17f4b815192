"""What every registered model keeps to, tried on each of its examples. A new model is tested by being registered.

One test compiles an example for one device and for eight, and looks at all that follows from it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.contracts import EVERY, VOCAB, named, same, shape_of
from tests.examples import (
    QUICK,
    batch_size_for,
    device_consts,
    quick,
    random_batch,
    random_params,
    trained_families,
    with_rows,
    words_of,
)
from w2v_jax.config import Config, DataConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.models import MODELS
from w2v_jax.recorded import freeze, to_dict
from w2v_jax.train.gradients import gather_rows
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import make_call, stand_in
from w2v_jax.train.sharding import RULES, batch_sharding, make_mesh, shard_tree
from w2v_jax.train.step import init_state, state_sharding

DEVICES, STACK = 8, 6
LOWER = 0.85  # share of the first loss that overfitting one batch must reach


def is_names(x: Any) -> bool:
    return x is None or isinstance(x, tuple)


def losses_of(spec: Family, cfg: Any, params: Any, consts: Any, batch: Any) -> Any:
    """(a function (dense leaves, gathered rows, rng) -> (loss, metrics), the two that the step hands to it)."""
    ids, drawn = spec.trained.rows(cfg, consts, batch, draw_key())
    size = len(batch["row"])
    dense, gathered = {k: v for k, v in params.items() if k not in ids}, gather_rows(params, ids)

    def loss(dense: Any, gathered: Any, rng: Any) -> Any:
        carry = spec.trained.carry(cfg, size)
        value, (after, metrics) = spec.trained.loss(cfg, dense | gathered, consts, carry, drawn, rng)
        assert shape_of(after) == shape_of(carry)
        return value, metrics

    return loss, dense, gathered


def draw_key() -> Any:
    """The key of every draw here; not made while the module is imported."""
    return jax.random.key(3)


@EVERY
def test_shapes_names_and_sizes(family: str, example: Any) -> None:
    spec = MODELS[family]
    assert isinstance(example, spec.config)
    assert freeze(to_dict(Config(family, example)), MODELS) == Config(family, example)
    cfg = spec.resolve(example, VOCAB)
    assert spec.resolve(cfg, VOCAB) == cfg and cfg.vocab_size == VOCAB
    size = batch_size_for(spec, cfg, DEVICES)
    entries = spec.trained.shapes(cfg, size)
    assert len({e.shape[0] for e in entries.values()}) == 1 and "row" not in entries
    consts = device_consts(spec, cfg, VOCAB)
    params = jax.eval_shape(lambda: spec.trained.init(jax.random.key(0), cfg, consts))
    axes = spec.axes(cfg)
    assert shape_of(axes, is_leaf=is_names) == shape_of(params)
    for names, leaf in zip(jax.tree.leaves(axes, is_leaf=is_names), jax.tree.leaves(params), strict=True):
        assert len(names or ()) in (0, leaf.ndim), f"{names} for {leaf.shape}"
        assert set(names or ()) - {None} <= set(RULES)
    flops, unit = spec.flops(cfg)
    assert flops > 0 and unit


@pytest.mark.parametrize("family", MODELS)
def test_another_number_of_tokens_is_refused(family: str) -> None:
    spec = MODELS[family]
    cfg = spec.resolve(spec.examples[0], VOCAB)
    with pytest.raises(UserError, match=f"model.vocab_size={VOCAB}: the text has 51 tokens; leave it at 0"):
        spec.resolve(cfg, VOCAB + 1)
    with pytest.raises(UserError, match="the vocabulary has 1 token"):
        spec.resolve(spec.config(), 1)


@EVERY
def test_start_is_finite_and_embeddings_are_of_real_words(family: str, example: Any) -> None:
    spec = MODELS[family]
    cfg = spec.resolve(example, VOCAB)
    consts = device_consts(spec, cfg, VOCAB)

    def init(seed: int) -> Any:
        return spec.trained.init(jax.random.key(seed), cfg, consts)

    params = init(0)
    same(params, init(0), tolerance=0)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))
    other = init(1)
    assert any((np.asarray(a) != b).any() for a, b in zip(*map(jax.tree.leaves, (params, other)), strict=True))
    if spec.embed:
        matrices = spec.embed(cfg, params)
        assert matrices and all(m.shape[0] == VOCAB and m.ndim == 2 for m in matrices.values())
        assert len({m.shape[1] for m in matrices.values()}) == 1
        assert np.asarray(next(iter(matrices.values()))).any(), "the main matrix is not all zero at the start"


@EVERY
def test_loss_and_metrics(family: str, example: Any) -> None:
    """Shapes and names for every example; numbers, and the loss operation by operation, for the first of a family: that
    compiles each operation by itself, and the steps below try every example with numbers and gradients."""
    spec = MODELS[family]
    cfg = spec.resolve(example, VOCAB)
    consts = device_consts(spec, cfg, VOCAB)
    params = random_params(spec, cfg, consts, seed=1)
    batch = with_rows(random_batch(spec, cfg, batch_size_for(spec, cfg, 2), np.random.default_rng(2)))

    def run(params: Any, batch: Any) -> Any:
        """(loss, metrics) of training and of evaluation."""
        loss, *parts = losses_of(spec, cfg, params, consts, batch)
        return loss(*parts, draw_key()), loss(*parts, None)

    (value, metrics), held = jax.eval_shape(run, params, batch)
    assert value.shape == held[0].shape == () and value.dtype == held[0].dtype == jnp.float32
    for total, count in metrics.values():
        assert total.shape == count.shape == () and total.dtype == count.dtype == jnp.float32
    assert {"loss", "words"} <= set(metrics)
    assert named(held[1]).keys() == named(metrics).keys(), "evaluation: no key to draw from"
    if example is not spec.examples[0]:
        return
    (value, metrics), held = quick(run, params, batch)
    assert np.isfinite(value) and np.isfinite(held[0]) and float(metrics["loss"][1]) > 0
    loss, *parts = losses_of(spec, cfg, params, consts, jax.tree.map(jnp.asarray, batch))
    same(loss(*parts, draw_key()), (value, metrics))


def compiled(family: str, example: Any, devices: int, overfit: bool) -> Any:
    """((state, metrics), losses by call on one batch, until one is low): STACK steps from random parameters.

    Every leaf of the parameters must have changed: Adagrad moves what has a gradient, and nothing else. The numbers are
    finite, as of a loss and gradients that are.
    """
    spec = MODELS[family]
    cfg = spec.resolve(example, VOCAB)
    train = TrainConfig(batch_size=batch_size_for(spec, cfg, DEVICES), steps_per_call=STACK)
    optimizer = OptimizerConfig(rows="adagrad", dense="adagrad", learning_rate=0.1)
    config = Config(family, example, train=train, optimizer=optimizer)
    consts = device_consts(spec, cfg, VOCAB)
    start = jax.device_get(random_params(spec, cfg, consts, seed=4))
    # Compiled as one, it does not draw the parameters that are replaced.
    begin = jax.jit(lambda params: dataclasses.replace(init_state(spec, config, cfg, consts), params=params))
    state = jax.device_get(begin(start))
    mesh = make_mesh(config.mesh, jax.devices()[:devices])
    call: Any = make_call(spec, config, cfg, Horizon(1000, 1000), mesh, state, consts)
    rng = np.random.default_rng(5)
    steps = [random_batch(spec, cfg, train.batch_size, rng) for _ in range(STACK)]
    batches = {k: np.stack([s[k] for s in steps]) for k in steps[0]}
    state = jax.device_put(state, state_sharding(spec, cfg, mesh, state))
    args = (consts, jax.device_put(batches, batch_sharding(mesh)), jnp.int32(STACK), jnp.zeros(devices, jnp.int32))
    made = call.lower(state, *args).compile(compiler_options=QUICK)
    state, metrics, _ = made(state, *args)
    result = jax.device_get((state, metrics))
    for name, leaf in named(result[0].params).items():
        assert np.isfinite(leaf).all() and (leaf != np.asarray(named(start)[name])).any(), f"{name} gets no gradient"
    again = []
    if overfit:
        one = {k: np.repeat(v[:1], STACK, axis=0) for k, v in batches.items()}
        while len(again) < 30 and (len(again) < 2 or again[-1] >= LOWER * again[0]):
            state, metrics, _ = made(state, consts, one, *args[2:])
            again.append(float(metrics["loss"][0]) / float(metrics["loss"][1]))
    return result, again


@EVERY
def test_one_device_is_eight_and_overfitting_lowers_the_loss(family: str, example: Any) -> None:
    alone, losses = compiled(family, example, 1, overfit=True)
    spread, _ = compiled(family, example, DEVICES, overfit=False)
    same(spread, alone, tolerance=5e-5)
    assert losses[-1] < LOWER * losses[0] and np.isfinite(losses).all(), losses


@pytest.mark.parametrize("family", list(trained_families()))
def test_source_delivers_what_the_batch_says(family: str, tmp_path: Path, fresh_cache: Path) -> None:
    text = tmp_path / "text.txt"
    rng = np.random.default_rng(6)
    words = np.array([a + b for a in "abcdefg" for b in "hijklmn"])
    lines = [" ".join(rng.choice(words, 40)) for _ in range(30)]
    spec = MODELS[family]
    example = spec.examples[0]
    if spec.compare is not None:
        text.write_text("".join(f"{i % 2}\t{line}\t{lines[i - 1]}\n" for i, line in enumerate(lines)))
        data = DataConfig(source=f"pairs:{text}", min_count=1)
    elif spec.classify is None:
        text.write_text("\n".join(lines) + "\n")
        data = DataConfig(source=f"text:{text}", min_count=1, heldout_every=10)
    else:
        text.write_text("".join(f"{i % 2}\t{line}\n" for i, line in enumerate(lines)))
        data = DataConfig(source=f"tsv:{text}", min_count=1)
    corpus = spec.text(example, data, print)
    cfg = spec.resolve(example, len(corpus.vocab.words))
    size = batch_size_for(spec, cfg, 2)
    for split in ("train", "heldout"):
        source = spec.trained.source(cfg, corpus, split, size, 7)
        promised = spec.trained.shapes(cfg, size)
        assert dict(source.spec) == promised
        stacks = list(source.iterate(0, 3, 2))
        assert len(stacks) == 2
        for stack in stacks:
            assert {k: (v.shape, v.dtype) for k, v in stack.items()} == {
                k: ((2, *s.shape), s.dtype) for k, s in promised.items()
            }
        halves = [list(source.iterate(0, 3, 2, process, 2)) for process in (0, 1)]
        for stack, *parts in zip(stacks, *halves, strict=True):
            for k in stack:
                np.testing.assert_array_equal(np.concatenate([p[k] for p in parts], axis=1), stack[k])
        (second,) = source.iterate(1, 2, 1)
        assert all((second[k][0] == stacks[0][k][1]).all() for k in second), "a step hangs on its number alone"


@EVERY
def test_params_can_be_split_over_any_mesh(family: str, example: Any) -> None:
    spec = MODELS[family]
    cfg = spec.resolve(example, VOCAB)
    consts = spec.consts(cfg, words_of(VOCAB))
    assert shape_of(consts) == shape_of(spec.consts(cfg, stand_in(Config(family, example), VOCAB)))
    params = jax.eval_shape(lambda: spec.trained.init(jax.random.key(0), cfg, consts))
    mesh = make_mesh(Config(family, example).mesh, jax.devices())
    wide = make_mesh(type(Config(family, example).mesh)(model=8), jax.devices())
    for on in (mesh, wide):
        for sharding, leaf in zip(
            jax.tree.leaves(shard_tree(on, spec.axes(cfg))), jax.tree.leaves(params), strict=True
        ):
            sharding.shard_shape(leaf.shape)  # raises where the devices do not divide the array
