"""Labelled texts from tab-separated files, from JSON Lines and from TFDS data sets."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from w2v_jax.config import DataConfig, score_range
from w2v_jax.data import tfds_source
from w2v_jax.data.records import (
    KINDS,
    check_label,
    decoded,
    filled,
    of_files,
    records,
    text_of,
    value_of,
    whole,
    whole_number,
)
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
_FEW_TEXTS = 10  # from which on it is refused that hardly any name of a label comes twice
_SHOWN = 60  # characters of a label in a message
Rows = list[tuple[str, str, str]]  # file and line, label, text with any further columns


class Labelled(NamedTuple):
    """Labelled texts in the order of the files."""

    examples: list[tuple[int, str]]  # (label, text); a text may be empty
    names: tuple[str, ...]  # of the labels 0 to K - 1
    places: Sequence[str] = ()  # of the examples: file and line, or data set, split and number
    named_rows: bool | None = None  # of `tsv:`, see `_name_texts`


def read_labelled(
    source: str,
    cfg: DataConfig,
    classes: int | None = 2,
    names: Sequence[str] | None = None,
    say: Say = lambda line: None,
    named_rows: bool | None = None,
) -> Labelled:
    """Every example of a source.

    Args:
      source: `tsv:GLOB`, UTF-8 files of lines LABEL<TAB>TEXT; further tabs become blanks, blank lines are skipped,
        and a third column that names the text in every line is left out (see `_texts`); `jsonl:GLOB`, files of one
        JSON object a line, with the text in the fields `cfg.field` (several joined by +) and the label in
        `cfg.label_field`; both plain or packed, see `unpack`. Or `tfds:NAME[/CONFIG][:VERSION][@SPLIT]`, with the
        feature `cfg.label_field` and a text feature `text`, `sentence` or `cfg.field`.
      cfg: `labels` is binary (0 and 1), as_is (0 to `classes` - 1), sst2 (of 0 to 4, 0 and 1 become 0, 3 and 4 become
        1, and examples of label 2 are left out) or named (any names). A source's own split replaces `tfds_split`.
      classes: K under labels=as_is; None: one more than the highest label.
      names: of labels=named, the names that are known, in order; None: those that are found, sorted.
      say: takes lines about what was skipped, and about what looks like a header.
      named_rows: what was found in the training texts about a third column (`Labelled.named_rows`).

    Raises:
      UserError: nothing there, an empty or damaged file, and with file and line (or the number of the example): no tab,
        no JSON object, no such field, a text that is no string, a label that is missing, no integer, out of range or
        not among `names`, not UTF-8. And under labels=named hardly any name twice, where `names` are not given.
    """
    kind, _, rest = source.partition(":")
    if kind not in ("tsv", "jsonl", "tfds") or not rest:
        raise UserError(f"{source!r}: a classifier needs labelled texts: {FORMS}")
    if score_range(cfg.labels) is not None:
        raise UserError(f"data.labels={cfg.labels!r}: is the range of the scores of pairs; use binary, as_is or sst2")
    mapping = _MAPPINGS.get(cfg.labels) or (None if classes is None else {label: label for label in range(classes)})
    read: Iterable[tuple[str, Any, str]]
    if kind == "tfds":
        read = _examples(rest, cfg)
    elif kind == "jsonl":
        read = of_files(kind, rest, kind, partial(_jsonl, cfg=cfg, say=say), say)
    else:
        files = list(of_files(kind, rest, kind, partial(_tsv, cfg=cfg, known=names is not None, say=say), say))
        read, named_rows = _texts(files, named_rows, say)
    left_out = 0
    label: str | int | None
    examples: list[tuple[Any, str]] = []
    places: list[str] = []
    for where, raw, text in read:
        check_label(where, raw, "text")
        if cfg.labels == "named":
            label = _name(where, raw, names)
        else:
            label = _number(where, raw, mapping, cfg.labels, kind == "tsv" and where.endswith(":1"))
        left_out += label is None
        if label is not None:
            examples.append((label, whole(where, text, cfg.encoding_errors)))
            places.append(where)
    if not examples:
        raise UserError(f"{source}: no example is left under labels={cfg.labels}")
    if left_out:
        say(f"{source}: {left_out:,} texts are left out by their label (data.labels={cfg.labels})")
    if cfg.labels == "named":
        if names is None:
            names = sorted({label for label, _ in examples})
            _check_names(source, names, [text for _, text in examples])
            _tell_alike(source, names, say)
        index = {name: label for label, name in enumerate(names)}
        return Labelled([(index[label], text) for label, text in examples], tuple(names), places, named_rows)
    count = classes or 1 + max(label for label, _ in examples)
    if classes is None and count > max(2, len(examples)):
        raise UserError(f"{source}: the labels go up to {count - 1}, of {len(examples)} texts; set data.labels=named")
    return Labelled(examples, tuple(map(str, range(count))), places, named_rows)


# ---- labels ----


def _tell_alike(source: str, names: Sequence[str], say: Say) -> None:
    """Warns of names that may be one: they differ by case alone, or are the same number."""
    alike: dict[Any, list[str]] = {}
    for name in names:
        number = math.nan
        with contextlib.suppress(ValueError):
            number = float(name)
        alike.setdefault(name.casefold() if math.isnan(number) else number, []).append(name)
    groups = [" and ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if groups:
        shown = "; ".join(groups[:5]) + ("; ..." if len(groups) > 5 else "")
        say(f"warning: {source}: are these labels one? {shown}: they are read as different; write each in one way")


def _name(where: str, raw: Any, names: Sequence[str] | None) -> str:
    """A label under labels=named: a string in NFC, white space joined, or what JSON writes for a number or a truth
    value."""
    if not isinstance(raw, str | int | float):
        raise UserError(f"{where}: the label is {KINDS[type(raw)]}; write a name or a number, or delete the line")
    name = whole(where, raw if isinstance(raw, str) else json.dumps(raw), "strict")
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if names is not None and name not in names:
        known = f"{', '.join(names)[:200]}{nearest(name, names)}"
        raise UserError(f"{where}: label {name[:_SHOWN]!r} is not among those of the training texts: {known}")
    return name


def _check_names(source: str, names: Sequence[str], texts: Sequence[str]) -> None:
    """UserError: label and text seem to have changed places, since there are about as many names as texts."""
    distinct = len(set(texts))
    mostly_once = 2 * len(names) > len(texts)
    if mostly_once and (len(texts) >= _FEW_TEXTS or 1 < distinct < len(names)):
        order = "that a line is LABEL<TAB>TEXT" if source.startswith("tsv:") else "data.label_field and data.field"
        raise UserError(
            f"{source}: {len(names):,} labels for {len(texts):,} texts, of which {distinct:,} are distinct: "
            f"check {order}, and give each label two texts at least"
        )


def _number(where: str, raw: Any, mapping: dict[int, int | None] | None, labels: str, first: bool) -> int | None:
    """The label of the task under the other values of data.labels; None where the example is left out. `first`: of the
    first line of a file, which may be a header."""
    raw = raw.strip() if isinstance(raw, str) else whole_number(raw)
    if not isinstance(raw, int) and not (isinstance(raw, str) and re.fullmatch("-?[0-9]{1,18}", raw)):
        shown = raw[:_SHOWN] if isinstance(raw, str) else raw if isinstance(raw, float) else type(raw).__name__
        advice = "for labels that are names set data.labels=named, or --labels=named of experiments.sentiment"
        if first:
            advice = f"delete the line if it is a header; {advice}"
        raise UserError(f"{where}: label {shown!r} is no integer; {advice}")
    label = int(raw)
    if mapping is None and label >= 0:
        return label
    if mapping is None or label not in mapping:
        last = "" if mapping is None else len(mapping) - 1
        raise UserError(f"{where}: label {str(label)[:_SHOWN]} is outside 0..{last} (labels={labels})")
    return mapping[label]


# ---- files ----


def _tsv(path: Path, file: IO[bytes], cfg: DataConfig, known: bool, say: Say) -> Iterator[tuple[str, Rows]]:
    """(file, its lines), where there is one. `known`: the names of the labels are."""
    found: Rows = []
    for where, line in filled(path, file, say):
        label, tab, rest = decoded(where, line, cfg.encoding_errors).rstrip("\r\n").partition("\t")
        if not tab:
            raise UserError(f"{where}: no tab; a line must be LABEL<TAB>TEXT{_opened(found)}")
        found.append((where, label, rest))
    if found and cfg.labels == "named" and _header(found, known):
        where, label, _ = found[0]
        say(f"warning: {where}: read as a text with label {label[:_SHOWN]!r}; delete the line if it is a header")
    if found:
        yield str(path), found


def _opened(rows: Rows) -> str:
    """The likely cause of a line without a tab, where the text before it opens a quotation that goes on."""
    if not rows or not rows[-1][2].startswith('"') or rows[-1][2].count('"') % 2 == 0:
        return ""
    return (
        f". The text of {rows[-1][0]} opens with a quotation mark that is not closed there: quotes are not read, so "
        "that no text may go on in a further line; put such texts into JSON Lines (jsonl:)"
    )


def _header(rows: Rows, known: bool) -> bool:
    """Whether the first of the lines may be a header: by its words, or, unless it is a `known` one, since its label
    stands there alone, while the others have two texts or more on average."""
    _, label, rest = rows[0]
    counts = Counter(label for _, label, _ in rows)
    alone = not known and counts[label] == 1 and len(counts) > 1 and len(rows) - 1 >= 2 * (len(counts) - 1)
    return alone or (rest.lower() == "text" and label.lower() in _HEADERS)


def _texts(files: Sequence[tuple[str, Rows]], named: bool | None, say: Say) -> tuple[Rows, bool | None]:
    """The lines with their texts, and what was found about a third column (`_name_texts`): True where it names texts,
    False where all lines have one that does not, None where there is none.

    What the training texts decide, `named`, holds: True leaves the column out wherever it looks like names, so that it
    is no text in a file of one line; False keeps it. One file that has names decides for the others of its source."""
    rests = [[rest for _, _, rest in rows] for _, rows in files]
    if named is None:
        columns = all("\t" in rest for rows in rests for rest in rows)
        named = True if any(map(_name_texts, rests)) else False if columns else None
    found: Rows = []
    for (path, rows), texts in zip(files, rests, strict=True):
        cut = named is True and _like_names(texts)
        if cut:
            say(f"{path}: the third column names the text of each line, and is left out")
        found += [(where, label, t.partition("\t")[0] if cut else t.replace("\t", " ")) for where, label, t in rows]
    return found, named


def _like_names(rows: Sequence[str]) -> bool:
    """Whether TEXT<TAB>NAME stands in every row, and the names are words without blanks, with a digit."""
    return all(re.fullmatch(r"\S*[0-9]\S*", row.partition("\t")[2]) for row in rows)


def _name_texts(rows: Sequence[str]) -> bool:
    """Whether the third column is names and no text: of `_like_names`, each in one row alone, as the names of files in
    those of IMDB (pos/10462_7.txt)."""
    return len(rows) == len({row.partition("\t")[2] for row in rows}) > 1 and _like_names(rows)


def _jsonl(path: Path, file: IO[bytes], cfg: DataConfig, say: Say) -> Iterator[tuple[str, Any, str]]:
    fields = cfg.field.split("+")
    for where, record in records(path, file, cfg.encoding_errors, say):
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
