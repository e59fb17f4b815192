"""Labelled texts from tab-separated files and from TFDS data sets."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from w2v_jax.config import DataConfig
from w2v_jax.data import tfds_source
from w2v_jax.data.raw import matches, unpacked
from w2v_jax.errors import UserError
from w2v_jax.files import MAC_ADVICE

LONGEST_LINE = 1 << 24  # bytes of an example
_TEXT_FEATURES = ("text", "sentence")
# Label in the source -> label of the task, None where the example is left out.
_MAPPINGS: dict[str, dict[int, int | None]] = {
    "binary": {0: 0, 1: 1},
    "sst2": {0: 0, 1: 0, 2: None, 3: 1, 4: 1},  # five grades to two, without the neutral ones (Socher et al. 2013)
}


def read_labelled(source: str, cfg: DataConfig, classes: int = 2) -> list[tuple[int, str]]:
    """(label, text) of every example, in the order of the files.

    Args:
      source: `tsv:GLOB`, UTF-8 files (plain, .gz, .xz) of lines LABEL<TAB>TEXT, where a second tab and what follows is
        ignored; or `tfds:NAME[/CONFIG][:VERSION][@SPLIT]`, with the integer feature `label` and a text feature `text`
        or `sentence`.
      cfg: `labels` is binary (0 and 1), as_is (0 to `classes` - 1) or sst2 (of 0 to 4, 0 and 1 become 0, 3 and 4 become
        1, and examples of label 2 are left out). A source's own split replaces `tfds_split`.

    Raises:
      UserError: nothing there, an empty or damaged file, and with file and line (or the number of the example): no tab,
        a label that is no integer or out of range, an empty text, not UTF-8.
    """
    kind, _, rest = source.partition(":")
    name, at, split = rest.partition("@")
    if kind not in ("tsv", "tfds") or not rest:
        raise UserError(f"{source!r}: a classifier needs labelled texts: tsv:GLOB or tfds:NAME[@SPLIT]")
    read = _lines(rest) if kind == "tsv" else _examples(name, dataclasses.replace(cfg, tfds_split=split) if at else cfg)
    labels = cfg.labels
    mapping = _MAPPINGS.get(labels) or {label: label for label in range(classes)}
    out = []
    for where, label, text in read:
        if label not in mapping:
            raise UserError(f"{where}: label {label} is outside 0..{len(mapping) - 1} (labels={labels})")
        if "\0" in text:
            raise UserError(f"{where}: holds a NUL; it is not text")
        if not text.strip():
            raise UserError(f"{where}: the text is empty; remove the example")
        mapped = mapping[label]
        if mapped is not None:
            out.append((mapped, text))
    if not out:
        raise UserError(f"{source}: no example is left under labels={labels}")
    return out


# ---- tab-separated files ----


def _lines(pattern: str) -> Iterator[tuple[str, int, str]]:
    """(file and line, label, text) of every line of the files, which are sorted by name."""
    root = os.path.expanduser(pattern)
    paths = [Path(p) for p in ([root] if os.path.exists(root) else sorted(matches(root)))]
    if not paths:
        raise UserError(f"tsv:{pattern}: matches no file; check the path after 'tsv:'")
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: not a regular file; name files or a glob such as {path}/*.tsv")
        count = 0
        with path.open("rb") as packed, unpacked(path, packed) as file:
            while line := file.readline(LONGEST_LINE + 1):
                count += 1
                if len(line) > LONGEST_LINE:
                    raise UserError(f"{path}:{count}: the line is longer than {LONGEST_LINE:,} bytes: is it a text?")
                if count == 1 and not line.endswith(b"\n") and b"\r" in line.rstrip():
                    raise UserError(f"{path}: {MAC_ADVICE}")
                yield _parse(f"{path}:{count}", line.removeprefix(b"\xef\xbb\xbf") if count == 1 else line)
        if not count:
            raise UserError(f"{path}: the file is empty")


def _parse(where: str, line: bytes) -> tuple[str, int, str]:
    try:
        label, tab, rest = line.decode("utf-8").rstrip("\r\n").partition("\t")
    except UnicodeDecodeError as e:
        raise UserError(f"{where}: not UTF-8 ({e.reason}); convert the file to UTF-8 first") from None
    if not tab:
        raise UserError(f"{where}: no tab; a line must be LABEL<TAB>TEXT")
    if not re.fullmatch("-?[0-9]+", label):
        raise UserError(f"{where}: label {label[:40]!r} is no integer; a line must be LABEL<TAB>TEXT")
    return where, int(label), rest.partition("\t")[0]


# ---- TFDS ----


def _has(features: Any, name: str, kind: str) -> bool:
    """Whether there is such a feature, one value per example, of a type whose name starts with `kind`."""
    return name in features and features[name].shape == () and features[name].tf_dtype.name.startswith(kind)


def _examples(name: str, cfg: DataConfig) -> Iterator[tuple[str, int, str]]:
    """(data set, split and number of the example; label; text), in the order of the record files."""
    builder = tfds_source.opened(name, cfg)
    features = builder.info.features
    field = next((f for f in _TEXT_FEATURES if f in features), "")
    if not field or not _has(features, field, "string") or not _has(features, "label", "int"):
        raise UserError(
            f"tfds:{name}: has the features {', '.join(features)}; needs an integer 'label' and a 'text' or 'sentence'"
        )
    for i, example in enumerate(tfds_source.rows(builder, cfg, field, "label").as_numpy_iterator()):
        where = f"tfds:{name} {cfg.tfds_split}, example {i}"
        try:
            yield where, int(example["label"]), example[field].decode("utf-8")
        except UnicodeDecodeError as e:
            raise UserError(f"{where}: not UTF-8 ({e.reason})") from None
