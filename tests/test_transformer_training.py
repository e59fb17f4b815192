"""The transformer's options of training: noise for the softmax, documents kept apart, given vectors, share of masks."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import device_consts, quick, random_params, words_of
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.lanes import lane_source
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.models import transformer
from w2v_jax.models.frequencies import noise_probability
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.nn import masking
from w2v_jax.nn.sampled import sampled_cross_entropy
from w2v_jax.types import Words

FAMILY = transformer.FAMILY
VOCAB, ROWS, LENGTH = 23, 3, 12
TINY = TransformerConfig(
    layers=2, dim=8, heads=2, length=LENGTH, vocab_size=VOCAB, head_chunk=16, loop="unrolled", init_scale=0.3
)


def batch_of(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, VOCAB, (ROWS, LENGTH + 1)).astype(np.int32)
    doc = np.sort(rng.integers(0, 3, (ROWS, LENGTH)), axis=1).astype(np.int32)
    return {
        "tokens": jnp.asarray(ids[:, :-1]),
        "targets": jnp.asarray(ids[:, 1:]),
        "doc": jnp.asarray(doc),
        "start": jnp.zeros(ROWS, jnp.int32),
        "words": jnp.full(ROWS, LENGTH, jnp.int32),
        "row": jnp.arange(ROWS, dtype=jnp.int32),
        "global_rows": jnp.float32(ROWS),
    }


# ---- noise in place of the vocabulary ----


def drawn_case() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    hidden, table = rng.standard_normal((7, 5)), rng.standard_normal((VOCAB, 5))
    targets, weights = rng.integers(0, VOCAB, 7), rng.uniform(0.5, 2, 7)
    targets[3] = -1
    table, bias = table.astype(np.float32), rng.standard_normal(VOCAB).astype(np.float32)
    return hidden.astype(np.float32), table, bias, targets.astype(np.int32), weights.astype(np.float32)


def full_nats(hidden: Any, table: Any, bias: Any, targets: Any) -> Any:
    logits = hidden @ table.T + bias
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(targets)), targets]


def test_a_sampled_loss_is_the_formula() -> None:
    hidden, table, bias, targets, weights = drawn_case()
    rng = np.random.default_rng(1)
    share = rng.dirichlet(np.ones(VOCAB))
    noise = np.concatenate([rng.integers(0, VOCAB, 10), targets[:2], targets[:1]]).astype(np.int32)  # hits, one twice
    total, nats, correct = quick(
        sampled_cross_entropy, hidden, table, bias, targets, weights, noise, np.log(share[noise]).astype(np.float32)
    )
    wanted = np.zeros(7)
    for m, y in enumerate(targets):
        if y >= 0:
            scores = table @ hidden[m] + bias
            others = [np.exp(scores[n]) / share[n] for n in noise if n != y]
            wanted[m] = np.log(np.exp(scores[y]) + sum(others) / len(noise)) - scores[y]
            assert correct[m] == all(scores[y] >= scores[n] for n in noise if n != y)
    np.testing.assert_allclose(nats, wanted, rtol=1e-4)
    np.testing.assert_allclose(total, (weights * wanted)[targets >= 0].sum(), rtol=1e-4)
    assert nats[3] == 0 and not correct[3]


def test_noise_of_every_word_once_is_the_whole_softmax_and_has_its_gradient() -> None:
    hidden, table, bias, targets, weights = drawn_case()
    noise, log_share = np.arange(VOCAB, dtype=np.int32), np.full(VOCAB, -np.log(VOCAB), np.float32)

    def sampled(hidden: Any, table: Any, bias: Any) -> Any:
        return sampled_cross_entropy(hidden, jnp.asarray(table), jnp.asarray(bias), targets, weights, noise, log_share)[
            0
        ]

    def whole(hidden: Any, table: Any, bias: Any) -> Any:
        logs = jax.nn.log_softmax(hidden @ table.T + bias[None])
        nats = -jnp.take_along_axis(logs, jnp.maximum(targets, 0)[:, None], 1)[:, 0]
        return jnp.sum(jnp.where(targets >= 0, weights, 0) * nats)

    for ours, theirs in zip(
        *(quick(jax.grad(f, (0, 1, 2)), hidden, table, bias) for f in (sampled, whole)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(sampled(hidden, table, bias), whole(hidden, table, bias), rtol=1e-5)


def test_the_estimated_sum_is_right_in_the_mean_over_draws() -> None:
    """E Z is the sum over the vocabulary, whatever the noise: 4,000 draws of 8 words, within 4 standard errors."""
    hidden, table, bias, targets, weights = drawn_case()
    cfg = dataclasses.replace(TINY, noise_words=8)
    consts = device_consts(FAMILY, cfg, VOCAB)
    np.testing.assert_allclose(np.exp(consts["log_share"]), noise_probability(words_of(VOCAB).counts), rtol=1e-5)
    from w2v_jax.nn.draws import alias_words

    rows = jnp.arange(4000, dtype=jnp.int32)
    noise = alias_words(consts["accept"], consts["alias"], jax.random.key(3), rows, 8)

    def nats(noise: Any) -> Any:
        share = consts["log_share"][noise]
        return sampled_cross_entropy(hidden, jnp.asarray(table), jnp.asarray(bias), targets, weights, noise, share)[1]

    drawn = np.exp(np.asarray(quick(jax.vmap(nats), noise), np.float64))  # Z / exp(score of the target)
    wanted = np.exp(full_nats(hidden, table, bias, targets))
    error = drawn.std(0) / np.sqrt(len(drawn))
    there = targets >= 0
    assert (np.abs(drawn.mean(0) - wanted)[there] < 4 * error[there]).all()


def test_noise_is_for_training_alone_and_the_same_for_all_rows() -> None:
    plain = dataclasses.replace(TINY, layers=1)
    cfg = dataclasses.replace(plain, noise_words=5)
    params, consts, batch = random_params(FAMILY, cfg, {}, 0), device_consts(FAMILY, cfg, VOCAB), batch_of()

    @partial(jax.jit, static_argnums=0)
    def loss(cfg: TransformerConfig, batch: dict[str, Any], rng: Any) -> Any:
        return FAMILY.trained.loss(cfg, params, consts, {}, batch, rng)[0]

    assert loss(cfg, batch, None) == loss(plain, batch, None), "held-out losses use the whole vocabulary"
    first, second = jax.random.key(1), jax.random.key(2)
    together = loss(cfg, batch, first)
    assert loss(cfg, batch, second) != together != loss(plain, batch, first)
    rows = [{k: v[i : i + 1] if jnp.ndim(v) else v for k, v in batch.items()} for i in range(ROWS)]
    assert sum(loss(cfg, row, first) for row in rows) == pytest.approx(float(together), rel=1e-5)


# ---- documents ----


def test_lanes_name_the_document_of_every_target() -> None:
    tokens = np.arange(1, 20, dtype=np.uint16)
    offsets = np.array([0, 4, 4, 9, 19], np.int64)  # the second is empty
    for start_id in (0, None):
        shapes = FAMILY.trained.shapes(dataclasses.replace(TINY, within_documents=True, length=3), 2)
        source = lane_source(Tokens(tokens, offsets, 19), shapes, start_id=start_id)
        for batch in source.iterate(0, source.steps_per_epoch):
            targets, doc = batch["targets"], batch["doc"]
            assert ((doc >= 0) == (targets >= 0)).all()
            for target, number in zip(targets[targets >= 0], doc[targets >= 0], strict=True):
                assert target in tokens[offsets[number] : offsets[number + 1]]


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_attention_stays_within_documents(objective: str) -> None:
    """The states of a document inside a window are those of the document alone at the same places."""
    cfg = dataclasses.replace(TINY, objective=objective, within_documents=True)
    params, batch = random_params(FAMILY, cfg, {}, 0), batch_of()
    drop = transformer.Drop(None, None)

    @jax.jit
    def states(tokens: Any, doc: Any) -> Any:
        return transformer.hidden_states(cfg, params, tokens, drop, document=doc)

    whole = np.asarray(states(batch["tokens"], batch["doc"]))
    for b in range(ROWS):
        for number in np.unique(batch["doc"][b]):
            own = np.asarray(batch["doc"][b] == number)
            others = jnp.where(own, batch["tokens"][b], (batch["tokens"][b] + 1) % VOCAB)[None]
            # Two programs, whose sums differ in order: states of nearly nothing have an absolute error.
            np.testing.assert_allclose(
                states(others, batch["doc"][b : b + 1])[0][own], whole[b][own], rtol=1e-5, atol=1e-6
            )
    together = np.asarray(states(batch["tokens"], jnp.zeros_like(batch["doc"])))
    assert not np.allclose(together, whole)
    loss = jax.jit(lambda batch: FAMILY.trained.loss(cfg, params, {}, {}, batch, None)[0])
    joined = batch | {"doc": jnp.zeros_like(batch["doc"])}
    assert float(loss(batch)) != float(loss(joined)), "training reads the entry"


def test_documents_choose_a_kernel_that_takes_any_mask() -> None:
    cfg = dataclasses.replace(TINY, length=512, dim=16, within_documents=True)
    place = FAMILY.place
    assert place is not None
    assert place(cfg, "tpu").attention == "xla"
    assert place(dataclasses.replace(cfg, within_documents=False), "tpu").attention == "splash"
    with pytest.raises(UserError, match="takes no model.within_documents"):
        dataclasses.replace(cfg, attention="splash")


# ---- given vectors and the share of masks ----


def test_the_embedding_starts_from_given_vectors_by_word(tmp_path: Path) -> None:
    names = tuple(f"w{i}" for i in range(0, VOCAB, 2))
    matrix = np.random.default_rng(0).normal(0, 3, (len(names), TINY.dim)).astype(np.float32)
    save(Embeddings(names, matrix), tmp_path / "vectors.bin")
    cfg = dataclasses.replace(TINY, objective="masked", vectors=str(tmp_path / "vectors.bin"))
    words = Words([f"w{i}" for i in range(VOCAB)], np.arange(VOCAB, 0, -1))
    consts = jax.tree.map(jnp.asarray, FAMILY.consts(cfg, words))
    table = np.asarray(FAMILY.trained.init(jax.random.key(0), cfg, consts)["embed"])
    given = table[0:VOCAB:2]
    np.testing.assert_allclose(given, matrix * (0.3 / np.sqrt((matrix**2).mean())), rtol=1e-5)
    drawn = np.delete(table, np.arange(0, VOCAB, 2), axis=0)
    assert (drawn[: VOCAB // 2 + 1] != 0).any(1).all(), "other words and the mask are drawn"
    assert np.abs(drawn).max() < 2


def test_what_starts_from_given_vectors_is_said(tmp_path: Path) -> None:
    save(Embeddings(("cat", "dog", "owl"), np.ones((3, 8), np.float32)), tmp_path / "vectors.bin")
    (tmp_path / "text.txt").write_text("the cat saw the dog\nthe dog ran\n" * 3)
    from w2v_jax.config import DataConfig

    said: list[str] = []
    data = DataConfig(source=f"text:{tmp_path}/text.txt", min_count=1, heldout_every=0, cache_dir=str(tmp_path))
    cfg = dataclasses.replace(TINY, vocab_size=0, vectors=str(tmp_path / "vectors.bin"))
    FAMILY.text(cfg, data, said.append)
    assert any(re.search("2 of 5 tokens start from .*vectors.bin, the others are drawn", line) for line in said)


@pytest.mark.parametrize(("share", "length", "count"), [(0.15, 12, 2), (0.25, 12, 3), (0.4, 12, 5), (0.01, 12, 1)])
def test_the_share_of_hidden_tokens_is_the_config(share: float, length: int, count: int) -> None:
    cfg = dataclasses.replace(TINY, objective="masked", mask_share=share, layers=1)
    params, batch = random_params(FAMILY, cfg, {}, 0), batch_of()
    metrics = jax.jit(lambda b: FAMILY.trained.loss(cfg, params, {}, {}, b, None)[1][1])(batch)
    assert metrics["loss"][1] == ROWS * count == ROWS * masking.chosen_count(length, share)


def test_all_byte_pairs_of_a_word_are_hidden_or_none() -> None:
    from w2v_jax.data import bpe

    tokens = [*bpe.byte_of(), *(a + "Ġ"[: a == ""] + b for a, b in (("", "cat"), ("", "do"), ("g", "s"), (",", "")))]
    bounds = bpe.word_bounds([*tokens, "<eos>"])
    ids = {token: i for i, token in enumerate([*tokens, "<eos>"])}
    text = np.array([ids[t] for t in ("c", "a", "t", "<eos>", "d", "o", "Ġdo", "gs", ",", "Ġcat", "ĉ", "8")])
    number = np.asarray(masking.word_numbers(jnp.asarray(text), jnp.asarray(bounds)))
    assert number.tolist() == [0, 0, 0, 1, 2, 2, 3, 3, 4, 5, 6, 7]
    assert bpe.word_bounds(["a", "b"]).tolist() == [2, 2], "words of another vocabulary"

    rng = np.random.default_rng(0)
    long = jnp.asarray(rng.choice([ids[t] for t in ("a", "gs", "Ġdo", "Ġcat", ",")], (300, 24)), jnp.int32)
    long = long.at[:100, 20:].set(-1)
    keys = masking.keys_by_row(jax.random.key(0), jnp.arange(300))
    found = jax.jit(lambda: masking.hide(keys, long, len(tokens) + 1, 0.25, jnp.asarray(bounds)))()
    inputs, places, targets = map(np.asarray, found)
    drawn = []
    for row in range(300):
        of = np.asarray(masking.word_numbers(long[row], jnp.asarray(bounds)))
        hidden = places[row][targets[row] >= 0]
        np.testing.assert_array_equal(targets[row][targets[row] >= 0], long[row][hidden])
        assert 1 <= len(hidden) <= (5 if row < 100 else 6) and np.asarray(long[row])[hidden].min() >= 0
        words = np.unique(of[hidden])
        parts = [np.isin(np.flatnonzero(of == word), hidden) for word in words]
        assert all(part.all() for part in parts) or len(words) == 1, "only a word too long for a row is cut"
        rest = np.delete(np.arange(24), hidden)
        np.testing.assert_array_equal(inputs[row][rest], np.maximum(np.asarray(long[row])[rest], 0))
        drawn.append(len(words))
    assert np.mean(drawn) > 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"whole_words": True}, "model.whole_words=True: needs model.objective=masked"),
        ({"mask_share": 0.0, "objective": "masked"}, "model.mask_share=0.0: must be above 0 and below 1"),
        ({"mask_share": 1.0, "objective": "masked"}, "model.mask_share"),
        ({"mask_share": 0.3}, "needs model.objective=masked"),
        ({"noise_words": -1}, "model.noise_words=-1: must be 0 or more"),
        ({"encoding_errors": "guess"}, "model.encoding_errors='guess'"),
    ],
)
def test_impossible_options(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        dataclasses.replace(TINY, **changes)
