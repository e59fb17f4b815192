"""Shows what a trained recurrent model does with a text, token by token, and how long it remembers one word of it.

  python -m experiments.inspect --workdir=DIR [--text="..."] [--from=dog --to=won] [--out=DIR]

Gates and memory of every unit, drawn and as a table; and how much of the word `--from` is left at the word `--to`: the
product of the gates that the memory has passed since (exactly what its own path leaves of it), and the norm of the
memory's derivative by the word's vector, relative to right after the word. Classifiers also give the probability of
their labels after each token. Writes inspect.json and inspect.png.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import cli
from experiments.reach import stack_of, trace
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.evaluation.recurrence import influence, kept
from w2v_jax.evaluation.tables import aligned
from w2v_jax.export import atomic
from w2v_jax.figures import memory
from w2v_jax.figures.memory import Inspection, Layer, spread
from w2v_jax.models.recurrent_classifier import RecurrentClassifierConfig
from w2v_jax.nn.recurrent import Cell
from w2v_jax.train.restore import Model, open_model
from w2v_jax.types import Array, Params

TEXT = "The dog that I adopted from the pound five years ago won the pet competition"
WORD, UNTIL = "dog", "won"
GATES = ("input", "forget", "output", "reset", "update")


def find_span(tokenizer: Tokenizer, text: str, flag: str, word: str, after: int = 0) -> tuple[int, int, int]:
    """(first token, last token, end in the text) of a word's first occurrence from place `after` of the text on.

    Raises:
      UserError: the word is not there, or the tokeniser drops it.
    """
    match = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE).search(text, after)
    if match is None:
        raise UserError(f"--{flag}={word}: no such word in --text" + (" after the other" if after else ""))
    start, end = match.span()
    if tokenizer.kind == "whitespace":  # marks that touch the word are part of its token
        start = len(re.sub(r"\S+$", "", text[:start]))
        end += len(text[end:]) - len(re.sub(r"^\S+", "", text[end:]))
    # Every tokeniser cuts between words, so that a text up to there has the first tokens of the whole.
    first, stop = (len(tokenizer.encode(part)) for part in (text[:start].rstrip(), text[:end]))
    ids = tokenizer.encode(text)
    while first < stop and not tokenizer.decode(ids[first : first + 1]).strip():
        first += 1
    if first >= stop:
        raise UserError(f"--{flag}={word}: is not in the model's vocabulary")
    return first, stop - 1, end


def encode(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """Token ids, int32 [T]. UserError: nothing in the text, or nothing that the model knows."""
    if not text.strip():
        raise UserError("--text is empty: give a sentence")
    ids = tokenizer.encode(text)
    if not len(ids):
        raise UserError(f"--text={text!r}: no word of it is in the model's vocabulary")
    return ids


def inspect(model: Model, text: str, word: str, until: str) -> Inspection:
    """Runs the text through the model and follows `word` to `until`.

    Raises:
      UserError: an empty text, words that it does not have, a model without recurrence.
    """
    stack, tokenizer = stack_of(model), model.tokenizer
    ids = encode(tokenizer, text)
    first, last, end = find_span(tokenizer, text, "from", word)
    target = find_span(tokenizer, text, "to", until, end)[1]
    x = stack.table[jnp.asarray(ids)]
    name = "memory" if "c" in stack.cell.memory else "h"

    def memories(x: Array) -> list[Array]:
        return [parts[name] for parts in trace(stack, x)[0]]

    traced, moved = jax.jit(lambda x: (trace(stack, x)[0], influence(memories, x, first, last)))(x)
    layers = []
    for params, parts, size in zip(stack.layers, traced, moved, strict=True):
        host = {key: np.asarray(value) for key, value in parts.items()}
        own = _own_factors(stack.cell, params, host)
        relative = np.asarray(size, np.float64) / max(float(size[last]), 1e-30)
        relative[:last] = np.nan
        layers.append(
            Layer(
                gates={gate: host[gate] for gate in GATES if gate in host},
                memory=host[name],
                kept=None if own is None else kept(own, last),
                influence=relative,
                weights=_weights(stack.cell, params, list(host)),
            )
        )
    tokens = tokenizer.pieces(ids)
    return Inspection(model.cfg.cell, tokens, word, until, last, target, layers, _probabilities(model, ids))


def _own_factors(cell: Cell, params: Params, parts: dict[str, np.ndarray]) -> np.ndarray | None:
    """What each step multiplies the memory by, [T, H]; None where the memory is only seen through a matrix."""
    for gate in ("forget", "update"):
        if gate in parts:
            return parts[gate]
    return np.broadcast_to(np.asarray(params["U"]), parts["h"].shape) if cell.elementwise else None


def _weights(cell: Cell, params: Params, parts: list[str]) -> dict[str, np.ndarray]:
    """Weights of an elementwise cell, [H] by name."""
    if not cell.elementwise:
        return {}
    if not cell.weighs_input:
        return {"memory": np.asarray(params["U"][0])}
    names = ("input", "forget", "candidate", "output")
    pairs = zip(names, np.asarray(params["U"]), np.asarray(params["W"]), strict=True)
    return {f"{name}, by {what}": row for name, u, w in pairs for what, row in (("h", u), ("x", w))}


def _probabilities(model: Model, ids: np.ndarray) -> np.ndarray | None:
    """[T, C] of a classifier's labels after each token."""
    if not isinstance(model.cfg, RecurrentClassifierConfig):
        return None
    lengths = jnp.arange(1, len(ids) + 1, dtype=jnp.int32)
    tokens = jnp.broadcast_to(jnp.asarray(ids), (len(ids), len(ids)))
    apply = jax.jit(lambda *inputs: model.spec.apply(model.cfg, *inputs)["probabilities"])
    return np.asarray(apply(model.params, model.consts, tokens, lengths))


# ---- what is printed and written ----


def table(seen: Inspection, layer: Layer) -> str:
    """A layer's means over units, token by token."""
    left = [f"{seen.word}: kept"] if layer.kept is not None else []
    rows = [["token", *layer.gates, "memory", *left, f"{seen.word}: influence"]]
    for t, token in enumerate(seen.tokens):
        size = float(np.sqrt(np.mean(np.square(layer.memory[t]))))
        cells = [*(float(v[t].mean()) for v in layer.gates.values()), size]
        cells += [float(v.mean()) for v in (layer.kept[t],)] if layer.kept is not None else []
        rows.append([token, *("-" if np.isnan(c) else f"{c:.3f}" for c in (*cells, float(layer.influence[t])))])
    return aligned(rows)


def left_at_target(seen: Inspection, layer: Layer) -> dict[str, Any]:
    """What is left of the word at the other: 'steps', 'influence' and, where the memory has factors, 'kept'."""
    out: dict[str, Any] = {"steps": seen.target - seen.source, "influence": float(layer.influence[seen.target])}
    if layer.kept is not None:
        at = spread(layer.kept[seen.target][None])
        out["kept"] = {name: values[0] for name, values in at.items()}
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
    """Everything that is drawn, for JSON."""
    layers = [
        {
            "gates": {gate: spread(values) for gate, values in layer.gates.items()},
            "memory": spread(layer.memory),
            "kept": None if layer.kept is None else spread(layer.kept),
            "influence": [float(v) if np.isfinite(v) else None for v in layer.influence],
            "weights": {name: [float(v) for v in values] for name, values in layer.weights.items()},
            "left": left_at_target(seen, layer),
        }
        for layer in seen.layers
    ]
    probability = None if seen.probability is None else [[float(p) for p in row] for row in seen.probability]
    return {
        "cell": seen.cell,
        "tokens": seen.tokens,
        "from": {"word": seen.word, "token": seen.source},
        "to": {"word": seen.until, "token": seen.target},
        "layers": layers,
        "probability": probability,
    }


def words_of_flags(text: str, word: str | None, until: str | None) -> tuple[str, str]:
    """The two words: those given, *dog* and *won* of the default text, else the first and the last."""
    found = re.findall(r"\w+", text)
    if len(found) < 2:
        raise UserError(f"--text={text!r}: needs two words at least, one to follow and one to follow it to")
    first, last = (WORD, UNTIL) if text.lower() == TEXT.lower() else (found[0], found[-1])
    return word or first, until or last


def main(argv: Sequence[str]) -> None:
    """Prints the tables, writes the figures, prints the picture's path last."""
    f = flags.FLAGS
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; flags are written --name=value")
    if not f.workdir:
        raise UserError("--workdir is missing: give the folder of a recurrent model's run")
    if not f.text.strip():
        raise UserError("--text is empty: give a sentence")
    model = open_model(Path(f.workdir))
    seen = inspect(model, f.text, *words_of_flags(f.text, f["from"].value, f["to"].value))
    folder = Path(f.out or f.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    for number, layer in enumerate(seen.layers, 1):
        print(f"layer {number} ({seen.cell}, {layer.memory.shape[1]} units): means over units\n{table(seen, layer)}")
        print(f"{sentence(seen, layer)}\n")
    if seen.probability is not None:
        rows = [["token", *(f"label {i}" for i in range(seen.probability.shape[1]))]]
        rows += [[token, *(f"{p:.3f}" for p in row)] for token, row in zip(seen.tokens, seen.probability, strict=True)]
        print(f"{aligned(rows)}\n")
    command = shlex.join(["python", "-m", "experiments.inspect", *sys.argv[1:]])
    about = {"command": command, "step": model.step, "family": model.config.family, "text": f.text}
    with atomic(folder / "inspect.json") as out:
        out.write((json.dumps(about | record(seen), indent=1, allow_nan=False) + "\n").encode())
    memory.draw(seen, folder / "inspect.png", f"step {model.step}; {command}")
    print(f"figures: {folder / 'inspect.json'}\npicture: {folder / 'inspect.png'}")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Run folder of a recurrent language model or classifier.")
    flags.DEFINE_string("text", TEXT, "What the model reads.")
    flags.DEFINE_string("from", None, f"Word that is followed; {WORD!r} of the default text, else the first word.")
    flags.DEFINE_string("to", None, f"Word up to which; {UNTIL!r} of the default text, else the last word.")
    flags.DEFINE_string("out", None, "Folder of inspect.json and inspect.png; the run folder by default.")
    cli.run(main)
