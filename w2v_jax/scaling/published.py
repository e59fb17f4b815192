"""Published scaling laws and their settings; the numbers are in `papers`."""

from __future__ import annotations

import math
from typing import NamedTuple

from w2v_jax.papers import NUMBERS, PAPERS
from w2v_jax.scaling.fitted import Value

_TWO_SIDED = 1.959964  # standard errors each way for 95 %


class Published(NamedTuple):
    """A law as its source gives it."""

    name: str
    source: str
    formula: str
    values: dict[str, float]
    errors: dict[str, float]  # standard errors, where the source has them
    setting: str

    def value(self, name: str) -> Value:
        """The number with 1.96 standard errors each way; nan bounds where the source gives no error."""
        reach = _TWO_SIDED * self.errors.get(name, math.nan)
        return Value(self.values[name], self.values[name] - reach, self.values[name] + reach)


def _law(name: str, paper: str, formula: str, setting: str, **symbols: str) -> Published:
    """`symbols`: the name in the paper's numbers for each letter of the formula."""
    found = {symbol: NUMBERS[paper, number] for symbol, number in symbols.items()}
    errors = {symbol: n.error for symbol, n in found.items() if math.isfinite(n.error)}
    values = {symbol: n.value for symbol, n in found.items()}
    return Published(name, PAPERS[paper].source, formula, values, errors, setting)


_KAPLAN = (
    "transformers of 768 to 1.5e9 parameters on WebText2, byte pairs (50,257), nats a token; N leaves embeddings out; "
    "no floor; "
)
_CONVERGED = _KAPLAN + "trained to convergence on enough data"
_STOPPED = _KAPLAN + "large models, stopped early; D in tokens of the training set"
_CHEAPEST = _KAPLAN + "C the least FLOPs for a loss, at batches far below the critical size"
_HOFFMANN = (
    "transformers of 70e6 to 16e9 parameters on MassiveText, sentence pieces (32,000), nats a token; N counts all "
    "parameters; less than one pass over the text"
)
_READ_OFF = "Hoffmann's runs read off a figure: 240 of 245, without the five of fewest tokens a parameter"
_HESTNESS = "word LSTMs, the best size at each share of the Billion Word text; D in words of the training set; no floor"
_BOTH = {name: name for name in ("E", "A", "B", "alpha", "beta")}
PUBLISHED = (
    _law("Kaplan L(N)", "kaplan", "L(N) = (N_c / N)^alpha", _CONVERGED, N_c="N_c", alpha="N alone"),
    _law("Kaplan L(D)", "kaplan", "L(D) = (D_c / D)^beta", _STOPPED, D_c="D_c", beta="D alone"),
    _law("Kaplan L(C)", "kaplan", "L(C) proportional to C^-gamma", _CHEAPEST, gamma="C alone"),
    _law("Hoffmann", "hoffmann", "L(N, D) = E + A/N^alpha + B/D^beta", _HOFFMANN, **_BOTH),
    _law("Besiroglu", "besiroglu", "L(N, D) = E + A/N^alpha + B/D^beta", _READ_OFF, **_BOTH),
    _law("Hestness L(D)", "hestness", "L(D) proportional to D^-beta", _HESTNESS, beta="D alone"),
)


def others(symbol: str) -> dict[str, Value]:
    """The value of one symbol by the name of each published law that has it."""
    return {law.name: law.value(symbol) for law in PUBLISHED if symbol in law.values}
