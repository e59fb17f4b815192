"""Word vectors from a file as the start of a model's embedding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from w2v_jax.data import bpe
from w2v_jax.data.raw import stamp_of
from w2v_jax.errors import UserError
from w2v_jax.formats import Table, read
from w2v_jax.storage import stat, to_path
from w2v_jax.types import Consts, Words


def read_vectors(path: str, errors: str = "strict") -> Table:
    """The words and vectors of a file, read-only. `errors` and UserError: see `w2v_jax.embeddings.load`.

    The process keeps the table of the last file, and reads it again only when the file has changed. Models that start
    from the same vectors therefore read them once.
    """
    where = to_path(path)
    files = sorted(where.iterdir()) if where.is_dir() else [where]
    return _read(path, errors, stamp_of([(str(f), stat(f)) for f in files if f.exists()])[0])


@lru_cache(maxsize=1)
def _read(path: str, errors: str, stamp: str) -> Table:
    table = read(path, limit=0, binary=None, encoding_errors=errors, mmap=False, counts=None)
    table.vectors.flags.writeable = False
    return table


def start_vectors(
    path: str,
    words: Sequence[str] | None,
    dim: int,
    padded: int,
    scale: float,
    errors: str = "strict",
    rescale: bool = False,
) -> np.ndarray:
    """Word vectors of a file in the order of a vocabulary, float32 [padded, dim].

    Words that are not in the file get vectors of their n-grams from a fastText model, from other files vectors uniform
    on [-scale, scale]; padding rows are 0. Without words (`Words`
    of a text that was not read) all rows are 0: the file is checked and the shape is right. With `rescale` the vectors
    of the file are multiplied by one number, so that the root of the mean square of theirs is `scale`.

    Raises:
      UserError: the file is missing or damaged, has another dimension, or shares no word with the vocabulary.
    """
    names, matrix, _, subwords = read_vectors(path, errors)
    if matrix.shape[1] != dim:
        raise UserError(f"model.vectors={path}: has {matrix.shape[1]} dimensions, model.dim={dim}")
    if words is None:
        return np.zeros((padded, dim), np.float32)
    found, shown = _places(names, words)
    if not (found >= 0).any():
        raise UserError(f"model.vectors={path}: holds none of the {len(words)} words of the vocabulary")
    out = np.random.default_rng(0).uniform(-scale, scale, (padded, dim)).astype(np.float32)
    taken = matrix[found[found >= 0]]
    size = float(np.sqrt(np.mean(np.square(taken, dtype=np.float64))))
    factor = np.float32(scale / size) if rescale and size else np.float32(1)
    out[: len(words)][found >= 0] = factor * taken
    if subwords is not None:
        for i in np.flatnonzero(found < 0).tolist():
            made = subwords.vector(shown[i])
            out[i] = out[i] if made is None else factor * made
    out[len(words) :] = 0.0
    return out


def _places(names: Sequence[str], words: Sequence[str]) -> tuple[np.ndarray, Sequence[str]]:
    """(row of a file's words for each word, -1 where it has none; the words in the form that the file has)."""
    index = {w: i for i, w in enumerate(names)}
    # Files name byte pairs in their readable form; older files hold the tokens themselves.
    forms = (words, bpe.all_shown(words))
    rows = [np.array([index.get(w, -1) for w in form]) for form in forms]
    best = int(np.argmax([(row >= 0).sum() for row in rows]))
    return rows[best], forms[best]


def count_found(path: str, words: Sequence[str], errors: str = "strict") -> int:
    """How many words of a vocabulary are words of the file. UserError: see `w2v_jax.embeddings.load`."""
    return int((_places(read_vectors(path, errors).words, words)[0] >= 0).sum())


def given_vectors(cfg: Any, words: Words, rescale: bool = False) -> Consts:
    """{'vectors': [V', D]} where the config names a file of vectors, else {}. `rescale`: see `start_vectors`."""
    if not cfg.vectors:
        return {}
    shape = (cfg.dim, cfg.padded_vocab, cfg.init_scale)
    return {"vectors": start_vectors(cfg.vectors, words.words, *shape, cfg.encoding_errors, rescale)}
