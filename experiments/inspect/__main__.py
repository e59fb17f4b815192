"""Looks into a trained model: its gates, memory or attention over a text, and what its layers look at and contain.

  python -m experiments.inspect --workdir=DIR [--text="..."] [--from=dog --to=won] [--layer=1,2 --heads=1,2] [--out=DIR]
  python -m experiments.inspect --workdir=DIR --layers [--windows=N] [--out=DIR]

Recurrent models: gates and memory of every unit, as a table and a picture, and what is left of the word `--from` at the
word `--to`: the product of the gates between the two (exactly what the memory's own path keeps), and the norm of the
memory's derivative by the word's vector, relative to the norm right after the word. Classifiers also give the
probability of their labels after each token.

Transformers: attention of every layer and head, as a table and a picture, the attention that `--to` pays to `--from` in
each layer, and attention rollout from one to the other. Writes inspect.json and inspect.png.

--layers reads the run's held-out text (its training text where it has none): the attention of each layer by distance
and kind of word; the accuracy of linear probes that read the next word, the current word and earlier words from each
layer; and whether these rise from band to band of layers. Writes layers.json and layers.png. Recurrent language models
have only the probes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.common import cli
from experiments.common.labels import label_of
from experiments.common.words import TEXT, UNTIL, WORD, called, encode, find_span, tell_outside, words_of_flags
from experiments.inspect import attention, layers
from w2v_jax.errors import UserError
from w2v_jax.evaluation.recurrence import influence, kept
from w2v_jax.figures import memory
from w2v_jax.figures.attention import draw_heads, draw_layers
from w2v_jax.figures.memory import Inspection, Layer, spread
from w2v_jax.nn.recurrence import trace
from w2v_jax.nn.recurrent import Cell, recurrent_weight
from w2v_jax.states import before_text, recurrence_of
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned
from w2v_jax.train.restore import Model, check_forward, open_model
from w2v_jax.types import Array, Params

GATES = ("input", "forget", "output", "reset", "update")


def inspect(model: Model, text: str, word: str, until: str) -> Inspection:
    """Runs the text through the model and follows `word` to `until`. UserError: an empty text, a missing word, a model
    without recurrence."""
    recurrence, tokenizer = recurrence_of(model), model.tokenizer
    ids = encode(tokenizer, text)
    first, last, end = find_span(tokenizer, text, "from", word)
    target = find_span(tokenizer, text, "to", until, end)[1]
    word, until = called(tokenizer, word, ids[first : last + 1]), called(tokenizer, until, ids[target : target + 1])
    x, start = recurrence.table[jnp.asarray(ids)], before_text(model, recurrence)
    name = "memory" if "c" in recurrence.cell.memory else "h"

    def inner(x: Array) -> list[dict[str, Array]]:
        return jax.tree.map(lambda values: values[0], trace(recurrence, x[None], start)[0])

    def memories(x: Array) -> list[Array]:
        return [parts[name] for parts in inner(x)]

    traced, moved = jax.jit(lambda x: (inner(x), influence(memories, x, first, last)))(x)
    looked = []
    for params, parts, size in zip(recurrence.layers, traced, moved, strict=True):
        host = {key: np.asarray(value) for key, value in parts.items()}
        own = _own_factors(recurrence.cell, params, host)
        relative = np.asarray(size, np.float64) / max(float(size[last]), 1e-30)
        relative[:last] = np.nan
        looked.append(
            Layer(
                gates={gate: host[gate] for gate in GATES if gate in host},
                memory=host[name],
                kept=None if own is None else kept(own, last),
                influence=relative,
                weights=_weights(recurrence.cell, params, list(host)),
            )
        )
    tokens = tokenizer.pieces(ids)
    return Inspection(model.cfg.cell, tokens, word, until, last, target, looked, _probabilities(model, ids))


def _own_factors(cell: Cell, params: Params, parts: dict[str, np.ndarray]) -> np.ndarray | None:
    """The factor of the memory in each step, [T, H]; None for cells that multiply it by a matrix."""
    for gate in ("forget", "update"):
        if gate in parts:
            return parts[gate]
    return np.broadcast_to(np.asarray(recurrent_weight(cell, params)), parts["h"].shape) if cell.elementwise else None


def _weights(cell: Cell, params: Params, parts: list[str]) -> dict[str, np.ndarray]:
    """Weights of an elementwise cell, [H] by name."""
    if not cell.elementwise:
        return {}
    if not cell.weighs_input:
        return {"memory": np.asarray(recurrent_weight(cell, params)[0])}
    names = ("input", "forget", "candidate", "output")
    pairs = zip(names, np.asarray(params["U"]), np.asarray(params["W"]), strict=True)
    return {f"{name}, by {what}": row for name, u, w in pairs for what, row in (("h", u), ("x", w))}


def _probabilities(model: Model, ids: np.ndarray) -> np.ndarray | None:
    """[T, C] of a classifier's labels after each token."""
    if model.spec.classify is None:
        return None
    lengths = jnp.arange(1, len(ids) + 1, dtype=jnp.int32)
    tokens = jnp.broadcast_to(jnp.asarray(ids), (len(ids), len(ids)))
    return np.asarray(model.applied.labels(model.params, model.consts, tokens, lengths))


# ---- what is printed and written ----


def table(seen: Inspection, layer: Layer) -> str:
    """A layer's means over units, token by token."""
    columns = {name: values.mean(axis=1) for name, values in layer.gates.items()}
    columns["memory"] = np.sqrt(np.mean(np.square(layer.memory), axis=1))
    if layer.kept is not None:
        columns[f"{seen.word}: kept"] = layer.kept.mean(axis=1)
    columns[f"{seen.word}: influence"] = layer.influence
    rows = [["token", *columns]]
    for t, token in enumerate(seen.tokens):
        rows.append([token, *("-" if np.isnan(v[t]) else f"{v[t]:.3f}" for v in columns.values())])
    return aligned(rows)


def left_at_target(seen: Inspection, layer: Layer) -> dict[str, Any]:
    """What is left of one word at the other: 'steps', 'influence' and, where the memory has factors, 'kept'."""
    out: dict[str, Any] = {"steps": seen.target - seen.source, "influence": float(layer.influence[seen.target])}
    if layer.kept is not None:
        out["kept"] = {name: values[0] for name, values in spread(layer.kept[seen.target][None]).items()}
    return out


def sentence(seen: Inspection, layer: Layer) -> str:
    """`left_at_target` in words."""
    at = left_at_target(seen, layer)
    line = f"left of {seen.word!r} at {seen.until!r}, {at['steps']} tokens on: influence {at['influence']:.4f}"
    if "kept" in at:
        k = at["kept"]
        line += f"; kept by the memory's own factors {k['mean']:.4f} (units: 10 % {k['0.1']:.4f}, 90 % {k['0.9']:.4f})"
    return line


def record(seen: Inspection) -> dict[str, Any]:
    """All numbers of the picture, for JSON."""
    entries = [
        {
            "gates": {gate: spread(values) for gate, values in layer.gates.items()},
            "memory": spread(layer.memory),
            "kept": None if layer.kept is None else spread(layer.kept),
            "influence": [float(v) if np.isfinite(v) else None for v in layer.influence],
            "weights": {name: values.tolist() for name, values in layer.weights.items()},
            "left": left_at_target(seen, layer),
        }
        for layer in seen.layers
    ]
    return {
        "cell": seen.cell,
        "tokens": seen.tokens,
        "from": {"word": seen.word, "token": seen.source},
        "to": {"word": seen.until, "token": seen.target},
        "layers": entries,
        "labels": list(seen.labels),
        "probability": None if seen.probability is None else seen.probability.tolist(),
    }


def main(argv: Sequence[str]) -> None:
    """Prints the tables, writes the figures, prints the picture's path last."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of a run", reads=True)
    check_flags()
    model = open_model(workdir)
    numbers, paint = of_layers(model) if f.layers else of_text(model)
    if not f.layers:
        tell_outside(model.tokenizer, f.text)
    about = {"command": cli.command("experiments.inspect"), "step": model.step, "family": model.config.family}
    stem = to_path(f.out or workdir) / ("layers" if f.layers else "inspect")
    paint = partial(paint, source=f"step {model.step}; {about['command']}")
    cli.write_results(stem.with_suffix(".json"), about | numbers, stem.with_suffix(".png"), paint)


def of_layers(model: Model) -> tuple[dict[str, Any], Callable[..., Any]]:
    """Measures and prints for --layers; (numbers for JSON, the function that draws them into a file)."""
    found = layers.measure(model, flags.FLAGS.windows)
    print(layers.text(found))
    title = f"Layers of {model.config.family}: {layers.where(found)}"
    return layers.record(found), partial(draw_layers, layers.picture(found), title)


def of_text(model: Model) -> tuple[dict[str, Any], Callable[..., Any]]:
    """The same for --text."""
    f = flags.FLAGS
    check_forward(model, "--text")
    words, about = words_of_flags(f.text, f["from"].value, f["to"].value), {"text": f.text}
    if model.spec.encode is not None and model.spec.encode.attention is not None:
        found = attention.report(model, f.text, words, (f.layer, f.heads))
        return about | attention.record(*found), partial(draw_heads, *found)
    if f.layer or f.heads:
        raise UserError("--layer, --heads: are for transformers")
    seen = inspect(model, f.text, *words)
    if seen.probability is not None:
        classes = range(seen.probability.shape[1])
        seen = dataclasses.replace(seen, labels=[label_of(model, to_path(f.workdir), i) for i in classes])
    show(seen)
    return about | record(seen), partial(memory.draw, seen)


def check_flags() -> None:
    """UserError: flags that are missing, out of range, or do not go together."""
    f = flags.FLAGS
    if not f.text.strip():
        raise UserError("--text is empty: give a sentence")
    of_text = [name for name in ("text", "from", "to", "layer", "heads") if f[name].present]
    if f.layers and of_text:
        raise UserError(f"--{of_text[0]}: is not for --layers, which reads the run's own text")
    if f["windows"].present and not f.layers:
        raise UserError("--windows: is for --layers")
    if f.windows is not None and f.windows < 2:
        raise UserError(f"--windows={f.windows}: must be 2 or more, half of them to fit probes on")


def show(seen: Inspection) -> None:
    """Prints the tables of a recurrent model."""
    for number, layer in enumerate(seen.layers, 1):
        print(f"layer {number} ({seen.cell}, {layer.memory.shape[1]} units): means over units\n{table(seen, layer)}")
        print(f"{sentence(seen, layer)}\n")
    if seen.probability is not None:
        rows = [["token", *seen.labels]]
        rows += [[token, *(f"{p:.3f}" for p in row)] for token, row in zip(seen.tokens, seen.probability, strict=True)]
        print(f"{aligned(rows)}\n")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Run folder of a language model or a recurrent classifier.")
    flags.DEFINE_string("text", TEXT, "The text that the model reads.")
    flags.DEFINE_string("from", None, f"The word to follow; {WORD!r} of the default text, else the first word.")
    flags.DEFINE_string("to", None, f"The word where it ends; {UNTIL!r} of the default text, else the last word.")
    flags.DEFINE_list("layer", None, "Transformers: layers to draw, from 1; all up to 12 by default.")
    flags.DEFINE_list("heads", None, "Transformers: heads to draw, from 1; all up to 12 by default.")
    flags.DEFINE_bool("layers", False, "Measure what each layer looks at and contains, over the run's text.")
    flags.DEFINE_integer("windows", None, "With --layers: number of windows; about 8,192 tokens by default.")
    flags.DEFINE_string("out", None, "Folder for the results; the run folder by default.")
    cli.run(main, by_first=True)
