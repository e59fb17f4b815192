"""LDA beside scikit-learn, gensim and tomotopy on 20 Newsgroups: seconds to equal held-out perplexity, peak memory.

    python -m benchmarks.topics --data=DATA/newsgroups20 --work=/tmp/topics --out=results/topics.json
    python -m benchmarks.topics --data=DATA/newsgroups20 --work=/tmp/topics --seeds=1,2 --sides=cvb0,tomotopy

Each side runs alone in a process, on 2 cores, and takes its topics K x V out as it goes. Its clock stops while it does,
and covers neither reading nor importing. One evaluator scores all topics: see `perplexity`. A peer's level is its
lowest perplexity and 1 %; the seconds of a peer are those until it reaches it, and ours those until we do. What was
run is kept in the folder --work, and --out holds all of it that is of --seeds and --topics.

Preprocessing, one for all: subject and body in lower case; words are runs of 3 letters or more; without scikit-learn's
English stop words, words in fewer than 10 training documents and words in more than half of them.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import lzma
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Store, run, use_cores
from benchmarks.topics_scores import TOLERANCE, compare, evaluator, table
from benchmarks.topics_sides import ALPHA, ETA, SETTINGS, SIDES, side, split


def prepare(data: Path, work: Path) -> Path:
    """Writes both splits as word ids; returns the file."""
    out = work / "newsgroups.npz"
    if out.exists():
        return out
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    def texts(split: str) -> list[list[str]]:
        with lzma.open(data / f"{split}.jsonl.xz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        words = (re.findall("[a-z]+", f"{row['subject']}\n{row['body']}".lower()) for row in rows)
        return [[w for w in some if len(w) > 2 and w not in ENGLISH_STOP_WORDS] for some in words]

    train, test = texts("train"), texts("test")
    spread = collections.Counter(w for text in train for w in set(text))
    words = sorted((w for w, n in spread.items() if 10 <= n <= len(train) / 2), key=lambda w: (-spread[w], w))
    number = {w: i for i, w in enumerate(words)}
    arrays: dict[str, Any] = {"words": np.array(words)}
    for name, some in (("train", train), ("test", test)):
        ids = [[number[w] for w in text if w in number] for text in some]
        arrays[f"{name}_tokens"] = np.array([w for text in ids for w in text], np.uint16)
        arrays[f"{name}_offsets"] = np.append(0, np.cumsum([len(text) for text in ids]))
    work.mkdir(parents=True, exist_ok=True)
    np.savez(out, **arrays)
    return out


def snapshots(work: Path, name: str, topics: str, seed: int) -> Path:
    """The file of the topics that a side has taken out."""
    return work / f"{name}-{topics}-{seed}.npy"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 20 Newsgroups as train and test .jsonl.xz")
    parser.add_argument("--work", type=Path, required=True, help="folder for the text and the snapshots")
    parser.add_argument("--out", type=Path, help="result file")
    parser.add_argument("--topics", default="20,100")
    parser.add_argument("--sides", default=",".join(SIDES), help="sides to run")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--run", help="one side in this process: for the benchmark itself")
    args = parser.parse_args()
    file, seeds = prepare(args.data, args.work), [int(seed) for seed in args.seeds.split(",")]
    if args.run:
        name, topics = args.run.split(":")
        side(name, file, int(topics), seeds[0], dict(SETTINGS[name]), snapshots(args.work, name, topics, seeds[0]))
        return 0
    use_cores(2)
    store = Store(args.work / "runs.jsonl")
    for seed, topics, name in itertools.product(seeds, args.topics.split(","), args.sides.split(",")):
        key = {"side": name, "topics": int(topics), "seed": seed}
        if store.find(key) is None:
            command = [sys.executable, "-m", "benchmarks.topics", f"--data={args.data}", f"--work={args.work}"]
            log = snapshots(args.work, name, topics, seed).with_suffix(".log")
            done = run([*command, f"--run={name}:{topics}", f"--seeds={seed}"], log)
            store.add(key, done.result | {"peak_mb": done.peak_mb, "options": SETTINGS[name]})
            print(f"{name}, {topics} topics, seed {seed}: {done.seconds:.0f} s", flush=True)
    if not args.out:
        return 0
    test, vocab = split(file, "test")
    perplexity = evaluator(test, vocab)
    results: dict[str, dict[str, Any]] = {str(seed): {} for seed in seeds}
    for seed, topics in itertools.product(seeds, args.topics.split(",")):
        curves: dict[str, Any] = {}
        for name in SIDES:
            record = store.find({"side": name, "topics": int(topics), "seed": seed})
            if record is None:
                continue
            scored = {"perplexity": name, "topics": int(topics), "seed": seed}
            found = store.find(scored)
            if found is None:
                matrices = np.load(snapshots(args.work, name, topics, seed))
                found = store.add(scored, {"values": [round(perplexity(matrix), 2) for matrix in matrices]})
            curve = {k: v for k, v in record.items() if k != "key"}
            curves[name] = curve | {"perplexity": found["values"]}
        results[str(seed)][topics] = {"curves": curves, "compared": compare(curves)}
    from experiments.common.machine import machine
    from w2v_jax.files import write_json

    write_json(
        args.out,
        {
            "machine": machine(),
            "tolerance": TOLERANCE,
            "alpha": ALPHA,
            "eta": ETA,
            "seeds": results,
        },
    )
    for seed in seeds:
        print(f"seed {seed}\n{table(results[str(seed)])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
