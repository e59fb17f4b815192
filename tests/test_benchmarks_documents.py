"""The arithmetic of the benchmarks of documents and sub-word vectors, on small numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import doc2vec, subword
from experiments.classify.texts import Texts
from w2v_jax.embeddings import Embeddings


def test_the_interval_is_students_and_one_value_has_none() -> None:
    assert doc2vec.shown([1.0, 2.0, 3.0], 3) == f"2.000 ± {4.302652729696142 / math.sqrt(3):.3f}"
    assert doc2vec.shown([1.0], 2) == "1.00"


def test_a_line_for_each_form_side_and_setting() -> None:
    def run(side: str, seed: int, accuracy: float, **changes: float) -> dict[str, Any]:
        times = {"seconds": 10.0, "seconds_infer": 2.0, "words": 1000}
        return times | {"side": side, "form": "dm", "seed": seed, "passes": 5, "changes": changes, "accuracy": accuracy}

    lines = doc2vec.table([run("ours", 0, 0.5), run("ours", 1, 0.7), run("gensim", 0, 0.4), run("ours", 0, 0.9, a=1)])
    assert "| ours" in lines and '| ours {"a": 1}' in lines and len(lines.splitlines()) == 5
    assert "60.00 ± 127.06" in lines and "| 500 |" in lines.replace("     ", " ").replace("    ", " ")


def test_development_texts_are_of_the_training_texts_alone() -> None:
    count = 500
    texts = [f"text {i}" for i in range(count)]
    whole = Texts(("a", "b"), texts, np.arange(count) % 2, np.arange(count) % 10 == 0, True, ["test"], np.zeros(1, int))
    part = doc2vec.development(whole)
    assert sorted(part.train + part.test) == sorted(texts) and 60 < len(part.test) < 140
    assert all(int(text.split()[1]) % 2 == label for text, label in zip(part.test, part.test_labels, strict=True))
    assert all((int(text.split()[1]) % 10 == 0) == held for text, held in zip(part.train, part.held, strict=True))


def test_pairs_are_put_into_bins_by_their_rarer_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subword, "LEAST", 3)
    (tmp_path / "similarity").mkdir()
    lines = ["a\tb\t3", "a\tc\t2", "a\td\t1", "a\tnew\t9", "new\tb\t5", "old\tnew\t1"]
    (tmp_path / "similarity/some.tsv").write_text("\n".join(lines) + "\n")
    angles = {"a": 0.0, "b": 0.1, "c": 0.5, "d": 0.9, "new": 0.2}
    vectors = np.array([[math.cos(x), math.sin(x)] for x in list(angles.values())[:4]], np.float32)
    emb = Embeddings(("a", "b", "c", "d"), vectors, np.array([500, 300, 200, 120]))

    def vector(word: str) -> np.ndarray | None:
        return np.array([math.cos(angles[word]), math.sin(angles[word])]) if word in angles else None

    found = subword.binned(emb, vector, tmp_path)
    assert found["100 and more"] == {"spearman": pytest.approx(1.0), "pairs": 3, "found": 3}
    # Cosines .98, .995 and 0 for the scores 9, 5 and 1.
    assert found["unseen"] == {"spearman": pytest.approx(0.5), "pairs": 3, "found": 2}
    assert found["20 to 99"]["pairs"] == 0
