"""What a notebook needs, in one place: configs, runs, word vectors, words in context, documents. All calls are thin.

A mistake raises `w2v_jax.errors.UserError`, whose message is one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from w2v_jax.asked import texts_of, tokens_of
from w2v_jax.config import Config, DataConfig
from w2v_jax.context import ContextEncoder
from w2v_jax.data import documents as rows
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.labelled_corpus import vocabulary_of
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.doc_vectors import Text, load_documents, train_documents
from w2v_jax.embeddings import Embeddings, load_run, save
from w2v_jax.embeddings import load as load_vectors
from w2v_jax.errors import UserError, nearest, python_errors, user_errors
from w2v_jax.evaluation import evaluate_all
from w2v_jax.files import PathLike, given_path
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.quick import train_vectors
from w2v_jax.storage import to_path
from w2v_jax.train import loop
from w2v_jax.train.folder import CONFIG
from w2v_jax.train.inference import infer
from w2v_jax.train.restore import Model, open_model

__all__ = ["ContextEncoder", "configure", "count", "documents", "evaluate", "fit", "load", "open_run", "save"]
__all__ += ["load_documents", "train_documents", "train_vectors"]


def configure(family: str, changes: Mapping[str, Any] | None = None) -> Config:
    """The config of a run: the defaults of a family with dotted keys replaced.

    `configure("word2vec", {"data.source": "text:corpus/*.txt", "model.dim": 100})`. The files in configs/ have the
    settings of larger runs.

    UserError: no such family or key, a value of another type or an impossible one.
    """
    if family not in MODELS:
        raise UserError(f"family={family!r}: must be one of {', '.join(MODELS)}{nearest(family, MODELS)}")
    return override(Config(family, MODELS[family].config()), changes or {}, MODELS)


@python_errors(whole_keys=True)
def fit(config: Config, workdir: PathLike) -> dict[str, Any]:
    """Trains, or fits, a model into a run folder, and returns its results. What is there already is continued.

    Raises:
      UserError: bad text, or a folder that holds another run or may not be written to.
      Interrupted, Diverged: see `w2v_jax.train.loop.train`.
    """
    return loop.train(config, to_path(given_path("workdir", workdir)))


@python_errors()
def open_run(workdir: PathLike) -> Model:
    """A trained model from its run folder. UserError: no finished run there, or files that are damaged or
    may not be read."""
    return open_model(to_path(given_path("workdir", workdir)))


@user_errors()
def load(
    path: PathLike,
    limit: int | None = 0,
    binary: bool | None = None,
    encoding_errors: str = "strict",
    mmap: bool = False,
    counts: PathLike | None = None,
    skip_nan: bool = False,
) -> Embeddings:
    """The word vectors of a run folder, or of a file in any format that `w2v_jax.embeddings.load` reads. The other
    arguments are those of that function; a run has its counts and its format, and takes neither `binary` nor `counts`.

    UserError: nothing there, a run without vectors, or a file that is damaged or may not be read.
    """
    folder = to_path(given_path("path", path, "the path of a run folder or a file"))
    if not (folder / CONFIG).is_file():
        return load_vectors(path, limit, binary, encoding_errors, mmap, counts, skip_nan)
    for name, value in (("binary", binary), ("counts", counts)):
        if value is not None:
            raise UserError(f"{name}={value}: {folder} is a run folder, which says it; leave it out")
    file = folder / "vectors.bin"
    if not file.is_file():
        raise UserError(f"{file}: no such file: the run has not ended, or its family has no word vectors")
    return load_run(folder, file, limit=limit, encoding_errors=encoding_errors, mmap=mmap, skip_nan=skip_nan)


@user_errors()
def evaluate(words: Embeddings, data_dir: PathLike | None = None, restrict: int = 30_000) -> dict[str, Any]:
    """Similarity, analogies and categories of a folder or a file of tests: `w2v_jax.evaluation.evaluate_all`.
    UserError: no word vectors, no test files, an impossible number."""
    if not isinstance(words, Embeddings):
        how = "Embeddings(kv.index_to_key, kv.vectors) of w2v_jax.embeddings makes them of gensim's"
        raise UserError(f"words is of type {type(words).__name__}: must be vectors as load returns them; {how}")
    if data_dir is not None:
        given_path("data_dir", data_dir, "the path of a folder or a file of tests")
    return evaluate_all(words, data_dir, restrict)


def count(texts: Iterable[Text], rules: DataConfig | None = None) -> tuple[sp.csr_matrix, tuple[str, ...]]:
    """(counts int32 [N, V], the V words) of texts, cut and counted by `rules` (default: every word counts). A
    text is a string, or a list of tokens, which are taken as they are.

    `w2v_jax.data.weighting` turns counts into shares, TF-IDF and more. UserError: no word is frequent enough.
    """
    texts, rules = _given(texts), rules or DataConfig(min_count=1)
    try:
        tokenizer = Tokenizer.of(rules, vocabulary_of(rules, texts), None)
    except UserError:
        raise UserError(f"no word of the {len(texts)} texts occurs data.min_count={rules.min_count} times") from None
    return _counted(tokenizer, texts), tokenizer.words


def documents(model: Model, texts: Iterable[Text]) -> np.ndarray:
    """Vectors of texts by a model of documents (lsa, doc2vec; lda: topic mixtures), float32 [N, D].

    A text is a string, or a list of tokens, whose phrases are joined. One without a known word gets the vector that the
    family states for it. UserError: the family has none.
    """
    texts = _given(texts)
    represent = model.spec.represent
    if model.spec.documents is not None:
        return infer(model, [model.tokenizer.encode(text) for text in texts])
    if represent is None:
        raise UserError(
            f"family={model.config.family!r}: gives documents no vectors; open a run of lsa, lda or doc2vec"
        )
    return represent(model.cfg, model.params, model.consts, _counted(model.tokenizer, texts))


def _given(texts: Iterable[Text]) -> list[str | list[str]]:
    """Strings, and lists of tokens; an iterable is read once. UserError: one string, or something else."""
    return [text if isinstance(text, str) else tokens_of(text, i) for i, text in enumerate(texts_of(texts))]


def _counted(tokenizer: Tokenizer, texts: Sequence[str | Sequence[str]]) -> sp.csr_matrix:
    ids = [tokenizer.encode(text) for text in texts]
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return rows.counts(Tokens(np.concatenate([*ids, np.zeros(0, np.int32)]), offsets), tokenizer.size)
