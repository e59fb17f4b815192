"""Categorisation: do clusters of the vectors match the classes that people assign to words?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.embeddings import Embeddings
from w2v_jax.files import PathLike
from w2v_jax.tables import read_tsv

Labelled = tuple[str, str]


class Purity(NamedTuple):
    """Share of words in the majority class of their cluster (None without any), and the classes and words found."""

    purity: float | None
    classes: int
    found: int
    total: int


def read_classes(path: PathLike) -> list[Labelled]:
    """(class, word) of a `class<TAB>word` file. UserError: missing file, or a malformed line by its number."""
    return [(label, word) for _, (label, word) in read_tsv(path, 2)]


def purity(emb: Embeddings, labelled: Sequence[Labelled], seed: int = 0, inits: int = 10) -> Purity:
    """Purity of k-means on unit vectors: sum over clusters of max over classes |cluster and class| / words found.

    `labelled` holds (class, word); words are looked up by `Embeddings.find`. There are as many clusters as classes
    found. The best of `inits` starts, by the sum of squared distances, counts; the seed fixes them.
    """
    rows = [(label, emb.find(word)) for label, word in labelled]
    known = [(label, row) for label, row in rows if row is not None]
    labels = sorted({label for label, _ in known})
    if not known:
        return Purity(None, 0, 0, len(labelled))
    from sklearn.cluster import KMeans  # slow to import

    units = emb.unit(np.array([row for _, row in known]))
    truth = np.array([labels.index(label) for label, _ in known])
    # Repeated vectors can leave fewer distinct points than classes.
    clusters = min(len(labels), len(np.unique(units, axis=0)))
    found = KMeans(clusters, n_init=inits, random_state=seed).fit_predict(units)
    table = np.zeros((clusters, len(labels)), np.int64)
    np.add.at(table, (found, truth), 1)
    return Purity(float(table.max(axis=1).sum() / len(known)), len(labels), len(known), len(labelled))
