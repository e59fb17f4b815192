"""Counts of documents against Python's Counter."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from w2v_jax.data.documents import blocks, counts, means


@pytest.fixture
def part() -> SimpleNamespace:
    rng = np.random.default_rng(3)
    lengths = [0, 5, 1, 0, 40, 7, 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return SimpleNamespace(tokens=rng.integers(0, 9, offsets[-1]).astype(np.uint16), offsets=offsets)


def test_counts_are_those_of_counter(part: SimpleNamespace) -> None:
    rows = counts(part, 9)
    assert rows.shape == (7, 9) and rows.dtype == np.int32
    for i in range(7):
        said = Counter(part.tokens[part.offsets[i] : part.offsets[i + 1]].tolist())
        assert dict(zip(rows[i].indices.tolist(), rows[i].data.tolist(), strict=True)) == said
    assert (counts(part, 9, 4, 6) != rows[4:6]).nnz == 0
    assert counts(part, 9, 7).shape == (0, 9)


def test_blocks_hold_every_document_once(part: SimpleNamespace) -> None:
    whole, seen = counts(part, 9), 0
    for start, rows in blocks(part, 9, tokens=8):
        assert start == seen
        assert (rows != whole[start : start + rows.shape[0]]).nnz == 0
        seen += rows.shape[0]
    assert seen == 7


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_the_tokens_stay_what_they_are(part: SimpleNamespace, dtype: type) -> None:
    """Duplicates are summed in place: never in the tokens of the text."""
    part.tokens = part.tokens.astype(dtype)
    before = part.tokens.copy()
    first = counts(part, 9)
    assert (counts(part, 9) != first).nnz == 0 and (part.tokens == before).all()


def test_means_of_word_vectors(part: SimpleNamespace) -> None:
    vectors = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    found = means(counts(part, 9), vectors)
    assert found.dtype == np.float32 and not found[0].any()
    for i in (1, 4, 5):
        words = part.tokens[part.offsets[i] : part.offsets[i + 1]]
        np.testing.assert_allclose(found[i], vectors[words].mean(0), rtol=1e-5, atol=1e-6)
