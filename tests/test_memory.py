"""Sizes that cannot be held are refused with an estimate, which names the option to lower and is never too high."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import pytest

from tests.examples import trained_families, words_of
from w2v_jax import memory
from w2v_jax.config import Config, MeshConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train import estimate
from w2v_jax.train.programs import programs
from w2v_jax.train.sharding import make_mesh

MESH = make_mesh(MeshConfig(data=1), jax.devices()[:1])


def test_sizes_are_written_for_people() -> None:
    assert [memory.written(n) for n in (0, 999, 1000, 128 * 10**9, 10**21)] == [
        "0 bytes",
        "999 bytes",
        "1 KB",
        "128 GB",
        "1e+03 EB",
    ]
    assert 10**8 < memory.of_machine() < 10**15


def test_what_fits_is_let_through() -> None:
    memory.require("--x=1", {"a": 3, "b": 4}, 7)
    with pytest.raises(
        UserError, match="^--x=1: would need at least 7 bytes of memory .b 4 bytes., and here has 6 bytes;"
    ):
        memory.require("--x=1", {"a": 3, "b": 4}, 6, "here")


@pytest.mark.parametrize("family", trained_families())
def test_the_estimate_is_below_what_the_state_takes(family: str) -> None:
    """Of parameters alone: what a step computes is more than what is estimated of it."""
    spec = MODELS[family]
    for cfg in spec.examples:
        config = Config(family, cfg, train=TrainConfig(batch_size=8), mesh=MeshConfig(data=1))
        words = words_of(40)
        made = programs(config, words, jax.devices()[:1])
        held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(made.state.params))
        parts = estimate._parts(spec, config, words, "cpu")
        assert 0 < parts["parameters"] <= 4 * held
        assert parts["the batches of a call"] > 0 and parts["the vectors of a step"] > 0
        estimate.check_memory(spec, config, MESH, words)
        estimate.check_memory(spec, config, MESH)


@pytest.mark.parametrize(
    ("family", "section", "changes", "key"),
    [
        ("word2vec", "model", {"dim": 10**11}, "model.dim=100000000000"),
        ("word2vec", "model", {"shared_negatives": 10**10}, "model.shared_negatives=10000000000"),
        ("transformer", "model", {"length": 10**11}, "model.length=100000000000"),
        ("transformer", "model", {"length": 10**6, "attention": "xla"}, "model.length=1000000"),
        ("transformer_classifier", "model", {"max_length": 10**6}, "model.max_length=1000000"),
        (
            "pair_encoder",
            "model",
            {"max_length": 10**6, "tower": "transformer", "hidden": 8},
            "model.max_length=1000000",
        ),
        ("recurrent_lm", "train", {"steps_per_call": 10**11}, "train.steps_per_call=100000000000"),
        ("recurrent_lm", "train", {"batch_size": 10**11}, "train.batch_size=100000000000"),
        ("transformer_classifier", "model", {"max_length": 10**11}, "model.max_length=100000000000"),
        ("recurrent_classifier", "model", {"classes": 10**13}, "model.classes=10000000000000"),
    ],
)
def test_the_option_to_lower_is_named(family: str, section: str, changes: dict[str, Any], key: str) -> None:
    spec = MODELS[family]
    config = Config(family, spec.examples[0], train=TrainConfig(batch_size=8), mesh=MeshConfig(data=1))
    config = dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **changes)})
    with pytest.raises(UserError, match=rf"^{key}: would need at least .* of memory"):
        estimate.check_memory(spec, config, MESH)
