"""The project's figures, one file each: a new file is a new figure."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from experiments.figures.figure import Figure


@functools.cache
def figures() -> Mapping[str, Figure]:
    """Every figure by the name of its file."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").FIGURE for name in names}
