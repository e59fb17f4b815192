"""The text both sides read: one paragraph a line, lower-case letters only.

    python -m benchmarks.text --out=FILE --shards='wiki_en.0[0-7].txt.xz'
    python -m benchmarks.text --out=FILE --labelled=imdb/train.tsv.xz

writes it, from shards or from the second column of labelled texts, where FILE is not there yet.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import lzma
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.files import atomic

_WORD = re.compile("[a-z]+")
_LETTERS = b"abcdefghijklmnopqrstuvwxyz \n"


def prepare(shards: str, path: str, column: int = 0) -> int:
    """Writes the `[a-z]+` words of the lower-cased paragraphs of text files to `path`; title lines are dropped.

    A title line begins with '= ' and ends with ' ='. Lines without any word are dropped too.

    Args:
      shards: glob of files, .xz or plain, read in the order of their names.
      path: written whole or not at all.
      column: of the fields between tabs, the one that is read; from 0.

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
                with (lzma.open if name.endswith(".xz") else open)(name, "rt", encoding="utf-8") as lines:
                    for line in lines:
                        if line.startswith("= ") and line.endswith(" =\n"):
                            continue
                        found = _WORD.findall(line.lower().split("\t")[column] if column else line.lower())
                        if found:
                            words += len(found)
                            out.write(" ".join(found).encode() + b"\n")
            except (lzma.LZMAError, EOFError, UnicodeDecodeError) as e:
                raise UserError(f"{name}: not a whole .xz file of UTF-8 text ({e})") from None
            except IndexError:
                raise UserError(f"{name}: a line has no column {column}, counted from 0") from None
    return words


def describe(path: str) -> dict[str, Any]:
    """{'words', 'lines', 'bytes', 'sha256'} of a text as `prepare` makes it.

    UserError: it is missing or has no word, or a character that is not in a-z: our side and its peer would cut such a
    text into different words.
    """
    if not os.path.isfile(path):
        raise UserError(f"--text={path}: no such file; --shards=GLOB of wiki_en.*.txt.xz makes it")
    digest, words, lines = hashlib.sha256(), 0, 0
    with open(path, "rb") as f:
        for line in f:
            if other := line.translate(None, _LETTERS).decode(errors="replace"):
                raise UserError(
                    f"--text={path}: line {lines + 1} has {other[0]!r}; both sides read the same words only where "
                    "there are a-z and spaces alone: make another text with --shards=GLOB"
                )
            digest.update(line)
            words += len(line.split())
            lines += 1
    if not words:
        raise UserError(f"--text={path}: no word in it")
    return {"words": words, "lines": lines, "bytes": os.path.getsize(path), "sha256": digest.hexdigest()}


def write_counts(path: str, out: Path) -> None:
    """Writes `word count` lines of a text file, by falling count."""
    found: Counter[str] = Counter()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            found.update(line.split())
    with atomic(out) as f:
        f.writelines(f"{word} {count}\n".encode() for word, count in found.most_common())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards")
    source.add_argument("--labelled")
    args = parser.parse_args()
    if os.path.exists(args.out):
        return 0
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
    try:
        words = prepare(args.shards or args.labelled, args.out, 1 if args.labelled else 0)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print(f"{args.out}: {words:,} words")
    return 0


if __name__ == "__main__":
    sys.exit(main())
