"""Reading prompts and writing texts, for `experiments.generate`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax import memory
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.family import Decode
from w2v_jax.models import MODELS
from w2v_jax.models.generation import Slide, before, text_keys
from w2v_jax.nn.sampling import Sampling
from w2v_jax.recorded import load
from w2v_jax.train.folder import CONFIG
from w2v_jax.train.restore import Model, check_forward, open_model

NAMED = 20  # lines of refused prompts that a message names


class Written(NamedTuple):
    """The texts that a model wrote, with times that leave out compilation."""

    logits: np.ndarray  # float32 [V], of the first new token
    texts: list[np.ndarray]  # int32, the new tokens of each text, including its end token
    # float32, of each of them: -ln of its probability under the model itself; empty where not asked for
    nats: list[np.ndarray]
    read_seconds: float  # the prompt
    write_seconds: float  # all texts together


def open_language_model(workdir: Path) -> tuple[Model, Decode]:
    """`open_model`, and the functions that decode. UserError: see there, or a family that writes no text."""
    config = load(workdir / CONFIG, MODELS)
    if config is not None and MODELS[config.family].decode is None:
        able = ", ".join(name for name, other in MODELS.items() if other.decode)
        raise UserError(f"--workdir={workdir}: family={config.family!r} writes no text; name a run folder of {able}")
    model = open_model(workdir)
    check_forward(model, f"--workdir={workdir}")
    assert model.spec.decode is not None
    return model, model.spec.decode


def read_prompt(tokenizer: Tokenizer, text: str, name: str = "--prompt") -> np.ndarray:
    """Token ids as in training, int32 [T]: the end token of another document, where there is one, then the text.
    UserError, which begins with `name`: no known word, or an empty text and no end token to begin after."""
    try:
        ids = tokenizer.encode(text)
    except UserError as e:
        raise UserError(f"{name}: {e}") from None
    if text.strip() and not len(ids):
        raise UserError(f"{name}={text!r}: no word of it is in the model's vocabulary")
    if tokenizer.end_id is not None:
        return np.concatenate([[tokenizer.end_id], ids]).astype(np.int32)
    if not len(ids):
        raise UserError(f"{name} is empty: the model has no end token to begin after; give some words")
    return ids


def room(decode: Decode, cfg: Any, prompt: np.ndarray, count: int, name: str = "--prompt") -> int:
    """The number of new tokens: `count`, or fewer where the context ends. UserError: the prompt alone is too long."""
    context = decode.context(cfg)
    if context is None:
        return count
    if len(prompt) > context:
        tokens = f"{len(prompt):,} tokens with the start of the document"
        limit = f"the context of the model is {context:,} (model.length)"
        raise UserError(f"{name}: {tokens}; {limit}: give a shorter one, or --slide, which reads its end")
    return min(count, context - len(prompt) + 1)  # the last new token is not read


def checked(texts: Sequence[tuple[str, str]], read: Callable[[str, str], Any]) -> list[Any]:
    """`read` of each (name, text). UserError: that of the first text that it refuses; of several it names all."""
    found, refused = [], []
    for name, text in texts:
        try:
            found.append(read(name, text))
        except UserError as e:
            refused.append((name.rpartition(":")[2], str(e)))
    if len(refused) > 1:
        lines = ", ".join(line for line, _ in refused[:NAMED]) + (", ..." if len(refused) > NAMED else "")
        raise UserError(f"{refused[0][1]} ({len(refused):,} of {len(texts):,} prompts are refused: lines {lines})")
    if refused:
        raise UserError(refused[0][1])
    return found


def slide_of(decode: Decode, cfg: Any) -> Slide:
    """How a text goes on beyond the context: from the last half of it. UserError: the model has no end of context."""
    context = decode.context(cfg)
    if context is None:
        raise UserError("--slide: this model carries its state through any text; leave it out")
    return Slide(context, max(1, context // 2))


def _timed(fn: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    begun = time.perf_counter()
    out = jax.block_until_ready(fn(*args))
    return out, time.perf_counter() - begun


def check_room(model: Model, decode: Decode, tokens: int, count: int, samples: int) -> None:
    """UserError where the memories of all texts, or their tokens, would not fit into the machine."""
    fixed, each = decode.size(model.cfg)
    parts = {"what is kept of the texts": samples * (fixed + each * tokens), "their tokens": 8 * samples * count}
    memory.require(f"--samples={samples}" if samples > count else f"--tokens={count}", parts)


class Writer:
    """Writes `samples` texts after each prompt; a program is compiled once for all prompts of its sizes."""

    def __init__(self, model: Model, samples: int, sampling: Sampling, seed: int, scored: bool) -> None:
        """`scored`: `Written.nats` is asked for."""
        self.model, self.samples, self.sampling, self.scored = model, samples, sampling, scored
        self.weights = model.applied.weights(model.params), model.consts
        self.keys = text_keys(seed, samples)
        self.programs: dict[Any, Any] = {}

    def _compiled(self, name: tuple[Any, ...], fn: Callable[[], Any], *args: Any) -> Any:
        if name not in self.programs:
            self.programs[name] = fn().lower(*args).compile()
        return self.programs[name]

    def write(self, prompt: np.ndarray, count: int, capacity: int, slide: Slide | None = None) -> Written:
        """At most `count` new tokens a text. `capacity` tokens are kept of one: all but the last new one, or with
        `slide` its context."""
        applied, end = self.model.applied, self.model.tokenizer.end_id
        given = *self.weights, jnp.asarray(prompt)
        read = self._compiled((len(prompt), capacity), lambda: applied.prefill(self.samples, capacity), *given)
        (logits, kept), read_seconds = _timed(read, *given)
        given = *self.weights, kept, logits, self.keys, *([] if slide is None else [before(slide, prompt)])
        on = self._compiled(
            (count, capacity, slide), lambda: applied.write(self.sampling, count, end, slide, self.scored), *given
        )
        texts, write_seconds = _timed(on, *given)
        lengths = np.asarray(texts.lengths).tolist()
        tokens, nats = ([row[:n] for row, n in zip(np.asarray(a), lengths, strict=True)] for a in (texts[0], texts[2]))
        return Written(np.asarray(logits), tokens, nats, read_seconds, write_seconds)
