"""Loss and quality against passes over the text, read from run folders: random at first, then settled."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.figures.style import Axes, colour, drawing, look, plain
from w2v_jax.files import PathLike, parse_json, read_json
from w2v_jax.storage import name_of, open_read, to_path

METRICS, QUALITY, CONFIG, RESULT = "metrics.jsonl", "quality.jsonl", "config.json", "result.json"
Curve = np.ndarray  # float64 [n, 2]: pass and value, by rising pass
_TITLES = {
    "men": ("MEN", "Spearman"),
    "ws353": ("WS-353", "Spearman"),
    "simlex999": ("SimLex-999", "Spearman"),
    "analogies": ("Analogies", "share answered right"),
    "similarity": ("Similarity, built-in list", "Spearman"),
}


@dataclasses.dataclass(frozen=True)
class RunCurves:
    """Curves of one run folder; a curve may have no points."""

    label: str
    kind: str  # architecture and loss: losses of different kinds do not compare
    loss: Curve  # nats a counted unit, mean over a log interval
    heldout: Curve  # the same on held-out text
    quality: dict[str, Curve]  # by test


def read_rows(path: PathLike) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, each with a number 'pass'; without a last line that is still being written.

    Raises:
      UserError: a missing file, or another line.
    """
    name = os.fspath(path)
    try:
        with open_read(name) as f:
            lines = f.read().split(b"\n")[:-1]
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{name}: no such file; --workdir is the folder of a training run") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line)
        except ValueError:
            row = None
        if not (isinstance(row, dict) and _finite(row.get("pass"))):
            raise UserError(f"{name}: line {number}: not an object with a 'pass'; was the file edited?")
        rows.append(row)
    return rows


def read_run(workdir: PathLike) -> RunCurves:
    """Curves from metrics.jsonl, and from quality.jsonl, config.json and result.json where they exist.

    Raises:
      UserError: no metrics, a malformed line or file, nothing logged yet.
    """
    folder = os.fspath(workdir)
    path, scores = os.path.join(folder, METRICS), os.path.join(folder, QUALITY)
    rows = read_rows(path)
    if not rows:
        raise UserError(f"{path}: nothing logged yet; wait for the first line of the run")
    held = _curve(rows, "heldout_loss")
    result = read_json(os.path.join(folder, RESULT)) or {}
    last = [result.get("passes"), result.get("heldout_loss")]
    if all(map(_finite, last)) and not (len(held) and held[-1, 0] >= last[0]):
        held = np.concatenate([held, [last]])
    scored = read_rows(scores) if to_path(scores).exists() else []
    tests = [key for key in dict.fromkeys(k for row in scored for k in row) if key not in ("pass", "step", "data")]
    label, kind = _names(read_json(os.path.join(folder, CONFIG)) or {}, name_of(folder))
    return RunCurves(label, kind, _curve(rows, "loss"), held, {key: _curve(scored, key) for key in tests})


def read_runs(workdirs: Sequence[PathLike]) -> list[RunCurves]:
    """`read_run` of each; equal labels get the folder's name."""
    runs = [read_run(workdir) for workdir in workdirs]
    labels = [run.label for run in runs]
    for i, workdir in enumerate(workdirs):
        if labels.count(labels[i]) > 1:
            runs[i] = dataclasses.replace(runs[i], label=f"{labels[i]} ({name_of(workdir)})")
    return runs


def settled(curve: Curve, share: float = 0.95) -> float | None:
    """The pass from which the curve stays past `share` of the way from its first value to its last.

    None with fewer than three points, without pass 0, or with equal ends. A run of more passes decays its learning
    rate later, so it settles later.
    """
    if len(curve) < 3 or curve[0, 0] > 0 or curve[-1, 1] == curve[0, 1]:
        return None
    done = (curve[:, 1] - curve[0, 1]) / (curve[-1, 1] - curve[0, 1])
    return float(curve[np.flatnonzero(np.append(True, done < share))[-1], 0])


def draw(runs: Sequence[RunCurves], out: PathLike, source: str = "") -> None:
    """Loss and held-out loss of every run against passes; one more panel for each quality test."""
    tests = list(dict.fromkeys(test for run in runs for test, curve in run.quality.items() if len(curve)))
    count = 1 + len(tests)
    columns = min(count, 3)
    lines, abreast = math.ceil(count / columns), 1 if columns < 3 else 2
    width = {1: 7.6, 2: 9.4, 3: 13.6}[columns]
    height = 3.5 * lines + 0.6 + 0.45 * len(runs) / abreast
    with drawing(out, (width, height), source) as fig:
        panels = fig.subplots(lines, columns, squeeze=False).reshape(-1)
        _loss(panels[0], runs)
        for axes, test in zip(panels[1:], tests, strict=False):
            _quality(axes, runs, test)
        for axes in panels[count:]:
            axes.set_axis_off()
        top = max(float(run.loss[-1, 0]) for run in runs if len(run.loss)) if any(len(r.loss) for r in runs) else 1.0
        for axes in panels[:count]:
            axes.set_xlabel("passes over the text")
            axes.set_xlim(-0.02 * top, 1.02 * top)
        handles, labels = panels[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside upper center", ncols=abreast)


def _loss(axes: Axes, runs: Sequence[RunCurves]) -> None:
    for i, run in enumerate(runs):
        axes.plot(*run.loss.T, color=colour(i), alpha=0.55, linewidth=1.0, label=plain(f"{run.label}: training"))
        axes.plot(*run.heldout.T, markersize=5, markeredgecolor="white", **look(i, f"{run.label}: held out"))
    kinds = len({run.kind for run in runs})
    axes.set_title("Loss" + (" (kinds differ: shapes compare, heights do not)" if kinds > 1 else ""))
    units = {"nats a pair (CBOW: a word)" if "skipgram" in run.kind or "cbow" in run.kind else "nats" for run in runs}
    axes.set_ylabel(f"loss, {' or '.join(sorted(units))}")


def _quality(axes: Axes, runs: Sequence[RunCurves], test: str) -> None:
    """Dotted: the pass of `settled`."""
    for i, run in enumerate(runs):
        curve = run.quality.get(test, np.zeros((0, 2)))
        axes.plot(*curve.T, markersize=5, markeredgecolor="white", **look(i))
        at = settled(curve)
        if at is not None:
            axes.axvline(at, color=colour(i), linestyle=":", linewidth=1.2)
    name, unit = _TITLES.get(test, (test, "score"))
    axes.set_title(plain(f"{name} (dotted: 95 % of the way)"))
    axes.set_ylabel(unit)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _curve(rows: Sequence[Mapping[str, Any]], key: str) -> Curve:
    """(pass, value) of the rows that have a finite value, by rising pass."""
    points = sorted((float(row["pass"]), float(row[key])) for row in rows if _finite(row.get(key)))
    return np.array(points, np.float64).reshape(-1, 2)


def _names(config: Mapping[str, Any], folder: str) -> tuple[str, str]:
    """Label and kind of a run from its config: family, architecture, loss, cell and sizes."""
    if not config:
        return folder, folder
    model = config.get("model")
    model = model if isinstance(model, dict) else {}
    kind = [str(model[key]) for key in ("architecture", "loss", "cell") if key in model]
    sizes = [f"d = {model['dim']}"] if "dim" in model else []
    sizes += [f"{key} {model[key]}" for key in ("layers", "hidden") if key in model]
    sizes += [f"dropout {model['dropout']:g}"] if model.get("dropout") else []
    return " ".join([str(config.get("family", "run")), *kind, *sizes]), " ".join(kind) or str(config.get("family"))
