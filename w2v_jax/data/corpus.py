"""A corpus: text tokenised once into memory-mapped integer files, kept in a cache keyed by content and rules.

The text is read in one pass. Words get provisional ids in order of appearance, which go to a scratch file; once all
counts are known the ids are mapped to those of the sorted vocabulary. Memory holds the distinct words, a number a
document and one chunk of text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.encode import Counted, count, encode
from w2v_jax.data.sources import RawText, raw_text
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError

FORMAT = 1  # raise it when the files or the meaning of a rule change
SPLITS = ("train", "heldout")
_STALE_SECONDS = 86_400.0
Progress = Callable[[str], object]


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """Documents end to end. Document d is `tokens[offsets[d] : offsets[d + 1]]`."""

    tokens: np.ndarray  # uint16 or uint32 [T], memory-mapped
    offsets: np.ndarray  # int64 [D + 1], memory-mapped
    raw_words: int  # words before out-of-vocabulary ones were dropped

    @property
    def documents(self) -> int:
        return len(self.offsets) - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """What `build_corpus` returns; see there for the rules."""

    directory: Path
    vocab: Vocabulary
    train: Tokens
    heldout: Tokens
    report: dict[str, int | float]
    digest: str  # of content and rules: the same digest means the same tokens
    block_tokens: int = DataConfig.block_tokens  # documents are shuffled in blocks of about this many tokens


def cache_root(cfg: DataConfig) -> Path:
    """`cfg.cache_dir`, else $W2V_JAX_CACHE, else ~/.cache/w2v_jax."""
    return Path(cfg.cache_dir or os.environ.get("W2V_JAX_CACHE") or "~/.cache/w2v_jax").expanduser().resolve()


def build_corpus(cfg: DataConfig, progress: Progress | None = None) -> Corpus:
    """Opens the cached corpus of `cfg`, tokenising the text first where that has not been done.

    Documents without any word are counted and left out. Of the others every `cfg.heldout_every`-th (index i with
    i % n == n - 1) is held out; words are counted, and the vocabulary made, from the rest only. Documents have no limit
    of length. With `cfg.unknown='drop'` words outside the vocabulary leave the text, else they become `<unk>`.

    Args:
      cfg: the data section of a run's configuration.
      progress: called with a line of text now and then, and with the report at the end.

    Returns:
      The corpus, its arrays memory-mapped read-only. `report` counts documents, words and what was dropped.

    Raises:
      UserError: bad source or text (see `sources`), no word above `cfg.min_count`, only one document to hold out from.
      OSError: the cache cannot be written; nothing half-written stays.
    """
    say = progress or (lambda line: None)
    text = raw_text(cfg)
    root = cache_root(cfg)
    for folder in (root, root / "index"):
        folder.mkdir(parents=True, exist_ok=True)
    note = root / "index" / f"{_key([text.name, _rules(cfg)])}.json"
    digest = _recorded(note, text)
    if digest is None and text.rehash is not None and note.exists():
        digest = text.rehash()  # same names and sizes as an earlier run: hashing is cheaper than tokenising
    if digest is not None:
        home = root / _key([digest, _rules(cfg)])
        corpus = _open(home, cfg)
        if corpus is not None:
            _record(note, text, digest)
            say(f"corpus: cached in {home}")
            _tell(say, corpus.report)
            return corpus
    home, digest = _build(cfg, text, root, say)
    _record(note, text, digest)
    corpus = _open(home, cfg)
    if corpus is None:
        raise UserError(f"{home}: damaged right after it was written; check the disk, or set data.cache_dir")
    _tell(say, corpus.report)
    return corpus


# ---- cache ----


def _key(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _rules(cfg: DataConfig) -> dict[str, Any]:
    """Everything but the content that the token files depend on."""
    names = ("tokens", "lowercase", "document", "min_count", "max_vocab", "unknown", "heldout_every")
    kind = cfg.source.partition(":")[0]
    return {"format": FORMAT, "kind": kind} | {n: getattr(cfg, n) for n in names}


def _recorded(note: Path, text: RawText) -> str | None:
    """Content digest noted by an earlier run, if the files have certainly not changed since."""
    try:
        entry = json.loads(note.read_text(encoding="utf-8"))
        return str(entry["digest"]) if entry["settled"] and entry["stamp"] == text.stamp else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(note: Path, text: RawText, digest: str) -> None:
    part = note.with_suffix(f".{os.getpid()}.tmp")
    try:
        entry = {"digest": digest, "stamp": text.stamp, "settled": text.settled}
        part.write_text(json.dumps(entry), encoding="utf-8")
        os.replace(part, note)
    finally:
        part.unlink(missing_ok=True)


def _open(home: Path, cfg: DataConfig) -> Corpus | None:
    """The cached corpus in `home`, or None where it is absent or damaged (a damaged one is removed)."""
    if not home.is_dir():
        return None
    try:
        meta = json.loads((home / "meta.json").read_text(encoding="utf-8"))
        for name, size in meta["bytes"].items():
            if (home / name).stat().st_size != size:
                raise ValueError(f"{name}: wrong size")
        vocab = Vocabulary.load(home / "vocab.txt")
        parts = {s: _tokens(home, s, meta["splits"][s]) for s in SPLITS}
    except (OSError, ValueError, KeyError, TypeError, UserError):
        shutil.rmtree(home, ignore_errors=True)
        return None
    report = dict(meta["report"])
    lengths = np.diff(parts["train"].offsets)
    report["document_splits"] = int(((lengths - 1) // cfg.block_tokens)[lengths > 0].sum())
    return Corpus(home, vocab, parts["train"], parts["heldout"], report, home.name, cfg.block_tokens)


def _tokens(home: Path, split: str, meta: dict[str, Any]) -> Tokens:
    arrays = []
    for name, dtype, size in (("tokens", meta["dtype"], meta["tokens"]), ("offsets", "int64", meta["documents"] + 1)):
        # An empty file cannot be mapped; one that is too short fails to.
        arrays.append(np.memmap(home / f"{split}.{name}", dtype, "r", shape=(size,)) if size else np.zeros(0, dtype))
    return Tokens(arrays[0], arrays[1], int(meta["raw_words"]))


# ---- building ----


def _build(cfg: DataConfig, text: RawText, root: Path, say: Progress) -> tuple[Path, str]:
    """Tokenises into a private folder and renames it into place; a run that was faster wins, and its files are used."""
    for old in root.glob("building-*"):  # left by a killed run
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="building-", dir=root))
    try:
        counted = count(cfg, text, work, say)
        _check(cfg, counted)
        meta = encode(cfg, counted, work)
        meta["bytes"] = {p.name: p.stat().st_size for p in work.iterdir()}
        (work / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        home = root / _key([counted.digest, _rules(cfg)])
        if _open(home, cfg) is None:
            with contextlib.suppress(OSError):  # another run may put its own there first
                os.rename(work, home)
        return home, counted.digest
    except OSError as e:
        raise OSError(e.errno, e.strerror or str(e), e.filename or str(root)) from e
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check(cfg: DataConfig, counted: Counted) -> None:
    if counted.documents == 0:
        raise UserError(f"data.source={cfg.source!r}: no word found under data.tokens={cfg.tokens!r}")
    if counted.documents == 1 and cfg.heldout_every:
        raise UserError(
            f"data.source={cfg.source!r}: the text is one document, of which none can be held out; "
            "set data.heldout_every=0 or data.document=line"
        )
    if counted.counts.max(initial=0) < cfg.min_count:
        top = int(counted.counts.max(initial=0))
        raise UserError(
            f"data.min_count={cfg.min_count}: no word occurs that often (the most frequent occurs {top} times); "
            "lower it or give more text"
        )


def _tell(say: Progress, r: dict[str, int | float]) -> None:
    say(
        f"corpus: {r['documents']:,} documents ({r['empty_documents']:,} empty ones skipped), {r['words']:,} words, "
        f"{r['types_kept']:,} types kept, {r['types_dropped']:,} rarer ones dropped with {r['oov_words']:,} occurrences"
    )
    say(
        f"corpus: held out {r['heldout_documents']:,} documents with {r['heldout_words']:,} words; "
        f"{r['lost_documents']:,} documents held no known word; "
        f"long documents are split {r['document_splits']:,} times, each losing the windows across the cut"
    )
