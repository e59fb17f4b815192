"""Continues a prompt with a trained language model, and shows the likeliest next tokens.

  python -m experiments.generate --workdir=DIR --prompt="The big dog ran" [--temperature=0.8 --top_k=40 --top_p=0.9]

Prints the likeliest next tokens under the model itself (before temperature, top_k and top_p), the texts, the size of
the cache or state, and the speed. The same seed gives the same texts, and the draws of a text do not depend on
--samples. A text begins as a document does in training: after the end token of another, where the corpus has one.
--prompts=FILE takes one prompt a line, each as if it were given alone. --known writes no <unk>. --stop=STRING, which
may be given several times, ends a text before that string. The heading of each text says what ended it.

--jsonl=FILE writes a JSON object per text, all of them at the end or none: `prompt` as given; `text` as printed, the
prompt and what follows; `tokens`, the new ones; `log_probabilities` of these under the model itself, natural logarithms
before temperature, top_k, top_p and --known; `seed`; `sample`, from 1; and `ended`: document (by its end token), stop
(before the string `stop`), tokens (as many as --tokens) or context (no room is left). Where a stop string begins within
a token, this token is the last one.

A transformer's text ends with its context (model.length). With --slide it goes on: where the context is full, the last
half of its tokens are read again from nothing. A token beyond the context is thus written from the last half to the
whole of it, never from more, and where a half begins the model has lost what was before.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments.common import cli
from experiments.common.language import described
from experiments.common.processes import by_first
from experiments.common.words import tell_outside
from experiments.generate import texts as shown
from experiments.generate import writing
from w2v_jax.config import check
from w2v_jax.errors import UserError, renamed
from w2v_jax.files import write_text
from w2v_jax.nn.sampling import Sampling
from w2v_jax.storage import to_path


def sampling_of_flags() -> Sampling:
    """The settings of the draws. UserError: impossible values, or values that contradict one another."""
    f = flags.FLAGS
    if f.greedy and f["temperature"].present and f.temperature:
        raise UserError(f"--greedy, --temperature={f.temperature}: greedy is temperature 0; give one of the two")
    try:
        sampling = Sampling(0.0 if f.greedy else f.temperature, f.top_k, f.top_p)
    except UserError as e:
        raise UserError(renamed(str(e), {name: f"--{name}" for name in ("temperature", "top_k", "top_p")})) from None
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
    target = None if f.jsonl is None else cli.writable_file("jsonl", f.jsonl, "texts.jsonl")
    model, decode = writing.open_language_model(workdir)
    shown.check_stops(model.tokenizer, f.stop)
    slide = writing.slide_of(decode, model.cfg) if f.slide else None

    def read(name: str, text: str) -> tuple[np.ndarray, int]:
        prompt = writing.read_prompt(model.tokenizer, text, name)
        return prompt, writing.room(decode, model.cfg, prompt, f.tokens, name) if slide is None else f.tokens

    prompts = writing.checked(texts, read)
    longest = max(len(prompt) + count - 1 for prompt, count in prompts)
    if slide is not None and longest <= slide.context:
        slide = None  # all fits
    capacity = longest if slide is None else slide.context
    writing.check_room(model, decode, capacity, max(count for _, count in prompts), f.samples)
    if f.known:
        sampling = dataclasses.replace(sampling, never=model.tokenizer.unknown_id)
    writer = writing.Writer(model, f.samples, sampling, f.seed, scored=target is not None)
    heading, rows = f"{described(model)}: {f.workdir}\n", []
    for number, ((prompt, count), (name, text)) in enumerate(zip(prompts, texts, strict=True), 1):
        part = prompt if slide is None else prompt[-slide.context :]
        written = writer.write(part, count, capacity, slide)
        full = "tokens" if count == f.tokens else "context"
        found = [shown.text_of(model.tokenizer, prompt, new, f.stop, full) for new in written.texts]
        heading += f"\nprompt {number} of {len(prompts)}" if len(prompts) > 1 else ""
        print(f"{heading}\n{shown.report(model.tokenizer, part, written, found, f.show)}", flush=True)
        heading = ""
        tell_outside(model.tokenizer, text)
        tell_cut(name, len(prompt), len(part), count, any(one.ended == "context" for one in found))
        every = zip(found, written.texts, written.nats, strict=True) if target is not None else ()
        for sample, (one, new, nats) in enumerate(every, 1):
            rows.append(shown.row(model.tokenizer, text, one, new, nats, f.seed, sample))
    print(decode.describe(model.cfg))
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, "\n".join(rows) + "\n")
        print(f"texts: {target}")


def tell_cut(name: str, tokens: int, read: int, count: int, full: bool) -> None:
    """Notes what the context had no room for: the first of the `tokens` of a prompt, of which it `read` the last, or
    where a text is `full`, new tokens beyond `count`."""
    if read < tokens:
        print(f"note: {name}: the first {tokens - read:,} of {tokens:,} tokens are not read", file=sys.stderr)
    if full:
        ends = f"the model's context ends after {count:,} of {flags.FLAGS.tokens:,} new tokens"
        print(f"note: {ends}; --slide goes on", file=sys.stderr)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Run folder of a language model.")
    flags.DEFINE_string("prompt", "", "Start of the text; empty for a new document.")
    flags.DEFINE_string("prompts", None, "File of prompts, one a line, instead of --prompt; - is standard input.")
    flags.DEFINE_bool("slide", False, "Transformers: where the context is full, go on from the last half of it.")
    flags.DEFINE_bool("known", False, "Write no <unk>; the table of next tokens stays the model's own.")
    flags.DEFINE_multi_string("stop", [], "End a text before this string; may be given several times.")
    flags.DEFINE_string("jsonl", None, "File to write: a JSON object per text, with the log-probability of each token.")
    flags.DEFINE_integer("tokens", 40, "New tokens at most; a document may end earlier.")
    flags.DEFINE_float("temperature", 1.0, "Below 1 likely tokens gain, above 1 unlikely ones; 0 is --greedy.")
    flags.DEFINE_bool("greedy", False, "Always take the likeliest token.")
    flags.DEFINE_integer("top_k", 0, "Draw from the k likeliest tokens; 0 is all.")
    flags.DEFINE_float("top_p", 1.0, "Draw from the fewest tokens whose probabilities add up to p.")
    flags.DEFINE_integer("seed", 0, "Seed of the draws.")
    flags.DEFINE_integer("samples", 1, "Number of texts.")
    flags.DEFINE_integer("show", 10, "Rows of the table of next tokens; 0 for no table.")
    cli.run(main)
