"""Seconds to count and to encode a text, of this code against that of another commit, in turns.

    git worktree add /tmp/before COMMIT
    python -m benchmarks.counting --text=FILE --before=/tmp/before [--pairs=7] [--tokens=letters]

Every measurement is a process of its own, which reads the file once before. The seconds are those of the processor, in
one thread. Prints the median of each side and the median of the ratios of pairs; --before left out measures this code
alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from experiments.common import cli
from w2v_jax.tables import aligned

PARTS = ("count", "encode")
# Of both commits: only names that have not changed.
_MEASURE = """
import json, pathlib, sys, tempfile, time
from w2v_jax.config import DataConfig
from w2v_jax.data.counting import count
from w2v_jax.data.encode import encode
from w2v_jax.data.sources import raw_text
cfg = DataConfig(source="text:" + sys.argv[1], tokens=sys.argv[2])
pathlib.Path(sys.argv[1]).read_bytes()
with tempfile.TemporaryDirectory() as folder:
    work = pathlib.Path(folder)
    times = [time.process_time()]
    counted = count(cfg, {"train": raw_text(cfg)}, work, lambda line: None)
    times.append(time.process_time())
    encode(cfg, counted, work)
    times.append(time.process_time())
print(json.dumps({"count": times[1] - times[0], "encode": times[2] - times[1], "words": int(counted.words.sum())}))
"""


def measure(tree: Path, text: str, tokens: str) -> dict[str, float]:
    """Processor seconds by part, and the words, of the code in the folder `tree`."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, os.path.abspath(text), tokens],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{tree}: {done.stderr}")
    return dict(json.loads(done.stdout))


def show(ours: list[dict[str, float]], before: list[dict[str, float]]) -> str:
    """Medians over measurements, as text."""
    lines = [["part", "seconds", "before", "ratio", "of the pairs"]]
    for part in PARTS:
        here, there = ([one[part] for one in side] for side in (ours, before))
        row = [part, f"{median(here):.2f}"]
        if there:
            ratios = [a / b for a, b in zip(here, there, strict=True)]
            row += [f"{median(there):.2f}", f"{median(ratios):.3f}", f"{min(ratios):.3f} to {max(ratios):.3f}"]
        lines.append(row + [""] * (5 - len(row)))
    return f"{int(ours[0]['words']):,} words\n" + aligned(lines, left=(0,))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", required=True)
    parser.add_argument("--before", type=Path, help="folder of the other commit")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--tokens", default="letters")
    args = parser.parse_args()
    ours, before = list[dict[str, float]](), list[dict[str, float]]()
    for pair in range(args.pairs):
        sides = [(cli.ROOT, ours)] + ([(args.before, before)] if args.before else [])
        for tree, found in sides if pair % 2 == 0 else sides[::-1]:
            found.append(measure(tree, args.text, args.tokens))
    print(show(ours, before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
