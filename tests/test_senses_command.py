"""`experiments.senses` as a user runs it: a small masked model finds the planted senses of the synthetic language."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.senses.clusters import neighbours, typical
from experiments.senses.occurrences import Occurrence, passage
from tests.commands import Done, run
from tests.examples import saved
from w2v_jax.context import ContextEncoder
from w2v_jax.train.restore import open_model

LANGUAGE = {
    "source": "synthetic",
    "heldout_source": "synthetic:heldout",
    "tokens": "whitespace",
    "lowercase": "False",
    "max_vocab": "0",
    "unknown": "error",
    "synthetic.words": "80",
    "synthetic.topics": "3",
    "synthetic.senses": "6",
    "synthetic.distances": "1,2",
    "synthetic.tokens": "50000",
    "synthetic.heldout_tokens": "2000",
    "synthetic.test_tokens": "12000",
}
MODEL = {"layers": "1", "dim": "16", "heads": "2", "length": "64", "dropout": "0", "objective": "masked"}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked transformer with one layer, trained on 100,000 words."""
    folder = tmp_path_factory.mktemp("senses") / "run"
    given = [f"--config.data.{key}={value}" for key, value in LANGUAGE.items()]
    given += [f"--config.model.{key}={value}" for key, value in MODEL.items()]
    given += ["--config.train.passes=4", "--config.train.batch_size=16", "--config.optimizer.learning_rate=0.01"]
    given += ["--config.optimizer.warmup_steps=20", "--config.mesh.data=1", "--config.log.tensorboard=False"]
    done = run("experiments.train", "--config=configs/transformer.py", f"--workdir={folder}", *given)
    assert done.status == 0, done.err
    return folder


def senses(workdir: Path, *more: str) -> Done:
    return run("experiments.senses", f"--workdir={workdir}", *more)


def test_planted_senses_are_found_without_labels_and_not_by_one_vector(workdir: Path) -> None:
    done = senses(workdir, "--planted", "--most=80")
    assert done.status == 0, done.err
    found = json.loads((workdir / "senses" / "planted.json").read_text())
    static, *_, last = found["layers"]
    assert last["two"]["accuracy"] >= 0.95 and found["best"] >= last["two"]["accuracy"]
    assert static["two"]["accuracy"] == static["free"]["accuracy"] == found["majority"] < 0.7
    assert static["number"] == 1 and last["number"] < 3 and found["words"] >= 4
    assert found["best"] >= found["best_causal"] > 0.9
    assert re.search(r"most frequent sense +\d\d\.\d%", done.out)
    twice = senses(workdir, "--planted", "--most=80", f"--beside={workdir}", f"--out={workdir / 'twice'}")
    assert twice.status == 0, twice.err
    joined = json.loads((workdir / "twice" / "planted.json").read_text())["layers"]
    assert [layer["two"] for layer in joined] == [layer["two"] for layer in found["layers"]]


@pytest.fixture(scope="module")
def mapped(workdir: Path) -> tuple[Done, dict[str, Any], Path]:
    """Maps of two words of topics 0 and 1, where a third is rare, in a text of its own."""
    text = workdir.parent / "text.txt"
    words = [w for w in (workdir / "vocab.txt").read_text().split() if re.fullmatch(r"t\d(t\d)?w\d+", w)]
    double = next(w for w in words if re.match(r"t\dt\d", w))
    topics = re.findall(r"t\d", double.split("w")[0])
    own = [[w for w in words if w.startswith(f"{t}w")] for t in topics]
    rng = np.random.default_rng(0)
    lines = [" ".join([*rng.choice(own[i % 2], 6), double, *rng.choice(own[i % 2], 5), "<eos>"]) for i in range(60)] + [
        f"{own[0][0]} <b>not</b> {words[-1]}"
    ]
    text.write_text("\n".join(lines).replace(" <b>not</b>", "") + "\n")
    sentence = f"{own[1][0]} {own[1][1]} {double} {own[1][2]}"
    done = senses(
        workdir,
        f"--words={double},{double}x",
        f"--text=text:{text}",
        f"--sentence={sentence}",
        f"--sentence={own[0][0]} {double} {own[0][1]} {double}",
        "--most=50",
        "--out=" + str(workdir.parent / "maps"),
    )
    assert done.status == 0, done.err
    record = json.loads((workdir.parent / "maps" / "senses.json").read_text())
    return done, record | {"topics": topics, "double": double}, workdir.parent / "maps"


def test_a_map_has_two_clusters_with_their_words(mapped: tuple[Done, dict[str, Any], Path]) -> None:
    done, record, folder = mapped
    (word,) = record["words"]
    assert (word["word"], word["total"], word["read"]) == (record["double"], 60, 50)
    assert record["too_few"] == [{"word": f"{record['double']}x", "total": 0}]
    assert f"{record['double']}x: occurs 0 times, and --least=20 are needed" in done.err
    assert len(word["clusters"]) == 2 and sum(c["size"] for c in word["clusters"]) == 50
    of_topic = []
    for cluster in word["clusters"]:
        starts = {w[:2] for w in cluster["typical"]}
        assert len(starts) == 1 and starts < set(record["topics"]), cluster
        of_topic.append(starts.pop())
        assert all(f"[{record['double']}]" in example and of_topic[-1] in example for example in cluster["examples"])
    assert set(of_topic) == set(record["topics"])
    sentence, *twice = word["sentences"]
    assert of_topic[sentence["cluster"] - 1] == record["topics"][1], "clusters are counted from 1, as on the screen"
    assert [s["shown"].split().index(f"[{record['double']}]") for s in twice] == [1, 3], "a row for each occurrence"
    assert twice[0]["text"] == twice[1]["text"]
    for given in word["sentences"]:
        assert any(
            line.startswith(given["shown"]) and f" {given['cluster']} " in line for line in done.out.splitlines()
        )
    page = (folder / "report.html").read_text()
    assert "data:image/png;base64," in page and record["double"] in page
    assert (folder / "pictures" / "senses_0.png").read_bytes()[:4] == b"\x89PNG"


def test_the_same_seed_draws_the_same(workdir: Path, mapped: tuple[Done, dict[str, Any], Path]) -> None:
    _, record, folder = mapped
    text = f"--text=text:{workdir.parent / 'text.txt'}"
    done = senses(workdir, f"--words={record['double']}", text, "--most=50", f"--out={workdir.parent / 'again'}")
    assert done.status == 0, done.err
    again = json.loads((workdir.parent / "again" / "senses.json").read_text())["words"][0]
    assert again["clusters"] == record["words"][0]["clusters"]


def test_nearest_word_vectors_have_the_highest_cosine_without_the_mean(tmp_path: Path) -> None:
    model = open_model(saved(tmp_path, "multi_sense", end="", senses=2, dim=6))
    table = np.asarray(model.spec.embed(model.cfg, model.params)["E"], np.float64)  # type: ignore[misc]
    vector, centred = table[3] + table[5], table - table.mean(0)
    cosine = centred @ (vector - table.mean(0)) / np.linalg.norm(centred, axis=1)
    words = [model.tokenizer.words[i] for i in np.argsort(-cosine) if model.tokenizer.words[i] != "dog"]
    found = neighbours(ContextEncoder(model), vector, "dog")
    assert found == words[: len(found)] and len(found) == 8
    assert neighbours(ContextEncoder(model), vector[:3], "dog") == []


def test_passages_are_whole_sentences() -> None:
    words = [*["a", "b", "c", "."], *["x"] * 30, ".", *["d", "e", "f", "."], *["y"] * 60]
    assert passage(words, 36) == Occurrence(["d", "e", "f", "."], 1)
    assert passage(words, 2).words == words[:3] + words[3:4]
    middle = passage(words, 70)
    assert len(middle.words) == 57 and middle.words[middle.place] == words[70]
    assert Occurrence(list("abcdefg"), 3).shown(2) == "… b c [d] e f …"
    assert Occurrence(list("abc"), 0).shown(2) == "[a] b c"


def test_typical_words_are_those_the_others_have_less() -> None:
    drawn = [Occurrence(["zoo", "animal", "the", "mole"], 3)] * 5 + [Occurrence(["skin", "the", "mole"], 2)] * 5
    assert set(typical(drawn, np.arange(10) < 5)) == {"zoo", "animal"}
    assert typical(drawn, np.arange(10) >= 5) == ["skin"]
    assert "the" in typical(drawn, np.ones(10, bool))
    assert typical(drawn, np.arange(10) < 5, {"zoo"}) == ["animal"]
