"""What sharing keys and values over all layers of a transformer costs, and what it saves."""

from __future__ import annotations

import statistics

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures import keys_values
from w2v_jax.figures.published import Tolerance, beside

_BASE = "per_layer"  # the rung to compare with
_EXACT = Tolerance("it is exact", 4.0, 4.0)
_FLAGS = "--workdir={run}/ladder --config=configs/keys_values.py --config.data.source=text:{wiki_en.0[01].txt}"


def measure(result: Result) -> dict[str, float]:
    """Mean held-out loss of each rung above the base, nats per token, and the ratio of the caches."""
    rungs = result["rungs"]
    loss = {n: statistics.fmean(float(run["heldout_loss"]) for run in rung["runs"]) for n, rung in rungs.items()}
    measured = {f"{name}, beyond {_BASE}": x - loss[_BASE] for name, x in loss.items() if name != _BASE}
    return measured | {"cache, times smaller": rungs[_BASE]["cache_bytes"] / rungs["shared_kv"]["cache_bytes"]}


FIGURE = Figure(
    shows="what sharing keys and values over all layers costs, and what its cache weighs",
    paper="none: a design of the notes",
    recipe=(Step("experiments.keys_values", _FLAGS, "--config."),),
    data="English Wikipedia, shards 00 and 01, 4.1M tokens of 4,096 byte pairs",
    seed=(0, 1),
    collect=file("ladder/results.json", "command", "machine", "device", "paragraph"),
    measure=measure,
    draw=lambda result, out, source: keys_values.draw(result["rungs"], _BASE, out, source),
    numbers=(beside("design", "cache, all layers' over one shared", "cache, times smaller", _EXACT),),
)
