"""Reading labelled texts."""

import gzip
import lzma
import re
import socket

import pytest

from w2v_jax.config import DataConfig
from w2v_jax.data.labelled import read_labelled
from w2v_jax.errors import UserError

# ---- reading ----


def read(source, classes=2, **options):
    return read_labelled(source, DataConfig(**options), classes).examples


LINES = '1\tGood  film.\tpos/3_9.txt\n0\tBad – film\n1\tquoted "tab\n'
EXAMPLES = [(1, "Good  film. pos/3_9.txt"), (0, "Bad – film"), (1, 'quoted "tab')]


def test_tsv_plain_and_packed_in_the_order_of_names(tmp_path):
    (tmp_path / "b.tsv").write_text("\ufeff" + LINES.replace("\n", "\r\n"), encoding="utf-8", newline="")
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(LINES.removesuffix("\n").encode()))
    (tmp_path / "c.tsv.xz").write_bytes(lzma.compress(b"0\tlast\xe2\x80\xa8line\n"))
    assert read(f"tsv:{tmp_path}/*.tsv*") == [*EXAMPLES, *EXAMPLES, (0, "last\u2028line")]
    assert read(f"tsv:{tmp_path}/b.tsv") == EXAMPLES


def told(tmp_path, content, **options):
    """(examples, names, lines that were said) of a file."""
    (tmp_path / "x.tsv").write_text(content, encoding="utf-8")
    said = []
    found = read_labelled(f"tsv:{tmp_path}/x.tsv", DataConfig(**options), None, say=said.append)
    return found.examples, found.names, said


@pytest.mark.parametrize(
    ("thirds", "named"),
    [
        (("pos/3_9.txt", "neg/1_2.txt", "id7"), True),
        (("pos/3_9.txt", "neg/1_2.txt", "neg/1_2.txt"), False),
        (("pos/3_9.txt", "neg/1_2.txt", "in 7 words"), False),
        (("one", "two", "three"), False),
        (("1", "2", "3\t4"), False),
        (("1", "2", ""), False),
        (("1",), False),
    ],
)
def test_further_columns_are_text_unless_they_name_it(tmp_path, thirds, named):
    content = "".join(f"{i % 2}\tfilm {i}\t{third}\n" for i, third in enumerate(thirds))
    examples, _, said = told(tmp_path, content)
    rests = ["" if named else " " + third.replace("\t", " ") for third in thirds]
    assert examples == [(i % 2, f"film {i}{rest}") for i, rest in enumerate(rests)]
    assert said == [f"{tmp_path}/x.tsv: the third column names the text of each line, and is left out"] * named


def test_blank_lines_are_counted_headers_are_told_and_labels_are_composed(tmp_path):
    content = "Sentiment\tTEXT\n\ncafe\u0301\tone\n \t \ncaf\u00e9\ttwo\n\n"
    examples, names, said = told(tmp_path, content, labels="named")
    assert names == ("Sentiment", "caf\u00e9") and examples == [(0, "TEXT"), (1, "one"), (1, "two")]
    blank, header = said
    assert "warning:" in header and "x.tsv:1: read as a text with label 'Sentiment'; delete the line if" in header
    assert blank.endswith("x.tsv: 3 blank lines are skipped")
    assert told(tmp_path, "a\ttext\nlabel\ttext\n", labels="named")[2] == []


def test_labels_that_may_be_one_are_told(tmp_path):
    content = "".join(f"{label}\tone\n" * 3 for label in ("ham", "HAM", "1", "1.0", "nan", "NaN", "2", "spam"))
    said = told(tmp_path, content, labels="named")[2]
    assert len(said) == 1 and "'1' and '1.0'; 'HAM' and 'ham'; 'NaN' and 'nan': they are read as diff" in said[0]


def test_label_mappings(tmp_path):
    (tmp_path / "x.tsv").write_text("".join(f"{i}\ttext {i}\n" for i in (3, 0, 2, 4, 1)))
    source = f"tsv:{tmp_path}/x.tsv"
    assert read(source, labels="sst2") == [(1, "text 3"), (0, "text 0"), (1, "text 4"), (0, "text 1")]
    assert [label for label, _ in read(source, labels="as_is", classes=5)] == [3, 0, 2, 4, 1]
    for options in ({"labels": "as_is", "classes": 4}, {"labels": "binary"}):
        with pytest.raises(UserError, match=r"x.tsv:\d: label \d is outside 0..[13]"):
            read(source, **options)
    with pytest.raises(UserError, match="labels='binry': must be binary.*did you mean 'binary'"):
        read(source, labels="binry")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.tsv: the file is empty"),
        (b"1\tone\n0 two\n", "x.tsv:2: no tab"),
        (b"1\tone\n\ntwo\n", "x.tsv:3: no tab"),
        (b'1\t"one\nand ""two"""\n', "x.tsv:1 opens with a quotation mark that is not closed there: quotes are not"),
        (b'1\t"one"\ntwo\n', "x.tsv:2: no tab; a line must be LABEL<TAB>TEXT"),
        (b"\n \n", "x.tsv: the file is empty"),
        (b"label\ttext\n", "x.tsv:1: label 'label' is no integer"),
        (b"1.0\tone\n", "x.tsv:1: label '1.0' is no integer"),
        (b"1\tone\n2\ttwo\n", "x.tsv:2: label 2 is outside 0..1"),
        (b"-1\tone\n", "x.tsv:1: label -1 is outside 0..1"),
        (b"1\tone\n1\t\xff\n", "x.tsv:2: not UTF-8"),
        (b"1\ta\0b\n", "x.tsv:1: holds a NUL"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, message):
    (tmp_path / "x.tsv").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)) as e:
        read(f"tsv:{tmp_path}/x.tsv")
    assert "\n" not in str(e.value)


def test_bad_sources(tmp_path):
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(LINES.encode() * 50)[:-20])
    (tmp_path / "y.tsv.xz").write_bytes(b"1\tplain text\n")
    (tmp_path / "z.tsv").write_text("2\tneutral\n")
    for source, labels, message in (
        (f"tsv:{tmp_path}/*.csv", "binary", "matches no file"),
        (f"tsv:{tmp_path}", "binary", "not a regular file"),
        (f"tsv:{tmp_path}/x.tsv.gz", "binary", "x.tsv.gz: damaged or truncated"),
        (f"tsv:{tmp_path}/y.tsv.xz", "binary", "y.tsv.xz: damaged or truncated"),
        (f"tsv:{tmp_path}/z.tsv", "sst2", "no example is left under labels=sst2"),
        ("csv:x", "binary", "needs labelled texts: tsv:GLOB, jsonl:GLOB or tfds:NAME"),
        ("tsv:", "binary", "needs labelled texts: tsv:GLOB, jsonl:GLOB or tfds:NAME"),
    ):
        with pytest.raises(UserError, match=message):
            read(source, labels=labels)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Record files written by TFDS itself: `text` in two splits, `sentence`, and a label that is text."""
    tfds = pytest.importorskip("tensorflow_datasets")
    root = tmp_path_factory.mktemp("tfds")
    number, text = tfds.features.ClassLabel(num_classes=2), tfds.features.Text()

    def write(name, field, kind, labels, texts):
        data = [(i, {field: t, "label": y}) for i, (t, y) in enumerate(zip(texts, labels, strict=True))]
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict({field: text, "label": kind}),
            split_datasets={"train": data, "test": data[:1]},
            data_dir=str(root),
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            disable_shuffling=True,
        )

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)
        write("reviews", "text", number, [1, 0], ["good é", "bad"])
        write("sentences", "sentence", number, [1, 0], ["fine", b"\xff"])
        write("words", "text", text, ["one", "two"], ["a", "b"])
        patch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", False)
        yield str(root)


def test_tfds(prepared):
    assert sorted(read("tfds:reviews", data_dir=prepared)) == [(0, "bad"), (1, "good é")]
    assert read("tfds:reviews:1.0.0@test", data_dir=prepared) == [(1, "good é")]
    assert read("tfds:sentences@test", data_dir=prepared) == [(1, "fine")]
    named = read_labelled("tfds:words", DataConfig(data_dir=prepared, labels="named"), None)
    assert sorted(named.examples) == [(0, "a"), (1, "b")] and named.names == ("one", "two")
    assert read_labelled("tfds:reviews", DataConfig(data_dir=prepared, labels="named"), None).names == ("0", "1")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tfds:nothing", "not prepared"),
        ("tfds:reviews@valid", "no split 'valid', only train, test"),
        ("tfds:words", "integer label 'label'"),
        ("tfds:sentences", "sentences train, example 1: not UTF-8"),
    ],
)
def test_tfds_errors(prepared, source, message):
    with pytest.raises(UserError, match=message):
        read(source, data_dir=prepared)
