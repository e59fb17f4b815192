"""Losses over gathered rows, shared by the models. All arrays are float32 unless said otherwise.

Shapes: R rows of text, each with L centres and a halo of W tokens on both sides; D dimensions; N noise words shared by
the centres of a row; P inner nodes of a Huffman path. Nothing here draws random numbers. Every loss is a sum, not a
mean, so that a step of many words sums the updates of the sequential word2vec tool.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from w2v_jax.types import Array

# Centres scored by one small matrix product. 16 to 32 are fastest on CPUs (docs/benchmarks_word2vec.md): a larger
# block does more work off the band, a smaller one leaves the vector units idle.
BLOCK = 32
PATH_BLOCK = 4  # the same where every centre has its own nodes


@jax.custom_jvp
def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow, the logistic loss of a score -x; on CPUs 3 times as fast as JAX's own."""
    return jnp.maximum(x, 0.0) + jnp.log(1.0 + jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return softplus(primals[0]), jax.nn.sigmoid(primals[0]) * tangents[0]


@jax.custom_vjp
def scale_forward(x: Array, factor: Array) -> Array:
    """x * factor. The gradient by x passes through unscaled; `factor` gets none."""
    return x * factor


scale_forward.defvjp(lambda x, factor: (x * factor, factor), lambda factor, g: (g, jnp.zeros_like(factor)))


@jax.custom_vjp
def round_gradient(x: Array) -> Array:
    """x, whose gradient is rounded to the nearest bfloat16."""
    return x


# Not by two conversions, which XLA may leave out.
round_gradient.defvjp(
    lambda x: (x, None), lambda _, g: (jax.lax.reduce_precision(g, exponent_bits=8, mantissa_bits=7),)
)


# Three linear maps along the band of a window, each the transpose of the next. Scores are small matrix products over
# blocks of centres; the other two are sums of shifted products, which fuse into one loop over memory. (Gather the
# contexts before: XLA would fuse the gather into the loop and read the table once per neighbour.)


def _blocks(contexts: Array, window: int, length: int) -> Array:
    """[R, L + 2W, D] -> overlapping blocks [R, L / B, B + 2W, D]."""
    block = BLOCK if length % BLOCK == 0 else length
    places = jnp.arange(length // block)[:, None] * block + jnp.arange(block + 2 * window)[None]
    return contexts[:, places]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def window_scores(centres: Array, contexts: Array, window: int) -> Array:
    """S[r, i, j] = centres[r, i] . contexts[r, i + j]: [R, L, D], [R, L + 2W, D] -> [R, L, 2W + 1], W = window.

    Context i + W is at the place of centre i, so column W of S is the centre itself; callers give it weight 0.
    """
    rows, length, dim = centres.shape
    wide = _blocks(contexts, window, length)
    blocks, span = wide.shape[1:3]
    block = length // blocks
    dense = jnp.einsum("rbld,rbmd->rblm", centres.reshape(rows, blocks, block, dim), wide)
    # Row i of a block needs columns i to i + 2W. One spare column per row aligns them.
    flat = jnp.pad(dense.reshape(rows, blocks, block * span), ((0, 0), (0, 0), (0, block)))
    return flat.reshape(rows, length, span + 1)[:, :, : 2 * window + 1]


def _band(weights: Array, block: int, span: int) -> Array:
    """[R, L, 2W + 1] -> [R, L / B, B, S]: the inverse of the skew above; the weights of row i move right by i."""
    rows, length, width = weights.shape
    flat = jnp.pad(weights, ((0, 0), (0, 0), (0, span + 1 - width))).reshape(rows, length // block, -1)
    return flat[:, :, : block * span].reshape(rows, length // block, block, span)


@jax.custom_vjp
def window_sum(contexts: Array, weights: Array) -> Array:
    """H[r, i] = sum_j weights[r, i, j] contexts[r, i + j]: [R, L + 2W, D], [R, L, 2W + 1] -> [R, L, D]."""
    length = weights.shape[1]
    terms = [weights[:, :, j, None] * contexts[:, j : j + length] for j in range(weights.shape[2])]
    return sum(terms[1:], terms[0])


def window_spread(centres: Array, weights: Array) -> Array:
    """out[r, i + j] += weights[r, i, j] centres[r, i]: [R, L, F], [R, L, 2W + 1] -> [R, L + 2W, F].

    The transpose of `window_sum` in its contexts.
    """
    width = weights.shape[2]
    span = weights.shape[1] + width - 1
    pad = ((0, 0), (width - 1, width - 1), (0, 0))
    wide, wide_weights = jnp.pad(centres, pad), jnp.pad(weights, pad)
    terms = []
    for j in range(width):
        start = width - 1 - j
        terms.append(wide_weights[:, start : start + span, j, None] * wide[:, start : start + span])
    return sum(terms[1:], terms[0])


window_scores.defvjp(
    lambda centres, contexts, window: (window_scores(centres, contexts, window), (centres, contexts)),
    lambda window, saved, g: (window_sum(saved[1], g), window_spread(saved[0], g)),
)
window_sum.defvjp(
    lambda contexts, weights: (window_sum(contexts, weights), (contexts, weights)),
    lambda saved, g: (window_spread(g, saved[1]), window_scores(g, saved[0], saved[1].shape[2] // 2)),
)


def window_weights(doc: Array, reach: Array, *, window: int, draw: str) -> Array:
    """Weight of every pair (centre i, its neighbour at offset j - W) in the objective, float32 [R, L, 2W + 1].

    word2vec draws a reach b uniformly from 1..W for every centre and pairs it with the neighbours at distance <= b
    (Mikolov et al. 2013a, arXiv 1301.3781, section 3.2). Pairs across documents weigh 0, and so does the centre itself.

    Args:
      doc: int32 [R, L + 2W], document of each token, negative for padding.
      reach: int32 [R, L]; read by 'sampled' only.
      window: W.
      draw: 'sampled', the indicator distance <= reach; 'expected', its mean 1 - (distance - 1) / W, which gives a loss
        that is linear in pairs the same mean with less variance; 'full', always 1.
    """
    length = doc.shape[1] - 2 * window
    own = doc[:, window : window + length]
    out = []
    for j in range(2 * window + 1):
        distance = abs(j - window)
        pair = (doc[:, j : j + length] == own) & (own >= 0) & (distance > 0)
        if draw == "sampled":
            pair = pair & (reach >= distance)
        out.append(pair * (1.0 - (distance - 1) / window if draw == "expected" else 1.0))
    return jnp.stack(out, axis=-1).astype(jnp.float32)


@jax.custom_vjp
def _low_scores(hidden: Array, noise: Array) -> Array:
    """[R, L, N] products of bfloat16, [R, L, D] and [R, N, D], with sums in float32, also of the gradients."""
    return _low_scores_fwd(hidden, noise)[0]


def _low_scores_fwd(hidden: Array, noise: Array) -> tuple[Array, tuple[Array, Array]]:
    low = hidden.astype(jnp.bfloat16), noise.astype(jnp.bfloat16)
    return jnp.einsum("rld,rnd->rln", *low, preferred_element_type=jnp.float32), low


def _low_scores_bwd(low: tuple[Array, Array], by_scores: Array) -> tuple[Array, Array]:
    product = partial(jnp.einsum, preferred_element_type=jnp.float32)
    slopes, (hidden, noise) = by_scores.astype(jnp.bfloat16), low
    return product("rln,rnd->rld", slopes, noise), product("rln,rld->rnd", slopes, hidden)


_low_scores.defvjp(_low_scores_fwd, _low_scores_bwd)


def shared_noise(
    hidden: Array,
    noise: Array,
    weights: Array,
    negatives: float,
    every: int = 1,
    turn: Array | int = 0,
    *,
    low: bool = False,
) -> Array:
    """Noise part of negative sampling with N noise words shared by a row: sum_i w_i (k / N) sum_n softplus(h_i . c_n).

    Its expectation over the noise words is that of k fresh words per pair (Mikolov et al. 2013b, arXiv 1310.4546,
    equation 4); sharing turns the scores into one matrix product (Ji et al. 2016, arXiv 1604.04661). With `every` above
    1 only the centres turn, turn + every, ... are scored, with weight `every`: the mean over `turn` is the whole sum.

    Args:
      hidden: [R, L, D].
      noise: [R, N, D].
      weights: [R, L], the number of pairs of each centre.
      negatives: k.
      every: a divisor of L.
      turn: int32 scalar in [0, every).
      low: whether vectors and slopes are rounded to bfloat16 before they are multiplied; sums are float32.
    """
    if every > 1:

        def pick(x: Array) -> Array:
            split = x.reshape(x.shape[0], -1, every, *x.shape[2:])
            return jax.lax.dynamic_index_in_dim(split, turn, axis=2, keepdims=False)

        hidden, weights = pick(hidden), pick(weights)
    scores = _low_scores(hidden, noise) if low else jnp.einsum("rld,rnd->rln", hidden, noise)
    return jnp.sum(weights * softplus(scores).sum(-1)) * (negatives * every / noise.shape[1])


def path_loss(hidden: Array, nodes: Array, signs: Array) -> Array:
    """Hierarchical softmax: -log p(word) = sum_p softplus(-sign_p h . n_p) over the inner nodes of the word's path.

    Args:
      hidden: [..., H, D] vectors that predict the same word.
      nodes: [..., P, D] inner-node vectors of its Huffman path, root first.
      signs: [..., P]; +1 where the path turns to code 0, -1 to code 1, 0 beyond its end (Mikolov et al. 2013b, eq. 3).

    Returns:
      [..., H] nats.
    """
    scores = jnp.einsum("...hd,...pd->...hp", hidden, nodes)
    return jnp.sum(jnp.abs(signs)[..., None, :] * softplus(-signs[..., None, :] * scores), axis=-1)


def node_loss(scores: Array, plus: Array, minus: Array) -> Array:
    """The loss of nodes scored against every token: sum of plus softplus(-x) + minus softplus(x) over the scores x.

    `plus` and `minus`, of the shape of x, are the summed weights of the pairs whose path turns to code 0 or 1 there.
    """
    return jnp.sum((plus + minus) * softplus(scores) - plus * scores)  # softplus(-x) = softplus(x) - x


def window_path_loss(contexts: Array, nodes: Array, signs: Array, weights: Array) -> Array:
    """sum_ij weights[r, i, j] path_loss(contexts[r, i + j], path of centre i), scored by small matrix products.

    Args:
      contexts: [R, L + 2W, D].
      nodes: [R, L, P, D].
      signs: [R, L, P], of `path_loss`; not differentiated.
      weights: [R, L, 2W + 1]; not differentiated.
    """
    rows, length, width = weights.shape
    depth, dim = nodes.shape[2:]
    block = PATH_BLOCK if length % PATH_BLOCK == 0 else 1
    count, parts = length // block, -(-(block + width - 1) // block)
    # Blocks by slices: the transpose of a gather would be a scatter.
    wide = jnp.pad(contexts, ((0, 0), (0, (count + parts - 1) * block - contexts.shape[1]), (0, 0)))
    wide = wide.reshape(rows, -1, block, dim)
    around = jnp.concatenate([wide[:, i : i + count] for i in range(parts)], axis=2)
    grouped = nodes.reshape(rows, count, block * depth, dim)
    return _blocks_path_loss(grouped, around, signs.reshape(rows, count, block, depth), weights)


@jax.custom_vjp
def _blocks_path_loss(nodes: Array, around: Array, signs: Array, weights: Array) -> Array:
    """[R, N, B * P, D], [R, N, S, D], [R, N, B, P], [R, L, 2W + 1] -> scalar."""
    return _blocks_path_forward(nodes, around, signs, weights)[0]


def _blocks_path_forward(nodes: Array, around: Array, signs: Array, weights: Array) -> tuple[Array, tuple[Array, ...]]:
    scores = jnp.einsum("rnpd,rnsd->rnps", nodes, around)
    x, sign = scores.reshape(*signs.shape, around.shape[2]), signs[..., None]
    there = jnp.abs(sign)
    # sum of log(1 + e) as one log of a product per path: at most 58 factors up to 2 (tests/test_huffman.py).
    curved = jnp.log(jnp.prod(1.0 + there * jnp.exp(-jnp.abs(x)), axis=3))
    straight = jnp.sum(there * jnp.maximum(x, 0.0) - jnp.maximum(sign, 0.0) * x, axis=3)
    value = jnp.sum(_band(weights, signs.shape[2], around.shape[2]) * (curved + straight))
    return value, (nodes, around, signs, weights, scores)


def _blocks_path_backward(saved: tuple[Array, ...], g: Array) -> tuple[Array | None, ...]:
    nodes, around, signs, weights, scores = saved
    rows, count, block, depth = signs.shape
    span, width = around.shape[2], weights.shape[2]
    band = g * _band(weights, block, span)

    x, sign = scores.reshape(rows, count, block, depth, span), signs[..., None]
    pull = band[:, :, :, None] * (jnp.abs(sign) * jax.nn.sigmoid(x) - jnp.maximum(sign, 0.0))
    by_node = []
    for i in range(block):  # sums of products, which XLA writes directly into the gradients of the rows
        terms = [pull[:, :, i, :, j, None] * around[:, :, j, None] for j in range(i, i + width)]
        by_node.append(sum(terms[1:], terms[0]))

    # The same numbers from transposed scores: a product that contracts the rows of its left operand is slow on CPUs.
    x, sign = jnp.swapaxes(scores, 2, 3).reshape(rows, count, span, block, depth), signs[:, :, None]
    pull = jnp.swapaxes(band, 2, 3)[..., None] * (jnp.abs(sign) * jax.nn.sigmoid(x) - jnp.maximum(sign, 0.0))
    by_context = jnp.einsum("rnsp,rnpd->rnsd", pull.reshape(rows, count, span, block * depth), nodes)
    return jnp.stack(by_node, axis=2).reshape(nodes.shape), by_context, None, None


_blocks_path_loss.defvjp(_blocks_path_forward, _blocks_path_backward)


def log_partition(hidden: Array, table: Array, vocab_size: int, chunk: int = 512) -> Array:
    """log sum_v exp(h . c_v) over the first V = `vocab_size` rows of `table`: [M, D], [V', D] -> [M].

    `chunk` rows of `hidden` are scored at a time, so that [M, V] is never in memory.
    """
    count, dim = hidden.shape
    size = min(chunk, count)
    padded = jnp.pad(hidden, ((0, -count % size), (0, 0))).reshape(-1, size, dim)
    real = jnp.arange(table.shape[0]) < vocab_size

    @jax.checkpoint
    def one(part: Array) -> Array:
        return jax.nn.logsumexp(jnp.where(real[None], part @ table.T, -jnp.inf), axis=-1)

    return jax.lax.map(one, padded).reshape(-1)[:count]
