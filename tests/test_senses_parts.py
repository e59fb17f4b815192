"""Several seeds of one model, results of several calls, headers and repeated pairs, in `experiments.word_sense`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.word_sense import report, seeds, wic
from w2v_jax.data import senses as data
from w2v_jax.errors import UserError


def test_rows_of_several_seeds_are_means_with_students_interval() -> None:
    def row(name: str, recall: float) -> dict[str, Any]:
        scores = {"micro": 0.5, "words": 0.5, "f1": 0.5, "recall": recall, "by_word": {"bank": {"recall": recall}}}
        return {"model": name, "classifier": "1-NN", "curves": {"as is": {"a": recall, "b": 1.0}}, **scores}

    rows = [row("m@0, word hidden", 0.1), row("x", 0.4), row("m@1, word hidden", 0.2), row("m@b, word hidden", 0.3)]
    mean, alone = seeds.pooled(rows, ("micro", "recall"))
    assert mean["model"] == "m, word hidden" and mean["seeds"] == 3 and alone == rows[1]
    assert mean["recall"] == pytest.approx(0.2) and mean["micro_interval"] == 0.0
    assert mean["recall_interval"] == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)
    assert mean["curves"] == {"as is": {"a": pytest.approx(0.2), "b": 1.0}}
    assert mean["by_word"]["bank"]["recall"] == pytest.approx(0.2)
    shots = [{"model": "m@0, word hidden", "classifier": "1-NN", "shots": 1, "micro": 0.5, "recall": 0.5}]
    said = report.over_seeds({"rows": rows, "few": shots})
    assert "20.0 ± 24.8" in said and "40.0" in said and report.over_seeds({"rows": rows[:2], "few": shots}) == ""
    names = ["m@0", "m@1", "m@1, word hidden", "m@0, word hidden", "x", "y@1"]
    assert seeds.expanded(("m", "m, word hidden"), names) == [(f"m@{s}", f"m@{s}, word hidden") for s in "01"]
    assert seeds.expanded(("x", "m"), names) == [("x", "m@0"), ("x", "m@1")]
    assert seeds.expanded(("m", "y"), names) == [("m@1", "y@1")]
    assert seeds.expanded(("x", "y@1"), names) == [("x", "y@1")]
    with pytest.raises(KeyError):
        seeds.expanded(("x", "z"), names)


def test_results_of_parts_are_put_together_or_refused(tmp_path: Path) -> None:
    about = {"words": {}, "notes": [], "seed": 0}

    def result(name: str, **changes: Any) -> dict[str, Any]:
        rows = [{"model": m, "classifier": "-"} for m in ("naive Bayes", name)]
        return {"command": name, "runs": {name: name}, "labelled": {**about, "rows": rows, "few": [], **changes}}

    (tmp_path / "a.json").write_text(json.dumps(result("a")))
    pairs = {"pairs": {}, "majority": {}, "rows": [{"model": "c"}, {"model": seeds.ALL}]}
    (tmp_path / "c.json").write_text(json.dumps(result("c") | {"wic": pairs}))
    found = seeds.together(result("b"), [tmp_path / "a.json", tmp_path / "c.json"])
    assert [row["model"] for row in found["labelled"]["rows"]] == ["naive Bayes", "a", "c", "b"]
    assert list(found["runs"]) == ["a", "c", "b"] and found["commands"] == ["a", "c"]
    assert [row["model"] for row in found["wic"]["rows"]] == ["c", seeds.ALL]
    more = pairs | {"rows": [{"model": "d"}, {"model": seeds.ALL}]}
    (tmp_path / "d.json").write_text(json.dumps(result("d") | {"wic": more}))
    found = seeds.together(result("b"), [tmp_path / "c.json", tmp_path / "d.json"])
    assert [row["model"] for row in found["wic"]["rows"]] == ["c", "d"], "of runs that were read together"
    named, other = result("b") | {"runs": {"a": "elsewhere"}}, result("b")
    other["labelled"]["rows"][0] = {"model": "naive Bayes", "classifier": "-", "micro": 1.0}
    for ours, message in (
        (named, "'a' is another run there, a; give one another name"),
        (other, "has other rows of 'naive Bayes'"),
        (result("b", seed=1), "on other texts or with another seed"),
    ):
        with pytest.raises(UserError, match=message):
            seeds.together(ours, [tmp_path / "a.json"])
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(UserError, match=r"b.json: no results of experiments.word_sense"):
        seeds.together(result("b"), [tmp_path / "b.json"])


def test_a_header_is_named_as_the_likely_cause(tmp_path: Path) -> None:
    (tmp_path / "f.tsv").write_text("word\tsense\tindex\ttext\nbank\tmoney\t1\tthe bank\n")
    with pytest.raises(UserError, match=r"f.tsv:1: index 'index' must be .*; delete the line if it is a header$"):
        data.read_occurrences(str(tmp_path / "f.tsv"))
    (tmp_path / "f.tsv").write_text("label\tword\tpos\tindex\tfirst\tsecond\nT\tgo\tV\t0-0\tgo\tgo\n")
    with pytest.raises(UserError, match=r"f.tsv:1: 'label' must be T or F; delete the line if it is a header$"):
        data.read_pairs(str(tmp_path / "f.tsv"))


def test_pairs_that_training_has_too_are_counted() -> None:
    texts = (("a", "bank"), ("the", "bank", "here"))
    one = data.Pair(True, "bank", "N", (1, 1), texts)
    other = one._replace(places=(0, 1))  # another word of the text
    turned = one._replace(same=False, texts=texts[::-1])
    parts = {"train": [one], "dev": [other, turned], "test": [other]}
    assert wic.also_in_training(parts) == {"dev": 1, "test": 0}
    row = {"model": "x", "chosen": "layer 1", "train": 1, "dev": 1, "error": 0, "dev_by_training_threshold": 1}
    found = {"pairs": {"train": 1, "dev": 2}, "majority": {"train": 1.0}, "rows": [row | {"threshold": 0.5}]}
    assert "\nalso among the training pairs: 1 of dev\n" in report.wic(found | {"also_in_training": {"dev": 1}})
    assert "100.00% (34.24% to 100.00%)" in report.wic(found)
    assert "also among" not in report.wic(found | {"also_in_training": {"dev": 0}})


def test_rows_of_one_run_have_an_error_over_test_occurrences() -> None:
    words = {"bank": {"senses": ["river", "money"], "train": 9, "test": 25}}
    rows = [
        {"model": "m", "classifier": "1-NN", "micro": share, "words": share, "recall": 0.5, "f1": 0.5}
        | {"by_word": {"bank": {"accuracy": share, "recall": 0.5}}}
        for share in (0.8, 1.0)
    ]
    text = report.labelled({"words": words, "rows": rows, "notes": []})
    assert "80.0 ± 8.0" in text and "100.0 (86.7 to 100.0)" in text
