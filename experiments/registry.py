"""The project's figures: what each shows, the paper that it stands beside, and that paper's numbers.

A figure is one entry of `ENTRIES`, its results in results/figures/NAME.json, its picture docs/figures/NAME.png.
Numbers are marked `verified` only where their source was read; the others are quoted from memory, and their papers are
still to be looked up. Tolerances were written down after the results were known: they tell when a later result no
longer holds, not that one was foreseen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from experiments import rebuild
from w2v_jax.evaluation.tables import aligned
from w2v_jax.figures import published, records, style
from w2v_jax.figures.published import CLAIMED, COMPUTED, UNVERIFIED, VERIFIED, Published, Tolerance

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "figures"
PICTURES = ROOT / "docs" / "figures"


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
_NOTES = "the notes"
_ABOUT = Tolerance("what experiments.throughput counts as about 100", 50.0, 200.0)
_POWERS = {5: 0.328, 10: 0.107, 13: 0.055}  # of 0.8, as the notes use them

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
        "loss of LSTMs on the Penn Treebank against passes",
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


def listing(entries: Mapping[str, Entry] = ENTRIES) -> str:
    """Every figure with its paper, then every published number; as text."""
    figures = [["figure", "paper", "shows"]]
    figures += [[name, entry.source(), entry.shows] for name, entry in entries.items()]
    numbers = [["figure", "number", "published", "unit", "checked", "tolerance", "source"]]
    for name, entry in entries.items():
        for n in entry.numbers:
            tolerance = n.tolerance.words() if n.tolerance else "none stated"
            numbers.append([name, n.what, published.short(n.value), n.unit, n.checked, tolerance, n.source])
        if not entry.numbers:
            numbers.append([name, "none"])
    left = (0, 1, 3, 4, 5, 6)
    return f"{aligned(figures, left=(0, 1, 2))}\n\n{aligned(numbers, left=left)}\n\n{_MARKS}"


_MARKS = (
    "verified: read at that source; unverified: quoted from memory, the paper was not at hand; computed: follows from "
    "arithmetic;\nclaimed: said by the notes, and tested here. Ours are in results/figures/FIGURE.json, "
    "the pictures in docs/figures/FIGURE.png."
)


def redraw(name: str, out: str, results: Path = RESULTS, entries: Mapping[str, Entry] = ENTRIES) -> int:
    """Draws a figure from its record, prints ours beside what was published, and returns the exit status.

    Args:
      name: of an entry.
      out: picture, .png, .pdf or .svg.
      results: folder of the records.

    Returns:
      0, or 1 where a stated tolerance is missed.

    Raises:
      UserError: a picture with another ending; a record that is missing or damaged. Nothing is written then.
      OSError: the picture cannot be written.
    """
    style.check_ending(out)
    entry, path = entries[name], results / f"{name}.json"
    record = records.read(path)
    try:
        figure = entry.load(record.result)
        verdicts = published.judge(entry.numbers, figure.measured)
        if not all(map(math.isfinite, figure.measured.values())):
            raise ValueError("a number is not finite")
    except rebuild.DAMAGED as e:
        raise records.damaged(path, e) from None
    figure.draw(out, record.small_print(name))
    print(report(name, entry, record, figure.measured))
    print(f"\npicture: {out}")
    late = published.missed(verdicts)
    for sentence in late:
        print(f"missed: {sentence}")
    return 1 if late else 0


def report(name: str, entry: Entry, record: records.Record, measured: Mapping[str, float]) -> str:
    """What is shown, from what, ours beside what was published, and what else was measured, as text."""
    rows = published.rows(published.judge(entry.numbers, measured))
    table = aligned(rows, left=(0, 1, 4, 5, 6)) if entry.numbers else "no published number"
    beside = {number.ours for number in entry.numbers}
    more = [f"{key}: {published.short(value)}" for key, value in measured.items() if key not in beside]
    about = f"{record.data}; seed {record.seed}; {record.machine}"
    lines = [f"{name}: {entry.shows}", f"paper: {entry.source()}", f"ours: {about}", "", table]
    return "\n".join([*lines, *(["", "measured besides: " + "; ".join(more)] if more else [])])
