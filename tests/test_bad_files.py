"""Bad texts, run folders, disks and vectors: one clear line, exit status 2, nothing half-written."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import commands
from tests.commands import checkpoints, nothing_of_a_run, refused, run, train, vectors
from w2v_jax import exported
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.train import loop

pytestmark = pytest.mark.xdist_group("bad_input")  # one worker: they share a trained run

TEXT = commands.text_of(900)


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without trouble."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert train(text, workdir).status == 0
    return workdir


# The text


@pytest.mark.parametrize(
    ("content", "parts", "change"),
    [
        (None, ["text.txt: no such file or folder"], {}),
        (b"", ["text.txt: the file is empty"], {}),
        (b"some words\n\x00\x01\x02 more\n" * 50, ["text.txt: binary file", "byte 11"], {}),
        (bytes(range(1, 256)) * 9, ["text.txt: not UTF-8 at byte 127"], {}),
        ("grün\n".encode("latin-1") * 50, ["text.txt: not UTF-8 at byte 2"], {}),
        (b"each word is here once only\nlike all of these\n", ["data.min_count=2", "no word occurs that often"], {}),
        (b"one document and one line of one document", ["one document", "data.heldout_every=0"], {}),
        (b"1 2 3\n4 5 6\n", ["no word found", "data.tokens='words'"], {}),
        (b"same same same\nsame same\n", ["vocabulary has 1 token"], {}),
        (b"text", ["text.gz: damaged or truncated compressed file"], {"name": "text.gz"}),
    ],
)
def test_bad_text(
    content: bytes | None, parts: list[str], change: dict[str, str], tmp_path: Path, fresh_cache: Path
) -> None:
    path = tmp_path / "in" / change.get("name", "text.txt")
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    refused(train(path, tmp_path / "run"), *parts, alone=False)
    nothing_of_a_run(tmp_path / "run")
    if "1 token" not in parts[0]:  # that text is good, though not for this model
        assert not [f for f in fresh_cache.rglob("*tokens*")]
    assert not list(fresh_cache.glob("building-*"))


def test_more_steps_than_can_be_counted(text: Path, tmp_path: Path) -> None:
    for passes in ("inf", "1e9"):
        refused(train(text, tmp_path / "run", train__passes=passes), "train.passes=", alone=False)
        nothing_of_a_run(tmp_path / "run")


def test_a_mistaken_path_can_be_mended(text: Path, tmp_path: Path) -> None:
    """The folder does not belong to a run that never began."""
    refused(train(tmp_path / "txet.txt", tmp_path / "run"), "txet.txt: no such file", alone=False)
    assert train(text, tmp_path / "run", train__max_steps=4).status == 0


def test_no_text_matches(tmp_path: Path, fresh_cache: Path) -> None:
    refused(train(tmp_path / "*.txt", tmp_path / "run"), r"\*\.txt: matches no file")
    nothing_of_a_run(tmp_path / "run")


def test_a_corpus_that_cannot_be_cached(text: Path, tmp_path: Path) -> None:
    """The second file that the tokens go to is cut short."""
    cache = tmp_path / "cache"
    done = with_size_limit(8_000, lambda: train(text, tmp_path / "run", data__cache_dir=cache))
    refused(done, str(cache), "size limit", alone=False)
    assert not [f for f in cache.rglob("*") if "tokens" in f.name or "building" in f.name]
    nothing_of_a_run(tmp_path / "run")
    assert train(text, tmp_path / "run", data__cache_dir=cache, train__max_steps=0).status == 0


def test_a_line_of_20_megabytes_works(tmp_path: Path, fresh_cache: Path) -> None:
    line = TEXT.replace("\n", " ")
    times = 20_000_000 // len(line) + 1
    (tmp_path / "long.txt").write_text(line * times + "\n")
    change: dict[str, Any] = {"data__heldout_every": 0, "train__passes": 1.0, "train__max_steps": 16}
    done = train(tmp_path / "long.txt", tmp_path / "run", train__batch_size=4096, **change)
    report = done.result()["corpus"]
    assert report["documents"] == 1 and report["words"] == times * len(TEXT.split())


# The run folder


def test_workdir_that_cannot_be(text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(train(text, tmp_path / "file"), "file: is a file; choose a folder")
    refused(train(text, tmp_path / "file" / "run"), "file/run")
    assert (tmp_path / "file").read_bytes() == b""
    if Path("/proc/self").exists():
        refused(train(text, "/proc/w2v_jax_run"), "/proc/w2v_jax_run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_workdir_without_permission(text: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o500)
    refused(train(text, tmp_path / "run"), "permission denied")


def test_workdir_with_a_broken_config(text: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"family": ')
    refused(train(text, tmp_path), "config.json: not a JSON object")
    (tmp_path / "config.json").write_text("[1, 2]")
    refused(train(text, tmp_path), "config.json: not a JSON object .a list.")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ('{"family": "word2vec"}', "config.json: config has no model: it must be given"),
        ('{"family": "word2vec", "model": {}, "data": 3}', "config.json: data=3: must be a group of keys"),
        ("[1, 2]", "config.json: not a JSON object .a list."),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "experiments.train --config=configs/skipgram.py --workdir={}/lstm",
        "experiments.demo --workdir={}/lstm",
        "experiments.evaluate --workdir={}/lstm",
        "experiments.generate --workdir={}/lstm",
        "experiments.inspect --workdir={}/lstm",
        "experiments.neighbours --workdir={}/lstm {word}",
        "experiments.figures convergence --evaluate --workdir={}/lstm",
        "experiments.sentiment --text=good --workdir={}",
        "experiments.keys_values --config=configs/keys_values.py --config.data.source=text:{text} --workdir={} "
        "--config.data.tokens=letters --config.data.max_vocab=0",
    ],
    ids=lambda command: command.split()[0],
)
def test_a_config_json_that_is_no_config(
    command: str, content: str, part: str, text: Path, whole: Path, tmp_path: Path
) -> None:
    """Every command that opens a run says so in one line; `w2v_jax.recorded.load` knows more that may be wrong."""
    shutil.copytree(whole, tmp_path / "lstm")
    (tmp_path / "per_layer-0").symlink_to(tmp_path / "lstm")
    (tmp_path / "lstm" / "config.json").write_text(content)
    word = (whole / "vocab.txt").read_text().split()[0]
    done = run(*command.format(tmp_path, text=text, word=word).split())
    refused(done, str(tmp_path), part, alone="demo" not in command and "keys_values" not in command)


# Writes that fail


def with_size_limit(limit: int, act: Callable[[], Any]) -> Any:
    """`act()` while no file can grow past `limit` bytes: writes fail half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        return act()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def from_now_on(limit: int, act: Callable[[], Any]) -> Any:
    """As `with_size_limit`, for writes that go on in other threads when `act` has returned."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return act()


def wrapped(patch: pytest.MonkeyPatch, owner: Any, name: str, around: Callable[[Callable[[], Any]], Any]) -> None:
    """`owner.name(...)` becomes `around(its call)`."""
    real = getattr(owner, name)
    patch.setattr(owner, name, lambda *a, **k: around(lambda: real(*a, **k)))


def fail(number: int, after: int) -> Callable[[Any], Any]:
    """Every call fails but the first ones."""
    calls = itertools.count()

    def act(call: Any) -> Any:
        if next(calls) < after:
            return call()
        raise OSError(number, os.strerror(number))

    return act


FAILURES: dict[str, tuple[Any, str, Callable[[Any], Any], str]] = {
    "checkpoint": (loop.Trainer, "save", lambda call: from_now_on(16_000, call), "checkpoints/16: "),
    "metrics": (loop.RunLog, "write", lambda call: with_size_limit(10, call), "metrics.jsonl: "),
    "vectors": (loop.folder, "export_vectors", lambda call: with_size_limit(5_000, call), "vectors.bin: "),
    "result": (exported, "write_json", fail(errno.ENOSPC, after=0), "no space is left on the device"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_write_that_fails(what: str, text: Path, whole: Path, tmp_path: Path) -> None:
    owner, name, around, part = FAILURES[what]
    often = {"checkpoint__every_steps": 32} if what == "checkpoint" else {}
    with pytest.MonkeyPatch.context() as patch:
        wrapped(patch, owner, name, around)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        done = with_size_limit(limit, lambda: train(text, tmp_path / "run", **often))
    refused(done, part, "size limit|no space", alone=False)
    left = [f for f in (tmp_path / "run").rglob("*") if ".tmp" in f.name or "-tmp" in f.name]
    assert not [f for f in left if "checkpoints" not in f.parts], left
    assert not (tmp_path / "run" / "result.json").exists()
    assert what == "result" or not (tmp_path / "run" / "vectors.bin").exists()
    # With room again the same command ends where it would have.
    done = train(text, tmp_path / "run", **often)
    assert done.status == 0, done.err
    assert vectors(tmp_path / "run") == vectors(whole)
    assert all(f.name.isdigit() for f in (tmp_path / "run" / "checkpoints").iterdir())
    assert checkpoints(tmp_path / "run")[-1] == done.result()["steps"]


# Vectors that do not fit


def test_vectors_of_another_dimension(whole: Path, tmp_path: Path) -> None:
    lines = ["3 4", "one 1 2 3 4", "two 1 2 3", "three 1 2 3 4"]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    refused(run("experiments.evaluate", f"--vectors={tmp_path / 'vectors.txt'}"), "vectors.txt", "3")
    # A file that was cut, and a header that promises other dimensions than its rows have.
    data = (whole / "vectors.bin").read_bytes()
    head, _, rows = data.partition(b"\n")
    count, dim = head.split()
    (tmp_path / "vectors.bin").write_bytes(b"%s %d\n" % (count, int(dim) + 1) + rows)
    refused(run("experiments.evaluate", f"--vectors={tmp_path / 'vectors.bin'}"), "vectors.bin")
    (tmp_path / "vectors.bin").write_bytes(data[: len(data) // 2])
    refused(run("experiments.evaluate", f"--vectors={tmp_path / 'vectors.bin'}"), "vectors.bin")


def test_evaluation_of_what_is_not_there(whole: Path, tmp_path: Path) -> None:
    refused(run("experiments.evaluate", f"--vectors={tmp_path / 'none.bin'}"), "none.bin")
    refused(run("experiments.evaluate", f"--workdir={tmp_path}"), "vectors.bin: no such file")
    refused(run("experiments.evaluate"), "give either --vectors=FILE or --workdir=DIR")
    emb = Embeddings(("one", "two"), np.eye(2, dtype=np.float32))
    save(emb, tmp_path / "good.bin")
    refused(run("experiments.evaluate", f"--vectors={tmp_path / 'good.bin'}", f"--data_dir={tmp_path / 'no'}"), "no")
