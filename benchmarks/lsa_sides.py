"""One side of `benchmarks.lsa` as a process of its own: prints its result as one line of JSON.

    python -m benchmarks.lsa_sides SIDE FOLDER OUT

SIDE is ours, same (as scikit-learn's scheme), bounded (rows counted anew in every sweep) or sklearn. FOLDER holds the
documents (tokens.npy, offsets.npy) and their TF-IDF rows (data.npy, indices.npy, indptr.npy, shape.json); OUT gets the
singular values and vectors.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.sides import Memory

DIM, OVERSAMPLE, ITERATIONS = 100, 10, 5  # of both; 5 are scikit-learn's default


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A split of a text."""

    tokens: np.ndarray
    offsets: np.ndarray

    @property
    def documents(self) -> int:
        return len(self.offsets) - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Documents:
    """A text that is only its training documents."""

    train: Part


def configs(words: int) -> dict[str, Any]:
    """Our config by side."""
    from w2v_jax.models.lsa import LSAConfig

    ours = LSAConfig(dim=DIM, oversample=OVERSAMPLE, vocab_size=words)
    same = dataclasses.replace(ours, accelerate=False, sweeps=ITERATIONS + 1)
    return {"ours": ours, "same": same, "bounded": dataclasses.replace(ours, memory_mb=0)}


def ours(side: str, folder: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Counting and weighting, then the sweeps; (result, values [D], vectors [V, D])."""
    import jax

    from w2v_jax.models import lsa
    from w2v_jax.nn import truncated_svd

    memory = Memory()
    words = json.loads((folder / "shape.json").read_text())[1]
    cfg = lsa.place(configs(words)[side], "cpu")
    text = Documents(Part(np.load(folder / "tokens.npy", mmap_mode="r"), np.load(folder / "offsets.npy")))
    began = time.perf_counter()
    work = lsa.prepare(cfg, text, 0, ())
    state = lsa.start(cfg, work, 0)
    prepared = time.perf_counter()
    trial = state  # each operation once, on columns that tell nothing
    for _ in range(2):
        trial = truncated_svd.solve(trial, state["basis"][0], cfg.dim)
    jax.block_until_ready(truncated_svd.vectors(trial, cfg.dim))
    compiled, used = time.perf_counter(), time.process_time()
    for _ in range(cfg.sweeps):
        state, metrics = lsa.advance(cfg, work, state)
    found = jax.block_until_ready(lsa.params(cfg, state))
    result = {"seconds": time.perf_counter() - compiled, "cpu_seconds": time.process_time() - used}
    result |= {"prepare_seconds": prepared - began}
    result |= {"compile_seconds": compiled - prepared, "loss": metrics["loss"]}
    return result | memory.found(), np.asarray(found["S"]), np.asarray(found["W"])


def rows_of(folder: Path) -> sp.csr_matrix:
    """The TF-IDF rows, float32 [N, V]."""
    data, indices, indptr = (np.load(folder / f"{name}.npy") for name in ("data", "indices", "indptr"))
    return sp.csr_matrix((data, indices, indptr), json.loads((folder / "shape.json").read_text()))


def sklearn(folder: Path) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """TruncatedSVD of rows that are there; (result, values [D], vectors [V, D])."""
    from sklearn.decomposition import TruncatedSVD

    memory = Memory()
    rows = rows_of(folder)
    began, used = time.perf_counter(), time.process_time()
    model = TruncatedSVD(DIM, n_iter=ITERATIONS, n_oversamples=OVERSAMPLE, random_state=0).fit(rows)
    result = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used} | memory.found()
    return result, model.singular_values_, model.components_.T


if __name__ == "__main__":
    side, folder, out = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    result, values, vectors = sklearn(folder) if side == "sklearn" else ours(side, folder)
    np.savez(out, values=values, vectors=np.asarray(vectors, np.float32))
    print(json.dumps(result))
