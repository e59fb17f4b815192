"""Which runs are of one size and one amount of text: those that differ by their seeds."""

from __future__ import annotations

import numpy as np

SAME = 1.02  # times the least tokens or FLOPs of one amount of text


def cells(sizes: np.ndarray) -> np.ndarray:
    """The number of each run's cell, int [n]: runs whose sizes are one but for whole steps and the words a seed draws.

    `sizes` is float [n, K]. In a cell all columns but the last are equal, and the last is at most `SAME` times the
    least in the cell: amounts of text, where K is 2.
    """
    found, first, number = np.empty(len(sizes), np.int64), None, -1
    whole = np.round(sizes[:, :-1])
    for i in np.lexsort([sizes[:, -1], *whole.T]):
        if first is None or (whole[i] != whole[first]).any() or sizes[i, -1] > SAME * sizes[first, -1]:
            first, number = i, number + 1
        found[i] = number
    return found
