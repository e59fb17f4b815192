"""Transformer language model. Keys and values are computed in each layer, or once and shared by all layers.

    p(y_t | y_<t) = softmax(n(x_t) A^T)        x of the last block, n an RMSNorm, A = E where the head is tied

The blocks are those of `w2v_jax.nn.blocks`. `keys_values='shared_kv'` computes keys and values once, from the
embeddings, while each layer computes its own queries. 'per_layer' is the usual transformer (Vaswani et al. 2017, arXiv
1706.03762); 'shared_k' and 'shared_v' share one of the two. With `objective='masked'` the same blocks see both sides
and predict hidden tokens (`w2v_jax.nn.masking`) instead of the next one.

Text comes in contiguous lanes, and nothing is carried: a prediction sees its window of `length` tokens only. A window
may hold several documents, separated by their end tokens, and with `within_documents` attention does not cross them.
The embedding may start from given word vectors, and training may estimate the softmax from words drawn as noise
(`w2v_jax.nn.sampled`); held-out losses and scores always use the whole vocabulary.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from w2v_jax.config import check, check_choice, check_least, check_most
from w2v_jax.errors import UserError
from w2v_jax.formats import ENCODING_ERRORS
from w2v_jax.models import running_text
from w2v_jax.models.running_text import (
    PAD_VOCAB,
    int32,
    metrics_of,
    no_carry,
    no_rows,
    noise_of,
    read_text,
    resolve,
    score_targets,
)
from w2v_jax.models.vectors import count_found, given_vectors
from w2v_jax.nn import masking
from w2v_jax.nn.arrays import constant, draw, normal, training_flops
from w2v_jax.nn.attention import IMPLEMENTATIONS, kernel
from w2v_jax.nn.blocks import Drop, Stack, rms_norm, run_layers, stack_arrays, stack_keys, trace_layers, unstacked
from w2v_jax.nn.cache import Cache, cache_bytes, init_cache, run_cached
from w2v_jax.nn.head import CHUNK, next_token_logits
from w2v_jax.nn.layers import dropout, pad_to
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import (
    Array,
    Batch,
    Consts,
    Decode,
    Encode,
    Family,
    Leaf,
    Metrics,
    Params,
    Say,
    Shapes,
    Source,
    Train,
    Words,
)

# name -> (whether all layers share keys, whether they share values)
KEYS_VALUES = {
    "per_layer": (False, False),
    "shared_k": (True, False),
    "shared_v": (False, True),
    "shared_kv": (True,) * 2,
}
LOOPS = ("auto", "scan", "unrolled")
MASKS = 1 << 20  # place of the masks' draw within the model, beyond those of dropout


def check_heads(key: str, dim: int, heads: int) -> None:
    """UserError: model.`key`=`dim` does not split into `heads` of an even width."""
    if dim % heads:
        raise UserError(f"model.heads={heads}: does not divide model.{key}={dim}")
    if dim // heads % 2:
        raise UserError(f"model.heads={heads}: makes heads {dim // heads} wide; rotary positions need an even width")


def place_loop(cfg: Any, platform: str) -> Any:
    """`cfg` with `loop` decided: unrolled layers are faster on CPUs and GPUs; scan keeps the programs of pods small."""
    auto = "scan" if platform == "tpu" else "unrolled"
    return dataclasses.replace(cfg, loop=auto) if cfg.loop == "auto" else cfg


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    layers: int = 4  # blocks
    dim: int = 256  # width of the blocks and of the word vectors
    heads: int = 4  # of attention in each block
    wide: int = 4  # units of the feed-forward layer, in multiples of dim
    length: int = 128  # tokens of a window; a prediction sees no others
    objective: str = "causal"  # causal: the next token | masked: hidden tokens, from both sides
    keys_values: str = "per_layer"  # per_layer | shared_k | shared_v | shared_kv: once, from the embeddings
    tied: bool = True  # the head's table is the embedding
    dropout: float = 0.0  # share dropped of embeddings and of what each layer adds
    init_scale: float = 0.02  # standard deviation of the weights at the start
    # File of word vectors (word2vec, GloVe or fastText) that the embedding starts from, scaled to init_scale
    vectors: str = ""
    encoding_errors: str = "strict"  # words of that file that are not UTF-8: strict | replace | ignore
    mask_share: float = masking.SHARE  # of the tokens that objective=masked hides and predicts
    within_documents: bool = False  # in training, attention sees only tokens of the same document
    noise_words: int = 0  # words that stand for the vocabulary in the softmax of training; 0: all of it
    dtype: str = "float32"  # float32 | bfloat16, of the computation; parameters are float32
    loop: str = "auto"  # scan: compiles one layer | unrolled: all | auto: scan on TPUs, unrolled elsewhere
    remat: bool = False  # values inside a layer are recomputed for its gradient instead of kept
    attention: str = "auto"  # xla | cudnn | splash | auto: cudnn on GPUs in bfloat16, splash on TPUs
    head_chunk: int = CHUNK  # tokens whose logits are in memory at a time
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_least(1, "model", self, "layers", "dim", "heads", "wide", "length", "head_chunk")
        check_most(1000, "model", self, "layers")  # the programs hold each layer
        check_choice("model.objective", self.objective, ("causal", "masked"))
        check_choice("model.keys_values", self.keys_values, tuple(KEYS_VALUES))
        check_choice("model.dtype", self.dtype, ("float32", "bfloat16"))
        check_choice("model.loop", self.loop, LOOPS)
        check_choice("model.attention", self.attention, IMPLEMENTATIONS)
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "0 or more and below 1")
        check(self.init_scale > 0, "model.init_scale", self.init_scale, "above 0")
        check_choice("model.encoding_errors", self.encoding_errors, ENCODING_ERRORS)
        check(0 < self.mask_share < 1, "model.mask_share", self.mask_share, "above 0 and below 1")
        check_least(0, "model", self, "noise_words")
        check_heads("dim", self.dim, self.heads)
        if not self.masked and self.mask_share != masking.SHARE:
            raise UserError(f"model.mask_share={self.mask_share}: needs model.objective=masked; nothing is hidden here")
        if self.within_documents and self.attention == "splash":
            raise UserError("model.attention='splash': takes no model.within_documents; use auto")
        if self.attention == "cudnn" and self.dtype != "bfloat16":
            raise UserError("model.attention='cudnn': needs model.dtype=bfloat16")

    @property
    def masked(self) -> bool:
        """Whether the targets are hidden tokens, not next ones."""
        return self.objective == "masked"

    @property
    def padded_vocab(self) -> int:
        """V', rows of the tables. Under the masked objective row V of the embedding is the mask."""
        return pad_to(self.vocab_size + self.masked, PAD_VOCAB)

    @property
    def stack(self) -> Stack:
        """The blocks; `hidden_states` chooses the loop over them."""
        return Stack(
            self.layers,
            self.dim,
            self.heads,
            self.wide * self.dim,
            *KEYS_VALUES[self.keys_values],
            causal=not self.masked,
            dropout=self.dropout,
            remat=self.remat,
            implementation=self.attention,
        )


def shapes(cfg: TransformerConfig, batch_size: int) -> Shapes:
    """Lanes of `running_text.shapes`; with `within_documents` also 'doc', the document of every target."""
    lanes = running_text.shapes(cfg, batch_size)
    return lanes | (int32(doc=(batch_size, cfg.length)) if cfg.within_documents else {})


def source(cfg: TransformerConfig, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Contiguous lanes of a split. Nothing is shuffled, so the seed plays no part."""
    return running_text.lanes(text, split, shapes(cfg, batch_size))


def place(cfg: TransformerConfig, platform: str) -> TransformerConfig:
    """`cfg` with `loop` and `attention` decided; see `place_loop` and `w2v_jax.nn.attention.kernel`."""
    cfg = place_loop(cfg, platform)
    if cfg.attention == "splash" and platform != "tpu":
        raise UserError("model.attention='splash': needs TPUs; use auto")
    if cfg.attention != "auto":
        return cfg
    best = kernel(platform, cfg.dtype, cfg.dim // cfg.heads, cfg.length)
    return dataclasses.replace(cfg, attention="xla" if cfg.within_documents else best)  # only XLA's takes any mask


def arrays(cfg: TransformerConfig) -> dict[str, Any]:
    """{'embed' [V', D], 'norm' [D]} and `stack_arrays`; without tying also {'head': {'table' [V', D]}}."""
    shape, names, start = (cfg.padded_vocab, cfg.dim), ("vocab", "embed"), normal(cfg.init_scale)
    seen = masking.chosen_count(cfg.length, cfg.mask_share) / cfg.length if cfg.masked else 1.0  # tokens at the head
    read = seen * min(1.0, cfg.noise_words / cfg.padded_vocab) if cfg.noise_words else seen
    tree = stack_arrays(cfg.stack, cfg.init_scale) | {
        "embed": Leaf(shape, names, start, cfg.dim, read if cfg.tied else 0.0),
        "norm": Leaf((cfg.dim,), ("embed",), constant(1.0)),
    }
    return tree if cfg.tied else tree | {"head": {"table": Leaf(shape, names, start, cfg.dim, read)}}


def init(rng: Array, cfg: TransformerConfig, consts: Consts) -> Params:
    """See `arrays`; the embedding starts from given vectors where there are any. The mask has none: it is drawn."""
    embed_key, head_key, stack_key = jax.random.split(rng, 3)
    params = draw(arrays(cfg), {"embed": embed_key, "head": {"table": head_key}} | stack_keys(stack_key))
    if "vectors" in consts:
        words = jnp.arange(cfg.padded_vocab)[:, None] < cfg.vocab_size
        params["embed"] = jnp.where(words, consts["vectors"], params["embed"])
    return params


def read(cfg: TransformerConfig, data: Any, say: Say) -> Any:
    """The `Corpus` of `data`; says how many of its tokens start from given vectors."""
    text = read_text(cfg, data, say)
    if cfg.vectors:
        found, size = count_found(cfg.vectors, text.vocab.words, cfg.encoding_errors), len(text.vocab.words)
        say(f"embedding: {found:,} of {size:,} tokens start from {cfg.vectors}, the others are drawn")
    return text


def consts(cfg: TransformerConfig, words: Words) -> Consts:
    """{'vectors': [V', D]} where vectors are given, and `noise_of`."""
    return given_vectors(cfg, words, rescale=True) | noise_of(cfg, words)


def embed_tokens(cfg: TransformerConfig, params: Params, tokens: Array) -> Array:
    """int32 [B, T] -> [B, T, D] in the dtype of the computation."""
    return take_rows(params["embed"], tokens).astype(cfg.dtype)


def head_table(cfg: TransformerConfig, params: Params) -> Array:
    """A above, [V', D]."""
    return params["embed"] if cfg.tied else params["head"]["table"]


def logits_of(cfg: TransformerConfig, params: Params, x: Array) -> Array:
    """Output of the blocks [..., D] -> float32 logits [..., V], for a few positions."""
    hidden = rms_norm(x, params["norm"]).astype(jnp.float32)
    return next_token_logits(hidden, head_table(cfg, params), jnp.zeros(cfg.padded_vocab), cfg.vocab_size)


def hidden_states(
    cfg: TransformerConfig,
    params: Params,
    tokens: Array,
    drop: Drop,
    lengths: Array | None = None,
    document: Array | None = None,
) -> Array:
    """n(x) above, [B, T, D]. Attention sees the first `lengths` int32 [B] tokens of a row, and only those of the same
    `document` int32 [B, T]; None for all."""
    x = embed_tokens(cfg, params, tokens)
    if drop.row is not None:
        x = dropout(x, cfg.dropout, drop.rng, drop.row, 0, axis=0)
    stack = cfg.stack._replace(scan=cfg.loop == "scan")
    mask = None if document is None else (document[:, :, None] == document[:, None, :])[:, None]
    return rms_norm(run_layers(stack, params, x, drop, lengths=lengths, mask=mask), params["norm"])


def _scored(
    cfg: TransformerConfig, params: Params, consts: Consts, batch: Batch, rng: Array | None
) -> tuple[tuple[Array, Array, Array], Array]:
    """(`score_targets`, targets [M]), row by row: M is B x T, or B x K under the masked objective."""
    drop, document = Drop(rng, batch["row"]), batch.get("doc")
    if cfg.masked:
        text = batch["targets"]  # every token of the text is a target once a pass
        fold = None if rng is None else jax.random.fold_in(rng, MASKS)
        keys = masking.keys_by_text(text) if fold is None else masking.keys_by_row(fold, batch["row"])
        hidden_text = masking.hide(keys, text, cfg.vocab_size, cfg.mask_share)
        lengths = jnp.maximum(1, (text >= 0).sum(1).astype(jnp.int32))  # padding is at the end of a row
        hidden = hidden_states(cfg, params, hidden_text.inputs, drop, lengths, document)
        hidden, targets = masking.take_places(hidden, hidden_text.places), hidden_text.targets
    else:
        hidden = hidden_states(cfg, params, batch["tokens"], drop, document=document)
        targets = batch["targets"]
    table, no_bias = head_table(cfg, params), jnp.zeros(cfg.padded_vocab, jnp.float32)
    return score_targets(cfg, consts, hidden, table, no_bias, targets, rng), targets.reshape(-1)


def loss(
    cfg: TransformerConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """Mean loss in nats over the scored places of a full batch, additive over rows; metrics of `metrics_of`.

    Under the masked objective `rng` and the row choose the hidden tokens. In evaluation (`rng` None) the text itself
    does, so a held-out text always hides the same tokens.
    """
    (total, nats, correct), targets = _scored(cfg, params, consts, batch, rng)
    return total / batch["global_rows"], (carry, metrics_of(batch, nats, correct, targets >= 0))


def score(cfg: TransformerConfig, params: Params, consts: Consts, carry: Any, batch: Batch) -> tuple[Array, Array, Any]:
    """See `Score`. UserError: the objective is masked."""
    if cfg.masked:
        raise UserError("model.objective='masked': gives a text no probability; only causal models score its tokens")
    (_, nats, correct), _ = _scored(cfg, params, consts, batch, None)
    shape = batch["targets"].shape
    return nats.reshape(shape), correct.reshape(shape), carry


def states(cfg: TransformerConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """The embeddings and x after every layer; under the masked objective token V is the mask."""
    x = embed_tokens(cfg, params, tokens)
    return [x, *trace_layers(cfg.stack, params, x, lengths)[0]]


def attention(cfg: TransformerConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """Where each token looks, float32 [B, N, T, T] per layer."""
    return trace_layers(cfg.stack, params, embed_tokens(cfg, params, tokens), lengths)[1]


def weights(cfg: TransformerConfig, params: Params) -> Params:
    """The parameters with 'layers' as `run_cached` takes them, and 'out' [D, V], the transposed table of the head."""
    out = head_table(cfg, params)[: cfg.vocab_size].T
    return params | {"layers": unstacked(cfg.stack, params), "out": out}


def start(cfg: TransformerConfig, rows: int, capacity: int) -> Cache:
    """An empty cache of keys and values. UserError: the objective is masked, so tokens see those that follow."""
    if cfg.masked:
        raise UserError("model.objective='masked': reads a whole text at once; only causal models generate text")
    return init_cache(cfg.stack, cfg.dtype, rows, capacity)


def step(cfg: TransformerConfig, weights: Params, consts: Consts, kept: Cache, tokens: Array) -> tuple[Array, Cache]:
    """(logits [B, V] of the token after int32 [B, T], the cache with these tokens). UserError: as `run_cached`."""
    x, kept = run_cached(cfg.stack, weights, embed_tokens(cfg, weights, tokens), kept)
    return rms_norm(x[:, -1], weights["norm"]).astype(jnp.float32) @ weights["out"], kept


def size(cfg: TransformerConfig) -> tuple[int, int]:
    """No fixed bytes; `cache_bytes` per token."""
    return 0, cache_bytes(cfg.stack, cfg.dtype)


def embed(cfg: TransformerConfig, params: Params) -> dict[str, Array]:
    """The embedding and, without tying, the table of the head; [V, D]."""
    tables = {"E": params["embed"]} | ({} if cfg.tied else {"A": params["head"]["table"]})
    return {name: table[: cfg.vocab_size] for name, table in tables.items()}


def flops(cfg: TransformerConfig) -> tuple[float, str]:
    """Matrix products, forward and backward: 6 per weight and token, and 12 T D per layer for attention over T = length
    tokens, half as many where it is causal. Under the masked objective the head sees K of T tokens."""
    seen = 12.0 if cfg.masked else 6.0
    return training_flops(arrays(cfg), cfg.vocab_size) + seen * cfg.length * cfg.dim * cfg.layers, "token"


def describe(cfg: TransformerConfig) -> str:
    """The size of the cache, and that of the other extreme of sharing."""
    each = size(cfg)[1]
    shared = [name for name, once in zip(("keys", "values"), KEYS_VALUES[cfg.keys_values], strict=True) if once]
    how = f"{' and '.join(shared)} shared by" if shared else "separate in"
    line = f"cache: {each:,} bytes per token ({how} {cfg.layers} layers)"
    if not shared:
        least = size(dataclasses.replace(cfg, keys_values="shared_kv"))[1]
        return f"{line}; shared by all layers {least:,}, {each / least:.3g} times smaller"
    most = size(dataclasses.replace(cfg, keys_values="per_layer"))[1]
    return f"{line}; separate in each layer {most:,}, {most / each:.3g} times larger"


def _examples() -> tuple[TransformerConfig, ...]:
    """Every option but `shared_v`, which the classifier's examples have."""
    tiny = TransformerConfig(layers=2, dim=8, heads=2, length=6, head_chunk=16, init_scale=0.1)
    masked = dataclasses.replace(tiny, objective="masked", mask_share=0.4, within_documents=True, noise_words=8)
    return (
        tiny,
        dataclasses.replace(masked, keys_values="shared_k", dropout=0.1, loop="scan"),
        dataclasses.replace(tiny, keys_values="shared_kv", dropout=0.2, loop="scan", remat=True, tied=False),
    )


FAMILY = Family(
    config=TransformerConfig,
    resolve=resolve,
    text=read,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=Train(shapes, source, init, no_carry, no_rows, loss),
    embed=embed,
    score=score,
    decode=Decode(weights, start, step, size, lambda cfg: cfg.length, describe),
    encode=Encode(
        lambda cfg: cfg.layers,
        states,
        lambda cfg: not cfg.masked,
        logits_of,
        attention,
        context=lambda cfg: cfg.length,
        mask=lambda cfg: cfg.vocab_size if cfg.masked else None,
    ),
    place=place,
)
