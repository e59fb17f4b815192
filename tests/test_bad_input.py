"""Bad configs and command lines: one clear line, exit status 2, nothing half-written. Also help and signals."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, nothing_of_a_run, refused, run, training
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("bad_input")  # as test_bad_files.py


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


STUDY = f"--config={ROOT / 'configs/scaling/synthetic.py'}"


@pytest.mark.parametrize(
    ("module", "words", "part"),
    [
        (
            "experiments.scaling",
            [STUDY, "--workdir=none", "--plan", "--rate=nan"],
            "--rate=nan: must be a finite number",
        ),
        (
            "experiments.scaling",
            [STUDY, "--workdir=none", "--plan", "--rate=inf"],
            "--rate=inf: must be a finite number",
        ),
        ("experiments.keys_values", ["--workdir=none", "--seconds=nan"], "--seconds=nan: must be a finite number"),
        ("experiments.generate", ["--workdir=none", "--temperature=nan"], "--temperature=nan: must be a finite number"),
        ("experiments.figures", ["nudges", "--learning_rate=inf"], "--learning_rate=inf: must be a finite number"),
        ("experiments.neighbours", ["--vectors=none", "--restrict=-5", "dog"], "--restrict=-5"),
        ("experiments.evaluate", ["--vectors=none", "--restrict=-5"], "--restrict=-5"),
    ],
)
def test_numbers_that_no_command_can_mean(module: str, words: list[str], part: str) -> None:
    refused(run(module, *words), part)
    assert not Path("none").exists()


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
