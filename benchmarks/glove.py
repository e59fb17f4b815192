"""GloVe beside a second implementation, pair by pair in C, on the same counts; and beside skip-gram.

    python -m benchmarks.glove --source='text:wiki_en.0[01].txt.xz' --data_dir=word_eval

Sides:

  ours       configs/glove.py, batches of --batch pairs
  reference  benchmarks/glove_reference.c, one pair at a time, with the update of the paper's program, which is
             Adagrad of rate 1 with sums from 1,600 in terms of the paper's J
  plain      the same with Adagrad of rate .05 on the gradient of J, with sums from 1
  skipgram   configs/skipgram.py, 5 passes, window 5

Needs a C compiler (CC, or cc). Prints the loss by pass and a table of scores by `experiments.evaluate`: means over the
seeds. Writes OUT/glove.json and keeps single runs in SCRATCH: an interrupted benchmark continues. Exit status 1 when
the mean of ours is further below the reference's than the gates say.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import measure
from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.config import DataConfig, check_choice
from w2v_jax.data.cooccurrence import Cooccurrences, Rules, cooccurrences
from w2v_jax.data.corpus import build_corpus
from w2v_jax.embeddings import Embeddings, load
from w2v_jax.errors import UserError
from w2v_jax.evaluation import evaluate_all
from w2v_jax.files import write_json
from w2v_jax.tables import aligned

PROGRAM = Path(__file__).with_name("glove_reference.c")
UPDATES = {"reference": (1.0, 1600.0), "plain": (0.05, 1.0)}  # rate, and sums at the start
CONFIGS = {"ours": "glove.py", "skipgram": "skipgram.py"}
SIDES = ("ours", *UPDATES, "skipgram")
TESTS = ("ws353", "simlex999", "men", "analogies", "semantic", "syntactic")
GATES = {"ws353": 0.03, "men": 0.03, "analogies": 0.01}  # how far below the reference the mean may be
DIM, WINDOW, ALPHA = 100, 10, 0.75
PAIR = np.dtype([("word", "<i4"), ("context", "<i4"), ("count", "<f4")])


def compiled(scratch: Path) -> Path:
    """The program. UserError: there is no C compiler, or it fails."""
    out = scratch / "glove_reference"
    command = [os.environ.get("CC", "cc"), "-O3", "-march=native", "-ffast-math", "-o", str(out), str(PROGRAM), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as e:
        raise UserError(f"{command[0]}: {e.strerror}; name a C compiler in the variable CC") from None
    if done.returncode:
        raise UserError(f"{command[0]}: {' '.join(done.stderr.split())}")
    return out


def write_pairs(counts: Cooccurrences, path: Path) -> int:
    """Writes all pairs, (i, j) and (j, i), for the program; returns their number."""
    total, part = 0, path.with_name(f"{path.name}.part")
    with open(part, "wb") as f:
        for word, context, count in counts.scan():
            rows = np.empty(len(word), PAIR)
            rows["word"], rows["context"], rows["count"] = word, context, count
            rows.tofile(f)
            total += len(rows)
    part.replace(path)
    return total


def tables(
    program: Path, pairs: Path, words: int, update: tuple[float, float], x_max: float, passes: int, seed: int, dim: int
) -> tuple[list[float], np.ndarray]:
    """(mean of f (...)^2 by pass, float32 [2, V, D + 1] W and C with their biases last) of the program."""
    out = pairs.with_name("tables.bin")
    values = (pairs, out, words, dim, passes, x_max, ALPHA, *update, seed)
    done = subprocess.run([str(program), *map(str, values)], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{program}: ended with status {done.returncode}: {done.stderr.strip()}")
    found = np.fromfile(out, np.float32).reshape(2, words, dim + 1)
    out.unlink()
    return [float(line) for line in done.stdout.split()], found


def ours(x_max: float, passes: int, batch: int, steps: int) -> dict[str, Any]:
    """Changes of configs/glove.py; the loss is logged once a pass of `steps`."""
    change = {"model.x_max": x_max, "model.window": WINDOW, "model.dim": DIM}
    return change | {"train.passes": float(passes), "train.batch_size": batch, "log.every_steps": steps}


def trained(config: str, change: Mapping[str, Any], run: Path) -> list[dict[str, Any]]:
    """Trains in `run`, or continues there; returns what was logged."""
    command = [sys.executable, "-m", "experiments.train", f"--config={cli.ROOT / 'configs' / config}"]
    command += [f"--workdir={run}", *(f"--config.{key}={value}" for key, value in change.items())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{run}: training ended with status {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def by_pass(records: Sequence[Mapping[str, Any]], steps: int) -> list[float]:
    """Losses by pass of `steps`: the mean of those logged in it, each weighing the steps since the one before. What is
    logged a little later than a pass ends counts for the pass that most of its steps are of."""
    sums, before = dict[int, list[float]](), 0
    for record in records:
        if "loss" in record and record["step"] > before:
            found = sums.setdefault((before + record["step"]) // (2 * steps), [0.0, 0.0])
            found[0] += record["loss"] * (record["step"] - before)
            found[1] += record["step"] - before
            before = record["step"]
    return [total / weight for _, (total, weight) in sorted(sums.items())]


def scores(emb: Embeddings, data_dir: str) -> dict[str, float]:
    """Spearman by test of similarity, and the shares of analogies that 3CosAdd answers."""
    found = evaluate_all(emb, data_dir)
    asked = found["analogy"]["questions-words"]
    by = {"analogies": asked["all"], **asked["groups"]}
    return {
        **{test: float(found["similarity"][test]["spearman"]) for test in TESTS[:3]},
        **{test: float(by[test]["accuracy_add"]) for test in TESTS[3:]},
    }


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By x_max and side: scores and losses as means over seeds, the spread of the scores, and the gates."""
    found: dict[str, Any] = {}
    for run in runs:
        key = run["key"]
        found.setdefault(f"{key['x_max']:g}", {}).setdefault(key["side"], []).append(run)
    passed = {}
    for x_max, sides in found.items():
        for side, group in sides.items():
            entry: dict[str, Any] = {"seeds": [run["key"]["seed"] for run in group]}
            for test in TESTS:
                values = [run["scores"][test] for run in group]
                spread = statistics.stdev(values) if len(values) > 1 else None
                entry[test] = {"mean": statistics.fmean(values), "deviation": spread}
            entry["loss"] = [statistics.fmean(by) for by in zip(*(run["loss"] for run in group), strict=True)]
            sides[side] = entry
        if {"ours", "reference"} <= set(sides):
            for test, most in GATES.items():
                short = sides["reference"][test]["mean"] - sides["ours"][test]["mean"]
                passed[f"x_max {x_max}, {test}"] = short <= most
    return {"by_x_max": found, "pass": passed}


def table(summary: Mapping[str, Any]) -> str:
    """Scores a row a side, then losses after the first, every fifth and the last pass."""
    rows = [["x_max", "side", "seeds", *TESTS, "loss of pass 1", "middle", "last"]]
    for x_max, sides in summary["by_x_max"].items():
        for side, entry in sides.items():
            row = [x_max, side, str(len(entry["seeds"]))]
            for test in TESTS:
                spread = entry[test]["deviation"]
                row.append(f"{entry[test]['mean']:.3f}" + ("" if spread is None else f" +- {spread:.3f}"))
            losses = entry["loss"]
            picked = [losses[0], losses[len(losses) // 2], losses[-1]] if losses else []
            rows.append([*row, *(f"{loss:.4f}" for loss in picked), *([""] * (3 - len(picked)))])
    return aligned(rows, left=(0, 1))


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark; returns its exit status."""
    f = flags.FLAGS
    sides = list(dict.fromkeys(f.sides))
    for side in sides:
        check_choice("--sides", side, SIDES)
    scratch = Path(f.scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    program = compiled(scratch)
    text = build_corpus(DataConfig(source=f.source), lambda line: print(line, file=sys.stderr))
    counts = cooccurrences(text, Rules(WINDOW, "harmonic"))
    pairs = scratch / f"pairs-{counts.digest[:16]}.bin"
    total = pairs.stat().st_size // PAIR.itemsize if pairs.is_file() else write_pairs(counts, pairs)
    # As `glove.source` counts them: (i, i) takes two places, the second empty.
    steps = -(-2 * counts.entries // f.batch)
    about = {"tokens": len(text.train.tokens), "words": len(text.vocab), "pairs": total, "passes": f.passes}
    store, runs = measure.Store(scratch / "glove_runs.jsonl"), []
    for x_max, seed, side in itertools.product(map(float, f.x_max), map(int, f.seeds), sides):
        key = {"side": side, "x_max": x_max, "seed": seed, "text": counts.digest, "passes": f.passes}
        found, run = store.find(key), scratch / f"{side}-{x_max:g}-{seed}-{counts.digest[:8]}"
        if found is None:
            losses = list[float]()
            if side in UPDATES:
                losses, (w, c) = tables(program, pairs, len(text.vocab), UPDATES[side], x_max, f.passes, seed, DIM)
                emb = Embeddings(text.vocab.words, (w + c)[:, :-1])
            else:
                change: dict[str, Any] = {"data.source": f.source, "train.seed": seed, "log.tensorboard": False}
                if side == "ours":
                    change |= ours(x_max, f.passes, f.batch, steps)
                logged = trained(CONFIGS[side], change, run.resolve())
                losses, emb = by_pass(logged, steps) if side == "ours" else [], load(run / "vectors.bin")
            found = store.add(key, {"loss": losses, "scores": scores(emb, f.data_dir)})
            print(json.dumps(found), file=sys.stderr, flush=True)
        runs.append(found)
    summary = summarise(runs)
    print(table(summary))
    whole = {"command": cli.command("benchmarks.glove"), "about": about, "machine": machine(), **summary}
    Path(f.out).mkdir(parents=True, exist_ok=True)
    write_json(Path(f.out) / "glove.json", whole, indent=1)
    failed = [name for name, ok in summary["pass"].items() if not ok]
    for name in failed:
        print(f"FAILS: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    flags.DEFINE_string("source", "text:wiki_en.0[01].txt.xz", "The text, as data.source.")
    flags.DEFINE_string("data_dir", "word_eval", "Folder of test files, as of experiments.evaluate.")
    flags.DEFINE_list("sides", list(SIDES), "The sides.")
    flags.DEFINE_list("x_max", ["10"], "Counts from which on pairs weigh 1.")
    flags.DEFINE_list("seeds", ["0", "1"], "Seeds of each side.")
    flags.DEFINE_integer("passes", 15, "Passes over the pairs.", 1)
    flags.DEFINE_integer("batch", 8192, "Pairs of a step of ours.", 1)
    flags.DEFINE_string("scratch", "/tmp/glove", "Folder of the pairs, the runs and the vectors.")
    flags.DEFINE_string("out", "results", "Folder of the result.")
    cli.run(main)
