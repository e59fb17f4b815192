"""Labelled texts: reading them, and their batches against the examples given."""

import collections
import gzip
import lzma
import re
import socket
import types

import numpy as np
import pytest

from w2v_jax.config import DataConfig
from w2v_jax.data.examples import Order, example_source, split_tenth
from w2v_jax.data.labelled import read_labelled
from w2v_jax.errors import UserError
from w2v_jax.models import label_models

RNG = np.random.default_rng(0)
LENGTHS = [0, 1, 1, 2, 30, 12, 13, *RNG.integers(1, 25, 90).tolist()]
# The first token is the example's number, so that a row tells where it comes from (an empty one is example 0).
IDS = [
    np.concatenate([[i], RNG.integers(1, 500, n - 1)]).astype(np.int64) if n else np.zeros(0)
    for i, n in enumerate(LENGTHS)
]
LABELS = RNG.integers(0, 3, len(IDS))
COUNT, SIZE, LONGEST = len(IDS), 8, 12
OPTIONS = {"buckets": 3, "seed": 5, "shuffle": True}


def source(**changes):
    return example_source(IDS, LABELS, shapes(SIZE, LONGEST), **(OPTIONS | changes))


def order_of(**changes):
    """Which example is where, of the source with the same options."""
    return Order(np.minimum(LENGTHS, LONGEST), SIZE, **(OPTIONS | changes))


def shapes(size, longest):
    return label_models.shapes(types.SimpleNamespace(max_length=longest), size)


def epoch_of(src, epoch=0):
    first = epoch * src.steps_per_epoch
    (batch,) = src.iterate(first, first + src.steps_per_epoch, src.steps_per_epoch)
    return batch


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("buckets", [1, 3, 13, 40])
def test_every_example_once_a_pass_with_its_own_tokens(buckets, shuffle):
    src = source(buckets=buckets, shuffle=shuffle)
    assert src.steps_per_epoch == -(-COUNT // SIZE)
    for epoch in (0, 2):
        batch, order = epoch_of(src, epoch), order_of(buckets=buckets, shuffle=shuffle)(epoch)
        seen = []
        for tokens, length, label, words, index in zip(
            *(batch[k].reshape(-1, *batch[k].shape[2:]) for k in ("tokens", "length", "label", "words")),
            order.reshape(-1),
            strict=True,
        ):
            assert words == length and (tokens[length:] == 0).all()
            if label < 0:
                assert index == -1 and length == 0
                continue
            seen.append(int(tokens[0]))
            assert index == seen[-1] and label == LABELS[index]
            assert tokens[:length].tolist() == IDS[index][:LONGEST].tolist()
        assert sorted(seen) == list(range(COUNT))
        np.testing.assert_array_equal(batch["steps"], np.repeat(batch["length"].max(1)[:, None], SIZE, 1))


def test_one_batch_of_a_pass_is_not_full():
    batch = epoch_of(source())
    missing = (batch["label"] < 0).sum(1)
    assert sorted(missing.tolist())[-2:] == [0, -COUNT % SIZE] and -COUNT % SIZE > 0


def test_batches_hold_similar_lengths_and_more_buckets_less_padding():
    clipped = np.sort(np.minimum(LENGTHS, LONGEST))
    steps = -(-COUNT // SIZE)
    computed = {}
    for buckets in (1, 3, steps):
        batch = epoch_of(source(buckets=buckets))
        computed[buckets] = batch["steps"].sum()
        # A batch lies within one bucket: its lengths within those of that part of the sorted examples.
        edges = [k * steps // buckets * SIZE for k in range(buckets + 1)]
        ranges = [(clipped[a], clipped[min(b, COUNT) - 1]) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        for lengths, labels in zip(batch["length"], batch["label"], strict=True):
            there = lengths[labels >= 0]
            assert any(a <= there.min() and there.max() <= b for a, b in ranges)
    assert computed[1] > computed[3] > computed[steps]
    assert computed[steps] == SIZE * sum(clipped[i : i + SIZE].max() for i in range(0, COUNT, SIZE))


def test_orders_differ_by_epoch_and_seed_only_when_shuffled():
    orders = [order_of()(0), order_of()(1), order_of(seed=6)(0)]
    assert len({o.tobytes() for o in orders}) == 3
    batches = [[frozenset(row) for row in o.tolist()] for o in orders]
    assert len({frozenset(b) for b in batches}) == 3  # other batches, and not only another order of them
    fixed = order_of(buckets=source().steps_per_epoch)
    first, later = ([frozenset(row) for row in fixed(epoch).tolist()] for epoch in (0, 1))
    assert set(first) == set(later) and first != later
    np.testing.assert_array_equal(orders[0], order_of()(0))
    assert (order_of(shuffle=False)(0) == order_of(shuffle=False, seed=6)(1)).all()
    lengths = epoch_of(source(shuffle=False))["length"].reshape(-1)[:COUNT]
    assert (np.diff(lengths) >= 0).all()


def test_buckets_are_shuffled_evenly():
    """With one bucket the first batch of many epochs draws every example about equally often."""
    order = order_of(buckets=1)
    seen = collections.Counter(i for e in range(400) for i in order(e)[0].tolist() if i >= 0)
    mean = sum(seen.values()) / COUNT
    chi = sum((seen[i] - mean) ** 2 / mean for i in range(COUNT))
    assert chi < COUNT + 6 * np.sqrt(2 * COUNT)


def test_any_step_is_the_same_however_it_is_reached():
    src = source()
    stop = 2 * src.steps_per_epoch + 3
    single = list(src.iterate(0, stop))
    for start in (0, 1, src.steps_per_epoch - 1, src.steps_per_epoch, stop - 1):
        stacks = list(source().iterate(start, stop, 5))
        for name, spec in src.spec.items():
            joined = np.concatenate([s[name] for s in stacks])
            assert joined.shape[1:] == spec.shape and joined.dtype == spec.dtype
            np.testing.assert_array_equal(joined[: stop - start], np.concatenate([b[name] for b in single[start:]]))
            assert (joined[stop - start :] == (-1 if name == "label" else 0)).all()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_process_slices_make_the_global_batch(count):
    src = source()
    whole = list(src.iterate(2, 20, 5))
    parts = [list(source().iterate(2, 20, 5, i, count)) for i in range(count)]
    for call, batch in enumerate(whole):
        for name in src.spec:
            np.testing.assert_array_equal(np.concatenate([p[call][name] for p in parts], axis=1), batch[name])
    with pytest.raises(ValueError, match="evenly"):
        next(iter(src.iterate(0, 1, 1, 0, 3)))


def test_report_of_what_is_cut():
    long = [n for n in LENGTHS if n > LONGEST]
    share = sum(n - LONGEST for n in long) / sum(LENGTHS)
    expected = {"examples": COUNT, "empty_examples": 1, "cut_examples": len(long), "cut_share": pytest.approx(share)}
    assert source().report == expected and 0 < share < 1


def test_single_example():
    src = example_source([np.array([7, 8])], np.array([1]), shapes(2, 3), buckets=4, seed=0, shuffle=True)
    batch = epoch_of(src, 1)
    assert batch["tokens"].tolist() == [[[7, 8, 0], [0, 0, 0]]] and batch["label"].tolist() == [[1, -1]]
    assert batch["steps"].tolist() == [[2, 2]]


@pytest.mark.parametrize(("ids", "labels"), [([], []), (IDS[:2], [1]), (IDS[:2], [0, -1])])
def test_labels_must_fit(ids, labels):
    with pytest.raises(ValueError, match="labels"):
        example_source(ids, np.array(labels), shapes(2, 3), buckets=1, seed=0, shuffle=True)


@pytest.mark.parametrize("n", [2, 9, 10, 101])
def test_a_tenth_is_held_out(n):
    train, held = split_tenth(n, 3)
    assert len(held) == max(1, n // 10) and sorted([*train, *held]) == list(range(n))
    assert (np.diff(train) > 0).all() and (np.diff(held) > 0).all()
    again = split_tenth(n, 3)
    assert (again[0] == train).all() and (again[1] == held).all()
    assert n < 100 or split_tenth(n, 4)[1].tolist() != held.tolist()
    with pytest.raises(ValueError, match="cannot be split"):
        split_tenth(1, 3)


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
