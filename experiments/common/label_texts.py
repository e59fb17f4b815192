"""What trained classifiers say of texts that stand on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.common.labels import label_of
from experiments.common.words import notes_on
from w2v_jax.errors import UserError
from w2v_jax.tables import aligned
from w2v_jax.train.folder import CONFIG as SAVED
from w2v_jax.train.restore import Model, open_model
from w2v_jax.types import Say

LAST_FAMILY, TRANSFORMER = "transformer_classifier", "transformer"  # and its name in tables


def chances_of(model: Model, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Probabilities of the labels, float32 [B, classes], of texts int32 [B, T] with int32 [B] words."""
    return np.asarray(model.applied.labels(model.params, model.consts, tokens, lengths))


def table(texts: Sequence[str], workdir: Path, say: Say) -> str:
    """The labels that the trained models in `workdir`, or the run that it is, give each text, as text; - for a text
    without a known word. `say` takes notes on what is not read. UserError: an empty text, no text with a known word, or
    no trained model."""
    if not all(text.strip() for text in texts):
        raise UserError("--text is empty: give a sentence, e.g. --text='The dog was cute'")
    folders = [workdir] if (workdir / SAVED).is_file() else sorted(p.parent for p in workdir.glob(f"*/{SAVED}"))
    if not folders:
        raise UserError(f"--workdir={workdir}: holds no trained classifier; train them first with --vectors, --train")
    rows: list[list[str]] = []
    notes = dict[str, None]()  # each once, as most models have one vocabulary
    for folder in folders:
        model = open_model(folder)
        if model.spec.classify is None:
            raise UserError(f"{folder}: holds a {model.config.family}; name the folder of a classifier")
        kind = TRANSFORMER if model.config.family == LAST_FAMILY else model.cfg.cell
        known = [model.tokenizer.encode(text)[: model.cfg.max_length] for text in texts]
        if not any(map(len, known)):
            raise UserError(f"--text={texts[0]!r}: none of its words is in the vocabulary of {folder}")
        for text, ids in zip(texts, known, strict=True):
            notes |= dict.fromkeys(notes_on(model.tokenizer, text, model.cfg.max_length, "text"))
            rows.append([kind, *_said(model, folder, ids), text])
    for note in notes:
        say(note)
    if any(row[1] == "-" for row in rows):
        say("note: - stands for a text without a known word, which gets no label")
    columns = 3 + (len(texts) > 1)  # one text need not be repeated
    return aligned([row[:columns] for row in [["model", "label", "confidence", "text"], *rows]], left=(0, 1, 3))


def _said(model: Model, folder: Path, ids: np.ndarray) -> tuple[str, str]:
    """The label of a text and its probability."""
    if not len(ids):
        return "-", "-"
    chances = chances_of(model, ids[None], np.array([len(ids)], np.int32))[0]
    best = int(chances.argmax())
    return label_of(model, folder, best), f"{chances[best]:.1%}"
