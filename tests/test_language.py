"""Perplexity and loss by position: the commands from text to table; `test_language_figures` has the arithmetic."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.commands import at_call, checkpoints, final_arrays, refused, run
from tests.examples import saved, whole_logits
from tests.tiny_language import SMALLEST, SPLITS, arguments, tiny, undrawn

pytestmark = pytest.mark.xdist_group("language")  # one worker: they share a trained model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("language"))


class Evaluated(NamedTuple):
    """What the command says of the trained model, and what it draws."""

    out: str
    results: dict[str, Any]
    drawn: list[dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def evaluated(trained: Path) -> Evaluated:
    from w2v_jax.figures import positions

    drawn: list[dict[str, np.ndarray]] = []
    draw = positions.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(positions, "draw", lambda *a: drawn.append(draw(*a)))
        done = run("experiments.evaluate", f"--workdir={trained / 'run'}")
    assert done.status == 0, done.err
    return Evaluated(done.out, json.loads((trained / "run" / "evaluation.json").read_text()), drawn)


def test_perplexity_of_the_command_is_that_of_one_pass_over_the_text(trained: Path, evaluated: Evaluated) -> None:
    from w2v_jax.train.restore import open_model

    assert (trained / "run" / "evaluation.png").stat().st_size > 5000
    model = open_model(trained / "run")
    for split, name in (("heldout", "valid"), ("test", "test")):
        lines = (trained / f"{name}.txt").read_text().splitlines()
        stream = [w for line in lines for w in [*line.split(), "<eos>"]]
        index = {w: i for i, w in enumerate(model.tokenizer.words)}
        ids = np.array([index[w] for w in ["<eos>", *stream]], np.int32)
        logits = whole_logits(model.spec, model.cfg, model.params, model.consts, jnp.asarray(ids[None, :-1]))[0]
        nats = -np.asarray(jax.nn.log_softmax(logits))[np.arange(len(stream)), ids[1:]]
        found = evaluated.results[split]
        assert found["tokens"] == len(stream) == found["words"]
        assert found["bytes"] == len((trained / f"{name}.txt").read_bytes())
        assert found["nats_per_token"] == pytest.approx(nats.mean(), rel=1e-4)
        assert found["perplexity"] == pytest.approx(math.exp(nats.mean()), rel=1e-3)
        assert f"{found['perplexity']:,.2f}" in evaluated.out
        first = [b for b in found["by_position"].values() if b[0]["first"] == 0]
        assert first, "the loss at the first position of a document or window is told"


def assert_shown(results: dict[str, Any], drawn: list[dict[str, np.ndarray]], splits: tuple[str, ...]) -> None:
    """The picture has a line for every way to count positions in each of the texts, under its name."""
    assert [split for split in ("heldout", "test") if split in results] == list(splits)
    expected = {
        f"{ {'heldout': 'held-out', 'test': 'test'}[split] } text, {way}": bins
        for split in splits
        for way, bins in results[split]["by_position"].items()
    }
    (shown,) = drawn
    assert list(shown) == list(expected) and len(shown) == 2 * len(splits)
    for label, bins in expected.items():
        np.testing.assert_allclose(shown[label][:, 1], [b["nats"] for b in bins])
        np.testing.assert_allclose(shown[label][:, 0], [((b["first"] + 1) * (b["last"] + 1)) ** 0.5 for b in bins])


def test_the_picture_shows_every_scored_text_under_its_name(evaluated: Evaluated) -> None:
    assert_shown(evaluated.results, evaluated.drawn, ("heldout", "test"))


def test_the_picture_of_a_run_without_a_test_text(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.common import language as command
    from w2v_jax.figures import positions

    drawn: list[dict[str, np.ndarray]] = []
    draw, corpus_of = positions.draw, command.corpus_of
    monkeypatch.setattr(positions, "draw", lambda *a: drawn.append(draw(*a)))

    def without_test(*a: Any) -> Any:
        corpus = corpus_of(*a)
        nothing = dataclasses.replace(corpus.test, tokens=corpus.test.tokens[:0], offsets=np.zeros(1, np.int64))
        return dataclasses.replace(corpus, test=nothing)

    monkeypatch.setattr(command, "corpus_of", without_test)
    done = run("experiments.evaluate", f"--workdir={trained / 'run'}", f"--json={tmp_path / 'e.json'}")
    assert done.status == 0, done.err
    assert_shown(json.loads((tmp_path / "e.json").read_text()), drawn, ("heldout",))


def test_another_text_can_be_scored_and_an_unknown_word_is_named(
    trained: Path, evaluated: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undrawn(monkeypatch)
    (tmp_path / "new.txt").write_text("a b c\nd e f g\n")
    at, source = f"--workdir={trained / 'run'}", f"text:{tmp_path / 'new.txt'}"
    before, own = (trained / "run" / "evaluation.json").read_bytes(), trained / "run" / "evaluation_text.json"
    done = run("experiments.evaluate", at, f"--text={source}")
    result = json.loads((trained / "run" / "result.json").read_text())
    best, steps = result["best_heldout_step"], result["steps"]
    told = "the last" if best == steps else f"the best of {steps} by held-out loss"
    assert done.status == 0 and done.out.startswith(f"recurrent_lm, step {best}, {told}, "), done.err
    found = json.loads(own.read_text())
    assert found["text"]["tokens"] == 9 and found["source"] == source and "test" not in found
    assert "\ntext, by counts alone " in done.out and not re.search(r"^test", done.out, re.M)
    assert (trained / "run" / "evaluation.json").read_bytes() == before, "the scores of the run stay"
    own.unlink()
    (tmp_path / "odd.txt").write_text("a b zebra\n")
    failed = run("experiments.evaluate", at, f"--text=text:{tmp_path / 'odd.txt'}")
    refused(failed, r"--text='text:.*odd\.txt': 'zebra' is not in the vocabulary", alone=False)


def test_a_text_that_is_not_utf_8(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undrawn(monkeypatch)
    known = saved(tmp_path / "run", "recurrent_lm", ("a", "b"), end="", cell="elementwise", hidden=4, dim=4)
    (tmp_path / "odd.txt").write_bytes(b"a \xe9 b\n")
    at = [f"--workdir={known}", f"--text=text:{tmp_path / 'odd.txt'}", f"--json={tmp_path / 'e.json'}"]
    advice = r"odd\.txt: not UTF-8 at byte 2 .*, or set --encoding_errors=replace$"
    refused(run("experiments.evaluate", *at), advice, alone=False)
    done = run("experiments.evaluate", *at, "--encoding_errors=replace")
    assert done.status == 0 and json.loads((tmp_path / "e.json").read_text())["text"]["tokens"] == 1, done.err
    refused(run("experiments.evaluate", *at, "--encoding_errors=ignore"), "--encoding_errors='ignore': must be one of")
    at[1] = f"--text=text:{tmp_path / 'none.txt'}"
    refused(run("experiments.evaluate", *at), r"--text: .*none\.txt: no such file", alone=False)
    at[1] = "--text=tfds:none"
    refused(run("experiments.evaluate", *at), "not prepared under .*: prepare it there, or set TFDS", alone=False)
    refused(run("experiments.evaluate", at[0], "--encoding_errors=replace"), "--encoding_errors: is for the text of")
    refused(run("experiments.evaluate", at[0], "--restrict=5"), "--restrict: is for word vectors, and --workdir=")


def test_the_share_of_unknown_words_stands_beside_every_figure(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undrawn(monkeypatch)
    few = ["--config.data.unknown=keep", "--config.data.max_vocab=3", "--config.train.max_steps=1"]
    done = run("experiments.train", *arguments(trained, tmp_path / "few", *SMALLEST, *few))
    assert done.status == 0 and "5 rarer ones read as <unk>" in done.err, done.err
    result = json.loads((tmp_path / "few" / "result.json").read_text())
    words = [w for line in (trained / "valid.txt").read_text().splitlines() for w in [*line.split(), "<eos>"]]
    known = {"<eos>", *(tmp_path / "few" / "vocab.txt").read_text().replace("\t", "\n").splitlines()}
    share = sum(w not in known for w in words) / len(words)
    assert share > 0.4 and result["heldout_unknown"] == pytest.approx(share)
    assert f"held-out text: {share:.1%} of its tokens are <unk>; by the counts of tokens alone: loss" in done.err
    done = run("experiments.evaluate", f"--workdir={tmp_path / 'few'}")
    rows = {line.split("  ")[0]: line for line in done.out.splitlines()}
    assert f" {share:.1%} " in rows["heldout"] and rows["heldout"].count("*") == 2 and "* not comparable" in done.out
    own, tokens = f"--text=text:{trained / 'valid.txt'}", tmp_path / "tokens.tsv"
    alone = run(
        "experiments.evaluate", f"--workdir={tmp_path / 'few'}", own, f"--tokens={tokens}", f"--json={tokens}.json"
    )
    assert alone.status == 0, alone.err
    table = [line.split("\t") for line in tokens.read_text().splitlines()[1:]]
    assert [row[5] for row in table] == words, "the words of the text, also where they are read as <unk>"
    marks = [row[2:5:2] for row in table]
    assert sum(known == "0" for _, known in marks) / len(marks) == pytest.approx(share)
    assert all((token == "<unk>") == (known == "0") for token, known in marks)
    found = json.loads((tmp_path / "few" / "evaluation.json").read_text())["heldout"]
    assert found["unigram"]["nats_per_token"] == pytest.approx(result["heldout_unigram_loss"])
    assert f"{found['unigram']['nats_per_token']:.4f}" in rows["heldout, by counts alone"]


def test_interrupted_with_dropout_and_a_carried_state_it_ends_bit_for_bit(trained: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle of a pass; the state that the lanes carry and the masks of dropout go on as they were."""
    words = arguments(trained, tmp_path / "broken")
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        stopped = run("experiments.train", *words)
    assert stopped.status == 143 and "which is saved" in stopped.err, stopped.err
    done, total = checkpoints(tmp_path / "broken")[-1], checkpoints(trained / "run")[-1]
    assert done < total
    for command in ("experiments.generate", "experiments.evaluate"):
        early = run(command, f"--workdir={tmp_path / 'broken'}", *(["--prompt=a"] if "gen" in command else []))
        assert early.status == 0 and f"recurrent_lm, step {done}, " in early.out, early.err
        assert f"note: {tmp_path / 'broken'}: not finished: step {done} of {total}\n" in early.err
    other = f"--config.train.start={tmp_path / 'broken'}"
    refused(run("experiments.train", *arguments(trained, tmp_path / "new", other)), "holds no finished run")
    refused(run("experiments.evaluate", f"--workdir={tmp_path / 'broken'}", "--card"), "holds no finished run")
    assert run("experiments.train", *words).status == 0
    whole = final_arrays(trained / "run")
    assert final_arrays(tmp_path / "broken") == whole
    carried = [name for name in whole if name.startswith("carry/")]
    assert len(carried) == 4, "h and c of both layers are saved"


def test_what_is_no_text_of_the_model_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_text("a b c\nd zebra a\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text(" \n\n")
    texts = [("odd", r"odd\.txt.*'zebra' .*data\.unknown"), ("empty", r"empty\.txt: .*empty")]
    without_words = [("empty", texts[1][1]), ("blank", r"blank\.txt': no word found")]
    for split in SPLITS:
        for name, message in without_words if split == "source" else texts:
            source = f"--config.data.{split}=text:{tmp_path / name}.txt"
            done = run("experiments.train", *arguments(trained, tmp_path / "new", source))
            refused(done, message, alone=False)
            assert not list((tmp_path / "new").glob("*")), "nothing claims the folder"
    for name, message in texts:
        done = run("experiments.evaluate", f"--workdir={trained / 'run'}", f"--text=text:{tmp_path / name}.txt")
        refused(done, message, alone=False)

    before, whole = (trained / "run" / "evaluation.json"), (trained / "valid.txt").read_text()
    kept = before.read_bytes() if before.exists() else None
    (trained / "valid.txt").write_text("".join(whole.splitlines(True)[:5]))  # of known words, but fewer
    try:
        done = run("experiments.evaluate", f"--workdir={trained / 'run'}")
    finally:
        (trained / "valid.txt").write_text(whole)
    refused(done, r"data\.heldout_source=text:.*valid\.txt.*: not the text that the run was trained with", alone=False)
    assert (before.read_bytes() if before.exists() else None) == kept
    empty = run("experiments.evaluate", f"--workdir={trained / 'run'}", "--text=")
    refused(empty, "--text is empty: name a data source")


def test_a_checkpoint_of_another_model_or_vocabulary_is_refused(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert run("experiments.train", *arguments(trained, other, *SMALLEST, "--config.train.max_steps=2")).status == 0
    mixed = shutil.copytree(trained / "run", tmp_path / "mixed")
    shutil.rmtree(mixed / "checkpoints")
    shutil.copytree(other / "checkpoints", mixed / "checkpoints")
    done = run("experiments.evaluate", f"--workdir={mixed}")  # the best one, of the first run, is not there
    refused(done, "another model, vocabulary or optimizer|differs from", alone=False)
    (mixed / "result.json").unlink()  # an interrupted run, which the training command continues
    refused(run("experiments.train", *arguments(trained, mixed)), "were trained with another config", alone=False)
    words = arguments(trained, trained / "run", "--config.model.cell=gru")
    refused(run("experiments.train", *words), "model.cell")
    (tmp_path / "train.txt").write_text((trained / "train.txt").read_text().replace("h", "z"))
    swapped = shutil.copytree(trained / "run", tmp_path / "swapped")
    source = f"--config.data.source=text:{tmp_path / 'train.txt'}"
    held = [f"--config.data.{k}=text:{tmp_path / 'train.txt'}" for k in ("heldout_source", "test_source")]
    new = arguments(trained, tmp_path / "vocabulary", source, *held, *SMALLEST, "--config.train.max_steps=0")
    assert run("experiments.train", *new).status == 0
    for name in ("tokenizer.json", "vocab.txt"):
        shutil.copy(tmp_path / "vocabulary" / name, swapped / name)
    refused(run("experiments.evaluate", f"--workdir={swapped}"), "another tokeniser or vocabulary")


def test_characters_are_trained_exported_and_scored(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blank and a line end are tokens, and the vectors' file names them without white space."""
    undrawn(monkeypatch)
    from w2v_jax.embeddings import load

    rules = [f"--config.data.{rule}" for rule in ("tokens=characters", "document=blank", "unknown=drop")]
    words = arguments(trained, tmp_path / "run", *rules, *SMALLEST)
    for split in SPLITS:
        text = (trained / f"{SPLITS[split]}.txt").read_text()
        (tmp_path / f"{split}.txt").write_text(text.replace("\n", "\n\n", 3))
        words.append(f"--config.data.{split}=text:{tmp_path / split}.txt")
    assert run("experiments.train", *words).status == 0
    assert {r"\x20", r"\n", "a"} <= set(load(tmp_path / "run" / "vectors.bin").words)
    done = run("experiments.evaluate", f"--workdir={tmp_path / 'run'}")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["test"]
    assert found["tokens"] > 1.5 * found["words"], "blanks are tokens too"
    assert found["word_perplexity"] > 1 and "dropped_tokens" not in found and "*" not in done.out
    # Of another text, of which a part is left out.
    (tmp_path / "other.txt").write_text("a b мир c\n\nd e\n", encoding="utf-8")
    at = [f"--workdir={tmp_path / 'run'}", f"--text=text:{tmp_path / 'other.txt'}"]
    done = run("experiments.evaluate", *at)
    assert done.status == 0 and "3 outside the vocabulary (25.0% of 12 tokens without ends)" in done.err, done.err
    found = json.loads((tmp_path / "run" / "evaluation_text.json").read_text())["text"]
    assert found["dropped_tokens"] and found["word_perplexity"] is None
    assert f"{found['bits_per_byte']:.4f}*" in done.out and "is left out (data.unknown=drop)" in done.out
    (tmp_path / "other.txt").write_text("мир\n\nщит\n", encoding="utf-8")
    refused(run("experiments.evaluate", *at), r"--text=text:.*: none of its 6 tokens is in the vocab", alone=False)
