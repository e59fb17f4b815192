"""The registry of trained model families: a model is one file here and one line below."""

from __future__ import annotations

from w2v_jax.models import word2vec
from w2v_jax.types import ModelSpec

MODELS: dict[str, ModelSpec] = {
    "word2vec": word2vec.SPEC,
}
