"""Corpora from local text: rules, held-out split, cache, report, against plain Python over the same text."""

import collections
import functools
import gzip
import lzma
import multiprocessing
import os
import re

import numpy as np
import pytest

from tests.data.corpora import WORDS, config, sample_lines
from w2v_jax.config import DataConfig
from w2v_jax.data import corpus as corpus_module
from w2v_jax.data import counting, encode, raw, sources
from w2v_jax.data.corpus import build_corpus


@pytest.fixture
def cfg(tmp_path):
    return functools.partial(config, tmp_path)


def documents(part, vocab):
    """The text of a split, read back."""
    return [
        [vocab.words[t] for t in part.tokens[a:b]] for a, b in zip(part.offsets[:-1], part.offsets[1:], strict=True)
    ]


def by_hand(docs, every, min_count):
    """(training documents, held-out documents, counts) of lists of words, in plain Python."""
    docs = [d for d in docs if d]
    held = [d for i, d in enumerate(docs) if every and i % every == every - 1]
    train = [d for i, d in enumerate(docs) if not (every and i % every == every - 1)]
    counts = {w: n for w, n in collections.Counter(w for d in train for w in d).items() if n >= min_count}
    cut = [[[w for w in d if w in counts] for d in part] for part in (train, held)]
    return [d for d in cut[0] if d], [d for d in cut[1] if d], counts


@pytest.mark.parametrize("chunk", [64, 1 << 20])
@pytest.mark.parametrize(("every", "min_count"), [(0, 1), (7, 12), (2, 40)])
def test_matches_plain_python(tmp_path, cfg, monkeypatch, chunk, every, min_count):
    monkeypatch.setattr(sources, "CHUNK", chunk)
    monkeypatch.setattr(encode, "_BATCH", 37)  # batches that cut documents anywhere
    lines = sample_lines(300)
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    c = build_corpus(cfg(tmp_path / "t.txt", heldout_every=every, min_count=min_count))
    docs = [line.split() for line in lines]
    train, held, counts = by_hand(docs, every, min_count)
    assert documents(c.train, c.vocab) == train
    assert documents(c.heldout, c.vocab) == held
    ranked = sorted(counts.items(), key=lambda e: (-e[1], e[0]))
    assert list(zip(c.vocab.words, c.vocab.counts.tolist(), strict=True)) == ranked
    r = c.report
    assert r["words"] == sum(map(len, docs))
    assert r["oov_words"] == r["words"] - sum(map(len, train + held))
    assert r["empty_documents"] == sum(not d for d in docs)
    assert r["documents"] == sum(map(bool, docs))
    assert r["train_documents"] == len(train) and r["heldout_documents"] == len(held) and r["test_documents"] == 0
    for part, docs in ((c.train, train), (c.heldout, held)):
        assert part.words == sum(map(len, docs))
        assert part.bytes == sum(len((" ".join(d) + "\n").encode()) for d in docs)
    assert r["lost_documents"] == r["documents"] - len(train) - len(held)


@pytest.mark.parametrize("chunk", [5, 1 << 20])
def test_document_rules(tmp_path, cfg, monkeypatch, chunk):
    monkeypatch.setattr(sources, "CHUNK", chunk)
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"one two\r\nthree\n\n \t\nfour\n\nfive six")
    (folder / "deep" / "b.txt").write_bytes(b"seven\n\n\n\neight\n")
    (folder / ".hidden").write_text("never")

    def docs(rule):
        c = build_corpus(cfg(folder, document=rule, heldout_every=0))
        return documents(c.train, c.vocab)

    assert docs("line") == [["one", "two"], ["three"], ["four"], ["five", "six"], ["seven"], ["eight"]]
    assert docs("blank") == [["one", "two", "three"], ["four"], ["five", "six"], ["seven"], ["eight"]]
    assert docs("file") == [["one", "two", "three", "four", "five", "six"], ["seven", "eight"]]


@pytest.mark.parametrize("chunk", [4, 5, 6, 7, 8, 9, 1 << 20])
def test_blank_lines_with_carriage_returns_across_chunks(tmp_path, cfg, monkeypatch, chunk):
    monkeypatch.setattr(sources, "CHUNK", chunk)
    (tmp_path / "t.txt").write_bytes(b"one\r\n\r\n \r\ntwo\r\nthree\r\n\r\n")
    c = build_corpus(cfg(tmp_path / "t.txt", document="blank", heldout_every=0))
    assert documents(c.train, c.vocab) == [["one"], ["two", "three"]]


def test_compressed_files_and_globs_give_the_same_tokens(tmp_path, cfg):
    text = "\n".join(sample_lines(200)) + "\n"
    (tmp_path / "t.txt").write_text(text)
    (tmp_path / "t.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "t.xz").write_bytes(lzma.compress(text[:900].encode()) + lzma.compress(text[900:].encode()))
    plain = build_corpus(cfg(tmp_path / "t.txt"))
    for pattern in ("t.gz", "*.xz", "**/t.xz"):
        other = build_corpus(cfg(tmp_path / pattern))
        assert (other.train.tokens == plain.train.tokens).all() and other.vocab.words == plain.vocab.words


def test_unknown_kept_and_vocabulary_limited(tmp_path, cfg):
    (tmp_path / "t.txt").write_text("a a a b b c\nd a\n")
    c = build_corpus(cfg(tmp_path / "t.txt", heldout_every=0, max_vocab=2, unknown="keep"))
    assert c.vocab.words == ("a", "<unk>", "b") and c.vocab.counts.tolist() == [4, 2, 2]
    assert documents(c.train, c.vocab) == [["a", "a", "a", "b", "b", "<unk>"], ["<unk>", "a"]]
    assert c.report["oov_words"] == 2 and c.report["types_dropped"] == 2


def test_long_line_in_bounded_pieces(tmp_path, cfg):
    word_count = 4_000_000
    piece = " ".join(WORDS[:50]) + " "
    with open(tmp_path / "t.txt", "w") as f:
        f.write(piece * (word_count // 50))  # one line of about 16 MB
    largest = 0
    text = sources.raw_text(cfg(tmp_path / "t.txt"))
    for chunk, _ in text.chunks(sources.hashlib.blake2b()):
        largest = max(largest, len(chunk))
    assert largest < 3 * sources.CHUNK
    c = build_corpus(cfg(tmp_path / "t.txt", heldout_every=0, block_tokens=1000))
    assert len(c.train.tokens) == word_count and c.train.documents == 1
    assert c.report["document_splits"] == word_count // 1000 - 1
    assert [c.vocab.words[t] for t in c.train.tokens[-50:]] == WORDS[:50]


# ---- cache ----


@pytest.fixture
def builds(monkeypatch):
    """Counts how often text is tokenised."""
    calls = []
    real = corpus_module.count
    monkeypatch.setattr(corpus_module, "count", lambda *a: calls.append(1) or real(*a))
    return calls


def test_cache_is_reused_and_changed_content_is_not(tmp_path, cfg, builds, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text("a b\nb c\n")
    first = build_corpus(cfg(path, heldout_every=0))
    assert build_corpus(cfg(path, heldout_every=0)).digest == first.digest and len(builds) == 1
    # Same name, size and (set back) time: only the content tells.
    st = path.stat()
    path.write_text("a b\nb d\n")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    changed = build_corpus(cfg(path, heldout_every=0))
    assert changed.digest != first.digest and "d" in changed.vocab.index and len(builds) == 2
    # Once files have settled, nothing is read at all.
    monkeypatch.setattr(raw, "SETTLE_SECONDS", -1.0)
    build_corpus(cfg(path, heldout_every=0))
    monkeypatch.setattr(sources._Hashed, "readinto", None)
    assert build_corpus(cfg(path, heldout_every=0)).digest == changed.digest and len(builds) == 2


def test_settled_note_is_not_trusted_after_a_change(tmp_path, cfg, monkeypatch):
    monkeypatch.setattr(raw, "SETTLE_SECONDS", -1.0)
    path = tmp_path / "t.txt"
    path.write_text("a b\nb c\n")
    build_corpus(cfg(path, heldout_every=0))
    st = path.stat()
    (tmp_path / "new").write_text("a b\nb d\n")
    os.replace(tmp_path / "new", path)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    assert "d" in build_corpus(cfg(path, heldout_every=0)).vocab.index


def test_file_too_new_for_its_time_stamp_is_read_again(tmp_path, cfg, monkeypatch):
    """Two writes within one tick of the clock leave the same stamp: only content may decide then."""
    monkeypatch.setattr(sources, "stamp_of", lambda entries: ("same", False))
    path = tmp_path / "t.txt"
    for last in ("c", "d"):
        path.write_text(f"a b\nb {last}\n")
        assert last in build_corpus(cfg(path, heldout_every=0)).vocab.index


@pytest.mark.parametrize(
    "change",
    [{"min_count": 2}, {"tokens": "whitespace"}, {"heldout_every": 2}, {"document": "file", "heldout_every": 0}],
)
def test_rules_are_part_of_the_key(tmp_path, cfg, change):
    path = tmp_path / "t.txt"
    path.write_text("a b\nb c\na c\nb b\n")
    assert build_corpus(cfg(path)).digest != build_corpus(cfg(path, **change)).digest


def test_where_it_lies_is_not_part_of_the_key(tmp_path, cfg, builds):
    (tmp_path / "x").mkdir()
    for path in (tmp_path / "t.txt", tmp_path / "x" / "t.txt"):
        path.write_text("a b\nb c\n")
    assert (
        build_corpus(cfg(tmp_path / "t.txt")).digest == build_corpus(cfg(tmp_path / "x/t.txt", block_tokens=5)).digest
    )


@pytest.mark.parametrize("name", ["train.tokens", "test.offsets", "vocab.txt", "tokenizer.json", "meta.json"])
def test_damaged_cache_is_rebuilt(tmp_path, cfg, builds, name):
    path = tmp_path / "t.txt"
    path.write_text("a b\nb c\n")
    home = build_corpus(cfg(path)).directory
    (home / name).write_bytes((home / name).read_bytes()[:-1])
    again = build_corpus(cfg(path))
    assert len(builds) == 2 and again.train.tokens.tolist() == [1, 0, 0, 2] and again.directory == home


def _build_in_process(kwargs, barrier, results):
    barrier.wait()
    c = build_corpus(DataConfig(**kwargs))
    results.put((c.digest, int(np.sum(c.train.tokens, dtype=np.int64)), len(c.train.tokens)))


def test_concurrent_builds(tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(sample_lines(3000)) + "\n")
    kwargs = {"source": f"text:{tmp_path / 't.txt'}", "cache_dir": str(tmp_path / "cache"), "min_count": 1}
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(3), spawn.Queue()
    workers = [spawn.Process(target=_build_in_process, args=(kwargs, barrier, results)) for _ in range(3)]
    for w in workers:
        w.start()
    found = {results.get(timeout=60) for _ in workers}
    for w in workers:
        w.join()
    assert len(found) == 1
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == sorted([found.pop()[0], "index"])


# ---- reports ----


def test_progress_and_report_lines(tmp_path, cfg, monkeypatch):
    monkeypatch.setattr(counting, "_TELL_SECONDS", -1.0)
    (tmp_path / "t.txt").write_text("a b\nb c\n\n")
    lines = []
    build_corpus(cfg(tmp_path / "t.txt", heldout_every=0), lines.append)
    assert re.search(r"words read, .* words/s, \d+ %, about 0:00:00 left", lines[0])
    assert lines[-3].startswith("corpus: 2 documents (1 empty ones skipped), 4 words, 3 types kept")
    assert lines[-2] == "corpus: training: 2 documents with 4 tokens, 4 words, 8 bytes"


def test_real_text(cfg):
    root = os.environ.get("W2V_JAX_DATA")
    if not root:
        pytest.skip("W2V_JAX_DATA is not set")
    path = os.path.join(root, "wiki_en", "wiki_en.00.txt.xz")
    c = build_corpus(cfg(path, min_count=5))
    with lzma.open(path, "rt", encoding="utf-8") as f:
        words = sum(len(re.findall("[a-z]+", line.lower())) for line in f)
    assert c.report["words"] == words
