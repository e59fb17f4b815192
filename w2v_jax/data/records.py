"""Files of one record a line: JSON Lines, and what they share with tab-separated values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from w2v_jax.config import DataConfig
from w2v_jax.data.raw import END, MARK, Met, matches
from w2v_jax.errors import UserError, nearest
from w2v_jax.files import MAC_ADVICE, not_text, parse_json
from w2v_jax.storage import in_bucket, open_read, to_path
from w2v_jax.types import Say
from w2v_jax.unpack import is_archive, place, unpacked

KINDS = {dict: "an object", list: "an array", bool: "true or false", int: "a number", float: "a number"}
KINDS[type(None)] = "null"
T = TypeVar("T")
LONGEST_LINE = 1 << 24  # bytes of a record
_CHUNK = 1 << 20  # characters of the documents that are handed on together


def paths_of(kind: str, pattern: str) -> list[Path]:
    """The files of a source KIND:PATTERN, sorted by name. UserError: none matches."""
    root = os.path.expanduser(pattern)
    alone = not in_bucket(root) and os.path.exists(root)
    paths = [to_path(p) for p in ([root] if alone else sorted(matches(root)))]
    if not paths:
        raise UserError(f"{kind}:{pattern}: matches no file; check the path after '{kind}:'")
    return paths


def of_files(
    kind: str, pattern: str, extension: str, read: Callable[[Path, IO[bytes]], Iterator[T]], say: Say
) -> Iterator[T]:
    """What `read` finds in the unpacked files of a source KIND:PATTERN, which are sorted by name. `say` is that of
    `unpacked`.

    UserError: no file matches, one is no regular file, or nothing is found in one.
    """
    for path in paths_of(kind, pattern):
        if not path.is_file():
            raise UserError(f"{path}: not a regular file; name files or a glob such as {path}/*.{extension}")
        empty = True
        with open_read(path) as packed, unpacked(path, packed, say) as file:
            for found in read(path, file):
                empty = False
                yield found
        if empty:
            raise UserError(f"{path}: the file is empty")


def lines(path: Path, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """(file and number of the line, the line) of an open file, in an archive by member. A byte-order mark at the start
    is dropped.

    UserError: a line of more than `LONGEST_LINE` bytes, lines that end in carriage returns alone.
    """
    count = at = 0
    name, archive = str(path), is_archive(file)
    while line := file.readline(LONGEST_LINE + 1):
        count += 1
        if archive:
            name, within = place(path, file, at)
            count = count if within else 1
            at += len(line)
        if count == 1 and (what := not_text(line)):
            raise UserError(f"{name}: {what}")
        if len(line) > LONGEST_LINE:
            raise UserError(f"{name}:{count}: the line is longer than {LONGEST_LINE:,} bytes: is it a text?")
        if count == 1 and not line.endswith(b"\n") and b"\r" in line.rstrip():
            raise UserError(f"{name}: {MAC_ADVICE}")
        yield f"{name}:{count}", line.removeprefix(b"\xef\xbb\xbf") if count == 1 else line


def filled(path: Path, file: IO[bytes], say: Say) -> Iterator[tuple[str, bytes]]:
    """The `lines` that are not blank; `say` gets the number of the others."""
    blank = 0
    for where, line in lines(path, file):
        if line.strip():
            yield where, line
        else:
            blank += 1
    if blank:
        say(f"{path}: {blank:,} blank lines are skipped")


def header_advice(where: str) -> str:
    """The end of a message on a value of the wrong kind: the first line of a file may be a header."""
    return "; delete the line if it is a header" if where.endswith(":1") else ""


def decoded(where: str, line: bytes, errors: str) -> str:
    """A line as text, with U+FFFD for what is not UTF-8 if `errors` is replace. UserError: it is not UTF-8."""
    try:
        return line.decode("utf-8", errors)
    except UnicodeDecodeError as e:
        raise UserError(
            f"{where}: not UTF-8 ({e.reason}); convert it first, or set data.encoding_errors=replace"
        ) from None


class _Twice(Exception):
    """A field that an object has twice: Python's parser would take the last one."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return found


def records(
    path: Path, file: IO[bytes], errors: str, say: Say = lambda line: None, met: Met | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line, JSON object) of every line that is not blank (see `filled`). UserError: a line that is no JSON
    object, or has a field twice."""
    for where, line in filled(path, file, say):
        text = decoded(where, line, errors)
        if met and "\ufffd" in text:
            met.replaced += text.count("\ufffd") - line.count("\ufffd".encode())
        try:
            entry = parse_json(text, object_pairs_hook=_object)
        except _Twice as e:
            raise UserError(f"{where}: the field {e.args[0]!r} is there twice; delete one of them") from None
        except ValueError as e:
            raise UserError(f"{where}: not JSON ({e}); a line must be one JSON object") from None
        if not isinstance(entry, dict):
            raise UserError(f'{where}: not a JSON object; a line must be one, such as {{"text": "..."}}')
        yield where, entry


def check_label(where: str, raw: Any, of: str) -> None:
    """UserError: a missing label of what `of` names: null, NaN (which pandas writes for one), or nothing but white
    space."""
    blank = isinstance(raw, str) and not raw.strip()
    if raw is None or blank or (isinstance(raw, float) and math.isnan(raw)):
        shown = "" if blank else " (null)" if raw is None else " (NaN)"
        raise UserError(f"{where}: the label is missing{shown}; give the {of} a label, or delete the line")


def whole_number(raw: Any) -> Any:
    """1 of 1.0, which pandas writes for every whole number of a column with a gap; anything else as it is."""
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


def value_of(where: str, record: dict[str, Any], name: str, key: str) -> Any:
    """Field `name` of a record. UserError, which names the option `key`: it has none."""
    if name not in record:
        known = ", ".join(map(repr, list(record)[:20])) or "none"
        raise UserError(f"{where}: no field {name!r} ({key}), only {known}{nearest(name, record)}"[:500])
    return record[name]


def whole(where: str, text: str, errors: str) -> str:
    """`text` without halves of surrogate pairs, which JSON can name but which are no text: refused, or U+FFFD under
    `errors`=replace. UserError: such a half, or a NUL."""
    if END in text:
        raise UserError(f"{where}: holds a NUL; it is not text")
    try:
        text.encode()
    except UnicodeEncodeError:
        if errors == "replace":
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        raise UserError(
            f"{where}: holds half of a surrogate pair, which is not text; mend it, or set data.encoding_errors=replace"
        ) from None
    return text


def text_of(where: str, record: dict[str, Any], fields: Sequence[str], errors: str) -> str:
    """The text fields of a record, joined by line breaks. UserError: see `value_of` and `whole`; no string."""
    parts = [value_of(where, record, name, "data.field") for name in fields]
    for name, part in zip(fields, parts, strict=True):
        if not isinstance(part, str):
            missing = part is None or (isinstance(part, float) and math.isnan(part))
            kind = f"missing ({'null' if part is None else 'NaN'})" if missing else KINDS[type(part)]
            raise UserError(
                f"{where}: field {name!r} (data.field) is {kind}, not a string; write a text in quotes ("
                '"" for an empty one), or delete the line'
            )
    return whole(where, "\n".join(parts), errors)


def chunks(path: Path, file: IO[bytes], cfg: DataConfig, met: Met) -> Iterator[str]:
    """The text of every record of an open JSON Lines file, each with a `MARK` at its end, as `raw` describes."""
    fields, held, size = cfg.field.split("+"), [], 0
    for where, record in records(path, file, cfg.encoding_errors, met.say, met):
        held.append(text_of(where, record, fields, cfg.encoding_errors))
        if "\ufffd" in held[-1]:  # halves of surrogate pairs
            met.replaced += held[-1].count("\ufffd") - sum(record[name].count("\ufffd") for name in fields)
        size += len(held[-1])
        if size > _CHUNK:
            yield MARK.join(held) + MARK
            held, size = [], 0
    if held:
        yield MARK.join(held) + MARK
