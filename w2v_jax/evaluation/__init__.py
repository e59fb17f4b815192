"""Scores for word vectors: similarity, analogies, categorisation. Sees `Embeddings` only, never a model."""

from w2v_jax.evaluation.suite import evaluate_all, table

__all__ = ["evaluate_all", "table"]
