"""Regret of the smallest size's best rate at the others, by planted losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.scaling.planted import record
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.transferred import Dropped, Tried, tried

PLANTED = {0.01: [3.02, 3.05, 3.03], 0.02: [3.01, 3.02, 3.01]}  # losses of three seeds by rate


def run(size: int, rate: float, loss: float | None, seed: int = 0, tokens: float = 1e4) -> Record:
    config = {"optimizer": {"learning_rate": rate}}
    status = "finished" if loss is not None else "diverged"
    return record(parameters=size, seed=seed, heldout_loss=loss, config=config, tokens=tokens, status=status)


def test_regret_is_over_the_best_rate_tried_of_means_over_seeds() -> None:
    small = [
        run(100, rate, loss, seed) for seed in (0, 1) for rate, loss in ((0.01, 4.0), (0.02, 3.0 + seed), (0.04, 5.0))
    ]
    large = [run(900, 0.01, 2.0), run(900, 0.02, 2.2), run(900, 0.04, None)]
    # The plan and whole steps differ by less than 2 %.
    found = tried([*large, *small, run(50, 0.01, 6.0, tokens=1.01e4), run(50, 0.01, 7.0, tokens=2e4)])
    assert [key for key in found] == [("lstm", 10000), ("lstm", 20000)]
    smallest, middle, largest = found["lstm", 10000]
    assert [smallest.parameters, middle.parameters, largest.parameters] == [50, 100, 900]
    assert middle.rates.tolist() == [0.01, 0.02, 0.04] and middle.losses.tolist() == [4.0, 3.5, 5.0]
    assert middle.best == 1 and not middle.at_an_end and largest.at_an_end
    assert largest.regret(0.02) == pytest.approx(0.1) and largest.regret(0.01) == 0.0
    assert math.isinf(largest.regret(0.04))


def test_the_limit_of_a_regret_is_students_of_the_seeds_differences_and_covers_a_planted_one() -> None:
    runs = [run(100, rate, loss, s) for rate, losses in PLANTED.items() for s, loss in enumerate(losses)]
    (size,) = tried([*runs, run(100, 0.04, None, 0), run(100, 0.04, 1.0, 1), run(100, 0.04, 1.0, 2)])["lstm", 10000]
    gaps = np.subtract(PLANTED[0.01], PLANTED[0.02])
    other = stats.ttest_rel(PLANTED[0.01], PLANTED[0.02]).confidence_interval(0.9).high  # two-sided: 5 % above it
    assert size.regret(0.01) == pytest.approx(np.mean(gaps) / np.mean(PLANTED[0.02]))
    assert size.most_regret(0.01) == pytest.approx(other / np.mean(PLANTED[0.02]))
    assert size.most_regret(0.02) == 0.0, "every limit against another rate is below 0"
    assert math.isinf(size.most_regret(0.04))
    rng, held = np.random.default_rng(0), 0
    means = np.array([[3.000], [3.002], [3.001]])
    for _ in range(400):
        some = Tried(1, 1, np.array([1.0, 2.0, 4.0]), means + rng.normal(0, 0.01, 4) + rng.normal(0, 0.003, (3, 4)))
        held += some.most_regret(2.0) >= 0.002 / 3.0
    assert 0.96 * 400 <= held < 400


def test_a_rate_without_all_seeds_and_a_failed_run_are_left_out() -> None:
    runs = [run(100, 0.01, 4.0, 0), run(100, 0.01, 4.2, 1), run(100, 0.02, 1.0, 0)]
    runs += [run(100, 0.04, 1.0, 1), run(100, 0.04, 1.0, 2)]  # as many seeds, but others
    failed = record(parameters=100, seed=1, status="failed", heldout_loss=None, config=runs[2].config)
    for order in (runs, runs[::-1]):
        (size,) = tried([failed, *order, record(status="failed", heldout_loss=None)])["lstm", 10000]
        assert size.rates.tolist() == [0.01] and size.losses[0] == pytest.approx(4.1), "the least seeds of as many"
        assert size.seeds == (0, 1) and size.dropped == (Dropped(0.02, (0, 1), (1,)), Dropped(0.04, (1, 2), ()))
        assert size.wider
    (size,) = tried([*runs, run(100, 0.005, 9.0, 1), run(100, 0.005, 9.0, 2)])["lstm", 10000]
    assert size.rates.tolist() == [0.005, 0.04], "of as many seeds those that the most rates have"
    assert not size.wider, "the best is the greatest rate"
