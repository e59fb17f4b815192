"""LDA against enumeration: the bound, the likelihood from left to right, draws, priors, single steps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.special

from tests import lda_reference as reference
from tests.lda_reference import corpus
from w2v_jax.data import bags, documents
from w2v_jax.models import lda, lda_heldout, lda_vb
from w2v_jax.models.lda import LDAConfig
from w2v_jax.nn import categorical, dirichlet

METHODS = pytest.mark.parametrize("method", ["vb", "cvb0", "gibbs"])
TINY = [np.array([0, 1, 0, 2]), np.array([2, 3]), np.array([3, 3, 1])]


@jax.enable_x64(True)
def test_the_bound_is_the_enumerated_one_and_below_the_evidence() -> None:
    """Batch variational Bayes in float64 on a corpus of 9 tokens, 2 topics: 512 assignments."""
    rng, vocab, eta = np.random.default_rng(3), 5, 0.3
    alpha = np.array([0.4, 0.7])
    rows = sp.csr_matrix(np.stack([np.bincount(d, minlength=vocab) for d in TINY]))
    data = bags.bags(rows, bags.deal(np.array([4, 2, 3]), 0, 1, 0))
    kind = jnp.float64
    tile = lda_vb.Tile(
        *(
            jnp.asarray(x[0, 0], t)
            for x, t in zip(
                (data.words, data.counts, data.slot, data.tokens), (jnp.int32, kind, jnp.int32, kind), strict=True
            )
        )
    )
    lam = jnp.asarray(rng.gamma(5.0, 0.2, (vocab, 2)))
    gamma, found = lda_vb.cold(tile.tokens, jnp.asarray(alpha)), []
    exact = reference.log_evidence(TINY, vocab, alpha, eta)
    for _ in range(4):
        table = lda_vb.topic_table(lam, False)
        part = lda_vb.fit_documents(
            tile, table.weight, jnp.asarray(alpha), gamma, collapsed=False, most=200, tolerance=1e-13
        )
        gamma = part.gamma
        nats, logs = lda_vb.document_bound(tile, table, jnp.asarray(alpha), gamma)
        ours = float(nats + lda_vb.topic_bound(lam, jnp.asarray(eta)))
        by_number = np.asarray(gamma)[np.argsort(data.ids[0, 0])]
        b, theirs = np.asarray(lam).T, []
        for d, document in enumerate(TINY):
            weight = np.exp(
                scipy.special.digamma(by_number[d])[:, None]
                + scipy.special.digamma(b)
                - scipy.special.digamma(b.sum(1, keepdims=True))
            )[:, document].T
            theirs.append(weight / weight.sum(1, keepdims=True))
        want = reference.bound(TINY, b, by_number, alpha, eta, theirs)
        assert ours == pytest.approx(want, abs=1e-6) and ours < exact
        theta = scipy.special.digamma(by_number) - scipy.special.digamma(by_number.sum(1, keepdims=True))
        np.testing.assert_allclose(logs, theta.sum(0), atol=1e-8)
        # The fixed points of gamma and lambda, from the enumerated assignments.
        np.testing.assert_allclose(by_number, alpha + np.stack([p.sum(0) for p in theirs]), atol=1e-6)
        total = lda_vb.add_counts(jnp.zeros_like(lam), tile.words, tile.slot, part.weight, part.ratio)
        lam = eta + table.weight * total
        counts = np.zeros((vocab, 2))
        for document, p in zip(TINY, theirs, strict=True):
            np.add.at(counts, document, p)
        np.testing.assert_allclose(lam, eta + counts, atol=1e-6)
        found.append(ours)
    assert all(b >= a - 1e-9 for a, b in zip(found[:-1], found[1:], strict=True)), "coordinate ascent never falls"


@jax.enable_x64(True)
@pytest.mark.parametrize("moves", [False, True])
def test_left_to_right_is_exact_in_expectation(moves: bool) -> None:
    """Every path of a particle is taken once; probability times weight sums to the exact likelihood."""
    topics = np.random.default_rng(1).dirichlet(np.ones(4), 2)
    alpha, words = np.array([0.3, 0.9]), np.array([[1, 3, 1]])
    draws = 6 if moves else 3  # word n is drawn after the n - 1 earlier ones were drawn again
    paths = jnp.asarray(np.stack(list(reference.assignments(draws, 2))))
    order = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5} if moves else {0: 0, 2: 1, 5: 2}  # number of a draw -> column
    column = jnp.array([order.get(i, 0) for i in range(6)])

    def pick(number: Any, weights: Any) -> Any:
        return paths[None, :, column[number]].astype(jnp.int32)

    found = lda_heldout.run(
        jnp.asarray(words), jnp.array([3]), jnp.asarray(topics.T), jnp.asarray(alpha), len(paths), moves, pick
    )
    probability = np.exp(np.asarray(found.drawn[0]))
    assert probability.sum() == pytest.approx(1.0, abs=1e-9)
    mean = (probability * np.exp(np.asarray(found.product[0]))).sum()
    exact = reference.log_likelihood(words[0], topics, alpha)
    assert np.log(mean) == pytest.approx(exact, abs=1e-6)


def test_left_to_right_with_many_particles_is_near_and_exact_where_nothing_is_drawn() -> None:
    topics = np.random.default_rng(1).dirichlet(np.ones(4), 3)
    alpha = np.array([0.3, 0.9, 0.2])
    documents = [np.array([1, 3, 1, 0, 2]), np.array([2]), np.zeros(0, int), np.array([0, 0, 1, 3])]
    exact = [reference.log_likelihood(d, topics, alpha) if len(d) else 0.0 for d in documents]
    for moves in (False, True):
        both = lda_heldout.left_to_right(documents, topics.T, alpha, particles=2048, moves=moves)
        for found, near in zip(both, (0.03, 0.12), strict=True):
            np.testing.assert_allclose(found, exact, atol=near)
            assert found[1] == pytest.approx(exact[1], abs=1e-5) and found[2] == 0.0
    one, _ = lda_heldout.left_to_right(documents, topics[:1].T, alpha[:1], particles=2)
    np.testing.assert_allclose(one, [np.log(topics[0, d]).sum() for d in documents], rtol=1e-5)


def test_gamma_functions_and_fitted_priors() -> None:
    x = np.logspace(-5, 7, 200)
    for ours, theirs in (
        (dirichlet.digamma, scipy.special.digamma),
        (dirichlet.log_gamma, scipy.special.gammaln),
        (dirichlet.trigamma, lambda x: scipy.special.polygamma(1, x)),
    ):
        np.testing.assert_allclose(ours(jnp.asarray(x, jnp.float32)), theirs(x), rtol=3e-6, atol=3e-6)
    prior = np.array([0.3, 2.0, 0.05, 1.0])
    mean_log = scipy.special.digamma(prior) - scipy.special.digamma(prior.sum())
    np.testing.assert_allclose(
        dirichlet.fit_mean_log(jnp.asarray(mean_log, jnp.float32), jnp.ones(4), 200), prior, rtol=1e-3
    )
    flat = scipy.special.digamma(0.02) - scipy.special.digamma(0.02 * 500)
    assert float(dirichlet.fit_mean_log_symmetric(jnp.float32(flat), 500, jnp.float32(1.0))) == pytest.approx(
        0.02, rel=1e-3
    )
    rng = np.random.default_rng(0)
    counts = np.stack([rng.multinomial(50, rng.dirichlet(prior)) for _ in range(2000)] + [np.zeros(4, int)])
    found = np.asarray(dirichlet.fit_counts(jnp.asarray(counts, jnp.float32), jnp.ones(4), False, 200), float)
    np.testing.assert_allclose(found, prior, rtol=0.15)
    n = np.arange(400)
    for mean, a in ((1e-3, 0.1), (0.2, 0.1), (0.9, 0.5), (30.0, 0.1)):
        weight = np.exp(n * np.log(mean) - mean - scipy.special.gammaln(n + 1))
        rise = (weight * (scipy.special.digamma(a + n) - scipy.special.digamma(a))).sum()
        assert float(dirichlet.expected_rise(jnp.float32(mean), jnp.float32(a))) == pytest.approx(rise, rel=0.06)
    # The gradient of the log-probability is 0 there.
    above = scipy.special.digamma(counts + found) - scipy.special.digamma(found)
    below = scipy.special.digamma(counts.sum(1) + found.sum()) - scipy.special.digamma(found.sum())
    np.testing.assert_allclose(above.sum(0) / below.sum(), 1.0, rtol=1e-3)


def test_draws_follow_their_weights() -> None:
    weights = np.random.default_rng(0).random(23).astype(np.float32)
    grid = (np.arange(200_000, dtype=np.float32) + 0.5) / 200_000
    drawn = categorical.draw(jnp.broadcast_to(jnp.asarray(weights), (len(grid), 23)), jnp.asarray(grid))
    np.testing.assert_allclose(np.bincount(drawn, minlength=23) / len(grid), weights / weights.sum(), atol=2e-5)
    assert (np.diff(drawn) >= 0).all(), "by inversion"


def test_tiles_hold_every_document_once() -> None:
    _, text = corpus()
    rows = lda.documents.counts(text.train, 40)
    dealt = bags.deal(np.diff(rows.indptr), 50, 8, 0)
    data = bags.bags(rows, dealt)
    again = np.zeros(rows.shape)
    for b, g in np.ndindex(*data.slot.shape[:2]):
        for s, slot in enumerate(data.slot[b, g]):
            if slot < data.ids.shape[2]:
                np.add.at(again[data.ids[b, g, slot]], data.words[b, g, s], data.counts[b, g, s])
    np.testing.assert_array_equal(again, rows.toarray())
    stream = bags.streams(text.train, dealt, 64)
    there = stream.slot < stream.documents
    counted = np.bincount(stream.words[there], minlength=40)
    np.testing.assert_array_equal(counted, np.asarray(rows.sum(0)).ravel())
    for b, g in np.ndindex(*stream.slot.shape[:2]):
        for phase in stream.slot[b, g]:
            own = phase[phase < stream.documents]
            assert len(set(own)) == len(own), "no two tokens of a document of up to 64 in one phase"


def test_a_gibbs_draw_has_the_written_out_conditional() -> None:
    """One token in one tile: the thresholds of its draw, over many keys, against the formula of the module."""
    from w2v_jax.models import lda_gibbs as gibbs

    rng, eta = np.random.default_rng(0), 0.1
    alpha = np.array([0.2, 0.5, 0.1])
    counts = rng.integers(1, 6, (4, 3))
    words, slot, topics = np.array([[2], [1]]), np.array([[0], [0]]), np.array([[0], [1]])
    table = gibbs.word_table(jnp.asarray(counts), jnp.asarray(counts.sum(0)), jnp.float32(eta))

    def one(key: Any) -> Any:
        return gibbs.sweep_tile(
            jnp.asarray(words),
            jnp.asarray(slot),
            jnp.asarray(topics),
            key,
            table,
            jnp.asarray(counts),
            jnp.asarray(counts.sum(0)),
            jnp.asarray(alpha, jnp.float32),
            jnp.float32(eta),
            documents=1,
        )

    keys = jnp.asarray(rng.integers(0, 2**32, (40_000, 2)), jnp.uint32)
    drawn, nats = jax.jit(jax.vmap(one))(keys)

    def conditional(word: int, own: int, others: np.ndarray) -> np.ndarray:
        hot = np.arange(3) == own
        return (others + alpha) * (counts[word] - hot + eta) / (counts.sum(0) - hot + 4 * eta)

    first = conditional(2, 0, np.array([0, 1, 0]))
    share = np.bincount(np.asarray(drawn)[:, 0, 0], minlength=3) / len(keys)
    np.testing.assert_allclose(share, first / first.sum(), atol=0.01)
    want = np.zeros(3)
    for k in range(3):  # the second token sees what the first drew
        second = conditional(1, 1, (np.arange(3) == k).astype(float))
        want += share[k] * second / second.sum()
    np.testing.assert_allclose(np.bincount(np.asarray(drawn)[:, 1, 0], minlength=3) / len(keys), want, atol=0.01)
    chosen = int(np.asarray(drawn)[0, 0, 0])
    second = conditional(1, 1, (np.arange(3) == chosen).astype(float))
    assert float(nats[0]) == pytest.approx(np.log(first.sum() / 1.8) + np.log(second.sum() / 1.8), rel=1e-5)


@pytest.mark.parametrize("method", ["vb", "cvb0"])
def test_a_step_moves_lambda_to_its_batch_as_if_it_were_the_text(method: str) -> None:
    """Topics share out each token, so sum_k (lambda' - (1 - rho) lambda) / rho - eta is B times the counts of words in
    the batch."""
    _, text = corpus(60)
    cfg = LDAConfig(topics=4, vocab_size=40, method=method, batch=20, tau=3.0, kappa=0.8, warm=True)
    work = lda.prepare(cfg, text, 5, jax.devices()[:1])
    rows = documents.counts(text.train, 40)
    dealt = bags.deal(np.diff(rows.indptr), 20, lda.TILES, 5)
    assert len(dealt) == work.steps == 3
    state, mean = work.start(0), np.zeros(4)
    for t in range(4):
        before = np.asarray(state["lambda"], np.float64)
        state, rho = work.step(state), (3.0 + t) ** -0.8
        gained = (np.asarray(state["lambda"], np.float64) - (1 - rho) * before) / rho - cfg.eta
        seen = np.asarray(rows[np.concatenate(dealt[t % 3])].sum(0), np.float64).ravel()
        np.testing.assert_allclose(gained.sum(1), 3 * seen, rtol=2e-3, atol=2e-3)
        if method == "vb":  # the mean of E[log theta] over documents, mixed in from the second batch on
            gamma = np.asarray(state["gamma"], np.float64)[np.concatenate(dealt[t % 3])]
            logs = (scipy.special.digamma(gamma) - scipy.special.digamma(gamma.sum(1, keepdims=True))).mean(0)
            mean = logs if t == 0 else (1 - rho) * mean + rho * logs
            np.testing.assert_allclose(state["mean_log"], mean, rtol=1e-3)
        else:  # the denominator of Minka's fixed point over the documents of the sweep so far
            met = np.concatenate([d for some in dealt[: t % 3 + 1] for d in some])
            sizes, whole = np.asarray(rows[met].sum(1), np.float64).ravel(), 4 * cfg.alpha
            below = (scipy.special.digamma(sizes + whole) - scipy.special.digamma(whole)).sum()
            assert float(state["rise"][-1]) == pytest.approx(below, rel=1e-4)


def rise(counts: np.ndarray, prior: Any) -> np.ndarray:
    return scipy.special.digamma(counts + prior) - scipy.special.digamma(prior)


@METHODS
@pytest.mark.parametrize("symmetric", [False, True])
def test_priors_are_fitted_to_what_a_sweep_found(method: str, symmetric: bool) -> None:
    """In numpy, from the state before: the means of logarithms (vb), expected counts (cvb0), counts (gibbs)."""
    _, text = corpus(60)
    how = "symmetric" if symmetric else "asymmetric"
    cfg = LDAConfig(topics=3, vocab_size=40, method=method, batch=20, alpha=0.2, eta=0.05, warm=True, fit_alpha=how)
    work = lda.prepare(cfg, text, 5, jax.devices()[:1])
    state = work.start(5)
    for _ in range(work.steps):
        state, said = lda.advance(cfg, work, state)  # the first sweep leaves the priors as they are
    held = {name: np.asarray(value) for name, value in state.items()}
    new = {name: np.asarray(value, np.float64) for name, value in work.priors(state).items()}
    psi, even = scipy.special.digamma, np.full(3, 0.2)
    if method == "vb":
        topics = sum(reference.kl(row, np.full(40, 0.05)) for row in held["lambda"].T.astype(float))
        assert said["loss"] * work.tokens == pytest.approx(topics - held["nats"], rel=1e-4)
        mean_log, alpha = held["mean_log"].astype(float), even
        for _ in range(20):  # Minka's fixed point, psi inverted by Newton's method
            wanted = psi(alpha.sum()) + mean_log
            alpha = np.where(wanted > -2.22, np.exp(wanted) + 0.5, -1 / (wanted - psi(1.0)))
            for _ in range(20):
                alpha = alpha - (psi(alpha) - wanted) / scipy.special.polygamma(1, alpha)
        one = new["alpha"][0]
        if symmetric:
            assert psi(one) - psi(3 * one) == pytest.approx(mean_log.mean(), rel=1e-4)
            alpha = np.full(3, one)
        lam = held["lambda"].astype(float)
        assert psi(new["eta"]) - psi(40 * new["eta"]) == pytest.approx((psi(lam) - psi(lam.sum(0))).mean(), rel=1e-4)
    else:
        dealt = bags.deal(np.diff(text.train.offsets), 20, lda.TILES, 5)
        if method == "cvb0":
            docs, by_topic = held["gamma"][:-1] - 0.2, held["lambda"].T - 0.05
            docs = docs[np.diff(text.train.offsets) > 0]
            some = [-np.expm1(-np.maximum(x, 1e-7)) for x in (docs, by_topic)]
            tops = [
                p * rise(np.maximum(x, 1e-7) / p, a)
                for x, p, a in zip((docs, by_topic), some, (0.2, 0.05), strict=True)
            ]
        else:
            stream = bags.streams(text.train, dealt, cfg.phases)
            docs, ids = np.zeros((stream.slot[..., 0, 0].size, stream.documents + 1, 3)), np.indices(stream.slot.shape)
            np.add.at(docs, (ids[0] * lda.TILES + ids[1], stream.slot, held["topics"]), 1)
            docs, by_topic = docs[:, :-1].reshape(-1, 3), held["counts"].T
            tops = [rise(docs, 0.2), rise(by_topic, 0.05)]
        above, below = tops[0].sum(0), rise(docs.sum(1), 0.6).sum()
        alpha = 0.2 * (np.full(3, above.mean()) if symmetric else above) / below
        below = rise(by_topic.sum(1), 40 * 0.05).sum()
        assert new["eta"] == pytest.approx(0.05 * tops[1].sum() / 40 / below, rel=1e-3)
    np.testing.assert_allclose(new["alpha"], alpha, rtol=2e-3)
    assert symmetric == (np.ptp(new["alpha"]) == 0)
