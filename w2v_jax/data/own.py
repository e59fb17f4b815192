"""Tokenisers from outside: a function of a Python module, or a file of Hugging Face tokenizers.

`data.tokens=python:MODULE:FUNCTION`: FUNCTION takes a text, a str, and returns its tokens, any iterable of str. The
module must be found by `import`, also later, when the model is applied. `data.tokens=json:FILE`: the tokens as FILE
writes them (such as `##ing`), without those that it adds around a text. The words are then counted and cut off by
`data.min_count` as those of any other rule. A text longer than a megabyte comes in parts, cut at white space.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any

from w2v_jax.data.raw import END
from w2v_jax.errors import UserError
from w2v_jax.storage import in_bucket, open_read, stat, to_path


def tokens_of(tokens: str) -> Callable[[Any], list[str]]:
    """Text in which NULs end documents to tokens; each NUL stays one. UserError: no such function or file; a token
    that is no string, or is empty or has white space, when the function returns it.

    What the module has now counts, also after `importlib.reload`, and what the file holds now. An object of a bucket
    is read once in a process: to ask for its state is a request each time."""
    kind, _, rest = tokens.partition(":")
    if kind == "python":
        return _checked(tokens, (id(_function(rest)),))
    if in_bucket(rest) or not to_path(rest).is_file():
        return _checked(tokens, ())
    state = stat(rest)
    return _checked(tokens, (state.st_size, state.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _checked(tokens: str, state: tuple[int, ...]) -> Callable[[Any], list[str]]:
    """The function of `tokens_of`. `state` is that of the file, or the id of the function. What is cached holds the
    function, so no other one has its id."""
    kind, _, rest = tokens.partition(":")
    cut = _from_file(rest) if kind == "json" else _from_module(rest)
    known = {END}  # checked tokens

    def all_tokens(text: str) -> list[str]:
        found: list[str] = []
        for number, document in enumerate(text.split(END)):
            found += [END] * bool(number)
            if document and not document.isspace():
                found += cut(document)
        try:
            new = set(found) - known
        except TypeError:
            new = {next(t for t in found if not isinstance(t, str))}
        for token in new:
            if not isinstance(token, str) or len(token.split()) != 1 or token.split()[0] != token or END in token:
                need = "must be a string without white space: join its parts by _"
                raise UserError(f"data.tokens={tokens}: returned the token {str(token)[:40]!r}: {need}")
        known.update(new)
        return found

    return all_tokens


def digest_of(tokens: str) -> str:
    """SHA-256 of what decides the tokens: the file of the tokeniser, or that of the function's module."""
    kind, _, rest = tokens.partition(":")
    if kind == "json":
        content = _content(rest)
        # Until 2026-11-29 truncation and padding were followed: tokens of such a file are others now.
        return hashlib.sha256(content + (b"whole" if _cuts(content) else b"")).hexdigest()
    try:
        name = inspect.getsourcefile(inspect.unwrap(_function(rest)))
    except TypeError:  # of a builtin
        name = None
    if name is None:
        raise UserError(f"data.tokens={tokens}: the function is in no file; put it into a module of its own")
    with open_read(name) as f:
        return hashlib.sha256(f.read()).hexdigest()


def _cuts(content: bytes) -> bool:
    """Whether the file of a tokeniser states truncation or padding."""
    try:
        entry = json.loads(content)
        return bool(entry.get("truncation") or entry.get("padding"))
    except (ValueError, AttributeError):
        return False


def _content(path: str) -> bytes:
    if not to_path(path).is_file():
        raise UserError(f"data.tokens=json:{path}: no such file; give a tokenizer.json of Hugging Face tokenizers")
    with open_read(path) as f:
        return f.read()


def _function(rest: str) -> Callable[[str], Iterable[str]]:
    module, _, name = rest.rpartition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as e:
        raise UserError(f"data.tokens=python:{rest}: cannot import {module!r} ({e}); put it on PYTHONPATH") from None
    if not callable(found):
        raise UserError(f"data.tokens=python:{rest}: {module} has no function {name!r}")
    return found  # type: ignore[no-any-return]


def _from_module(rest: str) -> Callable[[str], Iterable[str]]:
    function = _function(rest)

    def cut(text: str) -> Iterable[str]:
        try:
            return list(function(text))
        except Exception as e:
            said = " ".join(str(e).split())[:100]
            raise UserError(f"data.tokens=python:{rest}: {type(e).__name__} for {text[:40]!r}: {said}") from e

    return cut


def _from_file(path: str) -> Callable[[str], Iterable[str]]:
    from tokenizers import Tokenizer

    data = _content(path)
    try:
        model = Tokenizer.from_str(data.decode("utf-8"))
    except Exception as e:  # the library raises plain Exception
        said = " ".join(str(e).split())[:100]
        raise UserError(f"data.tokens=json:{path}: no tokenizer.json of Hugging Face tokenizers ({said})") from None
    model.no_truncation()  # a file may state both, for models that read texts of one length
    model.no_padding()
    return lambda text: list(model.encode(text, add_special_tokens=False).tokens)
