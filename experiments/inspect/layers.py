"""Attention and probes of every layer of a language model, over many texts: measured, and reported as tables, a verdict
on bands of layers, JSON and a picture. `experiments.inspect --layers` calls it."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common.language import corpus_of
from experiments.inspect.attention import columns
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.evaluation import attention, probes
from w2v_jax.figures.attention import Layers
from w2v_jax.states import documents_of, encode_of, states_of
from w2v_jax.tables import aligned
from w2v_jax.train.restore import Model

TOKENS = 8192  # read by default
WORDS = 200  # most frequent types, the labels of probes
BACK = (0, 1, 2, 4, 8)  # places back of the words that probes read


Chunk = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]
"""Of B windows: {measure: [L, B, N]}, attention by distance [L, B, bins] and received [L, B, T], means over heads."""


class Flat(NamedTuple):
    """Attention without preference: means over windows."""

    heads: dict[str, float]  # of `attention.summary`
    distance: np.ndarray  # [bins]
    received: np.ndarray  # [W, T], or [1, T] where it is that of all windows


class Attention(NamedTuple):
    """Means over windows, of L layers with N heads."""

    heads: dict[str, np.ndarray]  # [L, N] of `attention.summary`
    windows: dict[str, np.ndarray]  # [L, W] of the same, means over heads
    distance: np.ndarray  # [L, bins] share of attention, mean over heads
    kinds: np.ndarray  # [L, len(KINDS)] of `attention.by_kind`, mean over heads
    flat: Flat


class Bands(NamedTuple):
    """A measure by band of layers."""

    means: list[float]  # over the layers of each band
    errors: list[float]  # standard errors of the differences between one band and the next


class Found(NamedTuple):
    """All measurements of a model."""

    windows: np.ndarray  # int32 [W, T]
    split: str
    causal: bool
    attention: Attention | None
    probes: dict[str, list[probes.Probe]]  # by label, after 0 to L layers


def windows_of(model: Model, count: int | None) -> tuple[np.ndarray, np.ndarray | None, str]:
    """(int32 [W, T], the same of `documents_of`, name of the split): windows of `model.length` that do not overlap,
    spread over the run's text.

    W is at most `count`; None is about `TOKENS` tokens. UserError: fewer than two windows in the text.
    """
    corpus, length = corpus_of(model), model.cfg.length
    split = "heldout" if corpus.heldout.documents else "train"
    tokens = getattr(corpus, split)
    stream, documents = np.asarray(tokens.tokens), documents_of(model, np.asarray(tokens.offsets))
    there = len(stream) // length
    if there < 2:
        raise UserError(f"data.source={model.config.data.source}: its {split} text has no two windows of {length}")
    wanted = min(there, max(2, count or TOKENS // length))
    places = np.linspace(0, there - 1, wanted).astype(np.int64)

    def cut(values: np.ndarray) -> np.ndarray:
        return values[: there * length].reshape(there, length)[places].astype(np.int32)

    return cut(stream), None if documents is None else cut(documents), split


def measure(model: Model, count: int | None) -> Found:
    """Measures every layer of a language model on `windows_of(model, count)`. UserError: another family, windows of one
    token, too little text."""
    if model.spec.score is None:
        raise UserError(f"--layers: is for language models, not family={model.config.family!r}")
    if model.cfg.length < 2:
        raise UserError("--layers: needs a model of model.length=2 at least")
    windows, documents, split = windows_of(model, count)
    states, chunks = [], []
    for chunk, weights in states_of(model, windows, documents):
        states.append(chunk)
        if weights is not None:
            chunks.append(_of_chunk(weights))
    causal = encode_of(model).causal(model.cfg)
    flat = flat_of(windows.shape[1], causal, documents)
    found = _attention(chunks, model.tokenizer, windows, flat) if chunks else None
    hidden = [np.concatenate(layer) for layer in zip(*states, strict=True)]
    return Found(windows, split, causal, found, read_all(model.tokenizer, windows, hidden))


def _of_chunk(weights: list[np.ndarray]) -> Chunk:
    """From the weights [B, N, T, T] of every layer."""
    heads = [attention.summary(layer) for layer in weights]
    mean = np.stack([layer.mean(axis=1) for layer in weights])
    by_name = {name: np.stack([layer[name] for layer in heads]) for name in heads[0]}
    return by_name, attention.by_distance(mean), attention.received(mean)


def flat_of(length: int, causal: bool, documents: np.ndarray | None) -> Flat:
    """What attention without preference gives in windows of `length` tokens, of `documents` int [W, T] or of one."""
    rows = [None] if documents is None else documents
    each = (attention.uniform(length, causal, row) for row in rows)  # one matrix at a time
    found = [(attention.summary(x), attention.by_distance(x), attention.received(x)) for x in each]
    heads, distance, received = zip(*found, strict=True)
    names = {name: float(np.mean([one[name] for one in heads])) for name in heads[0]}
    return Flat(names, np.mean(distance, axis=0), np.stack(received))


def _attention(chunks: list[Chunk], tokenizer: Tokenizer, windows: np.ndarray, flat: Flat) -> Attention:
    heads, distance, received = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *chunks)
    names = [tokenizer.decode([i]) for i in range(tokenizer.size)]
    kinds = attention.kinds_of(names, tokenizer.vocab.counts, tokenizer.end_id, tokenizer.unknown_id)[windows]
    by_kind = np.stack([attention.by_kind(got, flat.received, kinds) for got in received])
    of_heads, of_windows = ({name: x.mean(axis=axis) for name, x in heads.items()} for axis in (1, 2))
    return Attention(of_heads, of_windows, distance.mean(axis=1), by_kind, flat)


def labels_of(tokenizer: Tokenizer, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Labels of probes by name, int64 [W, T]: the next word, the word k places back, the place in the document."""
    kept = np.argsort(-tokenizer.vocab.counts, kind="stable")[:WORDS]
    names = {"next word": -1} | {f"{k} back" if k else "current word": k for k in BACK}
    words = {name: probes.words_back(windows, k, kept) for name, k in names.items()}
    return words | {"place": probes.since_start(windows, tokenizer.end_id)}


def read_all(tokenizer: Tokenizer, windows: np.ndarray, hidden: list[np.ndarray]) -> dict[str, list[probes.Probe]]:
    """Probes by label and layer, fitted on every second window and scored on the others. UserError: too little text."""
    fit = np.arange(len(windows)) % 2 == 0
    labels = labels_of(tokenizer, windows)
    out: dict[str, list[probes.Probe]] = {name: [] for name in labels}
    for i, states in enumerate(hidden):
        for name, wanted in labels.items():
            probe = probes.read(states, wanted, fit)
            out[name] += [] if probe is None else [probe]
        print(f"probes: layer {i} of {len(hidden) - 1}", file=sys.stderr)
    if not any(out.values()):
        count, length = windows.shape
        raise UserError(f"--layers: {count} windows of {length} tokens are too few to fit a probe; give more text")
    return {name: found for name, found in out.items() if found}


# ---- the report ----


def text(found: Found) -> str:
    """All tables, and the verdict."""
    lines = [f"{where(found)}\n"]
    if (seen := found.attention) is not None:
        names, flat = columns(found.causal), seen.flat
        heads = np.stack([seen.heads[m].mean(axis=1) for m in names], axis=1)
        of_heads = _layers(heads, list(names.values()), np.array([flat.heads[m] for m in names]))
        bins = attention.bin_names(seen.distance.shape[1])
        of_distance = _layers(seen.distance, bins, flat.distance)
        lines += [
            f"attention, means over heads and tokens\n{of_heads}\n",
            f"share of attention by {'tokens back' if found.causal else 'distance'}\n{of_distance}\n",
            "attention by kind of the token looked at, over the kind's share of positions (1: no preference)\n"
            f"{_layers(seen.kinds, list(attention.KINDS), None)}\n",
        ]
    lines.append(
        "accuracy of linear probes, fitted on every second window, scored on the others (words: the "
        f"{WORDS} most frequent; place: tokens since the start, in bins of doubling width)\n{probes_table(found)}\n"
    )
    return "\n".join([*lines, verdict(found)])


def where(found: Found) -> str:
    """The text, in words."""
    count, length = found.windows.shape
    split = {"heldout": "held-out", "train": "training"}[found.split]
    return f"{split} text, {count} windows of {length} tokens"


def _layers(rows: np.ndarray, names: list[str], free: np.ndarray | None) -> str:
    """[L, columns] by layer, and attention without preference."""
    cells = [["layer", *names]]
    cells += [[str(i + 1), *("-" if np.isnan(v) else f"{v:.3f}" for v in row)] for i, row in enumerate(rows)]
    return aligned(cells if free is None else [*cells, ["uniform", *(f"{v:.3f}" for v in free)]])


def probes_table(found: Found) -> str:
    """Accuracies after 0 (the embedding) to L layers; most frequent label, and numbers of positions."""
    rows = [["layer", *found.probes]]
    for i, probed in enumerate(zip(*found.probes.values(), strict=True)):
        rows.append([str(i) if i else "embedding", *(f"{p.accuracy:.3f}" for p in probed)])
    first = [ps[0] for ps in found.probes.values()]
    rows += [
        ["most frequent", *(f"{p.majority:.3f}" for p in first)],
        ["labels", *(f"{p.classes:,}" for p in first)],
        ["fitted on", *(f"{p.fitted:,}" for p in first)],
        ["scored on", *(f"{p.scored:,}" for p in first)],
    ]
    return aligned(rows)


def by_band(found: Found) -> tuple[list[str], dict[str, Bands]]:
    """(names of the bands of layers, `Bands` by measure).

    Attention of the bands is compared window by window. Probes are compared as if those of two bands were independent,
    and those of one band the same, which gives rather too large an error.
    """
    count = len(next(iter(found.probes.values()))) - 1
    cut = attention.bands(count)

    def means(values: np.ndarray) -> np.ndarray:
        """[L, ...] by layer -> [bands, ...]."""
        return np.stack([values[a - 1 : b].mean(axis=0) for a, b in cut])

    out = {}
    if (seen := found.attention) is not None:
        distance = "mean distance back" if found.causal else "mean distance"
        for name, measure in ((distance, "distance"), ("entropy of attention", "entropy")):
            values = means(seen.windows[measure])
            errors = np.diff(values, axis=0).std(axis=1, ddof=1) / math.sqrt(values.shape[1])
            out[name] = Bands(values.mean(axis=1).tolist(), errors.tolist())
    for name, ps in found.probes.items():
        errors = means(np.array([p.error for p in ps[1:]]))
        accuracy = means(np.array([p.accuracy for p in ps[1:]]))
        out[f"probe, {name}"] = Bands(accuracy.tolist(), np.hypot(errors[:-1], errors[1:]).tolist())
    return [str(a) if a == b else f"{a}-{b}" for a, b in cut], out


def change(bands: Bands) -> str:
    """How the measure changes from band to band, in words."""
    steps = attention.changes(*bands)
    if not steps:
        return "one band, nothing to compare"
    if not any(steps):
        return "level within two standard errors"
    words = [{1: "rises", 0: "level", -1: "falls"}[step] for step in steps]
    return f"{words[0]} at every band" if len(set(steps)) == 1 else f"from band to band {', '.join(words)}"


def verdict(found: Found) -> str:
    """One line per measure: its mean in each band, and how it changes from band to band."""
    names, measured = by_band(found)
    bands = ", ".join(f"layer{'s' * ('-' in name)} {name}" for name in names)
    lines = [f"means over bands of layers, which are {bands}:"]
    lines += [f"{name}: {', '.join(f'{v:.3f}' for v in one.means)}: {change(one)}" for name, one in measured.items()]
    error = max(p.error for ps in found.probes.values() for p in ps)
    counts = "rises, falls: by more than two standard errors of the difference"
    return "\n".join([*lines, f"({counts}; standard error of an accuracy: {error:.3f} at most)"])


def record(found: Found) -> dict[str, Any]:
    """All numbers, for JSON."""
    out: dict[str, Any] = {"split": found.split, "windows": len(found.windows), "length": found.windows.shape[1]}
    if (seen := found.attention) is not None:
        out["attention"] = {
            "heads": {name: values.tolist() for name, values in seen.heads.items()},
            "uniform": seen.flat.heads,
            "bins": attention.bin_names(seen.distance.shape[1]),
            "distance": seen.distance.tolist(),
            "distance_uniform": seen.flat.distance.tolist(),
            "kinds": list(attention.KINDS),
            "kind": [[None if np.isnan(v) else float(v) for v in row] for row in seen.kinds],
        }
    out["probes"] = {name: [p._asdict() for p in ps] for name, ps in found.probes.items()}
    names, measured = by_band(found)
    out["bands"] = {name: {"layers": names, **one._asdict(), "change": change(one)} for name, one in measured.items()}
    return out


def picture(found: Found) -> Layers:
    """The numbers that `draw_layers` draws."""
    seen = found.attention
    return Layers(
        bins=[] if seen is None else attention.bin_names(seen.distance.shape[1]),
        distance=None if seen is None else seen.distance,
        distance_uniform=None if seen is None else seen.flat.distance,
        kinds=list(attention.KINDS),
        kind=None if seen is None else seen.kinds,
        accuracy={name: [p.accuracy for p in ps] for name, ps in found.probes.items()},
        majority={name: ps[0].majority for name, ps in found.probes.items()},
        both_ways=not found.causal,
    )
