"""The pass over the texts: provisional token ids to a scratch file, counts by split, lengths of documents."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data import bpe
from w2v_jax.data.counter import SOURCES, SPLITS, Counter, heldout_every, is_heldout, keeps_empty
from w2v_jax.data.provisional import Reader, lost, reader, sizes
from w2v_jax.data.raw import END, MARK, Hash, RawText, pieces
from w2v_jax.data.vocabulary import escape
from w2v_jax.data.words import Rules, blankless, kinds_met, prepared
from w2v_jax.errors import UserError
from w2v_jax.tables import duration
from w2v_jax.types import Say

SCRATCH = "provisional"
BLANKLESS = 0.2  # `blankless_share` from which it is a warning that words are cut at blanks
CUT_OTHERWISE = "use data.tokens=characters, bpe, python:MODULE:FUNCTION or json:FILE"
_TELL_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Counted:
    """Counts of S splits, P provisional ids and D documents (of all slices; `lengths`, `splits`: of one)."""

    names: list[str]  # tokens by provisional id; id 0 is the end of a document
    counts: np.ndarray  # int64 [S, P]
    sizes: np.ndarray  # int64 [P] bytes of text that an id stands for, see `provisional.sizes`
    words: np.ndarray  # int64 [S] white-space separated words of the text; of a word tokeniser, its own words
    bytes: np.ndarray  # int64 [S] UTF-8 bytes of the text, of a tokeniser from outside; 0: `sizes` tells them
    lengths: np.ndarray  # int64 [D] tokens of each document with its end token; empty documents left out
    splits: np.ndarray  # uint8 [D] index into SPLITS
    documents: np.ndarray  # int64 [S]
    empty: int  # omitted documents without any word
    letters: int  # of the text; 0 where no character can be left out
    lost: dict[str, int]  # characters of the text in none of the words, by kind; see `provisional.lost`
    replaced: int  # characters U+FFFD, where they stand for what is not UTF-8
    newer: bool  # see `provisional.Reader`
    digests: dict[str, str]  # of the content, by split
    model: Any  # of bpe, else None
    phrases: tuple[tuple[tuple[str, str], ...], ...] = ()  # the pairs that each pass joined, see `data.phrases`


def count(cfg: DataConfig, texts: Mapping[str, RawText], work: Path, say: Say) -> Counted:
    """Reads each text once (bpe: `source` twice); writes provisional ids (uint32) to a scratch file in `work`.

    With `cfg.end_token` the file holds a 0 where a document ends, otherwise no mark. UserError: a text without any
    word; bpe: the text changed between its two readings, or the end token is one of its tokens.
    """
    model, trained = learn(cfg, texts["train"], say) if cfg.tokens == "bpe" else (None, "")
    read, counter = reader(cfg, model), Counter(cfg)
    hashes = {split: hashlib.blake2b(digest_size=32) for split in texts}
    took = read_all(cfg, texts, hashes, read, counter, work, say)
    digests = {split: (took.parts.get(split) or content).hexdigest() for split, content in hashes.items()}
    if trained not in ("", digests["train"]):
        raise UserError(f"data.source={cfg.source!r}: the text changed while it was read; run the same command again")
    names = read.names()
    counts = counter.padded(len(names))
    splits = np.concatenate(counter.splits)
    return Counted(
        names=[cfg.end_token or END, *names[1:]],
        counts=counts,
        sizes=sizes(cfg.tokens, names),
        words=counter.words,
        bytes=counter.amounts[:, 1],
        lengths=np.concatenate(counter.lengths),
        splits=splits,
        documents=np.bincount(splits, minlength=len(SPLITS)),
        empty=counter.empty,
        letters=read.met.get("L", 0),
        lost=lost(read.met, names, counts.sum(0)),
        replaced=took.replaced,
        newer=read.newer,
        digests=digests,
        model=model,
    )


class Took(NamedTuple):
    """What reading has found beside the counts."""

    replaced: int  # see `Counted`
    parts: dict[str, Any]  # by split: the hash of what was read of a text, where that was not all


def read_all(
    cfg: DataConfig,
    texts: Mapping[str, RawText],
    hashes: Mapping[str, Hash],
    read: Reader,
    counter: Counter,
    work: Path,
    say: Say,
) -> Took:
    """Reads each text once, into `counter` and the scratch file; `hashes` are fed the contents. UserError: no word."""
    size = sum(t.size for t in texts.values()) if all(t.size for t in texts.values()) else 0
    start = told = time.monotonic()
    before = replaced = 0  # bytes of the texts that are done; see `Counted`
    parts: dict[str, Any] = {}
    with open(work / SCRATCH, "wb") as out:
        for split, text in texts.items():
            words = counter.begin(SPLITS.index(split))
            limited = cfg.tokens_limit > 0 and split == "train"
            marks = 0  # U+FFFD, which the text itself may hold as well
            part = hashlib.blake2b(digest_size=32)  # of what is read, where that is not all
            for chunk, done in text.chunks(hashes[split]):
                part.update(chunk.encode("utf-8", "surrogatepass") if limited else b"")
                counter.add(read(chunk), len(read), out)
                rest = MARK.join(chunk.split(MARK)[counter.taken :]) if limited and counter.full else ""
                _forget(cfg, read, rest)
                marks += chunk.count("\ufffd") - rest.count("\ufffd") if cfg.encoding_errors == "replace" else 0
                now = time.monotonic()
                if limited and counter.full:
                    say(f"corpus: data.tokens_limit={cfg.tokens_limit:,}: the rest of data.source is not read")
                    break
                if now - told > _TELL_SECONDS:
                    told = now
                    say(_progress(int(counter.words.sum()), before + done, size, now - start))
            # Past a limit of a text that also holds U+FFFD itself, some of those may be taken for the others.
            replaced += min(marks, text.met.replaced) if text.met else marks
            if not counter.sliced:
                check_words(cfg, split, int(counter.words.sum() - words))
            before += text.size
            parts |= {split: part} if limited else {}
    words, seconds = int(counter.words.sum()), max(time.monotonic() - start, 1e-9)
    say(f"corpus: {words:,} words read in {seconds:.1f} s ({words / seconds:,.0f} words/s)")
    return Took(replaced, parts)


def _forget(cfg: DataConfig, read: Reader, rest: str) -> None:
    """Takes the text `rest`, which was read past the limit, out of what the reader has met."""
    if rest and read.met:
        rules = Rules.of(cfg)
        for kind, number in kinds_met(prepared(rest, rules), rest, rules).items():
            read.met[kind] -= number


def check_words(cfg: DataConfig, split: str, words: int) -> None:
    """UserError: the text of a split has no word."""
    if not words:
        key = SOURCES[split]
        raise UserError(f"data.{key}={getattr(cfg, key)!r}: no word found under data.tokens={cfg.tokens!r}")


def blankless_share(cfg: DataConfig, counted: Counted) -> float:
    """The share of the training text's words, rare ones included, in scripts that write no blanks between words; 0 but
    for words that are cut at blanks and marks. Marks that stand alone are no words."""
    if cfg.tokens not in ("words", "punctuation"):  # of `letters` none is left, and the corpus warns of that
        return 0.0
    own = zip(counted.names[1:], counted.counts[0, 1:].tolist(), strict=True)
    words = [(name, n) for name, n in own if n and (cfg.tokens == "words" or name[0].isalnum())]
    return sum(n for name, n in words if blankless(name)) / max(sum(n for _, n in words), 1)


def check(cfg: DataConfig, counted: Counted) -> None:
    """UserError: nothing would be left to train on or to hold out."""
    cut = 0 < cfg.tokens_limit <= int(counted.counts[0].sum())  # that is why the text is so short
    if heldout_every(cfg) and int(counted.documents.sum() - counted.documents[SPLITS.index("test")]) == 1:
        if cut:
            raise UserError(
                f"data.tokens_limit={cfg.tokens_limit}: the text up to there is one document, and none can be held "
                "out: raise it, set data.heldout_every=0, or name another text in data.heldout_source"
            )
        raise UserError(
            f"data.source={cfg.source!r}: the text is one document, and none can be held out: "
            + ("the files in a .zip are one; " if cfg.document == "file" and ".zip" in cfg.source.lower() else "")
            + ("give the text line breaks" if cfg.document == "line" else "set data.document=line")
            + ", set data.heldout_every=0, or name another text in data.heldout_source"
        )
    if cfg.vocabulary_from:  # whose words stay however rare: see `encode.vocabulary`
        return
    top = int(counted.counts[0, 1:].max(initial=0))
    if cfg.tokens != "bpe" and top < cfg.min_count:
        uncut = blankless_share(cfg, counted) > BLANKLESS
        more = f"raise data.tokens_limit={cfg.tokens_limit}" if cut else "give more text"
        advice = f"the text writes no blanks between words: {CUT_OTHERWISE}" if uncut else f"lower it or {more}"
        often = f"no word occurs that often (the most frequent occurs {top} times)"
        raise UserError(f"data.min_count={cfg.min_count}: {often}; {advice}")
    names = np.array([name != cfg.end_token for name in counted.names])
    types = int((names & (counted.counts[0] >= cfg.min_count))[1:].sum())
    if cfg.skip_top and cfg.skip_top >= types:
        raise UserError(f"data.skip_top={cfg.skip_top}: leaves no word, the text has {types:,}; lower it")


def _progress(words: int, done: int, size: int, seconds: float) -> str:
    line = f"corpus: {words:,} words read, {words / seconds:,.0f} words/s"
    if size and done:
        left = duration(seconds * max(size - done, 0) / done)
        line += f", {min(100.0, 100.0 * done / size):.0f} %, about {left} left"
    return line


def learn(cfg: DataConfig, text: RawText, say: Say) -> tuple[Any, str]:
    """(byte-level BPE of the training documents, digest of the text it was read from; '' where that was a part)."""
    content, start = hashlib.blake2b(digest_size=32), time.monotonic()
    cut: list[int] = []
    model = bpe.train(_training_pieces(cfg, text, content, cut), cfg.max_vocab - bool(cfg.end_token))
    if any(cut):
        say(f"corpus: {sum(cut):,} words of more than {bpe.LONGEST_WORD:,} characters were cut for making bpe tokens")
    names = bpe.names(model)
    if cfg.end_token in names or escape(cfg.end_token) in map(bpe.shown, names):
        raise UserError(f"data.end_token={cfg.end_token!r}: is a token of this text too; choose another, such as <eos>")
    say(f"corpus: {model.get_vocab_size():,} bpe tokens made in {time.monotonic() - start:.1f} s")
    return model, "" if _sample(cfg) else content.hexdigest()


def _sample(cfg: DataConfig) -> int:
    """How many words of the training documents byte pairs are made from; 0: all."""
    return min(filter(None, (cfg.bpe_words, cfg.tokens_limit)), default=0)


def _training_pieces(cfg: DataConfig, text: RawText, content: Hash, cut: list[int]) -> Iterator[str]:
    """The documents that are not held out, those longer than a chunk in pieces; `cut` gets how many words were cut."""
    every, number, filled, rules, words = heldout_every(cfg), 0, keeps_empty(cfg), Rules.of(cfg), 0
    sample = _sample(cfg)
    for chunk, _ in text.chunks(content):
        parts = pieces(prepared(chunk, rules))
        for i, part in enumerate(parts):
            filled = filled or bool(part)
            if part and not is_heldout(number, every):
                short, long = bpe.cut_words(part)
                yield from short
                if long:
                    cut.append(long)
                words += len(part.split()) if sample else 0
            if sample and words >= sample:
                return
            if i < len(parts) - 1:
                number, filled = number + filled, keeps_empty(cfg)
