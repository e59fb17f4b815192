"""What a fitted surface says that a budget buys, against known optima; and the fits of published tables beside a peer.

    python -m benchmarks.allocation [--trials=200] [--tables=isoflop_experiments.csv] [--out=FILE.json]

Three parts, each a table:
1. Without noise: runs of 7 sizes at 5 budgets of 1e17 to 1e21 FLOP on three surfaces; the error of the parameters for
   1e24, by the surface and by parabolas (approach 2 of Hoffmann et al. 2022), where the grid is wide and where its
   centre drifts from a third of the optimum to three times it.
2. With noise of .3 % of the loss: the share of trials whose 95 % intervals hold the optimum of 1e21 and of 1e24.
3. With --tables: the Huber loss (of loss, delta 1e-3, mean over runs, times 1e6) of the five tables on which vpnls
   (Czech et al. 2026, arXiv 2603.22339) reports its own, and the processor seconds of all five fits.

Exit status 1: an error of a surface above 1 %, an interval that holds the optimum in fewer than 92 % of trials, or a
Huber loss above the reported one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags
from threadpoolctl import threadpool_limits

from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.files import write_json
from w2v_jax.scaling.allocation import allocate, design_bias
from w2v_jax.scaling.fit import fit_parametric
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.isoflop import compute_optimal
from w2v_jax.scaling.laws import PARAMETRIC
from w2v_jax.scaling.projection import minimise
from w2v_jax.scaling.robust import Misfit, mean_misfit
from w2v_jax.scaling.run_table import read_table
from w2v_jax.scaling.where import parse
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned

SURFACES = {  # A, B, E, alpha, beta
    "Hoffmann": (406.4, 410.7, 1.69, 0.34, 0.28),
    "Besiroglu": (482.01, 2085.43, 1.8172, 0.3478, 0.3658),
    "asymmetric": (406.4, 410.7, 1.69, 0.465, 0.155),
}
FAR, LARGEST = 1e24, 1e21
SPREADS, DRIFTS = (2.0, 4.0, 8.0, 16.0), (1.0, 3.0)
NOISE = 0.003  # standard deviation of log loss
DESIGNS = {"35 runs, bootstrap": (7, 5), "12 runs, profile": (4, 3)}  # sizes, budgets
MOST_ERROR, LEAST_COVERAGE = 0.01, 0.92  # of 200 trials at a true 95 %, fewer are seen once in 25
REPORTED = {  # Huber loss times 1e6 by vpnls, from its README, as it rounds them
    "ml_scalefit__massivetext__chinchilla": 13.1,
    "llama_3__raw_loss": 2.3,
    "marin_202603__comma__llama_2": 22.9,
    "marin_202603__dclm__llama_2": 22.9,
    "marin_202603__nemotron__llama_2": 22.6,
}
MISFIT = Misfit(1e-3, of_logs=False)
Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def known(name: str) -> dict[str, float]:
    """The numbers of a surface by name."""
    return dict(zip(("A", "B", "E", "alpha", "beta"), SURFACES[name], strict=True))


def design(name: str, spread: float, drift: float = 1.0, sizes: int = 7, budgets: int = 5) -> Columns:
    """N, D, C and losses without noise, float [runs] each: sizes about the optimum up to a factor of `spread`.

    The centre is the optimum over `drift` at the least budget, and times `drift` at the largest.
    """
    true = known(name)
    flops = np.geomspace(1e17, LARGEST, budgets)
    centre = compute_optimal(true, flops).n * drift ** np.linspace(-1, 1, budgets)
    n = (centre[:, None] * spread ** np.linspace(-1, 1, sizes)).ravel()
    c = np.repeat(flops, sizes)
    d = c / (6 * n)
    return n, d, c, true["E"] + true["A"] / n ** true["alpha"] + true["B"] / d ** true["beta"]


def exact() -> list[dict[str, Any]]:
    """Errors of N at 1e24 without noise: the surface's and the parabolas', as shares."""
    rows = []
    for name in SURFACES:
        for drift in DRIFTS:
            for spread in SPREADS:
                n, d, c, loss = design(name, spread, drift)
                fit = fit_parametric(n, d, loss, resamples=2)
                assert isinstance(fit, Fit)
                share = allocate(fit, FAR).n.value / float(compute_optimal(known(name), FAR).n) - 1
                bias = design_bias(fit, c, None, [FAR])
                row = {"surface": name, "grid": spread, "drift": drift, "fit": share}
                rows.append(row | {"parabolas": bias[0].share if bias else None})
    return rows


def coverage(trials: int) -> list[dict[str, Any]]:
    """Shares of trials whose intervals hold the optimum, and the median ratio of upper to lower end."""
    rows = []
    for name in SURFACES:
        for label, (sizes, budgets) in DESIGNS.items():
            n, d, _, loss = design(name, 8.0, 1.0, sizes, budgets)
            held: dict[tuple[float, str], list[tuple[bool, float]]] = {}
            for seed in range(trials):
                noisy = loss * np.exp(np.random.default_rng(seed).normal(0, NOISE, len(loss)))
                fit = fit_parametric(n, d, noisy, seed=seed, resamples=400)
                if not isinstance(fit, Fit):
                    continue
                for budget in (LARGEST, FAR):
                    found, true = allocate(fit, budget), compute_optimal(known(name), budget)
                    for key in ("n", "d", "loss"):
                        value = getattr(found, key)
                        pair = value.covers(float(getattr(true, key))), value.high / value.low
                        held.setdefault((budget, key), []).append(pair)
            for (budget, key), pairs in held.items():
                share, ratio = float(np.mean([p[0] for p in pairs])), float(np.median([p[1] for p in pairs]))
                row = {"surface": name, "design": label, "budget": budget, "of": key, "trials": len(pairs)}
                rows.append(row | {"covered": share, "ratio": ratio})
    return rows


def peers(path: str) -> list[dict[str, Any]]:
    """Huber losses and seconds of our fits of the five tables."""
    rows = []
    for table, reported in REPORTED.items():
        runs = read_table(path, where=parse(f"experiment={table}"), repeats=True)
        sizes = np.log(np.stack([runs.parameters, runs.tokens], -1))
        logs, log_y = sizes - sizes.mean(0), np.log(runs.loss)
        began = time.process_time()
        theta = minimise(PARAMETRIC, logs, log_y, MISFIT)
        seconds = time.process_time() - began
        ours = 1e6 * float(mean_misfit(PARAMETRIC, theta, logs, log_y, MISFIT))
        rows.append({"table": table, "runs": len(log_y), "ours": ours, "vpnls": reported, "seconds": seconds})
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints dicts of the same keys as a table."""
    text = [[f"{v:.5g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    print(aligned([list(rows[0]), *text]) + "\n")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    with threadpool_limits(1, "blas"):
        result: dict[str, Any] = {"command": cli.command("benchmarks.allocation"), "machine": machine()}
        result["exact"] = exact()
        show(result["exact"])
        if f.tables:
            result["tables"] = peers(f.tables)
            show(result["tables"])
            seconds = sum(row["seconds"] for row in result["tables"])
            print(f"all tables: {seconds:.3f} s of processor time; vpnls reports .453 s\n")
        result["coverage"] = coverage(f.trials)
        show(result["coverage"])
    if f.out:
        write_json(to_path(f.out), result)
    bad = any(abs(row["fit"]) > MOST_ERROR for row in result["exact"])
    bad |= any(row["covered"] < LEAST_COVERAGE for row in result["coverage"])
    # The peer's figures have one decimal.
    return int(bad or any(row["ours"] > row["vpnls"] + 0.05 for row in result.get("tables", ())))


if __name__ == "__main__":
    flags.DEFINE_integer("trials", 200, "Trials of each design.", 2)
    flags.DEFINE_string("tables", None, "The file of IsoFLOP experiments; without it, no tables are fitted.")
    flags.DEFINE_string("out", None, "File of the result, .json.")
    cli.run(main)
