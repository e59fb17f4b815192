"""Our training step beside PyTorch's: alternating pairs of fresh processes, their figures and the gates.

`benchmarks.lstm` and `benchmarks.transformer` each say what is compared; the rest is here.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks import measure
from benchmarks.sides import STACK, Sizes
from experiments.common.machine import machine
from w2v_jax.errors import UserError
from w2v_jax.files import write_json
from w2v_jax.tables import aligned

GATE, AIM = 1.0, 1.2  # of the ratio
SIDES = ("ours", "torch")  # in this order within a pair


class Comparison(NamedTuple):
    """One model, trained on both sides."""

    modules: Mapping[str, str]  # by side; each prints its result as one line of JSON
    sizes: Sizes
    alike: bool = False  # whether both models must have the same number of parameters


def define_flags(out: str) -> None:
    """A call, not an import, defines the flags; `out` is the default folder."""
    flags.DEFINE_integer("pairs", 5, "Pairs of runs.", lower_bound=1)
    flags.DEFINE_integer("steps", 24, f"Timed steps of a run, a multiple of {STACK}.", lower_bound=STACK)
    flags.DEFINE_integer("cores", 2, "Cores each side may use.", lower_bound=1)
    flags.DEFINE_string("out", out, "Folder of the results.")


def run_side(comparison: Comparison, side: str, steps: int, log: Path) -> dict[str, Any]:
    """One measured process; its result and what it was. Raises UserError when it fails."""
    sizes = json.dumps(_values(comparison.sizes))
    command = [sys.executable, "-m", comparison.modules[side], f"--steps={steps}", f"--sizes={sizes}"]
    done = measure.run(command, log, {"JAX_COMPILATION_CACHE_DIR": ""})
    return {**done.result, "side": side, "wall_seconds": done.seconds}


def _values(sizes: Any) -> dict[str, Any]:
    return dataclasses.asdict(sizes)


def summarise(comparison: Comparison, runs: Sequence[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    """Figures and gates of alternating runs, ours first in each pair.

    tokens/s = steps x tokens of a step / seconds; GFLOP/s counts the operations of `Sizes.flops`. A ratio is that of
    one pair; its median is what the gate is held against. Memory is the median peak.
    """
    sizes = comparison.sizes
    by_side = {side: [r for r in runs if r["side"] == side] for side in SIDES}
    rates = {side: [steps * sizes.tokens / r["seconds"] for r in found] for side, found in by_side.items()}
    ratios = [a / b for a, b in zip(rates["ours"], rates["torch"], strict=True)]
    peak = {side: statistics.median(r["peak_mb"] for r in found) for side, found in by_side.items()}
    rate = {side: statistics.median(values) for side, values in rates.items()}
    imported = any(r["tensorflow"] for r in by_side["ours"])
    counts = {side: found[0].get("parameters") for side, found in by_side.items()}
    return {
        "sizes": _values(sizes),
        "steps": steps,
        "pairs": len(ratios),
        "tokens_per_second": rate,
        "rates": rates,
        "gflops": {side: r * sizes.flops / sizes.tokens / 1e9 for side, r in rate.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "gate": GATE,
        "aim": AIM,
        "peak_mb": peak,
        "parameters": counts,
        "compile_seconds": statistics.median(r["compile_seconds"] for r in by_side["ours"]),
        "tensorflow_imported": imported,
        "pass": {
            "speed": statistics.median(ratios) >= GATE,
            "memory": peak["ours"] <= peak["torch"],
            "tensorflow": not imported,
            "parameters": not comparison.alike or len(set(counts.values())) == 1,
        },
        "runs": list(runs),
    }


def failed(summary: Mapping[str, Any]) -> list[str]:
    """One line for each gate that fails."""
    peak, count = summary["peak_mb"], summary["parameters"]
    lines = {
        "speed": f"speed: {summary['ratio']:.3f} times PyTorch's, below {summary['gate']:g}",
        "memory": f"memory: {peak['ours']:,.0f} MiB above the baseline, more than PyTorch's {peak['torch']:,.0f}",
        "tensorflow": "TensorFlow was imported on our side",
        "parameters": f"parameters: ours has {count['ours']}, PyTorch's {count['torch']}: not the same model",
    }
    return [line for gate, line in lines.items() if not summary["pass"][gate]]


def table(summary: Mapping[str, Any]) -> str:
    """One row a side, and the ratio."""
    rows = [["side", "parameters", "tokens/s", "GFLOP/s", "peak MiB", "spread of tokens/s", "loss"]]
    for side in SIDES:
        last = [r for r in summary["runs"] if r["side"] == side][-1]
        rates, count = summary["rates"][side], summary["parameters"][side]
        rows.append(
            [
                f"{side} ({last['version']})",
                "" if count is None else f"{count:,}",
                f"{summary['tokens_per_second'][side]:,.0f}",
                f"{summary['gflops'][side]:.1f}",
                f"{summary['peak_mb'][side]:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{last['loss']:.4f}",
            ]
        )
    ratios = summary["ratios"]
    return (
        f"{aligned(rows)}\n\n"
        f"ratio {summary['ratio']:.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {summary['pairs']} pairs); "
        f"gate {summary['gate']:g}, aim {summary['aim']:g}; compiled in {summary['compile_seconds']:.1f} s; "
        f"TensorFlow {'imported' if summary['tensorflow_imported'] else 'not imported'}"
    )


def compare(comparison: Comparison, argv: Sequence[str]) -> int:
    """Makes the runs, prints the table, writes OUT/summary.json; 1 when a gate fails.

    Raises:
      UserError: impossible flags, a side that fails.
    """
    given = flags.FLAGS
    if given.steps % STACK:
        raise UserError(f"--steps={given.steps}: must be a multiple of {STACK}")
    measure.use_cores(given.cores)
    out = Path(given.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    runs = []
    for pair in range(given.pairs):
        for side in SIDES:
            runs.append(run_side(comparison, side, given.steps, out / "logs" / f"{side}-{pair}.log"))
            rate = given.steps * comparison.sizes.tokens / runs[-1]["seconds"]
            line = f"pair {pair} {side}: {rate:,.0f} tokens/s, peak {runs[-1]['peak_mb']:,.0f} MiB"
            print(line, file=sys.stderr, flush=True)
    summary = {**summarise(comparison, runs, given.steps), "machine": machine()}
    write_json(out / "summary.json", summary)
    failures = failed(summary)
    print("\n".join([table(summary), "Gates: " + ("all pass." if not failures else "FAILED"), *failures]))
    return 1 if failures else 0
