"""Reports: sections of text, tables and pictures as Markdown, and as one self-contained HTML page."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml

from w2v_jax.files import write_text
from w2v_jax.tables import Rows, markdown

MARKDOWN, PAGE = "report.md", "report.html"
# The Markdown that a report uses. All else is text: a name such as *_s0 stays as is, and HTML is escaped.
SYNTAX = ("heading", "table", "fence", "image")
# Control characters, which HTML forbids, and those that turn the order of the text behind them.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
STYLE = """
:root { color-scheme: light dark; --ink: #222; --faint: #666; --line: #ddd; --shade: #f6f6f6; --link: #0645ad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --faint: #999; --line: #444; --shade: #262626; --link: #8ab4f8; --page: #181818; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page, #fff); max-width: 62rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
a { color: var(--link); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
nav a { display: inline-block; margin-right: 1rem; }
div.table, pre { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .15rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { background: var(--shade); }
td[style="text-align:left"]:not(:first-child) { white-space: normal; min-width: 10rem; }
img { max-width: 100%; height: auto; background: #fff; }
pre { background: var(--shade); padding: .6rem .8rem; font-size: .84rem; } summary { cursor: pointer; }
body > p:last-child { color: var(--faint); font-size: .84rem; }
"""


class Section(NamedTuple):
    """One part of a report."""

    title: str
    text: tuple[str, ...] = ()  # paragraphs
    table: Rows = ()  # its first row names the columns
    facts: tuple[str, ...] = ()  # blocks of aligned lines; the page folds all but the first line
    pictures: tuple[Path, ...] = ()

    def markdown(self) -> str:
        """The section under a heading of the second level."""
        parts = [f"## {self.title}", *self.text, *([markdown(self.table)] if self.table else [])]
        parts += [f"![{path.stem.replace('_', ' ')}]({_link(path)})" for path in self.pictures]
        return "\n\n".join([*parts, *(f"```\n{block}\n```" for block in self.facts)])


def write(folder: Path, title: str, sections: Sequence[Section], small: str) -> str:
    r"""Writes report.md and report.html into the folder, each whole or not at all, and returns the Markdown.

    Characters that cannot be seen are written as \u0000. Pictures lie in a folder inside it; the page holds copies.
    `small` is the last line.
    """
    text = "\n\n".join([f"# {title}", *(section.markdown() for section in sections), small]) + "\n"
    text = _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    pictures = {_link(path): path.read_bytes() for section in sections for path in section.pictures}
    write_text(folder / MARKDOWN, text)
    write_text(folder / PAGE, html(text, title, pictures))
    return text


def html(text: str, title: str, pictures: Mapping[str, bytes]) -> str:
    """A page of Markdown with links to its sections, tables that scroll, and embedded pictures (PNG by link)."""
    parser = MarkdownIt("zero").enable(SYNTAX)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("table_open", lambda *_: '<div class="table"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens, links = parser.parse(text), list[str]()
    for token, inner in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.tag == "h2":
            token.attrSet("id", f"s{len(links)}")
            links.append(f'<a href="#s{len(links)}">{escapeHtml(inner.content)}</a>')
    body = parser.renderer.render(tokens, parser.options, {"pictures": pictures})
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escapeHtml(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style></head>\n'
        f"<body>\n<nav>{' '.join(links)}</nav>\n{body}</body>\n</html>\n"
    )


def _link(path: Path) -> str:
    return quote(f"{path.parent.name}/{path.name}")


# ---- renderers of elements: (renderer, tokens, place, options, environment of `html`) -> HTML ----


def _image(_: Any, tokens: Sequence[Any], at: int, options: Any, env: Mapping[str, Any]) -> str:
    name, link = tokens[at].content, str(tokens[at].attrs["src"])
    if link not in env["pictures"]:  # text that looks like a picture
        return escapeHtml(f"![{name}]({link})")
    data = base64.b64encode(env["pictures"][link]).decode()
    return f'<img alt="{escapeHtml(name)}" src="data:image/png;base64,{data}">'


def _fence(_: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    first, _, rest = tokens[at].content.partition("\n")
    return f"<details><summary>{escapeHtml(first)}</summary><pre>{escapeHtml(rest)}</pre></details>\n"
