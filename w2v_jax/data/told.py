"""What is said of a corpus: what it holds, what was left out, and warnings where it may not be what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data import known, own
from w2v_jax.data.counter import SOURCES, SPLITS, heldout_every
from w2v_jax.data.counting import BLANKLESS, CUT_OTHERWISE
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.types import Say

LOST_LETTERS = 0.01  # the share of a text's letters from which leaving them out is a warning
NOT_KNOWN = 0.05  # the share of the tokens from which the sign of a tokeniser for what it does not know is one
_NAMED = 8  # stop words


def tell(say: Say, r: dict[str, Any], cfg: DataConfig) -> None:
    """Says what a corpus holds and what was left out of it; `r` is its report."""
    if r["replaced"]:
        say(f"warning: corpus: {r['replaced']:,} characters U+FFFD, as they stand for bytes that are not UTF-8")
    left_out(say, r["letters"], r["lost"], cfg.tokens)
    rarer = "rarer ones and stop words" if cfg.stop_words else "rarer ones"
    fate = "read as <unk>" if cfg.unknown == "keep" else "dropped"
    top = min(cfg.skip_top, r["types_dropped"])
    first = f"the {top:,} most frequent and " if cfg.skip_top else ""
    say(
        f"corpus: {r['documents']:,} documents ({r['empty_documents']:,} empty ones skipped), {r['words']:,} words, "
        f"{r['types_kept']:,} types kept, {first}{r['types_dropped'] - top:,} {rarer} {fate}, {_rare(r, cfg)}"
    )
    for split, label in zip(SPLITS, ("training", "held out", "test"), strict=True):
        documents, *sizes = (f"{r[f'{split}_{key}']:,} {key}" for key in ("documents", "tokens", "words", "bytes"))
        if r[f"{split}_documents"]:
            say(f"corpus: {label}: {documents} with {', '.join(sizes)}")
    say(
        f"corpus: {r['lost_documents']:,} documents held no known word; "
        f"long documents are split {r['document_splits']:,} times, each losing the windows across the cut"
    )


def tell_doubts(say: Say, report: dict[str, Any], cfg: DataConfig, blankless: float) -> None:
    """Says how many stop words were met, and warns: of none of them, of some that can never be met, of nothing held out
    though a part should be, of fewer byte pairs than asked for, and of words in scripts that write no blanks between
    them (`blankless` is their share)."""
    if given := report.get("stop_words", 0):  # of older corpora it is not known
        met = report["stop_words_met"]
        say(f"corpus: {met:,} of {given:,} stop words occur in the text")
        if not met:
            how = f"write one word a line, as data.tokens={cfg.tokens} cuts it"
            say(f"warning: corpus: data.stop_words={cfg.stop_words}: none of its words occurs in the text; {how}")
        if never := known.never_met(cfg):
            more = f" and {len(never) - _NAMED:,} more" if len(never) > _NAMED else ""
            names = ", ".join(map(repr, never[:_NAMED])) + more
            what = f"no word of a text cut by data.tokens={cfg.tokens}, so that they take nothing out; mend these lines"
            say(f"warning: corpus: data.stop_words={cfg.stop_words}: {names}: {what}")
    every, documents = heldout_every(cfg), report["train_documents"]
    if every and not report["heldout_documents"]:
        say(
            f"warning: corpus: nothing is held out: data.heldout_every={every} holds out every {every}th document, and "
            f"{documents:,} have known words; lower it, or name another text in data.heldout_source"
        )
    for split, key in list(SOURCES.items())[1:]:
        if getattr(cfg, key) and not report[f"{split}_documents"]:
            what = "nothing is held out" if split == "heldout" else "there is no text for the test"
            why = "has no word of the vocabulary of the training text"
            say(f"warning: corpus: {what}: data.{key}={getattr(cfg, key)} {why}; name a text of the same kind")
    if cfg.tokens == "bpe" and report["types_kept"] < cfg.max_vocab:
        few = f"{report['types_kept']:,} byte pairs, not data.max_vocab={cfg.max_vocab:,}: the text that they are made"
        say(f"warning: corpus: {few} from has no more; give more text, or a lower number")
    if blankless > BLANKLESS:
        share = f"{blankless:.0%} of the words are in a script that writes no blanks between words"
        say(f"warning: corpus: {share}, where data.tokens={cfg.tokens} finds none: unless it has some, {CUT_OTHERWISE}")


def tell_ends(say: Say, tokenizer: Tokenizer, report: Mapping[str, Any], cfg: DataConfig) -> None:
    """Warns of an end token that is a word of the text."""
    end = tokenizer.vocab.index.get(cfg.end_token, -1) if cfg.end_token else -1
    joined = int(tokenizer.vocab.counts[end]) - int(report["train_documents"]) if end >= 0 else 0
    if joined > 0:
        how = f"{joined:,} such words of the training documents are read as ends; choose another, such as <eos>"
        say(f"warning: corpus: data.end_token={cfg.end_token!r} is a word of the text too: {how}")


def tell_unknown(say: Say, tokenizer: Tokenizer) -> None:
    """Says how often a tokeniser of a file did not know the training text; warns where that is a large share."""
    vocab, sign = tokenizer.vocab, own.unknown_of(tokenizer.kept)
    place = vocab.index.get(sign)
    if not sign or place is None:
        return
    end = vocab.index.get(tokenizer.end_token)
    met, whole = int(vocab.counts[place]), int(vocab.counts.sum()) - (0 if end is None else int(vocab.counts[end]))
    line = f"corpus: {met:,} of {whole:,} training tokens ({met / max(whole, 1):.1%}) are {sign}, by which data.tokens="
    line += f"{tokenizer.kind} stands for what it does not know"
    say(line if met <= NOT_KNOWN * whole else f"warning: {line}; take a tokeniser that was made from such text")


def left_out(say: Say, letters: int, lost: Mapping[str, int], tokens: str) -> None:
    """Says how many characters the rule `tokens` leaves out of a text, by kind; warns where many are letters."""
    if not any(lost.values()):
        return
    share = lost["letters"] / max(letters, 1)
    say("corpus: in no word: " + ", ".join(f"{n:,} {name}" for name, n in lost.items() if n))
    if share > LOST_LETTERS:
        say(
            f"warning: corpus: data.tokens={tokens} leaves out {share:.1%} of the letters of this text; "
            "data.tokens=words keeps the letters of every script"
        )


def _rare(r: dict[str, Any], cfg: DataConfig) -> str:
    """How many words, characters, or tokens of a tokeniser from outside are not in the vocabulary, and their share."""
    unit = "characters" if cfg.tokens == "characters" else "tokens"
    if not own_tokens(cfg.tokens) and unit == "tokens":
        return f"{r['oov_words']:,} words ({r['oov_words'] / max(r['words'], 1):.1%})"
    kept = sum(r[f"{split}_tokens"] - bool(cfg.end_token) * r[f"{split}_documents"] for split in SPLITS)
    whole = kept + (r["oov_words"] if cfg.unknown == "drop" else 0)
    return f"{r['oov_words']:,} {unit} ({r['oov_words'] / max(whole, 1):.1%})"
