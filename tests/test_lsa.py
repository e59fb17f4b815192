"""Latent semantic analysis beside numpy's and scikit-learn's decompositions, through the loop, and on bad input."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_info, threadpool_limits

from tests.commands import final_arrays
from tests.data.corpora import build_text
from tests.test_fitted import stop_after
from w2v_jax.config import Config, DataConfig, TrainConfig
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.documents import counts
from w2v_jax.embeddings import load
from w2v_jax.errors import Interrupted, UserError
from w2v_jax.models import MODELS, lsa
from w2v_jax.nn import truncated_svd
from w2v_jax.train import loop
from w2v_jax.train.restore import open_model

TOPICS = (("cat", "dog", "pet", "fur", "paw"), ("sun", "moon", "star", "sky", "orbit"), ("bread", "salt", "oven"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """90 documents about three topics that share a few words."""
    drawn, path = np.random.default_rng(0), tmp_path_factory.mktemp("lsa") / "text.txt"
    lines = [" ".join(drawn.choice([*TOPICS[i % 3], "the", "a"], 12)) for i in range(90)]
    path.write_text("\n".join(lines) + "\n")
    data = DataConfig(source=f"text:{path}", min_count=1, heldout_every=10)
    return Config("lsa", lsa.LSAConfig(dim=4, sweeps=4, oversample=5), data=data, train=TrainConfig(seed=1))


def zipf(documents: int, words: int) -> sp.csr_matrix:
    """Counts of documents of random topics over words of falling frequency."""
    drawn = np.random.default_rng(5)
    base = 1.0 / np.arange(1, words + 1)
    topics = base * drawn.gamma(0.3, 1.0, (12, words))
    mix = drawn.dirichlet(np.full(12, 0.1), documents) @ (topics / topics.sum(1, keepdims=True))
    return sp.csr_matrix(drawn.poisson(60 * mix).astype(np.float32))


def solved(rows: sp.csr_matrix, dim: int, sweeps: int, krylov: bool = True) -> lsa.State:
    """The state after sweeps over rows that come in three blocks."""
    state = truncated_svd.begin(0, rows.shape[1], dim, 10, sweeps, krylov)
    third = -(-rows.shape[0] // 3)
    parts = [rows[i : i + third] for i in range(0, rows.shape[0], third)]
    for _ in range(sweeps):
        image = lsa.gram_product(parts, truncated_svd.current(state), "scipy")[0]
        state = truncated_svd.solve(state, image, dim)
    return state


def captured(rows: sp.csr_matrix, words: Any) -> float:
    """The squared norm of the documents' vectors."""
    return float(((rows @ np.asarray(words)) ** 2).sum())


def test_values_and_subspace_are_those_of_scikit_learn_and_of_the_exact_solution() -> None:
    from sklearn.decomposition import TruncatedSVD

    rows, dim = zipf(700, 400), 20
    exact = np.linalg.svd(rows.toarray().astype(np.float64), compute_uv=False)[:dim]
    same, faster = solved(rows, dim, 6, krylov=False), solved(rows, dim, 6)
    theirs = TruncatedSVD(dim, n_iter=5, random_state=0).fit(rows)
    np.testing.assert_allclose(same["values"], theirs.singular_values_, rtol=0.01)
    np.testing.assert_allclose(faster["values"], exact, rtol=2e-3)
    words = [np.asarray(truncated_svd.vectors(state, dim)[0]) for state in (same, faster)]
    assert captured(rows, words[0]) == pytest.approx(captured(rows, theirs.components_.T), rel=0.003)
    assert captured(rows, words[1]) == pytest.approx((exact**2).sum(), rel=1e-4)
    off = [np.abs(np.asarray(s["values"]) / exact - 1).max() for s in (same, faster)]
    assert off[1] < off[0] / 4, "the blocks together are closer after as many passes"
    for found in words:
        np.testing.assert_allclose(found.T @ found, np.eye(dim), atol=1e-5)
        assert (found[np.abs(found).argmax(0), range(dim)] > 0).all()


def test_the_krylov_values_are_those_of_the_projected_matrix() -> None:
    """H^T A with H = orth(A [Q, C Q, C^2 Q]), C = A^T A, by numpy in 64 bits: a step of the module's text."""
    rows = zipf(120, 60)
    dense, state = rows.toarray().astype(np.float64), truncated_svd.begin(3, 60, 5, 2, 3)
    first = np.asarray(state["basis"][0], np.float64)
    square = dense.T @ dense / 1000  # scaled, so that powers stay small
    powers = np.concatenate([first, square @ first, square @ square @ first], axis=1)
    left = np.linalg.qr(dense @ powers)[0]
    _, values, right = np.linalg.svd(left.T @ dense, full_matrices=False)
    for _ in range(3):
        state = truncated_svd.solve(state, lsa.gram_product([rows], truncated_svd.current(state), "scipy")[0], 5)
    np.testing.assert_allclose(state["values"], values[:5], rtol=1e-4)
    words, turn = truncated_svd.vectors(state, 5)
    size = first.shape[1]
    np.testing.assert_allclose(np.abs(right[:5] @ np.asarray(words)), np.eye(5), atol=1e-3)
    documents = sum(dense @ np.asarray(q) @ turn[size * i : size * (i + 1)] for i, q in enumerate(state["basis"][:3]))
    np.testing.assert_allclose(documents.T @ dense @ np.asarray(words), np.diag(values[:5]), atol=2e-3 * values[0])


@pytest.mark.parametrize("documents", [9, 40])
def test_more_columns_than_words_or_rank_are_exact(documents: int) -> None:
    rows = zipf(documents, 12)
    state = solved(rows, 7, 4)
    assert state["basis"][0].shape == (12, 12) and state["products"].shape == (60, 48)
    exact = np.linalg.svd(rows.toarray().astype(np.float64), compute_uv=False)[:7]
    np.testing.assert_allclose(state["values"], exact, atol=2e-3 * exact[0])
    whole = np.concatenate([np.asarray(block) for block in state["basis"]], axis=1)
    lengths = np.square(whole).sum(0)
    assert set(lengths.round(4)) <= {0.0, 1.0} and lengths.sum() == pytest.approx(12, abs=1e-3)


def test_products_on_the_device_and_by_any_number_of_threads_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = zipf(60, 50)
    basis = truncated_svd.orthonormal(jax.random.normal(jax.random.key(0), (50, 40)))
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(truncated_svd, "_threads", lambda threads=threads: threads)
        image, total, empty = lsa.gram_product([rows[:25], rows[25:]], basis, "scipy")
        found.append(np.asarray(image))
        assert total == pytest.approx(rows.power(2).sum()) and empty == int((rows.sum(1) == 0).sum())
    assert np.array_equal(*found)
    dense = rows.toarray().astype(np.float64)
    np.testing.assert_allclose(found[0], dense.T @ (dense @ np.asarray(basis)), rtol=1e-4, atol=1e-3)
    device = lsa.gram_product([rows[:25], rows[25:]], basis, "jax")[0]
    np.testing.assert_allclose(np.asarray(device), found[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("krylov", [True, False])
def test_linear_algebra_on_the_host_has_one_thread(krylov: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, real = list[int](), np.linalg.eigh

    def eigh(*given: Any) -> Any:
        threads.extend(found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas")
        return real(*given)

    monkeypatch.setattr(np.linalg, "eigh", eigh)
    with threadpool_limits(2, user_api="blas"):
        state = truncated_svd.begin(0, 20, 3, 2, 2, krylov)
        state = truncated_svd.solve(state, np.ones((20, state["basis"][0].shape[1]), np.float32), 3)
        begun = len(threads)
        truncated_svd.vectors(state, 3)
        assert (len(threads) > begun) == krylov and begun  # vectors of power iterations need no decomposition
    assert set(threads) == {1}


def test_a_matrix_of_low_rank_gets_zeros_and_no_nan() -> None:
    rows = sp.csr_matrix(np.outer(np.arange(9) % 3, [1, 0, 2, 0, 3]).astype(np.float32))
    state = solved(rows, 3, 3)
    norm = float(np.sqrt(rows.power(2).sum()))
    np.testing.assert_allclose(state["values"], [norm, 0, 0], atol=2e-3 * norm)
    found = jax.tree.leaves((state, truncated_svd.vectors(state, 3)))
    assert all(np.isfinite(np.asarray(value)).all() for value in found)


@pytest.mark.parametrize("example", lsa.FAMILY.examples, ids=lambda example: f"{example.weighting}-{example.products}")
def test_every_example_runs_and_its_documents_are_the_rows_of_u_s(
    config: Config, tmp_path: Path, example: lsa.LSAConfig
) -> None:
    config = dataclasses.replace(config, model=dataclasses.replace(example, sweeps=6))
    result = loop.train(config, tmp_path)
    model, corpus = open_model(tmp_path), build_corpus(config.data)
    rows = counts(corpus.train, len(corpus.vocab))
    weights = lsa.word_weights(model.cfg, lsa.weighting.collection([rows], len(corpus.vocab)))
    dense = lsa.weighted(model.cfg, weights, rows).toarray().astype(np.float64)
    left, values, right = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(np.asarray(model.params["S"]), values[:3], rtol=0.01)
    found = lsa.represent(model.cfg, model.params, {}, rows)
    assert found.shape == (81, 3) and found.dtype == np.float32
    want = left[:, :3] * values[:3]
    assert np.abs(found @ found.T - want @ want.T).max() < 0.02 * np.abs(want @ want.T).max()
    share = 1 - (values[:3] ** 2).sum() / (values**2).sum()
    assert result["loss"] == pytest.approx(share, abs=0.01)
    vectors = np.asarray(load(tmp_path / "vectors.bin").vectors)
    words = right[:3].T * values[:3]
    assert np.abs(vectors @ vectors.T - words @ words.T).max() < 0.02 * np.abs(words @ words.T).max()
    empty = lsa.represent(model.cfg, model.params, {}, sp.csr_matrix((2, len(corpus.vocab)), dtype=np.int32))
    assert not empty.any(), "a document without a known word is a vector of zeros"


@pytest.mark.parametrize("products", ["scipy", "jax"])
def test_a_sweep_counts_the_squares_and_the_empty_rows(products: str) -> None:
    rows = sp.csr_matrix(np.array([[1, 2, 0], [0, 0, 0], [0, 0, 3], [0, 0, 0]], np.float32))
    basis = jax.numpy.eye(3, 2)
    image, squares, empty = lsa.gram_product([rows[:3], rows[3:]], basis, products)
    np.testing.assert_allclose(image, rows.toarray().T @ rows.toarray()[:, :2])
    assert (squares, empty) == (14.0, 2)


def test_as_many_dimensions_as_documents_and_no_more(tmp_path: Path) -> None:
    text = build_text(tmp_path, "a b\nb c\nc d e")
    cfg = lsa.LSAConfig(dim=3, vocab_size=5)
    assert lsa.prepare(cfg, text, 0, jax.devices()[:1]).kept
    with pytest.raises(UserError, match="model.dim=4: must be at most 3, the training documents"):
        lsa.prepare(dataclasses.replace(cfg, dim=4), text, 0, jax.devices()[:1])


def test_a_stopped_run_continues_bit_for_bit(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loop.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2, "lsa")
        with pytest.raises(Interrupted):
            loop.train(config, tmp_path / "run")
    result = loop.train(config, tmp_path / "run")
    assert result["loss"] == whole["loss"] and result["steps"] == 4
    assert final_arrays(tmp_path / "run") == final_arrays(tmp_path / "whole")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", lsa.LSAConfig(dim=16), "model.dim=16: must be at most 15, the words"),
        ("data.heldout_every", 2, "model.dim=12: must be at most 2, the training documents"),
    ],
)
def test_more_dimensions_than_words_or_documents(
    config: Config, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    if key == "model":
        config = dataclasses.replace(config, model=value)
    else:
        path = tmp_path / "text.txt"
        path.write_text("cat dog pet fur paw sun moon star\nsky orbit the bread\nsalt oven a\n")
        data = dataclasses.replace(config.data, source=f"text:{path}", heldout_every=3)
        config = dataclasses.replace(config, model=lsa.LSAConfig(dim=12), data=data)
    with pytest.raises(UserError, match=message):
        loop.train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists() or not list((tmp_path / "run" / "checkpoints").iterdir())


def test_options_that_cannot_be() -> None:
    for changes, message in (({"dim": 0}, "dim"), ({"weighting": "x"}, "one of counts"), ({"sweeps": 0}, "sweeps")):
        with pytest.raises(UserError, match=message):
            dataclasses.replace(MODELS["lsa"].config(), **changes)
    with pytest.raises(UserError, match="sublinear"):
        lsa.LSAConfig(weighting="counts", sublinear=True)
