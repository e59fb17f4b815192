"""The folder that can be memory-mapped (vectors.npy and vocab.txt), and files of words with counts."""

from __future__ import annotations

import array
import os
import re
import warnings
from collections.abc import Sequence

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.exported import check
from w2v_jax.files import PathLike
from w2v_jax.formats.rows import MARK, Options, Table, finite, say_skipped
from w2v_jax.storage import open_read, to_path

_TABS = "put a tab between a word and its count, and behind a word with a blank and no count"
_NEED = "floats, or int8 with the scale of each row, [words, dimensions]"


class Unmapped(UserError):
    """Vectors that cannot stay on disk, as they are no float32."""


def read_native(path: str, limit: int, options: Options, mmap: bool) -> Table:
    """The table of a folder: vectors.npy, vocab.txt and, where the vectors are int8, scale.npy."""
    file, vocab, scale = (os.path.join(path, name) for name in ("vectors.npy", "vocab.txt", "scale.npy"))
    hint = "a native folder holds vectors.npy and vocab.txt"
    return _read_arrays(file, vocab, scale, hint, limit, options, mmap)


def read_npy(path: str, limit: int, options: Options, mmap: bool) -> Table:
    """The table of NAME.npy, with NAME.vocab.txt and, where the vectors are int8, NAME.scale.npy beside it."""
    stem = path.removesuffix(".npy")
    hint = "NAME.npy needs NAME.vocab.txt beside it, which has a word a line"
    if os.path.basename(path) == "documents.npy":
        hint = "the documents of a run are opened by w2v_jax.load_documents, and w2v_jax.save writes them in any format"
    return _read_arrays(path, f"{stem}.vocab.txt", f"{stem}.scale.npy", hint, limit, options, mmap)


def _read_arrays(file: str, vocab: str, scale: str, hint: str, limit: int, options: Options, mmap: bool) -> Table:
    for name in (file, vocab):
        if not os.path.isfile(name):
            raise UserError(f"{name}: no such file; {hint}")
    vectors = _array(file, mmap)
    whole = vectors.dtype == np.int8
    if vectors.ndim != 2 or not (vectors.dtype.kind == "f" or whole) or 0 in vectors.shape:
        raise UserError(f"{file}: {vectors.dtype} {vectors.shape}: must be {_NEED}")
    if mmap and vectors.dtype != np.float32:
        how = "must be float32 for a memory map; leave mmap out, which reads it as float32, or save it again"
        raise Unmapped(f"{file}: {vectors.dtype}: {how}")
    words, counts = read_vocab(vocab, options.errors, tabs=True)
    if len(words) != len(vectors):
        said = f"{len(words):,} words, but {os.path.basename(file)} has {len(vectors):,}"
        raise UserError(f"{vocab}: {said}: they must be of one run")
    scales = None
    if whole:
        if not os.path.isfile(scale):
            raise UserError(f"{scale}: no such file; int8 vectors need the scale of each row")
        scales = _array(scale, False)
        if scales.dtype != np.float32 or scales.shape != (len(words),):
            raise UserError(f"{scale}: {scales.dtype} {scales.shape}: must be float32 [{len(words)}]")
    return settled(file, Table(words, vectors, counts), scales, limit, options, mmap, vocab)


def _array(file: str, mmap: bool) -> np.ndarray:
    try:
        found = np.load(file, mmap_mode="r" if mmap else None, allow_pickle=False)
    except OSError:
        raise
    except Exception as e:  # numpy reads a header as Python's source: a damaged one raises whatever Python's parsers do
        raise UserError(f"{file}: not a whole .npy array ({' '.join(str(e).split())[:120]}); write it again") from None
    if not isinstance(found, np.ndarray):
        raise UserError(f"{file}: no single array: must be {_NEED}")
    return found


def settled(
    path: str,
    table: Table,
    scales: np.ndarray | None,
    limit: int,
    options: Options,
    mmap: bool = False,
    vocab: str = "",
) -> Table:
    """The first `limit` rows (0: all) of a table read as arrays, as float32, checked and without what is left out by
    choice. `scales` float32 [V] are the factors of int8 rows; `vocab` is the file of the words, if not `path`.
    UserError: a NaN, or a word that is left with nothing."""
    n = limit or len(table.words)
    words, vectors, counts = table.words[:n], table.vectors[:n], None if table.counts is None else table.counts[:n]
    with np.errstate(over="ignore"):  # of a larger type: an infinity is named below
        vectors = vectors if vectors.dtype == np.float32 else vectors.astype(np.float32)
    if scales is not None:
        vectors *= scales[:n, None]
    kept = _distinct(path, words, options.errors == "strict", vocab)
    # A map is checked when `Embeddings.norms` first reads it, not read whole now.
    if options.skip_nan or not mmap:
        good = finite(vectors)
        if not good.all():
            i = int(np.argmin(good))
            if not options.skip_nan:
                what = "holds a NaN or an infinity; skip_nan leaves such rows out"
                raise UserError(f"{path}: row {i:,}: the vector of {words[i]!r} {what}")
            say_skipped(path, good, words, f"row {i:,}")
            kept &= good
    if not kept.all():  # a map gives way to a copy
        words, vectors = [words[i] for i in np.flatnonzero(kept).tolist()], vectors[kept]
        counts = None if counts is None else counts[kept]
    return Table(words, vectors, counts)


def say_repeated(path: str, unit: str, word: str, number: int, count: int) -> None:
    """Warns of `count` words that are there a second time, of which `word` is the first."""
    first = f"kept the first ({word[:40]!r} at {unit} {number:,})"
    warnings.warn(f"{path}: {count:,} repeated words, {first}", stacklevel=4)


def _distinct(path: str, words: Sequence[str], strict: bool, vocab: str) -> np.ndarray:
    """Which words are the first of their kind, bool [V]: bytes that are no UTF-8, left out or replaced, make more equal
    or empty. The rest is dropped, which a warning says."""
    if strict and len(set(words)) == len(words):
        return np.ones(len(words), bool)
    first = {word: i for i, word in reversed(list(enumerate(words)))}
    kept = np.array([word != "" and first[word] == i for i, word in enumerate(words)], bool)
    if not kept.any():
        raise UserError(f"{path}: no word is UTF-8, and none is left; pass encoding_errors=replace")
    if strict:
        i = int(np.argmin(kept))
        say_repeated(vocab or path, "line" if vocab else "row", words[i], i + bool(vocab), int(np.sum(~kept)))
    elif not kept.all():
        what = f"{np.sum(~kept):,} words, empty or repeated without their bytes that are no UTF-8, were dropped"
        warnings.warn(f"{path}: {what}", stacklevel=3)
    return kept


def read_vocab(path: PathLike, errors: str = "strict", tabs: bool = False) -> tuple[list[str], np.ndarray | None]:
    """Words and counts (int64, or None without any) of `word<TAB>count`, `word count` or `word` lines.

    With `tabs` a blank divides nothing, as `area 51` may be a word: it needs a tab in its line. Under errors='ignore' a
    word may become empty.

    Raises:
      UserError: missing or empty file, a line that is not UTF-8, a count that is no whole number or is missing; a
        file of a run folder that is not as the run wrote it.
    """
    path = os.fspath(path)
    if not to_path(path).is_file():
        raise UserError(f"{path}: no such file; check the name")
    check(path)
    words: list[str] = []
    counts = array.array("q")
    with open_read(path) as f:
        for number, line in enumerate(f, 1):
            line = line.removeprefix(MARK) if number == 1 else line
            raw, _, count = (line := line.rstrip(b"\r\n")).rpartition(b"\t" if b"\t" in line else b" ")
            raw, count = (raw, count) if raw else (count, b"")
            try:
                word = raw.decode("utf-8", errors)
            except UnicodeDecodeError:
                raise UserError(f"{path}: line {number:,}: not UTF-8; pass encoding_errors=replace") from None
            if not raw or (count and not re.fullmatch(rb"[0-9]{1,18}", count)):
                said = line.decode("utf-8", "replace")[:60]
                raise UserError(f"{path}: line {number:,}: {said!r} is not a word and its count; {_TABS}")
            if tabs and b" " in line and b"\t" not in line:
                said = line.decode("utf-8", "replace")[:60]
                raise UserError(f"{path}: line {number:,}: {said!r} may be a word, or a word and its count; {_TABS}")
            words.append(word)
            if count:
                counts.append(int(count))
    if not words:
        raise UserError(f"{path}: the file is empty")
    if counts and len(counts) != len(words):
        raise UserError(f"{path}: {len(counts):,} of {len(words):,} lines have a count: all must, or none")
    return words, np.array(counts, np.int64) if counts else None
