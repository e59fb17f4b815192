"""gensim's Word2Vec by size of the vectors and seed: words/s and scores, in the form of `experiments.sweep`.

    python -m benchmarks.peer_sweep --text=FILE --workdir=DIR [--runs=skip-gram:100,CBOW:300] [--seeds=0,1]
        [--data_dir=DIR]

Trains skip-gram and CBOW with negative sampling, or `hierarchical`, skip-gram with the tree, with the arguments of
`benchmarks.settings`; --runs names models with the size of their vectors. Each run is a fresh process with a worker
for each core. The scores are those of `experiments.sweep`; without --data_dir the runs are only timed. Writes
DIR/sweep.json; the same command continues.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.settings import PEER_ENV, Setting
from experiments.common.machine import machine
from experiments.sweep import scores
from w2v_jax.embeddings import load
from w2v_jax.files import write_json

MODELS: Mapping[str, tuple[bool, bool]] = {  # (skip-gram, hierarchical)
    "skip-gram": (True, False),
    "CBOW": (False, False),
    "hierarchical": (True, True),
}


def one(text: str, folder: Path, model: str, dim: int, seed: int, workers: int) -> tuple[dict[str, Any], Path]:
    """(words, passes, seconds of one training pass, its vectors)."""
    vectors = folder / f"{model}-{dim}-{seed}.bin"
    setting = Setting(model, "", dim, *MODELS[model])
    command = [
        *(sys.executable, "-m", "benchmarks.peer_gensim", f"--text={text}", f"--vectors={vectors}"),
        *(f"--seed={seed + 1}", "--passes=1", f"--workers={workers}", f"--options={json.dumps(setting.peer())}"),
    ]
    done = measure.run(command, folder / "logs" / f"{vectors.stem}.log", PEER_ENV).result
    return {"words": done["words"], "passes": 1, "seconds": done["seconds"]}, vectors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--runs", default=",".join(f"{model}:100" for model in MODELS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--data_dir")
    parser.add_argument("--restrict", type=int, default=30_000)
    args = parser.parse_args()
    args.workdir.mkdir(parents=True, exist_ok=True)
    store, here = measure.Store(args.workdir / "runs.jsonl"), machine()
    runs = []
    for seed, wanted in itertools.product(map(int, args.seeds.split(",")), args.runs.split(",")):
        model, _, dim = wanted.partition(":")
        if model not in MODELS or not dim.isdecimal():
            parser.error(f"--runs={wanted}: must be one of {', '.join(MODELS)}, a colon and a size")
        about = {"model": model, "dim": int(dim), "seed": seed}
        key = {**about, "restrict": args.restrict, "data": bool(args.data_dir)}
        run = store.find(key)
        if run is None:
            found, vectors = one(args.text, args.workdir, model, int(dim), seed, here["cores_used"])
            tests = scores(load(str(vectors)), args.data_dir, args.restrict) if args.data_dir else {}
            vectors.unlink()
            run = store.add(key, {**found, "scores": tests})
            rate = f"{found['words'] / found['seconds']:,.0f} words/s"
            print(f"{wanted}, seed {seed}: {rate}", file=sys.stderr, flush=True)
        runs.append({**about, **run})
    write_json(args.workdir / "sweep.json", {"machine": here, "runs": runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
