"""GloVe: word vectors whose products fit the logarithms of co-occurrence counts.

    J = sum over pairs with X_ij > 0 of f(X_ij) (w_i . c_j + b_i + b'_j - log X_ij)^2,  f(x) = min(1, (x / x_max)^alpha)

Pennington, Socher and Manning 2014 (EMNLP, D14-1162). Pairs come in random order, and a step updates the rows of its
words only. The vectors of the paper are w + c. Their trainer takes one pair at a time, with half of this gradient, and
accumulates squares that are already scaled by the rate of .05, from 1 on: in terms of J, Adagrad for each number with
rate 1 and accumulators from 1,600 (`configs/glove.py`).

The tables W and C are [V', D + 1], the bias being the last number of a row. V' is the vocabulary padded to a multiple
of 1,024.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import check, check_least
from w2v_jax.family import Encode, Family, Train
from w2v_jax.models.counted import check_counting, counts_of
from w2v_jax.models.running_text import int32, no_carry, read_text, resolve
from w2v_jax.nn.arrays import draw, uniform
from w2v_jax.nn.layers import pad_to
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params, Shapes, Source, Words

PAD_VOCAB = 1024
_TINY = 1e-30  # a count in place of 0, whose weight is 0


@dataclasses.dataclass(frozen=True)
class GloVeConfig:
    """The defaults are those of the paper, with windows of 10 words on each side."""

    dim: int = 100  # of the vectors
    x_max: float = 100.0  # counts from here on weigh 1; 10 suits small texts
    alpha: float = 0.75  # exponent of the weight f(x)
    window: int = 10  # words on each side
    weighting: str = "harmonic"  # of a pair at distance d: harmonic 1 / d | linear (W + 1 - d) / W | flat 1
    side: str = "both"  # contexts: both sides | left | right
    sample: float = 0.0  # subsampling threshold, as in word2vec; 0 for none
    memory_mb: int = 1024  # of the arrays while pairs are counted; changes no count
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_counting(self)
        check_least(1, "model", self, "dim")
        check(self.x_max > 0, "model.x_max", self.x_max, "above 0")
        check(0 <= self.alpha <= 4, "model.alpha", self.alpha, "between 0 and 4")

    @property
    def padded_vocab(self) -> int:
        """V', rows of both tables."""
        return pad_to(self.vocab_size, PAD_VOCAB)


def shapes(cfg: GloVeConfig, batch_size: int) -> Shapes:
    """B = batch_size pairs; see `w2v_jax.data.count_batches.count_source` for the entries."""
    column = (batch_size,)
    count = jax.ShapeDtypeStruct(column, jnp.float32)
    return {**int32(word=column, context=column), "count": count, **int32(words=column)}


def source(cfg: GloVeConfig, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """The pairs of a split; those of 'train' in random order.

    Counts of another split are scaled to the size of the training text. A small text holds few of the pairs, and those
    more often than expected: a held-out loss compares runs, its level says little. UserError: no training word has a
    neighbour.
    """
    from w2v_jax.data.count_batches import count_source

    counts, entries = counts_of(cfg, text, seed, split), shapes(cfg, batch_size)
    scale = len(text.train.tokens) / max(len(getattr(text, split).tokens), 1)
    return count_source(counts, entries, seed=seed, shuffle=split == "train", scale=scale)


def consts(cfg: GloVeConfig, words: Words) -> Consts:
    """Nothing: counts are part of the batches."""
    return {}


def arrays(cfg: GloVeConfig) -> dict[str, Leaf]:
    """W and C with their biases, uniform on [-1/2D, 1/2D]; float32 [V', D + 1] both, split by vocabulary."""
    shape, start = (cfg.padded_vocab, cfg.dim + 1), uniform(-0.5 / cfg.dim, 0.5 / cfg.dim)
    return {name: Leaf(shape, ("vocab", "embed"), start, cfg.dim) for name in ("W", "C")}


def init(rng: Array, cfg: GloVeConfig, consts: Consts) -> Params:
    """See `arrays`."""
    first, second = jax.random.split(rng)
    return draw(arrays(cfg), {"W": first, "C": second})


def rows(cfg: GloVeConfig, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """One row of each table for every pair."""
    return {"W": batch["word"], "C": batch["context"]}, batch


def loss(
    cfg: GloVeConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """J of the batch, summed. Metrics: 'loss' (J, pairs) and 'words' (share of the text, rows)."""
    word, context, count = params["W"], params["C"], batch["count"]
    weight = jnp.minimum(jnp.maximum(count, 0.0) / cfg.x_max, 1.0) ** cfg.alpha * (count > 0)
    fitted = jnp.sum(word[:, :-1] * context[:, :-1], axis=1) + word[:, -1] + context[:, -1]
    total = jnp.sum(weight * (fitted - jnp.log(jnp.maximum(count, _TINY))) ** 2)
    words = batch["words"].astype(jnp.float32).sum()
    pairs = jnp.sum(count > 0).astype(jnp.float32)
    return total, (carry, {"loss": (total, pairs), "words": (words, jnp.float32(len(count)))})


def embed(cfg: GloVeConfig, params: Params) -> dict[str, Array]:
    """W + C as in the paper, W and C of the unpadded vocabulary, [V, D] each, without the biases."""
    word, context = (params[name][: cfg.vocab_size, : cfg.dim] for name in ("W", "C"))
    return {"sum": word + context, "W": word, "C": context}


def states(cfg: GloVeConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """W + C of every token."""
    return [(take_rows(params["W"], tokens) + take_rows(params["C"], tokens))[..., : cfg.dim]]


def flops(cfg: GloVeConfig) -> tuple[float, str]:
    """Multiply-adds counted as two, forward and backward."""
    return 6.0 * cfg.dim, "pair"


def _examples() -> tuple[GloVeConfig, ...]:
    """Both shapes of f, and both kinds of sides."""
    tiny = GloVeConfig(dim=8, window=2, x_max=1.0)
    return tiny, dataclasses.replace(tiny, x_max=3.0, alpha=0.5, side="right", weighting="linear", sample=1e-2)


FAMILY = Family(
    config=GloVeConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=Train(shapes, source, init, no_carry, rows, loss),
    embed=embed,
    encode=Encode(layers=lambda cfg: 0, states=states, causal=lambda cfg: False),
)
