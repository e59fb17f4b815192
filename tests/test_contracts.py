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

from tests.examples import (
    QUICK,
    batch_size_for,
    device_consts,
    quick,
    random_batch,
    random_params,
    trained_families,
    whole_logits,
    with_rows,
    words_of,
)
from w2v_jax.config import Config, DataConfig, OptimizerConfig, TrainConfig, freeze, to_dict
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train.gradients import gather_rows
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import make_call, stand_in
from w2v_jax.train.sharding import RULES, batch_sharding, make_mesh, shard_tree
from w2v_jax.train.step import init_state, state_sharding
from w2v_jax.types import Family

VOCAB, DEVICES, STACK = 50, 8, 6
LOWER = 0.85  # share of the first loss that overfitting one batch must reach


def _all() -> list[Any]:
    """Every example of every trained family; tests/test_fitted.py shows how fitted ones are tested."""
    found = [(family, i, e) for family, spec in trained_families().items() for i, e in enumerate(spec.examples)]
    return [pytest.param(family, e, id=f"{family}-{i}") for family, i, e in found]


EVERY = pytest.mark.parametrize(("family", "example"), _all())


def shape_of(tree: Any, is_leaf: Any = None) -> Any:
    """The tree without its leaves."""
    return jax.tree.structure(tree, is_leaf=is_leaf)


def named(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


def same(a: Any, b: Any, tolerance: float = 2e-5) -> None:
    """Equal trees, to float tolerance of each leaf's largest number."""
    assert shape_of(a) == shape_of(b)
    for name, x in named(a).items():
        y = np.asarray(named(b)[name])
        scale = max(1.0, float(np.abs(y).max(initial=0)))
        np.testing.assert_allclose(np.asarray(x), y, rtol=0, atol=tolerance * scale, err_msg=name)


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


def value_and_grads(spec: Family, cfg: Any, params: Any, consts: Any, batch: Any) -> Any:
    """((loss, metrics, dense gradients, row gradients), as the step takes them; (loss, metrics) evaluated)."""
    loss, dense, gathered = losses_of(spec, cfg, params, consts, batch)
    (value, metrics), grads = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(dense, gathered, draw_key())
    return (value, metrics, *grads), loss(dense, gathered, None)


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
    cfg = spec.resolve(spec.config(), VOCAB)
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
def test_loss_gradients_and_metrics(family: str, example: Any) -> None:
    """Shapes and names for every example; numbers, and the loss operation by operation, for the first of a family: that
    compiles each operation by itself, and the steps below try every example with numbers."""
    spec = MODELS[family]
    cfg = spec.resolve(example, VOCAB)
    consts = device_consts(spec, cfg, VOCAB)
    params = random_params(spec, cfg, consts, seed=1)
    batch = with_rows(random_batch(spec, cfg, batch_size_for(spec, cfg, 2), np.random.default_rng(2)))

    def run(params: Any, batch: Any) -> Any:
        return value_and_grads(spec, cfg, params, consts, batch)

    (value, metrics, *_), held = jax.eval_shape(run, params, batch)
    assert value.shape == held[0].shape == () and value.dtype == held[0].dtype == jnp.float32
    for total, count in metrics.values():
        assert total.shape == count.shape == () and total.dtype == count.dtype == jnp.float32
    assert {"loss", "words"} <= set(metrics)
    assert named(held[1]).keys() == named(metrics).keys(), "evaluation: no key to draw from"
    if example is not spec.examples[0]:
        return
    (value, metrics, dense, sparse), held = quick(run, params, batch)
    assert np.isfinite(value) and np.isfinite(held[0]) and float(metrics["loss"][1]) > 0
    for name, leaf in named((dense, sparse)).items():
        assert np.isfinite(leaf).all() and np.asarray(leaf).any(), f"{name} gets no gradient"
    loss, *parts = losses_of(spec, cfg, params, consts, jax.tree.map(jnp.asarray, batch))
    same(loss(*parts, draw_key()), (value, metrics))


def _decoding() -> list[Any]:
    """The examples that go token by token: all of such families but those that predict hidden tokens."""
    found = [p for p in _all() if MODELS[p.values[0]].decode is not None]
    return [p for p in found if MODELS[p.values[0]].encode.causal(p.values[1])]  # type: ignore[union-attr]


@pytest.mark.parametrize(("family", "example"), _decoding())
def test_token_by_token_is_the_whole_text(family: str, example: Any) -> None:
    """A prompt, then one by one; and what is kept weighs what `size` says."""
    spec = MODELS[family]
    assert spec.decode is not None
    decode, cfg, rows, length = spec.decode, spec.resolve(example, VOCAB), 2, 6
    consts = device_consts(spec, cfg, VOCAB)
    params = random_params(spec, cfg, consts, seed=1)
    tokens = jnp.asarray(np.random.default_rng(2).integers(0, VOCAB, (rows, length)), jnp.int32)
    assert (decode.context(cfg) or length) >= length

    def run(params: Any, tokens: Any) -> Any:
        weights, kept, found = decode.weights(cfg, params), decode.start(cfg, rows, length), []
        for cut in (slice(0, 4), slice(4, 5), slice(5, 6)):
            logits, kept = decode.step(cfg, weights, consts, kept, tokens[:, cut])
            found.append(logits)
        return jnp.stack(found, axis=1), whole_logits(spec, cfg, params, consts, tokens)

    found, whole = quick(run, params, tokens)
    assert found.dtype == jnp.float32
    same(found, whole[:, 3:])

    def weight(rows: int, capacity: int) -> int:
        kept = jax.eval_shape(lambda: decode.start(cfg, rows, capacity))
        return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(kept))

    fixed, each = decode.size(cfg)
    assert weight(5, 7) - weight(4, 7) == fixed + 7 * each and fixed + each > 0


@EVERY
def test_states_of_every_layer_by_token(family: str, example: Any) -> None:
    """Padding changes nothing within a text, a causal state nothing that follows, and each layer adds to the last."""
    spec = MODELS[family]
    assert spec.encode is not None
    encode, cfg = spec.encode, spec.resolve(example, VOCAB)
    consts = device_consts(spec, cfg, VOCAB)
    params = random_params(spec, cfg, consts, seed=1)
    rng = np.random.default_rng(2)
    tokens, lengths = rng.integers(0, VOCAB, (3, 6)).astype(np.int32), np.array([6, 4, 2], np.int32)
    other = np.where(np.arange(6)[None] < lengths[:, None], tokens, (tokens + 7) % VOCAB)  # beyond the end
    later = tokens.copy()
    later[:, 3] = (tokens[:, 3] + 1) % VOCAB
    full = np.full(3, 6, np.int32)

    def run(params: Any, *texts: Any) -> Any:
        lengths_of = (lengths, lengths, full, full)
        return [encode.states(cfg, params, consts, t, n) for t, n in zip(texts, lengths_of, strict=True)]

    first, padded, whole, moved = quick(run, params, tokens, other, tokens, later)
    assert len(first) == encode.layers(cfg) + 1
    assert all(x.shape[:2] == (3, 6) and x.ndim == 3 for x in first)
    for a, b in zip(first, padded, strict=True):
        for row, n in enumerate(lengths):
            np.testing.assert_allclose(a[row, :n], b[row, :n], atol=1e-5)
    assert not np.allclose(whole[-1][:, 3:], moved[-1][:, 3:])
    np.testing.assert_array_equal(whole[0][:, :3], moved[0][:, :3])
    before = [np.allclose(a[:, :3], b[:, :3], atol=1e-6) for a, b in zip(whole, moved, strict=True)]
    assert all(before) == (encode.causal(cfg) or len(first) == 1), before
    if encode.attention is not None:
        looks = quick(lambda p, t: encode.attention(cfg, p, consts, t, lengths), params, tokens)
        assert len(looks) == encode.layers(cfg)
        for look in looks:
            assert look.shape[0::2] == (3, 6) and look.shape[3] == 6 and look.dtype == jnp.float32
            np.testing.assert_allclose(np.asarray(look)[2, :, :2, :2].sum(-1), 1.0, rtol=1e-5)
    if spec.classify is not None:
        logits = quick(lambda p, t: spec.classify(cfg, p, consts, t, lengths), params, other)
        assert logits.shape == (3, cfg.classes) and np.isfinite(logits).all()


def compiled(family: str, example: Any, devices: int, overfit: bool) -> Any:
    """((state, metrics), losses by call on one batch, until one is low): STACK steps from random parameters.

    Every leaf of the parameters must have changed: Adagrad moves what has a gradient, and nothing else.
    """
    spec = MODELS[family]
    cfg = spec.resolve(example, VOCAB)
    train = TrainConfig(batch_size=batch_size_for(spec, cfg, DEVICES), steps_per_call=STACK)
    optimizer = OptimizerConfig(rows="adagrad", dense="adagrad", learning_rate=0.1)
    config = Config(family, example, train=train, optimizer=optimizer)
    consts = device_consts(spec, cfg, VOCAB)
    state = jax.device_get(init_state(spec, config, cfg, consts))
    start = jax.device_get(random_params(spec, cfg, consts, seed=4))
    state = dataclasses.replace(state, params=start)
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


@pytest.mark.parametrize("family", list(MODELS))
def test_source_delivers_what_the_batch_says(family: str, tmp_path: Path, fresh_cache: Path) -> None:
    text = tmp_path / "text.txt"
    rng = np.random.default_rng(6)
    words = np.array([a + b for a in "abcdefg" for b in "hijklmn"])
    lines = [" ".join(rng.choice(words, 40)) for _ in range(30)]
    spec = MODELS[family]
    example = spec.examples[0]
    if spec.classify is None:
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
