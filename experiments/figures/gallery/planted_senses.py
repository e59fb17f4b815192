"""Senses planted in the synthetic language, found without labels: by family, size and layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Step, read_object, train
from w2v_jax.figures import planted

_LANGUAGE = (
    *("data.source=synthetic", "data.heldout_source=synthetic:heldout", "data.test_source=synthetic:test"),
    *("data.tokens=whitespace", "data.lowercase=False", "data.min_count=1", "data.max_vocab=0", "data.unknown=error"),
    *("data.end_token=<eos>", "data.synthetic.words=300", "data.synthetic.topics=6", "data.synthetic.senses=30"),
    *("data.synthetic.distances=1,2,4,8", "data.synthetic.tokens=300000", "data.synthetic.heldout_tokens=20000"),
    *("data.synthetic.test_tokens=60000", "log.tensorboard=False"),
)
_VECTORS = ("model.dim=32", "model.segment=64", "train.batch_size=1024")
_SEVERAL = ("model.senses=3", "model.window_draw=full", "model.sample=0", "train.passes=8")
_WINDOWS = ("train.passes=4", "train.batch_size=16", "optimizer.learning_rate=0.004", "model.length=64")
_SIZES = (8, 32)


def _lstm(size: int) -> tuple[str, ...]:
    one = ("model.layers=1", "model.tied=False", "model.dropout=0.0", "train.passes=4")
    return (f"model.hidden={size}", f"model.dim={size}", *one)


def _transformer(size: int, objective: str) -> tuple[str, ...]:
    two = ("model.layers=2", "model.heads=2", "model.dropout=0.0", f"model.objective={objective}")
    return (f"model.dim={size}", *two, *_WINDOWS)


# folder of the run -> (its name, config, overrides)
_RUNS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "skipgram": ("skip-gram, 32", "configs/skipgram.py", _VECTORS),
    "multi_sense": ("several senses, 32", "configs/multi_sense.py", (*_VECTORS, *_SEVERAL)),
    **{f"lstm_{n}": (f"LSTM, 1 x {n}", "configs/language.py", _lstm(n)) for n in _SIZES},
    **{
        f"{objective}_{n}": (f"{objective}, 2 x {n}", "configs/transformer.py", _transformer(n, objective))
        for objective in ("causal", "masked")
        for n in _SIZES
    },
}


def _collect(run: Path) -> dict[str, Any]:
    return {
        "runs": {
            name: read_object(run / folder / "senses" / "planted.json", "command")
            for folder, (name, _, _) in _RUNS.items()
        }
    }


def _measure(result: Any) -> dict[str, float]:
    return {name: float(run["layers"][-1]["two"]["accuracy"]) for name, run in result["runs"].items()}


FIGURE = Figure(
    shows="accuracy of clusters of contextual vectors against planted senses, by family, size and layer",
    paper="none: the senses are planted, and the best possible is computed exactly",
    recipe=(
        *(train(config, folder, *_LANGUAGE, *changes) for folder, (_, config, changes) in _RUNS.items()),
        *(Step("experiments.senses", f"--workdir={{run}}/{folder} --planted --most=100") for folder in _RUNS),
    ),
    data="synthetic language, 300,000 words; test text of 60,000",
    collect=_collect,
    measure=_measure,
    draw=lambda result, out, source: planted.draw(result["runs"], out, source),
)
