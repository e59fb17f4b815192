"""Scores a trained language model on its held-out and test texts; `experiments.evaluate` calls it for such runs."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from w2v_jax.data.bayes import optimum_of_split
from w2v_jax.data.corpus import Corpus, Tokens, build_corpus
from w2v_jax.errors import UserError
from w2v_jax.evaluation import language, optimum
from w2v_jax.export import atomic
from w2v_jax.figures import positions
from w2v_jax.train.restore import Model, open_model

CONTEXT = 256  # tokens from a fresh state, for the loss by position
LANES = 64


def corpus_of(model: Model, text: str = "") -> Corpus:
    """The run's corpus, with `text` (a data source) as its test split if given.

    Raises:
      UserError: its vocabulary is not the run's.
    """
    data = model.config.data if not text else dataclasses.replace(model.config.data, test_source=text)
    corpus = build_corpus(data, lambda line: print(line, file=sys.stderr))
    if tuple(corpus.vocab.words) != tuple(model.tokenizer.words):
        raise UserError(f"data.source={data.source}: gives another vocabulary than the run was trained with")
    return corpus


def _score(model: Model, corpus: Corpus, split: str, lanes: int, length: int | None) -> np.ndarray:
    """Losses of a split's tokens in order. With `length`, the state starts fresh at every `length` tokens."""
    spec, cfg = model.spec, model.cfg
    assert spec.score is not None
    cfg = cfg if length is None else dataclasses.replace(cfg, length=length)
    scored = jax.jit(partial(spec.score, cfg))
    start = spec.carry(cfg, lanes)

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        rows = {"row": np.arange(lanes, dtype=np.int32), "global_rows": np.float32(lanes)}
        nats, after = scored(model.params, model.consts, carry, {**batch, **rows})
        return nats, start if length else after

    source = spec.source(cfg, corpus, split, lanes, 0)
    batches = ({k: v[0] for k, v in stack.items()} for stack in source.iterate(0, source.steps_per_epoch))
    return language.score_stream(step, start, batches)


def _by_position(model: Model, corpus: Corpus, split: str, tokens: Tokens, carried: np.ndarray) -> dict[str, Any]:
    """Loss by position in the document, state carried; and by tokens since a fresh state."""
    curves: dict[str, Any] = {}
    places = language.document_places(np.asarray(tokens.offsets))[-len(carried) :]
    if places.max(initial=0) > 1:
        curves["in its document, state carried through the text"] = language.by_position(
            carried, places, int(places.max()) + 1
        )
    lanes = max(1, min(LANES, len(tokens.tokens) // CONTEXT))
    fresh = _score(model, corpus, split, lanes, CONTEXT)
    # Lanes are of equal length but for the last, and each starts a window.
    lane = -(-len(fresh) // lanes)
    since = np.arange(len(fresh)) % lane % CONTEXT
    curves[f"since a fresh state, every {CONTEXT} tokens"] = language.by_position(fresh, since, CONTEXT)
    return curves


def _optimum(model: Model, split: str, tokens: Tokens, nats: np.ndarray) -> dict[str, Any] | None:
    """The distance to the best possible loss, by kind of position; None for other texts than the synthetic language."""
    data = model.config.data
    source = {"heldout": data.heldout_source, "test": data.test_source}[split]
    if data.source != "synthetic" or source != f"synthetic:{split}":
        return None
    best, hidden = optimum_of_split(data, split, model.tokenizer.words, np.asarray(tokens.tokens))
    scored = slice(-len(nats), None)  # without an end token nothing predicts the first
    return optimum.distance_to_optimum(nats, best[scored], hidden.distance[scored])


def evaluate(workdir: Path, text: str, target: Path) -> None:
    """Prints a table; writes the figures as JSON and the loss by position as a picture beside it.

    Args:
      workdir: run folder; its best checkpoint by held-out loss is scored.
      text: data source scored as the test text, '' for the run's own `data.test_source`.
      target: JSON file.

    Raises:
      UserError: no finished checkpoint, another vocabulary, no text to score.
    """
    model = open_model(workdir)
    corpus = corpus_of(model, text)
    results: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    for split in ("heldout", "test"):
        tokens: Tokens = getattr(corpus, split)
        if tokens.documents:
            nats = _score(model, corpus, split, 1, None)
            results[split] = language.summarise(nats, tokens.words, tokens.bytes)
            curves = _by_position(model, corpus, split, tokens, nats)
            results[split]["by_position"] = curves
            if not (text and split == "test"):
                results[split]["optimum"] = _optimum(model, split, tokens, nats)
    if not results:
        raise UserError(
            f"--workdir={workdir}: its data has no held-out and no test text; give one with --text=text:FILE"
        )
    print(language.table(results))
    for name, result in results.items():
        if result.get("optimum"):
            print(f"\n{name} text: distance to the best possible loss\n{optimum.table(result['optimum'])}")
    about = {"workdir": str(workdir), "step": model.step, "family": model.config.family}
    with atomic(target) as f:
        f.write((json.dumps(about | results, indent=2, allow_nan=False) + "\n").encode())
    picture = target.with_suffix(".png")
    command = shlex.join(["python", "-m", "experiments.evaluate", *sys.argv[1:]])
    positions.draw(curves, picture, f"{split} text; step {model.step}; {command}")
    print(f"\npicture: {picture}\nresults: {target}")
