"""Where words occur in a text: passages around them, drawn with a seed."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.context import Encoder
from w2v_jax.data.raw import whole_documents
from w2v_jax.data.sources import raw_text
from w2v_jax.data.tfds_source import prepare_advice
from w2v_jax.errors import UserError, renamed

AROUND = 28  # most words of a passage before and after the word
_FAR = 600  # characters on each side that are cut into words
_ENDS = (".", "!", "?", "<eos>")  # tokens that end a sentence


class Occurrence(NamedTuple):
    """A word in its passage."""

    words: list[str]
    place: int

    def shown(self, around: int = 8) -> str:
        """The words beside it, the word itself in brackets."""
        before, after = self.words[max(0, self.place - around) : self.place], self.words[self.place + 1 :][:around]
        start = "… " if self.place > around else ""
        end = " …" if len(self.words) > self.place + 1 + around else ""
        return f"{start}{' '.join([*before, f'[{self.words[self.place]}]', *after])}{end}"


@dataclasses.dataclass(frozen=True)
class Found:
    """Occurrences of a word: how many there are, and those that were drawn."""

    word: str
    total: int
    drawn: list[Occurrence]


def read(data: DataConfig, text: str, words: Sequence[str], encoder: Encoder, most: int, seed: int) -> list[Found]:
    """At most `most` occurrences of each word in the documents of a data source (`text`, '' for the run's own), drawn
    with `seed`: the ones drawn do not depend on the other words. UserError: no such text."""
    try:
        source = raw_text(dataclasses.replace(data, source=text) if text else data)
    except UserError as e:
        raise UserError(renamed(str(e), prepare_advice(data) | ({"data.source": "--text"} if text else {}))) from None
    rngs = {w: np.random.default_rng([seed, *hashlib.blake2b(w.encode(), digest_size=8).digest()]) for w in words}
    patterns = {word: re.compile(rf"(?<!\w){re.escape(word.lower())}(?!\w)") for word in words}
    total, kept = dict.fromkeys(words, 0), {word: dict[int, Occurrence]() for word in words}
    for document in whole_documents(source.chunks(hashlib.blake2b())):
        lowered = document.lower()
        if len(lowered) != len(document):  # a few capitals of other scripts become two letters
            document = lowered
        for word in (word for word in words if word.lower() in lowered):
            for found in patterns[word].finditer(lowered):
                start, stop = _chunk(document, *found.span())
                middle = encoder.cut(document[start:stop])
                if word not in middle:
                    continue
                # Each slot holds every occurrence with the same probability (reservoir sampling, Vitter 1985).
                slot = total[word] if total[word] < most else int(rngs[word].integers(0, total[word] + 1))
                total[word] += 1
                if slot < most:
                    kept[word][slot] = _around(document, start, stop, middle, word, encoder)
    return [Found(word, total[word], [kept[word][i] for i in sorted(kept[word])]) for word in words]


def _chunk(document: str, start: int, stop: int) -> tuple[int, int]:
    """The run of characters without white space that holds a place."""
    before = document[max(0, start - _FAR) : start].split()
    if before and start and not document[start - 1].isspace():
        start -= len(before[-1])
    after = document[stop : stop + _FAR].split()
    if after and not document[stop].isspace():
        stop += len(after[0])
    return start, stop


def _around(document: str, start: int, stop: int, middle: list[str], word: str, encoder: Encoder) -> Occurrence:
    """The passage of a word, where only the text near it is cut into words: every tokeniser cuts at white space."""
    left = document[max(0, start - _FAR) : start]
    if start > _FAR:
        left = left.partition(" ")[2]
    right = document[stop : stop + _FAR]
    if stop + _FAR < len(document):
        right = right.rpartition(" ")[0]
    before = encoder.cut(left)
    return passage([*before, *middle, *encoder.cut(right)], len(before) + middle.index(word))


def passage(words: Sequence[str], place: int) -> Occurrence:
    """The sentence of a word with as many whole sentences around as fit into `AROUND` words on each side; of a longer
    sentence the nearest words."""
    low, high = max(0, place - AROUND), min(len(words), place + AROUND + 1)
    starts = [i + 1 for i in range(low, place) if words[i] in _ENDS]
    ends = [i + 1 for i in range(place, high) if words[i] in _ENDS]
    first = low if low == 0 or not starts else starts[0]
    last = high if high == len(words) or not ends else ends[-1]
    return Occurrence(list(words[first:last]), place - first)


def of_sentences(sentences: Sequence[str], words: Sequence[str], encoder: Encoder) -> list[tuple[str, Occurrence]]:
    """(word, where it is) for each given sentence: the first of the words that it has, each time that it has that word.
    UserError: it has none."""
    found = []
    for sentence in sentences:
        cut = encoder.cut(sentence)
        known = [(cut.index(word), word) for word in words if word in cut]
        if not known:
            raise UserError(
                f"--sentence={sentence!r}: has none of the words {', '.join(words)}; name its word by --words"
            )
        word = min(known)[1]
        found += [(word, Occurrence(cut, place)) for place, other in enumerate(cut) if other == word]
    return found
