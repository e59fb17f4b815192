"""Typed run configuration.

A config file's `get_config()` returns `editable(Config(...))`, a tree that command-line flags may override. After
parsing, `freeze` rebuilds it once into the frozen dataclasses below, whose `__post_init__` validates every value. A key
that does not exist, a value of the wrong type or an impossible value is a `UserError` before any work starts.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import ml_collections

from w2v_jax.errors import UserError, nearest


def check(ok: bool, key: str, value: Any, need: str) -> None:
    """Raises the one-line `UserError` for an impossible value of `key`."""
    if not ok:
        raise UserError(f"{key}={value!r}: must be {need}")


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises `UserError` unless `value` is one of `choices`, naming the nearest."""
    if value not in choices:
        raise UserError(f"{key}={value!r}: must be one of {', '.join(choices)}{nearest(str(value), choices)}")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which text, how it is cut into words and documents, and what is held out."""

    source: str = "pydocs"  # pydocs | text:GLOB (also a folder; plain, .gz, .xz) | tfds:NAME[/CONFIG]
    field: str = "text"  # the text feature of a TFDS data set
    tfds_split: str = "train"
    data_dir: str = ""  # where TFDS finds or prepares its record files; its own default when empty
    offline: bool = True  # never touch the network; a TFDS name must then be prepared on disk already
    cache_dir: str = ""  # token shards; $W2V_JAX_CACHE or ~/.cache/w2v_jax when empty
    lowercase: bool = True
    # letters: runs of a-z (with lowercase=False A-Z too) | punctuation: words and marks | whitespace
    tokens: str = "letters"
    document: str = "line"  # what ends a document: line | blank (an empty line) | file
    min_count: int = 5
    max_vocab: int = 0  # keep the most frequent words only; 0 keeps all
    unknown: str = "drop"  # drop: out-of-vocabulary words leave the text | keep: they become <unk>
    heldout_every: int = 100  # every n-th document is held out; 0 holds nothing out
    block_tokens: int = 16_384  # whole documents are grouped into blocks of about this size, the unit of shuffling

    def __post_init__(self) -> None:
        check(
            self.source == "pydocs" or self.source.startswith(("text:", "tfds:")),
            "data.source",
            self.source,
            "pydocs, text:GLOB or tfds:NAME",
        )
        check_choice("data.tokens", self.tokens, ("letters", "punctuation", "whitespace"))
        check_choice("data.document", self.document, ("line", "blank", "file"))
        check_choice("data.unknown", self.unknown, ("drop", "keep"))
        check(self.min_count >= 1, "data.min_count", self.min_count, "at least 1")
        check(self.max_vocab >= 0, "data.max_vocab", self.max_vocab, "0 (no limit) or more")
        check(
            self.heldout_every >= 0 and self.heldout_every != 1,
            "data.heldout_every",
            self.heldout_every,
            "0 or above 1",
        )
        check(self.block_tokens >= 1, "data.block_tokens", self.block_tokens, "at least 1")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long, in what portions and from which seed."""

    seed: int = 0
    passes: float = 5.0  # over the training text
    max_steps: int = 0  # ends earlier, the schedule stays; 0 is no limit
    batch_size: int = 4096  # in the model's unit (centre words for word vectors)
    steps_per_call: int = 64  # steps made by one call to the device; logs and saves fall on call boundaries

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**31, "train.seed", self.seed, "from 0 to 2**31 - 1")
        check(self.passes > 0, "train.passes", self.passes, "above 0")
        check(self.max_steps >= 0, "train.max_steps", self.max_steps, "0 (no limit) or more")
        check(self.batch_size >= 1, "train.batch_size", self.batch_size, "at least 1")
        check(self.steps_per_call >= 1, "train.steps_per_call", self.steps_per_call, "at least 1")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimisers: `rows` for gathered table rows, `dense` (optax) for every other leaf; one schedule for both."""

    rows: str = "adagrad"  # adagrad (row-wise) | sgd
    dense: str = "adagrad"  # sgd | adagrad | adamw
    learning_rate: float = 0.25
    schedule: str = "linear"  # linear decay to final_fraction of the rate | constant
    final_fraction: float = 0.0001
    initial_square: float = 0.0  # where row-wise adagrad's accumulators start; above 0 tames the first updates of a row
    clip_row: float = 0.0  # largest norm of one row's summed update under row-wise SGD; 0 is no limit
    weight_decay: float = 0.0  # adamw only

    def __post_init__(self) -> None:
        check_choice("optimizer.rows", self.rows, ("adagrad", "sgd"))
        check_choice("optimizer.dense", self.dense, ("sgd", "adagrad", "adamw"))
        check_choice("optimizer.schedule", self.schedule, ("linear", "constant"))
        check(0 < self.learning_rate < math.inf, "optimizer.learning_rate", self.learning_rate, "above 0 and finite")
        check(0 <= self.final_fraction <= 1, "optimizer.final_fraction", self.final_fraction, "between 0 and 1")
        check(self.initial_square >= 0, "optimizer.initial_square", self.initial_square, "0 or more")
        check(self.clip_row >= 0, "optimizer.clip_row", self.clip_row, "0 (no limit) or more")
        check(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "0 or more")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    every_steps: int = 8192  # a killed run loses at most so many steps (and one call); saves start twice as often
    keep: int = 2  # the newest k stay, and the best by held-out loss

    def __post_init__(self) -> None:
        check(self.every_steps >= 1, "checkpoint.every_steps", self.every_steps, "at least 1")
        check(self.keep >= 1, "checkpoint.keep", self.keep, "at least 1")


@dataclasses.dataclass(frozen=True)
class LogConfig:
    every_steps: int = 256
    eval_every_steps: int = 0  # held-out loss; 0 is once a pass
    eval_steps: int = 8  # batches of held-out text a time, 0 is all of it
    tensorboard: bool = True

    def __post_init__(self) -> None:
        check(self.every_steps >= 1, "log.every_steps", self.every_steps, "at least 1")
        check(self.eval_every_steps >= 0, "log.eval_every_steps", self.eval_every_steps, "0 (once a pass) or more")
        check(self.eval_steps >= 0, "log.eval_steps", self.eval_steps, "0 (all) or more")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices: batches split over `data`, the vocabulary axis of tables over `model`."""

    data: int = 0  # 0: all devices that `model` leaves
    model: int = 1
    per_device: bool = False  # the shard_map variant of the step (data parallel only)

    def __post_init__(self) -> None:
        check(self.data >= 0, "mesh.data", self.data, "0 (all) or more")
        check(self.model >= 1, "mesh.model", self.model, "at least 1")
        check(not (self.per_device and self.model > 1), "mesh.model", self.model, "1 when mesh.per_device is set")


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. `family` is a key of `w2v_jax.models.MODELS`, `model` an instance of that family's config class."""

    family: str
    model: Any
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()
    mesh: MeshConfig = MeshConfig()


# Keys that may differ when a run is continued: none of them changes what is computed.
RESUMABLE = ("log", "checkpoint", "mesh", "data.cache_dir", "data.data_dir", "data.offline")


def to_dict(cfg: Any) -> dict[str, Any]:
    """The config as plain nested dicts, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(cfg)))


def editable(cfg: Config) -> ml_collections.ConfigDict:
    """A locked, mutable copy that `ml_collections.config_flags` can override with typed values."""
    return ml_collections.ConfigDict(dataclasses.asdict(cfg)).lock()


def _build(cls: type, values: Mapping[str, Any], prefix: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise UserError(f"config has no key {prefix + key!r}{nearest(key, fields)}")
    out = {}
    for key, value in values.items():
        default = fields[key].default
        if isinstance(value, (Mapping, ml_collections.ConfigDict)) and dataclasses.is_dataclass(default):
            value = _build(type(default), value, f"{prefix}{key}.")
        elif isinstance(default, bool) != isinstance(value, bool):
            raise UserError(f"{prefix}{key}={value!r}: must be of type {type(default).__name__}")
        elif isinstance(default, float) and isinstance(value, int):
            value = float(value)
        elif default is not dataclasses.MISSING and not isinstance(value, type(default)):
            raise UserError(f"{prefix}{key}={value!r}: must be of type {type(default).__name__}")
        out[key] = value
    return cls(**out)


def freeze(tree: Mapping[str, Any] | ml_collections.ConfigDict, models: Mapping[str, Any]) -> Config:
    """Rebuilds the frozen, validated `Config` from an edited tree or a saved one.

    Args:
      tree: as `editable` or `to_dict` returned it.
      models: the registry, `w2v_jax.models.MODELS`.

    Raises:
      UserError: an unknown key (with the nearest), a wrong type, an impossible value, an unknown family.
    """
    values = tree.to_dict() if isinstance(tree, ml_collections.ConfigDict) else dict(tree)
    family = str(values.get("family"))
    if family not in models:
        raise UserError(f"family={family!r}: must be one of {', '.join(models)}{nearest(family, models)}")
    model = _build(models[family].config, values.pop("model"), "model.")
    known = {f.name for f in dataclasses.fields(Config)}
    for key in values:
        if key not in known:
            raise UserError(f"config has no key {key!r}{nearest(key, known)}")
    parts = {k: v for k, v in values.items() if k != "family"}
    defaults = {f.name: f.default for f in dataclasses.fields(Config) if f.name in parts}
    built = {k: _build(type(defaults[k]), v, f"{k}.") for k, v in parts.items()}
    return Config(family=family, model=model, **built)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between two config dicts, `RESUMABLE` ones left out."""
    out: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        path = f"{prefix}{key}"
        if path in RESUMABLE:
            continue
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            out += differences(a, b, f"{path}.")
        elif a != b:
            out.append(path)
    return out
