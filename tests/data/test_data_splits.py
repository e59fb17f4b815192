"""Held-out and test texts of their own, end tokens, unknown words: ids, words and bytes by hand."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.config import DataConfig
from w2v_jax.data import corpus as corpus_module
from w2v_jax.data import encode, raw, sources
from w2v_jax.data.corpus import Corpus, Tokens, build_corpus
from w2v_jax.data.counter import SPLITS
from w2v_jax.errors import UserError

# As the Penn Treebank's files: blanks at both ends of a line, <unk> in the text.
TRAIN = " no <unk> was found \n the <unk> fell \n\n no no \n"
VALID = " the no fell \n"
TEST = " was \n <unk> fell \n"
PTB: dict[str, Any] = {
    "tokens": "whitespace",
    "min_count": 1,
    "unknown": "error",
    "end_token": "<eos>",
    "lowercase": False,
}


@pytest.fixture
def texts(tmp_path):
    """(a function that writes the three texts and returns their config)."""

    def make(train: str = TRAIN, valid: str = VALID, test: str = TEST, **changes: Any) -> DataConfig:
        for name, text in {"train": train, "valid": valid, "test": test}.items():
            (tmp_path / f"{name}.txt").write_bytes(text.encode(errors="surrogateescape"))
        given = {
            "source": f"text:{tmp_path / 'train.txt'}",
            "heldout_source": f"text:{tmp_path / 'valid.txt'}",
            "test_source": f"text:{tmp_path / 'test.txt'}",
            "cache_dir": str(tmp_path / "cache"),
        }
        return DataConfig(**(given | PTB | changes))

    return make


def rows(part: Tokens) -> list[list[int]]:
    """Token ids by document."""
    return [part.tokens[a:b].tolist() for a, b in zip(part.offsets[:-1], part.offsets[1:], strict=True)]


def words(corpus: Corpus, part: Tokens) -> list[str]:
    """The text of each document, its tokens joined by blanks."""
    return [" ".join(corpus.vocab.words[t] for t in row) for row in rows(part)]


@pytest.mark.parametrize("chunk", [4, 1 << 20])
def test_three_texts_as_the_penn_treebank(texts, monkeypatch, chunk):
    monkeypatch.setattr(sources, "CHUNK", chunk)
    monkeypatch.setattr(encode, "_BATCH", 3)
    c = build_corpus(texts())
    # Counts: <eos> 4 (the empty line is a document), no 3, <unk> 2, then by word.
    assert c.vocab.words == ("<eos>", "no", "<unk>", "fell", "found", "the", "was")
    assert c.vocab.counts.tolist() == [4, 3, 2, 1, 1, 1, 1]
    assert rows(c.train) == [[1, 2, 6, 4, 0], [5, 2, 3, 0], [0], [1, 1, 0]]
    assert rows(c.heldout) == [[5, 1, 3, 0]]
    assert rows(c.test) == [[6, 0], [2, 3, 0]]
    assert [p.words for p in (c.train, c.heldout, c.test)] == [13, 4, 5]
    assert c.train.bytes == len("no <unk> was found\nthe <unk> fell\n\nno no\n")
    assert c.heldout.bytes == len("the no fell\n") and c.test.bytes == len("was\n<unk> fell\n")
    assert c.tokenizer.end_id == 0 and c.tokenizer.unknown_id == 2
    expected = {"documents": 7, "words": 15, "oov_words": 0, "empty_documents": 0, "lost_documents": 0}
    expected |= {"train_documents": 4, "train_tokens": 13, "heldout_tokens": 4, "test_documents": 2, "test_words": 5}
    assert {key: c.report[key] for key in expected} == expected


def test_report_tells_of_each_split(texts):
    lines: list[str] = []
    build_corpus(texts(), lines.append)
    assert "corpus: training: 4 documents with 13 tokens, 13 words, 41 bytes" in lines
    assert "corpus: held out: 1 documents with 4 tokens, 4 words, 12 bytes" in lines
    assert "corpus: test: 2 documents with 5 tokens, 5 words, 15 bytes" in lines


def test_nothing_of_the_source_is_held_out_beside_a_text_of_its_own(texts):
    one = texts(train="a b the no fell was <unk>\n", heldout_every=2)  # one document is enough
    assert build_corpus(one).train.documents == 1
    many = texts(train="the no fell was <unk>\n" * 10, heldout_every=2)
    c = build_corpus(many)
    assert c.train.documents == 10 and c.heldout.documents == 1
    assert build_corpus(texts(train="the no fell was <unk>\n" * 10, heldout_every=5)).digest == c.digest


def test_a_test_text_beside_held_out_documents(texts):
    train = "the no was\nfell <unk>\nno the was\n"
    c = build_corpus(texts(train=train, heldout_source="", heldout_every=2, unknown="keep"))
    assert words(c, c.train) == ["the no was <eos>", "no the was <eos>"]
    assert words(c, c.heldout) == ["<unk> <unk> <eos>"]
    assert words(c, c.test) == ["was <eos>", "<unk> <unk> <eos>"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": "no way\n"}, "data.heldout_source='text:.*valid.txt': 'way' is not in .* set data.unknown=keep"),
        ({"test": "the\nbus\n"}, "data.test_source='text:.*test.txt': 'bus' is not in .* set data.unknown=keep"),
        ({"min_count": 2}, "data.source='text:.*train.txt': 'was' is not in .* set data.unknown=keep"),
        (
            {"train": "a\nb\nc\n", "heldout_source": "", "heldout_every": 3, "test": "a\n"},
            "data.source=.*'c' is not in the vocabulary",
        ),
        ({"valid": " \n\n"}, "data.heldout_source='text:.*valid.txt': no word found"),
        ({"valid": ""}, "valid.txt: the file is empty"),
        ({"test_source": "text:/nowhere"}, "data.test_source: /nowhere: no such file"),
    ],
)
def test_errors_name_the_text_and_what_to_do(texts, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as e:
        build_corpus(texts(**changes))
    assert "\n" not in str(e.value)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_kept_unknown_words_join_those_of_the_text(texts):
    c = build_corpus(texts(unknown="keep", min_count=2, valid="the new <unk> no\n"))
    assert c.vocab.words == ("<unk>", "<eos>", "no") and c.vocab.counts.tolist() == [6, 4, 3]
    assert words(c, c.heldout) == ["<unk> <unk> <unk> no <eos>"]
    assert c.heldout.bytes == len("the new <unk> no\n")  # as it was written


def test_dropped_words_leave_words_and_bytes_too(texts):
    c = build_corpus(texts(unknown="drop", min_count=2, valid="the new <unk> no\nnew\n"))
    assert words(c, c.heldout) == ["<unk> no <eos>", "<eos>"]
    assert (c.heldout.words, c.heldout.bytes) == (4, len("<unk> no\n\n"))


@pytest.mark.parametrize("unknown", ["drop", "keep"])
def test_the_end_token_outlives_both_limits_and_joins_the_word_of_the_text(texts, unknown):
    c = build_corpus(texts(train="a a a b\n<eos> a\n", min_count=4, max_vocab=1, unknown=unknown))
    assert c.vocab.words == ("a", "<eos>") + (("<unk>",) if unknown == "keep" else ())
    assert c.vocab.counts.tolist() == [4, 3, 1][: len(c.vocab)] and c.train.documents == 2
    assert words(c, c.train)[1] == "<eos> a <eos>"


@pytest.mark.parametrize("tokens", ["letters", "punctuation", "whitespace", "characters", "bpe"])
def test_every_document_of_every_tokeniser_ends_in_the_end_token(texts, tokens):
    c = build_corpus(texts(tokens=tokens, max_vocab=260 * (tokens == "bpe"), unknown="keep", lowercase=True))
    end = c.tokenizer.end_id
    for split, documents in zip(SPLITS, (4, 1, 2), strict=True):
        part = getattr(c, split)
        assert part.documents == documents
        assert all(row[-1] == end and end not in row[:-1] for row in rows(part))
    assert c.vocab.counts[end] == 4


@pytest.mark.parametrize(("document", "documents"), [("line", 5), ("blank", 2), ("file", 1)])
def test_only_an_empty_line_is_an_empty_document(texts, document, documents):
    c = build_corpus(texts(train="\n\na\n\nb the no fell was <unk>\n", document=document))
    assert c.train.documents == documents and c.vocab.counts[c.tokenizer.end_id] == documents
    plain = build_corpus(texts(train="\n\na\n\nb the no fell was <unk>\n", document=document, end_token=""))
    assert plain.train.documents == min(documents, 2) and plain.tokenizer.end_id is None


def test_only_the_test_text_changes(texts, tmp_path, monkeypatch):
    calls = []
    real = corpus_module.count
    monkeypatch.setattr(corpus_module, "count", lambda *a: calls.append(1) or real(*a))
    first = build_corpus(texts())
    again = build_corpus(texts())
    assert again.digest == first.digest and len(calls) == 1
    changed = build_corpus(texts(test=" fell \n"))
    assert changed.digest != first.digest and len(calls) == 2 and words(changed, changed.test) == ["fell <eos>"]
    assert np.array_equal(changed.train.tokens, first.train.tokens)
    assert build_corpus(texts()).digest == first.digest and len(calls) == 2  # both lie side by side
    without = build_corpus(texts(test_source=""))
    assert without.digest not in (first.digest, changed.digest) and without.test.documents == 0
    swapped = texts(heldout_source=f"text:{tmp_path / 'test.txt'}", test_source=f"text:{tmp_path / 'valid.txt'}")
    assert build_corpus(swapped).heldout.documents == 2


def test_settled_notes_tell_the_texts_apart(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "SETTLE_SECONDS", -1.0)
    cfg = texts()
    held = build_corpus(dataclasses.replace(cfg, test_source=""))
    as_test = {"heldout_source": "", "test_source": cfg.heldout_source, "heldout_every": 0}
    test = build_corpus(dataclasses.replace(cfg, **as_test))
    assert (held.heldout.documents, held.test.documents) == (1, 0)
    assert (test.heldout.documents, test.test.documents) == (0, 1)
    build_corpus(cfg)
    (tmp_path / "test.txt").write_text(TEST.replace("fell", "was "))  # of the same size
    changed = build_corpus(cfg)
    assert words(changed, changed.test) == ["was <eos>", "<unk> was <eos>"]
    monkeypatch.setattr(sources._Hashed, "readinto", None)  # nothing is read again
    assert build_corpus(cfg).digest == changed.digest


def test_where_the_texts_lie_is_not_part_of_the_key(texts, tmp_path):
    first = build_corpus(texts())
    (tmp_path / "x").mkdir()
    (tmp_path / "test.txt").rename(tmp_path / "x" / "test.txt")
    moved = DataConfig(
        source=f"text:{tmp_path / 'train.txt'}",
        heldout_source=f"text:{tmp_path / 'valid.txt'}",
        test_source=f"text:{Path(tmp_path / 'x')}",
        cache_dir=str(tmp_path / "cache"),
        **PTB,
    )
    assert build_corpus(moved).digest == first.digest


def test_a_tfds_text_may_name_its_split(monkeypatch):
    from w2v_jax.data import tfds_source

    asked = []
    monkeypatch.setattr(tfds_source, "examples", lambda name, cfg: asked.append((name, cfg.tfds_split)))
    cfg = DataConfig(source="tfds:a/b:1.0.0", heldout_source="tfds:a/b:1.0.0@valid", test_source="tfds:c@test[:9]")
    for key in ("source", "heldout_source", "test_source"):
        sources.raw_text(cfg, key)
    assert asked == [("a/b:1.0.0", "train"), ("a/b:1.0.0", "valid"), ("c", "test[:9]")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": "bpe"}, "data.max_vocab=0: must be at least 257"),
        ({"tokens": "bpe", "max_vocab": 256}, "data.max_vocab=256: must be at least 257"),
        ({"end_token": "end of text"}, "data.end_token='end of text': must be a word without white space"),
        ({"end_token": "<unk>"}, "data.end_token='<unk>': must be"),
        ({"heldout_source": "valid.txt"}, "data.heldout_source='valid.txt': must be"),
        ({"test_source": "pydocs"}, "data.test_source='pydocs': must be"),
        ({"unknown": "eror"}, "data.unknown='eror': .*did you mean 'error'"),
        ({"tokens": "character"}, "did you mean 'characters'"),
    ],
)
def test_impossible_settings(values, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**values)


@pytest.mark.parametrize("chunk", [7, 64, 1 << 20])
@pytest.mark.parametrize(
    "change",
    [
        {"unknown": "keep"},
        {"end_token": "", "unknown": "drop"},
        {"heldout_source": "", "heldout_every": 3, "unknown": "keep"},
    ],
)
def test_a_limit_of_tokens_reads_the_documents_that_reach_it(
    texts: Any, monkeypatch: pytest.MonkeyPatch, chunk: int, change: dict[str, Any]
) -> None:
    lines = [f" {' '.join('ab'[(i * j) % 2] + str(i % 5) for j in range(i % 7))} \n" for i in range(40)]
    for limit in (5, 23, 60):
        cfg, kept, trained, number = texts("".join(lines), **change, tokens_limit=limit), 0, 0, 0
        for line in lines:  # an empty line is a document where there is an end token
            kept += 1
            if not line.split() and not cfg.end_token:
                continue
            held = not cfg.heldout_source and number % 3 == 2
            trained += 0 if held else len(line.split()) + bool(cfg.end_token)
            number += 1
            if trained >= limit:
                break
        assert 0 < kept < len(lines) - 1
        with monkeypatch.context() as patch:
            patch.setattr(sources, "CHUNK", chunk)
            limited = build_corpus(cfg)
        whole = build_corpus(texts("".join(lines[:kept]), **change))
        for split in SPLITS:
            mine, theirs = getattr(limited, split), getattr(whole, split)
            assert np.array_equal(mine.tokens, theirs.tokens) and np.array_equal(mine.offsets, theirs.offsets), split
            assert (mine.words, mine.bytes) == (theirs.words, theirs.bytes)
        assert limited.vocab.words == whole.vocab.words and limited.train.tokens.size == trained


def test_a_limit_of_tokens_leaves_the_rest_unread(texts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read = [0]
    into = sources._Hashed.readinto

    def counted(self: Any, buffer: Any) -> int:
        n = into(self, buffer)
        read[0] += n if self.name.name == "train.txt" else 0
        return n

    monkeypatch.setattr(sources._Hashed, "readinto", counted)
    monkeypatch.setattr(sources, "CHUNK", 100)
    said: list[str] = []
    rules: dict[str, Any] = {"unknown": "keep", "tokens_limit": 50}
    cfg = texts("a b c d\n" * 1000, **rules)
    first = build_corpus(cfg, said.append)
    assert read[0] < 1000 and any("the rest of data.source is not read" in line for line in said)
    # Bytes past the limit may change, those before it may not.
    again = build_corpus(texts("a b c d\n" * 999 + "e\n", **rules))
    other = build_corpus(texts("a b c e\n" * 1000, **rules))
    assert again.digest == first.digest != other.digest


def test_byte_pairs_under_a_limit_are_made_from_as_many_words(texts: Any) -> None:
    text = "the cat sat\n" * 20 + "completely different language afterwards\n" * 500
    rules = {"tokens": "bpe", "max_vocab": 300, "unknown": "drop", "end_token": ""}
    limited = build_corpus(texts(text, **rules, tokens_limit=30))
    assert not any("diff" in word for word in limited.vocab.words)
    assert any("diff" in word for word in build_corpus(texts(text, **rules)).vocab.words)


@pytest.mark.parametrize("tokens", ["words", "letters"])
def test_what_is_past_a_limit_is_not_in_the_report(texts: Any, tokens: str) -> None:
    said: list[str] = []
    text = "the, cat 4 \udcff\n" * 12 + "Katzen sind, viele Tie\u00adre \udcff\n" * 500
    rules: dict[str, Any] = {"tokens": tokens, "encoding_errors": "replace", "unknown": "drop", "end_token": ""}
    limited = build_corpus(texts(text, **rules, tokens_limit=20), said.append).report
    whole = build_corpus(texts("the, cat 4 \udcff\n" * 10, **rules)).report
    same = ("letters", "lost", "replaced", "types_dropped", "oov_words", "documents", "words", "train_bytes")
    assert {key: limited[key] for key in same} == {key: whole[key] for key in same}
    assert limited["lost"]["punctuation"] == limited["lost"]["digits"] == 10 and limited["replaced"] == 10
    assert not any("leaves out" in line for line in said)
