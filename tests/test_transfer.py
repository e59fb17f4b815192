"""Scale rules: the coordinate check of every sequence family, starts and rates of the arrays, and the base itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import recipes
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.coordinates import moved
from w2v_jax.train import optimizers

BASE = 16
OPTIMIZER = dataclasses.replace(recipes.ADAMW, learning_rate=0.01, beta2=0.98, clip_norm=0.0)


def transformer(width: int, rule: bool, **change: Any) -> Config:
    known: dict[str, Any] = {"layers": 2, "heads": 2, "dim": width, "length": 8, "init_scale": 0.1}
    return Config("transformer", TransformerConfig(**(known | {"base_dim": BASE * rule} | change)), optimizer=OPTIMIZER)


def more_heads(width: int, rule: bool) -> Config:
    return transformer(width, rule, heads=width // 8, base_heads=2 * rule)


def shared(width: int, rule: bool) -> Config:
    return transformer(width, rule, keys_values="shared_kv", tied=False)


def deeper(width: int, rule: bool) -> Config:
    return transformer(BASE, False, layers=2 * width // BASE, base_layers=2 * rule, loop="scan")


def recurrent(cell: str, tied: bool = False) -> Any:
    def config(width: int, rule: bool) -> Config:
        known = {"layers": 1, "hidden": width, "dim": width, "length": 8, "init_scale": 0.2, "tied": tied}
        return Config("recurrent_lm", RecurrentLMConfig(cell=cell, base_dim=BASE * rule, **known), optimizer=OPTIMIZER)

    return config


FAMILIES = {
    "transformer": transformer,
    "more heads": more_heads,
    "shared keys and values": shared,
    "rnn": recurrent("rnn"),
    "lstm": recurrent("lstm", tied=True),
    "gru": recurrent("gru"),
    "elementwise": recurrent("elementwise", tied=True),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_states_and_logits_move_equally_far_at_sixteen_times_the_width(name: str) -> None:
    narrow, wide = (moved(FAMILIES[name](width, True)) for width in (BASE, 16 * BASE))
    assert (wide.states < 1.35 * narrow.states).all() and (wide.states > 0.5 * narrow.states).all()
    # Logits are a mean over units: their part that is noise shrinks with the width, which may lower but not raise them.
    assert 0.25 * narrow.logits < wide.logits < 1.35 * narrow.logits
    assert (wide.start[1:] < 1.5 * narrow.start[1:]).all() and (wide.start[1:] > 0.5 * narrow.start[1:]).all()


@pytest.mark.parametrize("name", ["transformer", "rnn", "lstm"])
def test_under_the_standard_parametrisation_they_do_not(name: str) -> None:
    narrow, wide = (moved(FAMILIES[name](width, False)) for width in (BASE, 16 * BASE))
    assert wide.logits > 3 * narrow.logits


@pytest.mark.parametrize("name", ["transformer", "rnn", "lstm"])
def test_with_logits_that_are_not_scaled_states_move_equally_far_and_logits_do_not(name: str) -> None:
    configs = [FAMILIES[name](width, True) for width in (BASE, 16 * BASE)]
    unscaled = [dataclasses.replace(c, model=dataclasses.replace(c.model, logits_power=0.0)) for c in configs]
    narrow, wide = map(moved, unscaled)
    assert (wide.states < 1.35 * narrow.states).all() and (wide.states > 0.5 * narrow.states).all()
    assert wide.logits > 3 * narrow.logits


def test_the_sum_of_layers_moves_equally_far_at_six_times_the_depth() -> None:
    shallow, deep = (moved(deeper(width, True)) for width in (BASE, 6 * BASE))
    assert deep.states[-1] == pytest.approx(shallow.states[-1], rel=0.35)
    assert 0.3 * shallow.start[-1] < deep.start[-1] < 1.1 * shallow.start[-1]  # independent layers add as a root
    standard = moved(deeper(6 * BASE, False))
    assert standard.states[-1] > 1.5 * deep.states[-1]


def leaves(config: Config) -> tuple[Any, Any, Any]:
    spec = MODELS[config.family]
    cfg = spec.resolve(config.model, 50)
    params = spec.trained.init(jax.random.key(0), cfg, {})
    return params, spec.rates(cfg), spec.axes(cfg)


@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_starts_and_rates_are_those_of_the_table(name: str) -> None:
    params, rates, _ = leaves(FAMILIES[name](4 * BASE, True))
    standard, ones, _ = leaves(FAMILIES[name](4 * BASE, False))
    assert set(jax.tree.leaves(ones)) == {1.0}
    flat = jax.tree_util.tree_flatten_with_path(params)[0]
    matrices = 0
    for (path, own), rate, other in zip(flat, jax.tree.leaves(rates), jax.tree.leaves(standard), strict=True):
        label = jax.tree_util.keystr(path)
        hidden = own.ndim >= 2 and "embed" not in label and "table" not in label and "norm" not in label
        matrices += hidden
        assert rate == (0.25 if hidden else 1.0), label
        np.testing.assert_allclose(own, other * (0.5 if hidden else 1.0), rtol=1e-6, err_msg=label)
    assert matrices >= 2


@pytest.mark.parametrize("name", ["transformer", "lstm"])
@pytest.mark.parametrize("tied", [True, False])
def test_tables_have_a_rate_of_their_own(name: str, tied: bool) -> None:
    config = FAMILIES[name](4 * BASE, True)
    model = dataclasses.replace(config.model, table_rate=8.0, tied=tied)
    params, rates, _ = leaves(dataclasses.replace(config, model=model))
    same, without, _ = leaves(dataclasses.replace(config, model=dataclasses.replace(model, table_rate=1.0)))
    tables = {"['embed']"} | (set() if tied else {"['head']['table']"})
    for (path, rate), other in zip(
        jax.tree_util.tree_flatten_with_path(rates)[0], jax.tree.leaves(without), strict=True
    ):
        assert rate == (8.0 if jax.tree_util.keystr(path) in tables else other)
    jax.tree.map(np.testing.assert_array_equal, params, same)  # the start is the same


@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_the_rate_of_tables_falls_with_a_power_of_the_width(name: str) -> None:
    config = FAMILIES[name](4 * BASE, True)
    _, rates, _ = leaves(dataclasses.replace(config, model=dataclasses.replace(config.model, table_power=0.5)))
    _, known, _ = leaves(config)
    flat, others = jax.tree_util.tree_flatten_with_path(rates)[0], jax.tree.leaves(known)
    halved = {jax.tree_util.keystr(path) for (path, rate), other in zip(flat, others, strict=True) if rate == other / 2}
    assert halved == ({"['embed']"} if config.model.tied else {"['embed']", "['head']['table']"})
    assert all(rate in (other, other / 2) for (_, rate), other in zip(flat, others, strict=True))
    both = dataclasses.replace(config.model, table_rate=8.0, table_power=0.5)
    assert leaves(dataclasses.replace(config, model=both))[1]["embed"] == 4.0
    base = dataclasses.replace(both, dim=BASE, **({"hidden": BASE} if name == "lstm" else {}))
    assert leaves(dataclasses.replace(config, model=base))[1]["embed"] == 8.0


@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_the_factor_of_logits_falls_with_a_power_of_the_width(name: str) -> None:
    config = FAMILIES[name](4 * BASE, True)
    own, half, none = (dataclasses.replace(config.model, logits_power=power) for power in (1.0, 0.5, 0.0))
    known = leaves(config)
    found = []
    for model in (own, half, none):
        changed = dataclasses.replace(config, model=model)
        params, rates, _ = leaves(changed)
        jax.tree.map(np.testing.assert_array_equal, (params, rates), known[:2])  # the start and the rates are the same
        spec = MODELS[config.family]
        cfg = spec.resolve(model, 50)
        tokens = jnp.arange(16, dtype=jnp.int32).reshape(2, 8)
        states = spec.encode.states(cfg, params, {}, tokens, jnp.full(2, 8))
        found.append(spec.encode.logits(cfg, params, states[-1]))
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], 4 * found[0], rtol=1e-5, atol=1e-6)


def test_at_the_base_nothing_changes() -> None:
    for make in (transformer, recurrent("lstm")):
        ruled, standard = moved(make(BASE, True)), moved(make(BASE, False))
        np.testing.assert_array_equal(ruled.states, standard.states)
        assert ruled.logits == standard.logits


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_generated_text_reads_the_same_logits_as_training(power: float) -> None:
    """The head's multiplier stands in three places: training, the logits of states, and generation."""
    for make in (transformer, recurrent("lstm")):
        config = make(4 * BASE, True)
        spec = MODELS[config.family]
        cfg = spec.resolve(dataclasses.replace(config.model, logits_power=power), 50)
        params = spec.trained.init(jax.random.key(1), cfg, {})
        tokens = jnp.asarray(np.random.default_rng(0).integers(0, 50, (2, 8)), jnp.int32)
        states = spec.encode.states(cfg, params, {}, tokens, jnp.full(2, 8))
        logits = spec.encode.logits(cfg, params, states[-1])
        written, _ = spec.decode.step(cfg, spec.decode.weights(cfg, params), {}, spec.decode.start(cfg, 2, 16), tokens)
        np.testing.assert_allclose(logits[:, -1], written, rtol=2e-4, atol=2e-5)
        batch = {"tokens": tokens, "targets": jnp.roll(tokens, -1, 1), "start": jnp.zeros(2), "row": jnp.arange(2)}
        batch |= {"words": jnp.ones(2), "doc": jnp.zeros((2, 8), jnp.int32)}
        nats, _, _ = spec.score(cfg, params, {}, spec.trained.carry(cfg, 2), batch)
        own = jnp.take_along_axis(logits, batch["targets"][..., None], -1)[..., 0]
        by_hand = jax.nn.logsumexp(logits, -1) - own
        np.testing.assert_allclose(nats, by_hand, rtol=1e-4, atol=1e-5)


def test_the_multiplier_acts_on_the_step_and_not_on_the_decay() -> None:
    cfg = dataclasses.replace(OPTIMIZER, weight_decay=0.1)
    params = {"a": jnp.full((2, 2), 3.0), "b": jnp.full((2, 2), 3.0)}
    axes = {"a": (None, None), "b": (None, None)}
    optimizer = optimizers.dense(cfg, axes, {"a": 0.25, "b": 1.0})
    update, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    np.testing.assert_allclose(update["b"] - 0.3, 1.0, rtol=1e-5)
    np.testing.assert_allclose(update["a"] - 0.3, 0.25, rtol=1e-5)


def test_other_optimisers_are_refused() -> None:
    config = transformer(4 * BASE, True)
    for dense in ("sgd", "adagrad"):
        with pytest.raises(UserError, match=r"model.base_dim and model.table_rate are for adamw"):
            optimizers.dense(dataclasses.replace(OPTIMIZER, dense=dense), *reversed(leaves(config)[1:]))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: TransformerConfig(base_heads=2), "needs model.base_dim"),
        (lambda: TransformerConfig(base_dim=30), "is not a multiple of its 4 heads; set model.base_heads"),
        (lambda: TransformerConfig(base_dim=-1), "model.base_dim"),
        (lambda: RecurrentLMConfig(base_dim=8, dim=4, hidden=8), "needs model.dim equal to model.hidden"),
    ],
)
def test_impossible_bases(make: Any, why: str) -> None:
    with pytest.raises(UserError, match=why):
        make()
