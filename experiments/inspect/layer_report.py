"""The measurements of `experiments.inspect.layers` as tables, a verdict on bands of layers, JSON and a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.inspect.attention import columns
from experiments.inspect.layers import WORDS, Found
from w2v_jax.evaluation.attention import KINDS, bands, bin_names, by_distance, rises, summary, uniform
from w2v_jax.figures.attention import Layers
from w2v_jax.tables import aligned


def text(found: Found) -> str:
    """All tables, and the verdict."""
    lines = [f"{where(found)}\n"]
    if found.attention is not None and found.kinds is not None:
        names, flat = columns(found.causal), uniform(found.windows.shape[1], found.causal)
        heads = np.stack([found.attention.heads[m].mean(axis=1) for m in names], axis=1)
        free = summary(flat)
        of_heads = _layers(heads, list(names.values()), np.array([float(free[m]) for m in names]))
        shares = found.attention.distance
        of_distance = _layers(shares, bin_names(shares.shape[1]), by_distance(flat))
        lines += [
            f"attention, means over heads and tokens\n{of_heads}\n",
            f"share of attention by {'tokens back' if found.causal else 'distance'}\n{of_distance}\n",
            "attention by kind of the token looked at, over the kind's share of positions (1: no preference)\n"
            f"{_layers(found.kinds, list(KINDS), None)}\n",
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
    columns = list(found.probes.values())
    rows = [["layer", *found.probes]]
    for i in range(len(columns[0])):
        rows.append([str(i) if i else "embedding", *(f"{c[i].accuracy:.3f}" for c in columns)])
    first = [c[0] for c in columns]
    rows += [
        ["most frequent", *(f"{p.majority:.3f}" for p in first)],
        ["labels", *(f"{p.classes:,}" for p in first)],
        ["fitted on", *(f"{p.fitted:,}" for p in first)],
        ["scored on", *(f"{p.scored:,}" for p in first)],
    ]
    return aligned(rows)


def by_band(found: Found) -> tuple[list[str], dict[str, list[float]]]:
    """(names of the bands of layers, means over the layers of each band by measure)."""
    measured = {f"probe, {name}": [p.accuracy for p in ps[1:]] for name, ps in found.probes.items()}
    if found.attention is not None:
        heads = {m: values.mean(axis=1).tolist() for m, values in found.attention.heads.items()}
        distance = "mean distance back" if found.causal else "mean distance"
        measured = {distance: heads["distance"], "entropy of attention": heads["entropy"]} | measured
    cut = bands(len(next(iter(measured.values()))))
    names = [str(a) if a == b else f"{a}-{b}" for a, b in cut]
    return names, {name: [float(np.mean(values[a - 1 : b])) for a, b in cut] for name, values in measured.items()}


def verdict(found: Found) -> str:
    """One line per measure: its mean in each band, and whether it rises from band to band."""
    names, means = by_band(found)
    lines = [f"bands of layers, as 1, 2-5, 6-9, 10-12 are of twelve: {', '.join(names)}"]
    for name, values in means.items():
        told = "rises" if rises(values) else "does not rise"
        end = f": {told} at every band" if len(values) > 1 else ": one band, nothing to compare"
        lines.append(f"{name}: {', '.join(f'{v:.3f}' for v in values)}{end}")
    error = max(p.error for ps in found.probes.values() for p in ps)
    return "\n".join([*lines, f"(standard error of an accuracy: {error:.3f} at most)"])


def record(found: Found) -> dict[str, Any]:
    """All numbers, for JSON."""
    length = found.windows.shape[1]
    out: dict[str, Any] = {"split": found.split, "windows": len(found.windows), "length": length}
    if found.attention is not None and found.kinds is not None:
        flat = uniform(length, found.causal)
        out["attention"] = {
            "heads": {name: values.tolist() for name, values in found.attention.heads.items()},
            "uniform": {name: float(value) for name, value in summary(flat).items()},
            "bins": bin_names(found.attention.distance.shape[1]),
            "distance": found.attention.distance.tolist(),
            "distance_uniform": by_distance(flat).tolist(),
            "kinds": list(KINDS),
            "kind": [[None if np.isnan(v) else float(v) for v in row] for row in found.kinds],
        }
    out["probes"] = {name: [p._asdict() for p in ps] for name, ps in found.probes.items()}
    names, means = by_band(found)
    out["bands"] = {
        name: {"layers": names, "means": values, "rises": rises(values) if len(values) > 1 else None}
        for name, values in means.items()
    }
    return out


def picture(found: Found) -> Layers:
    """The numbers that `draw_layers` draws."""
    seen = found.attention
    return Layers(
        bins=[] if seen is None else bin_names(seen.distance.shape[1]),
        distance=None if seen is None else seen.distance,
        distance_uniform=None if seen is None else by_distance(uniform(found.windows.shape[1], found.causal)),
        kinds=list(KINDS),
        kind=found.kinds,
        accuracy={name: [p.accuracy for p in ps] for name, ps in found.probes.items()},
        majority={name: ps[0].majority for name, ps in found.probes.items()},
        both_ways=not found.causal,
    )
