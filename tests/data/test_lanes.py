"""Lanes against the stream they are cut from, rebuilt with lists."""

import types

import numpy as np
import pytest

from w2v_jax.data.corpus import Tokens
from w2v_jax.data.lanes import lane_source
from w2v_jax.errors import UserError
from w2v_jax.models import running_text

START = 99
# (tokens, lanes, columns): exact fits, a last lane that is short, lanes without any token, one lane, one column.
SIZES = [(60, 4, 5), (61, 4, 5), (59, 4, 5), (10, 7, 3), (8, 7, 2), (23, 1, 4), (23, 5, 1), (23, 5, 50), (5, 4, 1)]


def make(count, lanes, length, start_id=START):
    tokens = np.random.default_rng(0).integers(1, 50, count).astype(np.uint16)
    offsets = np.array([0, count // 3, count], np.int64)
    shapes = running_text.shapes(types.SimpleNamespace(length=length), lanes)
    return tokens.tolist(), lane_source(Tokens(tokens, offsets, count), shapes, start_id=start_id)


def epoch_of(source, epoch=0, **options):
    first = epoch * source.steps_per_epoch
    return list(source.iterate(first, first + source.steps_per_epoch, **options))


@pytest.mark.parametrize("start_id", [START, None])
@pytest.mark.parametrize("size", SIZES)
def test_windows_of_a_lane_are_the_lane_and_the_lanes_are_the_stream(size, start_id):
    count, lanes, length = size
    stream, source = make(count, lanes, length, start_id)
    contexts = [start_id, *stream] if start_id is not None else stream
    pairs = list(zip(contexts, stream if start_id is not None else stream[1:], strict=False))
    each = -(-len(pairs) // lanes)
    assert source.steps_per_epoch == -(-each // length)
    batches = epoch_of(source)
    assert all(b[k].shape == (1, *source.spec[k].shape) and b[k].dtype == np.int32 for b in batches for k in b)
    inputs, targets = (np.concatenate([b[k][0] for b in batches], axis=1) for k in ("tokens", "targets"))
    for lane in range(lanes):
        mine = pairs[lane * each : (lane + 1) * each]
        padding = [(0, -1)] * (len(batches) * length - len(mine))
        assert list(zip(inputs[lane].tolist(), targets[lane].tolist(), strict=True)) == mine + padding
    assert targets[targets >= 0].tolist() == [target for _, target in pairs]
    words = np.concatenate([b["words"] for b in batches])
    assert (words == [[(row >= 0).sum() for row in b["targets"][0]] for b in batches]).all()
    assert words.sum() == len(pairs)


def test_every_epoch_is_the_same_and_its_first_step_alone_starts():
    _, source = make(61, 4, 5)
    first, later = epoch_of(source, 0), epoch_of(source, 3)
    for step, (a, b) in enumerate(zip(first, later, strict=True)):
        assert (a["start"] == (step == 0)).all()
        for name in source.spec:
            np.testing.assert_array_equal(a[name], b[name])


def test_any_step_is_the_same_however_it_is_reached():
    _, source = make(61, 4, 2)
    stop = 2 * source.steps_per_epoch + 3
    single = list(source.iterate(0, stop))
    for start in (0, 1, source.steps_per_epoch - 1, source.steps_per_epoch, stop - 1):
        stacks = list(source.iterate(start, stop, 5))
        assert len(stacks) == -(-(stop - start) // 5)
        for name, spec in source.spec.items():
            joined = np.concatenate([s[name] for s in stacks])
            assert joined.shape[1:] == spec.shape
            np.testing.assert_array_equal(joined[: stop - start], np.concatenate([b[name] for b in single[start:]]))
            assert (joined[stop - start :] == (-1 if name == "targets" else 0)).all()
    assert list(source.iterate(3, 3)) == []


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("start_id", [START, None])
def test_processes_share_the_lanes(count, start_id):
    _, source = make(62, 8, 3, start_id)
    whole = list(source.iterate(1, 9, 3))
    parts = [list(source.iterate(1, 9, 3, i, count)) for i in range(count)]
    for call, batch in enumerate(whole):
        for name in source.spec:
            np.testing.assert_array_equal(np.concatenate([p[call][name] for p in parts], axis=1), batch[name])
    with pytest.raises(ValueError, match="evenly"):
        next(iter(source.iterate(0, 1, 1, 0, 3)))


@pytest.mark.parametrize(("count", "lanes", "start_id"), [(6, 7, START), (7, 7, None), (0, 1, START), (0, 1, None)])
def test_fewer_tokens_than_lanes(count, lanes, start_id):
    with pytest.raises(UserError, match=rf"train.batch_size={lanes}: the text has only {min(count, 6)} tokens"):
        make(count, lanes, 3, start_id)
