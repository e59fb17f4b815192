"""The embedded corpus: English docstrings of the standard library and of installed packages that this project uses.

Files are parsed with `ast`, never imported. Code, tables and markup are dropped. The rest is running English, one
paragraph per document, each kept once.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from w2v_jax.data.raw import END, Hash, RawText, stamp_of
from w2v_jax.errors import UserError

PACKAGES = ("numpy", "scipy", "sklearn", "matplotlib", "jax", "flax", "optax", "chex", "orbax", "keras", "tensorflow")
RULES = 1  # raise it when the extraction below changes
_SKIPPED = {"test", "tests", "testing", "site-packages", "dist-packages", "__pycache__", "lib2to3", "idlelib"}
_FILES_A_JOB = 100
_MIN_WORDS = 5

_FENCE = re.compile(r"^\s*(?:```|~~~).*?(?:^\s*(?:```|~~~)\s*$|\Z)", re.M | re.S)
_ROLE = re.compile(r":[a-z:]+:`~?([^`<]*)(?:<[^`]*>)?`")
_LINK = re.compile(r"https?://\S+|\[([^\]]*)\]\([^)]*\)")
_FIELD = re.compile(r"^\s*(?::\w+[^:]*:|@\w+|\.\. [\w|-]+::|\*?\*?[\w.,* ]+ : .*$)", re.M)
_HEADING = re.compile(
    r"^\s*(?:Args|Arguments|Parameters|Returns|Raises|Yields|Notes?|Examples?|Attributes|References|See [Aa]lso):?\s*$",
    re.M,
)
_SENTENCE = re.compile(r"[A-Za-z][a-z]+(?:'[a-z]+)?")


def roots() -> list[Path]:
    """Folders of the standard library and of the installed `PACKAGES`, none of which is imported."""
    found = [Path(sysconfig.get_paths()["stdlib"])]
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found += [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    return found


def source_files() -> list[tuple[str, Path]]:
    """(package and relative path, file) of every Python file in `roots`, sorted, without tests."""
    files = []
    for root in roots():
        for folder, below, names in os.walk(root):
            below[:] = [d for d in below if d not in _SKIPPED and not d.startswith(("_api", "."))]
            for name in names:
                if name.endswith(".py") and not name.startswith("test_") and not name.endswith("_test.py"):
                    path = Path(folder, name)
                    files.append((f"{root.name}/{path.relative_to(root).as_posix()}", path))
    return sorted(files)


def paragraphs() -> RawText:
    """The corpus, one paragraph per document, in the order of package, file and line.

    UserError, when read: no docstring is found (an installation without sources).
    """
    files = source_files()
    stamp, settled = stamp_of([(name, path.stat()) for name, path in files])

    def chunks(content: Hash) -> Iterator[tuple[str, int]]:
        seen: set[bytes] = set()
        for found, done in _extracted([p for _, p in files]):
            fresh = []
            for text in found:
                key = hashlib.blake2b(text.encode(), digest_size=12).digest()
                if key not in seen:
                    seen.add(key)
                    fresh.append(text)
            joined = "".join(f"{text} {END} " for text in fresh)
            content.update(joined.encode())
            yield joined, done
        if not seen:
            raise UserError("data.source='pydocs': no docstring found; the Python sources are not installed")

    size = sum(path.stat().st_size for _, path in files)
    return RawText(f"pydocs {RULES}", f"{RULES} {stamp}", settled, size, chunks)


def _extracted(files: list[Path]) -> Iterator[tuple[list[str], int]]:
    """(paragraphs, bytes of source read so far) in file order, parsed by one process per core."""
    jobs = [files[i : i + _FILES_A_JOB] for i in range(0, len(files), _FILES_A_JOB)]
    at = done = 0
    try:
        with ProcessPoolExecutor(min(8, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
            for texts, size in pool.map(_extract_files, jobs):
                at, done = at + 1, done + size
                yield texts, done
    except BrokenProcessPool:  # a script without a main guard, or one from standard input, cannot be spawned
        for texts, size in map(_extract_files, jobs[at:]):
            done += size
            yield texts, done


def _extract_files(files: list[Path]) -> tuple[list[str], int]:
    out: list[str] = []
    size = 0
    for path in files:
        source = path.read_bytes()
        size += len(source)
        if b'"""' in source or b"'''" in source:
            for doc in docstrings(source):
                out += prose(doc)
    return out, size


def docstrings(source: bytes) -> Iterator[str]:
    """Docstrings of the module, classes and functions of one source file, by line; none when it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node)
            if doc:
                yield doc
        # Definitions occur in statement lists only: expressions need no visit.
        for field in ("finalbody", "orelse", "handlers", "body"):
            below = getattr(node, field, None)
            if isinstance(below, list):
                stack += reversed(below)


def prose(doc: str) -> list[str]:
    """Paragraphs of running English in a docstring, each joined to one line.

    Left out: fenced and doctest code with its output, tables and rules, lines with few letters, section and parameter
    headings (`Returns:`, `axis : int`), web addresses, and paragraphs of under five words.
    """
    text = _LINK.sub(r"\1", _ROLE.sub(r"\1", _FENCE.sub("\n", doc))).replace("`", "")
    out = []
    code_follows = False
    for block in re.split(r"\n\s*\n", text):
        indented = block.startswith("    ")
        if ">>>" in block or (code_follows and indented):
            continue
        code_follows = block.rstrip().endswith("::")
        lines = [line.strip() for line in _FIELD.sub("", _HEADING.sub("", block)).split("\n")]
        joined = " ".join(line for line in lines if _is_prose(line))
        if len(_SENTENCE.findall(joined)) >= _MIN_WORDS:
            out.append(" ".join(joined.split()).replace(END, ""))
    return out


def _is_prose(line: str) -> bool:
    """At least four fifths of the characters other than blanks are letters; no assignment, no columns."""
    dense = line.replace(" ", "")
    letters = sum(map(str.isalpha, dense))
    return letters >= 0.8 * len(dense) > 0 and " = " not in line and "   " not in line
