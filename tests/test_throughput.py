"""Tokens/s by length: the ways to read agree with each other and with the whole text; clock, verdict, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from experiments.common import measuring
from experiments.common.measuring import clock, size_of
from experiments.throughput.__main__ import judge, sentence, verdicts
from experiments.throughput.cells import (
    AT_ONCE,
    LSTM,
    ONE_BY_ONE,
    Options,
    equal_width,
    lstm_of,
    read_at_once,
    read_one_by_one,
)
from tests.commands import refused, run
from tests.examples import quick, random_params, whole_logits
from w2v_jax.errors import UserError
from w2v_jax.models import recurrent_lm, transformer
from w2v_jax.models.transformer import TransformerConfig

VOCAB = 23
pytestmark = pytest.mark.xdist_group("throughput")
TINY = ["--layers=1", "--dim=16", "--heads=2", "--vocab=50", "--tokens=16", "--seconds=0.01", "--lengths=8"]


def test_a_transformer_reads_the_same_at_once_and_one_by_one() -> None:
    cfg = TransformerConfig(layers=2, dim=8, heads=2, length=6, vocab_size=VOCAB)
    params = random_params(transformer.FAMILY, cfg, {}, 0)
    tokens = jnp.asarray(np.random.default_rng(1).integers(0, VOCAB, (3, 6)).astype(np.int32))

    def everything(params: Any, tokens: jax.Array) -> tuple[jax.Array, ...]:
        whole = whole_logits(transformer.FAMILY, cfg, params, {}, tokens)[:, -1]
        given = (transformer.FAMILY.decode, cfg, params, tokens)
        return whole, read_at_once(*given), read_one_by_one(*given)

    whole, at_once, one_by_one = map(np.asarray, quick(everything, params, tokens))
    assert whole.shape == (3, VOCAB) and whole.std() > 0.1
    np.testing.assert_allclose(at_once, whole, atol=1e-5)
    np.testing.assert_allclose(one_by_one, whole, atol=1e-5)


def test_an_lstm_reads_the_whole_text() -> None:
    cfg = recurrent_lm.FAMILY.resolve(lstm_of(2, 6, 5), VOCAB)
    params = random_params(recurrent_lm.FAMILY, cfg, {}, 0)
    tokens = jnp.asarray(np.random.default_rng(1).integers(0, VOCAB, (3, 5)).astype(np.int32))

    def both(params: Any, tokens: jax.Array) -> tuple[jax.Array, ...]:
        whole = whole_logits(recurrent_lm.FAMILY, cfg, params, {}, tokens)[:, -1]
        return whole, read_at_once(recurrent_lm.FAMILY.decode, cfg, params, tokens)

    whole, read = map(np.asarray, quick(both, params, tokens))
    assert whole.std() > 0.1
    np.testing.assert_allclose(read, whole, atol=1e-5)


def test_the_compiler_leaves_the_head_out_of_the_loop_over_tokens() -> None:
    cfg = TransformerConfig(layers=1, dim=8, heads=2, length=6, vocab_size=1000)
    shapes = jax.eval_shape(lambda: transformer.FAMILY.trained.init(jax.random.key(0), cfg, {}))
    tokens = jax.ShapeDtypeStruct((1, 6), jnp.int32)
    lowered = jax.jit(lambda p, t: read_one_by_one(transformer.FAMILY.decode, cfg, p, t)).lower(shapes, tokens)
    text = lowered.compile().as_text() or ""
    products = [line for line in text.splitlines() if "1000" in line and ("dot(" in line or "custom-call" in line)]
    assert len(products) == 1, products


@pytest.mark.parametrize(("layers", "dim", "vocab"), [(4, 256, 8192), (2, 64, 1000), (12, 768, 50_257)])
def test_the_lstm_has_as_many_parameters(layers: int, dim: int, vocab: int) -> None:
    wanted = size_of("transformer", TransformerConfig(layers=layers, dim=dim, heads=2), vocab)
    hidden = equal_width(wanted, layers, vocab)
    found = size_of("recurrent_lm", lstm_of(layers, hidden, 1), vocab)
    rows = -(-vocab // 128) * 128
    assert found == rows * (hidden + 1) + layers * (8 * hidden * hidden + 4 * hidden)
    assert abs(found / wanted - 1) <= 0.01


def test_the_clock_takes_turns_and_divides_by_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only the calls move: each takes its time, and its first call a second more."""
    made: list[str] = []
    now = [0.0]
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])

    def caller(name: str, seconds: float) -> Any:
        def call() -> None:
            now[0] += seconds if name in made else 1.0 + seconds
            made.append(name)

        return call

    slow, fast = clock([caller("slow", 0.02), caller("fast", 0.002)], 0.2)
    assert slow == pytest.approx([0.02] * 5) and fast == pytest.approx([0.002] * 5)
    after = made[4:]  # two calls each to warm up
    assert after == (["slow"] * 2 + ["fast"] * 20) * 5


def cells(*rates: float) -> list[dict[str, float]]:
    return [{"tokens_per_second": rate} for rate in rates]


def test_the_verdict_is_of_the_largest_ratio() -> None:
    found = {
        "training": {LSTM: cells(10, 10), AT_ONCE: cells(20, 15)},
        "prompt": {LSTM: cells(10, 10), AT_ONCE: cells(300, 730), ONE_BY_ONE: cells(1, 2)},
    }
    judged = verdicts(found, (32, 2048))
    assert judged["training_by_lstm"]["ratios"] == {"32": 2.0, "2048": 1.5}
    assert judged["training_by_lstm"]["length"] == 32
    same = {LSTM: 1000, AT_ONCE: 1010}
    assert sentence("training_by_lstm", judged["training_by_lstm"], same) == (
        "On this device the transformer trains on texts of 32 tokens 2.00 times as fast as the LSTM of equal "
        "parameters; the notes say about 100: not here."
    )
    by_lstm, by_itself = judged["prompt_by_lstm"], judged["prompt_by_itself"]
    assert by_lstm["largest"] == 73.0 and by_lstm["verdict"] == "holds"
    assert "reads a prompt of 2,048 tokens 73 times as fast as the LSTM" in sentence("prompt_by_lstm", by_lstm, same)
    other = sentence("prompt_by_lstm", by_lstm, {LSTM: 1015, AT_ONCE: 1000})
    assert "as the LSTM with 1.5% more parameters; the notes" in other
    assert "1.5% fewer" in sentence("prompt_by_lstm", by_lstm, {LSTM: 985, AT_ONCE: 1000})
    assert by_itself["largest"] == 365.0 and by_itself["verdict"] == "more"
    assert [judge(x) for x in (49.9, 50.0, 200.0, 200.1)] == ["less", "holds", "holds", "more"]


def test_the_command_measures_prints_and_draws(tmp_path: Path) -> None:
    out = tmp_path / "new" / "throughput"
    done = run("experiments.throughput", *TINY, f"--out={out}")
    assert done.status == 0, done.err
    assert done.err.count(" left\n") == 2  # two kinds of work
    found = json.loads((out / "throughput.json").read_text())
    assert abs(found["parameters"][LSTM] / found["parameters"][AT_ONCE] - 1) <= 0.02
    assert found["device"]["platform"] == jax.default_backend() and found["machine"]["versions"]["jax"]
    for work, names in (("training", (LSTM, AT_ONCE)), ("prompt", (LSTM, ONE_BY_ONE, AT_ONCE))):
        assert set(found[work]) == set(names)
        for measured in found[work].values():
            (cell,) = measured
            assert (cell["length"], cell["rows"]) == (8, 2 if work == "training" else 1)
            rate = 1 / np.median(1 / np.array(cell["rounds"]))  # the median is that of times
            assert cell["tokens_per_second"] == pytest.approx(rate)
            assert f"{cell['tokens_per_second']:,.0f}" in done.out
    for name, verdict in found["verdicts"].items():
        assert sentence(name, verdict, found["parameters"]) in done.out
    picture = imread(out / "throughput.png")
    assert picture.shape[0] > 400 and picture.std() > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--lengths=8,4", "--lengths='8,4': must be rising"),
        ("--lengths=0,4", "--lengths='0,4': must be rising"),
        ("--lengths=", "--lengths=''"),
        ("--lengths=a,4", "--lengths='a,4'"),
        ("--dtype=float16", "--dtype='float16': must be one of float32, bfloat16"),
        ("--heads=3", "--heads=3: must be such that --dim=256"),
        ("--tokens=0", "--tokens=0: must be at least 1"),
        ("--seconds=0", "--seconds=0.0: must be above 0"),
        ("--dimm=4", "unknown flag --dimm"),
        ("word", "unexpected argument 'word'"),
    ],
)
def test_flags_that_cannot_be(change: str, message: str, tmp_path: Path) -> None:
    refused(run("experiments.throughput", change, f"--out={tmp_path / 'out'}"), message)
    assert not (tmp_path / "out").exists()


def test_options_in_code_are_checked_too() -> None:
    with pytest.raises(UserError, match="--batch=0: must be at least 1"):
        Options(batch=0)
