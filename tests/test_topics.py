"""`experiments.topics` as a user runs it: planted topics found by both models, matched, searched and shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.topics import documents
from tests.commands import Done, run

TOPICS = (["cat", "dog", "pet", "fur", "paw", "tail"], ["sun", "moon", "star", "sky", "orbit", "comet"])
TOPICS += (["bread", "salt", "oven", "flour", "<b>&yeast", "butter"],)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 documents, each of one of three topics with some common words, 3 more are held out."""
    drawn, path = np.random.default_rng(0), tmp_path_factory.mktemp("topics")
    lines = [" ".join([*drawn.choice(TOPICS[i % 3], 12), *drawn.choice(["and", "of"], 3)]) for i in range(93)]
    lines[40:40] = [""] * 3  # empty lines count: line n of the file is document n
    (path / "text.txt").write_text("\n".join(lines) + "\n")
    return path


def topics(folder: Path, *more: str) -> Done:
    """The command on the planted text."""
    given = [f"--config.data.source=text:{folder / 'text.txt'}", "--config.data.heldout_every=31"]
    given += ["--config.data.min_count=1", "--config.data.skip_top=2", "--config.data.tokens=whitespace"]
    given += ["--config.model.dim=3", "--lda.model.sweeps=20", "--config.mesh.data=1", "--lda.mesh.data=1"]
    return run("experiments.topics", f"--workdir={folder / 'run'}", *given, *more)


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    return topics(folder)


def test_planted_topics_are_found_and_matched(done: Done, folder: Path) -> None:
    assert done.status == 0, done.err
    results = json.loads((folder / "run" / "results.json").read_text())
    assert (results["documents"], results["vocabulary"], results["empty_documents"]) == (90, 18, 0)
    for words in results["topics"]["LDA"]:
        assert any(set(words[:6]) == set(topic) for topic in TOPICS), words
    lsa, lda = results["models"]
    assert lda["perplexity"] < 9 < 18 and lsa["perplexity"] is None, "6 words a topic, of 18"
    assert lda["diversity"] == pytest.approx(1 / 3), "18 words are first in all three topics"
    documents = results["agreement"]["documents"]
    assert documents["mean"] > 2 * documents["chance"] and 0 < documents["share"] < 1
    pairs = results["pairs"]
    assert sorted(p["topics"][0] for p in pairs) == sorted(p["topics"][1] for p in pairs) == [0, 1, 2]
    assert done.out.count("\n") > 12 and "held-out perplexity" in done.out


def test_the_page_is_one_file_without_scripts(done: Done, folder: Path) -> None:
    html = (folder / "run" / "report.html").read_text()
    assert "of all 3 held-out documents with a known word, 36 known words" in html and "of all 3 held-out" in done.out
    assert "&lt;b&gt;&amp;yeast" in html and "<b>" not in html
    assert "<script" not in html and 'name="viewport"' in html and "data:image/png;base64," in html
    assert len(re.findall("<h2", html)) == 3 + 3 + 3 and not re.findall(r'(?:src|href)="(?!data:|#)', html)


def test_nearest_documents_are_of_the_same_topic(done: Done, folder: Path) -> None:
    for flag, given in (("--query=moon star zzz", True), ("--query_document=92", False)):  # the folder knows the rest
        line = (flag, "--top=4")
        found = topics(folder, *line) if given else run("experiments.topics", f"--workdir={folder / 'run'}", *line)
        assert found.status == 0, found.err
        assert ("note: --query: not in the vocabulary, left out: zzz\n" in found.err) == given
        cells = [line.split() for line in found.out.splitlines()]
        rows = [int(number) for method, number, *_ in cells if method in ("LSA", "LDA", "TF-IDF", "BM25")]
        lines = (folder / "text.txt").read_text().splitlines()
        assert len(rows) == 16 and all(set(lines[number - 1].split()) & set(TOPICS[1]) for number in rows)
        for line, (_, number, _, *begins) in zip(found.out.splitlines()[1:], cells[1:], strict=True):
            known = [word for word in lines[int(number) - 1].split() if word not in ("and", "of")]
            assert line.lstrip().startswith("query") or begins[:5] == known[:5]
        assert flag != "--query_document=92" or 92 not in rows, "a document is not its own neighbour"


def table(file: Path) -> list[dict[str, str]]:
    head, *rows = (line.split("\t") for line in file.read_text().splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_each_document_has_its_topics(done: Done, folder: Path) -> None:
    assert str(folder / "run" / "documents.tsv") in done.out
    rows = table(folder / "run" / "documents.tsv")
    lines = (folder / "text.txt").read_text().splitlines()
    assert [int(row["document"]) for row in rows] == [i for i, line in enumerate(lines, 1) if line]
    assert [row["document"] for row in rows if row["split"] == "heldout"] == ["31", "65", "96"]
    assert {row["split"] for row in rows} == {"train", "heldout"}
    words = json.loads((folder / "run" / "results.json").read_text())["topics"]["LDA"]
    for row in rows:
        own = lines[int(row["document"]) - 1].split()
        assert set(own) & set(words[int(row["LDA_1"])][:6]), row
        weights = {name: [float(row[f"{name}_{i}_weight"]) for i in (1, 2, 3)] for name in ("LSA", "LDA")}
        assert sum(weights["LDA"]) == pytest.approx(1.0, abs=2e-3)
        assert all(sorted(map(abs, some), reverse=True) == [*map(abs, some)] for some in weights.values())
        assert all(sorted(row[f"{name}_{i}"] for i in (1, 2, 3)) == ["0", "1", "2"] for name in weights)


def test_a_query_does_not_read_the_text_for_the_numbers(
    done: Done, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def query() -> str:
        return run("experiments.topics", f"--workdir={folder / 'run'}", "--query_document=92", "--top=2").out

    kept, reads, encode = folder / "run" / documents.LINES, [], documents.alone.encode
    monkeypatch.setattr(documents.alone, "encode", lambda *given: reads.append(given) or encode(*given))
    first, whole = query(), kept.read_bytes()
    assert reads == [] and "92" in first
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2]):
        kept.write_bytes(content)
        assert query() == first
    assert len(reads) == 3
    kept.write_bytes(whole)


@pytest.mark.parametrize(("key", "left"), [("reversed=True", 41), ("tokens_limit=40050", 12), ("max_vocab=100", 41)])
def test_the_numbers_of_documents_hold(folder: Path, tmp_path: Path, key: str, left: int) -> None:
    """A long document, an empty one, and 40 of two kinds in turn; every fifth that is not empty is held out."""
    lines = ["cat dog " * 20_000, "", *(" ".join(TOPICS[i % 2]) for i in range(40))]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    more = [f"--config.data.source=text:{tmp_path / 'text.txt'}", f"--workdir={tmp_path}", f"--config.data.{key}"]
    more += ["--models=lsa", "--config.model.dim=2", "--config.data.skip_top=0", "--config.data.heldout_every=5"]
    found = topics(folder, *more)
    assert found.status == 0, found.err
    rows, there = table(tmp_path / "documents.tsv"), [1, *range(3, 43)][:left]
    assert list(rows[0]) == ["document", "split", "LSA_1", "LSA_1_weight", "LSA_2", "LSA_2_weight"]
    assert [int(row["document"]) for row in rows] == there
    assert [i for i, row in enumerate(rows) if row["split"] == "heldout"] == list(range(4, left, 5))
    kinds = {(int(row["document"]) % 2, row["LSA_1"]) for row in rows}
    assert len(kinds) == 2 and {kind for kind, _ in kinds} == {0, 1} and len({topic for _, topic in kinds}) == 2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--query=zzz and", "error: --query='zzz and': none of its words is in the vocabulary"),
        ("--query_document=97", "error: --query_document=97: the documents of the text are 1 to 96"),
        ("--query_document=31", "error: --query_document=31: is held out (data.heldout_every=31); fit with --config"),
        ("--query_document=65", "error: --query_document=65: is held out"),
        ("--query_document=41", "error: --query_document=41: is empty; choose another"),
        (
            "--query=zzz --config.data.min_count=2",
            "error: --workdir={run}: was fitted with other values of data.min_count",
        ),
        ("--query=moon --workdir={run}/none", "error: --workdir={run}/none: holds no LSA; fit it first"),
        ("--models=lsa,nmf", "error: --models='nmf': must be one of lsa, lda"),
        ("--lda.model.topics=7", "error: --lda.model.topics: would have no effect here, as LDA has as many as"),
        (
            "--lda.data.min_count=2",
            "error: --lda.data.min_count: would have no effect here, as both models",
        ),
    ],
)
def test_bad_input_is_one_line(done: Done, folder: Path, flag: str, message: str) -> None:
    home = str(folder / "run")
    found = topics(folder, *re.split(" (?=--)", flag.replace("{run}", home)))
    assert found.status == 2 and found.err.splitlines()[-1].startswith(message.replace("{run}", home)), found.err
    assert not (folder / "run" / "none").exists()


def test_one_model_and_the_worked_examples(folder: Path) -> None:
    found = topics(folder, "--models=lsa", f"--workdir={folder / 'one'}")
    assert found.status == 0 and "words of LSA" in found.out, found.err
    assert f"results: {folder / 'one' / 'results.json'}" in found.out and "picture" not in found.out
    assert not (folder / "one" / "lda").exists() and (folder / "one" / "report.html").is_file()
    assert "0.99552" in run("experiments.topics", "--explain").out
