"""Latent semantic analysis beside scikit-learn's TruncatedSVD: seconds, memory, and the exact solution.

    python -m benchmarks.lsa --name=newsgroups20 --source=jsonl:newsgroups20/train.jsonl.xz --field=subject+body
    python -m benchmarks.lsa --name=wiki_en --source='text:wiki_en/*.xz' --copies=3 --max_vocab=100000 --pairs=1

100 dimensions of TF-IDF rows, float32, 10 further columns, 2 cores. Sides, each a fresh process:

  sklearn   TruncatedSVD, 5 iterations (its default) of rows that are there
  same      ours with the same number of power iterations (6 sweeps)
  ours      our default, block Krylov in 16 sweeps
  bounded   our default with the rows counted anew in every sweep

Seconds are those of the decomposition, by the clock and of all cores together; our counting, weighting and compiling
stand beside. Memory is the peak above that after the imports. --copies repeats the documents, which multiplies the
exact singular values by the root of the number; these are by ARPACK. Sides alternate --pairs times. Prints a table,
writes OUT/lsa_NAME.json and keeps single runs in OUT/lsa_runs.jsonl: an interrupted benchmark continues. Exit status 1
when a gate fails: more seconds than scikit-learn (ours, same), values or captured share more than 1 % from
scikit-learn's (same) or from the exact ones (ours).
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import measure
from benchmarks.lsa_sides import DIM, rows_of
from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.config import DataConfig
from w2v_jax.data import weighting
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.documents import counts
from w2v_jax.files import write_json
from w2v_jax.tables import aligned

SIDES = ("sklearn", "same", "ours", "bounded")
NEAR = 0.01  # largest relative difference


def prepare(data: DataConfig, copies: int, folder: Path) -> dict[str, Any]:
    """Writes the documents and their TF-IDF rows into `folder`, once; returns what they are."""
    if not (folder / "about.json").is_file():
        corpus = build_corpus(data, lambda line: print(line, file=sys.stderr))
        folder.mkdir(parents=True, exist_ok=True)
        tokens, offsets = np.asarray(corpus.train.tokens), np.asarray(corpus.train.offsets)
        more = [offsets[1:] + i * len(tokens) for i in range(copies)]
        rows = counts(corpus.train, len(corpus.vocab))
        # N and n of the copies, so that both sides weigh alike.
        seen = weighting.collection([rows] * copies, rows.shape[1])
        one = weighting.tfidf(rows, weighting.inverse_frequency(seen))
        ends = [one.indptr[1:].astype(np.int64) + i * one.nnz for i in range(copies)]
        arrays = {"tokens": np.tile(tokens, copies), "offsets": np.concatenate([[0], *more])}
        arrays |= {"data": np.tile(one.data, copies), "indices": np.tile(one.indices, copies)}
        small = copies * one.nnz < 2**31
        arrays["indptr"] = np.concatenate([[0], *ends]).astype(np.int32 if small else np.int64)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        shape = [rows.shape[0] * copies, rows.shape[1]]
        write_json(folder / "shape.json", shape)
        about = {"documents": shape[0], "words": shape[1], "stored": copies * one.nnz, "copies": copies}
        write_json(folder / "about.json", about | {"tokens": copies * len(tokens)})
    return dict(json.loads((folder / "about.json").read_text()))


def exact(folder: Path, copies: int) -> np.ndarray:
    """The singular values by ARPACK, float64 [DIM], falling; computed once, from one of the copies."""
    path = folder / "exact.npy"
    if not path.is_file():
        from scipy.sparse.linalg import svds

        rows = rows_of(folder)
        one = rows[: rows.shape[0] // copies].astype(np.float64)
        values = svds(one, k=DIM, return_singular_vectors=False, random_state=0)
        np.save(path, np.sort(values)[::-1] * np.sqrt(copies))
    return np.load(path)


def accuracy(found: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], true: np.ndarray, rows: Any) -> Any:
    """Largest relative differences of singular values, and the squared norm of the documents' vectors as a share of
    the largest possible one, that of the exact subspace; of scikit-learn's beside."""
    captured = [float(np.square(rows @ side["vectors"]).sum() / np.square(true).sum()) for side in (found, theirs)]
    off = {
        name: float(np.abs(found["values"] / other - 1).max())
        for name, other in (("sklearn", theirs["values"]), ("exact", true))
    }
    return {"off_sklearn": off["sklearn"], "off_exact": off["exact"], "captured": captured[0], "theirs": captured[1]}


def summarise(runs: Sequence[Mapping[str, Any]], accuracies: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Medians by side, ratios of seconds pair by pair (scikit-learn's by ours), and the gates."""
    by = {side: [r for r in runs if r["key"]["side"] == side] for side in SIDES if side in accuracies}
    rows = {}
    for side, found in by.items():
        entry = {key: statistics.median(r[key] for r in found) for key in ("seconds", "cpu_seconds", "peak_mb")}
        for key in ("prepare_seconds", "compile_seconds"):
            entry[key] = statistics.median(r.get(key, 0.0) for r in found)
        entry["ratios"] = [a["seconds"] / b["seconds"] for a, b in zip(by["sklearn"], found, strict=True)]
        entry["ratio"] = statistics.median(entry["ratios"])
        rows[side] = entry | dict(accuracies[side])
    passed = {f"{side} seconds": rows[side]["ratio"] >= 1.0 for side in ("same", "ours")}
    same, ours = rows["same"], rows["ours"]
    passed["same values"] = same["off_sklearn"] <= NEAR
    passed["same subspace"] = abs(same["captured"] / same["theirs"] - 1) <= NEAR
    passed["ours values"] = ours["off_exact"] <= NEAR
    passed["ours subspace"] = abs(ours["captured"] - 1) <= NEAR
    return {"sides": rows, "pass": passed}


def table(summary: Mapping[str, Any]) -> str:
    """One row a side."""
    rows = [["side", "seconds", "times as fast", "CPU seconds", "counting", "compiling", "peak MiB"]]
    rows[0] += ["values off sklearn", "off exact", "captured"]
    for side, r in summary["sides"].items():
        first = [
            side,
            f"{r['seconds']:.2f}",
            f"{r['ratio']:.2f}",
            f"{r['cpu_seconds']:.2f}",
            f"{r['prepare_seconds']:.1f}",
        ]
        first += [f"{r['compile_seconds']:.1f}", f"{r['peak_mb']:,.0f}"]
        rows.append([*first, f"{r['off_sklearn']:.2%}", f"{r['off_exact']:.2%}", f"{r['captured']:.4f}"])
    return aligned(rows)


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark; returns its exit status."""
    f = flags.FLAGS
    measure.use_cores(f.cores)
    out, folder = Path(f.out), Path(f.scratch) / f.name
    data = DataConfig(source=f.source, field=f.field, tokens="letters", heldout_every=0)
    data = DataConfig(**{**vars(data), "min_count": f.min_count, "max_vocab": f.max_vocab})
    about = prepare(data, f.copies, folder)
    store = measure.Store(out / "lsa_runs.jsonl")
    runs, sides = [], [*SIDES[:3], *(SIDES[3:] if f.bounded else ())]
    for pair in range(f.pairs):
        for side in sides:
            key = {"name": f.name, "side": side, "pair": pair, "about": about}
            found = store.find(key)
            vectors = folder / f"{side}.npz"
            if found is None or not vectors.is_file():
                command = [sys.executable, "-m", "benchmarks.lsa_sides", side, str(folder), str(vectors)]
                done = measure.run(command, folder / f"{side}.log", {"JAX_COMPILATION_CACHE_DIR": ""})
                found = store.add(key, {**done.result, "wall_seconds": done.seconds})
            runs.append(found)
            if f.measure_only:
                print(json.dumps(found))
    if f.measure_only:
        return 0
    true, rows = exact(folder, f.copies), rows_of(folder)
    found = {side: dict(np.load(folder / f"{side}.npz")) for side in sides}
    summary = summarise(runs, {s: accuracy(found[s], found["sklearn"], true, rows) for s in sides})
    whole = {"command": cli.command("benchmarks.lsa"), "about": about, "machine": machine(), **summary}
    print(table(summary))
    write_json(out / f"lsa_{f.name}.json", whole, indent=1)
    failed = [name for name, ok in summary["pass"].items() if not ok]
    for name in failed:
        print(f"FAILS: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    flags.DEFINE_string("name", "newsgroups20", "Name of the text, for files.")
    flags.DEFINE_string("source", "jsonl:newsgroups20/train.jsonl.xz", "The text, as data.source.")
    flags.DEFINE_string("field", "subject+body", "As data.field.")
    flags.DEFINE_integer("copies", 1, "How often the documents are repeated.", 1)
    flags.DEFINE_integer("min_count", 3, "Rarer words are left out.", 1)
    flags.DEFINE_integer("max_vocab", 100_000, "Most words.", 1)
    flags.DEFINE_integer("pairs", 3, "Runs of each side.", 1)
    flags.DEFINE_integer("cores", 2, "Cores each side may use.", 1)
    flags.DEFINE_bool("bounded", True, "Measures the side bounded, too: it counts a large text for minutes.")
    flags.DEFINE_bool("measure_only", False, "Measures without the exact solution, which takes minutes.")
    flags.DEFINE_string("scratch", "/tmp/lsa", "Folder of the documents while they are measured.")
    flags.DEFINE_string("out", "results", "Folder of the results.")
    cli.run(main)
