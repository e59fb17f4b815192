"""The pair encoder: its losses and towers against numpy, SIF by enumeration, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import quick, random_params, with_rows
from w2v_jax.config import Config, MeshConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import pair_towers
from w2v_jax.models.pair_encoder import FAMILY, PairEncoderConfig
from w2v_jax.models.pair_losses import Objective, compared, grade_targets, pair_losses
from w2v_jax.train.programs import programs, stand_in

HOW = Objective("contrastive", threshold=0.0, margin=2.0, near=0.5, temperature=0.3, grades=5)
RNG = np.random.default_rng(0)
A, B = (RNG.normal(0, 0.4, (6, 4)).astype(np.float32) for _ in range(2))
GIVEN = np.array([1.0, 0.0, 0.7, 0.2, 1.0, 0.9], np.float32)
THERE = np.array([True, True, True, True, True, False])


def losses_of(loss: str, head: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(losses, which count, distances, scores) of the pairs above."""
    how = dataclasses.replace(HOW, loss=loss)
    a, b, given, there = map(jnp.asarray, (A, B, GIVEN, THERE))
    found, counted = pair_losses(how, head or {}, a, b, given, there)
    return tuple(map(np.asarray, (found, counted, *compared(how, head or {}, a, b))))  # type: ignore[return-value]


# ---- losses ----


def test_losses_of_single_pairs_are_their_formulas() -> None:
    euclid = np.sqrt(((A - B) ** 2).sum(1))
    found, _, distance, score = losses_of("contrastive")
    wanted = GIVEN * np.maximum(0, euclid - 0.5) ** 2 + (1 - GIVEN) * np.maximum(0, 2 - euclid) ** 2
    np.testing.assert_allclose(found, wanted * THERE, rtol=1e-5)
    np.testing.assert_allclose(distance, euclid, rtol=1e-5)
    np.testing.assert_allclose(score, -euclid, rtol=1e-5)
    cosine = (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)
    for loss, value in (("cosine", cosine), ("manhattan", np.exp(-np.abs(A - B).sum(1)))):
        found, _, distance, score = losses_of(loss)
        np.testing.assert_allclose(found, (value - GIVEN) ** 2 * THERE, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose((score, 1 - distance), (value, value), rtol=1e-5)


def test_grades_are_those_of_tai_and_others() -> None:
    """Their example: a score of 3.4 of 1 to 5 is grade 3 with .6 and grade 4 with .4."""
    given = np.array([(3.4 - 1) / 4, 0.0, 1.0, 0.5], np.float32)
    wanted = [[0, 0, 0.6, 0.4, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
    np.testing.assert_allclose(grade_targets(jnp.asarray(given), 5), wanted, atol=1e-6)
    head = {k: RNG.normal(0, 1, s).astype(np.float32) for k, s in {"U": (8, 3), "e": 3, "W": (3, 5), "c": 5}.items()}
    found, _, distance, score = losses_of("grades", head)
    hidden = 1 / (1 + np.exp(-(np.hstack([np.abs(A - B), A * B]) @ head["U"] + head["e"])))
    logits = hidden @ head["W"] + head["c"]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    q = np.asarray(grade_targets(jnp.asarray(GIVEN), 5))
    kl = np.where(q > 0, q * np.log(np.where(q > 0, q, 1) / p), 0).sum(1)
    np.testing.assert_allclose(found, kl * THERE, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(score, p @ np.linspace(0, 1, 5), rtol=1e-5)
    np.testing.assert_allclose(distance, 1 - score, rtol=1e-6)


def test_in_batch_negatives_leave_out_absent_pairs() -> None:
    found, counted, _, _ = losses_of("info_nce")
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (A, B))
    logits = (a @ b.T / 0.3)[:5, :5]
    both = [np.log(np.exp(x).sum(1)) - np.diag(x) for x in (logits, logits.T)]
    same = [0, 2, 4]  # 5 is not there
    np.testing.assert_allclose(found[same], np.mean(both, axis=0)[same], rtol=1e-4)
    assert counted.tolist() == [True, False, True, False, True, False] and not found[[1, 3, 5]].any()


def test_same_begins_in_the_middle_of_the_scores_and_within_the_cut() -> None:
    a, b, there = jnp.asarray(A[:2]), jnp.asarray(B[:2]), jnp.array([True, True])
    how = dataclasses.replace(HOW, loss="info_nce")
    assert pair_losses(how, {}, a, b, jnp.array([0.5, 0.49]), there)[1].tolist() == [True, False]
    cuts = [dataclasses.replace(HOW, loss=loss).cut for loss in ("contrastive", "cosine", "grades", "info_nce")]
    assert cuts == [1.0, 0.5, 0.5, 0.5], "half the margin, or the distance of a score in the middle"
    assert dataclasses.replace(HOW, threshold=0.3).cut == 0.3


def test_a_loss_over_the_batch_is_not_taken_of_parts() -> None:
    tiny = FAMILY.examples[0]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"train": TrainConfig(batch_size=8, accumulate=2)}, "train.accumulate=2"),
        ({"train": TrainConfig(batch_size=8), "mesh": MeshConfig(data=2, per_device=True)}, "mesh.per_device=True"),
    ]
    for change, key in cases:
        config = Config("pair_encoder", dataclasses.replace(tiny, loss="info_nce"), **change)
        with pytest.raises(UserError, match=f"{key}: the loss of pair_encoder compares all rows"):
            programs(config, stand_in(config, 40), jax.devices()[:2])
        other = dataclasses.replace(config, model=tiny)
        programs(other, stand_in(other, 40), jax.devices()[:2])


# ---- towers ----


def test_sif_is_the_expectation_over_all_texts_and_takes_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    length, a, counts, drawn = 4, 0.1, np.array([50, 30, 20]), np.array([1, 6, 3])
    monkeypatch.setattr(pair_towers, "SIF_LENGTH", float(length))
    vectors = RNG.normal(0, 1, (5, 3)).astype(np.float32)  # two rows of padding
    made = pair_towers.sif_consts(a, counts, drawn, vectors, 5, 3)
    share = counts / 100
    weights = np.append(a / (a + share), [1, 1])
    second = np.zeros((3, 3))
    for text in itertools.product(range(3), repeat=length):
        v = (weights[list(text), None] * vectors[list(text)]).mean(0)
        second += (drawn / 10)[list(text)].prod() * np.outer(v, v)
    wanted = np.linalg.eigh(second)[1][:, -1]
    np.testing.assert_allclose(made["weights"], weights, rtol=1e-6)
    np.testing.assert_allclose(made["component"], wanted * np.sign(wanted.sum()), atol=1e-5)
    cfg = PairEncoderConfig(tower="sif", dim=3, max_length=3, vocab_size=3)
    params = {"embed": jnp.zeros((128, 3)).at[:5].set(vectors)}
    consts = {"weights": jnp.pad(made["weights"], (0, 123)), "component": jnp.asarray(made["component"])}
    compare = FAMILY.compare
    assert compare is not None
    tokens = jnp.array([[2, 1, 0], [1, 1, 1]], jnp.int32)
    found = np.asarray(compare.vectors(cfg, params, consts, tokens, jnp.array([2, 0], jnp.int32)))
    plain = (weights[2] * vectors[2] + weights[1] * vectors[1]) / 2
    np.testing.assert_allclose(found[0], plain - made["component"] * (made["component"] @ plain), atol=1e-5)
    assert abs(found[0] @ made["component"]) < 1e-5 and not found[1].any(), "a text without words is zeros"
    assert not pair_towers.sif_consts(a, counts, drawn, None, 5, 3)["component"].any()


def test_both_texts_go_through_one_tower_whatever_follows_them() -> None:
    compare = FAMILY.compare
    assert compare is not None
    for change in ({"bidirectional": True, "pool": "last"}, {"pool": "max"}):
        cfg = PairEncoderConfig(tower="lstm", loss="grades", hidden=3, dim=4, units=2, max_length=5, vocab_size=9)
        cfg = dataclasses.replace(cfg, **change)
        params = random_params(FAMILY, cfg, {}, seed=1)
        tokens, lengths = RNG.integers(0, 9, (3, 5)).astype(np.int32), np.array([5, 2, 3], np.int32)
        junk = np.where(np.arange(5) < lengths[:, None], tokens, (tokens + 1) % 9)
        both = np.concatenate([tokens, junk])
        s = quick(lambda p, t, n: compare.vectors(cfg, p, {}, t, n), params, both, np.tile(lengths, 2))  # noqa: B023
        np.testing.assert_allclose(s[:3], s[3:], atol=1e-6)
        short = compare.vectors(cfg, params, {}, jnp.asarray(tokens[1:2, :2]), jnp.array([2], jnp.int32))
        np.testing.assert_allclose(s[1], short[0], atol=1e-5)
        one, other = (compare.pairs(cfg, params, *pair)[0] for pair in ((s[:3], s[::-1][:3]), (s[::-1][:3], s[:3])))
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("pool", ["last", "max"])
def test_the_backward_direction_is_the_forward_one_of_the_text_turned_round(pool: str) -> None:
    cfg = PairEncoderConfig(tower="lstm", hidden=3, dim=4, max_length=5, vocab_size=9, pool=pool, bidirectional=True)
    params, lengths = random_params(FAMILY, cfg, {}, seed=2), np.array([5, 2, 1], np.int32)
    tokens = RNG.integers(0, 9, (3, 5)).astype(np.int32)
    turned = np.stack([np.append(row[:n][::-1], row[n:]) for row, n in zip(tokens, lengths, strict=True)])
    cells = params["tower"]["cells"]
    swapped = params | {"tower": {"cells": {"forward": cells["backward"], "backward": cells["forward"]}}}
    run = jax.jit(partial(FAMILY.compare.vectors, cfg))  # type: ignore[union-attr]
    one, other = run(params, {}, tokens, lengths), run(swapped, {}, turned, lengths)
    np.testing.assert_allclose(one, np.roll(other, 3, axis=1), atol=1e-6)
    assert np.abs(np.asarray(one) - np.asarray(run(params, {}, turned, lengths)))[0].max() > 1e-3


def test_dropout_takes_the_same_dimensions_from_both_texts() -> None:
    """Equal texts stay equal; other texts are changed by it."""
    cfg = PairEncoderConfig(hidden=8, dim=8, max_length=3, pad_lengths=1, vocab_size=9, dropout=0.5, near=0.001)
    params, tokens = random_params(FAMILY, cfg, {}, seed=3), np.array([[1, 2, 3], [4, 5, 0]], np.int32)
    loss = jax.jit(partial(FAMILY.trained.loss, cfg))
    found = []
    for second in (tokens, tokens + 1):
        batch = with_rows(
            {
                "tokens": np.stack([tokens, second], 1),
                "length": np.array([[3, 3], [2, 2]], np.int32),
                "score": np.ones(2, np.float32),
                "words": np.array([6, 4], np.int32),
                "steps": np.full((2, 2), 3, np.int32),
            }
        )
        found.append([float(loss(params, {}, {}, batch, rng)[0]) for rng in (None, jax.random.key(1))])
    (plain, dropped), (other, changed) = found
    assert plain == dropped == 0.0 and other > 0 and changed != pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tower": "lstm"}, "model.hidden=0: must be above 0 for lstm"),
        ({"pool": "last"}, "model.pool='last': must be mean or max for mean"),
        ({"bidirectional": True}, "model.bidirectional=True: model.tower=mean has no direction"),
        ({"counts": "vocab.txt"}, "has no effect with model.tower=mean"),
        ({"loss": "cosin"}, r"did you mean 'cosine'"),
    ],
)
def test_what_an_encoder_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PairEncoderConfig(**change)
