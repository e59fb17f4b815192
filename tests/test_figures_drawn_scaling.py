"""What the pictures of laws and studies show, as in `tests/test_figures_drawn.py`."""

from __future__ import annotations

import copy
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from experiments.figures.gallery import counting, figures
from tests.drawn import Points, across, draw, lines, record, same, upright
from tests.drawn import paper as paper
from tests.scaling import planted
from w2v_jax.papers import NUMBERS
from w2v_jax.scaling import records


def by_arm(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    arms: dict[str, list[dict[str, Any]]] = {}
    for row in result["runs"]:
        arms.setdefault(row["arm"], []).append(row)
    return arms


def longest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of the most tokens, which are rounded to whole steps."""
    return [row for row in rows if row["tokens"] > 0.97 * max(r["tokens"] for r in rows)]


def joined(pairs: list[tuple[float, float]]) -> list[Points]:
    """Every run, and the means over the seeds."""
    sizes = sorted({n for n, _ in pairs})
    return [pairs, [(n, statistics.fmean(y for m, y in pairs if m == n)) for n in sizes]]


def check_chinchilla(panels: list[Axes], result: dict[str, Any]) -> None:
    """Ours first; then who has a number of that name, in the order of the laws."""
    others = {
        "E": [NUMBERS["hoffmann", "E"], NUMBERS["besiroglu", "E"]],
        "alpha": [NUMBERS["kaplan", "N alone"], NUMBERS["hoffmann", "alpha"], NUMBERS["besiroglu", "alpha"]],
        "beta": [NUMBERS["kaplan", "D alone"], NUMBERS["hoffmann", "beta"], NUMBERS["besiroglu", "beta"]],
    }
    others["beta"].append(NUMBERS["hestness", "D alone"])
    named = {axes.get_title(loc="left"): axes for axes in panels}
    assert list(named) == list(others)
    for name, axes in named.items():
        ours = result["parametric"][name]
        expected: list[Points] = [upright(ours["value"]), [(ours["value"], 0)], [(ours["low"], 0), (ours["high"], 0)]]
        for i, number in enumerate(others[name], 1):
            expected.append([(number.value, i)])
            if math.isfinite(number.error):
                expected.append([(number.value + 1.959964 * sign * number.error, i) for sign in (-1, 1)])
        same(lines(axes), expected)


def check_families(panels: list[Axes], result: dict[str, Any]) -> None:
    left, right = panels
    zero = result["runs"][0]["optimum"] or 0.0
    assert left.get_yscale() == ("log" if zero else "linear")
    sizes: list[Points] = []
    costs: list[Points] = []
    for rows in by_arm(result).values():
        sizes += joined([(row["parameters"], row["heldout_loss"] - zero) for row in longest(rows)])
        points = [(row["training_flops"], row["heldout_loss"] - zero) for row in rows]
        ordered = sorted(points)
        best = [(cost, min(y for _, y in ordered[: i + 1])) for i, (cost, _) in enumerate(ordered)]
        costs += [points, best]
    same(lines(left), sizes)
    same(lines(right), costs)


def check_accuracy(panels: list[Axes], result: dict[str, Any]) -> None:
    expected: list[Points] = [[(1e6, 70), (1e8, 75), (1e9, 78), (1e10, 82), (1e11, 85)]]
    for rows in by_arm(result).values():
        expected += joined([(row["parameters"], 100 * row["heldout_accuracy"]) for row in longest(rows)])
    same(lines(panels[0]), expected)


def check_positions(panels: list[Axes], result: dict[str, Any]) -> None:
    """Groups of positions, read off their middles: they follow each other, widen, and each shows its mean."""
    losses = {row["arm"]: np.array(row["by_position"]) for row in result["runs"]}
    base = min(losses.values(), key=lambda curve: float(curve.sum()))
    for axes, curves in zip(panels, (losses.values(), [curve - base for curve in losses.values()]), strict=True):
        expected = []
        for curve in curves:
            middles, groups, start = lines(axes)[0][:, 0], [], 0
            for middle in middles:
                groups.append((start, start + round(2 * (middle - start)) - 1))
                start = groups[-1][1]
            widths = [b - a for a, b in groups]
            assert start == len(curve) and widths[0] == 1 and widths == sorted(widths[:-1]) + widths[-1:]
            expected.append([((a + b + 1) / 2, curve[a:b].mean()) for a, b in groups])
        same(lines(axes), expected)
    names = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert names == [f"{row['arm']}, {row['parameters']:,} parameters" for row in result["runs"]]


def check_word2vec(panels: list[Axes], result: dict[str, Any]) -> None:
    dims = sorted({row["dim"] for row in result["runs"]})
    words = sorted({round(row["tokens"] / 1000) for row in result["runs"]})
    for axes, test in zip(panels, ("analogies questions-words", "similarity men"), strict=True):
        grid = np.full((len(dims), len(words)), np.nan)
        for row in result["runs"]:
            grid[dims.index(row["dim"]), words.index(round(row["tokens"] / 1000))] = 100 * row["quality"][test]
        np.testing.assert_allclose(axes.images[0].get_array().filled(np.nan), grid)
        told = {tuple(text.get_position()): text.get_text() for text in axes.texts}
        assert told == {(x, y): f"{grid[y, x]:.3g}" for y in range(len(dims)) for x in range(len(words))}
        assert [label.get_text() for label in axes.get_yticklabels()] == [str(d) for d in dims]


def check_published_fits(panels: list[Axes], result: dict[str, Any]) -> None:
    """Bars and marks of ours above those that were published, on one line for each exponent of one fit a study."""
    shown = []
    for row in result["rows"]:
        fit, _, name = row["number"].rpartition(", ")
        exponent = not name.startswith("ln ") and name not in "EAB" and row["paper"] != "olmo"
        if exponent and (row["paper"] != "gemstones" or fit == "constant"):
            shown.append(row)
    expected: list[Points] = []
    for i, row in enumerate(shown):
        for key, place in (("ours", i - 0.2), ("published", i + 0.2)):
            value, low, high = row[key]
            expected += [[(low, place), (high, place)]] if low is not None else []
            expected.append([(value, place)])
    same(lines(panels[0]), expected)
    assert len(panels[0].get_yticklabels()) == len(shown) == 22


def check_counting(panels: list[Axes], result: dict[str, Any]) -> None:
    """One line for each way, ours above theirs."""
    rows = {(row["paper"], row["number"]): row for row in result["rows"]}
    expected: list[Points] = []
    for i, key in enumerate(counting.WAYS):
        for whose, place in (("ours", i - 0.2), ("published", i + 0.2)):
            value, low, high = rows[key][whose]
            expected += [[(low, place), (high, place)]] if low is not None else []
            expected.append([(value, place)])
    same(lines(panels[0]), expected)


def check_ladder(panels: list[Axes], result: dict[str, Any]) -> None:
    """The forecasts of accuracy with intervals, the published ones without, and a cross for what came."""
    rows = {row["number"]: row for row in result["rows"]}
    expected: list[Points] = []
    for i, (task, came) in enumerate(result["came"].items()):
        value, low, high = rows[f"{task}, accuracy"]["ours"]
        theirs = rows[f"{task}, accuracy"]["published"][0]
        expected += [[(low, i - 0.2), (high, i - 0.2)], [(value, i - 0.2)], [(theirs, i + 0.2)]]
        expected.append([(came["accuracy"], i)])
    same(lines(panels[0]), expected)
    assert len(result["came"]) == 8


def check_forecasts(panels: list[Axes], result: dict[str, Any]) -> None:
    """The fitted runs by size, each forecast from end to end beside the others of its run, and what came."""
    expected: list[Points] = []
    for n in sorted({row["parameters"] for row in result["runs"]}):
        own = [(r["training_flops"], r["heldout_loss"]) for r in result["runs"] if r["parameters"] == n]
        expected.append(sorted(own))
    for i, targets in enumerate(result["forecasts"].values()):
        for target in targets:
            value, low, high = target["loss"]
            expected.append([(target["training_flops"] * 1.16**i, y) for y in (low, value, high)])
    expected.append([(r["training_flops"], r["heldout_loss"]) for r in result["came"]])
    best = {r["optimum"] for r in (*result["runs"], *result["came"]) if "optimum" in r}
    same(lines(panels[0]), [*expected, *map(across, best)])


def check_rate_transfer(panels: list[Axes], result: dict[str, Any]) -> None:
    """Each size's mean losses by rate and a star at the least; a dotted line at the best rate of the smallest."""
    named = [axes for axes in panels if axes.get_title()]
    assert not any(lines(axes) for axes in panels if axes not in named)
    for axes in named:
        seeds: dict[int, dict[float, list[float]]] = {}
        for row in result["runs"]:
            if row["arm"] == axes.get_title():
                seeds.setdefault(row["parameters"], {}).setdefault(row["learning_rate"], []).append(row["heldout_loss"])
        sizes = {
            n: [(rate, sum(y) / len(y)) for rate, y in rates.items() if len(y) == max(map(len, rates.values()))]
            for n, rates in seeds.items()
        }
        expected: list[Points] = []
        for i, n in enumerate(sorted(sizes)):
            best = min(sizes[n], key=lambda pair: pair[1])
            expected += [sorted(sizes[n]), [best], *([upright(best[0])] if i == 0 else [])]
        same(lines(axes), expected)
    assert {axes.get_title() for axes in named} == {row["arm"] for row in result["runs"]}


def check_coordinates(panels: list[Axes], result: dict[str, Any]) -> None:
    """Changes over those of the arm's first size, against its parameters, and a line at 1."""
    for axes in panels:
        own = [row for row in result["runs"] if row["arm"] == axes.get_title()]
        expected: list[Points] = []
        for change in (lambda row: row["states"][0], lambda row: row["states"][-1], lambda row: row["logits"]):
            expected.append([(row["weights"], change(row) / change(own[0])) for row in own])
        same(lines(axes)[:3], expected)


def check_branches(panels: list[Axes], result: dict[str, Any]) -> None:
    """Left, every run and the means over the seeds, by grid and size; right, pairs of exponents with intervals."""
    left, right = panels
    expected: list[Points] = []
    for rows in by_arm(result).values():
        for n in sorted({row["parameters"] for row in rows}):
            pairs = [(row["tokens"], row["heldout_loss"] - row["optimum"]) for row in rows if row["parameters"] == n]
            expected += joined(sorted(pairs))
    same(lines(left), expected)
    measured = figures()["scaling_branches"].measure(result)
    names = [label.get_text() for label in right.get_yticklabels()]
    assert {"power of C", "power of D, largest size"} <= set(names) <= {"alpha", "beta", *names}
    expected = []
    for i, name in enumerate(names):
        for arm, at in (("cosine", i - 0.16), ("wsd", i + 0.16)):
            value, low, high = (measured[f"{arm}: {name}{end}"] for end in ("", ", low", ", high"))
            expected += [[(low, at), (high, at)], [(value, at)]]
    same(lines(right), expected)


def check_task_ladder(panels: list[Axes], result: dict[str, Any]) -> None:
    """Left the curves, the runs and the larger runs of a study; right each forecast from end to end, and what came."""
    for (left, right), study in zip(
        zip(panels[::2], panels[1::2], strict=True), result["studies"].values(), strict=True
    ):
        drawn, points = lines(left), list[Points]()
        for i, (task, curve) in enumerate(study["curves"].items()):
            x, y = drawn[3 * i].T
            a, x0, k, b = (curve[name] for name in ("a", "x0", "k", "b"))
            np.testing.assert_allclose(y, 100 * (b + a / (1 + np.exp(-k * (x - x0)))), atol=1e-3)
            for part in ("runs", "came"):
                points.append([(row["heldout_loss"], 100 * row["tasks"][task]) for row in study[part]])
        same([line for i, line in enumerate(drawn) if i % 3], points)
        came, expected, at = {row["run"]: row["tasks"] for row in study["came"]}, list[Points](), 0
        for target in study["targets"]:
            for task, (value, low, high) in target["tasks"].items():
                expected += [[(100 * low, at), (100 * high, at)], [(100 * value, at)]]
                expected += [[(100 * came[target["run"]][task], at)]] if target["run"] in came else []
                at += 1
        same(lines(right), expected)


def check_wiki_again(panels: list[Axes], result: dict[str, Any]) -> None:
    """Left each arm's losses at the most words; right what the largest size gains by words."""
    left, right = panels
    at_most, curves = list[Points](), list[Points]()
    for rows in by_arm(result).values():
        at_most.append(sorted((row["parameters"], row["heldout_loss"]) for row in longest(rows)))
        n = max(row["parameters"] for row in rows)
        curves.append(sorted((row["tokens"], row["gained"]) for row in rows if row["parameters"] == n))
    same(lines(left), at_most)
    same(lines(right), curves)


CHECKS = {
    "task_ladder": check_task_ladder,
    "vector_ladder": check_task_ladder,
    "wiki_tasks": check_task_ladder,
    "wiki_again": check_wiki_again,
    "coordinates": check_coordinates,
    "forecasts": check_forecasts,
    "forecasts_further": check_forecasts,
    "forecasts_frontier": check_forecasts,
    "forecasts_language": check_forecasts,
    "forecasts_language_further": check_forecasts,
    "rate_transfer": check_rate_transfer,
    "rate_transfer_wiki": check_rate_transfer,
    "rate_transfer_recurrent": check_rate_transfer,
    "counting": check_counting,
    "ladder": check_ladder,
    "scaling_branches": check_branches,
    "published_fits": check_published_fits,
    "chinchilla": check_chinchilla,
    "scaling_synthetic": check_families,
    "scaling_wiki": check_families,
    "scaling_accuracy": check_accuracy,
    "scaling_positions": check_positions,
    "scaling_word2vec": check_word2vec,
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.usefixtures("paper")
def test_a_picture_shows_what_the_record_says(name: str, tmp_path: Path) -> None:
    result = record(name)
    CHECKS[name](draw(name, copy.deepcopy(result), tmp_path), result)


def test_runs_of_several_seeds_are_one_point_of_the_study_made_again(tmp_path: Path) -> None:
    """Two sizes, two seeds, 128 words a window: the third word costs 6, the second 4, from the 65th on 3."""
    easy = [9.0, 4.0, 6.0, *[8.0] * 61, *[3.0] * 64]
    (tmp_path / "study").mkdir()
    made = [
        planted.record(
            run=f"a{n}{seed}",
            arm="transformer",
            parameters=n,
            tokens=5e6 + seed,
            heldout_loss=loss + seed / 10,
            seed=seed,
            by_position=[x + seed for x in easy],
        )
        for n, loss in ((10, 5.0), (20, 4.5))
        for seed in (0, 1)
    ]
    records.write(tmp_path / "study" / "results.jsonl", made)
    figure = figures()["wiki_again"]
    result = figure.collect(tmp_path)
    own = [row for row in result["runs"] if row["arm"] == "again, transformer"]
    assert [(row["parameters"], round(row["heldout_loss"], 6), row["gained"]) for row in own] == [
        (10, 5.05, 2.0),
        (20, 4.55, 2.0),
    ]
    measured = figure.measure(result)
    assert measured["again, transformer: gained by the largest over the next"] == pytest.approx(0.5)
    assert measured["again, transformer: gained from context by the largest"] == 2.0
    assert measured["first study, transformer: gained by the largest over the next"] == pytest.approx(0.0045, abs=1e-3)
