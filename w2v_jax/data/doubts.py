"""Warnings about a corpus that may not be what was meant."""

from __future__ import annotations

from typing import Any

from w2v_jax.config import DataConfig
from w2v_jax.data.counter import heldout_every
from w2v_jax.data.counting import BLANKLESS, CUT_OTHERWISE
from w2v_jax.types import Say


def tell_doubts(say: Say, report: dict[str, Any], cfg: DataConfig, blankless: float) -> None:
    """Says how many stop words were met, and warns: of none of them, of nothing held out though a part should be, and
    of words in scripts that write no blanks between them (`blankless` is their share)."""
    if given := report.get("stop_words", 0):  # of older corpora it is not known
        met = report["stop_words_met"]
        say(f"corpus: {met:,} of {given:,} stop words occur in the text")
        if not met:
            how = f"write one word a line, as data.tokens={cfg.tokens} cuts it"
            say(f"warning: corpus: data.stop_words={cfg.stop_words}: none of its words occurs in the text; {how}")
    every, documents = heldout_every(cfg), report["train_documents"]
    if every and not report["heldout_documents"]:
        say(
            f"warning: corpus: nothing is held out: data.heldout_every={every} holds out every {every}th document, and "
            f"{documents:,} have known words; lower it, or name another text in data.heldout_source"
        )
    if blankless > BLANKLESS:
        share = f"{blankless:.0%} of the words are in a script that writes no blanks between words"
        say(f"warning: corpus: {share}, where data.tokens={cfg.tokens} finds none: unless it has some, {CUT_OTHERWISE}")
