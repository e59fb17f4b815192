"""Phrases, stop words and tokenisers from outside: against formulas by hand, gensim's Phrases and a plain loop."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import random
import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from w2v_jax.config import DataConfig
from w2v_jax.data import own, phrases
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.recorded import later_rules

STEMS = ["new", "york", "city", "los", "angeles", "the", "of", "in", "big", "old", "ice", "cream"]


def sentences(seed: int = 0, lines: int = 400) -> list[list[str]]:
    draw = random.Random(seed)
    parts = [["new", "york", "city"], ["new", "york"], ["los", "angeles"], ["ice", "cream"], *([w] for w in STEMS)]
    return [[word for _ in range(draw.randint(1, 6)) for word in draw.choice(parts)] for _ in range(lines)]


def corpus(tmp_path: Path, text: list[list[str]], **options: object) -> tuple[Corpus, list[str]]:
    (tmp_path / "text.txt").write_text("".join(" ".join(line) + "\n" for line in text))
    said: list[str] = []
    options = {"heldout_every": 0, "min_count": 1, "cache_dir": str(tmp_path / "cache")} | options
    return build_corpus(DataConfig(source=f"text:{tmp_path}/text.txt", **options), said.append), said


def words_in(made: Corpus, split: str = "train") -> list[list[str]]:
    part = getattr(made, split)
    rows = [part.tokens[a:b] for a, b in pairwise(part.offsets)]
    return [[made.vocab.words[i] for i in row.tolist()] for row in rows]


def by_hand(text: list[list[str]], score: str, threshold: float, least: int, stop: set[str]) -> list[list[str]]:
    """One pass, in plain Python."""
    one = Counter(word for line in text for word in line)
    two = Counter(pair for line in text for pair in pairwise(line))
    total = sum(one.values())

    def value(a: str, b: str) -> float:
        if score == "npmi":
            p = two[a, b] / total
            return math.log(p / (one[a] / total * one[b] / total)) / -math.log(p)
        return (two[a, b] - least) * total / (one[a] * one[b])

    good = {p for p in two if two[p] >= least and not stop & set(p) and value(*p) > threshold}
    out = []
    for line in text:
        made, i = [], 0
        while i < len(line):
            if i + 1 < len(line) and (line[i], line[i + 1]) in good:
                made.append(f"{line[i]}_{line[i + 1]}")
                i += 2
            else:
                made.append(line[i])
                i += 1
        out.append(made)
    return out


@pytest.mark.parametrize("end", ["", "<eos>"])
@pytest.mark.parametrize("chunk", [1 << 20, 7])
@pytest.mark.parametrize(("score", "threshold", "passes"), [("word2phrase", 2.0, 2), ("npmi", 0.3, 3)])
def test_joined_text_is_that_of_a_plain_loop(tmp_path, monkeypatch, score, threshold, passes, chunk, end) -> None:
    monkeypatch.setattr(phrases, "_CHUNK", chunk)
    text, want = sentences(), sentences()
    (tmp_path / "stop").write_text("The\nof\n")
    made, said = corpus(
        tmp_path,
        text,
        phrases=passes,
        phrase_score=score,
        phrase_threshold=threshold,
        stop_words=f"{tmp_path}/stop",
        end_token=end,
        unknown="keep",
    )
    for _ in range(passes):
        want = by_hand(want, score, threshold, 5, {"the", "of"})
    assert any("new_york" in line for line in want)
    want = [[{"the": "<unk>", "of": "<unk>"}.get(w, w) for w in line] + [end] * bool(end) for line in want]
    assert words_in(made) == want
    counts = Counter(word for line in want for word in line)
    assert dict(zip(made.vocab.words, made.vocab.counts.tolist(), strict=True)) == dict(counts)
    plain = " ".join(w for line in text for w in line)
    assert made.train.bytes == len(plain.encode()) + 1
    assert any("pass 1:" in line and "joined, such as" in line and "by score, and new_york, " in line for line in said)
    # The tokeniser joins a new text in the same way, also when it was written and read.
    made.tokenizer.save(tmp_path / "saved")
    loaded = Tokenizer.load(tmp_path / "saved")
    assert loaded.digest == made.tokenizer.digest
    for line, row in zip(text[:50], want, strict=False):
        ids = loaded.encode(" ".join(line))
        assert [made.vocab.words[i] for i in ids] == row[: len(row) - bool(end)]


def test_npmi_joins_as_gensim(tmp_path) -> None:
    models = pytest.importorskip("gensim.models.phrases")
    text = sentences(3)
    theirs = models.Phrases(text, min_count=5, threshold=0.3, scoring="npmi", delimiter="_")
    made, _ = corpus(tmp_path, text, phrases=1, phrase_score="npmi", phrase_threshold=0.3)
    assert words_in(made) == [list(theirs[line]) for line in text]


def test_pairs_are_counted_in_training_documents_and_joined_in_all(tmp_path) -> None:
    kinds = [["new", "york"], ["cream"], ["ice"], ["ice", "cream"]]  # the last is held out
    made, _ = corpus(tmp_path, kinds * 20, phrases=1, phrase_threshold=0.5, heldout_every=4)
    assert words_in(made) == [["new_york"], ["cream"], ["ice"]] * 20
    assert words_in(made, "heldout") == [["ice", "cream"]] * 20
    text = [["new", "york"]] * 80
    made, _ = corpus(tmp_path, text, phrases=1, phrase_threshold=0.5, heldout_every=4)
    assert words_in(made, "heldout") == [["new_york"]] * 20


@pytest.mark.parametrize(("given", "used", "joined"), [(0.0, "10", "new york"), (1e-12, "1e-12", "new_york")])
def test_no_threshold_is_that_of_the_score_and_a_tiny_one_is_zero(tmp_path, given, used, joined) -> None:
    made, said = corpus(tmp_path, [["new", "york"]] * 40, phrases=1, phrase_threshold=given)
    assert words_in(made)[0] == joined.split() and any(f"above {used}" in line for line in said)


def test_a_phrase_that_is_a_word_of_the_text_already(tmp_path) -> None:
    text = [["new", "york"]] * 30 + [["new_york", "york"]] * 3 + [["a"], ["new", "b"], ["new", "c"], ["new", "d"]] * 4
    made, _ = corpus(tmp_path, text, phrases=1, phrase_threshold=1.0, tokens="whitespace")
    counts = dict(zip(made.vocab.words, made.vocab.counts.tolist(), strict=True))
    assert counts == {"new_york": 33, "new": 12, "a": 4, "b": 4, "c": 4, "d": 4, "york": 3}
    assert len(set(made.vocab.words)) == len(made.vocab.words)


def test_the_default_threshold_is_that_of_the_c_tool_and_another_corpus_than_it_was() -> None:
    """`threshold = 100` of word2phrase.c, which multiplies by the words of the text as we do."""
    assert phrases.threshold(DataConfig(phrases=1)) == 100 and phrases.threshold(DataConfig(phrase_score="npmi")) == 0.5
    assert later_rules(DataConfig(phrases=1)) == later_rules(DataConfig(phrases=1, phrase_threshold=100.0))
    assert later_rules(DataConfig(phrases=1, phrase_threshold=10.0)) != later_rules(DataConfig(phrases=1))
    assert later_rules(DataConfig()) == {}


def test_other_rules_make_another_corpus(tmp_path) -> None:
    (tmp_path / "stop").write_text("the\n")
    digests = [corpus(tmp_path, sentences())[0].digest]
    for options in ({"phrases": 1}, {"phrases": 1, "phrase_threshold": 3.0}, {"stop_words": f"{tmp_path}/stop"}):
        digests.append(corpus(tmp_path, sentences(), **options)[0].digest)
    (tmp_path / "stop").write_text("of\n")
    made, _ = corpus(tmp_path, sentences(), stop_words=f"{tmp_path}/stop")
    digests.append(made.digest)
    assert len(set(digests)) == 5 and "of" not in made.vocab.words and "the" in made.vocab.words
    (tmp_path / "other").write_text("of\n")
    assert corpus(tmp_path, sentences(), stop_words=f"{tmp_path}/other")[0].digest == made.digest


def cut_at_dashes(text: str) -> list[str]:
    return [part for word in text.split() for part in word.split("-")]


def test_a_function_of_a_module_cuts_the_text(tmp_path, monkeypatch) -> None:
    (tmp_path / "my_cutter.py").write_text("def cut(text):\n    return text.replace('-', ' ').split()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = [["New-York", "is", "big"], ["", "-"], ["is-it", "so"]] * 5
    made, _ = corpus(tmp_path, text, tokens="python:my_cutter:cut")
    assert words_in(made) == [["new", "york", "is", "big"], ["is", "it", "so"]] * 5
    assert [made.vocab.words[i] for i in made.tokenizer.encode("Is-it big")] == ["is", "it", "big"]
    made.tokenizer.save(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").digest == made.tokenizer.digest
    (tmp_path / "my_cutter.py").write_text("def cut(text):\n    return text.split('-')\n")
    with pytest.raises(UserError, match="has changed since the text was cut"):
        Tokenizer.load(tmp_path / "saved")


def test_what_a_module_or_a_file_holds_now_cuts_the_text(tmp_path, monkeypatch) -> None:
    """After a reload of the module, or another content of the file, in the same process."""
    (tmp_path / "my_reloaded.py").write_text("def cut(text):\n    return text.split('-')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert own.tokens_of("python:my_reloaded:cut")("a-b") == ["a", "b"]
    assert own.tokens_of("python:my_reloaded:cut") is own.tokens_of("python:my_reloaded:cut")
    (tmp_path / "my_reloaded.py").write_text("def cut(text):\n    return [text]\n")
    importlib.reload(sys.modules["my_reloaded"])
    assert own.tokens_of("python:my_reloaded:cut")("a-b") == ["a-b"]
    tokenizers = pytest.importorskip("tokenizers")
    for words, found in (({"[UNK]": 0, "a": 1}, ["a", "[UNK]"]), ({"[UNK]": 0, "a": 1, "bb": 2}, ["a", "bb"])):
        model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
        model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        model.save(str(tmp_path / "words.json"))
        assert own.tokens_of(f"json:{tmp_path}/words.json")("a bb") == found


def test_a_file_of_hugging_face_tokenizers_cuts_the_text(tmp_path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({"[UNK]": 0, "play": 1, "##ing": 2, "##ed": 3, "we": 4}, unk_token="[UNK]")
    )
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.save(str(tmp_path / "pieces.json"))
    made, _ = corpus(tmp_path, [["We", "playing"], ["played"]] * 3, tokens=f"json:{tmp_path}/pieces.json")
    assert words_in(made) == [["we", "play", "##ing"], ["play", "##ed"]] * 3
    model.enable_truncation(1)  # published files state both
    model.enable_padding(length=4, pad_token="[UNK]")
    model.save(str(tmp_path / "cutting.json"))
    whole, _ = corpus(tmp_path, [["We", "playing"], ["played"]] * 3, tokens=f"json:{tmp_path}/cutting.json")
    assert words_in(whole) == words_in(made)
    stated = hashlib.sha256((tmp_path / "cutting.json").read_bytes()).hexdigest()
    assert own.digest_of(f"json:{tmp_path}/cutting.json") != stated  # what an older version made is not used
    plain = hashlib.sha256((tmp_path / "pieces.json").read_bytes()).hexdigest()
    assert own.digest_of(f"json:{tmp_path}/pieces.json") == plain


BAD = {
    "python:no_such_module_at_all:cut": "cannot import 'no_such_module_at_all'",
    "python:json:no_such": "json has no function 'no_such'",
    "python:builtins:len": "is in no file|no file",
    "python:own_bad_cutters:blank": "returned the token 'a b'.*without white space",
    "python:own_bad_cutters:number": "returned the token '7'",
    "python:own_bad_cutters:fails": "ValueError for 'new.*': bad luck",
    "json:none.json": "no such file; give a tokenizer.json",
    "json:{tmp}/text.txt": "no tokenizer.json of Hugging Face",
}


@pytest.mark.parametrize("tokens", BAD)
def test_bad_tokenisers_are_one_line(tmp_path, monkeypatch, tokens) -> None:
    (tmp_path / "own_bad_cutters.py").write_text(
        "def blank(text):\n    return ['a b']\ndef number(text):\n    return [7]\n"
        "def fails(text):\n    raise ValueError('bad luck')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_bad_cutters", None)
    with pytest.raises(UserError, match=BAD[tokens]) as caught:
        corpus(tmp_path, [["new", "york"]] * 3, tokens=tokens.format(tmp=tmp_path))
    assert "\n" not in str(caught.value)


def test_bad_lists_and_keys_are_one_line(tmp_path) -> None:
    (tmp_path / "all").write_text("new\nyork\n")
    (tmp_path / "none").write_text("\n")
    (tmp_path / "latin").write_bytes(b"\xe9\n")
    for options, message in (
        ({"stop_words": f"{tmp_path}/all"}, "leaves no word"),
        ({"stop_words": f"{tmp_path}/none"}, "holds no word"),
        ({"stop_words": f"{tmp_path}/latin"}, "not UTF-8"),
        ({"stop_words": f"{tmp_path}/missing"}, "no such file"),
        ({"phrases": -1}, "data.phrases=-1"),
        ({"phrases": 1, "tokens": "bpe", "max_vocab": 300}, "left out for data.tokens=bpe"),
        ({"phrase_score": "pmi"}, "did you mean 'npmi'"),
        ({"phrase_score": "npmi", "phrase_threshold": 10.0}, "for npmi"),
        ({"tokens": "python:cut"}, "python:MODULE:FUNCTION"),
        ({"tokens": "tok.json"}, "tokens='tok.json': must be one of words, .*python:MODULE:FUNCTION, json:FILE"),
        ({"vocabulary_from": f"{tmp_path}"}, "no run folder with a vocab.txt"),
    ):
        with pytest.raises(UserError, match=message):
            corpus(tmp_path, [["new", "york"]] * 3, **options)


def test_words_of_an_earlier_run_stay_and_counts_are_added(tmp_path) -> None:
    old, _ = corpus(tmp_path, [["new", "york", "rare"], ["new"]] * 2, end_token="<eos>")
    old.tokenizer.save(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "tokenizer.json").read_text())["kind"] == "words"
    text = [["york", "york", "cream"], ["cream", "once"], ["rare"]]
    made, _ = corpus(tmp_path, text, min_count=2, vocabulary_from=f"{tmp_path}/run", end_token="<eos>")
    counts = dict(zip(made.vocab.words, made.vocab.counts.tolist(), strict=True))
    # york 2 + 2, new 4 + 0, rare 2 + 1 (below min_count here, but known), cream 2; once is rare and new: left out.
    assert counts == {"new": 4, "york": 4, "rare": 3, "cream": 2, "<eos>": 3}
    assert words_in(made) == [["york", "york", "cream", "<eos>"], ["cream", "<eos>"], ["rare", "<eos>"]]
    assert (np.diff(made.vocab.counts) <= 0).all()
    same, _ = corpus(tmp_path, text, min_count=2, vocabulary_from=f"{tmp_path}/run/vocab.txt", end_token="<eos>")
    assert same.digest == made.digest
    with pytest.raises(UserError, match="cut by data.tokens=words, this by letters"):
        corpus(tmp_path, text, vocabulary_from=f"{tmp_path}/run", tokens="letters")


@pytest.mark.parametrize("passes", [0, 1])
def test_phrases_of_an_earlier_run_are_those_of_the_next(tmp_path, passes) -> None:
    old, _ = corpus(tmp_path, sentences(), phrases=2, phrase_threshold=1.2)
    old.tokenizer.save(tmp_path / "run")
    text = [*sentences(1, 30), ["once", "upon", "once", "upon"], ["new", "york", "zebra"]]
    made, said = corpus(tmp_path, text, vocabulary_from=f"{tmp_path}/run", phrases=passes)
    assert "new_york_city" in old.vocab.words and made.tokenizer.phrases == old.tokenizer.phrases
    joined = [phrases.applied(line, [frozenset(pairs) for pairs in old.tokenizer.phrases]) for line in text]
    assert words_in(made) == joined and "new_york" in joined[-1]
    counts = Counter(word for line in joined for word in line)
    before = dict(zip(old.vocab.words, old.vocab.counts.tolist(), strict=True))
    assert dict(zip(made.vocab.words, made.vocab.counts.tolist(), strict=True)) == {
        word: counts[word] + before.get(word, 0) for word in {*before, *counts}
    }
    assert any(re.search(r"phrases: those of data.vocabulary_from=\S+ are joined, \d+ of \d+ occur", s) for s in said)
    plain, _ = corpus(tmp_path, sentences())
    plain.tokenizer.save(tmp_path / "plain")
    assert corpus(tmp_path, text, vocabulary_from=f"{tmp_path}/plain")[0].digest != made.digest
