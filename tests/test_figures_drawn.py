"""What the pictures of the gallery show: numbers read back from matplotlib, beside the records by plain arithmetic.

Every line of a panel must be one that the record says, and the other way round. Laws and studies are in
test_figures_drawn_scaling.py, sizes and speeds of word vectors in test_figures_drawn_vectors.py.
"""

from __future__ import annotations

import copy
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle, StepPatch

from experiments.figures.gallery import figures
from tests.drawn import Points, across, draw, lines, record, same, spread, upright, whiskers
from tests.drawn import paper as paper
from tests.test_figures_drawn_scaling import CHECKS as SCALING
from tests.test_figures_drawn_vectors import CHECKS as VECTORS


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


def check_planted_senses(panels: list[Axes], result: dict[str, Any]) -> None:
    runs = result["runs"].values()
    expected: list[Points] = []
    for i, seeds in enumerate(runs):
        every = [[100 * layer["two"]["accuracy"] for layer in seed["layers"]] for seed in seeds]
        for k, heights in enumerate(zip(*every, strict=True)):
            x = i + 0.14 * (k - (len(every[0]) - 1) / 2)
            expected += [[(x, min(heights)), (x, max(heights))], [(x, sum(heights) / len(heights))]]
    first = next(iter(runs))[0]
    expected += [across(100 * first[key]) for key in ("best", "best_causal", "majority")]
    same(lines(panels[0]), expected)
    assert [label.get_text() for label in panels[0].get_xticklabels()] == list(result["runs"])
    for run in (seed for seeds in runs for seed in seeds):
        assert run["majority"] == run["layers"][0]["two"]["accuracy"] < run["best_causal"] < run["best"]


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
    usual = [text.get_text() for text in panels[0].get_legend().get_texts()][1]
    assert usual == f"always the most frequent label of training, {100 * result['majority']:.1f} %"


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


def check_geometry(panels: list[Axes], result: dict[str, Any]) -> None:
    runs = [run["layers"] for run in result["runs"].values()]
    less = {"self_similarity": "anisotropy", "intra_sentence": "anisotropy", "explained": "explained_random"}
    more = ("sense",) if "sense" in runs[0][0] else ()
    for axes, key in zip(panels, ("anisotropy", *less, "moved", "turned", *more), strict=True):
        first = 1 if key in ("moved", "turned") else 0
        expected = []
        for layers in runs:
            values = [layer[key] - (layer[less[key]] if key in less else 0) for layer in layers[first:]]
            expected.append(list(enumerate(values, first)))
        same(lines(axes), expected)
    assert [line.get_linestyle() for line in panels[0].lines] == ["-"] * 3 + ["None"], "word vectors have no layers"
    names = [text.get_text() for text in panels[2 + len(more)].get_legend().get_texts()]
    assert names == list(result["runs"])


def check_analogy_kinds(panels: list[Axes], result: dict[str, Any]) -> None:
    left, right = panels
    bars = [p for p in left.patches if isinstance(p, Rectangle)]
    want, expected = [], []
    for i, runs in enumerate(result["models"].values()):
        place = [k + (-0.2 if i == 0 else 0.2) for k in range(3)]
        for allowed in ("excluded", "included"):
            kinds = [[run[allowed][kind] for run in runs] for kind in ("semantic", "syntactic", "total")]
            heights = [sum(own) / len(own) for own in kinds]
            want += list(zip(place, heights, strict=True))
            expected += whiskers(place, heights, [(max(own) - min(own)) / 2 for own in kinds])
    np.testing.assert_allclose([(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bars], want)
    # Mikolov et al. 2013a, table 4: CBOW, then skip-gram.
    expected += [list(zip((-0.2, 0.8, 1.8), (15.5, 53.1, 36.1), strict=True))]
    expected += [list(zip((0.2, 1.2, 2.2), (50.0, 55.9, 53.3), strict=True))]
    same(lines(left), expected)
    answers = [*result["queen"]["excluded"], *result["queen"]["included"]]
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], [cosine for _, cosine in answers])
    assert [label.get_text() for label in right.get_yticklabels()] == [word for word, _ in answers]


def check_subsampling(panels: list[Axes], result: dict[str, Any]) -> None:
    # Mikolov et al. 2013b, table 1: NEG-5, NEG-15, HS-Huffman; without subsampling, with 1e-5.
    theirs = {
        "semantic": [(54, 58), (58, 61), (40, 59), (45,)],
        "syntactic": [(63, 61), (63, 61), (53, 52), (60,)],
        "total": [(59, 60), (61, 61), (47, 55), (53,)],
        "time": [(1, 14 / 38), (97 / 38, 36 / 38), (41 / 38, 21 / 38), (1,)],
    }
    thresholds = ("none", "1e-3", "1e-4", "1e-5")
    objectives = ("NEG-5", "NEG-15", "HS-Huffman")
    timed = [run for run in result["runs"] if run["seconds"] is not None]
    seconds = {
        (o, t): min(run["seconds"] for run in timed if (run["objective"], run["threshold"]) == (o, t))
        for o, t in {(run["objective"], run["threshold"]) for run in timed}
    }
    for axes, (key, published) in zip(panels, theirs.items(), strict=True):
        expected: list[Points] = [list(zip((0, 3), values, strict=False)) for values in published]
        for objective in objectives:
            shares = {
                i: seconds[objective, t] / seconds["NEG-5", "none"]
                for i, t in enumerate(thresholds)
                if (objective, t) in seconds
            }
            places = {i: {"objective": objective, "threshold": t} for i, t in enumerate(thresholds)}
            own = [list(shares.items()), *whiskers(list(shares), list(shares.values()), [0] * len(shares))]
            expected += own if key == "time" else spread(result["runs"], places, key)
        same(lines(axes), expected)
        assert [tick.get_text() for tick in axes.get_xticklabels()] == list(thresholds)


def check_passes(panels: list[Axes], result: dict[str, Any]) -> None:
    runs = result["runs"]
    passes = {run["words"]: sorted({r["passes"] for r in runs if r["words"] == run["words"]}) for run in runs}
    for axes, key in zip(panels, ("total", "men", "total"), strict=True):
        expected: list[Points] = []
        for words in sorted(passes):
            scale = words / 1e6 if axes is panels[2] else 1
            expected += spread(runs, {n * scale: {"words": words, "passes": n} for n in passes[words]}, key)
        same(lines(axes), expected)


CHECKS = {
    "passes": check_passes,
    "analogy_kinds": check_analogy_kinds,
    "subsampling": check_subsampling,
    "geometry": check_geometry,
    "planted_senses": check_planted_senses,
    "pairs_sick": check_pairs_sick,
    "ptb_curves": check_ptb_curves,
    "synthetic_optimum": check_synthetic_optimum,
    "throughput": check_throughput,
    "imdb_ladder": check_imdb_ladder,
    "keys_values": check_keys_values,
    "gradients": check_gradients,
    "topics": check_topics,
    "wiki_map": check_wiki_map,
    "word_models": check_word_models,
}


@pytest.mark.parametrize("name", [name for name in figures() if name not in {*SCALING, *VECTORS}])
@pytest.mark.usefixtures("paper")
def test_a_picture_shows_what_the_record_says(name: str, tmp_path: Path) -> None:
    result = record(name)
    CHECKS[name](draw(name, copy.deepcopy(result), tmp_path), result)


def stretched(points: Points) -> Points:
    return [(x, 1.5 * y) for x, y in points]


def mirrored(points: Points) -> Points:
    return [(x, points[0][1] + points[-1][1] - y) for x, y in points]


@pytest.mark.parametrize("change", [stretched, mirrored])
@pytest.mark.usefixtures("paper")
def test_a_picture_of_other_curves_is_told_from_it(change: Any, tmp_path: Path) -> None:
    """What no comparison of pixels could see: one curve of six is another."""
    result = record("ptb_curves")
    other = copy.deepcopy(result)
    other["runs"][1]["heldout"] = change(result["runs"][1]["heldout"])
    with pytest.raises(AssertionError, match="not drawn"):
        check_ptb_curves(draw("ptb_curves", other, tmp_path), result)
