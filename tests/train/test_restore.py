"""A trained model opened from its run folder alone: the parameters with the best held-out loss, or one clear line."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.special

from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.train.loop import train
from w2v_jax.train.restore import Model, open_model

WORDS = [f"w{i}" for i in range(9)]

pytestmark = pytest.mark.xdist_group("restore")  # one worker: they share a trained model


def write_text(path: Path, words: list[str], lines: int = 60) -> None:
    rng = np.random.default_rng(0)
    path.write_text("\n".join(" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(lines)) + "\n")


def config_of(text: Path) -> Config:
    """The rate is so large that the best checkpoint is not the last one."""
    return Config(
        family="recurrent_lm",
        model=RecurrentLMConfig(cell="elementwise", layers=1, hidden=6, dim=6, length=8),
        data=DataConfig(
            source=f"text:{text}", tokens="whitespace", min_count=1, heldout_every=5, end_token="<eos>", unknown="error"
        ),
        train=TrainConfig(batch_size=2, passes=3.0, steps_per_call=2),
        optimizer=OptimizerConfig(dense="adamw", learning_rate=0.35, schedule="constant"),
        checkpoint=CheckpointConfig(every_steps=8, keep=2),
        log=LogConfig(every_steps=100, eval_steps=0, tensorboard=False),
        mesh=MeshConfig(data=1),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("restore")
    write_text(home / "text.txt", WORDS)
    train(config_of(home / "text.txt"), home / "run")
    return home


@pytest.fixture
def workdir(finished: Path, tmp_path: Path) -> Path:
    """A copy that may be harmed."""
    return Path(shutil.copytree(finished / "run", tmp_path / "run"))


def test_the_best_checkpoint_has_the_loss_that_it_was_chosen_for(finished: Path) -> None:
    """The model by hand, c <- w * c + x, scores the held-out text as the run's log says for the step."""
    model = open_model(finished / "run")
    rows = [json.loads(line) for line in (finished / "run" / "metrics.jsonl").read_text().splitlines()]
    held = {row["step"]: row["heldout_loss"] for row in rows if row.get("heldout_loss") is not None}
    kept = [int(p.name) for p in (finished / "run" / "checkpoints").iterdir() if p.name.isdigit()]
    assert model.step == min(kept, key=lambda step: held[step]) < max(kept)
    assert by_hand(model, build_corpus(model.config.data).heldout.tokens) == pytest.approx(held[model.step], rel=1e-4)


def by_hand(model: Model, tokens: np.ndarray) -> float:
    """Mean nats of two lanes of a text in numpy."""
    table = np.asarray(model.params["embed"], np.float64)
    out, bias = (np.asarray(model.params["head"][k], np.float64)[: model.tokenizer.size] for k in ("table", "bias"))
    weight = np.asarray(model.params["layers"]["0"]["U"], np.float64)[0]
    ids = np.concatenate([[model.tokenizer.end_id], tokens]).astype(int)
    nats = []
    for lane in np.array_split(np.arange(len(tokens)), [-(-len(tokens) // 2)]):
        state = np.zeros_like(weight)
        for t in lane:
            state = weight * state + table[ids[t]]
            nats.append(-scipy.special.log_softmax(out @ state + bias)[ids[t + 1]])
    return float(np.mean(nats))


def drop(name: str) -> Callable[[Path], object]:
    return lambda workdir: shutil.rmtree(workdir / name) if (workdir / name).is_dir() else (workdir / name).unlink()


def change_config(workdir: Path) -> None:
    saved = json.loads((workdir / "config.json").read_text())
    saved["data"]["end_token"] = "<end>"
    (workdir / "config.json").write_text(json.dumps(saved))


def widen_model(workdir: Path) -> None:
    saved = json.loads((workdir / "config.json").read_text())
    saved["model"] |= {"hidden": 7, "dim": 7}
    (workdir / "config.json").write_text(json.dumps(saved))


def change_tokenizer(workdir: Path, words: list[str] | None = None) -> None:
    """Another vocabulary, whose tables have the same padded size."""
    write_text(workdir.parent / "other.txt", words or [*WORDS, "more"])
    data = config_of(workdir.parent / "other.txt").data
    build_corpus(dataclasses.replace(data, cache_dir=str(workdir.parent / "cache"))).tokenizer.save(workdir)


def exchange_tokenizer(workdir: Path) -> None:
    """Another vocabulary of the very same size: nothing but its words tells."""
    change_tokenizer(workdir, [*WORDS[1:], "more"])


def damage_vocabulary(workdir: Path) -> None:
    path = workdir / "vocab.txt"
    path.write_text(path.read_text().replace("w3", "w33"))


def empty_checkpoints(workdir: Path) -> None:
    shutil.rmtree(workdir / "checkpoints")
    (workdir / "checkpoints").mkdir()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (drop("config.json"), "holds no run"),
        (drop("tokenizer.json"), "holds a run without tokenizer.json; .*continues it"),
        (drop("checkpoints"), "holds a run without checkpoints; .*continues it"),
        (empty_checkpoints, "no checkpoint"),
        (change_config, "differs from config.json in data.end_token"),
        (widen_model, "saved by another model, vocabulary or optimizer"),
        (change_tokenizer, "another tokeniser or vocabulary than checkpoint"),
        (exchange_tokenizer, "another tokeniser or vocabulary than checkpoint"),
        (damage_vocabulary, "vocab.txt: damaged, or of another tokeniser"),
    ],
)
def test_what_is_no_whole_run_is_refused_in_one_line(
    workdir: Path, harm: Callable[[Path], object], message: str
) -> None:
    harm(workdir)
    with pytest.raises(UserError, match=message) as caught:
        open_model(workdir)
    assert "\n" not in str(caught.value) and str(workdir) in str(caught.value)


def truncate(checkpoint: Path) -> None:
    largest = max((f for f in checkpoint.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:100])


def lose_record(checkpoint: Path) -> None:
    (checkpoint / "meta" / "metadata").write_text("{}")


@pytest.mark.parametrize("harm", [truncate, lose_record, shutil.rmtree])
def test_a_damaged_best_checkpoint_gives_way_to_the_next_best(
    finished: Path, workdir: Path, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    held = {row["step"]: row["heldout_loss"] for row in rows if row.get("heldout_loss") is not None}
    steps = [int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()]
    best, second, *_ = sorted(steps, key=lambda step: held[step])
    assert open_model(finished / "run").step == best
    harm(workdir / "checkpoints" / str(best))
    assert open_model(workdir).step == second
    (line,) = capsys.readouterr().err.splitlines()
    gone = harm is shutil.rmtree
    ending = f"is gone; left: {', '.join(map(str, sorted({*steps} - {best})))}" if gone else f"; trying {second}"
    assert line.startswith(f"warning: checkpoint {best} in ") and line.endswith(ending)
    for step in set(steps) - {best}:
        truncate(workdir / "checkpoints" / str(step))
    names = ", ".join(str(step) for step in sorted(steps) if step != best or not gone)
    with pytest.raises(UserError, match=f"no intact checkpoint .damaged: {names}"):
        open_model(workdir)


def test_of_a_run_that_has_not_ended_the_newest_checkpoint_is_opened(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = max(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())
    best = open_model(workdir).step
    (workdir / "result.json").unlink()
    assert open_model(workdir).step == newest > best
    assert capsys.readouterr().err == f"note: {workdir}: not finished: step {newest} of {newest}\n"


def test_constants_other_than_those_trained_with_are_refused(tmp_path: Path) -> None:
    """Frozen word vectors are no part of a checkpoint; the file that holds them may have changed since."""
    write_text(tmp_path / "text.txt", WORDS)
    rows = [f"{w} {i}.5 1 0 1 0 1" for i, w in enumerate(WORDS)]
    (tmp_path / "vectors.txt").write_text(f"{len(rows)} 6\n" + "\n".join(rows) + "\n")
    config = config_of(tmp_path / "text.txt")
    model = dataclasses.replace(config.model, vectors=str(tmp_path / "vectors.txt"), frozen=True)
    config = dataclasses.replace(config, model=model, train=dataclasses.replace(config.train, max_steps=2))
    train(config, tmp_path / "run")
    first = WORDS.index("w0")
    opened = open_model(tmp_path / "run")
    vector = np.asarray(opened.consts["vectors"])[opened.tokenizer.vocab.index["w0"]]
    np.testing.assert_allclose(vector, [first + 0.5, 1, 0, 1, 0, 1])
    (tmp_path / "vectors.txt").write_text(f"{len(rows)} 6\n" + "\n".join(reversed(rows)).replace("1.5", "9.5") + "\n")
    with pytest.raises(UserError, match="trained with other constants than are found here"):
        open_model(tmp_path / "run")
