"""How far back a recurrent model reaches: derivatives through time, and the products of its gates.

For a state s_t = F(s_{t-1}, x_t) the derivative of a loss L at time t by an earlier state is a product of Jacobians,

    dL_t / ds_{t-k} = dL_t / ds_t  J_t J_{t-1} ... J_{t-k+1},    J_t = ds_t / ds_{t-1}

so it shrinks or grows about geometrically with k (Bengio et al. 1994; Pascanu et al. 2013, arXiv 1211.5063). For the
elementwise cell J is diag(w) and the factor is w^k; along the memory of an LSTM it is the product of the forget gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Tree = Any  # of arrays


def state_gradients(
    advance: Callable[[Tree, Tree], Tree], loss: Callable[[Tree], jax.Array], start: Tree, inputs: Tree
) -> Tree:
    """Gradients of a loss after T steps by the state after each of them, in one backward pass.

    A zero is added to every state, and the loss is differentiated by these zeros.

    Args:
      advance: (state, input of one step) -> state; the rows of a batch are independent.
      loss: last state -> [B], one loss per row.
      start: the state before the first step, leaves [B, ...].
      inputs: of all steps, leaves [T, ...].

    Returns:
      The tree of the state with leaves [T, B, ...]. Entry k is for the state k steps before the last. Row b is the
      gradient of the loss of row b.
    """
    steps = jax.tree.leaves(inputs)[0].shape[0]

    def total(shifts: Tree) -> jax.Array:
        def one(state: Tree, step: tuple[Tree, Tree]) -> tuple[Tree, None]:
            return jax.tree.map(jnp.add, advance(state, step[0]), step[1]), None

        return loss(jax.lax.scan(one, start, (inputs, shifts))[0]).sum()

    grads = jax.grad(total)(jax.tree.map(lambda s: jnp.zeros((steps, *s.shape), s.dtype), start))
    return jax.tree.map(lambda g: g[::-1], grads)


def influence(memory: Callable[[jax.Array], Tree], x: jax.Array, first: int, last: int) -> Tree:
    """Influence of a word on the memory at each later time: |dm_t / dx_first..last|, Frobenius norm, leaves [T].

    `memory` maps inputs [T, D] to leaves [T, H], the memory after each step, and has forward derivatives. The word is
    at steps `first` to `last` of x [T, D].
    """

    def moved(word: jax.Array) -> Tree:
        return memory(x.at[first : last + 1].set(word))

    slopes = jax.jacfwd(moved)(x[first : last + 1])
    return jax.tree.map(lambda s: jnp.sqrt(jnp.sum(jnp.square(s), axis=(1, 2, 3))), slopes)


def kept(factors: np.ndarray, last: int) -> np.ndarray:
    """The part of the memory of step `last` that its direct path keeps until step t, float64 [T, H].

    factors[last + 1] * ... * factors[t],    factors [T, H], the forget gates;    1 at `last`, NaN before it
    """
    out = np.full(factors.shape, np.nan)
    out[last] = 1.0
    out[last + 1 :] = np.cumprod(factors[last + 1 :].astype(np.float64), axis=0)
    return out
