"""word2vec against formulas derived by hand and written as numpy loops over pairs, in float64."""

from __future__ import annotations

import dataclasses
import types
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import chdtrc

from tests.examples import (
    device_consts,
    quick,
    random_batch,
    random_params,
    with_rows,
    zipf_counts,
)
from tests.windows import skipgram_pairs
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.pipeline import stacked
from w2v_jax.models.frequencies import noise_probability
from w2v_jax.models.huffman import huffman_paths
from w2v_jax.models.word2vec import FAMILY, Word2VecConfig, draw_noise
from w2v_jax.train.gradients import gather_rows
from w2v_jax.types import Words

EVERY = pytest.mark.parametrize(
    "example", FAMILY.examples, ids=lambda e: f"{e.architecture}-{e.loss}-{e.window_draw}-{e.context_gradient}"
)
VOCAB = 23

# A sample: (tokens averaged into the hidden vector, token predicted, weight, noise words with their weights).
Sample = tuple[list[int], int, float, list[tuple[int, float]]]


class Drawn(NamedTuple):
    """What a step drew: noise words by row, [R, N], and the turn of the centres that they are scored for."""

    noise: np.ndarray
    turn: int

    def at(self, cfg: Word2VecConfig, row: int, centre: int) -> list[tuple[int, float]]:
        """Noise words of a centre with their weights; none where it is not its turn."""
        share = cfg.negatives * cfg.noise_every / self.noise.shape[1]
        return [(int(n), share) for n in self.noise[row]] if centre % cfg.noise_every == self.turn else []


def sigma(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def samples_of(cfg: Word2VecConfig, batch: dict[str, np.ndarray], noise: Drawn | None) -> list[Sample]:
    """Every training sample of a batch, by a walk over its centres."""
    tokens, doc, window, out = batch["tokens"], batch["doc"], cfg.window, []
    for r, i in np.ndindex(*batch["reach"].shape):
        at = i + window
        drawn = [] if noise is None else noise.at(cfg, r, i)
        near: list[tuple[int, float]] = []
        for place in range(at - window, at + window + 1):
            distance = abs(place - at)
            if distance == 0 or doc[r, at] < 0 or doc[r, place] != doc[r, at]:
                continue
            if cfg.draw == "sampled" and distance > batch["reach"][r, i]:
                continue
            near.append((int(tokens[r, place]), 1 - (distance - 1) / window if cfg.draw == "expected" else 1.0))
        centre = int(tokens[r, at])
        if cfg.architecture == "cbow":
            out += [([n for n, _ in near], centre, 1.0, drawn)] if near else []
        elif cfg.loss == "hierarchical":
            out += [([n], centre, weight, drawn) for n, weight in near]
        else:
            out += [([centre], n, weight, drawn) for n, weight in near]
    return out


def by_hand(
    cfg: Word2VecConfig, E: np.ndarray, C: np.ndarray, samples: list[Sample]
) -> tuple[float, np.ndarray, np.ndarray]:
    """(loss, dE, dC) of the samples, each gradient written out; trees are those of `zipf_counts`, in whole paths."""
    nodes, signs = huffman_paths(zipf_counts(cfg.vocab_size))
    total, dE, dC = 0.0, np.zeros_like(E), np.zeros_like(C)
    for inputs, target, weight, noise in samples:
        hidden = sum(E[x] for x in inputs) / len(inputs)
        back = np.zeros_like(hidden)
        if cfg.loss == "softmax":
            scores = C[: cfg.vocab_size] @ hidden
            p = np.exp(scores) / np.exp(scores).sum()
            total -= weight * np.log(p[target])
            for v in range(cfg.vocab_size):
                error = weight * (p[v] - (v == target))
                dC[v] += error * hidden
                back += error * C[v]
        else:
            if cfg.loss == "negative":
                binary = [(target, 1, weight), *((n, 0, weight * share) for n, share in noise)]
            else:
                path = zip(nodes[target], signs[target], strict=True)
                binary = [(int(node), int(sign > 0), weight) for node, sign in path if sign != 0]
            for row, label, share in binary:
                p_one = sigma(C[row] @ hidden)
                total -= share * np.log(p_one if label else 1 - p_one)
                error = share * (p_one - label)
                dC[row] += error * hidden
                back += error * C[row]
        tool = cfg.architecture == "cbow" and cfg.context_gradient == "tool"
        for x in inputs:
            dE[x] += back if tool else back / len(inputs)
    return total, dE, dC


def by_model(
    cfg: Word2VecConfig, params: Any, consts: Any, batch: dict[str, np.ndarray], seed: int = 7
) -> tuple[float, np.ndarray, np.ndarray, dict[str, Any], Drawn | None]:
    """(loss, dE, dC, metrics, what was drawn) from the model, its gradients by row summed into tables."""

    def run(params: Any, batch: Any) -> Any:
        ids, drawn = FAMILY.trained.rows(cfg, consts, batch, jax.random.key(seed))

        def loss(dense: Any, gathered: Any) -> Any:
            value, (_, metrics) = FAMILY.trained.loss(cfg, dense | gathered, consts, {}, drawn, None)
            return value, metrics

        dense = {k: v for k, v in params.items() if k not in ids}
        out = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(dense, gather_rows(params, ids))
        return out, ids, (drawn.get("noise"), drawn.get("turn", 0))

    ((value, metrics), (dense, sparse)), ids, (noise, turn) = quick(run, params, with_rows(batch))
    grads = {}
    for name, table in params.items():
        grads[name] = np.zeros(table.shape)
        if name in dense:
            grads[name] += dense[name]
        else:
            np.add.at(grads[name], np.asarray(ids[name]).ravel(), np.asarray(sparse[name]).reshape(-1, cfg.dim))
    return float(value), grads["E"], grads["C"], metrics, None if noise is None else Drawn(np.asarray(noise), int(turn))


def doubles(tree: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


@EVERY
def test_gradients_agree_with_the_hand_derived_ones(example: Word2VecConfig) -> None:
    cfg = FAMILY.resolve(dataclasses.replace(example, window=3, segment=12), VOCAB)
    consts = device_consts(FAMILY, cfg, VOCAB)
    params = random_params(FAMILY, cfg, consts, seed=1)
    batch = random_batch(FAMILY, cfg, 24, np.random.default_rng(2))
    assert (batch["doc"] < 0).any() and (np.diff(batch["doc"]) > 0).any()
    value, dE, dC, metrics, noise = by_model(cfg, params, consts, batch)
    samples = samples_of(cfg, batch, noise)
    want, wantE, wantC = by_hand(cfg, **doubles(params), samples=samples)
    assert value == pytest.approx(want, rel=1e-5)
    for got, wanted in ((dE, wantE), (dC, wantC)):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * max(1.0, np.abs(wanted).max()))
    assert float(metrics["loss"][0]) == value
    assert float(metrics["loss"][1]) == pytest.approx(sum(s[2] for s in samples), rel=1e-6)
    assert float(metrics["words"][0]) == batch["words"].sum()


@pytest.mark.parametrize("vocab", [2, 3, 4, 9, 300])
@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_hierarchical_softmax_of_any_vocabulary(vocab: int, architecture: str) -> None:
    """One inner node, no path below the top nodes, more words than four times the top nodes."""
    example = next(e for e in FAMILY.examples if e.loss == "hierarchical" and e.architecture == architecture)
    cfg = FAMILY.resolve(dataclasses.replace(example, segment=64), vocab)
    consts = device_consts(FAMILY, cfg, vocab)
    assert consts["exit_signs"].shape[1] == {2: 1, 3: 1, 4: 1, 9: 2, 300: 64}[vocab]
    params = random_params(FAMILY, cfg, consts, seed=11)
    batch = random_batch(FAMILY, cfg, 64, np.random.default_rng(12))
    value, dE, dC, _, _ = by_model(cfg, params, consts, batch)
    want, wantE, wantC = by_hand(cfg, **doubles(params), samples=samples_of(cfg, batch, None))
    assert value == pytest.approx(want, rel=1e-5)
    for got, wanted in ((dE, wantE), (dC, wantC)):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * max(1.0, np.abs(wanted).max()))


def text_batch(cfg: Word2VecConfig, lengths: list[int], seed: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """(documents, all rows of the model's own source over them as one batch)."""
    rng = np.random.default_rng(seed)
    tokens, offsets = rng.integers(0, VOCAB, sum(lengths)).astype(np.uint16), np.cumsum([0, *lengths])
    vocab = Words(None, np.bincount(tokens, minlength=VOCAB))
    heldout = Tokens(tokens, offsets, len(tokens))
    corpus = types.SimpleNamespace(vocab=vocab, heldout=heldout, block_tokens=10_000)
    source = FAMILY.trained.source(cfg, corpus, "heldout", 2 * cfg.segment, 3)
    stack = stacked(source, 0, source.steps_per_epoch, source.steps_per_epoch)
    return np.split(tokens, offsets[1:-1]), {k: v.reshape(-1, *v.shape[2:]) for k, v in stack.items()}


@EVERY
def test_rows_of_text_give_the_objective_of_the_pair_lists(example: Word2VecConfig) -> None:
    """No window is lost, repeated or carried over an edge between documents, rows or steps."""
    cfg = FAMILY.resolve(dataclasses.replace(example, window=3), VOCAB)
    consts = device_consts(FAMILY, cfg, VOCAB)
    params = random_params(FAMILY, cfg, consts, seed=4)
    docs, batch = text_batch(cfg, [1, 9, 20, 2, 13, 1, 5, 10], seed=5)
    value, *_, metrics, noise = by_model(cfg, params, consts, batch)
    reach, samples, start = batch["reach"].ravel(), [], 0
    for doc in docs:
        # Pairs of places, so that reach and noise can be looked up; the words are those of the document.
        near: dict[int, list[tuple[int, float]]] = {}
        for i, j in skipgram_pairs(range(len(doc)), cfg.window):
            if cfg.draw != "sampled" or abs(i - j) <= reach[start + i]:
                weight = 1 - (abs(i - j) - 1) / cfg.window if cfg.draw == "expected" else 1.0
                near.setdefault(i, []).append((int(doc[j]), weight))
        for i, words in near.items():
            centre = int(doc[i])
            drawn = [] if noise is None else noise.at(cfg, *divmod(start + i, cfg.segment))
            if cfg.architecture == "cbow":
                samples.append(([w for w, _ in words], centre, 1.0, drawn))
            elif cfg.loss == "hierarchical":
                samples += [([w], centre, weight, drawn) for w, weight in words]
            else:
                samples += [([centre], w, weight, drawn) for w, weight in words]
        start += len(doc)
    want, _, _ = by_hand(cfg, **doubles(params), samples=samples)
    assert value == pytest.approx(want, rel=1e-5)
    assert float(metrics["loss"][1]) == pytest.approx(sum(x[2] for x in samples), rel=1e-6)
    assert len(samples) > 50


@pytest.mark.parametrize("loss", ["negative", "hierarchical", "softmax"])
def test_expected_windows_are_the_mean_over_all_reaches(loss: str) -> None:
    example = next(e for e in FAMILY.examples if e.loss == loss and e.architecture == "skipgram")
    cfg = FAMILY.resolve(dataclasses.replace(example, window=4, window_draw="expected"), VOCAB)
    drawn = dataclasses.replace(cfg, window_draw="sampled")
    consts = device_consts(FAMILY, cfg, VOCAB)
    params = random_params(FAMILY, cfg, consts, seed=6)
    batch = random_batch(FAMILY, cfg, 16, np.random.default_rng(6))

    def value(cfg: Word2VecConfig, params: Any, batch: Any) -> Any:
        ids, b = FAMILY.trained.rows(cfg, consts, batch, jax.random.key(0))
        return FAMILY.trained.loss(cfg, params | gather_rows(params, ids), consts, {}, b, None)[0]

    def both(params: Any, batch: Any) -> Any:
        # A centre's reach is uniform and its own: the mean over one reach for all is the mean over all draws.
        reaches = jnp.arange(1, cfg.window + 1)
        each = jax.vmap(lambda b: value(drawn, params, batch | {"reach": jnp.full_like(batch["reach"], b)}))(reaches)
        return value(cfg, params, batch), each

    expected, each = quick(both, params, with_rows(batch))
    assert float(expected) == pytest.approx(float(each.mean()), rel=1e-5)
    assert float(each.std()) > 0.1 * float(expected), "reaches that change nothing prove nothing"


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_shared_negatives_mean_fresh_ones_for_every_pair(architecture: str) -> None:
    """Exactly, over the noise distribution: the loss is a mean over noise places, each drawn alike."""
    example = next(e for e in FAMILY.examples if e.loss == "negative" and e.architecture == architecture)
    cfg = FAMILY.resolve(dataclasses.replace(example, window_draw="sampled", negatives=3, noise_every=1), VOCAB)
    consts = device_consts(FAMILY, cfg, VOCAB)
    params = random_params(FAMILY, cfg, consts, seed=8)
    batch = random_batch(FAMILY, cfg, 16, np.random.default_rng(8))
    noise_p = noise_probability(zipf_counts(VOCAB))

    def value(params: Any, batch: Any, noise: Any) -> Any:
        ids, b = FAMILY.trained.rows(cfg, consts, batch, jax.random.key(0))
        at = ids["C"].shape[1] - cfg.shared_negatives
        ids["C"] = jnp.concatenate([ids["C"][:, :at], jnp.broadcast_to(noise, (2, cfg.shared_negatives))], axis=1)
        return FAMILY.trained.loss(cfg, params | gather_rows(params, ids), consts, {}, b, None)[0]

    def mean(params: Any, batch: Any) -> Any:
        each = jax.vmap(lambda v: value(params, batch, v))(jnp.arange(VOCAB))
        return each @ jnp.asarray(noise_p, jnp.float32)

    got, slope = quick(jax.value_and_grad(mean), params, with_rows(batch))
    # k fresh words a pair, in expectation: every word of the vocabulary at k times its probability.
    everywhere = [(v, cfg.negatives * float(noise_p[v])) for v in range(VOCAB)]
    samples = [(x, t, w, everywhere) for x, t, w, _ in samples_of(cfg, batch, None)]
    want, wantE, wantC = by_hand(cfg, **doubles(params), samples=samples)
    assert float(got) == pytest.approx(want, rel=1e-5)
    for name, wanted in (("E", wantE), ("C", wantC)):
        np.testing.assert_allclose(slope[name], wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_shared_negatives_over_many_draws() -> None:
    cfg = FAMILY.resolve(dataclasses.replace(FAMILY.examples[0], noise_every=2), VOCAB)
    consts = device_consts(FAMILY, cfg, VOCAB)
    params = random_params(FAMILY, cfg, consts, seed=9)
    batch = random_batch(FAMILY, cfg, 16, np.random.default_rng(9))

    def each(params: Any, batch: Any) -> Any:
        def one(key: Any) -> Any:
            ids, b = FAMILY.trained.rows(cfg, consts, batch, key)
            return FAMILY.trained.loss(cfg, params | gather_rows(params, ids), consts, {}, b, None)[0]

        return jax.vmap(one)(jax.random.split(jax.random.key(10), 400))

    values = np.asarray(quick(each, params, with_rows(batch)), np.float64)
    p = noise_probability(zipf_counts(VOCAB))
    everywhere = [(v, cfg.negatives * float(p[v])) for v in range(VOCAB)]
    samples = [(x, t, w, everywhere) for x, t, w, _ in samples_of(cfg, batch, None)]
    want, _, _ = by_hand(cfg, **doubles(params), samples=samples)
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - want) < 4 * error < 0.02 * want


def test_noise_words_follow_their_distribution() -> None:
    consts = device_consts(FAMILY, FAMILY.resolve(FAMILY.examples[0], VOCAB), VOCAB)
    rows = jnp.arange(50)
    words = np.asarray(quick(partial(draw_noise, count=2000), consts, jax.random.key(3), rows))
    assert words.min() >= 0 and words.max() < VOCAB
    expected = noise_probability(zipf_counts(VOCAB)) * words.size
    statistic = ((np.bincount(words.ravel(), minlength=VOCAB) - expected) ** 2 / expected).sum()
    assert chdtrc(VOCAB - 1, statistic) > 1e-3, "chi-square"
    # What a row draws hangs on its global number alone, not on the rows beside it on the device.
    part = quick(partial(draw_noise, count=2000), consts, jax.random.key(3), rows[30:32])
    np.testing.assert_array_equal(part, words[30:32])
    assert (words[0] != words[1]).any()
