"""Seconds to load a large file of word vectors, beside gensim on the same file.

    python -m benchmarks.vector_loading [--words=1000000] [--dim=300] [--out=results/vector_loading.json]

The file is word2vec's binary format, of made-up words of 3 to 13 letters and normal numbers, written to a temporary
folder (1.2 GB by default) and read once before the clock runs. Each load is a process of its own, ours and gensim's in
turn; the clock runs from the call to the object, without the imports. Then one word is looked up on both sides. Takes
two minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from experiments.common.machine import machine
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.files import write_json

PAIRS = 3
LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)
CODE = {
    "ours": "from w2v_jax.embeddings import load; read = load",
    "gensim": "from gensim.models import KeyedVectors as K; read = lambda f: K.load_word2vec_format(f, binary=True)",
}
CLOCK = "import json, sys, time; {}; t = time.perf_counter(); found = read(sys.argv[1]); t = time.perf_counter() - t; "
CLOCK += "print(json.dumps([t, len(found), float(found[sys.argv[2]].sum())]))"


def made(words: int, dim: int) -> Embeddings:
    """Distinct words and their vectors, the same each time."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 9, words)
    letters = LETTERS[draw.integers(0, 26, int(lengths.sum()))].tobytes().decode()
    ends = np.cumsum(lengths)
    names = [f"{letters[end - size : end]}{i:x}" for i, (end, size) in enumerate(zip(ends, lengths, strict=True))]
    return Embeddings(names, draw.standard_normal((words, dim), np.float32))


def seconds(side: str, file: Path, word: str) -> tuple[float, int, float]:
    """(seconds of one load, words found, sum of the vector of `word`)."""
    line = [sys.executable, "-c", CLOCK.format(CODE[side]), str(file), word]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found[0]), int(found[1]), float(found[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--out", default="results/vector_loading.json")
    args = parser.parse_args()
    times: dict[str, list[float]] = {side: [] for side in CODE}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vectors.bin")
        emb = made(args.words, args.dim)
        asked = emb.words[-1]
        want = float(emb.vectors[-1].sum())
        save(emb, file, "binary")
        size = file.stat().st_size
        del emb
        with open(file, "rb") as f:  # into the page cache
            while f.read(1 << 24):
                pass
        for _ in range(PAIRS):
            for side, found in times.items():
                took, words, total = seconds(side, file, asked)
                assert words == args.words and abs(total - want) < 1e-3 * args.dim, (side, words, total, want)
                found.append(took)
    medians = {side: statistics.median(found) for side, found in times.items()}
    about = {"command": "python -m benchmarks.vector_loading", "words": args.words, "dim": args.dim, "bytes": size}
    write_json(args.out, about | {"seconds": times, "medians": medians, "machine": machine()}, indent=1)
    print(", ".join(f"{side} {value:.2f} s" for side, value in medians.items()))


if __name__ == "__main__":
    main()
