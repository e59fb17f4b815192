"""The transformer benchmark: both sides are the same model, step by step; its gates; utilisation by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from benchmarks.mfu import VOCABULARY
from benchmarks.mfu import config_of as mfu_config
from benchmarks.our_steps import config_of, timed
from benchmarks.ours_transformer import model_of
from benchmarks.pairs import failed, summarise, table
from benchmarks.sides import STACK, Memory, TransformerSizes, lanes
from benchmarks.transformer import COMPARISON
from experiments.common.measuring import parameters, ready, stacks
from tests.commands import refused, run
from w2v_jax.models import transformer
from w2v_jax.models.transformer import TransformerConfig

TINY = TransformerSizes(layers=2, dim=8, heads=2, batch=3, length=5, vocabulary=128)
pytestmark = pytest.mark.xdist_group("transformer benchmark")


def test_sizes_are_those_of_the_model() -> None:
    sizes = TransformerSizes()
    cfg = transformer.FAMILY.resolve(model_of(sizes), sizes.vocabulary)
    shapes = jax.eval_shape(lambda: transformer.FAMILY.trained.init(jax.random.key(0), cfg, {}))
    assert sizes.parameters == parameters(shapes) == 8192 * 256 + 4 * 12 * 256 * 256 + 9 * 256
    # Head 256 x 8192; a layer 12 squares; attention's two products of 128 x 256 a token, half of them, thrice.
    assert sizes.flops == 4096 * 6 * (256 * 8192 + 4 * (12 * 256**2 + 128 * 256))
    assert sizes.flops == sizes.tokens * transformer.FAMILY.flops(cfg)[0]


def to_torch(model: Any, params: Any) -> None:
    """Writes our parameters into the peer's model, whose matrices are the other way round."""
    import torch

    layers = params["layers"] | {name: params[name] for name in ("keys", "values")}

    def put(to: Any, value: np.ndarray) -> None:
        with torch.no_grad():
            to.copy_(torch.from_numpy(np.array(value)))

    put(model.embed.weight, params["embed"])
    put(model.norm.weight, params["norm"])
    for i, block in enumerate(model.blocks):
        own = {name: np.asarray(value[i]) for name, value in layers.items()}
        put(block.inputs.weight, np.concatenate([own["query"], own["keys"], own["values"]], axis=1).T)
        for name in ("output", "up", "down"):
            put(getattr(block, name).weight, own[name].T)
        for name in ("norm_attention", "norm_wide"):
            put(getattr(block, name).weight, own[name])


def test_both_sides_make_the_same_steps() -> None:
    torch = pytest.importorskip("torch")
    from benchmarks import peer_torch_transformer as peer

    torch.set_num_threads(1)
    state, call = ready(config_of("transformer", model_of(TINY), TINY.batch), TINY.vocabulary)
    model = peer.Model(TINY)
    assert sum(p.numel() for p in model.parameters()) == TINY.parameters == parameters(state.params)
    to_torch(model, jax.device_get(state.params))
    optimizer, losses = peer.optimizer_of(model), []
    tokens, targets = lanes(TINY, STACK)
    for x, y in zip(tokens, targets, strict=True):
        optimizer.zero_grad(set_to_none=True)
        loss = peer.loss_of(model, torch.from_numpy(x).long(), torch.from_numpy(y).long())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    after, metrics = call(state, stacks(tokens, targets, STACK)[0])
    assert losses[-1] != pytest.approx(losses[0], abs=1e-3)  # or equal steps would say nothing
    assert float(metrics["loss"][0] / metrics["loss"][1]) == pytest.approx(np.mean(losses), abs=1e-5)
    own = jax.device_get(after.params)
    np.testing.assert_allclose(model.embed.weight.detach().numpy(), own["embed"], atol=2e-4)
    np.testing.assert_allclose(model.blocks[1].up.weight.detach().numpy().T, own["layers"]["up"][1], atol=2e-4)
    np.testing.assert_allclose(model.norm.weight.detach().numpy(), own["norm"], atol=2e-4)


def test_our_side_trains_from_near_the_uniform_loss() -> None:
    found = timed(Memory(), config_of("transformer", model_of(TINY), TINY.batch), TINY, STACK)
    assert abs(found["loss"] - np.log(TINY.vocabulary)) < 0.3 and found["seconds"] > 0
    assert found["parameters"] == TINY.parameters and found["compile_seconds"] > 0


def runs(ours: int, torch: int) -> list[dict[str, Any]]:
    """One pair, ours in 1 s and PyTorch's in 2 s, of models of so many parameters."""
    fixed = {"peak_mb": 100.0, "tensorflow": False, "loss": 9.0, "version": "1"}
    return [
        {**fixed, "side": "ours", "seconds": 1.0, "compile_seconds": 2.0, "parameters": ours},
        {**fixed, "side": "torch", "seconds": 2.0, "parameters": torch},
    ]


def test_models_of_another_size_fail() -> None:
    same = summarise(COMPARISON, runs(5_245_184, 5_245_184), steps=8)
    assert failed(same) == [] and same["ratio"] == 2.0 and table(same).count("5,245,184") == 2
    other = summarise(COMPARISON, runs(5_245_184, 5_245_440), steps=8)
    assert [line.partition(":")[0] for line in failed(other)] == ["parameters"]


def test_utilisation_is_the_formula(tmp_path: Path) -> None:
    flags = {"layers": 2, "dim": 8, "heads": 2, "length": 6, "vocabulary": 100, "batch": 4, "steps": 2, "calls": 3}
    out = tmp_path / "new" / "mfu.json"
    given = [f"--{k}={v}" for k, v in flags.items()]
    done = run("benchmarks.mfu", *given, "--dtype=float32", "--peak_tflops=0.5", f"--out={out}")
    assert done.status == 0, done.err
    found = json.loads(out.read_text())
    assert json.loads(done.out.splitlines()[-1]) == found
    # A layer: 12 squares; the head: 8 x 100; attention 6 T D a layer.
    assert found["flops_per_token"] == 6 * (2 * 12 * 64 + 8 * 100) + 6 * 6 * 8 * 2
    rate = found["tokens_per_second"]
    assert rate == sorted(found["rates"])[1] and len(found["rates"]) == 3
    assert found["mfu"] == pytest.approx(found["flops_per_token"] * rate / 0.5e12)
    assert found["parameters"] == 128 * 8 + 2 * 12 * 64 + 5 * 8 and abs(found["loss"] - np.log(100)) < 0.3


def test_the_model_of_the_utilisation_is_gpt2_small() -> None:
    model = TransformerConfig(layers=12, dim=768, heads=12, length=1024, dtype="bfloat16")
    cfg = transformer.FAMILY.resolve(mfu_config(model, 8, 1, 1).model, VOCABULARY)
    # GPT-2 small without its 1,024 positions, biases and LayerNorm offsets: 124.4 M less 0.9 M.
    shapes = jax.eval_shape(lambda: transformer.FAMILY.trained.init(jax.random.key(0), cfg, {}))
    assert 123.4e6 < parameters(shapes) < 123.7e6


def test_flags_that_cannot_be() -> None:
    refused(run("benchmarks.mfu", "--peak_tflops=0"), "--peak_tflops=0: must be above 0")
    refused(run("benchmarks.mfu", "--batch=5", "--accumulate=2"), "--accumulate=2: does not divide --batch=5")
    refused(run("benchmarks.transformer", "--steps=12"), "--steps=12: must be a multiple of 8")
