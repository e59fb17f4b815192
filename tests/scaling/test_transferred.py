"""Regret of the smallest size's best rate at the others, by planted losses."""

from __future__ import annotations

import math

import pytest

from tests.scaling.planted import record
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.transferred import tried


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


def test_a_rate_without_all_seeds_and_a_failed_run_are_left_out() -> None:
    runs = [run(100, 0.01, 4.0, 0), run(100, 0.01, 4.2, 1), run(100, 0.02, 1.0, 0)]
    (size,) = tried([*runs, record(status="failed", heldout_loss=None)])["lstm", 10000]
    assert size.rates.tolist() == [0.01] and size.losses[0] == pytest.approx(4.1)
