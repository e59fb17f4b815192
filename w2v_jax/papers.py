"""What was published: the numbers that ours stand beside, in one table by paper, each marked with how it is known."""

from __future__ import annotations

import math
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
    """A source. `PAPERS` has them by a short name, `NUMBERS` their numbers."""

    name: str  # authors and year
    arxiv: str  # identifier; empty where there is none
    where: str  # the numbers stand, such as a table or the address of a file
    why: str  # the numbers have their marks

    @property
    def cited(self) -> str:
        """The paper with its identifier."""
        return f"{self.name}, arXiv {self.arxiv}" if self.arxiv else self.name

    @property
    def source(self) -> str:
        """The paper with its identifier, and where in it the numbers stand."""
        return f"{self.cited}, {self.where}" if self.where else self.cited


def cited(*papers: str) -> str:
    """The papers of these short names, each with its identifier."""
    return ", ".join(PAPERS[paper].cited for paper in papers)


def value(paper: str, number: str) -> float:
    """The value of one number. KeyError: the table has none of this name."""
    return NUMBERS[paper, number].value


_MEMORY = "quoted from memory: the paper was not at hand"
_AUTHORS = "read in the repository of its authors"
CLAIMED_ACCURACY = {1e6: 0.70, 1e8: 0.75, 1e9: 0.78, 1e10: 0.82, 1e11: 0.85}  # of the next word, by parameters

PAPERS = {
    "mikolov_a": Paper("Mikolov et al. 2013", "1301.3781", "table 2", _MEMORY),
    "mikolov_b": Paper("Mikolov et al. 2013", "1310.4546", "figure 2", _MEMORY),
    "gensim": Paper("gensim", "", "Word2Vec_FastText_Comparison.ipynb", "read in the notebook of its repository"),
    "zaremba": Paper("Zaremba, Sutskever & Vinyals 2014", "1409.2329", "table 1", _MEMORY),
    "dai": Paper("Dai & Le 2015", "1511.01432", "", _MEMORY),
    "wizwand": Paper("Dai & Le 2015", "1511.01432", "by wizwand.com", "read in that list of results"),
    "folklore": Paper("no one source, about", "", "", "a usual result, of no paper in particular"),
    "pascanu": Paper("Bengio et al. 1994; Pascanu, Mikolov & Bengio 2013", "1211.5063", "", _MEMORY),
    "kaplan": Paper("Kaplan et al. 2020", "2001.08361", "", _MEMORY),
    "hestness": Paper("Hestness et al. 2017", "1712.00409", "", _MEMORY),
    "hoffmann": Paper("Hoffmann et al. 2022", "2203.15556", "approach 3", _MEMORY),
    "besiroglu": Paper(
        "Besiroglu et al. 2024", "2404.10102", "github.com/epoch-research/analyzing-chinchilla", _AUTHORS
    ),
    "notes": Paper("the notes", "", "", "docs/notes.md has the claims and their arithmetic"),
    "optimum": Paper("forward algorithm", "", "", "w2v_jax/data/bayes.py computes it on the text"),
    "design": Paper("one key and value for 4 layers", "", "", "a count of what is cached"),
}
NUMBERS: dict[tuple[str, str], Number] = {
    ("mikolov_a", "analogies, 50 dimensions, 24 M words"): Number(13.4, "%", UNVERIFIED),
    ("mikolov_a", "analogies, 100 dimensions, 24 M words"): Number(19.4, "%", UNVERIFIED),
    ("mikolov_a", "analogies, 300 dimensions, 24 M words"): Number(23.2, "%", UNVERIFIED),
    ("gensim", "analogies, skip-gram"): Number(40.4, "%", VERIFIED),
    ("zaremba", "test, 2 x 200, no dropout"): Number(114.5, "perplexity", UNVERIFIED),
    ("zaremba", "validation, 2 x 200, last pass"): Number(120.7, "perplexity", UNVERIFIED),
    ("zaremba", "test, with dropout"): Number(82.7, "perplexity", UNVERIFIED),
    ("dai", "LSTM over word2vec"): Number(90.0, "%", UNVERIFIED),
    ("wizwand", "SA-LSTM"): Number(92.76, "%", VERIFIED),
    ("folklore", "averaged vectors, logistic regression"): Number(85.0, "%", UNVERIFIED),
    ("kaplan", "N alone"): Number(0.076, "(exponent)", UNVERIFIED),
    ("kaplan", "D alone"): Number(0.095, "(exponent)", UNVERIFIED),
    ("kaplan", "C alone"): Number(0.050, "(exponent)", UNVERIFIED),
    ("kaplan", "N_c"): Number(8.8e13, "parameters", UNVERIFIED),
    ("kaplan", "D_c"): Number(5.4e13, "tokens", UNVERIFIED),
    ("hestness", "D alone"): Number(0.066, "(exponent)", UNVERIFIED),
    ("hoffmann", "E"): Number(1.69, "nats a token", UNVERIFIED),
    ("hoffmann", "A"): Number(406.4, "nats", UNVERIFIED),
    ("hoffmann", "B"): Number(410.7, "nats", UNVERIFIED),
    ("hoffmann", "alpha"): Number(0.34, "(exponent)", UNVERIFIED),
    ("hoffmann", "beta"): Number(0.28, "(exponent)", UNVERIFIED),
    ("besiroglu", "E"): Number(1.8172, "nats a token", VERIFIED, 0.03),
    ("besiroglu", "A"): Number(482.01, "nats", VERIFIED, 124.58),
    ("besiroglu", "B"): Number(2085.43, "nats", VERIFIED, 1293.23),
    ("besiroglu", "alpha"): Number(0.3478, "(exponent)", VERIFIED, 0.015),
    ("besiroglu", "beta"): Number(0.3658, "(exponent)", VERIFIED, 0.021),
    ("notes", "all at once, beside one after another"): Number(100.0, "times", CLAIMED),
    ("notes", "next-word accuracy at 1M parameters"): Number(100 * CLAIMED_ACCURACY[1e6], "%", CLAIMED),
    ("notes", "forget gate, half left after 13 steps"): Number(0.5 ** (1 / 13), "(median)", COMPUTED),
    ("notes", "0.8^5"): Number(0.8**5, "of the gradient", COMPUTED),
    ("notes", "0.8^10"): Number(0.8**10, "of the gradient", COMPUTED),
    ("notes", "0.8^13"): Number(0.8**13, "of the gradient", COMPUTED),
    ("optimum", "best possible loss"): Number(3.9224, "nats a word", COMPUTED),
    ("optimum", "interval from the optimum"): Number(0.0, "nats", COMPUTED),
    ("design", "cache, all layers' over one shared"): Number(4.0, "times", COMPUTED),
}
