"""Where text comes from: local files, TFDS record files, docstrings of installed packages, a generated language.

A document of `text:` ends by `data.document` (line, blank, file) and at the end of a file. Each example of `tfds:` and
each record of `jsonl:` is one document under every setting: its line breaks are white space. Each paragraph of `pydocs`
and each sentence of `synthetic` is one document.
"""

from __future__ import annotations

import codecs
import dataclasses
import glob
import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data import pydocs, records, synthetic, tfds_source
from w2v_jax.data.raw import MARK, WHITE, Hash, Met, RawText, matches, stamp_of
from w2v_jax.errors import UserError
from w2v_jax.files import HEAD, MAC_ADVICE, not_text
from w2v_jax.storage import in_bucket, open_read, real, stat, to_path
from w2v_jax.types import Say
from w2v_jax.unpack import READ, is_archive, place, unpacked

LONGEST_RUN = 1 << 24  # characters without white space, which are held in memory; no text has a longer run
CHUNK = 1 << 20  # bytes read at a time: larger chunks are slower, as their words leave the processor's cache


def raw_text(cfg: DataConfig, key: str = "source", say: Say = lambda line: None) -> RawText:
    """The text that one key of `cfg` names: source, heldout_source or test_source. `say` takes what is left out of
    local files, and warnings, at once or while they are read.

    UserError: nothing there, an empty file, a TFDS name that is not prepared, texts of tsv: or pairs:.
    """
    source: str = getattr(cfg, key)
    kind, _, rest = source.partition(":")
    if kind in ("text", "jsonl"):
        return _local(kind, rest, cfg, f"data.{key}", say)
    if kind == "tfds":
        name, at, split = rest.partition("@")
        return tfds_source.examples(name, dataclasses.replace(cfg, tfds_split=split) if at else cfg)
    if kind == "pydocs":
        return pydocs.paragraphs()
    if kind == "synthetic":
        return synthetic.text(cfg, rest or "train")
    user = "encoders of pairs" if kind == "pairs" else "classifiers"
    need = "pydocs, synthetic, text:GLOB, jsonl:GLOB or tfds:NAME"
    raise UserError(f"data.{key}={source!r}: {kind}: is for {user}; use {need}")


# ---- local files ----


class Found(NamedTuple):
    """Files, and what is left out of the folders that hold them."""

    files: list[Path]  # sorted by path
    hidden: int  # hidden files, and hidden folders
    links: list[str]  # to folders


def find_files(pattern: str, key: str = "data.source", kind: str = "text") -> Found:
    """Files of `pattern` (a file, a folder taken recursively, or a glob with **).

    Inside folders hidden files and folders (a leading dot) and links to folders are left out. UserError, which names
    `key`: nothing matches, or a folder holds no file.
    """
    if not pattern:
        raise UserError(f"{key}='{kind}:': name a file, a folder or a glob after '{kind}:'")
    root = os.path.expanduser(pattern)
    hits = [root] if not in_bucket(root) and os.path.exists(root) else matches(root)
    if not hits:
        what = "matches no file" if glob.has_magic(root) else "no such file or folder"
        raise UserError(f"{key}: {pattern}: {what}; check the path after '{kind}:'")
    files: set[str] = set()
    hidden: set[str] = set()
    links: set[str] = set()
    for hit in hits:
        if in_bucket(hit) or not os.path.isdir(hit):
            files.add(hit)
            continue
        for folder, below, names in os.walk(hit):
            hidden.update(os.path.join(folder, n) for n in (*below, *names) if n.startswith("."))
            below[:] = [d for d in below if not d.startswith(".")]
            links.update(d for d in (os.path.join(folder, n) for n in below) if os.path.islink(d))
            files.update(os.path.join(folder, n) for n in names if not n.startswith("."))
    if not files:
        raise UserError(f"{key}: {pattern}: the folder holds no file")
    return Found([to_path(f) for f in sorted(files)], len(hidden - files), sorted(links - set(hits)))


# Endings of files that hold more than text, and what reads the text in them.
_MARKED = {".jsonl": "jsonl: reads the texts of such lines", ".ndjson": "jsonl: reads the texts of such lines"}
_MARKED |= dict.fromkeys((".json", ".csv", ".tsv", ".html", ".htm", ".xml"), "take the text out first")


def _tell(found: Found, kind: str, key: str, say: Say) -> None:
    """Says how many files there are, and what is left out of their folders; warns of endings of other kinds."""
    hidden = f"; {found.hidden:,} hidden files or folders are left out" if found.hidden else ""
    if hidden or len(found.files) > 1:
        say(f"corpus: {key}: {len(found.files):,} files{hidden}")
    if found.links:
        others = f" and {len(found.links) - 1:,} more" if len(found.links) > 1 else ""
        say(f"warning: corpus: {key}: links to folders are not read: {found.links[0]}{others}; name them by a glob")
    packed = (*READ[1:], "")
    endings = [
        p.with_suffix("").suffix.lower() if p.suffix.lower() in packed else p.suffix.lower() for p in found.files
    ]
    for ending, advice in _MARKED.items() if kind == "text" else ():
        if number := endings.count(ending):
            what = f"{number:,} of {len(endings):,} files end in {ending}, and text: reads all that is in them"
            say(f"warning: corpus: {key}: {what}, names and marks too; {advice}")


def _local(kind: str, pattern: str, cfg: DataConfig, key: str, say: Say) -> RawText:
    found, met = find_files(pattern, key, kind), Met(say)
    paths = found.files
    read, about = (records.chunks, f"jsonl {cfg.field}\n") if kind == "jsonl" else (_chunks_of, "")
    stats = [(real(p), stat(p)) for p in paths]
    for path, (_, st) in zip(paths, stats, strict=True):
        if not in_bucket(path) and not os.path.isfile(path):
            raise UserError(f"{path}: not a regular file")
        # One empty file among many is no mistake: it is counted as an empty document.
        if st.st_size == 0 and len(paths) == 1:
            raise UserError(f"{path}: the file is empty")
    if not any(st.st_size for _, st in stats):
        raise UserError(f"{key}: {pattern}: all {len(paths)} files are empty")
    _tell(found, kind, key, say)
    stamp, settled = stamp_of(stats)
    sizes = [st.st_size for _, st in stats]

    def left_out(line: str) -> None:
        met.say(f"corpus: {line}")

    def chunks(content: Hash, begin: int = 0, end: int | None = None, head: bool = True) -> Iterator[tuple[str, int]]:
        content.update(about.encode() if head else b"")
        done = met.replaced = 0
        for path in paths[begin:end]:
            with _Hashed(path) as raw, unpacked(path, io.BufferedReader(raw, CHUNK), left_out) as file:
                for text in read(path, file, cfg, met):
                    yield text, done + raw.count
                raw.drain()  # here: a reader that is collected closes its file
            done += raw.count
            content.update(raw.entry())

    def rehash() -> str:
        content = hashlib.blake2b(about.encode(), digest_size=32)
        for path in paths:
            with _Hashed(path) as raw:
                raw.drain()
            content.update(raw.entry())
        return content.hexdigest()

    def cut(i: int, n: int) -> RawText:
        begin, end = (share(sizes, j, n) for j in (i, i + 1))
        own = partial(chunks, begin=begin, end=end, head=i == 0)
        return dataclasses.replace(whole, size=sum(sizes[begin:end]), chunks=own)

    name = os.fsencode("\n".join(f"{n} {st.st_size}" for n, st in stats)).decode("utf-8", "backslashreplace")
    whole = RawText(about + name, stamp, settled, sum(sizes), chunks, rehash, cut if len(paths) > 1 else None, met)
    return whole


def share(sizes: Sequence[int], i: int, n: int) -> int:
    """The first file of slice i of n, where slices of whole files have about equal sizes."""
    middles = np.cumsum(sizes) - np.asarray(sizes) / 2
    return int(np.searchsorted(middles, sum(sizes) * i / n)) if i < n else len(sizes)


class _Hashed(io.RawIOBase):
    """A file that counts and hashes the bytes read from it by `readinto`, so that text is read only once."""

    def __init__(self, path: Path) -> None:
        self._file, self.name = open_read(path), path
        self.hash, self.count = hashlib.blake2b(digest_size=32), 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        n: int = self._file.readinto(buffer) or 0  # type: ignore[attr-defined]
        self.hash.update(memoryview(buffer)[:n])
        self.count += n
        return n

    def drain(self) -> None:
        """Reads to the end, so that the hash covers the whole file."""
        buffer = bytearray(CHUNK)
        while self.readinto(buffer):
            pass

    def entry(self) -> bytes:
        """The file's name and digest, for the digest of the text."""
        return os.fsencode(f"{self.name.name}\0{self.hash.hexdigest()}\n")


_REPLACED = "\ufffd".encode()
_MAC = MAC_ADVICE.partition("; ")[2]
_BLANK = re.compile(f"\n[{WHITE}]*\n")


def _mark(text: str, document: str) -> str:
    if document == "line":
        return text.replace("\n", MARK)
    return _BLANK.sub(MARK, text) if document == "blank" else text


def _chunks_of(path: Path, file: IO[bytes], cfg: DataConfig, met: Met) -> Iterator[str]:
    """Marked text of one open file. White space at a cut goes to the next chunk: a blank line stays whole."""
    rest, document = "", cfg.document
    feeds = returns = 0  # line feeds, and carriage returns without one
    for i, text in enumerate(_decoded(path, file, cfg.encoding_errors, met)):
        if i == 0 and document != "file" and "\n" not in text and "\r" in text.rstrip():
            raise UserError(f"{path}: {MAC_ADVICE}")
        feeds += text.count("\n")
        returns += text.count("\r") - text.count("\r\n")
        text = rest + text
        cut = max(text.rfind(" "), text.rfind("\n"), text.rfind("\t"))
        head = text[: cut + 1].rstrip(WHITE)
        rest = text[len(head) :]
        if len(rest) > LONGEST_RUN:
            raise UserError(f"{path}: has more than {LONGEST_RUN:,} characters without white space: is it a text?")
        if head:
            yield _mark(head, document)
    tail = rest.removesuffix("\n") if document == "line" else rest.rstrip(WHITE)
    yield _mark(tail, document) + MARK
    if document != "file" and returns > max(1, 10 * feeds):
        met.say(f"warning: corpus: {path}: {returns:,} carriage returns end no line, {feeds:,} line feeds do; {_MAC}")


def _decoded(path: Path, file: IO[bytes], errors: str, met: Met) -> Iterator[str]:
    """UTF-8; a byte-order mark at the start is dropped. With errors='replace' U+FFFD stands for what is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    offset = 0
    while True:
        data = file.read(CHUNK)
        if offset == 0 and (what := not_text(data[:HEAD])):
            raise UserError(f"{place(path, file, 0)[0]}: {what}")
        nul = data.find(b"\0")
        if nul >= 0:
            raise _binary(path, file, data, offset, nul)
        before = decoder.getstate()[0]
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as e:
            name, where = place(path, file, offset - len(before) + e.start)
            raise UserError(
                f"{name}: not UTF-8 at byte {where} ({e.reason}); convert it to UTF-8 first, or set "
                "data.encoding_errors=replace"
            ) from None
        if errors == "replace":
            met.replaced += text.count("\ufffd") - (before + data).count(_REPLACED)
        yield text.removeprefix("\ufeff") if offset == 0 else text
        if not data:
            return
        offset += len(data)


def _binary(path: Path, file: IO[bytes], data: bytes, offset: int, nul: int) -> UserError:
    """The error on a NUL at byte `nul` of the `data` that stand at byte `offset` of a file."""
    name, where = place(path, file, offset + nul)
    what = not_text(data[nul - where :][:HEAD]) if is_archive(file) and where <= nul else ""
    return UserError(f"{name}: {what or f'binary file (NUL at byte {where}); give UTF-8 text: ' + ', '.join(READ)}")
