"""Models of topics fitted to one text, and what the command reads off them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from w2v_jax.config import Config
from w2v_jax.evaluation import topics as scores
from w2v_jax.train import loop
from w2v_jax.train.restore import Model, open_model

TOP = 10  # words of a topic that its coherence is measured on
NAMES = {"lsa": "LSA", "lda": "LDA"}


class Fitted(NamedTuple):
    """A fitted model with its topics."""

    name: str
    model: Model
    readings: tuple[np.ndarray, ...]  # float [K, V] each: what ranks the words of the topics, the first is shown
    loadings: np.ndarray  # float32 [N, K] of the training documents
    result: dict[str, Any]

    def tops(self, count: int = TOP) -> list[np.ndarray]:
        """The first words of every topic, int64 [K, count], in each reading."""
        count = min(count, self.readings[0].shape[1])
        return [scores.top_words(weights, count) for weights in self.readings]

    def vectors(self, counts: sp.csr_matrix) -> np.ndarray:
        """Documents as float32 [N, K]."""
        represent = self.model.spec.represent
        assert represent is not None
        return represent(self.model.cfg, self.model.params, self.model.consts, counts)


def fit(config: Config, folder: Path, rows: sp.csr_matrix) -> Fitted:
    """Fits or continues the model of `config` in `folder` and reads its topics; `rows` are the counts of the training
    documents. UserError, Interrupted, Diverged: see `loop.train`."""
    result = loop.train(config, folder)
    model = open_model(folder)
    if config.family == "lda":
        readings: tuple[np.ndarray, ...] = (np.asarray(model.params["topics"]),)
    else:  # a component contrasts two kinds of words; each side can be read as a topic
        words = np.asarray(model.params["W"]).T
        readings = (words, -words)
    found = Fitted(NAMES[config.family], model, readings, np.zeros((0, 0)), result)
    return found._replace(loadings=found.vectors(rows))


def beside(lda: Config, lsa: Config) -> Config:
    """The config of LDA on the text, with the seed and the number of topics of LSA."""
    model = dataclasses.replace(lda.model, topics=lsa.model.dim)
    return dataclasses.replace(lda, model=model, data=lsa.data, train=lsa.train)


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


def quality_rows(results: list[Mapping[str, Any]]) -> list[list[str]]:
    """A table of `quality`."""
    rows = [["model", "NPMI", "UMass", "diversity", "held-out perplexity", "seconds"]]
    for r in results:
        held = "" if r["perplexity"] is None else f"{r['perplexity']:,.0f}"
        rows.append(
            [r["model"], f"{r['npmi']:.3f}", f"{r['umass']:.2f}", f"{r['diversity']:.2f}", held, f"{r['seconds']:.1f}"]
        )
    return rows
