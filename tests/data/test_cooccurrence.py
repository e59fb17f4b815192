"""Counts of words near each other: against a count by hand, whether runs are spilled or not, and in the cache."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.data.corpora import build_text, rows, sample_lines
from w2v_jax.data import cache, cooccurrence
from w2v_jax.data.cooccurrence import Cooccurrences, Rules, cooccurrences, numerators
from w2v_jax.data.corpus import Corpus
from w2v_jax.data.hashing import key_of, thresholds, uniform_hash
from w2v_jax.errors import UserError

WEIGHT = {
    "flat": lambda d, w: Fraction(1),
    "harmonic": lambda d, w: Fraction(1, d),
    "linear": lambda d, w: Fraction(w + 1 - d, w),
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_text(tmp_path_factory.mktemp("cooccurrence"), "\n".join(sample_lines(150)))


def by_hand(documents: list[np.ndarray], size: int, rules: Rules) -> np.ndarray:
    """X of the definition, pair by pair in exact fractions, float64 [V, V]."""
    counts = [[Fraction(0)] * size for _ in range(size)]
    for document in documents:
        for t, word in enumerate(document):
            for u, context in enumerate(document):
                side = {"both": u != t, "left": u < t, "right": u > t}[rules.side]
                if side and abs(u - t) <= rules.window:
                    counts[word][context] += WEIGHT[rules.weighting](abs(u - t), rules.window)
    return np.array([[float(x) for x in row] for row in counts])


def dense(found: Cooccurrences) -> np.ndarray:
    out = np.zeros((found.size, found.size))
    for i, j, value in found.scan():
        out[i, j] = value
    return out


@pytest.mark.parametrize(
    ("window", "weighting", "side"),
    [
        (1, "flat", "both"),
        (5, "harmonic", "both"),
        (4, "linear", "right"),
        (3, "harmonic", "left"),
        (30, "flat", "both"),
    ],
)
def test_counts_are_those_by_hand(text: Corpus, window: int, weighting: str, side: str) -> None:
    rules = Rules(window, weighting, side)
    found = cooccurrences(text, rules)
    want = by_hand(rows(text.train), found.size, rules)
    np.testing.assert_allclose(dense(found), want, rtol=1e-15, atol=0)
    words, contexts = found.marginals()
    np.testing.assert_allclose(words, want.sum(1), rtol=1e-12)
    np.testing.assert_allclose(contexts, want.sum(0), rtol=1e-12)
    i, j, value = found.read(np.array([found.entries - 1, 0]))
    assert value.tolist() == [want[i[0], j[0]], want[i[1], j[1]]] and (side != "both" or (i <= j).all())


def test_weights_are_exact_as_long_as_they_can_be() -> None:
    for window in (5, 15, 22):
        weights, unit = numerators("harmonic", window)
        assert [Fraction(int(n), unit) for n in weights] == [Fraction(1, d) for d in range(1, window + 1)]
    weights, unit = numerators("harmonic", 100)
    np.testing.assert_allclose(weights / unit, 1 / np.arange(1.0, 101), atol=2.0**-32)


def test_spilling_changes_no_byte(text: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "_SHARD", 1000)
    rules, said = Rules(5, "harmonic"), list[str]()
    files = {}
    for memory in (64, 0.02):
        monkeypatch.setattr(cooccurrence, "FORMAT", memory)  # another folder of the cache
        home = text.directory.parent / cooccurrences(text, rules, memory_mb=memory, say=said.append).digest
        files[memory] = {p.name: p.read_bytes() for p in home.iterdir() if p.name != "meta.json"}
    assert " 0 runs spilled" in said[0] and int(said[1].split(" runs spilled")[0].split()[-1]) > 3, said
    assert len(files[64]) > 4 and files[64] == files[0.02]


def test_tokens_are_dropped_before_windows_are_formed(text: Corpus) -> None:
    size = len(text.vocab.words)
    keep = np.linspace(0.2, 1.0, size)
    found = cooccurrences(text, Rules(2, "flat", "both", keep, seed=7), memory_mb=0.05)
    kept = uniform_hash(key_of(7, 0, 4), 0, len(text.train.tokens)) <= thresholds(keep)[text.train.tokens]
    ends = np.cumsum(np.diff(text.train.offsets))[:-1]
    documents = [r[k] for r, k in zip(np.split(text.train.tokens, ends), np.split(kept, ends), strict=True)]
    np.testing.assert_array_equal(dense(found), by_hand(documents, size, Rules(2)))
    assert found.report["tokens"] == kept.sum() and found.digest != cooccurrences(text, Rules(2)).digest


def test_a_damaged_shard_is_named_and_counted_again(text: Corpus) -> None:
    rules, said = Rules(2, "linear"), list[str]()
    first = cooccurrences(text, rules)
    want, home = dense(first), text.directory.parent / first.digest
    del first
    assert np.array_equal(dense(cooccurrences(text, rules, say=said.append)), want)
    assert said == [f"co-occurrences: cached in {home}"]
    path = home / "pairs.00000.counts"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert np.array_equal(dense(cooccurrences(text, rules, say=said.append)), want)
    assert said[1].startswith("warning:") and "pairs.00000.counts: does not match its digest" in said[1]
    assert not list(home.parent.glob("building-*"))


def test_of_two_processes_the_second_uses_the_files_of_the_first(text: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cooccurrence.put

    def late(work: Path, home: Path) -> None:
        monkeypatch.setattr(cooccurrence, "put", real)
        cooccurrences(text, Rules(6))  # another process is faster
        inode.append(home.stat().st_ino)
        cache.put(work, home)

    inode: list[int] = []
    monkeypatch.setattr(cooccurrence, "put", late)
    found = cooccurrences(text, Rules(6))
    assert (text.directory.parent / found.digest).stat().st_ino == inode[0]


def test_a_text_without_a_pair_is_one_line(tmp_path: Path) -> None:
    alone = build_text(tmp_path, "one\ntwo\n")
    with pytest.raises(UserError, match="no document has two known words"):
        cooccurrences(alone, Rules(5))
