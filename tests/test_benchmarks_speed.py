"""Limits of a machine and of a text, and gensim's side of the figure of words/s against accuracy."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import limits, measure, peer_sweep
from w2v_jax.embeddings import Embeddings, save


def test_what_a_text_needs_is_counted_by_hand(tmp_path: Path) -> None:
    """Counts 16, 8, 8 and a rare word: the tree gives the first a path of 1 node, the others 2."""
    (tmp_path / "text.txt").write_text(" ".join(["a"] * 16 + ["b"] * 8 + ["c"] * 8 + ["rare"] * 4) + "\n")
    found = limits.of_text(str(tmp_path / "text.txt"))
    assert (found["words"], found["vocabulary"]) == (36, 3)
    keep = {share: (math.sqrt(share / 1e-3) + 1) * 1e-3 / share for share in (0.5, 0.25)}
    frequent, others = 16 * keep[0.5], 16 * keep[0.25]
    assert found["kept"] == pytest.approx((frequent + others) / 36)
    assert found["path"] == pytest.approx((frequent + 2 * others) / (frequent + others))


def test_the_best_round_is_of_the_work_alone() -> None:
    assert 0.01 <= limits.best(lambda: time.sleep(0.01)) < 0.03


def test_rates_are_of_all_the_bytes_and_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(work: Any) -> float:
        work()
        return 0.5

    monkeypatch.setattr(limits, "best", at_once)
    assert limits.operations(8) == 2 * 8**3 / 0.5
    whole: list[np.ndarray] = []
    copy = np.copyto
    monkeypatch.setattr(np, "copyto", lambda to, table: (whole.append(table), copy(to, table)))
    assert limits.copied(7, 3, 2) == 2 * 7 * 3 * 4 / 0.5
    assert sorted(len(part) for part in whole) == [3, 4], "the threads share the rows"


def test_gensims_side_is_made_once_by_model_size_and_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(command: Sequence[str], log: Path, env: dict[str, str]) -> measure.Finished:
        given = {key: value for key, _, value in (word.partition("=") for word in command[3:])}
        asked.append((json.loads(given["--options"]), given["--seed"], env["OPENBLAS_NUM_THREADS"]))
        words = [f"w{i}" for i in range(10)]
        save(Embeddings(words, np.eye(10, dtype=np.float32)), given["--vectors"])
        return measure.Finished({"words": 500, "seconds": 2.0}, "", 3.0, 1.0)

    monkeypatch.setattr(measure, "run", run)
    line = ["peer_sweep", "--text=t", f"--workdir={tmp_path}", "--seeds=0,3"]
    line.append("--runs=skip-gram:8,CBOW:16,hierarchical:8")
    monkeypatch.setattr(sys, "argv", line)
    for _ in range(2):
        assert peer_sweep.main() == 0
    assert [(o["sg"], o["hs"], o["negative"], o["vector_size"]) for o, _, _ in asked[:3]] == [
        (1, 0, 5, 8),
        (0, 0, 5, 16),
        (1, 1, 0, 8),
    ]
    assert [seed for _, seed, _ in asked] == ["1"] * 3 + ["4"] * 3 and asked[0][2] == "1"
    found = json.loads((tmp_path / "sweep.json").read_text())["runs"]
    assert len(found) == 6 and not list(tmp_path.glob("*.bin"))
    assert (found[-1]["model"], found[-1]["dim"], found[-1]["seed"]) == ("hierarchical", 8, 3)
    assert (found[0]["words"], found[0]["passes"], found[0]["seconds"]) == (500, 1, 2.0)
    monkeypatch.setattr(sys, "argv", [*line[:-1], "--runs=hierarchical"])
    with pytest.raises(SystemExit):
        peer_sweep.main()
