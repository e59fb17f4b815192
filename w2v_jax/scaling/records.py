"""The results of a study: one run per line, as JSON. Files of several machines can be concatenated."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from w2v_jax.config import Config, DataConfig
from w2v_jax.errors import UserError
from w2v_jax.files import parse_json, write_text
from w2v_jax.recorded import LATER_RULES, RESUMABLE, to_dict

STATUS = FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"
_COUNTS = ("parameters", "tokens", "training_flops", "flops_per_token")
_ADVICE = "remove the line, and its run is made again"
# Keys that came after the first published studies; at these values they change no hash.
LATER = {f"data.{name}": getattr(DataConfig, name) for name in LATER_RULES} | {"model.encoding_errors": "strict"}
LATER |= {"train.start": "", "train.stop_at": 0.0, "data.reversed": False, "optimizer.decay_fraction": 0.2}
LATER |= {"train.kernel": "auto"}
# The same of a family's `model`.
LATER_OF: dict[str, dict[str, Any]] = {
    "transformer": {
        **{"vectors": "", "mask_share": 0.15, "whole_words": False, "within_documents": False, "noise_words": 0},
        **{"base_dim": 0, "base_heads": 0, "base_layers": 0, "table_rate": 1.0, "table_power": 0.0},
        "logits_power": 1.0,
    },
    "word2vec": {"noise_dtype": "float32", "gradient_dtype": "float32"},
    "subword": {"noise_dtype": "float32", "gradient_dtype": "float32"},
    "recurrent_lm": {"noise_words": 0, "base_dim": 0, "table_rate": 1.0, "table_power": 0.0, "logits_power": 1.0},
}


@dataclasses.dataclass(frozen=True)
class Record:
    """One run. Losses are means over the held-out text; None where there is none, or the run did not finish."""

    run: str  # name within the study
    arm: str  # a family at several sizes
    family: str
    status: str  # finished | diverged | failed
    seed: int
    config_hash: str  # see `config_hash`
    config: dict[str, Any]
    revision: str  # of the code: git's commit, with + where files were changed
    parameters: int
    parameters_without_embeddings: int
    flops_per_token: float
    training_flops: float  # of all tokens, whichever run trained on them
    tokens: float  # trained on, repeats counted
    passes: float | None = None
    vocabulary: int | None = None
    train_loss: float | None = None  # nats per token, of the last log interval
    heldout_loss: float | None = None  # nats per token, each with at least half a window before it
    heldout_block_loss: float | None = None  # as the training loop scores it: by blocks, or with the state carried
    heldout_bits_per_byte: float | None = None
    heldout_accuracy: float | None = None  # share of held-out tokens whose probability was the highest
    heldout_known_accuracy: float | None = None  # of those that are not `<unk>`, read as for `heldout_loss`
    heldout_unknown: float | None = None  # share of `<unk>` among the held-out tokens
    heldout_unigram_loss: float | None = None  # nats per token by the counts of tokens alone
    heldout_unigram_accuracy: float | None = None  # share of the most frequent token
    optimum: float | None = None  # the best possible loss on the same positions, where it is known
    by_position: list[float] | None = None  # nats per token by place in a window that starts without context
    optimum_by_position: list[float] | None = None  # the best possible with all of the text before, at the same places
    quality: dict[str, float] | None = None  # of word vectors, by test
    tasks: dict[str, float] | None = None  # of language models: share of right answers, by task
    words_per_second: float | None = None
    seconds: float | None = None  # of training on all tokens; compiling and scoring are not in it
    # What was trained for this run: less than the whole where it began on the trunk of a shorter one. None in records
    # from before that was possible: all of it.
    made_flops: float | None = None
    made_seconds: float | None = None
    peak_bytes: int | None = None  # of the process by the end of the run, those of earlier runs included
    device: str = ""
    jax: str = ""
    machine: dict[str, Any] | None = None
    error: str | None = None  # one line, of a run that diverged or failed

    @property
    def scores(self) -> dict[str, float]:
        """By name, the tests of word vectors (`quality`) and the `tasks`."""
        return (self.quality or {}) | (self.tasks or {})


def config_hash(config: Config) -> str:
    """Twelve hexadecimal digits of the keys that decide a run's result: those that cannot change on resuming."""
    tree = to_dict(config)
    for key in (*RESUMABLE, *LATER):
        *path, last = key.split(".")
        inner = tree
        for name in path:
            inner = inner[name]
        if key not in LATER or inner.get(last) == LATER[key]:
            inner.pop(last, None)
    for name, value in LATER_OF.get(config.family, {}).items():
        if tree["model"].get(name) == value:
            del tree["model"][name]
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]


def write(path: Path, records: Iterable[Record]) -> None:
    """Replaces a results file as a whole. Raises OSError: the old file stays."""
    lines = [json.dumps(dataclasses.asdict(r), allow_nan=False, sort_keys=False) + "\n" for r in records]
    write_text(path, "".join(lines))


def read(paths: Sequence[Path]) -> list[Record]:
    """The runs of results files in order; of a repeated run, the last that finished. UserError: a bad line."""
    found: dict[tuple[str, str], Record] = {}
    for path in paths:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if not line.strip():
                continue
            record = _parse(f"{path}, line {number}", line)
            key = (record.run, record.config_hash)
            if key not in found or record.status == FINISHED or found[key].status != FINISHED:
                found[key] = record
    return list(found.values())


def _parse(where: str, line: bytes) -> Record:
    fields = {f.name: f for f in dataclasses.fields(Record)}
    try:
        entry = parse_json(line)
    except ValueError:
        if not line.lstrip().startswith(b"{"):
            raise UserError(f"{where}: not JSON; name the results.jsonl of a study, or remove the line") from None
        raise UserError(f"{where}: not JSON; {_ADVICE}") from None
    if not isinstance(entry, dict):
        raise UserError(f"{where}: not a JSON object; {_ADVICE}")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in entry]
    if missing:
        raise UserError(f"{where}: has no {', '.join(missing)}; is this the results file of a study?")
    record = Record(**{k: v for k, v in entry.items() if k in fields})
    for name, field in fields.items():
        value = getattr(record, name)
        if (value is not None or field.default is dataclasses.MISSING) and not _fits(name, str(field.type), value):
            shown = f"{value!r}"[:60]
            raise UserError(f"{where}: {name}={shown}: must be {_need(name, str(field.type))}; {_ADVICE}")
    if record.heldout_loss is not None:
        for name in ("heldout_loss", "parameters", "tokens", "training_flops"):
            if getattr(record, name) <= 0:
                raise UserError(f"{where}: {name}={getattr(record, name)}: must be above 0; {_ADVICE}")
    return record


def _fits(name: str, kind: str, value: Any) -> bool:
    """Whether a value of a line is what the field of `Record` with the annotation `kind` takes."""
    kind = kind.removesuffix(" | None")
    if kind == "str":
        return isinstance(value, str) and (name != "status" or value in STATUS)
    if kind in ("int", "float"):
        return _number(value) and (name not in _COUNTS or value >= 0)
    if kind == "list[float]":
        return isinstance(value, list) and all(map(_number, value))
    if not isinstance(value, dict):
        return False
    if name == "config":
        parts = [value.get(part, {}) for part in ("model", "optimizer", "train", "data")]
        return all(isinstance(part, dict) for part in parts) and _number(parts[1].get("learning_rate", 0.0))
    return kind != "dict[str, float]" or all(map(_number, value.values()))


def _need(name: str, kind: str) -> str:
    if name in _COUNTS:
        return "a number of 0 or more"
    if name == "status":
        return f"one of {', '.join(STATUS)}"
    kinds = {"str": "a text", "int": "a finite number", "float": "a finite number", "list[float]": "a list of numbers"}
    kinds |= {"dict[str, float]": "numbers by name", "dict[str, Any]": "what a study writes"}
    return kinds[kind.removesuffix(" | None")]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
