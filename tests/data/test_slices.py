"""One corpus made by several processes: whatever their number, the files of one. Threads stand in for processes."""

from __future__ import annotations

import dataclasses
import gzip
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.config import DataConfig
from w2v_jax.data import counting, meeting, raw, sources
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.data.meeting import Crew, together
from w2v_jax.errors import UserError

WORDS = ("der", "die", "das", "Haus", "läuft", "nicht", "weit", "123", "was", "seldom")


def everyone(count: int, work: Callable[[Crew], Any]) -> list[Any]:
    """What each of `count` threads returns or raises, each with its place in a crew."""
    told, barrier = [0] * count, threading.Barrier(count, timeout=60)

    def member(index: int) -> Any:
        def gather(number: int) -> list[int]:
            told[index] = number
            barrier.wait()
            found = list(told)
            barrier.wait()
            return found

        crew = Crew(index, count, gather)
        with together(crew):
            try:
                return work(crew)
            except Exception as e:
                return e

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(member, range(count)))


@pytest.fixture(autouse=True)
def no_file_is_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has just been written is read once more before its cache is used; these are."""
    monkeypatch.setattr(raw, "SETTLE_SECONDS", -1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven files of unequal size with empty lines, one empty, one packed; a text held out and one for the test."""
    root, rng = tmp_path_factory.mktemp("slices"), np.random.default_rng(0)
    for name, lines in (("a", 40), ("b", 3), ("c", 0), ("d", 120), ("e", 1), ("f", 60), ("z", 30)):
        rows = [" ".join(rng.choice(WORDS, rng.integers(0, 9))) for _ in range(lines)]
        text = "".join(f"{row}, only{name}\n" if i % 7 == 3 else f"{row}\n" for i, row in enumerate(rows)).encode()
        if name == "f":
            (root / "f.txt.gz").write_bytes(gzip.compress(text, mtime=0))
        else:
            (root / f"{name}.txt").write_bytes(text)
    for i, part in enumerate(("x", "y")):
        (root / f"{part}.jsonl").write_text(
            "".join(json.dumps({"text": f"die das Haus {n} {part}"}) + "\n" for n in range(9 + i))
        )
    return root


CASES: dict[str, dict[str, Any]] = {
    "words": {},
    "every file is one document": {"document": "file", "heldout_every": 3},
    "unknown words, an end token": {"unknown": "keep", "end_token": "<eos>", "min_count": 4, "heldout_every": 7},
    "characters": {"tokens": "characters", "lowercase": False, "heldout_every": 4},
    "byte pairs": {"tokens": "bpe", "max_vocab": 280, "end_token": "<end>"},
    "byte pairs of a sample": {"tokens": "bpe", "max_vocab": 280, "bpe_words": 60},
    "texts of their own": {"heldout_source": "text:{}/[xa].*", "test_source": "text:{}/b.txt"},
    "a tokeniser from outside": {"tokens": "python:tests.data.corpora:own_tokens", "unknown": "keep"},
    "records": {"source": "jsonl:{}/*.jsonl", "heldout_every": 4},
}


def config(folder: Path, name: str, cache: Path) -> DataConfig:
    given = {"source": "text:{}/*.txt*", "min_count": 1, "heldout_every": 5} | CASES[name]
    given = {k: v.format(folder) if isinstance(v, str) else v for k, v in given.items()}
    return DataConfig(**given, cache_dir=str(cache))


def content(corpus: Corpus) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in corpus.directory.iterdir()}


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_processes_makes_the_files_of_one(folder: Path, tmp_path: Path, name: str) -> None:
    alone = build_corpus(config(folder, name, tmp_path / "alone"))
    for count in (1, 2, 3, 9):
        said: list[str] = []
        cfg = config(folder, name, tmp_path / f"{count}")
        found = everyone(count, lambda crew, cfg=cfg, said=said: build_corpus(cfg, said.append))
        assert not [f for f in found if isinstance(f, Exception)], found
        assert sum(f"{count} processes read the text, each a slice" in line for line in said) == count
        assert {f.digest for f in found} == {alone.digest}
        assert all(f.report == alone.report for f in found)
        assert content(found[0]) == content(alone)
        assert not list((tmp_path / f"{count}").glob("building-*")), "nothing is left"


def test_each_process_reads_its_own_files(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: dict[int, list[str]] = {}
    opened = sources.open_read

    def seen(path: Path) -> Any:
        read.setdefault(threading.get_ident(), []).append(path.name)
        return opened(path)

    monkeypatch.setattr(sources, "open_read", seen)
    everyone(3, lambda crew: build_corpus(config(folder, "words", tmp_path)))
    assert sorted(map(sorted, read.values())) == [
        ["a.txt", "b.txt", "c.txt"],
        ["d.txt"],
        ["e.txt", "f.txt.gz", "z.txt"],
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"tokens_limit": 50}, "data.tokens_limit is set"), ({"source": "text:{}/a.txt"}, "is neither several files nor")],
)
def test_what_cannot_be_cut_is_read_by_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], why: str
) -> None:
    monkeypatch.setitem(CASES, "changed", changes)
    said: list[str] = []
    found = everyone(2, lambda crew: build_corpus(config(folder, "changed", tmp_path), said.append))
    assert found[0].digest == found[1].digest == build_corpus(config(folder, "changed", tmp_path / "alone")).digest
    assert sum("one process reads the text" in line and why in line for line in said) == 2
    assert sum("words read in" in line for line in said) == 1


def test_processes_without_a_common_cache_read_for_themselves(folder: Path, tmp_path: Path) -> None:
    found = everyone(2, lambda crew: build_corpus(config(folder, "words", tmp_path / str(crew.index))))
    assert found[0].digest == found[1].digest and found[0].directory != found[1].directory


def test_one_that_has_the_corpus_keeps_nobody_waiting(folder: Path, tmp_path: Path) -> None:
    build_corpus(config(folder, "words", tmp_path / "0"))
    found = everyone(2, lambda crew: build_corpus(config(folder, "words", tmp_path / str(crew.index))))
    assert found[0].digest == found[1].digest


def test_an_error_of_one_process_ends_all(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "texts"
    bad.mkdir()
    for name in ("a", "d"):
        (bad / f"{name}.txt").write_bytes((folder / f"{name}.txt").read_bytes())
    (bad / "z.txt").write_bytes(b"fine\n\xff\xff\n" * 200)
    cfg = dataclasses.replace(config(folder, "words", tmp_path / "cache"), source=f"text:{bad}")
    found = everyone(2, lambda crew: build_corpus(cfg))
    assert all(isinstance(e, UserError) and "z.txt: not UTF-8" in str(e) for e in found), found
    assert sum("process 1: " in str(e) for e in found) == 1
    assert not list((tmp_path / "cache").glob("building-*/*.npz"))


def test_a_word_that_only_another_slice_has_is_refused_alike(folder: Path, tmp_path: Path) -> None:
    cfg = dataclasses.replace(config(folder, "words", tmp_path), unknown="error", min_count=30)
    with pytest.raises(UserError) as alone:
        build_corpus(dataclasses.replace(cfg, cache_dir=str(tmp_path / "alone")))
    assert {
        str(e).split(": ", 1)[-1] if "process" in str(e) else str(e)
        for e in everyone(2, lambda crew: build_corpus(cfg))
    } <= {
        str(alone.value),
        str(alone.value).split(": ", 1)[-1],
    }


def test_slices_are_contiguous_and_about_equal() -> None:
    sizes = [5, 1, 0, 9, 3, 3, 3]
    for n in (1, 2, 3, 7, 20):
        begins = [sources.share(sizes, i, n) for i in range(n + 1)]
        assert begins[0] == 0 and begins[-1] == len(sizes) and begins == sorted(begins)
        assert max(sum(sizes[a:b]) for a, b in zip(begins, begins[1:], strict=False)) <= sum(sizes) / n + max(sizes)


def test_byte_pairs_of_a_sample_are_those_of_its_words(folder: Path, tmp_path: Path) -> None:
    """The sample ends with the document that brings it to the stated number of words."""
    cfg = config(folder, "byte pairs of a sample", tmp_path / "1")
    lines = (folder / "a.txt").read_text().splitlines()
    kept = [line for i, line in enumerate(line for line in lines if line.strip()) if i % 5 != 4]
    first = next(n for n in range(len(kept)) if len(" ".join(kept[:n]).split()) >= 60)
    (tmp_path / "sample.txt").write_text("\n".join(kept[:first]) + "\n")
    whole = dataclasses.replace(cfg, source=f"text:{tmp_path / 'sample.txt'}", bpe_words=0, heldout_every=0)
    model = build_corpus(whole).tokenizer.model
    assert build_corpus(cfg).tokenizer.model.to_str() == model.to_str()
    with pytest.raises(UserError, match=r"data\.bpe_words"):
        DataConfig(bpe_words=5)


def test_what_is_left_of_killed_meetings_has_a_name_that_is_cleared(tmp_path: Path) -> None:
    crew = Crew(0, 1, lambda number: [number])
    assert meeting.fresh("", tmp_path, crew).startswith(str(tmp_path / "building-"))
    assert counting.SCRATCH not in meeting.fresh("", tmp_path, crew)
