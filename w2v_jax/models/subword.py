"""Skip-gram and CBOW whose input vectors are made of a word's own row and those of its character n-grams.

Bojanowski et al. 2017 (arXiv 1607.04606). With G(w) the n-grams of `<w>` of `shortest` to `longest` characters, hashed
into K buckets by fastText's hash (`w2v_jax.formats.subwords`),

    h(w) = (e_w + sum_{g in G(w)} z_g) / (1 + |G(w)|)

takes the place of e_w in `w2v_jax.models.word2vec`, whose losses, batches and tables E and C are used as they are. Z
[K', D] is a third table, updated by rows like the two. As in fastText, e_w and each z_g get the whole gradient of h(w)
and not its share. A word that was never seen has the vector sum z_g / |G(w)|: a run writes the rows of Z as
`ngrams.npy`, and `w2v_jax.load` of its folder gives such words a vector.

The n-grams of the words are a constant, int32 [V, M], filled up with a row of Z that stays as it is. A word of more
than `MOST_GRAMS` n-grams (of 34 letters, by default) keeps its first ones, the shortest.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import check, check_least
from w2v_jax.family import Encode, Family, Train
from w2v_jax.formats import Subwords
from w2v_jax.formats.subwords import ngrams
from w2v_jax.losses import scale_forward
from w2v_jax.models import word2vec
from w2v_jax.models.running_text import no_carry, read_text, resolve
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.nn.arrays import draw, uniform
from w2v_jax.nn.layers import pad_to
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params, Words

MOST_GRAMS = 128
_WORDS = 1 << 14  # whose n-grams are made at a time


@dataclasses.dataclass(frozen=True)
class SubwordConfig(Word2VecConfig):
    """The defaults of fastText where it has them."""

    buckets: int = 2_000_000  # rows of n-grams (K): fewer save memory, and more n-grams share a row
    shortest: int = 3  # characters of an n-gram, the marks of both ends of a word included
    longest: int = 6  # 4 to 6 or 5 is faster; a word of n letters has n - 1 trigrams with its marks

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(1, "model", self, "buckets", "shortest")
        check(self.buckets < 2**31 - 2 * word2vec.PAD_VOCAB, "model.buckets", self.buckets, "below 2**31 - 2048")
        order = self.shortest <= self.longest <= 64
        check(order, "model.longest", self.longest, f"from model.shortest={self.shortest} to 64")

    @property
    def padded_buckets(self) -> int:
        """K', rows of Z: at least one more than the buckets, which stands for no n-gram."""
        return pad_to(self.buckets + 1, word2vec.PAD_VOCAB)


def grams(cfg: SubwordConfig, words: Any) -> np.ndarray:
    """Buckets of the n-grams of words, int32 [V, M], with `buckets` in the unused places; M is the most of any word."""
    found, owners = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(words), _WORDS):
        part = [word.encode("utf-8", "surrogateescape") for word in words[start : start + _WORDS]]
        hashes, owner = ngrams(part, cfg.shortest, cfg.longest)
        found.append((hashes % np.uint32(cfg.buckets)).astype(np.int64))
        owners.append(owner + start)
    owner = np.concatenate(owners)
    count = np.bincount(owner, minlength=len(words))
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    width = max(1, min(MOST_GRAMS, int(count.max(initial=1))))
    out = np.full((len(words), width), cfg.buckets, np.int32)
    kept = place < width
    out[owner[kept], place[kept]] = np.concatenate(found)[kept]
    return out


def consts(cfg: SubwordConfig, words: Words) -> Consts:
    """Those of `word2vec`, and `grams`. Of a text that was not read, those of words of its size."""
    names = words.words if words.words is not None else [f"word{i}" for i in range(len(words.counts))]
    return word2vec.consts(cfg, words) | {"grams": grams(cfg, names)}


def arrays(cfg: SubwordConfig) -> dict[str, Leaf]:
    """E and C as in `word2vec`; Z starts as E does, float32 [K', D]."""
    start = uniform(-0.5 / cfg.dim, 0.5 / cfg.dim)
    return word2vec.arrays(cfg) | {"Z": Leaf((cfg.padded_buckets, cfg.dim), ("vocab", "embed"), start, cfg.dim)}


def init(rng: Array, cfg: SubwordConfig, consts: Consts) -> Params:
    """See `arrays`."""
    return draw(arrays(cfg), {"E": rng, "Z": jax.random.fold_in(rng, 1)})


def _made(cfg: SubwordConfig, own: Array, parts: Array, used: Array) -> Array:
    """h(w) of words of any shape S: own [*S, D], parts [*S, M, D] their n-grams' rows, used [*S, M] which count."""
    total = own + jnp.sum(jnp.where(used[..., None], parts, 0.0), axis=-2)
    return scale_forward(total, 1.0 / (1.0 + used.sum(-1, dtype=jnp.float32))[..., None])


def rows(cfg: SubwordConfig, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """Those of `word2vec`, and the rows of Z of the n-grams of the words whose rows of E it names."""
    ids, batch = word2vec.rows(cfg, consts, batch, rng)
    parts = consts["grams"][ids["E"]]
    return ids | {"Z": parts.reshape(len(parts), -1)}, batch | {"parts": parts}


def loss(
    cfg: SubwordConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """`word2vec.loss` with h(w) in the place of e_w."""
    used = batch["parts"] < cfg.buckets
    parts = params["Z"].reshape(*used.shape, cfg.dim)
    return word2vec.loss(cfg, params | {"E": _made(cfg, params["E"], parts, used)}, consts, carry, batch, rng)


def compose(cfg: SubwordConfig, params: Params, consts: Consts) -> Params:
    """`params` with h(w) in the place of every row of E."""
    table, known = params["E"], consts["grams"]
    total = table[: cfg.vocab_size]
    for place in range(known.shape[1]):  # one n-gram of every word at a time: all would be M tables
        one = known[:, place]
        total = total + jnp.where((one < cfg.buckets)[:, None], take_rows(params["Z"], one), 0.0)
    made = total / (1.0 + jnp.sum(known < cfg.buckets, axis=1, dtype=jnp.float32))[:, None]
    return params | {"E": table.at[: cfg.vocab_size].set(made)}


def given(cfg: SubwordConfig, params: Params, consts: Consts, known: np.ndarray, parts: Subwords | None) -> Params:
    """E with e_w = (1 + |G(w)|) v - sum z_g in the rows `known`, which hold v, so that h(w) is v; and Z of the file
    if that is given."""
    rows, table = np.array(params["Z"]), np.array(params["E"])
    if parts is not None:
        rows[: cfg.buckets] = parts.buckets
    ids = np.flatnonzero(known)
    found = consts["grams"][ids]
    total = (1.0 + (found < cfg.buckets).sum(axis=1, dtype=np.float32)).reshape(-1, 1) * table[ids]
    for place in range(found.shape[1]):  # as in `compose`: not all of a long word, unlike fastText's file
        one = found[:, place]
        total -= np.where((one < cfg.buckets)[:, None], rows[one], 0.0)
    table[ids] = total
    return {"E": table, "Z": rows}


def subwords(cfg: SubwordConfig, params: Params) -> Subwords:
    """What makes vectors of unseen words."""
    return Subwords(np.asarray(params["Z"][: cfg.buckets]), cfg.shortest, cfg.longest)


def grow(before: SubwordConfig, old: Words, cfg: SubwordConfig, new: Words) -> dict[str, np.ndarray]:
    """Those of `word2vec`; all rows of Z, if n-grams are hashed alike."""
    taken = word2vec.grow(before, old, cfg, new)
    same = all(getattr(before, name) == getattr(cfg, name) for name in ("buckets", "shortest", "longest"))
    return taken | ({"Z": np.arange(cfg.padded_buckets)} if same else {})


def states(cfg: SubwordConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """As `word2vec.states`, of h(w)."""
    return word2vec.states(cfg, compose(cfg, params, consts), consts, tokens, lengths)


def _examples() -> tuple[SubwordConfig, ...]:
    """Both architectures; few buckets, so that n-grams share some."""
    sizes: dict[str, Any] = {"dim": 8, "window": 2, "segment": 8, "shared_negatives": 4, "negatives": 2, "sample": 0.0}
    tiny = SubwordConfig(**sizes, buckets=60, longest=4)
    cbow = dataclasses.replace(tiny, architecture="cbow", loss="hierarchical", window_draw="sampled", shortest=4)
    return dataclasses.replace(tiny, window_draw="full"), cbow


FAMILY = Family(
    config=SubwordConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=word2vec.flops,
    examples=_examples(),
    train=Train(word2vec.shapes, word2vec.source, init, no_carry, rows, loss),
    embed=word2vec.embed,
    encode=Encode(layers=lambda cfg: 1, states=states, causal=lambda cfg: False),
    compose=compose,
    given=given,
    subwords=subwords,
    grow=grow,
)
