"""Configs as trees of typed values: built from nested mappings, and overridden by key for flags and studies."""

from __future__ import annotations

import ast
import dataclasses
import math
import reprlib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from w2v_jax.errors import UserError, nearest

T = TypeVar("T")
_LARGEST = 2**63  # beyond, numpy and the files of a run cannot hold a number
_SHORT = reprlib.Repr()  # a value may be a whole file, or nested too deep to be written
_SHORT.maxstring = _SHORT.maxother = 100
_GIVE = {  # end of a key -> what to give, where a value of another type is a likely mistake
    "data.tokens": 'a rule such as words, or for an own tokeniser "python:MODULE:FUNCTION" or "json:FILE"',
    "data.stop_words": "the name of a file with one word a line",
}
BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class _Text(str):
    """A value as text, still to be read as the type of its key."""


def override(config: T, changes: Mapping[str, Any], models: Mapping[str, Any]) -> T:
    """A `Config` or `Study` with some values replaced, all at once: values that depend on one another are checked
    together. `changes` maps dotted keys to values; a string is read as the type of the key: "64", "1e-3", "False",
    "(0, 1)". `models` is the registry, `w2v_jax.models.MODELS`. UserError: see `build`."""
    tree: dict[str, Any] = dataclasses.asdict(config)  # type: ignore[call-overload]  # T is a dataclass
    # A study has its own text, which replaces the data of its arms.
    known = [key for key in _keys(tree) if ".run.data." not in key]
    for key, value in changes.items():
        if key not in known:
            raise UserError(f"config has no key {key!r}{_elsewhere(key, tree, models) or nearest(key, known)}")
        part, (*path, last) = tree, key.split(".")
        for name in path:
            part = part[name]
        part[last] = _Text(value) if isinstance(value, str) else value
    return build(type(config), tree, models)


def _elsewhere(key: str, tree: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """Which families have an option of a model that this one lacks, as the end of a message; else an empty string."""
    *path, group, last = ["", *key.split(".")]
    for name in path[1:]:
        tree = tree.get(name, {}) if isinstance(tree, Mapping) else {}
    if group != "model" or not isinstance(tree, Mapping) or "family" not in tree:
        return ""
    having = [
        name for name, spec in models.items() if last in {field.name for field in dataclasses.fields(spec.config)}
    ]
    return f": it is one of family {', '.join(having)}, not of {tree['family']}" if having else ""


def _keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of the values."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def build(cls: type[T], tree: Mapping[str, Any], models: Mapping[str, Any], prefix: str = "") -> T:
    """The dataclass `cls` from nested mappings, by the annotations of its fields; missing keys take their defaults. In
    a class with `family` and `model`, the class of the model is that of the family in `models`.

    Raises:
      UserError: an unknown or missing key, a wrong type, an impossible value; the message has `prefix` before the key.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in tree:
        if key not in fields:
            raise UserError(f"config has no key {prefix + key!r}{nearest(key, fields)}")
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in tree:
            raise UserError(f"config has no {prefix}{key}: it must be given")
    kinds = typing.get_type_hints(cls)
    if "model" in kinds and "family" in kinds:
        family = str(tree["family"])
        if family not in models:
            raise UserError(
                f"{prefix}family={_SHORT.repr(family)}: must be one of {', '.join(models)}{nearest(family, models)}"
            )
        kinds["model"] = models[family].config
    return cls(**{key: _typed(kinds[key], value, models, prefix + key) for key, value in tree.items()})


def _typed(kind: Any, value: Any, models: Mapping[str, Any], key: str) -> Any:
    """`value` as the type `kind` of a field. UserError: it is of another type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(value, _Text):
        value = _read(origin or kind, str(value))
    if isinstance(value, Mapping):
        if dataclasses.is_dataclass(kind):
            return build(kind, value, models, f"{key}.")  # type: ignore[arg-type]  # is_dataclass narrows too far
        if origin is Mapping:
            return {name: _typed(inner[1], each, models, f"{key}.{name}") for name, each in value.items()}
    elif origin is tuple and isinstance(value, tuple | list):
        return tuple(_typed(inner[0], each, models, key) for each in value)
    elif kind is float and type(value) is int:
        return float(_plain(key, value))
    elif not origin and isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return _plain(key, value)
    group = dataclasses.is_dataclass(kind) or origin is Mapping
    need = "a group of keys" if group else f"of type {(origin or kind).__name__}"
    need += next((f": {what}" for name, what in _GIVE.items() if key.endswith(name)), "")
    raise UserError(f"{key}={_SHORT.repr(value)}: must be {need}")


def _plain(key: str, value: Any) -> Any:
    """`value`, of a plain type. UserError: a number without an end or beyond 64 bits, or text that no file can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value}: must be a finite number")
    if isinstance(value, int) and abs(value) >= _LARGEST:
        raise UserError(f"{key}: must be a number between -2**63 and 2**63")
    if isinstance(value, str) and not encodes(value) and not key.endswith("source"):  # files have any name
        raise UserError(f"{key}={value!r}: must be text in UTF-8")
    return value


def encodes(text: str) -> bool:
    """Whether text can be written as UTF-8: bytes of names and arguments that are not become lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(kind: type, text: str) -> Any:
    """A value of type `kind`; the text itself where it is no such value."""
    try:
        if kind is bool:
            return BOOLS[text.lower()]
        value = ast.literal_eval(text) if kind is tuple else kind(text)
    except (KeyError, TypeError, ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    return (value,) if kind is tuple and not isinstance(value, tuple | list) else value
