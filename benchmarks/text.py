"""The text both sides read: one paragraph a line, lower-case letters only."""

from __future__ import annotations

import glob
import hashlib
import lzma
import os
import re
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.files import atomic

_WORD = re.compile("[a-z]+")


def prepare(shards: str, path: str) -> int:
    """Writes the `[a-z]+` words of the lower-cased paragraphs of .txt.xz shards to `path`; title lines are dropped.

    A title line begins with '= ' and ends with ' ='. Lines without any word are dropped too.

    Args:
      shards: glob of files, read in the order of their names.
      path: written whole or not at all.

    Returns:
      Number of words written.

    Raises:
      UserError: no file matches, or one is damaged or not UTF-8.
    """
    files = sorted(glob.glob(shards))
    if not files:
        raise UserError(f"--shards={shards}: no file matches")
    words = 0
    with atomic(path) as out:
        for name in files:
            try:
                with lzma.open(name, "rt", encoding="utf-8") as lines:
                    for line in lines:
                        if line.startswith("= ") and line.endswith(" =\n"):
                            continue
                        found = _WORD.findall(line.lower())
                        if found:
                            words += len(found)
                            out.write(" ".join(found).encode() + b"\n")
            except (lzma.LZMAError, EOFError, UnicodeDecodeError) as e:
                raise UserError(f"{name}: not a whole .xz file of UTF-8 text ({e})") from None
    return words


def describe(path: str) -> dict[str, Any]:
    """{'words', 'lines', 'bytes', 'sha256'} of a text file. Raises UserError when it is missing or has no word."""
    if not os.path.isfile(path):
        raise UserError(f"--text={path}: no such file; --shards=GLOB of wiki_en.*.txt.xz makes it")
    digest, words, lines = hashlib.sha256(), 0, 0
    with open(path, "rb") as f:
        for line in f:
            digest.update(line)
            words += len(line.split())
            lines += 1
    if not words:
        raise UserError(f"--text={path}: no word in it")
    return {"words": words, "lines": lines, "bytes": os.path.getsize(path), "sha256": digest.hexdigest()}
