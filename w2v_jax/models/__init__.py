"""The registry of trained model families: a model is one file here and one line below."""

from __future__ import annotations

from w2v_jax.models import recurrent_classifier, recurrent_lm, transformer, transformer_classifier, word2vec
from w2v_jax.types import ModelSpec

MODELS: dict[str, ModelSpec] = {
    "recurrent_classifier": recurrent_classifier.SPEC,
    "recurrent_lm": recurrent_lm.SPEC,
    "transformer": transformer.SPEC,
    "transformer_classifier": transformer_classifier.SPEC,
    "word2vec": word2vec.SPEC,
}
