"""Byte-level byte-pair encoding, by the `tokenizers` library.

Text is cut into pieces as for GPT-2 (contractions, an optional blank and a run of letters, of digits or of marks, white
space). Within a piece the pairs of tokens that were most frequent in training are merged, beginning from single bytes,
so that every text can be encoded. Tokens are written with one printable character a byte: the blank is a dotted G.

Sennrich, Haddow & Birch 2016 (arXiv 1508.07909); Radford et al. 2019, section 2.2, for the bytes and the pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np


def train(texts: Iterable[str], size: int) -> Any:
    """A `tokenizers.Tokenizer` of `size` tokens, or fewer where the text has no more pairs; the same for the same text.

    Args:
      texts: pieces of documents, each cut from its neighbours before white space; they are read once.
      size: tokens, at least the 256 bytes.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    model.train_from_iterator(texts, trainer)
    return model


def names(model: Any) -> list[str]:
    """The tokens by id."""
    return [model.id_to_token(i) for i in range(model.get_vocab_size())]


def encode(model: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text."""
    return [e.ids for e in model.encode_batch_fast(texts, add_special_tokens=False)]


def byte_of() -> dict[str, int]:
    """The byte that each printable character of a token stands for, as GPT-2's `bytes_to_unicode` has it.

    Bytes that are visible in Latin-1 stand for themselves; the others, in order, for U+0100 and on.
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(visible))
    return {chr(b): b for b in visible} | {chr(0x100 + i): b for i, b in enumerate(others)}


def as_bytes(token: str, table: dict[str, int]) -> bytes:
    """The bytes of a token, by the table of `byte_of`."""
    return bytes(table[c] for c in token)


def to_text(model: Any) -> str:
    """The model as JSON."""
    return str(model.to_str())


def from_text(text: str) -> Any:
    """The model that `to_text` wrote.

    Raises:
      ValueError: the text is none.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(text)
    except Exception as e:  # the library raises Exception itself
        raise ValueError(str(e)) from None


def joined(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """int64: the rows end to end."""
    return np.fromiter(chain.from_iterable(rows), np.int64, sum(map(len, rows)))
