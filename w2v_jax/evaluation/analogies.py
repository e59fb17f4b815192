"""Analogies: a is to b as c is to ?, by 3CosAdd and 3CosMul, with the three query words excluded and not.

Agrees with gensim's `evaluate_word_analogies(restrict_vocab=R, case_insensitive=True, dummy4unknown=False)`: questions
and answers use the first R words only, questions with another word are skipped, and words that differ only in case are
one answer. "Included" scores allow a, b and c as answers, which shows the offset alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.embeddings import EPSILON, Embeddings
from w2v_jax.errors import UserError
from w2v_jax.files import PathLike
from w2v_jax.tables import read_lines, read_tsv

Question = tuple[str, str, str, str]
Sections = dict[str, list[Question]]

RULES = ("add", "mul", "add_included", "mul_included")
# Floats of one block of similarities, and of one batch of scores within it: both stay in the caches of a core.
_BLOCK_FLOATS = 1 << 22
_BATCH_FLOATS = 1 << 19


class Score(NamedTuple):
    """Questions of a section, those asked (all words known), and the number right by each rule."""

    total: int
    asked: int
    add: int
    mul: int
    add_included: int
    mul_included: int

    def shares(self) -> dict[str, float | int | None]:
        """For a results file: counts, and shares of the questions asked (None without any)."""
        share = {f"accuracy_{r}": getattr(self, r) / self.asked if self.asked else None for r in RULES}
        return {**self._asdict(), **share}


def read_questions(path: PathLike) -> Sections:
    """Sections of a file in the word2vec format: `: name` opens a section of lines `a b c d`, # a comment.

    Raises:
      UserError: missing file, a question before the first section, or a line that is not four words.
    """
    sections: Sections = {}
    current: list[Question] | None = None
    for number, line in read_lines(path, comments=True):
        if line.startswith(":"):
            current = sections.setdefault(line[1:].strip(), [])
            continue
        words = line.split()
        if current is None or len(words) != 4:
            need = "a section (': name') must come first" if current is None else "must be four words"
            raise UserError(f"{os.fspath(path)}: line {number:,}: {need}")
        current.append((words[0], words[1], words[2], words[3]))
    return sections


def read_msr(path: PathLike) -> Sections:
    """Sections of a `type<TAB>a<TAB>b<TAB>c<TAB>d` file. UserError: missing file or a malformed line."""
    sections: Sections = {}
    for _, (kind, a, b, c, d) in read_tsv(path, 5):
        sections.setdefault(kind, []).append((a, b, c, d))
    return sections


def read_bats(path: PathLike) -> Sections:
    """Sections of a `relation<TAB>word<TAB>answer` file: every ordered pair of a relation's pairs is a question."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for _, (relation, word, answer) in read_tsv(path, 3):
        pairs.setdefault(relation, []).append((word, answer))
    return {relation: questions_of(found) for relation, found in pairs.items()}


def questions_of(pairs: Sequence[tuple[str, str]]) -> list[Question]:
    """All n (n - 1) questions from n pairs of one relation."""
    return [(a, b, c, d) for i, (a, b) in enumerate(pairs) for j, (c, d) in enumerate(pairs) if i != j]


def analogies(emb: Embeddings, sections: Mapping[str, Sequence[Question]], restrict: int = 30_000) -> dict[str, Score]:
    """The score of each section of questions (a, b, c, answer), in order.

    Questions and answers use the `restrict` most frequent words, which come first in `emb`; 0 uses all.
    """
    emb = emb.head(restrict) if restrict > 0 else emb
    asked: list[tuple[int, ...]] = []
    owner: list[int] = []
    for i, questions in enumerate(sections.values()):
        for question in questions:
            rows = [emb.folded.get(word.upper()) for word in question]
            if None not in rows:
                asked.append(tuple(r for r in rows if r is not None))
                owner.append(i)
    right = _right(emb, np.array(asked, np.int64).reshape(-1, 4))
    sums = np.zeros((len(sections), 5), np.int64)
    np.add.at(sums, np.array(owner, np.int64), np.concatenate([np.ones((len(owner), 1), bool), right], axis=1))
    totals = [len(questions) for questions in sections.values()]
    return {name: Score(total, *(int(x) for x in row)) for name, total, row in zip(sections, totals, sums, strict=True)}


def add_up(scores: Sequence[Score]) -> Score:
    """The scores of several sections as one."""
    return Score(*(sum(column) for column in zip(*scores, strict=True))) if scores else Score(0, 0, 0, 0, 0, 0)


def _right(emb: Embeddings, questions: np.ndarray) -> np.ndarray:
    """Which questions [Q, 4] (rows of a, b, c, answer) are right by add, mul, add_included, mul_included: bool [Q, 4].

    Both rules use the cosines of the distinct query words with every candidate, computed once in blocks of candidates,
    so that memory does not grow with the vocabulary: cos(x, b) + cos(x, c) - cos(x, a) orders the candidates like the
    cosine with b + c - a, and 3CosMul is a product of the same cosines, shifted to [0, 1].
    """
    if not len(questions):
        return np.zeros((0, 4), bool)
    # One answer for all letter cases of a word: its most frequent row.
    kinds = np.array([emb.folded[word.upper()] for word in emb.words])
    candidates = np.flatnonzero(emb.norms > 0)
    words, places = np.unique(questions[:, :3], return_inverse=True)
    places = places.reshape(-1, 3)
    best = _Best(len(questions))
    size = max(256, _BLOCK_FLOATS // len(words))
    for start in range(0, len(candidates), size):
        rows = candidates[start : start + size]
        cosines = emb.cosines(words, rows)
        shifted = (1 + cosines) / 2
        inverse = 1 / (shifted + np.float32(EPSILON))
        step = max(1, _BATCH_FLOATS // len(rows))
        for first in range(0, len(questions), step):
            batch = slice(first, first + step)
            a, b, c = places[batch].T
            asked = questions[batch, :3]
            add = cosines[b]
            add += cosines[c]
            add -= cosines[a]
            best.update(0, batch, add, kinds[rows], asked)
            mul = shifted[b]
            mul *= shifted[c]
            mul *= inverse[a]
            best.update(1, batch, mul, kinds[rows], asked)
    return (best.kind == questions[None, :, 3]).T


class _Best:
    """The best answer so far to each question: kind int64 [4, Q], rules in the order of `_right`, and its score."""

    def __init__(self, questions: int) -> None:
        self.kind = np.full((4, questions), -1, np.int64)
        self.score = np.full((4, questions), -np.inf, np.float32)

    def update(self, rule: int, batch: slice, scores: np.ndarray, kinds: np.ndarray, asked: np.ndarray) -> None:
        """Takes scores [q, C] of candidates of these kinds [C], and overwrites the scores of excluded ones."""
        top = scores.argmax(axis=1)
        self._take(rule + 2, batch, scores, kinds, top)
        # Excluding the query words changes the answer only where one of them was best.
        hit = np.flatnonzero((kinds[top][:, None] == asked).any(axis=1))
        if len(hit):
            few = scores[hit]
            for column in range(3):
                few[kinds[None, :] == asked[hit, column, None]] = -np.inf
            top[hit] = few.argmax(axis=1)
            scores[hit] = few
        self._take(rule, batch, scores, kinds, top)

    def _take(self, rule: int, batch: slice, scores: np.ndarray, kinds: np.ndarray, top: np.ndarray) -> None:
        value = scores[np.arange(len(top)), top]
        better = value > self.score[rule, batch]
        self.score[rule, batch] = np.where(better, value, self.score[rule, batch])
        self.kind[rule, batch] = np.where(better, kinds[top], self.kind[rule, batch])
