"""Loss of LSTMs and of a transformer on the Penn Treebank against passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures.figure import Figure, Result, evaluate, read_object, rounded, train
from w2v_jax.figures import convergence
from w2v_jax.figures.published import Published, Tolerance, beside
from w2v_jax.papers import cited, value

_RUNS = ("ptb", "ptb_regularised", "ptb_transformer")  # configs, and folders of the recipe
_TEXTS = {"source": "{ptb.train.txt}", "heldout_source": "{ptb.valid.txt}", "test_source": "{ptb.test.txt}"}
_DATA = [f"data.{key}=text:{name}" for key, name in _TEXTS.items()]


def collect(run: Path) -> dict[str, Any]:
    """The curves of each run and the perplexities of its evaluation; of a transformer with overlapping windows."""
    runs = []
    for name, curves in zip(_RUNS, convergence.read_runs([run / name for name in _RUNS]), strict=True):
        scores = read_object(run / name / "evaluation.json")
        perplexity = {k: math.exp(scores[k].get("strided", scores[k])["nats_per_token"]) for k in ("heldout", "test")}
        kept = {"label": curves.label, "validation": perplexity["heldout"], "test": perplexity["test"]}
        runs.append(kept | {"loss": rounded(curves.loss), "heldout": rounded(curves.heldout)})
    return {"runs": runs}


def measure(result: Result) -> dict[str, float]:
    """Perplexities."""
    plain, dropped, attends = result["runs"]
    return {
        "test": float(plain["test"]),
        "validation at the end": math.exp(plain["heldout"][-1][1]),
        "test with dropout": float(dropped["test"]),
        "test of the transformer": float(attends["test"]),
    }


def draw(result: Result, out: str, source: str) -> None:
    """Draws 'label', 'loss' and 'heldout', [pass, nats], of each run; all are nats per token of one text."""
    runs = []
    for r in result["runs"]:
        loss, heldout = (np.array(r[key], np.float64).reshape(-1, 2) for key in ("loss", "heldout"))
        runs.append(convergence.RunCurves(str(r["label"]), "", loss, heldout, {}))
    convergence.draw(runs, out, source)


def _near(number: str, ours: str) -> Published:
    return beside(
        "zaremba", number, ours, Tolerance("5 % above the published", highest=1.05 * value("zaremba", number))
    )


FIGURE = Figure(
    shows="loss of LSTMs and of a transformer on the Penn Treebank against passes",
    paper=cited("zaremba"),
    recipe=(
        train("configs/ptb.py", "ptb", *_DATA, "log.eval_steps=2323"),
        train("configs/ptb_regularised.py", "ptb_regularised", *_DATA, "log.eval_steps=2323"),
        train("configs/ptb_transformer.py", "ptb_transformer", *_DATA),
        *map(evaluate, _RUNS),
    ),
    data="Penn Treebank (Mikolov's preparation)",
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=(
        _near("test, 2 x 200, no dropout", "test"),
        _near("validation, 2 x 200, last pass", "validation at the end"),
        beside("zaremba", "test, with dropout", "test with dropout", differs="theirs 2 x 650, ours 2 x 200"),
    ),
)
