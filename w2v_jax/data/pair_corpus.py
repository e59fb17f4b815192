"""A corpus of labelled pairs of texts, held in memory, and its batches."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.examples import Order, split_tenth
from w2v_jax.data.in_memory import characters_left_out, one_alone, refuse_unused, words_told
from w2v_jax.data.pairs import SAME_FROM, Pair, any_records, read_pairs
from w2v_jax.data.pipeline import Source
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary
from w2v_jax.data.words import Rules, words_of
from w2v_jax.errors import UserError
from w2v_jax.recorded import later_rules
from w2v_jax.types import HostBatch, Say

FORMAT = 1  # raise it when the meaning of a rule changes
_OF_RECORDS = ("field", "label_field")  # keys for files of JSON Lines
_RULES = ("tokens", "lowercase", "unknown", "min_count", "max_vocab", "labels")


@dataclasses.dataclass(frozen=True, eq=False)
class PairExamples:
    """N labelled pairs as token ids."""

    first: list[np.ndarray]  # int32 [T_n]; a text without any known word has none
    second: list[np.ndarray]
    scores: np.ndarray  # float32 [N], 0 to 1
    texts: tuple[tuple[str, str], ...]  # the texts themselves
    places: tuple[str, ...] = ()  # file and line of each

    @property
    def documents(self) -> int:
        return len(self.first)

    @property
    def tokens(self) -> int:
        """Known words of all texts."""
        return sum(len(x) for side in (self.first, self.second) for x in side)

    @property
    def same(self) -> np.ndarray:
        """bool [N]: a label SAME, or a score in the upper half of its range."""
        return self.scores >= SAME_FROM

    @property
    def wordless(self) -> int:
        """Texts without a known word."""
        return sum(not len(x) for side in (self.first, self.second) for x in side)


@dataclasses.dataclass(frozen=True, eq=False)
class PairCorpus:
    """The part of a `Corpus` that training and evaluation use, for labelled pairs."""

    tokenizer: Tokenizer  # counts of its vocabulary are of the training texts
    train: PairExamples
    heldout: PairExamples
    test: PairExamples
    report: dict[str, Any]
    digest: str  # of content and rules: the same digest means the same pairs

    @property
    def vocab(self) -> Vocabulary:
        return self.tokenizer.vocab


def build_pair_corpus(
    cfg: DataConfig, words: Sequence[str] = (), only_met: bool = False, say: Say = lambda line: None
) -> PairCorpus:
    """Labelled pairs (`read_pairs`) as token ids.

    Held out is `cfg.heldout_source` or, without one, a fixed tenth of the training pairs; the test split is
    `cfg.test_source`. `words` is the vocabulary by id, and under `only_met` the part of it that some text of any split
    has. If it is empty, the training texts give the vocabulary, by `cfg.min_count` and `cfg.max_vocab`. `say` takes
    lines about what was read.

    Raises:
      UserError: a bad source, line or label (see `pairs`); a tokeniser without words; a key for running text that is
        not at its default; one training pair, or all of one class; no word that is known or frequent enough.
    """
    _check(cfg)
    sources = (cfg.source, cfg.heldout_source, cfg.test_source)
    train, held, test = (read_pairs(source, cfg, say) if source else [] for source in sources)
    both = {pair.score >= SAME_FROM for pair in train}
    if not held:
        if len(train) < 2:
            raise UserError(f"data.source={cfg.source!r}: holds one pair, and none can be held out")
        kept, tenth = split_tenth(len(train), seed=0)  # whatever the run's seed, so that runs compare
        train, held = [train[i] for i in kept], [train[i] for i in tenth]
    if len({pair.score >= SAME_FROM for pair in train}) < 2:
        one = "SAME" if train[0].score >= SAME_FROM else "DIFFERENT"
        alone = one_alone(len(both), "pairs of both kinds")
        raise UserError(f"data.source={cfg.source!r}: all training pairs are {one}{alone}")
    tokenizer = Tokenizer.of(cfg, _vocabulary(cfg, (train, held, test), words, only_met), None)
    found = {name: _encoded(tokenizer, pairs) for name, pairs in (("train", train), ("heldout", held), ("test", test))}
    parts = {name: part for name, (part, _) in found.items()}
    if not parts["train"].tokens:
        raise UserError(f"data.source={cfg.source!r}: none of its words is in the vocabulary")
    report: dict[str, Any] = {"types_kept": tokenizer.size}
    texts = (text for pairs in (train, held, test) for pair in pairs for text in (pair.first, pair.second))
    report |= characters_left_out(cfg, texts, say)
    for name, (part, outside) in found.items():
        report |= {f"{name}_documents": part.documents, f"{name}_tokens": part.tokens, f"{name}_oov_words": outside}
        if part.documents:
            report[f"{name}_wordless"] = part.wordless
            same = int(part.same.sum())
            wordless = f"; {part.wordless} texts without a known word" if part.wordless else ""
            say(
                f"corpus: {name}: {part.documents:,} pairs ({same:,} SAME, {part.documents - same:,} DIFFERENT), "
                f"{words_told(part.tokens, outside, cfg.unknown)}{wordless}"
            )
    return PairCorpus(tokenizer, **parts, report=report, digest=_digest(cfg, tokenizer.vocab, parts))


def _check(cfg: DataConfig) -> None:
    if cfg.tokens in ("characters", "bpe"):
        raise UserError(f"data.tokens={cfg.tokens!r}: pairs of texts are cut into words; set data.tokens=words")
    if cfg.end_token:
        raise UserError(f"data.end_token={cfg.end_token!r}: pairs of texts have none; leave it empty")
    sources = [source for source in (cfg.source, cfg.heldout_source, cfg.test_source) if source]
    named = any(getattr(cfg, key) != getattr(DataConfig, key) for key in _OF_RECORDS)
    if named and any(map(any_records, sources)):
        refuse_unused(cfg, _OF_RECORDS, "on pairs of texts")
    else:
        refuse_unused(cfg, (), "on pairs of texts without fields (files called *.jsonl have them)")


def _vocabulary(cfg: DataConfig, splits: Sequence[Sequence[Pair]], words: Sequence[str], only_met: bool) -> Vocabulary:
    rules = Rules.of(cfg)
    counts: Counter[str] = Counter()
    met: set[str] = set()
    for number, pairs in enumerate(splits):
        for text in (text for pair in pairs for text in (pair.first, pair.second)):
            found = words_of(text, rules)
            met.update(found)
            if not number:
                counts.update(found)
    if words:
        words = [w for w in words if w in met] if only_met else list(words)
    else:
        ranked = sorted((-n, w) for w, n in counts.items() if n >= cfg.min_count)
        words = [w for _, w in ranked][: cfg.max_vocab or None]
    if not met.intersection(words):
        raise UserError(f"data.source={cfg.source!r}: none of its words is known (data.min_count, or the word vectors)")
    if cfg.unknown == "keep" and UNKNOWN not in words:
        words.append(UNKNOWN)
    return Vocabulary(tuple(words), np.array([counts[w] for w in words], np.int64))


def _encoded(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> tuple[PairExamples, int]:
    """The pairs as ids, and how many of their words are outside the vocabulary."""
    first = [tokenizer.encode_counted(pair.first) for pair in pairs]
    second = [tokenizer.encode_counted(pair.second) for pair in pairs]
    scores = np.array([pair.score for pair in pairs], np.float32)
    texts = tuple((pair.first, pair.second) for pair in pairs)
    outside = sum(number for _, number in first + second)
    places = tuple(pair.where for pair in pairs)
    return PairExamples([ids for ids, _ in first], [ids for ids, _ in second], scores, texts, places), outside


def _digest(cfg: DataConfig, vocab: Vocabulary, parts: dict[str, PairExamples]) -> str:
    rules = {name: getattr(cfg, name) for name in _RULES} | {"format": FORMAT} | later_rules(cfg)
    content = hashlib.sha256(json.dumps(["pairs", rules, vocab.words]).encode())
    for name, part in parts.items():
        content.update(f"{name} {part.documents}\n".encode())
        for side in (part.first, part.second):
            content.update(np.array([len(x) for x in side], np.int64).tobytes())
        for array in (part.scores, *part.first, *part.second):
            content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


def pair_source(
    part: PairExamples, shapes: Mapping[str, jax.ShapeDtypeStruct], *, buckets: int, seed: int, shuffle: bool
) -> Source:
    """Batches of B pairs of texts of at most T tokens; `shapes` states B and T. The order is that of `examples`, by the
    longer text of each pair.

    Entries of a step:
      tokens int32 [B, 2, T]: of both texts, from column 0 on, then 0.
      length int32 [B, 2]: tokens of each; a longer text keeps its first T.
      steps int32 [B]: the largest length in the batch, the same in every row.
      score float32 [B]: 0 to 1; -1 where there is no pair.
      words int32 [B]: tokens of both texts.

    The report has 'examples'; 'empty_examples', pairs with a text without a token; 'cut_examples', those with a text
    longer than T; 'cut_share', the share of all tokens that this leaves out. ValueError: no pair.
    """
    if not part.documents:
        raise ValueError("no pair")
    batch_size, _, longest = shapes["tokens"].shape
    full = np.array([[len(x) for x in side] for side in (part.first, part.second)], np.int64).T
    length = np.minimum(full, longest).astype(np.int32)
    report: dict[str, int | float] = {
        "examples": part.documents,
        "empty_examples": int((full == 0).any(1).sum()),
        "cut_examples": int((full > longest).any(1).sum()),
        "cut_share": float((full - length).sum() / max(1, full.sum())),
    }
    order = Order(length.max(1), batch_size, buckets, seed, shuffle)
    table = np.zeros((part.documents, 2, max(1, int(length.max()))), np.int32)
    for side, texts in enumerate((part.first, part.second)):
        for row, text in enumerate(texts):
            table[row, side, : length[row, side]] = text[:longest]
    return Source(shapes, order.steps, partial(_write, order, table, length, part.scores), {"score": -1}, report)


def _write(
    order: Order,
    table: np.ndarray,
    length: np.ndarray,
    scores: np.ndarray,
    epoch: int,
    at: int,
    rows: slice,
    into: HostBatch,
) -> None:
    """`Source.write`; `table` int32 [N, 2, T'] has the tokens of all pairs."""
    batches = order(epoch)[at : at + len(into["score"])]
    into["steps"][:] = np.where(batches >= 0, order.size[batches], 0).max(1, keepdims=True)  # of the whole batch
    batches = batches[:, rows]
    there = batches >= 0
    chosen = batches[there]
    into["tokens"][..., : table.shape[2]][there] = table[chosen]
    into["length"][there] = length[chosen]
    into["words"][there] = length[chosen].sum(1)
    into["score"][there] = scores[chosen]
