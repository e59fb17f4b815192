"""Word similarity by how often the rarer word of a pair stands in the text the vectors were trained on.

A pair counts in one set only: sets are taken by falling size, and a pair that a larger one has (WordSim-353 and its
parts, RG-65 and MC-30) is left out of the smaller. What a set itself has twice (WordSim-353 repeats two pairs) counts
twice. A bin has the mean of Spearman's correlation over the sets with at least `LEAST` pairs in it, weighed by pairs:
scores of different sets are not on one scale. The pairs of the other sets are left out of the bin, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2v_jax.embeddings import Embeddings
from w2v_jax.evaluation.similarity import Pair, similarity

# First count of each bin of the rarer word, and its name.
BINS = {"below 20": 0, "20 to 99": 20, "100 to 499": 100, "500 and more": 500}
LEAST = 20


def distinct(sets: Mapping[str, Sequence[Pair]]) -> dict[str, list[Pair]]:
    """The sets by falling size (then by name), without the pairs that an earlier one has in either order."""
    seen: set[frozenset[str]] = set()
    out: dict[str, list[Pair]] = {}
    for name in sorted(sets, key=lambda n: (-len(sets[n]), n)):
        keys = [frozenset((a.lower(), b.lower())) for a, b, _ in sets[name]]
        out[name] = [pair for pair, key in zip(sets[name], keys, strict=True) if key not in seen]
        seen.update(keys)
    return out


def similarity_by_frequency(
    emb: Embeddings, sets: Mapping[str, Sequence[Pair]]
) -> dict[str, dict[str, float | int | None]]:
    """{bin: {'spearman', None without any set; 'pairs'; 'sets'; 'left_out', pairs of sets with too few of them}} over
    pairs whose words are both known; {} without counts."""
    if emb.counts is None:
        return {}
    starts = np.array(list(BINS.values()))
    total = {name: {"spearman": 0.0, "pairs": 0, "sets": 0, "left_out": 0} for name in BINS}
    for pairs in distinct(sets).values():
        rows = [(emb.find(a), emb.find(b), pair) for pair in pairs for a, b in [pair[:2]]]
        known = [(i, j, pair) for i, j, pair in rows if i is not None and j is not None]
        rarer = np.array([min(emb.counts[i], emb.counts[j]) for i, j, _ in known])
        places = np.searchsorted(starts, rarer, side="right") - 1
        for place, one in enumerate(total.values()):
            some = [known[i][2] for i in np.flatnonzero(places == place)]
            found = similarity(emb, some).spearman if len(some) >= LEAST else None
            if found is None:
                one["left_out"] += len(some)
            else:
                one["spearman"] += found * len(some)
                one["pairs"] += len(some)
                one["sets"] += 1
    return {
        name: {**one, "spearman": one["spearman"] / one["pairs"] if one["pairs"] else None}
        for name, one in total.items()
    }
