"""Warnings about a corpus whose keys say something else than may be meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2v_jax.config import DataConfig
from w2v_jax.data import known
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.types import Say

_SHOWN = 5


def tell_keys(say: Say, tokenizer: Tokenizer, report: Mapping[str, Any], cfg: DataConfig) -> None:
    """Warns of stop words that no text can have, and of an end token that is a word of the text."""
    if cut := known.stop_words_cut(cfg):
        shown = ", ".join(map(repr, cut[:_SHOWN])) + (f" and {len(cut) - _SHOWN:,} more" if len(cut) > _SHOWN else "")
        how = f"no text has such words, as data.tokens={cfg.tokens} cuts them; write the list as the text is cut"
        say(f"warning: corpus: data.stop_words={cfg.stop_words}: {shown}: {how}")
    end = tokenizer.vocab.index.get(cfg.end_token, -1) if cfg.end_token else -1
    joined = int(tokenizer.vocab.counts[end]) - int(report["train_documents"]) if end >= 0 else 0
    if joined > 0:
        how = f"{joined:,} such words of the training documents are read as ends; choose another, such as <eos>"
        say(f"warning: corpus: data.end_token={cfg.end_token!r} is a word of the text too: {how}")
