"""Tables of what each model says of each test item: predictions_NAME.tsv, beside the results of a command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from w2v_jax.files import write_text


def plain(name: str) -> str:
    """The name of a model as a part of the name of a file."""
    return re.sub(r"[^\w.-]+", "_", name)


def file_of(name: str) -> str:
    """The name of the file of one model."""
    return f"predictions_{plain(name)}.tsv"


def write(folder: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes the table of one model into the folder, which is made. The first cell of a row is where the item stands:
    names of files may have anything."""
    lines = ["\t".join(header)]
    for place, *cells in rows:
        lines.append("\t".join([re.sub(r"\s", " ", place.encode("utf-8", "replace").decode()), *cells]))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / file_of(name), "\n".join(lines) + "\n")
