"""The LSTM benchmark: our side at a tiny size, the peer's where torch is installed, and the gates."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.lstm import COMPARISON
from benchmarks.pairs import failed, summarise, table
from benchmarks.sides import STACK, LSTMSizes, lanes

ROOT = Path(__file__).resolve().parent.parent
TINY = LSTMSizes(layers=2, hidden=8, batch=3, length=5, vocabulary=128)


def side(module: str) -> dict[str, Any]:
    """The result of a side's command at the tiny size."""
    command = [sys.executable, "-m", module, f"--sizes={json.dumps(dataclasses.asdict(TINY))}", f"--steps={STACK}"]
    env = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # torch's threads would spin against other tests
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_operations_are_those_of_every_weight() -> None:
    # Head 256 x 8192; each layer 256 inputs and 256 outputs into 4 gates of 256.
    assert LSTMSizes().flops == 6 * 4096 * (256 * 8192 + 2 * 512 * 1024)


def test_lanes_go_on_from_step_to_step() -> None:
    tokens, targets = lanes(TINY, 4)
    assert tokens.shape == targets.shape == (4, 3, 5) and tokens.dtype == np.int32
    np.testing.assert_array_equal(tokens[:, :, 1:], targets[:, :, :-1])
    np.testing.assert_array_equal(tokens[1:, :, 0], targets[:-1, :, -1])
    assert tokens.min() >= 0 and tokens.max() < 128 and len(np.unique(tokens)) > 30


@pytest.mark.parametrize("module", ["benchmarks.ours_lstm", "benchmarks.peer_torch"])
def test_a_side_trains_from_near_the_uniform_loss_and_leaves_tensorflow_alone(module: str) -> None:
    if module == "benchmarks.peer_torch":
        pytest.importorskip("torch")
    found = side(module)
    assert abs(found["loss"] - math.log(TINY.vocabulary)) < 0.3
    assert found["seconds"] > 0 and found["tensorflow"] is False
    if sys.platform == "linux":
        assert found["baseline_mb"] > 50 and 0 < found["peak_mb"] < 2000


def pairs(ours: list[float], torch: list[float], **more: Any) -> list[dict[str, Any]]:
    """Runs of so many seconds, alternating."""
    fixed = {"peak_mb": 100.0, "tensorflow": False, "loss": 9.0, "version": "1"}
    found: list[dict[str, Any]] = []
    for a, b in zip(ours, torch, strict=True):
        found.append({**fixed, "side": "ours", "seconds": a, "compile_seconds": 2.0, **more})
        found.append({**fixed, "side": "torch", "seconds": b})
    return found


def test_the_gate_holds_the_median_of_the_ratios_of_pairs() -> None:
    # Ratios 2, 0.9, 1.1: the median of the ratios is 1.1, the ratio of the medians 20 / 20 = 1.
    found = summarise(COMPARISON, pairs([10.0, 20.0, 40.0], [20.0, 18.0, 44.0]), steps=8)
    np.testing.assert_allclose(found["ratios"], [2, 0.9, 1.1])
    assert found["ratio"] == pytest.approx(1.1) and failed(found) == []
    assert found["tokens_per_second"]["ours"] == pytest.approx(8 * 4096 / 20)
    assert found["gflops"]["ours"] == pytest.approx(8 * LSTMSizes().flops / 20 / 1e9)
    text = table(found)
    assert "ratio 1.100 (0.900 to 2.000, 3 pairs)" in text and "1,638" in text
    slow = summarise(COMPARISON, pairs([10.0, 20.0, 40.0], [20.0, 18.0, 36.0]), steps=8)
    assert [line.partition(":")[0] for line in failed(slow)] == ["speed"]


def test_memory_and_tensorflow_are_gates_too() -> None:
    large = summarise(COMPARISON, pairs([1.0], [2.0], peak_mb=101.0), steps=8)
    assert [line.partition(":")[0] for line in failed(large)] == ["memory"]
    imported = summarise(COMPARISON, pairs([1.0], [2.0], tensorflow=True), steps=8)
    assert failed(imported) == ["TensorFlow was imported on our side"]
