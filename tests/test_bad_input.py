"""Help, overrides and signals, the same in every command. Bad input is in `tests/bad_inputs.py`."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, refused, run, training
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("bad_input")  # as test_bad_files.py


# Help, overrides and signals, the same in every command

OWN_FLAGS = {
    "experiments.train": ("config", "config.KEY", "workdir"),
    "experiments.word_sense": ("workdirs", "wic", "final", "train", "join", "hide_target"),
    "experiments.convert": ("vectors", "workdir", "out", "dtype"),
    "experiments.evaluate": ("vectors", "workdir", "text", "tokens", "encoding_errors"),
    "experiments.topics": ("config", "config.KEY", "lda.KEY", "query", "workdir"),
    "experiments.classify": ("config", "config.KEY", "train", "methods", "vectors", "text", "texts", "method"),
    "experiments.pairs": ("config", "config.KEY", "seeds", "first", "second"),
    "experiments.compare": ("workdir", "source", "models", "seeds"),
    "experiments.scaling": ("config", "config.KEY", "workdir", "plan", "arms"),
    "experiments.sweep": ("config", "config.KEY", "workdir", "vary", "seeds"),
    "experiments.figures": ("vectors", "workdir", "list"),
    "experiments.generate": ("workdir", "prompt", "prompts", "slide", "known", "stop", "jsonl"),
    "experiments.inspect": ("workdir", "layers"),
    "experiments.geometry": ("workdirs", "text", "words", "encoding_errors"),
    "experiments.keys": ("markdown",),
    "experiments.neighbours": ("vectors", "workdir", "analogy"),
    "experiments.senses": ("workdir", "words", "sentence", "planted"),
    "experiments.sentiment": ("config", "config.KEY", "transformer", "transformer.KEY", "vectors"),
    "experiments.gradients": ("workdir", "cells"),
    "experiments.keys_values": ("config", "config.KEY", "workdir"),
    "experiments.throughput": ("lengths", "out"),
    "experiments.ledger": ("config", "config.KEY", "workdir", "vocab"),
    "experiments.demo": ("workdir", "demo_config"),
    "launch.preflight": ("config", "config.KEY", "topology"),
    "launch.preflight_table": ("only", "minutes"),
    "launch.local": ("processes", "devices"),
    "launch.tpu": ("zone", "accelerator", "keep_alive"),
    "launch.render": ("accelerator", "nodes"),
    "launch.fake": ("worker", "text"),
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
