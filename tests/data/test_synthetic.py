"""The synthetic language and its optimum, against enumerated hidden paths, a dense forward algorithm, closed forms."""

import dataclasses
import hashlib
import itertools
import math
import re

import numpy as np
import pytest

from w2v_jax.config import DataConfig, SyntheticConfig
from w2v_jax.data import synthetic
from w2v_jax.data.bayes import Language, rivals
from w2v_jax.errors import UserError
from w2v_jax.evaluation.optimum import distance_to_optimum

TINY = SyntheticConfig(
    words=24, topics=3, senses=3, shared=0.4, switch=0.3, distances="1,2,4", lead=0.7, tail=0.9, zipf=0.8
)
SMALL = SyntheticConfig(words=120, topics=4, senses=10, tokens=20_000, heldout_tokens=3000, test_tokens=2000)
PLURALS = {"sg": 0, "pl": 1}


def role(word):
    """(kind, class or topics) read off the word alone."""
    if m := re.fullmatch(r"([nv])\d+(sg|pl)", word):
        return {"n": "subject", "v": "verb"}[m[1]], PLURALS[m[2]]
    if word == ".":
        return "mark", None
    return "filler", tuple(int(z) for z in re.findall(r"t(\d+)", word))


def arcs(g):
    """{state: [(probability, word, next state)]}: the table of the module's docstring, with distances spelt out."""
    roles = [role(w) for w in g.words]
    topics = range(g.topics)

    def words(kind, z, c=None):
        return [(g.emission[z, w], w) for w, (k, x) in enumerate(roles) if k == kind and (c is None or x == c)]

    out = {}
    for z in topics:
        q = g.lead / (1 + g.lead)
        out["lead", z] = [(q * p, w, ("lead", z)) for p, w in words("filler", z)]
        for c, d in itertools.product(range(2), g.distances):
            arc = (1 - q) / 2 / len(g.distances)
            out["lead", z] += [(arc * p, w, (c, d, z)) for p, w in words("subject", z, c)]
        for c, r in itertools.product(range(2), range(1, max(g.distances) + 1)):
            if r > 1:
                out[c, r, z] = [(p, w, (c, r - 1, z)) for p, w in words("filler", z)]
            else:
                out[c, r, z] = [(p, w, ("tail", z)) for p, w in words("verb", z, c)]
        q = g.tail / (1 + g.tail)
        out["tail", z] = [(q * p, w, ("tail", z)) for p, w in words("filler", z)]
        for after in topics:
            switched = (1 - q) * ((1 - g.switch) * (after == z) + g.switch / g.topics)
            out["tail", z].append((switched, 0, ("lead", after)))
    return out


def joint(table, state, ids):
    """p(words | state), the sum over every hidden path one by one."""
    if not len(ids):
        return 1.0
    return sum(p * joint(table, after, ids[1:]) for p, word, after in table[state] if word == ids[0])


@pytest.mark.parametrize("seed", range(6))
def test_forward_equals_the_sum_over_all_hidden_paths(seed):
    language = Language.from_config(TINY)
    table, ids = arcs(language.grammar), language.generate(1, seed).ids[:14]
    nats, _ = language.log_likelihood(ids)
    for n in range(1, len(ids) + 1):
        paths = sum(joint(table, ("lead", z), ids[:n]) for z in range(3)) / 3
        assert abs(math.exp(-nats[:n].sum()) / paths - 1) < 1e-10


def dense(g, ids):
    """Nats by the forward algorithm over the whole state space, one matrix a word."""
    table = arcs(g)
    number = {s: i for i, s in enumerate(table)}
    step = np.zeros((len(g.words), len(table), len(table)))
    for state, out in table.items():
        for p, word, after in out:
            step[word, number[state], number[after]] += p
    assert np.allclose(step.sum((0, 2)), 1), "every state's arcs sum to 1"
    belief, nats = np.zeros(len(table)), []
    for z in range(g.topics):
        belief[number["lead", z]] = 1 / g.topics
    for word in ids:
        belief = belief @ step[word]
        nats.append(-math.log(belief.sum()))
        belief /= belief.sum()
    return np.array(nats)


@pytest.mark.parametrize(
    "changes",
    [{}, {"switch": 0.0}, {"switch": 1.0}, {"lead": 0.0}, {"tail": 0.0}, {"shared": 0.0}, {"distances": "3"}],
    ids=str,
)
def test_forward_equals_the_dense_forward_algorithm(changes):
    language = Language.from_config(dataclasses.replace(TINY, **changes))
    ids = language.generate(2000, 1).ids
    nats, _ = language.log_likelihood(ids)
    np.testing.assert_allclose(nats, dense(language.grammar, ids), rtol=0, atol=1e-10)


def test_state_carries_over_and_lanes_are_apart(monkeypatch):
    language = Language.from_config(SMALL)
    lanes = np.stack([language.generate(700, seed).ids[:700] for seed in range(3)])
    whole = np.stack([language.log_likelihood(row)[0] for row in lanes])
    monkeypatch.setattr("w2v_jax.data.bayes._BYTES", 8 * 3 * 4 * 37)  # 37 words at a time
    state, parts = None, []
    for cut in np.split(lanes, [1, 100, 100, 555], axis=1):
        nats, state = language.log_likelihood(cut, state)
        parts.append(nats)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-12)
    assert state.topics.shape == (3, 4) and np.allclose(state.topics.sum(1), 1)


def test_predictive_distribution():
    language = Language.from_config(TINY)
    ids = language.generate(60, 2).ids
    nats, _ = language.log_likelihood(ids)
    for n in range(len(ids)):
        p = language.predict(ids[:n])
        assert p.shape == (24,) and (p >= 0).all() and abs(p.sum() - 1) < 1e-12
        assert abs(-math.log(p[ids[n]]) - nats[n]) < 1e-12
    other = language.generate(60, 3).ids
    lanes = language.predict(np.stack([ids[:20], other[:20]]))
    np.testing.assert_allclose(lanes, [language.predict(ids[:20]), language.predict(other[:20])], rtol=0, atol=1e-15)


def test_agreement_ceiling_is_what_the_predictive_distribution_gives():
    language = Language.from_config(TINY)
    text, words = language.generate(600, 3), language.grammar.words
    verbs = np.array([role(w)[1] if role(w)[0] == "verb" else -1 for w in words])
    hits = {d: [] for d in (1, 2, 4)}
    for t in np.flatnonzero(text.distance):
        p = language.predict(text.ids[:t])
        hits[int(text.distance[t])].append((p[verbs == 1].sum() > p[verbs == 0].sum()) == (verbs[text.ids[t]] == 1))
    ceiling = language.agreement_accuracy_ceiling(text)
    assert ceiling == {d: np.mean(h) for d, h in hits.items()} == {1: 1.0, 2: 1.0, 4: 1.0}


def test_rivals_of_a_verb_are_verbs_of_each_other_class():
    words = dataclasses.replace(TINY, classes=3, words=40)
    g = synthetic.grammar(words)
    order = np.random.default_rng(0).permutation(40)
    vocabulary = [g.words[i] for i in order]
    found = rivals(DataConfig(source="synthetic", synthetic=words), vocabulary)
    assert found.shape == (2, 40)
    first = synthetic.SUBJECT + g.classes
    for i, kind in enumerate(g.kinds[order].tolist()):
        others = g.kinds[order][found[:, i]].tolist()
        assert (
            sorted([kind, *others]) == [first, first + 1, first + 2]
            if kind >= first
            else found[:, i].tolist() == [i, i]
        )
    with pytest.raises(UserError, match="the vocabulary holds 'x', no word of the language"):
        rivals(DataConfig(source="synthetic", synthetic=words), ["x", *vocabulary[1:]])


def test_words_share_their_weights_within_each_kind():
    g = synthetic.grammar(SMALL)
    weight = np.array([0.0, *(1 / r for r in range(1, 120))])
    roles = [role(w) for w in g.words]
    assert len(set(g.words)) == 120 and sum(len(x) == 2 for k, x in roles if k == "filler") == 10
    assert [len(x) == 2 for k, x in roles if k == "filler"] == g.two_senses[g.kinds == synthetic.FILLER].tolist()
    for z in range(4):
        own = np.array([weight[w] / len(x) if k == "filler" and z in x else 0.0 for w, (k, x) in enumerate(roles)])
        shared = np.array([weight[w] if k == "filler" and not x else 0.0 for w, (k, x) in enumerate(roles)])
        fillers = 0.5 * own / own.sum() + 0.5 * shared / shared.sum()
        np.testing.assert_allclose(g.emission[z][g.kinds == synthetic.FILLER], fillers[g.kinds == synthetic.FILLER])
        for kind, c in itertools.product(("subject", "verb"), (0, 1)):
            mine = np.array([r == (kind, c) for r in roles])
            np.testing.assert_allclose(g.emission[z, mine], weight[mine] / weight[mine].sum())


@pytest.mark.parametrize(("exponent", "far"), [(0.7, 0.04), (1.0, 0.04), (1.3, 0.1)])
def test_text_is_zipfian(exponent, far):
    """At 1.3 the first word asks for more of the text than all words of all topics have."""
    language = Language.from_config(SyntheticConfig(words=400, senses=20, zipf=exponent))
    counts = np.bincount(language.generate(200_000, 0).ids, minlength=400)[1:]  # the mark aside
    weights = np.arange(1, 400.0) ** -exponent
    assert np.abs(counts / counts.sum() - weights / weights.sum()).sum() / 2 < far
    ranks = np.arange(3, 200)
    slope = np.polyfit(np.log(ranks), np.log(np.sort(counts)[::-1][ranks - 1]), 1)[0]
    assert abs(slope + exponent) < 0.08


def test_agreement_topics_and_sentences_are_as_annotated():
    cfg = dataclasses.replace(SMALL, distances="1,3,9", switch=0.2, lead=2.0, tail=1.5)
    language = Language.from_config(cfg)
    text = language.generate(60_000, 4)
    roles = [role(language.grammar.words[i]) for i in text.ids]
    ends = np.flatnonzero(text.ids == 0)
    assert ends[-1] == len(text.ids) - 1 and ends[-2] < 60_000 <= len(text.ids)
    leads, tails, topics, distances = [], [], [], []
    for start, end in zip([0, *ends[:-1] + 1], ends, strict=True):
        kinds = [k for k, _ in roles[start:end]]
        assert sorted(k for k in kinds if k != "filler") == ["subject", "verb"]
        subject, verb = start + kinds.index("subject"), start + kinds.index("verb")
        assert roles[subject][1] == roles[verb][1]
        assert np.flatnonzero(text.distance[start : end + 1]).tolist() == [verb - start]
        assert text.distance[verb] == verb - subject
        (z,) = set(text.topic[start : end + 1].tolist())
        assert all(z in x for k, x in roles[start:end] if k == "filler" and x)
        leads.append(subject - start), tails.append(end - verb - 1), topics.append(z), distances.append(verb - subject)
    n = len(ends)
    for drawn, mean in ((leads, 2.0), (tails, 1.5)):
        assert abs(np.mean(drawn) - mean) < 5 * (mean * (1 + mean) / n) ** 0.5
        assert abs(np.mean(np.array(drawn) == 0) - 1 / (1 + mean)) < 5 * (0.25 / n) ** 0.5
    assert sorted(set(distances)) == [1, 3, 9]
    assert np.abs(np.bincount(distances)[[1, 3, 9]] / n - 1 / 3).max() < 5 * (2 / 9 / n) ** 0.5
    moved = np.mean(np.diff(topics) != 0)  # one draw in four gives the old topic again
    assert abs(moved - 0.2 * 0.75) < 5 * (0.15 * 0.85 / n) ** 0.5


def test_a_topic_lasts_from_one_block_of_sentences_to_the_next(monkeypatch):
    monkeypatch.setattr(synthetic, "_SENTENCES", 5)
    topics = [
        set(Language.from_config(dataclasses.replace(SMALL, switch=0.0)).generate(1000, seed).topic.tolist())
        for seed in range(8)
    ]
    assert all(len(t) == 1 for t in topics) and len(set.union(*topics)) > 1


def geometric_entropy(mean):
    q = mean / (1 + mean)
    return -math.log(1 - q) - mean * math.log(q)


def test_entropy_rate_of_one_topic_has_a_closed_form():
    """With one topic all that is hidden can be read off the sentence: its entropy is that of its independent parts."""
    cfg = dataclasses.replace(SMALL, topics=1, senses=0)
    language = Language.from_config(cfg)
    g, mean_d = language.grammar, np.mean(cfg.distance_list())

    def words(kind):
        p = g.emission[0, g.kinds == kind]
        return -(p * np.log(p)).sum()

    fillers = cfg.lead + mean_d - 1 + cfg.tail
    pairs = sum(words(synthetic.SUBJECT + c) + words(synthetic.SUBJECT + 2 + c) for c in range(2)) / 2
    lengths = geometric_entropy(cfg.lead) + geometric_entropy(cfg.tail) + math.log(5)
    exact = (lengths + math.log(2) + pairs + fillers * words(synthetic.FILLER)) / (fillers + 3)
    nats, _ = language.log_likelihood(language.generate(60_000, 5).ids)
    means = nats[: len(nats) // 50 * 50].reshape(50, -1).mean(1)
    error = means.std(ddof=1) / 50**0.5
    assert 0 < error < 0.02
    assert abs(nats.mean() - exact) < 4 * error


def test_wrong_parameters_cost_nats():
    language = Language.from_config(SMALL)
    g, ids = language.grammar, language.generate(20_000, 6).ids
    true, _ = language.log_likelihood(ids)
    flat = np.zeros_like(g.emission)
    for kind in np.unique(g.kinds):
        flat[:, g.kinds == kind] = 1 / (g.kinds == kind).sum()
    wrong = [
        {"switch": 0.5},
        {"switch": 0.02},
        {"lead": 2.0},
        {"tail": 8.0},
        {"distances": (1, 2, 3, 4, 8, 16)},
        {"emission": 0.8 * g.emission + 0.2 * flat},
        {"emission": np.broadcast_to(g.emission.mean(0), g.emission.shape)},  # no topics
    ]
    for change in wrong:
        nats, _ = Language(dataclasses.replace(g, **change)).log_likelihood(ids)
        found = distance_to_optimum(nats, true)["all"]
        assert found["gap"] > 3 * found["standard_error"] > 0, change


def test_the_seed_decides():
    language = Language.from_config(SMALL)
    long, short = language.generate(90_000, 7), language.generate(500, 7)
    for a, b in zip(long, short, strict=True):
        assert np.array_equal(a[: len(b)], b), "a longer text begins with a shorter one"
    assert not np.array_equal(long.ids[:500], language.generate(500, 8).ids[:500])
    # What was once generated stays: raise synthetic.RULES when this must change.
    assert hashlib.sha256(long.ids.astype("<i4").tobytes()).hexdigest()[:16] == "6935adc8619880cd"


def test_what_is_no_text_of_the_language():
    language = Language.from_config(TINY)
    index = {w: i for i, w in enumerate(language.grammar.words)}
    for words, at in ((". f0", 0), ("n0sg v0pl", 1), ("n0sg f0 f1 v0sg", 3), ("n0pl v0pl n0sg", 2), ("t0w0 t1w0", 1)):
        with pytest.raises(UserError, match=f"position {at}: {re.escape(words.split()[at])} cannot follow"):
            language.log_likelihood(np.array([index[w] for w in words.split()]))
    with pytest.raises(UserError, match="word id 24: .* ids 0 to 23"):
        language.log_likelihood(np.array([24]))
