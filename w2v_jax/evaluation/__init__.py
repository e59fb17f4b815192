"""Scores: word vectors through `Embeddings` only, models through their losses, states and probabilities."""

from w2v_jax.evaluation.suite import evaluate_all, table

__all__ = ["evaluate_all", "table"]
