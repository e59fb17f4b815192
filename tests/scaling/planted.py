"""A record of a run, for tests of what is made of records."""

from __future__ import annotations

from typing import Any

from w2v_jax.scaling.records import Record


def record(**change: Any) -> Record:
    """A finished run with some of its values changed."""
    known: dict[str, Any] = {
        "run": "a",
        "arm": "lstm",
        "family": "recurrent_lm",
        "status": "finished",
        "seed": 0,
        "config_hash": "1",
        "config": {},
        "revision": "",
        "parameters": 1000,
        "parameters_without_embeddings": 500,
        "flops_per_token": 6000.0,
        "training_flops": 6e7,
        "tokens": 1e4,
        "heldout_loss": 3.0,
    }
    return Record(**(known | change))
