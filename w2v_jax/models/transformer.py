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

from w2v_jax.data.bpe import word_bounds
from w2v_jax.errors import UserError
from w2v_jax.family import Decode, Encode, Family, Train
from w2v_jax.models import running_text
from w2v_jax.models.running_text import (
    int32,
    metrics_of,
    no_carry,
    no_rows,
    noise_of,
    read_text,
    resolve,
    score_targets,
)
from w2v_jax.models.transformer_config import KEYS_VALUES as KEYS_VALUES
from w2v_jax.models.transformer_config import TransformerConfig as TransformerConfig
from w2v_jax.models.transformer_config import place
from w2v_jax.models.vectors import count_found, given_vectors
from w2v_jax.nn import masking
from w2v_jax.nn.arrays import constant, draw, normal, training_flops
from w2v_jax.nn.blocks import (
    Drop,
    rms_norm,
    run_layers,
    stack_arrays,
    stack_keys,
    trace_layers,
    unstacked,
)
from w2v_jax.nn.cache import Cache, cache_bytes, init_cache, run_cached
from w2v_jax.nn.head import next_token_logits
from w2v_jax.nn.layers import dropout
from w2v_jax.nn.segments import take_rows
from w2v_jax.nn.transfer import scaled
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params, Say, Shapes, Source, Words

MASKS = 1 << 20  # place of the masks' draw within the model, beyond those of dropout


def shapes(cfg: TransformerConfig, batch_size: int) -> Shapes:
    """Lanes of `running_text.shapes`; with `within_documents` also 'doc', the document of every target."""
    lanes = running_text.shapes(cfg, batch_size)
    return lanes | (int32(doc=(batch_size, cfg.length)) if cfg.within_documents else {})


def source(cfg: TransformerConfig, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Contiguous lanes of a split. Nothing is shuffled, so the seed plays no part."""
    return running_text.lanes(text, split, shapes(cfg, batch_size))


def arrays(cfg: TransformerConfig) -> dict[str, Any]:
    """{'embed' [V', D], 'norm' [D]} and `stack_arrays`; without tying also {'head': {'table' [V', D]}}."""
    rate = cfg.table_rate * cfg.scale.table
    table = Leaf((cfg.padded_vocab, cfg.dim), ("vocab", "embed"), normal(cfg.init_scale), cfg.dim, rate=rate)
    seen = masking.chosen_count(cfg.length, cfg.mask_share) / cfg.length if cfg.masked else 1.0  # tokens at the head
    read = seen * running_text.share_scored(cfg)
    tree = stack_arrays(cfg.stack, cfg.init_scale) | {
        "embed": dataclasses.replace(table, uses=read if cfg.tied else 0.0),
        "norm": Leaf((cfg.dim,), ("embed",), constant(1.0)),
    }
    return tree if cfg.tied else tree | {"head": {"table": dataclasses.replace(table, uses=read)}}


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
    """{'vectors': [V', D]} where vectors are given, {'bounds': int32 [V]} for whole words (`masking.word_numbers`), and
    `noise_of`."""
    found = given_vectors(cfg, words, rescale=True) | noise_of(cfg, words)
    if cfg.whole_words:
        found["bounds"] = word_bounds(words.words or ("",) * len(words.counts))
    return found


def embed_tokens(cfg: TransformerConfig, params: Params, tokens: Array) -> Array:
    """int32 [B, T] -> [B, T, D] in the dtype of the computation."""
    return take_rows(params["embed"], tokens).astype(cfg.dtype)


def head_table(cfg: TransformerConfig, params: Params) -> Array:
    """A above, [V', D]."""
    return params["embed"] if cfg.tied else params["head"]["table"]


def read_out(cfg: TransformerConfig, params: Params, x: Array) -> Array:
    """n(x) as the head reads it, scaled by `w2v_jax.nn.transfer`; [..., D] -> [..., D]."""
    return scaled(rms_norm(x, params["norm"]), cfg.scale.logits)


def logits_of(cfg: TransformerConfig, params: Params, x: Array) -> Array:
    """Output of the blocks [..., D] -> float32 logits [..., V], for a few positions."""
    hidden = read_out(cfg, params, x).astype(jnp.float32)
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
    return read_out(cfg, params, run_layers(stack, params, x, drop, lengths=lengths, mask=_same(document)))


def _same(document: Array | None) -> Array | None:
    """Which tokens of a row are of the same `document` int32 [B, T], bool [B, 1, T, T]; None where all are."""
    return None if document is None else (document[:, :, None] == document[:, None, :])[:, None]


def _scored(
    cfg: TransformerConfig, params: Params, consts: Consts, batch: Batch, rng: Array | None
) -> tuple[tuple[Array, Array, Array], Array]:
    """(`score_targets`, targets [M]), row by row: M is B x T, or B x K under the masked objective."""
    drop, document = Drop(rng, batch["row"]), batch["doc"] if cfg.within_documents else None
    if cfg.masked:
        text = batch["targets"]  # every token of the text is a target once a pass
        fold = None if rng is None else jax.random.fold_in(rng, MASKS)
        keys = masking.keys_by_text(text) if fold is None else masking.keys_by_row(fold, batch["row"])
        hidden_text = masking.hide(keys, text, cfg.vocab_size, cfg.mask_share, consts.get("bounds"))
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


def states(
    cfg: TransformerConfig, params: Params, consts: Consts, tokens: Array, lengths: Array, document: Array | None = None
) -> list[Array]:
    """The embeddings and x after every layer; under the masked objective token V is the mask. `document` is that of
    `hidden_states`: None for rows of one document."""
    x = embed_tokens(cfg, params, tokens)
    return [x, *trace_layers(cfg.stack, params, x, lengths, _same(document))[0]]


def attention(
    cfg: TransformerConfig, params: Params, consts: Consts, tokens: Array, lengths: Array, document: Array | None = None
) -> list[Array]:
    """Where each token looks, float32 [B, N, T, T] per layer; arguments as for `states`."""
    return trace_layers(cfg.stack, params, embed_tokens(cfg, params, tokens), lengths, _same(document))[1]


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
    return read_out(cfg, weights, x[:, -1]).astype(jnp.float32) @ weights["out"], kept


def size(cfg: TransformerConfig) -> tuple[int, int]:
    """No fixed bytes; `cache_bytes` per token."""
    return 0, cache_bytes(cfg.stack, cfg.dtype)


def embed(cfg: TransformerConfig, params: Params) -> dict[str, Array]:
    """The embedding and, without tying, the table of the head; [V, D]."""
    tables = {"E": params["embed"]} | ({} if cfg.tied else {"A": params["head"]["table"]})
    return {name: table[: cfg.vocab_size] for name, table in tables.items()}


def flops(cfg: TransformerConfig) -> tuple[float, str]:
    """Matrix products, forward and backward: 6 per weight and token, and 12 T D per layer for attention over T = length
    tokens, half as many where it is causal. Under the masked objective the head sees K of T tokens. With noise words it
    scores those and the target alone; held-out losses, which score all words, are not counted."""
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
    masked = dataclasses.replace(masked, whole_words=True)
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
    train=Train(
        *(shapes, source, init, no_carry, no_rows, loss),
        attention=lambda cfg: cfg.heads * cfg.length**2 if cfg.attention == "xla" else 0,
    ),
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
        documents=lambda cfg: cfg.within_documents,
    ),
    place=place,
)
