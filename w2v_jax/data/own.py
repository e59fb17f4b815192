"""Tokenisers from outside: a function of a Python module, or a file of Hugging Face tokenizers.

`data.tokens=python:MODULE:FUNCTION`: FUNCTION takes a text, a str, and returns its tokens, any iterable of str. The
module must be found by `import`, also later, when the model is applied. `data.tokens=json:FILE`: the tokens as FILE
writes them (such as `##ing`), without those that it adds around a text. The words are then counted and cut off by
`data.min_count` as those of any other rule. A document longer than a megabyte comes in parts, cut before white space.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.storage import in_bucket, open_read, stat, to_path

# Raise it when the same tokeniser gives a text other tokens: corpora of the versions before are then not used.
CUT = 2


def tokens_of(tokens: str, content: str = "") -> Callable[[str], list[str]]:
    """One text to its tokens. UserError: no such function or file; a token that is no string, or is empty or has white
    space, when the function returns it.

    `content` is that of the file of json: where it was kept. Without, what the module has now counts, also after
    `importlib.reload`, and what the file holds now. An object of a bucket is read once in a process: to ask for its
    state is a request each time."""
    kind, _, rest = tokens.partition(":")
    if content:
        return _checked(tokens, (), content)
    if kind == "python":
        return _checked(tokens, (id(_function(rest)),))
    if in_bucket(rest) or not to_path(rest).is_file():
        return _checked(tokens, ())
    state = stat(rest)
    return _checked(tokens, (state.st_size, state.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _checked(tokens: str, state: tuple[int, ...], content: str = "") -> Callable[[str], list[str]]:
    """The function of `tokens_of`. `state` is that of the file, or the id of the function. What is cached holds the
    function, so no other one has its id."""
    kind, _, rest = tokens.partition(":")
    cut = _from_file(rest, content) if kind == "json" else _from_module(rest)
    known: set[str] = set()  # checked tokens

    def all_tokens(text: str) -> list[str]:
        found = [] if not text or text.isspace() else cut(text)
        odd = next((token for token in found if not isinstance(token, str)), None)
        new = {odd} if odd is not None else set(found) - known
        for token in new:
            if why := _why_not(token, kind):
                raise UserError(f"data.tokens={tokens}: {why}")
        known.update(new)
        return found

    return all_tokens


def _why_not(token: Any, kind: str) -> str:
    """Why a token cannot be one; empty where it can."""
    if not isinstance(token, str):
        return f"returned the token {str(token)[:40]!r} of type {type(token).__name__}: tokens must be str"
    if not token:
        return "returned an empty token: leave it out"
    if any("\ud800" <= c <= "\udfff" for c in token):
        return f"returned the token {token[:40]!r}, which UTF-8 cannot hold (half a surrogate pair): leave it out"
    if token.split() == [token] and "\0" not in token:
        return ""
    if kind == "python":
        return f"returned the token {token[:40]!r}: must be a string without white space: join its parts by _"
    need = "byte-level or SentencePiece, which write a sign for a blank, or WordPiece"
    return f"its token {token[:40]!r} has white space: no such tokeniser is supported; take one of another kind: {need}"


def content_of(tokens: str) -> str:
    """What is kept of a tokeniser, for `tokens_of`: the content of a file, '' for a function. UserError: no such file,
    or not UTF-8."""
    kind, _, rest = tokens.partition(":")
    return _text(rest, _content(rest)) if kind == "json" else ""


def unknown_of(content: str) -> str:
    """The token by which the file of a tokeniser, of this content, stands for what it does not know; '' where it has
    none."""
    try:
        model = json.loads(content)["model"]
        number = model.get("unk_id")
        return str(model.get("unk_token") or (model["vocab"][number][0] if number is not None else ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def unseen(tokens: str) -> str:
    """What a reader of tokens that a cache holds may want to know, to be put after the name of its folder."""
    if not tokens.startswith("python:"):
        return ""
    return f" (of data.tokens={tokens} only the function's own file is compared, not what it imports)"


def place_of(tokens: str) -> str:
    """Where the file of json: is looked for."""
    path = tokens.partition(":")[2]
    return path if in_bucket(path) else str(to_path(path).absolute())


def digest_of(tokens: str, kept: str = "") -> str:
    """SHA-256 of what decides the tokens: the file of the tokeniser (with `kept`, of this content), or that of the
    function's module. Other modules that this one imports are not looked at."""
    kind, _, rest = tokens.partition(":")
    if kind == "json":
        content = kept.encode() or _content(rest)
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


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as e:
        raise _no_tokenizer(path, e) from None


def _no_tokenizer(path: str, error: Exception) -> UserError:
    return UserError(f"data.tokens=json:{path}: no tokenizer.json of Hugging Face tokenizers ({_short(error)})")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:100]


def _failed(tokens: str, text: str, error: BaseException) -> UserError:
    return UserError(f"data.tokens={tokens}: {type(error).__name__} for {text[:40]!r}: {_short(error)}")


def _function(rest: str) -> Callable[[str], Iterable[str]]:
    module, _, name = rest.rpartition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as e:
        raise UserError(f"data.tokens=python:{rest}: cannot import {module!r} ({e}); put it on PYTHONPATH") from None
    except (Exception, SystemExit) as e:
        said = f"{type(e).__name__}: {_short(e)}"
        raise UserError(f"data.tokens=python:{rest}: cannot import {module!r} ({said}); mend the module") from None
    if not callable(found):
        raise UserError(f"data.tokens=python:{rest}: {module} has no function {name!r}")
    return found  # type: ignore[no-any-return]


def _from_module(rest: str) -> Callable[[str], list[Any]]:
    function = _function(rest)

    def cut(text: str) -> list[Any]:
        try:
            found = function(text)
            tokens = [] if isinstance(found, (str, bytes)) else list(found)
        except (Exception, SystemExit) as e:
            raise _failed(f"python:{rest}", text, e) from e
        if isinstance(found, (str, bytes)):
            raise UserError(f"data.tokens=python:{rest}: returned {type(found).__name__}, not a list of str")
        return tokens

    return cut


def _from_file(path: str, content: str) -> Callable[[str], list[Any]]:
    from tokenizers import Tokenizer

    text = content or _text(path, _content(path))
    try:
        model = Tokenizer.from_str(text)
    except Exception as e:  # the library raises plain Exception
        raise _no_tokenizer(path, e) from None
    model.no_truncation()  # a file may state both, for models that read texts of one length
    model.no_padding()

    def cut(text: str) -> list[Any]:
        try:
            return list(model.encode(text, add_special_tokens=False).tokens)
        except Exception as e:  # such as of a model of whole words without an unknown token
            raise _failed(f"json:{path}", text, e) from None

    return cut
