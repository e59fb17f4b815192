"""A corpus of labelled texts for classifiers, held in memory.

Its vocabulary is given (the words of a file of word vectors, of which training texts may lack some) or counted from the
training texts. One tokeniser serves all splits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.counter import SOURCES
from w2v_jax.data.examples import split_tenth
from w2v_jax.data.in_memory import characters_left_out, one_alone, refuse_unused, words_told
from w2v_jax.data.labelled import Labelled, read_labelled
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary
from w2v_jax.data.words import Rules, words_of
from w2v_jax.errors import UserError
from w2v_jax.recorded import later_rules
from w2v_jax.types import Say

FORMAT = 1  # raise it when the meaning of a rule changes
_OF_RECORDS = ("field", "label_field")  # keys for sources with named fields
_OF_TFDS = ("tfds_split",)
_RULES = ("tokens", "lowercase", "unknown", "min_count", "max_vocab", "labels")
Texts = list[tuple[int, str]]  # (label, text)


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled texts as token ids. N texts."""

    ids: list[np.ndarray]  # int32 [T_n]; a text without any known word has none
    labels: np.ndarray  # int32 [N]
    empty: int = 0  # texts without any character but white space
    places: Sequence[str] = ()  # where each stands, of a source of its own: FILE:LINE, or data set, split and number

    @property
    def documents(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Known words of all texts."""
        return sum(len(x) for x in self.ids)


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledCorpus:
    """The part of a `Corpus` that training and evaluation use, for labelled texts."""

    tokenizer: Tokenizer  # counts of its vocabulary are of the training texts
    names: tuple[str, ...]  # of the labels 0 to K - 1
    train: Examples
    heldout: Examples
    test: Examples
    report: dict[str, Any]
    digest: str  # of content and rules: the same digest means the same examples

    @property
    def vocab(self) -> Vocabulary:
        return self.tokenizer.vocab


def build_labelled_corpus(
    cfg: DataConfig, classes: int | None, words: Sequence[str] = (), say: Say = lambda line: None
) -> LabelledCorpus:
    """Labelled texts (`read_labelled`) as token ids.

    Held out is `cfg.heldout_source` or, without one, a fixed tenth of the training texts; the test split is
    `cfg.test_source`. `words` is the vocabulary by id; if it is empty, the training texts give it, by `cfg.min_count`
    and `cfg.max_vocab`. `classes` is the number of labels K; None: as many as the training texts have. Under
    `cfg.labels`=named their names are those of the training texts. Empty texts stay, and are counted. `say` takes lines
    about what was read.

    Raises:
      UserError: a bad source, line or label (see `labelled`); a tokeniser without words; a key for running text that is
        not at its default; another number of labels than `classes`; one training text, or all of one label; no word
        that is frequent enough.
    """
    check_rules(cfg, classes)
    train, names, _, named = read_labelled(cfg.source, cfg, classes, say=say)
    if classes not in (None, len(names)):
        _check_labels(cfg, train, names, 1)
        raise UserError(
            f"model.classes={classes}: {cfg.source} has {len(names)} named labels; set model.classes={len(names)}"
        )
    others = (cfg.heldout_source, cfg.test_source)
    (held, *_), (test, _, places, _) = (
        read_labelled(source, cfg, len(names), names, say, named) if source else Labelled([], names)
        for source in others
    )
    labels = {label for label, _ in train}
    if not held:
        if len(train) < 2:
            raise UserError(f"data.source={cfg.source!r}: holds one text, and none can be held out")
        kept, tenth = split_tenth(len(train), seed=0)  # whatever the run's seed, so that runs compare
        train, held = [train[i] for i in kept], [train[i] for i in tenth]
    _check_labels(cfg, train, names, len(labels))
    if cfg.labels == "named":
        say(f"corpus: labels: {', '.join(f'{i} {name}' for i, name in enumerate(names))}")
    tokenizer = Tokenizer.of(cfg, vocabulary_of(cfg, [text for _, text in train], words), None)
    found = {name: _encoded(tokenizer, texts) for name, texts in (("train", train), ("heldout", held), ("test", test))}
    parts = {name: part for name, (part, _) in found.items()}
    report: dict[str, Any] = {"types_kept": tokenizer.size, "labels": list(names)}
    report |= characters_left_out(cfg, (text for texts in (train, held, test) for _, text in texts), say)
    for split, (part, outside) in found.items():
        report |= _told(split, part, outside, len(names), cfg.unknown, say)
    report |= _repeated(train, held, test, say)
    digest = _digest(cfg, tokenizer.vocab, parts, names)
    parts["test"] = dataclasses.replace(parts["test"], places=places)
    return LabelledCorpus(tokenizer, names, **parts, report=report, digest=digest)


def _check_labels(cfg: DataConfig, train: Texts, names: Sequence[str], before: int) -> None:
    """UserError: all are of one label; `before` is how many labels there were before some texts were held out."""
    if len({label for label, _ in train}) < 2:
        name = names[train[0][0]]
        alone = one_alone(before, "texts of two labels")
        raise UserError(f"data.source={cfg.source!r}: all training texts have label {name}{alone}")


def check_rules(cfg: DataConfig, classes: int | None) -> None:
    """UserError: rules that labelled texts do not have; `classes` None takes any number of labels."""
    if cfg.tokens in ("characters", "bpe"):
        raise UserError(f"data.tokens={cfg.tokens!r}: labelled texts are cut into words; set data.tokens=words")
    if cfg.end_token:
        raise UserError(f"data.end_token={cfg.end_token!r}: labelled texts have none; leave it empty")
    kinds = {getattr(cfg, key).partition(":")[0] for key in SOURCES.values()}
    what = "on labelled texts (held out are data.heldout_source or a tenth)"
    refuse_unused(cfg, (*_OF_RECORDS, *_OF_TFDS), what)
    if not kinds & {"jsonl", "tfds"}:
        refuse_unused(cfg, _OF_TFDS, "without fields (tsv:)")
    if "tfds" not in kinds:
        refuse_unused(cfg, _OF_RECORDS, "without a data set (tfds:)")
    if cfg.labels in ("binary", "sst2") and classes not in (None, 2):
        raise UserError(f"model.classes={classes}: data.labels={cfg.labels} makes 2; set data.labels=as_is for more")


def vocabulary_of(cfg: DataConfig, texts: Sequence[str | Sequence[str]], words: Sequence[str] = ()) -> Vocabulary:
    """`words`, or those of the texts (strings, or lists of words) by `cfg.min_count` and `cfg.max_vocab`, with their
    counts in the texts. UserError: no word is frequent enough."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words_of(text, Rules.of(cfg)) if isinstance(text, str) else text)
    if not words:
        ranked = sorted((-n, w) for w, n in counts.items() if n >= cfg.min_count)
        words = [w for _, w in ranked][: cfg.max_vocab or None]
        if not words:
            raise UserError(f"data.min_count={cfg.min_count}: no word of {cfg.source!r} occurs that often; lower it")
        if cfg.unknown == "keep" and UNKNOWN not in words:
            words.append(UNKNOWN)
    return Vocabulary(tuple(words), np.array([counts[w] for w in words], np.int64))


def _told(split: str, part: Examples, outside: int, classes: int, unknown: str, say: Say) -> dict[str, Any]:
    """What a split holds, for the report of the corpus; says it, too."""
    wordless = sum(not len(ids) for ids in part.ids)
    if part.documents:
        counts = ", ".join(f"{n:,}" for n in np.bincount(part.labels, minlength=classes))
        words = words_told(part.tokens, outside, unknown)
        say(f"corpus: {split}: {part.documents:,} texts ({counts} by label), {words}")
    if wordless:
        say(f"corpus: {split}: {wordless:,} texts without a known word are kept; {part.empty:,} of them are empty")
    own = {"documents": part.documents, "tokens": part.tokens, "oov_words": outside}
    own |= {"empty": part.empty, "without_known_word": wordless}
    return {f"{split}_{name}": value for name, value in own.items()}


def _repeated(train: Texts, held: Texts, test: Texts, say: Say) -> dict[str, int]:
    """Counts the texts of a split that stand, letter for letter, among those that decide its model; says so, too. Empty
    texts do not count."""
    known = {text for _, text in train}
    found = {"heldout_repeated": sum(text in known for _, text in held if text.strip())}
    known |= {text for _, text in held}
    found["test_repeated"] = sum(text in known for _, text in test if text.strip())
    if count := found["heldout_repeated"]:
        say(f"corpus: heldout: {count:,} of its {len(held):,} texts stand in the training texts too")
    if count := found["test_repeated"]:
        say(f"corpus: test: {count:,} of its {len(test):,} texts stand in the training or held-out texts too")
    return found


def _encoded(tokenizer: Tokenizer, texts: Texts) -> tuple[Examples, int]:
    """The texts as ids, and how many of their words are outside the vocabulary."""
    labels = np.array([label for label, _ in texts], np.int32)
    empty = sum(not text.strip() for _, text in texts)
    found = [tokenizer.encode_counted(text) for _, text in texts]
    return Examples([ids for ids, _ in found], labels, empty), sum(outside for _, outside in found)


def _digest(cfg: DataConfig, vocab: Vocabulary, parts: dict[str, Examples], names: Sequence[str]) -> str:
    rules = {name: getattr(cfg, name) for name in _RULES} | {"format": FORMAT}
    rules |= later_rules(cfg) | ({"names": list(names)} if cfg.labels == "named" else {})
    content = hashlib.sha256(json.dumps([rules, vocab.words]).encode())
    for name, part in parts.items():
        lengths = np.array([len(x) for x in part.ids], np.int64)
        content.update(f"{name} {part.documents}\n".encode())
        for array in (part.labels, lengths, *part.ids):
            content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
