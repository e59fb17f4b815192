"""How far back recurrent cells can learn: gradients by distance, before and after training, and their use.

  python -m experiments.gradients --workdir=DIR [--source=synthetic|pydocs|text:FILE] [--cells=lstm,gru]

Trains a small language model of every cell under one config, each in DIR/CELL. The same command continues an
interrupted run and reuses a finished one. It measures on held-out text

- the norm of the derivative of the loss at step t by the state at step t - k, for k from 0 to --furthest, and 0.8^k;
- on the synthetic language, how often the model knows the class of a verb that agrees with a subject d words before;
- the forget gates of trained LSTMs, compared with the 0.948 that keeps half of a memory over 13 steps.

Prints tables; writes gradients.json and gradients.png. The synthetic language needs about a minute per cell on 2 cores.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from configs import language, synthetic
from experiments.common import cli, config_flag
from experiments.common.measuring import parameters
from w2v_jax import memory, papers
from w2v_jax.config import Config, check, check_choice
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError, renamed
from w2v_jax.figures import distance
from w2v_jax.models import MODELS
from w2v_jax.nn.recurrent import CELLS
from w2v_jax.overrides import override
from w2v_jax.states import agreement, agreement_text, forget_gates, gradient_norms
from w2v_jax.tables import aligned
from w2v_jax.train import loop
from w2v_jax.train.restore import Model, open_model

# Advice of `w2v_jax.data.counting.check` that no flag follows.
_NOT_HERE = ", set data.heldout_every=0, or name another text in data.heldout_source"
_DOTTED = re.compile(r"(?<![\w./-])[a-z]+(?:\.[a-z_]\w*)+")
GATE = papers.value("notes", "forget gate, half left after 13 steps")
BINS = 50
SHOWN = (1, 5, 10, 13, 20, 30)  # distances in the printed table


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a study, each with the help text of its flag."""

    source: str = cli.option("synthetic", "Text: synthetic, pydocs or text:GLOB.")
    # Without the bounded cell, whose gradients are those of elementwise within its bounds.
    cells: tuple[str, ...] = cli.option(tuple(c for c in CELLS if c != "elementwise_bounded"), "Cells to train.")
    tokens: int = cli.option(1_000_000, "Length of the synthetic training text.")
    hidden: int = cli.option(64, "Units of the only layer, and width of the embedding.")
    length: int = cli.option(40, "Tokens backpropagated through in training.")
    passes: float = cli.option(2.0, "Passes over the training text.")
    batch_size: int = cli.option(32, "Lanes of text trained side by side.")
    learning_rate: float = cli.option(1e-2, "Peak rate of AdamW.")
    forget_bias: float = cli.option(1.0, "Bias of the LSTMs' forget gates before training (Jozefowicz et al. 2015).")
    seed: int = cli.option(0, "Seed of the parameters.")
    furthest: int = cli.option(40, "K, the most steps back.")
    windows: int = cli.option(512, "Places of the held-out text whose gradients are averaged; verbs per distance.")

    def __post_init__(self) -> None:
        for cell in self.cells:
            check_choice("--cells", cell, tuple(CELLS))
        check(len(set(self.cells)) == len(self.cells) > 0, "--cells", ",".join(self.cells), "different cells")
        check(self.furthest >= 1, "--furthest", self.furthest, "at least 1")
        check(self.windows >= 1, "--windows", self.windows, "at least 1")


KEYS = {  # of the config -> the option that decides it
    "model.hidden": "hidden",
    "model.dim": "hidden",
    "model.length": "length",
    "model.forget_bias": "forget_bias",
    "data.source": "source",
    "data.synthetic.tokens": "tokens",
    "train.passes": "passes",
    "train.batch_size": "batch_size",
    "train.seed": "seed",
    "optimizer.learning_rate": "learning_rate",
}


def config_of(options: Options, cell: str) -> Config:
    """The config of one cell, from `configs/synthetic.py` or `configs/language.py`. UserError: impossible values."""
    base = (synthetic if options.source == "synthetic" else language).get_config()
    fixed = {"model.layers": 1, "model.tied": False, "model.dropout": 0.0, "model.cell": cell, "log.tensorboard": False}
    return override(base, fixed | {key: getattr(options, name) for key, name in KEYS.items()}, MODELS)


def in_flags(message: str) -> str:
    """A message about keys of the config as one about the flags that decide them; no flag decides the words."""
    named = renamed(message, {key: f"--{name}" for key, name in KEYS.items()})
    named = named.replace("more tokens or fewer words", "more tokens").replace(_NOT_HERE, "")
    config = synthetic.get_config()
    if left := next((name for name in _DOTTED.findall(named) if _is_key(config, name)), ""):
        named += f" ({left} is a key of a config, for which this command has no flag)"
    return named


def _is_key(config: Config, name: str) -> bool:
    """Whether a dotted name is a key of the config: a file may be called `data.txt`."""
    part: Any = config
    for field in name.split("."):
        if not dataclasses.is_dataclass(part) or not hasattr(part, field):
            return False
        part = getattr(part, field)
    return True


def untrained(model: Model) -> Model:
    """The model before its first step."""
    start = jax.jit(lambda key, consts: model.spec.trained.init(key, model.cfg, consts))
    return model._replace(params=start(jax.random.key(model.config.train.seed), model.consts), step=0)


def windows_of(tokens: np.ndarray, count: int, size: int) -> np.ndarray:
    """`count` windows of `size` tokens, evenly spread over a text; int32 [count, size]. UserError: a shorter text."""
    if len(tokens) < size:
        raise UserError(f"the held-out text has {len(tokens)} tokens; --length and --furthest need {size}; give more")
    starts = np.linspace(0, len(tokens) - size, count).astype(np.int64)
    return np.asarray(tokens)[starts[:, None] + np.arange(size)[None]].astype(np.int32)


def study(options: Options, workdir: Path) -> dict[str, dict[str, Any]]:
    """Trains and measures every cell; JSON values by cell. UserError, Interrupted, Diverged: see `loop.train`."""
    configs = {cell: config_of(options, cell) for cell in options.cells}
    size = options.length + options.furthest + 2
    memory.require(f"--windows={options.windows}", {"the windows": 12 * options.windows * size})
    held_out = build_corpus(configs[options.cells[0]].data).heldout.tokens
    windows = windows_of(held_out, options.windows, size)
    found = {}
    for cell, config in configs.items():
        print(f"{cell}: training in {workdir / cell}", file=sys.stderr, flush=True)
        result = loop.train(config, workdir / cell)
        model = open_model(workdir / cell)
        stages = {"untrained": untrained(model), "trained": model}
        norms = {when: gradient_norms(stage, windows, options.furthest) for when, stage in stages.items()}
        gates = forget_gates(model, windows)
        agreed = agreement(model, options.windows) if options.source == "synthetic" else None
        found[cell] = {
            "training": {key: result[key] for key in ("steps", "words", "loss", "best_heldout_loss", "seconds")},
            "parameters": parameters(model.params),
            "gradients": {when: {part: v.tolist() for part, v in parts.items()} for when, parts in norms.items()},
            "forget_gates": None if gates is None else gate_figures(gates),
            "agreement": None if agreed is None else {str(d): list(v) for d, v in agreed.items()},
        }
    return found


def gate_figures(gates: np.ndarray) -> dict[str, Any]:
    """Histogram, mean and quantiles of forget gates [N], and the share of at least `GATE`."""
    return {
        "histogram": (np.histogram(gates, BINS, (0.0, 1.0))[0] / gates.size).tolist(),
        "mean": float(gates.mean()),
        "quantiles": {f"{q:g}": float(np.quantile(gates, q)) for q in (0.1, 0.25, 0.5, 0.75, 0.9)},
        "needed": GATE,
        "share_at_least_needed": float(np.mean(gates >= GATE)),
    }


def limits(options: Options) -> dict[str, Any]:
    """The best possible agreement accuracy by distance, and that of guessing; empty and 0 for other texts."""
    if options.source != "synthetic":
        return {"ceiling": {}, "chance": 0.0}
    spoken, text = agreement_text(config_of(options, options.cells[0]).data)
    ceiling = spoken.agreement_accuracy_ceiling(text)
    return {"ceiling": {str(d): share for d, share in ceiling.items()}, "chance": 1.0 / spoken.grammar.classes}


# ---- what is printed and drawn ----


def tables(found: dict[str, dict[str, Any]]) -> str:
    """Relative gradients, agreement and gates as text."""
    furthest = len(next(iter(found.values()))["gradients"]["trained"]["h"]) - 1
    shown = [k for k in SHOWN if k <= furthest]
    rows = [["gradient, relative to k = 0", "", "part", *(f"k = {k}" for k in shown)]]
    for cell, entry in found.items():
        for when, parts in entry["gradients"].items():
            for part, v in parts.items():
                rows.append([cell, when, part, *(f"{v[k] / v[0]:.2g}" for k in shown)])
    rows.append([f"{distance.FADE:g}^k", "", "", *(f"{distance.FADE**k:.2g}" for k in shown)])
    blocks = [aligned(rows, left=(0, 1, 2))]
    agreed = {cell: entry["agreement"] for cell, entry in found.items() if entry["agreement"]}
    if agreed:
        steps = list(next(iter(agreed.values())))
        rows = [["agreement at distance", *steps, "held-out nats"]]
        for cell, at in agreed.items():
            held = found[cell]["training"]["best_heldout_loss"]
            rows.append([cell, *(f"{at[d][0]:.3f}" for d in steps), f"{held:.4f}"])
        blocks.append(aligned(rows))
    rows = [["forget gates", "mean", "10 %", "median", "90 %", f"at least {GATE:.3f}"]]
    for cell, entry in found.items():
        gates = entry["forget_gates"]
        if gates:
            q = gates["quantiles"]
            cells = (gates["mean"], q["0.1"], q["0.5"], q["0.9"])
            rows.append([cell, *(f"{c:.3f}" for c in cells), f"{gates['share_at_least_needed']:.1%}"])
    return "\n\n".join([*blocks, *([aligned(rows)] if len(rows) > 1 else [])])


def main(argv: Sequence[str]) -> int:
    """Trains, measures, prints, writes; returns the exit status."""
    workdir = cli.workdir("give a folder for the runs and the figures", several=True)
    options = cli.options(Options)
    config_flag.set_compile_cache("")
    command = cli.command("experiments.gradients")
    try:
        found = study(options, workdir)
    except UserError as e:
        raise UserError(in_flags(str(e))) from None
    print(tables(found))
    about: dict[str, Any] = {"command": command, "options": dataclasses.asdict(options), "fade": distance.FADE}
    about |= limits(options)
    facts = f"{options.source}, 1 layer of {options.hidden}, {options.passes:g} passes, {options.windows} windows"
    limit = {int(d): share for d, share in about["ceiling"].items()}
    paint = partial(distance.draw, distance.reaches(found), GATE, limit, about["chance"], source=f"{facts}; {command}")
    cli.write_results(workdir / "gradients.json", about | {"cells": found}, workdir / "gradients.png", paint)
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Folder of gradients.json, gradients.png and the runs, one per cell.")
    cli.define_options(Options)
    cli.run(main, continues=True, by_first=True)
