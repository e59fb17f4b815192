"""Gamma functions by series, and Dirichlet priors fitted to what was seen.

`jax.scipy.special.digamma` handles every real number and costs 50 times as much on CPUs. Here x is above 0: six steps
of the recurrence lift it above 6, where a few terms of the asymptotic series are exact to 1e-10 (float32: to rounding).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from w2v_jax.types import Array

_LIFT = 6  # steps of psi(x) = psi(x + 1) - 1 / x and of log Gamma(x) = log Gamma(x + 1) - log x
LOWEST, HIGHEST = 1e-6, 1e6  # of fitted priors: outside of them nothing can be told apart in float32


def digamma(x: Array) -> Array:
    """psi(x) = d log Gamma(x) / dx for x > 0, elementwise."""
    t = x * (x + 5)  # and (x + 1) (x + 4) = t + 4, (x + 2) (x + 3) = t + 6: two divisions in place of six
    steps = (2 * x + 5) * (1.0 / t + (2 * t + 10) / ((t + 4) * (t + 6)))
    y = x + _LIFT
    square = 1.0 / (y * y)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square * (1 / 132)))))
    return jnp.log(y) - 0.5 / y - series - steps


def trigamma(x: Array) -> Array:
    """d psi(x) / dx for x > 0, elementwise."""
    steps = sum(1.0 / (x + i) ** 2 for i in range(_LIFT))
    y = x + _LIFT
    square = 1.0 / (y * y)
    series = 1 / 6 - square * (1 / 30 - square * (1 / 42 - square * (1 / 30 - square * (5 / 66))))
    return 1.0 / y + 0.5 * square + square / y * series + steps


def log_gamma(x: Array) -> Array:
    """log Gamma(x) for x > 0, elementwise."""
    product = x
    for i in range(1, _LIFT):
        product = product * (x + i)
    y = x + _LIFT
    square = 1.0 / (y * y)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square * (1 / 1188))))) / y
    # A large x needs no lift, and its product would overflow.
    small = x < 1e4
    lifted = (y - 0.5) * jnp.log(y) - y + series - jnp.log(jnp.where(small, product, 1.0))
    z = jnp.where(small, 1e4, x)
    plain = (z - 0.5) * jnp.log(z) - z + 1 / (12 * z)
    return jnp.where(small, lifted, plain) + 0.5 * jnp.log(2 * jnp.pi).astype(x.dtype)


def inverse_digamma(y: Array, steps: int = 5) -> Array:
    """x > 0 with psi(x) = y, by Newton steps from Minka's first guess (2000, "Estimating a Dirichlet distribution")."""
    x = jnp.where(y >= -2.22, jnp.exp(y) + 0.5, -1.0 / (y - digamma(jnp.ones_like(y))))
    return jax.lax.fori_loop(0, steps, lambda _, x: x - (digamma(x) - y) / trigamma(x), x)


def fit_mean_log(mean_log: Array, prior: Array, steps: int = 20) -> Array:
    """The Dirichlet under which E[log p_k] = `mean_log`: Minka's fixed point psi(a_k) = psi(sum a) + mean_log_k.

    mean_log [K], below 0; prior [K], where the steps begin. Returns [K].
    """

    def step(_: int, a: Array) -> Array:
        return jnp.clip(inverse_digamma(digamma(a.sum()) + mean_log), LOWEST, HIGHEST)

    return jax.lax.fori_loop(0, steps, step, prior)


def fit_mean_log_symmetric(mean_log: Array, size: int, prior: Array, steps: int = 20) -> Array:
    """As `fit_mean_log` with one number a for all of `size` entries: psi(a) - psi(size a) = mean_log, a scalar.

    Newton's method on log a, of which the left side is a rising concave function.
    """

    def step(_: int, a: Array) -> Array:
        wrong = digamma(a) - digamma(size * a) - mean_log
        slope = a * (trigamma(a) - size * trigamma(size * a))
        return jnp.clip(a * jnp.exp(jnp.clip(-wrong / slope, -2.0, 2.0)), LOWEST, HIGHEST)

    return jax.lax.fori_loop(0, steps, step, prior)


def expected_rise(mean: Array, prior: Array) -> Array:
    """About E[psi(a + n) - psi(a)] of a count n that is Poisson distributed with this mean, elementwise.

    psi(a + mean) would be far too high where the mean is below 1 and a is small. A count above 0 has the probability
    p = 1 - exp(-mean) and the mean mean / p, so that p (psi(a + mean / p) - psi(a)) is exact for small means and for
    large ones, and 6 % too high at most between them (Teh, Newman and Welling 2007, "A collapsed variational Bayesian
    inference algorithm for latent Dirichlet allocation").
    """
    p = -jnp.expm1(-jnp.maximum(mean, 1e-7))
    return p * (digamma(prior + jnp.maximum(mean, 1e-7) / p) - digamma(prior))


def fit_counts(counts: Array, prior: Array, symmetric: bool, steps: int = 5) -> Array:
    """The Dirichlet whose multinomials give these counts the highest probability, by Minka's fixed point:

        a_k <- a_k sum_d [psi(n_dk + a_k) - psi(a_k)] / sum_d [psi(n_d + sum a) - psi(sum a)]

    Args:
      counts: n [D, K], rows that sum to 0 play no part.
      prior: a [K], where the steps begin.
      symmetric: one number for all k: numerators are averaged over k.
    """
    totals = counts.sum(1)

    def step(_: int, a: Array) -> Array:
        above = (digamma(counts + a[None]) - digamma(a)[None]).sum(0)
        above = jnp.full_like(above, above.mean()) if symmetric else above
        whole = a.sum()
        below = (digamma(totals + whole) - digamma(whole)).sum()
        return jnp.clip(a * above / jnp.maximum(below, 1e-30), LOWEST, HIGHEST)

    return jax.lax.fori_loop(0, steps, step, prior)
