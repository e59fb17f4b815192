"""A softmax over a large vocabulary, estimated from words drawn as noise: a head for training alone.

With K words n_k drawn from a distribution q, hidden vectors h_m [D], a table W [V, D], a bias b [V] and targets y_m,
the sum over the vocabulary in the cross-entropy is estimated by importance sampling (Bengio and Senecal 2008, doi
10.1109/TNN.2007.912312; Jean et al. 2015, arXiv 1412.2007):

    z_mv = h_m . w_v + b_v

    Z_m = exp(z_{m, y_m}) + 1/K sum_{k: n_k != y_m} exp(z_{m, n_k}) / q(n_k)

    loss = sum_m a_m (log Z_m - z_{m, y_m})

The mean of Z_m over the draws is the sum over the whole vocabulary. Its logarithm is on average below that of the sum,
the less so the larger K, so this loss is no measure of a model: evaluation uses the whole softmax. All targets of a
step share the noise, which makes the scores one matrix product (Ji et al. 2016, arXiv 1604.04661).

It saves the scores of the vocabulary, not the gradient of the table: that stays dense [V, D], as the optimiser of these
models (Adam) changes every row in every step, and the table is the embedding where both are tied.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from w2v_jax.nn.segments import take_rows
from w2v_jax.types import Array

HIDE = -1e30  # logit of a noise word that is the target


def sampled_cross_entropy(
    hidden: Array, table: Array, bias: Array, targets: Array, weights: Array, noise: Array, log_share: Array
) -> tuple[Array, Array, Array]:
    """The loss above, and that of each target.

    Args:
      hidden: [M, D], float32 or bfloat16; products sum in float32.
      table: [V', D], float32.
      bias: [V'], float32.
      targets: int32 [M]; below 0 where nothing is predicted.
      weights: float32 [M], a_m above; 0 is used where nothing is predicted.
      noise: int32 [K], n_k above.
      log_share: float32 [K], log q(n_k) of each.

    Returns:
      (the sum; nats [M], 0 where nothing is predicted; bool [M], whether the target scored above all noise words).
    """
    there, low = targets >= 0, hidden.dtype
    wanted = jnp.where(there, targets, 0)
    ids = jnp.concatenate([wanted, noise])
    rows, more = take_rows(table, ids).astype(low), bias[ids]  # one gradient of the table, not two
    own = jnp.einsum("md,md->m", hidden, rows[: len(wanted)], preferred_element_type=jnp.float32)
    at_target = own + more[: len(wanted)]
    scores = jnp.matmul(hidden, rows[len(wanted) :].T, preferred_element_type=jnp.float32) + more[len(wanted) :][None]
    same = noise[None] == wanted[:, None]
    others = jnp.where(same, HIDE, scores - (log_share + jnp.log(len(noise)))[None])
    nats = jnp.logaddexp(at_target, jax.nn.logsumexp(others, axis=1)) - at_target
    correct = at_target >= jnp.where(same, HIDE, scores).max(1)
    nats = jnp.where(there, nats, 0.0)
    return jnp.sum(jnp.where(there, weights, 0.0) * nats), nats, correct & there
