"""word2vec beside gensim: speed, memory and quality from the same runs.

    python -m benchmarks.word2vec --text=FILE --data_dir=DIR [--shards='wiki_en/wiki_en.0[0-7].txt.xz'] [--out=DIR]

`--shards` makes the text where it does not exist yet. Every run is a fresh process; the sides alternate. Results go to
OUT/runs.jsonl as they come, so that the same command continues an interrupted benchmark; runs of other code, text or
overrides are not taken over. Writes OUT/table.md and OUT/summary.json. Exit status 1 when a gate fails.
Settings are tried with --override (ours), --peer (gensim's) and --sides=ours or gensim.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import measure, ours, quality, report, text
from benchmarks.settings import PASSES, PEER_ENV, Setting, chosen
from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.errors import UserError, nearest
from w2v_jax.files import write_text

_OUR_ENV = {"JAX_COMPILATION_CACHE_DIR": ""}
SIDES = ("ours", "gensim")


def define_flags() -> None:
    """A call, not an import, defines the flags."""
    flags.DEFINE_string("text", None, "Text file, one document a line; made from --shards if it does not exist.")
    flags.DEFINE_string("shards", None, "Glob of wiki_en.*.txt.xz.")
    flags.DEFINE_string("data_dir", None, "Folder with similarity/ and analogy/; needed for quality.")
    flags.DEFINE_enum("runs", "both", ["speed", "quality", "both"], "What is measured.")
    flags.DEFINE_list("only", [], "Settings, e.g. skipgram-100,cbow-100; all without.")
    flags.DEFINE_integer("pairs", 3, "Pairs of runs for the speed.", lower_bound=1)
    flags.DEFINE_integer("seeds", 3, "Seeds whose quality is averaged.", lower_bound=1)
    flags.DEFINE_integer("first_seed", 0, "Of the pairs and of the seeds.", lower_bound=0)
    flags.DEFINE_integer("passes", PASSES, "Over the text.", lower_bound=1)
    flags.DEFINE_integer("cores", 2, "Cores each side may use; gensim gets as many workers.", lower_bound=1)
    flags.DEFINE_multi_string(
        "override", [], "Further config override of our runs, e.g. --config.train.batch_size=4096."
    )
    flags.DEFINE_string("peer", "{}", 'Further arguments of gensim\'s Word2Vec, a JSON object, e.g. {"alpha": 0.05}.')
    flags.DEFINE_list("sides", list(SIDES), f"Of {', '.join(SIDES)}: one alone is for trying settings.")
    flags.DEFINE_bool("reuse_peer", False, "Takes gensim's runs over from before our code changed (not alternating).")
    flags.DEFINE_string("out", "results/word2vec", "Folder of the results.")


class Bench:
    """One benchmark: what is fixed for all its runs, and the runs so far."""

    def __init__(self, path: str, out: Path) -> None:
        self.text, self.out = os.path.abspath(path), out
        self.about = text.describe(path)
        self.passes, self.cores = flags.FLAGS.passes, flags.FLAGS.cores
        self.extra = list(flags.FLAGS.override)
        self.peer = read_peer(flags.FLAGS.peer)
        self.code = ours.code_digest()
        self.machine = machine()
        self.store = measure.Store(out / "runs.jsonl")

    def key(self, kind: str, side: str, setting: str, seed: int) -> dict[str, Any]:
        """What a run must share with an earlier one to be taken over.

        Gensim's key holds the digest of our code too: a pair counts only if its two runs were made side by side.
        """
        recipe = chosen([setting])[0].extra if setting else ()
        code = "" if side == "gensim" and flags.FLAGS.reuse_peer else [self.code, *recipe, *self.extra]
        fixed: dict[str, Any] = {
            "text": self.about["sha256"][:16],
            "passes": self.passes,
            "cores": self.cores,
            "code": code,
        }
        if side == "gensim" and self.peer:
            fixed["peer"] = self.peer
        return {"kind": kind, "side": side, "setting": setting, "seed": seed, **fixed}

    def found(self, kind: str, side: str, setting: str, seed: int) -> dict[str, Any] | None:
        key = self.key(kind, side, setting, seed)
        record = self.store.find(key)
        return {**record, "key": key} if record else None

    def vectors(self, side: str, setting: str, seed: int) -> Path:
        return self.out / "vectors" / f"{side}-{setting}-{seed}.bin"

    def counts(self) -> Path:
        """The file of the text's words and counts, made where it is missing."""
        path = self.out / f"counts-{self.about['sha256'][:16]}.txt"
        if not path.exists():
            text.write_counts(self.text, path)
        return path

    def corpus(self) -> dict[str, Any]:
        """Time of counting and encoding the text on our side, in an empty cache; it then serves our trainings."""
        key = self.key("corpus", "ours", "", 0)
        cache = self.out / "cache"
        record = self.store.find(key)
        if record is None or not cache.is_dir():
            shutil.rmtree(cache, ignore_errors=True)
            say("corpus: counting and encoding")
            command = [sys.executable, "-m", "benchmarks.ours", f"--text={self.text}", f"--cache_dir={cache}"]
            done = measure.run(command, self.out / "logs" / "corpus.log")
            record = self.store.add(key, {**done.result, "peak_mb": done.peak_mb})
        return record

    def train(self, side: str, setting: Setting, seed: int) -> None:
        """One measured training; its vectors are kept for the evaluation."""
        vectors = self.vectors(side, setting.name, seed)
        vectors.parent.mkdir(parents=True, exist_ok=True)
        log = self.out / "logs" / f"{side}-{setting.name}-{seed}.log"
        if side == "gensim":
            command = [
                *(sys.executable, "-m", "benchmarks.peer_gensim", f"--text={self.text}", f"--vectors={vectors}"),
                *(f"--seed={seed + 1}", f"--passes={self.passes}", f"--workers={self.cores}"),
                f"--options={json.dumps({**setting.peer(), **self.peer})}",
            ]
            done = measure.run(command, log, PEER_ENV)
            values = done.result
        else:
            with tempfile.TemporaryDirectory(dir=self.out) as scratch:
                workdir = Path(scratch) / "run"
                cache = str(self.out / "cache")
                command = ours.command(setting, self.text, cache, workdir, seed, self.passes, self.extra)
                done = measure.run(command, log, _OUR_ENV)
                os.replace(workdir / "vectors.bin", vectors)
            values = ours.measured(done)
        values = {**values, "wall_seconds": done.seconds, "peak_mb": done.peak_mb, "machine": self.machine}
        self.store.add(self.key("train", side, setting.name, seed), values)
        rate = self.about["words"] * self.passes / values["seconds"]
        say(f"{setting.name} seed {seed} {side}: {rate:,.0f} words/s, peak {done.peak_mb:,.0f} MiB")

    def evaluate(self, side: str, setting: Setting, seed: int, data_dir: str) -> None:
        """Scores kept vectors by w2v_jax.evaluation, in a process of its own so that this one stays small."""
        vectors = self.vectors(side, setting.name, seed)
        target = vectors.with_suffix(".json")
        command = [
            *(sys.executable, "-m", "benchmarks.quality", f"--vectors={vectors}"),
            *(f"--data_dir={data_dir}", f"--json={target}", f"--counts={self.counts()}"),
        ]
        done = measure.run(command, self.out / "logs" / f"quality-{side}-{setting.name}-{seed}.log")
        self.store.add(self.key("quality", side, setting.name, seed), done.result)
        shown = ", ".join(f"{k} {done.result['scores'].get(k, math.nan):.3f}" for k in quality.DEVELOPMENT)
        say(f"{setting.name} seed {seed} {side}: {shown}")


def read_peer(given: str) -> dict[str, Any]:
    """The object of --peer. UserError: it is none."""
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"--peer={given}: must be a JSON object of arguments of gensim's Word2Vec")
    return found


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure_all(bench: Bench, settings: Sequence[Setting], speeds: range, seeds: range, data_dir: str) -> None:
    """Makes every run that is still missing, the sides in turn."""
    for setting in settings:
        for seed in sorted({*speeds, *seeds}):
            for side in flags.FLAGS.sides:
                trained = bench.found("train", side, setting.name, seed)
                scored = seed not in seeds or None is not bench.found("quality", side, setting.name, seed)
                if trained is None or (not scored and not bench.vectors(side, setting.name, seed).exists()):
                    bench.train(side, setting, seed)
                    scored = seed not in seeds
                if not scored:
                    bench.evaluate(side, setting, seed, data_dir)


def collect(bench: Bench, settings: Sequence[Setting], speeds: range, seeds: range) -> dict[str, Any]:
    """The summary of all runs there are."""

    def runs(kind: str, name: str, among: range) -> report.Runs:
        all_ = {(side, seed): bench.found(kind, side, name, seed) for side in SIDES for seed in among}
        return {k: v for k, v in all_.items() if v is not None}

    entries = {
        s.name: {
            "speed": report.speed(s, runs("train", s.name, speeds), bench.about["words"]),
            "quality": report.quality(runs("quality", s.name, seeds)),
        }
        for s in settings
    }
    corpus = bench.store.find(bench.key("corpus", "ours", "", 0))
    fixed = {"text": bench.about, "passes": bench.passes, "machine": bench.machine, "overrides": bench.extra}
    return {**fixed, "corpus": corpus, "settings": entries}


def main(argv: Sequence[str]) -> int:
    """Runs what is missing, prints the tables; 1 when a gate fails."""
    given = flags.FLAGS
    settings = chosen(given.only)
    for side in given.sides:
        if side not in SIDES:
            raise UserError(f"--sides={side}: must be of {', '.join(SIDES)}{nearest(side, SIDES)}")
    if not given.text:
        raise UserError("--text is missing: give a text file, one document a line")
    if given.runs != "speed" and not (given.data_dir and os.path.isdir(given.data_dir)):
        raise UserError(f"--data_dir={given.data_dir}: give the folder with similarity/ and analogy/, or --runs=speed")
    if given.shards and not os.path.exists(given.text):
        say(f"{given.text}: {text.prepare(given.shards, given.text):,} words written")
    measure.use_cores(given.cores)
    out = Path(given.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    bench = Bench(given.text, out)
    first = given.first_seed
    speeds = range(first, first + (0 if given.runs == "quality" else given.pairs))
    seeds = range(first, first + (0 if given.runs == "speed" else given.seeds))
    bench.corpus()
    measure_all(bench, settings, speeds, seeds, given.data_dir)
    summary = collect(bench, settings, speeds, seeds)
    table = report.markdown(summary)
    for name, content in (("summary.json", json.dumps(summary, indent=2) + "\n"), ("table.md", table)):
        write_text(out / name, content)
    print(table)
    say(f"results: {out}")
    return 1 if report.failed(summary) else 0


if __name__ == "__main__":
    define_flags()
    cli.run(main)
