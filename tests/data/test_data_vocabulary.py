"""The vocabulary file."""

import sys

import numpy as np
import pytest

from tests.data.corpora import config
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.vocabulary import Vocabulary, escape, unescape, written
from w2v_jax.errors import UserError


def test_vocabulary_round_trip(tmp_path):
    words = ("the", "é'x", "zoo", "\n", "\t", "\r", " ", "\\", "\\n", "\u2028", "\x85", "\x1c", "\U0001f600", "\u200b")
    vocab = Vocabulary(words, np.arange(len(words), 0, -1, np.int64))
    vocab.save(tmp_path / "v.txt", escape)
    again = Vocabulary.load(tmp_path / "v.txt", unescape)
    assert again.words == vocab.words and (again.counts == vocab.counts).all() and again.index["zoo"] == 2
    lines = (tmp_path / "v.txt").read_text(encoding="utf-8").split("\n")
    assert lines[:5] == ["the\t14", "é'x\t13", "zoo\t12", "\\n\t11", "\\t\t10"]
    assert [p.name for p in tmp_path.iterdir()] == ["v.txt"]


def test_words_stand_in_files_as_they_are_but_for_white_space(tmp_path):
    words = ("a\u200cb", "a\u200db", "so\u00adft", "C:\\new", "\\", "\u200b", "\U0001f600", "na\u00efve")
    vocab = Vocabulary(words, np.arange(len(words), 0, -1, np.int64))
    vocab.save(tmp_path / "v.txt")
    lines = (tmp_path / "v.txt").read_text(encoding="utf-8").split("\n")
    assert [line.partition("\t")[0] for line in lines[:-1]] == list(words)
    assert Vocabulary.load(tmp_path / "v.txt").words == words
    assert written("a \n\u2003\\") == "a\\x20\\n\\u2003\\"


@pytest.mark.parametrize(
    ("text", "tokens", "warned"),
    [
        ("我喜欢学习自然语言处理\n他喜欢猫\n" * 3 + "the cat\n", "words", True),
        ("แมวนั่งบนเสื่อ the cat sat\n" * 3, "words", True),
        ("カタカナ 私は猫です\n" * 3, "words", True),
        ("나는 고양이를 좋아한다\nкошка спит\n" * 3, "words", False),  # Korean has blanks
        ("猫 the cat sat on the mat\n" * 3, "words", False),  # a seventh
        ("我喜欢学习自然语言处理\n" * 3, "characters", False),
        ("我喜欢 学习\n" * 3, "whitespace", False),
        ("我喜欢学习。他喜欢猫，也喜欢狗！\n" * 3, "punctuation", True),
        ("猫 , , , , , , , ,\n" * 3, "punctuation", True),  # marks are no words
        ("나는 고양이를 좋아한다. кошка спит.\n" * 3, "punctuation", False),
    ],
)
def test_scripts_without_blanks_are_warned_of(tmp_path, text, tokens, warned):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    said = []
    build_corpus(config(tmp_path, tmp_path / "text.txt", tokens=tokens), said.append)
    assert sum("no blanks between words" in line and "data.tokens=characters, bpe" in line for line in said) == warned


def test_words_that_are_too_rare_to_be_kept_count_as_well(tmp_path):
    """Clauses without blanks hardly ever come twice."""
    path = tmp_path / "text.txt"
    path.write_text(
        "".join(f"{chr(0x4E00 + i)}是猫{chr(0x5E00 + i)}\n" for i in range(40)) + "the cat\n" * 5, encoding="utf-8"
    )
    for _ in range(2):  # the second comes from the cache
        said = []
        made = build_corpus(config(tmp_path, path, tokens="words", min_count=5), said.append)
        assert set(made.vocab.words) == {"the", "cat"} and any(
            "80% of the words are in a script" in line for line in said
        )
    path.write_text("".join(f"{chr(0x4E00 + i)}是猫{chr(0x5E00 + i)}\n" for i in range(40)), encoding="utf-8")
    with pytest.raises(UserError, match="no word occurs that often .* no blanks between words: use data.tokens=chara"):
        build_corpus(config(tmp_path, path, tokens="words", min_count=5))


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
        Vocabulary.load(tmp_path / "v.txt", unescape)
