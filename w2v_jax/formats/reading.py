"""Opens a file or a folder of word vectors: which format it is, and whether it can hold what its header says."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.exported import check, family_of
from w2v_jax.files import FREE_BYTES, MOST_TIMES, PathLike, bounded, not_text
from w2v_jax.formats.binary import looks_binary, read_binary
from w2v_jax.formats.fasttext import MAGIC, read_fasttext
from w2v_jax.formats.native import read_native, read_npy, read_vocab, say_repeated
from w2v_jax.formats.rows import MARK, MAX_DIM, MAX_WORDS, Options, Table
from w2v_jax.formats.tensors import ENDING, read_safetensors
from w2v_jax.formats.text import read_text
from w2v_jax.storage import expanded, in_bucket, local_copy, local_folder, to_path

ENCODING_ERRORS = ("strict", "replace", "ignore")
HEADER_BYTES = 256  # at most, of a line of two numbers
_FOREIGN = (".npz", ".pkl", ".pickle", ".model", ".kv", ".h5", ".pt")
_PICKLES = (".pkl", ".pickle", ".model", ".kv")
_PICKLE = re.compile(rb"\x80[\x02-\x05]")  # what a pickle begins with
_GENSIM = (
    "; from gensim: kv.save_word2vec_format('kv.bin', binary=True), of FastText save_facebook_model(model, 'ft.bin'); "
    "in memory Embeddings(kv.index_to_key, kv.vectors)"
)
_PACKED = (".zip", ".xz", ".bz2", ".zst", ".7z", ".tar")
# Less than so many times too few bytes, a file is read until its end, which says how many words there are.
_FAR_MORE = 4
_GZIP = b"\x1f\x8b"


def read(
    path: PathLike,
    limit: int,
    binary: bool | None,
    encoding_errors: str,
    mmap: bool,
    counts: PathLike | None,
    skip_nan: bool = False,
) -> Table:
    """Reads any of the formats; see `w2v_jax.embeddings.load` for the arguments and the errors."""
    path = expanded(path)
    if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 0:
        raise UserError(f"limit={limit!r}: must be 0 (all) or more")
    if encoding_errors not in ENCODING_ERRORS:
        raise UserError(f"encoding_errors={encoding_errors!r}: must be strict, replace or ignore")
    folder, name = os.path.split(path)
    beside = to_path(folder or ".")
    if name == "vectors.npy" and (beside / "vocab.txt").is_file() and not (beside / "vectors.vocab.txt").is_file():
        path = folder or "."
    if in_bucket(path):
        if path.endswith(".npy"):
            raise UserError(f"{path}: in a bucket, read as a native folder or .safetensors; save it in one of these")
        try:
            copy = local_folder(path) if to_path(path).is_dir() else local_copy(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such object; check the name") from None
        try:
            return read(copy, limit, binary, encoding_errors, mmap, counts, skip_nan)
        except UserError as e:
            raise type(e)(str(e).replace(copy, path)) from None
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder; check the name")
    options = Options(encoding_errors, skip_nan)
    if os.path.isdir(path):
        if not os.path.isfile(os.path.join(path, "vectors.npy")) and family_of(to_path(path)) is not None:
            raise UserError(f"{path}: is a run folder; use w2v_jax.load, or --workdir={path} of a command")
        table = read_native(path, limit, options, mmap)
    else:
        if path.lower().endswith(_PACKED):
            raise UserError(f"{path}: packed in a way that is not read here; unpack it first, or pack it with gzip")
        if path.endswith(_FOREIGN):
            use = "use word2vec, GloVe text, fastText, .npy, .safetensors or a native folder"
            raise UserError(f"{path}: not a format read here; {use}{_GENSIM if path.endswith(_PICKLES) else ''}")
        if mmap and not path.endswith(".npy"):
            raise UserError(f"{path}: only a native folder and .npy can be memory-mapped; save it as one of them first")
        check(path)
        if path.endswith(".npy"):
            table = read_npy(path, limit, options, mmap)
        elif path.endswith(ENDING):
            table = read_safetensors(path, limit, options)
        else:
            table = _read_file(path, limit, binary, options)
    return table if counts is None else _with_counts(table, expanded(counts), encoding_errors)


def _with_counts(table: Table, path: str, errors: str) -> Table:
    names, known = read_vocab(path, errors)
    if known is None:
        raise UserError(f"{path}: has words without counts; each line must be a word and its count")
    found: dict[str, int] = {}
    twice = 0  # index of the first word that is there again
    for i, (word, count) in enumerate(zip(names, known.tolist(), strict=True)):
        twice = twice or (i if word in found else 0)
        found.setdefault(word, count)
    if twice:
        say_repeated(path, "line", names[twice], twice + 1, len(names) - len(found))
    missing = [word for word in table.words if word not in found]
    if missing:
        what = f"{len(missing):,} words have no count, which is taken as 0 ({missing[0]!r})"
        warnings.warn(f"{path}: {what}", stacklevel=4)
    return table._replace(counts=np.array([found.get(word, 0) for word in table.words], np.int64))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, int, bool]]:
    """The file, the most bytes that it can hold unpacked, and whether it is packed, which its first bytes say.
    UserError: an empty or damaged file."""
    size = os.path.getsize(path)
    if size == 0:
        raise UserError(f"{path}: the file is empty")
    with open(path, "rb") as f:
        if f.read(len(_GZIP)) != _GZIP:
            f.seek(0)
            yield f, size, False
            return
    try:
        with gzip.open(path, "rb") as f:
            yield cast(BinaryIO, bounded(path, cast(BinaryIO, f))), max(FREE_BYTES, size * MOST_TIMES), True
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise UserError(f"{path}: damaged gzip file ({' '.join(str(e).split())}); fetch it again") from None


def _read_file(path: str, limit: int, binary: bool | None, options: Options) -> Table:
    with _opened(path) as (f, size, packed):
        head = f.read(len(MARK) + HEADER_BYTES)
        if head.startswith(MAGIC):
            f.seek(0)
            return read_fasttext(f, path, options, limit, size, packed)
        if _PICKLE.match(head):
            raise UserError(f"{path}: a pickle, such as save of gensim writes, which is not read here{_GENSIM}")
        mark = len(MARK) if head.startswith(MARK) else 0
        line = head[mark : mark + HEADER_BYTES].partition(b"\n")[0]
        match = re.fullmatch(rb"[ \t]*([0-9]+)[ \t]+([0-9]+)[ \t\r]*", line)
        if match is None:
            if binary:
                raise UserError(f"{path}: line 1: no header of two numbers (words, dimensions): not word2vec binary")
            _check_text(path, head)
            f.seek(mark)
            return read_text(f, path, options, 0, 0, limit, size, 1)
        total, dim = int(match[1]), int(match[2])
        if not 1 <= total <= MAX_WORDS or not 1 <= dim <= MAX_DIM:
            said = line[:40].decode("ascii").strip()
            raise UserError(f"{path}: line 1: header {said!r} (words, dimensions): not a file of word vectors")
        start = mark + len(line) + 1
        if binary is None:
            f.seek(start)
            binary = looks_binary(f, dim)
        f.seek(start)
        wanted = min(total, limit) if limit else total
        least = wanted * (4 * dim + 2 if binary else 2 * dim + 1)
        if least > _FAR_MORE * size:
            raise UserError(
                f"{path}: line 1: header of {total:,} words x {dim:,} dimensions, but the file holds {size:,} bytes at "
                f"most and would need {least:,}: truncated (limit=N reads the first N words), or not word vectors"
            )
        if binary:
            return read_binary(f, path, options, total, dim, limit, start)
        return read_text(f, path, options, total, dim, limit, size, 2)


def _check_text(path: str, head: bytes) -> None:
    """UserError: a file without a header begins with text in two or four bytes a character."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise UserError(f"{path}: {not_text(head)}")
    halves = {"UTF-16BE": head[::2], "UTF-16LE": head[1::2]}
    for name, other in (("UTF-16BE", "UTF-16LE"), ("UTF-16LE", "UTF-16BE")):
        if 2 * halves[name].count(0) > len(halves[name]) and not halves[other].count(0):
            raise UserError(f"{path}: seems to be {name}; convert it first: iconv -f {name} -t UTF-8 <OLD >NEW")
