"""Commands under two processes: a study that packs its small runs, a ladder of classifiers, evaluation, generation, and
one that process 0 does alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from orbax.checkpoint._src.futures.future import AwaitableSignalsContract

from tests import commands
from tests.test_sentiment import files as files  # a fixture
from w2v_jax.files import read_json
from w2v_jax.train import world

# Shard 1 of 2: two small runs, and one that is far longer. Shard 0 is the longest, which nobody trains.
STUDY = """
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, OptimizerConfig
from w2v_jax.config import SyntheticConfig, TrainConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.scaling.study import Arm, Study


def get_config():
    run = Config(
        family="recurrent_lm",
        model=RecurrentLMConfig(cell="elementwise", layers=1, dim=4, hidden=4, tied=True, length=8),
        train=TrainConfig(batch_size=8, steps_per_call=4),
        optimizer=OptimizerConfig(dense="adamw", learning_rate=0.01),
        checkpoint=CheckpointConfig(every_steps=1000),
        log=LogConfig(eval_steps=0, tensorboard=False),
    )
    data = DataConfig(
        source="synthetic", heldout_source="synthetic:heldout", tokens="whitespace", end_token=".", min_count=1,
        unknown="error",
        synthetic=SyntheticConfig(words=60, topics=2, senses=4, distances="1,2", tokens=4000, heldout_tokens=600),
    )
    small = Arm(run, ("model.dim=4 model.hidden=4", "model.dim=5 model.hidden=5"), (1280,))
    return Study(data=data, arms={"small": small, "large": Arm(run, ("model.dim=4 model.hidden=4",), (6400, 320000))})
"""
LARGE = "large_dim4-hidden4_6400_s0"

# A signal comes to process 1 while both train a small run of their own, and both have something to save.
CODE = """
import json, os, signal, sys, time
import pytest
from launch.distributed import PROCESS_ID
from tests import commands
from w2v_jax.train import stop

ready = os.path.join(sys.argv[2], "ready")

def told():
    open(ready, "w").close()
    while not stop.came():  # or it might have finished its run before
        time.sleep(0.05)

def tell():
    until = time.monotonic() + 120
    while not os.path.exists(ready) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

study, ladder, evaluate, generate, classify = json.loads(sys.argv[1])
with pytest.MonkeyPatch.context() as patch:
    first = os.environ[PROCESS_ID] == "0"
    commands.at_call(patch, 2, told if first else tell)
    done = [commands.run("experiments.scaling", *study)]
done.append(commands.run("experiments.scaling", *study))
done.append(commands.run("experiments.sentiment", *ladder))
done.append(commands.run("experiments.evaluate", *evaluate))
done.append(commands.run("experiments.evaluate", "--workdir=" + os.path.join(sys.argv[2], "none")))
done.append(commands.run("experiments.generate", *generate))
done.append(commands.run("experiments.classify", *classify))
print(json.dumps(done))
"""


def lines(path: Path) -> dict[str, Any]:
    return {row["run"]: row for row in map(json.loads, path.read_text().splitlines())}


def words(files: dict[str, str], at: Path, generated: Path) -> list[list[str]]:
    """The arguments of the five commands, with their results in the folder `at`."""
    (at.parent / "study.py").write_text(STUDY)
    given = [f"--{key}={value}" for key, value in files.items()]
    return [
        [f"--config={at.parent / 'study.py'}", f"--workdir={at / 'study'}", "--shard=1/2", "--keep"],
        [*given, f"--workdir={at / 'ladder'}", "--models=average", "--config.train.passes=2"],
        [f"--workdir={generated}", f"--json={at / 'evaluation.json'}"],
        [f"--workdir={generated}", "--tokens=5", "--greedy", "--prompt=."],
        [
            *given[1:],
            f"--workdir={at / 'classify'}",
            "--methods=counts,lsa",
            *(f"--config.model.{k}=2" for k in ("dim", "sweeps")),
        ],
    ]


def test_orbax_of_one_process_alone_hears_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of its signals are of this process; where it is the only one, they stay as they are."""
    usual = AwaitableSignalsContract.awaitable_signals_contract_prefix
    with world.alone():
        assert AwaitableSignalsContract.awaitable_signals_contract_prefix == usual
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with world.alone():
        assert AwaitableSignalsContract.awaitable_signals_contract_prefix == f"{usual}_alone_1"
        with world.alone():
            assert AwaitableSignalsContract.awaitable_signals_contract_prefix == f"{usual}_alone_1"
    assert AwaitableSignalsContract.awaitable_signals_contract_prefix == usual


def test_two_processes_do_what_one_does(files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    arguments = json.dumps(words(files, two, two / "study" / "runs" / LARGE))
    line = ("-m", "launch.local", "--processes=2", "--", "python", "-c", CODE, arguments, str(tmp_path))
    with commands.start(*line) as process:
        try:
            out, err = process.communicate(timeout=400)
        finally:
            process.terminate()
    assert process.returncode == 0, err
    told = {n: json.loads(text) for n, text in re.findall(r"^\[([01])\] (\[\[.*)", out, re.M)}
    print(json.dumps(told, indent=1))  # shown where it fails, with what each process said
    for number, (stopped, study, ladder, evaluated, refused, generated, classified) in told.items():
        first = number == "0"
        assert stopped[0] == 143 and "SIGTERM" in stopped[2], stopped
        ended = (study, ladder, evaluated, generated, classified)
        assert [d[0] for d in ended] == [0] * 5, ended
        assert refused[0] == 2 and refused[2].count("\n") == 1 and ("process 0: " in refused[2]) != first, refused
        assert "continuing at step" in study[2], "each has saved the run that it trained"
        sayings = ("3 of 4 runs", "average", "held-out", "text 1", "macro F1")
        for done, said in zip(ended, sayings, strict=True):
            assert (said in done[1]) == first, done
    assert len(told) == 2

    # One process with one device. A run that was packed stands in its results: it takes it for done.
    monkeypatch.setattr(world, "devices", lambda: jax.local_devices()[:1])
    study, ladder, evaluate, generate, classify = words(files, one, two / "study" / "runs" / LARGE)
    (one / "study").mkdir(parents=True)
    shutil.copy(two / "study" / "results-1-of-2-host-1.jsonl", one / "study" / "results-1-of-2.jsonl")
    for command, given in (("scaling", study), ("sentiment", ladder), ("evaluate", evaluate), ("classify", classify)):
        done = commands.run(f"experiments.{command}", *given)
        assert done.status == 0, done.err
    alone = lines(one / "study" / "results-1-of-2.jsonl")
    joint = lines(two / "study" / "results-1-of-2.jsonl")
    assert set(joint) == {LARGE} and joint[LARGE]["device"] == "2 x cpu"
    apart = [lines(two / "study" / f"results-1-of-2-host-{n}.jsonl") for n in (0, 1)]
    assert [len(found) for found in apart] == [1, 1] and all(
        row["device"] == "1 x cpu" for found in apart for row in found.values()
    )
    together = joint | apart[0] | apart[1]
    assert set(together) == set(alone)
    for name, row in alone.items():
        for key in ("heldout_loss", "train_loss", "tokens", "config_hash"):
            assert together[name][key] == pytest.approx(row[key], rel=1e-4), (name, key)
    ladders = [read_json(at / "ladder" / "results.json") for at in (one, two)]
    for key in ("heldout_loss", "test_loss"):
        values = [found["models"][0][key] for found in ladders]
        assert np.isfinite(values[0]) and values[0] == pytest.approx(values[1], rel=1e-4)
    methods = [read_json(at / "classify" / "results.json")["methods"] for at in (one, two)]
    assert [m["accuracy"] for m in methods[0]] == [m["accuracy"] for m in methods[1]] and len(methods[0]) == 2
    scores = [read_json(at / "evaluation.json")["heldout"]["nats_per_token"] for at in (one, two)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert (
        told["0"][5][1].split("\nspeed")[0] == commands.run("experiments.generate", *generate).out.split("\nspeed")[0]
    )


def test_every_command_says_what_it_does_as_one_of_several_processes() -> None:
    """All train, or process 0 works while the others wait; what only prints does it in each."""
    prints = {"keys.py", "ledger.py", "neighbours.py"}
    for file in sorted((commands.ROOT / "experiments").rglob("*.py")):
        text = file.read_text()
        if "cli.run(main" in text and file.name not in prints:
            assert re.search(r"distributed\.initialize\(\)|by_first", text), f"{file}: cli.run(main, by_first=True)"
