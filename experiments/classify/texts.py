"""The texts of `experiments.classify`: what is fitted, what chooses the classifier, and what is scored."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from w2v_jax.config import DataConfig
from w2v_jax.data import documents
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.in_memory import characters_left_out
from w2v_jax.data.labelled import read_labelled
from w2v_jax.data.labelled_corpus import check_rules, vocabulary_of
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.types import Say

HELD = 0.1  # share of the distinct training texts that choose the strength, without a source of their own


@dataclasses.dataclass(frozen=True, eq=False)
class Texts:
    """Labelled texts: N to train on, of which some choose the strength, and M to score."""

    names: tuple[str, ...]  # of the labels 0 to K - 1
    train: list[str]
    labels: np.ndarray  # int64 [N]
    held: np.ndarray  # bool [N], the texts that choose the strength
    refit: bool  # whether the last fit takes them too: they are a part of the training texts
    test: list[str]
    test_labels: np.ndarray  # int64 [M]
    test_places: Sequence[str] = ()  # where each stands: FILE:LINE, or data set, split and number


@dataclasses.dataclass(frozen=True, eq=False)
class Bags:
    """The texts cut by one tokeniser, in the form that fitted families read."""

    tokenizer: Tokenizer
    train: Tokens  # documents that give vocabulary and features; also the text of fitted families
    test: Tokens
    counts: sp.csr_matrix  # int32 [N, V]
    test_counts: sp.csr_matrix  # int32 [M, V]
    outside: int  # words of all texts that are not in the vocabulary

    @property
    def vocab(self) -> Vocabulary:
        return self.tokenizer.vocab

    @property
    def heldout(self) -> Tokens:
        """Nothing: the families are fitted on all training texts."""
        return Tokens(np.zeros(0, np.int32), np.zeros(1, np.int64))


def read(cfg: DataConfig, test_share: float, say: Say, first: int = 0) -> Texts:
    """The labelled texts that `cfg` names.

    Without `cfg.test_source` a share of the distinct texts is the test split, and without `cfg.heldout_source` a tenth
    of the other distinct texts is held out, both by a digest of the text: equal texts are on one side. With a test
    source, `first` above 0 takes only so many texts from the beginning of it and of the training source.

    UserError: a bad source, line or label; all texts of one label; too few texts.
    """
    check_rules(cfg, None)
    train, names, places, named = read_labelled(cfg.source, cfg, None, say=say)
    if cfg.test_source:
        test, _, places, _ = read_labelled(cfg.test_source, cfg, len(names), names, say, named)
        if first and first < max(len(train), len(test)):
            say(f"texts: the first {first:,} of {len(train):,} to train on, and of {len(test):,} to score, are taken")
            train, test, places = train[:first], test[:first], places[:first]
    else:
        apart = _share(train, test_share, b"test")
        places = [place for place, t in zip(places, apart, strict=True) if t]
        test, train = [e for e, t in zip(train, apart, strict=True) if t], _without(train, apart)
        say(f"texts: {len(test):,} are the test split, as data.test_source is not set; equal texts are on one side")
    if cfg.heldout_source:
        own = read_labelled(cfg.heldout_source, cfg, len(names), names, say, named).examples
        held = np.arange(len(train) + len(own)) >= len(train)
        train = train + own
    else:
        held = _share(train, HELD, b"held")
    fitted = {label for (label, _), out in zip(train, held, strict=True) if not out}
    if len(fitted) < 2 or not test:
        what = f"label {names[min(fitted)]} alone" if fitted else "no label"
        raise UserError(f"data.source={cfg.source!r}: {what} is left to fit; give texts of two labels at least")
    found = Texts(
        names,
        [text for _, text in train],
        np.array([label for label, _ in train], np.int64),
        held,
        not cfg.heldout_source,
        [text for _, text in test],
        np.array([label for label, _ in test], np.int64),
        places,
    )
    _tell(found, fitted, say)
    characters_left_out(cfg, (*found.train, *found.test), say)
    return found


def _tell(found: Texts, fitted: set[int], say: Say) -> None:
    part = f"{int(found.held.sum()):,} of them choose C{'' if found.refit else ' and are not fitted'}"
    say(f"texts: {len(found.train):,} to train on, {part}; {len(found.test):,} to score; {len(found.names)} labels")
    counts = np.bincount(found.labels, minlength=len(found.names)).tolist()
    each = [f"{name} ({count:,})" for name, count in zip(found.names, counts, strict=True)]
    say(f"texts: to train on by label: {_listed(each, 20)}")
    _tell_equal(found, say)
    none = [name for label, name in enumerate(found.names) if label not in fitted]
    one = [name for name, count in zip(found.names, counts, strict=True) if count == 1]
    for names, what in ((none, "no text to fit"), (one, "one text alone to train on")):
        if names:
            say(f"warning: {len(names):,} of {len(found.names):,} labels have {what}: {_listed(names, 5)}")
    chosen = np.unique(found.labels[found.held])
    if len(chosen) == 1:
        say(f"warning: the texts that choose C all have label {found.names[chosen[0]]}; give more texts, or --heldout")


def _tell_equal(found: Texts, say: Say) -> None:
    """Says which texts are empty or stand twice. Equal are texts of the same characters."""
    empty = [sum(not text.strip() for text in texts) for texts in (found.train, found.test)]
    if any(empty):
        say(f"texts: {empty[0]:,} to train on and {empty[1]:,} to score are empty; they are kept")
    known = {text for text in found.train if text.strip()}
    repeats = len(found.train) - empty[0] - len(known)
    if repeats:
        say(f"texts: {repeats:,} to train on repeat another one of them, character for character; they are kept")
    if not found.refit:
        fitted = {text for text, out in zip(found.train, found.held, strict=True) if not out and text.strip()}
        if both := sum(out and text in fitted for text, out in zip(found.train, found.held, strict=True)):
            say(f"texts: {both:,} of those that choose C are fitted, too: copies of them stand in data.source")
    twice = sum(text in known for text in found.test)
    if twice:
        say(f"texts: {twice:,} test texts stand in the training texts too")
    of_text: dict[str, set[int]] = {}
    for texts, labels in ((found.train, found.labels), (found.test, found.test_labels)):
        for text, label in zip(texts, labels.tolist(), strict=True):
            of_text.setdefault(text, set()).add(label)
    several = sum(len(of_one) > 1 for text, of_one in of_text.items() if text.strip())
    if several:
        say(f"texts: {several:,} texts have different labels in different places, character for character the same")


def _listed(items: Sequence[str], most: int) -> str:
    left = len(items) - most
    return ", ".join(items[:most]) + (f" and {left:,} more" if left > 0 else "")


def _share(examples: Sequence[tuple[int, str]], share: float, salt: bytes) -> np.ndarray:
    """bool [N]: the texts whose digests are the smallest, `share` of the distinct texts, one at least."""
    digests = [hashlib.blake2b(text.encode(), digest_size=16, key=salt).digest() for _, text in examples]
    ranked = sorted(set(digests))
    last = ranked[max(1, round(share * len(ranked))) - 1] if ranked else b""
    return np.array([digest <= last for digest in digests], bool)


def _without(examples: Sequence[tuple[int, str]], out: np.ndarray) -> list[tuple[int, str]]:
    return [e for e, gone in zip(examples, out, strict=True) if not gone]


def bags(cfg: DataConfig, texts: Texts, words: Sequence[str] = ()) -> Bags:
    """The texts as counts of words. The vocabulary is `words` or that of the texts of the last fit. UserError: no word
    is frequent enough."""
    fitted = [text for text, out in zip(texts.train, texts.held, strict=True) if texts.refit or not out]
    return bags_of(Tokenizer.of(cfg, vocabulary_of(cfg, fitted, words), None), texts)


def bags_of(tokenizer: Tokenizer, texts: Texts) -> Bags:
    """The texts as counts of the words of a tokeniser."""
    (train, test), outside = tokens_of(tokenizer, texts)
    size = tokenizer.size
    return Bags(tokenizer, train, test, documents.counts(train, size), documents.counts(test, size), outside)


def tokens_of(tokenizer: Tokenizer, texts: Texts) -> tuple[list[Tokens], int]:
    """(Token ids of the texts to train on and of those to score, each end to end; how many words of both are outside
    the vocabulary). A text without a known word has none."""
    parts, missed = [], 0
    for part in (texts.train, texts.test):
        found = [tokenizer.encode_counted(text) for text in part]
        offsets = np.cumsum([0, *(len(ids) for ids, _ in found)], dtype=np.int64)
        parts.append(Tokens(np.concatenate([ids for ids, _ in found]) if found else np.zeros(0, np.int32), offsets))
        missed += sum(outside for _, outside in found)
    return parts, missed
