"""Word similarity: do the vectors order pairs of words like people?"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError
from w2v_jax.files import PathLike
from w2v_jax.tables import read_tsv

Pair = tuple[str, str, float]


class Similarity(NamedTuple):
    """Spearman and Pearson correlation (-1 to 1; None with fewer than two different scores), pairs found and total."""

    spearman: float | None
    pearson: float | None
    found: int
    total: int


def read_pairs(path: PathLike) -> list[Pair]:
    """Pairs of a `word1<TAB>word2<TAB>score` file. UserError: missing file, or a malformed line by its number."""
    pairs = []
    for number, (first, second, score) in read_tsv(path, 3):
        try:
            value = float(score)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):  # one would turn every correlation into a nan
            raise UserError(f"{os.fspath(path)}: line {number:,}: {score!r} is not a score")
        pairs.append((first, second, value))
    return pairs


def similarity(emb: Embeddings, pairs: Sequence[Pair]) -> Similarity:
    """Correlates cosines with people's scores over the pairs whose words are both found by `Embeddings.find`."""
    rows = [(emb.find(a), emb.find(b), score) for a, b, score in pairs]
    known = [(i, j, score) for i, j, score in rows if i is not None and j is not None]
    if not known:
        return Similarity(None, None, 0, len(pairs))
    ours = emb.paired_cosines(np.array([i for i, _, _ in known]), np.array([j for _, j, _ in known]))
    theirs = np.array([score for _, _, score in known])
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return Similarity(None, None, len(known), len(pairs))
    from scipy import stats  # takes a second to import

    spearman, pearson = stats.spearmanr(ours, theirs), stats.pearsonr(ours, theirs)
    return Similarity(float(spearman.statistic), float(pearson.statistic), len(known), len(pairs))
