"""Multi-prototype skip-gram: several vectors a word, their number found by the data (AdaGram).

Bartunov et al. 2016 (arXiv 1502.07257). Word w has at most K senses with input vectors e_wk; their shares follow a
stick-breaking prior of concentration alpha, which lets unused senses die out:

    pi_wk = beta_wk prod_{j<k} (1 - beta_wj),  beta_wk ~ Beta(1, alpha) for k < K,  beta_wK = 1

The context y of a centre is predicted by one sense. With the loss of negative sampling in place of the tree of the
paper, the score of sense k and its responsibility are

    a_k = sum_j w_j log sigma(e_wk . c_y_j) - (sum_j w_j) (m / N) sum_n softplus(e_wk . c_n)
    r_k ~ exp(E[log pi_wk] + a_k)

with m `negatives` and N noise words c_n that the centres of a row share (`w2v_jax.losses.shared_noise`). The loss is
-log sum_k exp(E[log pi_wk] + a_k): its gradient is that of -a_k weighted by r_k, the step of the paper. The expectation
is over the posterior of the sticks, Beta(1 + n_wk, alpha + sum_{j>k} n_wj), where n_wk = n_w q_wk are the expected
counts of the senses: n_w the kept tokens of the word in a pass, q_w a softmax of trained numbers P whose gradient is
q_w - r. So q_w settles at the mean responsibility, in place of the running mean of the paper.

E is [V' K, D]: sense k of word w is row w K + k. C [V', D] and P [V', K] have a row a word. All three are updated by
rows, so no dense gradient of a table exists. A batch is that of `w2v_jax.models.word2vec`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma

from w2v_jax.config import check, check_choice, check_least, check_most
from w2v_jax.family import Encode, Family, Train
from w2v_jax.losses import softplus, window_scores, window_weights
from w2v_jax.models import word2vec
from w2v_jax.models.frequencies import alias_table, keep_probability, noise_probability
from w2v_jax.models.running_text import no_carry, read_text, resolve
from w2v_jax.nn.apart import compute_apart
from w2v_jax.nn.arrays import draw, uniform
from w2v_jax.nn.layers import pad_to
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params, Shapes, Source, Words


@dataclasses.dataclass(frozen=True)
class MultiSenseConfig:
    senses: int = 5  # most senses of a word (K)
    alpha: float = 0.1  # concentration of the prior: higher gives more senses
    spread: float = 1.0  # senses start uniform on [-spread / 2D, spread / 2D]
    dim: int = 100  # of the vector of a sense
    window: int = 5  # words on each side that a centre predicts
    window_draw: str = "expected"  # expected | sampled | full (no dynamic window)
    negatives: int = 5  # noise words per pair
    shared_negatives: int = 64  # noise words that the centres of a row share, weighted as `negatives` per pair
    segment: int = 256  # centres per row (L)
    noise_power: float = 0.75  # noise words are drawn by their counts to this power
    sample: float = 1e-3  # subsampling threshold, 0 for none
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.window_draw", self.window_draw, ("expected", "sampled", "full"))
        check_least(1, "model", self, "dim", "window", "negatives", "shared_negatives", "segment", "senses")
        check_most(word2vec.MOST_WINDOW, "model", self, "window")
        check_most(100, "model", self, "senses")
        check(self.alpha > 0, "model.alpha", self.alpha, "above 0")
        check(self.spread > 0, "model.spread", self.spread, "above 0")
        check(self.noise_power >= 0, "model.noise_power", self.noise_power, "0 or more")
        check(self.sample >= 0, "model.sample", self.sample, "0 (no subsampling) or more")

    @property
    def padded_vocab(self) -> int:
        """V', words of the tables."""
        return pad_to(self.vocab_size, word2vec.PAD_VOCAB)


def shapes(cfg: MultiSenseConfig, batch_size: int) -> Shapes:
    """As `word2vec.shapes`."""
    return word2vec.shapes(cfg, batch_size)  # type: ignore[arg-type]  # it reads segment and window alone


def source(cfg: MultiSenseConfig, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """As `word2vec.source`."""
    return word2vec.source(cfg, text, split, batch_size, seed)  # type: ignore[arg-type]


def consts(cfg: MultiSenseConfig, words: Words) -> Consts:
    """The alias table of the noise; n_w, float32 [V']; and `even`, int32 [N], noise words at even steps of their
    distribution, for states that must not depend on a draw."""
    counts = np.asarray(words.counts)
    noise = noise_probability(counts, cfg.noise_power)
    accept, alias = alias_table(noise)
    kept = np.ones(cfg.padded_vocab, np.float32)
    kept[: len(counts)] = np.maximum(counts * keep_probability(counts, cfg.sample), 1.0)
    steps = (np.arange(cfg.shared_negatives) + 0.5) / cfg.shared_negatives
    even = np.minimum(np.searchsorted(np.cumsum(noise), steps), len(counts) - 1).astype(np.int32)
    return {"accept": accept, "alias": alias, "kept": kept, "even": even}


def prior(cfg: MultiSenseConfig) -> np.ndarray:
    """The mean of pi under the prior, float64 [K]."""
    beta = np.append(np.full(cfg.senses - 1, 1 / (1 + cfg.alpha)), 1.0)
    return beta * np.append(1.0, np.cumprod(1 - beta[:-1]))


def arrays(cfg: MultiSenseConfig) -> dict[str, Leaf]:
    """E uniform, C zero, q the mean of the prior for every word."""
    size, edge = cfg.padded_vocab, 0.5 * cfg.spread / cfg.dim
    start = np.log(prior(cfg)).astype(np.float32)
    return {
        "E": Leaf((size * cfg.senses, cfg.dim), ("vocab", "embed"), uniform(-edge, edge), cfg.dim),
        "C": Leaf((size, cfg.dim), ("vocab", "embed"), lambda key, shape: jnp.zeros(shape), cfg.dim),
        "P": Leaf((size, cfg.senses), ("vocab", None), lambda key, shape: jnp.broadcast_to(start, shape), cfg.senses),
    }


def init(rng: Array, cfg: MultiSenseConfig, consts: Consts) -> Params:
    """See `arrays`."""
    return draw(arrays(cfg), {"E": rng})


def _sense_rows(cfg: MultiSenseConfig, words: Array) -> Array:
    """Rows of E of all senses of words, int32 [...] -> [..., K]."""
    places = jnp.arange(cfg.senses, dtype=jnp.int32).reshape((1,) * words.ndim + (-1,))
    return words[..., None] * cfg.senses + places


def rows(cfg: MultiSenseConfig, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """The senses and shares of the centres; output vectors of the tokens and of the row's noise words."""
    tokens = batch["tokens"]
    centres = tokens[:, cfg.window : tokens.shape[1] - cfg.window]
    noise = word2vec.draw_noise(consts, rng, batch["row"], cfg.shared_negatives)
    ids = {"E": _sense_rows(cfg, centres), "C": jnp.concatenate([tokens, noise], axis=1), "P": centres}
    return ids, batch | {"noise": noise}


def expected_log_shares(shares: Array, kept: Array, alpha: float) -> Array:
    """E[log pi_k] of the sticks' posterior from q, float32 [..., K], and n_w [...]: float32 [..., K]."""
    counts = shares * kept[..., None]
    later = jnp.cumsum(counts[..., ::-1], axis=-1)[..., ::-1] - counts
    one, rest = 1.0 + counts[..., :-1], alpha + jnp.maximum(later[..., :-1], 0.0)
    whole = digamma(one + rest)
    left = jnp.cumsum(digamma(rest) - whole, axis=-1)  # E log of what the sticks up to k leave
    zero = jnp.zeros_like(shares[..., :1])
    return jnp.concatenate([digamma(one) - whole, zero], axis=-1) + jnp.concatenate([zero, left], axis=-1)


class _Near(NamedTuple):
    """What the senses of the centres are scored by."""

    senses: Array  # [R, L, K, D] of E
    outputs: Array  # [R, L + 2W, D] of C
    noise: Array  # [R, N, D] of C
    shares: Array  # [R, L, K], q
    kept: Array  # [R, L], n_w
    weights: Array  # [R, L, 2W + 1] of the pairs


def _joint(cfg: MultiSenseConfig, near: _Near) -> Array:
    """E[log pi_k] + a_k of every centre, [R, L, K]."""
    pairs = near.weights.sum(-1)
    found = []
    for k in range(cfg.senses):
        own = near.senses[:, :, k]
        true = jnp.sum(near.weights * softplus(-window_scores(own, near.outputs, cfg.window)), axis=-1)
        false = softplus(jnp.einsum("rld,rnd->rln", own, near.noise)).sum(-1)
        found.append(-true - pairs * (cfg.negatives / near.noise.shape[1]) * false)
    log_shares = expected_log_shares(jax.lax.stop_gradient(near.shares), near.kept, cfg.alpha)
    return log_shares + jnp.stack(found, axis=-1)


def loss(
    cfg: MultiSenseConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """Summed -log sum_k exp(E[log pi_k] + a_k) of all centres with a neighbour, in nats, and for the gradient of P the
    cross-entropy of q with the responsibilities.

    Metrics: 'loss' (the first sum, pairs), 'senses' (sum of exp of the entropy of q, the number of senses in use,
    centres) and 'words' (raw words of the text before subsampling, rows).
    """
    window, length = cfg.window, batch["reach"].shape[1]

    def weigh(doc: Array, reach: Array) -> Array:
        return window_weights(doc, reach, window=window, draw=cfg.window_draw)

    weights = compute_apart(weigh, batch["doc"], batch["doc"], batch["reach"])
    counted = (weights.sum(-1) > 0).astype(jnp.float32)
    split = length + 2 * window
    log_q = jax.nn.log_softmax(params["P"])
    kept = consts["kept"][batch["tokens"][:, window : window + length]]
    outputs = params["C"]
    near = _Near(params["E"], outputs[:, :split], outputs[:, split:], jnp.exp(log_q), kept, weights)
    joint = _joint(cfg, near)
    nats = -jnp.sum(counted * jax.nn.logsumexp(joint, axis=-1))
    responsible = jax.lax.stop_gradient(jax.nn.softmax(joint))
    cross = -jnp.sum(counted[..., None] * responsible * log_q)
    used = jnp.sum(counted * jnp.exp(-jnp.sum(jnp.exp(log_q) * log_q, axis=-1)))
    words = batch["words"].astype(jnp.float32).sum()
    metrics = {
        "loss": (nats, weights.sum()),
        "senses": (jax.lax.stop_gradient(used), counted.sum()),
        "words": (words, jnp.float32(weights.shape[0])),
    }
    return nats + cross, (carry, metrics)


# ---- a trained model ----


def main_sense(cfg: MultiSenseConfig, params: Params) -> Array:
    """The sense with the largest share of each word, int32 [V']; the first of equals."""
    return jnp.argmax(params["P"], axis=-1).astype(jnp.int32)


def embed(cfg: MultiSenseConfig, params: Params) -> dict[str, Array]:
    """E, the vector of each word's main sense, and C, [V, D] each."""
    size = cfg.vocab_size
    own = jnp.arange(size) * cfg.senses + main_sense(cfg, params)[:size]
    return {"E": params["E"][own], "C": params["C"][:size]}


def posterior(cfg: MultiSenseConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> Array:
    """p(sense | the words around) of every token, tokens int32 [B, T] and lengths [B] -> float32 [B, T, K].

    Neighbours at distance d up to the window weigh 1 - (d - 1) / W, or 1 with window_draw=full.
    """
    size, width = tokens.shape[1], cfg.window
    doc = jnp.where(jnp.arange(size)[None] < lengths[:, None], 0, -1)
    doc = jnp.pad(doc, ((0, 0), (width, width)), constant_values=-1)
    how = "full" if cfg.window_draw == "full" else "expected"
    weights = window_weights(doc, jnp.zeros_like(tokens), window=width, draw=how)
    noise = jnp.broadcast_to(params["C"][consts["even"]], (len(tokens), len(consts["even"]), cfg.dim))
    outputs = take_rows(params["C"], jnp.pad(tokens, ((0, 0), (width, width))))
    shares = jax.nn.softmax(params["P"][tokens])
    senses = take_rows(params["E"], _sense_rows(cfg, tokens))
    return jax.nn.softmax(_joint(cfg, _Near(senses, outputs, noise, shares, consts["kept"][tokens], weights)))


def states(cfg: MultiSenseConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """The vector of every token's main sense, and the mean of its senses' vectors under `posterior`."""
    senses = take_rows(params["E"], _sense_rows(cfg, tokens))
    main = main_sense(cfg, params)[tokens]
    static = jnp.take_along_axis(senses, main[..., None, None], axis=2)[:, :, 0]
    return [static, jnp.einsum("btk,btkd->btd", posterior(cfg, params, consts, tokens, lengths), senses)]


def senses(cfg: MultiSenseConfig, params: Params, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(q of words int [N], float32 [N, K]; their vectors, float32 [N, K, D])."""
    words = jnp.asarray(ids, jnp.int32)
    return np.asarray(jax.nn.softmax(params["P"][words])), np.asarray(params["E"][_sense_rows(cfg, words)])


def flops(cfg: MultiSenseConfig) -> tuple[float, str]:
    """K times those of skip-gram: every sense is scored."""
    pairs = 2 * cfg.window if cfg.window_draw == "full" else cfg.window + 1
    return 6.0 * cfg.dim * cfg.senses * (1 + cfg.negatives) * pairs, "kept word"


def _examples() -> tuple[MultiSenseConfig, ...]:
    tiny = MultiSenseConfig(dim=8, senses=3, window=2, segment=8, shared_negatives=4, negatives=2, sample=0.0)
    return tiny, dataclasses.replace(tiny, senses=2, window_draw="sampled", alpha=1.0)


FAMILY = Family(
    config=MultiSenseConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=Train(shapes, source, init, no_carry, rows, loss),
    embed=embed,
    encode=Encode(layers=lambda cfg: 1, states=states, causal=lambda cfg: False),
    senses=senses,
)
