"""What the pictures of sizes, windows and speeds of word vectors show, as in `tests/test_figures_drawn.py`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from experiments.figures.gallery import figures, speed_accuracy
from tests.drawn import Points, draw, lines, record, same, spread
from tests.drawn import paper as paper
from w2v_jax.files import write_json


def check_windows(panels: list[Axes], result: dict[str, Any]) -> None:
    places: list[dict[float, dict[str, Any]]] = [
        {d: {"dim": d, "window": 5, "side": "both"} for d in (25, 50, 100, 200)},
        {w: {"dim": 100, "window": w, "side": "both"} for w in (1, 2, 5, 10)},
        {w: {"dim": 100, "window": w, "side": "left"} for w in (1, 2, 5, 10)},
    ]
    for axes, own in zip(panels, places, strict=True):
        kinds = ("semantic", "syntactic", "total")
        same(lines(axes), [line for kind in kinds for line in spread(result["runs"], own, kind)])
        assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(x) for x in own]


def check_speed_accuracy(panels: list[Axes], result: dict[str, Any]) -> None:
    """The limits by hand: operations and bytes of a kept word, in float32."""
    limits, dims = result["limits"], (300, 200, 100, 50)
    scores = {"skip-gram": 36.0, "CBOW": 6.0, "hierarchical": 6.0 * limits["path"]}
    panel = iter(panels)
    for key in ("total", "men"):
        for model in scores:
            expected: list[Points] = []
            for side in ("ours", "gensim"):
                speeds = {
                    run["dim"]: run["words_per_second"]
                    for run in sorted(result["speeds"], key=lambda run: run["words_per_second"])  # the fastest stays
                    if (run["side"], run["model"]) == (side, model)
                }
                own = {speeds[d]: {"side": side, "model": model, "dim": d} for d in dims if d in speeds}
                mean, *caps = spread(result["runs"], dict(sorted(own.items())), key)
                expected += [mean, *caps]
                if side == "ours":
                    heights = {d: next(y for x, y in mean if x == speeds[d]) for d in dims}
            copied = {d: limits["bytes"][str(d)] / limits["kept"] for d in dims}
            done = limits["operations"] / limits["kept"]
            for words in (
                {d: done / (6 * d * scores[model]) for d in dims},
                {d: copied[d] / (16 * d) for d in dims},
                {d: copied[d] / (8 * d * (scores[model] + 6)) for d in dims},
            ):
                expected.append(sorted((words[d], heights[d]) for d in dims))
            axes = next(panel)
            same(lines(axes), expected)
            assert axes.get_xscale() == "log" and axes.get_title().startswith(model)


CHECKS = {"speed_accuracy": check_speed_accuracy, "windows": check_windows}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.usefixtures("paper")
def test_a_picture_shows_what_the_record_says(name: str, tmp_path: Path) -> None:
    result = record(name)
    CHECKS[name](draw(name, copy.deepcopy(result), tmp_path), result)


def made(folder: Path, seconds: float) -> None:
    """The files of a recipe that is done, of one seed and one size, with these seconds for each training."""
    scores = {"total": 1.0, "men": 0.5}
    one = {"seed": 0, "passes": 2.0, "seconds": seconds, "scores": scores}
    tree = {"model.dim": "50", "model.loss": "hierarchical"}
    for config, changes in (("skipgram", [{"model.dim": "50"}, tree]), ("cbow", [{"model.dim": "50"}])):
        (folder / config).mkdir(parents=True)
        write_json(folder / config / "sweep.json", {"runs": [{**one, "changes": c} for c in changes]})
    (folder / "gensim").mkdir()
    write_json(folder / "gensim" / "sweep.json", {"runs": [{**one, "model": "CBOW", "dim": 50, "passes": 1}]})


def test_speeds_are_of_the_text_and_of_runs_of_their_own(tmp_path: Path) -> None:
    """Words/s count all words of the text, for both sides, and come from other runs than the scores."""
    made(tmp_path / "quality", 1.0)
    made(tmp_path / "speed", 4.0)
    write_json(tmp_path / "limits.json", {"words": 1000, "machine": {}})
    found = speed_accuracy.collect(tmp_path)
    speeds = {(run["side"], run["model"]): run["words_per_second"] for run in found["speeds"]}
    ours = dict.fromkeys([("ours", model) for model in ("skip-gram", "hierarchical", "CBOW")], 500.0)
    assert speeds == {**ours, ("gensim", "CBOW"): 250.0}
    assert [run["total"] for run in found["runs"]] == [1.0] * 4 and found["limits"] == {"words": 1000}


def test_the_recipes_vary_what_the_figures_draw() -> None:
    windows = next(step.flags for step in figures()["windows"].recipe if "sweep" in step.module)
    variants = windows.partition("--vary=")[2].split()[0].split(";")
    assert len(variants) == 11, "the panels share one setting"
    assert "model.dim=100,model.window=10,model.side=left" in variants
    steps = [step.flags.split() for step in figures()["speed_accuracy"].recipe]
    timed = [flags for flags in steps if "--seeds=10" in flags]
    assert len(timed) == 3 and not any(flag.startswith("--data_dir") for flags in timed for flag in flags)
    scored = [flags for flags in steps if "--seeds=0,1" in flags and "--data_dir={word_eval}" in flags]
    assert len(scored) == 3
