"""One set of programs for training, evaluation and preflight: what each device computes, and for which platform."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests import commands
from tests.examples import QUICK, random_batch, random_params, trained_families
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.generation import text_keys
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.nn.sampling import Sampling
from w2v_jax.train import programs as made
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import Programs, make_call, programs, stand_in

pytestmark = pytest.mark.xdist_group("programs")

VOCAB, ROWS, BATCHES, HORIZON = 50, 24, 2, Horizon(1000, 100)
MODEL = TransformerConfig(layers=2, dim=16, heads=4, length=6, head_chunk=16, init_scale=0.1)


def config_of(mesh: MeshConfig | None = None, model: Any = MODEL, family: str = "transformer") -> Config:
    train = TrainConfig(batch_size=ROWS, steps_per_call=BATCHES)
    return Config(family, model, train=train, optimizer=OptimizerConfig(dense="adamw"), mesh=mesh or MeshConfig())


def of(mesh: MeshConfig, devices: int, **change: Any) -> Programs:
    config = config_of(mesh, dataclasses.replace(MODEL, **change))
    return programs(config, stand_in(config, VOCAB), jax.devices()[:devices])


def test_a_loss_within_the_batch_is_never_taken_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    family = MODELS["transformer"]
    train = family.trained._replace(additive=lambda cfg: False)
    monkeypatch.setitem(MODELS, "transformer", family._replace(train=train))
    config = config_of(MeshConfig(data=2))
    programs(config, stand_in(config, VOCAB), jax.devices()[:2])
    split = dataclasses.replace(config, train=dataclasses.replace(config.train, accumulate=2))
    for wrong, key in (
        (split, "train.accumulate=2"),
        (config_of(MeshConfig(data=2, per_device=True)), "mesh.per_device"),
    ):
        with pytest.raises(UserError, match=f"{key}.*the loss of transformer compares"):
            programs(wrong, stand_in(wrong, VOCAB), jax.devices()[:2])


def test_the_states_of_a_model_are_those_of_one_device_and_text_is_written_with_them() -> None:
    """States on one device and on 8 under full sharding; then greedy text, each token the likeliest after the last."""
    alone, spread = of(MeshConfig(), 1), of(MeshConfig(fsdp=True), 8)
    params = random_params(alone.spec, alone.cfg, alone.consts, seed=0)
    tokens = np.random.default_rng(1).integers(0, VOCAB, (8, 5)).astype(np.int32)
    lengths = np.full(8, 5, np.int32)
    found = []
    for on in (alone, spread):
        held = jax.device_put(params, jax.tree.map(lambda x: x.sharding, on.state.params))
        run = on.applied.states.lower(held, on.consts, tokens, lengths).compile(compiler_options=QUICK)
        found.append(jax.device_get(run(held, on.consts, tokens, lengths)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    weights, encode = alone.applied.weights(params), alone.spec.encode
    assert encode is not None and encode.logits is not None
    logits, kept = alone.applied.prefill(2, 6)(weights, alone.consts, tokens[0])
    last = encode.logits(alone.cfg, params, found[0][-1])[0, -1]
    np.testing.assert_allclose(logits, last, atol=1e-4)
    written = alone.applied.write(Sampling(temperature=0.0), 1, None)
    texts = written(weights, alone.consts, kept, logits, text_keys(0, 2))
    assert np.asarray(texts.tokens).tolist() == [[int(last.argmax())]] * 2


@functools.cache
def evaluated(mesh: MeshConfig, devices: int) -> tuple[dict[str, float], str]:
    """(the metrics of held-out batches with padding in them, the compiled text)."""
    on = of(mesh, devices)
    rng = np.random.default_rng(1)
    steps = [random_batch(on.spec, on.cfg, ROWS, rng) for _ in range(BATCHES)]
    batches = {k: np.stack([s[k] for s in steps]) for k in steps[0]}
    batches["targets"][-1, 5:] = -1  # the held-out text ends within a batch
    params = random_params(on.spec, on.cfg, on.consts, seed=0)
    params = jax.device_put(params, jax.tree.map(lambda x: x.sharding, on.state.params))
    compiled = on.evaluate(BATCHES).lower().compile(compiler_options=QUICK)
    found = jax.device_get(compiled(params, on.consts, batches, jnp.int32(0)))
    return {name: float(total) / float(count) for name, (total, count) in found.items()}, compiled.as_text()


@pytest.mark.parametrize(
    ("mesh", "attention"),
    [(MeshConfig(), "3,4,6,6"), (MeshConfig(fsdp=True), "3,4,6,6"), (MeshConfig(model=2), "6,2,6,6")],
    ids=["data", "fsdp", "model"],
)
def test_held_out_scoring_is_split_over_the_devices(mesh: MeshConfig, attention: str) -> None:
    """Attention is [rows, heads, T, T]: each device holds that of its own rows, and gathered weights are whole."""
    want, whole = evaluated(MeshConfig(), 1)
    got, text = evaluated(mesh, 8)
    assert got == pytest.approx(want, rel=2e-5)
    assert f"f32[{ROWS},4,6,6]" in whole and f"f32[{attention}]" in text and f"f32[{ROWS}," not in text
    if mesh.fsdp:
        assert "all-gather" in text and "f32[2,16,64]" in text, "weights are gathered, activations stay"


def test_the_platform_is_that_of_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are unrolled on CPUs and looped over elsewhere, whatever machine compiles."""

    def loops(platform: str, attention: str) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(made, "platform_of", lambda mesh: platform)
            on = of(MeshConfig(), 1, dtype="bfloat16", dim=32)
        assert on.cfg.attention == attention
        traced = on.evaluate(1).function.trace(*on.evaluate(1).arguments)
        return str(traced.lower(lowering_platforms=("tpu",)).as_text()).count("stablehlo.while")

    assert loops("tpu", "xla") > loops("cpu", "xla")
    with monkeypatch.context() as patch:
        patch.setattr(made, "platform_of", lambda mesh: "gpu")
        assert of(MeshConfig(), 1, dtype="bfloat16", dim=32).cfg.attention == "cudnn"
        assert of(MeshConfig(), 1, dim=32).cfg.attention == "xla", "cuDNN's kernel takes 16-bit numbers only"
        assert of(MeshConfig(), 1, loop="unrolled").cfg.loop == "unrolled", "what the config states stays"


def test_no_model_asks_for_the_platform_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> str:
        raise AssertionError("asked for the host's platform")

    monkeypatch.setattr(jax, "default_backend", never)
    for family, spec in trained_families().items():
        for example in (spec.examples[0], spec.examples[-1]):
            config = config_of(model=example, family=family)
            on = programs(config, stand_in(config, VOCAB), jax.devices()[:1])
            for program in (on.train(HORIZON), on.evaluate(1), on.start()):
                program.function.trace(*program.arguments)


@pytest.mark.parametrize(
    ("family", "model", "size", "keys"),
    [
        ("word2vec", Word2VecConfig(segment=4, dim=8), 16, "train.batch_size=16, model.segment=4: makes 4 rows"),
        ("transformer", MODEL, 12, "train.batch_size=12: makes 12 rows"),
    ],
)
def test_rows_that_do_not_divide_name_the_keys(family: str, model: Any, size: int, keys: str) -> None:
    config = dataclasses.replace(config_of(model=model, family=family), train=TrainConfig(batch_size=size))
    with pytest.raises(UserError) as caught:
        programs(config, stand_in(config, VOCAB))
    assert str(caught.value) == f"{keys} a batch, which do not divide over mesh.data=8 devices"


@pytest.mark.parametrize("per_device", [False, True])
def test_the_length_of_a_run_may_be_an_argument(per_device: bool) -> None:
    """One program for all lengths makes the steps of one that holds its length; another length makes others."""
    on = of(MeshConfig(data=1, per_device=per_device), 1, layers=1)
    assert on.takes_horizon
    rng = np.random.default_rng(2)
    steps = [random_batch(on.spec, on.cfg, ROWS, rng) for _ in range(BATCHES)]
    given = ({k: np.stack([s[k] for s in steps]) for k in steps[0]}, np.int32(2), np.zeros(1, np.int32))
    start = jax.device_get(on.start().lower().compile(compiler_options=QUICK)({}))

    def params(made: Any, *last: Any) -> Any:
        return jax.device_get(made(jax.device_put(start), {}, *given, *last)[0].params)

    shared = on.train(HORIZON).lower().compile(compiler_options=QUICK)
    held = make_call(on.spec, on.config, on.cfg, Horizon(4, 4), on.mesh, on.state, {})
    want, length = params(held), jax.tree.map(np.int32, Horizon(4, 4))
    # Two programs, so two orders of sums, which Adam divides by the root of small squares.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), params(shared, length), want)
    other = params(shared, jax.tree.map(np.int32, HORIZON))
    assert np.abs(other["embed"] - want["embed"]).max() > 1e-3


# The compile cache


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Callable[[], set[str]]]:
    """A compile cache of its own; gives the names of the programs of a run in it."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    folder = tmp_path / "compiled"
    for name, value in zip(names, (str(folder), 0.0), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield lambda: {f.name for kind in ("call", "evaluate") for f in folder.glob(f"jit_{kind}-*-cache")}
    for name, value in zip(names, before, strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.mark.parametrize(
    "change",
    [{}, {"mesh__data": 4, "optimizer__schedule": "constant"}],
    ids=["one device, any length", "several CPU devices, no length"],
)
def test_the_run_finds_what_the_preflight_compiled(
    change: dict[str, Any], cache: Callable[[], set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "_exit", sys.exit)  # how a failing preflight ends: without waiting for anybody
    text = commands.text_of(60)
    (tmp_path / "text.txt").write_text(text)
    words = commands.training(tmp_path / "text.txt", tmp_path / "run", log__eval_steps=2, **change)
    vocabulary = len(commands.split_of(text)[1])
    done = commands.run("launch.preflight", *words, f"--vocab_size={vocabulary}")
    assert done.status == 0 and f"V = {vocabulary}" in done.out, done.out + done.err
    kept = cache()
    assert len(kept) == 2, "training and scoring"
    trained = commands.run("experiments.train", *words)
    assert trained.status == 0, trained.err
    assert cache() == kept, "nothing was compiled again"
