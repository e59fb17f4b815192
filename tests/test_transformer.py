"""The transformer: what it may see, cache, hidden tokens, ledger; `test_attention` has its parts against numpy."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.config_flag import load_config
from tests.examples import QUICK, quick, random_params, whole_logits
from tests.transformer_reference import close
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import transformer
from w2v_jax.models.transformer import KEYS_VALUES, TransformerConfig
from w2v_jax.models.transformer_ledger import parameter_ledger
from w2v_jax.nn import masking
from w2v_jax.nn.cache import cache_bytes, init_cache, run_cached
from w2v_jax.train import optimizers
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import make_call, programs, stand_in
from w2v_jax.train.sharding import batch_sharding, make_mesh
from w2v_jax.train.step import init_state, state_sharding

FAMILY = transformer.FAMILY
VOCAB, ROWS = 23, 3
TINY = TransformerConfig(layers=2, dim=8, heads=2, length=6, vocab_size=VOCAB, head_chunk=16, loop="unrolled")
NOTES = TransformerConfig(layers=12, dim=768, heads=12, vocab_size=50_000, keys_values="shared_kv")


def batch_of(seed: int = 0, length: int = TINY.length) -> dict[str, Any]:
    ids = np.random.default_rng(seed).integers(0, VOCAB, (ROWS, length + 1)).astype(np.int32)
    return {
        "tokens": jnp.asarray(ids[:, :-1]),
        "targets": jnp.asarray(ids[:, 1:]),
        "start": jnp.zeros(ROWS, jnp.int32),
        "words": jnp.full(ROWS, length, jnp.int32),
        "row": jnp.arange(ROWS, dtype=jnp.int32),
        "global_rows": jnp.float32(ROWS),
    }


@pytest.mark.parametrize("keys_values", KEYS_VALUES)
def test_causal_models_never_look_ahead(keys_values: str) -> None:
    """Every position reads another word: the rows of an untied embedding that get a gradient are what was seen."""
    cfg = dataclasses.replace(TINY, keys_values=keys_values, tied=False)
    params = random_params(FAMILY, cfg, {}, 0)
    tokens = jnp.arange(cfg.length)[None] + 4

    def logits(cfg: TransformerConfig, table: jax.Array) -> jax.Array:
        return whole_logits(FAMILY, cfg, params | {"embed": table}, {}, tokens)[0].sum(-1)

    seen = quick(jax.jacrev(partial(logits, cfg)), params["embed"])
    touched = np.abs(np.asarray(seen)).sum(-1)[:, 4 : 4 + cfg.length] > 0
    np.testing.assert_array_equal(touched, np.tri(cfg.length, dtype=bool))
    if keys_values == "shared_kv":
        masked = dataclasses.replace(cfg, objective="masked")
        seen = quick(jax.jacrev(partial(logits, masked)), params["embed"])
        assert (np.abs(np.asarray(seen)).sum(-1)[:, 4 : 4 + cfg.length] > 0).all(), "masked models see both ways"


@pytest.mark.parametrize("keys_values", ["shared_k", "shared_v"])
def test_one_token_after_another_gives_the_logits_of_the_whole_text(keys_values: str) -> None:
    """At every place; `test_contracts_states` tries the other kinds."""
    cfg = dataclasses.replace(TINY, keys_values=keys_values)
    params = random_params(FAMILY, cfg, {}, 0)
    tokens = batch_of()["tokens"]
    step = jax.jit(lambda w, x, cache: run_cached(cfg.stack, w, transformer.embed_tokens(cfg, w, x), cache))

    def run(params: Any, tokens: jax.Array) -> Any:
        """(logits by steps, the last cache, logits of the whole text)."""
        cache, parts = init_cache(cfg.stack, cfg.dtype, ROWS, cfg.length), []
        for cut in (slice(0, 3), slice(3, 4), slice(4, 5), slice(5, 6)):  # a prompt, then one by one
            x, cache = step(transformer.weights(cfg, params), tokens[:, cut], cache)
            parts.append(transformer.logits_of(cfg, params, x))
        return jnp.concatenate(parts, axis=1), cache, whole_logits(FAMILY, cfg, params, {}, tokens)

    logits, cache, whole = quick(run, params, tokens)
    close(logits, whole)
    assert int(cache["length"]) == cfg.length
    held = (cache["keys"].nbytes + cache["values"].nbytes) / (ROWS * cfg.length)
    assert held == cache_bytes(cfg.stack, cfg.dtype)
    with pytest.raises(UserError, match="7 tokens: the cache holds 6"):
        step(transformer.weights(cfg, params), np.zeros((1, 7), np.int32), init_cache(cfg.stack, cfg.dtype, 1, 6))


def test_score_is_the_loss_and_the_logits() -> None:
    params = random_params(FAMILY, TINY, {}, 0)
    batch = batch_of()
    batch["targets"] = batch["targets"].at[0, 4:].set(-1)
    nats, correct, _ = quick(lambda p, b: FAMILY.score(TINY, p, {}, {}, b), params, batch)  # type: ignore[misc]
    value, (_, metrics) = quick(lambda p, b: FAMILY.trained.loss(TINY, p, {}, {}, b, None), params, batch)
    assert not nats[0, 4:].any() and metrics["loss"][1] == ROWS * TINY.length - 2
    assert metrics["correct"][0] == correct.sum() and not correct[0, 4:].any()
    np.testing.assert_allclose(metrics["loss"][0], nats.sum(), rtol=1e-5)
    np.testing.assert_allclose(value, nats.sum() / (ROWS * TINY.length), rtol=1e-5)
    full = jnp.full(ROWS, TINY.length, jnp.int32)
    logits, looks = quick(
        lambda p, t: (whole_logits(FAMILY, TINY, p, {}, t), transformer.attention(TINY, p, {}, t, full)),
        params,
        batch["tokens"],
    )
    chosen = jnp.take_along_axis(-jax.nn.log_softmax(logits), batch["targets"][..., None], 2)[..., 0]
    close(jnp.where(batch["targets"] >= 0, chosen, 0.0), nats)
    weights = looks[1]
    assert weights.shape == (ROWS, TINY.heads, TINY.length, TINY.length)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
    assert not np.triu(np.asarray(weights), 1).any()


def test_loops_and_rematerialisation_change_nothing() -> None:
    base = dataclasses.replace(TINY, keys_values="shared_k", dropout=0.3)
    params = random_params(FAMILY, base, {}, 0)
    batch, rng = batch_of(), jax.random.key(1)

    def run(cfg: TransformerConfig) -> Any:
        return quick(jax.value_and_grad(lambda p: FAMILY.trained.loss(cfg, p, {}, {}, batch, rng)[0]), params)

    plain = run(base)
    for change in ({"remat": True}, {"loop": "scan", "remat": True}):
        close(run(dataclasses.replace(base, **change)), plain, 2e-6)


def test_dropout_falls_on_rows_by_their_number() -> None:
    cfg = dataclasses.replace(TINY, dropout=0.5, layers=1)
    params = random_params(FAMILY, cfg, {}, 0)
    whole = batch_of()

    loss = jax.jit(partial(FAMILY.trained.loss, cfg))

    def value(batch: dict[str, Any], seed: int | None) -> float:
        return float(loss(params, {}, {}, batch, None if seed is None else jax.random.key(seed))[0])

    rows = [{k: v[i : i + 1] if jnp.ndim(v) else v for k, v in whole.items()} for i in range(ROWS)]
    assert sum(value(row, 1) for row in rows) == pytest.approx(value(whole, 1), rel=1e-5)
    assert len({value(whole, seed) for seed in (1, 2, None)}) == 3
    assert all(value(row, 1) != value(row, None) for row in rows), "no row is spared"
    assert value(rows[0] | {"row": rows[0]["row"] + 1}, 1) != value(rows[0], 1), "rows draw for themselves"


def test_hidden_tokens_are_drawn_in_the_known_shares() -> None:
    rng = np.random.default_rng(0)
    text = rng.integers(0, VOCAB, (400, 40)).astype(np.int32)
    text[0, 13:], text[1] = -1, -1  # two tokens of 13 are hidden, none of an empty row
    keys = masking.keys_by_text(jnp.asarray(text))
    turned = masking.keys_by_text(jnp.asarray(text[2:, ::-1]))
    seeds = np.concatenate([jax.random.key_data(keys), jax.random.key_data(turned)])
    assert len(np.unique(seeds, axis=0)) == 400 + 398, "a key follows from the words and their order"
    hidden = jax.jit(masking.hide, static_argnums=2)(keys, text, VOCAB)
    inputs, places, targets = map(np.asarray, hidden)
    assert places.shape == (400, 6) and (np.diff(np.sort(places), axis=1) > 0).all()
    assert (targets >= 0).sum(1).tolist() == [2, 0] + [6] * 398
    truth = np.take_along_axis(text, places, 1)
    np.testing.assert_array_equal(targets[targets >= 0], truth[targets >= 0])
    changed = inputs != np.maximum(text, 0)
    allowed = np.zeros_like(changed)
    np.put_along_axis(allowed, places, targets >= 0, 1)
    assert not (changed & ~allowed).any(), "what is not predicted is read as it is"
    read = np.take_along_axis(inputs, places, 1)[2:]
    as_mask, as_is = (read == VOCAB).mean(), (read == truth[2:]).mean()
    assert abs(as_mask - 0.8) < 0.03 and abs(as_is - (0.1 + 0.1 / VOCAB)) < 0.03 and read.max() == VOCAB
    assert abs(places.mean() - 19.5) < 1.0


def test_masked_models_never_score_what_is_not_hidden() -> None:
    cfg = dataclasses.replace(TINY, objective="masked", length=20, layers=1)
    params = random_params(FAMILY, cfg, {}, 0)
    batch = batch_of(length=20)
    jitted = jax.jit(partial(FAMILY.trained.loss, cfg, params, {}, {}))

    def loss(batch: dict[str, Any], seed: int | None) -> Any:
        return jitted(batch, None if seed is None else jax.random.key(seed))

    value, (_, metrics) = loss(batch, None)
    assert metrics["loss"][1] == 3 * ROWS
    assert value == loss(batch, None)[0], "evaluation draws the same"
    # By hand: the logits of the text as it is read, at the hidden places.
    text = batch["targets"]
    inputs, places, targets = jax.jit(lambda x: masking.hide(masking.keys_by_text(x), x, VOCAB))(text)
    logits = quick(lambda p, x: whole_logits(FAMILY, cfg, p, {}, x), params, inputs)
    logits = jnp.take_along_axis(logits, places[..., None], 1)
    nats = -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], 2)
    np.testing.assert_allclose(metrics["loss"][0], nats.sum(), rtol=1e-5)
    np.testing.assert_allclose(value, nats.mean(), rtol=1e-5)
    assert loss(batch, 0)[0] != loss(batch, 1)[0], "every step hides other tokens"
    other = batch | {"tokens": jnp.zeros_like(batch["tokens"])}
    assert loss(other, None)[0] == value, "the text is that of the targets"
    turned = batch | {"targets": text[::-1]}
    np.testing.assert_allclose(loss(turned, None)[0], value, rtol=1e-5, err_msg="hidden by text and not by row")


def test_padding_of_a_masked_text_is_not_looked_at() -> None:
    cfg = dataclasses.replace(TINY, objective="masked")
    params = random_params(FAMILY, cfg, {}, 0)
    tokens = batch_of()["targets"]
    lengths = jnp.full(ROWS, 4)
    states = jax.jit(lambda t: transformer.hidden_states(cfg, params, t, transformer.Drop(None, None), lengths))
    close(states(tokens.at[:, 4:].set(0))[:, :4], states(tokens)[:, :4])


@pytest.mark.parametrize("keys_values", KEYS_VALUES)
@pytest.mark.parametrize("tied", [True, False])
def test_the_ledger_counts_the_arrays(keys_values: str, tied: bool) -> None:
    cfg = dataclasses.replace(NOTES, keys_values=keys_values, tied=tied, objective="causal" if tied else "masked")
    ledger = parameter_ledger(cfg)
    shapes = jax.eval_shape(lambda: FAMILY.trained.init(jax.random.key(0), cfg, {}))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == sum(ledger.values()) - ledger["total"]
    assert shapes["keys"].size == ledger["keys"] and shapes["values"].size == ledger["values"]
    assert shapes["layers"]["query"].size == ledger["queries"]
    gains = sum(x.size for p, x in jax.tree_util.tree_leaves_with_path(shapes) if "norm" in jax.tree_util.keystr(p))
    assert gains == ledger["norms"] and ledger["mask"] == (0 if tied else 768)


def test_the_ledger_and_the_cache_of_the_notes() -> None:
    ledger = parameter_ledger(NOTES)
    assert ledger["embeddings"] == 38_400_000 and ledger["queries"] == 12 * 768 * 768 == 7_077_888
    assert ledger["keys"] == ledger["values"] == 589_824
    assert sum(ledger[k] for k in ("embeddings", "queries", "keys", "values")) == 46_657_536
    assert ledger["total"] == 110_358_528
    usual = dataclasses.replace(NOTES, keys_values="per_layer")
    assert FAMILY.decode is not None
    assert FAMILY.decode.size(NOTES) == (0, 2 * 768 * 4) and FAMILY.decode.size(usual) == (0, 12 * 2 * 768 * 4)
    half = dataclasses.replace(NOTES, keys_values="shared_k", dtype="bfloat16")
    assert FAMILY.decode.size(half) == (0, 13 * 768 * 2)


def test_flops_by_hand() -> None:
    weights = 38_400_000 + 7_077_888 + 2 * 589_824 + 7_077_888 + 56_623_104
    attention = 12 * 128 * 768 * 12 / 2  # T D a layer, forward and backward, half of the pairs
    assert FAMILY.flops(NOTES) == (6.0 * weights + attention, "token")


def test_bfloat16_computes_about_the_same_from_float32_parameters() -> None:
    cfg = dataclasses.replace(TINY, dim=16, keys_values="shared_v", layers=1)
    params = FAMILY.trained.init(jax.random.key(0), cfg, {})
    batch = batch_of()

    def loss(cfg: TransformerConfig, params: Any) -> Any:
        return FAMILY.trained.loss(cfg, params, {}, {}, batch, None)[0]

    value, grads = quick(jax.value_and_grad(partial(loss, dataclasses.replace(cfg, dtype="bfloat16"))), params)
    exact = quick(partial(loss, cfg), params)
    assert value.dtype == jnp.float32 and all(g.dtype == jnp.float32 for g in jax.tree.leaves(grads))
    assert value != exact and abs(float(value) - float(exact)) < 0.01


def test_stacked_gains_do_not_decay() -> None:
    shapes = jax.eval_shape(lambda: FAMILY.trained.init(jax.random.key(0), TINY, {}))
    found = optimizers.decays(OptimizerConfig(dense="adamw"), shapes, FAMILY.axes(TINY))
    assert not found["layers"]["norm_wide"] and not found["norm"] and not found["embed"]
    assert found["layers"]["query"] and found["keys"]


def test_steps_split_by_tensor_or_fully_sharded_are_those_of_one_device() -> None:
    model = dataclasses.replace(TINY, keys_values="shared_kv", dropout=0.1, layers=1)
    train = TrainConfig(batch_size=8, steps_per_call=2)
    optimizer = OptimizerConfig(dense="adamw", learning_rate=0.01, schedule="constant")
    base = Config("transformer", model, train=train, optimizer=optimizer)
    begin = jax.jit(lambda params: dataclasses.replace(init_state(FAMILY, base, model, {}), params=params))
    start = jax.device_get(begin(random_params(FAMILY, model, {}, 0)))
    results = []
    for mesh_config in (MeshConfig(data=1), MeshConfig(data=2, model=4), MeshConfig(fsdp=True)):
        config = dataclasses.replace(base, mesh=mesh_config)
        mesh = make_mesh(mesh_config, jax.devices()[: 1 if mesh_config.data == 1 else 8])
        call = make_call(FAMILY, config, model, Horizon(10, 10), mesh, start, {})
        state = jax.device_put(start, state_sharding(FAMILY, model, mesh, start, mesh_config.fsdp))
        draw = np.random.default_rng(0)
        batches = {
            k: draw.integers(0, VOCAB, (2, *s.shape)).astype(np.int32)
            for k, s in FAMILY.trained.shapes(model, 8).items()
        }
        sent = jax.device_put(batches, batch_sharding(mesh))
        args = ({}, sent, jnp.int32(2), jnp.zeros(mesh.size, jnp.int32))
        state, metrics, _ = call.lower(state, *args).compile(compiler_options=QUICK)(state, *args)
        if mesh_config.fsdp:
            held = [x for x in jax.tree.leaves((state.params, state.opt_state)) if x.ndim]
            parts = [x.size // x.addressable_shards[0].data.size for x in held]
            assert min(parts) >= mesh.shape["data"], "a device holds its part alone, of the optimiser's numbers too"
        results.append(jax.device_get((state.params, metrics)))
    for result in results[1:]:
        close(result, results[0], 5e-5)


def test_a_mesh_that_does_not_divide_the_model_is_refused() -> None:
    config = Config("transformer", dataclasses.replace(TINY, dim=12), mesh=MeshConfig(fsdp=True))
    with pytest.raises(
        UserError, match=r"mesh.data=8 x mesh.model=1: cannot split embed of shape \(128, 12\)"
    ) as error:
        programs(config, stand_in(config))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "model.heads=3: does not divide model.dim=8"),
        ({"heads": 8}, "model.heads=8: makes heads 1 wide; rotary positions need an even width"),
        ({"keys_values": "shared"}, "model.keys_values='shared': must be one of"),
        ({"objective": "mask"}, r"did you mean 'masked'\?"),
        ({"loop": "for"}, "model.loop='for': must be"),
        ({"dropout": 1.0}, "model.dropout=1.0: must be"),
        ({"attention": "cudnn"}, "model.attention='cudnn': needs model.dtype=bfloat16"),
    ],
)
def test_values_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        dataclasses.replace(TINY, **change)
    assert "\n" not in str(error.value)


def test_masked_models_have_no_scores_and_no_cache() -> None:
    cfg = dataclasses.replace(TINY, objective="masked")
    for refused in (lambda: FAMILY.score(cfg, {}, {}, {}, {}), lambda: transformer.start(cfg, 1, 6)):  # type: ignore[misc]
        with pytest.raises(UserError, match="model.objective='masked'"):
            refused()


def test_the_penn_treebank_model_has_the_size_of_the_small_lstm() -> None:
    cfg = FAMILY.resolve(load_config("configs/ptb_transformer.py").model, 10_000)
    ledger = parameter_ledger(cfg)
    assert ledger["total"] + ledger["norms"] == 4_650_464 and abs(4_650_464 - 4_651_600) < 2_000
