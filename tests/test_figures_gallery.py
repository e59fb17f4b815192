"""The gallery: every figure is listed with its sources, and drawn again from what is committed and nothing else.

What is in the pictures is held by test_figures_drawn*.py, the recipes by test_figures_recipes.py.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from experiments.figures import show
from experiments.figures.gallery import figures
from experiments.figures.show import PICTURES, RESULTS
from tests.commands import ROOT, refused, run
from tests.pictures import FIGURES, redraw, result_of
from w2v_jax import papers
from w2v_jax.errors import UserError
from w2v_jax.figures import published
from w2v_jax.figures.published import Tolerance
from w2v_jax.papers import CHECKED, NUMBERS, PAPERS

pytestmark = pytest.mark.xdist_group("gallery")  # one worker: they share the pictures

# Fails where JAX or the network is asked for: nothing can be trained or fetched.
ALONE = """
import contextlib, json, runpy, socket, sys
sys.modules["jax"] = socket.getaddrinfo = socket.socket.connect = None
folder, sys.argv[1:] = sys.argv[1], ["--list"]
with contextlib.suppress(SystemExit):
    runpy.run_module("experiments.figures", run_name="__main__")
from experiments.figures import show
from experiments.figures.gallery import figures
print(json.dumps({name: show.redraw(name, figure, f"{folder}/{name}.png") for name, figure in figures().items()}))
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Folder of all figures, and the exit status of each."""
    folder = tmp_path_factory.mktemp("drawn")
    whole = [sys.executable, "-c", ALONE, str(folder)]
    done = subprocess.run(whole, capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(run(FIGURES, "--list").out), "it lists without JAX as with it"
    return folder, json.loads(done.stdout.splitlines()[-1])


def results(tmp_path: Path, name: str, **change: Any) -> Path:
    """A folder with one record, and keys of it changed."""
    folder = tmp_path / "results"
    folder.mkdir()
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    (folder / f"{name}.json").write_text(json.dumps(record | change), encoding="utf-8")
    return folder


# ---- what there is ----


def test_pictures_records_and_files_of_the_gallery_belong_together() -> None:
    names = set(figures())
    assert {f.stem for f in PICTURES.glob("*.png")} == names
    assert {f.stem for f in RESULTS.glob("*.json")} == names
    assert {f.stem for f in (ROOT / "experiments/figures/gallery").glob("*.py")} == names | {"__init__"}
    assert all(f.stat().st_size < 200_000 for f in RESULTS.iterdir())
    assert sum(f.stat().st_size for f in RESULTS.iterdir()) < 1_000_000


def test_list_names_every_figure_with_its_paper_and_numbers() -> None:
    done = run(FIGURES, "--list")
    assert done.status == 0, done.err
    for name, figure in figures().items():
        lines = [line for line in done.out.splitlines() if line.startswith(f"{name} ")]
        assert figure.paper in lines[0] and figure.shows in lines[0]
        assert len(lines) == 1 + max(1, len(figure.numbers))
        for number, line in zip(figure.numbers, lines[1:], strict=False):
            for part in (number.what, published.short(number.value), f" {number.checked} ", number.source):
                assert part in line


def test_list_takes_nothing_beside_it() -> None:
    refused(run(FIGURES, "--list", "ptb_curves"), "--list: ptb_curves means nothing beside it")
    refused(run(FIGURES, "--list", "--seed=1"), "--list: --seed means nothing beside it")


def test_published_numbers_stand_in_the_table_of_papers_and_say_how_they_are_known() -> None:
    assert {paper for paper, _ in NUMBERS} <= set(PAPERS)
    assert len({paper.source for paper in PAPERS.values()}) == len(PAPERS)
    assert all(paper.name and paper.why for paper in PAPERS.values())
    assert all(n.unit and n.checked in CHECKED and math.isfinite(n.value) for n in NUMBERS.values())
    table = {(PAPERS[paper].source, n.value, n.unit, n.checked) for (paper, _), n in NUMBERS.items()}
    assert {(n.source, n.value, n.unit, n.checked) for f in figures().values() for n in f.numbers} <= table
    assert papers.value("notes", "forget gate, half left after 13 steps") ** 13 == pytest.approx(0.5)


@pytest.mark.parametrize("path", sorted(RESULTS.iterdir()), ids=lambda path: path.stem)
def test_records_say_where_they_are_from_and_name_no_place(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert "python -m " in record["command"] and record["data"] and record["machine"]
    assert not any(part in path.read_text(encoding="utf-8") for part in ("/tmp", "/home", "/root", "/work"))


# ---- drawing again ----


@pytest.mark.parametrize("name", figures())
def test_a_figure_is_drawn_again_without_jax_or_network(name: str, drawn: tuple[Path, dict[str, int]]) -> None:
    picture = imread(drawn[0] / f"{name}.png")
    assert picture.shape == imread(PICTURES / f"{name}.png").shape
    assert 0.01 < np.mean(picture[..., :3].min(axis=-1) < 0.9) < 0.9  # neither blank nor full
    assert drawn[1][name] == (1 if name in ("throughput", "scaling_accuracy") else 0), (
        "what the notes claim and we miss"
    )


def test_numbers_of_ours_are_those_of_the_run_that_was_logged() -> None:
    """The records against the lines of results/*.jsonl, which were written apart from them."""
    files = [ROOT / "results" / f"{family}_runs.jsonl" for family in ("recurrent", "transformer")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    logged = {entry["run"]: entry for entry in map(json.loads, lines)}

    def measured(name: str) -> dict[str, float]:
        return figures()[name].measure(result_of(name))

    ptb = measured("ptb_curves")
    assert ptb["test"] == pytest.approx(logged["ptb"]["evaluation"]["test"]["perplexity"])
    assert ptb["test with dropout"] == pytest.approx(logged["ptb_regularised"]["evaluation"]["test"]["perplexity"])
    assert ptb["validation at the end"] == pytest.approx(math.exp(logged["ptb"]["result"]["heldout_loss"]), rel=1e-4)
    transformer = logged["ptb_transformer"]["evaluation"]["test"]["strided"]["perplexity"]
    assert ptb["test of the transformer"] == pytest.approx(transformer)
    ladder = logged["imdb ladder with its transformer"]["result"]["models"]
    rungs = {r["model"]: 100 * r["test_accuracy"] for r in ladder}
    assert measured("imdb_ladder") == pytest.approx(rungs)
    optimum = logged["synthetic_optimum lstm"]["evaluation"]["test"]["optimum"]["all"]
    assert measured("synthetic_optimum")["lstm, 1 x 128: loss"] == pytest.approx(optimum["model"])
    study = [json.loads(line) for line in (ROOT / "results" / "scaling_wiki.jsonl").read_text().splitlines()]
    for arm in ("transformer", "lstm", "shared_kv", "elementwise"):
        own = [r for r in study if r["arm"] == arm]
        kept = [r["heldout_loss"] for r in result_of("scaling_wiki")["runs"] if r["arm"] == arm]
        assert sorted(kept) == sorted(r["heldout_loss"] for r in own)
        assert measured("scaling_accuracy")[arm] == 100 * max(r["heldout_accuracy"] for r in own if r["tokens"] > 4e6)
    best = {n.value for n in figures()["synthetic_optimum"].numbers}
    assert best == {round(optimum["optimum"], 4)}


def test_the_command_draws_into_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(FIGURES, "imdb_ladder")
    assert done.status == 0, done.err
    assert os.listdir() == ["imdb_ladder.png"]
    line = next(line for line in done.out.splitlines() if line.startswith("LSTM over word2vec"))
    assert "89.59" in line and " verified " in line and "holds: at least 86" in line
    assert "no tolerance stated" in done.out


def test_a_missed_tolerance_is_told_and_ends_with_1(tmp_path: Path) -> None:
    record = json.loads((RESULTS / "ptb_curves.json").read_text(encoding="utf-8"))
    record["result"]["runs"][0]["test"] = 130.0
    done = redraw("ptb_curves", results(tmp_path, "ptb_curves", **record), tmp_path / "p.png")
    assert done.status == 1 and done.err == ""
    told = [line for line in done.out.splitlines() if line.startswith("missed: ")]
    assert len(told) == 1 and "test, 2 x 200" in told[0] and f"by {130 - 1.05 * 114.5:.4g} perplexity" in told[0]
    assert (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"result": {}}, ["key 'result'", "key 'models' is missing"]),
        ({"result": {"models": [{"model": "average", "test_accuracy": "half"}]}}, ["key 'result'", "half"]),
        ({"result": {"majority": 0.5, "models": []}}, ["key 'average' is missing"]),
        ({"result": []}, ["key 'result' must be a dict"]),
        ({"seed": None}, ["key 'seed' must be a int"]),
        ({"sead": 0}, ["key 'sead' is unknown"]),
        ({"result": {"majority": math.nan}}, ["not JSON", "NaN"]),
    ],
)
def test_a_damaged_record_leaves_no_picture(tmp_path: Path, change: dict[str, Any], parts: list[str]) -> None:
    done = redraw("imdb_ladder", results(tmp_path, "imdb_ladder", **change), tmp_path / "out" / "p.png")
    refused(done, r"imdb_ladder\.json", "git checkout", *parts)
    assert os.listdir(tmp_path) == ["results"]


def test_a_record_cut_off_or_missing_and_what_else_is_refused(tmp_path: Path) -> None:
    folder = results(tmp_path, "gradients")
    path = folder / "gradients.json"
    path.write_bytes(path.read_bytes()[:9000])
    refused(redraw("gradients", folder, tmp_path / "p.png"), r"gradients\.json: not JSON", "git checkout")
    refused(redraw("ptb_curves", folder, tmp_path / "p.png"), r"ptb_curves\.json: no such file", "--results")
    refused(redraw("ptb_curves", RESULTS, tmp_path / "p.gif"), r"p\.gif: a picture's name must end in")
    refused(run(FIGURES, "ptb_curve"), "did you mean 'ptb_curves'")
    refused(run(FIGURES, "ptb_curves", "--workdir=x"), "--workdir means nothing to the figure ptb_curves")
    refused(run(FIGURES, "map", f"--results={folder}"), "--results means nothing to the figure map")
    refused(run(FIGURES, "ptb_curves", "--keep"), "--keep is for --run=DIR")
    assert os.listdir(tmp_path) == ["results"]


@pytest.mark.parametrize("name", figures())
def test_a_result_without_one_of_the_keys_that_are_drawn_is_refused(name: str, tmp_path: Path) -> None:
    result = result_of(name)
    drawn = {"chinchilla": "parametric", "gradients": "chance", "imdb_ladder": "majority", "keys_values": "rungs"}
    drawn |= {
        "word_models": "models",
        "analogy_kinds": "models",
        "pairs_sick": "picture",
        "topics": "pairs",
        "published_fits": "rows",
        "counting": "rows",
        "ladder": "came",
        "task_ladder": "studies",
        "vector_ladder": "studies",
        "wiki_tasks": "studies",
    }
    key = drawn.get(name) or {"throughput": "prompt", "wiki_map": "vocabulary"}.get(name, "runs")
    for i, value in enumerate(({k: v for k, v in result.items() if k != key}, result | {key: None})):
        (tmp_path / str(i)).mkdir()
        folder = results(tmp_path / str(i), name, result=value)
        with pytest.raises(UserError, match=rf"{name}\.json: key 'result' .* git checkout"):
            show.redraw(name, figures()[name], str(tmp_path / "p.png"), folder)
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]


def test_a_figure_without_published_numbers_is_listed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = dataclasses.replace(figures()["imdb_ladder"], numbers=())
    assert show.listing({"imdb_ladder": figure}).split("\n\n")[1].splitlines()[1].split() == ["imdb_ladder", "none"]
    assert show.redraw("imdb_ladder", figure, str(tmp_path / "p.png")) == 0
    said = capsys.readouterr().out
    assert "no published number" in said and "lstm: 89.59" in said


# ---- tolerances ----


def test_tolerances_have_ends_that_belong_to_them() -> None:
    both = Tolerance("why", 50.0, 200.0)
    assert [both.miss(x) for x in (50.0, 200.0, 100.0)] == [0.0, 0.0, 0.0]
    assert both.miss(49.0) == 1.0 and both.miss(203.0) == 3.0 and both.miss(math.nan) == math.inf
    assert Tolerance("why", highest=120.0).miss(-1e9) == 0.0
    assert [t.words() for t in (both, Tolerance("w", highest=3), Tolerance("w", lowest=3))] == [
        "50 to 200",
        "at most 3",
        "at least 3",
    ]
    for wrong in ({"why": ""}, {"why": "w", "lowest": 2.0, "highest": 1.0}):
        with pytest.raises(ValueError, match="needs a reason"):
            Tolerance(**wrong)
    with pytest.raises(KeyError, match="test, 3 x 200"):
        published.beside("zaremba", "test, 3 x 200")
