"""Looking inside recurrent models: against an LSTM in numpy, finite differences, and the pictures' own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from matplotlib.image import imread

from experiments.common.words import TEXT, find_span, words_of_flags
from experiments.inspect import __main__ as inspect
from tests.commands import Done, run
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.figures import memory
from w2v_jax.models import recurrent_classifier, recurrent_lm
from w2v_jax.models.recurrent_classifier import RecurrentClassifierConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.train.loop import train
from w2v_jax.train.restore import Model, open_model

HIDDEN = 5
WORDS = sorted({*TEXT.lower().split(), "a", "cat", "sat"})

pytestmark = pytest.mark.xdist_group("inspect")  # one worker: they share a trained model


def tokenizer_of(tokens: str = "letters", words: list[str] | None = None, **rules: Any) -> Tokenizer:
    names = ["<eos>", *(words or WORDS)]
    data = DataConfig(tokens=tokens, end_token="<eos>", max_vocab=257, **rules)
    return Tokenizer.of(data, Vocabulary(tuple(names), np.ones(len(names), np.int64)), None)


def model_of(cfg: Any, tokenizer: Tokenizer, seed: int = 0) -> Model:
    """A model with random parameters."""
    spec = recurrent_lm.FAMILY if isinstance(cfg, RecurrentLMConfig) else recurrent_classifier.FAMILY
    cfg = spec.resolve(cfg, tokenizer.size)
    shapes = jax.eval_shape(lambda: spec.trained.init(jax.random.key(0), cfg, {}))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.6, s.shape), jnp.float32), shapes)
    family = "recurrent_lm" if spec is recurrent_lm.FAMILY else "recurrent_classifier"
    return Model(spec, Config(family=family, model=cfg), cfg, params, {}, tokenizer, 3)


def lm(cell: str, layers: int = 1) -> RecurrentLMConfig:
    return RecurrentLMConfig(cell=cell, layers=layers, hidden=HIDDEN, dim=HIDDEN)


def lstm_by_hand(layers: list[Any], x: np.ndarray) -> list[dict[str, np.ndarray]]:
    """float64 gates and memories [T, H] of every layer, from a state of zeros."""
    out = []
    for params in layers:
        w, u, b = (np.asarray(params[k], np.float64) for k in ("W", "U", "b"))
        h, c, rows = np.zeros(HIDDEN), np.zeros(HIDDEN), []
        for row in x:
            i, f, g, o = np.split(row @ w + b + h @ u, 4)
            i, f, o = scipy.special.expit(i), scipy.special.expit(f), scipy.special.expit(o)
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            rows.append((i, f, o, c, h))
        held = dict(
            zip(("input", "forget", "output", "memory", "h"), map(np.stack, zip(*rows, strict=True)), strict=True)
        )
        out.append(held)
        x = held["h"]
    return out


def test_gates_memory_and_what_is_left_are_those_of_an_lstm_in_numpy() -> None:
    model = model_of(lm("lstm", layers=2), tokenizer_of())
    seen = inspect.inspect(model, TEXT, "dog", "won")
    assert (seen.source, seen.target, seen.tokens[seen.source], seen.tokens[seen.target]) == (1, 11, "dog", "won")
    layers = [model.params["layers"][str(i)] for i in range(2)]
    # Training texts follow the end of another: so does this one.
    ids = [model.tokenizer.vocab.index[w] for w in ["<eos>", *TEXT.lower().split()]]
    x = np.asarray(model.params["embed"], np.float64)[ids]
    eps, dog = 1e-5, 2
    moved = [[], []]  # type: list[list[np.ndarray]]
    for unit in range(HIDDEN):
        shift = np.zeros_like(x)
        shift[dog, unit] = eps
        for i, (up, down) in enumerate(
            zip(lstm_by_hand(layers, x + shift), lstm_by_hand(layers, x - shift), strict=True)
        ):
            moved[i].append((up["memory"] - down["memory"]) / (2 * eps))
    for layer, by_hand, slopes in zip(seen.layers, lstm_by_hand(layers, x), moved, strict=True):
        for gate in ("input", "forget", "output"):
            np.testing.assert_allclose(layer.gates[gate], by_hand[gate][1:], atol=1e-5)
        np.testing.assert_allclose(layer.memory, by_hand["memory"][1:], atol=1e-5)
        product = np.ones(HIDDEN)
        for t in range(dog + 1, dog + 11):
            product = product * by_hand["forget"][t]
        left = inspect.left_at_target(seen, layer)
        assert left["steps"] == 10
        assert left["kept"]["mean"] == pytest.approx(product.mean(), rel=1e-4)
        assert left["kept"]["0.9"] == pytest.approx(np.quantile(product, 0.9), rel=1e-4)
        norms = np.linalg.norm(np.stack(slopes), axis=(0, 2))[1:]
        np.testing.assert_allclose(layer.influence[1:], norms[1:] / norms[1], rtol=2e-3, atol=1e-6)
        assert np.isnan(layer.influence[0]) and np.isnan(layer.kept[0]).all()  # type: ignore[index]


def test_an_elementwise_model_keeps_powers_of_its_weights() -> None:
    model = model_of(lm("elementwise"), tokenizer_of())
    (layer,) = inspect.inspect(model, TEXT, "dog", "won").layers
    weight = np.asarray(model.params["layers"]["0"]["U"][0], np.float64)
    assert layer.kept is not None and not layer.gates
    np.testing.assert_allclose(layer.kept[11], weight**10, rtol=1e-4)
    np.testing.assert_allclose(layer.influence[11], np.linalg.norm(weight**10) / np.sqrt(HIDDEN), rtol=1e-4)
    np.testing.assert_array_equal(layer.weights["memory"], np.asarray(model.params["layers"]["0"]["U"][0]))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm_elementwise", "lstm"])
def test_every_cell_has_its_gates_and_weights(cell: str, tmp_path: Path) -> None:
    seen = inspect.inspect(model_of(lm(cell), tokenizer_of()), TEXT, "dog", "won")
    (layer,) = seen.layers
    assert list(layer.gates) == {"rnn": [], "gru": ["reset", "update"]}.get(cell, ["input", "forget", "output"])
    assert (layer.kept is None) == (cell == "rnn") and bool(layer.weights) == (cell == "lstm_elementwise")
    json.dumps(inspect.record(seen), allow_nan=False)
    if cell in ("gru", "lstm_elementwise"):  # the others have panels that these have too
        memory.draw(seen, tmp_path / "a.png")
        height, width = imread(tmp_path / "a.png").shape[:2]
        assert height > 500 and width > 900


def test_a_classifier_tells_its_label_after_each_token(tmp_path: Path) -> None:
    cfg = RecurrentClassifierConfig(cell="lstm", hidden=HIDDEN, dim=HIDDEN, classes=3)
    model = model_of(cfg, tokenizer_of())
    seen = inspect.inspect(model, TEXT, "dog", "won")
    ids = model.tokenizer.encode(TEXT)
    (by_hand,) = lstm_by_hand([model.params["cells"]["forward"]], np.asarray(model.params["embed"], np.float64)[ids])
    logits = by_hand["h"] @ np.asarray(model.params["head"]["W"]) + np.asarray(model.params["head"]["b"])
    assert seen.probability is not None
    np.testing.assert_allclose(seen.probability, scipy.special.softmax(logits, axis=1), atol=1e-5)
    memory.draw(seen, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    with pytest.raises(UserError, match="has no memory to look into"):
        average = RecurrentClassifierConfig(cell="average", dim=HIDDEN)
        inspect.inspect(model_of(average, tokenizer_of()), TEXT, "dog", "won")


def test_a_word_that_the_model_does_not_know_is_called_so() -> None:
    tokenizer = tokenizer_of(words=["<unk>", "the", "won"], unknown="keep")
    seen = inspect.inspect(model_of(lm("rnn"), tokenizer), "the dog won", "dog", "won")
    assert (seen.word, seen.until) == ("dog (<unk>)", "won") and seen.tokens == ["the", "<unk>", "won"]
    assert "left of 'dog (<unk>)' at 'won'" in inspect.sentence(seen, seen.layers[0])


def test_spread_is_mean_and_quantiles_over_units() -> None:
    found = memory.spread(np.array([[0.0, 1.0, 2.0, 3.0], [np.nan] * 4]))
    assert found["mean"] == [1.5, None] and found["0.5"] == [1.5, None] and found["0.25"] == [0.75, None]


@pytest.mark.parametrize(
    ("tokens", "words", "dog", "won"),
    [
        ("letters", WORDS, (1, 1), (11, 11)),
        ("whitespace", TEXT.lower().replace("won", "won,").split(), (1, 1), (11, 11)),
        ("characters", sorted(set(TEXT.lower())), (4, 6), (53, 55)),
    ],
)
def test_a_word_is_the_span_of_its_tokens(
    tokens: str, words: list[str], dog: tuple[int, int], won: tuple[int, int]
) -> None:
    words = list(dict.fromkeys(words))
    text = TEXT.replace("won", "won,") if tokens == "whitespace" else TEXT
    tokenizer = tokenizer_of(tokens, words, unknown="error")
    *found, end = find_span(tokenizer, text, "from", "Dog")
    assert tuple(found) == dog
    assert find_span(tokenizer, text, "to", "won", end)[:2] == won
    assert tokenizer.decode(tokenizer.encode(text)[won[0] : won[1] + 1]).startswith("won")


def test_a_word_of_byte_pairs_is_the_span_of_its_tokens(tmp_path: Path) -> None:
    from w2v_jax.data.corpus import build_corpus

    (tmp_path / "t.txt").write_text(f"{TEXT}\na cat sat\nthe cat\n")
    data = DataConfig(
        source=f"text:{tmp_path / 't.txt'}", tokens="bpe", max_vocab=270, lowercase=False, heldout_every=0,
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    tokenizer = build_corpus(data).tokenizer
    first, last, end = find_span(tokenizer, TEXT, "from", "adopted")
    assert last > first and tokenizer.decode(tokenizer.encode(TEXT)[first : last + 1]).strip() == "adopted"
    first, last, _ = find_span(tokenizer, TEXT, "to", "competition", end)
    assert last == len(tokenizer.encode(TEXT)) - 1


def test_words_are_looked_for_in_order_and_named_when_missing() -> None:
    tokenizer = tokenizer_of()
    first = find_span(tokenizer, "the cat sat the cat", "from", "cat")
    assert first[:2] == (1, 1) and find_span(tokenizer, "the cat sat the cat", "to", "cat", first[2])[:2] == (4, 4)
    with pytest.raises(UserError, match="--to=cat: no such word in --text after the other"):
        find_span(tokenizer, "the cat sat", "to", "cat", first[2])
    with pytest.raises(UserError, match="--from=do: no such word in --text"):
        find_span(tokenizer, TEXT, "from", "do")
    with pytest.raises(UserError, match="--from=zebra: is not in the model's vocabulary"):
        find_span(tokenizer, "the zebra sat", "from", "zebra")
    assert words_of_flags(TEXT, None, None) == ("dog", "won")
    assert words_of_flags("the cat sat", None, None) == ("the", "sat")
    assert words_of_flags("the cat sat", "cat", None) == ("cat", "sat")
    with pytest.raises(UserError, match="needs two words"):
        words_of_flags("the", None, None)


# ---- the command ----


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small LSTM over the words of the default text."""
    home = tmp_path_factory.mktemp("inspect")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS, 12)) for _ in range(50)] + [TEXT.lower()] * 10
    (home / "text.txt").write_text("\n".join(lines) + "\n")
    config = Config(
        family="recurrent_lm",
        model=RecurrentLMConfig(cell="lstm", layers=1, hidden=8, dim=8, length=12),
        data=DataConfig(
            source=f"text:{home / 'text.txt'}", tokens="whitespace", min_count=1, heldout_every=10, unknown="error"
        ),
        train=TrainConfig(batch_size=4, passes=2.0, max_steps=20, steps_per_call=10),
        optimizer=OptimizerConfig(dense="adamw", learning_rate=0.01),
        checkpoint=CheckpointConfig(every_steps=100),
        log=LogConfig(tensorboard=False),
        mesh=MeshConfig(data=1),
    )
    train(config, home / "run")
    return home / "run"


def test_the_command_prints_a_table_and_writes_numbers_and_picture(workdir: Path, tmp_path: Path) -> None:
    text = TEXT.lower()
    done = run(
        "experiments.inspect", f"--workdir={workdir}", f"--text={text}", "--from=dog", "--to=won", f"--out={tmp_path}"
    )
    assert done.status == 0, done.err
    assert done.out.strip().splitlines()[-1] == f"picture: {tmp_path / 'inspect.png'}"
    assert imread(tmp_path / "inspect.png").shape[0] > 500
    found = json.loads((tmp_path / "inspect.json").read_text())
    seen = inspect.inspect(open_model(workdir), text, "dog", "won")
    assert found["tokens"] == text.split() and found["layers"][0]["left"]["steps"] == 10
    means = seen.layers[0].gates["forget"].mean(axis=1)
    np.testing.assert_allclose(found["layers"][0]["gates"]["forget"]["mean"], means, rtol=1e-6)
    rows = [line.split() for line in done.out.splitlines()]
    won = next(row for row in rows if row[:1] == ["won"])
    assert won[2] == f"{means[11]:.3f}"
    assert "left of 'dog' at 'won', 10 tokens on" in done.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--text= "], "--text is empty"),
        (["--text=the zebra won"], "'zebra' is not in the vocabulary"),
        (["--text=the dog won", "--to=cat"], "--to=cat: no such word"),
        (["--text=dog"], "needs two words"),
        (["--texts=a b"], "unknown flag --texts"),
        (["more"], "unexpected argument 'more'"),
    ],
)
def test_bad_input_ends_in_one_line(workdir: Path, flags: list[str], message: str) -> None:
    refused(run("experiments.inspect", f"--workdir={workdir}", *flags), message)


def test_a_missing_run_ends_in_one_line(tmp_path: Path) -> None:
    refused(run("experiments.inspect", f"--workdir={tmp_path}"), "holds no run")
    refused(run("experiments.inspect"), "--workdir is missing")


def refused(done: Done, message: str) -> None:
    assert done.status == 2 and message in done.err
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
