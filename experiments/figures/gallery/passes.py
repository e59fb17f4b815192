"""Accuracy of skip-gram by passes over texts of several sizes."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, Step, read_object
from w2v_jax.figures import sweeps

SEEDS = (0, 1)
TEXTS = {1: "{wiki_en.00.txt}", 2: "{wiki_en.0[01].txt}", 4: "{wiki_en.0[0-3].txt}"}  # by number of shards
PASSES = {1: (1, 2, 4, 8, 16, 32), 2: (1, 2, 4, 8, 16), 4: (1, 2, 4, 8)}
SCORES = {"total": "analogies, %", "men": "MEN, Spearman"}
_MILLIONS = {float(x): str(x) for x in (2, 5, 10, 20, 50)}
SETTLED = 0.95  # of the best mean


def _sweep() -> Step:
    vary = [
        f"data.source=text:{{run}}/wiki_{shards}.txt,train.passes={passes}"
        for shards, own in PASSES.items()
        for passes in own
    ]
    flags = f"--config=configs/skipgram.py --workdir={{run}}/sweep --vary={';'.join(vary)} --restrict=10000"
    flags += f" --seeds={','.join(map(str, SEEDS))} --data_dir={{word_eval}} --config.log.tensorboard=False"
    return Step("experiments.sweep", f"{flags} --config.data.tokens=letters --config.data.heldout_every=0", "--config.")


def collect(run: Path) -> dict[str, Any]:
    """Scores of every run."""
    runs = []
    for one in read_object(run / "sweep" / "sweep.json")["runs"]:
        passes = int(one["changes"]["train.passes"])
        kept = {key: round(one["scores"][key], 5) for key in SCORES}
        about = {"words": round(one["words"] / one["passes"]), "passes": passes, "seed": one["seed"]}
        runs.append(about | kept | {"asked": one["scores"]["asked"]})
    return {"runs": runs}


def curves(result: Result, key: str) -> dict[int, dict[int, list[float]]]:
    """{words of the text: {passes: a score for each seed}}."""
    out: dict[int, dict[int, list[float]]] = {}
    for run in result["runs"]:
        out.setdefault(int(run["words"]), {}).setdefault(int(run["passes"]), []).append(float(run[key]))
    return out


def _millions(words: int) -> str:
    return f"{words / 1e6:.1f} M words"


def measure(result: Result) -> dict[str, float]:
    """Means over seeds, and the fewest passes whose mean is at least SETTLED of the best."""
    found = dict[str, float]()
    for key, unit in SCORES.items():
        for words, own in curves(result, key).items():
            means = {passes: statistics.fmean(values) for passes, values in own.items()}
            found |= {f"{unit}, {_millions(words)}, {passes} passes": mean for passes, mean in means.items()}
            enough = [passes for passes, mean in sorted(means.items()) if mean >= SETTLED * max(means.values())]
            found[f"passes to 95 % of the best, {_millions(words)}: {unit}"] = float(enough[0])
    return found


def draw(result: Result, out: str, source: str) -> None:
    """Analogies and MEN against passes, and analogies against the words that were read in all."""
    panels = []
    ticks = {float(passes): str(passes) for passes in max(PASSES.values(), key=len)}
    for key, unit in SCORES.items():
        lines = [
            sweeps.Line(_millions(words), sorted(own.items()), i)
            for i, (words, own) in enumerate(curves(result, key).items())
        ]
        panels.append(sweeps.Panel(unit.partition(",")[0], "passes", unit, lines, ticks, log_x=True))
    read = [
        sweeps.Line(_millions(words), sorted((passes * words / 1e6, values) for passes, values in own.items()), i)
        for i, (words, own) in enumerate(curves(result, "total").items())
    ]
    panels.append(
        sweeps.Panel("By words read in all", "millions of words", SCORES["total"], read, _MILLIONS, log_x=True)
    )
    sweeps.draw(panels, out, source)


FIGURE = Figure(
    shows="analogies and similarity by passes over texts of several sizes",
    paper="none: how many passes a text needs, by its size",
    recipe=(
        *(Step("benchmarks.text", f"--shards={shards} --out={{run}}/wiki_{n}.txt") for n, shards in TEXTS.items()),
        _sweep(),
    ),
    data="English Wikipedia, 1, 2 and 4 shards; skip-gram, d = 100; analogies of the first 10,000 words",
    seed=SEEDS,
    collect=collect,
    measure=measure,
    draw=draw,
)
