"""Raw text, in bounded memory: local files, TFDS record files, and the docstrings of installed packages.

A source turns into a `RawText`: chunks of text in which `MARK` ends a document: a NUL, which no text may hold, between
two blanks that belong to no document. A chunk ends with a document or before a run of white space, never inside a word
or such a run, so that each can be tokenised alone; neither a corpus larger than memory nor one very long line is ever
held whole (a run of other characters than white space is).

What ends a document: for `text:`, `data.document` (line, blank, file; the end of a file always does). For `tfds:` each
example is one document under every setting: the example is that source's line, and line breaks inside it are only white
space. For `pydocs` each paragraph is one document.
"""

from __future__ import annotations

import codecs
import dataclasses
import glob
import gzip
import hashlib
import io
import lzma
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from w2v_jax.config import DataConfig
from w2v_jax.errors import UserError

END = "\0"
MARK = f" {END} "
# Unicode's White_Space. Python's own `isspace` holds four separators more (U+001C to U+001F), which the pattern of
# byte-level BPE takes for marks: a cut before one of them would change its tokens.
WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
CHUNK = 1 << 20  # bytes read at a time: larger chunks are slower, because their words leave the processor's cache
# A file changed within this time of being read may change again without its time stamp showing it.
SETTLE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class RawText:
    """Text to be tokenised, and how to tell cheaply whether it is the same text as last time."""

    name: str
    """What the user asked for, with file names but without their times: finds the record of an earlier run."""
    stamp: str
    """Digest of names, sizes and times of change. Same stamp and `settled`: same content."""
    settled: bool
    """False when a file is so new that it could still change without a new time stamp."""
    size: int
    """Bytes that `chunks` will count, 0 where unknown."""
    chunks: Callable[[hashlib.blake2b], Iterator[tuple[str, int]]]
    """Given a hash to be fed with the content, yields (text with a `MARK` after each document, bytes read so far)."""
    rehash: Callable[[], str] | None = None
    """Digest of the content without tokenising it, where that is cheaper."""


def raw_text(cfg: DataConfig, key: str = "source") -> RawText:
    """The text that `cfg.source`, or another key of the same form, names.

    Args:
      cfg: the source, `document`, `field`, `tfds_split`, `data_dir` and `offline` are read.
      key: source, heldout_source or test_source.

    Raises:
      UserError: nothing there, an empty file, a TFDS name that is not prepared.
    """
    source: str = getattr(cfg, key)
    kind, _, rest = source.partition(":")
    if kind == "text":
        return _local(rest, cfg.document, f"data.{key}")
    if kind == "tfds":
        from w2v_jax.data import tfds_source

        name, at, split = rest.partition("@")
        return tfds_source.examples(name, dataclasses.replace(cfg, tfds_split=split) if at else cfg)
    if kind == "pydocs":
        from w2v_jax.data import pydocs

        return pydocs.paragraphs()
    if kind == "synthetic":
        from w2v_jax.data import synthetic

        return synthetic.text(cfg, rest or "train")
    raise UserError(f"data.{key}={source!r}: not available yet; use pydocs, synthetic, text:GLOB or tfds:NAME")


def stamp_of(entries: list[tuple[str, os.stat_result]]) -> tuple[str, bool]:
    """(digest of names, sizes, inodes and times, whether all files have lain unchanged for `SETTLE_SECONDS`)."""
    h = hashlib.blake2b(digest_size=16)
    newest = 0.0
    for name, st in entries:
        h.update(f"{name}\0{st.st_size}\0{st.st_mtime_ns}\0{st.st_ctime_ns}\0{st.st_ino}\n".encode())
        newest = max(newest, st.st_mtime, st.st_ctime)
    return h.hexdigest(), time.time() - newest > SETTLE_SECONDS


# ---- local files ----


def find_files(pattern: str, key: str = "data.source") -> list[Path]:
    """Files that `pattern` (a file, a folder taken recursively, or a glob with **) names, sorted by path.

    `key` is what messages name as the place of the mistake.
    Hidden files and folders (a leading dot) inside folders are left out.

    Raises:
      UserError: nothing matches, or a folder holds no file.
    """
    if not pattern:
        raise UserError(f"{key}='text:': name a file, a folder or a glob after 'text:'")
    root = os.path.expanduser(pattern)
    hits = [root] if os.path.exists(root) else glob.glob(root, recursive=True)
    if not hits:
        what = "matches no file" if glob.has_magic(root) else "no such file or folder"
        raise UserError(f"{key}: {pattern}: {what}; check the path after 'text:'")
    files: set[str] = set()
    for hit in hits:
        if not os.path.isdir(hit):
            files.add(hit)
            continue
        for folder, below, names in os.walk(hit):
            below[:] = [d for d in below if not d.startswith(".")]
            files.update(os.path.join(folder, n) for n in names if not n.startswith("."))
    if not files:
        raise UserError(f"{key}: {pattern}: the folder holds no file")
    return [Path(f) for f in sorted(files)]


def _local(pattern: str, document: str, key: str) -> RawText:
    paths = find_files(pattern, key)
    stats = [(str(p.resolve()), p.stat()) for p in paths]
    for path, (_, st) in zip(paths, stats, strict=True):
        if not os.path.isfile(path):
            raise UserError(f"{path}: not a regular file")
        # One empty file among many is no mistake worth stopping for, but it is counted as an empty document.
        if st.st_size == 0 and len(paths) == 1:
            raise UserError(f"{path}: the file is empty")
    if not any(st.st_size for _, st in stats):
        raise UserError(f"{key}: {pattern}: all {len(paths)} files are empty")
    stamp, settled = stamp_of(stats)

    def chunks(content: hashlib.blake2b) -> Iterator[tuple[str, int]]:
        done = 0
        for path in paths:
            raw = _Hashed(path)
            try:
                file = _open(path, raw)  # held until drained: a reader that is collected closes what it reads
                for text in _file_chunks(path, file, document):
                    yield text, done + raw.count
                raw.drain()
            finally:
                raw.close()
            done += raw.count
            content.update(f"{path.name}\0{raw.hash.hexdigest()}\n".encode())

    def rehash() -> str:
        content = hashlib.blake2b(digest_size=32)
        for path in paths:
            raw = _Hashed(path)
            raw.drain()
            raw.close()
            content.update(f"{path.name}\0{raw.hash.hexdigest()}\n".encode())
        return content.hexdigest()

    size = sum(st.st_size for _, st in stats)
    name = "\n".join(f"{n} {st.st_size}" for n, st in stats)
    return RawText(name, stamp, settled, size, chunks, rehash)


class _Hashed(io.RawIOBase):
    """A file that counts and hashes the bytes read from it, so that text is read only once."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self.hash = hashlib.blake2b(digest_size=32)
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._file.readinto(buffer) or 0
        self.hash.update(memoryview(buffer)[:n])
        self.count += n
        return n

    def drain(self) -> None:
        """Reads to the end, so that the hash covers the whole file."""
        buffer = bytearray(CHUNK)
        while self.readinto(buffer):
            pass

    def close(self) -> None:
        self._file.close()
        super().close()


def _open(path: Path, raw: _Hashed) -> IO[bytes]:
    buffered = io.BufferedReader(raw, CHUNK)
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=buffered, mode="rb"))
    if path.suffix == ".xz":
        return cast(IO[bytes], lzma.LZMAFile(buffered))
    return buffered


def _file_chunks(path: Path, file: IO[bytes], document: str) -> Iterator[str]:
    try:
        yield from _chunks_of(path, file, document)
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as e:
        raise UserError(f"{path}: damaged or truncated compressed file ({e})") from None


_BLANK = re.compile(f"\n[{WHITE}]*\n")


def _mark(text: str, document: str) -> str:
    if document == "line":
        return text.replace("\n", MARK)
    return _BLANK.sub(MARK, text) if document == "blank" else text


def _chunks_of(path: Path, file: IO[bytes], document: str) -> Iterator[str]:
    """Marked text of one open file. White space at a cut goes to the next chunk, so that a blank line stays whole."""
    rest = ""
    for text in _decoded(path, file):
        text = rest + text
        cut = max(text.rfind(" "), text.rfind("\n"), text.rfind("\t"))
        head = text[: cut + 1].rstrip(WHITE)
        rest = text[len(head) :]
        if head:
            yield _mark(head, document)
    tail = rest.removesuffix("\n") if document == "line" else rest.rstrip(WHITE)
    yield _mark(tail, document) + MARK


def pieces(chunk: str) -> list[str]:
    """The documents of a chunk without their trailing white space; the last piece is the start of one still open.

    A document longer than a chunk is the pieces of several chunks end to end; those after the first begin with white
    space, where there is no end of the document.
    """
    documents = chunk.split(MARK)
    return [d.rstrip(WHITE) for d in documents[:-1]] + documents[-1:]


def _decoded(path: Path, file: IO[bytes]) -> Iterator[str]:
    """Strict UTF-8; a byte-order mark at the start is dropped."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    while True:
        data = file.read(CHUNK)
        nul = data.find(b"\0")
        if nul >= 0:
            raise UserError(f"{path}: binary file (NUL at byte {offset + nul}); give UTF-8 text, plain, .gz or .xz")
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as e:
            where = offset - held + e.start
            raise UserError(f"{path}: not UTF-8 at byte {where} ({e.reason}); convert it to UTF-8 first") from None
        yield text.removeprefix("\ufeff") if offset == 0 else text
        if not data:
            return
        offset += len(data)
