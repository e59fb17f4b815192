"""The kernels in C++: gradients as by XLA, the same bits on any number of threads, and runs where they are absent."""

from __future__ import annotations

import dataclasses
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import commands
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.word2vec import FAMILY, Word2VecConfig
from w2v_jax.nn import kernels
from w2v_jax.train import rows
from w2v_jax.train.gradients import gradients
from w2v_jax.train.kernel import VARIABLE, native
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import programs
from w2v_jax.train.sharding import make_mesh
from w2v_jax.types import Words

VOCAB, RATE = 150, np.float32(0.3)
# Sizes that no vector, tile or block divides; windows whose span needs one vector and more than one.
SIZES: dict[str, Any] = {"dim": 35, "segment": 20, "shared_negatives": 19, "vocab_size": VOCAB, "window": 5}
CASES = (
    {},
    {"window_draw": "sampled", "window": 9, "noise_every": 4},
    {"window_draw": "full", "dim": 100, "shared_negatives": 64, "window": 1},
    {"architecture": "cbow", "noise_every": 2},
    {"noise_dtype": "bfloat16"},
    {"noise_dtype": "bfloat16", "dim": 100, "shared_negatives": 64, "noise_every": 4},  # an odd number of centres
    {"noise_dtype": "bfloat16", "architecture": "cbow", "segment": 70, "dim": 150},
    {"gradient_dtype": "bfloat16"},
    {"gradient_dtype": "bfloat16", "window_draw": "sampled", "dim": 100, "noise_every": 4},
    {"gradient_dtype": "bfloat16", "architecture": "cbow", "segment": 70, "dim": 150},
    {"gradient_dtype": "bfloat16", "architecture": "cbow", "noise_dtype": "bfloat16", "window_draw": "full"},
    # Centres of several blocks wait for one product: an odd number at last, and blocks of which none is scored.
    {"architecture": "cbow", "segment": 140, "noise_every": 4, "dim": 150, "noise_dtype": "bfloat16"},
    {"segment": 140, "noise_every": 5, "dim": 150},
    {"segment": 60, "noise_every": 30, "dim": 150},
    {"architecture": "cbow", "context_gradient": "mean", "window_draw": "full", "window": 2, "dim": 16},
    {"loss": "hierarchical"},
    {"loss": "hierarchical", "window_draw": "sampled", "window": 9, "dim": 100},
    {"loss": "hierarchical", "segment": 64},  # more upper nodes than skip-gram scores against all vectors
    {"loss": "hierarchical", "architecture": "cbow", "segment": 64},
    {"loss": "hierarchical", "architecture": "cbow"},
    {"loss": "hierarchical", "architecture": "cbow", "context_gradient": "mean", "window": 2},
    {"loss": "hierarchical", "architecture": "cbow", "segment": 700},  # a row is a group
    {"loss": "hierarchical", "architecture": "cbow", "dim": 3, "vocab_size": 1024},  # up to the last rows
    {"loss": "hierarchical", "dim": 3},
    {"loss": "hierarchical", "architecture": "cbow", "dim": 150},  # more vectors of a row than stay in registers
    {"loss": "hierarchical", "vocab_size": 2},  # all nodes are upper ones
    {"loss": "hierarchical", "architecture": "cbow", "vocab_size": 2, "segment": 1},
)


@pytest.fixture(autouse=True)
def built() -> None:
    if kernels.missing():
        pytest.skip(f"the kernels cannot be compiled here: {kernels.missing()}")


def case(changes: dict[str, Any], count: int = 3) -> tuple[Word2VecConfig, Any, Any, Any]:
    """(cfg, params, consts, batch): random words in documents of random lengths, padding before them."""
    rng = np.random.default_rng(0)
    cfg = Word2VecConfig(**(SIZES | changes))
    consts = FAMILY.consts(cfg, Words(None, np.sort(rng.zipf(1.3, cfg.vocab_size).clip(5, 9999))[::-1]))
    wide = (count, cfg.segment + 2 * cfg.window)
    batch = {
        "tokens": rng.integers(0, cfg.vocab_size, wide),
        "doc": np.sort(rng.integers(-1, 3, wide), axis=1),
        "reach": rng.integers(1, cfg.window + 1, (count, cfg.segment)),
        "words": np.full(count, 30),
        "row": np.arange(count),
    }
    params = {k: 0.4 * rng.normal(size=(cfg.padded_vocab, cfg.dim)).astype(np.float32) for k in "EC"}
    params["E"][3] *= 100  # scores far from 0
    arrays = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), batch)
    return cfg, jax.tree.map(jnp.asarray, params), jax.tree.map(jnp.asarray, consts), arrays


def summed(cfg: Word2VecConfig, ids: Any, grads: Any) -> np.ndarray:
    """The dense gradient of a table; ids beyond it are left out."""
    out, ids = np.zeros((cfg.padded_vocab, cfg.dim)), np.asarray(ids)
    known = ids < cfg.padded_vocab
    np.add.at(out, ids[known], np.asarray(grads)[known, : cfg.dim])  # what follows is not used
    return out


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_gradients_are_those_of_the_loss(changes: dict[str, Any]) -> None:
    cfg, params, consts, batch = case(changes, count=17)  # groups of two rows share their nodes; the last has one
    if cfg.loss == "hierarchical":
        assert (consts["exit_signs"].shape[1] > 32) == (cfg.segment >= 64)
    key = jax.random.key(1)
    want, got = (
        jax.jit(lambda p, b, by=by: gradients(FAMILY, cfg, p, consts, key, {}, b, native=by))(params, batch)
        for by in (False, True)
    )
    for name in ("loss", "words"):
        np.testing.assert_allclose(got.metrics[name], want.metrics[name], rtol=2e-6)
    slack = 4e-6
    if cfg.noise_dtype == "bfloat16":  # a slope in the middle of two numbers of bfloat16 may go either way
        slack = 5e-4
    if cfg.gradient_dtype == "bfloat16":  # and so may a gradient
        slack = 5e-3
    for table in params:
        a, b = summed(cfg, *got.rows[table]), summed(cfg, *want.rows[table])
        assert np.abs(b).max() > 0.05
        np.testing.assert_allclose(a, b, atol=slack * np.abs(b).max(), rtol=1e-5)
        assert np.linalg.norm(a - b) < 3e-4 * np.linalg.norm(b)  # without rounding one of them: 1e-3
    if cfg.loss == "hierarchical":  # a node has one place in its group; the rest have no node
        each = 2 if cfg.segment < 700 else 1
        for places in np.array_split(np.asarray(got.rows["C"][0]).reshape(17, -1), range(each, 17, each)):
            ids, counts = np.unique(places, return_counts=True)
            assert (counts[ids < cfg.vocab_size - 1] == 1).all() and set(ids[counts > 1]) <= {cfg.padded_vocab}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("key", ["noise_dtype", "gradient_dtype"])
def test_bfloat16_is_near_float32(key: str, native: bool) -> None:
    """Three digits of a product or of a gradient are kept, and the errors of a sum do not add up."""
    found = []
    for dtype in ("float32", "bfloat16"):
        cfg, params, consts, batch = case({key: dtype, "dim": 100, "shared_negatives": 64}, count=17)
        params["E"] = params["E"].at[3].divide(100)
        made = jax.jit(
            lambda p, b, cfg=cfg, c=consts: gradients(FAMILY, cfg, p, c, jax.random.key(1), {}, b, native=native)
        )
        found.append(made(params, batch))
    for table in params:
        a, b = (summed(cfg, *each.rows[table]) for each in found)
        error = np.linalg.norm(b - a) / np.linalg.norm(a)
        assert 1e-5 < error < 3e-3
        np.testing.assert_allclose((a * b).sum() / (a * a).sum(), 1, atol=5e-4)


def test_rows_are_updated_as_by_xla() -> None:
    """With ids that repeat, and without those beyond the table, whose gradients are not numbers."""
    rng = np.random.default_rng(0)
    table, square = rng.normal(size=(60, 21)).astype(np.float32), np.full(60, 0.1, np.float32)
    ids = rng.integers(0, 70, 300).astype(np.int32)
    ids[40:240] = 65  # as the places that no node took
    grads = rng.normal(size=(300, 21)).astype(np.float32)
    known = ids < 60
    start = (jnp.asarray(table), {"square": jnp.asarray(square)})
    new, state, norms = rows.update("adagrad", *start, jnp.asarray(ids[known]), jnp.asarray(grads[known]), RATE)
    grads[~known] = np.nan
    again, other, sums = rows.update("adagrad", *start, jnp.asarray(ids), jnp.asarray(grads), RATE, native=True)
    np.testing.assert_allclose(again, new, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other["square"], state["square"], rtol=1e-5)
    np.testing.assert_allclose(sums, norms, rtol=1e-5)
    np.testing.assert_array_equal(start[0], table)  # not donated: a copy is changed


def run_of(cfg: Word2VecConfig, per_device: bool = False, devices: int = 1, **train: Any) -> Any:
    """The state after a call of several steps, and its metrics."""
    config = Config(
        "word2vec",
        cfg,
        train=TrainConfig(batch_size=8 * cfg.segment, steps_per_call=4, **train),
        optimizer=OptimizerConfig(learning_rate=0.1),
        mesh=MeshConfig(per_device=per_device),
    )
    _, _, consts, batch = case({**dataclasses.asdict(cfg)}, count=8)
    words = Words(None, np.arange(VOCAB, 0, -1) + 5)
    made = programs(config, words, jax.devices()[:devices])
    stack = {k: np.stack([np.roll(batch[k], i, axis=0) for i in range(4)]) for k in made._shapes_of_batches(4)}
    state = made.start().compile()(made.consts)
    call = made.training(Horizon(10, 10), made.consts)
    state, metrics, _ = call(state, stack, np.int32(4), np.zeros(devices, np.int32))
    return jax.tree.map(np.asarray, (state.params, state.row_state, metrics))


def close(a: Any, b: Any) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5), a, b)


def test_gradients_of_bfloat16_are_summed_in_float32() -> None:
    """As rows of float32 that hold the same numbers; 21 is no multiple of a vector."""
    rng = np.random.default_rng(0)
    table, square = jnp.asarray(rng.normal(size=(60, 21)), jnp.float32), jnp.full(60, 0.1)
    ids = jnp.asarray(rng.integers(0, 60, 300), jnp.int32)
    halves = jnp.asarray(rng.normal(size=(300, 21)), jnp.bfloat16)
    for grads in (halves, jnp.pad(halves, ((0, 0), (0, 11)), constant_values=np.nan)):
        got, want = (
            rows.update("adagrad", table, {"square": square}, ids, x, RATE, native=True)
            for x in (grads, grads.astype(jnp.float32))
        )
        jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("changes", [{"dim": 10}, {"dim": 10, "loss": "hierarchical"}], ids=str)
def test_training_by_kernels_is_that_of_xla(changes: dict[str, Any]) -> None:
    """Several steps in one call, in microbatches, and on 8 devices by shard_map."""
    cfg = Word2VecConfig(**(SIZES | changes))
    want = run_of(cfg, kernel="jax")
    close(run_of(cfg, kernel="native"), want)
    close(run_of(cfg, kernel="native", accumulate=2), want)
    close(run_of(cfg, kernel="native", per_device=True, devices=8), want)


def test_gradients_of_bfloat16_in_microbatches_and_on_devices() -> None:
    cfg = Word2VecConfig(**(SIZES | {"dim": 10, "gradient_dtype": "bfloat16"}))
    want = run_of(cfg, kernel="native")
    close(run_of(cfg, kernel="native", accumulate=2), want)
    close(run_of(cfg, kernel="native", per_device=True, devices=8), want)
    whole = run_of(dataclasses.replace(cfg, gradient_dtype="float32"), kernel="native")
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(want[0]), jax.tree.leaves(whole[0]), strict=True))


THREADS = """
import sys, jax, numpy as np
from tests.test_kernels import trained_both
np.savez(sys.argv[1], *jax.tree.leaves(trained_both()))
"""


def trained_both() -> list[Any]:
    """Runs by kernels with both losses."""
    return [run_of(Word2VecConfig(**(SIZES | {"loss": x})), kernel="native") for x in ("negative", "hierarchical")]


def test_bits_do_not_depend_on_threads(tmp_path: Path) -> None:
    """XLA's pool has NPROC threads: many in this process, one in the other."""
    path = tmp_path / "one.npz"
    environment = {**os.environ, "NPROC": "1"}
    subprocess.run([sys.executable, "-c", THREADS, str(path)], check=True, env=environment)
    assert int(os.environ["NPROC"]) > 1
    with np.load(path) as saved:
        alone = [saved[k] for k in saved]
    here = jax.tree.leaves(trained_both())
    assert len(here) == len(alone) > 8
    for a, b in zip(here, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def config_of(kernel: str = "native", family: str = "word2vec", **model: Any) -> Config:
    made = dataclasses.replace(MODELS[family].examples[0], **model)
    return Config(family, made, train=TrainConfig(kernel=kernel), optimizer=OptimizerConfig())


@pytest.mark.parametrize(
    ("config", "devices", "message"),
    [
        (config_of(loss="softmax"), 1, "word2vec has no kernels for this loss"),
        (config_of(family="subword"), 1, "subword has no kernels"),
        (config_of(), 8, "mesh.per_device=True, and the mesh has 8"),
        (dataclasses.replace(config_of(), optimizer=OptimizerConfig(rows="sgd")), 1, "optimizer.rows=sgd"),
    ],
)
def test_native_is_refused_in_one_line(config: Config, devices: int, message: str) -> None:
    mesh = make_mesh(config.mesh, jax.devices()[:devices])
    with pytest.raises(UserError, match=rf"train\.kernel=native: .*{message}.*; use auto or jax") as refused:
        native(MODELS[config.family], config, config.model, mesh)
    assert "\n" not in str(refused.value)
    auto = dataclasses.replace(config, train=TrainConfig(kernel="auto"))
    assert native(MODELS[config.family], auto, config.model, mesh) == (False, "")


def test_the_variable_takes_the_place_of_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of("auto")
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    for value, want in (("jax", False), ("native", True), ("auto", True), ("", True)):
        monkeypatch.setenv(VARIABLE, value)
        assert native(FAMILY, config, config.model, mesh) == (want, "")
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(UserError, match=f"{VARIABLE}='fast'"):
        native(FAMILY, config, config.model, mesh)


@pytest.mark.parametrize("compiler", ["absent", "broken"])
def test_without_a_compiler_xla_trains_and_says_so(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "kernels.cc:1: error: no such thing" >&2\nexit 1\n'
    )
    broken.chmod(stat.S_IRWXU)
    monkeypatch.setenv("CXX", str(broken) if compiler == "broken" else str(tmp_path / "absent"))
    monkeypatch.setenv("W2V_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    config = config_of("auto")
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    kernels.missing.cache_clear()
    try:
        by_kernels, warning = native(FAMILY, config, config.model, mesh)
        with pytest.raises(UserError, match=r"train\.kernel=native: .*cannot be compiled here"):
            native(FAMILY, config_of("native"), config.model, mesh)
    finally:
        kernels.missing.cache_clear()
    assert not by_kernels and "\n" not in warning
    assert warning.startswith("warning: the kernels cannot be compiled here (")
    assert ("no such thing" if compiler == "broken" else "absent") in warning
    assert not list((tmp_path / "cache").rglob("*.*o"))


def test_the_cache_has_one_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Four at once, by a compiler that writes in two halves."""
    fake = tmp_path / "compiler"
    half = 'head -c 10000 /dev/zero >> "$1"'
    loop = f'while [ $# -gt 1 ]; do shift; [ "$1" = -o ] && shift && {half} && sleep 0.1 && {half}; done'
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo fake && exit\n{loop}\nexit 0\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    monkeypatch.setenv("W2V_JAX_CACHE", str(tmp_path / "cache"))
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: kernels.build(), range(4)))
    assert "kernels: compiles them once for this machine" in capfd.readouterr().err
    kernels.build()
    assert not capfd.readouterr().err
    (path,) = made
    assert path.stat().st_size == 20_000 and os.listdir(path.parent) == [path.name]


def test_what_a_killed_build_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a build that is at work stays."""
    fake, folder = tmp_path / "compiler", tmp_path / "cache" / "kernels"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo fake && exit\nkill -9 $PPID; sleep 0.2\n')
    fake.chmod(0o755)
    environment = {**os.environ, "CXX": str(fake), "W2V_JAX_CACHE": str(tmp_path / "cache")}
    killed = subprocess.run([sys.executable, "-m", "w2v_jax.nn.kernels"], env=environment, check=False)
    (left,) = folder.iterdir()
    assert killed.returncode == -signal.SIGKILL and left.name.startswith(".build-")
    (folder / ".build-now").mkdir()
    os.utime(left, (time.time() - 3 * kernels.LONGEST,) * 2)
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo fake && exit\nfor x; do :; done; echo > "$x"\n')
    monkeypatch.setenv("CXX", str(fake))
    monkeypatch.setenv("W2V_JAX_CACHE", str(tmp_path / "cache"))
    assert sorted(os.listdir(folder)) == sorted([left.name, ".build-now"])
    path = kernels.build()
    assert sorted(os.listdir(folder)) == sorted([path.name, ".build-now"])


def test_a_run_that_was_stopped_continues_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text(commands.text_of(300, lines=320))
    change = {"train__kernel": "native", "checkpoint__every_steps": 16}
    done = commands.train(tmp_path / "text", tmp_path / "whole", **change)
    assert done.status == 0, done.err
    with monkeypatch.context() as patch:
        commands.at_call(patch, 6, lambda: signal.raise_signal(signal.SIGTERM))
        assert commands.train(tmp_path / "text", tmp_path / "run", **change).status == 143
    (*_, step) = commands.checkpoints(tmp_path / "run")
    assert 0 < step < commands.checkpoints(tmp_path / "whole")[-1]
    again = commands.train(tmp_path / "text", tmp_path / "run", **change)
    assert again.status == 0 and f"continuing at step {step} of" in again.err, again.err
    for of in (commands.vectors, commands.final_arrays):
        assert of(tmp_path / "run") == of(tmp_path / "whole")
