"""Trains the runs of a study, one after another, and measures each."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common import language
from experiments.common.machine import accelerators, machine, revision
from w2v_jax.data.bayes import optimum_of_split, rivals
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.data.meeting import together
from w2v_jax.data.unigram import known_of, targets_of
from w2v_jax.embeddings import load
from w2v_jax.evaluation import evaluate_all
from w2v_jax.evaluation.language import Scores, summarise
from w2v_jax.models import MODELS
from w2v_jax.recorded import to_dict
from w2v_jax.scaling.records import DIVERGED, FAILED, FINISHED, Record, config_hash
from w2v_jax.scaling.study import Planned, Study, runs, with_passes
from w2v_jax.storage import remove_tree
from w2v_jax.train import folder, loop, world
from w2v_jax.train.checkpoint import NoneIntact
from w2v_jax.train.logs import tell
from w2v_jax.train.restore import Model, open_model


class Verbs(NamedTuple):
    """Where the words of a generated text agree."""

    distance: np.ndarray  # int [N], words from every verb back to its subject, 0 elsewhere
    rivals: np.ndarray  # int [C - 1, V], see `w2v_jax.data.bayes.rivals`


class Text(NamedTuple):
    """The text of all runs of a study."""

    study: Study
    corpus: Corpus
    optimum: np.ndarray | None  # nats of every held-out token under the best possible predictions, where known
    verbs: Verbs | None  # of the held-out text, where known
    data_dir: str  # test files of word vectors; '' for the built-in list


def open_text(study: Study, data_dir: str = "") -> Text:
    """Reads the text, and computes its best possible loss where the study asks for it."""
    with together(world.crew()):
        corpus = build_corpus(study.data, tell)
    best = verbs = None
    if study.optimum:
        tokens = np.asarray(corpus.heldout.tokens)
        words = tuple(corpus.vocab.words)
        best, hidden = optimum_of_split(study.data, "heldout", words, tokens)
        verbs = Verbs(hidden.distance, rivals(study.data, words))
    return Text(study, corpus, best, verbs, data_dir)


def planned(text: Text) -> list[Planned]:
    """The study's runs with whole configs."""
    found = []
    for run in runs(text.study, len(text.corpus.vocab)):
        spec, train = MODELS[run.config.family], run.config.train
        cfg = spec.resolve(run.config.model, len(text.corpus.vocab))
        steps = spec.trained.source(cfg, text.corpus, "train", train.batch_size, train.seed).steps_per_epoch
        found.append(run._replace(config=with_passes(run, steps, len(text.corpus.train.tokens))))
    return found


def execute(run: Planned, text: Text, workdir: Path) -> Record:
    """Trains or continues one run in workdir/runs/NAME and measures it. It begins from a shorter run of its trunk,
    where one has checkpoints.

    A run that diverges, runs out of memory or fails on its device is recorded as such. A finished one whose checkpoints
    are all damaged is trained again. Raises the UserError, OSError or Interrupted of `loop.train`; the work so far is
    kept.
    """
    where, trunks = workdir / "runs" / run.name, [workdir / "runs" / name for name in run.begins]
    about = known(run)
    was_finished = world.from_first(lambda: _finished(where))
    try:
        # Nothing is said of the text, which is the same for all runs.
        result = loop.train(run.config, where, say=lambda line: None, trunks=trunks)
        measured = world.from_first(lambda: _measured_or_removed(run, text, where, result, was_finished))
        if measured is None:
            return execute(run, text, workdir)
        if FAILED in measured:
            return Record(**about | {"status": FAILED, "error": measured[FAILED]})
    except loop.Diverged as e:
        if e.number:  # a signal came too: stop, and diverge again when the study continues
            raise loop.Interrupted(None, e.number) from e
        return Record(**about | {"status": DIVERGED, "error": str(e)})
    except (jax.errors.JaxRuntimeError, MemoryError) as e:
        return Record(**about | {"status": FAILED, "error": _short(e)})
    return Record(**about | {"status": FINISHED} | measured)


def _finished(where: Path) -> bool:
    """Whether a run is finished. One whose record was lost after its checkpoints were removed is removed whole."""
    if (where / folder.RESULT).exists() and not (where / folder.CHECKPOINTS).exists():
        remove_tree(where)
    return (where / folder.RESULT).exists()


def _measured_or_removed(
    run: Planned, text: Text, where: Path, result: dict[str, Any], was_finished: bool
) -> dict[str, Any] | None:
    """What is measured of a trained run, or {FAILED: why}. None: its checkpoints are all damaged, and its result is
    removed, so that it is trained again."""
    try:
        return _measured(run, text, where, result)
    except NoneIntact as e:
        if not was_finished:  # it was just written: another training would be lost as well
            raise
        print(f"warning: {e}; the study does so now", file=sys.stderr)
        (where / folder.RESULT).unlink()
        return None
    except (jax.errors.JaxRuntimeError, MemoryError) as e:
        return {FAILED: _short(e)}


def _short(e: Exception) -> str:
    return " ".join(str(e).split())[:500] or type(e).__name__


def known(run: Planned) -> dict[str, Any]:
    """The values of a run's record that are known before it runs."""
    return {
        "run": run.name,
        "arm": run.arm,
        "family": run.config.family,
        "seed": run.config.train.seed,
        "config_hash": config_hash(run.config),
        "config": to_dict(run.config),
        "revision": revision(),
        "parameters": run.ledger.parameters,
        "parameters_without_embeddings": run.ledger.without_embeddings,
        "flops_per_token": run.ledger.flops_per_token,
        "training_flops": run.flops,
        "tokens": run.tokens,
        "device": f"{len(world.devices())} x {world.devices()[0].device_kind}",
        "jax": jax.__version__,
        "machine": machine() | {"accelerators": accelerators()},
    }


def _measured(run: Planned, text: Text, where: Path, result: dict[str, Any]) -> dict[str, Any]:
    kept = ("passes", "vocabulary", "heldout_loss", "heldout_accuracy", "words_per_second", "seconds")
    counted = ("heldout_unknown", "heldout_unigram_loss", "heldout_unigram_accuracy")  # of language models
    found: dict[str, Any] = {key: result[key] for key in kept} | {key: result[key] for key in counted if key in result}
    found |= {
        "tokens": result["words"],
        "training_flops": run.ledger.flops_per_token * result["words"],
        "train_loss": result["loss"],
        "heldout_block_loss": result["heldout_loss"],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    shared = result.get("shared", {"words": 0.0, "seconds": 0.0})
    found["made_flops"] = run.ledger.flops_per_token * (result["words"] - shared["words"])
    found["made_seconds"] = result["seconds"] - shared["seconds"]
    spec = MODELS[run.config.family]
    if spec.score is not None and spec.encode is not None and spec.encode.causal(run.config.model):
        found |= language_measures(open_model(where), text)
    elif spec.embed is not None and (where / "vectors.bin").exists():
        found["quality"] = quality(where, text.data_dir)
    return found


def language_measures(model: Model, text: Text) -> dict[str, Any]:
    """Losses of the held-out text, at the same positions for all families.

    Every token has at least half a window of context, or all of the text before it where the model carries a state.
    """
    held = text.corpus.heldout
    if language.carries(model):
        scores = language.score_split(model, text.corpus, "heldout", 1, None)
    else:
        scores = language.score_strided(model, held, max(1, model.cfg.length // 2))
    nats = scores.nats
    known = known_of(text.corpus, targets_of(text.corpus, "heldout"))
    figures = summarise(scores, known, held.words, held.bytes)
    found: dict[str, Any] = {"heldout_loss": float(nats.mean()), "heldout_known_accuracy": figures["known_accuracy"]}
    if held.bytes:
        found["heldout_bits_per_byte"] = figures["bits_per_byte"]
    if text.optimum is not None:
        found["optimum"] = float(text.optimum[-len(nats) :].mean())
    found["tasks"] = tasks(scores, known, text.verbs, [] if text.verbs is None else _rivals(model, text))
    if text.study.window:
        # Windows start without context.
        nats, places = language.score_fresh(model, text.corpus, "heldout", text.study.window)
        found["by_position"] = mean_at(places, nats, text.study.window)
        if text.optimum is not None:
            found["optimum_by_position"] = mean_at(places, text.optimum[-len(places) :], text.study.window)
    return found


def _rivals(model: Model, text: Text) -> list[np.ndarray]:
    """Nats of a forbidden verb in the place of each held-out verb, for every other class."""
    held, rest = text.corpus.heldout, () if text.verbs is None else text.verbs.rivals
    if language.carries(model):
        return []
    return [language.score_strided(model, held, max(1, model.cfg.length // 2), answers).nats for answers in rest]


def tasks(scores: Scores, known: np.ndarray, verbs: Verbs | None, forbidden: Sequence[np.ndarray]) -> dict[str, float]:
    """Shares of right answers by task: the next word, of words in the vocabulary; and, where the text is generated,
    agreement by the number of words back to the subject.

    Agreement is right where the verb of the text is likelier than that of every other class in its place. With
    `forbidden` [N] nats of each of those; without any, agreement is not asked.
    """
    found = {"next word": float(scores.correct[known].mean())} if known.any() else {}
    if verbs is None or not forbidden:
        return found
    back = verbs.distance[-len(scores.nats) :]
    right = np.all(scores.nats < np.stack(forbidden), axis=0)
    every = [d for d in np.unique(back).tolist() if d > 0]
    return found | {f"agreement {d} words on": float(right[back == d].mean()) for d in every}


def mean_at(places: np.ndarray, values: np.ndarray, window: int) -> list[float]:
    """Mean of the values at each place, from 0 to window - 1."""
    counts = np.maximum(np.bincount(places, minlength=window), 1)
    means: list[float] = (np.bincount(places, values, window) / counts).tolist()
    return means


def quality(where: Path, data_dir: str) -> dict[str, float]:
    """Scores of a run's word vectors by test: Spearman of similarity sets, accuracy of 3CosAdd on analogies."""
    found = evaluate_all(load(str(where / "vectors.bin")), data_dir or None)
    scores = {f"similarity {name}": entry["spearman"] for name, entry in found["similarity"].items()}
    scores |= {f"analogies {name}": entry["all"]["accuracy_add"] for name, entry in found["analogy"].items()}
    return {name: float(value) for name, value in scores.items() if value is not None and np.isfinite(value)}


def tidy(run: Planned, record: Record, left: Iterable[Planned], workdir: Path) -> None:
    """Cleans the recorded run and the shorter ones of its trunk, but for those that a run of `left` may begin from."""
    wanted = {name for other in left for name in other.begins}
    if record.status == FINISHED:  # longer ones begin from this one
        wanted -= set(run.begins)
    for name in (run.name, *run.begins):
        if name not in wanted:
            clean(workdir / "runs" / name)


def clean(where: Path) -> None:
    """Removes the checkpoints and TensorBoard logs of a recorded run."""
    for name in (folder.CHECKPOINTS, "tensorboard"):
        with contextlib.suppress(FileNotFoundError):
            remove_tree(where / name)
