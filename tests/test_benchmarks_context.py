"""The arithmetic of `benchmarks.context` on a model and texts that take no time."""

from __future__ import annotations

from benchmarks import context
from w2v_jax.context import ContextEncoder
from w2v_jax.models.transformer import TransformerConfig


def test_all_is_measured_for_every_way_to_read() -> None:
    model = context.model_of(TransformerConfig(layers=1, dim=8, heads=2, length=24, objective="masked"), 50)
    encoder = ContextEncoder(model)
    texts = context.texts_of(encoder, 9)
    assert all(5 <= len(text) <= 22 for text in texts) and texts == context.texts_of(encoder, 9)
    assert max(map(len, texts)) == 22 and "<eos>" not in sum(texts, [])
    found = context.measure(encoder, texts, 1)
    assert found["tokens"] == sum(map(len, texts)) + 2 * 9  # each between end tokens
    assert set(found["rows"]) == {"forward", "all words", "all layers", "one word"}
    assert found["rows"]["forward"]["ratio"] == 1.0 and found["bytes"]["all layers"] > 0
    rows = context.table(found).splitlines()
    assert len(rows) == 5 and rows[1].startswith("forward") and "100%" in rows[1] and rows[4].endswith("-")
