"""A corpus: text tokenised once into memory-mapped integer files, kept in a cache keyed by content and rules.

The text is read in one pass (byte-level BPE reads the training text once before). Words get provisional ids in order
of appearance, which go to a scratch file; once all counts are known the ids are mapped to those of the sorted
vocabulary. Memory holds the distinct words, two numbers a document and one chunk of text.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax import storage
from w2v_jax.config import DataConfig
from w2v_jax.data import known, meeting, own, phrases, shared, slices
from w2v_jax.data.backward import Backward, turned
from w2v_jax.data.cache import blocks_in, building, damaged_at_once, discard, key_of, put, seal, unseal
from w2v_jax.data.counter import SOURCES, SPLITS, heldout_every
from w2v_jax.data.counting import check, count
from w2v_jax.data.encode import encode
from w2v_jax.data.raw import RawText
from w2v_jax.data.remote import Remote
from w2v_jax.data.sources import raw_text
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.told import tell, tell_doubts, tell_ends, tell_unknown
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.files import parse_json, write_text
from w2v_jax.recorded import later_rules
from w2v_jax.types import Say

FORMAT = 2  # raise it when the files or the meaning of a rule change
Texts = Mapping[str, RawText]  # by split
Digests = dict[str, str]  # of their content


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """Documents end to end. Document d is `tokens[offsets[d] : offsets[d + 1]]`.

    `words` and `bytes` measure the text of the tokens. A loss summed over all tokens and divided by either of them can
    be compared between two tokenisers only where both have the same text, and so the same number of it: characters and
    bpe with any text, all of them with one whose words stand between single blanks and that is cut at white space, and
    none with another where words or characters are dropped or read as `<unk>`.

    For letters, punctuation and whitespace the text is each document's words joined by single blanks, case folded
    under `lowercase`. Dropped words (`unknown='drop'`) do not count; `<unk>` counts as the original word. For
    characters and bpe the text is the document itself, case folded likewise, without trailing white space; a dropped
    character reduces `bytes` only. So it is for a tokeniser from outside, whose dropped tokens reduce neither, nor what
    it leaves out of its tokens: its figures compare only where its tokens hold the whole text.

    words: white-space separated words of this text, plus one per document where `end_token` is set.
    bytes: its UTF-8 bytes, plus one per document for the line end.
    """

    tokens: Any  # uint16 or uint32 [T], memory-mapped, `Remote` or `Backward`
    offsets: np.ndarray  # int64 [D + 1], memory-mapped
    words: int = 0
    bytes: int = 0

    @property
    def documents(self) -> int:
        return len(self.offsets) - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """The splits of a text and their tokeniser; see `build_corpus` for the rules."""

    directory: Path
    tokenizer: Tokenizer
    train: Tokens
    heldout: Tokens
    test: Tokens  # without documents where `test_source` is not set
    report: dict[str, Any]
    digest: str  # of content and rules: the same digest means the same tokens
    block_tokens: int = DataConfig.block_tokens  # documents are shuffled in blocks of about this many tokens
    blankless: float = 0.0  # see `counting.blankless_share`

    @property
    def vocab(self) -> Vocabulary:
        return self.tokenizer.vocab


def build_corpus(cfg: DataConfig, say: Say = lambda line: None) -> Corpus:
    """Opens the cached corpus of `cfg`, after tokenising the text where the cache lacks it. Arrays are read-only maps.

    Documents without any word are counted and left out, except empty lines with an end token (`counter.keeps_empty`).
    Of the others every `cfg.heldout_every`-th (index i with i % n == n - 1) is held out, or none where
    `cfg.heldout_source` names the held-out text. The rest of `cfg.source` alone gives the vocabulary and its counts.
    Words outside the vocabulary are dropped with `cfg.unknown='drop'`, become `<unk>` with 'keep', and are refused with
    'error'. `cfg.end_token` is appended to each document. With `cfg.reversed` all splits are read from the right; the
    cached files are those of the text as it is.

    `say` takes lines of progress, at the end the report. `Corpus.report` counts documents and words of all splits, what
    was dropped, and as `train_words` etc. the documents, tokens, words and bytes of each split.

    Raises:
      UserError: bad source or text (see `sources`), no word above `cfg.min_count`, only one document to hold out from,
        a refused word.
      OSError: the cache cannot be written; nothing half-written stays.
    """
    texts = {split: raw_text(cfg, key, say) for split, key in SOURCES.items() if getattr(cfg, key)}
    if cfg.tokens_limit:  # to hash the whole text could take longer than to read the part that is wanted
        texts["train"] = dataclasses.replace(texts["train"], rehash=None)
    root = shared.made_root(cfg.cache_dir, "index")
    note = root / "index" / f"{key_of([[t.name for t in texts.values()], _rules(cfg)])}.json"
    corpus = _cached(cfg, note, texts, root, say)
    if (crew := meeting.crew()) is not None:
        corpus = _build_together(cfg, texts, root, note, crew, corpus, say)
    if corpus is None:

        def there() -> bool:
            return _cached(cfg, note, texts, root, lambda line: None) is not None

        with shared.building_alone(cfg.cache_dir, note, there, say) as waited:
            # Also without waiting: another may have built it, and gone, since this one looked.
            corpus = _cached(cfg, note, texts, root, say if waited else lambda line: None)
            corpus = corpus or _build(cfg, texts, root, note, say)
    tell(say, corpus.report, cfg)
    tell_doubts(say, corpus.report, cfg, corpus.blankless)
    tell_ends(say, corpus.tokenizer, corpus.report, cfg)
    tell_unknown(say, corpus.tokenizer)
    return corpus


# ---- cache ----


def _rules(cfg: DataConfig) -> dict[str, Any]:
    """Everything that determines the token files, except the content."""
    names = ("tokens", "lowercase", "document", "end_token", "min_count", "max_vocab", "unknown")
    kinds = {split: getattr(cfg, key).partition(":")[0] for split, key in SOURCES.items()}
    rules = {"format": FORMAT, "kinds": kinds, "heldout_every": heldout_every(cfg)}
    if cfg.tokens == "bpe":  # another version may train to other tokens
        rules["tokenizers"] = importlib.metadata.version("tokenizers")
    rules |= {n: getattr(cfg, n) for n in names} | later_rules(cfg)
    return rules | known.rules(cfg)


def _cached(cfg: DataConfig, note: Path, texts: Texts, root: Path, say: Say) -> Corpus | None:
    """The corpus of the cache, None where it has none. A cache in a bucket is looked into as well."""
    shared.fetch(cfg.cache_dir, note, say)
    digests = _known(note, texts)
    if digests is None:
        return None
    home = root / key_of([digests, _rules(cfg)])
    shared.fetch(cfg.cache_dir, home, say)
    corpus = _open(home, cfg, say)
    if corpus is not None:
        say(f"corpus: cached in {corpus.directory}{own.unseen(cfg.tokens)}")
        _remember(cfg, note, texts, digests)
    return corpus


def _remember(cfg: DataConfig, note: Path, texts: Texts, digests: Digests) -> None:
    """Writes down the digests of texts, so that the next run need not read them; for all machines if they are new."""
    settled = all(t.settled for t in texts.values())
    entry = json.dumps({"digests": digests, "stamps": [t.stamp for t in texts.values()], "settled": settled})
    if not note.exists() or note.read_text(encoding="utf-8", errors="replace") != entry:
        write_text(note, entry)
        shared.publish(cfg.cache_dir, note)


def _known(note: Path, texts: Texts) -> Digests | None:
    """Digests of the content of every text, None where only tokenising gives them.

    An earlier run of the same names and sizes left `note`. Its digests hold if the files have certainly not changed
    since then; otherwise the files are hashed, where hashing is cheaper than tokenising.
    """
    try:
        entry = parse_json(note.read_text(encoding="utf-8"))
        if entry["settled"] and entry["stamps"] == [t.stamp for t in texts.values()]:
            return dict(entry["digests"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a damaged note
    if any(t.rehash is None for t in texts.values()):
        return None
    return {split: t.rehash() for split, t in texts.items() if t.rehash is not None}


def _open(home: Path, cfg: DataConfig, say: Say) -> Corpus | None:
    """The cached corpus in `home`, or None where it is absent or damaged (a damaged one is named and removed).

    Every file is compared with its digest, once per opening: a flipped bit would train other vectors without a word.
    """
    try:
        meta = unseal(home, needed="newer")
        tokenizer = Tokenizer.load(home)
        parts = {s: _tokens(cfg, home, s, meta) for s in SPLITS}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as e:
        if home.exists():
            say(f"warning: corpus: the cache {home} cannot be used ({e}); the text is read again")
            discard(home)
        return None
    report = dict(meta["report"])
    lengths = np.diff(parts["train"].offsets)
    report["document_splits"] = int(((lengths - 1) // cfg.block_tokens)[lengths > 0].sum())
    # Before 2026-12 nothing was normalised and words were cut at most marks: where that gave other tokens from the same
    # text, the corpus is another.
    digest = key_of([home.name, "normalised"]) if meta["newer"] else home.name
    if cfg.reversed:  # by reading the same files backward
        digest = key_of([digest, "reversed"])
        parts = {split: backward(part, ended=bool(cfg.end_token)) for split, part in parts.items()}
    share = float(meta.get("blankless", 0.0))  # of older corpora it is not known
    return Corpus(
        home, tokenizer, **parts, report=report, digest=digest, block_tokens=cfg.block_tokens, blankless=share
    )


def backward(part: Tokens, ended: bool) -> Tokens:
    """A split from its last token to its first; every document keeps its end token at its end."""
    return dataclasses.replace(part, tokens=Backward(part.tokens, ended), offsets=turned(part.offsets))


def _tokens(cfg: DataConfig, home: Path, split: str, record: dict[str, Any]) -> Tokens:
    arrays: list[Any] = []
    meta, blocks = record["splits"][split], blocks_in(record).get(f"{split}.tokens")
    for name, dtype, size in (("tokens", meta["dtype"], meta["tokens"]), ("offsets", "int64", meta["documents"] + 1)):
        file = home / f"{split}.{name}"
        if name == "tokens" and blocks and storage.in_bucket(cfg.cache_dir) and not file.exists():
            where = shared.address(cfg.cache_dir, file)
            arrays.append(Remote(where, home / f"{file.name}.blocks", dtype, size, record["blocks"]["size"], blocks))
            continue
        # An empty file cannot be mapped; one that is too short fails to.
        arrays.append(np.memmap(file, dtype, "r", shape=(size,)) if size else np.zeros(0, dtype))
    return Tokens(arrays[0], arrays[1], int(meta["words"]), int(meta["bytes"]))


# ---- building ----


def _build(cfg: DataConfig, texts: Texts, root: Path, note: Path, say: Say) -> Corpus:
    """Tokenises into a private folder and renames it into place; if another run was faster, its files are used."""
    with building(root) as work:
        counted = count(cfg, texts, work, say)
        given = known.phrases_from(cfg)
        if cfg.phrases or given:
            counted = phrases.join(cfg, counted, known.stop_words(cfg), work, say, given)
        check(cfg, counted)
        return _sealed(cfg, texts, root, note, work, slices.Built(encode(cfg, counted, work), counted.digests), say)


def _sealed(cfg: DataConfig, texts: Texts, root: Path, note: Path, work: Path, built: slices.Built, say: Say) -> Corpus:
    """Puts complete files into the cache, and opens them there."""
    seal(work, built.record)
    home = root / key_of([built.digests, _rules(cfg)])
    if _open(home, cfg, say) is None:
        put(work, home)
    corpus = _open(home, cfg, say)
    if corpus is None:
        raise damaged_at_once(home)
    shared.publish(cfg.cache_dir, home)
    _remember(cfg, note, texts, built.digests)
    return corpus


def _build_together(
    cfg: DataConfig, texts: Texts, root: Path, note: Path, crew: meeting.Crew, have: Corpus | None, say: Say
) -> Corpus | None:
    """The corpus `have`, or what all processes of the crew have made together; None where each looks for itself: some
    have it, they do not share the cache, or the text cannot be cut."""
    wanted = 0 if have else 1 + int(note.stem[:7], 16)
    if len(set(crew.gather(wanted))) > 1 or not wanted or not meeting.shares(cfg.cache_dir, root, crew):
        return have
    if why := slices.why_whole(cfg, texts):
        say(f"corpus: one process reads the text, and the others wait for it: {why}")
        return None
    place = meeting.Meeting(crew, meeting.fresh(cfg.cache_dir, root, crew), say)
    say(f"corpus: {crew.count} processes read the text, each a slice of its files")
    with place.told_of_failure(), building(root) as work:
        built = slices.build(cfg, texts, work, place, say)
        if built is not None:
            _sealed(cfg, texts, root, note, work, built, say)
            place.put("done", b"")
        place.get("done")
        corpus = _cached(cfg, note, texts, root, say)
    place.end()
    return corpus
