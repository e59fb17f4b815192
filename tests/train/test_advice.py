"""What is advised to a training that failed has an effect on its family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import commands
from w2v_jax.config import OptimizerConfig
from w2v_jax.train.advice import against_divergence, wrecked


@pytest.mark.parametrize(
    ("options", "rows", "dense", "said"),
    [
        ({"rows": "sgd"}, True, False, "rows=adagrad, optimizer.clip_row above 0 or optimizer.warmup_steps above 0"),
        ({"clip_row": 1.0}, True, False, "or optimizer.warmup_steps above 0"),
        ({"clip_norm": 5.0}, False, True, "optimizer.clip_norm below 5 or optimizer.warmup_steps above 0"),
        ({"warmup_steps": 9}, False, True, "optimizer.learning_rate below 0.25 or optimizer.clip_norm above 0"),
        ({"warmup_steps": 9}, True, False, "optimizer.learning_rate below 0.25"),
    ],
)
def test_only_what_has_an_effect_is_advised(options: dict[str, Any], rows: bool, dense: bool, said: str) -> None:
    found = against_divergence(OptimizerConfig(**options), rows, dense)
    assert found.endswith(said)
    assert ("optimizer.rows" in found or "clip_row" in found) == (options.get("rows") == "sgd")
    assert ("clip_norm" in found) == dense


def test_a_warning_where_both_losses_are_known_and_the_counts_are_better() -> None:
    assert wrecked(6.4, 6.33) is not None
    for known in ((6.4, None), (6.3, 6.33), (None, 6.33)):
        assert wrecked(*known) is None


def test_a_run_that_is_wrecked_says_so_and_ends_with_0(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(commands.text_of(20, lines=80))
    small = {"model.hidden": 4, "model.dim": 4, "model.length": 8, "train.batch_size": 4, "train.max_steps": 4}
    small |= {"train.steps_per_call": 4, "mesh.data": 1, "optimizer.learning_rate": 1e6, "log.tensorboard": False}
    small |= {"data.source": f"text:{text}", "data.heldout_every": 10}
    words = [f"--config.{key}={value}" for key, value in small.items()]
    config = f"--config={commands.ROOT / 'configs/language.py'}"
    done = commands.run("experiments.train", config, f"--workdir={tmp_path / 'run'}", *words)
    assert done.result()["heldout_loss"] > done.result()["heldout_unigram_loss"]
    assert done.err.count("warning: the held-out loss ") == 1
