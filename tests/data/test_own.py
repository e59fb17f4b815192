"""Tokenisers from outside get each document as it is, and what measures the text does not depend on their tokens."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.data.corpora import config, own_tokens
from w2v_jax.data import alone, own, sources
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError

LINES = ["The dog  runs", "", "  a cat, asleep ", "the dog sleeps", "- no token", "déjà vu, dog", " \t", "x" * 30]
OWN = "python:tests.data.corpora:own_tokens"


def rows(made: Corpus, split: str = "train") -> list[list[int]]:
    part = getattr(made, split)
    return [part.tokens[a:b].tolist() for a, b in pairwise(part.offsets.tolist())]


def byte_level(file: Path) -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=290, show_progress=False, initial_alphabet=alphabet)
    model.train_from_iterator(LINES, trainer)
    model.save(str(file))
    return model


@pytest.mark.parametrize("chunk", [16, 1 << 20])
def test_training_text_has_the_tokens_of_new_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(sources, "CHUNK", chunk)
    byte_level(tmp_path / "b.json")
    (tmp_path / "t.txt").write_text("\n".join(LINES) + "\n")
    made = build_corpus(config(tmp_path, tmp_path / "t.txt", tokens=f"json:{tmp_path}/b.json", heldout_every=0))
    found = [made.tokenizer.encode(line.rstrip()).tolist() for line in LINES if line.strip()]
    assert rows(made) == found and made.vocab.words[found[0][0]].startswith("t")


@pytest.mark.parametrize("chunk", [16, 1 << 20])
@pytest.mark.parametrize(("end", "document"), [("<eos>", "line"), ("", "line"), ("", "file")])
def test_words_and_bytes_are_those_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, document: str, chunk: int
) -> None:
    """As characters count them, whatever the tokens are."""
    monkeypatch.setattr(sources, "CHUNK", chunk)
    byte_level(tmp_path / "b.json")
    (tmp_path / "t.txt").write_text("\n".join(LINES * 3) + "\n")
    rules = {"end_token": end, "document": document, "lowercase": False, "unknown": "keep"}
    rules |= {"heldout_every": 3} if document == "line" else {"heldout_source": f"text:{tmp_path}/t.txt"}
    kinds = ("characters", f"json:{tmp_path}/b.json")
    chars, made = (build_corpus(config(tmp_path, tmp_path / "t.txt", tokens=kind, **rules)) for kind in kinds)
    for split in ("train", "heldout", "test"):
        ours, theirs = getattr(made, split), getattr(chars, split)
        assert (ours.words, ours.bytes, ours.documents) == (theirs.words, theirs.bytes, theirs.documents), split
    assert made.report["words"] == chars.report["words"]
    assert made.train.bytes > 100 and made.heldout.words


def test_a_document_without_tokens_is_no_text_and_a_limit_cuts_the_figures_too(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n".join(LINES * 3) + "\n")
    text = [line.rstrip() for line in LINES * 3 if own_tokens(line)]
    for limit, kept in ((0, text), (6, text[:2])):
        cfg = config(tmp_path, tmp_path / "t.txt", tokens=OWN, heldout_every=0, lowercase=False, tokens_limit=limit)
        made = build_corpus(cfg).train
        assert made.documents == len(kept)
        assert made.words == sum(len(line.split()) for line in kept)
        assert made.bytes == sum(len(line.encode()) + 1 for line in kept)


def test_phrases_leave_the_figures_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("new york, big\nnew york\nbig dog\nold, dog\n" * 5)
    given: dict[str, Any] = {"tokens": OWN, "phrase_min_count": 2, "phrase_threshold": 0.5}
    plain, made = (build_corpus(config(tmp_path, tmp_path / "t.txt", phrases=n, **given)) for n in (0, 1))
    assert "new_york" in made.vocab.words and len(made.train.tokens) < len(plain.train.tokens)
    assert (made.train.words, made.train.bytes) == (plain.train.words, plain.train.bytes) == (45, 200)


def test_a_run_holds_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder can be moved, and its text is cut as before; of an older version it is said what is missing where."""
    byte_level(tmp_path / "b.json")
    (tmp_path / "t.txt").write_text("\n".join(LINES) + "\n")
    monkeypatch.chdir(tmp_path)
    cfg = config(tmp_path, tmp_path / "t.txt", tokens="json:b.json", test_source=f"text:{tmp_path}/t.txt")
    made = build_corpus(cfg)
    made.tokenizer.save(tmp_path / "run")
    (tmp_path / "away").mkdir()
    shutil.move(tmp_path / "run", tmp_path / "away" / "run")
    (tmp_path / "b.json").unlink()
    monkeypatch.chdir(tmp_path / "away")
    loaded = Tokenizer.load(tmp_path / "away" / "run")
    assert loaded.digest == made.tokenizer.digest
    assert loaded.encode("the dog, vu").tolist() == made.tokenizer.encode("the dog, vu").tolist()
    assert alone.encode(cfg, loaded).tokens.tokens.tolist() == made.test.tokens.tolist()
    file = tmp_path / "away" / "run" / "tokenizer.json"
    entry = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in entry.items() if k != "kept"}))
    missing = rf"the tokeniser of the run is missing \(looked for as {tmp_path}/away/b.json\): data.tokens=json:b.json"
    with pytest.raises(UserError, match=missing):
        Tokenizer.load(file.parent)
    file.write_text(json.dumps(entry | {"kept": entry["kept"] + " "}))
    with pytest.raises(UserError, match="tokenizer.json: damaged"):
        Tokenizer.load(file.parent)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("divides", "1 / 0", r"cannot import 'm_divides' \(ZeroDivisionError: division by zero\); mend the module"),
        ("syntax", "def cut(:", r"cannot import 'm_syntax' \(SyntaxError: .*m_syntax.py, line 1\)\); mend"),
        ("leaves", "raise SystemExit(3)", "cannot import 'm_leaves'"),
        ("string", "def cut(text):\n    return text", "returned str, not a list of str"),
        ("coded", "def cut(text):\n    return text.encode()", "returned bytes, not a list of str"),
        ("parts", "def cut(text):\n    return [b'a']", "token \"b'a'\" of type bytes: tokens must be str"),
        ("empty", "def cut(text):\n    return ['a', '']", "returned an empty token: leave it out"),
        ("blank", "def cut(text):\n    return ['a b']", "the token 'a b': .*join its parts by _"),
        ("half", "def cut(text):\n    return ['a\\ud800']", r"the token 'a\\ud800', which UTF-8 cannot hold"),
        ("ends", "def cut(text):\n    raise SystemExit(3)", "SystemExit for 'a b'"),
    ],
)
def test_bad_modules_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str, message: str
) -> None:
    (tmp_path / f"m_{name}.py").write_text(body + "\n")
    (tmp_path / "t.txt").write_text("a b\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=f"data.tokens=python:m_{name}:cut: .*{message}") as caught:
        build_corpus(config(tmp_path, tmp_path / "t.txt", tokens=f"python:m_{name}:cut"))
    assert "\n" not in str(caught.value)


def test_a_file_whose_tokens_hold_blanks_is_not_supported(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "a b": 1}, unk_token="[UNK]"))
    model.save(str(tmp_path / "w.json"))
    with pytest.raises(UserError, match="its token 'a b' has white space: no such tokeniser is supported") as e:
        own.tokens_of(f"json:{tmp_path}/w.json")("a b")
    assert not re.search("join|\n", str(e.value))


def test_what_a_file_does_not_know_is_refused_or_counted(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    (tmp_path / "t.txt").write_text("a b q\na z b\n")
    cfg = config(tmp_path, tmp_path / "t.txt", tokens=f"json:{tmp_path}/w.json", heldout_every=0)
    for known, share in (({"a": 1, "b": 2}, "2 of 6 training tokens (33.3%) are [?]"), ({"a": 1}, "4 of 6")):
        model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[?]": 0, **known}, unk_token="[?]"))
        model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        model.save(str(tmp_path / "w.json"))
        said: list[str] = []
        build_corpus(cfg, said.append)
        assert any(line.startswith(f"warning: corpus: {share}") for line in said)
    entry = json.loads((tmp_path / "w.json").read_text())
    entry["model"] |= {"unk_token": "none"}
    (tmp_path / "w.json").write_text(json.dumps(entry))
    with pytest.raises(UserError, match="data.tokens=json:.*w.json: Exception for 'a b q': WordLevel error") as e:
        build_corpus(cfg)
    assert "\n" not in str(e.value)
    unigram = json.dumps({"model": {"type": "Unigram", "unk_id": 1, "vocab": [["a", 0.0], ["<u>", 0.0]]}})
    assert own.unknown_of(unigram) == "<u>" and own.unknown_of("") == own.unknown_of('{"model": {}}') == ""


def test_what_is_printed_of_tokens_from_outside(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a,b c\na,b d\n" * 3)
    said: list[str] = []
    cfg = config(tmp_path, tmp_path / "t.txt", tokens=OWN, heldout_every=0, min_count=4)
    build_corpus(cfg, said.append)  # the tokens a , b and c or d of each line
    assert any("12 words" in line and "2 rarer ones dropped, 6 tokens (25.0%)" in line for line in said)
    build_corpus(cfg, said.append)
    assert any("cached in" in line and "only the function's own file is compared" in line for line in said)
