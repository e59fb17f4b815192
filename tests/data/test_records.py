"""JSON Lines as running text and as labelled texts, and labels that are names."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.data.corpora import rows
from w2v_jax.config import DataConfig
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.data.labelled import read_labelled
from w2v_jax.data.labelled_corpus import build_labelled_corpus
from w2v_jax.errors import UserError

POSTS: list[dict[str, Any]] = [
    {"group": "sci.space", "subject": "The moon", "body": "the moon\n\nis far"},
    {"group": "alt.b", "subject": "Tea", "body": " tea\r\nwith milk "},
    {"group": "alt.b", "subject": "\ud83d\ude00 é", "body": ""},
]


def lines_of(posts: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(post) + "\n" for post in posts).encode()


RULES: dict[str, Any] = {"min_count": 1, "heldout_every": 0}


def corpus_of(folder: Path, path: Path | str, **changes: Any) -> Corpus:
    given = {"cache_dir": str(folder / "cache"), "field": "body"} | RULES | changes
    return build_corpus(DataConfig(source=f"jsonl:{path}", **given))


def documents(corpus: Corpus) -> list[str]:
    return [" ".join(corpus.vocab.words[i] for i in ids) for ids in rows(corpus.train)]


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.jsonl.xz", "t.jsonl.bz2", "t.jsonl.zst", "t.zip"])
def test_every_record_is_one_document(name: str, tmp_path: Path) -> None:
    """Line breaks inside a record and data.document end no document; blank lines and a byte-order mark hold none."""
    content = b"\xef\xbb\xbf" + lines_of(POSTS).replace(b"\n", b"\r\n \n", 1)
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("t.jsonl", content.rstrip())
    else:
        import zstandard

        pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}
        (tmp_path / name).write_bytes(pack.get(Path(name).suffix, bytes)(content))
    found = corpus_of(tmp_path, tmp_path / name)
    assert documents(found) == ["the moon is far", "tea with milk"] and found.report["empty_documents"] == 1
    assert documents(corpus_of(tmp_path, tmp_path / name, document="blank")) == documents(found)


def test_fields_are_joined_and_are_part_of_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(lines_of(POSTS))
    bodies = corpus_of(tmp_path, path)
    both = corpus_of(tmp_path, path, field="subject+body", heldout_source=f"jsonl:{path}", test_source=f"jsonl:{path}")
    assert documents(both) == ["the moon the moon is far", "tea tea with milk", "é"]
    assert both.heldout.documents == both.test.documents == 3
    assert documents(corpus_of(tmp_path, path)) == documents(bodies), "the cache of another field is not taken"
    assert corpus_of(tmp_path, path, field="subject+body").digest not in (bodies.digest, both.digest)
    os.utime(path, (1, 1))
    said: list[str] = []
    build_corpus(DataConfig(f"jsonl:{path}", field="body", **RULES, cache_dir=f"{tmp_path}/cache"), said.append)
    assert any("cached in" in line for line in said), "a file with another time and the same content is not read again"


def test_characters_keep_the_text_of_a_record(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(lines_of(POSTS[:2]))
    found = corpus_of(tmp_path, tmp_path / "t.jsonl", tokens="characters", lowercase=False)
    text = ["".join(found.vocab.words[i] for i in ids) for ids in rows(found.train)]
    assert text == ["the moon\n\nis far", " tea\r\nwith milk"]


BAD = {
    b'{"body": "a"}\n[1]\n': "t.jsonl:2: not a JSON object",
    b'{"body": "a"}\nplain\n': "t.jsonl:2: not JSON (Expecting value",
    b'{"body": "a"}\n' + b"[" * 100_000: "t.jsonl:2: not JSON (nested too deep)",
    b'{"text": "a"}\n': "t.jsonl:1: no field 'body' (data.field), only 'text'",
    b'{"body": null}\n': "t.jsonl:1: field 'body' (data.field) is missing (null), not a string",
    b'{"body": "a\\u0000"}\n': "t.jsonl:1: holds a NUL",
    b'{"body": "a\\ud800"}\n': "t.jsonl:1: holds half of a surrogate pair",
    b'{"body": "\xff"}\n': "t.jsonl:1: not UTF-8",
    b'{"body": "a"}\r{"body": "b"}\r': "t.jsonl: its lines end in carriage returns alone",
    b"": "t.jsonl: the file is empty",
    b"\n": "no word found",
}


@pytest.mark.parametrize("content", BAD)
def test_a_bad_record_is_named_with_file_and_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(content)
    with pytest.raises(UserError) as e:
        corpus_of(tmp_path, tmp_path / "t.jsonl")
    assert BAD[content] in str(e.value) and "\n" not in str(e.value)


def test_what_is_not_text_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"body": "one \\ud800 \xff two"}\n')
    found = corpus_of(tmp_path, tmp_path / "t.jsonl", encoding_errors="replace")
    assert documents(found) == ["one two"] and found.report["replaced"] == 2


def test_names_of_labels_are_sorted_and_those_of_training_rule(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines_of(POSTS))
    (tmp_path / "dev.tsv").write_text("sci.space\tthe moon\n")
    (tmp_path / "test.tsv").write_text("sci.space\tfar\nalt.c\tx\n")
    said: list[str] = []
    cfg = DataConfig(
        source=f"jsonl:{tmp_path}/train.jsonl",
        heldout_source=f"tsv:{tmp_path}/dev.tsv",
        field="body",
        label_field="group",
        labels="named",
        min_count=1,
    )
    found = build_labelled_corpus(cfg, None, say=said.append)
    assert found.names == ("alt.b", "sci.space") and found.report["labels"] == ["alt.b", "sci.space"]
    assert found.train.labels.tolist() == [1, 0, 0] and found.heldout.labels.tolist() == [1]
    assert found.train.empty == 1 and len(found.train.ids[2]) == 0
    assert "corpus: train: 1 texts without a known word are kept; 1 of them are empty" in said
    assert build_labelled_corpus(cfg, 2).digest == found.digest
    with pytest.raises(UserError, match="model.classes=3: .* has 2 named labels; set model.classes=2"):
        build_labelled_corpus(cfg, 3)
    (tmp_path / "one.tsv").write_text("spam\tone\nspam\ttwo\n")
    with pytest.raises(UserError, match="one.tsv': all training texts have label spam: give texts of two labels"):
        build_labelled_corpus(DataConfig(source=f"tsv:{tmp_path}/one.tsv", labels="named"), 2)
    with pytest.raises(UserError, match=r"test.tsv:2: label 'alt.c' is not among .*: alt.b, sci.space .*mean 'alt.b'"):
        read_labelled(f"tsv:{tmp_path}/test.tsv", cfg, None, found.names)


@pytest.mark.parametrize(
    ("content", "labels", "message"),
    [
        ('{"text": "a"}', "named", "no field 'label' (data.label_field)"),
        ('{"text": "a", "label": " "}', "named", "the label is missing; give the text a label, or delete the line"),
        ('{"text": "a", "label": NaN}', "named", "t.jsonl:1: the label is missing (NaN); give the text a label, or"),
        ('{"text": "a", "label": null}', "binary", "t.jsonl:1: the label is missing (null); give the text a label"),
        ('{"text": "a", "label": [1]}', "named", "the label is an array; write a name or a number, or delete"),
        ('{"text": "a", "label": "ham"}', "as_is", "label 'ham' is no integer; for labels that are names"),
        ('{"text": "a", "label": 1.5}', "binary", "label 1.5 is no integer"),
        ('{"text": "a", "label": 99}', "as_is", "the labels go up to 99, of 1 texts"),
        ('{"text": "a", "label": -1}', "as_is", "label -1 is outside 0.."),
    ],
)
def test_bad_labels_are_named(content: str, labels: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(content + "\n")
    with pytest.raises(UserError) as e:
        read_labelled(f"jsonl:{tmp_path}/t.jsonl", DataConfig(labels=labels), None)
    assert message in str(e.value) and "t.jsonl" in str(e.value)


def test_numbers_and_truth_values_of_json_are_labels(tmp_path: Path) -> None:
    content = "".join(json.dumps({"text": "a", "label": label}) + "\n" for label in (True, "0", 1))
    (tmp_path / "t.jsonl").write_text(content)
    source = f"jsonl:{tmp_path}/t.jsonl"
    assert [label for label, _ in read_labelled(source, DataConfig(), None).examples] == [1, 0, 1]
    assert read_labelled(source, DataConfig(labels="named"), None).names == ("0", "1", "true")


def test_whole_numbers_with_a_point_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": 1.0}\n{"text": "b", "label": 0}\n')
    assert read_labelled(f"jsonl:{path}", DataConfig()).examples == [(1, "a"), (0, "b")]
