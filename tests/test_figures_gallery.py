"""The gallery: every figure is listed with its sources, drawn again from what is committed and nothing else, and made
anew by its recipe. What is in the pictures is held by test_figures_drawn.py."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import lzma
import math
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
from experiments.figures import recipe, show
from experiments.figures.gallery import figures, wiki_map
from experiments.figures.show import PICTURES, RESULTS
from tests.commands import ROOT, Done, refused, run
from w2v_jax import papers
from w2v_jax.config import to_dict
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError
from w2v_jax.figures import published
from w2v_jax.figures.published import Tolerance
from w2v_jax.papers import CHECKED, NUMBERS, PAPERS

pytestmark = pytest.mark.xdist_group("gallery")  # one worker: they share the pictures

FIGURES = "experiments.figures"
# Fails where JAX or the network is asked for: nothing can be trained or fetched.
ALONE = """
import json, socket, sys
sys.modules["jax"] = socket.getaddrinfo = socket.socket.connect = None
from experiments.figures import show
from experiments.figures.gallery import figures
print(json.dumps({name: show.redraw(name, figure, f"{sys.argv[1]}/{name}.png") for name, figure in figures().items()}))
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Folder of all figures, and the exit status of each."""
    folder = tmp_path_factory.mktemp("drawn")
    whole = [sys.executable, "-c", ALONE, str(folder)]
    done = subprocess.run(whole, capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def results(tmp_path: Path, name: str, **change: Any) -> Path:
    """A folder with one record, and keys of it changed."""
    folder = tmp_path / "results"
    folder.mkdir()
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    (folder / f"{name}.json").write_text(json.dumps(record | change), encoding="utf-8")
    return folder


def result_of(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["result"])


def redraw(name: str, folder: Path, out: Path) -> Done:
    return run(FIGURES, name, f"--results={folder}", f"--out={out}")


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


def test_list_starts_without_jax_and_takes_nothing_beside_it() -> None:
    code = (
        "import sys; sys.modules['jax'] = None; sys.argv[1:] = ['--list']; import runpy\n"
        f"runpy.run_module({FIGURES!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0 and "ptb_curves" in done.stdout, done.stderr
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
    assert "89.59" in line and "unverified" in line and "holds: at least 86" in line
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
    key = drawn.get(name) or {"throughput": "prompt", "wiki_map": "vocabulary"}.get(name, "runs")
    for i, value in enumerate(({k: v for k, v in result.items() if k != key}, result | {key: None})):
        (tmp_path / str(i)).mkdir()
        folder = results(tmp_path / str(i), name, result=value)
        with pytest.raises(UserError, match=rf"{name}\.json: key 'result' .* git checkout"):
            show.redraw(name, figures()[name], str(tmp_path / "p.png"), folder)
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]


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


# ---- made anew ----


def test_recipes_name_commands_configs_and_keys_that_there_are() -> None:
    for name, figure in figures().items():
        for step in figure.recipe:
            assert importlib.util.find_spec(step.module), name
            given = dict(flag.removeprefix("--").split("=", 1) for flag in step.flags.split())
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


def test_the_map_is_made_anew_by_the_commands_of_its_recipe(tmp_path: Path) -> None:
    """Real processes: the text, a training, its evaluation; then the picture, with the record's numbers beside."""
    tiny_wikipedia(tmp_path)
    done = run(FIGURES, "wiki_map", f"--run={tmp_path / 'r'}", f"--data={tmp_path}", "--set=train.passes=1.0")
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


def test_a_figure_without_published_numbers_is_listed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = dataclasses.replace(figures()["imdb_ladder"], numbers=())
    assert show.listing({"imdb_ladder": figure}).split("\n\n")[1].splitlines()[1].split() == ["imdb_ladder", "none"]
    assert show.redraw("imdb_ladder", figure, str(tmp_path / "p.png")) == 0
    said = capsys.readouterr().out
    assert "no published number" in said and "lstm: 89.59" in said
