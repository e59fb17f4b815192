"""Greedy, temperature, top-k and top-p against plain Python, and draws counted."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import quick
from w2v_jax.errors import UserError
from w2v_jax.nn.sampling import Sampling, kept, sample, warmed

VOCAB = 9


def shares(logits: np.ndarray, temperature: float, top_k: int, top_p: float) -> np.ndarray:
    """The distribution that is drawn from, token by token in Python, float64."""
    weights = [float(np.exp((z - max(logits)) / temperature)) for z in logits]
    order = sorted(range(len(weights)), key=lambda i: (-weights[i], i))[: top_k or len(weights)]
    total, chosen, mass = sum(weights[i] for i in order), [], 0.0
    for i in order:
        chosen.append(i)
        mass += weights[i] / total
        if mass >= top_p:
            break
    out = np.zeros(len(weights))
    for i in chosen:
        out[i] = weights[i] / sum(weights[j] for j in chosen)
    return out


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (3, 1.0), (0, 0.63), (4, 0.71), (0, 1e-6), (50, 1.0)])
def test_what_is_kept_by_hand(top_k: int, top_p: float) -> None:
    logits = np.round(np.random.default_rng(0).normal(0, 2, (40, VOCAB)))  # whole numbers: there are many ties
    samplings = [Sampling(temperature, top_k, top_p) for temperature in (0.5, 1.0, 3.0)]
    found = quick(lambda z: [kept(warmed(z, sampling), sampling) for sampling in samplings], logits.astype(np.float32))
    for sampling, chosen in zip(samplings, found, strict=True):
        right = np.array([shares(row, sampling.temperature, top_k, top_p) > 0 for row in logits])
        np.testing.assert_array_equal(chosen, right)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7), Sampling(1.5, 5), Sampling(1.0, 0, 0.8)])
def test_draws_have_the_shares_of_the_distribution(sampling: Sampling) -> None:
    logits = np.random.default_rng(1).normal(0, 1.5, VOCAB).astype(np.float32)
    count = 20_000
    keys = jax.random.split(jax.random.key(0), count)
    drawn = jax.jit(partial(sample, sampling=sampling))(jnp.broadcast_to(logits, (count, VOCAB)), keys)
    found = np.bincount(np.asarray(drawn), minlength=VOCAB) / count
    right = shares(logits.astype(np.float64), sampling.temperature, sampling.top_k, sampling.top_p)
    assert (np.abs(found - right) <= 4.5 * np.sqrt(right * (1 - right) / count)).all(), (found, right)


def test_greedy_is_the_likeliest_and_so_is_the_first_of_one() -> None:
    logits = jnp.asarray([[0.0, 2.0, 1.0, 2.0], [5.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]])
    keys = jax.random.split(jax.random.key(0), 3)
    samplings = (Sampling(0.0), Sampling(3.0, top_k=1), Sampling(3.0, top_p=1e-9), Sampling(1e-6, top_k=1))
    found = quick(lambda z, keys: [sample(z, keys, sampling) for sampling in samplings], logits, keys)
    for sampling, chosen in zip(samplings, found, strict=True):
        assert chosen.tolist() == [1, 0, 0], sampling


def test_a_token_that_is_never_drawn_leaves_the_shares_of_the_others() -> None:
    logits = np.random.default_rng(3).normal(0, 1, VOCAB).astype(np.float32)
    logits[4] = 3.0
    keys = jax.random.split(jax.random.key(0), 20_000)
    rows, rest = jnp.broadcast_to(logits, (len(keys), VOCAB)), np.delete(logits.astype(np.float64), 4)
    samplings = [Sampling(never=4), Sampling(top_k=3, never=4), Sampling(top_p=0.6, never=4), Sampling(0.0, never=4)]
    found = jax.jit(lambda z, keys: [sample(z, keys, sampling) for sampling in samplings])(rows, keys)
    for sampling, chosen in zip(samplings, found, strict=True):
        drawn = np.bincount(np.asarray(chosen), minlength=VOCAB) / len(keys)
        right = np.insert(shares(rest, sampling.temperature or 1e-3, sampling.top_k, sampling.top_p), 4, 0.0)
        assert (np.abs(drawn - right) <= 4.5 * np.sqrt(right * (1 - right) / len(keys))).all(), (sampling, drawn)


def test_limits_that_cut_nothing_change_no_draw_and_rows_draw_for_themselves() -> None:
    logits = jnp.asarray(np.random.default_rng(2).normal(0, 1, (6, VOCAB)), jnp.float32)
    keys = jax.random.split(jax.random.key(3), 6)
    plain, uncut = quick(lambda z, keys: [sample(z, keys, Sampling(top_k=k)) for k in (0, VOCAB)], logits, keys)
    assert uncut.tolist() == plain.tolist()
    apart = quick(partial(sample, sampling=Sampling()), logits[2:4], keys[2:4])
    assert apart.tolist() == plain[2:4].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -1.0}, "temperature=-1.0: must be 0 "),
        ({"temperature": 1e-9}, "temperature=1e-09: must be 0 .*1e-06"),
        ({"temperature": float("nan")}, "temperature=nan: must be"),
        ({"top_k": -1}, "top_k=-1: must be 0"),
        ({"top_p": 0.0}, "top_p=0.0: must be above 0"),
        ({"top_p": 1.5}, "top_p=1.5: must be"),
    ],
)
def test_values_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sampling(**change)
