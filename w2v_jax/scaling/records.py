"""The results of a study: one run per line, as JSON. Files of several machines can be concatenated."""

from __future__ import annotations

import copy
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

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"
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
    "word2vec": {"noise_dtype": "float32"},
    "subword": {"noise_dtype": "float32"},
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
    tree = decisive(to_dict(config), config.family)
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:12]


def decisive(config: dict[str, Any], family: str) -> dict[str, Any]:
    """A config without the keys that may change on resuming, and without later ones at the values of before."""
    tree = copy.deepcopy(config)
    for key in (*RESUMABLE, *LATER):
        *path, last = key.split(".")
        inner = tree
        for name in path:
            inner = inner.get(name, {})
        if key not in LATER or inner.get(last) == LATER[key]:
            inner.pop(last, None)
    for name, value in LATER_OF.get(family, {}).items():
        if tree.get("model", {}).get(name) == value:
            del tree["model"][name]
    return tree


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
        raise UserError(f"{where}: not JSON; remove the line, and its run is made again") from None
    if not isinstance(entry, dict):
        raise UserError(f"{where}: not a JSON object; remove the line, and its run is made again")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in entry]
    if missing:
        raise UserError(f"{where}: has no {', '.join(missing)}; is this the results file of a study?")
    record = Record(**{k: v for k, v in entry.items() if k in fields})
    for name in ("parameters", "tokens", "training_flops", "flops_per_token"):
        value = getattr(record, name)
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise UserError(f"{where}: {name}={value!r}: must be a number of 0 or more")
    if isinstance(record.heldout_loss, float) and not math.isfinite(record.heldout_loss):
        raise UserError(f"{where}: heldout_loss={record.heldout_loss}; remove the line, and its run is made again")
    return record
