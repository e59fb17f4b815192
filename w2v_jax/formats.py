"""Reads files of word vectors: word2vec text and binary, GloVe text, and a folder that can be memory-mapped.

Headers are checked against the size of the file, and every error names a line or a byte. Nothing is unpickled.
`w2v_jax.embeddings` is the interface; `w2v_jax.export` writes the same formats.
"""

from __future__ import annotations

import array
import contextlib
import gzip
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, NoReturn, cast

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.files import FREE_BYTES, MOST_TIMES, PathLike, bounded

HEADER_BYTES = 256  # at most, of a line of two numbers
MAX_DIM = 1_000_000
MAX_WORDS = 1 << 32
_MAX_WORD = 4096  # bytes of one word
_MAX_NUMBER = 64  # bytes of one number in a text, including its blank
_READ = 1 << 20
_FOREIGN = (".npz", ".pkl", ".pickle", ".model", ".kv", ".h5", ".pt", ".safetensors", ".zip", ".xz", ".bz2", ".zst")


class Table(NamedTuple):
    """V words, vectors float32 [V, D], and counts int64 [V] where the file has them."""

    words: Sequence[str]
    vectors: np.ndarray
    counts: np.ndarray | None


class _Rows:
    """Collects records, and keeps the first of each word with its place (a line or a byte)."""

    def __init__(self, path: str, unit: str, errors: str, dim: int, capacity: int) -> None:
        self.path, self.unit, self.errors = path, unit, errors
        self.words: list[str] = []
        self.seen: set[str] = set()
        self.places = array.array("q")
        # A packed file may expand a thousand times: start small and grow.
        capacity = min(capacity, os.path.getsize(path) // dim + 16)
        self.vectors = np.empty((capacity, dim), np.float32)
        self.repeated, self.first_repeated = 0, ""

    def fail(self, place: int, what: str) -> NoReturn:
        raise UserError(f"{self.path}: {self.unit} {place:,}: {what}")

    def add(self, word: bytes, values: np.ndarray | list[float], place: int) -> None:
        try:
            text = word.decode("utf-8", self.errors)
        except UnicodeDecodeError:
            self.fail(place, f"word {word[:40]!r} is not UTF-8; convert the file, or pass encoding_errors=replace")
        if not text:
            self.fail(place, "the word is empty")
        if text in self.seen:
            self.first_repeated = self.first_repeated or f"{text!r} at {self.unit} {place:,}"
            self.repeated += 1
            return
        n = len(self.words)
        if n == len(self.vectors):
            grown = np.empty((n + n // 2 + 16, self.vectors.shape[1]), np.float32)
            grown[:n] = self.vectors
            self.vectors = grown
        self.vectors[n] = values
        self.seen.add(text)
        self.words.append(text)
        self.places.append(place)

    def table(self) -> Table:
        vectors = self.vectors[: len(self.words)]
        for start in range(0, len(vectors), 8192):
            good = np.isfinite(vectors[start : start + 8192]).all(axis=1)
            if not good.all():
                i = start + int(np.argmin(good))
                self.fail(self.places[i], f"vector of {self.words[i]!r}: a NaN, an infinity or too large a number")
        if self.repeated:
            kept = f"kept the first ({self.first_repeated})"
            warnings.warn(f"{self.path}: {self.repeated:,} repeated words, {kept}", stacklevel=2)
        return Table(self.words, vectors, None)


def read(
    path: PathLike, limit: int, binary: bool | None, encoding_errors: str, mmap: bool, counts: PathLike | None
) -> Table:
    """Reads any of the formats; see `w2v_jax.embeddings.load` for the arguments and the errors."""
    path = os.fspath(path)
    if limit < 0:
        raise UserError(f"limit={limit}: must be 0 (all) or more")
    if encoding_errors not in ("strict", "replace", "ignore"):
        raise UserError(f"encoding_errors={encoding_errors!r}: must be strict, replace or ignore")
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder; check the name")
    if os.path.basename(path) == "vectors.npy":
        path = os.path.dirname(path) or "."
    if os.path.isdir(path):
        table = _read_native(path, limit, encoding_errors, mmap)
    else:
        if path.endswith(_FOREIGN) or path.endswith(".npy"):
            raise UserError(f"{path}: not a format read here; use word2vec, GloVe text or a native folder")
        if mmap:
            raise UserError(f"{path}: only a native folder can be memory-mapped; save it with format native first")
        table = _read_file(path, limit, binary, encoding_errors)
    if counts is None:
        return table
    names, known = read_vocab(counts, encoding_errors)
    if known is None:
        raise UserError(f"{os.fspath(counts)}: has words without counts; each line must be a word and its count")
    found = dict(zip(names, known.tolist(), strict=True))
    missing = [word for word in table.words if word not in found]
    if missing:
        what = f"{len(missing):,} words have no count, which is taken as 0 ({missing[0]!r})"
        warnings.warn(f"{os.fspath(counts)}: {what}", stacklevel=3)
    return table._replace(counts=np.array([found.get(word, 0) for word in table.words], np.int64))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """The file and the most bytes that it can hold unpacked. UserError: an empty or damaged file."""
    size = os.path.getsize(path)
    if size == 0:
        raise UserError(f"{path}: the file is empty")
    if not path.endswith(".gz"):
        with open(path, "rb") as f:
            yield f, size
        return
    try:
        with gzip.open(path, "rb") as f:
            yield cast(BinaryIO, bounded(path, cast(BinaryIO, f))), max(FREE_BYTES, size * MOST_TIMES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise UserError(f"{path}: damaged gzip file ({' '.join(str(e).split())}); fetch it again") from None


def _read_file(path: str, limit: int, binary: bool | None, errors: str) -> Table:
    with _opened(path) as (f, size):
        head = f.read(HEADER_BYTES)
        line = head.partition(b"\n")[0]
        match = re.fullmatch(rb" *([0-9]+)[ \t]+([0-9]+)[ \r]*", line)
        if match is None:
            if binary:
                raise UserError(f"{path}: line 1: no header of two numbers (words, dimensions): not word2vec binary")
            f.seek(0)
            return _read_text(f, path, errors, 0, 0, limit, size, 1)
        total, dim = int(match[1]), int(match[2])
        if not 1 <= total <= MAX_WORDS or not 1 <= dim <= MAX_DIM:
            said = line[:40].decode("ascii").strip()
            raise UserError(f"{path}: line 1: header {said!r} (words, dimensions): not a file of word vectors")
        f.seek(len(line) + 1)
        if binary is None:
            binary = _looks_binary(f.read(1 << 16), dim)
            f.seek(len(line) + 1)
        wanted = min(total, limit) if limit else total
        least = wanted * (4 * dim + 2 if binary else 2 * dim + 1)
        if least > size:
            raise UserError(
                f"{path}: line 1: header of {total:,} words x {dim:,} dimensions, but the file holds "
                f"{size:,} bytes at most and would need {least:,}: truncated, or not a file of word vectors"
            )
        if binary:
            return _read_binary(f, path, errors, total, dim, wanted, len(line) + 1)
        return _read_text(f, path, errors, total, dim, limit, size, 2)


def _looks_binary(sample: bytes, dim: int) -> bool:
    """Whether records are raw floats: the first is not a line of numbers, and some bytes cannot be text."""
    fields = sample.partition(b"\n")[0].rstrip(b" \r").split(b" ")
    try:
        if len(fields) > dim and all(np.isfinite(float(x)) for x in fields[-dim:]):
            return False
    except ValueError:
        pass
    if re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", sample):
        return True
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as e:
        return e.start < len(sample) - 4  # the end of the sample may cut a character
    return False


def _read_binary(f: BinaryIO, path: str, errors: str, total: int, dim: int, wanted: int, offset: int) -> Table:
    """`word`, a blank, D little-endian float32, and a newline from the C tool only."""
    rows = _Rows(path, "byte", errors, dim, wanted)
    width, buffer, base, at = 4 * dim, b"", offset, 0
    for i in range(wanted):
        while True:
            blank = buffer.find(b" ", at, at + _MAX_WORD)
            if blank >= 0 and len(buffer) - blank - 1 >= width:
                break
            if blank < 0 and len(buffer) - at >= _MAX_WORD:
                rows.fail(base + at, f"no word ends within {_MAX_WORD:,} bytes: damaged, or not {dim:,} dimensions")
            more = f.read(max(_READ, width))
            if not more:
                rows.fail(base + len(buffer), f"the file ends within record {i + 1:,} of {total:,}: truncated")
            buffer, base, at = buffer[at:] + more, base + at, 0
        word = buffer[at:blank].lstrip(b"\n")
        rows.add(word, np.frombuffer(buffer, "<f4", dim, blank + 1), base + at)
        at = blank + 1 + width
    if wanted == total and (buffer[at:] + f.read(16)).strip(b"\r\n"):
        rows.fail(base + at, f"more data after the header's {total:,} words; limit={total} reads these only")
    return rows.table()


def _read_text(f: BinaryIO, path: str, errors: str, total: int, dim: int, limit: int, size: int, number: int) -> Table:
    """Lines of a word and D numbers, from line `number` on; without a header (GloVe) total and dim are 0."""
    rows: _Rows | None = None
    longest = _MAX_WORD + _MAX_NUMBER * (dim or MAX_DIM)
    wanted = min(filter(None, (total, limit)), default=0)
    read = 0
    while not wanted or read < wanted:
        line = f.readline(longest + 1)
        place = number + read
        if not line or (not line.strip() and not f.read(1)):
            break
        fields = line.rstrip(b" \r\n").split(b" ")
        if rows is None:
            dim = dim or len(fields) - 1
            if not 1 <= dim <= MAX_DIM:
                raise UserError(f"{path}: line {place:,}: no numbers after the first word: not a file of word vectors")
            longest = _MAX_WORD + _MAX_NUMBER * dim
            rows = _Rows(path, "line", errors, dim, wanted or min(limit or size, size // len(line) + 16))
        word, values = _parse(rows, fields, dim, place, len(line) > longest)
        with np.errstate(over="ignore"):
            rows.add(word, values, place)
        read += 1
    if rows is None:
        raise UserError(f"{path}: line {number:,}: the file ends before the first word: truncated")
    if wanted and read < wanted and total:
        rows.fail(number + read, f"the file ends after {read:,} of the {total:,} words of its header: truncated")
    if total and wanted == total and f.read(64).strip():
        rows.fail(number + read, f"more lines than the header's {total:,} words; limit={total} reads these only")
    return rows.table()


def _parse(rows: _Rows, fields: list[bytes], dim: int, place: int, cut: bool) -> tuple[bytes, list[float]]:
    """The word and its numbers. The largest GloVe files have words with blanks, so numbers count from the right."""
    extra = len(fields) - 1 - dim
    if cut or extra < 0 or (extra > 0 and _number(fields[extra])):
        many = "over-long line" if cut else f"{len(fields) - 1:,} numbers"
        rows.fail(place, f"{many}, but {dim:,} were expected: truncated, damaged or vectors of another dimension")
    try:
        return b" ".join(fields[: extra + 1]), [float(x) for x in fields[extra + 1 :]]
    except ValueError:
        bad = next(x for x in fields[extra + 1 :] if not _number(x))
        said = bad[:40].decode("utf-8", "replace")
        rows.fail(place, f"{said!r} is not a number: damaged, or not a file of word vectors")


def _number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_native(path: str, limit: int, errors: str, mmap: bool) -> Table:
    file, vocab = os.path.join(path, "vectors.npy"), os.path.join(path, "vocab.txt")
    for name in (file, vocab):
        if not os.path.isfile(name):
            raise UserError(f"{name}: no such file; a native folder holds vectors.npy and vocab.txt")
    try:
        vectors = np.load(file, mmap_mode="r" if mmap else None, allow_pickle=False)
    except OSError:
        raise
    except Exception as e:  # numpy reads a header as Python's source: a damaged one raises whatever Python's parsers do
        raise UserError(f"{file}: not a whole .npy array ({' '.join(str(e).split())[:120]}); write it again") from None
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f" or 0 in vectors.shape:
        shape = f"{vectors.dtype} {vectors.shape}" if isinstance(vectors, np.ndarray) else "no single array"
        raise UserError(f"{file}: {shape}: must be float32 [words, dimensions]")
    words, counts = read_vocab(vocab, errors)
    if len(words) != len(vectors):
        raise UserError(f"{vocab}: {len(words):,} words, but vectors.npy has {len(vectors):,}: they must be of one run")
    n = limit or len(words)
    with np.errstate(over="ignore"):  # of a larger type: an infinity is named below
        vectors = vectors[:n] if vectors.dtype == np.float32 else vectors[:n].astype(np.float32)
    # A map is checked when `Embeddings.norms` first reads it, not read whole now.
    if not mmap and not np.isfinite(vectors).all():
        i = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise UserError(f"{file}: row {i:,}: the vector of {words[i]!r} holds a NaN or an infinity")
    return Table(words[:n], vectors, None if counts is None else counts[:n])


def read_vocab(path: PathLike, errors: str = "strict") -> tuple[list[str], np.ndarray | None]:
    """Words and counts (int64, or None without any) of `word<TAB>count`, `word count` or `word` lines.

    Raises:
      UserError: missing or empty file, a line that is not UTF-8, a count that is no whole number or is missing.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; check the name")
    words: list[str] = []
    counts = array.array("q")
    with open(path, "rb") as f:
        for number, line in enumerate(f, 1):
            try:
                text = line.rstrip(b"\r\n").decode("utf-8", errors)
            except UnicodeDecodeError:
                raise UserError(f"{path}: line {number:,}: not UTF-8") from None
            word, _, count = text.rpartition("\t") if "\t" in text else text.rpartition(" ")
            word, count = (word, count) if word else (count, "")
            if not word or (count and not re.fullmatch("[0-9]{1,18}", count)):
                raise UserError(f"{path}: line {number:,}: {text[:60]!r} is not a word and its count")
            words.append(word)
            if count:
                counts.append(int(count))
    if not words:
        raise UserError(f"{path}: the file is empty")
    if counts and len(counts) != len(words):
        raise UserError(f"{path}: {len(counts):,} of {len(words):,} lines have a count: all must, or none")
    return words, np.array(counts, np.int64) if counts else None
