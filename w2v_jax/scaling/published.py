"""Scaling laws others found, with what differs between their settings and any other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2v_jax.scaling.fitted import Value

_TWO_SIDED = 1.959964  # standard errors each way for 95 %


class Published(NamedTuple):
    """A law as its source gives it. `errors` are standard errors, where the source has them."""

    name: str
    source: str
    formula: str
    values: dict[str, float]
    errors: dict[str, float]
    setting: str  # what a comparison must bear in mind

    def value(self, name: str) -> Value:
        """The number with 1.96 standard errors each way; nan bounds where the source gives no error."""
        reach = _TWO_SIDED * self.errors.get(name, np.nan)
        return Value(self.values[name], self.values[name] - reach, self.values[name] + reach)


_KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"
_KAPLAN_SETTING = (
    "transformers of 768 to 1.5e9 parameters on WebText2, byte pairs (50,257), nats a token; N leaves embeddings out; "
    "no floor"
)
PUBLISHED = (
    Published(
        "Kaplan L(N)",
        _KAPLAN,
        "L(N) = (N_c / N)^alpha",
        {"N_c": 8.8e13, "alpha": 0.076},
        {},
        _KAPLAN_SETTING + "; trained to convergence on enough data",
    ),
    Published(
        "Kaplan L(D)",
        _KAPLAN,
        "L(D) = (D_c / D)^beta",
        {"D_c": 5.4e13, "beta": 0.095},
        {},
        _KAPLAN_SETTING + "; large models, stopped early; D in tokens of the training set",
    ),
    Published(
        "Kaplan L(C)",
        _KAPLAN,
        "L(C) proportional to C^-gamma",
        {"gamma": 0.050},
        {},
        _KAPLAN_SETTING + "; C the least FLOPs for a loss, at batches far below the critical size",
    ),
    Published(
        "Hoffmann",
        "Hoffmann et al. 2022, arXiv 2203.15556, approach 3",
        "L(N, D) = E + A/N^alpha + B/D^beta",
        {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
        {},
        "transformers of 70e6 to 16e9 parameters on MassiveText, sentence pieces (32,000), nats a token; N counts all "
        "parameters; less than one pass over the text",
    ),
    Published(
        "Besiroglu",
        "Besiroglu et al. 2024, arXiv 2404.10102",
        "L(N, D) = E + A/N^alpha + B/D^beta",
        {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
        {"E": 0.03, "A": 124.58, "B": 1293.23, "alpha": 0.015, "beta": 0.021},
        "Hoffmann's runs read off a figure: 240 of 245, without the five of fewest tokens a parameter",
    ),
    Published(
        "Hestness L(D)",
        "Hestness et al. 2017, arXiv 1712.00409",
        "L(D) proportional to D^-beta",
        {"beta": 0.066},
        {},
        "word LSTMs, the best size at each share of the Billion Word text; D in words of the training set; no floor",
    ),
)


def published(name: str) -> Published:
    """By name. KeyError for one that is not in `PUBLISHED`."""
    return {law.name: law for law in PUBLISHED}[name]
