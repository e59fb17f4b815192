"""Local text that makes no corpus: every error is one line and leaves nothing behind."""

import errno
import functools
import gzip
import lzma
import multiprocessing

import pytest

from tests.data.corpora import config, sample_lines
from w2v_jax.config import DataConfig
from w2v_jax.data import sources
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError


@pytest.fixture
def cfg(tmp_path):
    return functools.partial(config, tmp_path)


def write(path, data):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "changes", "message"),
    [
        ("none.txt", None, {}, "none.txt: no such file"),
        ("*.nothing", None, {}, "matches no file"),
        ("empty.txt", b"", {}, "empty.txt: the file is empty"),
        ("bin.txt", b"ab \0cd\n", {}, r"bin.txt: binary file \(NUL at byte 3\)"),
        ("latin.txt", "word\ncaf\u00e9 x\n".encode("latin-1"), {}, "latin.txt: not UTF-8 at byte 8"),
        ("cut.txt", b"ab\n\xe2\x82", {}, "cut.txt: not UTF-8 at byte 3"),
        ("digits.txt", b"1 2 3\n4\n", {}, "no word found"),
        ("rare.txt", b"a b\nc d\n", {"min_count": 5}, "min_count=5: no word occurs that often"),
        ("single.txt", b"a b c\n", {}, "give the text line breaks, set data.heldout_every=0"),
        ("broken.gz", b"no gzip", {}, "broken.gz: damaged or truncated"),
        ("short.gz", gzip.compress(b"word " * 5000, mtime=0)[:40], {}, "short.gz: damaged or truncated"),
        ("short.xz", lzma.compress(b"word " * 5000)[:60], {}, "short.xz: damaged or truncated"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # never the bytes: workers must agree on the names
)
def test_each_error_is_one_line_and_leaves_nothing(tmp_path, cfg, name, data, changes, message):
    path = tmp_path / "in" / name
    if data is not None:
        write(path, data)
    with pytest.raises(UserError, match=message) as e:
        build_corpus(cfg(path, **changes))
    assert "\n" not in str(e.value)
    cache = tmp_path / "cache"
    assert not cache.exists() or [p for p in cache.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("boundary", [4, 5, 6, 7])
def test_byte_offset_holds_across_chunks(tmp_path, cfg, monkeypatch, boundary):
    monkeypatch.setattr(sources, "CHUNK", boundary)
    path = write(tmp_path / "t.txt", "ab é cd ü x\n".encode() + b"zz \xff\n")
    with pytest.raises(UserError, match=f"not UTF-8 at byte {len('ab é cd ü x'.encode()) + 1 + 3} "):
        build_corpus(cfg(path))


def test_empty_folder_and_empty_pattern(tmp_path, cfg):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="holds no file"):
        build_corpus(cfg(tmp_path / "in"))
    with pytest.raises(UserError, match="after 'text:'"):
        build_corpus(DataConfig(source="text:", cache_dir=str(tmp_path)))


def _limited_build(kwargs, results):
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        build_corpus(DataConfig(**kwargs))
    except OSError as e:
        results.put((e.errno, e.filename))
    else:
        results.put(None)


def test_full_disk_leaves_nothing(tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(sample_lines(5000)) + "\n")
    kwargs = {"source": f"text:{tmp_path / 't.txt'}", "cache_dir": str(tmp_path / "cache"), "min_count": 1}
    spawn = multiprocessing.get_context("spawn")
    results = spawn.SimpleQueue()
    worker = spawn.Process(target=_limited_build, args=(kwargs, results))
    worker.start()
    found = results.get()
    worker.join()
    assert found == (errno.EFBIG, str(tmp_path / "cache"))
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []
    assert build_corpus(DataConfig(**kwargs)).report["words"] > 0
