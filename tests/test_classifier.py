"""The text classifiers: against logistic regression in numpy and scikit-learn, the notes' figures, and padding."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import QUICK, labelled_texts, quick, random_params
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.models import transformer_classifier
from w2v_jax.models.recurrent_classifier import FAMILY, RecurrentClassifierConfig
from w2v_jax.models.transformer_classifier import TransformerClassifierConfig

VOCAB, DIM, TIME = 30, 5, 9
BASE = RecurrentClassifierConfig(dim=DIM, hidden=DIM, max_length=TIME, vocab_size=VOCAB)
BLOCKS = TransformerClassifierConfig(
    dim=DIM, hidden=8, heads=2, wide=2, max_length=TIME, vocab_size=VOCAB, pad_lengths=2, loop="scan"
)
EVERY = pytest.mark.parametrize(
    ("base", "change"),
    [
        (BASE, {"cell": "average"}),
        (BASE, {"cell": "elementwise"}),
        (BASE, {"cell": "rnn", "pool": "mean"}),
        (BASE, {"cell": "lstm_elementwise", "pool": "max"}),
        (BASE, {"cell": "lstm", "pool": "max", "bidirectional": True}),
        (BASE, {"cell": "gru", "bidirectional": True}),
        (BLOCKS, {"keys_values": "shared_v"}),
    ],
    ids=lambda c: "-".join(str(v) for v in c.values()) if isinstance(c, dict) else type(c).__name__[:-16],
)


def texts(count: int, classes: int, seed: int = 0, junk: bool = False) -> dict[str, Any]:
    return labelled_texts(count, TIME, VOCAB, classes, seed, junk)


def spec_of(cfg: Any) -> Family:
    return FAMILY if isinstance(cfg, RecurrentClassifierConfig) else transformer_classifier.FAMILY


def loss_of(cfg: Any, params: Any, batch: Any, consts: Any = None) -> Any:
    return spec_of(cfg).trained.loss(cfg, params, consts or {}, {}, batch, None)


def test_the_average_is_logistic_regression() -> None:
    cfg = dataclasses.replace(BASE, cell="average", classes=3)
    params, batch = random_params(FAMILY, cfg, {}, seed=1), texts(7, 3)
    batch["label"][5] = -1
    batch["global_rows"] = np.float32(10)
    (value, (_, metrics)), grads = quick(
        lambda p, b: jax.value_and_grad(lambda p: loss_of(cfg, p, b), has_aux=True)(p), params, batch
    )
    leaves = params["embed"], params["head"]["W"], params["head"]["b"]
    table, weights, bias = (np.asarray(x, np.float64) for x in leaves)
    nats, hits, d_table, d_weights, d_bias = 0.0, 0, np.zeros_like(table), np.zeros_like(weights), np.zeros_like(bias)
    for words, length, label in zip(batch["tokens"], batch["length"], batch["label"], strict=True):
        if label < 0:
            continue
        mean = table[words[:length]].mean(0)
        raised = np.exp(mean @ weights + bias)
        share = raised / raised.sum()
        nats -= np.log(share[label])
        hits += share.argmax() == label
        error = share - np.eye(3)[label]
        d_weights += np.outer(mean, error)
        d_bias += error
        np.add.at(d_table, words[:length], weights @ error / length)
    np.testing.assert_allclose(value, nats / 10, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], (nats, 6), rtol=1e-5)
    np.testing.assert_allclose(metrics["correct"], (hits, 6))
    np.testing.assert_allclose(metrics["words"], (batch["words"].sum(), 7))
    np.testing.assert_allclose(grads["head"]["W"], d_weights / 10, atol=1e-6)
    np.testing.assert_allclose(grads["head"]["b"], d_bias / 10, atol=1e-6)
    np.testing.assert_allclose(grads["embed"], d_table / 10, atol=1e-6)


def test_the_optimum_of_the_average_is_that_of_sklearn(tmp_path: Path) -> None:
    from scipy.optimize import minimize
    from sklearn.linear_model import LogisticRegression

    batch = texts(300, 2, seed=3)
    table = np.random.default_rng(4).standard_normal((VOCAB, DIM)).astype(np.float32)
    means = np.stack([table[w[:n]].mean(0) for w, n in zip(batch["tokens"], batch["length"], strict=True)])
    noise = np.random.default_rng(5).logistic(size=300)
    batch["label"] = (3 * means[:, 0] - 2 * means[:, 1] + noise > 0).astype(np.int32)
    path = tmp_path / "vectors.bin"
    words = tuple(f"w{i}" for i in range(VOCAB))
    save(Embeddings(words, table), path)
    cfg = dataclasses.replace(BASE, cell="average", vectors=str(path))
    consts = FAMILY.consts(cfg, _Corpus(words))
    start = FAMILY.trained.init(jax.random.key(0), cfg, consts)
    assert set(start) == {"head"} and FAMILY.embed is not None and FAMILY.embed(cfg, start) == {}

    @jax.jit
    def value_and_grad(flat: jax.Array) -> Any:
        def value(flat: jax.Array) -> jax.Array:
            params = {"head": {"W": flat[:-2].reshape(DIM, 2), "b": flat[-2:]}}
            return loss_of(cfg, params, batch, consts)[0]

        return jax.value_and_grad(value)(flat)

    def as_float64(flat: np.ndarray) -> Any:
        value, grad = value_and_grad(np.float32(flat))
        return float(value), np.float64(grad)

    found = minimize(as_float64, np.zeros(2 * DIM + 2), jac=True, method="L-BFGS-B").x
    theirs = LogisticRegression(C=np.inf, max_iter=1000).fit(means, batch["label"])
    assert 0.6 < theirs.score(means, batch["label"]) < 0.95
    weights = found[:-2].reshape(DIM, 2)
    np.testing.assert_allclose(weights[:, 1] - weights[:, 0], theirs.coef_[0], atol=0.02)
    np.testing.assert_allclose(found[-1] - found[-2], theirs.intercept_[0], atol=0.02)


class _Corpus:
    def __init__(self, words: tuple[str, ...]) -> None:
        self.vocab = self
        self.words = words


def test_the_sentence_of_the_notes() -> None:
    """*The dog was cute* under c <- w * c + x with w = (.8, .8, .7)."""
    cfg = RecurrentClassifierConfig(cell="elementwise", dim=3, hidden=3, max_length=4, vocab_size=4)
    table = np.zeros((cfg.padded_vocab, 3), np.float32)
    table[:4] = [(0.1, 0.5, 0.2), (0.3, 0.7, 0.1), (0.4, 0.2, 0.8), (0.6, 0.9, 0.3)]
    params = {
        "cells": {"forward": {"U": jnp.array([[0.8, 0.8, 0.7]])}},
        "head": {"W": jnp.eye(3, 2), "b": jnp.zeros(2)},
        "embed": jnp.asarray(table),
    }
    tokens, lengths = np.arange(4, dtype=np.int32)[None], np.array([4], np.int32)

    def read(params: Any) -> Any:
        return FAMILY.encode.states(cfg, params, {}, tokens, lengths)[1][0, -1]  # type: ignore[union-attr]

    last, by, logits = quick(
        lambda p: (read(p), jax.jacobian(read)(p), FAMILY.classify(cfg, p, {}, tokens, lengths)),  # type: ignore[misc]
        params,
    )
    np.testing.assert_allclose(last, (1.1632, 1.764, 0.9776), rtol=1e-6)
    np.testing.assert_allclose(np.diag(by["embed"][:, 0]), (0.512, 0.512, 0.343), rtol=1e-6)
    np.testing.assert_allclose(logits[0], (1.1632, 1.764), rtol=1e-6)


@EVERY
def test_padding_order_and_the_end_of_the_loop_change_nothing(base: Any, change: dict[str, Any]) -> None:
    cfg = dataclasses.replace(base, **change)
    spec = spec_of(cfg)
    params, clean, junk = random_params(spec, cfg, {}, seed=2), texts(6, 2), texts(6, 2, junk=True)
    order = np.array([3, 0, 5, 1, 4, 2])

    def value(params: Any, batch: Any) -> jax.Array:
        return loss_of(cfg, params, batch)[0]

    run = jax.jit(jax.value_and_grad(value)).lower(params, clean).compile(compiler_options=QUICK)
    want = run(params, clean)
    long = junk | {"steps": np.full(6, TIME, np.int32)}
    moved = {k: v[order] if np.ndim(v) else v for k, v in junk.items()}
    for other in (junk, long, moved):
        for a, b in zip(*map(jax.tree.leaves, (run(params, other), want)), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)

    def logits(params: Any, tokens: np.ndarray, lengths: np.ndarray) -> Any:
        return spec.classify(cfg, params, {}, tokens, lengths)

    together = quick(logits, params, junk["tokens"], junk["length"])
    n = int(clean["length"][2])
    alone = quick(logits, params, clean["tokens"][2:3, :n], clean["length"][2:3])
    np.testing.assert_allclose(alone[0], together[2], atol=2e-6)


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_both_directions_are_two_readings_of_one_cell(pool: str) -> None:
    both = dataclasses.replace(BASE, cell="lstm", bidirectional=True, pool=pool)
    one = dataclasses.replace(both, bidirectional=False)
    params, batch = random_params(FAMILY, both, {}, seed=6), texts(4, 2)
    weights, bias = params["head"]["W"], params["head"]["b"]
    turned = np.array([np.r_[t[:n][::-1], t[n:]] for t, n in zip(batch["tokens"], batch["length"], strict=True)])

    def read_by(cfg: Any, params: Any, tokens: Any) -> Any:
        states = FAMILY.encode.states(cfg, params, {}, tokens, batch["length"])[1]  # type: ignore[union-attr]
        return FAMILY.classify(cfg, params, {}, tokens, batch["length"]), states  # type: ignore[misc]

    read_one = jax.jit(partial(read_by, one))

    def read(name: str, half: jax.Array, tokens: np.ndarray) -> Any:
        alone = {"cells": {"forward": params["cells"][name]}, "head": {"W": half, "b": 0 * bias}}
        alone |= {"embed": params["embed"]}
        return read_one(alone, tokens)

    there, back = read("forward", weights[:DIM], batch["tokens"]), read("backward", weights[DIM:], turned)
    logits, states = quick(lambda p, t: read_by(both, p, t), params, batch["tokens"])
    np.testing.assert_allclose(logits, there[0] + back[0] + bias[None], atol=2e-6)
    for i, n in enumerate(batch["length"]):
        got, size = states[i, :n], there[1].shape[2]
        np.testing.assert_allclose(got[:, :size], there[1][i, :n], atol=1e-6)
        np.testing.assert_allclose(got[:, size:], back[1][i, :n][::-1], atol=1e-6)


@pytest.mark.parametrize("base", [BASE, BLOCKS], ids=["lstm", "transformer"])
def test_the_loss_adds_up_over_rows_and_a_text_without_words_is_finite(base: Any) -> None:
    cfg = dataclasses.replace(base, pool="max", dropout=0.4)
    spec = spec_of(cfg)
    params, batch = random_params(spec, cfg, {}, seed=7), texts(6, 2)
    batch["length"][2] = 0
    batch["label"][4] = -1

    def value(params: Any, batch: Any, rng: Any) -> jax.Array:
        return spec.trained.loss(cfg, params, {}, {}, batch, rng)[0]

    compiled = jax.jit(jax.value_and_grad(value))

    def run(batch: Any) -> Any:
        return compiled(params, batch, jax.random.key(1))

    whole = run(batch)
    # A row without a label counts for nothing, so that both halves have the shape of the whole.
    halves = [run(batch | {"label": np.where(half, batch["label"], -1)}) for half in np.arange(6) // 3 == [[0], [1]]]
    for a, *b in zip(*map(jax.tree.leaves, (whole, *halves)), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, sum(b), atol=2e-6)
    batch["tokens"][4, :3] += 1
    np.testing.assert_allclose(run(batch)[0], whole[0], rtol=1e-6)
    undropped = quick(lambda p, b: value(p, b, None), params, batch)
    assert abs(float(undropped) - float(whole[0])) > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "lsmt"}, "model.cell='lsmt': must be one of average, .*did you mean 'lstm'"),
        ({"pool": "sum"}, "model.pool='sum': must be one of"),
        ({"classes": 1}, "model.classes=1: must be at least 2"),
        ({"max_length": 0}, "model.max_length=0: must be at least 1"),
        ({"dropout": 1.0}, "model.dropout=1.0"),
        ({"cell": "elementwise", "dim": 4}, "model.dim=4: model.cell=elementwise needs it equal to model.hidden"),
        ({"cell": "average", "bidirectional": True}, "model.bidirectional=True: an average has no direction"),
    ],
)
def test_impossible_options(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(BASE, **change)
