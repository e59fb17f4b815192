"""The fitted classifiers of `experiments.classify`, one file of arrays each, beside the results.

classifier_METHOD.npz has the regression, the scale of its features, and what makes the features of further texts: the
words with their counts and, by method, the numbers of the collection or the arrays of the fitted family. Vectors and
runs stay where they are: results.json has their path and SHA-256, as it has the rules of the text and all settings.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.common import predictions
from w2v_jax.config import DataConfig
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.evaluation.linear_model import Classifier, Scale
from w2v_jax.evaluation.softmax import Solution
from w2v_jax.files import atomic
from w2v_jax.storage import local_copy

FORMAT = 1  # raise it when the meaning of an array changes
_AGAIN = "features/"  # before the names of the arrays that make features


class Kept(NamedTuple):
    """What `write` wrote."""

    model: Classifier
    arrays: dict[str, np.ndarray]  # `Features.kept` of the method


def file_of(method: str) -> str:
    """The name of the file of one method."""
    return f"classifier_{predictions.plain(method)}.npz"


def write(folder: Path, method: str, model: Classifier, of_features: Mapping[str, np.ndarray], texts: str) -> None:
    """Writes the classifier of one method into the folder, which is made; `texts` is the digest of the texts."""
    scale, solution = model
    arrays = {"format": np.array(FORMAT), "texts": np.array(texts), "divisor": np.array(scale.divisor)}
    arrays |= {"classes": solution.classes, "weights": solution.weights}
    if scale.mean is not None and scale.spread is not None:
        arrays |= {"mean": scale.mean, "spread": scale.spread}
    arrays |= {_AGAIN + name: array for name, array in of_features.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / file_of(method)) as f:
        np.savez(f, allow_pickle=False, **arrays)


def read(folder: Path, method: str, texts: str) -> Kept:
    """The classifier of one method. UserError: there is none, or it is damaged or of other texts."""
    file = folder / file_of(method)
    again = "name another --method, or delete the file and give the command of the comparison again"
    try:
        with np.load(local_copy(file), allow_pickle=False) as found:
            held = {name: found[name] for name in found.files}
        form, of = int(held["format"]), str(held["texts"])
        scale = Scale(float(held["divisor"]), held.get("mean"), held.get("spread"))
        solution = Solution(held["classes"], held["weights"], 0, True)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; the command of the comparison makes it again") from None
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as e:
        raise UserError(f"{file}: damaged, or no classifier ({type(e).__name__}); {again}") from None
    if form != FORMAT:
        raise UserError(f"{file}: format {form}, where {FORMAT} is known; {again}")
    if of != texts:
        raise UserError(f"{file}: was fitted to other texts than those of results.json; {again}")
    again_of = {name.removeprefix(_AGAIN): x for name, x in held.items() if name.startswith(_AGAIN)}
    return Kept(Classifier(scale, solution), again_of)


def of_tokenizer(tokenizer: Tokenizer, words: bool) -> dict[str, np.ndarray]:
    """The arrays that `tokenizer_of` reads; without the `words` where a file of vectors has them."""
    found = {"tokenizer": np.array(tokenizer.digest)}
    if words:
        text = np.frombuffer(json.dumps(tokenizer.words).encode(), np.uint8)
        found |= {"words": text, "word_counts": tokenizer.vocab.counts}
    return found


def tokenizer_of(data: DataConfig, arrays: dict[str, np.ndarray], vocab: Vocabulary | None = None) -> Tokenizer:
    """The tokeniser that the features were made with, of the words `vocab` or those of the arrays. UserError: one from
    outside (python:, json:) has changed since."""
    if vocab is None:
        vocab = Vocabulary(tuple(json.loads(arrays["words"].tobytes())), arrays["word_counts"])
    found = Tokenizer.of(data, vocab, None)
    if found.digest != str(arrays["tokenizer"]):
        raise UserError(f"data.tokens={data.tokens}: has changed since the classifier was fitted; restore it")
    return found
