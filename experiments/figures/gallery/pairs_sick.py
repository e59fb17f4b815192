"""Distances of SAME and DIFFERENT pairs of SICK moving apart pass by pass, and accuracy by threshold."""

from __future__ import annotations

from typing import Any

from experiments.figures.figure import Figure, Step, file, train
from w2v_jax.figures import pairs
from w2v_jax.figures.published import Tolerance, beside
from w2v_jax.papers import cited

_LEAST = Tolerance("the least that was aimed at without vectors from outside", lowest=0.84)
_SICK = "pairs:{sick*}@3,5,6,1="
_FLAGS = (
    "--config=configs/pairs_sick.py --seeds=3 --workdir={run}/pairs --counts={run}/vectors/vocab.txt "
    "--config.model.vectors={run}/vectors/vectors.bin --config.model.dim=300 "
    f"--config.data.source={_SICK}TRAIN --config.data.heldout_source={_SICK}TRIAL --config.data.test_source={_SICK}TEST"
)
_VECTORS = ("model.dim=300", "model.segment=128", "optimizer.learning_rate=0.2", "optimizer.initial_square=0.0")


def _mean(result: Any) -> dict[str, float]:
    rows = [row for row in result["models"] if "seed" in row]
    return {"Pearson": sum(float(row["pearson"]) for row in rows) / len(rows)}


FIGURE = Figure(
    shows="distances of the trial pairs of SICK pass by pass, and accuracy by threshold",
    paper=cited("tai"),
    recipe=(
        train("configs/skipgram.py", "vectors", "data.source=text:{wiki_en.*.txt}", "data.digits=keep", *_VECTORS),
        Step("experiments.pairs", _FLAGS, "--config."),
    ),
    data="SICK, 500 trial and 4,927 test pairs; own vectors of 25 million words of Wikipedia",
    collect=file("pairs/results.json", "command"),
    measure=_mean,
    draw=lambda result, out, source: pairs.draw(result["picture"], out, source),
    numbers=(beside("tai", "Pearson on SICK, LSTM", "Pearson", _LEAST, differs="theirs starts from GloVe vectors"),),
)
