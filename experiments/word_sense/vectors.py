"""Vectors of words by every run of `experiments.word_sense`, and mixtures of their layers chosen by training data."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from experiments.common import cli
from w2v_jax.context import ContextEncoder, Encoder, Seen
from w2v_jax.errors import UserError
from w2v_jax.evaluation.senses import WAYS, Change, change, unit
from w2v_jax.storage import to_path
from w2v_jax.train.restore import open_model

ROUNDS = 4  # layers that a mixture adds at most


class Named(NamedTuple):
    """An encoder under the name that tables show."""

    name: str
    encoder: Encoder


class Candidate(NamedTuple):
    """A mixture of layers."""

    weights: tuple[tuple[int, float], ...]  # (layer, weight), rising
    way: str  # of WAYS

    def told(self, names: Sequence[str]) -> str:
        """In words."""
        parts = [names[layer] if weight == 1 else f"{weight:g} x {names[layer]}" for layer, weight in self.weights]
        return " + ".join(parts) + ("" if self.way == WAYS[0] else f", {self.way}")


@dataclasses.dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of the words of several lists of texts."""

    name: str
    layers: tuple[str, ...]
    parts: tuple[list[np.ndarray], ...]  # of each list, float32 [N, D_l] of every layer
    seen: Seen
    seconds: float

    def single(self) -> list[Candidate]:
        """Every layer in every way, but the vectors of words alone where all of them are one."""
        return [Candidate(((layer, 1.0),), way) for layer in range(len(self.layers)) for way in WAYS]


def names_of(runs: Sequence[str]) -> dict[str, str]:
    """{name: folder} of [NAME=]DIR. UserError: none, or two of one name."""
    found: dict[str, str] = {}
    for run in runs:
        name, equals, folder = run.partition("=")
        if not (equals and name and folder):
            name, folder = to_path(run).name, run
        if not folder or name in found:
            what = f"the name {name!r} is given twice; write NAME=DIR" if folder else "an empty entry"
            raise UserError(f"--workdirs={','.join(runs)}: {what}")
        found[name] = folder
    if not found:
        raise UserError("--workdirs is missing: give run folders, e.g. --workdirs=runs/masked,words=runs/skipgram")
    return found


def encoders(runs: dict[str, str], window: int, pool: str, hidden: bool) -> Iterator[Named]:
    """The encoder of each run; of a masked model with `hidden` also one that hides the word. Where no run is of word
    vectors only, the windows of those of the first run are added, so that there is always a static baseline.

    UserError: no finished run in a folder, or none with word vectors.
    """
    static = first = None
    for name, folder in runs.items():
        with cli.as_flag("workdirs"):
            model = open_model(to_path(folder))
        one = ContextEncoder(model, pool=pool, window=window)
        static = static or (name if one.static else None)
        if first is None and model.spec.embed is not None:
            first = Named(f"{name}, word vectors", dataclasses.replace(one, vectors_only=True))
        yield Named(name, one)
        if hidden and model.spec.encode is not None and model.spec.encode.mask(model.cfg) is not None:
            yield Named(f"{name}, word hidden", dataclasses.replace(one, hide_target=True))
    if static is None and first is not None:
        yield first


def read(
    named: Named, texts: Sequence[Sequence[Sequence[str]]], places: Sequence[Sequence[int]], say: Callable[[str], None]
) -> Vectors:
    """The vectors of one word of each text, of several lists of texts, after every layer."""
    start, parts, seen = time.perf_counter(), [], Seen()
    for of_texts, of_places in zip(texts, places, strict=True):
        found = named.encoder.encode(of_texts, [[place] for place in of_places])
        parts.append(found.layers)
        seen = seen + found.seen
    out = Vectors(named.name, named.encoder.names, tuple(parts), seen, time.perf_counter() - start)
    said = named.encoder.told(seen)
    say(f"{out.name}: {seen.words:,} vectors in {out.seconds:.1f} s" + (f"; {said}" if said else ""))
    return out


class Mixer:
    """Mixtures of the layers of some words, by changes that are fitted to their training part. What was changed is
    kept, so that many mixtures of the same layers cost little."""

    def __init__(self, layers: Sequence[np.ndarray]) -> None:
        """`layers`: float [N, D_l], of the training part."""
        self._layers = layers
        self._changes: dict[tuple[int, str], Change] = {}
        self._known: dict[tuple[int, str], np.ndarray] = {}

    def change(self, layer: int, way: str) -> Change:
        """That of one layer."""
        if (layer, way) not in self._changes:
            self._changes[layer, way] = change(self._layers[layer], way)
        return self._changes[layer, way]

    def known(self, candidate: Candidate) -> np.ndarray:
        """The mixture of the training part, float32 [N, D] of unit length."""
        for layer, _ in candidate.weights:
            if (layer, candidate.way) not in self._known:
                changed = self.change(layer, candidate.way)(self._layers[layer])
                self._known[layer, candidate.way] = changed
        return _sum([(self._known[layer, candidate.way], weight) for layer, weight in candidate.weights])

    def of(self, candidate: Candidate, layers: Sequence[np.ndarray]) -> np.ndarray:
        """The mixture of other layers, float32 [M, D] of unit length."""
        return _sum([(self.change(i, candidate.way)(layers[i]), weight) for i, weight in candidate.weights])


def _sum(parts: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    out: np.ndarray = parts[0][0] * np.float32(parts[0][1])
    for rows, weight in parts[1:]:
        out = out + rows * np.float32(weight)
    return unit(out)


def best(
    vectors: Vectors, measure: Callable[[Candidate], float]
) -> tuple[Candidate, float, dict[str, dict[str, float]]]:
    """(the candidate with the highest measure, the measure, {way: {layer: measure}} of all single layers).

    The best single layer comes first; then the layer whose addition helps most is added, in the same way, as long as
    one helps (Caruana et al. 2004, ensemble selection, with layers that may be added again).
    """
    found = {candidate: measure(candidate) for candidate in vectors.single()}
    chosen = max(found, key=lambda c: found[c])
    value = found[chosen]
    width = [layer.shape[1] for layer in vectors.parts[0]]
    for _ in range(ROUNDS if len(vectors.layers) > 1 else 0):
        same = [i for i, size in enumerate(width) if size == width[chosen.weights[0][0]]]
        more = {added: measure(added) for added in (_added(chosen, layer) for layer in same)}
        step = max(more, key=lambda c: more[c])
        if more[step] <= value:
            break
        chosen, value = step, more[step]
    curves = {way: {vectors.layers[c.weights[0][0]]: found[c] for c in found if c.way == way} for way in WAYS}
    return chosen, value, curves


def _added(candidate: Candidate, layer: int) -> Candidate:
    weights = dict(candidate.weights)
    weights[layer] = weights.get(layer, 0.0) + 1.0
    return candidate._replace(weights=tuple(sorted(weights.items())))
