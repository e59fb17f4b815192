"""Models of topics fitted to one text, and what the command reads off them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from w2v_jax.config import Config
from w2v_jax.data.corpus import Corpus
from w2v_jax.evaluation import topics as scores
from w2v_jax.models import lda
from w2v_jax.train import loop
from w2v_jax.train.restore import Model, open_model

TOP = 10  # words of a topic that its coherence is measured on
NAMES = {"lsa": "LSA", "lda": "LDA"}


class Fitted(NamedTuple):
    """A fitted model with its topics."""

    name: str
    model: Model
    # Float [K, V] each: what ranks the words of the topics. The first is shown and scored; the second, of LSA alone, is
    # the other side of each component.
    readings: tuple[np.ndarray, ...]
    signs: np.ndarray  # float32 [K], by which the model's own components were turned; 1 of LDA
    loadings: np.ndarray  # float32 [N, K] of the training documents, above 0 on the side of the first reading
    result: dict[str, Any]

    def tops(self, count: int = TOP) -> list[np.ndarray]:
        """The first words of every topic, int64 [K, count], in each reading."""
        count = min(count, self.readings[0].shape[1])
        return [scores.top_words(weights, count) for weights in self.readings]

    def vectors(self, counts: sp.csr_matrix) -> np.ndarray:
        """Documents as float32 [N, K]."""
        represent = self.model.spec.represent
        assert represent is not None
        return represent(self.model.cfg, self.model.params, self.model.consts, counts) * self.signs


def fit(config: Config, folder: Path, rows: sp.csr_matrix) -> Fitted:
    """Fits or continues the model of `config` in `folder` and reads its topics; `rows` are the counts of the training
    documents. UserError, Interrupted, Diverged: see `loop.train`."""
    result = loop.train(config, folder)
    model = open_model(folder)
    if config.family == "lda":
        words = np.asarray(model.params["topics"])
        readings: tuple[np.ndarray, ...] = (words,)
        signs = np.ones(len(words), np.float32)
    else:
        first, other, signs = sides(np.asarray(model.params["W"]).T)
        readings = (first, other)
    found = Fitted(NAMES[config.family], model, readings, signs, np.zeros((0, 0)), result)
    return found._replace(loadings=found.vectors(rows))


def sides(components: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the first side of components float [K, V], the other, the signs [K] that turn them to it).

    A component contrasts two kinds of words, and its sign is arbitrary: each side can be read as a topic. The first is
    that whose `TOP` words of the largest weights have the larger sum of squared weights. No score of topics has a say.
    """

    def size(side: np.ndarray) -> np.ndarray:
        ranked = -np.sort(-np.maximum(side, 0.0), axis=1)[:, :TOP]
        return np.asarray((ranked**2).sum(1))

    signs = np.where(size(components) >= size(-components), 1.0, -1.0).astype(np.float32)
    first = components * signs[:, None]
    return first, -first, signs


def beside(config: Config, lsa: Config) -> Config:
    """The config of LDA on the text, with the seed and the number of topics of LSA."""
    model = dataclasses.replace(config.model, topics=lsa.model.dim)
    return dataclasses.replace(config, model=model, data=lsa.data, train=lsa.train)


def quality(found: Fitted, rows: sp.csr_matrix) -> dict[str, Any]:
    """Coherence of the topics by the training documents, diversity, held-out perplexity of LDA, seconds."""
    tops = found.tops()[0]
    contexts = scores.documents(rows, tops)
    npmi, umass = scores.npmi(contexts, tops), scores.umass(contexts, tops)
    held = found.result.get("heldout_loss")
    return {
        "model": found.name,
        "npmi": float(np.nanmean(npmi)),
        "umass": float(np.nanmean(umass)),
        "diversity": scores.diversity(found.readings[0]),
        "perplexity": None if held is None else math.exp(held),
        "seconds": found.result["seconds"],
        "topic_npmi": npmi.tolist(),
        "topic_umass": umass.tolist(),
    }


def heldout(models: Sequence[Fitted], corpus: Corpus) -> dict[str, int] | None:
    """What the held-out perplexity is of; None where no model has one."""
    for found in models:
        if found.result.get("heldout_loss") is not None:
            texts = lda.heldout_texts(found.model.cfg, corpus)
            return {"of": corpus.heldout.documents, "documents": len(texts), "words": sum(map(len, texts))}
    return None


def heldout_told(found: Mapping[str, int] | None) -> str:
    """A line below the table of `quality_rows`; empty where it has no perplexity."""
    if found is None:
        return ""
    of, rest = f"all {found['of']:,}", ""
    if found["documents"] < found["of"]:
        of = f"the first {found['documents']:,} of {found['of']:,}"
        rest = "; --lda.model.heldout_documents=0 with another --workdir takes all"
    return f"held-out perplexity: of {of} held-out documents with a known word, {found['words']:,} known words{rest}"


def quality_rows(results: list[Mapping[str, Any]]) -> list[list[str]]:
    """A table of `quality`."""
    rows = [["model", "NPMI", "UMass", "diversity", "held-out perplexity", "seconds"]]
    for r in results:
        held = "" if r["perplexity"] is None else f"{r['perplexity']:,.0f}"
        rows.append(
            [r["model"], f"{r['npmi']:.3f}", f"{r['umass']:.2f}", f"{r['diversity']:.2f}", held, f"{r['seconds']:.1f}"]
        )
    return rows
