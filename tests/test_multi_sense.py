"""Skip-gram with several senses: against the formulas written in numpy, and on words whose senses were planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gensim
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, logsumexp

from tests.examples import device_consts, quick, random_batch, random_params, saved, with_rows
from w2v_jax.config import Config, OptimizerConfig, TrainConfig
from w2v_jax.embeddings import save
from w2v_jax.errors import UserError
from w2v_jax.models.multi_sense import FAMILY, MultiSenseConfig, posterior, prior
from w2v_jax.senses import sense_table, senses_of
from w2v_jax.train.gradients import gather_rows
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import make_call
from w2v_jax.train.restore import open_model
from w2v_jax.train.sharding import make_mesh
from w2v_jax.train.step import init_state
from w2v_jax.types import Words

VOCAB = 23


def sigma(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def by_hand(cfg: Any, params: Any, kept: np.ndarray, batch: Any, noise: np.ndarray) -> tuple[float, dict[str, Any]]:
    """(loss, gradients of E, C and P) by a walk over centres, senses and pairs, in float64."""
    E, C, P = (np.asarray(params[name], np.float64) for name in ("E", "C", "P"))
    E, total = E.reshape(-1, cfg.senses, cfg.dim), 0.0
    out = {"E": np.zeros_like(E), "C": np.zeros_like(C), "P": np.zeros_like(P)}
    tokens, doc, window = batch["tokens"], batch["doc"], cfg.window
    for r, i in np.ndindex(*batch["reach"].shape):
        at, word = i + window, int(tokens[r, i + window])
        near = []
        for place in range(at - window, at + window + 1):
            far = abs(place - at)
            if far == 0 or doc[r, at] < 0 or doc[r, place] != doc[r, at]:
                continue
            if cfg.window_draw == "sampled" and far > batch["reach"][r, i]:
                continue
            weight = 1 - (far - 1) / window if cfg.window_draw == "expected" else 1.0
            near.append((int(tokens[r, place]), 1, weight))
        if not near:
            continue
        share = sum(w for *_, w in near) * cfg.negatives / noise.shape[1]
        near += [(int(n), 0, share) for n in noise[r]]
        q = np.exp(P[word] - logsumexp(P[word]))
        counts = kept[word] * q
        score = np.zeros(cfg.senses)
        for k in range(cfg.senses):
            for j in range(k + 1):
                a, b = 1 + counts[j], cfg.alpha + counts[j + 1 :].sum()
                if j < k:
                    score[k] += digamma(b) - digamma(a + b)
                elif j < cfg.senses - 1:
                    score[k] += digamma(a) - digamma(a + b)
            for v, label, weight in near:
                p = sigma(E[word, k] @ C[v])
                score[k] += weight * np.log(p if label else 1 - p)
        total -= logsumexp(score)
        responsible = np.exp(score - logsumexp(score))
        out["P"][word] += q - responsible
        for k in range(cfg.senses):
            for v, label, weight in near:
                error = responsible[k] * weight * (sigma(E[word, k] @ C[v]) - label)
                out["E"][word, k] += error * C[v]
                out["C"][v] += error * E[word, k]
    return total, out


@pytest.mark.parametrize("example", FAMILY.examples, ids=lambda e: e.window_draw)
def test_gradients_and_responsibilities_are_those_of_the_formulas(example: MultiSenseConfig) -> None:
    cfg = FAMILY.resolve(example, VOCAB)
    consts = device_consts(FAMILY, cfg, VOCAB)
    params = random_params(FAMILY, cfg, consts, seed=1)
    batch = with_rows(random_batch(FAMILY, cfg, 2 * cfg.segment, np.random.default_rng(2)))

    def run(params: Any, batch: Any) -> Any:
        ids, drawn = FAMILY.trained.rows(cfg, consts, batch, jax.random.key(3))

        def loss(rows: Any) -> Any:
            value, (_, metrics) = FAMILY.trained.loss(cfg, rows, consts, {}, drawn, jax.random.key(4))
            return value, metrics

        grads, metrics = jax.grad(loss, has_aux=True)(gather_rows(params, ids))
        table = {k: jnp.zeros_like(params[k]).at[i.ravel()].add(grads[k].reshape(i.size, -1)) for k, i in ids.items()}
        return table, metrics, drawn["noise"]

    grads, metrics, noise = jax.device_get(quick(run, params, batch))
    total, expected = by_hand(cfg, params, np.asarray(consts["kept"], np.float64), batch, noise)
    assert metrics["loss"][0] == pytest.approx(total, rel=1e-5)
    for name, want in expected.items():
        np.testing.assert_allclose(grads[name], want.reshape(grads[name].shape), atol=2e-4 * np.abs(want).max())


def test_the_start_is_the_mean_of_the_prior() -> None:
    """1 / (1 + a), then what is left, by sticks."""
    np.testing.assert_allclose(prior(MultiSenseConfig(senses=3, alpha=0.25)), [0.8, 0.16, 0.04])
    assert prior(MultiSenseConfig(senses=1)) == [1.0]


# ---- planted senses: words of two topics, each the words of its sentence ----

TOPICS, EACH, PLANTED, LENGTH, SENTENCES = 6, 12, 6, 9, 1500


def planted_text() -> tuple[np.ndarray, np.ndarray]:
    """(ids [S, LENGTH], topic of each sentence). Word TOPICS * EACH + p belongs to topics p and p + 1."""
    rng = np.random.default_rng(0)
    topic = rng.integers(0, TOPICS, SENTENCES)
    own = topic[:, None] * EACH + rng.integers(0, EACH, (SENTENCES, LENGTH))
    middle = LENGTH // 2
    own[:, middle] = TOPICS * EACH + (topic - rng.integers(0, 2, SENTENCES)) % PLANTED
    return own, topic


def trained(ids: np.ndarray, passes: int) -> tuple[Any, Any, Any]:
    """(cfg, params, consts) of a model of the sentences, one row each."""
    example = MultiSenseConfig(dim=12, senses=3, window=4, window_draw="full", segment=LENGTH, sample=0.0)
    words, rows, steps = TOPICS * EACH + PLANTED, 50, SENTENCES // 50
    cfg = FAMILY.resolve(example, words)
    train = TrainConfig(batch_size=rows * LENGTH, steps_per_call=steps)
    optimizer = OptimizerConfig(learning_rate=0.3, initial_square=0.1)
    config = Config("multi_sense", example, train=train, optimizer=optimizer)
    consts = jax.tree.map(jnp.asarray, FAMILY.consts(cfg, Words(None, np.bincount(ids.ravel(), minlength=words))))
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    state: Any = init_state(FAMILY, config, cfg, consts)
    call: Any = make_call(FAMILY, config, cfg, Horizon(passes * steps, steps), mesh, state, consts)
    edge = ((0, 0), (cfg.window, cfg.window))
    batch = {
        "tokens": np.pad(ids, edge).reshape(steps, rows, -1),
        "doc": np.pad(np.zeros_like(ids), edge, constant_values=-1).reshape(steps, rows, -1),
        "reach": np.ones((steps, rows, LENGTH)),
        "words": np.full((steps, rows), LENGTH),
    }
    batch = {k: v.astype(np.int32) for k, v in batch.items()}
    for _ in range(passes):
        state, _, _ = call(state, consts, batch, jnp.int32(steps), jnp.zeros(1, jnp.int32))
    return cfg, state.params, consts


def test_planted_senses_are_found_and_other_words_keep_one() -> None:
    ids, topic = planted_text()
    cfg, params, consts = trained(ids, passes=12)
    words = np.arange(cfg.vocab_size)
    shares, vectors = FAMILY.senses(cfg, params, words)  # type: ignore[misc]
    assert shares.shape == (len(words), 3) and vectors.shape == (len(words), 3, 12)
    several = (shares >= 0.2).sum(1)
    assert (several[TOPICS * EACH :] == 2).all(), several
    assert (several[: TOPICS * EACH] == 1).mean() > 0.95 and shares[: TOPICS * EACH].max(1).mean() > 0.95
    found = jax.jit(lambda t, n: posterior(cfg, params, consts, t, n))(ids, np.full(len(ids), LENGTH, np.int32))
    sense = np.asarray(found)[:, LENGTH // 2].argmax(1)
    right = 0
    for word in range(TOPICS * EACH, cfg.vocab_size):
        here = ids[:, LENGTH // 2] == word
        _, of_topic = np.unique(topic[here], return_inverse=True)
        right += max(
            (sense[here] == k)[of_topic == 0].sum() + (sense[here] != k)[of_topic == 1].sum() for k in range(3)
        )
    assert right / len(ids) > 0.98
    main = np.asarray(FAMILY.embed(cfg, params)["E"])  # type: ignore[misc]
    np.testing.assert_array_equal(main, vectors[words, shares.argmax(1)])


def test_senses_in_python_and_as_a_file_that_gensim_opens(tmp_path: Path) -> None:
    model = open_model(saved(tmp_path, "multi_sense", end="", senses=3, dim=4))
    found = senses_of(model, "dog", least=0.0)
    assert [s.name for s in found] == ["dog#1", "dog#2", "dog#3"] and sum(s.share for s in found) == pytest.approx(1)
    assert found[0].share > found[1].share > found[2].share
    assert [s.name for s in senses_of(model, "dog", least=1.0)] == ["dog#1"]
    table = sense_table(model, least=0.3)
    save(table, tmp_path / "senses.bin")
    read = gensim.models.KeyedVectors.load_word2vec_format(str(tmp_path / "senses.bin"), binary=True)
    assert read.index_to_key == list(table.words) and len(table) > len(model.tokenizer.words)
    np.testing.assert_array_equal(read["dog#1"], found[0].vector)
    with pytest.raises(UserError, match="'dgo' is not in the model's vocabulary .did you mean 'dog'"):
        senses_of(model, "dgo")
    with pytest.raises(UserError, match=r"least=1.5: must be between 0 and 1"):
        senses_of(model, "dog", least=1.5)
    other = open_model(saved(tmp_path / "other", "recurrent_lm", dim=4, hidden=4, layers=1))
    with pytest.raises(UserError, match="'recurrent_lm': has one vector a word"):
        senses_of(other, "dog")
