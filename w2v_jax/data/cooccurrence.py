"""Counts of how often words occur near each other, in sorted shards in the cache, made in bounded memory.

    X_ij = sum over places t of word i, over distances d = 1..W, of weight(d) [word at t - d or t + d is j],

within a document. The weights are multiples of 1 / unit: counts are kept as integers in that unit, so that they are the
same bit for bit however the work was cut up, spilled or shared between threads.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.data.cache import building, damaged_at_once, discard, key_of, put, seal, unseal
from w2v_jax.data.corpus import Corpus, Tokens
from w2v_jax.data.hashing import key_of as hash_key
from w2v_jax.data.hashing import thresholds, uniform_hash
from w2v_jax.data.sorted_runs import ENTRY_BYTES, MERGE_BYTES, Run, Writer, ahead, merge, opened, sum_tagged
from w2v_jax.errors import UserError
from w2v_jax.types import Say

FORMAT = 1  # raise it when the files or the meaning of a rule change
WEIGHTINGS, SIDES = ("flat", "harmonic", "linear"), ("both", "left", "right")
MOST_WINDOW = 100
_THREADS = 2
_SHARD = 1 << 22  # entries of one file, 32 MB of keys and 32 MB of counts
_KEEP = 4  # what a hash is drawn for, beside those of `w2v_jax.data.blocks`
_PAIR_BYTES = 48  # that counting needs for each pair of a chunk: key, sorted copy, weights, sums
_TOKEN_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Rules:
    """What is counted. `keep` [V] is the probability that a token is kept before windows are formed."""

    window: int
    weighting: str = "flat"  # 1 | harmonic: 1 / d (GloVe) | linear: (W + 1 - d) / W (word2vec's dynamic window)
    side: str = "both"  # contexts on both sides of a word | on its left | on its right
    keep: np.ndarray | None = None  # float64; None keeps every token
    seed: int = 0  # of the tokens that are kept

    def key(self) -> dict[str, Any]:
        """Plain values that tell rules apart."""
        kept = None if self.keep is None else [key_of(self.keep.tolist()), self.seed]
        return {"window": self.window, "weighting": self.weighting, "side": self.side, "kept": kept}


def numerators(weighting: str, window: int) -> tuple[np.ndarray, int]:
    """(int64 [W], unit): the weight of distance d is numerators[d - 1] / unit.

    1 / d is exact while the least common multiple of 1..W is below 2**32 (W <= 22), beyond that rounded to 2**-32.
    """
    distance = np.arange(1, window + 1)
    if weighting == "flat":
        return np.ones(window, np.int64), 1
    if weighting == "linear":
        return (window + 1 - distance).astype(np.int64), window
    unit = min(math.lcm(*distance.tolist()), 1 << 32)
    return np.rint(unit / distance).astype(np.int64), unit


@dataclasses.dataclass(frozen=True, eq=False)
class Cooccurrences:
    """Counts in shards sorted by word, then context: keys i V + j and counts in 1 / unit, mapped from files.

    With contexts on both sides X is symmetric and the shards hold i <= j only.
    """

    size: int  # V
    shards: list[Run]
    unit: int
    symmetric: bool
    report: dict[str, Any]  # tokens kept, pairs of places, entries of the shards
    digest: str

    @property
    def entries(self) -> int:
        """Pairs in the shards."""
        return int(self.report["entries"])

    def read(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(i int64, j int64, X_ij float64) of the entries numbered `at`, int64 [N] in any order."""
        keys, counts = np.empty(len(at), np.int64), np.empty(len(at), np.int64)
        shard = at // _SHARD
        for number, run in enumerate(self.shards):
            mine = slice(None) if len(self.shards) == 1 else np.flatnonzero(shard == number)
            place = at[mine] - number * _SHARD
            keys[mine], counts[mine] = run.keys[place], run.counts[place]
        return keys // self.size, keys % self.size, counts / self.unit

    def scan(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(i, j, X_ij) of all pairs of words that occur together, shard by shard; both (i, j) and (j, i) occur."""
        for run in self.shards:
            first, second, value = run.keys // self.size, run.keys % self.size, run.counts / self.unit
            yield first, second, value
            if self.symmetric:
                off = first != second
                yield second[off], first[off], value[off]

    def marginals(self) -> tuple[np.ndarray, np.ndarray]:
        """(sum over contexts of each word, sum over words of each context), float64 [V] each."""
        words, contexts = np.zeros(self.size), np.zeros(self.size)
        for first, second, value in self.scan():
            words += np.bincount(first, value, self.size)
            contexts += np.bincount(second, value, self.size)
        return words, contexts


def cooccurrences(
    text: Corpus, rules: Rules, split: str = "train", memory_mb: float = 1024, say: Say = lambda line: None
) -> Cooccurrences:
    """Opens the counts of a split in the cache beside the corpus, after counting where the cache lacks them.

    Windows never cross documents. `memory_mb` bounds the working arrays, not the interpreter and the vocabulary; it
    changes no count. A damaged shard is named, and the counts are made again.

    Raises:
      UserError: no pair of known words in any document (not for other splits than 'train'), a vocabulary too large.
      OSError: the cache cannot be written; nothing half-written stays.
    """
    root, size = text.directory.parent, len(text.vocab.words)
    # Directories of the cache are named by what they hold; the corpus is named by its digest.
    digest = key_of([{"format": FORMAT, "corpus": text.digest, "split": split}, rules.key()])
    home = root / digest
    found = _open(home, size, digest, say)
    if found is None:
        with building(root) as work:
            seal(work, _count(getattr(text, split), size, rules, work, int(memory_mb * 2**20), say))
            put(work, home)
        found = _open(home, size, digest, say)
        if found is None:
            raise damaged_at_once(home)
    else:
        say(f"co-occurrences: cached in {home}")
    if split == "train" and not found.entries:
        raise UserError(
            "data.source: no document has two known words, so no word has a neighbour; set data.document=blank or "
            "file, lower data.min_count, or give more text"
        )
    return found


def _open(home: Path, size: int, digest: str, say: Say) -> Cooccurrences | None:
    try:
        meta = unseal(home)
        shards = opened(home, "pairs", _SHARD, meta["report"]["entries"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        if home.exists():
            say(f"warning: co-occurrences: the cache {home} cannot be used ({e}); they are counted again")
            discard(home)
        return None
    return Cooccurrences(size, shards, meta["unit"], meta["symmetric"], meta["report"], digest)


# ---- counting ----


def _count(tokens: Tokens, size: int, rules: Rules, work: Path, budget: int, say: Say) -> dict[str, Any]:
    """Writes the shards into `work`; returns the record that opens them. A third of the budget is for each of the
    chunks that are counted, the runs that wait to be merged, and the merging."""
    began, said = time.perf_counter(), time.perf_counter()
    weights, unit = numerators(rules.weighting, rules.window)
    bits = (rules.window - 1).bit_length()
    if size * size << bits >= 1 << 63:
        raise UserError(f"a vocabulary of {size:,} words: too many for counts of pairs; set data.max_vocab")
    table = np.zeros(1 << bits, np.int64)
    table[: rules.window] = weights
    third = budget // 3
    step = max(256, third // (_THREADS * (_PAIR_BYTES * rules.window + _TOKEN_BYTES)))
    held, spilled, pairs, kept, spills = list[Run](), list[Run](), 0, 0, 0

    def one(chunk: tuple[np.ndarray, np.ndarray, int]) -> tuple[Run, int, int]:
        keys = _keys(*chunk, size, rules, bits)
        return sum_tagged(keys, bits, table), len(keys), len(chunk[0]) - chunk[2]

    with ThreadPoolExecutor(_THREADS) as pool:
        for run, count, words in ahead(pool, one, _chunks(tokens, rules, step), _THREADS):
            held.append(run)
            pairs, kept = pairs + count, kept + words
            if time.perf_counter() - said > 10:
                say(f"co-occurrences: {kept:,} tokens counted, {kept / (time.perf_counter() - began):,.0f} tokens/s")
                said = time.perf_counter()
            if ENTRY_BYTES * sum(len(r.keys) for r in held) > third:
                spills += 1
                spilled += _merged(held, work, f"spill{spills}", third, pool, 1 << 62).runs()
                held.clear()
        out = _merged([*spilled, *held], work, "pairs", third, pool, _SHARD, rules.side == "both", size)
    for path in work.glob("spill*"):
        path.unlink()
    seconds = max(time.perf_counter() - began, 1e-9)
    say(
        f"co-occurrences: {kept:,} tokens, {pairs:,} pairs, {out.entries:,} distinct, {spills:,} runs spilled, "
        f"in {seconds:.1f} s ({len(tokens.tokens) / seconds:,.0f} words/s)"
    )
    report = {"tokens": kept, "pairs": pairs, "entries": out.entries}
    return {"unit": unit, "symmetric": rules.side == "both", "report": report}


def _merged(
    runs: list[Run],
    work: Path,
    name: str,
    budget: int,
    pool: ThreadPoolExecutor,
    shard: int,
    double: bool = False,
    size: int = 1,
) -> Writer:
    """Merges runs into files. `double`: a word beside itself counts from both of its places."""
    out = Writer(work, name, shard)
    try:
        for piece in merge(runs, budget // (_THREADS * MERGE_BYTES), pool, _THREADS):
            if double:
                piece.counts[piece.keys % (size + 1) == 0] *= 2  # keys i V + i are the multiples of V + 1
            out.add(piece)
    finally:
        out.close()
    return out


def _chunks(tokens: Tokens, rules: Rules, step: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """(kept tokens int64, ordinals of their documents int32, how many of them belong to the chunk before)."""
    offsets, total = tokens.offsets, len(tokens.tokens)
    ids, docs = np.zeros(0, np.int64), np.zeros(0, np.int64)
    limit = None if rules.keep is None else thresholds(rules.keep)
    for start in range(0, total, step):
        stop = min(start + step, total)
        new = tokens.tokens[start:stop].astype(np.int64)
        first = int(np.searchsorted(offsets, start, "right")) - 1
        last = int(np.searchsorted(offsets, stop, "left"))
        bounds = np.clip(offsets[first : last + 1], start, stop)
        doc = np.repeat(np.arange(first, last), np.diff(bounds))
        if limit is not None:
            kept = uniform_hash(hash_key(rules.seed, 0, _KEEP), start, stop) <= limit[new]
            new, doc = new[kept], doc[kept]
        lead = min(rules.window, len(ids))
        tail = slice(len(ids) - lead, None)
        ids, docs = np.concatenate([ids[tail], new]), np.concatenate([docs[tail], doc])
        yield ids, docs, lead


def _keys(ids: np.ndarray, docs: np.ndarray, lead: int, size: int, rules: Rules, bits: int) -> np.ndarray:
    """Keys of all pairs whose right word is not among the first `lead`, distance - 1 in the low bits: int64 [M]."""
    count, place = len(ids), 0
    out = np.empty((count - lead) * rules.window, np.int64)
    for distance in range(1, min(rules.window, count - 1) + 1):
        start = max(0, lead - distance)
        left, right = ids[start : count - distance], ids[start + distance :]
        inside = docs[start : count - distance] == docs[start + distance :]
        if rules.side == "both":
            left, right = np.minimum(left, right), np.maximum(left, right)
        word, context = (right, left) if rules.side == "left" else (left, right)
        made = (word * size + context)[inside]
        made <<= bits
        made |= distance - 1
        out[place : place + len(made)] = made
        place += len(made)
    return out[:place]
