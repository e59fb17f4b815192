"""The models that are compared, and what one run of one of them measures."""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import cli
from experiments.common.config_flag import load_config
from w2v_jax.config import Config, DataConfig
from w2v_jax.data.cooccurrence import Rules, cooccurrences
from w2v_jax.data.corpus import build_corpus
from w2v_jax.embeddings import Embeddings, load
from w2v_jax.evaluation import builtin
from w2v_jax.evaluation.analogies import add_up, analogies
from w2v_jax.evaluation.similarity import similarity
from w2v_jax.evaluation.sparse_rows import SparseRows
from w2v_jax.evaluation.suite import chosen_tests
from w2v_jax.models.frequencies import keep_probability
from w2v_jax.models.lsa import LSAConfig
from w2v_jax.models.ppmi_svd import PPMIConfig, matrix, pmi
from w2v_jax.overrides import override
from w2v_jax.train import loop
from w2v_jax.types import Say

RAW = "ppmi"  # rows of a matrix: nothing is trained or decomposed
MODELS = ("lsa", RAW, "svd", "glove", "skipgram", "cbow")
TESTS = ("ws353", "simlex999", "men")
PAIRS = 4000  # of words that the scatter shows


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all runs share."""

    data: DataConfig
    dim: int
    window: int
    data_dir: str | None
    restrict: int = 30_000


def config(plan: Plan, name: str, seed: int) -> Config:
    """The run of a trained or decomposed model: its own config file, with dimensions, window and text of the plan."""
    changes: dict[str, Any] = {"model.dim": plan.dim, "train.seed": seed, "log.tensorboard": False}
    if name == "lsa":
        found = Config("lsa", LSAConfig())
    else:
        found = load_config(str(cli.ROOT / "configs" / f"{'ppmi_svd' if name == 'svd' else name}.py"))
        changes |= {"model.window": plan.window}
    if name == "glove":
        changes |= {"model.x_max": 10.0}  # for small texts
    from w2v_jax.models import MODELS as FAMILIES

    return dataclasses.replace(override(found, changes, FAMILIES), data=plan.data)


def one(plan: Plan, name: str, seed: int, workdir: Path) -> dict[str, Any]:
    """Makes the vectors, scores them, and measures seconds (counting and decomposing, or training) and peak memory."""
    began, folder = time.perf_counter(), workdir / f"{name}-{seed}"
    found: dict[str, Any] = {}
    emb: Embeddings
    if name == RAW:
        text = build_corpus(plan.data)
        began = time.perf_counter()
        emb = SparseRows(text.vocab.words, matrix(PPMIConfig(window=plan.window), text))
        seconds = time.perf_counter() - began
    else:
        seconds = loop.train(config(plan, name, seed), folder)["seconds"]
        emb = load(folder / "vectors.bin")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    found |= {"model": name, "seed": seed, "seconds": seconds, "peak_mb": peak} | scores(emb, plan)
    if name == "skipgram" and isinstance(emb, Embeddings):
        found["association"] = association(plan, config(plan, name, seed), emb, load(folder / "C.bin"))
    return found


def told(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command and passes on what it says; returns its status and the message of its error line, which is not
    passed on."""
    last = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("error: "):
                last = line.removeprefix("error: ").strip()
            else:
                print(line, end="", file=sys.stderr, flush=True)
    return process.returncode, last


def asked(plan: Plan, say: Say = lambda line: None) -> tuple[dict[str, Any], Any]:
    """(word pairs by test of similarity, analogies by section) that all models answer. `say` and UserError: as of
    `chosen_tests`."""
    if plan.data_dir is None:
        return {"builtin": builtin.similarity_pairs()}, builtin.analogy_sections()
    return chosen_tests(plan.data_dir, TESTS, say)


def scores(emb: Embeddings, plan: Plan) -> dict[str, Any]:
    """'scores': Spearman by test of similarity, and the share of analogies, if any, that 3CosAdd answers, None where
    nothing could be scored; 'asked': by test [pairs found or questions asked, all]."""
    pairs, sections = asked(plan)
    found = {test: similarity(emb, known) for test, known in pairs.items()}
    shares: dict[str, float | None] = {test: one.spearman for test, one in found.items()}
    counts = {test: [one.found, one.total] for test, one in found.items()}
    if sections:
        score = add_up(list(analogies(emb, sections, plan.restrict).values()))
        shares["analogies"] = score.add / score.asked if score.asked else None
        counts["analogies"] = [score.asked, score.total]
    return {"scores": shares, "asked": counts}


def association(plan: Plan, run: Config, words: Embeddings, contexts: Embeddings) -> dict[str, Any]:
    """E C^T of skip-gram with negative sampling against PMI - log k (Levy and Goldberg 2014), of all pairs that
    occur.

    X counts what the run was trained on: linear weights are the mean of the dynamic window, tokens are dropped with the
    run's probabilities (drawn once), and contexts are smoothed as the noise was. 'slope' is that of the line fitted by
    least squares, each pair weighing X_ij; 'weighted' and 'plain' are correlations with and without these weights.
    """
    text = build_corpus(plan.data)
    keep = keep_probability(np.asarray(text.vocab.counts), run.model.sample)
    counts = cooccurrences(text, Rules(plan.window, "linear", "both", keep, run.train.seed))
    values = pmi(counts, run.model.noise_power, run.model.negatives, positive=False).tocoo()
    x, y = list[np.ndarray](), list[np.ndarray]()
    for start in range(0, values.nnz, 1 << 18):
        at = slice(start, start + (1 << 18))
        rows, columns = values.row[at], values.col[at]
        x.append(values.data[at])
        y.append(np.einsum("nd,nd->n", words.vectors[rows], contexts.vectors[columns]))
    wanted, fitted = np.concatenate(x).astype(np.float64), np.concatenate(y).astype(np.float64)
    by_word, by_context = counts.marginals()
    smoothed = by_context**run.model.noise_power
    lookup = np.log(by_word[values.row]) + np.log(smoothed[values.col] / smoothed.sum())
    weight = np.exp(wanted + np.log(run.model.negatives) + lookup)  # X_ij again
    plain, ones = np.corrcoef(wanted, fitted)[0, 1], np.cov(wanted, fitted, aweights=weight)
    weighted = ones[0, 1] / np.sqrt(ones[0, 0] * ones[1, 1])
    shown = np.random.default_rng(0).choice(
        len(wanted), min(PAIRS, len(wanted)), replace=False, p=weight / weight.sum()
    )
    return {
        "pairs": len(wanted),
        "slope": float(ones[0, 1] / ones[0, 0]),
        "intercept": float(
            np.average(fitted, weights=weight) - ones[0, 1] / ones[0, 0] * np.average(wanted, weights=weight)
        ),
        "weighted": float(weighted),
        "plain": float(plain),
        "shown": [[round(float(wanted[i]), 3), round(float(fitted[i]), 3)] for i in shown],
    }
