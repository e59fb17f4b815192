"""What accelerators can do and what they cost, read from `chips.tsv`, which users may edit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from w2v_jax.errors import UserError, nearest
from w2v_jax.tables import read_tsv

TABLE = Path(__file__).with_name("chips.tsv")
GIB = 2**30


class Chip(NamedTuple):
    """One row of the table; rates are in bytes a second. A price that is not known is nan."""

    name: str
    kind: str  # as JAX names the device
    flops: float  # peak of dense bfloat16 products, FLOP/s
    hbm_gib: float  # memory that one program may use
    hbm_rate: float
    link_rate: float  # of one link, in one direction
    links: int  # axes of the torus; 0: a switch joins the chips of a machine
    ring_from: int  # length from which an axis of a slice is a ring
    dcn_rate: float  # of one chip to other slices or machines
    usd: float  # list price for an hour
    usd_spot: float
    region: str
    date: str  # of the price
    source: str

    @property
    def hbm(self) -> float:
        """Bytes of memory that one program may use."""
        return self.hbm_gib * GIB

    @property
    def tpu(self) -> bool:
        """Whether programs can be compiled for the chip by libtpu."""
        return self.links > 0

    def price(self, spot: bool = False) -> float:
        """US dollars for one chip for an hour; nan where the table has none."""
        return self.usd_spot if spot else self.usd


def chips(path: str | Path = TABLE) -> dict[str, Chip]:
    """The table, by name of the chip. UserError: names the file, the line and the column that cannot be read."""
    rows = list(read_tsv(path, len(Chip._fields)))
    header = rows[0][1]
    found: dict[str, Chip] = {}
    for line, fields in rows[1:]:
        values: list[Any] = []
        for i, (column, text) in enumerate(zip(header, fields, strict=True)):
            try:
                values.append(_READ.get(i, str)(text))
            except ValueError:
                raise UserError(f"{path}: line {line}: {column}={text!r}: {_WANTED[i]}") from None
        found[values[0]] = Chip(*values)
    return found


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < math.inf:
        raise ValueError
    return value


def _price(text: str) -> float:
    return math.nan if text == "-" else _positive(text)


def _count(text: str) -> int:
    if (value := int(text)) < 0:
        raise ValueError
    return value


_READ: dict[int, Callable[[str], Any]] = {i: _positive for i in (2, 3, 4, 5, 8)}
_READ |= {6: _count, 7: _count, 9: _price, 10: _price}
_WANTED = {i: "must be a number above 0" for i in (2, 3, 4, 5, 8)}
_WANTED |= {6: "must be a whole number", 7: "must be a whole number"}
_WANTED |= {i: "must be a price above 0, or - where it is not known" for i in (9, 10)}


def chip(name: str) -> Chip:
    """A chip by its name. UserError: the table does not have it."""
    table = chips()
    if name not in table:
        raise UserError(f"{name}: must be one of {', '.join(table)}{nearest(name, table)}; {TABLE.name} has the chips")
    return table[name]


def chip_of(kind: str) -> Chip | None:
    """The chip that JAX names `kind`, such as 'TPU v5 lite' or 'NVIDIA H100 80GB HBM3'; None: not in the table. Other
    boards of a GPU, such as 'NVIDIA H100 PCIe', have other figures: only the whole name counts."""
    return next((c for c in chips().values() if kind == c.kind), None)


# gcloud's names of accelerator types -> chips of a type of size n. v4 and v5p are counted in cores, of which a chip
# has two.
TYPES = {"v5litepod": ("v5e", 1), "v5e": ("v5e", 1), "v6e": ("v6e", 1), "v5p": ("v5p", 2), "v4": ("v4", 2)}


def accelerator(name: str) -> tuple[Chip, int]:
    """(chip, number of chips) of a Cloud TPU type such as v5litepod-16 or v5p-128. UserError: no such type."""
    match = re.fullmatch(r"(\w+)-([1-9]\d{0,5})", name)
    if match is None or match[1] not in TYPES or int(match[2]) % TYPES[match[1]][1]:
        raise UserError(f"{name}: must be a type of Cloud TPU such as v5litepod-16, v6e-8, v5p-128 or v4-32")
    known, cores = TYPES[match[1]]
    return chip(known), int(match[2]) // cores
