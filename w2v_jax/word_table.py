"""Distinct words and a vector of each: looked up by name. `w2v_jax.embeddings` adds the queries."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Self

import numpy as np

from w2v_jax.errors import UserError, check_whole
from w2v_jax.formats import Subwords

# Floats of the matrix read at a time (16 MiB), so that a query of a memory-mapped file needs little memory.
_CHUNK_FLOATS = 1 << 22
# Suggestions come from the most frequent words only: difflib over millions of words takes seconds.
_SUGGEST_FROM = 50_000


class MissingWord(UserError, KeyError):
    """A word that has no vector."""

    def __str__(self) -> str:  # KeyError would quote it
        return str(self.args[0])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class WordTable:
    """V distinct words by falling frequency where it is known, vectors [V, D] and counts [V] in the training text.

    Vectors are kept as float32, without a copy if they are (they may be a memory map). With `subwords` (of a fastText
    model) queries may name any word: one that is not among the V gets the mean of its n-grams. UserError: shapes that
    do not fit together, or a word that occurs twice.
    """

    words: Sequence[str]
    vectors: np.ndarray
    counts: np.ndarray | None = None
    subwords: Subwords | None = None
    NAME: ClassVar[str] = "word"  # what the rows are, for messages

    def __post_init__(self) -> None:
        if not isinstance(self.vectors, np.ndarray) or self.vectors.dtype != np.float32:
            object.__setattr__(self, "vectors", np.asarray(self.vectors, np.float32))
        if self.vectors.ndim != 2 or self.vectors.shape[1] == 0:
            raise UserError(f"vectors of shape {self.vectors.shape}: must be [words, dimensions]")
        if len(self.words) != len(self.vectors):
            raise UserError(f"{len(self.words)} words but {len(self.vectors)} vectors: they must be of the same run")
        if self.counts is not None and len(self.counts) != len(self.words):
            raise UserError(f"{len(self.words)} words but {len(self.counts)} counts: they must be of the same run")
        if len(self.index) != len(self.words):
            twice = next(w for i, w in enumerate(self.words) if self.index[w] != i)
            raise UserError(f"word {twice!r} occurs twice: words must be distinct")

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,} {self.NAME}s, {self.dim} dimensions>"

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        return int(self.vectors.shape[1])

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Row of each word."""
        return dict(zip(self.words, range(len(self.words)), strict=True))

    @functools.cached_property
    def folded(self) -> dict[str, int]:
        """Row of the first (most frequent) word of each upper-cased form."""
        out: dict[str, int] = {}
        for i, word in enumerate(self.words):
            out.setdefault(word.upper(), i)
        return out

    @functools.cached_property
    def norms(self) -> np.ndarray:
        """Euclidean lengths, float32 [V]. UserError on a NaN or an infinity (a map shows them only now)."""
        out = np.empty(len(self), np.float32)
        for start, stop in self.chunks(len(self)):
            out[start:stop] = np.linalg.norm(self.vectors[start:stop], axis=1)
        if not np.isfinite(out).all():
            word = self.words[int(np.argmin(np.isfinite(out)))]
            raise UserError(f"vector of {word!r}: holds a NaN or an infinity; write the file again")
        return out

    def head(self, n: int) -> Self:
        """The first (most frequent) n words only; no vector is copied."""
        check_whole("head", n, 0)
        counts = None if self.counts is None else self.counts[:n]
        return dataclasses.replace(self, words=self.words[:n], vectors=self.vectors[:n], counts=counts)

    def find(self, word: str) -> int | None:
        """Row of the word as written, else in lower case, else in any case; None when it is missing. UserError: no
        string."""
        self._check_string(word)
        for form in (word, word.lower()):
            if form in self.index:
                return self.index[form]
        return self.folded.get(word.upper())

    def row(self, word: str) -> int:
        """Row of a word. UserError, which is a KeyError too, with suggestions when it is missing."""
        self._check_string(word)
        if word not in self.index:
            near = self.suggest(word)
            hint = f"; nearest in spelling: {', '.join(near)}" if near else ""
            if (other := unicodedata.normalize("NFC", word)) in self.index:
                hint = f"; {other!r} is, with composed characters (Unicode NFC)"
            what = f"is not among the {len(self):,} {self.NAME}s of these vectors{hint}"
            raise MissingWord(f"{self.NAME} {word!r} {what}")
        return self.index[word]

    def _check_string(self, word: object) -> None:
        if not isinstance(word, str):
            raise UserError(f"{self.NAME} {' '.join(repr(word).split())[:60]}: must be a string")

    def suggest(self, word: str, n: int = 5) -> list[str]:
        """Up to n frequent words spelt like `word`: other letter cases, then close matches."""
        same = [self.words[i]] if (i := self.folded.get(word.upper())) is not None else []
        pool = [w for w in self.words[:_SUGGEST_FROM] if abs(len(w) - len(word)) <= 2]
        close = difflib.get_close_matches(word.lower(), pool, n=n, cutoff=0.6)
        return list(dict.fromkeys(same + close))[:n]

    def vector(self, word: str) -> np.ndarray:
        """The vector of a word, float32 [D], which cannot be written to: it may be a row of the table. UserError with
        suggestions when it is missing and has no n-grams."""
        if self.subwords is not None and isinstance(word, str) and word not in self.index:
            made = self.subwords.vector(word)
            if made is not None:
                return made
        row = np.asarray(self.vectors[self.row(word)])
        row.flags.writeable = False  # of this view, not of the table
        return row

    def makes(self, word: str) -> bool:
        """Whether n-grams make a vector of a word."""
        return self.subwords is not None and self.subwords.vector(word) is not None

    def unit(self, rows: np.ndarray | slice) -> np.ndarray:
        """Rows scaled to length 1, float32 [n, D]; a zero vector stays zero."""
        norms = self.norms[rows]
        return np.asarray(self.vectors[rows]) / np.where(norms > 0, norms, 1)[:, None]

    def paired_cosines(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Cosine of row first[i] with row second[i], float32 [n]."""
        return np.einsum("nd,nd->n", self.unit(first), self.unit(second))

    def cosines(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Cosines of some rows with others, float32 [n, m]."""
        return self.unit(first) @ self.unit(second).T

    def chunks(self, total: int) -> Iterable[tuple[int, int]]:
        """(first, last + 1) of the pieces in which rows 0 to total - 1 are read."""
        size = max(1, _CHUNK_FLOATS // self.dim)
        return ((start, min(start + size, total)) for start in range(0, total, size))
