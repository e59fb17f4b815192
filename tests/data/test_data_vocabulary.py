"""The tokeniser against its definition, and the vocabulary file."""

import random
import re
import sys

import numpy as np
import pytest

from w2v_jax.config import DataConfig
from w2v_jax.data.vocabulary import Vocabulary, words_of
from w2v_jax.errors import UserError


def test_letters_are_exactly_the_pattern_on_every_code_point():
    cfg = DataConfig(tokens="letters")
    # Each character stands between letters, so that one which lower-cases to a letter would join them.
    text = "".join(f"a{chr(c)}b " for c in range(1, sys.maxunicode + 1) if not 0xD800 <= c < 0xE000)
    assert words_of(text, cfg) == re.findall("[a-z]+", text.lower())


def test_letters_on_random_text_with_and_without_case():
    rng = random.Random(0)
    text = "".join(rng.choices("abZQ \n\t'-_.é\u212a\u0130ßΣ0", k=20_000))
    assert words_of(text, DataConfig()) == re.findall("[a-z]+", text.lower())
    assert words_of(text, DataConfig(lowercase=False)) == re.findall("[a-zA-Z]+", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, she said.", ["don't", "stop", ",", "she", "said", "."]),
        ("'tis the dogs' café", ["'", "tis", "the", "dogs", "'", "café"]),
        ("cafe\u0301 na\u0308ive 3.5 x_y", ["cafe\u0301", "na\u0308ive", "3", ".", "5", "x", "_", "y"]),
        ("l\u2019eau --", ["l\u2019eau", "-", "-"]),
    ],
)
def test_punctuation(text, expected):
    assert words_of(text, DataConfig(tokens="punctuation")) == expected


def test_whitespace_keeps_everything():
    assert words_of("A <unk>  b,\n c", DataConfig(tokens="whitespace", lowercase=False)) == ["A", "<unk>", "b,", "c"]


def test_vocabulary_round_trip(tmp_path):
    vocab = Vocabulary(("the", "é'x", "zoo"), np.array([5, 3, 3], np.int64))
    vocab.save(tmp_path / "v.txt")
    again = Vocabulary.load(tmp_path / "v.txt")
    assert again.words == vocab.words and (again.counts == vocab.counts).all() and again.index["zoo"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["v.txt"]


@pytest.mark.parametrize("bad", ["a 1\n", "a\tx\n", "a\t1\na\t2\n", "\t3\n", ""])
def test_vocabulary_file_errors_name_the_file(tmp_path, bad):
    (tmp_path / "v.txt").write_text(bad)
    with pytest.raises(UserError, match="v.txt"):
        Vocabulary.load(tmp_path / "v.txt")
