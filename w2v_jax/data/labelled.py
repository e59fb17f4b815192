"""Labelled texts from tab-separated files, from JSON Lines and from TFDS data sets."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from w2v_jax.config import DataConfig, score_range
from w2v_jax.data import tfds_source
from w2v_jax.data.records import decoded, filled, of_files, records, text_of, value_of, whole
from w2v_jax.errors import UserError, nearest
from w2v_jax.types import Say

FORMS = "tsv:GLOB, jsonl:GLOB or tfds:NAME[@SPLIT]"
_TEXT_FEATURES = ("text", "sentence")
# Label in the source -> label of the task, None where the example is left out.
_MAPPINGS: dict[str, dict[int, int | None]] = {
    "binary": {0: 0, 1: 1},
    "sst2": {0: 0, 1: 0, 2: None, 3: 1, 4: 1},  # five grades to two, without the neutral ones (Socher et al. 2013)
}
_HEADERS = ("label", "sentiment", "class")  # in a first line, beside the word text
_SHOWN = 60  # characters of a label in a message


class Labelled(NamedTuple):
    """Labelled texts in the order of the files."""

    examples: list[tuple[int, str]]  # (label, text); a text may be empty
    names: tuple[str, ...]  # of the labels 0 to K - 1
    places: Sequence[str] = ()  # of the examples: file and line, or data set, split and number


def read_labelled(
    source: str,
    cfg: DataConfig,
    classes: int | None = 2,
    names: Sequence[str] | None = None,
    say: Say = lambda line: None,
) -> Labelled:
    """Every example of a source.

    Args:
      source: `tsv:GLOB`, UTF-8 files of lines LABEL<TAB>TEXT; further tabs become blanks, blank lines are skipped,
        and a third column that names the text in every line is left out (see `_name_texts`); `jsonl:GLOB`, files of one
        JSON object a line, with the text in the fields `cfg.field` (several joined by +) and the label in
        `cfg.label_field`; both plain or packed, see `unpack`. Or `tfds:NAME[/CONFIG][:VERSION][@SPLIT]`, with the
        feature `cfg.label_field` and a text feature `text`, `sentence` or `cfg.field`.
      cfg: `labels` is binary (0 and 1), as_is (0 to `classes` - 1), sst2 (of 0 to 4, 0 and 1 become 0, 3 and 4 become
        1, and examples of label 2 are left out) or named (any names). A source's own split replaces `tfds_split`.
      classes: K under labels=as_is; None: one more than the highest label.
      names: of labels=named, the names that are known, in order; None: those that are found, sorted.
      say: takes lines about what was skipped, and about what looks like a header.

    Raises:
      UserError: nothing there, an empty or damaged file, and with file and line (or the number of the example): no tab,
        no JSON object, no such field, a text that is no string, a label that is no integer, out of range or not among
        `names`, not UTF-8.
    """
    kind, _, rest = source.partition(":")
    if kind not in ("tsv", "jsonl", "tfds") or not rest:
        raise UserError(f"{source!r}: a classifier needs labelled texts: {FORMS}")
    if score_range(cfg.labels) is not None:
        raise UserError(f"data.labels={cfg.labels!r}: is the range of the scores of pairs; use binary, as_is or sst2")
    mapping = _MAPPINGS.get(cfg.labels) or (None if classes is None else {label: label for label in range(classes)})
    if kind == "tfds":
        read = _examples(rest, cfg)
    else:
        read = of_files(
            kind, rest, kind, partial(_tsv, cfg=cfg, say=say) if kind == "tsv" else partial(_jsonl, cfg=cfg)
        )
    examples: list[tuple[Any, str]] = []
    places: list[str] = []
    for where, raw, text in read:
        label = _name(where, raw, names) if cfg.labels == "named" else _number(where, raw, mapping, cfg.labels)
        if label is not None:
            examples.append((label, whole(where, text, cfg.encoding_errors)))
            places.append(where)
    if not examples:
        raise UserError(f"{source}: no example is left under labels={cfg.labels}")
    if cfg.labels == "named":
        names = sorted({label for label, _ in examples}) if names is None else names
        index = {name: label for label, name in enumerate(names)}
        return Labelled([(index[label], text) for label, text in examples], tuple(names), places)
    count = classes or 1 + max(label for label, _ in examples)
    if classes is None and count > max(2, len(examples)):
        raise UserError(f"{source}: the labels go up to {count - 1}, of {len(examples)} texts; set data.labels=named")
    return Labelled(examples, tuple(map(str, range(count))), places)


# ---- labels ----


def _name(where: str, raw: Any, names: Sequence[str] | None) -> str:
    """A label under labels=named: a string in NFC, white space joined, or what JSON writes for a number or a truth
    value."""
    if not isinstance(raw, str | int | float):
        raise UserError(f"{where}: the label is a {type(raw).__name__}; it must be a name")
    name = whole(where, raw if isinstance(raw, str) else json.dumps(raw), "strict")
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if not name:
        raise UserError(f"{where}: the label is empty; it must be a name")
    if names is not None and name not in names:
        known = f"{', '.join(names)[:200]}{nearest(name, names)}"
        raise UserError(f"{where}: label {name[:_SHOWN]!r} is not among those of the training texts: {known}")
    return name


def _number(where: str, raw: Any, mapping: dict[int, int | None] | None, labels: str) -> int | None:
    """The label of the task under the other values of data.labels; None where the example is left out."""
    if not isinstance(raw, int) and not (isinstance(raw, str) and re.fullmatch("-?[0-9]{1,18}", raw)):
        shown = raw[:_SHOWN] if isinstance(raw, str) else raw if isinstance(raw, float) else type(raw).__name__
        advice = "for labels that are names set data.labels=named, or --labels=named of experiments.sentiment"
        raise UserError(f"{where}: label {shown!r} is no integer; {advice}")
    label = int(raw)
    if mapping is None and label >= 0:
        return label
    if mapping is None or label not in mapping:
        last = "" if mapping is None else len(mapping) - 1
        raise UserError(f"{where}: label {str(label)[:_SHOWN]} is outside 0..{last} (labels={labels})")
    return mapping[label]


# ---- files ----


def _tsv(path: Path, file: IO[bytes], cfg: DataConfig, say: Say) -> Iterator[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for where, line in filled(path, file, say):
        label, tab, rest = decoded(where, line, cfg.encoding_errors).rstrip("\r\n").partition("\t")
        if not tab:
            raise UserError(f"{where}: no tab; a line must be LABEL<TAB>TEXT")
        if not found and rest.lower() == "text" and label.lower() in _HEADERS:
            say(f"warning: {where}: a header is read as a text with label {label!r}; delete the line if it is one")
        found.append((where, label, rest))
    named = _name_texts([rest for _, _, rest in found])
    if named:
        say(f"{path}: the third column names the text of each line, and is left out")
    for where, label, rest in found:
        yield where, label, (rest.partition("\t")[0] if named else rest.replace("\t", " "))


def _name_texts(rows: Sequence[str]) -> bool:
    """Whether TEXT<TAB>NAME stands in every row, and the names are not text: words without blanks, with a digit, each
    in one row alone, as the names of files in those of IMDB (pos/10462_7.txt)."""
    names = {row.partition("\t")[2] for row in rows}
    return len(rows) == len(names) > 1 and all(re.fullmatch(r"\S*[0-9]\S*", name) for name in names)


def _jsonl(path: Path, file: IO[bytes], cfg: DataConfig) -> Iterator[tuple[str, Any, str]]:
    fields = cfg.field.split("+")
    for where, record in records(path, file, cfg.encoding_errors):
        label = value_of(where, record, cfg.label_field, "data.label_field")
        yield where, label, text_of(where, record, fields, cfg.encoding_errors)


# ---- TFDS ----


def _has(features: Any, name: str, *kinds: str) -> bool:
    """Whether there is such a feature, one value per example, of a type whose name starts with one of `kinds`."""
    return name in features and features[name].shape == () and features[name].tf_dtype.name.startswith(kinds)


def _examples(rest: str, cfg: DataConfig) -> Iterator[tuple[str, Any, str]]:
    """(data set, split and number of the example; label; text), in the order of the record files. Under labels=named an
    integer label gets the name that the data set has for it."""
    name, at, split = rest.partition("@")
    if at:
        cfg = dataclasses.replace(cfg, tfds_split=split)
    builder = tfds_source.opened(name, cfg)
    features = builder.info.features
    wanted = (cfg.field,) if cfg.field != DataConfig.field else _TEXT_FEATURES
    field, label = next((f for f in wanted if f in features), ""), cfg.label_field
    named = cfg.labels == "named"
    if not _has(features, field, "string") or not _has(features, label, "int", *["string"] * named):
        kind = "a label" if named else "an integer label"
        raise UserError(
            f"tfds:{name}: has the features {', '.join(features)}; needs {kind} {label!r} and a text "
            f"{' or '.join(map(repr, wanted))}"
        )
    names = getattr(features[label], "names", None) if named else None
    for i, example in enumerate(tfds_source.rows(builder, cfg, field, label).as_numpy_iterator()):
        where = f"tfds:{name} {cfg.tfds_split}, example {i}"
        raw = example[label]
        if not isinstance(raw, bytes):
            raw = names[int(raw)] if names and 0 <= int(raw) < len(names) else int(raw)
        yield where, _utf8(where, raw) if isinstance(raw, bytes) else raw, _utf8(where, example[field])


def _utf8(where: str, text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as e:
        raise UserError(f"{where}: not UTF-8 ({e.reason})") from None
