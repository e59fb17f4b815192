"""Digests of what `experiments.classify` reads: results of other texts, vectors or runs must not pass for these."""

from __future__ import annotations

import hashlib
import json

from experiments.classify.texts import Texts
from w2v_jax.data.cache import key_of
from w2v_jax.storage import PathLike, sha256_of, to_path
from w2v_jax.train.folder import CHECKPOINTS, CONFIG, RESULT
from w2v_jax.train.logs import METRICS_FILE

TEXTS = "texts_sha256"  # key of the results
_OF_RUN = (CONFIG, RESULT, "tokenizer.json", METRICS_FILE)  # the last has the losses of a run that is not finished


def of_texts(texts: Texts) -> str:
    """SHA-256 of the label and text of all texts to train on, to choose the strength, and to score."""
    content = hashlib.sha256()
    train = zip(texts.held.tolist(), texts.labels.tolist(), texts.train, strict=True)
    test = zip(texts.test_labels.tolist(), texts.test, strict=True)
    for part, label, text in (*train, *(("test", label, text) for label, text in test)):
        content.update(json.dumps([part, texts.names[label], text]).encode() + b"\n")
    return content.hexdigest()


def of_file(path: PathLike) -> str:
    """SHA-256 of a file; '' where there is none, which its reader tells."""
    if not to_path(path).is_file():
        return ""
    return sha256_of(path)


def of_vectors(path: PathLike) -> str:
    """SHA-256 of a file of word vectors; of a folder, and of NAME.npy with NAME.vocab.txt, of the files."""
    where = to_path(path)
    if where.is_dir():
        files = sorted(where.iterdir())
    elif where.suffix == ".npy":
        files = [where, where.with_suffix(".vocab.txt")]
    else:
        return of_file(where)
    return key_of([(x.name, of_file(x)) for x in files])


def of_run(folder: PathLike) -> str:
    """SHA-256 of what a run folder says of its model: settings, results, tokeniser, losses, steps of checkpoints."""
    where = to_path(folder)
    steps = sorted(x.name for x in (where / CHECKPOINTS).iterdir()) if (where / CHECKPOINTS).is_dir() else []
    return key_of([steps, *(of_file(where / name) for name in _OF_RUN)])
