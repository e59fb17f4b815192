"""What smaller numbers cost word vectors, and what an approximate index finds.

    python -m benchmarks.vector_files --vectors=FILE --data_dir=DIR [--copies=1,16] [--out=results/vector_files.json]

The first table has the vectors as float32, float16 and int8: bytes of the safetensors file and the scores of the tests
in DIR, read back from it. The second has the graph of `w2v_jax.approximate` over the words, and over `copies` of them
with noise (each copy is the vector plus Gaussian noise of half its length, so that near neighbours are dense, as among
many words): seconds to build, milliseconds a query beside the exact search, and the share of the exact 10 nearest that
it finds (recall at 10, over 500 words). One thread.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax import export
from w2v_jax.approximate import Approximate
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError
from w2v_jax.evaluation import evaluate_all
from w2v_jax.files import write_json
from w2v_jax.tables import aligned

ASKED, NEAR = 500, 10


def types(emb: Embeddings, data_dir: str) -> list[dict[str, Any]]:
    """One row a type: bytes of the file and the scores of what is read back."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in export.DTYPES:
            path = Path(folder) / f"{dtype}.safetensors"
            save(emb, path, dtype=dtype)
            rows.append({"dtype": dtype, "bytes": path.stat().st_size} | scores(load(path), data_dir))
    return rows


def scores(emb: Embeddings, data_dir: str) -> dict[str, float]:
    """Mean Spearman correlation over the similarity sets, and the share of right analogies by file."""
    found = evaluate_all(emb, data_dir)
    similar = {name: one["spearman"] for name, one in found["similarity"].items()}
    right = {name: one["all"]["accuracy_add"] for name, one in found["analogy"].items()}
    return {"similarity": float(np.mean(list(similar.values()))), **right}


def copied(emb: Embeddings, copies: int) -> Embeddings:
    """The vectors, and copies of them with noise of half their length."""
    draw, parts = np.random.default_rng(0), [np.asarray(emb.vectors)]
    for _ in range(copies - 1):
        noise = draw.standard_normal(emb.vectors.shape, np.float32) / np.float32(np.sqrt(emb.dim))
        parts.append(emb.vectors + 0.5 * emb.norms[:, None] * noise)
    words = [*emb.words, *(f"{word}#{i}" for i in range(1, copies) for word in emb.words)]
    return Embeddings(words, np.concatenate(parts))


def graph(emb: Embeddings, copies: int) -> dict[str, Any]:
    """Recall and times of the index over `copies` copies of the vectors."""
    emb = copied(emb, copies)
    began = time.perf_counter()
    index = Approximate.build(emb)
    built = time.perf_counter() - began
    asked = [emb.vectors[row] for row in np.random.default_rng(1).permutation(len(emb))[:ASKED].tolist()]
    emb.similar_by_vector(asked[0])  # the norms are measured once
    began = time.perf_counter()
    exact = [{word for word, _ in emb.similar_by_vector(vector, NEAR)} for vector in asked]
    middle = time.perf_counter()
    near = [{word for word, _ in index.most_similar(vector, NEAR)} for vector in asked]
    ended = time.perf_counter()
    found = sum(len(one & other) for one, other in zip(exact, near, strict=True))
    return {
        "words": len(emb),
        "copies": copies,
        "build_s": built,
        "exact_ms": 1e3 * (middle - began) / ASKED,
        "graph_ms": 1e3 * (ended - middle) / ASKED,
        "recall_at_10": found / (ASKED * NEAR),
    }


def main(argv: Sequence[str]) -> None:
    """Prints both tables and writes them as JSON."""
    f = flags.FLAGS
    if not f.vectors or not f.data_dir:
        raise UserError("--vectors or --data_dir is missing: name a file of vectors and a folder of tests")
    import faiss

    faiss.omp_set_num_threads(1)
    emb = load(f.vectors)
    kept = types(emb, f.data_dir)
    print(
        aligned([list(kept[0]), *([f"{v:.4f}" if isinstance(v, float) else str(v) for v in r.values()] for r in kept)])
    )
    near = [graph(emb, int(copies)) for copies in f.copies]
    print(aligned([list(near[0]), *([f"{v:.4g}" for v in row.values()] for row in near)]))
    about = {"words": len(emb), "dim": emb.dim, "machine": machine(), "cores": len(os.sched_getaffinity(0))}
    write_json(f.out, about | {"types": kept, "graph": near})


if __name__ == "__main__":
    flags.DEFINE_string("vectors", None, "File of word vectors.")
    flags.DEFINE_string("data_dir", None, "Folder with similarity/ and analogy/.")
    flags.DEFINE_list("copies", ["1", "16"], "Sizes of the graph, in copies of the words.")
    flags.DEFINE_string("out", "results/vector_files.json", "File of the results.")
    cli.run(main)
