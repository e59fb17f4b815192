"""Word models on one text under one evaluation: LSA, PPMI, its SVD, GloVe, skip-gram and CBOW.

  python -m experiments.compare --workdir=DIR --source='text:corpus/*.txt' [--data_dir=word_eval] [--seeds=0,1,2]
      [--models=lsa,ppmi,svd,glove,skipgram,cbow] [--dim=100] [--window=5] [--min_count=5] [--tokens=words]

Every model and seed is trained in a process of its own, in DIR/MODEL-SEED, so that peak memory is its own; the same
command continues what was interrupted. Raw PPMI has no seed and is made once. Prints the table of scores with the
means over seeds and their 95 % intervals (Student's t), seconds and peak memory, and how many pairs of words were found
and questions asked; then how far skip-gram's E C^T is PMI - log k. Writes results.json and compare.png into DIR.
Of --data_dir similarity/ws353.tsv, simlex999.tsv and men.tsv and analogy/questions-words.txt are scored, those that are
there; where none of the three is, every similarity/*.tsv: tests of your own go into a folder of their own.
Exit status: 0 done, 1 a run failed, 2 bad input, 128 + n stopped by signal n.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from experiments.common import cli
from experiments.common.config_flag import set_compile_cache
from experiments.common.machine import machine
from experiments.common.seeds import interval
from experiments.compare.arms import MODELS, RAW, TESTS, Plan, asked, one, told
from w2v_jax.config import DataConfig, check_choice
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.tfds_source import prepare_advice
from w2v_jax.errors import UserError, renamed
from w2v_jax.figures import compare as figure
from w2v_jax.files import read_json, write_json
from w2v_jax.tables import aligned

PLAN = "plan.json"
# There is no --config here: what messages call its keys.
_FLAGS = {f"data.{key}": f"--{key}" for key in ("source", "min_count", "tokens")}
_FLAGS |= prepare_advice(DataConfig())


def table(found: dict[str, dict[str, Any]]) -> str:
    """One line per model, and below how many pairs were found and questions asked, of how many."""
    first = next(iter(found.values()))["runs"][0]
    tests = list(first["scores"])
    rows = [["model", *tests, "seconds", "peak MB", "seeds"]]
    for name, entry in found.items():
        runs = entry["runs"]
        sizes = [f"{statistics.fmean(run[key] for run in runs):,.1f}" for key in ("seconds", "peak_mb")]
        rows.append(
            [name, *(_cell([run["scores"].get(test) for run in runs]) for test in tests), *sizes, str(len(runs))]
        )
    if "asked" in first:  # runs of earlier versions lack it; the vocabulary of all models is one
        counts = [f"{count:,}/{total:,}" for count, total in first["asked"].values()]
        rows.append(["found or asked", *counts, "", "", ""])
    return aligned(rows)


def _cell(values: Sequence[float | None]) -> str:
    """Mean and interval; - where a run could score nothing."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return "-"
    half = interval(there)
    return f"{statistics.fmean(there):.3f}" + ("" if math.isnan(half) else f" +- {half:.3f}")


def say(line: str) -> None:
    """Progress, to standard error."""
    print(line, file=sys.stderr, flush=True)


def check_folder(workdir: Path, plan: Plan) -> None:
    """UserError: the folder holds a comparison of another plan."""
    if read_json(workdir / PLAN) not in (None, {"plan": repr(plan)}):
        raise UserError(f"--workdir={workdir}: holds a comparison with other options; repeat them, or choose another")


def run_all(workdir: Path, models: Sequence[str], seeds: Sequence[int], plan: Plan) -> dict[str, dict[str, Any]]:
    """{model: 'runs', one per seed}. UserError: a run that failed."""
    found: dict[str, dict[str, Any]] = {name: {"runs": []} for name in models}
    for seed in seeds:  # the outer loop, so that an interrupted comparison has all models with the first seeds
        for name in models if seed == seeds[0] else [m for m in models if m != RAW]:
            path = workdir / f"{name}-{seed}.json"
            if not path.exists():
                say(f"--- {name}, seed {seed}")
                line = [sys.executable, "-m", "experiments.compare", *sys.argv[1:], f"--one={name}/{seed}"]
                status, last = told(line)
                if status:
                    last = last or f"ended with status {status}; the same command continues"
                    raise UserError(f"{name}, seed {seed}: {last}")
                write_json(workdir / PLAN, {"plan": repr(plan)})  # now, as a plan that cannot be run claims no folder
            found[name]["runs"].append(read_json(path))
    return found


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    try:
        return compare()
    except UserError as e:
        raise UserError(renamed(str(e), _FLAGS)) from None


def compare() -> int:
    """The command's work; returns its exit status. UserError: it may name keys of a config, see `_FLAGS`."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of the comparison, e.g. --workdir=runs/compare", several=True)
    if not all(s.isdecimal() for s in f.seeds) or len(set(f.seeds)) < len(f.seeds) or not f.seeds:
        raise UserError(f"--seeds={','.join(f.seeds)}: must be different whole numbers such as 0,1")
    models = list(dict.fromkeys(f.models))
    for name in models:
        check_choice("--models", name, MODELS)
    if not models:
        raise UserError(f"--models is empty: give some of {', '.join(MODELS)}")
    data = DataConfig(source=f.source, min_count=f.min_count, tokens=f.tokens)
    plan = Plan(data, f.dim, f.window, f.data_dir)
    set_compile_cache(data.cache_dir)
    if f.one:
        name, _, seed = f.one.partition("/")
        if name not in MODELS or not seed.isdecimal():
            raise UserError(f"--one={f.one}: must be a model and a seed, such as svd/0")
        made = one(plan, name, int(seed), workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / f"{name}-{seed}.json", made)
        return 0
    check_folder(workdir, plan)
    asked(plan, say)  # a missing file is said before anything is made
    text = build_corpus(data, say)
    found = run_all(workdir, models, [int(s) for s in f.seeds], plan)
    print(table(found))
    links = [run.pop("association", None) for entry in found.values() for run in entry["runs"]]
    link = next((one for one in links if one), None)  # of the first seed
    if link:
        print(
            f"\nE C^T of skip-gram over PMI - log k, {link['pairs']:,} pairs that occur: slope {link['slope']:.3f}; "
            f"correlation {link['weighted']:.3f} weighted by count, {link['plain']:.3f} plain"
        )
    command = cli.command("experiments.compare")
    numbers = {"command": command, "machine": machine(), "tokens": len(text.train.tokens)}
    numbers |= {"vocabulary": len(text.vocab.words), "models": found, "association": link}
    paint = partial(figure.draw, found, link, source=command)
    cli.write_results(workdir / "results.json", numbers, workdir / "compare.png", paint)
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Folder with one run per model and seed; made or continued.")
    flags.DEFINE_string("source", "pydocs", "The text: pydocs, text:GLOB or tfds:NAME.")
    flags.DEFINE_list("models", list(MODELS), "Models to compare.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every model.")
    flags.DEFINE_integer("dim", 100, "Dimensions of all vectors but those of raw PPMI.", lower_bound=1)
    flags.DEFINE_integer("window", 5, "Words on each side, of all models but LSA.", lower_bound=1, upper_bound=100)
    flags.DEFINE_integer("min_count", 5, "Rarer words are left out.", lower_bound=1)
    flags.DEFINE_string("tokens", "words", "As data.tokens.")
    text = f"Folder with similarity/*.tsv, of which {', '.join(TESTS)} if any is there, and analogy/questions-words.txt"
    flags.DEFINE_string("data_dir", None, f"{text}; or a built-in list.")
    flags.DEFINE_string("one", "", "MODEL/SEED: makes this run alone, as the command does for each.")
    cli.run(main, continues=True, by_first=True)
