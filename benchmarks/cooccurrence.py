"""Words/s and memory of counting co-occurrences: `python -m benchmarks.cooccurrence --source=text:GLOB`.

For each budget of memory in a fresh process: counts the pairs of a window, prints words/s, processor seconds, runs
spilled to disk and how far the process's memory rose above that before counting; the digests of the counts must agree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time

from w2v_jax.config import DataConfig
from w2v_jax.data.cooccurrence import Rules, cooccurrences
from w2v_jax.data.corpus import build_corpus


def count(source: str, window: int, weighting: str, memory_mb: int) -> dict[str, float | str]:
    """One count, removed from the cache afterwards."""
    text = build_corpus(DataConfig(source=source))
    said: list[str] = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    found = cooccurrences(text, Rules(window, weighting), memory_mb=memory_mb, say=said.append)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    digest = hashlib.sha256(b"".join(a.tobytes() for run in found.shards for a in run)).hexdigest()
    shutil.rmtree(text.directory.parent / found.digest)
    spilled = next(line.split(" runs spilled")[0].split()[-1] for line in said if "runs spilled" in line)
    return {
        "memory_mb": memory_mb,
        "words_per_second": len(text.train.tokens) / wall,
        "seconds": wall,
        "processor_seconds": cpu,
        "rise_mb": peak,
        "spilled": spilled,
        "entries": found.entries,
        "pairs": found.report["pairs"],
        "digest": digest[:16],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="pydocs")
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--weighting", default="harmonic")
    parser.add_argument("--memory_mb", type=int, nargs="+", default=[4096, 1024, 64])
    parser.add_argument("--one", action="store_true", help="counts in this process, for the first budget")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(count(args.source, args.window, args.weighting, args.memory_mb[0])))
        return
    build_corpus(DataConfig(source=args.source), print)
    digests = set()
    for memory in args.memory_mb:
        line = [sys.executable, "-m", "benchmarks.cooccurrence", "--one", f"--source={args.source}"]
        line += [f"--window={args.window}", f"--weighting={args.weighting}", "--memory_mb", str(memory)]
        out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
        found = json.loads(out.splitlines()[-1])
        digests.add(found["digest"])
        print(json.dumps(found), flush=True)
    if len(digests) > 1:
        raise SystemExit("the counts differ")


if __name__ == "__main__":
    main()
