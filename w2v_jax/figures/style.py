"""How every picture of the project looks, and how it reaches the disk: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from w2v_jax.errors import UserError
from w2v_jax.files import PathLike, atomic
from w2v_jax.storage import expanded, in_bucket

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
else:  # for annotations alone: matplotlib is loaded only to draw
    Axes = Figure = Any

DPI = 150
# Okabe & Ito's palette, told apart by colour-blind readers too; without its yellow, which fades on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#8C510A")
# Shapes repeat what colours say, for print without colours.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#8A8A8A"
DASHED: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}  # a line to compare with
MAJORITY = "always the most frequent label of training"  # what classifiers are compared with
BARS: dict[str, Any] = {"markeredgecolor": "white", "capsize": 2}  # of points with error bars
ENDINGS = (".png", ".pdf", ".svg")
FONT = "DejaVu Sans"
# Has what FONT lacks, if one is there. Other scripts have none: matplotlib would draw their letters one by one.
_FALLBACKS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Source Han Sans"),
    *("Noto Sans JP", "Noto Sans SC", "Noto Sans TC", "Noto Sans KR", "IPAexGothic", "WenQuanYi Zen Hei"),
    *("WenQuanYi Micro Hei", "Droid Sans Fallback", "NanumGothic", "Hiragino Sans", "PingFang SC"),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "SimHei", "Arial Unicode MS"),
)
_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH")  # Unicode names
_STYLE = {
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
    """A figure to draw on, `size` inches wide and high; saved when the block ends, nothing is written when it raises.

    The file `out` ends in .png, .pdf or .svg; its folder is made if missing. `source` is small print below the figure.

    Raises:
      UserError: another ending.
      OSError: the file cannot be written; what was there before stays.
    """
    path = expanded(out)
    check_ending(path)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A Figure of its own, not pyplot's: no global list of figures, no choice of a backend that needs a screen.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | {"font.family": list(_fonts())})
        figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
        canvas = FigureCanvasAgg(figure)
        if source:
            small = "\n".join(textwrap.wrap(source, width=int(size[0] * 18)))
            figure.supxlabel(plain(small), x=0.01, ha="left", fontsize=7, color="#666666")
        yield figure
        ending = os.path.splitext(path)[1].lower()
        if not in_bucket(path):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        dated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        with atomic(path) as f:
            if ending == ".png":
                canvas.print_png(f)  # what savefig does after drawing everything once for the layout alone
            else:
                figure.savefig(f, format=ending[1:], metadata=dated.get(ending))


def check_ending(path: PathLike) -> None:
    """UserError for a path without the ending of a picture; call it before long work."""
    if os.path.splitext(os.fspath(path))[1].lower() not in ENDINGS:
        raise UserError(f"{os.fspath(path)}: a picture's name must end in {', '.join(ENDINGS)}")


def plain(text: str) -> str:
    """`drawable` text that matplotlib shows as is: no formula between dollars, no legend entry lost to a first `_`."""
    text = drawable(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def drawable(text: str) -> str:
    r"""Text with characters that no font here has, which would be empty boxes, written as `\u65e5`."""
    return "".join(c if c.isascii() or ord(c) in _glyphs() else c.encode("unicode_escape").decode() for c in text)


def escapes_note(words: Sequence[str]) -> str:
    r"""How many of the words are drawn with escapes such as `\u65e5`, and what helps; empty where none is."""
    lacking = [[c for c in word if drawable(c) != c] for word in words]
    count = sum(map(bool, lacking))
    if not count:
        return ""
    note = f"{count:,} of {len(words):,} words have letters that no font here has, and are drawn with escapes"
    if not any(unicodedata.name(c, "").startswith(_CJK) for letters in lacking for c in letters):
        return f"{note}: only {FONT} and fonts of Chinese, Japanese and Korean are used"
    from matplotlib import get_cachedir

    forget = f"remove {get_cachedir()}/fontlist-*.json, where matplotlib keeps the fonts that it knows"
    return f"{note}: install {_FALLBACKS[0]} (package fonts-noto-cjk), {forget}, and draw again"


def _fonts() -> dict[str, str]:
    """File of the font of all pictures, and of those with Chinese, Japanese and Korean letters that the system has."""
    from matplotlib import font_manager

    there = {font.name for font in font_manager.fontManager.ttflist}
    # The upright one of normal weight, which draws the text: an oblique or bold one may lack letters that it has.
    return {name: font_manager.findfont(name) for name in (FONT, *_FALLBACKS) if name in there}


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    from matplotlib import font_manager

    return frozenset().union(*(font_manager.get_font(file).get_charmap() for file in _fonts().values()))


def colour(index: int) -> str:
    """The index-th colour, from the start again after the last."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """The index-th marker; shapes shift when colours repeat, so that pairs of colour and shape differ."""
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def look(index: int, label: str = "") -> dict[str, Any]:
    """Colour, marker and, where given, the legend entry of the index-th line."""
    shape = {"color": colour(index), "marker": marker(index)}
    return shape | {"label": plain(label)} if label else shape


def legend_beside(axes: Axes, title: str = "") -> None:
    """A legend to the right of the axes, where it covers nothing."""
    axes.legend(title=plain(title) or None, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
