"""The commands of README.md run as they stand, on a small text and with sizes cut down."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = ["doctor", "nurse", "surgeon", "teacher", "student", "car", "train", "king", "queen", "man", "woman"]
WORDS += ["the", "a", "of", "and", "walks", "sees", "helps", "likes"]
SMALL = [
    "--config.model.dim=8",
    "--config.model.segment=16",
    "--config.train.batch_size=64",
    "--config.train.steps_per_call=8",
    "--config.train.passes=1",
    "--config.log.every_steps=8",
]
LANGUAGE = [
    "--config.model.hidden=8",
    "--config.model.dim=8",
    "--config.train.batch_size=8",
    "--config.train.passes=1.0",
    "--config.train.steps_per_call=2",
]


def commands() -> list[list[str]]:
    """The `python -m ...` lines of the README's shell blocks, split into words."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python -m ")]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone with a corpus and test files in it."""
    folder = tmp_path_factory.mktemp("clone")
    draw = random.Random(0)
    (folder / "corpus").mkdir()
    lines = [" ".join(draw.choices(WORDS, k=12)) for _ in range(400)]
    (folder / "corpus" / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, text in {
        "similarity/some.tsv": "doctor\tnurse\t8\nking\tcar\t1\nman\twoman\t7\n",
        "analogy/questions-words.txt": ": family\nman woman king queen\n",
    }.items():
        (folder / "word_eval" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "word_eval" / name).write_text(text, encoding="utf-8")
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def test_readme_names_the_front_door() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text and "make test" in text
    assert len(commands()) >= 10
    assert "PLACEHOLDER" not in text
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / link).exists(), f"README.md links to {link}, which is not there"
        assert (ROOT / link).stat().st_size > 0, f"README.md links to {link}, which is empty"


def test_commands_run_as_written(home: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
    for words in commands():
        command = [sys.executable, *words[1:]]
        if "experiments.train" in words and "launch.tpu" not in words:
            command += LANGUAGE if any("language" in w for w in words) else SMALL
            if not any("data.source" in w for w in words):
                command += ["--config.data.source=text:corpus/*.txt"]
        elif "launch.preflight" in words:
            command += ["--vocab_size=2000"]
        elif "nudges" in words:
            command += ["--updates=12"]
        done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    assert (home / "runs" / "mine" / "vectors.bin").exists()
    assert (home / "runs" / "mine" / "evaluation.json").exists()
    assert (home / "runs" / "language" / "evaluation.png").exists()
