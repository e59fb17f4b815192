"""What every encoder of words in context offers, and encoders made of others."""

from __future__ import annotations

import abc
import dataclasses
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from w2v_jax.context.rows import Seen
from w2v_jax.errors import UserError
from w2v_jax.evaluation.senses import beside, mixed

Text = str | Sequence[str]
"""A list of words, or a string that the tokeniser of the run cuts."""
CONTEXT = 512  # tokens at a time of a model that reads texts of any length


class Encoded(NamedTuple):
    """Vectors of N words."""

    layers: list[np.ndarray]  # float32 [N, D_l] of every layer that was asked for
    seen: Seen


class Encoder(abc.ABC):
    """What gives words vectors by their context. `ContextEncoder`, and what `join` and `select`
    make of encoders."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """The layers, from the looked-up vectors to the last."""

    @abc.abstractmethod
    def cut(self, text: str) -> list[str]:
        """The words of a string, by the tokeniser of the run."""

    @abc.abstractmethod
    def encode(
        self, texts: Sequence[Text], places: Sequence[Sequence[int]], layers: Sequence[int] | None = None
    ) -> Encoded:
        """Vectors of the words `places[i]` (indices from 0) of each text, in this order, of `layers` (default: all).

        UserError: no such word in a text, or no such layer.
        """

    def at(self, texts: Sequence[Text], places: Sequence[int], layer: int | Sequence[float] = -1) -> np.ndarray:
        """The vector of one word of each text, float32 [N, D].

        `layer` is a number, counted from the end if negative, or the weights of all layers of a mixture (see
        `w2v_jax.evaluation.senses.mixed`). A warning tells of words that were not read in full. UserError: as `encode`.
        """
        if len(places) != len(texts):
            raise UserError(f"{len(texts)} texts and {len(places)} places: name one word of each text")
        return self._one(texts, [[int(place)] for place in places], layer)

    def words(self, texts: Sequence[Text], layer: int | Sequence[float] = -1) -> list[np.ndarray]:
        """The vectors of all words of each text, float32 [words, D]; see `at`."""
        known = [self.cut(text) if isinstance(text, str) else text for text in texts]
        found = self._one(texts, [range(len(words)) for words in known], layer)
        return np.split(found, np.cumsum([len(words) for words in known])[:-1]) if known else []

    def find(self, text: Text, word: str) -> int:
        """The index of the first place of a word. UserError: it is not in the text."""
        words = self.cut(text) if isinstance(text, str) else list(text)
        if word not in words:
            raise UserError(f"{word!r}: not a word of the text: {' '.join(words)!r}")
        return words.index(word)

    def layer(self, number: int) -> int:
        """The number of a layer from 0. UserError: there is no such layer."""
        count = len(self.names)
        if not -count <= number < count:
            raise UserError(f"layer {number}: must be from {-count} to {count - 1}")
        return number % count

    def _one(self, texts: Sequence[Text], places: Sequence[Sequence[int]], layer: int | Sequence[float]) -> np.ndarray:
        if isinstance(layer, int | np.integer):
            found = self.encode(texts, places, [int(layer)])
            out = found.layers[0]
        else:
            found = self.encode(texts, places)
            out = mixed(found.layers, layer)
        if said := self.told(found.seen):
            warnings.warn(said, stacklevel=3)
        return out

    def told(self, seen: Seen) -> str:
        """One line about words that were not read in full; empty where all were."""
        return seen.told(CONTEXT)


@dataclasses.dataclass(frozen=True, eq=False)
class _Joined(Encoder):
    parts: tuple[Encoder, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The layers of all parts, each name once."""
        return tuple(" + ".join(dict.fromkeys(names)) for names in zip(*(p.names for p in self.parts), strict=True))

    def cut(self, text: str) -> list[str]:
        """By the first of the encoders."""
        return self.parts[0].cut(text)

    def encode(
        self, texts: Sequence[Text], places: Sequence[Sequence[int]], layers: Sequence[int] | None = None
    ) -> Encoded:
        """See `Encoder`. What was read is counted once for each part."""
        known = [self.cut(text) if isinstance(text, str) else text for text in texts]
        found = [part.encode(known, places, layers) for part in self.parts]
        layers_of = zip(*(part.layers for part in found), strict=True)
        return Encoded([beside(of_layer) for of_layer in layers_of], sum((part.seen for part in found), Seen()))


@dataclasses.dataclass(frozen=True, eq=False)
class _Selected(Encoder):
    part: Encoder
    chosen: int | tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the one layer."""
        return (self.part.names[self.chosen] if isinstance(self.chosen, int) else "mixture",)

    def cut(self, text: str) -> list[str]:
        """See `Encoder`."""
        return self.part.cut(text)

    def encode(
        self, texts: Sequence[Text], places: Sequence[Sequence[int]], layers: Sequence[int] | None = None
    ) -> Encoded:
        """See `Encoder`."""
        wanted = [0] if layers is None else [self.layer(layer) for layer in layers]
        if isinstance(self.chosen, int):
            found = self.part.encode(texts, places, [self.chosen])
            return found._replace(layers=found.layers * len(wanted))
        found = self.part.encode(texts, places)
        return found._replace(layers=[mixed(found.layers, self.chosen)] * len(wanted))


def join(*encoders: Encoder) -> Encoder:
    """The vectors of several encoders side by side, layer by layer, each at unit length: a cosine of joined vectors is
    the mean of the cosines of the parts. A string is cut by the first.

    Forward and backward language models together are one: `join(forward, backward)`, of which the second was trained on
    texts from their last word to the first and is opened with `backward=True`. UserError: fewer than two encoders, or
    different numbers of layers (`select` takes one layer of each).
    """
    if len(encoders) < 2:
        raise UserError("join: needs at least two encoders")
    counts = [len(encoder.names) for encoder in encoders]
    if len(set(counts)) > 1:
        raise UserError(f"join: encoders of {', '.join(map(str, counts))} layers; take one of each by select")
    return _Joined(encoders)


def select(encoder: Encoder, layer: int | Sequence[float]) -> Encoder:
    """An encoder with one layer: that of a number, or the mixture of all by weights. UserError: no such layer, or as
    many weights as there are no layers."""
    if isinstance(layer, int | np.integer):
        return _Selected(encoder, encoder.layer(int(layer)))
    if len(layer) != len(encoder.names):
        raise UserError(f"{len(layer)} weights for the {len(encoder.names)} layers: {', '.join(encoder.names)}")
    return _Selected(encoder, tuple(map(float, layer)))
