"""Phrases by counts of neighbouring words: *new york* becomes the word `new_york` (Mikolov et al. 2013b, section 4).

With n(a), n(b) and n(ab) the counts of two words and of the pair in the training documents, N words in all, and m
`data.phrase_min_count`, a pair with n(ab) >= m is joined where its score is above `data.phrase_threshold`:

    word2phrase:  (n(ab) - m) N / (n(a) n(b))        of the C tool, whose threshold is 100; it may be any number
    npmi:         ln(p(ab) / (p(a) p(b))) / -ln p(ab),  p = n / N     from -1 to 1 (Bouma 2009)

A pass counts all pairs, and then joins from left to right; a word belongs to one pair at most. The next pass sees the
joined words, so that passes make longer phrases. Pairs never cross documents, and a stop word is in none. The work is
done on provisional ids: memory holds the distinct pairs, 16 bytes each.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data.counter import SPLITS
from w2v_jax.data.counting import SCRATCH, Counted
from w2v_jax.data.provisional import sizes
from w2v_jax.types import Say

JOINT = "_"
AUTO = {"word2phrase": 100.0, "npmi": 0.5}  # the thresholds of `data.phrase_threshold` = 0
Pass = tuple[tuple[str, str], ...]  # the pairs that one pass joins
_CHUNK = 1 << 20  # ids at a time
_SHOWN = 5
_LOW = np.uint64(0xFFFFFFFF)


def join(
    cfg: DataConfig, counted: Counted, stop: frozenset[str], work: Path, say: Say, given: tuple[Pass, ...] = ()
) -> Counted:
    """What reading would have counted had the phrases been words; the scratch file in `work` is written anew.

    The passes `given` of an earlier run are made as they are. Without, `cfg.phrases` passes are, fewer where one finds
    nothing.
    """
    if given:
        return _repeated(cfg, counted, work, say, given)
    for number in range(1, cfg.phrases + 1):
        barred = np.array([i == 0 or name in stop for i, name in enumerate(counted.names)], bool)
        keys, scores, pairs = scored(cfg, counted, barred, work / SCRATCH)
        if not len(keys):
            say(f"corpus: phrases, pass {number}: no pair scores above {threshold(cfg):g}")
            break
        counted = _joined(cfg, counted, keys, work / SCRATCH)
        best, often = (
            ", ".join(JOINT.join(_words(counted, int(keys[i]))) for i in np.argsort(-by, kind="stable")[:_SHOWN])
            for by in (scores, pairs)
        )
        above = f"{len(keys):,} pairs score above {threshold(cfg):g} and are joined"
        say(f"corpus: phrases, pass {number}: {above}, such as {best} by score, and {often} by count")
    return counted


def _repeated(cfg: DataConfig, counted: Counted, work: Path, say: Say, given: tuple[Pass, ...]) -> Counted:
    before = len(counted.phrases)
    for pairs in given:
        ids = {name: i for i, name in enumerate(counted.names) if i}
        keys = [ids[a] << 32 | ids[b] for a, b in pairs if a in ids and b in ids]
        if keys:
            counted = _joined(cfg, counted, np.array(sorted(keys), np.uint64), work / SCRATCH)
    occur = f"{sum(map(len, counted.phrases[before:])):,} of {sum(map(len, given)):,} occur"
    say(f"corpus: phrases: those of data.vocabulary_from={cfg.vocabulary_from} are joined, {occur}")
    return dataclasses.replace(counted, phrases=given)


def threshold(cfg: DataConfig) -> float:
    """`cfg.phrase_threshold`; where that is 0, the usual one of the score."""
    return cfg.phrase_threshold or AUTO[cfg.phrase_score]


def scored(
    cfg: DataConfig, counted: Counted, barred: np.ndarray, scratch: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(keys a << 32 | b of the pairs that are phrases, uint64, rising; their scores, float64; their counts)."""
    keys, pairs = _pairs(counted, scratch, barred, cfg.phrase_min_count)
    one = counted.counts[0].astype(np.float64)
    first, second = one[(keys >> np.uint64(32)).astype(np.int64)], one[(keys & _LOW).astype(np.int64)]
    total, both = one[1:].sum(), pairs.astype(np.float64)
    if cfg.phrase_score == "npmi":
        with np.errstate(divide="ignore", invalid="ignore"):  # a pair that is the whole text
            scores = np.log(both * total / (first * second)) / -np.log(both / total)
    else:
        scores = (both - cfg.phrase_min_count) * total / (first * second)
    kept = scores > threshold(cfg)
    return keys[kept], scores[kept], pairs[kept]


def _pairs(counted: Counted, scratch: Path, barred: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of neighbours that occur `least` times in training documents, as keys, and how often; int64."""
    usable = ~barred & (counted.counts[0] >= least)
    runs: list[tuple[np.ndarray, np.ndarray]] = []
    for ids, ends, splits in _chunks(counted, scratch):
        good = usable[ids[:-1]] & usable[ids[1:]] & ~ends[:-1] & (splits[:-1] == 0)
        runs.append(np.unique(_keys(ids)[good], return_counts=True))
        while len(runs) > 1 and len(runs[-1][0]) * 2 > len(runs[-2][0]):
            runs.append(_merged(runs.pop(), runs.pop()))
    while len(runs) > 1:
        runs.append(_merged(runs.pop(), runs.pop()))
    keys, counts = runs[0] if runs else (np.zeros(0, np.uint64), np.zeros(0, np.int64))
    kept = counts >= least
    return keys[kept], counts[kept]


def _merged(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    keys, place = np.unique(np.concatenate([one[0], other[0]]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, place, np.concatenate([one[1], other[1]]))
    return keys, counts


def _keys(ids: np.ndarray) -> np.ndarray:
    """Each id with the next one: uint64 [T - 1]."""
    wide = ids.astype(np.uint64)
    return (wide[:-1] << np.uint64(32)) | wide[1:]


def _chunks(
    counted: Counted, scratch: Path, cut: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(ids, whether a document ends with each, its split) in chunks; each begins with the id that ended the one before,
    so that no pair is missed. With `cut`, which says which pairs are joined, chunks share no id, and end between pairs.
    """
    total, stops = int(counted.lengths.sum()), np.cumsum(counted.lengths)
    if not total:
        return
    file = np.memmap(scratch, np.uint32, "r", shape=(total,))
    start = 0
    while start < total:
        stop = min(start + _CHUNK, total)
        ids = np.asarray(file[start:stop])
        document = np.searchsorted(stops, np.arange(start, stop), side="right")
        ends = np.zeros(len(ids), bool)
        ends[stops[(stops > start) & (stops <= stop)] - 1 - start] = True
        if cut is not None and stop < total and (inside := np.flatnonzero(~cut(ids, ends))).size:
            keep = int(inside[-1]) + 1  # the last pair that is not joined: between its words the chunk ends
            ids, ends, document, stop = ids[:keep], ends[:keep], document[:keep], start + keep
        yield ids, ends, counted.splits[document]
        start = stop if cut is not None or stop == total else stop - 1


def _joined(cfg: DataConfig, counted: Counted, keys: np.ndarray, scratch: Path) -> Counted:
    """Writes the scratch file with pair `keys[i]` as id P + i, and counts anew."""
    known = len(counted.names)

    def joins(ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
        pair = _keys(ids)
        return (keys[np.minimum(np.searchsorted(keys, pair), len(keys) - 1)] == pair) & ~ends[:-1]

    counts = np.zeros((len(SPLITS), known + len(keys)), np.int64)
    lengths: list[np.ndarray] = []
    open_length = 0
    new = scratch.with_name(f"{scratch.name}.joined")
    with open(new, "wb") as out:
        for ids, ends, splits in _chunks(counted, scratch, joins):
            taken = alternate(joins(ids, ends)) if len(ids) > 1 else np.zeros(0, bool)
            first = np.append(taken, False)
            kept = ~np.append(False, taken)
            made = ids.copy()
            made[first] = (known + np.searchsorted(keys, _keys(ids)[taken])).astype(np.uint32)
            out.write(np.ascontiguousarray(made[kept]).data)
            for split in np.unique(splits).tolist():
                counts[split] += np.bincount(made[kept & (splits == split)], minlength=counts.shape[1])
            sums = np.cumsum(kept)
            closed = np.diff(sums[ends], prepend=0)
            if len(closed):
                closed[0] += open_length
                open_length = 0
            open_length += int(sums[-1] - (sums[ends][-1] if len(closed) else 0))
            lengths.append(closed)
    os.replace(new, scratch)
    pairs = tuple(_words(counted, int(key)) for key in keys.tolist())
    names = [*counted.names, *(f"{a}{JOINT}{b}" for a, b in pairs)]
    return _settled(cfg, counted, names, counts, np.concatenate(lengths), pairs, scratch)


def _settled(
    cfg: DataConfig,
    counted: Counted,
    names: list[str],
    counts: np.ndarray,
    lengths: np.ndarray,
    pairs: Pass,
    scratch: Path,
) -> Counted:
    """The record of joined documents. A phrase may be a word of the text already: both get the id of the first."""
    first: dict[str, int] = {}
    place = np.array([0, *(first.setdefault(name, len(first) + 1) for name in names[1:])], np.int64)
    if len(first) + 1 < len(names):
        ids = np.memmap(scratch, np.uint32, "r+")
        for start in range(0, len(ids), _CHUNK):
            ids[start : start + _CHUNK] = place[ids[start : start + _CHUNK]]
        ids.flush()
        merged = np.zeros((len(counts), len(first) + 1), np.int64)
        np.add.at(merged.T, place, counts.T)
        names, counts = [names[0], *first], merged
    return dataclasses.replace(
        counted,
        names=names,
        counts=counts,
        sizes=np.append(counted.sizes, sizes(cfg.tokens, ["", *names[len(counted.names) :]])[1:]),
        words=counted.words if own_tokens(cfg.tokens) else counts[:, 1:].sum(axis=1),
        lengths=lengths,
        phrases=(*counted.phrases, pairs),
    )


def _words(counted: Counted, key: int) -> tuple[str, str]:
    return counted.names[key >> 32], counted.names[key & 0xFFFFFFFF]


def alternate(mask: np.ndarray) -> np.ndarray:
    """Every other True of each run, its first one included: what joining from left to right takes."""
    places = np.arange(len(mask))
    start = np.maximum.accumulate(np.where(mask & ~np.append(False, mask[:-1]), places, 0))
    return mask & ((places - start) % 2 == 0)


def applied(words: Sequence[str], passes: Sequence[frozenset[tuple[str, str]]]) -> list[str]:
    """The words of one text with the pairs of each pass joined."""
    found = list(words)
    for pairs in passes:
        mask = np.fromiter((pair in pairs for pair in itertools.pairwise(found)), bool, max(len(found) - 1, 0))
        taken = np.append(alternate(mask), False) if len(found) else mask
        skip = np.append(False, taken[:-1]) if len(found) else mask
        found = [f"{w}{JOINT}{found[i + 1]}" if taken[i] else w for i, w in enumerate(found) if not skip[i]]
    return found


def from_json(entry: Any) -> tuple[Pass, ...]:
    """The passes that a tokeniser's file holds. Raises ValueError or TypeError where it holds something else."""
    passes = tuple(tuple((a, b) for a, b in pairs) for pairs in entry)
    if not all(isinstance(word, str) for pairs in passes for pair in pairs for word in pair):
        raise ValueError("phrases that are no words")
    return passes
