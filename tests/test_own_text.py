"""A text of one's own, scored by a language model whose training text has gone, and the nats of each of its tokens."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import surprisal
from tests.commands import run
from tests.examples import whole_logits
from tests.tiny_language import tiny, undrawn

pytestmark = pytest.mark.xdist_group("own_text")  # one worker: they share a trained model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("own_text"))


@pytest.mark.parametrize("stride", [None, 2, 4])
@pytest.mark.parametrize("first", [None, 7])
def test_documents_are_scored_in_their_order_and_from_a_fresh_state(first: int | None, stride: int | None) -> None:
    """By a model whose loss is 100 times the token plus the one before it; its state is how many it has read."""
    texts = [np.arange(10 * n, 10 * n + size) for n, size in enumerate((1, 9, 4, 1, 6, 13), 1)]

    def score(seen: np.ndarray, batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = seen + (batch["targets"] >= 0).sum(1)
        fresh = np.broadcast_to((seen == 0)[:, None], batch["targets"].shape)
        return 100.0 * batch["targets"] + batch["tokens"], fresh, count

    found = surprisal.score_documents(score, np.zeros(3, np.int64), texts, first, 4, stride, 3)
    whole = [text if first is None else np.concatenate([[first], text]) for text in texts]
    np.testing.assert_array_equal(found.nats, np.concatenate([100.0 * d[1:] + d[:-1] for d in whole]))
    if stride is None:
        begun = [np.arange(len(d) - 1) < 4 for d in whole]
        np.testing.assert_array_equal(found.correct, np.concatenate(begun))
    assert not len(surprisal.score_documents(score, np.zeros(3), [texts[0][:0]], None, 4, stride, 3).nats)


def test_a_text_is_scored_alike_when_the_training_text_has_gone(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undrawn(monkeypatch)
    whole = run("experiments.evaluate", f"--workdir={trained / 'run'}", f"--json={tmp_path / 'whole.json'}")
    assert whole.status == 0, whole.err
    expected = json.loads((tmp_path / "whole.json").read_text())["test"]
    run_folder = shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copy(trained / "test.txt", tmp_path / "mine.txt")
    words = (f"--workdir={run_folder}", f"--text=text:{tmp_path / 'mine.txt'}")
    hidden = [(trained / f"{name}.txt", tmp_path / f"{name}.gone") for name in ("train", "valid", "test")]
    for file, gone in hidden:
        file.rename(gone)
    try:
        done = run("experiments.evaluate", *words)
    finally:
        for file, gone in hidden:
            gone.rename(file)
    assert done.status == 0, done.err
    found = json.loads((run_folder / "evaluation_text.json").read_text())
    assert "heldout" not in found
    assert found["text"] == {k: v for k, v in expected.items() if k != "optimum"}


def test_the_nats_of_each_token_add_up_to_the_printed_perplexity(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are those of each document alone, from a fresh state."""
    from w2v_jax.train.restore import open_model

    undrawn(monkeypatch)
    lines = ["a b c", "", "d e f g h a b c d e f", "a", "b c d e f g h a b"]
    (tmp_path / "new.txt").write_text("\n".join(lines) + "\n")
    text, file = f"--text=text:{tmp_path / 'new.txt'}", tmp_path / "deep" / "tokens.tsv"
    json_file = f"--json={tmp_path / 'e.json'}"
    done = run("experiments.evaluate", f"--workdir={trained / 'run'}", text, f"--tokens={file}", json_file)
    assert done.status == 0, done.err
    head, *rows = [line.split("\t") for line in file.read_text().splitlines()]
    assert head == ["line", "position", "token", "nats", "known", "written"] and {row[4] for row in rows} == {"1"}
    assert all(row[5] == row[2] for row in rows)
    model = open_model(trained / "run")
    index = {w: i for i, w in enumerate(model.tokenizer.words)}
    expected, nats = [], []
    for number, line in enumerate(lines, 1):
        words = [*line.split(), "<eos>"]
        ids = np.array([index[w] for w in ["<eos>", *words]], np.int32)
        logits = whole_logits(model.spec, model.cfg, model.params, model.consts, jnp.asarray(ids[None, :-1]))[0]
        nats += (-np.asarray(jax.nn.log_softmax(logits))[np.arange(len(words)), ids[1:]]).tolist()
        expected += [[str(number), str(place), word] for place, word in enumerate(words, 1)]
    assert [row[:3] for row in rows] == expected
    given = [float(row[3]) for row in rows]
    np.testing.assert_allclose(given, nats, atol=1e-4)
    found = json.loads((tmp_path / "e.json").read_text())["text"]["by_document"]
    assert found["nats_per_token"] == pytest.approx(sum(given) / len(given), abs=1e-6)
    last = next(line for line in done.out.splitlines() if line.startswith("each document by itself"))
    assert f" {math.exp(sum(given) / len(given)):,.2f} " in last and f"tokens: {file}" in done.out
