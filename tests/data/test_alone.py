"""A text by the tokeniser of a run is what the run's corpus would make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.config import DataConfig
from w2v_jax.data import alone
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError

TRAIN = "the cat sat on the mat\n\nthe dog saw the cat\na new york cat is a new york cat\nthe end\n" * 4
OTHER = "\nthe cat, the Zebra!\n\n\nzebra zebras\nin new york a dog's café\n \nthe the\nmat\n- no token"
RULES: list[dict[str, Any]] = [
    {"tokens": "whitespace", "unknown": "keep", "end_token": "<eos>"},
    {"tokens": "whitespace", "unknown": "drop", "end_token": "<eos>"},
    {"tokens": "punctuation", "unknown": "drop"},
    {"tokens": "words", "unknown": "keep", "reversed": True, "end_token": "<eos>"},
    {"tokens": "words", "unknown": "drop", "reversed": True},
    {"tokens": "letters", "unknown": "keep", "document": "blank"},
    {"tokens": "words", "unknown": "keep", "document": "file", "end_token": "<eos>"},
    {"tokens": "words", "unknown": "drop", "phrases": 2, "phrase_min_count": 2, "phrase_threshold": 0.5},
    {"tokens": "words", "unknown": "keep", "phrases": 1, "phrase_min_count": 2, "phrase_threshold": 0.5},
    {"tokens": "characters", "unknown": "keep", "end_token": "<eos>"},
    {"tokens": "characters", "unknown": "drop"},
    {"tokens": "bpe", "unknown": "keep", "max_vocab": 280, "end_token": "<eos>"},
    {"tokens": "bpe", "unknown": "keep", "max_vocab": 280, "document": "blank"},
    {"tokens": "python:tests.data.corpora:own_tokens", "unknown": "keep", "end_token": "<eos>"},
    {"tokens": "python:tests.data.corpora:own_tokens", "unknown": "drop", "document": "file"},
    {"tokens": "python:tests.data.corpora:own_tokens", "unknown": "drop", "phrases": 1, "phrase_min_count": 2},
]


def config(home: Path, rules: dict[str, Any]) -> DataConfig:
    for name, text in (("train", TRAIN), ("other", OTHER)):
        (home / f"{name}.txt").write_text(text, encoding="utf-8")
    train: dict[str, Any] = {"source": f"text:{home}/train.txt", "heldout_source": f"text:{home}/train.txt"}
    where = {"test_source": f"text:{home}/other.txt", "cache_dir": str(home / "cache"), "min_count": 1}
    return DataConfig(**train | where | rules)


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: "-".join(map(str, rules.values())))
def test_a_text_alone_has_the_tokens_of_the_corpus(rules: dict[str, Any], tmp_path: Path) -> None:
    cfg = config(tmp_path, rules)
    corpus = build_corpus(cfg)
    (tmp_path / "train.txt").unlink()
    read = alone.encode(cfg, corpus.tokenizer)
    found, places, *_ = read
    np.testing.assert_array_equal(np.asarray(found.tokens), np.asarray(corpus.test.tokens))
    np.testing.assert_array_equal(found.offsets, corpus.test.offsets)
    assert (found.words, found.bytes) == (corpus.test.words, corpus.test.bytes)
    assert len(places) == found.documents
    _check_written(read, corpus.tokenizer, cfg)
    if cfg.document == "line" and cfg.tokens == "words" and not cfg.reversed and not cfg.phrases:
        assert (np.diff(places) > 0).all() and places[0] == (0 if cfg.end_token else 1)


def _check_written(read: alone.Alone, tokenizer: Tokenizer, cfg: DataConfig) -> None:
    """Every token is that of what is written in its place, and those of a document are in order."""
    positions, ids, names = read.written
    tokens, offsets = np.asarray(read.tokens.tokens), read.tokens.offsets
    assert len(positions) == len(ids) == len(tokens)
    for token, i in zip(tokens.tolist(), ids.tolist(), strict=True):
        word = cfg.end_token if not i else names[i]
        assert token == tokenizer.vocab.index.get(word, tokenizer.unknown_id)
    steps = np.diff(positions)[np.setdiff1d(np.arange(len(tokens) - 1), offsets[1:-1] - 1)]
    assert (steps == 1).all() if cfg.unknown == "keep" else (steps > 0).all()


def test_documents_keep_the_numbers_of_their_lines(tmp_path: Path) -> None:
    cfg = config(tmp_path, {"tokens": "words", "unknown": "drop"})
    tokenizer = build_corpus(cfg).tokenizer
    found = alone.encode(cfg, tokenizer)
    words = [found.written.names[i] for i in found.written.ids]
    assert (words[:3], found.written.positions[:3].tolist()) == (["the", "cat", "the"], [1, 2, 3])
    assert (words[3], found.written.positions[3]) == ("new", 2), "of a document whose first word is left out"
    assert found.places.tolist() == [1, 5, 7, 8], "line 4 has no known word, others are empty"
    assert found.numbers.tolist() == [0, 2, 3, 4] and found.total == 10


def test_a_word_that_the_run_refuses_is_named(tmp_path: Path) -> None:
    cfg = config(tmp_path, {"tokens": "whitespace", "unknown": "error"})
    (tmp_path / "other.txt").write_text("the cat\n")
    tokenizer = build_corpus(cfg).tokenizer
    (tmp_path / "other.txt").write_text("the zebra\n")
    with pytest.raises(UserError, match=r"other\.txt': 'zebra' is not in the vocabulary"):
        alone.encode(cfg, tokenizer)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            {"tokens": "whitespace", "unknown": "drop", "end_token": "<eos>"},
            "3 outside the vocabulary (60.0% of 5 tokens without ends) are left out",
        ),
        ({"tokens": "whitespace", "unknown": "keep"}, "3 outside the vocabulary (60.0% of 5 tokens) are read as <unk>"),
        ({"tokens": "characters", "unknown": "drop"}, "9 outside the vocabulary (50.0% of 18 tokens) are left out"),
    ],
)
def test_what_is_outside_the_vocabulary_is_counted(rules: dict[str, Any], told: str, tmp_path: Path) -> None:
    cfg, said = config(tmp_path, rules), []
    tokenizer = build_corpus(cfg).tokenizer
    (tmp_path / "other.txt").write_text("the cat мир\nщит щук\n", encoding="utf-8")
    found = alone.encode(cfg, tokenizer, said.append)
    assert said[-1].endswith(f" words; {told}") and alone.corpus(found, tokenizer).report["oov_words"] == found.outside
