"""Trains variants of one config with several seeds, and scores each: word vectors, or a language model.

  python -m experiments.sweep --config=configs/skipgram.py --workdir=DIR --vary='model.dim=50;model.dim=100'
      [--vary='model.sample=0;model.sample=1e-3'] [--seeds=0,1,2] [--data_dir=word_eval] [--config.KEY=VALUE ...]

--vary, which may be given again, has the variants of one thing, KEY=VALUE,KEY=VALUE each, with a semicolon between
two; several --vary are combined, each variant with each. All runs are made in one process, the first seed of every
variant first, in DIR/runs; the same command continues what was interrupted, and with other tests, or tests of another
content, scores the same runs again. Prints a line for each variant: per cent of the Google analogies that 3CosAdd
answers, by kind, and Spearman's correlation on three sets; of a language model the lowest held-out loss, in nats a
token, and the perplexity there. They are means over the seeds with their 95 % intervals (Student's t); beside them
stands the median of the seconds of training. Writes DIR/sweep.json.

Exit status: 0 done, 1 a loss diverged, 2 bad input, 128 + n stopped by signal n.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments.common import cli, config_flag
from experiments.common.machine import machine
from experiments.common.seeds import interval
from w2v_jax.config import Config
from w2v_jax.embeddings import Embeddings, load
from w2v_jax.errors import UserError
from w2v_jax.evaluation.analogies import Sections, add_up, analogies
from w2v_jax.evaluation.builtin import analogy_sections, similarity_pairs
from w2v_jax.evaluation.language import perplexity
from w2v_jax.evaluation.similarity import Pair, similarity
from w2v_jax.evaluation.suite import chosen_tests
from w2v_jax.files import read_json, write_json
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.storage import remove_tree
from w2v_jax.tables import aligned
from w2v_jax.train import folder, logs, loop
from w2v_jax.types import Say

SETS = ("ws353", "men", "simlex999")
KEPT = ("words_per_second", "seconds", "passes", "words", "vocabulary", "loss")  # of result.json
SCORES = "scores.json"
DIGITS = {"semantic": 1, "syntactic": 1, "total": 1, "held-out": 4, "perplexity": 2}


class Tests(NamedTuple):
    """What word vectors are scored on."""

    pairs: Mapping[str, list[Pair]]  # by set of similarity
    sections: Sections  # of analogies

    @property
    def digest(self) -> str:
        """SHA-256 of their content."""
        return hashlib.sha256(json.dumps(self, sort_keys=True).encode()).hexdigest()


class Run(NamedTuple):
    """One training of a sweep."""

    name: str  # of its folder
    changes: Mapping[str, str]
    seed: int
    config: Config


def variants(vary: Sequence[str]) -> list[dict[str, str]]:
    """Every combination of one variant of each flag, as {key: value}. UserError: not KEY=VALUE, or a key twice."""
    options = []
    for flag in vary:
        found = []
        for variant in flag.split(";"):
            pairs = [word.partition("=") for word in variant.split(",")]
            if not all(key and equals for key, equals, _ in pairs):
                raise UserError(f"--vary={flag}: {variant!r} must be KEY=VALUE, such as model.dim=50;model.dim=100")
            found.append({key.strip(): value.strip() for key, _, value in pairs})
            if "train.seed" in found[-1]:
                raise UserError(f"--vary={flag}: train.seed would have no effect: --seeds decides the seeds")
        options.append(found)
    combined = []
    for parts in itertools.product(*options):
        keys = [key for part in parts for key in part]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice:
            raise UserError(f"--vary: {twice} is varied twice; give its values in one --vary")
        combined.append({key: value for part in parts for key, value in part.items()})
    return combined


def labels(chosen: Sequence[Mapping[str, str]]) -> list[str]:
    """What variants are called: the ends of their keys and values, and the whole of both where those of several are
    alike."""
    short = ["-".join(k.rpartition(".")[2] + os.path.basename(v) for k, v in one.items()) for one in chosen]
    whole = ["-".join(k + v.replace("/", "_") for k, v in one.items()) for one in chosen]
    return [(b if short.count(a) > 1 else a) or "base" for a, b in zip(short, whole, strict=True)]


def planned(config: Config, vary: Sequence[str], seeds: Sequence[int]) -> list[Run]:
    """Every run, all variants of a seed before the next seed. UserError: an impossible key or value, two alike."""
    runs, chosen = [], variants(vary)
    for seed in seeds:
        for changes, label in zip(chosen, labels(chosen), strict=True):
            varied = override(config, {**changes, "train.seed": seed}, MODELS)
            if MODELS[varied.family].embed is None and not is_language_model(varied):
                raise UserError(f"family {varied.family} has no word vectors to score")
            runs.append(Run(f"{label}-s{seed}", changes, seed, varied))
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"--vary: two variants are called {twice}; they must differ")
    return runs


def read_tests(data_dir: str | None, say: Say) -> Tests:
    """Those of a folder, or the built-in ones. UserError: as `chosen_tests`."""
    if data_dir is None:
        return Tests({"built-in": similarity_pairs()}, analogy_sections())
    return Tests(*chosen_tests(data_dir, SETS, say))


def scores(emb: Embeddings, tests: Tests, restrict: int) -> dict[str, float | int | None]:
    """Per cent of the questions asked that 3CosAdd answers ('semantic', 'syntactic', 'total'), how many those are
    ('asked'), where there are any; and Spearman by similarity set, None where undefined."""
    out: dict[str, float | int | None] = {}
    if tests.sections:
        found = analogies(emb, tests.sections, restrict)
        kinds = {
            "semantic": [score for name, score in found.items() if not name.startswith("gram")],
            "syntactic": [score for name, score in found.items() if name.startswith("gram")],
            "total": list(found.values()),
        }
        for kind, own in kinds.items():
            share = add_up(own).shares()["accuracy_add"] if own else None
            out[kind] = None if share is None else 100.0 * share
        out["asked"] = add_up(kinds["total"]).asked
    return out | {name: similarity(emb, own).spearman for name, own in tests.pairs.items()}


def is_language_model(config: Config) -> bool:
    """Whether the model gives losses of tokens, by which it is then scored."""
    return MODELS[config.family].score is not None


def held_out(config: Config, result: Mapping[str, Any]) -> dict[str, float | int | None]:
    """The lowest held-out loss of a language model's checkpoints, and its perplexity where each token is predicted from
    those before it."""
    best = result["best_heldout_loss"] if result["best_heldout_loss"] is not None else result["heldout_loss"]
    encode = MODELS[config.family].encode
    if encode is None or not encode.causal(config.model):
        return {"held-out": best}
    return {"held-out": best, "perplexity": None if best is None else perplexity(best)}


def made(run: Run, workdir: Path, tests: Tests | None, restrict: int) -> dict[str, Any]:
    """Trains or continues a run and scores it, or reads what was made before by the same tests; they are None for a
    language model. As `loop.train`."""
    where = workdir / "runs" / run.name
    begin = time.process_time()
    result = loop.train(run.config, where, say=lambda line: None)
    busy = time.process_time() - begin
    kept = read_json(where / SCORES)
    asked = {"restrict": restrict, "tests": tests and tests.digest}
    # Earlier versions did not write down the tests, and one scored language models as word vectors.
    if kept is None or any(kept.get(key, "") != value for key, value in asked.items()):
        measured = {key: result[key] for key in KEPT} | {"processor_seconds": busy} | asked
        if kept is not None:  # trained before
            measured["processor_seconds"] = kept["processor_seconds"]
        if tests is None:
            found = held_out(run.config, result)
        else:
            found = scores(load(str(where / "vectors.bin")), tests, restrict)
        kept = {"changes": dict(run.changes), "seed": run.seed, **measured, "scores": found}
        write_json(where / SCORES, kept)
    with contextlib.suppress(FileNotFoundError):
        remove_tree(where / folder.CHECKPOINTS)
    return kept


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """One line a variant."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault(" ".join(f"{key}={value}" for key, value in run["changes"].items()) or "base", []).append(run)
    tests = [name for name in runs[0]["scores"] if name != "asked"]
    asks = ["asked"] if "asked" in runs[0]["scores"] else []  # of word vectors
    rows = [["variant", *tests, *asks, "seconds", "words/s", "seeds"]]
    for name, own in groups.items():
        cells = []
        for test in tests:
            values = [run["scores"][test] for run in own if run["scores"].get(test) is not None]
            half = interval(values)
            digits = DIGITS.get(test, 3)
            mean = f"{statistics.fmean(values):.{digits}f}" if values else "-"
            cells.append(mean + ("" if math.isnan(half) else f" +- {half:.{digits}f}"))
        middle = {key: statistics.median(run[key] for run in own) for key in ("seconds", "words_per_second")}
        speed = [f"{middle['seconds']:.1f}", f"{middle['words_per_second']:,.0f}"]
        rows.append([name, *cells, *(f"{own[0]['scores'][name]:,}" for name in asks), *speed, str(len(own))])
    return aligned(rows)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    config_flag.refuse("config", {"train.seed": "--seeds decides the seeds"})
    config = config_flag.parsed(example="configs/skipgram.py")
    workdir = cli.workdir("give the folder of the sweep, e.g. --workdir=runs/sweep", several=True)
    if not f.seeds or not all(s.isdecimal() for s in f.seeds) or len(set(f.seeds)) < len(f.seeds):
        raise UserError(f"--seeds={','.join(f.seeds)}: must be different whole numbers such as 0,1")
    if is_language_model(config) and f.data_dir is not None:
        raise UserError(f"--data_dir={f.data_dir}: is for word vectors; language models are scored on held-out text")
    tests = read_tests(f.data_dir, logs.tell)  # what is wrong with a file is said before anything is trained
    runs = planned(config, f.vary, [int(seed) for seed in f.seeds])
    config_flag.set_compile_cache(config.data.cache_dir)
    found = []
    for i, run in enumerate(runs, 1):
        print(f"--- run {i} of {len(runs)}: {run.name}", file=sys.stderr, flush=True)
        found.append(made(run, workdir, None if is_language_model(run.config) else tests, f.restrict))
    print(table(found))
    about = {"command": cli.command("experiments.sweep"), "machine": machine(), "restrict": f.restrict}
    write_json(workdir / "sweep.json", {**about, "runs": found})
    print(f"\nresults: {workdir / 'sweep.json'}")
    return 0


if __name__ == "__main__":
    config_flag.define(text="Config file of the runs, e.g. configs/skipgram.py")
    flags.DEFINE_string("workdir", None, "Folder with one run per variant and seed; made or continued.")
    flags.DEFINE_multi_string("vary", [], "Variants, KEY=VALUE,KEY=VALUE;...; may be given again.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every variant.")
    text = f"folder with similarity/*.tsv, of which {', '.join(SETS)} if any is there, and analogy/questions-words.txt."
    flags.DEFINE_string("data_dir", None, f"Word vectors: {text}")
    flags.DEFINE_integer("restrict", 30_000, "Analogies use only the n most frequent words; 0 is all.", 0)
    cli.run(main, continues=True, by_first=True)
