"""Writes files of word vectors, whole or not at all; `w2v_jax.formats` reads them. See `w2v_jax.embeddings.save`."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import warnings
from collections.abc import Iterator
from typing import IO, cast

import numpy as np

from w2v_jax.errors import UserError, nearest
from w2v_jax.files import PathLike, atomic, write_json, write_text
from w2v_jax.formats import MAX_WORD, NGRAMS, NGRAMS_JSON, Subwords, Table, to_safetensors, write_fasttext
from w2v_jax.storage import expanded, in_bucket, open_read, to_path
from w2v_jax.together import together

FORMATS = ("binary", "text", "glove", "fasttext", "native", "npy", "safetensors", "projector")
DTYPES = ("float32", "float16", "int8")
_BY_ENDING = {".bin": "binary", ".txt": "text", ".vec": "text", "": "native"}
_BY_ENDING |= {".npy": "npy", ".safetensors": "safetensors"}
_PACKED = ("binary", "text", "glove", "fasttext")  # may be written as .gz
_SMALL = ("native", "npy", "safetensors")  # hold other types than float32
_CONFIG = "projector_config.pbtxt"  # the name that TensorBoard looks for
_PROJECTOR = ("metadata.tsv", _CONFIG)
DOCUMENTS = "documents.npy"  # of a run folder
_ROWS = 4096  # rows formatted at a time


def write(table: Table, path: PathLike, format: str, dtype: str = "float32") -> None:
    """Writes a table in one of `FORMATS`; see `w2v_jax.embeddings.save` for the arguments and the errors."""
    path = expanded(path)
    format = _format(path, format)
    if dtype not in DTYPES:
        raise UserError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}{nearest(dtype, DTYPES)}")
    if dtype != "float32" and format not in _SMALL:
        raise UserError(f"dtype={dtype}: {format} holds float32 only; use {', '.join(_SMALL)}")
    _check_words(table, path, format)
    parent = os.path.dirname(path.rstrip("/"))
    if parent and not in_bucket(path) and not os.path.isdir(parent):
        raise UserError(f"{parent}: no such folder; make it first")
    _check_place(path, format)
    if format in _SMALL:
        vectors, scales = smaller(table.vectors, dtype)
        return {"native": _native, "npy": _npy, "safetensors": _safetensors}[format](table, vectors, scales, path)
    if format == "glove":
        return _text(table, path, heading=False)
    {"binary": _binary, "text": _text, "fasttext": _fasttext, "projector": _projector}[format](table, path)


def holds_counts(path: PathLike, format: str) -> bool:
    """Whether the format that a path or a name says has a place for counts. UserError: as `write`."""
    return _format(os.fspath(path), format) not in ("binary", "text", "glove")


def files_of(path: PathLike, format: str = "auto") -> list[str]:
    """The files that `write` makes, or removes where it needs them not; the last is read first. UserError: as there."""
    path = expanded(path)
    format = _format(path, format)
    if format in ("native", "projector"):
        names = ("vectors.npy", "scale.npy", "vocab.txt") if format == "native" else ("vectors.tsv", *_PROJECTOR)
        return [f"{path.rstrip('/')}/{name}" for name in names]
    stem = path.removesuffix(".npy")
    return [path, f"{stem}.scale.npy", f"{stem}.vocab.txt"] if format == "npy" else [path]


def _check_place(path: str, format: str) -> None:
    """UserError: files of the same names are there that are something else."""
    folder, name = os.path.split(path)
    stem = path.removesuffix(".npy")
    if format in ("native", "projector") and to_path(path).is_file():
        raise UserError(f"{path}: is a file; this format is a folder, so give another name")
    if format == "native" and (to_path(path) / "vectors.vocab.txt").is_file():
        raise UserError(f"{path}: its vectors.npy belongs to vectors.vocab.txt; give another name")
    if format == "npy" and name == "vectors.npy" and (to_path(folder or ".") / "vocab.txt").is_file():
        raise UserError(f"{path}: beside vocab.txt this name is that of a native folder or a run; give another name")
    if format == "npy" and to_path(f"{stem}.scale.vocab.txt").is_file():
        raise UserError(f"{path}: {stem}.scale.npy would be its scale, but has words of its own; give another name")


def _format(path: str, format: str) -> str:
    """The format that a path or a name says. UserError: none, or one that is not packed."""
    plain, packed = path.removesuffix(".gz"), path.endswith(".gz")
    if format == "auto":
        ending = os.path.splitext(plain.rstrip("/"))[1]
        if ending not in _BY_ENDING:
            known = ".bin, .txt, .vec (each also with .gz), .npy, .safetensors or none"
            raise UserError(f"{path}: unknown ending {ending!r}; use {known}, or name a format")
        format = _BY_ENDING[ending]
    if format not in FORMATS:
        raise UserError(f"format={format!r}: must be one of {', '.join(FORMATS)}{nearest(format, FORMATS)}")
    if packed and format not in _PACKED:
        raise UserError(f"{path}: {format} is not packed; leave .gz out, or use .bin.gz, .txt.gz or .vec.gz")
    return format


def smaller(vectors: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(vectors as `dtype`, and for int8 the scale of each row, float32 [V]).

    int8: q = round(x / s) with s = max |x| / 127 of the row, so that each number is off by at most s / 2. UserError: a
    number too large for float16, or a NaN. Warns of rows too small for float16.
    """
    if dtype == "float32":
        return np.asarray(vectors, np.float32), None
    out, scales = np.empty(vectors.shape, dtype), np.empty(len(vectors), np.float32)
    tiny = 0  # rows of which float16 keeps little or nothing
    for start in range(0, len(vectors), _ROWS):
        part = slice(start, start + _ROWS)
        if dtype == "float16":
            with np.errstate(over="ignore"):
                out[part] = vectors[part]
            good = np.isfinite(out[part])
            most = np.abs(vectors[part]).max(axis=1)
            tiny += int(np.sum((most > 0) & (most < np.finfo(np.float16).smallest_normal)))
        else:
            scales[part] = np.abs(vectors[part]).max(axis=1) / np.float32(127)
            good = np.isfinite(scales[part])
            with np.errstate(invalid="ignore"):
                out[part] = np.rint(vectors[part] / np.where(scales[part] > 0, scales[part], 1)[:, None])
        if not good.all():
            more = " or a number above 65504, the largest of this type" if dtype == "float16" else " or an infinity"
            raise UserError(f"dtype={dtype}: the vectors hold a NaN{more}; use float32")
    if tiny:
        what = f"{tiny:,} rows have no number above 6e-05, of which float16 keeps few digits or none"
        warnings.warn(f"dtype=float16: {what}; use float32 or int8", stacklevel=3)
    return out, scales if dtype == "int8" else None


def _check_words(table: Table, path: str, format: str) -> None:
    """UserError: a word that the format cannot hold."""
    blanks = r"[\t\n\r]" if format in (*_SMALL, "projector") else r"[ \t\n\r\v\f]"
    zero = format in ("binary", "fasttext")
    bad = re.compile(r"[ \t\n\r\v\f\0]" if zero else blanks)
    what = "white space or a zero byte" if zero else "white space"
    for word in table.words:
        if not word or bad.search(word):
            raise UserError(f"{path}: word {word!r} is empty or has {what}, which {format} cannot hold")
        if len(word) > MAX_WORD // 4 and len(word.encode()) > MAX_WORD:
            many = f"{len(word.encode()):,} bytes, of which at most {MAX_WORD:,} are read back"
            raise UserError(f"{path}: word {word[:40]!r}...: {many}; shorten it")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    """A file that appears when it is complete, packed where its name ends in .gz; equal vectors give equal bytes."""
    with atomic(path) as f:
        if not path.endswith(".gz"):
            yield f
            return
        with gzip.GzipFile("", "wb", 6, f, mtime=0) as packed:
            yield cast(IO[bytes], packed)


def _binary(table: Table, path: str) -> None:
    with _opened(path) as f:
        f.write(b"%d %d\n" % table.vectors.shape)
        for start in range(0, len(table.words), _ROWS):
            block = np.asarray(table.vectors[start : start + _ROWS], "<f4")
            words = table.words[start : start + _ROWS]
            # The C tool writes a newline after each record; other readers skip it.
            f.write(b"".join(b"%s %s\n" % (w.encode(), v.tobytes()) for w, v in zip(words, block, strict=True)))


def _text(table: Table, path: str, heading: bool = True) -> None:
    with _opened(path) as f:
        if heading:
            f.write(b"%d %d\n" % table.vectors.shape)
        _lines(f, table, " ", words=True)


def _lines(f: IO[bytes], table: Table, separator: str, words: bool) -> None:
    """One vector per line. Nine significant digits restore every float32 exactly."""
    row = separator.join(["%.9g"] * table.vectors.shape[1]) + "\n"
    for start in range(0, len(table.words), _ROWS):
        block = np.asarray(table.vectors[start : start + _ROWS], np.float64).tolist()
        lines = [row % tuple(values) for values in block]
        if words:
            lines = [f"{w} {line}" for w, line in zip(table.words[start : start + _ROWS], lines, strict=True)]
        f.write("".join(lines).encode())


def _fasttext(table: Table, path: str) -> None:
    if table.subwords is None:
        whose = "a run of configs/subword.py (its folder, not its vectors.bin) or a fastText model"
        raise UserError(f"{path}: fasttext needs vectors with n-grams, of {whose}; these have none: use binary or text")
    with _opened(path) as f:
        write_fasttext(f, table, table.subwords)


def _native(table: Table, vectors: np.ndarray, scales: np.ndarray | None, path: str) -> None:
    _arrays(table, vectors, scales, path.rstrip("/"), files_of(path, "native"))


def _npy(table: Table, vectors: np.ndarray, scales: np.ndarray | None, path: str) -> None:
    _arrays(table, vectors, scales, path, files_of(path, "npy"))


def _arrays(table: Table, vectors: np.ndarray, scales: np.ndarray | None, path: str, files: list[str]) -> None:
    """Vectors, scale and words as the three `files`."""
    with together(path, files) as parts:
        for file, array in zip(files, (vectors, scales), strict=False):
            if array is not None:
                with open(parts[file], "wb") as f:
                    np.save(f, array, allow_pickle=False)
        write_vocab(parts[files[-1]], table)


def _safetensors(table: Table, vectors: np.ndarray, scales: np.ndarray | None, path: str) -> None:
    data = to_safetensors(table, vectors, scales)
    with atomic(path) as f:
        f.write(data)


def write_ngrams(folder: PathLike, parts: Subwords) -> list[str]:
    """Writes what makes vectors of unseen words into a run folder: ngrams.npy, float32 [K, D], and ngrams.json with
    the lengths of n-grams. Returns the names of the files. Raises OSError."""
    with atomic(os.path.join(os.fspath(folder), NGRAMS)) as f:
        np.save(f, np.asarray(parts.buckets, np.float32), allow_pickle=False)
    lengths = {"shortest": parts.shortest, "longest": parts.longest}
    write_json(os.path.join(os.fspath(folder), NGRAMS_JSON), lengths)
    return [NGRAMS, NGRAMS_JSON]


def write_documents(folder: PathLike, rows: np.ndarray) -> list[str]:
    """Writes the vectors of documents, [N, D], into a run folder as documents.npy, float32. Returns the name of the
    file. Raises OSError."""
    with atomic(os.path.join(os.fspath(folder), DOCUMENTS)) as f:
        np.save(f, np.asarray(rows, np.float32), allow_pickle=False)
    return [DOCUMENTS]


def projector_above(folder: PathLike, name: str = "projector") -> None:
    """Makes TensorBoard find the export `folder`/`name` when it opens `folder` itself. Raises OSError."""
    inner = os.path.join(os.fspath(folder), name, _CONFIG)
    with open_read(inner) as f:
        text = f.read().decode()
    for file in ("vectors.tsv", "metadata.tsv"):
        text = text.replace(f'"{file}"', f'"{name}/{file}"')
    write_text(os.path.join(os.fspath(folder), _CONFIG), text)


def write_vocab(path: PathLike, table: Table) -> None:
    """`word<TAB>count` lines, or words alone without counts: what `load(..., counts=)` and gensim's `fvocab` read."""
    # Without counts, a tab ends a word with a blank in it; the blank alone would start a count.
    lines = _columns(table) if table.counts is not None else [w + "\t" * (" " in w) for w in table.words]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _columns(table: Table) -> list[str]:
    """Word and count, a tab between them; the word alone without counts."""
    if table.counts is None:
        return list(table.words)
    return [f"{word}\t{count}" for word, count in zip(table.words, table.counts.tolist(), strict=True)]


def _projector(table: Table, path: str) -> None:
    """vectors.tsv, metadata.tsv and the configuration of TensorBoard's projector for a log folder."""
    v, d = table.vectors.shape
    config = f'tensor_name: "word vectors"\n  tensor_shape: {v}\n  tensor_shape: {d}\n  tensor_path: "vectors.tsv"'
    heading = [] if table.counts is None else ["word\tcount"]  # TensorBoard wants none above a single column
    path, files = path.rstrip("/"), files_of(path, "projector")
    with together(path, files) as parts:
        vectors, words, last = (parts[file] for file in files)
        with open(vectors, "wb") as f:
            _lines(f, table, "\t", words=False)
        write_text(words, "".join(f"{x}\n" for x in [*heading, *_columns(table)]))
        write_text(last, f'embeddings {{\n  {config}\n  metadata_path: "metadata.tsv"\n}}\n')
