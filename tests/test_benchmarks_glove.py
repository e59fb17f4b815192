"""The GloVe benchmark: its C program against the formulas by hand, the pairs it gets, and the gates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import glove
from tests.data.corpora import build_text, sample_lines
from w2v_jax.data.cooccurrence import Rules, cooccurrences


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_program_makes_the_updates_of_the_paper(tmp_path: Path) -> None:
    """One pair below x_max and one above, both of their own words, so that their order changes nothing."""
    given = np.array([(0, 1, 3.0), (2, 2, 50.0)], glove.PAIR)
    given.tofile(tmp_path / "pairs")
    program = glove.compiled(tmp_path)
    update = (0.3, 2.0)

    def run(passes: int) -> tuple[list[float], np.ndarray]:
        return glove.tables(program, tmp_path / "pairs", 3, update, 10.0, passes, seed=5, dim=4)

    (none, start), (losses, found) = run(0), run(6)
    assert not none and np.abs(start).max() <= 0.5 / 4 and np.unique(start).size == start.size == 30
    np.testing.assert_array_equal(found, run(6)[1])
    tables = start.astype(np.float64)
    sums, by_hand = np.full_like(tables, 2.0), []
    for _ in range(6):
        total = 0.0
        for i, j, x in given.tolist():
            w, c = tables[0, i].copy(), tables[1, j].copy()
            d = w[:-1] @ c[:-1] + w[-1] + c[-1] - np.log(x)
            f = min(1.0, (x / 10.0) ** 0.75)
            total += f * d * d
            for at, g in (((0, i), np.append(c[:-1], 1)), ((1, j), np.append(w[:-1], 1))):
                gradient = 2 * f * d * g
                tables[at] -= 0.3 * gradient / np.sqrt(sums[at])
                sums[at] += gradient**2
        by_hand.append(total / 2)
    np.testing.assert_allclose(losses, by_hand, rtol=1e-4)
    np.testing.assert_allclose(found, tables, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[0, 1], start[0, 1])


def test_the_program_gets_every_pair_in_both_directions(tmp_path: Path) -> None:
    text = build_text(tmp_path, "\n".join(sample_lines(20)))
    counts = cooccurrences(text, Rules(2, "harmonic"))
    total = glove.write_pairs(counts, tmp_path / "pairs")
    rows = np.fromfile(tmp_path / "pairs", glove.PAIR)
    dense = np.zeros((counts.size, counts.size))
    dense[rows["word"], rows["context"]] = rows["count"]
    assert len(rows) == total == np.count_nonzero(dense)
    np.testing.assert_array_equal(dense, dense.T)
    np.testing.assert_allclose(dense.sum(1), counts.marginals()[0], rtol=1e-6)


def test_losses_of_a_pass_that_was_interrupted_are_joined() -> None:
    records = [{"step": 4, "loss": 8.0}, {"step": 5, "loss": 6.0}, {"step": 5, "heldout_loss": 1.0}]
    records += [{"step": 9, "loss": 2.0}, {"step": 13, "loss": 1.0}]
    assert glove.by_pass(records, 4) == [8.0, (6.0 + 4 * 2.0) / 5, 1.0]


def test_gates_and_table() -> None:
    def run(side: str, seed: int, score: float) -> dict[str, Any]:
        key = {"side": side, "x_max": 10.0, "seed": seed}
        return {"key": key, "loss": [2.0, 1.0 + seed], "scores": dict.fromkeys(glove.TESTS, score)}

    runs = [run("ours", 0, 0.40), run("ours", 1, 0.42), run("reference", 0, 0.43), run("reference", 1, 0.43)]
    found = glove.summarise(runs)
    ours = found["by_x_max"]["10"]["ours"]
    assert ours["men"]["mean"] == pytest.approx(0.41) and ours["loss"] == [2.0, 1.5] and json.dumps(found)
    assert ours["men"]["deviation"] == pytest.approx(0.02 / np.sqrt(2))
    assert found["pass"] == {"x_max 10, ws353": True, "x_max 10, men": True, "x_max 10, analogies": False}
    assert "0.410 +- 0.014" in glove.table(found) and "1.5000" in glove.table(found)
