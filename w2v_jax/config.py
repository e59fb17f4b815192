"""Typed run configuration.

A config file's `get_config()` returns a frozen `Config`; `w2v_jax.overrides` replaces values in it by key. A key that
does not exist, a value of the wrong type or an impossible value is a `UserError` before any work starts.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from w2v_jax.errors import UserError, nearest
from w2v_jax.files import PathLike, read_json
from w2v_jax.overrides import build


def check(ok: bool, key: str, value: Any, need: str) -> None:
    """Raises the one-line `UserError` for an impossible value of `key`."""
    if not ok:
        raise UserError(f"{key}={value!r}: must be {need}")


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises `UserError` unless `value` is one of `choices`, naming the nearest."""
    if value not in choices:
        raise UserError(f"{key}={value!r}: must be one of {', '.join(choices)}{nearest(str(value), choices)}")


def check_least(least: int, section: str, cfg: Any, *keys: str) -> None:
    """Raises `UserError` for the first of the keys of `section`, held by `cfg`, that is below `least`."""
    for key in keys:
        value = getattr(cfg, key)
        check(value >= least, f"{section}.{key}", value, f"at least {least}" if least else "0 or more")


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """A generated language whose best possible loss is known exactly; `w2v_jax.data.synthetic` defines it."""

    words: int = 1000  # word types, the sentence-final mark among them
    zipf: float = 1.0  # exponent: the word of rank r has frequency about r**-zipf
    topics: int = 8
    switch: float = 0.1  # probability that a sentence draws a new topic
    shared: float = 0.5  # share of fillers (neither subject nor verb) drawn from words that all topics have in common
    senses: int = 50  # words that belong to two topics
    classes: int = 2  # of subjects and verbs, which agree
    distances: str = "1,2,4,8,16"  # from subject to verb, equally likely; rising
    lead: float = 1.0  # mean number of fillers before the subject
    tail: float = 4.0  # and after the verb
    tokens: int = 1_000_000  # of source synthetic; the last sentence is finished
    heldout_tokens: int = 100_000  # of synthetic:heldout
    test_tokens: int = 100_000  # of synthetic:test
    seed: int = 0  # of the texts; the language does not depend on it

    def __post_init__(self) -> None:
        check(0 < self.zipf <= 10, "data.synthetic.zipf", self.zipf, "above 0 and at most 10")
        check(0 <= self.switch <= 1, "data.synthetic.switch", self.switch, "between 0 and 1")
        check(0 <= self.shared < 1, "data.synthetic.shared", self.shared, "0 or more and below 1")
        check_least(2, "data.synthetic", self, "classes")
        check_least(1, "data.synthetic", self, "topics", "tokens", "heldout_tokens", "test_tokens")
        least = 2 * self.classes + self.topics + 2
        check(self.words >= least, "data.synthetic.words", self.words, f"at least {least}: one a topic, class and kind")
        check(0 <= self.senses < self.words, "data.synthetic.senses", self.senses, "0 or more and below words")
        check(self.senses == 0 or self.topics >= 2, "data.synthetic.senses", self.senses, "0 when there is one topic")
        steps = self.distances.split(",")
        valid = all(d.isascii() and d.strip().isdigit() for d in steps) and int(steps[0]) > 0
        valid = valid and all(int(a) < int(b) for a, b in itertools.pairwise(steps)) and int(steps[-1]) <= 4096
        check(valid, "data.synthetic.distances", self.distances, "rising numbers from 1 to 4096 such as 1,2,4")
        for key in ("lead", "tail"):
            value = getattr(self, key)
            check(0 <= value < math.inf, f"data.synthetic.{key}", value, "0 or more and finite")
        room = self.lead + self.tail + int(steps[-1])
        check(room > 1, "data.synthetic.tail", self.tail, "above 0: no filler is left")
        check(0 <= self.seed < 2**31, "data.synthetic.seed", self.seed, "from 0 to 2**31 - 1")

    def distance_list(self) -> tuple[int, ...]:
        """`distances` as numbers."""
        return tuple(int(d) for d in self.distances.split(","))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which text, how it is cut into words and documents, and what is held out."""

    # pydocs | text:GLOB (also a folder; plain, .gz, .xz) | tfds:NAME[/CONFIG][@SPLIT] | tsv:GLOB of labelled texts |
    # synthetic (also synthetic:heldout, synthetic:test: the same language, other texts)
    source: str = "pydocs"
    heldout_source: str = ""  # if set, the held-out split is this text, and all of `source` is used for training
    test_source: str = ""  # the test split; if empty, there is none
    field: str = "text"  # the text feature of a TFDS data set
    tfds_split: str = "train"
    data_dir: str = ""  # where TFDS finds or prepares its record files; its own default when empty
    offline: bool = True  # never touch the network; a TFDS name must then be prepared on disk already
    cache_dir: str = ""  # token shards; $W2V_JAX_CACHE or ~/.cache/w2v_jax when empty
    lowercase: bool = True  # before any tokeniser; characters and bpe keep the text exactly only with False
    # letters: runs of a-z (with lowercase=False A-Z too) | punctuation: words and marks | whitespace |
    # characters: code points | bpe: byte-level BPE, trained on the training documents until it has max_vocab tokens
    tokens: str = "letters"
    document: str = "line"  # what ends a document: line | blank (an empty line) | file
    # A token such as <eos> after every document of every split, in the vocabulary whatever min_count and max_vocab are.
    # With document=line an empty line is then a document too, as in the usual counts of WikiText.
    end_token: str = ""
    min_count: int = 5  # rarer words are outside the vocabulary; not for bpe
    max_vocab: int = 0  # keep the most frequent words only; 0 keeps all; bpe: size of the vocabulary, end_token in it
    # drop: out-of-vocabulary words leave the text | keep: they become <unk> | error: the first one is refused
    unknown: str = "drop"
    heldout_every: int = 100  # every n-th document is held out; 0 holds nothing out
    block_tokens: int = 16_384  # whole documents are grouped into blocks of about this size, the unit of shuffling
    labels: str = "binary"  # of labelled texts: binary (0, 1) | as_is | sst2 (0-1 negative, 2 left out, 3-4 positive)
    synthetic: SyntheticConfig = SyntheticConfig()

    def __post_init__(self) -> None:
        forms = ("text:", "tfds:", "tsv:", "synthetic:")
        known = self.source in ("pydocs", "synthetic") or self.source.startswith(forms)
        check(known, "data.source", self.source, "pydocs, synthetic, text:GLOB, tsv:GLOB or tfds:NAME")
        for key in ("heldout_source", "test_source"):
            value = getattr(self, key)
            need = "text:GLOB, tsv:GLOB, tfds:NAME or synthetic:SPLIT"
            check(not value or value.startswith(forms), f"data.{key}", value, need)
        check_choice("data.tokens", self.tokens, ("letters", "punctuation", "whitespace", "characters", "bpe"))
        check_choice("data.document", self.document, ("line", "blank", "file"))
        word = self.end_token != "<unk>" and not any(c.isspace() or c == "\0" for c in self.end_token)
        need = "a word without white space and not <unk>, such as <eos>"
        check(word, "data.end_token", self.end_token, need)
        check_choice("data.unknown", self.unknown, ("drop", "keep", "error"))
        check_least(1, "data", self, "min_count", "block_tokens")
        check(self.max_vocab >= 0, "data.max_vocab", self.max_vocab, "0 (no limit) or more")
        need = "at least 257 (256 bytes and one more) for data.tokens=bpe"
        check(self.tokens != "bpe" or self.max_vocab >= 257, "data.max_vocab", self.max_vocab, need)
        every = self.heldout_every
        check(every >= 0 and every != 1, "data.heldout_every", every, "0 or above 1")
        check_choice("data.labels", self.labels, ("binary", "as_is", "sst2"))


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length of training, batches and seed."""

    seed: int = 0
    passes: float = 5.0  # over the training text
    max_steps: int = 0  # stops training early and leaves the schedule as it is; 0 is no limit
    batch_size: int = 4096  # in the model's unit (centre words for word vectors)
    accumulate: int = 1  # microbatches whose gradients are summed before an update; saves memory, changes no result
    steps_per_call: int = 64  # steps per call to the device; logs and checkpoints are written between calls

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**31, "train.seed", self.seed, "from 0 to 2**31 - 1")
        check(self.passes > 0, "train.passes", self.passes, "above 0")
        check(self.max_steps >= 0, "train.max_steps", self.max_steps, "0 (no limit) or more")
        check_least(1, "train", self, "batch_size", "accumulate", "steps_per_call")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimisers: `rows` for gathered table rows, `dense` (optax) for every other leaf; one schedule for both."""

    rows: str = "adagrad"  # adagrad (row-wise) | sgd
    dense: str = "adagrad"  # sgd | adagrad | adamw
    learning_rate: float = 0.25
    # linear, cosine: decay to final_fraction of the rate | constant | step: multiplied by `decay` at every pass after
    # hold_passes | plateau: multiplied by `decay` when the held-out loss stops falling; see w2v_jax.train.optimizers
    schedule: str = "linear"
    final_fraction: float = 0.0001
    warmup_steps: int = 0  # the rate first rises linearly from 0 over this number of steps
    hold_passes: int = 4  # step
    decay: float = 0.5  # step and plateau
    patience: int = 1  # plateau: evaluations in a row (log.eval_every_steps) without improvement before the rate falls
    min_improvement: float = 0.0  # plateau: nats below the best held-out loss that count as an improvement
    initial_square: float = 0.0  # where row-wise adagrad's accumulators start; above 0 tames the first updates of a row
    clip_row: float = 0.0  # largest norm of one row's summed update under row-wise SGD; 0 is no limit
    clip_norm: float = 0.0  # largest norm of all dense gradients together; 0 is no limit
    beta1: float = 0.9  # adamw
    beta2: float = 0.999  # adamw
    eps: float = 1e-8  # adamw
    weight_decay: float = 0.0  # adamw, decoupled; of leaves with 2 or more axes
    decay_embeddings: bool = False  # whether weight decay applies to embedding tables too

    def __post_init__(self) -> None:
        check_choice("optimizer.rows", self.rows, ("adagrad", "sgd"))
        check_choice("optimizer.dense", self.dense, ("sgd", "adagrad", "adamw"))
        check_choice("optimizer.schedule", self.schedule, ("linear", "constant", "cosine", "step", "plateau"))
        check(0 < self.learning_rate < math.inf, "optimizer.learning_rate", self.learning_rate, "above 0 and finite")
        check(0 <= self.final_fraction <= 1, "optimizer.final_fraction", self.final_fraction, "between 0 and 1")
        check(self.warmup_steps >= 0, "optimizer.warmup_steps", self.warmup_steps, "0 (no warm-up) or more")
        check(0 < self.decay < 1, "optimizer.decay", self.decay, "above 0 and below 1")
        check_least(1, "optimizer", self, "patience")
        check_least(0, "optimizer", self, "hold_passes", "min_improvement", "initial_square", "weight_decay")
        check(self.clip_row >= 0, "optimizer.clip_row", self.clip_row, "0 (no limit) or more")
        check(self.clip_norm >= 0, "optimizer.clip_norm", self.clip_norm, "0 (no limit) or more")
        check(0 <= self.beta1 < 1, "optimizer.beta1", self.beta1, "0 or more and below 1")
        check(0 <= self.beta2 < 1, "optimizer.beta2", self.beta2, "0 or more and below 1")
        check(self.eps > 0, "optimizer.eps", self.eps, "above 0")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    every_steps: int = 8192  # the most steps that a killed run loses, but for one call; saves are made twice as often
    keep: int = 2  # checkpoints kept: the newest ones, and the best by held-out loss besides

    def __post_init__(self) -> None:
        check_least(1, "checkpoint", self, "every_steps", "keep")


@dataclasses.dataclass(frozen=True)
class LogConfig:
    every_steps: int = 256
    eval_every_steps: int = 0  # steps between evaluations of the held-out loss; 0 is once per pass
    eval_steps: int = 8  # batches of held-out text per evaluation; 0 is all of it
    tensorboard: bool = True

    def __post_init__(self) -> None:
        check_least(1, "log", self, "every_steps")
        check(self.eval_every_steps >= 0, "log.eval_every_steps", self.eval_every_steps, "0 (once a pass) or more")
        check(self.eval_steps >= 0, "log.eval_steps", self.eval_steps, "0 (all) or more")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices: batches split over `data`; vocabulary, heads and feed-forward units of the parameters over `model`."""

    data: int = 0  # 0: all devices that `model` leaves
    model: int = 1
    fsdp: bool = False  # parameters and optimiser state split over `data` too, along the width of the model
    per_device: bool = False  # the shard_map variant of the step (data parallel only)

    def __post_init__(self) -> None:
        check(self.data >= 0, "mesh.data", self.data, "0 (all) or more")
        check_least(1, "mesh", self, "model")
        check(not (self.per_device and self.model > 1), "mesh.model", self.model, "1 when mesh.per_device is set")
        check(not (self.per_device and self.fsdp), "mesh.fsdp", self.fsdp, "False when mesh.per_device is set")


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


def freeze(tree: Mapping[str, Any], models: Mapping[str, Any]) -> Config:
    """The validated `Config` of nested mappings such as `to_dict` returns. UserError: see `w2v_jax.overrides.build`."""
    return build(Config, tree, models)


def load(path: PathLike, models: Mapping[str, Any]) -> Config | None:
    """The config in a run's config.json; None where there is no such file.

    Raises:
      UserError: the file holds no config; the line names the file and the key.
    """
    tree = read_json(path)
    try:
        return None if tree is None else freeze(tree, models)
    except UserError as e:
        raise UserError(f"{path}: {e}; restore it, or choose another workdir") from None


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
