"""Small corpora of local text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.corpus import Corpus, Tokens, build_corpus

WORDS = [a + b for a in "bcdfghklmnprst" for b in ("a", "e", "o", "ab", "ing", "ert")]
TEXT = (
    "  To be,\tor not  to be: that's the question.\r\n"
    "café naïve \u00e9 e\u0301 😀 \U0001f468\u200d\U0001f469 日本語\n"
    "\n"
    "\tx = [1, 22];   // it's 'd\\n'\u00a0\u3000 y\u2028z\x1c \x1f!\x85 \n"
    "The cat sat on the mat. The cat sat.\x0b\x0c  \n\n\n"
    "    indented   \n"
    "the mat"
)


def config(folder: Path, path: Path | str, **changes: Any) -> DataConfig:
    """Of the text at `path`, every word kept, with the cache in `folder`."""
    return DataConfig(**({"source": f"text:{path}", "cache_dir": str(folder / "cache"), "min_count": 1} | changes))


def build_text(folder: Path, text: str, **changes: Any) -> Corpus:
    """The corpus of `text`, nothing held out and nothing dropped."""
    (folder / "t.txt").write_bytes(text.encode())
    given: dict[str, Any] = {"heldout_every": 0, "lowercase": False, "unknown": "error"}
    return build_corpus(config(folder, folder / "t.txt", **(given | changes)))


def rows(part: Tokens) -> list[np.ndarray]:
    return [part.tokens[a:b] for a, b in zip(part.offsets[:-1], part.offsets[1:], strict=True)]


def sample_lines(n, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, weights=range(1, len(WORDS) + 1), k=rng.randrange(0, 30))) for _ in range(n)]


def own_tokens(text: str) -> list[str]:
    """A tokeniser from outside: words, each comma a token, none of a text that begins with a dash."""
    return [] if text.startswith("-") else text.replace(",", " , ").split()
