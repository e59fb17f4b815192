"""Reports: sections of text, tables and pictures, as plain text and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import html
import os
from collections.abc import Sequence
from pathlib import Path

from w2v_jax.files import write_text
from w2v_jax.tables import aligned

Rows = Sequence[Sequence[str]]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .6rem; border-bottom: 1px solid #eee; text-align: right; }
th { background: #f6f6f6; } td.left, th.left { text-align: left; }
div.wide { overflow-x: auto; } img { max-width: 100%; height: auto; margin: .6rem 0; }
pre { background: #f6f6f6; padding: .6rem .8rem; overflow-x: auto; font-size: .84rem; }
p.small { color: #666; font-size: .84rem; } ul { padding-left: 1.2rem; }
nav a { margin-right: 1rem; white-space: nowrap; } td:not(:last-child) { white-space: nowrap; }
summary { cursor: pointer; }
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of a report."""

    title: str
    text: tuple[str, ...] = ()  # paragraphs
    table: Rows = ()  # its first row names the columns
    facts: tuple[str, ...] = ()  # blocks of aligned lines; the page shows them when asked to
    pictures: tuple[Path, ...] = ()
    folded: bool = False  # so is the table then

    def plain(self) -> str:
        """For a terminal; pictures are left out."""
        parts = [self.title, "-" * len(self.title), *self.text]
        if self.table:
            parts.append(aligned(self.table, left=_of_words(self.table)))
        return "\n".join([*parts, *self.facts])


def write(path: Path, title: str, sections: Sequence[Section], small: str) -> None:
    """Writes the page, whole or not at all; pictures become part of it.

    Args:
      path: the .html file.
      title: of the page.
      sections: in order.
      small: what was run, on what; the last line.

    Raises:
      OSError: a picture cannot be read, or the page not written.
    """
    links = " ".join(f'<a href="#s{i}">{html.escape(s.title)}</a>' for i, s in enumerate(sections))
    body = "\n".join(_section(i, section) for i, section in enumerate(sections))
    text = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style></head>\n'
        f"<body>\n<h1>{html.escape(title)}</h1>\n<nav>{links}</nav>\n{body}\n"
        f'<p class="small">{html.escape(small)}</p>\n</body>\n</html>\n'
    )
    write_text(path, text)


def _section(number: int, section: Section) -> str:
    parts = [f'<h2 id="s{number}">{html.escape(section.title)}</h2>']
    parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in section.text]
    if section.table:
        table = f'<div class="wide">{_table(section.table)}</div>'
        parts.append(_folded("the table", table) if section.folded else table)
    parts += [_picture(path) for path in section.pictures]
    if section.facts:
        parts.append(_folded("all there is to know", "".join(f"<pre>{html.escape(x)}</pre>" for x in section.facts)))
    return "\n".join(parts)


def _folded(name: str, inner: str) -> str:
    return f"<details><summary>{name}</summary>{inner}</details>"


def _table(rows: Rows) -> str:
    left, lines = _of_words(rows), []
    for number, row in enumerate(rows):
        kind = "td" if number else "th"
        cells = (
            f"<{kind}{' class=left' if i in left else ''}>{html.escape(cell)}</{kind}>" for i, cell in enumerate(row)
        )
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _of_words(rows: Rows) -> list[int]:
    """Columns that stand to the left: the first, and those that hold more than numbers."""
    return sorted({0} | {i for row in rows[1:] for i, cell in enumerate(row) if not _is_number(cell)})


def _is_number(cell: str) -> bool:
    return cell[:1] in "0123456789+-" or not cell


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    name = html.escape(os.path.splitext(path.name)[0].replace("_", " "))
    return f'<img alt="{name}" src="data:image/png;base64,{data}">'
