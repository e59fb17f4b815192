"""The ledger beside real arrays, hand counts, and XLA's own count of a compiled step."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from tests.examples import device_consts, quick, random_batch, trained_families, with_rows
from w2v_jax.config import Config, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.ledger import ledger, tree_bytes
from w2v_jax.train.step import init_state

VOCAB = 40
ALL = [pytest.param(f, c, id=f"{f}-{i}") for f, spec in trained_families().items() for i, c in enumerate(spec.examples)]


@pytest.mark.parametrize(("family", "example"), ALL)
def test_counts_are_those_of_the_arrays(family: str, example: Any) -> None:
    spec = MODELS[family]
    config = Config(family, example, train=TrainConfig(batch_size=8))
    cfg = spec.resolve(example, VOCAB)
    consts = device_consts(spec, cfg, VOCAB)
    state = quick(lambda consts: init_state(spec, config, cfg, consts), consts)
    found = ledger(config, VOCAB)
    assert found.parameters + found.padding == sum(x.size for x in jax.tree.leaves(state.params))
    assert 0 <= found.without_embeddings < found.parameters
    assert found.state_bytes == tree_bytes(state)
    assert found.flops_per_token > 0 and found.activation_bytes >= 0


def test_a_transformer_counted_by_hand() -> None:
    """Two layers of 32, tied: 12 d^2 a layer, two gains a layer and a last one."""
    model = TransformerConfig(layers=2, dim=32, heads=2, length=16)
    config = Config("transformer", model, train=TrainConfig(batch_size=4), optimizer=OptimizerConfig(dense="adamw"))
    found = ledger(config, 300)
    blocks = 2 * 12 * 32**2 + 5 * 32
    assert found.without_embeddings == blocks
    assert found.parameters == blocks + 300 * 32 and found.padding == (384 - 300) * 32
    assert found.flops_per_token == 6 * (2 * 12 * 32**2 + 300 * 32) + 6 * 16 * 32 * 2
    assert found.cache_bytes == 2 * 2 * 32 * 4
    assert found.state_bytes == pytest.approx(3 * 4 * (found.parameters + found.padding), abs=64)


def test_doubling_the_width_quadruples_a_matrix_and_no_more() -> None:
    def matrices(dim: int) -> int:
        model = TransformerConfig(layers=1, dim=dim, heads=2)
        return ledger(Config("transformer", model), 300).without_embeddings - 3 * dim

    assert matrices(128) == 4 * matrices(64) == 16 * matrices(32)


def xla_flops(family: str, model: Any, rows: int, vocab: int) -> float:
    """XLA's count for loss and gradients, per predicted token; loops must not go round more than once. The gradient by
    the carry stands for that by the token before, which a single token of a recurrent model does not have."""
    spec = MODELS[family]
    cfg = spec.resolve(model, vocab)
    consts = device_consts(spec, cfg, vocab)
    params = jax.eval_shape(lambda: spec.trained.init(jax.random.key(0), cfg, consts))
    batch = with_rows(random_batch(spec, cfg, rows, np.random.default_rng(0)))
    carry, rng = spec.trained.carry(cfg, rows), jax.random.key(0) if cfg.noise_words else None

    def loss(params: Any, carry: Any, batch: Any) -> jax.Array:
        return spec.trained.loss(cfg, params, consts, carry, batch, rng)[0]

    lowered = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(params, carry, batch)
    cost: Any = lowered.compile().cost_analysis()
    return float((cost[0] if isinstance(cost, list) else cost)["flops"]) / (rows * cfg.length)


@pytest.mark.parametrize("keys_values", ["per_layer", "shared_kv"])
def test_flops_of_a_transformer_are_those_that_xla_counts(keys_values: str) -> None:
    model = TransformerConfig(
        layers=2, dim=256, heads=2, length=32, keys_values=keys_values, loop="unrolled", head_chunk=4096
    )
    ours = ledger(Config("transformer", model), 1024).flops_per_token
    ours += 6 * model.length * model.dim * model.layers  # XLA computes the future half of attention, to throw it away
    assert xla_flops("transformer", model, 8, 1024) == pytest.approx(ours, rel=0.05)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_flops_of_a_recurrent_model_are_those_that_xla_counts(cell: str) -> None:
    model = RecurrentLMConfig(cell=cell, layers=2, hidden=256, dim=256, length=1, head_chunk=4096)
    ours = ledger(Config("recurrent_lm", model), 1024).flops_per_token
    assert xla_flops("recurrent_lm", model, 256, 1024) == pytest.approx(ours, rel=0.05)


@pytest.mark.parametrize("tied", [False, True])
def test_noise_words_cost_their_own_rows_of_the_table(tied: bool) -> None:
    """Beside hand counts of the head (K drawn rows and the target's), and XLA's count of a step that draws them."""
    recurrent = RecurrentLMConfig(layers=1, hidden=256, dim=256, length=1, head_chunk=4096, tied=tied)
    models = {"recurrent_lm": recurrent, "transformer": TransformerConfig(layers=1, dim=256, heads=2, tied=tied)}
    drawn = {family: dataclasses.replace(model, noise_words=1024) for family, model in models.items()}
    for family, model in models.items():
        whole, few = (ledger(Config(family, m), 5000).flops_per_token for m in (model, drawn[family]))
        assert whole - few == pytest.approx(6 * 256 * (5000 - 1025))
    ours = ledger(Config("recurrent_lm", drawn["recurrent_lm"]), 5000).flops_per_token
    assert xla_flops("recurrent_lm", drawn["recurrent_lm"], 256, 5000) == pytest.approx(ours, rel=0.05)


def test_activations_grow_with_the_batch_and_shrink_when_computed_again() -> None:
    model = TransformerConfig(layers=2, dim=64, heads=2, length=64, loop="unrolled")

    def kept(**train: int) -> int:
        return ledger(Config("transformer", model, train=TrainConfig(**train)), 300).activation_bytes

    whole = kept(batch_size=16)
    assert kept(batch_size=32) == pytest.approx(2 * whole, rel=0.1)
    assert kept(batch_size=32, accumulate=2) == whole
    again = Config("transformer", dataclasses.replace(model, remat=True), train=TrainConfig(batch_size=16))
    assert ledger(again, 300).activation_bytes < whole / 3


def test_a_model_without_a_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match="vocab_size"):
        ledger(Config("transformer", TransformerConfig()))


def test_no_array_is_made_for_a_large_model() -> None:
    """A model of 1.3 billion parameters is counted at once."""
    model = TransformerConfig(layers=24, dim=2048, heads=16, length=2048, vocab_size=50_257, loop="scan")
    count = partial(ledger, Config("transformer", model, train=TrainConfig(batch_size=8)))
    assert count().parameters == 50_257 * 2048 + 24 * 12 * 2048**2 + 49 * 2048
