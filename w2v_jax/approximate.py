"""Approximate neighbours by a graph (HNSW, Malkov & Yashunin 2016, arXiv 1603.09320), for millions of words.

    index = Approximate.build(emb)
    emb.most_similar("king", indexer=index)

The exact search reads every vector: 100 million numbers a query for a million words of 100 dimensions. The graph reads
a few thousand vectors and finds most of the same neighbours; docs/vectors.md states how many. The graph is that of
faiss, an optional package: `pip install -e '.[approximate]'`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import Any

import numpy as np

from w2v_jax.embeddings import Embeddings, Scored
from w2v_jax.errors import UserError, check_whole, user_errors
from w2v_jax.files import PathLike, atomic, given_path

_ROWS = 1 << 16  # added at a time: their unit vectors are a copy


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Approximate:
    """A graph over the unit vectors of `emb`; its inner products are cosines."""

    emb: Embeddings
    graph: Any  # faiss.IndexHNSWFlat over V rows

    @classmethod
    def build(cls, emb: Embeddings, links: int = 32, effort: int = 80, search: int = 128) -> Approximate:
        """Makes the graph; its memory is 4 D + 8 links bytes a word.

        Args:
          links: neighbours that the graph keeps of a word, at least 2.
          effort: candidates looked at for each word while building.
          search: candidates looked at for a query. More of any is slower, and finds more of the true neighbours.

        UserError: faiss is not installed, an impossible number, or a NaN among the vectors.
        """
        for name, value, least in (("links", links, 2), ("effort", effort, 1), ("search", search, 1)):
            check_whole(name, value, least)
        faiss = _faiss()
        graph = faiss.IndexHNSWFlat(emb.dim, links, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = effort, search
        for start in range(0, len(emb), _ROWS):
            graph.add(np.ascontiguousarray(emb.unit(slice(start, start + _ROWS))))
        return cls(emb, graph)

    def most_similar(self, vector: np.ndarray, topn: int = 10) -> Scored:
        """(word, cosine) of about the `topn` nearest words, best first; words of a query are not left out, as in
        gensim. UserError: a vector of another length, an impossible topn."""
        query = np.asarray(self.emb._given(vector), np.float32)
        check_whole("topn", topn, 1)
        query = query / np.float32(max(float(np.linalg.norm(query)), 1e-30))
        scores, rows = self.graph.search(query[None], min(topn, len(self.emb)))
        found = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        return [(self.emb.words[row], score) for row, score in found if row >= 0]

    @user_errors()
    def save(self, path: PathLike) -> None:
        """Writes the graph with its vectors, without the words, whole or not at all. UserError: a write failed."""
        with atomic(path) as f:
            f.write(_faiss().serialize_index(self.graph).data)

    @classmethod
    def open(cls, path: PathLike, emb: Embeddings, search: int = 128) -> Approximate:
        """The graph that `save` wrote, over the words of `emb`; `search` is that of `build`. UserError: not there,
        damaged, of other vectors, an impossible number."""
        check_whole("search", search, 1)
        path = os.fspath(given_path("path", path, "the path of a file"))
        if not os.path.isfile(path):
            raise UserError(f"{path}: no such file; check the name")
        try:
            graph = _faiss().read_index(path)
            shape = (graph.ntotal, graph.d)
            graph.hnsw.efSearch = search
        except (RuntimeError, AttributeError):
            raise UserError(f"{path}: damaged, or not a graph that Approximate.save wrote; build it again") from None
        if shape != (len(emb), emb.dim):
            said = f"{shape[0]:,} words of {shape[1]:,} dimensions, the vectors {len(emb):,} of {emb.dim:,}"
            raise UserError(f"{path}: the graph has {said}: not of the same vectors")
        for start in range(0, len(emb), _ROWS):
            units = emb.unit(slice(start, start + _ROWS))
            same = np.abs(graph.reconstruct_n(start, len(units)) - units).max(axis=1) < 1e-5
            if not same.all():
                word = emb.words[start + int(np.argmin(same))]
                raise UserError(f"{path}: the graph has another vector of {word!r}: not of the same vectors; build it")
        return cls(emb, graph)


def _faiss() -> Any:
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it tells which instructions it tries
    try:
        import faiss
    except ImportError:
        raise UserError("approximate neighbours need faiss: pip install -e '.[approximate]'") from None
    return faiss
