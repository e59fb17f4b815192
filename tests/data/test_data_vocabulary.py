"""The tokeniser against its definition, and the vocabulary file."""

import random
import re
import sys

import numpy as np
import pytest

from w2v_jax.data.vocabulary import Vocabulary, escape, unescape, words_of
from w2v_jax.errors import UserError


def test_letters_are_exactly_the_pattern_on_every_code_point():
    # Each character stands between letters, so that one which lower-cases to a letter would join them.
    text = "".join(f"a{chr(c)}b " for c in range(1, sys.maxunicode + 1) if not 0xD800 <= c < 0xE000)
    assert words_of(text, "letters", True) == re.findall("[a-z]+", text.lower())


def test_letters_on_random_text_with_and_without_case():
    rng = random.Random(0)
    text = "".join(rng.choices("abZQ \n\t'-_.é\u212a\u0130ßΣ0", k=20_000))
    assert words_of(text, "letters", True) == re.findall("[a-z]+", text.lower())
    assert words_of(text, "letters", False) == re.findall("[a-zA-Z]+", text)


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
    assert words_of(text, "punctuation", True) == expected


def test_whitespace_keeps_everything():
    assert words_of("A <unk>  b,\n c", "whitespace", False) == ["A", "<unk>", "b,", "c"]


def test_vocabulary_round_trip(tmp_path):
    words = ("the", "é'x", "zoo", "\n", "\t", "\r", " ", "\\", "\\n", "\u2028", "\x85", "\x1c", "\U0001f600", "\u200b")
    vocab = Vocabulary(words, np.arange(len(words), 0, -1, np.int64))
    vocab.save(tmp_path / "v.txt")
    again = Vocabulary.load(tmp_path / "v.txt")
    assert again.words == vocab.words and (again.counts == vocab.counts).all() and again.index["zoo"] == 2
    lines = (tmp_path / "v.txt").read_text(encoding="utf-8").split("\n")
    assert lines[:5] == ["the\t14", "é'x\t13", "zoo\t12", "\\n\t11", "\\t\t10"]
    assert [p.name for p in tmp_path.iterdir()] == ["v.txt"]


def test_escapes_are_printable_and_taken_back():
    white = [c for c in range(sys.maxunicode + 1) if chr(c).isspace()]
    for c in map(chr, [*range(0x600), *white, *range(0x2000, 0x2100), *range(0xD7FF, sys.maxunicode, 4999)]):
        assert unescape(escape(c)) == c
        assert escape(c).isprintable() and not any(map(str.isspace, escape(c)))
    assert escape("a \n\\") == r"a\x20\n\\" and unescape(r"\\n") == "\\n" and escape("naïve") == "naïve"


@pytest.mark.parametrize(
    "bad", ["\\q\t1\n", "\\x2\t1\n", "\\Uffffffff\t1\n", "a\\\t1\n", "a 1\n", "a\tx\n", "a\t1\na\t2\n", "\t3\n", ""]
)
def test_vocabulary_file_errors_name_the_file(tmp_path, bad):
    (tmp_path / "v.txt").write_text(bad)
    with pytest.raises(UserError, match="v.txt"):
        Vocabulary.load(tmp_path / "v.txt")
