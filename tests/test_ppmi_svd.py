"""PPMI against the formula, its decomposition against numpy's, and the run of the family."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from tests.data.corpora import build_text, config, rows, sample_lines
from tests.data.test_cooccurrence import by_hand
from w2v_jax.config import Config
from w2v_jax.data.cooccurrence import Rules, cooccurrences
from w2v_jax.data.corpus import Corpus
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError
from w2v_jax.models import ppmi_svd
from w2v_jax.models.ppmi_svd import PPMIConfig
from w2v_jax.nn import truncated_svd
from w2v_jax.train import loop


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_text(tmp_path_factory.mktemp("ppmi"), "\n".join(sample_lines(120)))


def ppmi_by_hand(x: np.ndarray, smoothing: float, shift: float) -> np.ndarray:
    """max(0, log [p(i, j) / (p(i) p_a(j))] - log k), float64 [V, V]."""
    joint = x / x.sum()
    context = x.sum(0) ** smoothing / (x.sum(0) ** smoothing).sum()
    with np.errstate(divide="ignore"):
        return np.maximum(0.0, np.log(joint / np.outer(joint.sum(1), context)) - np.log(shift))


@pytest.mark.parametrize(("side", "smoothing", "shift"), [("both", 0.75, 1.0), ("right", 1.0, 3.0)])
def test_the_matrix_is_the_formula(text: Corpus, side: str, smoothing: float, shift: float) -> None:
    counts = cooccurrences(text, Rules(3, "linear", side))
    want = ppmi_by_hand(by_hand(rows(text.train), counts.size, Rules(3, "linear", side)), smoothing, shift)
    found = ppmi_svd.pmi(counts, smoothing, shift)
    np.testing.assert_allclose(found.toarray(), want, rtol=1e-5, atol=1e-6)
    assert found.nnz == (want > 0).sum() > 100
    whole = ppmi_svd.pmi(counts, smoothing, shift, positive=False)
    assert whole.nnz == sum(len(i) for i, _, _ in counts.scan()) and whole.data.min() < 0


def test_the_decomposition_is_numpys() -> None:
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((n, 20)))[0] for n in (70, 40))
    a = sp.csr_matrix((left * 0.8 ** np.arange(20)) @ right.T)
    state, images = truncated_svd.begin(1, 40, 4, 6, 4), []
    for _ in range(4):
        image, product = truncated_svd.products(a, truncated_svd.current(state))
        state = truncated_svd.solve(state, jnp.asarray(product), 4)
        images.append(image)
    np.testing.assert_allclose(state["values"], 0.8 ** np.arange(4), rtol=1e-4)
    words, turn = truncated_svd.vectors(state, 4)
    found = np.concatenate(images, axis=1) @ turn, np.asarray(words)
    for mine, true in zip(found, (left, right), strict=True):
        np.testing.assert_allclose(mine @ mine.T, true[:, :4] @ true[:, :4].T, atol=2e-3)
    # The vectors of both sides belong together, sign by sign.
    np.testing.assert_allclose(np.diag(found[0].T @ a @ found[1]), 0.8 ** np.arange(4), rtol=1e-4)


@pytest.mark.parametrize(("power", "add_contexts"), [(0.0, False), (0.5, True), (1.0, False)])
def test_vectors_weigh_the_singular_values(text: Corpus, power: float, add_contexts: bool) -> None:
    cfg = PPMIConfig(dim=5, power=power, add_contexts=add_contexts, window=3, sweeps=12, oversample=30)
    cfg = ppmi_svd.resolve(cfg, len(text.vocab.words))
    state = ppmi_svd.start(cfg, text, 0)
    for _ in range(cfg.sweeps):
        state, metrics = ppmi_svd.advance(cfg, text, state)
    m = ppmi_svd.matrix(cfg, text).toarray().astype(np.float64)
    left, values, right = np.linalg.svd(m)
    want = left[:, :5] * values[:5] ** power
    contexts = right[:5].T * values[:5] ** power
    want = want + contexts if add_contexts else want
    found = ppmi_svd.embed(cfg, ppmi_svd.params(cfg, state))
    assert list(found) == ["words", "contexts"]
    for mine, true in zip(found.values(), (want, contexts), strict=True):
        mine = np.asarray(mine, np.float64)
        np.testing.assert_allclose(mine @ mine.T, true @ true.T, atol=5e-3 * np.abs(true @ true.T).max())
    assert metrics["loss"] == pytest.approx(1 - (values[:5] ** 2).sum() / (values**2).sum(), abs=1e-3)


def test_a_run_writes_the_vectors_and_continues_bit_for_bit(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n".join(sample_lines(60, seed=4)))
    data = dataclasses.replace(config(tmp_path, tmp_path / "t.txt"), heldout_every=10)
    whole = Config("ppmi_svd", PPMIConfig(dim=4, sweeps=3, window=2, sample=0.01), data=data)
    result = loop.train(whole, tmp_path / "whole")
    short = dataclasses.replace(whole, train=dataclasses.replace(whole.train, max_steps=2))
    assert (result["steps"], loop.train(short, tmp_path / "short")["steps"]) == (3, 2)
    vectors, contexts = (load(tmp_path / "whole" / f"{name}.bin").vectors for name in ("vectors", "contexts"))
    assert vectors.shape == contexts.shape and np.isfinite(vectors).all() and (vectors != contexts).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shift": 0.5}, "model.shift=0.5: must be 1"),
        ({"smoothing": 0.0}, "model.smoothing=0.0: must be above 0"),
        ({"power": 2.0}, "model.power=2.0: must be between 0 and 1"),
        ({"window": 101}, "model.window=101: must be"),
    ],
)
def test_impossible_options_are_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PPMIConfig(**change)


def test_what_the_text_does_not_allow_is_one_line(text: Corpus) -> None:
    with pytest.raises(UserError, match=r"model.dim=100: must be at most \d+, the words of the vocabulary"):
        ppmi_svd.resolve(PPMIConfig(), len(text.vocab.words))
    cfg = ppmi_svd.resolve(PPMIConfig(dim=2, shift=1e9), len(text.vocab.words))
    with pytest.raises(UserError, match="no pair of words is above it"):
        ppmi_svd.matrix(cfg, text)
