"""One evaluator for the topics of all sides of `benchmarks.topics`, and the seconds to a level of perplexity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.topics_sides import ALPHA, OURS
from w2v_jax.data import documents
from w2v_jax.evaluation.topics import completion, halves

TOLERANCE = 1.01  # of a peer's lowest perplexity: nobody is charged for a flat end


def evaluator(test: Any, vocab: int) -> Callable[[np.ndarray], float]:
    """The function topics [K, V] -> perplexity of the second halves of the test documents (every second word).

    A document's mixture comes from its first half: theta_k in proportion to n_k + alpha_k, iterated from an even start
    with the topics as they are. Alpha begins at `ALPHA` for all topics. It is fitted once to the first halves, by
    Minka's fixed point, for each matrix by itself.
    """
    import jax
    import jax.numpy as jnp

    from w2v_jax.data.bags import bags, deal
    from w2v_jax.models import lda_vb
    from w2v_jax.nn.dirichlet import fit_counts

    seen, scored = (
        documents.counts(SimpleNamespace(tokens=t, offsets=o), vocab) for t, o in halves(test.tokens, test.offsets)
    )
    data = bags(seen, deal(np.diff(seen.indptr), 512, 1, 0))
    fit = jax.jit(partial(lda_vb.fit_documents, collapsed=True, most=30, tolerance=2e-3))

    def fold(table: Any, alpha: Any) -> np.ndarray:
        gamma = np.tile(np.asarray(alpha), (seen.shape[0] + 1, 1))
        for words, counts, slot, ids, sizes in zip(*(part[:, 0] for part in data), strict=True):
            tile = lda_vb.Tile(words, counts, slot, sizes)
            gamma[ids] = np.asarray(fit(tile, table, alpha, lda_vb.cold(jnp.asarray(sizes), alpha)).gamma)
        return gamma[:-1]

    def perplexity(topics: np.ndarray) -> float:
        beta = jnp.asarray(topics, jnp.float32).T
        table = beta / jnp.maximum(beta.max(1, keepdims=True), 1e-30)
        alpha = jnp.full(beta.shape[1], ALPHA, jnp.float32)
        alpha = fit_counts(jnp.asarray(fold(table, alpha)) - alpha[None], alpha, False, 50)
        gamma = fold(table, alpha)
        return float(np.exp(completion(gamma / gamma.sum(1, keepdims=True), np.asarray(beta.T, np.float64), scored)))

    return perplexity


def reached(seconds: list[float], perplexities: list[float], level: float) -> float | None:
    """The seconds until a curve is at `level` or below, None where it never is."""
    return next((s for s, p in zip(seconds, perplexities, strict=True) if p <= level), None)


def compare(curves: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each peer its level and the seconds of both sides to it; `warm` leaves out our first sweep's compiling.

    The compiling is what our first sweep took beyond the first sweep of a second start in the same process. `processor`
    are the seconds of all cores to the same places of the curves, for runs beside which other work ran.
    """
    found = {}
    for peer in (name for name in curves if name not in OURS):
        level = TOLERANCE * min(curves[peer]["perplexity"])
        theirs = reached(curves[peer]["seconds"], curves[peer]["perplexity"], level)
        busy = reached(curves[peer]["processor"], curves[peer]["perplexity"], level)
        assert theirs is not None and busy is not None
        row: dict[str, Any] = {"level": level, "seconds": theirs, "processor": busy}
        for name in (n for n in OURS if n in curves):
            ours_at = reached(curves[name]["seconds"], curves[name]["perplexity"], level)
            warm = None if ours_at is None else max(ours_at - curves[name]["compiling"], 1e-9)
            row[name] = {"seconds": ours_at, "times": ours_at and theirs / ours_at}
            row[name] |= {"without_compiling": warm, "times_without_compiling": warm and theirs / warm}
            own = reached(curves[name]["processor"], curves[name]["perplexity"], level)
            row[name] |= {"processor": own, "times_processor": own and busy / own}
        found[peer] = row
    return found


def table(results: dict[str, Any]) -> str:
    """The comparison as lines."""
    lines = []
    for topics, result in results.items():
        for peer, row in result["compared"].items():
            line = f"{topics} topics, {peer}: perplexity {row['level']:.0f} in {row['seconds']:.1f} s"
            for name in OURS:
                at = row.get(name) or {}
                if at.get("seconds") is None:
                    line += f"; {name}: not reached"
                else:
                    line += f"; {name} {at['seconds']:.1f} s ({at['times']:.1f} x; without compiling"
                    line += f" {at['without_compiling']:.1f} s, {at['times_without_compiling']:.1f} x;"
                    line += f" processor {at['processor']:.1f} of {row['processor']:.1f} s)"
            lines.append(line)
    return "\n".join(lines)
