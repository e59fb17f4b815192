"""The project's figures: each is listed with its sources, and drawn again from what is committed and nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments.figures.registry import ENTRIES, PICTURES, RESULTS
from matplotlib.image import imread

from experiments import figure_records
from experiments.figures import registry
from tests.commands import ROOT, Done, refused, run
from w2v_jax.figures import published
from w2v_jax.figures.published import CHECKED, COMPUTED, UNVERIFIED, VERIFIED, Published, Tolerance

pytestmark = pytest.mark.xdist_group("registry")  # one worker: they share the pictures

FIGURES = "experiments.figures"
# Fails where JAX or the network is asked for: nothing can be trained or fetched.
ALONE = """
import json, socket, sys
sys.modules["jax"] = socket.getaddrinfo = socket.socket.connect = None
from experiments.figures import registry
print(json.dumps({name: registry.redraw(name, f"{sys.argv[1]}/{name}.png") for name in registry.ENTRIES}))
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Folder of all figures, and the exit status of each."""
    folder = tmp_path_factory.mktemp("drawn")
    whole = [sys.executable, "-c", ALONE, str(folder)]
    done = subprocess.run(whole, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def results(tmp_path: Path, name: str, **change: Any) -> Path:
    """A folder with one record, and keys of it changed."""
    folder = tmp_path / "results"
    folder.mkdir()
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    (folder / f"{name}.json").write_text(json.dumps(record | change), encoding="utf-8")
    return folder


def redraw(name: str, folder: Path, out: Path) -> Done:
    return run(FIGURES, name, f"--results={folder}", f"--out={out}")


# ---- what there is ----


def test_pictures_entries_records_and_collectors_belong_together() -> None:
    names = set(ENTRIES)
    assert {f.stem for f in PICTURES.glob("*.png")} == names
    assert {f.stem for f in RESULTS.glob("*.json")} == names
    assert set(figure_records.COLLECT) == names
    assert all(f.stat().st_size < 200_000 for f in RESULTS.iterdir())
    assert sum(f.stat().st_size for f in RESULTS.iterdir()) < 1_000_000


def test_list_names_every_figure_with_its_paper_and_numbers() -> None:
    done = run(FIGURES, "--list")
    assert done.status == 0, done.err
    for name, entry in ENTRIES.items():
        lines = [line for line in done.out.splitlines() if line.startswith(f"{name} ")]
        assert entry.source() in lines[0] and entry.shows in lines[0]
        assert len(lines) == 1 + max(1, len(entry.numbers))
        for number, line in zip(entry.numbers, lines[1:], strict=False):
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


@pytest.mark.parametrize("name", ENTRIES)
def test_published_numbers_have_a_source_and_say_whether_it_was_read(name: str) -> None:
    for number in ENTRIES[name].numbers:
        assert number.source and number.unit and number.checked in CHECKED and math.isfinite(number.value)


def test_what_was_not_at_hand_is_not_called_verified() -> None:
    """These papers could not be read when their numbers were written down."""
    unread = ("Zaremba", "Mikolov", "Kaplan", "Hoffmann", "Hestness")
    marks = {n.checked for e in ENTRIES.values() for n in e.numbers if n.source.startswith(unread)}
    assert marks == {UNVERIFIED}
    assert {n.checked for e in ENTRIES.values() for n in e.numbers} >= {VERIFIED, UNVERIFIED, COMPUTED}


@pytest.mark.parametrize("path", sorted(RESULTS.iterdir()), ids=lambda path: path.stem)
def test_records_say_where_they_are_from_and_name_no_place(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert "python -m " in record["command"] and record["data"] and "AMD EPYC" in record["machine"]
    assert not any(part in path.read_text(encoding="utf-8") for part in ("/tmp", "/home", "/root", "/work"))


# ---- drawing again ----


@pytest.mark.parametrize("name", ENTRIES)
def test_a_figure_is_drawn_again_without_jax_or_network(name: str, drawn: tuple[Path, dict[str, int]]) -> None:
    picture, committed = imread(drawn[0] / f"{name}.png"), imread(PICTURES / f"{name}.png")
    assert picture.shape == committed.shape
    assert 0.01 < np.mean(picture[..., :3].min(axis=-1) < 0.9) < 0.9  # neither blank nor full
    # The fonts of another matplotlib move letters a little; other results would move curves.
    assert np.abs(picture - committed).mean() < 0.04
    assert drawn[1][name] == (1 if name in ("throughput", "scaling_accuracy") else 0), (
        "what the notes claim and we miss"
    )


def test_numbers_of_ours_are_those_of_the_run_that_was_logged() -> None:
    """The records against the lines of results/*.jsonl, which were written apart from them."""
    files = [ROOT / "results" / f"{family}_runs.jsonl" for family in ("recurrent", "transformer")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    logged = {entry["run"]: entry for entry in map(json.loads, lines)}

    def measured(name: str) -> dict[str, float]:
        return ENTRIES[name].load(json.loads((RESULTS / f"{name}.json").read_text())["result"]).measured

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
        assert measured("scaling_wiki")[f"{arm}: lowest loss"] == min(r["heldout_loss"] for r in own)
        assert measured("scaling_accuracy")[arm] == 100 * max(r["heldout_accuracy"] for r in own if r["tokens"] > 4e6)
    best = {n.value for n in ENTRIES["synthetic_optimum"].numbers}
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
        ({"result": {"majority": "half", "models": []}}, ["key 'result'", "half"]),
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
    assert os.listdir(tmp_path) == ["results"]


@pytest.mark.parametrize("name", ENTRIES)
def test_no_result_that_is_cut_short_gives_a_traceback(name: str, tmp_path: Path) -> None:
    """Each key of a result left out, and each made something else: refused while it is read."""
    result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["result"]
    broken = [{k: v for k, v in result.items() if k != key} for key in result]
    broken += [result | {key: wrong} for key in result for wrong in (None, "x")]
    for value in broken:
        try:
            ENTRIES[name].load(value)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue  # what `redraw` turns into one line; a key that is not drawn raises nothing


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
    with pytest.raises(ValueError, match="one of verified"):
        Published("a", 1.0, "%", "paper", "checked", "ours")


# ---- keeping results ----


def test_results_of_a_run_are_kept_and_drawn(tmp_path: Path) -> None:
    committed = json.loads((RESULTS / "imdb_ladder.json").read_text(encoding="utf-8"))
    written = committed["result"] | {"command": "python -m x --vectors=/somewhere/v.bin", "vectors": {"file": "/x"}}
    (tmp_path / "results.json").write_text(json.dumps(written))
    about = [f"--{key}={committed[key]}" for key in ("command", "data", "machine")]
    start = ("experiments.figure_records", "imdb_ladder", f"--out={tmp_path / 'kept' / 'imdb_ladder.json'}")
    done = run(*start, f"--from={tmp_path / 'results.json'}", *about)
    assert done.status == 0, done.err
    assert (tmp_path / "kept" / "imdb_ladder.json").read_bytes() == (RESULTS / "imdb_ladder.json").read_bytes()
    shutil.rmtree(tmp_path / "kept")
    (tmp_path / "results.json").write_text("{}")
    refused(run(*start, f"--from={tmp_path / 'results.json'}", *about), "cannot be drawn", "models")
    refused(run(*start, f"--from={tmp_path / 'none.json'}", *about), r"none\.json: no such file")
    refused(run(*start, f"--from={tmp_path / 'results.json'}"), "--command is missing")
    refused(run("experiments.figure_records", "imdb_lader"), "did you mean 'imdb_ladder'")
    assert os.listdir(tmp_path) == ["results.json"]


def test_an_entry_without_numbers_is_listed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = {"imdb_ladder": dataclasses.replace(ENTRIES["imdb_ladder"], numbers=())}
    assert registry.listing(entries).split("\n\n")[1].splitlines()[1].split() == ["imdb_ladder", "none"]
    assert registry.redraw("imdb_ladder", str(tmp_path / "p.png"), entries=entries) == 0
    said = capsys.readouterr().out
    assert "no published number" in said and "lstm: 89.59" in said
