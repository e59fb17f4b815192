"""Files of words in context: labelled with senses, or in pairs that have one meaning or two (WiC)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from w2v_jax.data.records import filled, header_advice, of_files
from w2v_jax.errors import UserError
from w2v_jax.storage import to_path
from w2v_jax.types import Say

# Tokens of the Penn Treebank as running text has them.
_PLAIN = {
    "``": '"',
    "''": '"',
    "n't": "not",
    "-lrb-": "(",
    "-rrb-": ")",
    "-lsb-": "[",
    "-rsb-": "]",
    "-lcb-": "{",
    "-rcb-": "}",
}


class Occurrence(NamedTuple):
    """A word in a text, with its sense."""

    word: str
    sense: str
    place: int  # index of the word among the tokens
    tokens: tuple[str, ...]
    where: str = ""  # file and line


class Pair(NamedTuple):
    """A word in two texts."""

    same: bool  # whether it has one meaning in both
    word: str  # its lemma
    kind: str  # N or V
    places: tuple[int, int]
    texts: tuple[tuple[str, ...], tuple[str, ...]]
    where: str = ""  # file and line


def plain(tokens: tuple[str, ...]) -> list[str]:
    """Tokens as a model of running text knows them: quotes and brackets of the Penn Treebank as signs, n't as not."""
    return [_PLAIN.get(token.lower(), token) for token in tokens]


def read_occurrences(source: str, any_form: bool = False, say: Say = lambda line: None) -> list[Occurrence]:
    """The lines WORD<TAB>SENSE<TAB>INDEX<TAB>TEXT of a file, plain or packed; tokens of the text are separated by
    blanks and counted from 0. Blank lines are skipped, and `say` gets their number.

    The token at INDEX must begin as WORD does, with at least half of its letters (*serve*, *serving*), whatever their
    case; `any_form` drops this, for words such as *go*, *went*.

    UserError: no file, not UTF-8, and with file and line: a line of another form, an index that is no number or out of
    range, another word at the index, a word in two forms (*Line* and *line*).
    """
    found: list[Occurrence] = []
    spelt: dict[str, tuple[str, str]] = {}
    for where, word, sense, index, text in _rows(source, 4, say):
        tokens = tuple(text.split(" "))
        place = _place(where, index, tokens)
        if not any_form and not _is_form(tokens[place], word):
            raise UserError(f"{where}: {_elsewhere(word, place, tokens)}; correct it, or give --any_form")
        first, form = spelt.setdefault(word.lower(), (where, word))
        if form != word:
            raise UserError(f"{where}: {word!r} is {form!r} in another form ({first}); write a word in one form")
        found.append(Occurrence(word, sense, place, tokens, where))
    return found


def read_pairs(source: str, say: Say = lambda line: None) -> list[Pair]:
    """The lines T or F<TAB>LEMMA<TAB>N or V<TAB>INDEX-INDEX<TAB>TEXT<TAB>TEXT of a file of Words in Context; blank
    lines as in `read_occurrences`.

    UserError: as `read_occurrences`, but that any token may stand at an index.
    """
    found = []
    for where, same, word, kind, index, *texts in _rows(source, 6, say):
        if same not in ("T", "F"):
            raise UserError(f"{where}: {same[:60]!r} must be T or F{header_advice(where)}")
        both = tuple(texts[0].split(" ")), tuple(texts[1].split(" "))
        first, dash, second = index.partition("-")
        if not dash:
            raise UserError(f"{where}: {index[:60]!r} must be two numbers with a hyphen between them")
        places = _place(where, first, both[0]), _place(where, second, both[1])
        found.append(Pair(same == "T", word, kind, places, both, where))
    return found


def _rows(source: str, count: int, say: Say) -> Iterator[tuple[Any, ...]]:
    if not to_path(source).is_file():
        raise UserError(f"{source}: no such file; check the name")
    yield from of_files("tsv", source, "tsv", partial(_fields, count=count, say=say), say)


def _fields(path: Path, file: IO[bytes], count: int, say: Say) -> Iterator[tuple[Any, ...]]:
    for where, line in filled(path, file, say):
        try:
            parts = line.decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError as e:  # no key or flag of these files lets such a line pass
            raise UserError(f"{where}: not UTF-8 ({e.reason}); convert the file to UTF-8") from None
        if len(parts) != count:
            raise UserError(f"{where}: {len(parts)} fields; a line must be {count} fields separated by tabs")
        if not all(part.strip() for part in parts):
            raise UserError(f"{where}: an empty field")
        yield where, *parts


def _place(where: str, index: str, tokens: tuple[str, ...]) -> int:
    if not (index.isascii() and index.isdecimal()):
        raise UserError(f"{where}: index {index[:60]!r} must be a whole number from 0{header_advice(where)}")
    if len(index) > 9 or int(index) >= len(tokens):
        raise UserError(f"{where}: index {index[:60]} is outside the text, which has {len(tokens)} tokens from 0")
    return int(index)


def _is_form(token: str, word: str) -> bool:
    half = -(-len(word) // 2)
    return token[:half].lower() == word[:half].lower()


def _elsewhere(word: str, place: int, tokens: tuple[str, ...]) -> str:
    right = [i for i, token in enumerate(tokens) if _is_form(token, word)]
    there = f"it is at {right[0]}" if right else "it is not in the text"
    return f"index {place} is {tokens[place]!r}, not the word {word!r}: {there}"
