"""What was published: the numbers that ours stand beside, in one table by paper, each marked with how it is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

VERIFIED = "verified"  # read at the source that is named
UNVERIFIED = "unverified"  # quoted from memory: the paper was not at hand
COMPUTED = "computed"  # follows from arithmetic
CLAIMED = "claimed"  # said by the notes that this project tests, without a measurement
CHECKED = (VERIFIED, UNVERIFIED, COMPUTED, CLAIMED)


class Number(NamedTuple):
    """One number."""

    value: float
    unit: str
    checked: str  # one of CHECKED
    error: float = math.nan  # standard error, where the source has one


class Paper(NamedTuple):
    """A source and its numbers by name."""

    name: str  # authors and year
    arxiv: str  # identifier; empty where there is none
    where: str  # the numbers stand, such as a table or the address of a file
    why: str  # the numbers have their marks
    numbers: Mapping[str, Number]

    @property
    def cited(self) -> str:
        """The paper with its identifier."""
        return f"{self.name}, arXiv {self.arxiv}" if self.arxiv else self.name

    @property
    def source(self) -> str:
        """The paper with its identifier, and where in it the numbers stand."""
        return f"{self.cited}, {self.where}" if self.where else self.cited

    def value(self, name: str) -> float:
        """The value of a number. KeyError: the paper has none of this name."""
        return self.numbers[name].value


_MEMORY = "quoted from memory: the paper was not at hand"


def _all(unit: str, checked: str, values: Mapping[str, float]) -> dict[str, Number]:
    return {name: Number(value, unit, checked) for name, value in values.items()}


# ---- word vectors ----

MIKOLOV_A = Paper(
    "Mikolov et al. 2013",
    "1301.3781",
    "table 2",
    _MEMORY,
    {
        f"analogies, {dim} dimensions, 24 M words": Number(share, "%", UNVERIFIED)
        for dim, share in ((50, 13.4), (100, 19.4), (300, 23.2))
    },
)
MIKOLOV_B = Paper("Mikolov et al. 2013", "1310.4546", "figure 2", "no number is quoted", {})
GENSIM = Paper(
    "gensim",
    "",
    "Word2Vec_FastText_Comparison.ipynb",
    "read in the notebook of the gensim repository",
    {"analogies, skip-gram": Number(40.4, "%", VERIFIED)},
)

# ---- language models and classifiers ----

ZAREMBA = Paper(
    "Zaremba, Sutskever & Vinyals 2014",
    "1409.2329",
    "table 1",
    _MEMORY,
    _all(
        "perplexity",
        UNVERIFIED,
        {"test, 2 x 200, no dropout": 114.5, "validation, 2 x 200, last pass": 120.7, "test, with dropout": 82.7},
    ),
)
DAI = Paper("Dai & Le 2015", "1511.01432", "", _MEMORY, {"LSTM over word2vec": Number(90.0, "%", UNVERIFIED)})
DAI_LISTED = Paper(
    "Dai & Le 2015",
    "1511.01432",
    "by wizwand.com",
    "read in that list of results",
    {"SA-LSTM": Number(92.76, "%", VERIFIED)},
)
FOLKLORE = Paper(
    "no one source, about",
    "",
    "",
    "a usual result, of no paper in particular",
    {"averaged vectors, logistic regression": Number(85.0, "%", UNVERIFIED)},
)
PASCANU = Paper("Bengio et al. 1994; Pascanu, Mikolov & Bengio 2013", "1211.5063", "", "no number is quoted", {})

# ---- scaling laws ----

KAPLAN = Paper(
    "Kaplan et al. 2020",
    "2001.08361",
    "",
    _MEMORY,
    {
        **_all("(exponent)", UNVERIFIED, {"N alone": 0.076, "D alone": 0.095, "C alone": 0.050}),
        "N_c": Number(8.8e13, "parameters", UNVERIFIED),
        "D_c": Number(5.4e13, "tokens", UNVERIFIED),
    },
)
HESTNESS = Paper(
    "Hestness et al. 2017", "1712.00409", "", _MEMORY, {"D alone": Number(0.066, "(exponent)", UNVERIFIED)}
)
HOFFMANN = Paper(
    "Hoffmann et al. 2022",
    "2203.15556",
    "approach 3",
    _MEMORY,
    {
        "E": Number(1.69, "nats a token", UNVERIFIED),
        **_all("nats", UNVERIFIED, {"A": 406.4, "B": 410.7}),
        **_all("(exponent)", UNVERIFIED, {"alpha": 0.34, "beta": 0.28}),
    },
)
BESIROGLU = Paper(
    "Besiroglu et al. 2024",
    "2404.10102",
    "github.com/epoch-research/analyzing-chinchilla",
    "read in the repository of its authors",
    {
        "E": Number(1.8172, "nats a token", VERIFIED, 0.03),
        "A": Number(482.01, "nats", VERIFIED, 124.58),
        "B": Number(2085.43, "nats", VERIFIED, 1293.23),
        "alpha": Number(0.3478, "(exponent)", VERIFIED, 0.015),
        "beta": Number(0.3658, "(exponent)", VERIFIED, 0.021),
    },
)

# ---- the notes ----

CLAIMED_ACCURACY = {1e6: 0.70, 1e8: 0.75, 1e9: 0.78, 1e10: 0.82, 1e11: 0.85}  # of the next word, by parameters
NOTES = Paper(
    "the notes",
    "",
    "",
    "docs/notes.md has the claims, and what arithmetic they rest on",
    {
        "all at once, beside one after another": Number(100.0, "times", CLAIMED),
        "next-word accuracy at 1M parameters": Number(100 * CLAIMED_ACCURACY[1e6], "%", CLAIMED),
        "forget gate, half left after 13 steps": Number(0.5 ** (1 / 13), "(median)", COMPUTED),
        **_all("of the gradient", COMPUTED, {f"0.8^{k}": 0.8**k for k in (5, 10, 13)}),
    },
)
