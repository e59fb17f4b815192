"""What `experiments.layers` measured, as tables, as a verdict on bands of layers, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Callable
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
    if found.attention is not None:
        lines += [
            f"attention, means over heads and tokens\n{heads_table(found)}\n",
            f"share of attention by {'tokens back' if found.causal else 'distance'}\n{distance_table(found)}\n",
            "attention by kind of the token looked at, over the kind's share of positions (1: no preference)\n"
            f"{kinds_table(found)}\n",
        ]
    lines.append(
        "accuracy of linear probes, fitted on every second window, scored on the others (words: the "
        f"{WORDS} most frequent; place: tokens since the start, in bins of doubling width)\n{probes_table(found)}\n"
    )
    return "\n".join([*lines, verdict(found)])


def where(found: Found) -> str:
    """What was read."""
    count, length = found.windows.shape
    split = {"heldout": "held-out", "train": "training"}[found.split]
    return f"{split} text, {count} windows of {length} tokens"


def _layers(rows: np.ndarray, names: list[str], free: np.ndarray | None) -> str:
    """[L, columns] by layer, and attention without preference."""
    cells = [["layer", *names]]
    cells += [[str(i + 1), *("-" if np.isnan(v) else f"{v:.3f}" for v in row)] for i, row in enumerate(rows)]
    return aligned(cells if free is None else [*cells, ["uniform", *(f"{v:.3f}" for v in free)]])


def heads_table(found: Found) -> str:
    """Mean distance, shares on places of note, entropy."""
    assert found.attention is not None
    names = columns(found.causal)
    free = summary(uniform(found.windows.shape[1], found.causal))
    rows = np.stack([found.attention.heads[m].mean(axis=1) for m in names], axis=1)
    return _layers(rows, list(names.values()), np.array([float(free[m]) for m in names]))


def distance_table(found: Found) -> str:
    """Shares by bin of distance."""
    assert found.attention is not None
    rows = found.attention.distance
    return _layers(rows, bin_names(rows.shape[1]), by_distance(uniform(found.windows.shape[1], found.causal)))


def kinds_table(found: Found) -> str:
    """Ratios by kind of word."""
    assert found.kinds is not None
    return _layers(found.kinds, list(KINDS), None)


def probes_table(found: Found) -> str:
    """Accuracies after 0 (the embedding) to L layers; most frequent label, and positions that were scored."""
    columns = list(found.probes.values())
    count = len(columns[0])
    rows = [["layer", *found.probes]]
    rows += [[str(i) if i else "embedding", *(f"{c[i].accuracy:.3f}" for c in columns)] for i in range(count)]
    last: list[tuple[str, Callable[[Any], str]]] = [
        ("most frequent", lambda p: f"{p.majority:.3f}"),
        ("labels", lambda p: f"{p.classes:,}"),
        ("fitted on", lambda p: f"{p.fitted:,}"),
        ("scored on", lambda p: f"{p.scored:,}"),
    ]
    return aligned(rows + [[name, *(form(c[0]) for c in columns)] for name, form in last])


def measures(found: Found) -> dict[str, list[float]]:
    """What is compared between bands, by layer 1 to L."""
    out: dict[str, list[float]] = {}
    if found.attention is not None:
        names = {
            "distance": "mean distance back" if found.causal else "mean distance",
            "entropy": "entropy of attention",
        }
        out |= {title: found.attention.heads[m].mean(axis=1).tolist() for m, title in names.items()}
    return out | {f"probe, {name}": [p.accuracy for p in ps[1:]] for name, ps in found.probes.items()}


def by_band(found: Found) -> dict[str, list[float]]:
    """Means of `measures` over the layers of each band."""
    out = {}
    for name, values in measures(found).items():
        out[name] = [float(np.mean(values[first - 1 : last])) for first, last in bands(len(values))]
    return out


def _bands(found: Found) -> list[str]:
    count = len(next(iter(measures(found).values())))
    return [str(a) if a == b else f"{a}-{b}" for a, b in bands(count)]


def verdict(found: Found) -> str:
    """One line a measure: its mean in each band, and whether it rises with them."""
    names = _bands(found)
    lines = [f"bands of layers, as 1, 2-5, 6-9, 10-12 are of twelve: {', '.join(names)}"]
    for name, values in by_band(found).items():
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
    names = _bands(found)
    out["bands"] = {
        name: {"layers": names, "means": values, "rises": rises(values) if len(values) > 1 else None}
        for name, values in by_band(found).items()
    }
    return out


def picture(found: Found) -> Layers:
    """What is drawn."""
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
