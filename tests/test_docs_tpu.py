"""Every launcher command of docs/tpu.md is run against the fake cloud, and prints what stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.cloud import command as commands
from launch.cloud import gcloud, ship, trouble
from launch.fake import world as w
from launch.fake.play import Play, checkout
from tests.commands import run

PAGE = Path(__file__).resolve().parents[1] / "docs/tpu.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.S)
WIDTH = 120
# Fault of the fake cloud before a command that begins so.
BEFORE = {"python -m launch.tpu run taken": {"kind": "preempt", "step": 7}}


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """An empty project; the home folder, PATH and the clock of the launcher are its own."""
    world = w.new(apis=[], logged_in=False, project="", call_s=20.0, default_may=False)
    cloud = gcloud.Cloud
    found = Play(tmp_path, checkout(tmp_path / "source"), world, real_s=0.02)
    # The Python of a worker's environment runs the stand-in, whatever is to be trained.
    standin = tmp_path / "source/standin.py"
    train = '#!/bin/bash\nfor word; do [[ "$word" == --workdir=* ]] && where="$word"; done\n'
    train += f'exec python3 -I -S {standin} "$where" --steps=12 --pause=0.002\n'
    (Path(found.folder) / "trains").write_text(train)
    (Path(found.folder) / "trains").chmod(0o755)
    uv = Path(found.folder) / "bin/uv"
    uv.write_text(re.sub(r"exec \S+ \"", f'exec {found.folder}/trains "', uv.read_text()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{found.folder}/bin:{os.environ['PATH']}")
    # It starts each command once, which takes a while.
    monkeypatch.setattr(commands, "check_flags", lambda argv, root: None)
    monkeypatch.setattr(ship, "untracked", lambda root, most: [])  # of whoever runs the tests
    monkeypatch.setattr(gcloud, "Cloud", lambda folder: cloud(folder, found.run, found.clock))
    yield found
    found.end()


def plain(text: str, home: str) -> str:
    """What differs between two runs taken out: paths, ids, and at which look each worker's end was seen."""
    text = re.sub(r"\b([a-z0-9-]+)-18\d{8}-(\d+)", r"\1-1800000000-\2", text.replace(home, "~"))
    text = re.sub(r"since [\w. ]+", "since some time", text)
    text = re.sub(r"owner=[0-9a-f]{8}", "owner=0123abcd", text)
    text = re.sub(r"2[34]\.\d hours left", "23.9 hours left", text)
    found: list[str] = []
    said: list[str] = []  # what workers say, one after the other
    for line in [*text.splitlines(), ""]:
        if line.startswith("["):
            said.append(line)
            continue
        found += sorted(said, key=lambda one: one.partition("]")[0])
        said = []
        found.append(line)
    if (gone := next((i for i, line in enumerate(found) if "was taken away" in line), 0)) > 0:
        # How many steps were seen before depends on the time of the look.
        found = [line for line in found[:gone] if not line.startswith("[")] + ["...", *found[gone:]]
    return "\n".join(found).rstrip("\n") + "\n"


def shortened(output: str) -> list[str]:
    """The steps in the middle are left out."""
    lines = output.splitlines()
    middle = [i for i, line in enumerate(lines) if re.match(r"\[[^]]+\] pass .* step ([2-9]|1[01])/12", line)]
    kept: list[str] = []
    for i, line in enumerate(lines):
        if i not in middle:
            kept.append(line)
        elif i - 1 not in middle:
            kept.append("...")
    return kept


def answer(play: Play, command: str, home: str) -> list[str]:
    """The lines that a command prints."""
    for start, fault in BEFORE.items():
        if command.startswith(start):
            (Path(play.folder) / "progress").unlink()  # of the run before
            play.fault(**fault)
    words = shlex.split(command)
    if words[0] == "gcloud":
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout.splitlines()
    assert words[:2] == ["python", "-m"]
    ran = run(*words[2:])
    assert ran.status in (0, 1) and not ran.err, (command, ran.err)
    return shortened(plain(ran.out, home))


def test_the_commands_of_the_page_print_what_stands_there(play: Play, tmp_path: Path) -> None:
    """A wanted change is committed with W2V_JAX_GOLDEN=1 in the environment of pytest."""
    home = str(tmp_path / "home")
    text = PAGE.read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) >= 8
    made = []
    for block in blocks:
        lines: list[str] = []
        for command in re.findall(r"(?m)^\$ (.*)$", block):
            printed = answer(play, command, home)
            lines += [f"$ {command}", *printed]
        made.append("".join(f"{line}\n" for line in lines))
    if os.environ.get("W2V_JAX_GOLDEN"):
        new = iter(made)
        PAGE.write_text(BLOCK.sub(lambda m: f"```console\n{next(new)}```", text), encoding="utf-8")
        blocks = made
    for stands, prints in zip(blocks, made, strict=True):
        assert prints == stands
    assert play.left() == [], "the page ends with nothing that costs money"


def test_the_page_has_every_kind_of_trouble() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for kind, sentence, advice in trouble.table():
        assert f"| {kind} | {sentence} | {advice} |" in text, kind
