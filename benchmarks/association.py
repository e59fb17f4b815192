"""How near E C^T of skip-gram comes to PMI - log k, by words, dimensions, passes and subsampling.

    python -m benchmarks.association --source='text:wiki_en.00.txt.xz' --out=results/association.json

With d >= V dimensions the optimum of skip-gram with negative sampling has E C^T = PMI - log k in every pair that occurs
(Levy and Goldberg 2014); with fewer it is the nearest matrix of rank d. A case WORDS:D:PASSES:SAMPLE trains
`configs/skipgram.py` on the text of its WORDS most frequent words (0: all that occur 5 times) and measures the slope of
the line through all pairs that occur, and their correlation, each pair weighing its count. Single results are kept in
SCRATCH: an interrupted benchmark continues. The default took 13 minutes on 2 cores beside other work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.measure import Store
from experiments.common import cli
from experiments.common.machine import machine
from experiments.compare.arms import Plan, association, config
from w2v_jax.config import DataConfig
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError
from w2v_jax.files import write_json
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.tables import aligned
from w2v_jax.train import loop

CASES = ("500:100:5:0.001", "500:100:5:0", "500:512:5:0", "500:100:50:0")
KEPT = ("pairs", "slope", "intercept", "weighted", "plain")


def measure(source: str, case: str, window: int, folder: Path, min_count: int = 5, **changes: Any) -> dict[str, Any]:
    """Trains one case in `folder` and measures it. UserError: a case that is not four numbers."""
    try:
        words, dim, passes, sample = (float(part) for part in case.split(":"))
    except ValueError:
        raise UserError(f"--cases={case}: must be WORDS:D:PASSES:SAMPLE, such as 500:100:5:0.001") from None
    data = DataConfig(source=source, min_count=min_count, tokens="words", max_vocab=int(words))
    plan = Plan(data, int(dim), window, None)
    changes = {"model.sample": sample, "train.passes": passes} | changes
    run = override(config(plan, "skipgram", 0), changes, MODELS)
    result = loop.train(run, folder)
    found = association(plan, run, load(folder / "vectors.bin"), load(folder / "C.bin"))
    return {key: found[key] for key in KEPT} | {"seconds": result["seconds"]}


def table(found: dict[str, dict[str, Any]]) -> str:
    """One row a case."""
    rows = [["words", "d", "passes", "sample", "pairs", "slope", "correlation", "plain", "seconds"]]
    for case, row in found.items():
        numbers = [f"{row[key]:.3f}" for key in ("slope", "weighted", "plain")]
        rows.append([*case.split(":"), f"{row['pairs']:,}", *numbers, f"{row['seconds']:.0f}"])
    return aligned(rows)


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark; returns its exit status."""
    f = flags.FLAGS
    store, found = Store(Path(f.scratch) / "runs.jsonl"), {}
    for case in f.cases:
        key = {"source": f.source, "case": case, "window": f.window}
        known = store.find(key)
        if known is None:
            folder = Path(f.scratch) / case.replace(":", "-")
            known = store.add(key, measure(f.source, case, f.window, folder))
        found[case] = {name: value for name, value in known.items() if name != "key"}
    print(table(found))
    if f.out:
        write_json(
            Path(f.out), {"command": cli.command("benchmarks.association"), "machine": machine(), "cases": found}
        )
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("source", None, "The text, as data.source.", required=True)
    flags.DEFINE_list("cases", list(CASES), "WORDS:D:PASSES:SAMPLE of each case.")
    flags.DEFINE_integer("window", 5, "Words on each side.", 1)
    flags.DEFINE_string("scratch", "/tmp/association", "Folder of the runs.")
    flags.DEFINE_string("out", None, "File of the results.")
    cli.run(main)
