"""The gallery made anew: recipes name what there is, run step by step, and keep what they made."""

from __future__ import annotations

import importlib.util
import json
import lzma
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from experiments.common import config_flag
from experiments.figures import recipe
from experiments.figures.gallery import figures, wiki_map
from experiments.figures.show import PICTURES
from tests.commands import ROOT, refused, run
from tests.pictures import FIGURES, redraw, result_of
from w2v_jax import papers
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError
from w2v_jax.figures import published
from w2v_jax.recorded import to_dict

pytestmark = pytest.mark.xdist_group("gallery")  # as test_figures_gallery.py


def test_recipes_name_commands_configs_and_keys_that_there_are() -> None:
    for name, figure in figures().items():
        for step in figure.recipe:
            assert importlib.util.find_spec(step.module), name
            given = {word[0]: word[2] for word in (f.removeprefix("--").partition("=") for f in step.flags.split())}
            path = given.get("config", "configs/scaling/wiki.py")
            assert (ROOT / path).is_file(), name
            tree: Any = None if "scaling" in path else to_dict(config_flag.load_config(str(ROOT / path)))
            for key in (key.removeprefix("config.") for key in given if key.startswith("config.") and tree):
                at = tree
                for part in key.split("."):
                    assert part in at, (name, key)
                    at = at[part]


def test_data_of_a_recipe_is_found_in_the_folder_and_in_folders_of_it(tmp_path: Path) -> None:
    (tmp_path / "lm").mkdir()
    for name in ("lm/a.train.txt.xz", "lm/w.00.txt.gz", "lm/w.01.txt.gz", "plain.csv"):
        (tmp_path / name).touch()
    assert recipe.find("a.train.txt", str(tmp_path / "lm")) == str(tmp_path / "lm/a.train.txt.xz")
    assert recipe.find("w.0[01].txt", str(tmp_path)) == str(tmp_path / "lm/w.0[01].txt.gz")
    assert recipe.find("lm/a.train.txt", str(tmp_path)) == str(tmp_path / "lm/a.train.txt.xz")
    assert recipe.find("plain.csv", str(tmp_path)) == str(tmp_path / "plain.csv")
    with pytest.raises(UserError, match=r"has no b\.txt"):
        recipe.find("b.txt", str(tmp_path))
    where = f"--run={tmp_path / 'r'}"
    refused(run(FIGURES, "ptb_curves", where), r"--data is missing: the recipe needs ptb\.train\.txt")
    refused(run(FIGURES, "chinchilla", where, f"--data={tmp_path}"), r"has no chinchilla_figure4\.csv")
    assert not (tmp_path / "r").exists()


def test_steps_run_in_turn_and_the_first_that_fails_ends_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Sequence[str]] = []

    def call(line: Sequence[str]) -> int:
        made.append(line)
        return 130 if line[0] == "experiments.evaluate" else 0

    monkeypatch.setattr(recipe, "call", call)
    steps = figures()["synthetic_optimum"].recipe
    assert recipe.make(steps, tmp_path / "r", None, ["train.passes=0.5"]) == 130
    assert [line[0].rpartition(".")[2] for line in made] == ["train", "train", "evaluate"]
    assert made[1][2:] == [f"--workdir={tmp_path / 'r'}/elementwise", "--config.model.cell=elementwise"] + [
        "--config.train.passes=0.5"
    ]
    assert list(made[2]) == ["experiments.evaluate", f"--workdir={tmp_path / 'r'}/lstm"]  # --set is for what trains
    told = capsys.readouterr().err
    assert "step 2 of 4: python -m experiments.train" in told and "ended with status 130; the same command" in told
    with pytest.raises(UserError, match="nothing to set"):
        recipe.make(figures()["chinchilla"].recipe, tmp_path, None, ["a=b"])


def test_a_signal_reaches_the_step_once(tmp_path: Path) -> None:
    """As a training would that saves first; another that comes while it saves would cut that short."""
    (tmp_path / "step.py").write_text(
        "import os, pathlib, signal, sys, time\n"
        "seen = []\n"
        "signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))\n"
        "pathlib.Path('group').write_text(str(os.getpgid(0)))\n"
        "pathlib.Path('ready').touch()\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.2)\n"
        "sys.exit(128 + sum(seen))\n"
    )
    code = "import sys; from experiments.figures import recipe; sys.exit(recipe.call(['step']))"
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        assert process.wait(60) == 130
    assert int((tmp_path / "group").read_text()) != process.pid  # or the terminal's own would be a second one


def test_what_a_recipe_made_is_kept_with_its_commit_and_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = result_of("imdb_ladder")

    def call(line: Sequence[str]) -> int:
        if line[0] == "experiments.sentiment":
            folder = Path(next(flag for flag in line if flag.startswith("--workdir=")).partition("=")[2])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "results.json").write_text(json.dumps(result | {"command": "c", "vectors": {"file": "/x"}}))
        return 0

    monkeypatch.setattr(recipe, "call", call)
    (tmp_path / "data" / "imdb").mkdir(parents=True)
    for name in ("wiki_en.00.txt.xz", "imdb/train.tsv.xz", "imdb/test.tsv.xz"):
        (tmp_path / "data" / name).touch()
    start = [FIGURES, "imdb_ladder", f"--run={tmp_path / 'r'}", f"--data={tmp_path / 'data'}"]
    done = run(*start, "--keep", "--note=a trial", f"--results={tmp_path / 'kept'}")
    assert done.status == 0, done.err
    assert (tmp_path / "r" / "imdb_ladder.png").is_file()
    record = json.loads((tmp_path / "kept" / "imdb_ladder.json").read_text())
    assert record["result"] == result and record["note"] == "a trial" and record["seed"] == 0
    assert record["command"] == "python -m experiments.figures imdb_ladder --run=DIR --data=DATA"
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert record["commit"].rstrip("+") == head[:12] and record["machine"]
    done = redraw("imdb_ladder", tmp_path / "kept", tmp_path / "again.png")
    assert done.status == 0 and (tmp_path / "again.png").is_file(), done.err
    before = (tmp_path / "kept" / "imdb_ladder.json").read_bytes()
    result["models"] = result["models"][:1]
    done = run(*start, "--keep", f"--results={tmp_path / 'kept'}")
    assert done.status == 2 and "cannot be drawn as imdb_ladder (key 'lstm' is missing)" in done.err
    assert (tmp_path / "kept" / "imdb_ladder.json").read_bytes() == before


def tiny_wikipedia(folder: Path) -> None:
    """A shard of text in which the words of the map are frequent, and one section of analogies."""
    words = [word for members in wiki_map.GROUPS.values() for word in members]
    lines = np.random.default_rng(0).choice(words, (300, 12))
    (folder / "word_eval" / "analogy").mkdir(parents=True)
    (folder / "word_eval" / "analogy" / "questions-words.txt").write_text(": capital\nfrance paris italy rome\n")
    with lzma.open(folder / "wiki_en.00.txt.xz", "wt") as f:
        f.write("= A title =\n" + "".join(" ".join(line) + "\n" for line in lines))


def test_the_map_is_made_anew_by_the_commands_of_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: the text, a training, its evaluation; then the picture, with the record's numbers beside."""
    monkeypatch.setattr(recipe, "call", lambda line: run(*line).status)
    tiny_wikipedia(tmp_path)
    less = ("--set=train.passes=1.0", "--set=mesh.data=1")
    done = run(FIGURES, "wiki_map", f"--run={tmp_path / 'r'}", f"--data={tmp_path}", *less)
    assert done.status == 0, done.err
    assert "step 3 of 3" in done.err
    assert imread(tmp_path / "r" / "wiki_map.png").shape == imread(PICTURES / "wiki_map.png").shape
    share = json.loads((tmp_path / "r/vectors/evaluation.json").read_text())["analogy"]["questions-words"]["all"]
    head, line = (next(t for t in done.out.splitlines() if t.startswith(word)) for word in ("number", "analogies, sk"))
    assert "record" in head
    assert line.split()[2:6] == ["%", published.short(100 * share["accuracy_add"]), "36.17", "40.4"]
    vectors = load(tmp_path / "r" / "vectors" / "vectors.bin")
    words = (tmp_path / "r" / "wiki.txt").read_text().split()
    assert len(words) == 300 * 12 and len(vectors) == len(set(words))  # the title is no part of it


def test_the_fit_of_published_runs_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, of made-up runs: the law that they follow is what the figure shows, the record's beside it."""
    monkeypatch.setattr(recipe, "call", lambda line: run(*line).status)
    law, noise = {"E": 1.5, "A": 300.0, "alpha": 0.3, "B": 900.0, "beta": 0.35}, np.random.default_rng(0)
    rows = ["parameters,tokens,flops,loss"]
    for n in np.geomspace(1e7, 1e10, 6):
        for d in np.geomspace(1e9, 1e11, 4):
            loss = law["E"] + law["A"] / n ** law["alpha"] + law["B"] / d ** law["beta"]
            rows.append(f"{n},{d},{6 * n * d},{loss * (1 + 0.001 * noise.normal())}")
    (tmp_path / "chinchilla_figure4.csv").write_text("\n".join(rows) + "\n")
    done = run(FIGURES, "chinchilla", f"--run={tmp_path / 'r'}", f"--data={tmp_path}")
    assert done.status == 1 and "missed: E: ours" in done.out  # not the runs that were published
    table = {line[0]: line for line in map(str.split, done.out.splitlines()) if line}
    for name, near in (("alpha", 0.01), ("beta", 0.02)):
        ours, record, paper = map(float, table[name][2:5])
        assert ours == pytest.approx(law[name], abs=near)
        assert record == round(result_of("chinchilla")["parametric"][name]["value"], 4)
        assert paper == papers.value("besiroglu", name)
    assert imread(tmp_path / "r" / "chinchilla.png").shape == imread(PICTURES / "chinchilla.png").shape
