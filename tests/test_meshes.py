"""Families on the meshes of one, two and four processes: the same losses and parameters, and checkpoints for any.

All families on all meshes take too long for a test: `python -m tests.matrix` does it, and its record is checked here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import commands, matrix, meshes
from tests.examples import trained_families
from w2v_jax.files import read_json

Found = dict[str, np.ndarray]

# What differs between processes: rows of tables, a carry, a loss that compares all rows of a batch. The checkpoints are
# of the second, whose programs are there; `tests.matrix` takes a transformer. Of the fitted families only LDA uses the
# mesh.
FAMILIES, FITTED, SAVED = ("word2vec", "recurrent_lm", "pair_encoder"), ("lda",), "recurrent_lm"


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
    """A checkpoint goes from one process to four, to two and back to one."""
    text, saved = tmp_path / "text.txt", (f"--checkpoint={tmp_path / 'checkpoints'}", f"--saved_family={SAVED}")
    text.write_text(commands.text_of(60, lines=120))
    some = (f"--families={','.join(FAMILIES)}", f"--fitted={','.join(FITTED)}", f"--text={text}")
    fits = [*some, f"--workdir={tmp_path}"]
    one = computed(tmp_path / "one.npz", "--layouts=one", *saved, "--mesh=one", "--call=0", *fits)
    four = computed(tmp_path / "four.npz", *saved, "--mesh=fsdp", "--call=1", processes=4, devices=1)
    args = ("--layouts=both", *saved, "--mesh=both", "--call=2", *some, f"--workdir={tmp_path / 'two'}")
    two = computed(tmp_path / "two.npz", *args, processes=2, devices=2)
    for family in FAMILIES:
        same(two, f"{family} both", one, f"{family} one")
    for family in FITTED:
        same(two, family, one, family)
    # What one process computes from the same start, without any checkpoint.
    training = meshes.training_of(SAVED, "one")
    state = training.start()
    for number, found in enumerate((one, four, two)):
        state, loss = training.go_on(state, number)
        expected = {"alone loss": np.float64(loss)} | {f"alone {k}": x for k, x in training.arrays(state).items()}
        same(found, "checkpoint", expected, "alone")
    back = computed(tmp_path / "back.npz", *saved, "--mesh=one", "--call=3")
    state, loss = training.go_on(state, 3)
    assert back["checkpoint loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.skipif(not matrix.RECORD.exists(), reason="no committed results")
def test_the_record_of_all_meshes_names_all_families_and_is_within_the_tolerance() -> None:
    record = read_json(matrix.RECORD) or {}
    assert record and record.keys() <= set(matrix.parts())
    for part, cells in record.items():
        assert all(matrix.near(cell) for cell in cells.values()), part
        families = meshes.fitted_families() if "fitted" in part else list(trained_families())
        assert part == "checkpoints" or sorted(cells) == sorted(families), f"{part}: python -m tests.matrix"
    refused = {(part, name) for part, cells in record.items() for name, cell in cells.items() if "refused" in cell}
    refused -= {
        ("4x4 tensor", name) for name in trained_families()
    }  # one device a process: mesh.model=2 would need two
    small = {(f"{processes}x8 fsdp", "pair_encoder") for processes in (1, 2, 4)}  # its example has arrays 4 wide
    assert refused <= small
