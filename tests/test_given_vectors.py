"""A config that names word vectors is planned, checked and scored without its text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.config import Config, MeshConfig, TrainConfig
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.models.recurrent_classifier import RecurrentClassifierConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer_classifier import TransformerClassifierConfig
from w2v_jax.scaling.ledger import ledger
from w2v_jax.train.programs import programs, stand_in
from w2v_jax.types import Words

VOCAB, DIM = 40, 6
MODELS_WITH_VECTORS: dict[str, Any] = {
    "recurrent_lm": RecurrentLMConfig(layers=1, hidden=4, dim=DIM, length=5),
    "recurrent_classifier": RecurrentClassifierConfig(hidden=4, dim=DIM, max_length=5),
    "transformer_classifier": TransformerClassifierConfig(layers=1, hidden=4, heads=2, dim=DIM, max_length=5),
}


@pytest.fixture(params=list(MODELS_WITH_VECTORS))
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    words = tuple(f"w{i}" for i in range(VOCAB))
    matrix = np.random.default_rng(0).standard_normal((VOCAB, DIM)).astype(np.float32)
    save(Embeddings(words, matrix), tmp_path / "vectors.bin")
    model = dataclasses.replace(MODELS_WITH_VECTORS[request.param], vectors=str(tmp_path / "vectors.bin"), frozen=True)
    return Config(request.param, model, train=TrainConfig(batch_size=2, steps_per_call=2), mesh=MeshConfig(data=1))


def test_it_is_lowered_and_counted_without_its_text(config: Config) -> None:
    words = stand_in(config, VOCAB)
    assert words.words is None
    made = programs(config, words)
    assert made.consts["vectors"].shape[1] == DIM and made.consts["vectors"].shape[0] >= VOCAB
    made.evaluate(1).lower()
    counted = ledger(config, VOCAB)
    assert counted.parameters > 0
    trained = dataclasses.replace(config, model=dataclasses.replace(config.model, frozen=False))
    assert ledger(trained, VOCAB).parameters == counted.parameters + VOCAB * DIM


def test_the_file_is_checked_all_the_same(config: Config) -> None:
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, dim=DIM + 2))
    with pytest.raises(UserError, match=f"has {DIM} dimensions, model.dim={DIM + 2}"):
        programs(other, stand_in(other, VOCAB))
    missing = dataclasses.replace(config, model=dataclasses.replace(config.model, vectors="none.bin"))
    with pytest.raises(UserError, match="none.bin: no such file"):
        ledger(missing, VOCAB)


def test_words_that_are_known_get_their_vectors(config: Config) -> None:
    names = [f"w{i}" for i in range(VOCAB)][::-1]
    made = programs(config, Words(names, np.ones(VOCAB, np.int64)))
    stand = programs(config, stand_in(config, VOCAB))
    assert made.consts["vectors"].shape == stand.consts["vectors"].shape
    assert made.consts["vectors"][:VOCAB].any(axis=1).all() and not stand.consts["vectors"].any()


def test_words_that_are_not_utf8_are_replaced_by_choice(config: Config) -> None:
    path = Path(config.model.vectors)
    path.write_bytes(path.read_bytes().replace(b"\nw1 ", b"\n\xff1 "))
    words = Words(["w0", "\ufffd1"], np.ones(2, np.int64))
    with pytest.raises(UserError, match="is not UTF-8.*encoding_errors=replace"):
        programs(config, words)
    with pytest.raises(UserError, match="model.encoding_errors='guess'"):
        dataclasses.replace(config.model, encoding_errors="guess")
    changed = dataclasses.replace(config, model=dataclasses.replace(config.model, encoding_errors="replace"))
    assert programs(changed, words).consts["vectors"][:2].any(axis=1).all()
