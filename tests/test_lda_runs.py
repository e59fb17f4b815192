"""Whole fits of LDA: planted topics, devices, kills, and what is refused."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import scipy.sparse as sp

from tests.commands import checkpoints, final_arrays, metrics
from tests.lda_reference import corpus, fitted
from w2v_jax.config import Config, DataConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS, lda
from w2v_jax.models.lda import LDAConfig
from w2v_jax.train import loop
from w2v_jax.train.restore import open_model

METHODS = pytest.mark.parametrize("method", ["vb", "cvb0", "gibbs"])
TINY = [np.array([0, 1, 0, 2]), np.array([2, 3]), np.array([3, 3, 1])]


@METHODS
def test_planted_topics_come_back_and_devices_change_no_bit(method: str) -> None:
    beta, text = corpus()
    cfg = LDAConfig(
        topics=4,
        vocab_size=40,
        method=method,
        sweeps=30,
        batch=64,
        fit_after=5,
        fit_eta=method != "vb",
        evaluate_every=30,
        particles=4,
        heldout_documents=20,
    )
    state, last = fitted(cfg, text, 1)
    other, _ = fitted(cfg, text, 8)
    for name, value in state.items():
        assert np.array_equal(np.asarray(value), np.asarray(other[name])), name
    found = lda.params(cfg, state)
    topics = np.asarray(found["topics"], np.float64)
    np.testing.assert_allclose(topics.sum(1), 1.0, atol=1e-5)
    distance = np.abs(topics[:, None] - beta[None]).sum(-1) / 2
    assert sorted(distance.argmin(0)) == [0, 1, 2, 3] and distance.min(0).max() < 0.2
    assert last["empty_documents"] == 1 and last["loss"] < np.log(40) and last["heldout_loss"] < np.log(40) - 0.3
    # Mixtures of new documents; of an empty one the mean of the prior.
    new = np.zeros((3, 40), int)
    new[0, :10], new[1, 10:20] = 3, 3
    mixtures = lda.represent(cfg, found, {}, sp.csr_matrix(new))
    assert [distance.argmin(0)[k] for k in (0, 1)] == list(mixtures[:2].argmax(1)) and mixtures[:2].max(1).min() > 0.8
    alpha = np.asarray(found["alpha"])
    np.testing.assert_allclose(mixtures[2], alpha / alpha.sum(), rtol=1e-5)
    vectors = np.asarray(lda.embed(cfg, found)["topic_of_word"])
    np.testing.assert_allclose(vectors.sum(1), 1.0, atol=1e-5)
    assert (vectors[:10].argmax(1) == distance.argmin(0)[0]).all()


def test_topics_of_a_word_weigh_by_their_share_of_the_text() -> None:
    given = {"topics": np.array([[0.5, 0.5], [0.2, 0.8]], np.float32), "share": np.array([0.9, 0.1], np.float32)}
    found = lda.embed(LDAConfig(topics=2, vocab_size=2), given)["topic_of_word"]  # type: ignore[arg-type]
    np.testing.assert_allclose(found, [[0.45 / 0.47, 0.02 / 0.47], [0.45 / 0.53, 0.08 / 0.53]], rtol=1e-6)


@pytest.mark.parametrize("method", ["cvb0", "gibbs"])  # vb is cvb0 with other weights
def test_a_killed_run_continues_bit_for_bit(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM within the second sweep, and a save that was made before it; through the run folder."""
    _, text = corpus(100)
    lines = [
        " ".join(f"w{chr(97 + w // 26)}{chr(97 + w % 26)}" for w in text.train.tokens[a:b])
        for a, b in zip(text.train.offsets[:-1], text.train.offsets[1:], strict=True)
    ]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    model = LDAConfig(topics=4, method=method, sweeps=3, batch=40, evaluate_every=3, particles=2, heldout_documents=4)
    data = DataConfig(source=f"text:{tmp_path / 'text.txt'}", min_count=1, heldout_every=10)
    config = Config("lda", model, data=data, train=TrainConfig(seed=1))
    whole = loop.train(config, tmp_path / "whole")
    advance, made = MODELS["lda"].fit.advance, [0]  # type: ignore[union-attr]

    def counting(*given: Any) -> Any:
        made[0] += 1
        if made[0] == 3:
            signal.raise_signal(signal.SIGTERM)
        return advance(*given)

    with monkeypatch.context() as patch:
        patch.setitem(MODELS, "lda", MODELS["lda"]._replace(fit=MODELS["lda"].fit._replace(advance=counting)))  # type: ignore[union-attr]
        with pytest.raises(loop.Interrupted):
            loop.train(config, tmp_path / "run")
    assert checkpoints(tmp_path / "run") == [3]
    result = loop.train(config, tmp_path / "run")
    assert {k: v for k, v in result.items() if k != "seconds"} == {k: v for k, v in whole.items() if k != "seconds"}
    assert final_arrays(tmp_path / "run") == final_arrays(tmp_path / "whole")
    assert result["passes"] == 3 and result["heldout_loss"] > 0 and len(metrics(tmp_path / "run")) == 3
    alphas = [record["alpha"] for record in metrics(tmp_path / "run")]
    assert alphas[0] == pytest.approx(0.4) and abs(alphas[1] - 0.4) > 1e-4, "fitted after one sweep"
    opened = open_model(tmp_path / "run")
    assert opened.params["topics"].shape == (4, result["vocabulary"])


def test_impossible_options_and_texts_are_one_line(tmp_path: Path) -> None:
    for key, value, said in (
        ("topics", 0, "at least 1"),
        ("alpha", 0.0, "above 0"),
        ("eta", -1.0, "above 0"),
        ("alpha", float("inf"), "finite"),
        ("method", "gibs", "did you mean 'gibbs'"),
        ("kappa", 0.5, "above 0.5"),
        ("tolerance", 1.0, "below 1"),
    ):
        with pytest.raises(UserError, match=said) as error:
            LDAConfig(**{key: value})
        assert f"model.{key}" in str(error.value) and "\n" not in str(error.value)
    _, text = corpus(10)
    for method in ("vb", "gibbs"):
        with pytest.raises(UserError, match="model.topics=12: the text has 9 documents with a known word"):
            lda.prepare(LDAConfig(topics=12, vocab_size=40, method=method), text, 0, jax.devices()[:1])
