"""Continues a prompt with a trained language model, and shows the likeliest next tokens.

  python -m experiments.generate --workdir=DIR --prompt="The big dog ran" [--temperature=0.8 --top_k=40 --top_p=0.9]

Prints the likeliest next tokens under the model itself (before temperature, top_k and top_p), the texts, the size of
the cache or state, and the speed. The same seed gives the same texts, and the draws of a text do not depend on
--samples. A text begins as a document does in training: after the end token of another, where the corpus has one.
--prompts=FILE takes one prompt a line, each as if it were given alone. --known writes no <unk>.

A transformer's text ends with its context (model.length). With --slide it goes on: where the context is full, the last
half of its tokens are read again from nothing. A token beyond the context is thus written from the last half to the
whole of it, never from more, and where a half begins the model has lost what was before.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.common import cli
from experiments.common.language import described
from experiments.common.processes import by_first
from experiments.common.words import tell_outside
from w2v_jax import memory
from w2v_jax.config import check
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.family import Decode
from w2v_jax.models import MODELS
from w2v_jax.models.generation import Slide, before, text_keys
from w2v_jax.nn.sampling import Sampling
from w2v_jax.recorded import load
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned
from w2v_jax.train.folder import CONFIG
from w2v_jax.train.restore import Model, check_forward, open_model


class Written(NamedTuple):
    """The texts that a model wrote, with times that leave out compilation."""

    logits: np.ndarray  # float32 [V], of the first new token
    texts: list[np.ndarray]  # int32, the new tokens of each text, including its end token
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
    parts = {"what is kept of the texts": samples * (fixed + each * tokens), "their tokens": 4 * samples * count}
    memory.require(f"--samples={samples}" if samples > count else f"--tokens={count}", parts)


class Writer:
    """Writes `samples` texts after each prompt; a program is compiled once for all prompts of its sizes."""

    def __init__(self, model: Model, samples: int, sampling: Sampling, seed: int) -> None:
        self.model, self.samples, self.sampling = model, samples, sampling
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
        on = self._compiled((count, capacity, slide), lambda: applied.write(self.sampling, count, end, slide), *given)
        texts, write_seconds = _timed(on, *given)
        tokens, lengths = np.asarray(texts.tokens), np.asarray(texts.lengths)
        cut = [row[:length] for row, length in zip(tokens, lengths, strict=True)]
        return Written(np.asarray(logits), cut, read_seconds, write_seconds)


# ---- what is printed ----


def next_tokens(tokenizer: Tokenizer, logits: np.ndarray, show: int) -> str:
    """The likeliest next tokens and their probabilities in percent; the lower id first among equal ones."""
    scores = np.exp(logits.astype(np.float64) - logits.max())
    share = 100 * scores / scores.sum()
    best = np.argsort(-share, kind="stable")[:show]
    pieces = tokenizer.pieces(best)
    return aligned([["next token", "%"], *([p, f"{s:.2f}"] for p, s in zip(pieces, share[best], strict=True))])


def text_of(tokenizer: Tokenizer, prompt: np.ndarray, new: np.ndarray) -> tuple[str, bool]:
    """(the prompt and its continuation, without end tokens at either end; whether the document has ended)."""
    ended = tokenizer.end_id is not None and bool(len(new)) and int(new[-1]) == tokenizer.end_id
    begin = 0 if tokenizer.end_id is None else 1
    return tokenizer.decode([*prompt[begin:], *(new[:-1] if ended else new)]), ended


def _rate(tokens: int, seconds: float) -> str:
    return f"{tokens:,} tokens in {1e3 * seconds:,.1f} ms ({tokens / seconds:,.0f}/s)"


def report(tokenizer: Tokenizer, prompt: np.ndarray, read: np.ndarray, written: Written, show: int) -> str:
    """What the model read of the prompt, the next tokens, the texts and the speed."""
    parts = [f"read: {' '.join(tokenizer.pieces(read))}"]
    if show:
        parts.append(next_tokens(tokenizer, written.logits, show))
    for number, new in enumerate(written.texts, 1):
        text, ended = text_of(tokenizer, prompt, new)
        noun = "token" if len(new) == 1 else "tokens"
        how = ", the last one ends the document" if ended else ""
        parts.append(f"text {number} of {len(written.texts)}, {len(new):,} new {noun}{how}:\n{text}")
    count = sum(map(len, written.texts))
    speed = f"prompt {_rate(len(read), written.read_seconds)}; new {_rate(count, written.write_seconds)}"
    parts.append(f"speed: {speed}, without compilation")
    return "\n\n".join(parts)


# ---- the command ----


def sampling_of_flags() -> Sampling:
    """The settings of the draws. UserError: impossible values, or values that contradict one another."""
    f = flags.FLAGS
    if f.greedy and f["temperature"].present and f.temperature:
        raise UserError(f"--greedy, --temperature={f.temperature}: greedy is temperature 0; give one of the two")
    sampling = Sampling(0.0 if f.greedy else f.temperature, f.top_k, f.top_p)
    for name, value, least in (("tokens", f.tokens, 1), ("samples", f.samples, 1), ("show", f.show, 0)):
        check(value >= least, f"--{name}", value, f"at least {least}")
    check(0 <= f.seed < 1 << 32, "--seed", f.seed, "0 or more and below 2**32")
    if sampling.greedy and f.samples > 1:
        raise UserError(f"--samples={f.samples}: greedy texts are all the same; leave it out or raise --temperature")
    return sampling


def prompts_of_flags() -> list[tuple[str, str]]:
    """(what messages call it, the text) of every prompt. UserError: both flags, no line, or a file that is no UTF-8."""
    f = flags.FLAGS
    if f.prompts is None:
        return [("--prompt", f.prompt)]
    if f["prompt"].present:
        raise UserError("--prompt, --prompts: give one of the two")
    name = "--prompts=-" if f.prompts == "-" else f.prompts
    try:
        data = sys.stdin.buffer.read() if f.prompts == "-" else to_path(f.prompts).read_bytes()
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as e:
        raise UserError(f"{name}: not UTF-8 at byte {e.start}; convert it to UTF-8 first") from None
    found = [(f"{name}:{number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise UserError(f"{name}: holds no prompt; write one a line")
    return found


def main(argv: Sequence[str]) -> None:
    """Prints the model's line, and `report`; of several processes the first does."""
    by_first(write)


def write() -> None:
    """The command's work, in one process."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of a language model's run", reads=True)
    sampling, texts = sampling_of_flags(), prompts_of_flags()
    model, decode = open_language_model(workdir)
    slide = slide_of(decode, model.cfg) if f.slide else None
    prompts = [read_prompt(model.tokenizer, text, name) for name, text in texts]
    counts = [f.tokens] * len(prompts)
    if slide is None:
        counts = [room(decode, model.cfg, p, f.tokens, name) for p, (name, _) in zip(prompts, texts, strict=True)]
    longest = max(len(p) + count - 1 for p, count in zip(prompts, counts, strict=True))
    if slide is not None and longest <= slide.context:
        slide = None  # all fits
    capacity = longest if slide is None else slide.context
    check_room(model, decode, capacity, max(counts), f.samples)
    if f.known:
        sampling = dataclasses.replace(sampling, never=model.tokenizer.unknown_id)
    writer = Writer(model, f.samples, sampling, f.seed)
    heading = f"{described(model)}: {f.workdir}\n"
    for number, (prompt, count, (_, text)) in enumerate(zip(prompts, counts, texts, strict=True), 1):
        read = prompt if slide is None else prompt[-slide.context :]
        written = writer.write(read, count, capacity, slide)
        heading += f"\nprompt {number} of {len(prompts)}" if len(prompts) > 1 else ""
        print(f"{heading}\n{report(model.tokenizer, prompt, read, written, f.show)}", flush=True)
        heading = ""
        tell_outside(model.tokenizer, text)
        if count < f.tokens and any(len(new) == count for new in written.texts):
            ends = f"the model's context ends after {count:,} of {f.tokens:,} new tokens"
            print(f"note: {ends}; --slide goes on", file=sys.stderr)
    print(decode.describe(model.cfg))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Run folder of a language model.")
    flags.DEFINE_string("prompt", "", "Start of the text; empty for a new document.")
    flags.DEFINE_string("prompts", None, "File of prompts, one a line, instead of --prompt; - is standard input.")
    flags.DEFINE_bool("slide", False, "Transformers: where the context is full, go on from the last half of it.")
    flags.DEFINE_bool("known", False, "Write no <unk>; the table of next tokens stays the model's own.")
    flags.DEFINE_integer("tokens", 40, "New tokens at most; a document may end earlier.")
    flags.DEFINE_float("temperature", 1.0, "Below 1 likely tokens gain, above 1 unlikely ones; 0 is --greedy.")
    flags.DEFINE_bool("greedy", False, "Always take the likeliest token.")
    flags.DEFINE_integer("top_k", 0, "Draw from the k likeliest tokens; 0 is all.")
    flags.DEFINE_float("top_p", 1.0, "Draw from the fewest tokens whose probabilities add up to p.")
    flags.DEFINE_integer("seed", 0, "Seed of the draws.")
    flags.DEFINE_integer("samples", 1, "Number of texts.")
    flags.DEFINE_integer("show", 10, "Rows of the table of next tokens; 0 for no table.")
    cli.run(main)
