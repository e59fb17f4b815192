"""Families on the meshes of one, two and four processes: the same losses and parameters, and checkpoints for any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import commands, meshes
from tests.examples import trained_families
from w2v_jax.models import MODELS

Found = dict[str, np.ndarray]


def computed(out: Path, *more: str, processes: int = 1, devices: int = 4) -> Found:
    """What `tests.meshes` computes: in this process, or in several, each with so many devices."""
    words = (str(out), *more)
    if processes == 1:
        meshes.main(words)
        return dict(np.load(out))
    line = ("-m", "launch.local", f"--processes={processes}", f"--devices={devices}", "--", "python", "-m")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling is most of the work, and twice as quick so
        running = commands.start(*line, "tests.meshes", *words)
    with running:
        try:
            _, err = running.communicate(timeout=400)
        finally:
            running.terminate()
    assert running.returncode == 0, err
    return dict(np.load(out))


def same(found: Found, name: str, other: Found, called: str) -> None:
    """Loss and parameters of one cell equal those of another, to float tolerance of each array's largest number."""
    mine = {key.removeprefix(name): x for key, x in found.items() if key.startswith(f"{name} ")}
    theirs = {key.removeprefix(called): x for key, x in other.items() if key.startswith(f"{called} ")}
    assert mine.keys() == theirs.keys() and " loss" in mine, (name, mine.keys())
    for key, x in mine.items():
        scale = max(1.0, float(np.abs(theirs[key]).max(initial=0)))
        np.testing.assert_allclose(x, theirs[key], rtol=0, atol=5e-5 * scale, err_msg=name + key)


def test_families_and_checkpoints_on_one_two_and_four_processes(tmp_path: Path) -> None:
    """A transformer's checkpoint goes from one process to four, to two and back to one."""
    text, saved = tmp_path / "text.txt", f"--checkpoint={tmp_path / 'checkpoints'}"
    text.write_text(commands.text_of(60, lines=120))
    fits = [f"--text={text}", f"--workdir={tmp_path}"]
    one = computed(tmp_path / "one.npz", "--layouts=one", saved, "--mesh=one", "--call=0", *fits)
    args = ("--layouts=data", "--families=word2vec", saved, "--mesh=fsdp", "--call=1")
    four = computed(tmp_path / "four.npz", *args, processes=4, devices=1)
    args = ("--layouts=both", saved, "--mesh=both", "--call=2", f"--text={text}", f"--workdir={tmp_path / 'two'}")
    two = computed(tmp_path / "two.npz", *args, processes=2, devices=2)
    for family in trained_families():
        same(two, f"{family} both", one, f"{family} one")
    same(four, "word2vec data", one, "word2vec one")
    for family in (name for name, spec in MODELS.items() if spec.fit is not None):
        same(two, family, one, family)
    # What one process computes from the same start, without any checkpoint.
    training = meshes.Training(meshes.config_of("transformer", "one"))
    state = training.start()
    for number, found in enumerate((one, four, two)):
        state, loss = training.go_on(state, number)
        expected = {"alone loss": np.float64(loss)} | {f"alone {k}": x for k, x in training.arrays(state).items()}
        same(found, "checkpoint", expected, "alone")
    back = computed(tmp_path / "back.npz", saved, "--mesh=one", "--call=3")
    state, loss = training.go_on(state, 3)
    assert back["checkpoint loss"] == pytest.approx(loss, rel=1e-5)
