"""Where attention goes: by head, by distance, by kind of word, and through all layers.

Weight w_ts >= 0 with sum_s w_ts = 1 is how much position t of a head takes from position s; causal heads have s <= t.
Means over positions exclude the first one, which in a causal head sees only itself. The reference for each measure is
its value on `uniform`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

KINDS = ("end", "punctuation", "frequent", "middle", "rare")
FREQUENT = 50  # types: of English text, about its function words
RARE = 0.1  # share of the text made up of the rarest types
BANDS = ((1, 12), (5, 12), (9, 12), (12, 12))  # ends of 1, 2-5, 6-9, 10-12 as shares of the layers


def uniform(length: int, causal: bool, documents: np.ndarray | None = None) -> np.ndarray:
    """Uniform attention: 1 / (number of positions seen), float64 [T, T]; with `documents` int [T] only positions of the
    same document are seen."""
    seen = np.tri(length) if causal else np.ones((length, length))
    if documents is not None:
        seen = seen * (documents[:, None] == documents[None])
    return seen / seen.sum(axis=1, keepdims=True)


def distances(length: int) -> np.ndarray:
    """|t - s|, int64 [T, T]."""
    places = np.arange(length)
    return np.abs(places[:, None] - places[None])


def summary(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Means over positions t >= 1 of every attention matrix, [..., T, T] with T at least 2 -> float64 [...] each.

    'distance': sum_s w_ts |t - s|; 'self', 'before', 'after', 'first': the weight of t, t - 1, t + 1 (0 at the end) and
    0; 'entropy': -sum_s w_ts log w_ts, in nats.
    """
    wide = weights.astype(np.float64)
    later = wide[..., 1:, :]
    logs = np.log(later, where=later > 0, out=np.zeros_like(later))

    def diagonal(offset: int) -> np.ndarray:
        along = np.diagonal(wide, offset, axis1=-2, axis2=-1)
        return np.asarray(along[..., 1:] if offset >= 0 else along).sum(-1) / (wide.shape[-1] - 1)

    return {
        "distance": (later * distances(wide.shape[-1])[1:]).sum(-1).mean(-1),
        "self": diagonal(0),
        "before": diagonal(-1),
        "after": diagonal(1),
        "first": later[..., 0].mean(-1),
        "entropy": -(later * logs).sum(-1).mean(-1),
    }


def doubling(values: np.ndarray) -> np.ndarray:
    """Bins of numbers of at least 0: 0, 1, 2-3, 4-7, ... are bins 0, 1, 2, 3, ...; int64 of the same shape."""
    return np.frexp(np.asarray(values, np.float64))[1].astype(np.int64)


def bin_names(count: int) -> list[str]:
    """Names of the first `count` bins of `doubling`."""
    return [str(2**b // 2) if b < 2 else f"{2 ** (b - 1)}-{2**b - 1}" for b in range(count)]


def by_distance(weights: np.ndarray) -> np.ndarray:
    """Share of attention by bin of distance |t - s|, mean over positions t >= 1: [..., T, T] -> float64 [..., bins]."""
    bins = doubling(distances(weights.shape[-1]))[1:]
    later = weights[..., 1:, :]
    shares = [later.sum(axis=(-2, -1), where=bins == b, dtype=np.float64) for b in range(int(bins.max()) + 1)]
    return np.stack(shares, axis=-1) / later.shape[-2]


def kinds_of(names: Sequence[str], counts: np.ndarray, end: int | None, unknown: int | None) -> np.ndarray:
    """The place in `KINDS` of every type of a vocabulary, int64 [V], from its readable names and counts int [V].

    'end' closes a document; 'punctuation' has no letter or digit; of the others the `FREQUENT` most frequent are
    'frequent', and 'rare' are `<unk>` and the least frequent types that together make up `RARE` of the text. `end` and
    `unknown` are ids.
    """
    kinds = np.full(len(names), KINDS.index("middle"))
    order = np.argsort(-counts, kind="stable")
    tail = np.cumsum(counts[order][::-1])[::-1]  # of a type and all less frequent ones
    kinds[order[tail <= RARE * counts.sum()]] = KINDS.index("rare")
    # U+FFFD is a part of a character, as in byte pairs.
    mark = np.array([not any(c.isalnum() or c == "\ufffd" for c in name) for name in names], bool)
    special = np.isin(np.arange(len(names)), [i for i in (end, unknown) if i is not None])
    words = order[~(mark | special)[order]]
    kinds[words[:FREQUENT]] = KINDS.index("frequent")
    kinds[mark] = KINDS.index("punctuation")
    if unknown is not None:
        kinds[unknown] = KINDS.index("rare")
    if end is not None:
        kinds[end] = KINDS.index("end")
    return kinds


def received(weights: np.ndarray) -> np.ndarray:
    """Attention that each position receives from all t >= 1, sum_t w_ts: [..., T, T] -> float64 [..., T]."""
    return weights[..., 1:, :].sum(axis=-2, dtype=np.float64)


def by_kind(got: np.ndarray, expected: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Attention that a kind of word receives, relative to uniform attention: float64 [len(KINDS)].

    sum of `got` ([W, T], `received` of each text) / sum of `expected` ([T] or [W, T], `received` of `uniform`) over the
    positions of each kind, `kinds` int [W, T]; NaN for a kind that does not occur.
    """
    there = [kinds == kind for kind in range(len(KINDS))]
    seen = np.broadcast_to(expected, got.shape)
    return np.array([got[at].sum() / seen[at].sum() if at.any() else np.nan for at in there])


def rollout(weights: np.ndarray) -> np.ndarray:
    """Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928): the share of each input in each position.

        R_l = A_l R_{l-1},    A_l = (w_l + I) / 2,    R_0 = I

    Half of each layer is its residual connection. Weights [L, T, T], means over the heads of each layer, give float64
    [L, T, T], R_1 to R_L; rows sum to 1.
    """
    eye = np.eye(weights.shape[-1])
    out, rolled = [], eye
    for layer in weights.astype(np.float64):
        rolled = (layer + eye) / 2 @ rolled
        out.append(rolled)
    return np.stack(out)


def bands(layers: int) -> list[tuple[int, int]]:
    """(first, last) layer of each band, counted from 1: of twelve layers 1, 2-5, 6-9 and 10-12; of few layers fewer."""
    ends = [0, *(math.ceil(layers * part / whole) for part, whole in BANDS)]
    return [(before + 1, last) for before, last in zip(ends, ends[1:], strict=False) if last > before]


def changes(values: Sequence[float], errors: Sequence[float]) -> list[int]:
    """For each value but the first 1 where it is above the one before by more than two standard errors of their
    difference, -1 where it is as much below, else 0. `errors` are those of the differences."""
    steps = zip(values, values[1:], errors, strict=False)
    return [0 if abs(b - a) <= 2 * error else 1 if b > a else -1 for a, b, error in steps]
