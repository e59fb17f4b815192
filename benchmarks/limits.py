"""What a machine allows word2vec, and what a word of a text needs, for the figure `speed_accuracy`.

    python -m benchmarks.limits --text=FILE --out=FILE [--dims=50,100,200,300]

Measures float32 products of matrices (operations a second on all cores) and, for each size of the vectors, how fast one
of the two tables is copied to the other (bytes read and written a second): of a small vocabulary from the processor's
caches, of a large one from memory. Counts from the text: words, the share that subsampling keeps, and the mean length
of a kept word's path in the Huffman tree. Best of several rounds, as other work can only slow them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from experiments.common.machine import machine
from w2v_jax.files import write_json
from w2v_jax.models.frequencies import keep_probability
from w2v_jax.models.huffman import huffman_paths

MIN_COUNT, SAMPLE = 5, 1e-3  # as in benchmarks.settings
_ROUNDS, _LEAST = 5, 0.1  # seconds of a round, about
_SIDE = 2048  # of the matrices


def best(work: Callable[[], object]) -> float:
    """Seconds of one call: the least mean of several rounds, each of at least about a tenth of a second."""
    work()
    begin = time.perf_counter()
    work()
    count = max(1, round(_LEAST / max(time.perf_counter() - begin, 1e-9)))
    found = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        for _ in range(count):
            work()
        found.append((time.perf_counter() - begin) / count)
    return min(found)


def operations(side: int = _SIDE) -> float:
    """Float32 operations a second in a product of square matrices, multiply and add counted as two."""
    left, right = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
    out = np.empty_like(left)
    return 2.0 * side**3 / best(lambda: np.matmul(left, right, out=out))


def copied(rows: int, dim: int, cores: int) -> float:
    """Bytes a second, read and written, in copying a float32 table [rows, dim] by `cores` threads."""
    table, target = np.ones((rows, dim), np.float32), np.zeros((rows, dim), np.float32)
    parts = [slice(rows * i // cores, rows * (i + 1) // cores) for i in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        seconds = best(lambda: list(pool.map(lambda part: np.copyto(target[part], table[part]), parts)))
    return 2.0 * table.nbytes / seconds


def of_text(path: str) -> dict[str, float]:
    """{'words', 'vocabulary', 'kept', 'path'} of a text: all words, types seen often enough, the share of all words
    that is kept, and the mean of the nodes above a kept word in the Huffman tree."""
    found: Counter[str] = Counter()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            found.update(line.split())
    counts = np.array(sorted((n for n in found.values() if n >= MIN_COUNT), reverse=True))
    kept = counts * keep_probability(counts, SAMPLE)
    length = (huffman_paths(counts)[1] != 0).sum(axis=1)
    words = found.total()
    path_length = float(kept @ length / kept.sum())
    return {"words": words, "vocabulary": len(counts), "kept": float(kept.sum() / words), "path": path_length}


def measured(text: str, dims: list[int]) -> dict[str, Any]:
    """All figures, in units of one."""
    about, here = of_text(text), machine()
    cores = int(here["cores_used"])
    bytes_ = {str(dim): copied(int(about["vocabulary"]), dim, cores) for dim in dims}
    return {**about, "operations": operations(), "bytes": bytes_, "machine": here}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--dims", default="50,100,200,300")
    args = parser.parse_args()
    found = measured(args.text, [int(dim) for dim in args.dims.split(",")])
    write_json(args.out, found)
    rates = ", ".join(f"d = {dim}: {rate / 1e9:.1f} GB/s" for dim, rate in found["bytes"].items())
    print(f"{found['operations'] / 1e9:,.0f} GFLOP/s; tables copied, {rates}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
