"""word2vec in training: the floor of the full softmax, directions of an update, start values, sizes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import batch_size_for, quick, random_params
from tests.windows import clean, skipgram_pairs
from w2v_jax.config import Config, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models.word2vec import FAMILY, Word2VecConfig
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import make_call
from w2v_jax.train.sharding import make_mesh
from w2v_jax.train.step import init_state, make_step
from w2v_jax.types import Words

NURSE = "The nurse assisted the doctor with the patient's treatment at the hospital"
FLOOR = 1.36749  # nats a pair: entropy of the neighbour given the centre over the 42 pairs
VOCAB = 23


def trainer(cfg: Word2VecConfig, counts: np.ndarray, config: Config, steps: int) -> tuple[Any, Any, Any]:
    """(call, state, consts) on one device."""
    consts = jax.tree.map(jnp.asarray, FAMILY.consts(cfg, Words(None, counts)))
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    state = init_state(FAMILY, config, cfg, consts)
    return make_call(FAMILY, config, cfg, Horizon(steps, steps), mesh, state, consts), state, consts


def test_full_softmax_tends_to_the_floor_of_the_nurse_pairs() -> None:
    words = clean(NURSE)
    ids = {w: i for i, w in enumerate(dict.fromkeys(words))}
    tokens = np.array([ids[w] for w in words])
    pairs = np.zeros((9, 9))
    np.add.at(pairs, tuple(np.array(skipgram_pairs(tokens.tolist(), 2)).T), 1)
    share = pairs / pairs.sum(1, keepdims=True)
    floor = -(pairs * np.log(np.where(pairs > 0, share, 1.0))).sum() / pairs.sum()
    assert floor == pytest.approx(FLOOR, abs=5e-6) and pairs.sum() == 42

    calls, stack = 6, 100
    example = Word2VecConfig(loss="softmax", dim=16, window=2, window_draw="full", segment=12, sample=0.0)
    cfg = FAMILY.resolve(example, 9)
    optimizer = OptimizerConfig(learning_rate=0.3, dense="adagrad")
    config = Config("word2vec", example, train=TrainConfig(batch_size=12, steps_per_call=stack), optimizer=optimizer)
    call, state, consts = trainer(cfg, np.bincount(tokens), config, stack * calls)
    one = {
        "tokens": np.pad(tokens, 2)[None],
        "doc": np.pad(np.zeros(12, int), 2, constant_values=-1)[None],
        "reach": np.ones((1, 12)),
        "words": np.array([12]),
    }
    batches = {k: np.repeat(v[None].astype(np.int32), stack, axis=0) for k, v in one.items()}
    seen, stop = [], np.zeros(1, np.int32)
    for count in (1, *[stack] * calls):  # the first call makes one step
        state, metrics, _ = call(state, consts, batches, count, stop)
        total, number = metrics["loss"]
        seen.append(float(total) / float(number))
        assert float(number) == 42 * count
    assert seen[0] == pytest.approx(np.log(9), abs=1e-6), "C is zero at the start, so every word is as likely"
    assert min(seen) > FLOOR - 1e-5
    assert seen[-1] < FLOOR + 2e-3
    C = np.asarray(state.params["C"])
    assert np.abs(C[:9]).max() > 0.5 and not C[9:].any(), "padding words are never trained"


def single_pair(cfg: Word2VecConfig, word: int, neighbour: int) -> dict[str, Any]:
    """One row of two words of which only the first has its neighbour within reach."""
    place = [0] * cfg.window
    one = {
        "tokens": [[*place, word, neighbour, *place]],
        "doc": [[*(-1 for _ in place), 0, 0, *(-1 for _ in place)]],
        "reach": [[1, 0]],
        "words": [2],
    }
    return {k: np.array(v, np.int32) for k, v in one.items()}


def one_step(cfg: Word2VecConfig, E: np.ndarray, C: np.ndarray, rate: float) -> tuple[Any, Any, float]:
    """(change of E, change of C, loss) of one plain gradient step on the pair (3, 7)."""
    optimizer = OptimizerConfig(rows="sgd", dense="sgd", learning_rate=rate, schedule="constant")
    config = Config("word2vec", cfg, train=TrainConfig(batch_size=2), optimizer=optimizer)
    params = {"E": np.zeros((1024, 4), np.float32), "C": np.zeros((1024, 4), np.float32)}
    params["E"][:10], params["C"][:10] = E, C
    state = dataclasses.replace(init_state(FAMILY, config, cfg, {}), params=jax.tree.map(jnp.asarray, params))
    after, metrics = quick(make_step(FAMILY, config, cfg, Horizon(10, 10)), state, {}, single_pair(cfg, 3, 7))
    change = jax.tree.map(lambda a, b: np.asarray(a, np.float64)[:10] - b[:10], after.params, params)
    assert float(metrics["loss"][1]) == 1
    return change["E"], change["C"], float(metrics["loss"][0])


def test_directions_of_the_full_softmax_update() -> None:
    example = Word2VecConfig(loss="softmax", dim=4, window=1, window_draw="sampled", segment=2, sample=0.0)
    cfg, rate, rng = FAMILY.resolve(example, 10), 0.5, np.random.default_rng(11)
    E = rng.standard_normal((10, 4)).astype(np.float32)
    # All scores alike: the true word has probability 0.1, the error is -0.9 there and 0.1 on every other word.
    moved, context, loss = one_step(cfg, E, np.zeros((10, 4)), rate)
    assert loss == pytest.approx(2.3026, abs=5e-5)
    error = np.where(np.arange(10) == 7, -0.9, 0.1)
    np.testing.assert_allclose(context, -rate * error[:, None] * E[3][None], atol=1e-6)
    assert not moved.any(), "every column is zero: nothing to move toward"
    C = rng.standard_normal((10, 4)).astype(np.float32)
    moved, context, loss = one_step(cfg, E, C, rate)
    p = np.exp(C @ E[3]) / np.exp(C @ E[3]).sum()
    assert loss == pytest.approx(-np.log(p[7]), rel=1e-5)
    toward = context @ E[3]
    assert toward[7] > 0 and (np.delete(toward, 7) < 0).all()
    assert toward.argmin() == np.where(np.arange(10) == 7, 0, p).argmax(), "the most probable wrong word moves most"
    np.testing.assert_allclose(moved[3], rate * (C[7] - p @ C), atol=1e-6)
    assert not np.delete(moved, 3, axis=0).any()


def test_both_tables_are_reachable() -> None:
    for example in FAMILY.examples:
        cfg = FAMILY.resolve(example, VOCAB)
        params = random_params(FAMILY, cfg, {}, seed=12)
        named = FAMILY.embed(cfg, params)  # type: ignore[misc]
        assert next(iter(named)) == "E"
        assert set(named) == ({"E"} if cfg.loss == "hierarchical" else {"E", "C"})
        for name, matrix in named.items():
            np.testing.assert_array_equal(matrix, params[name][:VOCAB])


def test_start_is_the_c_tools() -> None:
    cfg = FAMILY.resolve(Word2VecConfig(dim=50), VOCAB)
    params = FAMILY.trained.init(jax.random.key(0), cfg, {})
    E = np.asarray(params["E"])
    assert E.shape == (1024, 50) and not np.asarray(params["C"]).any()
    assert np.abs(E).max() <= 0.01 and np.abs(E).max() > 0.0099 and abs(E.mean()) < 1e-4
    assert E.std() == pytest.approx(0.02 / np.sqrt(12), rel=0.02)


def test_sizes_that_do_not_fit() -> None:
    cfg = Word2VecConfig(segment=8)
    with pytest.raises(UserError, match="train.batch_size=20: must be a multiple of model.segment=8"):
        FAMILY.trained.shapes(cfg, 20)
    with pytest.raises(UserError, match="at least 2"):
        FAMILY.resolve(cfg, 1)
    with pytest.raises(UserError, match="model.vocab_size=30: the text has 40 tokens"):
        FAMILY.resolve(dataclasses.replace(cfg, vocab_size=30), 40)
    assert batch_size_for(FAMILY, cfg, 4) == 32
