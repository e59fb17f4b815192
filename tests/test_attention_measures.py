"""Measures of attention by layer and head, and probes of layers, by hand on small matrices."""

from __future__ import annotations

import numpy as np
import pytest

from w2v_jax.evaluation import attention, probes
from w2v_jax.evaluation.attention import KINDS

# Each position of the first head looks at the one before it, of the second at the first one and itself.
BEFORE = np.array([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
SINK = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0], [0.5, 0, 0, 0.5]])


# ---- measures ----


def test_summaries_of_heads_by_hand() -> None:
    found = attention.summary(np.stack([BEFORE, SINK])[None].astype(np.float32))
    by_hand = {
        "distance": [1.0, (0.5 + 1.0 + 1.5) / 3],
        "self": [0.0, 0.5],
        "before": [1.0, 0.5 / 3],
        "after": [0.0, 0.0],
        "first": [1 / 3, 0.5],
        "entropy": [0.0, np.log(2)],
    }
    assert found.keys() == by_hand.keys()
    for name, values in by_hand.items():
        np.testing.assert_allclose(found[name], [values], err_msg=name)
    ahead = attention.summary(np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]))
    assert ahead["after"] == 0.5 and ahead["distance"] == 1.5


def test_uniform_attention_is_that_of_softmax_of_nothing() -> None:
    causal, both = attention.uniform(4, True), attention.uniform(4, False)
    np.testing.assert_allclose(causal[2], [1 / 3, 1 / 3, 1 / 3, 0])
    assert (both == 0.25).all() and not np.triu(causal, 1).any()
    assert attention.summary(causal)["entropy"] == pytest.approx(np.log([2, 3, 4]).mean())
    assert attention.summary(both)["entropy"] == pytest.approx(np.log(4))


def test_distances_are_binned_by_doubling() -> None:
    assert attention.doubling(np.array([0, 1, 2, 3, 4, 7, 8, 15, 16])).tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 5]
    assert attention.bin_names(5) == ["0", "1", "2-3", "4-7", "8-15"]
    shares = attention.by_distance(np.stack([BEFORE, SINK]))
    np.testing.assert_allclose(shares, [[0, 1, 0], [0.5, 0.5 / 3, 1 / 3]])
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(9), (2, 9))
    np.testing.assert_allclose(attention.by_distance(weights).sum(-1), 1.0)
    far = [
        row[t + s] for row, t in zip(weights[1][1:], range(1, 9), strict=True) for s in (-3, -2, 2, 3) if 0 <= t + s < 9
    ]
    assert attention.by_distance(weights)[1, 2] == pytest.approx(np.sum(far) / 8)


def test_kinds_of_words_follow_from_the_vocabulary() -> None:
    names = ["<eos>", ",", "<unk>", *(f"w{i}" for i in range(60)), "rare", "--", "\ufffd"]
    counts = np.array([500, 400, 300, *range(160, 100, -1), 9, 8, 7])
    kinds = attention.kinds_of(names, counts, 0, 2)
    named = {name: KINDS[kind] for name, kind in zip(names, kinds, strict=True)}
    assert [named[n] for n in ("<eos>", ",", "--", "<unk>", "rare", "\ufffd")] == [
        "end", "punctuation", "punctuation", "rare", "rare", "rare"
    ]  # fmt: skip
    assert [named[f"w{i}"] for i in (0, 49)] == ["frequent"] * 2
    # The rarest tenth of 9,054 words: 24 in the last three, and eight more of 101 to 108 each.
    assert [named[f"w{i}"] for i in (50, 51, 52, 59)] == ["middle", "middle", "rare", "rare"]
    order = np.random.default_rng(0).permutation(len(names))
    shuffled = attention.kinds_of(
        [names[i] for i in order], counts[order], *(int(np.argmax(order == i)) for i in (0, 2))
    )
    np.testing.assert_array_equal(shuffled, kinds[order])


def test_no_preference_for_a_kind_is_one() -> None:
    kinds = np.array([[0, 1, 2, 1], [1, 1, 0, 2]])
    expected = attention.received(attention.uniform(4, True))
    np.testing.assert_allclose(attention.by_kind(np.stack([expected] * 2), expected, kinds)[:3], 1.0)
    got = attention.received(np.stack([SINK, SINK]))
    np.testing.assert_allclose(got, [[1.5, 0.5, 0.5, 0.5]] * 2)
    found = attention.by_kind(got, expected, kinds)
    # By hand: of all t >= 1, position s gets 1/2 + 1/3 + 1/4 at s = 0, the same at 1, 1/3 + 1/4, 1/4.
    e = np.array([13, 13, 7, 3]) / 12
    assert found[0] == pytest.approx((1.5 + 0.5) / (e[0] + e[2]))
    assert found[1] == pytest.approx((0.5 + 0.5 + 1.5 + 0.5) / (e[1] + e[3] + e[0] + e[1]))
    assert np.isnan(found[3:]).all()


def test_rollout_is_a_walk_that_stays_half_of_the_time() -> None:
    rolled = attention.rollout(np.stack([BEFORE, SINK]))
    np.testing.assert_allclose(rolled[0, 3], [0, 0, 0.5, 0.5])
    # From 3: a quarter to 0 by the second layer, where the first keeps all; three quarters on 3, of which half to 2.
    np.testing.assert_allclose(rolled[1, 3], [0.25, 0, 0.375, 0.375])
    np.testing.assert_allclose(rolled.sum(-1), 1.0)


def test_bands_are_those_of_the_notes() -> None:
    assert attention.bands(12) == [(1, 1), (2, 5), (6, 9), (10, 12)]
    assert attention.bands(24) == [(1, 2), (3, 10), (11, 18), (19, 24)]
    assert attention.bands(4) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert attention.bands(1) == [(1, 1)] and attention.bands(2) == [(1, 1), (2, 2)]
    for count in range(1, 40):
        inside = [i for first, last in attention.bands(count) for i in range(first, last + 1)]
        assert inside == list(range(1, count + 1))
    assert attention.changes([1.0, 2.0, 2.2, 1.5, 1.5], [0.4, 0.1, 0.2, 0.0]) == [1, 1, -1, 0]
    assert attention.changes([1.0, 2.0, 1.0], [0.5, 0.5]) == [0, 0] and attention.changes([1.0], []) == []


# ---- probes ----


def test_a_planted_linear_code_is_read_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(5, (40, 20), p=[0.4, 0.3, 0.1, 0.1, 0.1])
    noise = rng.normal(size=(40, 20, 12))
    code = rng.normal(size=(5, 12))
    fit = np.arange(40) < 20
    found = probes.read(7.0 + 100 * (3 * code[labels] + 0.3 * noise), labels, fit)
    blind = probes.read(noise, labels, fit)
    assert found is not None and blind is not None
    assert found.accuracy > 0.99 and (found.fitted, found.scored, found.classes) == (400, 400, 5)
    assert found.majority == pytest.approx((labels[20:] == 0).mean())
    assert abs(blind.accuracy - blind.majority) < 4 * blind.error
    hidden = np.where(rng.random(labels.shape) < 0.5, probes.NONE, labels)
    half = probes.read(3 * code[hidden] + noise, hidden, fit)
    assert half is not None and half.scored == (hidden[20:] != probes.NONE).sum()
    assert probes.read(noise, np.where(labels == 0, 0, probes.NONE), fit) is None, "one label"
    assert probes.read(noise, labels, np.ones(40, bool)) is None, "nothing to score"


def test_words_back_are_those_of_the_text() -> None:
    text = np.array([[5, 6, 7, 8]])
    kept = np.array([5, 6, 8])
    none = probes.NONE
    assert probes.words_back(text, 0, kept).tolist() == [[5, 6, none, 8]]
    assert probes.words_back(text, 1, kept).tolist() == [[none, 5, 6, none]]
    assert probes.words_back(text, -1, kept).tolist() == [[6, none, 8, none]]
    assert probes.words_back(text, 4, kept).tolist() == probes.words_back(text, 9, kept).tolist() == [[none] * 4]


def test_places_count_from_the_end_of_the_last_document() -> None:
    text = np.array([[4, 4, 0, 4, 4, 4, 0, 0, 4]])
    places = np.array([[0, 1, 2, 0, 1, 2, 3, 0, 0]])
    np.testing.assert_array_equal(probes.since_start(text, 0), attention.doubling(places))
    np.testing.assert_array_equal(probes.since_start(text, None), attention.doubling(np.arange(9)[None]))
