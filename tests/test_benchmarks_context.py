"""The arithmetic of `benchmarks.context` on a model and texts that take no time."""

from __future__ import annotations

from benchmarks import context
from w2v_jax.models.transformer import TransformerConfig


def test_all_is_measured_for_every_way_to_read() -> None:
    texts = context.sentences(9, 50)
    assert all(5 <= len(text) <= 100 for text in texts) and texts == context.sentences(9, 50)
    model = context.model_of(TransformerConfig(layers=1, dim=8, heads=2, length=128, objective="masked"), 50)
    found = context.measure(model, texts, 1)
    assert found["tokens"] == sum(map(len, texts)) + 2 * 9  # each between end tokens
    assert set(found["rows"]) == {"forward", "all words", "all layers", "one word"}
    assert found["rows"]["forward"]["ratio"] == 1.0 and found["bytes"]["all layers"] > 0
    rows = context.table(found).splitlines()
    assert len(rows) == 5 and rows[1].startswith("forward") and "100%" in rows[1] and rows[4].endswith("-")
