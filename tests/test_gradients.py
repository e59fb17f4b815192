"""Derivatives through time against finite differences and powers of the weight; the study at a tiny size."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from matplotlib.image import imread

from experiments import gradients
from experiments.common.words import TEXT
from tests.commands import run, text_of
from tests.examples import QUICK, quick, whole_logits
from w2v_jax import states
from w2v_jax.config import Config, DataConfig, SyntheticConfig
from w2v_jax.data.synthetic import SUBJECT
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.evaluation.recurrence import influence, kept, state_gradients
from w2v_jax.figures import distance
from w2v_jax.models.recurrent_lm import FAMILY, RecurrentLMConfig
from w2v_jax.nn.arrays import shapes as shapes_of
from w2v_jax.nn.recurrent import CELLS, cell_arrays, run_cell, trace_cell, zero_state
from w2v_jax.train.restore import Model
from w2v_jax.types import Params

STEPS, BATCH, HIDDEN = 6, 2, 3


def parts_of(name: str, steps: int = STEPS) -> tuple[Params, np.ndarray, np.ndarray]:
    """(parameters, inputs [T, B, H], weights of the last output [B, H])."""
    rng = np.random.default_rng(0)
    shapes = shapes_of(cell_arrays(CELLS[name], HIDDEN, HIDDEN, 1.0))
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.7, s.shape), jnp.float32), shapes)
    return params, rng.normal(size=(steps, BATCH, HIDDEN)).astype(np.float32), rng.normal(size=(BATCH, HIDDEN))


def stepper(name: str, params: Params) -> Callable[[Any, jax.Array], Any]:
    return lambda state, x: run_cell(CELLS[name], params, x[None], state)[1]


@pytest.mark.parametrize("name", list(CELLS))
def test_gradients_by_every_state_are_finite_differences(name: str) -> None:
    params, x, weights = parts_of(name)
    step, start = stepper(name, params), zero_state(CELLS[name], BATCH, HIDDEN)

    def loss(state: Any) -> jax.Array:
        return jnp.sum(jnp.asarray(weights, jnp.float32) * jnp.sin(state["h"]), axis=1)

    found = quick(lambda x: state_gradients(step, loss, start, x), jnp.asarray(x))

    def rest(state: Any, x: jax.Array, steps: jax.Array) -> jax.Array:
        """The losses when the sequence is cut, and goes on from a state for so many steps."""
        return loss(run_cell(CELLS[name], params, x, state, jnp.full(BATCH, steps))[1])

    shapes = (start, jnp.asarray(x), jnp.int32(0))
    one = jax.jit(step).lower(start, jnp.asarray(x[0])).compile(compiler_options=QUICK)
    compiled = jax.jit(rest).lower(*shapes).compile(compiler_options=QUICK)
    state = start
    for k in reversed(range(STEPS)):
        state = one(state, jnp.asarray(x[STEPS - 1 - k]))
        later = jnp.asarray(np.roll(x, k, axis=0))
        for part, values in state.items():
            for unit in range(HIDDEN):
                shift = jnp.zeros((BATCH, HIDDEN)).at[:, unit].set(1e-2)
                up, down = (compiled(state | {part: values + s}, later, jnp.int32(k)) for s in (shift, -shift))
                np.testing.assert_allclose(found[part][k, :, unit], (up - down) / 2e-2, atol=2e-3)


@pytest.mark.parametrize("weight", [0.8, 1.1])
def test_elementwise_gradients_are_powers_of_the_weight(weight: float) -> None:
    """0.8^5, 0.8^10 and 0.8^13 of the notes, through the real cell; a weight above 1 explodes."""
    _, x, weights = parts_of("elementwise", steps=14)
    step = stepper("elementwise", {"U": jnp.full((1, HIDDEN), weight)})
    start = zero_state(CELLS["elementwise"], BATCH, HIDDEN)

    def loss(state: Any) -> jax.Array:
        return jnp.sum(jnp.asarray(weights, jnp.float32) * state["h"], axis=1)

    grads = state_gradients(step, loss, start, jnp.asarray(x))["h"]
    ratios = np.linalg.norm(grads, axis=(1, 2)) / np.linalg.norm(grads[0])
    np.testing.assert_allclose(ratios, weight ** np.arange(14), rtol=1e-5)
    if weight < 1:
        np.testing.assert_allclose(ratios[[5, 10, 13]], [0.328, 0.107, 0.055], atol=5e-4)
    else:
        assert (np.diff(ratios) > 0).all() and ratios[13] > 3.4


def test_dog_is_ten_steps_before_won() -> None:
    words = TEXT.lower().split()
    assert (words.index("dog") + 1, words.index("won") + 1) == (2, 12)
    assert words.index("won") - words.index("dog") == 10


def test_what_the_forget_gates_leave_is_what_a_memory_keeps() -> None:
    """A memory of 1 followed through the real LSTM, minus the same without it: exactly the product of the gates."""
    params, x, _ = parts_of("lstm")
    params = params | {"U": jnp.zeros_like(params["U"])}  # gates then depend on the inputs alone
    zero = zero_state(CELLS["lstm"], BATCH, HIDDEN)
    (parts, empty), (_, full) = (
        trace_cell(CELLS["lstm"], params, jnp.asarray(x), zero | {"c": jnp.full((BATCH, HIDDEN), c)})
        for c in (0.0, 1.0)
    )
    forget = np.concatenate([np.full((1, HIDDEN), 9.0), np.asarray(parts["forget"])[:, 0]])
    left = kept(forget, 0)  # a step before the first, whose own gate plays no part
    np.testing.assert_allclose(left[-1], np.asarray(full["c"] - empty["c"])[0], rtol=1e-5, atol=1e-6)
    later = kept(forget, 3)
    assert np.isnan(later[:3]).all() and (later[3] == 1).all()
    np.testing.assert_allclose(later[5], forget[4] * forget[5])


@pytest.mark.parametrize("name", ["elementwise", "gru", "lstm"])
def test_influence_of_a_word_is_the_norm_of_finite_differences(name: str) -> None:
    params, x, _ = parts_of(name)
    one = jnp.asarray(x[:, 0])

    @jax.jit
    def memory(x: jax.Array) -> jax.Array:
        parts = trace_cell(CELLS[name], params, x[:, None], zero_state(CELLS[name], 1, HIDDEN))[0]
        return parts.get("memory", parts["h"])[:, 0]

    found = quick(lambda x: influence(memory, x, 1, 2), one)
    slopes = []
    for step in (1, 2):
        for unit in range(HIDDEN):
            shift = jnp.zeros_like(one).at[step, unit].set(1e-2)
            slopes.append((memory(one + shift) - memory(one - shift)) / 2e-2)
    np.testing.assert_allclose(found, np.linalg.norm(np.stack(slopes), axis=(0, 2)), rtol=5e-3, atol=1e-3)
    if name == "elementwise":
        weight = np.asarray(params["U"][0])
        alone = quick(lambda x: influence(memory, x, 1, 1), one)
        np.testing.assert_allclose(alone[4] / alone[1], np.linalg.norm(weight**3) / np.sqrt(HIDDEN), rtol=1e-5)


# ---- what is measured in models ----


def model_of(cell: str, words: tuple[str, ...], data: DataConfig, layers: int = 1) -> Model:
    """A language model with random parameters over a vocabulary."""
    tokenizer = Tokenizer.of(data, Vocabulary(words, np.ones(len(words), np.int64)), None)
    cfg = FAMILY.resolve(RecurrentLMConfig(cell=cell, layers=layers, hidden=4, dim=4, length=3), len(words))
    shapes = jax.eval_shape(lambda: FAMILY.trained.init(jax.random.key(0), cfg, {}))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.6, s.shape), jnp.float32), shapes)
    return Model(FAMILY, Config(family="recurrent_lm", model=cfg, data=data), cfg, params, {}, tokenizer, 1)


WORDS = tuple("abcdefgh")
PLAIN = DataConfig(tokens="whitespace")


def test_gradient_norms_of_an_elementwise_model_by_hand() -> None:
    """d loss / d state k steps back is w^k * A^T (p - one-hot), for every window alone."""
    model, furthest = model_of("elementwise", WORDS, PLAIN), 5
    windows = np.random.default_rng(0).integers(0, len(WORDS), (6, 4 + furthest + 2)).astype(np.int32)
    found = states.gradient_norms(model, windows, furthest)
    table = np.asarray(model.params["embed"], np.float64)
    head = {k: np.asarray(v, np.float64)[: len(WORDS)] for k, v in model.params["head"].items()}
    weight = np.asarray(model.params["layers"]["0"]["U"], np.float64)[0]
    norms = []
    for window in windows:
        state = sum(weight**k * table[window[-2 - k]] for k in range(len(window) - 1))
        odds = scipy.special.softmax(head["table"] @ state + head["bias"])
        odds[window[-1]] -= 1
        norms.append([np.linalg.norm(weight**k * (head["table"].T @ odds)) for k in range(furthest + 1)])
    assert list(found) == ["h"]
    np.testing.assert_allclose(found["h"], np.mean(norms, axis=0), rtol=1e-4)


def test_the_whole_state_of_an_lstm_reaches_no_less_than_its_output() -> None:
    windows = np.random.default_rng(0).integers(0, len(WORDS), (3, 9)).astype(np.int32)
    found = states.gradient_norms(model_of("lstm", WORDS, PLAIN, layers=2), windows, 6)
    assert found["h"].shape == found["state"].shape == (7,)
    assert found["state"][0] == pytest.approx(found["h"][0]), "the loss is read from h alone"
    assert (found["state"][1:] > found["h"][1:]).all()


def test_forget_gates_are_those_of_the_model() -> None:
    model = model_of("lstm", WORDS, PLAIN)
    windows = np.random.default_rng(0).integers(0, len(WORDS), (3, 8)).astype(np.int32)
    found = states.forget_gates(model, windows)
    assert found is not None and found.shape == (3 * 4 * 4,)
    w, u, b = (np.asarray(model.params["layers"]["0"][k], np.float64) for k in ("W", "U", "b"))
    h, c, last = np.zeros((3, 4)), np.zeros((3, 4)), np.zeros((3, 4))
    for t in range(8):
        i, f, g, o = np.split(np.asarray(model.params["embed"], np.float64)[windows[:, t]] @ w + h @ u + b, 4, axis=1)
        last = scipy.special.expit(f)
        c = last * c + scipy.special.expit(i) * np.tanh(g)
        h = scipy.special.expit(o) * np.tanh(c)
    np.testing.assert_allclose(found.reshape(3, 4, 4)[:, -1], last, atol=1e-5)
    assert states.forget_gates(model_of("gru", WORDS, PLAIN), windows) is None
    figures = gradients.gate_figures(np.array([0.0, 0.5, 0.95, 1.0]))
    assert figures["share_at_least_needed"] == 0.5 and figures["mean"] == pytest.approx(0.6125)
    assert sum(figures["histogram"]) == pytest.approx(1.0) and figures["histogram"][-1] == 0.25


def test_agreement_is_counted_verb_by_verb() -> None:
    """The class whose verbs have more probability, from the logits of one text at a time."""
    chosen = SyntheticConfig(words=30, topics=2, senses=2, distances="1,3", heldout_tokens=300)
    data = DataConfig(source="synthetic", tokens="whitespace", lowercase=False, synthetic=chosen)
    spoken, text = states.agreement_text(data)
    g = spoken.grammar
    words = tuple(np.random.default_rng(0).permutation(g.words).tolist())
    model = model_of("gru", words, data)
    found = states.agreement(model, most=1000)
    assert set(found) == {1, 3} and set(spoken.agreement_accuracy_ceiling(text).values()) == {1.0}
    ids = np.array([words.index(w) for w in g.words], np.int32)
    right: dict[int, list[bool]] = {1: [], 3: []}
    for place in np.flatnonzero(text.distance):
        if place < 3 + 3:
            continue
        read = jnp.asarray(ids[text.ids[None, place - 6 : place]])
        logits = whole_logits(FAMILY, model.cfg, model.params, {}, read)[0, -1]
        odds = np.exp(np.asarray(logits, np.float64))
        sums = [odds[ids[g.kinds == SUBJECT + 2 + c]].sum() for c in range(2)]
        right[int(text.distance[place])].append(np.argmax(sums) == g.kinds[text.ids[place]] - SUBJECT - 2)
    for d, marks in right.items():
        share = np.mean(marks)
        assert found[d] == pytest.approx((share, np.sqrt(share * (1 - share) / len(marks))))


# ---- the study ----


def test_messages_advise_what_the_flags_can_do() -> None:
    said = "data.source='text:a.txt': the text is one document: give the text line breaks"
    said += ", set data.heldout_every=0, or name another text in data.heldout_source"
    assert gradients.in_flags(said) == "--source='text:a.txt': the text is one document: give the text line breaks"
    other = gradients.in_flags("data.source='text:model.dim/data.txt': not UTF-8; set data.encoding_errors=replace")
    assert other.endswith("(data.encoding_errors is a key of a config, for which this command has no flag)")
    plain = "--source='text:x/data.txt': no such file"
    assert gradients.in_flags(plain.replace("--source", "data.source")) == plain
    for name in ("data.txt", "model.txt", "train.tsv", "log.d", "data.source.txt"):  # files, and no keys
        assert gradients.in_flags(f"{name}: no such file or folder") == f"{name}: no such file or folder"


def test_one_config_for_all_cells() -> None:
    options = gradients.Options(cells=("lstm", "rnn"), hidden=8)
    lstm, rnn = (gradients.config_of(options, cell) for cell in options.cells)
    assert dataclasses.replace(lstm, model=dataclasses.replace(lstm.model, cell="rnn")) == rnn
    assert lstm.data.source == "synthetic" and lstm.model.hidden == lstm.model.dim == 8
    with pytest.raises(UserError, match="--cells='lstn': must be one of .*did you mean 'lstm'"):
        gradients.Options(cells=("lstn",))
    with pytest.raises(UserError, match="has 9 tokens"):
        gradients.windows_of(np.arange(9), 2, 10)
    assert gradients.windows_of(np.arange(9), 3, 5).tolist() == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [4, 5, 6, 7, 8]]


def test_the_command_trains_measures_and_draws(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(text_of(20, lines=200, width=10))
    sizes = ["--hidden=4", "--length=6", "--batch_size=8", "--passes=0.6", "--furthest=6", "--windows=8"]
    arguments = [
        f"--source=text:{tmp_path / 'text.txt'}",
        "--cells=lstm",
        *sizes,
        f"--workdir={tmp_path / 'w'}",
    ]
    done = run("experiments.gradients", *arguments)
    assert done.status == 0, done.err
    assert done.out.strip().splitlines()[-1] == f"picture: {tmp_path / 'w' / 'gradients.png'}"
    assert imread(tmp_path / "w" / "gradients.png").shape[0] > 900
    found = json.loads((tmp_path / "w" / "gradients.json").read_text())
    assert list(found["cells"]) == ["lstm"] and "--furthest=6" in found["command"]
    assert found["ceiling"] == {} and found["cells"]["lstm"]["agreement"] is None
    norms = found["cells"]["lstm"]["gradients"]
    before, after = (np.array(norms[when]["state"]) for when in ("untrained", "trained"))
    assert len(before) == len(after) == 7 and not np.allclose(before / before[0], after / after[0], rtol=1e-3)
    rows = [line.split() for line in done.out.splitlines()]
    shown = next(row for row in rows if row[:3] == ["lstm", "trained", "state"])
    assert shown[3:] == [f"{after[k] / after[0]:.2g}" for k in (1, 5)]
    assert found["cells"]["lstm"]["forget_gates"]["needed"] == pytest.approx(0.948, abs=1e-3)
    assert (tmp_path / "w" / "lstm" / "result.json").is_file(), "the same command would reuse the run"


def test_a_picture_of_all_panels(tmp_path: Path) -> None:
    k = np.arange(41)
    cells = {
        "rnn": distance.Reach({"h": 0.5**k}, {"h": 0.8**k}, agreement={1: (0.99, 0.01), 8: (0.6, 0.02)}),
        "lstm": distance.Reach(
            {"h": 0.6**k, "state": 0.7**k},
            {"h": 0.9**k, "state": 0.95**k},
            gates=np.full(50, 0.02),
            agreement={1: (1.0, 0.0), 8: (0.9, 0.01)},
        ),
    }
    distance.draw(cells, 0.948, {1: 1.0, 8: 1.0}, 0.5, tmp_path / "a.png", "small print")
    assert imread(tmp_path / "a.png").shape[0] > 1200
