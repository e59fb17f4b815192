"""Whether one seed gives the same vectors on any number of threads and cores: word2vec, and its largest difference.

    python -m benchmarks.threads --text=FILE --out=results/threads.json

Each form is trained for one pass in processes with NPROC = 1, 2, 4, 8 (the threads that XLA computes with on a CPU),
and with NPROC = 2 on one core, on all cores, and again. The record has a digest of each table of vectors and the
largest difference of a number from that of NPROC = 2, in units of the largest number there. Takes about 3 minutes for
3 MB of text.
Exit status: 0 the same NPROC gives the same vectors, 1 it does not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.machine import machine
from w2v_jax.files import write_json
from w2v_jax.tables import markdown

FORMS: dict[str, dict[str, Any]] = {
    "skip-gram": {"architecture": "skipgram"},
    "CBOW": {"architecture": "cbow"},
    "skip-gram, hierarchical": {"architecture": "skipgram", "loss": "hierarchical"},
    "CBOW, hierarchical": {"architecture": "cbow", "loss": "hierarchical"},
}
# (NPROC, cores that the process may use; 0: all)
WAYS = ((2, 0), (2, 0), (2, 1), (1, 0), (4, 0), (8, 0))


def one(text: str, out: str) -> None:
    """Trains all forms in this process."""
    from w2v_jax import train_vectors

    changes = {"mesh.data": 1}
    found: dict[str, Any] = {
        name: train_vectors(text, progress=False, passes=1, changes=changes, **how).vectors
        for name, how in FORMS.items()
    }
    np.savez(out, **found)


def computed(text: str, threads: int, cores: int) -> dict[str, np.ndarray]:
    """The vectors of all forms, from a process of its own."""

    def pin() -> None:
        if cores:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])

    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/out.npz"
        line = [sys.executable, "-m", "benchmarks.threads", f"--text={text}", f"--one={out}"]
        environ = os.environ | {"NPROC": str(threads), "W2V_JAX_CACHE": f"{folder}/cache"}
        subprocess.run(line, check=True, env=environ, preexec_fn=pin, stderr=subprocess.DEVNULL)
        return dict(np.load(out))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", default="results/threads.json")
    parser.add_argument("--one", default="", help="for itself: the file of one process")
    args = parser.parse_args()
    if args.one:
        one(args.text, args.one)
        return 0
    runs: list[dict[str, Any]] = []
    first: dict[str, np.ndarray] = {}
    for threads, cores in WAYS:
        found = computed(args.text, threads, cores)
        first = first or found
        for name, vectors in found.items():
            far = float(np.abs(vectors - first[name]).max() / np.abs(first[name]).max())
            digest = hashlib.sha256(vectors.tobytes()).hexdigest()[:16]
            runs.append({"form": name, "NPROC": threads, "cores": cores or None, "digest": digest, "far": far})
    text = Path(args.text)
    about = {"command": "python -m benchmarks.threads --text=FILE", "bytes": text.stat().st_size, "machine": machine()}
    write_json(args.out, about | {"runs": runs}, indent=1)
    rows = [["form", "NPROC", "cores", "largest difference from NPROC=2"]]
    rows += [[r["form"], str(r["NPROC"]), str(r["cores"] or "all"), f"{r['far']:.1e}"] for r in runs]
    print(markdown(rows))
    return int(any(r["far"] for r in runs if r["NPROC"] == WAYS[0][0]))


if __name__ == "__main__":
    sys.exit(main())
