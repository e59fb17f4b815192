"""The transformer through the commands: trained, stopped and continued, scored by blocks and by overlapping windows."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.language import score_strided
from tests.commands import ROOT, at_call, final_arrays, refused, run
from tests.examples import saved, whole_logits
from w2v_jax.data.corpus import Tokens
from w2v_jax.evaluation import language
from w2v_jax.train.restore import open_model

pytestmark = pytest.mark.xdist_group("transformer_lm")  # one worker: they share a trained model
LENGTH = 8


@pytest.mark.parametrize(("size", "first", "stride"), [(20, 9, 3), (20, None, 8), (5, 9, 1), (8, 9, 2), (21, None, 5)])
def test_windows_score_every_token_once_with_enough_before_it(size: int, first: int | None, stride: int) -> None:
    stream = np.arange(100, 100 + size)
    whole = stream if first is None else np.concatenate([[first], stream])
    scored = []
    for batch in language.strided_windows(stream, first, LENGTH, stride, 2):
        assert batch["tokens"].shape == batch["targets"].shape == (2, LENGTH)
        for inputs, targets in zip(batch["tokens"], batch["targets"], strict=True):
            for place in np.flatnonzero(targets >= 0):
                at = len(scored) + 1  # of this target in `whole`
                assert targets[place] == whole[at]
                assert place + 1 >= min(at, LENGTH - stride + 1), "tokens that it is predicted from"
                np.testing.assert_array_equal(inputs[: place + 1], whole[at - place - 1 : at])
                scored.append(int(targets[place]))
    assert scored == whole[1:].tolist()


def arguments(home: Path, workdir: Path) -> list[str]:
    model = {"layers": 1, "dim": 8, "heads": 2, "length": LENGTH, "dropout": 0.2, "keys_values": "shared_kv"}
    train = {"batch_size": 4, "passes": 2.0, "steps_per_call": 2}
    data = {"source": f"text:{home / 'train.txt'}", "heldout_source": f"text:{home / 'valid.txt'}"}
    values = {f"model.{k}": v for k, v in model.items()} | {f"train.{k}": v for k, v in train.items()}
    values |= {f"data.{k}": v for k, v in data.items()} | {"checkpoint.every_steps": 8, "log.every_steps": 4}
    values |= {"log.tensorboard": False, "mesh.data": 1}
    return [
        f"--config={ROOT / 'configs/transformer.py'}",
        f"--workdir={workdir}",
        *(f"--config.{k}={v}" for k, v in values.items()),
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("transformer")
    rng = np.random.default_rng(0)
    for name, lines in (("train", 60), ("valid", 12)):
        words = [" ".join(rng.choice(list("abcdefgh"), rng.integers(3, 9))) for _ in range(lines)]
        (home / f"{name}.txt").write_text("\n".join(words) + "\n")
    done = run("experiments.train", *arguments(home, home / "run"))
    assert done.status == 0, done.err
    return home


def test_stopped_and_continued_it_ends_bit_for_bit(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM between saves: the masks of dropout and AdamW's moments go on as they were."""
    with monkeypatch.context() as patch:
        at_call(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        stopped = run("experiments.train", *arguments(trained, tmp_path / "run"))
    assert stopped.status == 128 + signal.SIGTERM, stopped.err
    done = run("experiments.train", *arguments(trained, tmp_path / "run"))
    assert done.status == 0, done.err
    assert final_arrays(tmp_path / "run") == final_arrays(trained / "run")


def test_the_nats_of_each_token_of_documents_by_overlapping_windows(trained: Path, tmp_path: Path) -> None:
    """Each document is read by itself, whatever stands beside it in a batch."""
    lines, found = ["a b c d e f g h a b c d e f g h a", "b", "c d e"], []
    for name, text in (("all", "\n".join(lines)), *((str(n), line) for n, line in enumerate(lines))):
        (tmp_path / f"{name}.txt").write_text(text + "\n")
        words = [f"--workdir={trained / 'run'}", f"--text=text:{tmp_path / name}.txt", "--stride=3"]
        done = run("experiments.evaluate", *words, f"--tokens={tmp_path / name}.tsv", f"--json={tmp_path / 'e.json'}")
        assert done.status == 0, done.err
        rows = [line.split("\t") for line in (tmp_path / f"{name}.tsv").read_text().splitlines()[1:]]
        test = json.loads((tmp_path / "e.json").read_text())["text"]
        mean = sum(float(row[3]) for row in rows) / len(rows)
        assert test["by_document"]["nats_per_token"] == pytest.approx(mean, abs=1e-6)
        if name != "all":
            assert test["strided"]["nats_per_token"] == pytest.approx(mean, abs=1e-5)
        found.append(rows)
    apart = [(str(n), *row[1:3], float(row[3])) for n, rows in enumerate(found[1:], 1) for row in rows]
    assert [tuple(row[:3]) for row in found[0]] == [row[:3] for row in apart]
    np.testing.assert_allclose([float(row[3]) for row in found[0]], [row[3] for row in apart], atol=1e-5)


def test_perplexity_by_blocks_and_by_overlapping_windows(trained: Path) -> None:
    workdir = trained / "run"
    refused(run("experiments.evaluate", f"--workdir={workdir}", "--stride=9"), "--stride=9: must be from 1 to")
    done = run("experiments.evaluate", f"--workdir={workdir}", "--stride=3")
    assert done.status == 0, done.err
    found = json.loads((workdir / "evaluation.json").read_text())["heldout"]
    assert "heldout, blocks of 8" in done.out and "heldout, windows every 3" in done.out
    model = open_model(workdir)
    words = [w for line in (trained / "valid.txt").read_text().splitlines() for w in [*line.split(), "<eos>"]]
    index = {w: i for i, w in enumerate(model.tokenizer.words)}
    ids = np.array([index[w] for w in ["<eos>", *words]], np.int32)

    @jax.jit
    def logits(tokens: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(whole_logits(model.spec, model.cfg, model.params, {}, tokens[None])[0])

    def nats(start: int, stop: int, count: int) -> list[float]:
        """Of the last `count` targets of ids[start + 1 .. stop], read from `start` on."""
        padded = jnp.zeros(LENGTH, jnp.int32).at[: stop - start].set(ids[start:stop])
        values = np.asarray(logits(padded))[np.arange(stop - start), ids[start + 1 : stop + 1]]
        return (-values[len(values) - count :]).tolist()

    end = len(ids) - 1
    blocks = [x for at in range(0, end, LENGTH) for x in nats(at, min(at + LENGTH, end), min(LENGTH, end - at))]
    assert found["tokens"] == len(blocks) == len(words)
    assert found["nats_per_token"] == pytest.approx(np.mean(blocks), rel=1e-4)
    strided, done_to = nats(0, LENGTH, LENGTH), LENGTH
    while done_to < end:
        start = done_to + 3 - LENGTH
        stop = min(start + LENGTH, end)
        strided += nats(start, stop, stop - done_to)
        done_to = stop
    assert found["strided"]["stride"] == 3 and found["strided"]["tokens"] == len(strided) == len(words)
    assert found["strided"]["nats_per_token"] == pytest.approx(np.mean(strided), rel=1e-4)


@pytest.mark.parametrize("end", ["<eos>", ""])
def test_overlapping_windows_read_what_training_does_of_the_documents(tmp_path: Path, end: str) -> None:
    """A model whose attention stays within documents scores each as if it stood alone, in any window that holds it."""
    sizes = {"layers": 2, "dim": 8, "heads": 2, "length": 12, "keys_values": "shared_kv"}
    model = open_model(saved(tmp_path, "transformer", tuple("abcdef"), end, within_documents=True, **sizes))
    rng = np.random.default_rng(3)
    texts = [rng.integers(0, 6, rng.integers(1, 8)) for _ in range(9)]
    if end:
        texts = [np.append(words, 6) for words in texts]
    stream = np.concatenate(texts).astype(np.int32)
    offsets = np.cumsum([0, 0, *map(len, texts)])  # the first is empty
    nats, before = [], [6] if end else []
    for document in texts:
        whole = np.concatenate([before, document]).astype(np.int32)
        odds = whole_logits(model.spec, model.cfg, model.params, {}, jnp.asarray(whole[None, :-1]))[0]
        nats += (-np.asarray(jax.nn.log_softmax(odds))[np.arange(len(whole) - 1), whole[1:]]).tolist()
        before = [6] if end else document[-1:].tolist()  # the token before a document is read with it
    found = score_strided(model, Tokens(stream, offsets), 4)
    np.testing.assert_allclose(found.nats, nats, atol=2e-5)
