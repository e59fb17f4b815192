"""The worked example of the pair-labelled encoder, computed by the functions that train it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.models.pair_losses import Objective, compared, pair_losses
from w2v_jax.tables import aligned

THRESHOLD = 2.0
# Vectors of the notes, and two that are 2.5 apart.
PAIRS = (((0.2, 0.8, 0.1), (0.7, 0.3, 0.9)), ((0.0, 0.0, 0.0), (1.5, 2.0, 0.0)))
NOTES = Objective("contrastive", threshold=THRESHOLD, margin=THRESHOLD, near=THRESHOLD, temperature=1.0, grades=2)


def answers() -> list[tuple[float, str]]:
    """(distance, answer) of each of `PAIRS` at the threshold."""
    a, b = (jnp.array(side, jnp.float32) for side in zip(*PAIRS, strict=True))
    distances = np.asarray(compared(NOTES, {}, a, b)[0])
    return [(float(d), "SAME" if d <= THRESHOLD else "DIFFERENT") for d in distances]


def updates() -> list[tuple[float, float, float, float]]:
    """For each of `PAIRS` the loss and the length of its gradient by the first vector, labelled SAME and DIFFERENT."""
    there = jnp.ones(1, bool)

    def loss(a: jax.Array, b: jax.Array, score: float) -> jax.Array:
        return pair_losses(NOTES, {}, a[None], b[None], jnp.array([score], jnp.float32), there)[0][0]

    out = []
    for first, second in PAIRS:
        a, b = jnp.array(first, jnp.float32), jnp.array(second, jnp.float32)
        both = [jax.value_and_grad(loss)(a, b, score) for score in (1.0, 0.0)]
        same, other = ((float(value), float(jnp.linalg.norm(grad))) for value, grad in both)
        out.append((*same, *other))
    return out


def text() -> str:
    """The example as tables."""
    rows = [["text 1", "text 2", "distance", f"at threshold {THRESHOLD}"]]
    changes = [["distance", "label", "answer", "loss", "gradient"]]
    for pair, (distance, answer), (loss, size, other, other_size) in zip(PAIRS, answers(), updates(), strict=True):
        rows.append([*map(str, pair), f"{distance:.4f}", answer])
        changes.append([f"{distance:.4f}", "SAME", answer, f"{loss:.4f}", f"{size:.4f}"])
        changes.append([f"{distance:.4f}", "DIFFERENT", answer, f"{other:.4f}", f"{other_size:.4f}"])
    return (
        "distance = sqrt(sum of the squared differences); SAME up to the threshold\n\n"
        f"{aligned(rows, left=(0, 1, 3))}\n\n"
        "Updated when wrong: with near = margin = threshold the loss of a right answer is 0, and so is its gradient\n\n"
        f"{aligned(changes, left=(1, 2))}"
    )
