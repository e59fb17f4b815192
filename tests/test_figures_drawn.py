"""What the pictures of the gallery show: numbers read back from matplotlib, beside the records by plain arithmetic.

Every line of a panel must be one that the record says, and the other way round.
"""

from __future__ import annotations

import copy
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch

from experiments.figures.gallery import figures
from experiments.figures.show import RESULTS
from w2v_jax.papers import NUMBERS

Points = Sequence[Sequence[float]]  # (x, y) of a line


class Seen(Figure):
    """A figure that can be found after it was drawn."""

    made: list[Figure] = []

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        Seen.made.append(self)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are kept, and not rendered."""

    def leave(canvas: FigureCanvasAgg, file: Any) -> None:
        if "draw" in vars(canvas.figure):  # matplotlib asks for the renderer alone, to measure text
            canvas.figure.draw(canvas.get_renderer())

    monkeypatch.setattr("matplotlib.figure.Figure", Seen)
    monkeypatch.setattr(FigureCanvasAgg, "print_png", leave)


def record(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["result"])


def draw(name: str, result: dict[str, Any], folder: Path) -> list[Axes]:
    """The panels of a figure, in their order."""
    figures()[name].draw(result, folder / f"{name}.png", "small print")
    figure = Seen.made.pop()
    assert figure.get_supxlabel() == "small print"
    return list(figure.axes)


def lines(axes: Axes) -> list[np.ndarray]:
    """(x, y) of every line that has a point; of horizontal and vertical ones too."""
    return [line.get_xydata() for line in axes.lines if len(line.get_xydata())]


def same(found: Iterable[np.ndarray], expected: Iterable[Points]) -> None:
    """Both hold the same lines, in any order."""
    left, wanted = list(found), [np.array(e, np.float64).reshape(-1, 2) for e in expected]
    for curve in wanted:
        at = [i for i, f in enumerate(left) if f.shape == curve.shape and np.allclose(f, curve, rtol=1e-7, atol=1e-12)]
        assert at, f"not drawn: {curve[:4].tolist()} ... ({len(curve)} points)"
        del left[at[0]]
    assert not left, f"not in the record: {[f[:4].tolist() for f in left]}"


def across(y: float) -> Points:
    return [(0, y), (1, y)]


def upright(x: float) -> Points:
    return [(x, 0), (x, 1)]


def whiskers(x: Sequence[float], y: Sequence[float], error: Sequence[float]) -> list[Points]:
    """The caps of error bars."""
    ends = [[(a, b + sign * e) for a, b, e in zip(x, y, error, strict=True)] for sign in (-1, 1)]
    return [list(end) for end in ends]


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


# ---- the figures ----


def check_ptb_curves(panels: list[Axes], result: dict[str, Any]) -> None:
    same(lines(panels[0]), [run[curve] for run in result["runs"] for curve in ("loss", "heldout")])
    assert len(panels) == 1 and panels[0].get_yscale() == "linear"


def check_synthetic_optimum(panels: list[Axes], result: dict[str, Any]) -> None:
    expected: list[Points] = [across(0.0)]
    names = panels[0].get_legend().get_texts()
    for (label, kinds), text in zip(result["runs"].items(), names[1:], strict=True):
        at = sorted((int(kind.removeprefix("verb ")), kind) for kind in kinds if kind.startswith("verb "))
        x, gaps = [d for d, _ in at], [kinds[kind]["gap"] for _, kind in at]
        errors = [2 * kinds[kind]["standard_error"] for _, kind in at]
        expected += [list(zip(x, gaps, strict=True)), *whiskers(x, gaps, errors)]
        assert text.get_text().startswith(f"{label}: {kinds['all']['gap']:.4f} ")
    same(lines(panels[0]), expected)


def check_throughput(panels: list[Axes], result: dict[str, Any]) -> None:
    for axes, work in zip(panels, ("training", "prompt"), strict=True):
        cells = result[work].values()
        same(lines(axes), [[(cell["length"], cell["tokens_per_second"]) for cell in own] for own in cells])


def check_imdb_ladder(panels: list[Axes], result: dict[str, Any]) -> None:
    rows = result["models"]
    accuracy, place = [100 * row["test_accuracy"] for row in rows], list(range(len(rows)))
    bars = [p for p in panels[0].patches if isinstance(p, Rectangle)]
    np.testing.assert_allclose([bar.get_height() for bar in bars], accuracy)
    np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in bars], place, atol=1e-12)
    held = [(i + 0.2, 100 * row["heldout_accuracy"]) for i, row in enumerate(rows)]
    errors = [200 * row["test_error"] for row in rows]
    same(lines(panels[0]), [held, across(100 * result["majority"]), *whiskers(place, accuracy, errors)])
    assert [text.get_text() for text in panels[0].texts] == [f"{a:.1f}" for a in accuracy]
    ticks = [label.get_text().split("\n")[0] for label in panels[0].get_xticklabels()]
    assert ticks == [row["model"] for row in rows]


def check_topics(panels: list[Axes], result: dict[str, Any]) -> None:
    words, bars = panels
    first, both = ["LSA", *(" ".join(p["first"]) for p in result["pairs"])], ("words", "documents")
    assert [text.get_text() for text in words.texts][: len(first)] == first
    want = [pair[key] for key in both for pair in result["pairs"]]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], want)
    assert [line.get_xdata()[0] for line in bars.lines] == [result["agreement"][key]["chance"] for key in both]


def check_keys_values(panels: list[Axes], result: dict[str, Any]) -> None:
    rungs = result["rungs"]
    losses = {name: [run["heldout_loss"] for run in rung["runs"]] for name, rung in rungs.items()}
    zero = statistics.fmean(losses["per_layer"])
    expected: list[Points] = [across(0.0)]
    for name, rung in rungs.items():
        expected.append([(rung["cache_bytes"], loss - zero) for loss in losses[name]])
        expected.append([(rung["cache_bytes"], statistics.fmean(losses[name]) - zero)])
    same(lines(panels[0]), expected)
    rates = [rung["rounds"] for rung in rungs.values()]
    bars = [p.get_height() for p in panels[1].patches if isinstance(p, Rectangle)]
    np.testing.assert_allclose(bars, [statistics.median(r) for r in rates])
    quarters = [statistics.quantiles(r, n=4, method="inclusive") for r in rates]
    same(lines(panels[1]), [list(enumerate(q[i] for q in quarters)) for i in (0, 2)])


def check_gradients(panels: list[Axes], result: dict[str, Any]) -> None:
    untrained, trained, agreement, gates = panels
    cells = result["cells"]
    for axes, when in ((untrained, "untrained"), (trained, "trained")):
        parts = [norms for cell in cells.values() for norms in cell["gradients"][when].values()]
        relative = [[(k, max(norm / norms[0], 1e-11)) for k, norm in enumerate(norms)] for norms in parts]
        same(lines(axes), [*relative, [(k, 0.8**k) for k in range(len(parts[0]))]])
    expected: list[Points] = [[(int(d), share) for d, share in result["ceiling"].items()], across(result["chance"])]
    for i, cell in enumerate(cells.values()):
        at = sorted((int(d), share, error) for d, (share, error) in cell["agreement"].items())
        x = [d * 2 ** (0.08 * (i - (len(cells) - 1) / 2)) for d, _, _ in at]  # side by side
        shares = [share for _, share, _ in at]
        expected += [list(zip(x, shares, strict=True)), *whiskers(x, shares, [2 * error for _, _, error in at])]
    same(lines(agreement), expected)
    drawn = [patch.get_data() for patch in gates.patches if isinstance(patch, StepPatch)]
    known = [cell["forget_gates"]["histogram"] for cell in cells.values() if cell["forget_gates"]]
    np.testing.assert_allclose([bins.values for bins in drawn], known)
    assert all(np.allclose(bins.edges, [i / len(known[0]) for i in range(len(known[0]) + 1)]) for bins in drawn)
    same(lines(gates), [upright(0.5 ** (1 / 13))])


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


def check_wiki_map(panels: list[Axes], result: dict[str, Any]) -> None:
    """The two directions of largest variance, of which no axis has a sign of its own."""
    words = [word for members in result["groups"].values() for word in members]
    rows = np.array([result["vectors"][word] for word in words])
    rows /= np.sqrt((rows**2).sum(axis=1, keepdims=True))
    rows -= rows.mean(axis=0)
    values, directions = np.linalg.eigh(rows.T @ rows)
    points = rows @ directions[:, np.argsort(values)[:-3:-1]]
    groups = [line for line in panels[0].lines if line.get_linestyle() == "None"]
    assert [line.get_label().strip() for line in groups] == list(result["groups"])
    drawn = np.concatenate([line.get_xydata() for line in groups])
    for axis in (0, 1):
        sign = np.sign((drawn[:, axis] * points[:, axis]).sum())
        np.testing.assert_allclose(drawn[:, axis], sign * points[:, axis], atol=1e-7)
    assert [text.get_text() for text in panels[0].texts] == words
    shares = [f"{100 * value / values.sum():.1f}%" for value in np.sort(values)[:-3:-1]]
    assert shares[0] in panels[0].get_xlabel() and shares[1] in panels[0].get_ylabel()


def check_pairs_sick(panels: list[Axes], result: dict[str, Any]) -> None:
    shown = result["picture"]
    for axes, panel in zip(panels, shown["panels"], strict=False):
        bars = [p for p in axes.patches if isinstance(p, Rectangle)]
        np.testing.assert_allclose([bar.get_height() for bar in bars], panel["same"] + panel["different"])
        np.testing.assert_allclose([bar.get_x() for bar in bars], shown["edges"][:-1] * 2)
        same(lines(axes), [upright(shown["threshold"])])
        assert axes.get_title() == panel["title"]
    curves = [
        list(zip(line["thresholds"], [100 * a for a in line["accuracies"]], strict=True)) for line in shown["lines"]
    ]
    same(lines(panels[len(shown["panels"])]), [*curves, upright(shown["threshold"])])


def check_word_models(panels: list[Axes], result: dict[str, Any]) -> None:
    scores, products = panels
    expected: list[Points] = []
    for i, entry in enumerate(result["models"].values()):
        runs = [list(run["scores"].values()) for run in entry["runs"]]
        place = [t + 0.12 * (i - (len(result["models"]) - 1) / 2) for t in range(len(runs[0]))]
        means = [statistics.fmean(column) for column in zip(*runs, strict=True)]
        expected += [list(zip(place, row, strict=True)) for row in (means, *runs)]
    same(lines(scores), expected)
    link = result["association"]
    x = [point[0] for point in link["shown"]]
    fitted = [(end, link["intercept"] + link["slope"] * end) for end in (min(x), max(x))]
    same(lines(products), [link["shown"], fitted, [(min(x), min(x)), (max(x), max(x))]])


CHECKS = {
    "pairs_sick": check_pairs_sick,
    "ptb_curves": check_ptb_curves,
    "synthetic_optimum": check_synthetic_optimum,
    "throughput": check_throughput,
    "imdb_ladder": check_imdb_ladder,
    "keys_values": check_keys_values,
    "gradients": check_gradients,
    "chinchilla": check_chinchilla,
    "scaling_synthetic": check_families,
    "scaling_wiki": check_families,
    "scaling_accuracy": check_accuracy,
    "scaling_positions": check_positions,
    "scaling_word2vec": check_word2vec,
    "topics": check_topics,
    "wiki_map": check_wiki_map,
    "word_models": check_word_models,
}


@pytest.mark.parametrize("name", figures())
def test_a_picture_shows_what_the_record_says(name: str, tmp_path: Path, paper: None) -> None:
    result = record(name)
    CHECKS[name](draw(name, copy.deepcopy(result), tmp_path), result)


def stretched(points: Points) -> Points:
    return [(x, 1.5 * y) for x, y in points]


def mirrored(points: Points) -> Points:
    return [(x, points[0][1] + points[-1][1] - y) for x, y in points]


@pytest.mark.parametrize("change", [stretched, mirrored])
def test_a_picture_of_other_curves_is_told_from_it(change: Any, tmp_path: Path, paper: None) -> None:
    """What no comparison of pixels could see: one curve of six is another."""
    result = record("ptb_curves")
    other = copy.deepcopy(result)
    other["runs"][1]["heldout"] = change(result["runs"][1]["heldout"])
    with pytest.raises(AssertionError, match="not drawn"):
        check_ptb_curves(draw("ptb_curves", other, tmp_path), result)
