"""What LDA computes, written out in float64 numpy: sums over all assignments of topics, and the bound term by term.

Beside it the planted text that tests share, and a fit of it step by step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from scipy.special import digamma, gammaln

from w2v_jax.models import lda
from w2v_jax.models.lda import LDAConfig


def log_dirichlet_multinomial(counts: np.ndarray, prior: np.ndarray) -> float:
    """log of the probability of one sequence with these counts under a Dirichlet prior."""
    whole, n = prior.sum(), counts.sum()
    return float(gammaln(whole) - gammaln(whole + n) + (gammaln(prior + counts) - gammaln(prior)).sum())


def assignments(tokens: int, topics: int) -> Iterator[np.ndarray]:
    """All topics^tokens assignments."""
    return (np.array(z, int) for z in itertools.product(range(topics), repeat=tokens))


def log_likelihood(document: np.ndarray, topics: np.ndarray, alpha: np.ndarray) -> float:
    """log p(w | topics [K, V], alpha), summed over all assignments."""
    terms = []
    for z in assignments(len(document), len(alpha)):
        counts = np.bincount(z, minlength=len(alpha))
        terms.append(log_dirichlet_multinomial(counts, alpha) + np.log(topics[z, document]).sum())
    return float(np.logaddexp.reduce(terms))


def log_evidence(documents: list[np.ndarray], vocab_size: int, alpha: np.ndarray, eta: float) -> float:
    """log p(all words | alpha, eta), topics and mixtures integrated out, summed over all assignments."""
    lengths = [len(d) for d in documents]
    words, owner = np.concatenate(documents), np.repeat(np.arange(len(documents)), lengths)
    size, terms = len(alpha), []
    for z in assignments(len(words), size):
        total = sum(
            log_dirichlet_multinomial(np.bincount(z[owner == d], minlength=size), alpha) for d in range(len(documents))
        )
        for k in range(size):
            counts = np.bincount(words[z == k], minlength=vocab_size)
            total += log_dirichlet_multinomial(counts, np.full(vocab_size, eta))
        terms.append(total)
    return float(np.logaddexp.reduce(terms))


def kl(a: np.ndarray, b: np.ndarray) -> float:
    """KL(Dirichlet(a) || Dirichlet(b))."""
    expected = digamma(a) - digamma(a.sum())
    ours, theirs = (gammaln(x.sum()) - gammaln(x).sum() for x in (a, b))
    return float(ours - theirs + ((a - b) * expected).sum())


def bound(
    documents: list[np.ndarray],
    lam: np.ndarray,
    gamma: np.ndarray,
    alpha: np.ndarray,
    eta: float,
    phi: list[np.ndarray],
) -> float:
    """The evidence lower bound E_q[log p(w, z, theta, beta)] - E_q[log q], its expectation over z enumerated.

    lam [K, V], gamma [D, K], phi: of each document q(z_i = k), [N_d, K].
    """
    beta = digamma(lam) - digamma(lam.sum(1, keepdims=True))
    total = -sum(kl(row, np.full(lam.shape[1], eta)) for row in lam)
    for d, document in enumerate(documents):
        theta = digamma(gamma[d]) - digamma(gamma[d].sum())
        total -= kl(gamma[d], alpha)
        for z in assignments(len(document), len(alpha)):
            q = phi[d][np.arange(len(z)), z]
            total += q.prod() * (theta[z] + beta[z, document] - np.log(q)).sum()
    return float(total)


def planted(
    topics: int, per_topic: int, documents: int, length: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A corpus of known topics: (topics [K, V], tokens, offsets). Topic k has its own words and hardly others.
    Lengths of documents are Poisson, and the first is empty."""
    rng = np.random.default_rng(seed)
    beta = np.full((topics, topics * per_topic), 2e-3)
    for k in range(topics):
        beta[k, k * per_topic : (k + 1) * per_topic] += rng.dirichlet(np.full(per_topic, 2.0))
    beta /= beta.sum(1, keepdims=True)
    texts = [np.zeros(0, int)]
    for _ in range(documents - 1):
        z = rng.choice(topics, rng.poisson(length), p=rng.dirichlet(np.full(topics, 0.2)))
        texts.append(np.array([rng.choice(beta.shape[1], p=beta[k]) for k in z], int))
    return beta, np.concatenate(texts).astype(np.uint16), np.append(0, np.cumsum([len(t) for t in texts]))


def corpus(documents: int = 160, seed: int = 0) -> tuple[np.ndarray, Any]:
    """Planted topics [4, 40] and their text, whose first 40 documents are its held-out split too."""
    beta, tokens, offsets = planted(4, 10, documents, 40, seed)
    heldout = SimpleNamespace(tokens=tokens, offsets=offsets[:41])
    return beta, SimpleNamespace(train=SimpleNamespace(tokens=tokens, offsets=offsets), heldout=heldout)


def fitted(cfg: LDAConfig, text: Any, devices: int, sweeps: int | None = None) -> tuple[Any, dict[str, float]]:
    """(the state after these sweeps, the last metrics)."""
    work, last = lda.prepare(cfg, text, 0, jax.devices()[:devices]), dict[str, float]()
    state = work.start(0)
    for _ in range(work.steps * (sweeps or cfg.sweeps)):
        state, new = lda.advance(cfg, work, state)
        last = new or last
    return state, last
