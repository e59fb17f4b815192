"""Senses planted in the synthetic language, found without labels: by family, size and layer."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
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
_LONG = ("train.passes=12", "train.batch_size=16", "model.length=64")
_SIZES = (8, 32)
_SEEDS = (0, 1, 2)


def _lstm(size: int) -> tuple[str, ...]:
    one = ("model.layers=1", "model.tied=False", "model.dropout=0.0", "optimizer.learning_rate=0.02")
    return (f"model.hidden={size}", f"model.dim={size}", *one, *_LONG)


def _transformer(size: int, objective: str) -> tuple[str, ...]:
    two = ("model.layers=2", "model.heads=2", "model.dropout=0.0", f"model.objective={objective}")
    return (f"model.dim={size}", *two, "optimizer.learning_rate=0.004", *_LONG)


# folder of the runs -> (their name, config, overrides); a seed is added to the folder
_RUNS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "skipgram": ("skip-gram, 32", "configs/skipgram.py", _VECTORS),
    "multi_sense": ("several senses, 32", "configs/multi_sense.py", (*_VECTORS, *_SEVERAL)),
    **{f"lstm_{n}": (f"LSTM, 1 x {n}", "configs/language.py", _lstm(n)) for n in _SIZES},
    "lstm_both_32": ("LSTM, 1 x 32, both ways", "configs/language.py", (*_lstm(32), "data.reversed=True")),
    **{
        f"{objective}_{n}": (f"{objective}, 2 x {n}", "configs/transformer.py", _transformer(n, objective))
        for objective in ("causal", "masked")
        for n in _SIZES
    },
}
_BESIDE = {"lstm_both_32": "lstm_32"}  # whose vectors stand beside those of the run


def _training(folder: str, seed: int) -> Step:
    _, config, changes = _RUNS[folder]
    return train(config, f"{folder}_{seed}", *_LANGUAGE, *changes, f"train.seed={seed}")


def _measured(folder: str, seed: int) -> Step:
    beside = f" --beside={{run}}/{_BESIDE[folder]}_{seed}" if folder in _BESIDE else ""
    return Step("experiments.senses", f"--workdir={{run}}/{folder}_{seed} --planted --most=100{beside}")


def _collect(run: Path) -> dict[str, Any]:
    found = {
        name: [read_object(run / f"{folder}_{seed}" / "senses" / "planted.json", "command") for seed in _SEEDS]
        for folder, (name, _, _) in _RUNS.items()
    }
    return {"runs": found}


def _measure(result: Any) -> dict[str, float]:
    """The mean over seeds of the last layer of each run."""
    return {
        name: fmean(seed["layers"][-1]["two"]["accuracy"] for seed in seeds) for name, seeds in result["runs"].items()
    }


FIGURE = Figure(
    shows="accuracy of clusters of contextual vectors against planted senses, by family, size and layer",
    paper="none: the senses are planted, and the best possible is computed exactly",
    recipe=(
        *(_training(folder, seed) for folder in _RUNS for seed in _SEEDS),
        *(_measured(folder, seed) for folder in _RUNS for seed in _SEEDS),
    ),
    data="synthetic language, 300,000 words; test text of 60,000",
    collect=_collect,
    measure=_measure,
    seed=_SEEDS,
    draw=lambda result, out, source: planted.draw(result["runs"], out, source),
)
