"""Draws recorded training: how three words move in the plane at each update, and how far twins end apart."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from itertools import combinations
from typing import Any

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.figures.labels import place_labels
from w2v_jax.figures.style import DASHED, GREY, Axes, colour, drawing, legend_beside, marker, plain
from w2v_jax.files import PathLike
from w2v_jax.storage import local_copy

_LINES = ("-", "--", ":")


@dataclasses.dataclass(frozen=True)
class Nudges:
    """A recorded run. T updates, V words in all, K pairs of twins, U updates of each."""

    words: tuple[str, ...]  # the three that are watched; the first two share their contexts
    vocab: tuple[str, ...]
    pairs: np.ndarray  # int32 [T, 2] word and context of each update, as places in vocab
    positions: np.ndarray  # float32 [T + 1, 3, 2] vectors before the first update and after each
    loss: np.ndarray  # float32 [T] nats
    columns: np.ndarray  # float32 [V, 2] context vectors at the end
    twins_own: np.ndarray  # int32 [K] contexts that each twin has to itself
    twins: np.ndarray  # float32 [K, U + 1, 2, 2]
    about: dict[str, Any]


def read(path: PathLike) -> Nudges:
    """Reads the .npz that `experiments.nudges` wrote. UserError: missing, damaged or another file."""
    name = os.fspath(path)
    try:
        with np.load(local_copy(name), allow_pickle=False) as file:
            held = {key: file[key] for key in file.files}
        about = json.loads(str(held.pop("about")))
        words, vocab = (tuple(str(w) for w in held.pop(key)) for key in ("words", "vocab"))
        return Nudges(words=words, vocab=vocab, about=about, **held)
    except FileNotFoundError:
        raise UserError(f"{name}: no such file; python -m experiments.figures nudges writes it") from None
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as e:
        raise UserError(f"{name}: not a recording of nudges ({type(e).__name__}); write it again") from None


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """cos(x, y) = x.y / (|x| |y|) along the last axis, from -1 to 1; 0 for a zero vector."""
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return np.asarray(np.sum(x * y, axis=-1) / np.where(lengths > 0, lengths, 1.0))


def cosines(run: Nudges) -> dict[str, np.ndarray]:
    """Cosine of every two words after each update, [T + 1], by the name `first-second`."""
    return {
        f"{run.words[i]}-{run.words[j]}": cosine(run.positions[:, i], run.positions[:, j])
        for i, j in combinations(range(len(run.words)), 2)
    }


def gaps(run: Nudges) -> np.ndarray:
    """Relative distance of twins, |x - y| / ((|x| + |y|) / 2), from 0 to 2; float [K, U + 1]."""
    x, y = run.twins[:, :, 0], run.twins[:, :, 1]
    size = (np.linalg.norm(x, axis=-1) + np.linalg.norm(y, axis=-1)) / 2
    return np.asarray(np.linalg.norm(x - y, axis=-1) / np.where(size > 0, size, 1.0))


def floor(run: Nudges) -> float:
    """The full softmax's lowest mean loss in nats: the entropy of the context once the word is known."""
    joint = np.zeros((len(run.vocab),) * 2)
    np.add.at(joint, (run.pairs[:, 0], run.pairs[:, 1]), 1.0 / len(run.pairs))
    given = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
    return float(-np.sum(joint[joint > 0] * np.log(given[joint > 0])))


def draw(run: Nudges, out: PathLike, source: str = "") -> None:
    """Left, the plane with an arrow for every update; right, cosines, loss and twins against updates."""
    with drawing(out, (13.0, 8.2), source) as figure:
        parts: dict[str, Any] = figure.subplot_mosaic(
            [["plane", "cosine"], ["plane", "loss"], ["plane", "twins"]], width_ratios=[1.45, 1.0]
        )
        _plane(parts["plane"], run)
        _cosines(parts["cosine"], run)
        _loss(parts["loss"], run)
        _twins(parts["twins"], run)
        _name(parts["plane"], run)


def _plane(axes: Axes, run: Nudges) -> None:
    """Trajectories. An update moves one word: arrows of length 0 are left out."""
    for i, word in enumerate(run.words):
        path = run.positions[:, i]
        moved = np.flatnonzero(np.any(path[1:] != path[:-1], axis=1))
        start, change = path[moved], path[moved + 1] - path[moved]
        shape: dict[str, Any] = {"width": 0.0028, "headwidth": 4.5, "headlength": 5.5, "alpha": 0.75, "zorder": 3}
        axes.quiver(*start.T, *change.T, color=colour(i), angles="xy", scale_units="xy", scale=1, **shape)
        axes.plot(*path[0], marker(i), color="white", markeredgecolor=colour(i), markersize=9, zorder=4)
        label = f"{word}: {int((run.pairs[:, 0] == i).sum())} updates"
        end: dict[str, Any] = {"color": colour(i), "markersize": 11, "markeredgecolor": "black", "zorder": 5}
        axes.plot(*path[-1], marker(i), label=plain(label), **end)
    axes.plot(*run.columns[_contexts(run)].T, "x", color=GREY, markersize=7, zorder=4, label="contexts at the end (C)")
    axes.axhline(0, color="#AAAAAA", linewidth=0.8)
    axes.axvline(0, color="#AAAAAA", linewidth=0.8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.1)
    axes.set(xlabel="dimension 1", ylabel="dimension 2")
    axes.set_title("Each arrow is one update of one word's vector\n(hollow: start; filled: end)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)


def _contexts(run: Nudges) -> list[int]:
    return sorted({int(c) for c in run.pairs[:, 1]})


def _name(axes: Axes, run: Nudges) -> None:
    contexts = _contexts(run)
    points = np.concatenate([run.positions[-1], run.columns[contexts]])
    names = [*run.words, *(run.vocab[c] for c in contexts)]
    shades = [*(colour(i) for i in range(len(run.words))), *("#555555" for _ in contexts)]
    place_labels(axes, points, names, shades, fontsize=10, rings=8, radius=5.5)


def _cosines(axes: Axes, run: Nudges) -> None:
    for i, (name, values) in enumerate(cosines(run).items()):
        axes.plot(values, color=colour(i), label=plain(name), linestyle=_LINES[i % 3])
    axes.set(ylim=(-1.08, 1.08), ylabel="cosine", xlabel="updates")
    axes.set_title("Shared contexts draw words together")
    legend_beside(axes)


def _passes(values: np.ndarray, once: int) -> tuple[np.ndarray, np.ndarray]:
    """(middle update, mean) of each whole pass of `once` updates."""
    means = values[: len(values) // once * once].reshape(-1, once).mean(axis=1)
    return np.arange(len(means)) * once + (once + 1) / 2, means


def _loss(axes: Axes, run: Nudges) -> None:
    """Dots are single updates, the line their mean over a pass of all pairs."""
    once = len(np.unique(run.pairs, axis=0))
    axes.plot(np.arange(1, len(run.loss) + 1), run.loss, ".", color=GREY, markersize=3, label="one update")
    if len(run.loss) >= once:
        axes.plot(*_passes(run.loss, once), color=colour(0), label=f"mean of {once}")
    if run.about.get("loss") == "softmax":
        axes.axhline(floor(run), label=f"floor {floor(run):.4f}", **DASHED | {"color": colour(1)})
    axes.set(ylabel="loss, nats a pair", xlabel="updates")
    axes.set_title("Loss")
    legend_beside(axes)


def _twins(axes: Axes, run: Nudges) -> None:
    """Faint lines are single updates, the others their mean over a pass of all pairs (three words' contexts)."""
    total = len(next(iter(run.about["twins"].values()))[0])
    once = total * len(run.words)
    for i, (own, values) in enumerate(zip(run.twins_own, gaps(run), strict=True)):
        name = "all shared" if own == 0 else f"{own} of {total} own"
        axes.plot(values, color=colour(i), linewidth=0.7, alpha=0.4)
        axes.plot(*_passes(values[1:], once), color=colour(i), label=name, linestyle=_LINES[i % 3])
    axes.set(ylim=(0, 2.05), ylabel="distance / length", xlabel="updates")
    axes.set_title(f"{plain(run.words[0])} and {plain(run.words[1])}: identical contexts, or some of their own")
    legend_beside(axes, "contexts")
