"""What corpora that are held in memory share, labelled texts and pairs of texts: which keys they have no use for, and
lines about what is left out of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data.told import left_out
from w2v_jax.data.words import NAMES, Rules, as_str, cutter, kinds_met, of_kinds, prepared
from w2v_jax.errors import UserError
from w2v_jax.types import Say

# Keys of `DataConfig` that every such corpus reads, and those of places and of the network, which decide no token.
USED = frozenset(
    ("source", "heldout_source", "test_source", "labels", "encoding_errors")
    + ("tokens", "lowercase", "normalise", "digits", "unknown", "min_count", "max_vocab")
    + ("cache_dir", "data_dir", "offline")
)


def refuse_unused(cfg: DataConfig, used: Collection[str], what: str) -> None:
    """UserError: a key that is neither in `USED` nor in `used` is not at its default; `what` says where it has no
    effect."""
    for field in dataclasses.fields(DataConfig):
        value, default = getattr(cfg, field.name), getattr(DataConfig, field.name)
        if value != default and field.name not in USED and field.name not in used:
            if dataclasses.is_dataclass(value):
                raise UserError(f"data.{field.name}: has no effect {what}; leave its keys at their defaults")
            raise UserError(f"data.{field.name}={value!r}: has no effect {what}; leave it at {default!r}")


def characters_left_out(cfg: DataConfig, texts: Iterable[str], say: Say) -> dict[str, Any]:
    """Counts the characters of the texts that are in no word, and says so; {} where none can be."""
    rules = Rules.of(cfg)
    if rules.tokens == "whitespace" or own_tokens(rules.tokens):
        return {}
    joined = "\n".join(texts)
    whole = prepared(joined, rules)
    met, kept = kinds_met(whole, joined, rules), of_kinds("".join(map(as_str, cutter(rules)(whole))))
    lost = {name: met[kind] - kept[kind] for kind, name in NAMES.items()}
    left_out(say, met["L"], lost, cfg.tokens)
    return {"letters": met["L"], "lost": lost}


def one_alone(before: int, need: str) -> str:
    """The end of a message on training texts of one label. `before` is how many labels there were before a tenth was
    held out; `need` is what to give where there was one."""
    if before > 1:
        advice = "give more of the others, or name other texts in data.heldout_source"
        return f": the tenth that is held out took all the others; {advice}"
    return f": give {need}"


def words_told(tokens: int, outside: int, unknown: str) -> str:
    """`90 known words, 10 more (10.0%) outside the vocabulary are dropped`."""
    if unknown == "keep":
        return f"{tokens:,} words, {outside:,} of them ({outside / max(1, tokens):.1%}) outside the vocabulary"
    share = outside / max(1, tokens + outside)
    return f"{tokens:,} known words, {outside:,} more ({share:.1%}) outside the vocabulary are dropped"
