"""`ContextEncoder`: text in, one vector a word out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import MeshConfig, check_choice, check_least
from w2v_jax.context import static
from w2v_jax.context.base import CONTEXT, Encoded, Encoder, Text
from w2v_jax.context.cut import Cut, Cutter
from w2v_jax.context.rows import Frame, Row, Seen, batches, rows_of
from w2v_jax.errors import UserError, user_errors
from w2v_jax.files import PathLike
from w2v_jax.storage import to_path
from w2v_jax.train.applied import Applied
from w2v_jax.train.device import place as on_mesh
from w2v_jax.train.restore import Model, open_model
from w2v_jax.train.sharding import make_mesh

POOLS = ("mean", "first", "last")


@dataclasses.dataclass(frozen=True, eq=False)
class ContextEncoder(Encoder):
    """Vectors of words in context by one trained model.

    A model with states gives layer 0, the looked-up vectors, and the states after each layer; a word of several tokens
    gets their mean, or the `first` or `last` of them. A language model reads each text between end tokens, as in
    training, and of a text that is longer than its context a window around the word. A family that only has word
    vectors (skip-gram, GloVe, an SVD) gives layer 0, the vector of the word, layer 1, the mean of the vectors of the
    `window` words before and after it, and layer 2, that mean with rare words weighing more (`context.static`).

    On a device are, at a time, the parameters and one batch of about `batch` tokens: its states of all layers up to the
    last that is asked for, 4 sum_l D_l bytes a token, and the work of one layer. What was read stays on the host.
    """

    model: Model
    pool: str = "mean"  # mean | first | last, of the tokens of a word
    hide_target: bool = False  # the word itself is hidden: its vector is what the others say of it; masked models only
    backward: bool | None = None  # texts are read from their last word to the first; None: as `data.reversed` says
    window: int = 10  # words on each side that count, where the model has word vectors only
    vectors_only: bool = False  # the word vectors of a model that has states too are read, and not its states
    context: int = 0  # tokens read at a time; 0: as in training, or `CONTEXT` where there is no limit
    batch: int = 8192  # tokens of a batch
    devices: Sequence[jax.Device] | None = None  # over which the rows of a batch are split; None: one

    def __post_init__(self) -> None:
        check_choice("pool", self.pool, POOLS)
        check_least(1, "encoder", self, "window", "batch")
        check_least(0, "encoder", self, "context")
        if self.static and not self.model.spec.embed:
            raise UserError(f"family={self.model.config.family!r}: has neither states nor word vectors")
        if self.hide_target and self.frame.mask is None:
            raise UserError("hide_target: is for masked models, which know a token that hides words")
        most = None if self.static else self._encode.context(self.model.cfg)
        if most is not None and self.context > most:
            raise UserError(f"context={self.context}: the model was trained on at most {most} tokens at a time")

    @classmethod
    @user_errors()
    def open(cls, workdir: PathLike, **options: Any) -> ContextEncoder:
        """The encoder of a run folder. UserError: no finished run there, or options that do not fit it."""
        return cls(open_model(to_path(workdir)), **options)

    @property
    def static(self) -> bool:
        """Whether word vectors are read, and no states."""
        spec = self.model.spec
        own = spec.score or spec.classify or spec.compare or spec.senses  # what makes states more than means of vectors
        return self.vectors_only or spec.encode is None or not own

    @property
    def reads_backward(self) -> bool:
        """Whether the model reads texts from their last word to the first."""
        return self.model.config.data.reversed if self.backward is None else self.backward

    @property
    def _encode(self) -> Any:
        return self.model.spec.encode

    @property
    def names(self) -> tuple[str, ...]:
        """See `Encoder`."""
        if self.static:
            return static.NAMES
        return ("word vectors", *(f"layer {i + 1}" for i in range(self._encode.layers(self.model.cfg))))

    @cached_property
    def frame(self) -> Frame:
        """How the model reads a text."""
        if self.static:
            return Frame(CONTEXT, None, False)
        encode, cfg, tokenizer = self._encode, self.model.cfg, self.model.tokenizer
        end = None if encode.logits is None else tokenizer.end_id
        context = self.context or encode.context(cfg) or CONTEXT
        mask = encode.mask(cfg)
        return Frame(context, end, encode.causal(cfg), mask if self.hide_target else None, self.reads_backward)

    @cached_property
    def cutter(self) -> Cutter:
        """Words to tokens."""
        return Cutter(self.model.tokenizer)

    def cut(self, text: str) -> list[str]:
        """See `Encoder`."""
        return self.cutter.words(text)

    def told(self, seen: Seen) -> str:
        """See `Encoder`."""
        return seen.told(self.frame.context)

    def encode(
        self, texts: Sequence[Text], places: Sequence[Sequence[int]], layers: Sequence[int] | None = None
    ) -> Encoded:
        """See `Encoder`."""
        wanted = tuple(range(len(self.names)) if layers is None else map(self.layer, layers))
        cuts = [self.cutter(text) for text in texts]
        check_places(cuts, places)
        if self.static:
            return self._static(cuts, places, wanted)
        rows: list[Row] = []
        seen, number = Seen(), 0
        for cut, wanted_places in zip(cuts, places, strict=True):
            found, of_text = rows_of(cut, [(number + i, place) for i, place in enumerate(wanted_places)], self.frame)
            rows, seen, number = rows + found, seen + of_text, number + len(wanted_places)
        return Encoded(self._read(rows, number, wanted), seen)

    def _static(self, cuts: list[Cut], places: Sequence[Sequence[int]], wanted: tuple[int, ...]) -> Encoded:
        targets = [(cut, place) for cut, of_text in zip(cuts, places, strict=True) for place in of_text]
        unknown = sum(bool(cut.unknown[place]) for cut, place in targets)
        unread = sum(not len(cut.ids[place]) for cut, place in targets)
        found = static.layers(self._vectors, self.model.tokenizer.vocab.counts, targets, self.window)
        alone = int((~found[1].any(1)).sum()) if max(wanted, default=0) else 0  # layer 0 has no window
        return Encoded([found[layer] for layer in wanted], Seen(len(targets), unknown, unread, alone=alone))

    @cached_property
    def _vectors(self) -> np.ndarray:
        """The word vectors of the family, float32 [V, D]."""
        found = self.model.spec.vectors(self.model.cfg, self.model.params, self.model.consts)
        return np.asarray(next(iter(found.values())), np.float32)

    @cached_property
    def _applied(self) -> tuple[Applied, Any, Any]:
        """(the functions of the model, its parameters and constants where the rows are read)."""
        model = self.model
        if self.devices is None:
            return model.applied, model.params, model.consts
        mesh = make_mesh(MeshConfig(data=len(self.devices)), self.devices)
        params, consts = jax.tree.map(lambda x: on_mesh(mesh, x), (model.params, model.consts))
        return Applied(model.spec, model.cfg, mesh), params, consts

    @cached_property
    def _programs(self) -> dict[tuple[int, ...], tuple[Any, list[int]]]:
        """Compiled functions, and the widths of what they give, by layers. To find the widths the model is traced: in
        every call that would take as long as a thousand words of a small model."""
        return {}

    def _read(self, rows: list[Row], count: int, wanted: tuple[int, ...]) -> list[np.ndarray]:
        """Vectors of `count` targets, float32 [N, D_l] of each wanted layer; zeros for one that no row has."""
        applied, params, consts = self._applied
        if wanted not in self._programs:
            shape = jnp.zeros((1, 1), jnp.int32), jnp.ones(1, jnp.int32), jnp.zeros((1, 1, 2), jnp.int32)
            found = jax.eval_shape(self.model.applied.pooled(wanted), params, consts, *shape)
            self._programs[wanted] = applied.pooled(wanted), [x.shape[-1] for x in found]
        program, widths = self._programs[wanted]
        pooled = [_pooled_spans(row, self.pool, self.reads_backward) for row in rows]
        out = [np.zeros((count, width), np.float32) for width in widths]
        last: tuple[np.ndarray, Any] | None = None

        def keep(numbers: np.ndarray, found: Any) -> None:
            there = numbers >= 0
            for kept, layer in zip(out, found, strict=True):
                kept[numbers[there]] = np.asarray(layer)[there]

        for part in batches(pooled, self.frame.context, self.batch, len(self.devices or (None,))):
            found = program(params, consts, part.tokens, part.lengths, part.spans)
            if last is not None:
                keep(*last)  # while the devices compute the next
            last = part.numbers, found
        if last is not None:
            keep(*last)
        return out


def _pooled_spans(row: Row, pool: str, backward: bool) -> Row:
    """The tokens of each word that count; `first` and `last` are those of the text as it was given."""
    if pool == "mean":
        return row
    first = (pool == "first") != backward
    return row._replace(spans=[(n, a, a + 1) if first else (n, b - 1, b) for n, a, b in row.spans])


def check_places(cuts: Sequence[Cut], places: Sequence[Sequence[int]]) -> None:
    """UserError: not a list of places for each text, or a place outside its text."""
    if len(cuts) != len(places):
        raise UserError(f"{len(cuts)} texts and {len(places)} lists of places: give one list for each text")
    for number, (cut, of_text) in enumerate(zip(cuts, places, strict=True)):
        for place in of_text:
            if not 0 <= place < len(cut.words):
                raise UserError(f"text {number}: no word {place}: it has {len(cut.words)} words, counted from 0")
        if len(set(of_text)) < len(of_text):
            raise UserError(f"text {number}: a word is named twice: {list(of_text)}")
