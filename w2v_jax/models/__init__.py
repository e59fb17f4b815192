"""The registry of model families: a family is one file here and one line below."""

from __future__ import annotations

from w2v_jax.family import Family
from w2v_jax.models import (
    doc2vec,
    glove,
    lda,
    lsa,
    multi_sense,
    nmf,
    pair_encoder,
    ppmi_svd,
    recurrent_classifier,
    recurrent_lm,
    subword,
    transformer,
    transformer_classifier,
    word2vec,
)

MODELS: dict[str, Family] = {
    "doc2vec": doc2vec.FAMILY,
    "glove": glove.FAMILY,
    "lda": lda.FAMILY,
    "lsa": lsa.FAMILY,
    "multi_sense": multi_sense.FAMILY,
    "nmf": nmf.FAMILY,
    "pair_encoder": pair_encoder.FAMILY,
    "ppmi_svd": ppmi_svd.FAMILY,
    "recurrent_classifier": recurrent_classifier.FAMILY,
    "recurrent_lm": recurrent_lm.FAMILY,
    "subword": subword.FAMILY,
    "transformer": transformer.FAMILY,
    "transformer_classifier": transformer_classifier.FAMILY,
    "word2vec": word2vec.FAMILY,
}
