"""The held runs: tiny trainings of every family, stopped half-way, and all that can be seen when they are continued.

`tests/held/make.py` wrote the folders, `tests/test_held_runs.py` continues copies of them. Everything here goes
through the commands and the files of the run folder; only `batches` reaches into the code.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests import commands

HELD = Path(__file__).parent
TEXTS, RUN, EXPECTED = "texts", "run", "expected.json"
XLA_FLAGS = "--xla_backend_optimization_level=0"  # what the runs were made with: other flags give other last bits
PROMPT = "first value"
REVIEW = "the plot was dull but the dog was great"
LABELLED = {"data.source": "tsv:train.tsv", "data.test_source": "tsv:test.tsv", "model.vectors": "vectors.txt"}
LABELLED |= {"data.tokens": "letters"}
SMALL = {"checkpoint.every_steps": 10_000, "checkpoint.keep": 1, "log.tensorboard": False, "mesh.data": 1}
LANGUAGE = {
    "data.source": "text:words.txt",
    "data.heldout_every": 10,
    "train.batch_size": 4,
    "train.passes": 1.0,
    "train.steps_per_call": 4,
    "log.every_steps": 8,
    "optimizer.learning_rate": 0.03,
}
WORD2VEC = LANGUAGE | {
    "data.tokens": "letters",
    "data.block_tokens": 128,  # several, so that their order counts
    "data.min_count": 2,
    "model.dim": 4,
    "model.window": 3,
    "model.segment": 32,
    "model.sample": 0.01,
    "train.batch_size": 64,
    "train.passes": 2.0,
    "optimizer.learning_rate": 0.3,
}
BLOCKS = {
    "model.dim": 4,
    "model.layers": 2,
    "model.heads": 2,
    "model.dropout": 0.2,
    "model.init_scale": 0.3,
    "optimizer.warmup_steps": 5,
}
CLASSIFIER = {
    "train.batch_size": 8,
    "train.passes": 2.0,
    "train.steps_per_call": 4,
    "log.every_steps": 8,
    "optimizer.learning_rate": 0.03,
}

# Name -> (config file, overrides). Texts are named from the current folder.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "skipgram": ("skipgram", WORD2VEC | {"model.shared_negatives": 16}),
    # The config had these first sums when the run was made.
    "cbow": ("cbow", WORD2VEC | {"model.loss": "hierarchical", "optimizer.initial_square": 1.0}),
    "lstm": (
        "language",
        LANGUAGE
        | {"model.dim": 4, "model.hidden": 4, "model.length": 8, "model.dropout": 0.2, "model.init_scale": 0.3},
    ),
    "shared_kv": (
        "transformer",
        LANGUAGE | BLOCKS | {"model.length": 8, "model.keys_values": "shared_kv", "model.loop": "scan"},
    ),
    "recurrent_classifier": ("sentiment", LABELLED | CLASSIFIER | {"model.dim": 4, "model.hidden": 5}),
    "transformer_classifier": (
        "sentiment_transformer",
        LABELLED
        | CLASSIFIER
        | BLOCKS
        | {"model.hidden": 4, "model.layers": 1, "model.max_length": 16, "model.pad_lengths": 1},
    ),
}
# What depends on the clock, the versions or the place, in any file.
PASSING = {"seconds", "words_per_second", "data_wait", "jax", "device", "command", "file", "workdir"}


def place_texts(folder: Path) -> None:
    """The texts, where the runs look for them: in the current folder."""
    shutil.copytree(HELD / TEXTS, folder, dirs_exist_ok=True)


def train(name: str) -> commands.Done:
    """Starts or continues a run in the folder `run` of the current folder."""
    config, change = RUNS[name]
    overrides = [f"--config.{key}={value}" for key, value in (SMALL | change).items()]
    config_flag = f"--config={commands.ROOT / 'configs' / config}.py"
    return commands.run("experiments.train", config_flag, f"--workdir={RUN}", *overrides)


def outcome(name: str) -> dict[str, Any]:
    """Evaluates the finished run in the current folder.

    Returns:
      'exact': digests and printed words, the same on equal machines only; 'numbers': of the files of the folder.
    """
    run = Path(RUN)
    exact: dict[str, Any] = {"arrays": commands.final_arrays(run)}
    numbers = {"steps": commands.checkpoints(run), "metrics": [lasting(row) for row in commands.metrics(run)]}
    numbers["result"] = lasting(read(run / "result.json"))
    if name in ("skipgram", "cbow"):
        exact["files"] = {f.name: digest(f.read_bytes()) for f in sorted(run.glob("*.bin"))}
    exact["files"] = exact.get("files", {}) | {"vocab.txt": digest((run / "vocab.txt").read_bytes())}
    if name in ("skipgram", "cbow", "lstm", "shared_kv"):
        command("evaluate")
        numbers["evaluation"] = lasting(read(run / "evaluation.json"))
    if name in ("lstm", "shared_kv"):
        said = command("generate", f"--prompt={PROMPT}", "--greedy", "--tokens=6")
        exact["written"] = [line for line in said.splitlines() if line.startswith(PROMPT)]
        exact["next"] = re.findall(r"^(\S+) +(\d+\.\d+)$", said, re.MULTILINE)
    if name.endswith("classifier"):
        exact["labels"] = re.findall(r"^(\S+) +(\S+) +(\d+\.\d+)%$", command("sentiment", f"--text={REVIEW}"), re.M)
    if name == "shared_kv":
        command("inspect", f"--text={PROMPT}")
        numbers["inspect"] = lasting(read(run / "inspect.json"))
    return {"exact": json.loads(json.dumps(exact)), "numbers": numbers}


def command(name: str, *arguments: str) -> str:
    """What a command prints of the run."""
    done = commands.run(f"experiments.{name}", f"--workdir={RUN}", *arguments)
    assert done.status == 0, done.err
    return done.out


def batches(config: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of every entry of the first 3 calls' training batches [3, S, B, ...] of a run, by its config.json."""
    from w2v_jax.models import MODELS
    from w2v_jax.recorded import freeze
    from w2v_jax.train.prepare import prepare

    run = prepare(freeze(config, MODELS), lambda line: None)
    size = run.config.train.steps_per_call
    calls = list(run.source.iterate(0, 3 * size, size, 0, 1))
    assert len(calls) == 3
    return {key: digest(b"".join(described(call[key]) for call in calls)) for key in sorted(calls[0])}


def described(array: np.ndarray) -> bytes:
    """Type, shape and content."""
    return f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes()


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def lasting(value: Any) -> Any:
    """JSON without what a second run would give otherwise."""
    if isinstance(value, dict):
        return {key: lasting(part) for key, part in value.items() if key not in PASSING}
    return [lasting(part) for part in value] if isinstance(value, list) else value


def machine() -> dict[str, str]:
    """What decides the last bits: the processor's vector instructions and the libraries that compute."""
    out = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "optax")}
    cpuinfo = Path("/proc/cpuinfo")
    found = dict(re.findall(r"^(.+?)\s*: (.*)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE))
    kinds = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "asimd", "sve")
    features = sorted(f for f in found.get("flags", found.get("Features", "")).split() if f.startswith(kinds))
    out["processor"] = " ".join([platform.machine(), found.get("vendor_id", platform.processor()), *features])
    return out
