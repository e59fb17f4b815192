"""Scores a trained language model on its held-out and test texts, for `experiments.evaluate`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.common import cli, surprisal
from experiments.common.measuring import parameters_without_padding
from w2v_jax.config import own_tokens
from w2v_jax.data import alone
from w2v_jax.data.bayes import optimum_of_split
from w2v_jax.data.corpus import Corpus, Tokens, build_corpus
from w2v_jax.data.counter import SOURCES
from w2v_jax.data.tfds_source import prepare_advice
from w2v_jax.data.unigram import known_of, targets_of, unigram
from w2v_jax.errors import UserError, renamed
from w2v_jax.evaluation import language, optimum
from w2v_jax.evaluation.language import Scores
from w2v_jax.figures import positions
from w2v_jax.files import write_json
from w2v_jax.train.applied import applied
from w2v_jax.train.restore import Model, open_model

TEXTS = {"heldout": "held-out", "test": "test"}  # scored splits, and their names in reports
GIVEN = "text"  # the name in tables and files of a text that --text names
# What the messages about such a text call by the keys of a config.
_FLAGS = {"data.test_source": "--text", "data.encoding_errors": "--encoding_errors"}
CONTEXT = 256  # tokens from a fresh state, for the loss by position
LANES = 64
WINDOWS = 32  # overlapping windows per call


def say(line: str) -> None:
    """Progress goes to standard error, results to standard output."""
    print(line, file=sys.stderr)


def alone_of(model: Model, text: str, **changes: Any) -> alone.Alone:
    """The data source `text` of --text by the run's tokeniser, with `changes` of its `DataConfig`, such as those of
    `changes_of_flags`. UserError: no such text, a word that the run refuses, only words that it leaves out."""
    data = model.config.data
    try:
        found = alone.encode(dataclasses.replace(data, test_source=text, **changes), model.tokenizer, say)
    except UserError as e:
        raise UserError(renamed(str(e), _FLAGS | prepare_advice(data))) from None
    if found.outside and not (np.asarray(found.tokens.tokens) != model.tokenizer.end_id).any():
        none = f"none of its {found.outside:,} tokens is in the vocabulary of the run"
        raise UserError(f"--text={text}: {none}, which leaves such out (data.unknown=drop); give another text")
    return found


def changes_of_flags() -> dict[str, Any]:
    """What --encoding_errors changes in the reading of --text: nothing where it is not given. UserError: it is, without
    --text."""
    f = flags.FLAGS
    if not f["encoding_errors"].present:
        return {}
    if not f.text:
        raise UserError("--encoding_errors: is for the text of --text; the run's own is read as its config says")
    return {"encoding_errors": f.encoding_errors}


def corpus_of(model: Model, text: str = "", **changes: Any) -> Corpus:
    """The run's corpus, with `changes` of its `DataConfig`. With `text` (a data source) that text alone is read, and is
    the test split; see `alone_of`. UserError: another text or vocabulary than the run was trained with."""
    if text:
        return alone.corpus(alone_of(model, text, **changes), model.tokenizer)
    data = dataclasses.replace(model.config.data, **changes)
    corpus = build_corpus(data, say)
    if tuple(corpus.vocab.words) != tuple(model.tokenizer.words):
        raise UserError(f"data.source={data.source}: gives another vocabulary than the run was trained with")
    if data == model.config.data and model.corpus not in (None, corpus.digest):
        sources = ", ".join(f"data.{key}={getattr(data, key)}" for key in SOURCES.values() if getattr(data, key))
        raise UserError(
            f"{sources}: not the text that the run was trained with, or cut by other rules; restore it, or "
            "give another text with --text"
        )
    return corpus


def _score(model: Model, cfg: Any, rows: int) -> language.Score:
    """The compiled function (carry, a batch of `rows` rows) -> (losses of its targets, which were likeliest, carry)."""
    scored = applied(model.spec, cfg).score
    part = {"row": np.arange(rows, dtype=np.int32), "global_rows": np.float32(rows)}
    return lambda carry, batch: scored(model.params, model.consts, carry, {**batch, **part})


def score_split(model: Model, corpus: Corpus, split: str, lanes: int, length: int | None) -> Scores:
    """The scores of a split's N tokens in order. With `length`, the state restarts every `length` tokens."""
    cfg = model.cfg if length is None else dataclasses.replace(model.cfg, length=length)
    score, start = _score(model, cfg, lanes), model.spec.trained.carry(cfg, lanes)
    source = model.spec.trained.source(cfg, corpus, split, lanes, 0)
    batches = ({k: v[0] for k, v in stack.items()} for stack in source.iterate(0, source.steps_per_epoch))
    if length is None:
        return language.score_stream(score, start, batches)
    return language.score_stream(lambda _, batch: score(start, batch)[:2] + (start,), start, batches)


def score_fresh(model: Model, corpus: Corpus, split: str, window: int) -> tuple[np.ndarray, np.ndarray]:
    """(losses of a split's tokens in order, read in windows that start without context; places in the windows, from 0),
    each [N]."""
    lanes = max(1, min(LANES, len(getattr(corpus, split).tokens) // window))
    nats = score_split(model, corpus, split, lanes, window).nats
    # All lanes but the last have the same length, and each starts a window.
    return nats, np.arange(len(nats)) % -(-len(nats) // lanes) % window


def carries(model: Model) -> bool:
    """Whether the model carries a state from window to window."""
    return bool(jax.tree.leaves(model.spec.trained.carry(model.cfg, 1)))


def score_strided(model: Model, tokens: Tokens, stride: int, answers: np.ndarray | None = None) -> Scores:
    """The scores of a text's tokens in order, by overlapping windows of the model's length; see `strided_windows`.

    With `answers` int [V] they are those of token answers[t] in the place of t, each in the context of the text itself.
    """
    score, start = _score(model, model.cfg, WINDOWS), model.spec.trained.carry(model.cfg, WINDOWS)
    text = np.asarray(tokens.tokens)
    sizes = model.cfg.length, stride, WINDOWS
    windows = language.strided_windows(text, model.tokenizer.end_id, *sizes, np.asarray(tokens.offsets))
    if answers is not None:
        table = answers.astype(np.int32)
        windows = (b | {"targets": np.where(b["targets"] < 0, b["targets"], table[b["targets"]])} for b in windows)
    found = [(*score(start, batch)[:2], batch["targets"] >= 0) for batch in windows]
    nats, correct = (np.concatenate([np.asarray(part[i])[part[2]] for part in found]) for i in (0, 1))
    return Scores(nats.astype(np.float64), correct)


def _by_document(model: Model, found: alone.Alone, corpus: Corpus, stride: int | None, file: Path) -> dict[str, Any]:
    """The summary of a text whose documents are each read by themselves, from a fresh state; writes the losses of its
    tokens into `file`."""
    rows, first = min(LANES, found.tokens.documents) if stride is None else WINDOWS, model.tokenizer.end_id
    score, start = _score(model, model.cfg, rows), model.spec.trained.carry(model.cfg, rows)
    texts = surprisal.documents_of(found)
    scores = surprisal.score_documents(score, start, texts, first, model.cfg.length, stride, rows)
    if not len(scores.nats):
        raise UserError(f"--tokens={file}: no document of the text has a token to predict; give longer ones")
    surprisal.write(file, found, model.tokenizer, scores.nats)
    targets = np.concatenate([document[int(first is None) :] for document in texts])
    return _summarise(model, corpus, "test", targets)(scores)


def _by_position(model: Model, corpus: Corpus, split: str, tokens: Tokens, carried: np.ndarray) -> dict[str, Any]:
    """Loss by position in the document, and by position since a fresh state or the start of a window."""
    curves: dict[str, Any] = {}
    places = language.document_places(np.asarray(tokens.offsets))[-len(carried) :]
    stateful = carries(model)
    if places.max(initial=0) > 1:
        how = "state carried through the text" if stateful else f"blocks of {model.cfg.length} tokens"
        curves[f"in its document, {how}"] = language.by_position(carried, places, int(places.max()) + 1)
    context = CONTEXT if stateful else model.cfg.length
    fresh, since = score_fresh(model, corpus, split, context)
    label = f"since a fresh state, every {context} tokens" if stateful else f"in a window of {context} tokens"
    curves[label] = language.by_position(fresh, since, context)
    return curves


def _optimum(model: Model, split: str, tokens: Tokens, nats: np.ndarray) -> dict[str, Any] | None:
    """The distance to the best possible loss by kind of position; None unless the text is the synthetic language."""
    data = model.config.data
    source = {"heldout": data.heldout_source, "test": data.test_source}[split]
    if data.source != "synthetic" or data.reversed or source != f"synthetic:{split}":
        return None
    best, hidden = optimum_of_split(data, split, model.tokenizer.words, np.asarray(tokens.tokens))
    scored = slice(-len(nats), None)  # without an end token nothing predicts the first
    return optimum.distance_to_optimum(nats, best[scored], hidden.distance[scored])


def _stride(model: Model, stride: int | None) -> int | None:
    """Tokens from one window to the next; None for a model that carries its state. UserError: an impossible stride."""
    if carries(model):
        if stride is not None:
            raise UserError(f"--stride={stride}: this model carries its state through the whole text; leave it out")
        return None
    length = model.cfg.length
    if stride is not None and not 1 <= stride <= length:
        raise UserError(f"--stride={stride}: must be from 1 to model.length={length}")
    return stride or max(1, length // 2)


def _show(rows: dict[str, Any], results: dict[str, Any]) -> None:
    """Prints the table, and the distances to the best possible loss where they are known."""
    print(language.table(rows))
    for split, result in results.items():
        if result.get("optimum"):
            print(f"\n{TEXTS[split]} text: distance to the best possible loss\n{optimum.table(result['optimum'])}")


def _summarise(model: Model, corpus: Corpus, split: str, targets: np.ndarray) -> Callable[[Scores], dict[str, Any]]:
    """`language.summarise` of the scores of `targets`, which are those of a split."""
    tokens, tokenizer = getattr(corpus, split), model.tokenizer
    # Of the run's own texts it is not known which of them lacks what the report counts.
    dropped = tokenizer.unknown == "drop" and bool(corpus.report.get("oov_words"))
    return partial(
        language.summarise,
        known=known_of(corpus, targets),
        words=None if dropped and tokenizer.kind == "characters" else tokens.words,  # they are those of the whole text
        size=tokens.bytes,
        ends=tokens.documents if tokenizer.end_token else 0,
        outside=own_tokens(tokenizer.kind),
        dropped=dropped,
    )


def _of_split(
    model: Model, corpus: Corpus, split: str, name: str, step: int | None
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(the results of a split, the rows of the table, whose names begin with `name`); None: nothing to predict."""
    tokens: Tokens = getattr(corpus, split)
    targets = targets_of(corpus, split) if tokens.documents else np.zeros(0)
    if not len(targets):
        return None  # of one token, too
    summarise = _summarise(model, corpus, split, targets)
    scores = score_split(model, corpus, split, 1, None)
    result = summarise(scores)
    result["by_position"] = _by_position(model, corpus, split, tokens, scores.nats)
    rows = {name if step is None else f"{name}, blocks of {model.cfg.length}": result}
    if step is not None:
        overlapping = summarise(score_strided(model, tokens, step))
        result["strided"] = rows[f"{name}, windows every {step}"] = {"stride": step} | overlapping
    by_counts = Scores(*unigram(np.asarray(corpus.vocab.counts), targets))
    result["unigram"] = rows[f"{name}, by counts alone"] = summarise(by_counts)
    if name != GIVEN:
        result["optimum"] = _optimum(model, split, tokens, scores.nats)
    return result, rows


def evaluate(
    workdir: Path, text: str, target: Path, stride: int | None = None, tokens_file: Path | None = None
) -> None:
    """Scores the best checkpoint of a run by held-out loss. Prints a table; writes the results into the JSON file
    `target` and the loss by position into a picture beside it.

    `text` is the data source of a text to score alone, '' for the run's held-out and test texts. `stride` is the
    tokens from one window to the next, for models without a carried state; half a window by default.
    `tokens_file` gets the loss of each token of `text`, every document read by itself.

    Raises:
      UserError: no checkpoint, a masked model, another vocabulary, no text to score, an impossible stride.
    """
    changes, model = changes_of_flags(), open_model(workdir)
    encode = model.spec.encode
    if encode is not None and not encode.causal(model.cfg):
        raise UserError(
            f"--workdir={workdir}: a masked model gives a text no probability; name the run of a causal one. What this "
            "one has learnt is measured by experiments.geometry and experiments.word_sense; its held-out loss is in "
            "result.json"
        )
    step, found = _stride(model, stride), alone_of(model, text, **changes) if text else None
    corpus = corpus_of(model) if found is None else alone.corpus(found, model.tokenizer)
    results: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for split, words in TEXTS.items():
        name = split if found is None else GIVEN
        one = _of_split(model, corpus, split, name, step)
        if one is None:
            continue
        results[name] = one[0]
        rows |= one[1]
        if found is not None and tokens_file is not None:
            by_itself = _by_document(model, found, corpus, step, tokens_file)
            results[name]["by_document"] = rows["each document by itself"] = by_itself
        called = f"{words} text" if found is None else "the text"
        curves |= {f"{called}, {way}": bins for way, bins in results[name]["by_position"].items()}
    if text and not results:
        raise UserError(f"--text={text}: has no token to predict; give a longer text")
    if not results:
        missing = "has no held-out or test text with a token to predict; give one with --text=text:FILE"
        raise UserError(f"--workdir={workdir}: its data {missing}")
    print(f"{described(model)}: {workdir}\n" + (f"text: {text}\n" if text else ""))
    _show(rows, results)
    about = {"workdir": str(workdir), "step": model.step, "family": model.config.family}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, about | ({"source": text} if text else {}) | results)
    picture = target.with_suffix(".png")
    positions.draw(curves, picture, f"step {model.step}; {cli.command('experiments.evaluate')}")
    written = "" if tokens_file is None else f"\ntokens: {tokens_file}"
    print(f"\npicture: {picture}\nresults: {target}{written}")


def described(model: Model) -> str:
    """The first line of a report: the family, the step of the checkpoint, whether it is the best or the last of a
    finished run, and the size."""
    step, of = f"step {model.step:,}", model.best_of
    if of is not None:
        step += f", the {'last' if of == model.step else f'best of {of:,} by held-out loss'}"
    return f"{model.config.family}, {step}, {parameters_without_padding(model.spec, model.cfg):,} parameters"
