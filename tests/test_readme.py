"""The commands of README.md run as they stand, on a small text and with sizes cut down; those of docs/ are read."""

from __future__ import annotations

import argparse
import random
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from absl import flags

from experiments.common import cli, config_flag
from tests.commands import Done, run, text_of

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("readme")  # one worker: most commands read what an earlier one has trained

WORDS = ["doctor", "nurse", "surgeon", "teacher", "student", "car", "train", "king", "queen", "man", "woman"]
WORDS += ["the", "a", "of", "and", "walks", "sees", "helps", "likes"]
SOURCE, ONE_DEVICE = "--config.data.source=text:corpus/*.txt", "--config.mesh.data=1"
FEW = "--config.train.batch_size=8 --config.train.passes=1.0 --config.train.steps_per_call=2"
BLOCKS = "--config.model.layers=1 --config.model.dim=8 --config.model.heads=1 --config.model.length=16"
WORD2VEC = "--config.model.dim=8 --config.model.segment=16 --config.train.batch_size=64 --config.train.steps_per_call=8"
WORD2VEC += f" --config.train.passes=1 --config.log.every_steps=8 {SOURCE}"
STUDY = [f"--config.arms.{name}.run.model.layers=1" for name in ("transformer", "shared_kv")]
STUDY += [f"--config.arms.{name}.seeds=0" for name in ("transformer", "lstm", "elementwise", "shared_kv")]
STUDY += [f"--config.arms.{name}.sizes=model.dim=4" for name in ("transformer", "shared_kv")]
STUDY += [f"--config.arms.{name}.sizes='model.dim=4 model.hidden=4'" for name in ("lstm", "elementwise")]
STUDY += [f"--config.arms.{name}.tokens=2000" for name in ("elementwise", "shared_kv")]
STUDY += [f"--config.data.synthetic.{key}" for key in ("words=60", "topics=2", "senses=4", "distances=1,2")]
STUDY += ["--config.tokens=2000 --config.window=0 --config.data.synthetic.tokens=4000"]
STUDY += ["--config.data.synthetic.heldout_tokens=600"]

# A part of the command -> what makes it small; the first that is found counts.
SMALL = {
    "launch.tpu": "",
    "launch.preflight": "--vocab_size=2000",
    "configs/skipgram.py": f"{WORD2VEC} {ONE_DEVICE}",
    "configs/language.py": f"--config.model.hidden=8 --config.model.dim=8 {FEW} {ONE_DEVICE}",
    "configs/transformer.py": f"{BLOCKS} {FEW} {ONE_DEVICE}",
    # The sizes of these three are those of their own tests, which then find the programs compiled.
    "configs/keys_values.py": "--seeds=5 --seconds=0 --rungs=shared_kv_wide --config.train.max_steps=4 "
    "--config.train.batch_size=4 --config.train.steps_per_call=2 --config.model.layers=2 --config.model.dim=8 "
    f"--config.model.heads=1 --config.model.length=8 --config.data.max_vocab=260 {ONE_DEVICE}",
    "experiments.gradients": "--source=text:twenty.txt --cells=lstm --hidden=4 --length=6 --batch_size=8 --passes=0.6 "
    "--furthest=6 --windows=8",
    "experiments.throughput": "--layers=1 --dim=16 --heads=2 --vocab=50 --tokens=16 --seconds=0.01 --lengths=8",
    "experiments.topics --config": "--config.model.dim=2 --config.model.sweeps=1 "
    "--lda.model.sweeps=2 --config.data.skip_top=0",
    "experiments.classify --workdir": "",  # it labels a text
    "experiments.classify": "--methods=counts,lsa --config.model.dim=2 --config.model.sweeps=1",
    "configs/pairs_sick.py": "--config.model.tower=mean --noconfig.model.bidirectional --config.model.dim=4 "
    f"{FEW} {ONE_DEVICE}",
    "--train=": "--models=average --max_length=8",
    "nudges": "--updates=12",
    "--layers": "--windows=4",
    "--stride": "--stride=4",
    "scaling --plan": "",
    "experiments.scaling": " ".join(STUDY),
}
# What a command ends with where its sizes decide: so small a study misses the true floor of its language.
MAY_FAIL = ("experiments.scaling",)
# What a command begins with -> files that are there afterwards.
LEAVES = {
    "experiments.train --config=configs/skipgram.py --workdir=runs/mine": "runs/mine/vectors.bin runs/mine/result.json",
    "experiments.evaluate --workdir=runs/mine": "runs/mine/evaluation.json",
    "experiments.evaluate --workdir=runs/language": "runs/language/evaluation.png",
    "experiments.gradients --workdir=runs/gradients": "runs/gradients/gradients.png",
    "experiments.keys_values --workdir=runs/keys_values": "runs/keys_values/keys_values.png",
    "experiments.throughput --out=runs/throughput": "runs/throughput/throughput.png",
    "experiments.scaling": "runs/scaling/results.jsonl runs/scaling/report.html",
    "experiments.train --config=configs/skipgram.py --workdir=runs/two": "runs/two/vectors.bin",
}


def commands(page: Path) -> list[list[str]]:
    """The `python -m ...` lines of a page's shell blocks, split into words."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("python -m ")]


README = commands(ROOT / "README.md")
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_of_a_page_is_whole(page: Path) -> None:
    inside, before = False, ""
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = line.strip().startswith("```")
        assert fence or "```" not in line, line
        inside ^= fence
        if inside and line.lstrip().startswith("--"):
            assert before.endswith("\\"), line
        before = line
    assert not inside


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
        lines = [f"{i % 2}\tthe {('king', 'dog')[i % 2]} walks and helps {WORDS[i % 19]}" for i in range(40)]
        (folder / "imdb" / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "pairs").mkdir()
    for name in ("train", "dev", "test"):
        lines = [f"{draw.choice('12345')}\t{' '.join(draw.choices(WORDS, k=4))}\tthe dog walks" for _ in range(24)]
        (folder / "pairs" / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "twenty.txt").write_text(text_of(20, lines=200, width=10), encoding="utf-8")
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


@pytest.fixture(scope="module")
def once() -> Callable[[list[str]], Done]:
    """Runs a command, cut down, the first time that it is asked for."""
    ended: dict[str, Done] = {}

    def get(words: list[str]) -> Done:
        line = shlex.join(words)
        if line not in ended:
            smaller = next((options for part, options in SMALL.items() if part in line), "")
            ended[line] = run(words[2], *words[3:], *shlex.split(smaller))
        return ended[line]

    return get


def needed(words: list[str]) -> list[list[str]]:
    """The commands that train what this one reads: those before it whose run folder it names."""

    def folder(other: list[str]) -> str:
        return next((word.partition("=")[2] for word in other if word.startswith("--workdir=runs/")), "")

    earlier = README[: README.index(words)] if words in README else []
    kinds = [f"experiments.{name}" for name in ("train", "sentiment", "pairs", "classify")]
    trained = [other for other in earlier if other[2] in kinds]
    found = [other for other in trained if folder(other) in shlex.join(words)]
    return [*(first for other in found for first in needed(other)), *found]


def only_read(main: object, **how: object) -> None:
    """In the place of `cli.run`: takes the flags, the config file and its overrides as the command does, and ends."""
    cli._parse(sys.argv)
    if "config" in flags.FLAGS and flags.FLAGS["config"].value:
        path, changes = config_flag.given()
        config_flag.load(path, object, changes)
    sys.exit(0)


@pytest.mark.parametrize("words", README, ids=lambda words: " ".join(words[2:4]))
def test_a_command_of_the_readme_runs_as_written(
    words: list[str], home: Path, once: Callable[[list[str]], Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    # For those that start processes of their own.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    if words[2] == "launch.local":  # tests/test_multiprocess.py has two processes; here what it starts is run once
        with monkeypatch.context() as patch:
            patch.setattr(cli, "run", only_read)
            assert run(words[2], *words[3:]).status == 0
        words = words[words.index("--") + 1 :]
    for command in [*needed(words), words]:
        done = once(command)
    assert done.status in ((0, 1) if words[2] in MAY_FAIL else (0,)), f"{done.out}\n{done.err}"
    assert "Traceback" not in done.err
    line = " ".join(words[2:])
    for start, files in LEAVES.items():
        if line.startswith(start) and "--plan" not in line:
            assert all((home / file).stat().st_size > 0 for file in files.split())


def test_readme_names_the_front_door() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text and "make test" in text
    assert len(README) >= 10
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / link).exists(), f"README.md links to {link}, which is not there"
        assert (ROOT / link).stat().st_size > 0, f"README.md links to {link}, which is empty"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_commands_of_a_page_of_the_docs_are_accepted(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(cli, "run", only_read)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self: self.exit(bool(self.parse_known_args()[1])))
    for words in commands(page):
        parts = [words, words[words.index("--") + 1 :]] if "--" in words else [words]  # a launcher and what it starts
        for part in parts:
            if part not in README:
                done = run(part[2], *part[3:])
                assert done.status == 0, f"{shlex.join(part)}\n{done.err}"
