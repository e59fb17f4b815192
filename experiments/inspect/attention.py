"""Attention of a trained transformer over one text, by layer and head, for `experiments.inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.common.words import called, encode, find_span
from w2v_jax.errors import UserError
from w2v_jax.evaluation.attention import rollout, summary, uniform
from w2v_jax.figures.attention import Looked
from w2v_jax.states import attention_of, encode_of
from w2v_jax.tables import aligned
from w2v_jax.train.restore import Model

MOST = 12  # layers and heads that are drawn by default


def look(model: Model, text: str, word: str, until: str) -> Looked:
    """Runs the text through the model, after an end token where the model has one, as its training texts begin.
    UserError: an empty text, a word that is not in it, more tokens than the model sees."""
    tokenizer, length = model.tokenizer, model.cfg.length
    ids = encode(tokenizer, text)
    first, last, end = find_span(tokenizer, text, "from", word)
    target = find_span(tokenizer, text, "to", until, end)[1]
    word, until = called(tokenizer, word, ids[first : last + 1]), called(tokenizer, until, ids[target : target + 1])
    before = [] if tokenizer.end_id is None else [tokenizer.end_id]
    ids = np.concatenate([np.array(before, np.int32), ids])
    if len(ids) > length:
        count = f"{len(ids)} tokens{' with the end token before it' if before else ''}"
        raise UserError(f"--text: is {count}, but the model sees model.length={length}; give a shorter one")
    if len(ids) < 2:
        raise UserError(f"--text={text!r}: is one token of the model; give two at least")
    source, target = (first + len(before), last + len(before)), target + len(before)
    causal = encode_of(model).causal(model.cfg)
    return Looked(tokenizer.pieces(ids), word, until, source, target, causal, attention_of(model, ids))


def columns(causal: bool) -> dict[str, str]:
    """The headings of the printed measures, by name. Masked models look ahead too."""
    after = {} if causal else {"after": "on the next"}
    names = {"distance": "distance back" if causal else "distance", "self": "on itself", "before": "on the one before"}
    return names | after | {"first": "on the first", "entropy": "entropy"}


def table(seen: Looked, layer: int) -> str:
    """The heads of a layer, means over all tokens but the first; and attention without preference."""
    measures, names = summary(seen.weights[layer]), columns(seen.causal)
    free = summary(uniform(len(seen.tokens), seen.causal))
    rows = [["head", *names.values()]]
    rows += [[str(n + 1), *(f"{measures[m][n]:.3f}" for m in names)] for n in range(seen.weights.shape[1])]
    return aligned([*rows, ["uniform", *(f"{float(free[m]):.3f}" for m in names)]])


def paid(seen: Looked) -> list[dict[str, Any]]:
    """The attention that the last token of `until` pays to `word` in each layer.

    Returns:
      By layer 'heads' [N], their 'mean', the 'most' and its 'head' (from 1), 'uniform', and 'rollout', the share
      through this and all layers below, with 'rollout_uniform' for layers that are all uniform.
    """
    first, last = seen.source
    flat = uniform(len(seen.tokens), seen.causal)

    def taken(weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights[..., seen.target, first : last + 1].sum(-1, dtype=np.float64))

    heads, free = taken(seen.weights), float(taken(flat))
    rolled = taken(rollout(seen.weights.mean(axis=1)))
    rolled_free = taken(rollout(np.broadcast_to(flat, (len(heads), *flat.shape))))
    return [
        {
            "heads": [float(h) for h in row],
            "mean": float(row.mean()),
            "most": float(row.max()),
            "head": int(row.argmax()) + 1,
            "uniform": free,
            "rollout": float(rolled[i]),
            "rollout_uniform": float(rolled_free[i]),
        }
        for i, row in enumerate(heads)
    ]


def sentence(seen: Looked, at: dict[str, Any]) -> str:
    """An entry of `paid` in words."""
    return (
        f"attention of {seen.until!r} to {seen.word!r}, {seen.target - seen.source[1]} tokens back: mean of heads "
        f"{at['mean']:.4f}, most {at['most']:.4f} (head {at['head']}), uniform {at['uniform']:.4f}; rollout up to here "
        f"{at['rollout']:.4f} (of uniform layers {at['rollout_uniform']:.4f})"
    )


def chosen(flag: str, wanted: Sequence[str] | None, count: int) -> list[int]:
    """Layers or heads to draw, from 0: those of the flag, else all, or `MOST` spread evenly over them. UserError: a
    value that is no number from 1 to `count`."""
    if not wanted:
        return sorted({int(i) for i in np.linspace(0, count - 1, min(count, MOST)).round()})
    for name in wanted:
        if not name.isdecimal() or not 1 <= int(name) <= count:
            raise UserError(f"--{flag}={name}: must be numbers from 1 to {count}, with commas between them")
    return [int(name) - 1 for name in wanted]


def record(seen: Looked, layers: Sequence[int], heads: Sequence[int]) -> dict[str, Any]:
    """Measures of all heads, and the weights of the picture, for JSON."""
    said = paid(seen)
    free = summary(uniform(len(seen.tokens), seen.causal))
    drawn = [(i, n, seen.weights[i, n].tolist()) for i in layers for n in heads]
    return {
        "tokens": seen.tokens,
        "from": {"word": seen.word, "tokens": list(seen.source)},
        "to": {"word": seen.until, "token": seen.target},
        "uniform": {name: float(value) for name, value in free.items()},
        "layers": [
            {"heads": {name: values.tolist() for name, values in summary(weights).items()}, "paid": said[i]}
            for i, weights in enumerate(seen.weights)
        ],
        "attention": [
            {"layer": i + 1, "head": n + 1, "weights": [[round(w, 5) for w in row] for row in weights]}
            for i, n, weights in drawn
        ],
    }


def report(
    model: Model, text: str, words: tuple[str, str], drawn: tuple[Sequence[str] | None, Sequence[str] | None]
) -> tuple[Looked, list[int], list[int]]:
    """Prints the tables; returns the attention and the layers and heads to draw. UserError: as `look` and `chosen`."""
    cfg = model.cfg
    layers, heads = chosen("layer", drawn[0], cfg.layers), chosen("heads", drawn[1], cfg.heads)
    seen = look(model, text, *words)
    print(f"tokens: {' '.join(seen.tokens)}\n")
    for i, at in enumerate(paid(seen)):
        print(f"layer {i + 1} ({cfg.heads} heads): means over tokens\n{table(seen, i)}\n{sentence(seen, at)}\n")
    return seen, layers, heads
