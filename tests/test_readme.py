"""The commands of README.md run as they stand, on a small text and with sizes cut down."""

from __future__ import annotations

import random
import re
import shlex
import sys
from pathlib import Path

import pytest

from experiments.common import cli
from tests.commands import run

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

# Their own tests run them, cut down; here only their flags are taken, for these are dear.
OWN_TESTS = ("experiments.gradients", "experiments.keys_values", "experiments.throughput", "launch.local")
TRANSFORMER = {"layers": 1, "dim": 8, "heads": 1, "length": 16}
TRANSFORMER_MODEL = [f"--config.model.{k}={v}" for k, v in TRANSFORMER.items()]


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
    lines += ["The dog that I adopted from the pound five years ago won the pet competition", "the dog was cute"] * 9
    (folder / "corpus" / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, text in {
        "similarity/some.tsv": "doctor\tnurse\t8\nking\tcar\t1\nman\twoman\t7\n",
        "analogy/questions-words.txt": ": family\nman woman king queen\n",
    }.items():
        (folder / "word_eval" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "word_eval" / name).write_text(text, encoding="utf-8")
    (folder / "imdb").mkdir()
    for name in ("train", "test"):
        lines = [f"{i % 2}\tthe {('king', 'dog')[i % 2]} walks and helps" for i in range(40)]
        (folder / "imdb" / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
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


def parsed_only(main: object, **how: object) -> None:
    """In the place of `cli.run`: takes the flags as the command does, and ends."""
    cli._parse(sys.argv)
    sys.exit(0)


def test_commands_run_as_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    # For those that start processes of their own.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    for words in commands():
        arguments = words[3:]
        if "experiments.train" in words and "launch.tpu" not in words:
            transformer = any("transformer" in w for w in words)
            language = any("language" in w for w in words)
            arguments += [*TRANSFORMER_MODEL, *LANGUAGE[2:]] if transformer else LANGUAGE if language else SMALL
            if not any("data.source" in w for w in words):
                arguments += ["--config.data.source=text:corpus/*.txt"]
            if words[2] == "experiments.train":
                arguments += ["--config.mesh.data=1"]
        elif words[2:] == ["experiments.scaling"]:
            arguments = ["--plan"]  # tests/scaling makes a study
        elif "launch.preflight" in words:
            arguments += ["--vocab_size=2000"]
        elif "nudges" in words:
            arguments += ["--updates=12"]
        elif "--layers" in words:
            arguments += ["--windows=4"]
        elif "--stride=32" in words:
            arguments += ["--stride=4"]
        elif "experiments.sentiment" in words and "--text" not in shlex.join(words):
            arguments += ["--models=average"]
        with monkeypatch.context() as patch:
            if words[2] in OWN_TESTS:
                patch.setattr(cli, "run", parsed_only)
            done = run(words[2], *arguments)
        assert done.status == 0, f"{shlex.join(words)}\n{done.out}\n{done.err}"
    assert (home / "runs" / "mine" / "vectors.bin").exists()
    assert (home / "runs" / "mine" / "evaluation.json").exists()
    assert (home / "runs" / "language" / "evaluation.png").exists()
