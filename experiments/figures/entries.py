"""The project's figures: what each shows, the paper that it stands beside, and that paper's numbers.

A figure is one entry of `ENTRIES`, its results in results/figures/NAME.json, its picture docs/figures/NAME.png.
Numbers are marked `verified` only where their source was read; the others are quoted from memory, and their papers are
still to be looked up. Tolerances were written down after the results were known: they tell when a later result no
longer holds, not that one was foreseen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from experiments.figures import rebuild, rebuild_studies
from w2v_jax.figures.published import CLAIMED, COMPUTED, UNVERIFIED, VERIFIED, Published, Tolerance


@dataclasses.dataclass(frozen=True)
class Entry:
    """One figure."""

    shows: str
    paper: str  # authors and year, or what takes a paper's place
    load: rebuild.Load
    arxiv: str = ""  # identifier; empty where there is none
    numbers: tuple[Published, ...] = ()

    def source(self) -> str:
        """The paper with its identifier."""
        return f"{self.paper}, arXiv {self.arxiv}" if self.arxiv else self.paper


_ZAREMBA = "Zaremba, Sutskever & Vinyals 2014, table 1"
_DAI = "Dai & Le 2015"
_KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"
_HESTNESS = "Hestness et al. 2017, arXiv 1712.00409"
_BESIROGLU = "github.com/epoch-research/analyzing-chinchilla"
_HOFFMANN = "Hoffmann et al. 2022, arXiv 2203.15556"
_NOTES = "the notes"
_ABOUT = Tolerance("what experiments.throughput counts as about 100", 50.0, 200.0)
_POWERS = {5: 0.328, 10: 0.107, 13: 0.055}  # of 0.8, as the notes use them
_LARGER = "theirs larger by orders of magnitude, byte pairs"
_LAWS = tuple(
    Published(f"{power}, {whose}", value, "(exponent)", source, checked, ours, differs=differs)
    for power, whose, value, source, checked, ours, differs in (
        ("N alone", "Kaplan", 0.076, _KAPLAN, UNVERIFIED, "lstm: power of N", "theirs transformers, far larger"),
        ("D alone", "Kaplan", 0.095, _KAPLAN, UNVERIFIED, "transformer: power of D", _LARGER),
        ("C alone", "Kaplan", 0.050, _KAPLAN, UNVERIFIED, "transformer: power of C", _LARGER),
        ("D alone", "Hestness", 0.066, _HESTNESS, UNVERIFIED, "lstm: power of D", "theirs the best size at each D"),
        ("N beside D", "Hoffmann", 0.34, _HOFFMANN, UNVERIFIED, "transformer: alpha", _LARGER),
        ("D beside N", "Hoffmann", 0.28, _HOFFMANN, UNVERIFIED, "transformer: beta", _LARGER),
        ("N beside D", "Besiroglu", 0.348, _BESIROGLU, VERIFIED, "transformer: alpha", _LARGER),
        ("D beside N", "Besiroglu", 0.366, _BESIROGLU, VERIFIED, "transformer: beta", _LARGER),
    )
)

ENTRIES: Mapping[str, Entry] = {
    "wiki_map": Entry(
        "words on a plane: groups of meaning, countries and capitals (skip-gram, 12.5 M words)",
        "Mikolov et al. 2013, figure 2",
        rebuild.wiki_map,
        "1310.4546",
        (
            Published(
                "analogies, skip-gram",
                40.4,
                "%",
                "gensim, Word2Vec_FastText_Comparison.ipynb",
                VERIFIED,
                "analogies",
                differs="theirs on text8, d = 100",
            ),
            Published(
                "analogies, 24 M words",
                23.2,
                "%",
                "Mikolov et al. 2013, arXiv 1301.3781, table 2",
                UNVERIFIED,
                "analogies",
                differs="theirs CBOW on news",
            ),
        ),
    ),
    "synthetic_optimum": Entry(
        "nats above the best possible loss, by distance of agreement",
        "none: the optimum is computed exactly",
        rebuild.synthetic_optimum,
        numbers=tuple(
            Published(
                f"best possible loss, {cell}", 3.9224, "nats a word", "forward algorithm", COMPUTED, f"{cell}: loss"
            )
            for cell in ("lstm, 1 x 128", "elementwise, 1 x 128")
        ),
    ),
    "throughput": Entry(
        "tokens/s by length: all at once against one after another",
        "none: a claim of the notes",
        rebuild.throughput_by_length,
        numbers=tuple(
            Published(what, 100.0, "times", _NOTES, CLAIMED, ours, _ABOUT)
            for what, ours in (
                ("prompt, beside itself one by one", "prompt_by_itself"),
                ("prompt, beside an LSTM", "prompt_by_lstm"),
                ("training, beside an LSTM", "training_by_lstm"),
            )
        ),
    ),
    "ptb_curves": Entry(
        "loss of LSTMs and of a transformer on the Penn Treebank against passes",
        "Zaremba, Sutskever & Vinyals 2014",
        rebuild.ptb_curves,
        "1409.2329",
        (
            Published(
                "test, 2 x 200, no dropout",
                114.5,
                "perplexity",
                _ZAREMBA,
                UNVERIFIED,
                "test",
                Tolerance("5 % above the published", highest=1.05 * 114.5),
            ),
            Published(
                "validation, 2 x 200, last pass",
                120.7,
                "perplexity",
                _ZAREMBA,
                UNVERIFIED,
                "validation at the end",
                Tolerance("5 % above the published", highest=1.05 * 120.7),
            ),
            Published(
                "test, with dropout",
                82.7,
                "perplexity",
                _ZAREMBA,
                UNVERIFIED,
                "test with dropout",
                differs="theirs 2 x 650, ours 2 x 200",
            ),
        ),
    ),
    "imdb_ladder": Entry(
        "test accuracy on IMDB of classifiers over the same frozen vectors",
        _DAI,
        rebuild.imdb_ladder,
        "1511.01432",
        (
            Published(
                "averaged vectors, logistic regression",
                85.0,
                "%",
                "no one source, about",
                UNVERIFIED,
                "average",
                differs="other vectors",
            ),
            Published(
                "LSTM over word2vec",
                90.0,
                "%",
                _DAI,
                UNVERIFIED,
                "lstm",
                Tolerance("the lower end of what was aimed at with frozen vectors, 86 to 90", lowest=86.0),
                "theirs goes on training the vectors",
            ),
            Published(
                "SA-LSTM",
                92.76,
                "%",
                f"{_DAI}, by wizwand.com",
                VERIFIED,
                "lstm",
                differs="theirs is pre-trained on unlabelled reviews",
            ),
        ),
    ),
    "keys_values": Entry(
        "what sharing keys and values over all layers costs, and what its cache weighs",
        "none: a design of the notes",
        rebuild.keys_values,
        numbers=(
            Published(
                "cache, all layers' over one shared",
                4.0,
                "times",
                "one key and value for 4 layers",
                COMPUTED,
                "cache, times smaller",
                Tolerance("it is exact", 4.0, 4.0),
            ),
        ),
    ),
    "scaling_synthetic": Entry(
        "distance from the best possible loss by parameters and training FLOPs, four families",
        "none: the optimum is computed exactly",
        rebuild_studies.families,
        numbers=tuple(
            Published(
                f"floor of the {arm} law: interval from the optimum",
                0.0,
                "nats",
                "forward algorithm",
                COMPUTED,
                f"{arm}: miss",
                Tolerance("the 95 % interval must hold the optimum", highest=0.0),
            )
            for arm in ("transformer", "lstm")
        ),
    ),
    "scaling_wiki": Entry(
        "held-out loss on Wikipedia by parameters and training FLOPs, four families",
        "Kaplan et al. 2020, Hoffmann et al. 2022, Besiroglu et al. 2024",
        rebuild_studies.families,
        "2001.08361, 2203.15556, 2404.10102",
        _LAWS,
    ),
    "scaling_accuracy": Entry(
        "next-word accuracy on Wikipedia by parameters, beside what the notes claim",
        "none: a claim of the notes",
        rebuild_studies.accuracy,
        numbers=(
            Published(
                "next-word accuracy at 1M parameters",
                70.0,
                "%",
                _NOTES,
                CLAIMED,
                "best from 1M parameters on",
                Tolerance("what the notes claim, less 5 points", lowest=65.0),
                "words of Wikipedia, 10,002 of them",
            ),
        ),
    ),
    "scaling_positions": Entry(
        "held-out loss on Wikipedia by position in the context, transformer and LSTM",
        "Kaplan et al. 2020, figure 7",
        rebuild_studies.positions,
        "2001.08361",
    ),
    "scaling_word2vec": Entry(
        "analogies and similarity of skip-gram vectors by dimensions and words of Wikipedia",
        "Mikolov et al. 2013, table 2",
        rebuild_studies.vectors,
        "1301.3781",
        tuple(
            Published(
                f"analogies, {dim} dimensions, 24 M words",
                share,
                "%",
                "Mikolov et al. 2013, arXiv 1301.3781, table 2",
                UNVERIFIED,
                f"analogies, %, {dim} dimensions",
                differs="theirs CBOW on news, 30,000 words",
            )
            for dim, share in ((50, 13.4), (100, 19.4))
        ),
    ),
    "chinchilla": Entry(
        "the parametric law of 240 published runs, fitted here and by others",
        "Besiroglu et al. 2024",
        rebuild.chinchilla,
        "2404.10102",
        (
            *(
                Published(
                    name,
                    value,
                    unit,
                    _BESIROGLU,
                    VERIFIED,
                    name,
                    Tolerance("one standard error of the published", value - error, value + error),
                )
                for name, value, error, unit in (
                    ("E", 1.817, 0.03, "nats a token"),
                    ("A", 482.0, 125.0, "nats"),
                    ("B", 2085.0, 1293.0, "nats"),
                    ("alpha", 0.348, 0.015, "(exponent)"),
                    ("beta", 0.366, 0.021, "(exponent)"),
                )
            ),
            *(
                Published(
                    f"{name}, Hoffmann's own fit",
                    value,
                    unit,
                    _HOFFMANN,
                    UNVERIFIED,
                    name,
                    differs="fitted otherwise",
                )
                for name, value, unit in (
                    ("E", 1.69, "nats a token"),
                    ("alpha", 0.34, "(exponent)"),
                    ("beta", 0.28, "(exponent)"),
                )
            ),
        ),
    ),
    "gradients": Entry(
        "gradients by distance before and after training, agreement, forget gates",
        "Bengio et al. 1994; Pascanu, Mikolov & Bengio 2013",
        rebuild.gradients,
        "1211.5063",
        (
            *(
                Published(
                    f"0.8^{k}, beside an untrained RNN",
                    value,
                    "of the gradient",
                    _NOTES,
                    COMPUTED,
                    f"rnn {k}",
                    differs="an illustration",
                )
                for k, value in _POWERS.items()
            ),
            Published(
                "forget gate, half left after 13 steps",
                0.948,
                "(median)",
                _NOTES,
                COMPUTED,
                "lstm gate",
            ),
        ),
    ),
}
