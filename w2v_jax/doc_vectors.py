"""Vectors of documents by doc2vec in one call: `from w2v_jax import train_documents`."""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from w2v_jax import exported
from w2v_jax.asked import texts_of, tokens_of, words_left_out
from w2v_jax.config import Config
from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError, python_errors
from w2v_jax.export import DOCUMENTS
from w2v_jax.files import PathLike, given_path, write_text
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.quick import SENTENCES, TAGGED, check_sentences, given, is_tagged, keys_of, place, source_of
from w2v_jax.storage import local_copy, open_read, to_path
from w2v_jax.train import loop
from w2v_jax.train.inference import infer
from w2v_jax.train.logs import tell
from w2v_jax.train.restore import Model, open_model

FAMILY = "doc2vec"
IDS = "documents.txt"  # in the run folder, beside documents.npy: an id a line
# What configs/doc2vec.py and configs/doc2vec_dm.py have beside the defaults; a test compares them.
RECIPE: dict[str, Any] = {
    **{"data.heldout_every": 0, "data.block_tokens": 1024, "train.passes": 20.0},
    **{"train.batch_size": 2048, "train.steps_per_call": 128},
    **{"optimizer.learning_rate": 0.15, "optimizer.initial_square": 0.1},
}
DM = {"optimizer.learning_rate": 0.3}  # what PV-DM has instead
Text = str | Sequence[str]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DocumentVectors(Embeddings):
    """Trained documents and their vectors, with all queries of `Embeddings`: `docs["id"]`, `docs.most_similar("id")`.

    `words` are the ids. A document without a word of the vocabulary has no vector, and is not among them.
    """

    model: Model | None = None
    NAME: ClassVar[str] = "document"

    def infer(self, texts: Text | Iterable[Text], passes: int = 0, seed: int = 0) -> np.ndarray:
        """The vector of a new text, float32 [D], or of several, [N, D]; see `w2v_jax.train.inference.infer`.

        A text is a string, which is cut as the training text was, or a list of tokens; a list of strings is several
        texts. Phrases are joined in both. A text without a known word gets zeros, and a warning; another counts the
        words that are left out. UserError: an impossible number, no text, a mapping, no model.
        """
        if self.model is None:
            raise UserError("these vectors have no model to infer others with: load the run folder by load_documents")
        if isinstance(texts, str):
            return np.asarray(self.infer([texts], passes, seed)[0])
        texts = texts_of(texts)
        if len(texts) > 1 and all(isinstance(text, str) and len(text.split()) == 1 for text in texts):
            what = f"{len(texts)} texts of one word each, as a list of strings is several texts"
            warnings.warn(f"{what}; the tokens of one text are given as infer([tokens])", stacklevel=2)
        given = [text if isinstance(text, str) else tokens_of(text, i) for i, text in enumerate(texts)]
        tokenizer = self.model.tokenizer
        ids, outside = map(list, zip(*map(tokenizer.encode_counted, given), strict=True)) if given else ([], [])
        if tokenizer.unknown == "drop" and (missing := sum(outside)):
            first = next(word for text in given for word in tokenizer.outside(text))
            words_left_out(missing, missing + sum(map(len, ids)), first, "that the model does not know")
        if bare := [i for i, text in enumerate(ids) if not len(text)]:
            what = f"{len(bare)} of {len(ids)} texts have no word that the model knows, and get zeros"
            warnings.warn(f"{what}: the first is texts[{bare[0]}]", stacklevel=2)
        return infer(self.model, ids, passes, seed)

    @functools.cached_property
    def word_vectors(self) -> Embeddings:
        """The vectors of the words; of PV-DBOW without `words` those by which it predicts them. UserError: the model
        has none, as PV-DBOW with hierarchical softmax."""
        model = self.model
        found = {} if model is None else model.spec.vectors(model.cfg, model.params, model.consts)
        if model is None or not found:
            raise UserError("this model has no vectors of words: train with words=True or form='dm'")
        return Embeddings(model.tokenizer.words, np.asarray(next(iter(found.values()))), model.tokenizer.vocab.counts)


@python_errors()
def train_documents(
    texts: PathLike | Mapping[str, Text] | Iterable[Text],
    workdir: PathLike | None = None,
    *,
    progress: bool = True,
    changes: Mapping[str, Any] | None = None,
    **settings: Any,
) -> DocumentVectors:
    """Trains doc2vec on documents and returns their vectors: `train_documents({"a": "some text", "b": "more"})`.

    Args:
      texts: {id: text}, or an iterable of texts, whose ids are "0", "1", ...; read once. A text is a string, which is
        cut by `data.tokens`, or a list of tokens; all are of one kind. Or a file, folder or glob (also a source such as
        `jsonl:FILE`): its documents, by `data.document`, are numbered without those that hold no known word.
      workdir: run folder to keep; what is there is continued. None: a temporary one, which is removed.
      progress: show a bar and lines about the text on standard error; without, warnings alone.
      changes: dotted keys of the config, as in `w2v_jax.configure`.
      settings: the same by their last name: `form` (dbow or dm), `words`, `dim`, `min_count`, `passes`, and so on.

    The settings are those of configs/doc2vec.py, with form="dm" those of configs/doc2vec_dm.py.

    Raises:
      UserError: no text, no word that is frequent enough, an unknown setting, a workdir that holds another run or may
        not be written to.
      Interrupted: a signal came; with a workdir the state is saved, and the same call continues. Else nothing is kept.
    """
    keys = keys_of(settings, changes, FAMILY)
    recipe = RECIPE | (DM if keys.get("model.form") == "dm" else {})
    base = override(Config(FAMILY, MODELS[FAMILY].config()), recipe, MODELS)
    override(base, keys, MODELS)  # a mistake among the keys shows before an iterable is read
    with place(workdir, progress) as (folder, own):
        keys = own | keys
        ids: list[str] | None = None
        if isinstance(texts, (str, os.PathLike)):
            if "model.documents" not in keys:
                some = override(base, {"data.source": source_of(os.fspath(texts))} | keys, MODELS)
                text = MODELS[FAMILY].text(some.model, some.data, lambda line: None)
                keys["model.documents"] = text.train.documents
        else:
            if keys.get("data.heldout_every") or keys.get("data.document", "line") != "line":
                raise UserError("every given text is a document to train on: leave out heldout_every and document")
            check_sentences(texts)
            ids = []
        with given(texts if ids is None else _told(texts, ids), folder) as source:
            sized = {} if ids is None else {"model.documents": len(ids)}
            result = loop.train(override(base, source | sized | keys, MODELS), folder)
        if ids is None:
            _tell_left_out(result["corpus"])
        else:
            known = set(_name(folder, ids))
            if gone := [key for key in ids if key not in known]:
                what = f"{len(gone):,} of {len(ids):,} documents hold no known word and have no vector"
                tell(f"warning: {what}: {gone[0]!r} is the first; data.min_count says how rare a known word may be")
        return load_documents(folder)


def _told(texts: Any, ids: list[str]) -> Iterator[Text]:
    """The texts; `ids` gets their ids."""
    for key, text in texts.items() if isinstance(texts, Mapping) else ((str(i), text) for i, text in enumerate(texts)):
        if not isinstance(key, str) or not key or len(key.splitlines()) != 1:
            raise UserError(f"id {key!r} of a document: must be a string of one line")
        if is_tagged(text):
            raise UserError(f"document {key!r}: is a {type(text).__name__}: {TAGGED}")
        ids.append(key)
        yield text


def _tell_left_out(report: Mapping[str, Any]) -> None:
    """Warns where the numbers of documents are not those of their places in the text."""
    gone = report["empty_documents"] + report["lost_documents"]
    if gone:
        what = f"{gone:,} of {report['documents'] + report['empty_documents']:,} documents hold no known word"
        tell(f"warning: {what} and have no vector; the others are numbered without them: give {{id: text}} to name all")


def _name(folder: Path, ids: Sequence[str]) -> list[str]:
    """Writes the ids of the documents that hold a known word, and returns them: the others have no row. UserError:
    others are there."""
    tokenizer = open_model(folder).tokenizer
    with open_read(folder / SENTENCES) as lines:
        texts = (line.decode("utf-8").rstrip("\n") for line in lines)
        known = [key for key, text in zip(ids, texts, strict=True) if len(tokenizer.encode(text))]
    text = "".join(f"{key}\n" for key in known)
    if (folder / IDS).is_file() and (folder / IDS).read_text(encoding="utf-8") != text:
        what = "holds other ids than the given ones for the same texts, and stays"
        raise UserError(f"{folder / IDS}: {what}; give another workdir, or remove the file")
    write_text(folder / IDS, text)
    return known


@python_errors()
def load_documents(workdir: PathLike) -> DocumentVectors:
    """The documents of a run of doc2vec, with its model. Their ids are those that `train_documents` was given, else
    their numbers. UserError: no such run, damaged files, or files that may not be read."""
    folder = to_path(given_path("workdir", workdir))
    model = open_model(folder)
    if model.spec.documents is None:
        raise UserError(f"{folder}: family={model.config.family} trains no vectors of documents; open a run of doc2vec")
    file = folder / DOCUMENTS
    if not file.is_file():
        raise UserError(f"{file}: no such file: the run has not ended; its own command continues it")
    exported.check(file)
    try:
        rows = np.load(local_copy(file), allow_pickle=False)
    except (ValueError, EOFError) as e:
        raise UserError(f"{file}: damaged ({e}); the run's training command writes it again") from None
    ids = [str(i) for i in range(len(rows))]
    if (folder / IDS).is_file():
        ids = (folder / IDS).read_text(encoding="utf-8").split("\n")[:-1]
        if len(ids) != len(rows):
            raise UserError(f"{folder / IDS}: has {len(ids)} ids for {len(rows)} documents; train the run again")
    return DocumentVectors(ids, rows, model=model)
