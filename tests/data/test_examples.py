"""Batches of labelled texts against the examples given."""

import collections
import types

import numpy as np
import pytest

from w2v_jax.data.examples import Order, example_source, split_tenth
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
