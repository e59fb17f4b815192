"""The ladder of classifiers, end to end on made-up reviews."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.common.config_flag import load_config
from experiments.sentiment import rung
from tests import commands
from w2v_jax import formats
from w2v_jax.config import DataConfig
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.evaluation.classification import macro_f1
from w2v_jax.models import vectors

GOOD, BAD = ("good", "great", "cute", "fine"), ("bad", "awful", "dull", "poor")
PLAIN = ("the", "dog", "film", "was", "a", "very", "and", "plot")
DIM = 4


def reviews(count: int, seed: int) -> list[str]:
    """`label<TAB>text` lines: three of four words of feeling are of the label's kind."""
    rng = np.random.default_rng(seed)
    lines = []
    for label in rng.integers(0, 2, count):
        words = list(rng.choice(PLAIN, rng.integers(3, 12)))
        kinds = (GOOD, BAD) if label else (BAD, GOOD)
        for _ in range(3):
            words.insert(int(rng.integers(len(words))), str(rng.choice(kinds[int(rng.random() < 0.25)])))
        lines.append(f"{label}\t{' '.join(words)}\tsome/file.txt")
    return lines


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Training and test texts, and vectors in which feeling is one dimension."""
    rng = np.random.default_rng(0)
    words = (*GOOD, *BAD, *PLAIN)
    matrix = rng.normal(0, 0.3, (len(words), DIM)).astype(np.float32)
    matrix[: len(GOOD), 0] += 1.0
    matrix[len(GOOD) : len(GOOD + BAD), 0] -= 1.0
    save(Embeddings(words, matrix), tmp_path / "vectors.bin")
    (tmp_path / "train.tsv").write_text("\n".join(reviews(240, 1)) + "\n")
    (tmp_path / "test.tsv").write_text("\n".join(reviews(60, 2)) + "\n")
    return {"vectors": str(tmp_path / "vectors.bin")} | {k: f"tsv:{tmp_path / k}.tsv" for k in ("train", "test")}


# ---- the command ----

SMALL = {
    "model.hidden": 6,
    "model.dropout": 0.0,
    "train.passes": 5.0,
    "train.batch_size": 16,
    "train.steps_per_call": 7,
    "checkpoint.every_steps": 28,
    "log.eval_every_steps": 28,
    "log.tensorboard": False,
    "mesh.data": 1,
}
RECURRENT = SMALL | {"model.init_scale": 0.3, "optimizer.learning_rate": 0.05}
BLOCKS = SMALL | {
    "model.hidden": 8,
    "model.heads": 2,
    "model.wide": 1,
    "model.layers": 1,
    "model.pad_lengths": 1,
    "model.init_scale": 0.1,
    "optimizer.learning_rate": 0.02,
    "optimizer.warmup_steps": 5,
}


@pytest.fixture(scope="module", autouse=True)
def quick_compiles() -> Iterator[None]:
    """What `tests.examples.QUICK` is for one function, for all that the commands compile."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def climb(files: dict[str, str], workdir: Path, **change: str) -> commands.Done:
    config = []
    for flag, file, values in (
        ("config", "sentiment.py", RECURRENT),
        ("transformer", "sentiment_transformer.py", BLOCKS),
    ):
        config += [f"--{flag}={commands.ROOT / 'configs' / file}", *(f"--{flag}.{k}={v}" for k, v in values.items())]
    named = {**files, "workdir": str(workdir), **change}
    return commands.run("experiments.sentiment", *config, *(f"--{k}={v}" for k, v in named.items()))


def test_what_decides_a_rung() -> None:
    base, last = (
        load_config(str(commands.ROOT / "configs" / f"{name}.py")) for name in ("sentiment", "sentiment_transformer")
    )
    given = {"vectors": "x.bin", "dim": 7, "max_length": 9, "encoding_errors": "replace"}
    base = dataclasses.replace(
        base, model=dataclasses.replace(base.model, **given), data=DataConfig(source="tsv:a", labels="sst2")
    )
    made = {name: rung(base, last, name) for name in ("average", "elementwise", "lstm", "gru", "transformer")}
    assert made["lstm"] == base and made["gru"].model == dataclasses.replace(base.model, cell="gru")
    for name, config in made.items():
        assert {key: getattr(config.model, key) for key in given} == given and config.model.frozen
        assert config.data == base.data, name
    assert made["elementwise"].model.hidden == 7 and made["elementwise"].model.pool == "last"
    rate = base.optimizer.learning_rate
    assert made["average"].optimizer.learning_rate == 25 * rate
    assert made["elementwise"].optimizer.learning_rate == 10 * rate
    own = made["transformer"]
    assert own.family == "transformer_classifier" and own.model == dataclasses.replace(last.model, **given)
    assert (own.optimizer, own.train, own.log) == (last.optimizer, last.train, last.log)


def test_the_ladder(files: dict[str, str], tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workdir = tmp_path / "ladder"
    reads: list[str] = []
    monkeypatch.setattr(vectors, "read", lambda path, **rest: reads.append(path) or formats.read(path, **rest))
    before = Path(files["vectors"]).read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        commands.at_call(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        stopped = climb(files, workdir, models="rnn", max_length="10")
    assert stopped.status == 128 + signal.SIGTERM and "The same command continues" in stopped.err
    first = climb(files, workdir, models="rnn", max_length="10")
    assert first.status == 0 and "continuing at step" in first.err, first.err
    lower = json.loads((workdir / "results.json").read_text())["models"]

    done = climb(files, workdir, models="rnn,transformer", max_length="10")
    assert done.status == 0 and done.err.count("finished") == 1, done.err
    results = json.loads((workdir / "results.json").read_text())
    assert results["models"][:1] == lower, "finished rungs are not trained again"
    by_model = {row["model"]: row for row in results["models"]}
    assert list(by_model) == ["rnn", "transformer"]
    assert by_model["rnn"]["parameters"] == 6 * (DIM + 6 + 1) + 6 * 2 + 2
    assert by_model["transformer"]["parameters"] == DIM * 8 + (4 + 2) * 64 + 3 * 8 + 8 * 2 + 2
    for row in by_model.values():
        assert row["test_accuracy"] > 0.7, row
        assert row["test_error"] == pytest.approx(np.sqrt(row["test_accuracy"] * (1 - row["test_accuracy"]) / 60))
        assert np.sum(row["confusion"]) == 60
        # The predictions are in the order of the file, though texts are scored from short to long.
        lines = (workdir / f"predictions_{row['model']}.tsv").read_text().splitlines()
        cells = [line.split("\t") for line in lines[1:]]
        assert [cell[0] for cell in cells] == [f"{files['test'].removeprefix('tsv:')}:{i}" for i in range(1, 61)]
        assert [cell[1] for cell in cells] == [line[0] for line in reviews(60, 2)]
        assert [sum(cell[1:3] == [a, b] for cell in cells) for a in "01" for b in "01"] == np.ravel(
            row["confusion"]
        ).tolist()
        assert all(0.5 <= float(cell[3]) <= 1 for cell in cells)
        assert row["test_macro_f1"] == macro_f1(np.array(row["confusion"])) and "each label by" in done.out
    lengths = [len(line.split("\t")[1].split()) for line in reviews(60, 2)]
    assert results["cut"]["test"]["cut_examples"] == sum(n > 10 for n in lengths) > 0
    assert results["cut"]["test"]["cut_share"] == pytest.approx(sum(max(n - 10, 0) for n in lengths) / sum(lengths))
    assert results["vectors"]["sha256_before"] == results["vectors"]["sha256_after"]
    assert Path(files["vectors"]).read_bytes() == before
    assert f"{by_model['transformer']['test_accuracy']:.2%} ±" in done.out and str(workdir / "ladder.png") in done.out
    assert (workdir / "ladder.png").stat().st_size > 10_000

    for text, label in (("The dog was cute", "positive"), ("an awful, dull, poor film!", "negative")):
        said = commands.run("experiments.sentiment", f"--workdir={workdir}", f"--text={text}")
        lines = said.out.strip().splitlines()
        assert said.status == 0 and [line.split()[0] for line in lines[1:]] == list(by_model)
        assert all(line.split()[1] == label and 50 < float(line.split()[2].rstrip("%")) <= 100 for line in lines[1:])
    one = commands.run("experiments.sentiment", f"--workdir={workdir / 'transformer'}", "--text=great")
    assert one.status == 0 and one.out.splitlines()[1].startswith("transformer")
    both = commands.run("experiments.sentiment", f"--workdir={workdir}", "--text=so great", "--text=an awful film")
    rows = [re.split(" {2,}", line.strip()) for line in both.out.strip().splitlines()]
    assert rows[0] == ["model", "label", "confidence", "text"] and len(rows) == 5
    expected = [
        (name, *said) for name in by_model for said in (("positive", "so great"), ("negative", "an awful film"))
    ]
    assert [(name, label, text) for name, label, _, text in rows[1:]] == expected
    commands.refused(commands.run("experiments.sentiment", f"--workdir={workdir}", "--text= "), "--text is empty")
    looked = commands.run(
        "experiments.inspect", f"--workdir={workdir / 'rnn'}", "--text=the great film", "--from=great"
    )
    assert looked.status == 0 and re.search("token +negative +positive\n", looked.out), looked.out + looked.err
    told = r"a classifier \(recurrent_classifier\) has no vectors of words; its scores are in .*result\.json"
    commands.refused(commands.run("experiments.evaluate", f"--workdir={workdir / 'rnn'}"), told)
    strange = commands.run("experiments.sentiment", f"--workdir={workdir}", "--text=xyzzy")
    commands.refused(strange, "--text='xyzzy': none of its words")
    mixed = commands.run("experiments.sentiment", f"--workdir={workdir}", "--text=xyzzy", "--text=so great")
    assert mixed.status == 0 and "note: - stands for a text without a known word" in mixed.err
    rows = [re.split(" {2,}", line.strip()) for line in mixed.out.strip().splitlines()[1:]]
    assert [row[1] for row in rows] == ["-", "positive"] * 2 and [row[3] for row in rows] == ["xyzzy", "so great"] * 2

    assert reads == [files["vectors"]], "read once, by all models of all these commands"

    before_change = load(files["vectors"])
    save(Embeddings(before_change.words, np.asarray(before_change.vectors) + 0.5), files["vectors"])
    changed = commands.run("experiments.sentiment", f"--workdir={workdir}", "--text=great")
    commands.refused(changed, "trained with other constants")
    assert reads == [files["vectors"]] * 2, "a file that has changed is read again"
    refused = climb(files, workdir, models="transformer", max_length="9")
    commands.refused(refused, "holds a run whose config differs in model.max_length", alone=False)


def test_labels_with_names(files: dict[str, str], tmp_path: Path, fresh_cache: Path) -> None:
    kinds = {"pan": ("good", "great"), "rave": ("bad", "awful"), "so so": ("dog", "film")}  # not their meaning
    lines = [f"{name}\t{' '.join(words)} {'the ' * i}" for i in range(20) for name, words in kinds.items()]
    for part in ("train", "test"):
        (tmp_path / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    workdir, names = tmp_path / "ladder", {"labels": "named", "models": "average"}
    few = climb(files, workdir, **names, **{"config.model.classes": "2"})
    told = "--config.model.classes=2: .* has 3 named labels; set --config.model.classes=3"
    commands.refused(few, told, alone=False)
    done = climb(files, workdir, **names)
    assert done.status == 0 and "labels: 0 pan, 1 rave, 2 so so" in done.err, done.err
    assert "corpus: test: 60 of its 60 texts stand in the training or held-out texts too" in done.err
    assert json.loads((workdir / "results.json").read_text())["corpus"]["labels"] == list(kinds)
    texts = [f"--text={' '.join(words)}" for words in kinds.values()]
    said = commands.run("experiments.sentiment", f"--workdir={workdir}", *texts)
    rows = [re.split(" {2,}", line.strip()) for line in said.out.strip().splitlines()[1:]]
    assert [row[1] for row in rows] == list(kinds), said.out + said.err


def test_bad_input(files: dict[str, str], tmp_path: Path, fresh_cache: Path) -> None:
    workdir = tmp_path / "runs"
    bad = tmp_path / "bad.tsv"
    for line, message in (
        ("2\tso so", "bad.tsv:3: label 2 is outside 0..1"),
        ("good film", "bad.tsv:3: no tab"),
        (
            "pos\tgood",
            "bad.tsv:3: label 'pos' is no integer; for labels that are names set data.labels=named, or --labels=named",
        ),
    ):
        bad.write_text("1\tgood\n0\tbad\n" + line + "\n")
        commands.refused(climb(files, workdir, train=f"tsv:{bad}"), message)
    commands.refused(climb(files, workdir, test=""), "--test is missing")
    commands.refused(climb(files, workdir, vectors=""), "--vectors is missing")
    commands.refused(climb(files, workdir, vectors="none.bin"), "none.bin: no such file")
    commands.refused(climb(files, workdir, models="average,lsmt"), "--models='lsmt': .*did you mean 'lstm'")
    named = f"--workdir={workdir}"
    skipgram = f"--transformer={commands.ROOT / 'configs/skipgram.py'}"
    commands.refused(climb(files, workdir, **{"transformer.model.hiden": "8"}), "no key 'model.hiden' .*'model.hidden'")
    other = [f"--{name}={file}" for name, file in files.items()]
    commands.refused(commands.run("experiments.sentiment", named, skipgram, *other), "--transformer: family word2vec")
    commands.refused(climb(files, workdir, train=f"text:{bad}"), "needs labelled texts")
    nothing = commands.run("experiments.sentiment", f"--workdir={workdir}", "--text=good")
    commands.refused(nothing, "holds no trained classifier")
    assert not workdir.exists()
