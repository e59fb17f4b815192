"""How the texts of `experiments.generate` end, and what is printed and written of them."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.generate.writing import Written
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.tables import aligned


class Text(NamedTuple):
    """One text as it is shown."""

    text: str  # the prompt as it was read and what follows, without end tokens at either end
    size: int  # its new tokens; where it ends at a stop string, up to that which holds the last of its characters
    ended: str  # document: by its end token; stop: before `stop`; context: the context is full; tokens: --tokens
    stop: str = ""


def check_stops(tokenizer: Tokenizer, stops: Sequence[str]) -> None:
    """UserError: a stop string that is empty, or that the model cannot write."""
    if tokenizer.kind == "bpe":
        known = None  # its tokens are bytes
    else:
        known = set().union(*tokenizer.words) | ({" "} if tokenizer.kind != "characters" else set())
    for stop in stops:
        if not stop:
            raise UserError("--stop is empty: name the text before which to end, or leave it out")
        strange = [c for c in stop if known is not None and c not in known]
        if strange:
            raise UserError(f"--stop={stop!r}: the model writes no {strange[0]!r}: none of its tokens holds it")


def text_of(tokenizer: Tokenizer, prompt: np.ndarray, new: np.ndarray, stops: Sequence[str], full: str) -> Text:
    """The text of a prompt and its new tokens, up to the first of `stops` in what is new. `full` is what ended a text
    that ends with neither these nor its end token."""
    ended = tokenizer.end_id is not None and bool(len(new)) and int(new[-1]) == tokenizer.end_id
    given = prompt[0 if tokenizer.end_id is None else 1 :].tolist()
    own = new.tolist()[:-1] if ended else new.tolist()
    text, begin = tokenizer.decode([*given, *own]), len(tokenizer.decode(given))
    places = [(place, stop) for stop in stops if (place := text.find(stop, begin)) >= 0]
    if not places:
        return Text(text, len(new), "document" if ended else full)
    place, stop = min(places, key=lambda found: found[0])
    cut = text[:place]
    if tokenizer.kind not in ("characters", "bpe"):
        cut = cut.removesuffix(" ")  # which joins the words
    size = bisect.bisect_left(
        range(len(own) + 1), True, key=lambda n: tokenizer.decode([*given, *own[:n]]).startswith(cut)
    )
    return Text(cut, size, "stop", stop)


def why(text: Text) -> str:
    """The end of a text in words, for its heading."""
    return {
        "document": "the last one ends the document",
        "stop": f"up to {text.stop!r}",
        "context": "the context is full",
        "tokens": "as many as --tokens",
    }[text.ended]


def row(
    tokenizer: Tokenizer, prompt: str, text: Text, new: np.ndarray, nats: np.ndarray, seed: int, sample: int
) -> str:
    """One line of --jsonl."""
    found: dict[str, Any] = {
        "prompt": prompt,
        "text": text.text,
        "tokens": tokenizer.pieces(new[: text.size]),
        "log_probabilities": [0.0 - float(n) for n in nats[: text.size]],
        "seed": seed,
        "sample": sample,
        "ended": text.ended,
    }
    return json.dumps(found | ({"stop": text.stop} if text.stop else {}), ensure_ascii=False)


def next_tokens(tokenizer: Tokenizer, logits: np.ndarray, show: int) -> str:
    """The likeliest next tokens and their probabilities in percent; the lower id first among equal ones."""
    scores = np.exp(logits.astype(np.float64) - logits.max())
    share = 100 * scores / scores.sum()
    best = np.argsort(-share, kind="stable")[:show]
    pieces = tokenizer.pieces(best)
    return aligned([["next token", "%"], *([p, f"{s:.2f}"] for p, s in zip(pieces, share[best], strict=True))])


def _rate(tokens: int, seconds: float) -> str:
    return f"{tokens:,} tokens in {1e3 * seconds:,.1f} ms ({tokens / seconds:,.0f}/s)"


def report(tokenizer: Tokenizer, read: np.ndarray, written: Written, texts: Sequence[Text], show: int) -> str:
    """What the model read of the prompt, the next tokens, the texts and the speed."""
    parts = [f"read: {' '.join(tokenizer.pieces(read))}"]
    if show:
        parts.append(next_tokens(tokenizer, written.logits, show))
    for number, one in enumerate(texts, 1):
        noun = "token" if one.size == 1 else "tokens"
        parts.append(f"text {number} of {len(texts)}, {one.size:,} new {noun}, {why(one)}:\n{one.text}")
    count = sum(map(len, written.texts))
    speed = f"prompt {_rate(len(read), written.read_seconds)}; new {_rate(count, written.write_seconds)}"
    parts.append(f"speed: {speed}, without compilation")
    return "\n\n".join(parts)
