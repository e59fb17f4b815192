"""Training an LSTM language model beside eager PyTorch: tokens/s and peak memory of whole steps.

    pip install -e '.[bench]' --extra-index-url https://download.pytorch.org/whl/cpu
    python -m benchmarks.lstm [--pairs=5] [--steps=24] [--out=results/lstm]

The extra index has the CPU builds of torch (the peer's version is then `2.13.0+cpu`). 2 layers of 256, batch 32, length
128, vocabulary 8,192, float32, AdamW; both sides are fed arrays that are there. Every run is a fresh process; the sides
alternate. Prints a table and writes OUT/summary.json. Exit status 1 when a gate fails: the median over pairs of our
tokens/s by PyTorch's is below 1, our median peak memory above the baseline after the imports is larger than PyTorch's,
or our side imported TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import measure
from benchmarks.lstm_sides import STACK, Sizes
from experiments import cli
from w2v_jax.errors import UserError
from w2v_jax.evaluation.tables import aligned
from w2v_jax.export import atomic

GATE, AIM = 1.0, 1.2  # of the ratio
SIDES = {"ours": "benchmarks.ours_lstm", "torch": "benchmarks.peer_torch"}


def define_flags() -> None:
    """A call, not an import, defines the flags."""
    flags.DEFINE_integer("pairs", 5, "Pairs of runs.", lower_bound=1)
    flags.DEFINE_integer("steps", 24, f"Timed steps of a run, a multiple of {STACK}.", lower_bound=STACK)
    flags.DEFINE_integer("cores", 2, "Cores each side may use.", lower_bound=1)
    flags.DEFINE_string("out", "results/lstm", "Folder of the results.")


def run_side(side: str, steps: int, log: Path) -> dict[str, Any]:
    """One measured process; its result and what it was. Raises UserError when it fails."""
    command = [sys.executable, "-m", SIDES[side], f"--steps={steps}"]
    done = measure.run(command, log, {"JAX_COMPILATION_CACHE_DIR": ""})
    return {**done.result, "side": side, "wall_seconds": done.seconds}


def summarise(runs: Sequence[Mapping[str, Any]], sizes: Sizes, steps: int) -> dict[str, Any]:
    """Figures and gates of alternating runs, ours first in each pair.

    tokens/s = steps x tokens of a step / seconds; GFLOP/s counts 6 operations a weight and token, the head's table
    included. A ratio is that of one pair; its median is what the gate is held against. Memory is the median peak.
    """
    by_side = {side: [r for r in runs if r["side"] == side] for side in SIDES}
    rates = {side: [steps * sizes.tokens / r["seconds"] for r in found] for side, found in by_side.items()}
    ratios = [a / b for a, b in zip(rates["ours"], rates["torch"], strict=True)]
    peak = {side: statistics.median(r["peak_mb"] for r in found) for side, found in by_side.items()}
    rate = {side: statistics.median(values) for side, values in rates.items()}
    imported = any(r["tensorflow"] for r in by_side["ours"])
    return {
        "sizes": dataclasses.asdict(sizes),
        "steps": steps,
        "pairs": len(ratios),
        "tokens_per_second": rate,
        "gflops": {side: r * sizes.flops / sizes.tokens / 1e9 for side, r in rate.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "gate": GATE,
        "aim": AIM,
        "peak_mb": peak,
        "compile_seconds": statistics.median(r["compile_seconds"] for r in by_side["ours"]),
        "tensorflow_imported": imported,
        "pass": {
            "speed": statistics.median(ratios) >= GATE,
            "memory": peak["ours"] <= peak["torch"],
            "tensorflow": not imported,
        },
        "runs": list(runs),
    }


def failed(summary: Mapping[str, Any]) -> list[str]:
    """One line for each gate that fails."""
    peak = summary["peak_mb"]
    lines = {
        "speed": f"speed: {summary['ratio']:.3f} times PyTorch's, below {summary['gate']:g}",
        "memory": f"memory: {peak['ours']:,.0f} MiB above the baseline, more than PyTorch's {peak['torch']:,.0f}",
        "tensorflow": "TensorFlow was imported on our side",
    }
    return [line for gate, line in lines.items() if not summary["pass"][gate]]


def table(summary: Mapping[str, Any]) -> str:
    """One row a side, and the ratio."""
    rows = [["side", "tokens/s", "GFLOP/s", "peak MiB", "spread of tokens/s", "loss"]]
    for side in SIDES:
        found = [r for r in summary["runs"] if r["side"] == side]
        rates = [summary["steps"] * Sizes(**summary["sizes"]).tokens / r["seconds"] for r in found]
        rows.append(
            [
                f"{side} ({found[0]['version']})",
                f"{summary['tokens_per_second'][side]:,.0f}",
                f"{summary['gflops'][side]:.1f}",
                f"{summary['peak_mb'][side]:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{found[-1]['loss']:.4f}",
            ]
        )
    ratios = summary["ratios"]
    return (
        f"{aligned(rows)}\n\n"
        f"ratio {summary['ratio']:.3f} ({min(ratios):.3f} to {max(ratios):.3f}, {summary['pairs']} pairs); "
        f"gate {summary['gate']:g}, aim {summary['aim']:g}; compiled in {summary['compile_seconds']:.1f} s; "
        f"TensorFlow {'imported' if summary['tensorflow_imported'] else 'not imported'}"
    )


def main(argv: Sequence[str]) -> int:
    """Makes the runs, prints the table; 1 when a gate fails."""
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; flags are written --name=value")
    given = flags.FLAGS
    if given.steps % STACK:
        raise UserError(f"--steps={given.steps}: must be a multiple of {STACK}")
    measure.use_cores(given.cores)
    out = Path(given.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    sizes, runs = Sizes(), []
    for pair in range(given.pairs):
        for side in SIDES:
            runs.append(run_side(side, given.steps, out / "logs" / f"{side}-{pair}.log"))
            rate = given.steps * sizes.tokens / runs[-1]["seconds"]
            line = f"pair {pair} {side}: {rate:,.0f} tokens/s, peak {runs[-1]['peak_mb']:,.0f} MiB"
            print(line, file=sys.stderr, flush=True)
    summary = {**summarise(runs, sizes, given.steps), "machine": measure.machine()}
    with atomic(out / "summary.json") as f:
        f.write((json.dumps(summary, indent=2) + "\n").encode())
    failures = failed(summary)
    print("\n".join([table(summary), "Gates: " + ("all pass." if not failures else "FAILED"), *failures]))
    return 1 if failures else 0


if __name__ == "__main__":
    define_flags()
    cli.run(main)
