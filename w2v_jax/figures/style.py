"""How every picture of the project looks, and how it reaches the disk: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from w2v_jax.errors import UserError
from w2v_jax.files import PathLike, atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DPI = 150
# Okabe & Ito's palette, told apart by colour-blind readers too; without its yellow, which fades on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#8C510A")
# Shapes repeat what colours say, for print without colours.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#8A8A8A"
ENDINGS = (".png", ".pdf", ".svg")
FONT = "DejaVu Sans"
_STYLE = {
    "font.family": FONT,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "#DDDDDD",
    "lines.linewidth": 1.6,
    "svg.hashsalt": "w2v_jax",  # the same picture gives the same file
}


@contextlib.contextmanager
def drawing(out: PathLike, size: tuple[float, float] = (8.0, 6.0), source: str = "") -> Iterator[Figure]:
    """A figure to draw on; it is saved when the block ends, and nothing is written when the block raises.

    Args:
      out: .png, .pdf or .svg file; its folder is made if missing.
      size: width and height in inches, 150 dots each.
      source: small print below: data, seed, command.

    Raises:
      UserError: another ending.
      OSError: the file cannot be written; what was there before stays.
    """
    path = os.fspath(out)
    check_ending(path)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A Figure of its own, not pyplot's: no global list of figures, no choice of a backend that needs a screen.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
        canvas = FigureCanvasAgg(figure)
        if source:
            small = "\n".join(textwrap.wrap(source, width=int(size[0] * 18)))
            figure.supxlabel(plain(small), x=0.01, ha="left", fontsize=7, color="#666666")
        yield figure
        ending = os.path.splitext(path)[1].lower()
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        dated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        with atomic(path) as f:
            if ending == ".png":
                canvas.print_png(f)  # what savefig does after drawing everything once for the layout alone
            else:
                figure.savefig(f, format=ending[1:], metadata=dated.get(ending))


def check_ending(path: PathLike) -> None:
    """UserError unless the path ends like a picture that can be written; call it before long work."""
    if os.path.splitext(os.fspath(path))[1].lower() not in ENDINGS:
        raise UserError(f"{os.fspath(path)}: a picture's name must end in {', '.join(ENDINGS)}")


def plain(text: str) -> str:
    """Text that matplotlib shows as it stands: no formulas between dollars, no legend entry lost to a leading `_`, and
    `drawable`."""
    text = drawable(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def drawable(text: str) -> str:
    r"""Text with characters that the font lacks, which would be empty boxes, written as `\u65e5`."""
    return "".join(c if c.isascii() or ord(c) in _glyphs() else c.encode("unicode_escape").decode() for c in text)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Code points of the font."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont(FONT)).get_charmap())


def colour(index: int) -> str:
    """The index-th colour, from the start again after the last."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """The index-th marker; when colours repeat, shapes are shifted, so that the pair is another one."""
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def legend_beside(axes: Axes, title: str = "") -> None:
    """A legend to the right of the axes, where it covers nothing."""
    axes.legend(title=plain(title) or None, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
