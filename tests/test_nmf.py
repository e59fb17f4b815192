"""Non-negative matrix factorisation beside scikit-learn's coordinate descent, through the loop, and on bad input."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from tests.commands import final_arrays
from tests.data.corpora import build_text
from tests.test_fitted import stop_after
from w2v_jax.config import Config, DataConfig, TrainConfig
from w2v_jax.embeddings import load
from w2v_jax.errors import Interrupted, UserError
from w2v_jax.models import nmf
from w2v_jax.train import loop
from w2v_jax.train.restore import open_model

TOPICS = (("cat", "dog", "pet", "fur", "paw"), ("sun", "moon", "star", "sky", "orbit"), ("bread", "salt", "oven"))


def work_of(rows: np.ndarray) -> nmf.Work:
    return nmf.Work(sp.csr_matrix(rows.astype(np.float32)), np.ones(rows.shape[1], np.float32), (rows**2).sum(), 0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_sweep_is_that_of_scikit_learn() -> None:
    """From the same start, and the loss is its objective. One topic is never used, and one word never occurs."""
    from sklearn.decomposition import NMF

    drawn = np.random.default_rng(0)
    a = drawn.poisson(0.6, (60, 40)) * drawn.gamma(1.0, 1.0, (60, 40))
    a[:, 7] = 0.0
    work, cfg = work_of(a), nmf.NMFConfig(dim=6, vocab_size=40, weighting="counts")
    state = nmf.start(cfg, work, 3)
    assert (np.asarray(state["W"]) @ np.asarray(state["H"]).T).mean() == pytest.approx(a.mean(), rel=0.6)
    state["H"] = state["H"].at[:, 2].set(0.0)
    first = {name: np.asarray(state[name], np.float64) for name in "WH"}
    first["W"][:, 2] = 0.0  # scikit-learn takes this column along; it is no part of the product
    state["W"] = jnp.asarray(first["W"], jnp.float32)
    for sweeps in (1, 2, 20):
        while state.setdefault("made", 0) < sweeps:
            now, metrics = nmf.advance(cfg, work, state)
            state = now | {"made": state["made"] + 1}
        theirs = NMF(6, solver="cd", init="custom", max_iter=sweeps, tol=0.0)
        w = theirs.fit_transform(a, W=first["W"].copy(), H=first["H"].T.copy())
        np.testing.assert_allclose(state["W"], w, rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(state["H"], theirs.components_.T, rtol=2e-3, atol=2e-4)
        assert metrics["loss"] == pytest.approx(theirs.reconstruction_err_**2 / (a**2).sum(), abs=1e-6)
    assert metrics["loss"] < 0.6 and not np.asarray(state["W"])[:, 2].any() and not np.asarray(state["H"])[7].any()
    # New documents get the best shares for these topics, which non-negative least squares of scipy finds too.
    from scipy.optimize import nnls

    new = drawn.poisson(0.8, (5, 40)).astype(np.float32)
    new[3] = 0.0
    shares = nmf.represent(cfg, {"H": state["H"], "weights": jnp.ones(40)}, {}, sp.csr_matrix(new))
    want = [nnls(np.asarray(state["H"], np.float64), row)[0] for row in new.astype(np.float64)]
    np.testing.assert_allclose(shares, want, atol=2e-4)


def test_a_text_is_factorised_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three topics of words are found; a stopped run ends with the same bits; documents are mostly of one topic."""
    drawn, path = np.random.default_rng(0), tmp_path / "text.txt"
    path.write_text("\n".join(" ".join(drawn.choice(TOPICS[i % 3], 12)) for i in range(90)) + "\n")
    data = DataConfig(source=f"text:{path}", min_count=1, heldout_every=10)
    config = Config("nmf", nmf.NMFConfig(dim=3, sweeps=30), data=data, train=TrainConfig(seed=1))
    result = loop.train(config, tmp_path / "run")
    assert result["steps"] == 30
    with monkeypatch.context() as patch:
        stop_after(patch, 4, "nmf")
        with pytest.raises(Interrupted):
            loop.train(config, tmp_path / "stopped")
    loop.train(config, tmp_path / "stopped")
    assert final_arrays(tmp_path / "run") == final_arrays(tmp_path / "stopped")
    words = load(tmp_path / "run" / "vectors.bin")
    of = {word: int(words.vectors[i].argmax()) for i, word in enumerate(words.words)}
    found = [{of[word] for word in topic} for topic in TOPICS]
    assert sorted(map(sorted, found)) == [[0], [1], [2]] and words.vectors.min() >= 0
    model = open_model(tmp_path / "run")
    counts = sp.csr_matrix([[word in TOPICS[1] for word in words.words], [False] * 13], dtype=np.int32)
    assert model.spec.represent is not None
    shares = model.spec.represent(model.cfg, model.params, model.consts, counts)
    assert shares[0].argmax() == found[1].pop() and not shares[1].any()


def test_bad_input(tmp_path: Path) -> None:
    text = build_text(tmp_path, "a b\nb c\n\n")
    for dim, need in ((4, "the words"), (3, "the training documents")):
        cfg = nmf.NMFConfig(dim=dim, vocab_size=3)
        with pytest.raises(UserError, match=f"model.dim={dim}: must be at most {dim - 1}, {need}"):
            nmf.prepare(cfg, text, 0, ())
    with pytest.raises(UserError, match="model.sublinear"):
        nmf.NMFConfig(weighting="counts", sublinear=True)
