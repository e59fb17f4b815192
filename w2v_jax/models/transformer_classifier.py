"""Text classifier: word vectors, a transformer that reads both ways, the mean of its outputs, and a softmax.

    p(y | w_1..w_n) = softmax(s W + b),    s = mean_t n(x_t) or max_t n(x_t),    x = blocks(vectors[w_1..w_n] P)

The blocks are those of `w2v_jax.nn.blocks`, n is an RMSNorm, and P [D, H] maps the word vectors to the width of the
blocks. Every word sees its whole text; positions are rotary (Su et al. 2021, arXiv 2104.09864). Given vectors are
constants unless `frozen` is off. `keys_values` is that of `w2v_jax.models.transformer`: shared keys and values are
computed once, from the word vectors after P. Dropout is on the word vectors after P, on what each layer adds and on s.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import check_choice, check_least, check_most
from w2v_jax.family import Encode, Family
from w2v_jax.models import label_models
from w2v_jax.models.label_models import LabelOptions, embedding, head, label_loss, logits_of, pool, word_vectors
from w2v_jax.models.transformer_config import KEYS_VALUES, LOOPS, check_heads, place_loop
from w2v_jax.nn.arrays import constant, draw, normal, training_flops
from w2v_jax.nn.blocks import Drop, Stack, project, rms_norm, run_layers, stack_arrays, stack_keys, trace_layers
from w2v_jax.nn.layers import dropout
from w2v_jax.nn.lengths import at_shortest, equal_lengths
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params


@dataclasses.dataclass(frozen=True)
class TransformerClassifierConfig(LabelOptions):
    classes: int = 2  # labels
    layers: int = 2  # blocks
    hidden: int = 128  # width of the blocks
    heads: int = 4  # of attention in each block
    wide: int = 4  # units of the feed-forward layer, in multiples of hidden
    keys_values: str = "per_layer"  # per_layer | shared_k | shared_v | shared_kv: once, from the word vectors
    dim: int = 100  # of the word vectors
    pool: str = "mean"  # mean | max over the outputs of all words
    dropout: float = 0.0  # share dropped of word vectors, of what each layer adds and before the softmax
    max_length: int = 400  # words read of a text; the rest is cut off
    pad_lengths: int = 4  # lengths, up to max_length, to which batches are padded; each is compiled
    init_scale: float = 0.02  # standard deviation of the weights at the start, but for P
    loop: str = "auto"  # scan: compiles one layer | unrolled: all | auto: scan on TPUs, unrolled elsewhere
    vectors: str = ""  # file of word vectors (word2vec, GloVe or fastText); its words become the vocabulary
    encoding_errors: str = "strict"  # words of that file that are not UTF-8: strict | replace | ignore
    frozen: bool = True  # given vectors are not trained; an embedding that starts random always is
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        self.check_shared()
        check_least(1, "model", self, "layers", "heads", "wide", "pad_lengths")
        check_most(1000, "model", self, "layers")  # the programs hold each layer
        check_choice("model.keys_values", self.keys_values, tuple(KEYS_VALUES))
        check_choice("model.pool", self.pool, ("mean", "max"))
        check_choice("model.loop", self.loop, LOOPS)
        check_heads("hidden", self.hidden, self.heads)

    @property
    def stack(self) -> Stack:
        """The blocks; `summaries` chooses the loop over them."""
        shared, units = KEYS_VALUES[self.keys_values], self.wide * self.hidden
        return Stack(self.layers, self.hidden, self.heads, units, *shared, causal=False, dropout=self.dropout)


def arrays(cfg: TransformerClassifierConfig, vectors: Array | None = None) -> dict[str, Any]:
    """{'project' [D, H], 'norm' [H], 'head': {'W' [H, classes], 'b' [classes]}, 'embed' [V', D]} and `stack_arrays`.

    Frozen vectors have no 'embed'. The standard deviation of P is 1 / sqrt(D), which keeps the size of the vectors.
    """
    size = cfg.hidden
    own = {
        "project": Leaf((cfg.dim, size), (None, "embed"), normal(1.0, math.sqrt(cfg.dim)), cfg.dim, 1.0),
        "norm": Leaf((size,), ("embed",), constant(1.0)),
        "head": head(cfg, size, normal(cfg.init_scale)),
    }
    return stack_arrays(cfg.stack, cfg.init_scale) | own | embedding(cfg, vectors)


def init(rng: Array, cfg: TransformerClassifierConfig, consts: Consts) -> Params:
    """See `arrays`."""
    embed_key, project_key, head_key, stack_key = jax.random.split(rng, 4)
    keys = {"embed": embed_key, "project": project_key, "head": {"W": head_key}} | stack_keys(stack_key)
    return draw(arrays(cfg, consts.get("vectors")), keys)


def _projected(cfg: TransformerClassifierConfig, params: Params, consts: Consts, tokens: Array) -> Array:
    """x_0 of the blocks: int32 [B, T] -> [B, T, H]."""
    return project(take_rows(word_vectors(cfg, params, consts), tokens), params["project"])


def _pooled(cfg: TransformerClassifierConfig, params: Params, x: Array, length: Array) -> Array:
    """s before dropout, from the blocks' output: [B, T, H] -> [B, H]."""
    return pool(cfg.pool, rms_norm(x, params["norm"]).swapaxes(0, 1), length)


def summaries(
    cfg: TransformerClassifierConfig, params: Params, consts: Consts, batch: Batch, rng: Array | None
) -> Array:
    """s of every text, after dropout, [B, H], from 'tokens' [B, T] with any T, 'length' and 'row' of the batch."""
    length, row = batch["length"], batch["row"]
    x = dropout(_projected(cfg, params, consts, batch["tokens"]), cfg.dropout, rng, row, 0, axis=0)
    stack = cfg.stack._replace(scan=cfg.loop == "scan")
    x = run_layers(stack, params, x, Drop(rng, row), lengths=length)
    return dropout(_pooled(cfg, params, x, length)[None], cfg.dropout, rng, row, 1 + 2 * cfg.layers)[0]


def loss(
    cfg: TransformerClassifierConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """See `label_models.label_loss`."""

    def work(length: int, params: Params, inputs: tuple[Consts, Batch, Array | None]) -> tuple[Array, Metrics]:
        consts, batch, rng = inputs
        batch = batch | {"tokens": batch["tokens"][:, :length]}
        return label_loss(logits_of(params, summaries(cfg, params, consts, batch, rng)), batch)

    lengths = equal_lengths(cfg.max_length, cfg.pad_lengths)
    total, metrics = at_shortest(work, lengths, batch["steps"].max(), params, (consts, batch, rng))
    return total, (carry, metrics)


def states(
    cfg: TransformerClassifierConfig, params: Params, consts: Consts, tokens: Array, lengths: Array
) -> list[Array]:
    """The word vectors, and x after every layer."""
    words = take_rows(word_vectors(cfg, params, consts), tokens)
    return [words, *trace_layers(cfg.stack, params, _projected(cfg, params, consts, tokens), lengths)[0]]


def attention(
    cfg: TransformerClassifierConfig, params: Params, consts: Consts, tokens: Array, lengths: Array
) -> list[Array]:
    """Where each word looks, float32 [B, N, T, T] per layer."""
    return trace_layers(cfg.stack, params, _projected(cfg, params, consts, tokens), lengths)[1]


def classify(cfg: TransformerClassifierConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> Array:
    """Logits of the labels, [B, classes]; words from `lengths` on are not read."""
    given = {"tokens": tokens, "length": lengths, "row": jnp.arange(len(tokens), dtype=jnp.int32)}
    return logits_of(params, summaries(cfg, params, consts, given, None))


def flops(cfg: TransformerClassifierConfig) -> tuple[float, str]:
    """Matrix products, forward and backward, of a full text: 6 per weight and word, for the softmax once per text,
    and 12 T H per layer for attention over T = max_length words."""
    inside = 12.0 * cfg.max_length * cfg.hidden * cfg.layers
    return training_flops(arrays(cfg), cfg.vocab_size) + inside, "word"


def _examples() -> tuple[TransformerClassifierConfig, ...]:
    tiny = TransformerClassifierConfig(hidden=8, heads=2, dim=6, max_length=6, pad_lengths=1, wide=2, init_scale=0.1)
    return (
        dataclasses.replace(tiny, layers=1, keys_values="shared_k", dropout=0.2),
        dataclasses.replace(tiny, layers=2, keys_values="shared_v", pool="max", classes=3, loop="scan"),
    )


FAMILY = Family(
    config=TransformerClassifierConfig,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=label_models.training(
        init, loss, lambda cfg: cfg.heads * equal_lengths(cfg.max_length, cfg.pad_lengths)[0] ** 2
    ),
    encode=Encode(
        lambda cfg: cfg.layers, states, lambda cfg: False, attention=attention, context=lambda cfg: cfg.max_length
    ),
    classify=classify,
    place=place_loop,
    **label_models.SHARED,
)
