"""Attention by layer and head, and probes of layers, as commands; `test_attention_measures` has the measures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from experiments.inspect.attention import chosen, look, paid, table
from experiments.inspect.layers import flat_of, windows_of
from tests.commands import Done, refused, run
from tests.examples import random_params
from w2v_jax.config import Config, DataConfig
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError
from w2v_jax.evaluation import attention
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.states import attention_of, states_of
from w2v_jax.train import restore
from w2v_jax.train.restore import Model

pytestmark = pytest.mark.xdist_group("attention_inspect")  # one worker: they share a model and its programs

# ---- the commands ----

LENGTH, TEXT = 12, "the dog sat , and the cat won"
TINY = TransformerConfig(layers=2, dim=8, heads=2, length=LENGTH)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """A text of eight words in no order."""
    home = tmp_path_factory.mktemp("attention")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(TEXT.split(), 9)) for _ in range(120)]
    (home / "text.txt").write_text("\n".join(lines) + "\n")
    source = f"text:{home / 'text.txt'}"
    return DataConfig(source=source, tokens="punctuation", min_count=1, heldout_every=4, end_token="<eos>")


def model_of(data: DataConfig, family: str, cfg: Any) -> Model:
    """A model of random numbers."""
    tokenizer, spec = build_corpus(data).tokenizer, MODELS[family]
    resolved = spec.resolve(cfg, tokenizer.size)
    params = random_params(spec, resolved, {}, 0)
    return Model(spec, Config(family=family, model=cfg, data=data), resolved, params, {}, tokenizer, 3)


@pytest.fixture(scope="module")
def model(data: DataConfig) -> Model:
    return model_of(data, "transformer", TINY)


@pytest.fixture
def inspect(model: Model, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """The command, which finds that model in whatever folder (`test_inspect` opens a run's own)."""

    def command(*flags: str, model: Model = model) -> Done:
        monkeypatch.setattr(restore, "open_model", lambda folder: model)
        return run("experiments.inspect", "--workdir=run", *flags)

    return command


def test_the_command_prints_and_draws_every_head(inspect: Callable[..., Done], tmp_path: Path) -> None:
    done = inspect(f"--text={TEXT}", "--from=dog", f"--out={tmp_path}")
    assert done.status == 0, done.err
    assert done.out.strip().splitlines()[-1] == f"picture: {tmp_path / 'inspect.png'}"
    picture = imread(tmp_path / "inspect.png")
    assert min(picture.shape[:2]) > 500 and picture[..., :3].std() > 0.05
    found = json.loads((tmp_path / "inspect.json").read_text())
    assert found["tokens"] == ["<eos>", *TEXT.split()]
    assert (found["from"]["tokens"], found["to"]["token"]) == ([2, 2], 8)
    weights = np.array([head["weights"] for head in found["attention"]]).reshape(2, 2, 9, 9)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-4)
    assert not np.triu(weights, 1).any() and weights.std() > 0.1
    at = found["layers"][1]["paid"]
    np.testing.assert_allclose(at["heads"], weights[1, :, 8, 2], atol=1e-4)
    halves = (weights.mean(1) + np.eye(9)) / 2
    assert at["rollout"] == pytest.approx((halves[1] @ halves[0])[8, 2], abs=1e-4)
    assert at["uniform"] == pytest.approx(1 / 9)
    means = found["layers"][0]["heads"]
    row = ["1", *(f"{means[name][0]:.3f}" for name in ("distance", "self", "before", "first", "entropy"))]
    assert row in [line.split() for line in done.out.splitlines()]
    assert f"attention of 'won' to 'dog', 6 tokens back: mean of heads {at['mean']:.4f}" in done.out


def test_a_word_that_the_model_does_not_know_is_told(
    inspect: Callable[..., Done], data: DataConfig, tmp_path: Path
) -> None:
    few = model_of(dataclasses.replace(data, unknown="keep", max_vocab=4), "transformer", TINY)
    known = [word for word in few.tokenizer.words if word.isalpha()]
    done = inspect(f"--text={known[0]} zebra {known[1]} zebra", f"--out={tmp_path}", model=few)
    assert done.status == 0 and done.err == "note: not in the vocabulary, read as <unk>: zebra\n", done.err
    assert f"attention of 'zebra (<unk>)' to '{known[0]}', 1 tokens back" in done.out
    seen = look(few, f"zebra {known[0]}", "zebra", known[0])
    assert (seen.word, seen.until) == ("zebra (<unk>)", known[0])


def test_masked_models_look_ahead(data: DataConfig) -> None:
    seen = look(model_of(data, "transformer", dataclasses.replace(TINY, objective="masked")), TEXT, "the", "cat")
    assert (seen.source, seen.target, seen.causal) == ((1, 1), 7, False)
    assert (seen.weights > 0).all() and "on the next" in table(seen, 0)
    np.testing.assert_allclose([at["most"] for at in paid(seen)], seen.weights[:, :, 7, 1].max(axis=1), rtol=1e-6)
    assert paid(seen)[0]["uniform"] == pytest.approx(1 / 9)


def test_layers_and_heads_can_be_chosen() -> None:
    assert chosen("layer", None, 3) == [0, 1, 2] and chosen("heads", ["2", "1"], 2) == [1, 0]
    spread = chosen("layer", None, 40)
    assert len(spread) == 12 and spread[0] == 0 and spread[-1] == 39
    with pytest.raises(UserError, match="--layer=3: must be numbers from 1 to 2"):
        chosen("layer", ["3"], 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([f"--text={'the cat ' * 6}"], r"--text: is 13 tokens with the end token before it, .* model.length=12"),
        ([f"--text={TEXT}", "--to=fish"], "--to=fish: no such word"),
        ([f"--text={TEXT}", "--heads=3"], "--heads=3: must be numbers from 1 to 2"),
        (["--layers", "--text=a b"], "--text: is not for --layers"),
        (["--windows=9"], "--windows: is for --layers"),
        (["--layers", "--windows=1"], "--windows=1: must be 2 or more"),
    ],
)
def test_bad_input_ends_in_one_line(
    inspect: Callable[..., Done], tmp_path: Path, flags: list[str], message: str
) -> None:
    refused(inspect(f"--out={tmp_path}", *flags), message)
    assert not list(tmp_path.iterdir())


def test_layers_are_measured_over_the_held_out_text(inspect: Callable[..., Done], model: Model, tmp_path: Path) -> None:
    done = inspect("--layers", "--windows=16", f"--out={tmp_path}")
    assert done.status == 0, done.err
    picture = imread(tmp_path / "layers.png")
    assert picture.shape[1] > 2 * picture.shape[0] > 1000 and picture[..., :3].std() > 0.05
    found = json.loads((tmp_path / "layers.json").read_text())
    assert (found["split"], found["windows"], found["length"]) == ("heldout", 16, LENGTH)
    current = found["probes"]["current word"]
    assert len(current) == 3 and current[0]["accuracy"] > 0.8 > 0.3 > current[0]["majority"]
    assert found["probes"]["4 back"][0]["accuracy"] < 0.5, "an embedding knows nothing of what came before"
    assert found["probes"]["next word"][0]["scored"] == 8 * (LENGTH - 1)
    band = found["bands"]["probe, current word"]
    assert band["layers"] == ["1", "2"] and band["means"] == [p["accuracy"] for p in current[1:]]
    assert band["errors"] == [pytest.approx(np.hypot(current[1]["error"], current[2]["error"]))]
    step, sure = np.diff(band["means"])[0], 2 * band["errors"][0]
    told = "level within two standard errors" if abs(step) <= sure else f"{'rises' if step > 0 else 'falls'} at every"
    assert f"probe, current word: {', '.join(f'{m:.3f}' for m in band['means'])}: {told}" in done.out
    assert "means over bands of layers, which are layer 1, layer 2:" in done.out
    # Text by text and head by head.
    windows, *_ = windows_of(model, 16)
    weights = np.stack([attention_of(model, ids) for ids in windows]).astype(np.float64)
    later = weights[..., 1:, :]
    back = np.arange(1, LENGTH)[:, None] - np.arange(LENGTH)
    shares = [(later * ((back >= a) & (back <= b))).sum((-2, -1)) for a, b in ((0, 0), (1, 1), (2, 3), (4, 7), (8, 15))]
    np.testing.assert_allclose(found["attention"]["distance"], np.mean(shares, axis=(1, 3)).T / (LENGTH - 1), rtol=1e-5)
    np.testing.assert_allclose(found["attention"]["heads"]["first"], later[..., 0].mean((0, 3)), rtol=1e-5)
    apart = (later * back).sum(-1).mean((2, 3))  # [W, L]
    band = found["bands"]["mean distance back"]
    np.testing.assert_allclose(band["means"], apart.mean(0), rtol=1e-5)
    np.testing.assert_allclose(band["errors"], np.diff(apart).std(ddof=1) / 4, rtol=1e-4)
    seen = np.where(back >= 0, 1 / np.arange(2, LENGTH + 1)[:, None], 0.0)
    ended = (windows == model.tokenizer.end_id)[:, None]
    ratio = (later.mean(2) * ended[:, None]).sum((0, 2, 3)) / (seen * ended).sum()
    np.testing.assert_allclose([row[0] for row in found["attention"]["kind"]], ratio, rtol=1e-5)


def test_chunks_of_windows_change_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, *_ = windows_of(model, 5)
    ((hidden, seen),) = states_of(model, windows)
    monkeypatch.setattr("w2v_jax.states.ENTRIES", 2 * 2 * 2 * LENGTH**2)
    chunks = list(states_of(model, windows))
    assert [len(chunk[0][0]) for chunk in chunks] == [2, 2, 1]
    assert seen is not None and len(hidden) == 3
    np.testing.assert_allclose(np.concatenate([c[0][2] for c in chunks]), hidden[2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([c[1][1] for c in chunks]), seen[1], rtol=1e-4, atol=1e-6)  # type: ignore[index]


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_layers_of_a_model_within_documents_are_those_of_its_training(data: DataConfig, objective: str) -> None:
    """The state of a token does not depend on other documents, and no attention leaves a document."""
    model = model_of(data, "transformer", dataclasses.replace(TINY, objective=objective, within_documents=True))
    windows, documents, _ = windows_of(model, 5)
    end, chunk = model.tokenizer.end_id, 3
    assert documents is not None
    after = np.cumsum(windows == end, axis=1)  # an end token predicts the first token of the next document
    inside = after if objective == "causal" else after - (windows == end)
    np.testing.assert_array_equal(documents - documents[:, :1], inside - inside[:, :1])
    ((hidden, seen),) = states_of(model, windows[:chunk], documents[:chunk])
    assert seen is not None
    for row, numbers in zip(range(chunk), documents, strict=False):
        for number in np.unique(numbers):
            own = numbers == number
            assert np.abs(seen[1][row][:, own][:, :, ~own]).max(initial=0.0) == 0.0
            others = np.where(own, windows[row], (windows[row] + 1) % model.tokenizer.size)[None].astype(np.int32)
            ((alone, _),) = states_of(model, np.repeat(others, chunk, 0), np.repeat(numbers[None], chunk, 0))
            np.testing.assert_allclose(alone[2][0][own], hidden[2][row][own], rtol=1e-4, atol=1e-5)
    flat = flat_of(LENGTH, objective == "causal", documents)
    weights = np.stack([attention.uniform(LENGTH, objective == "causal", row) for row in documents])
    assert (weights[documents[:, :, None] != documents[:, None]] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1.0)
    np.testing.assert_allclose(flat.received, weights[:, 1:].sum(1))
    assert flat.heads["self"] == pytest.approx(np.mean([attention.summary(x)["self"] for x in weights]))


def test_recurrent_models_have_probes_only(inspect: Callable[..., Done], data: DataConfig, tmp_path: Path) -> None:
    lstm = model_of(data, "recurrent_lm", RecurrentLMConfig(layers=1, hidden=8, dim=8, length=LENGTH))
    done = inspect("--layers", "--windows=16", f"--out={tmp_path}", model=lstm)
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "layers.json").read_text())
    assert "attention" not in found and len(found["probes"]["current word"]) == 2
    assert imread(tmp_path / "layers.png").shape[0] > 500 and "share of attention" not in done.out
    refused(inspect("--heads=1", model=lstm), "--layer, --heads: are for transformers")
