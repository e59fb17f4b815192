"""Loss of LSTMs and of a transformer on the Penn Treebank against passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures.figure import Figure, Result, evaluate, read_object, rounded, train
from w2v_jax.figures import convergence
from w2v_jax.figures.published import Tolerance, beside
from w2v_jax.files import PathLike
from w2v_jax.papers import ZAREMBA

_RUNS = ("ptb", "ptb_regularised", "ptb_transformer")  # configs, and folders of the recipe
_TEXTS = (
    "data.source=text:{ptb.train.txt}",
    "data.heldout_source=text:{ptb.valid.txt}",
    "data.test_source=text:{ptb.test.txt}",
)
_TEST, _VALIDATION = "test, 2 x 200, no dropout", "validation, 2 x 200, last pass"


def collect(run: Path) -> dict[str, Any]:
    """Of each run its curves and the perplexities of its evaluation; of a transformer by windows that overlap."""
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


def draw(result: Result, out: PathLike, source: str) -> None:
    """'runs': of each 'label', and 'loss' and 'heldout' as [pass, nats]; all of one kind, nats a token of one text."""

    def curve(points: Any) -> np.ndarray:
        return np.array(points, np.float64).reshape(-1, 2)

    drawn = [
        convergence.RunCurves(str(r["label"]), "", curve(r["loss"]), curve(r["heldout"]), {}) for r in result["runs"]
    ]
    convergence.draw(drawn, out, source)


def _near(name: str) -> Tolerance:
    return Tolerance("5 % above the published", highest=1.05 * ZAREMBA.value(name))


FIGURE = Figure(
    shows="loss of LSTMs and of a transformer on the Penn Treebank against passes",
    paper=ZAREMBA.cited,
    recipe=(
        train("configs/ptb.py", "ptb", *_TEXTS, "log.eval_steps=2323"),
        train("configs/ptb_regularised.py", "ptb_regularised", *_TEXTS, "log.eval_steps=2323"),
        train("configs/ptb_transformer.py", "ptb_transformer", *_TEXTS),
        *(evaluate(name) for name in _RUNS),
    ),
    data="Penn Treebank (Mikolov's preparation)",
    collect=collect,
    measure=measure,
    draw=draw,
    numbers=(
        beside(ZAREMBA, _TEST, "test", _near(_TEST)),
        beside(ZAREMBA, _VALIDATION, "validation at the end", _near(_VALIDATION)),
        beside(ZAREMBA, "test, with dropout", "test with dropout", differs="theirs 2 x 650, ours 2 x 200"),
    ),
)
