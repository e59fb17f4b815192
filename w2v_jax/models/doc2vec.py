"""Paragraph vectors: a vector for each document, trained with the words (Le and Mikolov 2014, arXiv 1405.4053).

With D [N', dim] a table of documents, E and C those of `w2v_jax.models.word2vec`, s the document of centre i and W(i)
its window,

    PV-DM    h_i = (d_s + sum_{j in W(i)} e_j) / (1 + |W(i)|) predicts word i: CBOW with the document as one more word.
    PV-DBOW  h_i = d_s predicts word i. With `words`, skip-gram on the same text trains E beside it.

Word i is predicted by negative sampling, by its Huffman path or by the whole softmax, as in `word2vec`. The mean of
PV-DM is gensim's default (`dm_mean`); the paper also concatenates. As in CBOW, d_s and each e_j get the whole gradient
of h_i and not its share, unless `context_gradient` is mean. D is updated by rows like E and C, so that a step costs the
same for any number of documents. Without `words`, PV-DBOW has no E.

A row of a batch is one of R lanes through the text: a document lies in many steps, where a batch of `word2vec` would
hold it whole and give its vector one update a pass. A document beyond `documents`, as all held-out ones are, has the
vector zero. `Family.documents` makes vectors of new documents: see `w2v_jax.train.inference`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import check, check_choice, check_least
from w2v_jax.errors import UserError
from w2v_jax.family import Documents, Encode, Family, Train
from w2v_jax.losses import scale_forward, window_sum, window_weights
from w2v_jax.models import word2vec
from w2v_jax.models.frequencies import keep_probability
from w2v_jax.models.running_text import int32, no_carry, read_text, resolve
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.nn.arrays import draw, uniform
from w2v_jax.nn.layers import pad_to
from w2v_jax.types import Array, Batch, Consts, HostBatch, Leaf, Metrics, Params, Shapes, Source, Words


@dataclasses.dataclass(frozen=True)
class Doc2VecConfig:
    form: str = "dbow"  # dbow: the document predicts each word | dm: the mean of the document and the window does
    words: bool = False  # with dbow, skip-gram trains word vectors beside
    documents: int = 100_000  # rows of documents, at least those of the training text
    loss: str = "negative"  # negative | hierarchical | softmax
    dim: int = 100  # of the vectors of documents and words
    window: int = 5  # most words on each side
    window_draw: str = "auto"  # expected | sampled | full; auto: sampled for dm, else expected
    negatives: int = 5  # noise words per prediction (k)
    shared_negatives: int = 16  # noise words that the centres of a row share, weighted as k per prediction
    segment: int = 32  # centres per row (L)
    noise_every: int = 1  # noise is scored for every nth centre, with weight n
    noise_power: float = 0.75  # noise words are drawn by count ** noise_power
    noise_dtype: str = "float32"  # float32 | bfloat16, of what is multiplied for noise words; sums are float32
    # Of the mean of dm. tool: each part gets the whole gradient, as in gensim | mean: its share, the true derivative
    context_gradient: str = "tool"
    sample: float = 1e-3  # subsampling threshold, 0 for none
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.form", self.form, ("dbow", "dm"))
        check_least(1, "model", self, "documents")
        check(self.documents < 2**31 - 2 * word2vec.PAD_VOCAB, "model.documents", self.documents, "below 2**31 - 2048")
        check(self.form == "dbow" or not self.words, "model.words", self.words, "False with model.form=dm, which has E")
        _ = self.of_words

    @property
    def of_words(self) -> Word2VecConfig:
        """The word2vec whose rows and losses are used: skip-gram where words are trained beside, else CBOW."""
        names = {f.name for f in dataclasses.fields(Word2VecConfig)} - {"architecture", "gradient_dtype"}
        shared = {name: getattr(self, name) for name in names}
        return Word2VecConfig(architecture="skipgram" if self.words else "cbow", **shared)

    @property
    def padded_documents(self) -> int:
        """N', rows of D: at least one more than the documents, which stands for all others."""
        return pad_to(self.documents + 1, word2vec.PAD_VOCAB)

    @property
    def has_inputs(self) -> bool:
        """Whether words have vectors in E."""
        return self.form == "dm" or self.words


def shapes(cfg: Doc2VecConfig, batch_size: int) -> Shapes:
    """Those of `word2vec`, and 'document' int32 [R, L], the row of D of each centre."""
    found = word2vec.shapes(cfg.of_words, batch_size)
    return found | int32(document=(batch_size // cfg.segment, cfg.segment))


def source(cfg: Doc2VecConfig, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Lanes of centres from the subsampled text; the held-out documents are none of D's.

    UserError: the text has more training documents than `documents`.
    """
    from w2v_jax.data.blocks import window_source

    train, tokens = split == "train", getattr(text, split)
    if train and tokens.documents > cfg.documents:
        raise UserError(
            f"model.documents={cfg.documents}: the text has {tokens.documents} training documents; set "
            f"model.documents={tokens.documents}"
        )
    keep = keep_probability(np.asarray(text.vocab.counts), cfg.sample)
    found = window_source(
        tokens,
        keep,
        shapes(cfg, batch_size),
        seed=seed,
        block_tokens=text.block_tokens,
        shuffle=train,
        lanes=train,
    )

    def write(epoch: int, at: int, rows: slice, into: HostBatch) -> None:
        found.write(epoch, at, rows, into)
        into["document"][:] = cfg.documents

    return found if train else found._replace(write=write)


def consts(cfg: Doc2VecConfig, words: Words) -> Consts:
    """Those of `word2vec`."""
    return word2vec.consts(cfg.of_words, words)


def arrays(cfg: Doc2VecConfig) -> dict[str, Leaf]:
    """D as E, uniform on [-1/2 dim, 1/2 dim]; C zero, or as E where it holds the only vectors of words."""
    start = uniform(-0.5 / cfg.dim, 0.5 / cfg.dim)
    tables = word2vec.arrays(cfg.of_words)
    if not cfg.has_inputs:
        del tables["E"]
        tables["C"] = dataclasses.replace(tables["C"], start=start)
    return tables | {"D": Leaf((cfg.padded_documents, cfg.dim), ("vocab", "embed"), start, cfg.dim)}


def init(rng: Array, cfg: Doc2VecConfig, consts: Consts) -> Params:
    """See `arrays`."""
    keys = {"D": jax.random.fold_in(rng, 1)}
    return draw(arrays(cfg), keys | ({"E": rng} if cfg.has_inputs else {"C": rng}))


def rows(cfg: Doc2VecConfig, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """Those of `word2vec`, and the rows of D of the documents of the centres."""
    ids, batch = word2vec.rows(cfg.of_words, consts, batch, rng)
    if not cfg.has_inputs:
        del ids["E"]
    return ids | {"D": jnp.minimum(batch["document"], cfg.documents)}, batch


def _hidden(cfg: Doc2VecConfig, params: Params, batch: Batch, weights: Array) -> Array:
    """h of every centre, [R, L, dim]; `weights` [R, L, 2W + 1] of its window."""
    own = jnp.where((batch["document"] < cfg.documents)[..., None], params["D"], 0.0)
    if cfg.form == "dbow":
        return own
    share = 1.0 / (1.0 + weights.sum(-1))[..., None]
    if cfg.context_gradient == "tool":
        return scale_forward(own + window_sum(params["E"], weights), share)
    return own * share + window_sum(params["E"], weights * share)


def loss(
    cfg: Doc2VecConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """Summed loss in nats of all centres, and with `words` of the pairs of skip-gram too.

    Metrics: 'loss' (sum, centres and pairs) and 'words' (raw words of the text before subsampling, rows).
    """
    words = cfg.of_words
    weights = window_weights(batch["doc"], batch["reach"], window=cfg.window, draw=words.draw)
    length = batch["reach"].shape[1]
    counted = (batch["doc"][:, cfg.window : cfg.window + length] >= 0).astype(jnp.float32)
    outputs = params["C"]
    total, count = jnp.float32(0), counted.sum()
    if cfg.words:
        total, count = word2vec.pair_loss(words, params, consts, batch, weights), count + weights.sum()
        if cfg.loss == "negative":  # skip-gram names the rows of the halo too
            wide = length + 2 * cfg.window
            outputs = jnp.concatenate([outputs[:, cfg.window : cfg.window + length], outputs[:, wide:]], axis=1)
    hidden = _hidden(cfg, params, batch, weights)
    total += word2vec.centre_loss(words, outputs, consts, batch, hidden, counted)
    read = batch["words"].astype(jnp.float32).sum()
    return total, (carry, {"loss": (total, count), "words": (read, jnp.float32(weights.shape[0]))})


def embed(cfg: Doc2VecConfig, params: Params) -> dict[str, Array]:
    """E and C as in `word2vec`; without E, C alone, or nothing where C holds the nodes of a tree."""
    if cfg.has_inputs:
        return word2vec.embed(cfg.of_words, params)
    return {} if cfg.loss == "hierarchical" else {"C": params["C"][: cfg.vocab_size]}


def states(cfg: Doc2VecConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """As `word2vec.states`, of E or of C where words have no other vector. Documents are left out: see `documents`."""
    return word2vec.states(cfg.of_words, params | {"E": params.get("E", params["C"])}, consts, tokens, lengths)


def chunks(cfg: Doc2VecConfig, words: Words, texts: Sequence[np.ndarray], names: np.ndarray, number: int) -> HostBatch:
    """One pass over new documents, a segment of each at a time; see `Documents.chunks`."""
    from w2v_jax.data.chunks import chunks_of

    keep = keep_probability(np.asarray(words.counts), cfg.sample)
    return chunks_of(texts, keep, cfg.window, cfg.segment, names, number)


def flops(cfg: Doc2VecConfig) -> tuple[float, str]:
    """Those of CBOW per centre that survives subsampling, with `words` those of skip-gram too."""
    words = cfg.of_words
    of_centres, unit = word2vec.flops(dataclasses.replace(words, architecture="cbow", window_draw="full"))
    return of_centres + (word2vec.flops(words)[0] if cfg.words else 0.0), unit


def _examples() -> tuple[Doc2VecConfig, ...]:
    """Both forms, every loss, words beside; both gradients of the mean."""
    sizes: dict[str, Any] = {"dim": 8, "window": 2, "segment": 8, "shared_negatives": 4, "negatives": 2, "sample": 0.0}
    tiny = Doc2VecConfig(**sizes, documents=60)
    mean = dataclasses.replace(tiny, form="dm")
    return (
        dataclasses.replace(mean, window_draw="sampled"),
        dataclasses.replace(tiny, noise_every=2),
        dataclasses.replace(tiny, words=True, loss="hierarchical", window_draw="expected"),
        dataclasses.replace(mean, loss="softmax", context_gradient="mean", window_draw="full"),
    )


FAMILY = Family(
    config=Doc2VecConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=Train(shapes, source, init, no_carry, rows, loss),
    embed=embed,
    encode=Encode(layers=lambda cfg: 1, states=states, causal=lambda cfg: False),
    documents=Documents("D", lambda cfg, count: dataclasses.replace(cfg, documents=count), chunks),
)
