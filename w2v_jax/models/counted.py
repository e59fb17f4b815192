"""What families of counted pairs of words share: the options of counting, which are fields of their configs."""

from __future__ import annotations

from typing import Any

import numpy as np

from w2v_jax.config import check, check_choice, check_least, check_most
from w2v_jax.data.cooccurrence import MOST_WINDOW, SIDES, WEIGHTINGS, Cooccurrences, Rules, cooccurrences
from w2v_jax.models.frequencies import keep_probability
from w2v_jax.types import Say


def check_counting(cfg: Any) -> None:
    """Raises `UserError` unless window, weighting, side, sample and memory_mb are possible."""
    check_choice("model.weighting", cfg.weighting, WEIGHTINGS)
    check_choice("model.side", cfg.side, SIDES)
    check_least(1, "model", cfg, "window")
    check_most(MOST_WINDOW, "model", cfg, "window")
    check(cfg.sample >= 0, "model.sample", cfg.sample, "0 (no subsampling) or more")
    check_least(16, "model", cfg, "memory_mb")
    check_most(1 << 20, "model", cfg, "memory_mb")


def counts_of(cfg: Any, text: Any, seed: int, split: str = "train", say: Say = lambda line: None) -> Cooccurrences:
    """The counts of a split, by the rules of a config. `seed` draws the tokens that subsampling keeps."""
    keep = keep_probability(np.asarray(text.vocab.counts), cfg.sample) if cfg.sample else None
    return cooccurrences(text, Rules(cfg.window, cfg.weighting, cfg.side, keep, seed), split, cfg.memory_mb, say)
