"""Exported files of finished runs against their digests in result.json."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import commands
from w2v_jax import api, exported
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError
from w2v_jax.models.vectors import read_vectors


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run, beside its text."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "text.txt").write_text(commands.text_of(20, lines=60))
    assert train(folder).status == 0
    return folder


def train(folder: Path) -> commands.Done:
    """The training command in a folder: a copy of it holds the same run."""
    with contextlib.chdir(folder):
        return commands.train("text.txt", "run", train__max_steps=8, data__cache_dir="cache")


def flip(path: Path) -> None:
    """Makes one bit of the last number another: the file is read without a complaint."""
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "place")
    return tmp_path / "place" / "run"


def test_result_json_has_the_digest_of_each_file(run: Path) -> None:
    found = json.loads((run / "result.json").read_text())
    assert set(found["exports"]) == {"vectors.bin", "C.bin", "tokenizer.json", "vocab.txt"}
    assert exported.damaged(run) == []
    assert {"exports", "sha256"}.isdisjoint(exported.read_result(run) or {"exports": 1})


def test_every_command_refuses_vectors_that_a_bit_was_flipped_in(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, link = run / "vectors.bin", run.parent / "link.bin"
    link.symlink_to(file)
    assert commands.run("experiments.neighbours", f"--workdir={run}", "aab").status == 0
    flip(file)
    ways = [
        ("experiments.evaluate", f"--workdir={run}"),
        ("experiments.evaluate", f"--vectors={file}"),
        ("experiments.neighbours", f"--workdir={run}", "aab"),
        ("experiments.neighbours", f"--vectors={link}", "aab"),
        ("experiments.figures", "map", f"--workdir={run}", "--top=5"),
    ]
    for way in ways:
        named, cure = r"(vectors|link)\.bin: does not match its digest", "training command writes it again"
        commands.refused(commands.run(*way), named, cure)
    monkeypatch.chdir(run)  # a name without a folder
    for read in (lambda: api.load(run), lambda: load("vectors.bin"), lambda: read_vectors(str(file))):
        with pytest.raises(UserError, match=r"vectors\.bin: does not match its digest"):
            read()
    assert not (run / "evaluation.json").exists() and not (run / "map.png").exists()


@pytest.mark.parametrize("gone", [False, True])
def test_the_training_command_writes_a_damaged_file_again(whole: Path, run: Path, gone: bool) -> None:
    for name in ("vectors.bin", "C.bin"):
        (run / name).unlink() if gone else flip(run / name)
    done = train(run.parent)
    assert "vectors.bin, C.bin: gone, or not as the run wrote it; written again from the checkpoint" in done.err
    for name in ("vectors.bin", "C.bin", "result.json"):
        assert (run / name).read_bytes() == (whole / "run" / name).read_bytes(), name
    assert "finished" in train(run.parent).err


def test_without_a_checkpoint_it_must_be_trained_again(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    flip(run / "vectors.bin")
    asked = commands.run("experiments.evaluate", f"--workdir={run}")
    commands.refused(asked, "no checkpoint is left to write it from: train the model again")
    done = train(run.parent)
    assert done.status == 0 and "vectors.bin: gone, or not as the run wrote it; no checkpoint is left" in done.err


def test_counts_of_the_vocabulary_are_compared_too(run: Path) -> None:
    file = run / "vocab.txt"
    first, rest = file.read_text().split("\n", 1)
    file.write_text(f"{first.split()[0]}\t7\n{rest}")
    with pytest.raises(UserError, match=r"vocab\.txt: does not match its digest"):
        api.load(run)


def test_runs_of_older_versions_and_other_folders_are_read(run: Path) -> None:
    vectors = load(run / "vectors.bin").vectors.copy()
    other = run.parent / "other"
    other.mkdir()
    shutil.copy(run / "vectors.bin", other)
    (other / "result.json").write_text("[1, 2")  # whatever it is, it is no run folder
    flip(other / "vectors.bin")
    assert not np.array_equal(load(other / "vectors.bin").vectors, vectors)
    old = exported.read_result(run)
    (run / "result.json").write_text(json.dumps(old))
    flip(run / "vectors.bin")
    assert load(run / "vectors.bin").vectors.shape == vectors.shape


def test_a_damaged_result_beside_vectors_is_named(run: Path) -> None:
    file = run / "result.json"
    file.write_text(file.read_text().replace('"steps": 8', '"steps": 9'))
    asked = commands.run("experiments.neighbours", f"--workdir={run}", "aab")
    commands.refused(asked, r"result\.json: does not match its own digest")
