"""What labelled texts and pairs of texts have in common: keys that are used or refused, and what is counted."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import pytest

from w2v_jax.config import DataConfig, SyntheticConfig
from w2v_jax.data.in_memory import USED
from w2v_jax.data.labelled import read_labelled
from w2v_jax.data.labelled_corpus import build_labelled_corpus
from w2v_jax.data.pair_corpus import build_pair_corpus
from w2v_jax.errors import UserError

OTHER: dict[str, Any] = {"document": "file", "phrase_score": "npmi", "synthetic": SyntheticConfig(words=999)}
LINES = {"tsv": "{}\tgood film {}\n", "pairs": "{}\tgood film {}\tfilm\n"}


def build(kind: str, folder: Path, text: str = "", say: Any = lambda line: None, **changes: Any) -> Any:
    text = text or "".join(LINES[kind].format(i % 2, i) for i in range(20))
    (folder / "t.tsv").write_text(text)
    cfg = DataConfig(**({"source": f"{kind}:{folder}/t.tsv", "min_count": 1} | changes))
    return build_pair_corpus(cfg, say=say) if kind == "pairs" else build_labelled_corpus(cfg, None, say=say)


@pytest.mark.parametrize("kind", LINES)
def test_every_key_is_used_or_refused(tmp_path: Path, kind: str) -> None:
    """Goes over all keys: one that is new is used, and stands in `USED`, or it is refused."""
    for field in dataclasses.fields(DataConfig):
        default = getattr(DataConfig, field.name)
        if field.name in USED:
            continue
        other = OTHER.get(field.name) or (not default if isinstance(default, bool) else default + type(default)(7))
        with pytest.raises(UserError, match=f"data.{field.name}\\b"):
            build(kind, tmp_path, **{field.name: other})


@pytest.mark.parametrize("kind", LINES)
def test_what_is_left_out_is_counted_in_every_split(tmp_path: Path, kind: str) -> None:
    (tmp_path / "test.tsv").write_text(LINES[kind].format(1, "n\u00adew 99") + "\n \n")
    said: list[str] = []
    found = build(kind, tmp_path, say=said.append, test_source=f"{kind}:{tmp_path}/test.tsv")
    digits = 10 + 2 * 10 + 2
    assert f"corpus: in no word: {digits} digits, 1 other characters" in said
    assert found.report["lost"]["digits"] == digits
    assert any("outside the vocabulary are dropped" in line for line in said)
    assert found.report["test_oov_words"] == 1 and f"{tmp_path}/test.tsv: 2 blank lines are skipped" in said


@pytest.mark.parametrize("kind", LINES)
def test_hidden_files_of_an_archive_are_counted(tmp_path: Path, kind: str) -> None:
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        archive.writestr("test.tsv", LINES[kind].format(1, "new"))
        archive.writestr("__MACOSX/._test.tsv", b"\0\1")
    said: list[str] = []
    found = build(kind, tmp_path, say=said.append, test_source=f"{kind}:{tmp_path}/test.zip")
    assert found.test.documents == 1 and f"{tmp_path}/test.zip: 1 hidden files in it are left out" in said


@pytest.mark.parametrize("kind", LINES)
def test_the_held_out_tenth_can_take_the_only_text_of_a_label(tmp_path: Path, kind: str) -> None:
    met = set()
    for at in range(3):
        text = "".join(LINES[kind].format(int(i != at), "x") for i in range(3))
        try:
            build(kind, tmp_path, text)
        except UserError as e:
            met.add(str(e).partition(": ")[2])
    (message,) = met
    assert "the tenth that is held out took all the others; give more of the others, or name other texts" in message


# ---- names of labels, and columns ----


def read(folder: Path, text: str, name: str = "x.tsv", **given: Any) -> tuple[Any, list[str]]:
    (folder / name).write_text(text)
    said: list[str] = []
    options = {key: given.pop(key) for key in ("labels",) if key in given}
    return read_labelled(f"tsv:{folder}/{name}", DataConfig(**options), None, say=said.append, **given), said


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("category\tsentence\n" + "ham\ta\nspam\tb\n" * 2, True),
        ("ham\ta\nspam\tb\n", False),
        ("ham\ta\n" + "spam\tb\n" * 3, True),  # a header cannot be told from a rare label
        ("ham\ta\nspam\tb\nham\tc\n", False),
    ],
)
def test_a_label_that_stands_in_the_first_line_alone(tmp_path: Path, text: str, warned: bool) -> None:
    found, said = read(tmp_path, text, labels="named")
    assert any("x.tsv:1: read as a text with label" in line for line in said) == warned
    assert read(tmp_path, text, labels="named", names=found.names)[1] == []  # of a test file


def test_labels_that_are_texts_are_refused(tmp_path: Path) -> None:
    for count in (4, 30):
        swapped = "".join(f"text number {i}\t{i % 2}\n" for i in range(count))
        message = f"{count} labels for {count} texts, of which 2 are distinct: check that a line is LABEL<TAB>TEXT"
        with pytest.raises(UserError, match=message):
            read(tmp_path, swapped, labels="named")
    read(tmp_path, "a\tone\nb\ttwo\nc\tthree\n", labels="named")
    with pytest.raises(UserError, match="x.tsv:1: label 'kind' is no integer; delete the line if it is a header"):
        read(tmp_path, "kind\ttext\n1\tone\n")


def test_blanks_around_labels_and_texts_that_a_mapping_leaves_out(tmp_path: Path) -> None:
    found, said = read(tmp_path, "4 \tone\n 0\ttwo\n2\tthree\n", labels="sst2")
    assert found.examples == [(1, "one"), (0, "two")]
    assert said == [f"tsv:{tmp_path}/x.tsv: 1 texts are left out by their label (data.labels=sst2)"]


def test_the_training_texts_decide_what_a_third_column_is(tmp_path: Path) -> None:
    one = "1\tgood\tid1\n"
    train, said = read(tmp_path, one + "0\tbad\tid2\n")
    assert train.named_rows is True and [text for _, text in train.examples] == ["good", "bad"] and len(said) == 1
    assert read(tmp_path, one, "one.tsv", named_rows=True)[0].examples == [(1, "good")]
    kept, _ = read(tmp_path, one + "0\tbad\tfilm\n")
    assert kept.named_rows is False
    assert read(tmp_path, one + "0\tbad\tid2\n", named_rows=False)[0].examples[0] == (1, "good id1")
    assert read(tmp_path, "1\tgood\n0\tbad\n")[0].named_rows is None
