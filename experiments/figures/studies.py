"""Shared by the figures of scaling studies: the runs of a study, with the few keys that a figure needs."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.figures.figure import Result, study
from w2v_jax.figures import scaling_study
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.records import FINISHED, Record

KEYS = ("run", "arm", "family", "seed", "parameters", "tokens", "training_flops")
FAMILIES = (*KEYS, "heldout_loss", "optimum")
# What tells the plateau of single words, in the records of studies that have it.
PLATEAU = ("heldout_accuracy", "heldout_unigram_loss", "heldout_unigram_accuracy")
# One study for three figures: in the same folder it runs once.
WIKI = (study("configs/scaling/wiki.py", "--config.data.source=text:{wiki_en.*.txt}"),)
WIKI_DATA = (
    "English Wikipedia (spring 2015), at most 5.0 of 25.4 million words read, the 10,000 most frequent kept; 127,005 "
    "held out"
)


def read(run: Path, *folders: str) -> list[Record]:
    """The records of the studies in these folders of {run}; of {run}/study without."""
    return records.read(
        [path for name in folders or ("study",) for path in sorted((run / name).glob("results*.jsonl"))]
    )


def collect(*keys: str) -> Callable[[Path], dict[str, Any]]:
    """Collects these keys of each finished run."""
    return lambda run: {"runs": [{key: getattr(r, key) for key in keys} for r in analysis.usable(read(run))]}


def record(row: Mapping[str, Any], keys: Sequence[str], **config: Any) -> Record:
    """A record from its kept keys. KeyError: one is missing."""
    rest: dict[str, Any] = {"status": FINISHED, "config_hash": "", "config": config, "revision": ""}
    rest |= {"parameters_without_embeddings": 0, "flops_per_token": 0.0}
    rest |= {key: row[key] for key in PLATEAU if key in row}
    return Record(**(rest | {key: row[key] for key in keys}))


def arms(result: Result, keys: Sequence[str]) -> dict[str, list[Record]]:
    """The runs by arm."""
    return analysis.by_arm([record(row, keys) for row in result["runs"]])


@functools.lru_cache(maxsize=2)  # measured and drawn
def _laws(runs: str) -> dict[str, analysis.Laws]:
    """The laws of each arm, from the rows of a record as JSON."""
    by_arm = arms({"runs": json.loads(runs)}, FAMILIES)
    return {arm: analysis.laws(arm, analysis.usable(own)) for arm, own in by_arm.items()}


def measure_families(result: Result) -> dict[str, float]:
    """Exponents of the laws, how far each floor misses the optimum where that is known, and the lowest losses."""
    by_arm = arms(result, FAMILIES)
    laws = list(_laws(json.dumps(result["runs"])).values())
    measured: dict[str, float] = {f"{law.arm}: runs left out": len(law.plateau) for law in laws if law.plateau}
    for law in laws:
        values = law.parametric.values if isinstance(law.parametric, Fit) else {}
        measured |= {f"{law.arm}: {name}": values[name].value for name in ("E", "alpha", "beta") if name in values}
        powers = (("N", law.by_size), ("D", law.by_tokens), ("C", law.frontier))
        measured |= {f"{law.arm}: power of {x}": fit.values["alpha"].value for x, fit in powers if isinstance(fit, Fit)}
    every = [r for own in by_arm.values() for r in own]
    measured |= {f"{floor.arm}: miss": floor.miss for floor in analysis.floors(laws, every)}
    return measured | {f"{arm}: lowest loss": float(analysis.columns(own)[3].min()) for arm, own in by_arm.items()}


def draw_families(result: Result, out: str, source: str) -> None:
    """Loss by size and by training FLOPs, with bands of the laws; the distance from the best possible, where known."""
    curves, laws = analysis.loss_curves(arms(result, FAMILIES)), _laws(json.dumps(result["runs"]))
    scaling_study.draw_families(*curves, out, laws=laws, optimum=result["runs"][0]["optimum"], source=source)
