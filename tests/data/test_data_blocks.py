"""Batches of windows against a slow, obvious rebuilding of the same epochs."""

import collections
import os
import sys
import threading
import types

import numpy as np
import pytest

from w2v_jax.data import blocks, pipeline
from w2v_jax.data.blocks import Windows, window_source
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.hashing import key_of, thresholds, uniform_hash
from w2v_jax.data.order import cut_blocks
from w2v_jax.models import word2vec


def make_tokens(lengths, vocabulary=50, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = rng.integers(0, vocabulary, offsets[-1]).astype(np.uint16)
    return Tokens(tokens, offsets, int(offsets[-1]))


LENGTHS = [3, 1, 40, 7, 0, 200, 12, 5, 64, 63, 65, 1, 1, 130] * 3
TOKENS = make_tokens(LENGTHS)
ONES = np.ones(50)
SOME = np.linspace(0.05, 1.0, 50)
OPTIONS = {"seed": 5, "block_tokens": 64, "shuffle": True}


def shapes(window=3, segment=8, batch_size=32):
    return word2vec.shapes(word2vec.Word2VecConfig(window=window, segment=segment), batch_size)


def source(tokens=TOKENS, keep=SOME, batch_size=32, **changes):
    return window_source(tokens, keep, shapes(batch_size=batch_size), **(OPTIONS | changes))


def windows(tokens=TOKENS, keep=SOME, window=3, segment=8, batch_size=32, **changes):
    """The text behind a source."""
    return Windows(tokens, keep, window, segment, batch_size, **(OPTIONS | changes))


def epoch_of(src, epoch):
    """All steps of one epoch, [S, R, ...]."""
    first = epoch * src.steps_per_epoch
    return pipeline.stacked(src, first, first + src.steps_per_epoch, src.steps_per_epoch)


def centres(batch, window):
    """(tokens, docs) of all centres in order."""
    at = batch["reach"].reshape(-1) > 0
    middle = slice(window, batch["tokens"].shape[-1] - window)
    return batch["tokens"][..., middle].reshape(-1)[at], batch["doc"][..., middle].reshape(-1)[at]


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_token_is_a_centre_once_when_all_are_kept(shuffle):
    for epoch in (0, 1):
        src = source(keep=ONES, shuffle=shuffle)
        tokens, _ = centres(epoch_of(src, epoch), 3)
        assert collections.Counter(tokens.tolist()) == collections.Counter(TOKENS.tokens.tolist())
        assert src.steps_per_epoch == -(-len(TOKENS.tokens) // 32)
        if not shuffle:
            assert (tokens == TOKENS.tokens).all()


@pytest.mark.parametrize("keep", [ONES, SOME])
@pytest.mark.parametrize("epoch", [0, 3])
def test_windows_are_those_of_the_kept_documents(keep, epoch):
    """Every centre with its contexts equals what the documents give, cut by blocks and thinned by hand."""
    src = source(keep=keep, batch_size=8 * 5)
    drawn = uniform_hash(key_of(5, epoch, blocks._KEEP), 0, len(TOKENS.tokens))
    mask = drawn / 2.0**32 < keep[TOKENS.tokens]
    edges, _ = cut_blocks(TOKENS.offsets, 64)
    bounds = np.unique(np.concatenate([edges, TOKENS.offsets]))
    pieces = {}  # by position in the file of the first token
    for a, b in zip(bounds[:-1], bounds[1:], strict=True):
        pieces[int(a)] = TOKENS.tokens[a:b][mask[a:b]].tolist()
    order = windows(keep=keep).plan(epoch).order
    expected = []
    for block in order:
        for a in sorted(p for p in pieces if edges[block] <= p < edges[block + 1]):
            piece = pieces[a]
            expected += [(w, tuple(piece[max(0, i - 3) : i]), tuple(piece[i + 1 : i + 4])) for i, w in enumerate(piece)]
    batch = epoch_of(src, epoch)
    found = []
    for t, d, r in zip(*(batch[k].reshape(-1, batch[k].shape[-1]) for k in ("tokens", "doc", "reach")), strict=True):
        for j in np.flatnonzero(r):
            i = j + 3
            left = tuple(t[k] for k in range(i - 3, i) if d[k] == d[i])
            right = tuple(t[k] for k in range(i + 1, i + 4) if d[k] == d[i])
            found.append((t[i], left, right))
    assert found == expected


@pytest.mark.parametrize("keep", [ONES, SOME, np.zeros(50)])
def test_words_of_an_epoch_sum_to_the_corpus(keep):
    src = source(keep=keep)
    for epoch in range(3):
        words = epoch_of(src, epoch)["words"]
        assert words.sum() == len(TOKENS.tokens) and (words >= 0).all()


def test_pure_function_of_seed_and_step():
    src = source()
    total = 2 * src.steps_per_epoch + 3
    together = list(src.iterate(0, total))
    for k in (0, 1, src.steps_per_epoch - 1, src.steps_per_epoch, total - 1):
        (alone,) = source().iterate(k, k + 1)
        for name in src.spec:
            np.testing.assert_array_equal(together[k][name], alone[name])
    other = next(iter(source(seed=6).iterate(0, 1)))
    assert (other["tokens"] != together[0]["tokens"]).any()


def test_stacks_equal_single_steps_and_end_in_empty_ones():
    src = source()
    single = [b for b in src.iterate(3, 3 + 2 * src.steps_per_epoch)]
    stacks = list(src.iterate(3, 3 + 2 * src.steps_per_epoch, 7))
    assert len(stacks) == -(-len(single) // 7)
    for name, spec in src.spec.items():
        joined = np.concatenate([s[name] for s in stacks])
        assert joined.shape[1:] == spec.shape and joined.dtype == spec.dtype
        np.testing.assert_array_equal(joined[: len(single)], np.concatenate([b[name] for b in single]))
        assert (joined[len(single) :] == (-1 if name == "doc" else 0)).all() and len(joined) > len(single)
    assert list(src.iterate(4, 4)) == []


@pytest.mark.parametrize("count", [1, 2, 4])
def test_process_slices_make_the_global_batch(count):
    src = source()
    whole = list(src.iterate(2, 30, 5))
    parts = [list(source().iterate(2, 30, 5, i, count)) for i in range(count)]
    for call, batch in enumerate(whole):
        for name in src.spec:
            np.testing.assert_array_equal(np.concatenate([p[call][name] for p in parts], axis=1), batch[name])
    with pytest.raises(ValueError, match="evenly"):
        next(iter(src.iterate(0, 1, 1, 0, 3)))


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are not those of threads")
def test_threads_that_make_batches_give_way_and_no_others():
    def mine():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    seen, before, src = [], mine(), source()

    def watched(*arguments):
        seen.append(mine())
        src.write(*arguments)

    assert len(list(src._replace(write=watched).iterate(0, 4))) == 4
    assert seen == [max(before, pipeline._NICE)] * 4 and mine() == before

    def lowest():  # of a process that has a lower priority already
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        pipeline._give_way()
        seen.append(mine())

    thread = threading.Thread(target=lowest)
    thread.start()
    thread.join()
    assert seen[-1] == 19


def test_orders_differ_by_epoch_and_seed_and_are_permutations():
    text = windows()
    orders = [text.plan(e).order for e in range(3)] + [windows(seed=9).plan(0).order]
    for order in orders:
        assert sorted(order.tolist()) == list(range(len(order)))
    assert len({tuple(o.tolist()) for o in orders}) == 4


def test_kept_shares_match_the_probabilities():
    tokens = make_tokens([50] * 4000, vocabulary=20)
    keep = np.linspace(0.02, 1.0, 20)
    src = window_source(tokens, keep, shapes(2, 64, 4096), seed=1, block_tokens=4096)
    counts = np.bincount(tokens.tokens, minlength=20)
    for epoch in (0, 1):
        kept = np.bincount(centres(epoch_of(src, epoch), 2)[0], minlength=20)
        assert (abs(kept - counts * keep) <= 5 * np.sqrt(counts * keep * (1 - keep))).all()
        assert kept[19] == counts[19]
    # Two epochs decide independently: the share kept in both is the product.
    text = windows(tokens, keep, 2, 64, 4096, seed=1, block_tokens=4096)
    masks = [text._mask(e, 0, len(tokens.tokens)) for e in (0, 1)]
    both, share = (masks[0] & masks[1]).mean(), np.mean(keep[tokens.tokens] ** 2)
    assert abs(both - share) < 0.01


def test_reach_is_uniform_and_independent_of_keeping():
    tokens = make_tokens([50] * 4000, vocabulary=20)
    src = window_source(tokens, np.full(20, 0.3), shapes(5, 64, 4096), seed=1, block_tokens=4096)
    reach = epoch_of(src, 0)["reach"]
    share = np.bincount(reach[reach > 0], minlength=6)[1:] / (reach > 0).sum()
    assert reach.max() == 5 and (abs(share - 0.2) < 0.01).all()


def test_steps_per_epoch_hold_what_is_expected_and_never_more():
    tokens = make_tokens([50] * 4000)
    src = window_source(tokens, np.full(50, 0.25), shapes(2, 8, 64), seed=1, block_tokens=512)
    sigma = np.sqrt(200_000 * 0.25 * 0.75)
    assert src.steps_per_epoch == int(np.ceil((src.report["expected_kept"] + 6 * sigma) / 64))
    assert src.report["expected_kept"] == 50_000
    assert source(keep=np.full(50, 0.999)).steps_per_epoch <= -(-len(TOKENS.tokens) // 32)


def test_an_epoch_that_keeps_too_much_fails_and_is_not_cut():
    tokens = make_tokens([50] * 100)
    text = windows(tokens, np.full(50, 0.5), 2, 8, 8, seed=1, block_tokens=512)
    text.__dict__["steps_per_epoch"] = 10
    short = pipeline.Source(shapes(2, 8, 8), 10, text.write, {"doc": -1}, {})
    with pytest.raises(RuntimeError, match="more than 10 steps"):
        list(short.iterate(0, 3))


def test_empty_split_gives_one_empty_step():
    empty = Tokens(np.zeros(0, np.uint16), np.zeros(1, np.int64), 0)
    src = source(tokens=empty, shuffle=False)
    assert src.steps_per_epoch == 1
    (batch,) = src.iterate(0, 2, 2)
    assert (batch["doc"] == -1).all() and batch["reach"].sum() == 0 and batch["words"].sum() == 0


def test_blocks_hold_whole_documents_but_for_long_ones():
    edges, inside = cut_blocks(TOKENS.offsets, 64)
    assert edges[0] == 0 and edges[-1] == TOKENS.offsets[-1]
    assert (np.diff(edges) > 0).all() and np.diff(edges).max() <= 128
    splits = sum(-(-n // 64) - 1 for n in LENGTHS if n > 64)
    assert inside.sum() == splits
    assert set(edges[:-1][~inside].tolist()) <= set(TOKENS.offsets.tolist())


def test_parts_of_a_split_document_are_told_apart():
    tokens = make_tokens([300])
    batch = epoch_of(source(tokens=tokens, keep=ONES, shuffle=False), 0)
    docs = centres(batch, 3)[1]
    assert docs.tolist() == [i // 64 for i in range(300)]


@pytest.mark.parametrize("bad", [1.5, -0.1, np.nan])
def test_bad_probabilities(bad):
    with pytest.raises(ValueError, match="between 0 and 1"):
        source(keep=np.full(50, bad))


def test_every_split_has_its_own_text():
    """The test split was once the held-out text."""
    parts = {split: make_tokens([30 + i], seed=i) for i, split in enumerate(("train", "heldout", "test"))}
    vocab = types.SimpleNamespace(counts=np.full(50, 9))
    corpus = types.SimpleNamespace(**parts, vocab=vocab, block_tokens=64)
    cfg = word2vec.Word2VecConfig(window=3, segment=8, sample=0.0, vocab_size=50)
    for split, tokens in parts.items():
        found, _ = centres(epoch_of(word2vec.source(cfg, corpus, split, 32, 5), 0), 3)
        assert found.tolist() == tokens.tokens.tolist()


# ---- hashing ----


def test_hash_is_random_access_across_the_32_bit_boundary():
    key = key_of(3, 1, 1)
    start = 2**32 - 50
    block = uniform_hash(key, start, start + 100)
    np.testing.assert_array_equal(block, uniform_hash(key, np.arange(start, start + 100)))
    np.testing.assert_array_equal(block[60:70], uniform_hash(key, start + 60, start + 70))
    assert (block[50:] != uniform_hash(key, 0, 50)).any()


def test_hash_is_uniform_and_neighbours_are_uncorrelated():
    h = uniform_hash(key_of(0, 0, 1), 0, 1 << 20) / 2.0**32
    counts = np.histogram(h, 256, (0, 1))[0]
    assert ((counts - 4096) ** 2 / 4096).sum() < 255 + 5 * np.sqrt(2 * 255)
    for lag in (1, 2, 64):
        assert abs(np.corrcoef(h[:-lag], h[lag:])[0, 1]) < 5e-3
    for other in (key_of(0, 1, 1), key_of(1, 0, 1), key_of(0, 0, 2)):
        assert abs(np.corrcoef(h, uniform_hash(other, 0, 1 << 20))[0, 1]) < 5e-3


def test_thresholds():
    t = thresholds(np.array([0.25, 1.0, 0.0]))
    assert t.tolist() == [2**30 - 1, 2**32 - 1, 0]
