"""Vectors made of n-grams: against fastText's definition in plain Python, word2vec's gradient, and a small run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.commands import run
from tests.examples import batch_size_for, random_batch, random_params, with_rows
from w2v_jax import configure, fit, load
from w2v_jax.errors import UserError
from w2v_jax.models import subword, word2vec
from w2v_jax.models.subword import FAMILY, SubwordConfig
from w2v_jax.train.gradients import gather_rows
from w2v_jax.types import Words

NAMES = ("the", "naïve", "a", "kings", "antidisestablishmentarianism", "where")
SIZES = {"dim": 6, "window": 2, "segment": 8, "shared_negatives": 4, "sample": 0.0, "buckets": 97, "longest": 5}
CFG = SubwordConfig(**SIZES, window_draw="full")  # type: ignore[arg-type]


def buckets_by_hand(word: str, shortest: int, longest: int, size: int) -> list[int]:
    """fastText's computeSubwords and hash, character by character."""
    marked, out = f"<{word}>", []
    for i in range(len(marked)):
        for n in range(shortest, longest + 1):
            gram = marked[i : i + n]
            if len(gram) < n or (n == 1 and (i == 0 or i == len(marked) - 1)):
                continue
            h = 2166136261
            for byte in gram.encode():
                h = ((h ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) % 2**32
            out.append(h % size)
    return out


def test_ngrams_are_fasttexts() -> None:
    found = subword.grams(CFG, NAMES)
    for word, row in zip(NAMES, found, strict=True):
        assert sorted(row[row < CFG.buckets].tolist()) == sorted(buckets_by_hand(word, 3, 5, CFG.buckets)), word
    # 30 characters with both marks: 28 + 27 + 26 n-grams.
    assert found.shape == (6, 81) and (found[2] < CFG.buckets).sum() == 1


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_loss_and_gradient_are_those_of_word2vec_at_the_mean(architecture: str) -> None:
    """e_w and every z_g get the whole gradient of h(w)."""
    draw = "full" if architecture == "skipgram" else "sampled"
    cfg = FAMILY.resolve(SubwordConfig(**SIZES, architecture=architecture, window_draw=draw), len(NAMES))
    consts = jax.tree.map(jnp.asarray, subword.consts(cfg, Words(NAMES, np.arange(9, 3, -1))))
    params = random_params(FAMILY, cfg, consts, seed=1)
    batch = with_rows(random_batch(FAMILY, cfg, batch_size_for(FAMILY, cfg, 2), np.random.default_rng(2)))
    key = jax.random.key(0)

    def of(family: Any, params: Any) -> Any:
        """(loss, gradients by whole table)."""

        def value(params: Any) -> Any:
            ids, named = family.rows(cfg, consts, batch, key)
            return family.loss(cfg, params | gather_rows(params, ids), consts, {}, named, key)[0]

        return jax.value_and_grad(value)(params)

    h = []
    for i, word in enumerate(NAMES):
        rows = buckets_by_hand(word, cfg.shortest, cfg.longest, cfg.buckets)
        h.append((params["E"][i] + sum(params["Z"][r] for r in rows)) / (1 + len(rows)))
    plain = {"E": params["E"].at[: len(NAMES)].set(jnp.stack(h)), "C": params["C"]}
    (ours, ours_grad), (theirs, theirs_grad) = of(subword, params), of(word2vec, plain)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    np.testing.assert_allclose(ours_grad["C"], theirs_grad["C"], atol=1e-5)
    np.testing.assert_allclose(ours_grad["E"], theirs_grad["E"], atol=1e-5)
    want = np.zeros(params["Z"].shape)
    for i, word in enumerate(NAMES):
        for row in buckets_by_hand(word, cfg.shortest, cfg.longest, cfg.buckets):
            want[row] += np.asarray(theirs_grad["E"][i])
    np.testing.assert_allclose(ours_grad["Z"], want, atol=1e-5)
    assert np.abs(want).max() > 1e-3
    np.testing.assert_allclose(subword.compose(cfg, params, consts)["E"][: len(NAMES)], jnp.stack(h), atol=1e-6)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subword")
    (folder / "text.txt").write_text("the kings walked and the queens talked\na king walks where queens talk\n" * 40)
    keys = {"data.source": f"text:{folder}/text.txt", "data.cache_dir": f"{folder}/cache", "data.min_count": 1}
    keys |= {"model.dim": 6, "model.segment": 16, "model.buckets": 97, "model.longest": 4, "mesh.data": 1}
    keys |= {"train.batch_size": 64, "train.steps_per_call": 4, "train.passes": 2.0, "log.tensorboard": False}
    fit(configure("subword", keys), folder / "run")
    return folder


def test_a_run_gives_unseen_words_a_vector(home: Path) -> None:
    emb = load(home / "run")
    rows = np.load(home / "run/ngrams.npy")
    assert rows.shape == (97, 6) and "kingly" not in emb and "walked" in emb
    want = rows[buckets_by_hand("kingly", 3, 4, 97)].mean(axis=0)
    np.testing.assert_allclose(emb["kingly"], want, atol=1e-6)
    assert len(emb.most_similar("kingly", topn=3)) == 3 and emb[["king", "kingly"]].shape == (2, 6)
    # The file has the vectors of words as they were trained, those of n-grams within.
    assert np.abs(emb["walked"] - rows[buckets_by_hand("walked", 3, 4, 97)].mean(axis=0)).max() > 1e-4
    exported = json.loads((home / "run/result.json").read_text())["exports"]
    assert {"ngrams.npy", "ngrams.json", "vectors.bin"} <= exported.keys()
    done = run("experiments.neighbours", f"--workdir={home}/run", "kingly", "--topn=3")
    assert done.status == 0 and "nearest to kingly" in done.out


def test_a_run_is_written_for_fasttext(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.bin"
    done = run("experiments.convert", f"--workdir={home}/run", f"--out={out}", "--format=fasttext")
    assert done.status == 0 and "lowest cosine with the vectors read: 1.000000" in done.out, done.err
    assert "unseen words" not in done.out
    emb, theirs = load(home / "run"), pytest.importorskip("gensim.models.fasttext").load_facebook_vectors(str(out))
    assert theirs.index_to_key == list(emb.words)
    for word in [*emb.words, "kingly", "talker"]:
        np.testing.assert_allclose(theirs[word], emb[word], rtol=1e-4, atol=1e-6, err_msg=word)
    done = run("experiments.convert", f"--workdir={home}/run", f"--out={tmp_path}/plain.bin")
    assert "the words of the table alone; --format=fasttext" in done.out
    done = run("experiments.convert", f"--vectors={home}/run/vectors.bin", f"--out={out}", "--format=fasttext")
    assert done.status == 2 and "m.bin: fasttext needs vectors with n-grams" in done.err


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda p: (p / "ngrams.npy").unlink(), "ngrams.npy: no such file"),
        (lambda p: (p / "ngrams.npy").write_bytes(b"junk"), "does not match its digest"),
        (lambda p: (p / "ngrams.json").write_text("{}"), "does not match its digest"),
    ],
)
def test_damage_is_one_line(home: Path, tmp_path: Path, harm: Any, message: str) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    harm(tmp_path / "run")
    with pytest.raises(UserError, match=message):
        load(tmp_path / "run")


def test_rows_of_ngrams_go_on_where_they_are_hashed_alike() -> None:
    words = Words(NAMES, np.arange(9, 3, -1))
    cfg = FAMILY.resolve(CFG, len(NAMES))
    taken = subword.grow(cfg, words, cfg, words)
    np.testing.assert_array_equal(taken["Z"], np.arange(cfg.padded_buckets))
    assert "Z" not in subword.grow(cfg, words, FAMILY.resolve(SubwordConfig(dim=6, buckets=98), len(NAMES)), words)


@pytest.mark.parametrize("keys", [{"buckets": 0}, {"shortest": 0}, {"longest": 2}, {"longest": 65}])
def test_impossible_sizes(keys: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"model.{next(iter(keys))}"):
        SubwordConfig(**keys)
