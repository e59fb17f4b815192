"""One corpus made by several processes, each from its own slice of the files.

Process i of n reads slice i of every text. The numbers of documents of the slices before it say which of its documents
are held out. The counts of all slices give the vocabulary, which every process makes for itself and finds the same;
byte pairs are made by process 0, which alone reads their sample. Each process then writes its slice as final tokens,
and process 0 joins them in the order of the files. Tokens, offsets, vocabulary and digest are those that one process
makes, for every n.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from w2v_jax import storage
from w2v_jax.config import DataConfig
from w2v_jax.data import bpe, counting, known
from w2v_jax.data.counter import SPLITS, Counter, heldout_every, is_heldout
from w2v_jax.data.counting import SCRATCH, Counted
from w2v_jax.data.encode import Sizes, dtype_of, record, vocabulary, write
from w2v_jax.data.meeting import Meeting
from w2v_jax.data.provisional import lost, reader, sizes
from w2v_jax.data.raw import END, Fed, RawText
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.types import Say


class Built(NamedTuple):
    """A corpus whose files are complete."""

    record: dict[str, Any]
    digests: dict[str, str]  # of the texts, by split


class Slice(NamedTuple):
    """What a process tells of its slice. P ids of its own, S splits."""

    names: list[str]  # of ids 1 to P - 1
    counts: np.ndarray  # int64 [S, P]
    told: dict[str, Any]


def why_whole(cfg: DataConfig, texts: Mapping[str, RawText]) -> str:
    """Why a text can only be read by one process; empty where several can."""
    if cfg.tokens_limit:
        return "data.tokens_limit is set, and only reading from the start tells where it ends"
    if cfg.phrases:
        return "data.phrases is set, and pairs are counted over the whole text"
    if known.phrases_from(cfg):
        return "data.vocabulary_from has phrases, which are joined in one file"
    if texts["train"].cut is None:
        return f"data.source={cfg.source!r} is neither several files nor a whole TFDS split"
    return ""


def build(cfg: DataConfig, texts: Mapping[str, RawText], work: Path, meeting: Meeting, say: Say) -> Built | None:
    """Makes a corpus together: process 0 gets it, with its files in `work`; the others None.

    UserError: as `corpus.build_corpus`, whichever process finds it.
    """
    me, count = meeting.crew.index, meeting.crew.count
    model, trained = _pairs(cfg, texts, meeting, say)
    own = {split: text.cut(me, count) if text.cut else _first(text, me) for split, text in texts.items()}
    read, counter, hashes = reader(cfg, model), Counter(cfg, sliced=True), {split: Fed() for split in own}
    took = counting.read_all(cfg, own, hashes, read, counter, work, say)
    lengths, splits = (
        np.concatenate([np.zeros(0, d), *a]) for d, a in ((np.int64, counter.lengths), (np.uint8, counter.splits))
    )
    by_text = counter.words.tolist()
    documents = meeting.all("documents", int((splits == 0).sum()))
    splits = settled(cfg, counter, lengths, splits, sum(documents[:me]), work / SCRATCH)
    told = {
        "by_text": by_text,
        "amounts": counter.amounts.tolist(),
        "documents": np.bincount(splits, minlength=len(SPLITS)).tolist(),
        "empty": counter.empty,
        "met": read.met,
        "replaced": took.replaced,
        "newer": read.newer,
        "fed": {split: fed.data.hex() for split, fed in hashes.items()},
    }
    slices = _exchange(meeting, Slice(read.names()[1:], counter.padded(len(read)), told))
    counted, places = merged(cfg, slices, me, model)
    if trained not in ("", counted.digests["train"]):
        raise UserError(f"data.source={cfg.source!r}: the text changed while it was read; run the same command again")
    for split in texts:
        counting.check_words(cfg, split, sum(s.told["by_text"][SPLITS.index(split)] for s in slices))
    counting.check(cfg, counted)
    vocab, table, outside = vocabulary(cfg, counted)
    sizes_here = write(work, lengths, splits, table[places], dtype_of(len(vocab)))
    for split in SPLITS:
        for kind in ("tokens", "offsets"):
            meeting.put_file(work / f"{split}.{kind}", f"{split}.{kind}-{me}")
    found = [[Sizes(*one) for one in sizes_there] for sizes_there in meeting.all("written", sizes_here)]
    if me:
        return None
    Tokenizer.of(cfg, vocab, model).save(work)
    for i, split in enumerate(SPLITS):
        _join(meeting, work, split, [one[i].tokens for one in found])
    total = [Sizes(*(sum(n) for n in zip(*(one[i] for one in found), strict=True))) for i in range(len(SPLITS))]
    return Built(record(cfg, counted, outside, total, len(vocab)), counted.digests)


def _first(text: RawText, me: int) -> RawText:
    """A text that cannot be cut is read by process 0."""
    return text if me == 0 else text.emptied()


def _pairs(cfg: DataConfig, texts: Mapping[str, RawText], meeting: Meeting, say: Say) -> tuple[Any, str]:
    """(the byte pairs, digest of all that they were made from): made by process 0. None of other tokens."""
    if cfg.tokens != "bpe":
        return None, ""
    if meeting.crew.index == 0:
        model, trained = counting.learn(cfg, texts["train"], say)
        meeting.put("pairs", json.dumps([bpe.to_json(model), trained]).encode())
    entry, trained = json.loads(meeting.get("pairs"))
    return bpe.from_json(entry), trained


def settled(
    cfg: DataConfig, counter: Counter, lengths: np.ndarray, splits: np.ndarray, before: int, scratch: Path
) -> np.ndarray:
    """The splits of a slice's documents, and their counts in `counter`, now that `before` is known: the number of
    documents of `source` in the slices before it."""
    train = splits == 0
    held = np.zeros(len(splits), bool)
    held[train] = is_heldout(before + np.arange(int(train.sum())), heldout_every(cfg))
    if not held.any():
        return splits
    ends = np.cumsum(lengths)
    ids = np.memmap(scratch, np.uint32, "r")
    found = [ids[end - size : end] for end, size in zip(ends[held].tolist(), lengths[held].tolist(), strict=True)]
    moved = np.bincount(np.concatenate(found), minlength=max(len(c) for c in counter.counts[:2]))
    counter.counts[:2] = [np.pad(c, (0, len(moved) - len(c))) for c in counter.counts[:2]]
    counter.counts[0] -= moved
    counter.counts[1] += moved
    amounts = np.concatenate(counter.document_amounts)[held].sum(0)
    counter.amounts[:2] += np.stack([-amounts, amounts])
    return np.where(held, 1, splits).astype(np.uint8)


def _exchange(meeting: Meeting, mine: Slice) -> list[Slice]:
    """The slices of all processes, in order."""
    me, out = meeting.crew.index, io.BytesIO()
    np.save(out, mine.counts)
    meeting.put(f"counts-{me}", out.getvalue())
    told = meeting.all("slice", {"names": mine.names} | mine.told)
    counts = [np.load(io.BytesIO(meeting.get(f"counts-{p}")), allow_pickle=False) for p in range(len(told))]
    return [Slice(one.pop("names"), array, one) for one, array in zip(told, counts, strict=True)]


def merged(cfg: DataConfig, slices: Sequence[Slice], me: int, model: Any) -> tuple[Counted, np.ndarray]:
    """(what reading all slices one after the other would have counted, int64 [P] the ids of slice `me` there)."""
    ids: dict[str, int] = {}
    places = [np.array([0, *(ids.setdefault(n, len(ids) + 1) for n in s.names)], np.int64) for s in slices]
    names = [END, *ids]
    counts = np.zeros((len(SPLITS), len(names)), np.int64)
    for one, place in zip(slices, places, strict=True):
        counts[:, place] += one.counts
    told = [s.told for s in slices]
    amounts = np.sum([t["amounts"] for t in told], 0)
    met = {kind: sum(t["met"].get(kind, 0) for t in told) for kind in dict.fromkeys(k for t in told for k in t["met"])}
    fed = {split: b"".join(bytes.fromhex(t["fed"][split]) for t in told) for split in told[0]["fed"]}
    counted = Counted(
        names=[cfg.end_token or END, *names[1:]],
        counts=counts,
        sizes=sizes(cfg.tokens, names),
        words=amounts[:, 0],
        bytes=amounts[:, 1],
        lengths=np.zeros(0, np.int64),
        splits=np.zeros(0, np.uint8),
        documents=np.sum([t["documents"] for t in told], 0),
        empty=sum(t["empty"] for t in told),
        letters=met.get("L", 0),
        lost=lost(met, names, counts.sum(0)),
        replaced=sum(t["replaced"] for t in told),
        newer=any(t["newer"] for t in told),
        digests={split: hashlib.blake2b(data, digest_size=32).hexdigest() for split, data in fed.items()},
        model=model,
    )
    return counted, places[me]


def _join(meeting: Meeting, work: Path, split: str, tokens: Sequence[int]) -> None:
    """Puts the slices of a split end to end; `tokens` are their numbers of tokens."""
    with open(work / f"{split}.tokens", "wb") as out:
        for p in range(len(tokens)):
            with storage.open_read(f"{meeting.folder}/{split}.tokens-{p}") as file:
                shutil.copyfileobj(file, out, 1 << 24)
    with open(work / f"{split}.offsets", "wb") as out:
        out.write(np.zeros(1, np.int64).data)
        for p, before in enumerate(np.cumsum([0, *tokens])[:-1].tolist()):
            offsets = np.frombuffer(storage.read_bytes(f"{meeting.folder}/{split}.offsets-{p}"), np.int64)
            out.write((offsets[1:] + before).data)
