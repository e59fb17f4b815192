"""The LSA benchmark: the documents it prepares, both sides at a tiny size, and the gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import lsa, lsa_sides
from w2v_jax.config import DataConfig


def test_both_sides_decompose_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, text = np.random.default_rng(0), tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(drawn.choice(list("abcdefghijkl"), 9)) for _ in range(40)) + "\n")
    about = lsa.prepare(DataConfig(source=f"text:{text}", min_count=1, heldout_every=0), 3, tmp_path / "rows")
    assert (about["documents"], about["words"], about["tokens"]) == (120, 12, 1080)
    monkeypatch.setattr(lsa_sides, "DIM", 4)
    monkeypatch.setattr(lsa, "DIM", 4)
    true, rows = lsa.exact(tmp_path / "rows", 3), lsa_sides.rows_of(tmp_path / "rows")
    np.testing.assert_allclose(true, np.linalg.svd(rows.toarray(), compute_uv=False)[:4], rtol=1e-5)
    theirs = dict(zip(("values", "vectors"), lsa_sides.sklearn(tmp_path / "rows")[1:], strict=True))
    result, *found = lsa_sides.ours("bounded", tmp_path / "rows")
    scores = lsa.accuracy(dict(zip(("values", "vectors"), found, strict=True)), theirs, true, rows)
    assert scores["off_exact"] < 1e-3 and scores["off_sklearn"] < 1e-3 and result["seconds"] > 0
    assert scores["captured"] == pytest.approx(1.0, abs=1e-3)


def test_gates() -> None:
    def runs(seconds: dict[str, float]) -> list[dict[str, Any]]:
        return [
            {"key": {"side": side}, "seconds": s, "cpu_seconds": s, "peak_mb": 1.0}
            for _ in range(2)
            for side, s in seconds.items()
        ]

    good = {"off_sklearn": 0.009, "off_exact": 0.009, "captured": 0.995, "theirs": 0.99}
    found = lsa.summarise(runs({"sklearn": 2.0, "same": 1.0, "ours": 2.5}), dict.fromkeys(lsa.SIDES[:3], good))
    assert found["sides"]["same"]["ratio"] == 2.0 and json.dumps(found)
    assert [name for name, ok in found["pass"].items() if not ok] == ["ours seconds"]
    bad = good | {"off_exact": 0.02, "captured": 0.97}
    found = lsa.summarise(runs({"sklearn": 2.0, "same": 1.0, "ours": 2.0}), dict.fromkeys(lsa.SIDES[:3], bad))
    assert {name for name, ok in found["pass"].items() if not ok} == {"same subspace", "ours values", "ours subspace"}
