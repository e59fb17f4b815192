"""Pair encoder: two texts, one tower for both, and a distance that says SAME or DIFFERENT.

    a = tower(text 1),  b = tower(text 2),  SAME where d(a, b) <= threshold

The towers are those of `pair_towers`, distances and losses those of `pair_losses`. The loss of info_nce compares all
rows of a batch and is not additive. Vectors of a text, distances and scores are the ability `Compare`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import DataConfig, check, check_choice, check_least, check_most
from w2v_jax.data.pairs import SAME_FROM
from w2v_jax.errors import UserError
from w2v_jax.family import Compare, Encode, Family, Train
from w2v_jax.formats import ENCODING_ERRORS, read_vocab
from w2v_jax.models.label_models import BUCKETS, VectorOptions, embed, embedding, word_vectors
from w2v_jax.models.pair_losses import LOSSES, REGRESSIONS, Objective, compared, head_arrays, pair_losses
from w2v_jax.models.pair_towers import (
    TOWERS,
    Tower,
    same_dropout,
    sif_consts,
    summary,
    tower_arrays,
    tower_keys,
    trace,
    word_states,
)
from w2v_jax.models.running_text import int32, metrics_of, no_carry, no_rows, resolve
from w2v_jax.models.transformer_config import check_heads
from w2v_jax.models.vectors import given_vectors, read_vectors
from w2v_jax.nn.arrays import draw, training_flops
from w2v_jax.nn.lengths import at_shortest, equal_lengths
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Metrics, Params, Say, Shapes, Source, Words


@dataclasses.dataclass(frozen=True)
class PairEncoderConfig(VectorOptions):
    tower: str = "mean"  # mean | sif | lstm | transformer
    loss: str = "contrastive"  # contrastive | info_nce | cosine | manhattan | grades
    hidden: int = 0  # F of mean and sif by a trained projection, 0: none; H of an LSTM; width of a transformer
    dim: int = 100  # of the word vectors
    layers: int = 1  # of a transformer
    heads: int = 4  # of attention; transformer
    pool: str = "mean"  # of lstm and transformer: mean | max | last (lstm: the state after the last word)
    bidirectional: bool = False  # lstm: a second cell reads from the end to the start
    threshold: float = 0.0  # largest distance of SAME; 0: margin / 2 or 0.5 in training, fitted by experiments.pairs
    margin: float = 2.0  # contrastive: DIFFERENT pairs farther apart cost nothing
    near: float = 0.0  # contrastive: SAME pairs nearer than this cost nothing
    temperature: float = 0.05  # info_nce
    grades: int = 5  # grades: number of them, evenly from the lowest to the highest score
    units: int = 50  # grades: of the layer over |a - b| and a * b
    sif: float = 0.001  # the a of smooth inverse frequency
    counts: str = ""  # sif: file of words and their counts (vocab.txt of a run); empty: those of the training texts
    dropout: float = 0.0  # share of dimensions dropped of word vectors and of s, the same of both texts; and in blocks
    max_length: int = 64  # words read of a text; the rest is cut off
    pad_lengths: int = 3  # lengths, up to max_length, to which batches are padded; each is compiled
    init_scale: float = 0.1  # weights of cells start uniform on [-init_scale, init_scale], of blocks normal
    vectors: str = ""  # file of word vectors (word2vec, GloVe or fastText); its words become the vocabulary
    encoding_errors: str = "strict"  # words of that file that are not UTF-8: strict | replace | ignore
    # Given vectors are not trained. If they are, the vocabulary is their words that some text of a split has.
    frozen: bool = True
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.tower", self.tower, TOWERS)
        check_choice("model.loss", self.loss, LOSSES)
        check_choice("model.pool", self.pool, ("mean", "max", "last"))
        check_choice("model.encoding_errors", self.encoding_errors, ENCODING_ERRORS)
        check_least(0, "model", self, "hidden", "threshold", "near")
        check_least(1, "model", self, "dim", "layers", "heads", "units", "max_length", "pad_lengths")
        check_least(2, "model", self, "grades")
        check_most(1000, "model", self, "layers", "pad_lengths")  # the programs hold each
        for key in ("margin", "temperature", "sif", "init_scale"):
            check(getattr(self, key) > 0, f"model.{key}", getattr(self, key), "above 0")
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "0 or more and below 1")
        if self.tower == "transformer":
            check_heads("hidden", self.hidden, self.heads)
        check(
            self.hidden > 0 or self.tower in ("mean", "sif"), "model.hidden", self.hidden, f"above 0 for {self.tower}"
        )
        check(self.pool != "last" or self.tower == "lstm", "model.pool", self.pool, f"mean or max for {self.tower}")
        if self.bidirectional and self.tower != "lstm":
            raise UserError(f"model.bidirectional=True: model.tower={self.tower} has no direction; use lstm")
        if self.counts and self.tower != "sif":
            raise UserError(f"model.counts={self.counts!r}: has no effect with model.tower={self.tower}; use sif")

    @property
    def shape(self) -> Tower:
        """The tower's own options."""
        own = (self.dim, self.hidden, self.layers, self.heads, self.pool, self.bidirectional)
        return Tower(self.tower, *own, self.dropout, self.init_scale)

    @property
    def objective(self) -> Objective:
        """The loss's own options."""
        return Objective(self.loss, self.threshold, self.margin, self.near, self.temperature, self.grades)


# ---- data ----


def read_text(cfg: PairEncoderConfig, data: DataConfig, say: Say) -> Any:
    """The labelled pairs that `data` names. Given vectors decide the vocabulary."""
    from w2v_jax.data.pair_corpus import build_pair_corpus

    words = read_vectors(cfg.vectors, cfg.encoding_errors).words if cfg.vectors else ()
    return build_pair_corpus(data, words, only_met=cfg.trains_embedding, say=say)


def shapes(cfg: PairEncoderConfig, batch_size: int) -> Shapes:
    """`batch_size` pairs; see `w2v_jax.data.pair_corpus.pair_source`."""
    column = (batch_size,)
    score = jax.ShapeDtypeStruct(column, jnp.float32)
    tokens = (batch_size, 2, cfg.max_length)
    return int32(tokens=tokens, length=(batch_size, 2), steps=column, words=column) | {"score": score}


def source(cfg: PairEncoderConfig, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Pairs of a split, batched by length; only the training pairs are shuffled."""
    from w2v_jax.data.pair_corpus import pair_source

    part, entries = getattr(text, split), shapes(cfg, batch_size)
    # In-batch negatives come from all lengths: among texts of one length the words would tell less.
    buckets = 1 if cfg.loss == "info_nce" else BUCKETS
    return pair_source(part, entries, buckets=buckets, seed=seed, shuffle=split == "train")


def consts(cfg: PairEncoderConfig, words: Words) -> Consts:
    """{'vectors' [V', D] of a file, 'weights' [V'] and 'component' [D] of sif}."""
    found = given_vectors(cfg, words)
    if cfg.tower != "sif":
        return found
    counts = words.counts
    if cfg.counts and words.words is not None:
        names, known = read_vocab(cfg.counts, cfg.encoding_errors)
        if known is None:
            raise UserError(
                f"model.counts={cfg.counts}: has words without counts; each line must be a word and a count"
            )
        of = dict(zip(names, known.tolist(), strict=True))
        counts = np.array([of.get(word, 0) for word in words.words], np.int64)
        if not counts.any():
            raise UserError(f"model.counts={cfg.counts}: has none of the words of the vocabulary")
    given = found.get("vectors") if words.words is not None else None
    return found | sif_consts(cfg.sif, counts, words.counts, given, cfg.padded_vocab, cfg.dim)


# ---- parameters ----


def arrays(cfg: PairEncoderConfig, vectors: Array | None = None) -> dict[str, Any]:
    """{'tower': `tower_arrays`, 'head' of grades: {'U' [2F, units], 'e', 'W' [units, K], 'c'}, 'embed' [V', D]}.

    Frozen vectors have no 'embed'; a tower without arrays is absent. UserError: nothing would be trained.
    """
    tower = tower_arrays(cfg.shape)
    tree: dict[str, Any] = dict(embedding(cfg, vectors))
    tree |= {"tower": tower} if tower else {}
    if cfg.loss == "grades":
        once = 1.0 / (2 * cfg.max_length)  # a pair has 2 T words
        tree["head"] = head_arrays(cfg.shape.features, cfg.units, cfg.grades, cfg.init_scale, once)
    if not tree:
        raise UserError(
            f"model.hidden=0: the {cfg.tower} of frozen vectors has nothing to train; set model.hidden, "
            "model.frozen=False or model.loss=grades"
        )
    return tree


def init(rng: Array, cfg: PairEncoderConfig, consts: Consts) -> Params:
    """See `arrays`."""
    embed_key, head_key, tower_key = jax.random.split(rng, 3)
    head = dict(zip(("U", "W"), jax.random.split(head_key), strict=True))
    keys = {"embed": embed_key, "head": head, "tower": tower_keys(tower_key, cfg.shape)}
    return draw(arrays(cfg, consts.get("vectors")), keys)


def flops(cfg: PairEncoderConfig) -> tuple[float, str]:
    """Matrix products, forward and backward: 6 per weight of a cell or block and word, for head and projection of a
    pooled vector once per pair, and 12 T H per layer for attention over T = max_length words; at least one per
    dimension, of the mean."""
    inside = 12.0 * cfg.max_length * cfg.hidden * cfg.layers if cfg.tower == "transformer" else 0.0
    return training_flops(arrays(cfg), cfg.vocab_size) + inside + 2.0 * cfg.dim, "word"


# ---- from words to distances ----


def _summaries(
    cfg: PairEncoderConfig, params: Params, consts: Consts, tokens: Array, lengths: Array, rng: Array | None, row: Array
) -> Array:
    x, tower = take_rows(word_vectors(cfg, params, consts), tokens), params.get("tower", {})
    x = word_states(cfg.shape, tower, x, lengths, rng, row)
    s = summary(cfg.shape, tower, consts, tokens, x, lengths)
    return same_dropout(s[:, None], cfg.dropout, rng, row, 1 + 2 * cfg.layers)[:, 0]


def vectors(cfg: PairEncoderConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> Array:
    """s of each text, [B, F], from tokens int32 [B, T] with any T."""
    return _summaries(cfg, params, consts, tokens, lengths, None, jnp.arange(len(tokens), dtype=jnp.int32))


def compare(cfg: PairEncoderConfig, params: Params, a: Array, b: Array) -> tuple[Array, Array]:
    """(distances, scores) of pairs of vectors, [B, F] twice -> [B] twice; see `pair_losses`."""
    return compared(cfg.objective, params.get("head", {}), a, b)


def loss(
    cfg: PairEncoderConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """The sum of `pair_losses` / rows of the whole step. Metrics: those of `metrics_of`, with one place per pair that
    has a loss; `correct` counts all pairs, those on the right side of the threshold."""

    def work(length: int, params: Params, inputs: tuple[Consts, Batch, Array | None]) -> tuple[Array, Metrics]:
        consts, batch, rng = inputs
        size = len(batch["score"])
        row = jnp.repeat(batch["row"], 2)  # both texts lose the same by dropout
        tokens, lengths = batch["tokens"][..., :length].reshape(2 * size, -1), batch["length"].reshape(-1)
        s = _summaries(cfg, params, consts, tokens, lengths, rng, row).reshape(size, 2, -1)
        there, score = batch["score"] >= 0, jnp.clip(batch["score"], 0.0, 1.0)
        losses, counted = pair_losses(cfg.objective, params.get("head", {}), s[:, 0], s[:, 1], score, there)
        same = compare(cfg, params, s[:, 0], s[:, 1])[0] <= cfg.objective.cut
        metrics = metrics_of(batch, losses, there & (same == (score >= SAME_FROM)), there)
        metrics["loss"] = losses.sum(), counted.sum().astype(jnp.float32)
        return metrics["loss"][0] / batch["global_rows"], metrics

    lengths = equal_lengths(cfg.max_length, cfg.pad_lengths)
    total, metrics = at_shortest(work, lengths, batch["steps"].max(), params, (consts, batch, rng))
    return total, (carry, metrics)


# ---- inside ----


def states(cfg: PairEncoderConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """The word vectors, and the outputs after every layer; no layer for mean and sif."""
    x = take_rows(word_vectors(cfg, params, consts), tokens)
    return [x, *trace(cfg.shape, params.get("tower", {}), x, lengths)]


def _attention(cfg: PairEncoderConfig) -> int:
    """Two texts of the shortest length to which they are padded."""
    shortest = equal_lengths(cfg.max_length, cfg.pad_lengths)[0]
    return 2 * cfg.heads * shortest**2 if cfg.tower == "transformer" else 0


def layers(cfg: PairEncoderConfig) -> int:
    """L: the blocks of a transformer, 1 for an LSTM."""
    return cfg.layers if cfg.tower == "transformer" else len(cfg.shape.directions[:1])


def _examples() -> tuple[PairEncoderConfig, ...]:
    tiny = PairEncoderConfig(dim=6, max_length=6, pad_lengths=1, margin=4.0, grades=3, units=5)
    return (
        dataclasses.replace(tiny, tower="sif", hidden=4),
        dataclasses.replace(tiny, tower="lstm", loss="grades", hidden=4, pool="max", bidirectional=True, dropout=0.1),
        dataclasses.replace(tiny, tower="transformer", loss="info_nce", hidden=8, heads=2, temperature=0.5),
    )


FAMILY = Family(
    config=PairEncoderConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=Train(
        *(shapes, source, init, no_carry, no_rows, loss),
        additive=lambda cfg: cfg.loss != "info_nce",
        attention=_attention,
    ),
    embed=embed,
    encode=Encode(
        layers,
        states,
        lambda cfg: cfg.tower != "transformer" and not cfg.bidirectional,
        context=lambda cfg: cfg.max_length,
    ),
    compare=Compare(vectors, compare, lambda cfg: cfg.objective.cut, lambda cfg: cfg.loss in REGRESSIONS),
)
