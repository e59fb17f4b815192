"""Every key of a config, its default and its meaning.

    python -m experiments.keys [data|train|optimizer|checkpoint|log|mesh|FAMILY|KEY ...] [--markdown]

Prints the keys of these parts, of these model families, or single keys such as data.tokens or lsa.dim; without any,
all. A key of a family is set as --config.model.KEY. With --markdown it prints docs/keys.md. Nothing is read but the
code: the meanings are the comments of the config classes.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags

from experiments.common import cli
from w2v_jax.config import Config
from w2v_jax.errors import UserError, nearest
from w2v_jax.models import MODELS

PARTS = tuple(f.name for f in dataclasses.fields(Config) if f.name not in ("family", "model"))
HEAD = """# Keys

Every key of a run, with its default and its meaning. `python -m experiments.keys --markdown` writes this page from the
config classes; `python -m experiments.keys data.tokens lsa` prints a part of it. `--config.KEY=VALUE` changes a key. A
file in `configs/` holds what differs from these defaults. A wrong key, type or value is refused in one line.
"""


class Key(NamedTuple):
    """One option: `name` as --config takes it, `default` as it is typed."""

    name: str
    default: str
    meaning: str


def _comments(cls: type) -> dict[str, str]:
    """{field: the comment at the end of its line, after those on lines of their own above it}."""
    source = textwrap.dedent(inspect.getsource(cls))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    notes = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    alone = {line for line in notes if source.splitlines()[line - 1].lstrip().startswith("#")}
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    out = {}
    for field in body.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            above: list[str] = []
            line = field.lineno - 1
            while line in alone:
                above.insert(0, notes[line])
                line -= 1
            last = field.end_lineno or field.lineno
            out[field.target.id] = " ".join([*above, notes.get(last, "")]).strip()
    return out


def _default(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else f"{value}"


def keys_of(cls: Any, prefix: str) -> Iterator[Key]:
    """The keys of a config class; those of a class within it follow its own name and a dot."""
    notes = {name: note for base in reversed(cls.__mro__[:-1]) for name, note in _comments(base).items()}
    for field in dataclasses.fields(cls):
        default = field.default if field.default is not dataclasses.MISSING else None
        if dataclasses.is_dataclass(default):
            yield from keys_of(type(default), f"{prefix}{field.name}.")
        else:
            yield Key(prefix + field.name, _default(default), notes.get(field.name, ""))


def parts() -> dict[str, list[Key]]:
    """{part or family: its keys}."""
    shared = {f.name: type(f.default) for f in dataclasses.fields(Config) if f.name in PARTS}
    found = {name: list(keys_of(cls, f"{name}.")) for name, cls in shared.items()}
    return found | {name: list(keys_of(family.config, "model.")) for name, family in MODELS.items()}


def chosen(names: Sequence[str]) -> dict[str, list[Key]]:
    """The parts, families, single keys and groups of keys, such as data.synthetic, of these names. UserError: there is
    no such one."""
    known = parts()
    if not names:
        return known
    single = {key.name: (part, key) for part in PARTS for key in known[part]}
    single |= {f"{family}.{key.name.partition('.')[2]}": (family, key) for family in MODELS for key in known[family]}
    out: dict[str, list[Key]] = {}
    for name in names:
        if name in known:
            out[name] = known[name]
        elif found := [at for key, at in single.items() if key == name or key.startswith(f"{name}.")]:
            for part, key in found:
                out.setdefault(part, []).append(key)
        else:
            raise UserError(f"{name}: no part, family or key of a config{nearest(name, [*known, *single])}")
    return out


def title(part: str) -> str:
    """The name of a part, or of a family and how to choose it."""
    return part if part in PARTS else f"{part} (a family: its keys are those of model)"


def text(found: dict[str, list[Key]]) -> str:
    """A paragraph a key."""
    lines = []
    for part, keys in found.items():
        lines.append(title(part))
        for name, default, meaning in keys:
            lines.append(f"  --config.{name}={default}")
            lines += textwrap.wrap(meaning, 112, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines.append("")
    return "\n".join(lines)


def page(found: dict[str, list[Key]]) -> str:
    """docs/keys.md."""
    lines = [HEAD]
    for part, keys in found.items():
        lines += [f"## {title(part)}", "", "| key | default | meaning |", "|:--|:--|:--|"]
        for name, default, meaning in keys:
            cell = " / ".join(part.strip() for part in meaning.split("|"))
            lines.append(f"| `{name}` | `{default}` | {cell} |")
        lines.append("")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Prints the keys."""
    print((page if flags.FLAGS.markdown else text)(chosen(argv[1:])).rstrip("\n"))


if __name__ == "__main__":
    flags.DEFINE_bool("markdown", False, "Prints the page docs/keys.md.")
    cli.run(main, arguments=None)
