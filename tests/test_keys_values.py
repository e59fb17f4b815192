"""The key-value ladder and the ledger as commands."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import keys_values
from experiments.common.config_flag import load_config
from experiments.common.measuring import size_of
from experiments.keys_values import RUNGS, WIDE
from experiments.ledger import full_vocabulary
from tests.commands import ROOT, refused, run
from tests.examples import WORDS, saved
from w2v_jax.config import Config, DataConfig
from w2v_jax.data.corpus import build_corpus
from w2v_jax.figures import keys_values as figure
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.nn.recurrent import CELLS
from w2v_jax.scaling.ledger import ledger

CONFIG = f"--config={ROOT / 'configs/keys_values.py'}"


def test_a_width_is_found_that_spends_what_sharing_saves() -> None:
    for model in (TransformerConfig(layers=4, dim=160, heads=4), TransformerConfig(layers=12, dim=768, heads=12)):
        usual = size_of("transformer", model, 4096)
        wide = keys_values.widened(model, 4096)
        assert wide.keys_values == "shared_kv" and wide.dim > model.dim
        shared = dataclasses.replace(model, keys_values="shared_kv")
        missing = usual - size_of("transformer", shared, 4096)
        assert abs(size_of("transformer", wide, 4096) - usual) < 0.5 * missing
    base = load_config(str(ROOT / "configs/keys_values.py"))
    assert size_of("transformer", base.model, 4096) == 1_885_600
    configs = {name: keys_values.rung(base, name, 4096, 3) for name in RUNGS}
    assert configs[WIDE].model.dim == 168 and {c.train.seed for c in configs.values()} == {3}


def found_of(losses: dict[str, tuple[float, float]]) -> dict[str, Any]:
    sizes = {name: {"dim": 8 + (name == WIDE), "parameters": 900 if "kv" in name else 1000} for name in RUNGS}
    bytes_of = {"per_layer": 80, "shared_k": 50, "shared_v": 50, "shared_kv": 20, WIDE: 25}
    return {
        name: sizes[name]
        | {"cache_bytes": bytes_of[name], "tokens_per_second": 100.0 + i, "rounds": [99.0 + i, 100.0 + i, 101.0 + i]}
        | {"runs": [{"heldout_loss": x, "bits_per_byte": x / 2} for x in losses[name]]}
        for i, name in enumerate(RUNGS)
    }


def test_the_paragraph_and_the_picture_say_what_the_figures_say(tmp_path: Path) -> None:
    losses = {
        "per_layer": (4.0, 4.1),
        "shared_k": (4.01, 4.12),
        "shared_v": (4.05, 4.15),
        "shared_kv": (4.2, 4.3),
        WIDE: (4.0, 4.0),
    }
    found = found_of(losses)
    text = keys_values.paragraph(found)
    for part in (
        "keys shared +0.0150 (+0.0100, +0.0200)",
        "both shared +0.2000 (+0.2000, +0.2000)",
        "saves 10.0% of the parameters, and its cache is 4 times smaller",
        "a width of 9: -0.0500 (+0.0000, -0.1000), the cache 3.2 times smaller",
        "relative to per_layer: shared_k 1.01, shared_v 1.02, shared_kv 1.03, shared_kv_wide 1.04",
    ):
        assert part in text, (part, text)
    drawn = figure.draw(found, "per_layer", tmp_path / "a.png")
    np.testing.assert_allclose(drawn, [0.0, 0.015, 0.05, 0.2, -0.05], atol=1e-12)
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_bits_per_byte_are_those_of_the_predicted_tokens() -> None:
    """Eight tokens of one bit each on four bytes; the first one is predicted from the end token alone."""
    text = {"heldout_tokens": 8, "heldout_bytes": 4}
    assert keys_values.bits_per_byte(np.log(2), text, DataConfig(end_token="<eos>")) == pytest.approx(2.0)
    assert keys_values.bits_per_byte(np.log(2), text, DataConfig()) == pytest.approx(7 / 4)


def test_the_command_trains_every_rung_and_takes_finished_ones_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(list("abcdefgh"), 6)) for _ in range(100)]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    values = {"model.layers": 2, "model.dim": 8, "model.heads": 1, "model.length": 8, "train.batch_size": 4}
    values |= {"data.source": f"text:{tmp_path / 'text.txt'}", "data.max_vocab": 260, "train.steps_per_call": 2}
    values |= {"train.max_steps": 4, "mesh.data": 1}
    words = [CONFIG, f"--workdir={tmp_path / 'runs'}", "--seeds=5", "--seconds=0", f"--rungs={WIDE}"]
    words += [f"--config.{k}={v}" for k, v in values.items()]
    done = run("experiments.keys_values", *words)
    assert done.status == 0, done.err
    results = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert list(results["rungs"]) == ["per_layer", WIDE] and results["paragraph"] in done.out
    for name, entry in results["rungs"].items():
        own = json.loads((tmp_path / "runs" / f"{name}-5" / "result.json").read_text())
        saved = Config(**json.loads((tmp_path / "runs" / f"{name}-5" / "config.json").read_text()))
        assert entry["runs"][0]["heldout_loss"] == own["heldout_loss"]
        assert saved.model["dim"] == entry["dim"] and saved.train["seed"] == 5
        assert saved.model["keys_values"] == ("shared_kv" if name == WIDE else "per_layer")
        held = own["corpus"]
        nats = own["heldout_loss"] * held["heldout_tokens"]
        assert entry["runs"][0]["bits_per_byte"] == pytest.approx(nats / np.log(2) / held["heldout_bytes"])
    assert (tmp_path / "runs" / "keys_values.png").is_file()
    again = run("experiments.keys_values", *words)
    assert again.status == 0 and "compiled in" not in again.err and again.out == done.out


def test_bad_flags_are_one_line(tmp_path: Path) -> None:
    at = f"--workdir={tmp_path / 'runs'}"
    refused(run("experiments.keys_values", CONFIG), "--workdir is missing")
    refused(run("experiments.keys_values", at), "--config is missing")
    refused(run("experiments.keys_values", at, CONFIG, "--seeds=0,x"), "--seeds=0,x: must be different whole numbers")
    refused(run("experiments.keys_values", at, f"--config={ROOT / 'configs/ptb.py'}"), "no causal transformer")
    refused(run("experiments.keys_values", at, CONFIG, "--rungs=shared"), "--rungs='shared': must be one of")
    refused(run("experiments.ledger"), "--config is missing")
    refused(run("experiments.ledger", f"--config={ROOT / 'configs/demo.py'}"), "family word2vec is no language model")
    refused(run("experiments.ledger", CONFIG, "--config.model.vocab_size=5", "--vocab=9"), "states model.vocab_size=5")
    refused(run("experiments.ledger", f"--workdir={tmp_path}"), "holds no run")
    refused(run("experiments.ledger", CONFIG, f"--workdir={tmp_path}"), "--workdir, --config: the run has its own")
    assert not list(tmp_path.iterdir())


def test_the_ledger_prints_the_notes_model() -> None:
    done = run("experiments.ledger", f"--config={ROOT / 'configs/notes_transformer.py'}", "--vocab=50000")
    assert done.status == 0, done.err
    lines = {line.split("  ")[0].strip(): line.split()[-4:] for line in done.out.splitlines() if line}
    assert lines["embeddings"] == ["38,400,000"] * 4 and lines["queries"] == ["7,077,888"] * 4
    assert lines["keys"] == ["7,077,888", "589,824", "7,077,888", "589,824"]
    assert lines["values"] == ["7,077,888", "7,077,888", "589,824", "589,824"]
    assert lines["total"] == ["123,334,656", "116,846,592", "116,846,592", "110,358,528"]
    assert lines["times smaller"][-1] == "12"
    weights, length = 123_334_656, 512  # the tied table is used once, at the head
    assert lines["training FLOPs per token"][0] == f"{6 * weights + 6 * length * 768 * 12:,}"


def lines_of(*words: str) -> dict[str, list[str]]:
    """{first cell: the others} of a ledger."""
    done = run("experiments.ledger", *words)
    assert done.status == 0, done.err
    rows = [re.split(r" {2,}", line.strip()) for line in done.out.splitlines()[2:]]
    return {first: others for first, *others in rows} | {"sizes": [done.out.splitlines()[0]]}


def test_the_ledger_of_recurrent_models() -> None:
    """A cell a column; those of a cell stand beside the arrays that training makes."""
    config = load_config(str(ROOT / "configs/ptb.py"))
    found = lines_of(f"--config={ROOT / 'configs/ptb.py'}", "--vocab=10000")
    assert found["parameters"] == list(CELLS)
    for cell, total, padding, cost in zip(
        CELLS, found["total"], found["padding"], found["training FLOPs per token"], strict=True
    ):
        ours = ledger(dataclasses.replace(config, model=dataclasses.replace(config.model, cell=cell)), 10_000, False)
        expected = (ours.parameters, ours.padding, round(ours.flops_per_token))
        assert tuple(int(n.replace(",", "")) for n in (total, padding, cost)) == expected


@pytest.mark.parametrize("changes", [{}, {"unknown": "drop"}, {"end_token": ""}, {"tokens": "bpe", "max_vocab": 260}])
def test_a_full_vocabulary_is_counted_from_its_config(changes: dict[str, Any], tmp_path: Path) -> None:
    """<eos> and <unk> come on top of data.max_vocab words; byte pairs have both within."""
    (tmp_path / "text.txt").write_text("".join(f"word{i} word\n" for i in range(40)))
    kept = {"tokens": "punctuation", "max_vocab": 10, "unknown": "keep", "end_token": "<eos>", "min_count": 1}
    data = DataConfig(source=f"text:{tmp_path / 'text.txt'}", cache_dir=str(tmp_path / "cache"), **kept | changes)
    assert len(build_corpus(data).vocab) == full_vocabulary(data)


def test_the_ledger_of_a_run(tmp_path: Path) -> None:
    at = saved(tmp_path / "run", "transformer", layers=2, dim=8, heads=2, length=6)
    assert lines_of(f"--workdir={at}")["sizes"] == [f"2 layers of 8, 2 heads, {len(WORDS) + 1} tokens, causal"]
    at = saved(tmp_path / "lm", "recurrent_lm", layers=1, hidden=8, dim=6)
    found = lines_of(f"--workdir={at}")
    assert found["sizes"] == [f"1 layers of 8, embeddings of 6, {len(WORDS) + 1} tokens"]
    assert found["parameters"] == ["rnn", "lstm", "gru"], "elementwise cells need as many dimensions as units"
    refused(run("experiments.ledger", f"--workdir={at}", "--vocab=9"), "--workdir, --vocab: the run has its own")
