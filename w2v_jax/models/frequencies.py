"""How word2vec uses word frequencies: subsampling of frequent words, and the noise of negative sampling."""

from __future__ import annotations

import numpy as np


def keep_probability(counts: np.ndarray, sample: float) -> np.ndarray:
    """Probability that a token survives subsampling, min(1, (sqrt(f / s) + 1) s / f); counts [V] -> float64 [V].

    f is the word's share of the text and s = `sample`, where 0 keeps every token. The formula is that of the C tool,
    not the 1 - sqrt(s / f) printed in Mikolov et al. 2013b.
    """
    if sample <= 0:
        return np.ones(len(counts))
    share = np.maximum(counts, 1) / max(counts.sum(), 1)
    return np.minimum(1.0, (np.sqrt(share / sample) + 1.0) * sample / share)


def noise_probability(counts: np.ndarray, power: float = 0.75) -> np.ndarray:
    """Noise distribution of negative sampling, counts^power normalised; float64 [V]."""
    weights = counts.astype(np.float64) ** power
    return weights / weights.sum()


def alias_table(probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's alias table of a distribution, float64 [V] -> (accept float32 [V], alias int32 [V]).

    Draw v uniformly and keep it with probability accept[v], else take alias[v]. This is exact for any vocabulary; a
    float32 cumulative sum would lose the rare words of a large one.
    """
    size = len(probability)
    scaled = probability * size
    accept, alias = np.ones(size), np.arange(size)
    small = [int(i) for i in np.flatnonzero(scaled < 1.0)]
    large = [int(i) for i in np.flatnonzero(scaled >= 1.0)]
    while small and large:
        low, high = small.pop(), large[-1]
        accept[low], alias[low] = scaled[low], high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            small.append(large.pop())
    return accept.astype(np.float32), alias.astype(np.int32)
