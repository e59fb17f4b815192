"""Bad input to whole commands: one clear line, exit status 2, nothing half-written."""

from __future__ import annotations

import errno
import itertools
import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import commands
from tests.commands import ROOT, checkpoints, refused, run, train, training, vectors
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.train import loop

pytestmark = pytest.mark.xdist_group("bad_input")  # one worker: they share a trained run

TEXT = commands.text_of(900)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without trouble."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert train(text, workdir).status == 0
    return workdir


def nothing_of_a_run(workdir: Path) -> None:
    """No folder, or an empty one, which another config can still take."""
    assert not workdir.is_dir() or not list(workdir.iterdir())


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
        (b"1 2 3\n4 5 6\n", ["no word found", "data.tokens='letters'"], {}),
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


# The configuration and the command line


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("model.window=0", ["model.window=0: must be at least 1"]),
        ("model.dim=0", ["model.dim=0: must be at least 1"]),
        ("model.dim=-5", ["model.dim=-5: must be at least 1"]),
        ("model.noise_every=3", ["model.noise_every=3: must be a divisor of model.segment=32"]),
        ("model.dmi=9", ["config has no key 'model.dmi' .did you mean 'model.dim'?"]),
        ("modle.dim=9", ["config has no key 'modle.dim' .did you mean 'model.dim'?"]),
        ("model.dim=many", ["dim", "many"]),
        ("model.dim=2.5", ["dim", "2.5"]),
        ("model.loss=negativ", ["model.loss='negativ'", "did you mean 'negative'"]),
        ("train.passes=-1", ["train.passes=-1.0: must be above 0"]),
        ("train.passes=nan", ["train.passes=nan"]),
        ("train.batch_size=100", ["train.batch_size=100", "model.segment=32"]),
        ("train.seed=-1", ["train.seed=-1"]),
        ("optimizer.learning_rate=0", ["optimizer.learning_rate=0.0: must be above 0"]),
        ("data.source=lorem", ["data.source='lorem'", "text:GLOB"]),
        ("data.source=synthetik", ["data.source='synthetik'", "synthetic"]),
        ("data.min_count=0", ["data.min_count=0"]),
        ("data.heldout_every=1", ["data.heldout_every=1"]),
        ("log.tensorboard=perhaps", ["tensorboard", "perhaps"]),
        ("checkpoint.keep=0", ["checkpoint.keep=0"]),
        ("mesh.data=16", ["mesh.data=16", "8 devices"]),
        ("mesh.data=8", ["train.batch_size=128", "mesh.data=8"]),
        ("mesh.model=3", ["mesh.model=3"]),
        ("family=word3vec", ["family='word3vec'", "did you mean 'word2vec'"]),
    ],
)
def test_impossible_config(override: str, parts: list[str], text: Path, tmp_path: Path) -> None:
    done = run("experiments.train", *training(text, tmp_path / "run"), f"--config.{override}")
    refused(done, *parts)
    nothing_of_a_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--workdri=x"], ["unknown flag --workdri", "did you mean 'workdir'"]),
        (["stray"], ["unexpected argument 'stray'"]),
        (["--profile_steps=9"], ["--profile_steps=9"]),
        (["--profile_steps=9,3"], ["--profile_steps=9,3"]),
        (["--workdir="], ["--workdir is missing"]),
        (["--compile_cache=maybe"], ["compile_cache", "maybe"]),
    ],
)
def test_bad_command_line(words: list[str], parts: list[str], text: Path, tmp_path: Path) -> None:
    refused(run("experiments.train", *training(text, tmp_path / "run"), *words), *parts)
    nothing_of_a_run(tmp_path / "run")


def test_no_config_and_no_workdir(tmp_path: Path) -> None:
    refused(run("experiments.train"), "--config is missing")
    refused(run("experiments.train", f"--config={ROOT / 'configs/skipgram.py'}"), "--workdir is missing")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "config.py"),
        ("def get_config(:\n", "config.py"),
        ("import no_such_module\n", "no_such_module"),
        ("x = 1\n", "get_config"),
        ("def get_config():\n    return 1 / 0\n", "division by zero"),
    ],
)
def test_bad_config_file(content: str | None, part: str, tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    if content is not None:
        path.write_text(content)
    refused(run("experiments.train", f"--config={path}", f"--workdir={tmp_path / 'run'}"), part)
    refused(run("experiments.demo", f"--demo_config={path}", f"--workdir={tmp_path / 'run'}"), part)
    nothing_of_a_run(tmp_path / "run")


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
    """Every command that opens a run says so in one line; `w2v_jax.config.load` knows more that may be wrong."""
    shutil.copytree(whole, tmp_path / "lstm")
    (tmp_path / "per_layer-0").symlink_to(tmp_path / "lstm")
    (tmp_path / "lstm" / "config.json").write_text(content)
    word = (whole / "vocab.txt").read_text().split()[0]
    done = run(*command.format(tmp_path, text=text, word=word).split())
    refused(done, str(tmp_path), part, alone="demo" not in command and "keys_values" not in command)


# Help, overrides and signals, the same in every command

OWN_FLAGS = {
    "experiments.train": ("config", "config.KEY", "workdir"),
    "experiments.evaluate": ("vectors", "workdir", "text"),
    "experiments.scaling": ("config", "config.KEY", "workdir", "plan"),
    "experiments.figures": ("vectors", "workdir", "list"),
    "experiments.generate": ("workdir", "prompt"),
    "experiments.inspect": ("workdir", "layers"),
    "experiments.neighbours": ("vectors", "workdir", "analogy"),
    "experiments.sentiment": ("config", "config.KEY", "transformer", "transformer.KEY", "vectors"),
    "experiments.gradients": ("workdir", "cells"),
    "experiments.keys_values": ("config", "config.KEY", "workdir"),
    "experiments.throughput": ("lengths", "out"),
    "experiments.ledger": ("config", "config.KEY", "vocab"),
    "experiments.demo": ("workdir", "demo_config"),
    "launch.preflight": ("config", "config.KEY", "topology"),
    "launch.local": ("processes", "devices"),
    "launch.tpu": ("zone", "accelerator"),
}


def test_every_command_has_its_help_tested() -> None:
    files = [file for top in ("experiments", "launch") for file in (ROOT / top).rglob("*.py")]
    found = [f for f in files if "cli.run(" in f.read_text() and f.name not in ("cli.py", "figure_records.py")]
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__") for file in found}
    assert names == set(OWN_FLAGS)


@pytest.mark.parametrize("command", OWN_FLAGS)
def test_help_names_the_flags_of_the_command(command: str) -> None:
    done = run(command, "--help")
    assert done.status == 1 and done.err == "", done.err
    for flag in OWN_FLAGS[command]:
        assert re.search(rf"^  (-\w,)?--(\[no\])?{re.escape(flag)}:", done.out, re.M), (flag, done.out)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--config.model.dim=32"], "model.dim", "32"),
        (["-config.model.dim=32"], "model.dim", "32"),
        (["--config.model.dim", "32"], "model.dim", "32"),
        (["--config.train.seed", "-1"], "train.seed", "-1"),
        (["--config.data.source=text:a=b.txt"], "data.source", "text:a=b.txt"),
        (["--config.model.dim=8", "--config.model.dim=32"], "model.dim", "32"),
        (["--config.mesh.fsdp"], "mesh.fsdp", "True"),
        (["--config.mesh.fsdp", "--vocab=3"], "mesh.fsdp", "True"),
        (["--noconfig.data.lowercase"], "data.lowercase", "False"),
    ],
)
def test_ways_to_write_an_override(words: list[str], key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.common import config_flag

    def taken(path: str, kind: type, changes: dict[str, str]) -> None:
        raise UserError(f"{path} {changes}")

    monkeypatch.setattr(config_flag, "load", taken)
    refused(run("experiments.ledger", "--config=a.py", *words), re.escape(f"a.py {{'{key}': '{value}'}}"))


@pytest.mark.parametrize("command", ["experiments.train", "experiments.scaling"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_outside_of_training(
    command: str, number: signal.Signals, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here while a text is read: the command closes what is open, and says how to go on."""
    from experiments.scaling import execute
    from w2v_jax.train import loop

    def reading(*arguments: Any) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    def left_alone(number: int, frame: Any) -> None:
        raise AssertionError("the signal reached whoever started the command")

    monkeypatch.setattr(execute, "open_text", reading)
    monkeypatch.setattr(loop, "prepare", reading)
    before = signal.signal(signal.SIGTERM, left_alone)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        words = training(text, tmp_path / "run") if command == "experiments.train" else [f"--workdir={tmp_path}"]
        done = run(command, *words)
        assert signal.getsignal(signal.SIGTERM) is left_alone
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
    assert done.status == 128 + number
    assert done.err.startswith(f"stopped by {number.name}. The same command continues: ") and done.err.count("\n") == 1


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
    "result": (loop.folder, "write_json", fail(errno.ENOSPC, after=1), "no space is left on the device"),  # config.json
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_write_that_fails(what: str, text: Path, whole: Path, tmp_path: Path) -> None:
    owner, name, around, part = FAILURES[what]
    with pytest.MonkeyPatch.context() as patch:
        wrapped(patch, owner, name, around)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        done = with_size_limit(limit, lambda: train(text, tmp_path / "run", checkpoint__every_steps=32))
    refused(done, part, "size limit|no space", alone=False)
    left = [f for f in (tmp_path / "run").rglob("*") if ".tmp" in f.name or "-tmp" in f.name]
    assert not [f for f in left if "checkpoints" not in f.parts], left
    assert not (tmp_path / "run" / "result.json").exists()
    assert what == "result" or not (tmp_path / "run" / "vectors.bin").exists()
    # With room again the same command ends where it would have.
    done = train(text, tmp_path / "run", checkpoint__every_steps=32)
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
