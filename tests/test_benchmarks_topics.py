"""The arithmetic of `benchmarks.topics`: levels, seconds to them, and how many times faster."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import topics_scores


def test_seconds_to_a_peers_level() -> None:
    curves = {
        "cvb0": {
            "seconds": [3.0, 4.0, 5.0],
            "processor": [3.5, 5.5, 7.5],
            "perplexity": [900.0, 505.0, 480.0],
            "compiling": 2.0,
        },
        "vb": {"seconds": [1.0], "processor": [1.0], "perplexity": [700.0], "compiling": 0.5},
        "gensim": {"seconds": [10.0, 20.0, 40.0], "processor": [11.0, 33.0, 44.0], "perplexity": [800.0, 504.0, 500.0]},
    }
    found = topics_scores.compare(curves)["gensim"]
    assert found["level"] == pytest.approx(505.0) and found["seconds"] == 20.0
    wall = {"seconds": 4.0, "times": 5.0, "without_compiling": 2.0, "times_without_compiling": 10.0}
    assert found["cvb0"] == wall | {"processor": 5.5, "times_processor": 6.0} and found["processor"] == 33.0
    assert found["vb"]["seconds"] is None and found["vb"]["times"] is None
    line = topics_scores.table({"20": {"compared": {"gensim": found}}})
    assert (
        "cvb0 4.0 s (5.0 x; without compiling 2.0 s, 10.0 x; processor 5.5 of 33.0 s)" in line
        and "vb: not reached" in line
    )


def test_one_evaluator_knows_the_better_topics() -> None:
    """Two topics with their own words: the planted ones are near the entropy, even ones at the vocabulary's size."""
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 4, 40) + 4 * (d % 2) for d in range(30)]
    test = SimpleNamespace(tokens=np.concatenate(texts), offsets=np.arange(0, 1201, 40))
    perplexity = topics_scores.evaluator(test, 8)
    planted = np.kron(np.eye(2), np.full((1, 4), 0.25)) * 0.999 + 0.001 / 8
    assert perplexity(np.full((2, 8), 1 / 8)) == pytest.approx(8.0, rel=1e-4)
    assert perplexity(planted) == pytest.approx(4.0, rel=0.05)
