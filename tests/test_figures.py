"""Nudges, convergence and the command that draws: what is drawn is compared with formulas and with counts made another
way; the files are opened again."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from experiments.figures import __main__ as command
from experiments.figures import nudges as training
from experiments.figures.quality import evaluate_checkpoints
from tests.commands import ROOT, Done, run
from tests.pictures import FIGURES, count_pixels
from w2v_jax.config import Config
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.evaluation.builtin import similarity_pairs
from w2v_jax.figures import convergence, nudges
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.recorded import to_dict
from w2v_jax.train.checkpoint import Checkpointer

pytestmark = pytest.mark.xdist_group("figures")  # one worker: they share a recording


def test_figures_import_neither_training_nor_heavy_libraries() -> None:
    code = (
        "import sys\n"
        "from w2v_jax.figures import convergence, labels, maps, nudges, style\n"
        "bad = ('w2v_jax.train', 'w2v_jax.models', 'w2v_jax.data', 'experiments', 'jax', 'matplotlib', 'sklearn')\n"
        "print([m for m in sys.modules if m in bad or m.startswith(tuple(b + '.' for b in bad))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


# ---- nudges ----


UPDATES = 369  # not the default, and whole passes over the pairs


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The folder of the command's recording and picture, and how it ended."""
    folder = tmp_path_factory.mktemp("nudges") / "n"
    return folder, run(FIGURES, "nudges", f"--out={folder}", f"--updates={UPDATES}")


@pytest.fixture(scope="module")
def recording(recorded: tuple[Path, Done]) -> Path:
    return recorded[0] / "nudges.npz"


def test_the_trajectory_follows_the_gradient_of_the_softmax(recording: Path) -> None:
    """Replayed in numpy: d loss / d E[w] = C^T (p - y), d loss / d C = (p - y) E[w]^T."""
    saved = nudges.read(recording)
    inputs, outputs = saved.positions[0].astype(float), np.zeros((len(saved.vocab), 2))
    rate = training.Options().learning_rate
    for t, (word, context) in enumerate(saved.pairs):
        scores = outputs @ inputs[word]
        p = np.exp(scores) / np.exp(scores).sum()
        assert saved.loss[t] == pytest.approx(-math.log(p[context]), abs=1e-4)
        p[context] -= 1
        change = outputs.T @ p
        outputs -= rate * np.outer(p, inputs[word])
        inputs[word] -= rate * change
        np.testing.assert_allclose(saved.positions[t + 1], inputs, atol=1e-4)
    np.testing.assert_allclose(saved.columns, outputs, atol=1e-4)


def test_an_update_moves_one_word_and_compares_it_with_no_other(recording: Path) -> None:
    saved = nudges.read(recording)
    for t, (word, _) in enumerate(saved.pairs):
        others = [i for i in range(3) if i != word]
        assert np.array_equal(saved.positions[t, others], saved.positions[t + 1, others])
    seen = {(saved.vocab[w], saved.vocab[c]) for w, c in saved.pairs}
    assert seen == {(w, c) for w, near in training.CONTEXTS.items() for c in near}


def test_shared_contexts_draw_together_and_own_contexts_apart(recording: Path) -> None:
    saved = nudges.read(recording)
    cosines = nudges.cosines(saved)
    assert cosines["cat-dog"][0] < 0 and cosines["cat-dog"][-1] > 0.99
    assert cosines["cat-microscope"][-1] < -0.5 and cosines["dog-microscope"][-1] < -0.5
    gaps = nudges.gaps(saved)[:, -100:].mean(axis=1)
    assert saved.twins_own.tolist() == [0, 1, 2]
    assert gaps[0] < 0.15 and gaps[1] > 0.6 and gaps[2] > 0.6
    assert np.array_equal(saved.twins[0, 0], saved.twins[2, 0])  # the same start for all


def test_the_floor_is_the_entropy_of_contexts(recording: Path) -> None:
    saved = nudges.read(recording)
    assert nudges.floor(saved) == pytest.approx(math.log(3))  # three equally likely contexts a word
    assert saved.loss[:9].mean() == pytest.approx(math.log(9), abs=0.01)
    assert nudges.floor(saved) < saved.loss[-90:].mean() < 1.4


def test_negative_sampling_starts_at_its_known_loss() -> None:
    options = training.Options(updates=18, loss="negative", negatives=3, seed=5)
    track = training.train(training.CONTEXTS, options)
    assert track.loss[0] == pytest.approx(4 * math.log(2), rel=1e-6)
    assert np.isfinite(track.positions).all() and not np.array_equal(track.positions[0], track.positions[-1])
    again = training.train(training.CONTEXTS, options)
    assert np.array_equal(track.positions, again.positions)


def test_nudges_are_drawn_in_their_colours(recorded: tuple[Path, Done]) -> None:
    assert min(count_pixels(recorded[0] / "nudges.png", k) for k in range(3)) > 500


def test_a_file_that_is_no_recording(tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    with pytest.raises(UserError, match="no such file"):
        nudges.read(bad)
    bad.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(UserError, match="not a recording"):
        nudges.read(bad)
    np.savez(bad, words=np.array([{"a": 1}], dtype=object), about=np.array("{}"))
    with pytest.raises(UserError, match="not a recording"):
        nudges.read(bad)


def test_impossible_options() -> None:
    with pytest.raises(UserError, match="--updates=0"):
        training.Options(updates=0)
    with pytest.raises(UserError, match="learning_rate"):
        training.train(training.CONTEXTS, training.Options(learning_rate=-1.0))


# ---- convergence ----


def fake_run(folder: Path, architecture: str = "skipgram", quality: bool = True) -> Path:
    """A run whose held-out loss is measured at whole passes and logged with the next line, as the loop does."""
    folder.mkdir()
    config = {"family": "word2vec", "model": {"architecture": architecture, "loss": "negative", "dim": 100}}
    (folder / "config.json").write_text(json.dumps(config))
    rows = []
    for step in range(1, 41):
        held = 2 + 2 ** -((step - 1) / 4) if step > 1 and (step - 1) % 4 == 0 else None
        rows.append({"step": step, "pass": step / 4, "loss": 2 + 2 ** -(step / 4), "heldout_loss": held})
    rows[3]["loss"] = None
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text(json.dumps({"passes": 10.0, "heldout_loss": 2 + 2**-10}))
    if quality:
        scores = [{"pass": p, "step": 4 * p, "data": "x", "men": 0.7 * (1 - 0.5**p), "gone": None} for p in range(11)]
        (folder / "quality.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scores))
    return folder


def test_curves_of_a_run(tmp_path: Path) -> None:
    run = convergence.read_run(fake_run(tmp_path / "r"))
    assert run.label == "word2vec skipgram negative d = 100"
    assert len(run.loss) == 39 and run.loss[0].tolist() == [0.25, 2 + 2**-0.25]
    # The last one is from the result.
    np.testing.assert_allclose(run.heldout[:, 1], [2 + 2.0**-p for p in range(1, 11)])
    assert run.heldout[-1, 0] == 10.0
    np.testing.assert_allclose(run.quality["men"], [[p, 0.7 * (1 - 0.5**p)] for p in range(11)])
    assert len(run.quality["gone"]) == 0 and set(run.quality) == {"men", "gone"}
    # 1 - 2^-p reaches 95 % of 1 - 2^-10 between passes 4 (93.75 %) and 5.
    assert convergence.settled(run.quality["men"]) == 5.0
    assert convergence.settled(run.heldout) is None  # not measured before the first pass
    assert convergence.settled(run.quality["men"][:2]) is None


def test_settling_means_staying() -> None:
    curve = np.array([[0, 0.0], [1, 1.0], [2, 0.5], [3, 0.99], [4, 1.0]])
    assert convergence.settled(curve) == 3.0


def test_runs_are_told_apart_and_drawn(tmp_path: Path) -> None:
    folders = [fake_run(tmp_path / "a"), fake_run(tmp_path / "b"), fake_run(tmp_path / "c", "cbow", quality=False)]
    runs = convergence.read_runs(folders)
    assert [run.label.rpartition(" ")[2] for run in runs] == ["(a)", "(b)", "100"]
    convergence.draw(runs, tmp_path / "all.png", "source")
    convergence.draw(runs[2:], tmp_path / "one.png")
    assert imread(tmp_path / "all.png").shape[1] > imread(tmp_path / "one.png").shape[1]


def test_a_run_that_is_still_writing_and_one_that_was_edited(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "r")
    metrics = folder / "metrics.jsonl"
    whole = metrics.read_bytes()
    metrics.write_bytes(whole + b'{"step": 41, "pa')
    assert len(convergence.read_run(folder).loss) == 39
    metrics.write_bytes(whole + b'{"step": 41}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 41"):
        convergence.read_run(folder)
    metrics.write_bytes(b"")
    with pytest.raises(UserError, match="nothing logged yet"):
        convergence.read_run(folder)
    metrics.unlink()
    with pytest.raises(UserError, match="no such file"):
        convergence.read_run(folder)


def test_checkpoints_are_scored_from_the_random_start_on(tmp_path: Path) -> None:
    """Checkpoints made by hand: at step 20 every pair of the built-in list with a high score shares its vector."""
    pairs = similarity_pairs()
    words = list(dict.fromkeys(w for a, b, _ in pairs for w in (a, b)))
    config = Config(family="word2vec", model=Word2VecConfig(dim=16))
    (tmp_path / "config.json").write_text(json.dumps(to_dict(config)))
    (tmp_path / "result.json").write_text(json.dumps({"steps": 20, "passes": 4.0}))
    (tmp_path / "vocab.txt").write_text("".join(f"{w}\t9\n" for w in words))
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1024, 16)).astype(np.float32)
    taught = table.copy()
    for a, b, score in pairs:
        if score > 7:
            taught[words.index(b)] = taught[words.index(a)]
    with Checkpointer(tmp_path / "checkpoints", keep=5) as checkpoints:
        for step, matrix in ((10, table), (20, taught)):
            params = {"E": jnp.asarray(matrix), "C": jnp.zeros((1024, 16))}
            checkpoints.save(step, {"params": params, "step": jnp.int32(step)}, {}, None, block=True)
    evaluate_checkpoints(tmp_path, None)
    rows = [json.loads(line) for line in (tmp_path / "quality.jsonl").read_text().splitlines()]
    assert [(row["step"], row["pass"]) for row in rows] == [(0, 0.0), (10, 2.0), (20, 4.0)]
    assert abs(rows[0]["similarity"]) < 0.4 and abs(rows[1]["similarity"]) < 0.4 and rows[2]["similarity"] > 0.7
    assert {row["data"] for row in rows} == {"built-in list"}
    (tmp_path / "result.json").unlink()
    with pytest.raises(UserError, match="no finished run"):
        evaluate_checkpoints(tmp_path, None)


# ---- the command ----


def test_groups_from_the_command_line_and_from_a_file(tmp_path: Path) -> None:
    assert command.parse_groups("a,b; school: c ,d;e") == {"a, b": ["a", "b"], "school": ["c", "d"], "e": ["e"]}
    path = tmp_path / "g.json"
    path.write_text('{"x": ["a", "b"], "y": ["c"]}')
    assert command.parse_groups(str(path)) == {"x": ["a", "b"], "y": ["c"]}
    path.write_text('[["a", "b"], ["c"]]')
    assert command.parse_groups(str(path)) == {"a, b": ["a", "b"], "c": ["c"]}
    for text in ('{"x": "ab"}', "[]", "3", "{"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"g\.json"):
            command.parse_groups(str(path))
    for text, line in (("a;", "has no words"), ("a,b;b", "'b' is there twice"), ("x:a;x:b", "'x' is there twice")):
        with pytest.raises(UserError, match=line):
            command.parse_groups(text)
    with pytest.raises(UserError, match="no such file"):
        command.parse_groups(str(tmp_path / "none.json"))


def test_map_command(tmp_path: Path) -> None:
    words = ["doctor", "nurse", "teacher", "student", "car", "हिन्दी"]
    save(Embeddings(words, np.random.default_rng(6).normal(size=(6, 4))), tmp_path / "v.txt")
    start = (FIGURES, "map", f"--vectors={tmp_path / 'v.txt'}")
    done = run(*start, "--groups=doctor,nurse;teacher,student;car,हिन्दी")
    assert done.status == 0 and done.err.startswith("warning: 1 of 6 words have letters that no font here has"), (
        done.err
    )
    assert "6 words; the plane shows" in done.out
    assert imread(tmp_path / "map.png").ndim == 3
    before = sorted(os.listdir(tmp_path))
    done = run(*start, "--words=doctor,nurze,car")
    assert done.status == 2 and done.err.count("\n") == 1 and "nurse" in done.err
    assert done.err.startswith("error: --words: ")
    done = run(*start, "--groups=music,zzz;car")
    assert done.status == 2 and done.err.count("\n") == 1, done.err
    assert done.err.startswith("error: --groups: 2 words are not among the 6") and "'music', 'zzz'" in done.err
    for name in ("map", "ptb_curves"):
        done = run(*(start if name == "map" else (FIGURES, name)), "--out=g")
        assert done.status == 2 and done.err.endswith(".svg; give one, such as --out=g.png\n"), done.err
        assert done.err.startswith("error: --out=g: a picture's name must end in .png")
    done = run(*start, "--loss=negative")
    assert done.status == 2 and "--loss means nothing to the figure map" in done.err
    assert sorted(os.listdir(tmp_path)) == before


def test_nudges_command(recorded: tuple[Path, Done]) -> None:
    folder, done = recorded
    assert done.status == 0, done.err
    assert sorted(os.listdir(folder)) == ["nudges.npz", "nudges.png"]
    table = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.startswith(("cat-", "dog-"))}
    saved = nudges.read(folder / "nudges.npz")
    assert len(saved.pairs) == UPDATES
    assert table == {name: [f"{c[0]:.4f}", f"{c[-1]:.4f}"] for name, c in nudges.cosines(saved).items()}


def test_convergence_command(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "r")
    done = run(FIGURES, "convergence", f"--workdir={folder}")
    assert done.status == 0, done.err
    assert imread(folder / "convergence.png").ndim == 3
    assert any(line.split()[-4:] == ["men", "0.0000", "0.6993", "5.00"] for line in done.out.splitlines())
    done = run(FIGURES, "convergance")
    assert done.status == 2 and "did you mean 'convergence'" in done.err
