"""word2vec: {skip-gram, CBOW} x {full softmax, negative sampling, hierarchical softmax}.

Mikolov et al. 2013a (arXiv 1301.3781) and 2013b (arXiv 1310.4546), with subsampling before windowing, dynamic window,
unigram^0.75 noise and initialisation as in the C tool. Two tables are trained: E [V', D] for input words and C [V', D]
for output words (the notes' context matrix is C transposed; under hierarchical softmax the rows of C are inner nodes,
by falling count). V' is the vocabulary padded to a multiple of 1,024, so that a checkpoint does not depend on the
number of devices.

A batch is R rows of L centres with a halo of W tokens on both sides (`w2v_jax.data.blocks`). The loss of skip-gram is
linear in pairs and takes the expectation of the dynamic window; CBOW averages its window inside the loss and samples.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.family import Direct, Encode, Family, Train
from w2v_jax.losses import (
    log_partition,
    node_loss,
    path_loss,
    round_gradient,
    scale_forward,
    shared_noise,
    softplus,
    window_path_loss,
    window_scores,
    window_spread,
    window_sum,
    window_weights,
)
from w2v_jax.models import word2vec_kernels
from w2v_jax.models.frequencies import alias_table, keep_probability, noise_probability
from w2v_jax.models.huffman import huffman_paths, same_nodes, split_paths
from w2v_jax.models.running_text import int32, no_carry, read_text, resolve, same_words
from w2v_jax.models.word2vec_config import MOST_WINDOW as MOST_WINDOW
from w2v_jax.models.word2vec_config import PAD_VOCAB as PAD_VOCAB
from w2v_jax.models.word2vec_config import Word2VecConfig as Word2VecConfig
from w2v_jax.nn.apart import compute_apart
from w2v_jax.nn.arrays import constant, draw, uniform
from w2v_jax.nn.draws import alias_words, row_bits
from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array, Batch, Consts, Leaf, Metrics, Params, Shapes, Source, Words

# Hierarchical softmax scores its most used inner nodes against every token instead of gathering them for every path; 32
# to 128 of them take the same time on CPUs. Every row names them all, so they are at most as many as a row's centres,
# and at most a quarter of the vocabulary.
TOP_NODES = 64
LONGER = "set data.document=blank or file"  # where documents are too short


def shapes(cfg: Word2VecConfig, batch_size: int) -> Shapes:
    """R = batch_size / L rows; see `w2v_jax.data.blocks.window_source` for the entries."""
    if batch_size % cfg.segment:
        raise UserError(f"train.batch_size={batch_size}: must be a multiple of model.segment={cfg.segment}")
    count, length = batch_size // cfg.segment, cfg.segment
    wide = (count, length + 2 * cfg.window)
    return int32(tokens=wide, doc=wide, reach=(count, length), words=(count,))


def consts(cfg: Word2VecConfig, words: Words) -> Consts:
    """The alias table of the noise, or the Huffman paths of `split_paths`; {} for the full softmax."""
    counts = np.asarray(words.counts)
    if cfg.loss == "negative":
        accept, alias = alias_table(noise_probability(counts, cfg.noise_power))
        return {"accept": accept, "alias": alias}
    if cfg.loss == "hierarchical":
        top = max(1, min(TOP_NODES, len(counts) // 4, cfg.segment))
        exits, exit_signs, nodes, signs = split_paths(*huffman_paths(counts), top)
        return {"exits": exits, "exit_signs": exit_signs, "nodes": nodes, "signs": signs}
    return {}


def source(cfg: Word2VecConfig, text: Any, split: str, batch_size: int, seed: int) -> Source:
    """Rows of centres from the subsampled text. Splits other than 'train' keep the order of the text.

    UserError: no word of the training text has a neighbour.
    """
    from w2v_jax.data.blocks import window_source

    tokens = getattr(text, split)
    if split == "train" and min(int(np.diff(tokens.offsets).max(initial=0)), text.block_tokens) < 2:
        raise UserError(
            f"data.source: no document has two known words in one block of data.block_tokens={text.block_tokens}, so "
            f"no word has a neighbour to learn from; {LONGER}, or raise data.block_tokens"
        )
    return window_source(
        tokens,
        keep_probability(np.asarray(text.vocab.counts), cfg.sample),
        shapes(cfg, batch_size),
        seed=seed,
        block_tokens=text.block_tokens,
        shuffle=split == "train",
    )


def arrays(cfg: Word2VecConfig) -> dict[str, Leaf]:
    """E uniform on [-1/2D, 1/2D], C zero, as in the C tool; float32 [V', D] both, split by vocabulary."""
    shape, names = (cfg.padded_vocab, cfg.dim), ("vocab", "embed")
    return {
        "E": Leaf(shape, names, uniform(-0.5 / cfg.dim, 0.5 / cfg.dim), cfg.dim),
        "C": Leaf(shape, names, constant(0.0), cfg.dim),
    }


def init(rng: Array, cfg: Word2VecConfig, consts: Consts) -> Params:
    """See `arrays`."""
    return draw(arrays(cfg), {"E": rng})


def draw_noise(consts: Consts, rng: Array, row: Array, count: int) -> Array:
    """`count` noise words per row from the alias table, int32 [R, count], determined by `rng` and the row's number."""
    return alias_words(consts["accept"], consts["alias"], rng, row, count)


def rows(cfg: Word2VecConfig, consts: Consts, batch: Batch, rng: Array) -> tuple[dict[str, Array], Batch]:
    """The rows of E and C that the step touches. The batch axis of the ids comes first, so they split as the batch."""
    tokens, window = batch["tokens"], cfg.window
    centres = tokens[:, window : tokens.shape[1] - window]
    outward = cfg.architecture == "skipgram" and cfg.loss != "hierarchical"  # centre in E, neighbours in C
    ids = {"E": centres if outward else tokens}
    if cfg.loss == "softmax":
        return ids, batch
    if cfg.loss == "hierarchical":
        # Every row names all top nodes, so that each device finds them in its own rows.
        count, top = len(tokens), consts["exit_signs"].shape[1]
        shared = jnp.broadcast_to(jnp.arange(top, dtype=jnp.int32)[None], (count, top))
        return ids | {"C": jnp.concatenate([shared, consts["nodes"][centres].reshape(count, -1)], axis=1)}, batch
    noise = draw_noise(consts, rng, batch["row"], cfg.shared_negatives)
    batch = batch | {"noise": noise}
    if cfg.noise_every > 1:  # one for all rows, drawn for the extra row -1
        (turn,), _ = row_bits(rng, jnp.full(1, -1), 1)
        batch |= {"turn": (turn[0] % np.uint32(cfg.noise_every)).astype(jnp.int32)}
    return ids | {"C": jnp.concatenate([tokens if outward else centres, noise], axis=1)}, batch


def _softmax_loss(cfg: Word2VecConfig, hidden: Array, table: Array, targets: Array, weights: Array) -> Array:
    """sum over centres of n_i log Z_i - sum_j w_ij h_i . c_target(i, j); targets int32 and weights [R, L, J]."""
    partition = log_partition(hidden.reshape(-1, cfg.dim), table, cfg.vocab_size).reshape(hidden.shape[:2])
    true = jnp.einsum("rld,rljd->rlj", hidden, take_rows(table, targets))
    return jnp.sum(weights.sum(-1) * partition) - jnp.sum(weights * true)


class _Tree(NamedTuple):
    """The gathered rows of C under hierarchical softmax, and the centres' paths through them."""

    top: Array  # [R, T, D]
    turns: Array  # [R, L, 2T], 1 at the top nodes where the path turns to code 0, then to code 1
    nodes: Array  # [R, L, Q, D], the rest of the path
    signs: Array  # [R, L, Q]


def _tree(consts: Consts, outputs: Array, centres: Array) -> _Tree:
    top = consts["exit_signs"].shape[1]
    codes = jnp.concatenate([consts["exit_signs"] > 0, consts["exit_signs"] < 0], axis=1).astype(jnp.float32)
    turns = compute_apart(lambda codes, exits: codes[exits], centres, codes, consts["exits"][centres])
    signs = consts["signs"][centres].astype(jnp.float32)
    return _Tree(outputs[:, :top], turns, outputs[:, top:].reshape(*signs.shape, outputs.shape[-1]), signs)


def _noise(cfg: Word2VecConfig, batch: Batch, hidden: Array, noise: Array, weights: Array) -> Array:
    turn, low = batch.get("turn", 0), cfg.noise_dtype == "bfloat16"
    return shared_noise(hidden, noise, weights, cfg.negatives, cfg.noise_every, turn, low=low)


def pair_loss(cfg: Word2VecConfig, params: Params, consts: Consts, batch: Batch, weights: Array) -> Array:
    """Summed loss in nats of the pairs of skip-gram, weights [R, L, 2W + 1]."""
    window, length = cfg.window, weights.shape[1]
    inputs, outputs = params["E"], params["C"]
    if cfg.loss == "softmax":
        neighbours = [batch["tokens"][:, j : j + length] for j in range(2 * window + 1)]
        return _softmax_loss(cfg, inputs, outputs, jnp.stack(neighbours, axis=-1), weights)
    if cfg.loss == "hierarchical":
        # As in the C tool, the neighbours in E predict the centre along its path. The pairs are the same.
        tree = _tree(consts, outputs, batch["tokens"][:, window : window + length])
        plus, minus = jnp.split(window_spread(tree.turns, weights), 2, axis=-1)
        shared = node_loss(jnp.einsum("rld,rtd->rlt", inputs, tree.top), plus, minus)
        return shared + window_path_loss(inputs, tree.nodes, tree.signs, weights)
    split = length + 2 * window
    positive = jnp.sum(weights * softplus(-window_scores(inputs, outputs[:, :split], window)))
    return positive + _noise(cfg, batch, inputs, outputs[:, split:], weights.sum(-1))


def _cbow(cfg: Word2VecConfig, params: Params, consts: Consts, batch: Batch, weights: Array) -> tuple[Array, Array]:
    size = weights.sum(-1)
    counted = (size > 0).astype(jnp.float32)
    share = 1.0 / jnp.maximum(size, 1.0)[..., None]
    if cfg.context_gradient == "tool":
        hidden = scale_forward(window_sum(params["E"], weights), share)
    else:
        hidden = window_sum(params["E"], weights * share)
    return centre_loss(cfg, params["C"], consts, batch, hidden, counted), counted.sum()


def centre_loss(
    cfg: Word2VecConfig, outputs: Array, consts: Consts, batch: Batch, hidden: Array, counted: Array
) -> Array:
    """Summed loss in nats of the centres, each predicted by one vector: hidden [R, L, D], counted [R, L] of 1 and 0.

    `outputs` are the rows of C that `rows` names for CBOW: of centres and noise [R, L + N, D], of nodes, or all."""
    length = hidden.shape[1]
    centres = batch["tokens"][:, cfg.window : cfg.window + length]
    if cfg.loss == "softmax":
        return _softmax_loss(cfg, hidden, outputs, centres[..., None], counted[..., None])
    if cfg.loss == "hierarchical":
        tree = _tree(consts, outputs, centres)
        plus, minus = jnp.split(counted[..., None] * tree.turns, 2, axis=-1)
        shared = node_loss(jnp.einsum("rld,rtd->rlt", hidden, tree.top), plus, minus)
        return shared + jnp.sum(counted * path_loss(hidden[:, :, None], tree.nodes, tree.signs)[..., 0])
    positive = jnp.sum(counted * softplus(-jnp.sum(hidden * outputs[:, :length], axis=-1)))
    return positive + _noise(cfg, batch, hidden, outputs[:, length:], counted)


def loss(
    cfg: Word2VecConfig, params: Params, consts: Consts, carry: Any, batch: Batch, rng: Array | None
) -> tuple[Array, tuple[Any, Metrics]]:
    """Summed loss in nats of all pairs (skip-gram) or centres (CBOW) of the batch.

    Metrics: 'loss' (sum, pairs or centres) and 'words' (raw words of the text before subsampling, rows).
    """
    if cfg.gradient_dtype == "bfloat16":
        params = params | {name: round_gradient(params[name]) for name in ("E", "C")}
    weigh = partial(window_weights, window=cfg.window, draw=cfg.draw)
    weights = compute_apart(weigh, batch["doc"], batch["doc"], batch["reach"])
    if cfg.architecture == "skipgram":
        total, count = pair_loss(cfg, params, consts, batch, weights), weights.sum()
    else:
        total, count = _cbow(cfg, params, consts, batch, weights)
    words = batch["words"].astype(jnp.float32).sum()
    return total, (carry, {"loss": (total, count), "words": (words, jnp.float32(weights.shape[0]))})


def direct(cfg: Word2VecConfig) -> Direct | None:
    """The gradients by `word2vec_kernels`; none for the full softmax."""

    def gradients(cfg: Word2VecConfig, params: Params, consts: Consts, batch: Batch, rng: Array) -> Any:
        return word2vec_kernels.gradients(cfg, params, consts, *rows(cfg, consts, batch, rng))

    return None if cfg.loss == "softmax" else gradients


def states(cfg: Word2VecConfig, params: Params, consts: Consts, tokens: Array, lengths: Array) -> list[Array]:
    """E of every token, and the mean of E over its neighbours, up to `window` on each side; zero without any."""
    size, own = tokens.shape[1], take_rows(params["E"], tokens)
    place = jnp.arange(size)
    near = (jnp.abs(place[:, None] - place[None]) <= cfg.window) & (place[:, None] != place[None])
    near = (near[None] & (place[None, None] < lengths[:, None, None])).astype(jnp.float32)
    return [own, jnp.einsum("bts,bsd->btd", near, own) / jnp.maximum(near.sum(-1, keepdims=True), 1.0)]


def embed(cfg: Word2VecConfig, params: Params) -> dict[str, Array]:
    """E and C of the unpadded vocabulary, [V, D] each; without C under hierarchical softmax, which holds nodes."""
    out = {"E": params["E"][: cfg.vocab_size]}
    return out if cfg.loss == "hierarchical" else out | {"C": params["C"][: cfg.vocab_size]}


def grow(before: Word2VecConfig, old: Words, cfg: Word2VecConfig, new: Words) -> dict[str, np.ndarray]:
    """The rows of E and C of the words that both know. Under hierarchical softmax the tree is built anew: the nodes
    that still part the known words in the same way keep their rows of C. Between losses that score other things C
    starts at zero."""
    if before.dim != cfg.dim:
        raise UserError(f"train.start: the earlier run has model.dim={before.dim}, this one {cfg.dim}")
    rows = same_words(old, new, cfg.padded_vocab)
    tree = "hierarchical"
    if before.loss != tree and cfg.loss != tree:
        return {"E": rows, "C": rows}
    if before.loss != tree or cfg.loss != tree:
        return {"E": rows}
    nodes = np.full(cfg.padded_vocab, -1, np.int64)
    nodes[: len(new.counts) - 1] = same_nodes(np.asarray(old.counts), np.asarray(new.counts), rows[: len(new.counts)])
    return {"E": rows, "C": nodes}


def flops(cfg: Word2VecConfig) -> tuple[float, str]:
    """Multiply-adds counted as two, forward and backward, per centre that survives subsampling."""
    pairs = 2 * cfg.window if cfg.draw == "full" else cfg.window + 1
    depth = np.log2(max(cfg.vocab_size, 2))  # of a balanced tree; Huffman's is shallower
    outputs = {"negative": 1 + cfg.negatives, "softmax": cfg.vocab_size, "hierarchical": depth}
    scored = outputs[cfg.loss] * (pairs if cfg.architecture == "skipgram" and cfg.loss != "softmax" else 1)
    return 6.0 * cfg.dim * float(scored), "kept word"


def _examples() -> tuple[Word2VecConfig, ...]:
    """Both architectures with every loss; every draw of the window and both gradients of CBOW occur."""
    tiny = Word2VecConfig(dim=8, window=2, segment=8, shared_negatives=4, negatives=2, sample=0.0)
    cbow = dataclasses.replace(tiny, architecture="cbow")
    return (
        dataclasses.replace(tiny, window_draw="expected"),
        dataclasses.replace(tiny, loss="hierarchical", window_draw="sampled"),
        dataclasses.replace(tiny, loss="softmax", window_draw="full"),
        dataclasses.replace(cbow, window_draw="sampled", noise_every=2),
        dataclasses.replace(cbow, loss="hierarchical", window_draw="full", context_gradient="mean"),
        dataclasses.replace(cbow, loss="softmax", window_draw="sampled", context_gradient="mean"),
    )


FAMILY = Family(
    config=Word2VecConfig,
    resolve=resolve,
    text=read_text,
    consts=consts,
    arrays=arrays,
    flops=flops,
    examples=_examples(),
    train=Train(shapes, source, init, no_carry, rows, loss, direct=direct),
    embed=embed,
    encode=Encode(layers=lambda cfg: 1, states=states, causal=lambda cfg: False),
    grow=grow,
)
