"""Tokens per second against the length of the text, for training steps and for reading a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from w2v_jax.figures.style import Axes, drawing, look, plain
from w2v_jax.files import PathLike

ABOUT = (50.0, 200.0)  # what still counts as the notes' "about 100 times"
# Of each panel: rates [lengths] by the name of what was measured.
Rates = Mapping[str, Sequence[float]]


def panels(found: Mapping[str, Any], tokens: int, batch: int) -> dict[str, Rates]:
    """Rates by title and name from the results of `experiments.throughput`.

    `tokens` is the size of a training step, `batch` the number of prompts read together.
    """

    def rates(work: str) -> Rates:
        return {name: [float(cell["tokens_per_second"]) for cell in cells] for name, cells in found[work].items()}

    prompts = "a prompt" if batch == 1 else f"{batch} prompts"
    return {f"Training, {tokens:,} tokens a step": rates("training"), f"Reading {prompts}": rates("prompt")}


def draw(lengths: Sequence[int], panels: Mapping[str, Rates], out: PathLike, source: str = "") -> None:
    """One panel per kind of work on one logarithmic scale; `lengths` are tokens of a text, rising."""
    names = list(dict.fromkeys(name for rates in panels.values() for name in rates))
    with drawing(out, (5.6 * len(panels), 4.8), source) as fig:
        all_axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, rates) in zip(all_axes, panels.items(), strict=True):
            _panel(axes, lengths, rates, names)
            axes.set_title(plain(title))
        all_axes[0].set_ylabel("tokens/s")
        # One legend for all panels.
        handles = {label: h for axes in all_axes for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        fig.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))


def _panel(axes: Axes, lengths: Sequence[int], rates: Rates, names: Sequence[str]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for name, values in rates.items():
        axes.plot(lengths, values, **look(names.index(name), name))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    # Ticks at 1, 2 and 5 times a power of ten: a panel may span less than one power.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.set_xticks(list(lengths), [f"{n:,}" for n in lengths])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("tokens of a text")
