"""The parts of a study's report from planted records, and the progress line."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from experiments.common import page
from experiments.scaling import report, sections
from experiments.scaling.found import Found
from experiments.scaling.progress import Progress
from tests.scaling.planted import record
from w2v_jax.config import Config, DataConfig
from w2v_jax.figures.scaling_study import draw_families, draw_positions, grouped
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.scaling import analysis
from w2v_jax.scaling.study import Arm, Planned, Study, runs

RUN = Config("recurrent_lm", RecurrentLMConfig(layers=1, dim=8, hidden=8, length=8))


def study(**change: Any) -> Study:
    known: dict[str, Any] = {
        "data": DataConfig(source="synthetic"),
        "tokens": (1000,),
        "arms": {"lstm": Arm(RUN, ("",))},
    }
    return Study(**(known | change))


def found(folder: Path, made: list[Any], **change: Any) -> Found:
    usable = analysis.usable(made)
    laws = [analysis.laws("lstm", [r for r in usable if r.arm == "lstm"], change.get("budgets", ()))] if usable else []
    floors = analysis.floors(laws, usable)
    return Found(study(**change), made, usable, laws, floors, folder, "planted")


def drawn(section: page.Section) -> None:
    for picture in section.pictures:
        assert np.unique(imread(picture)).size > 10


def test_the_best_rate_of_each_size_and_whether_it_is_at_an_end(tmp_path: Path) -> None:
    made = []
    for size, best in ((1000, 0.01), (5000, 0.04)):
        for rate in (0.01, 0.02, 0.04, 0.08):
            loss = 3.0 + np.log(rate / best) ** 2
            config = {"optimizer": {"learning_rate": rate}}
            made.append(record(run=f"{size}_{rate}", parameters=size, heldout_loss=loss, config=config))
    (section,) = sections.rates(found(tmp_path, made, rates=(0.5, 1.0)))
    assert [row[5] for row in section.table[1:]] == ["0.01", "0.04"]
    assert [row[7] for row in section.table[1:]] == ["yes: widen it", "no"]
    assert [row[8] for row in section.table[1:]] == ["0.00%", f"{np.log(4) ** 2 / 3:.2%}"]
    assert not section.table[1][9] and section.table[2][9] == "-", "the runs of the smallest size chose the rate"
    assert len(section.text) == 1
    drawn(section)
    config = {"optimizer": {"learning_rate": 0.005}}
    made.append(record(run="wider", heldout_loss=3.5, seed=1, config=config))
    made.append(record(run="failed", heldout_loss=None, status="failed", parameters=5000, config=config))
    (section,) = sections.rates(found(tmp_path, made, rates=(0.5, 1.0)))
    assert [row[7] for row in section.table[1:]] == ["yes, of those that count", "no"]
    assert section.text[1].startswith("lstm, 1,000 parameters, 10,000 tokens: 1 rate(s) left out") and (
        section.text[1].endswith("seed(s) 0 that the others have: 0.005 (1 run(s), of seed(s) 1).")
    )
    assert "0.005 (1 run(s), of seed(s) 0, of which 0 ended without a loss)" in section.text[2]


def test_floors_of_runs_on_different_positions_are_not_checked(tmp_path: Path) -> None:
    made = [record(run="a", optimum=2.0), record(run="b", optimum=2.1, parameters=9)]
    (section,) = sections.floor_check(found(tmp_path, made, optimum=True))
    assert "so no floor is checked: a and b record the best possible losses 2 and 2.1" in section.text[1]


def test_word_vectors_by_dimensions_and_words(tmp_path: Path) -> None:
    made = []
    for dim in (384, 1536):
        for tokens in (1e6, 4e6):
            quality = {"analogies all": dim * tokens / 1e10, "similarity men": 0.5}
            config = {"model": {"dim": dim}}
            made.append(record(run=f"{dim}_{tokens}", heldout_loss=None, tokens=tokens, config=config, quality=quality))
    (section,) = sections.word_vectors(found(tmp_path, made))
    assert [row[:3] for row in section.table[1:]] == [
        ["384", "1,000,000", "0.038"],
        ["384", "4,000,000", "0.154"],
        ["1536", "1,000,000", "0.154"],
        ["1536", "4,000,000", "0.614"],
    ]
    drawn(section)


def test_isoflop_runs_have_their_parabolas(tmp_path: Path) -> None:
    made = []
    for budget in (1e12, 1e13, 1e14):
        for size in (1e3, 3e3, 1e4, 3e4, 1e5, 3e5):
            loss = 2.0 + 0.1 * np.log(size / budget**0.5 * 1e2) ** 2 / 10 + 1e12 / budget
            tokens = budget / (6 * size)
            sizes = {"parameters": int(size), "tokens": tokens, "training_flops": budget}
            made.append(record(run=f"{budget}_{size}", heldout_loss=loss, **sizes))
    section = sections.laws(found(tmp_path, made, tokens=(), budgets=(1e12, 1e13, 1e14)))
    (row,) = [row for row in section.table if row[1] == "sizes at equal C"]
    exponent = re.search(r"\ba = ([\d.]+) \[", row[2])
    assert exponent and float(exponent[1]) == pytest.approx(0.5, abs=0.03)
    assert tmp_path / "lstm_isoflop.png" in section.pictures
    drawn(section)


def test_accuracies_stand_beside_the_unigram_and_the_share_of_unknown_words() -> None:
    known = {"heldout_unigram_loss": 6.39, "heldout_unigram_accuracy": 0.106, "heldout_unknown": 0.106}
    best = record(heldout_accuracy=0.2, heldout_known_accuracy=0.15, **known)
    said = sections.accuracy_verdict(best)
    assert "frequent one alone is 10.6%" in said and "10.6% are <unk>; of the others it finds 15.0%" in said
    assert sections.baselines([best, best, record()]) == (
        "By the counts of tokens alone: 6.3900 nats/token, accuracy 10.6%; 10.6% of the held-out tokens are <unk>.",
    )


def test_runs_that_no_law_is_fitted_to_are_named_and_ringed(tmp_path: Path) -> None:
    flat: dict[str, Any] = {"heldout_loss": 4.0, "heldout_accuracy": 0.1, "tokens": 100.0, "training_flops": 1e6}
    made = [record(run=f"flat{i}", seed=i, **flat) for i in range(2)]
    made += [record(run="a", heldout_loss=3.0, heldout_accuracy=0.2)]
    given = found(tmp_path, made)
    (text,) = sections.laws(given).text
    assert "2 run(s) left out of the fits, on the plateau of single words" in text and "flat0, flat1" in text
    laws = {law.arm: law for law in given.laws}
    draw_families(*analysis.loss_curves({"lstm": made}), tmp_path / "families.svg", laws=laws)
    assert "lstm: in no fit, no better than single words" in (tmp_path / "families.svg").read_text()


@pytest.mark.parametrize(
    ("parameters", "share", "words"),
    [
        (500_000, 0.2, "neither shown nor refuted"),
        (2_000_000, 0.2, "does not hold"),
        (2_000_000, 0.9, "the claim holds"),
    ],
)
def test_the_verdict_on_the_claims_goes_by_size(parameters: int, share: float, words: str) -> None:
    assert words in sections.accuracy_verdict(record(parameters=parameters, heldout_accuracy=share))


def test_a_missed_floor_is_stated_and_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for n in (1e3, 3e3, 1e4, 3e4, 1e5):
        for d in (1e5, 3e5, 1e6, 3e6):
            loss = 2.0 + 40 / n**0.5 + 300 / d**0.5
            curve = list(2.0 + 1 / np.arange(1.0, 33.0))
            sizes = {"parameters": int(n), "tokens": d, "training_flops": 6 * n * d}
            made.append(record(run=f"{n}_{d}", heldout_loss=loss, optimum=2.5, by_position=curve, **sizes))
    assert report.report(study(optimum=True), made, tmp_path, "command") == 1
    out = capsys.readouterr().out
    gap = re.search(r"MISSED by ([\d.]+) nats", out)
    assert gap and float(gap[1]) == pytest.approx(0.5, abs=0.01)
    assert "copying the lowest loss of any smaller run instead" in out
    text = (tmp_path / "report.html").read_text()
    assert text.count("data:image/png;base64,") >= 4 and "<script" not in text
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda *_: None)  # the same pictures once more
    true = [r for r in (record(**(vars(r) | {"optimum": 2.0})) for r in made)]
    assert report.report(study(optimum=True), true, tmp_path, "command") == 0
    assert "inside the interval" in capsys.readouterr().out


class Reader(HTMLParser):
    """The text of a page by the path of elements it stands in, and every element with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.path: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.path.append(f"{tag}.{dict(attrs)['class']}" if "class" in dict(attrs) else tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop().partition(".")[0] == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.setdefault(" ".join(self.path[1:]), []).append(data)


def test_a_page_is_read_on_a_phone_and_takes_text_for_text(tmp_path: Path) -> None:
    """Tables scroll in a box of their own, pictures shrink, no width is fixed; names are not Markdown or HTML."""
    picture = tmp_path / "figures" / "a law_1.png"
    picture.parent.mkdir()
    picture.write_bytes(b"PNG")
    table = [["name", "n"], ["<b>|*x*", "1"], ["_c_", "-2.5"]]
    text = ("x & *y* ![z](figures/z.png) <i>\u202e\x00&lt;",)
    section = page.Section("A < B", text, table, ("fact\n<pre>  |",), (picture,))
    markdown = page.write(tmp_path, "T & U", [section, page.Section("C")], "run_s0 of __it__")
    assert (tmp_path / "report.md").read_text() == markdown
    assert "| <b>\\|*x* |    1 |\n| _c_      | -2.5 |" in markdown and "![a law 1](figures/a%20law_1.png)" in markdown
    read = Reader((tmp_path / "report.html").read_text())
    assert read.path == []
    (style,) = read.text.pop("head style")
    assert read.text == {
        "head title": ["T & U"],
        "body nav a": ["A < B", "C"],
        "body h1": ["T & U"],
        "body h2": ["A < B", "C"],
        "body p": ["x & *y* ![z](figures/z.png) <i>\\u202e\\u0000&lt;", "run_s0 of __it__"],
        "body div.table table thead tr th": ["name", "n"],
        "body div.table table tbody tr td": ["<b>|*x*", "1", "_c_", "-2.5"],
        "body details summary": ["fact"],
        "body details pre": ["<pre>  |\n"],
    }
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in read.elements
    (image,) = [attributes for tag, attributes in read.elements if tag == "img"]
    assert image == {"alt": "a law 1", "src": f"data:image/png;base64,{base64.b64encode(b'PNG').decode()}"}
    assert [a["style"] for tag, a in read.elements if tag == "td"] == ["text-align:left", "text-align:right"] * 2
    targets = [f"#{attributes['id']}" for tag, attributes in read.elements if tag == "h2"]
    assert [attributes["href"] for tag, attributes in read.elements if tag == "a"] == targets
    rules = {name.strip(): rule for name, rule in re.findall(r"([^{}]+){([^{}]+)}", style)}
    assert "overflow-x: auto" in rules["div.table, pre"] and "white-space: nowrap" in rules["table"]
    assert "prefers-color-scheme: dark" in style and "background: #fff" in rules["img"]
    assert "max-width: 100%" in rules["img"] and not re.search(r"(?<!-)width:", style)


def test_positions_are_joined_in_groups_that_widen() -> None:
    x, y = grouped(np.arange(1.0, 101.0))
    np.testing.assert_allclose(x, y)
    assert x[0] == 1 and len(x) < 30 and (np.diff(x) > 0).all()


def test_how_far_one_model_is_behind_another_does_not_hang_on_the_text(tmp_path: Path) -> None:
    """A text whose places are hard at random: the difference is what was planted, and both panels are drawn."""
    hard = np.random.default_rng(0).normal(5.0, 1.0, 64)
    curves = {"slow": hard + np.minimum(np.arange(64), 16) / 16, "fast": hard}
    best, rest = analysis.behind(curves)
    assert best == "fast" and [(a, b) for a, b, _ in rest["slow"]] == [(1, 8), (9, 16), (17, 32), (33, 64)]
    assert [nats for *_, nats in rest["slow"]] == pytest.approx([3.5 / 16, 11.5 / 16, 1.0, 1.0])
    assert analysis.behind({"one": hard}) == ("one", {})
    (section,) = sections.positions(found(tmp_path, [record(by_position=hard.tolist())]))
    assert "beside" not in " ".join(section.text)
    draw_positions(curves, tmp_path / "two.png", beside="fast")
    assert imread(tmp_path / "two.png").shape[1] > imread(section.pictures[0]).shape[1]


def test_the_time_left_is_that_of_the_runs_left() -> None:
    arms = {"lstm": Arm(RUN, ("model.dim=8 model.hidden=8", "model.dim=16 model.hidden=16"))}
    every = runs(study(arms=arms, tokens=(1000, 3000)), 50)
    out = io.StringIO()
    progress = Progress(every, [], out)
    assert progress.time_left() == "?"
    sizes = set()

    def training(run: Planned) -> float:
        """10,000 tokens/s beside 1 GFLOP/s."""
        return run.tokens / 1e4 + run.flops / 1e9

    for i, run in enumerate(every):
        progress.begin(run)
        sizes.add(run.ledger.flops_per_token)
        known: dict[str, Any] = {"tokens": run.tokens, "flops_per_token": run.ledger.flops_per_token}
        done = record(run=run.name, arm=run.arm, training_flops=run.flops, seconds=training(run), **known)
        progress.end(run, done, training(run) + 2.0)
        left = progress.seconds_left()
        truth = sum(2.0 + training(r) for r in every[i + 1 :])
        assert left is not None and (left == pytest.approx(truth, rel=1e-6) or len(sizes) < 2)
    assert "--- run 4 of 4" in out.getvalue() and "100% of the study's FLOPs done, 0:00:00 left" in out.getvalue()
