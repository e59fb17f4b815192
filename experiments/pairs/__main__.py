"""Trains an encoder of pairs of texts and asks which pairs are alike: SAME or DIFFERENT, or how much.

  python -m experiments.pairs --config=configs/pairs_sick.py --workdir=DIR [--seeds=3] [--counts=vocab.txt]
      [--config.data.source='pairs:GLOB'] [--config.train.stop_at=0.9]
  python -m experiments.pairs --workdir=DIR --first='A dog runs' --second='A cat sleeps'
  python -m experiments.pairs --newsgroups=FOLDER --workdir=DIR [--pairs=20000] [--seed=0]
  python -m experiments.pairs --explain

The first command trains one run per seed in DIR/seed_N; the same command continues them. The checkpoint with the lowest
held-out loss scores the test pairs. The threshold is model.threshold, or the best on the held-out pairs. Prints a
table, always with the answer that more of the training pairs have, with the cosine of TF-IDF vectors, and with those of
the mean and of SIF of the given vectors, untrained; --counts has the words' counts for SIF. Writes results.json,
predictions_MODEL.tsv, what each row says of each scored pair, and pairs.png: the distances of the held-out pairs pass
by pass, and the accuracy by threshold. The second command compares two texts by the first seed's model. The third makes
pairs of the posts of 20 Newsgroups (files train.jsonl and test.jsonl, also packed). The last prints a worked example.

Training ends after train.passes, at an evaluation with a share train.stop_at of right answers, or by Ctrl-C, which
keeps the work.
Exit status: 0 done, 1 a loss diverged, 2 bad input, 128 + n stopped by signal n; a training saves first.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.common import cli, config_flag
from experiments.common.words import notes_on
from experiments.pairs import explain, newsgroups
from experiments.pairs.report import majority, repeated, scored_of, table, write_predictions
from experiments.pairs.scoring import FAMILY, SPLITS, Judged, corpus_of, judge, row, tfidf, untrained
from w2v_jax.config import CheckpointConfig, Config, score_range
from w2v_jax.data.pairs import SAME_FROM
from w2v_jax.errors import UserError
from w2v_jax.evaluation import pairs
from w2v_jax.figures import pairs as picture
from w2v_jax.files import read_json
from w2v_jax.models import MODELS
from w2v_jax.train import loop
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.device import here
from w2v_jax.train.folder import CHECKPOINTS
from w2v_jax.train.restore import Model, open_model

PANELS = 7  # histograms at most


def say(line: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(line, file=sys.stderr, flush=True)


def base_config() -> Config:
    """The config of --config. UserError: it is of another family, or names no pairs."""
    config = config_flag.parsed("config", example="configs/pairs_sick.py")
    if config.family != FAMILY:
        raise UserError(f"--config: family {config.family} cannot be trained here; it must be {FAMILY}")
    return config


def of_seed(config: Config, seed: int, steps: int) -> Config:
    """The config of one run of `steps` a pass: a checkpoint after every pass, and all of them kept for the picture."""
    kept = CheckpointConfig(every_steps=2 * steps, keep=1 + int(np.ceil(config.train.passes)))
    return dataclasses.replace(config, checkpoint=kept, train=dataclasses.replace(config.train, seed=seed))


def panels(folder: Path, model: Model, corpus: Any, steps: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The distances of the held-out pairs at the start and after the passes, evenly taken where there are many."""
    saved = sorted(int(p.name) for p in (folder / CHECKPOINTS).iterdir() if p.name.isdigit())
    chosen = [saved[round(i)] for i in np.linspace(0, len(saved) - 1, min(len(saved), PANELS - 1))]
    start = model.spec.trained.init(jax.random.key(model.config.train.seed), model.cfg, model.consts)
    shown = [("at the start", start)]
    with Checkpointer(folder / CHECKPOINTS, read_only=True) as checkpoints:
        for step in chosen:
            found = checkpoints.restore_part("params", here(model.spec.arrays(model.cfg)), step)
            assert found is not None
            shown.append((f"pass {step / steps:.3g}", found[1]))
    out = []
    for title, params in shown:
        judged = judge(model.cfg, params, model.consts, corpus, "heldout")
        same = judged.same
        out.append((title, judged.distances[same], judged.distances[~same]))
    return out


def one_kind(scores: np.ndarray) -> str:
    """SAME or DIFFERENT where all pairs are of that kind, otherwise an empty string."""
    same = scores >= SAME_FROM
    return "SAME" if same.all() else "" if same.any() else "DIFFERENT"


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a table as they are made, and how to write what each says of the pairs of the split `last`."""

    workdir: Path
    corpus: Any
    last: str
    bounds: tuple[float, float] | None
    made: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    predictions: list[Callable[[], None]] = dataclasses.field(default_factory=list)

    def add(self, name: str, found: dict[str, Judged], threshold: float = 0.0, fits: bool = False) -> dict[str, Any]:
        """Returns the new row."""
        made = row(name, found, self.bounds, threshold, fits)
        part = getattr(self.corpus, self.last)
        self.made.append(made)
        self.predictions.append(
            partial(write_predictions, self.workdir, made, found[self.last], part, self.bounds, fits)
        )
        return made


def train(config: Config, seeds: int, counts: str, workdir: Path) -> dict[str, Any]:
    """results.json after training `seeds` runs. UserError, Interrupted, Diverged: see `loop.train`."""
    corpus = corpus_of(config, say)
    _tell_doubts(corpus)
    splits = [split for split in SPLITS if getattr(corpus, split).documents]
    rows = Rows(workdir, corpus, scored_of(splits), score_range(config.data.labels))
    rows.add("TF-IDF, cosine", tfidf(corpus, config.data))
    if config.model.vectors:
        rows.add("mean of vectors, cosine", untrained(config.model, "mean", counts, corpus))
        rows.add("SIF of vectors, cosine", untrained(config.model, "sif", counts, corpus))
    spec, size = MODELS[FAMILY], config.train.batch_size
    source = spec.trained.source(config.model, corpus, "train", size, 0)
    reports = {s: dict(spec.trained.source(config.model, corpus, s, size, 0).report) for s in splits}
    model, lines = train_seeds(config, seeds, source.steps_per_epoch, splits, rows)
    for write in rows.predictions:  # when all rows are there: what is refused leaves no file
        write()
    first = next(r for r in rows.made if "seed" in r)
    shown = panels(workdir / f"seed_{config.train.seed}", model, corpus, source.steps_per_epoch)
    drawn = picture.histograms(shown, first["threshold"]) | {"lines": lines}
    about = {"labels": config.data.labels, "corpus": corpus.report, "tower": config.model.tower}
    about |= {"loss": config.model.loss, "command": cli.command("experiments.pairs")}
    about |= {"max_length": config.model.max_length, "cut": {"train": dict(source.report)} | reports}
    about |= {"also_in_training": {s: repeated(getattr(corpus, s), corpus.train) for s in splits}}
    about |= {"also_in_heldout": repeated(corpus.test, corpus.heldout)}
    about |= {"majority": majority(corpus.train, getattr(corpus, rows.last))}
    return about | {"models": rows.made, "picture": drawn}


def _tell_doubts(corpus: Any) -> None:
    if not corpus.test.documents:
        say("no data.test_source: the held-out pairs are scored, on which the checkpoint and the threshold are chosen")
    if alone := one_kind(corpus.heldout.scores):
        say(
            f"warning: the held-out pairs are all {alone}: no threshold can be chosen by them; give pairs of both kinds"
        )


def train_seeds(
    config: Config, seeds: int, steps: int, splits: Sequence[str], rows: Rows
) -> tuple[Model, list[dict[str, Any]]]:
    """Trains the runs of `steps` a pass and adds their rows. Returns the first seed's model and its lines of the
    picture, of each split."""
    compare, corpus = MODELS[FAMILY].compare, rows.corpus
    assert compare is not None
    model, lines, fits = None, list[dict[str, Any]](), compare.regresses(config.model)
    for seed in range(config.train.seed, config.train.seed + seeds):
        folder = rows.workdir / f"seed_{seed}"
        result = loop.train(of_seed(config, seed, steps), folder)
        opened = open_model(folder)
        found = {split: judge(opened.cfg, opened.params, opened.consts, corpus, split) for split in splits}
        made = rows.add(f"{config.model.tower}, seed {seed}", found, config.model.threshold, fits)
        passes = {"passes": result["passes"], "best_pass": opened.step / steps}
        made |= {"seed": seed, "seconds": result["seconds"], **passes}
        if model is None:
            model, lines = opened, [_line("held-out", found["heldout"])]
            lines += [_line("test", found["test"])] if "test" in found else []
    assert model is not None
    return model, lines


def _line(name: str, judged: Judged) -> dict[str, Any]:
    return picture.line(name, *pairs.curve(judged.distances, judged.same))


def ask(first: str, second: str, workdir: Path) -> str:
    """What the first seed's model says of two texts. UserError: an empty text or one without a known word, no model."""
    results = read_json(workdir / "results.json") or {}
    rows = [found for found in results.get("models", []) if "seed" in found]
    if not rows:
        raise UserError(
            f"--workdir={workdir}: holds no results.json of a trained encoder; train it with --config first"
        )
    model, threshold = open_model(workdir / f"seed_{rows[0]['seed']}"), rows[0]["threshold"]
    vectors = []
    for name, text in (("first", first), ("second", second)):
        ids = model.tokenizer.encode(text)[: model.cfg.max_length]
        if not len(ids):
            raise UserError(f"--{name}={text!r}: none of its words is in the vocabulary of {workdir}")
        for note in notes_on(model.tokenizer, text, model.cfg.max_length, name):
            say(note)
        vectors.append(model.applied.vectors(model.params, model.consts, ids[None], np.array([len(ids)], np.int32)))
    distance, score = (float(x[0]) for x in model.applied.pairs(model.params, *vectors))
    answer = "SAME" if distance <= threshold else "DIFFERENT"
    bounds, said = score_range(results["labels"]), ""
    compare = model.spec.compare
    if bounds is not None and compare is not None and compare.regresses(model.cfg):
        said = f"; score {bounds[0] + score * (bounds[1] - bounds[0]):.2f} of {bounds[0]:g} to {bounds[1]:g}"
    return f"distance {distance:.4f}, threshold {threshold:.4f}: {answer}{said}"


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    if f.explain:
        print(explain.text())
        return 0
    workdir = cli.workdir("give a folder, e.g. --workdir=runs/pairs", several=f.first is None)
    if f.newsgroups:
        print("\n".join(newsgroups.make(f.newsgroups, workdir, f.pairs, f.seed)))
        return 0
    if (f.first is None) != (f.second is None):
        raise UserError("--first and --second are two texts to compare: give both")
    if f.first is not None:
        print(ask(f.first, f.second, workdir))
        return 0
    config = base_config()
    config_flag.refuse("config", {"checkpoint.": "the checkpoints of all passes are kept for the picture"})
    config_flag.set_compile_cache(config.data.cache_dir)
    results = train(config, f.seeds, f.counts or "", workdir)
    print(table(results))
    paint = partial(picture.draw, results["picture"], source=results["command"])
    cli.write_results(workdir / "results.json", results, workdir / "pairs.png", paint)
    return 0


if __name__ == "__main__":
    config_flag.define(text="Config file of a pair encoder, e.g. configs/pairs_sick.py")
    flags.DEFINE_string("workdir", None, "Folder with one run folder per seed, or for the files of pairs.")
    flags.DEFINE_integer("seeds", 1, "Runs, from train.seed on.", 1, 1000)
    flags.DEFINE_string("counts", None, "File of words and counts (vocab.txt of a run) for the row of SIF.")
    flags.DEFINE_string("first", None, "A text to compare with --second.")
    flags.DEFINE_string("second", None, "See --first.")
    flags.DEFINE_string("newsgroups", None, "Folder of 20 Newsgroups as JSON Lines, to make pairs of.")
    flags.DEFINE_integer("pairs", 20_000, "Training pairs to make of --newsgroups.", 10)
    flags.DEFINE_integer("seed", 0, "Of the pairs made of --newsgroups.", 0)
    flags.DEFINE_bool("explain", False, "Print the worked example.")
    cli.run(main, continues=True, by_first=True)
