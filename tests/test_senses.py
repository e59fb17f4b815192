"""Senses: scores against scikit-learn and plain Python, readers of files, and `experiments.word_sense` on planted
senses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from experiments.word_sense import __main__ as command
from experiments.word_sense import answers, few, files, labelled, report, vectors, wic
from tests.commands import run
from tests.mutations import damaged, result_or_line, tries
from w2v_jax.context import Seen
from w2v_jax.data import senses as data
from w2v_jax.errors import UserError
from w2v_jax.evaluation import sense_labels as by_labels
from w2v_jax.evaluation import senses
from w2v_jax.figures import senses as picture

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 90)
ROWS = senses.unit(RNG.normal(size=(90, 5)) + 2.0 * np.eye(3, 5)[LABELS])
KNOWN, ASKED = slice(0, 60), slice(60, 90)


# ---- files ----

FILE = b"bank\tmoney\t1\tthe bank paid\nbank\triver\t2\tby the banks of it\nmole\tskin\t0\tMoles grow\n"
PAIRS = b"T\tgo\tV\t1-0\the went home\tgo home\nF\tbank\tN\t0-1\tbank it\tthe bank\n"


def test_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "senses.tsv"
    path.write_bytes(FILE)
    found = data.read_occurrences(str(path))
    assert found[1] == data.Occurrence("bank", "river", 2, ("by", "the", "banks", "of", "it"), f"{path}:2")
    assert [o.word for o in found] == ["bank", "bank", "mole"]
    (tmp_path / "wic.tsv").write_bytes(PAIRS)
    first, second = data.read_pairs(str(tmp_path / "wic.tsv"))
    assert (first.same, first.kind, first.places, first.texts[1]) == (True, "V", (1, 0), ("go", "home"))
    assert not second.same
    path.write_bytes(b"\n" + FILE.replace(b"\n", b"\n \n", 1) + b"\n")
    said: list[str] = []
    again = data.read_occurrences(str(path), say=said.append)
    assert [o[:4] for o in again] == [o[:4] for o in found] and again[1].where == f"{path}:4"
    assert said == [f"{path}: 3 blank lines are skipped"]
    assert data.plain(("``", "do", "n't", "-LRB-")) == ['"', "do", "not", "("]


def test_a_line_that_is_not_utf8_has_to_be_converted(tmp_path: Path) -> None:
    path = tmp_path / "senses.tsv"
    path.write_bytes(b"bank\tmoney\t1\tthe bank\nbank\tmoney\t1\tth\xe9 bank\n")
    with pytest.raises(UserError, match=r"senses.tsv:2: not UTF-8 \(.*\); convert the file to UTF-8$"):
        data.read_occurrences(str(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bank\tmoney\t1", "3 fields; a line must be 4 fields"),
        ("bank\t\t1\tthe bank", "an empty field"),
        ("bank\tmoney\tone\tthe bank", "index 'one' must be a whole number from 0$"),
        ("bank\tmoney\t-1\tthe bank", "index '-1' must be a whole number"),
        ("bank\tmoney\t2\tthe bank", "index 2 is outside the text, which has 2 tokens"),
        ("bank\tmoney\t0\tthe bank", "index 0 is 'the', not the word 'bank': it is at 1"),
        ("bank\tmoney\t0\tthe mole", "not the word 'bank': it is not in the text"),
        ("Bank\tmoney\t1\tthe bank", "'Bank' is 'bank' in another form .*:1.; write a word in one form"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "senses.tsv"
    path.write_text(f"bank\tmoney\t1\tthe bank\n{line}\n")
    with pytest.raises(UserError, match=f"senses.tsv:2: .*{message}"):
        data.read_occurrences(str(path))


@pytest.mark.parametrize(("valid", "read"), [(FILE, data.read_occurrences), (PAIRS, data.read_pairs)])
def test_any_file_is_read_or_refused_in_one_line(valid: bytes, read: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.tsv"

    @tries(40)
    @given(damaged(valid))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        result_or_line(lambda: read(str(path)))

    check()


# ---- the command ----


def planted(name: str, count: int, seed: int, only: tuple[str, ...] = ()) -> list[data.Occurrence]:
    """Two words of two senses, each among words of its own."""
    rng, out = np.random.default_rng(seed), []
    for word, topics in (("bank", ("money", "river")), ("mole", ("skin", "animal"))):
        for sense in topics:
            for _ in range(0 if sense in only else count):
                text = [f"{sense}{i}" for i in rng.integers(0, 20, 6)]
                place = int(rng.integers(0, 7))
                out.append(data.Occurrence(word, sense, place, (*text[:place], word, *text[place:])))
    return out


def fake(name: str, texts: list[list[data.Occurrence]], noise: float, layers: int = 3) -> vectors.Vectors:
    """Vectors in which the middle layer knows the sense, and the others do not."""
    rng = np.random.default_rng(1)
    of_sense = {s: rng.normal(size=6) for s in ("money", "river", "skin", "animal")}

    def vector(occurrence: data.Occurrence, layer: int) -> np.ndarray:
        return 3.0 + (layer == 1) * of_sense[occurrence.sense] + noise * rng.normal(size=6)

    parts = [[np.array([vector(o, i) for o in part], np.float32) for i in range(layers)] for part in texts]
    return vectors.Vectors(name, tuple(f"layer {i}" for i in range(layers)), tuple(parts), Seen(), 0.0)


def test_the_layer_that_knows_the_senses_is_chosen_by_training_data() -> None:
    known, asked = planted("a", 20, 0), planted("b", 10, 1)
    words = labelled.words_of(known, asked, 0)
    run_ = labelled.Run(fake("fake", [known, asked], 0.3), words)
    rows = labelled.rows_of(run_)
    assert [row["classifier"] for row in rows] == ["1-NN", "centroid", "regression"]
    for row in rows:
        assert row["recall"] > 0.95 and dict(row["candidate"]["weights"])[1] > 0, row["chosen"]
        curve = row["curves"]["as is"]
        assert max(curve, key=curve.__getitem__) == "layer 1" and curve["layer 0"] < 0.8
    shots = few.few_shots(run_, 4, 0)
    assert {row["shots"] for row in shots} == set(few.SHOTS) and len(shots) == 3 * len(few.SHOTS)
    for row in shots:
        assert row["recall"] > 0.85 and all("layer 1" in chosen for chosen in row["chosen"].values())
    # No label of a word chooses its layer: with those of "bank" alone changed, only that of "mole" may change.
    swapped = [o._replace(sense="money" if i % 2 else "river") if o.word == "bank" else o for i, o in enumerate(known)]
    other = labelled.Run(run_.vectors, labelled.words_of(swapped, asked, 0))
    one, two = (few.layers_for(r, by_labels.centroid, 3, 0) for r in (run_, other))
    assert one[0] == two[0]
    both = files.joined("both", [(run_, [vectors.Candidate(((1, 1.0),), "as is")] * 2)] * 2)
    assert both.parts[0][0].shape == (80, 12)
    np.testing.assert_allclose(np.linalg.norm(both.parts[1][1], axis=1), 1.0, rtol=1e-5)


def test_a_mixture_adds_layers_while_they_help() -> None:
    rows = [np.ones((4, 2), np.float32)] * 2 + [np.ones((4, 3), np.float32)]
    held = vectors.Vectors("x", ("a", "b", "c"), (rows,), Seen(), 0.0)

    def measure(candidate: vectors.Candidate) -> float:
        weights = dict(candidate.weights)
        assert not (2 in weights and len(weights) > 1)  # of another width
        return -abs(weights.get(0, 0) - 2) - abs(weights.get(1, 0) - 1) - (candidate.way != "centred")

    chosen, value, curves = vectors.best(held, measure)
    assert chosen == vectors.Candidate(((0, 2.0), (1, 1.0)), "centred") and value == 0
    assert chosen.told(held.layers) == "2 x a + b, centred" and curves["as is"] == {"a": -3, "b": -3, "c": -4}


def table(file: Path) -> list[dict[str, str]]:
    head, *rows = (line.split("\t") for line in file.read_text().splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def written(folder: Path, name: str, found: list[data.Occurrence]) -> str:
    path = folder / name
    path.write_text("".join(f"{o.word}\t{o.sense}\t{o.place}\t{' '.join(o.tokens)}\n" for o in found))
    return str(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked transformer and an LSA fitted to texts of the planted senses."""
    from tests.examples import saved
    from w2v_jax import configure, fit

    folder = tmp_path_factory.mktemp("runs")
    text = folder / "text.txt"
    lines = [" ".join(o.tokens) for o in planted("c", 60, 2)]
    text.write_text("\n".join(np.random.default_rng(0).permutation(lines)) + "\n")
    data_keys = {"data.source": f"text:{text}", "data.min_count": 1, "data.tokens": "whitespace"}
    fit(configure("lsa", data_keys | {"model.dim": 8, "data.heldout_every": 0}), folder / "lsa")
    names = tuple(sorted(set(" ".join(lines).split())))
    saved(folder / "masked", "transformer", names, layers=2, dim=8, heads=2, length=16, objective="masked")
    return folder


def test_the_command_scores_files_and_pairs(runs: Path, tmp_path: Path) -> None:
    train, test = written(tmp_path, "train.tsv", planted("a", 15, 3)), written(tmp_path, "test.tsv", planted("b", 8, 4))
    rng = np.random.default_rng(0)
    for name in ("train", "dev", "test"):
        found = planted("d", 20, sum(map(ord, name)))
        both = [(found[i], found[j]) for i, j in rng.integers(0, 40, (60, 2))]  # of one word
        lines = [
            f"{'TF'[a.sense != b.sense]}\tbank\tN\t{a.place}-{b.place}\t{' '.join(a.tokens)}\t{' '.join(b.tokens)}\n"
            for a, b in both
        ]
        (tmp_path / "pairs").mkdir(exist_ok=True)
        (tmp_path / "pairs" / f"{name}.tsv").write_text("".join(lines))
    done = run(
        "experiments.word_sense",
        f"--workdirs=words={runs / 'lsa'},{runs / 'masked'}",
        f"--workdir={tmp_path / 'out'}",
        f"--train={train}",
        f"--test={test}",
        f"--wic={tmp_path / 'pairs'}",
        "--join=words+masked",
        "--hide_target",
        "--draws=2",
        "--final",
    )
    assert done.status == 0, done.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = {(row["model"], row["classifier"]): row for row in results["labelled"]["rows"]}
    assert {model for model, _ in rows} == {
        "most frequent sense",
        *few.BASELINES,
        "words",
        "masked",
        "masked, word hidden",
        "words + masked",
    }
    assert rows["words", "centroid"]["recall"] > 0.95 and rows["naive Bayes", "-"]["recall"] > 0.95
    assert rows["most frequent sense", "-"]["recall"] == 0.5
    pairs = {row["model"]: row for row in results["wic"]["rows"]}
    assert pairs["words"]["dev"] > 0.9 and pairs["words"]["test"] > 0.85 and "regression on all cosines" in pairs
    assert pairs["words"]["chosen"] in done.out and "used once" in done.out
    assert (tmp_path / "out" / "layers.png").stat().st_size > 10_000
    tables = {file.name.removeprefix("predictions_"): table(file) for file in (tmp_path / "out").glob("*.tsv")}
    assert len(tables) == len(rows) + len(pairs)
    for (model, classifier), row in rows.items():
        name = f"{model} {classifier}".removesuffix(" -").replace(", ", "_").replace(" + ", "_").replace(" ", "_")
        said = tables[f"labelled_{name}.tsv"]
        assert [one["line"] for one in said] == [f"{test}:{i}" for i in range(1, 33)]
        assert [f"{one['word']} {one['truth']}" for one in said] == [f"{o.word} {o.sense}" for o in planted("b", 8, 4)]
        assert np.mean([one["right"] == "yes" for one in said]) == pytest.approx(row["micro"]), name
        assert all((one["truth"] == one["predicted"]) == (one["right"] == "yes") for one in said)
    said = tables["wic_words.tsv"]
    assert [one["line"] for one in said] == [
        f"{tmp_path}/pairs/{part}.tsv:{i + 1}" for part in ("dev", "test") for i in range(60)
    ]
    right = np.array([one["right"] == "yes" for one in said])
    assert (right[:60].mean(), right[60:].mean()) == pytest.approx((pairs["words"]["dev"], pairs["words"]["test"]))
    truth = [line.split("\t")[0] for line in (tmp_path / "pairs" / "dev.tsv").read_text().splitlines()]
    assert [one["truth"] for one in said[:60]] == truth and {one["predicted"] for one in said} == {"T", "F"}
    drawn = picture.curves(results)
    assert all("words + masked" not in panel for panel in drawn.values())  # side by side is no layer
    assert drawn["Words in Context: right"]["masked"][0] == ["word vectors", "layer 1", "layer 2"]
    assert set(drawn) == {"1-NN: recall", "centroid: recall", "regression: right of a fold", "Words in Context: right"}
    (tmp_path / "again").mkdir()
    parts = [tmp_path / "again" / f"{seed}.json" for seed in (0, 1)]
    for seed, part in enumerate(parts):
        text = json.dumps(results | {"runs": {f"masked@{seed}": "runs/masked"}})
        part.write_text(re.sub(r'"model": "(masked|words)', rf'"model": "\1@{seed}', text))
    done = run("experiments.word_sense", f"--results={parts[0]},{parts[1]}", f"--workdir={tmp_path / 'again'}")
    assert done.status == 0, done.err
    assert "masked@1, word hidden" in done.out and re.search(r"^words +centroid +2 .* ± 0.0", done.out, re.MULTILINE)
    assert re.search(r"^masked, word hidden +2 .* ± 0.0", done.out, re.MULTILINE)
    assert (tmp_path / "again" / "layers.png").stat().st_size > 10_000


def test_what_a_reader_should_know_is_said() -> None:
    known = [o for o in planted("a", 3, 0) if o.sense != "skin"] + [data.Occurrence("mole", "spy", 0, ("mole",))] * 2
    known.append(data.Occurrence("seal", "animal", 0, ("seal",)))
    asked = planted("a", 3, 0)
    words = labelled.words_of(known, asked, 0)
    said = files.notes(words, known, asked)
    assert said == [
        "mole: training never has skin: its 3 test occurrences are wrong for all rows",
        "not in the test file, left out: seal",
        "9 test texts stand in the training file too",
    ]
    assert words[1].senses == ("animal", "spy", "skin") and words[1].truth.max() == 2
    assert few.notes(words) == [
        "bank: has 3 of money, 3 of river in training: with more shots all of these are taken",
        "mole: has 3 of animal, 2 of spy in training: with more shots all of these are taken",
    ]
    alone = [next(o for o in known if o.sense == sense) for sense in ("money", "river")]
    with pytest.raises(
        UserError,
        match=r"--train=f.tsv: word 'bank': has too few training occurrences .1 of 'money', 1 of 'river'. for 5 fol",
    ):
        for seed in range(20):  # until the fold that chooses is empty, or has a sense alone
            labelled.words_of(alone, [o for o in asked if o.word == "bank"], seed, "f.tsv")
    with pytest.raises(UserError, match="word 'bank': has one sense only in the training file, 'money'; it needs two"):
        labelled.words_of([o for o in known if o.sense != "river"], asked, 0)
    with pytest.raises(UserError, match="word 'mole': is in the test file only"):
        labelled.words_of([o for o in known if o.word != "mole"], asked, 0)


def test_same_of_all_pairs_has_no_threshold_and_can_be_written() -> None:
    parts = {"train": np.array([0.3, 0.1]), "dev": np.array([0.2, 0.1])}
    row = wic.by_threshold(parts, {"train": np.array([True, False]), "dev": np.array([True, True])})
    assert row["threshold"] is None and row["dev"] == 1.0 and row.pop(labelled.ANSWERS)["dev"].all()
    json.dumps(row, allow_nan=False)
    found = {"pairs": {"train": 2, "dev": 2}, "majority": {"train": 0.5, "dev": 1.0}}
    assert "none: SAME" in report.wic(found | {"rows": [row | {"model": "x", "chosen": "layer 1"}]})


def test_mistakes_of_the_command() -> None:
    for call, message in (
        (lambda: vectors.names_of([]), "--workdirs is missing"),
        (lambda: vectors.names_of(["a/x", "b/x"]), "the name 'x' is given twice; write NAME=DIR"),
        (lambda: command.joins_of(["a+c"], ["a", "b"]), "--join=a.c: 'c' must be one of a, b"),
        (lambda: command.joins_of(["a+a"], ["a", "b"]), "name two or more different runs"),
        (lambda: command.joins_of(["a"], ["a", "b"]), "name two or more different runs"),
        (lambda: answers.check_names(["a@0", "b", "a_0"]), "'a@0' and 'a_0' both write predictions_a_0.tsv; give one"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    assert vectors.names_of(["m=runs/masked", "runs/back"]) == {"m": "runs/masked", "back": "runs/back"}


def test_the_baselines_of_senseval_are_those_of_the_data(shared_data: Path) -> None:
    """Most frequent sense, naive Bayes, and its recall, as the description of the data states them."""
    parts = [
        data.read_occurrences(str(shared_data / "senses" / f"senseval_four.{name}.tsv.xz"))
        for name in ("train", "test")
    ]
    words = labelled.words_of(parts[0], parts[1], 0)
    known, asked = few.counts_of(parts[0], parts[1], itself=False)
    stated = {"hard": (79.8, 85.0, 61.4), "interest": (48.3, 81.5, 61.3)}
    stated |= {"line": (54.2, 84.0, 74.9), "serve": (40.7, 84.7, 79.8)}
    for word in words:
        found = by_labels.naive_bayes(known[word.known], word.labels, asked[word.asked])
        often = by_labels.most_frequent(word.labels, len(word.truth))
        bayes, most = (by_labels.scores(x, word.truth, len(word.senses)) for x in (found, often))
        measured = (most.right / most.texts, bayes.right / bayes.texts, bayes.recall)
        np.testing.assert_allclose(100 * np.array(measured), stated[word.name], atol=0.05)
    assert [len(p) for p in wic.splits(shared_data / "wic", True, print).values()] == [5428, 638, 1400]
