"""Every file of a token cache is compared with its digest when it is opened: what is damaged is named and made anew."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.corpora import config
from w2v_jax.config import DataConfig
from w2v_jax.data.corpus import Corpus, build_corpus


@pytest.fixture
def cfg(tmp_path: Path) -> Callable[..., DataConfig]:
    return functools.partial(config, tmp_path)


def flip(bit: int) -> Callable[[bytes], bytes]:
    """Flips a bit of the byte in the middle."""

    def damage(data: bytes) -> bytes:
        at = len(data) // 2
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    return damage


def zero_page(data: bytes) -> bytes:
    return data[:4096] + bytes(4096) + data[8192:]


def more_words(data: bytes) -> bytes:
    """A meta.json that is valid, of other counts."""
    meta = json.loads(data)
    meta["splits"]["train"]["words"] += 1
    return json.dumps(meta).encode()


def content(corpus: Corpus) -> list[Any]:
    parts = (corpus.train, corpus.heldout)
    return [*(a.tolist() for p in parts for a in (p.tokens, p.offsets)), corpus.vocab.words, corpus.report]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train.tokens", flip(0)),
        ("train.tokens", flip(7)),
        ("train.tokens", zero_page),
        ("heldout.tokens", flip(0)),
        ("train.offsets", flip(3)),
        ("vocab.txt", flip(0)),
        ("tokenizer.json", flip(1)),
        ("meta.json", more_words),
    ],
)
def test_a_damaged_file_is_found_named_and_made_anew(
    tmp_path: Path, cfg: Callable[..., DataConfig], name: str, damage: Callable[[bytes], bytes]
) -> None:
    rng = np.random.default_rng(0)
    words = [a + b for a in "abcdefghij" for b in "klmnopqrst"]
    (tmp_path / "t.txt").write_text("\n".join(" ".join(rng.choice(words, 50)) for _ in range(200)) + "\n")
    settings = cfg(tmp_path / "t.txt", heldout_every=10)
    first = build_corpus(settings)
    wanted, file = content(first), first.directory / name
    good = file.read_bytes()
    bad = damage(good)
    assert bad != good and len(bad) == len(good) or name == "meta.json"
    file.write_bytes(bad)
    said: list[str] = []
    again = build_corpus(settings, said.append)
    warnings = [line for line in said if line.startswith("warning")]
    assert len(warnings) == 1 and str(first.directory) in warnings[0] and f"{name}: does not match" in warnings[0]
    assert content(again) == wanted and again.digest == first.digest
    said.clear()
    build_corpus(settings, said.append)
    assert any("cached in" in line for line in said) and not any(line.startswith("warning") for line in said)


def test_a_cache_without_digests_is_made_anew(tmp_path: Path, cfg: Callable[..., DataConfig]) -> None:
    (tmp_path / "t.txt").write_text("a b\nb c\n")
    first = build_corpus(cfg(tmp_path / "t.txt"))
    meta = json.loads((first.directory / "meta.json").read_text())
    del meta["newer"]
    (first.directory / "meta.json").write_text(json.dumps(meta))
    said: list[str] = []
    again = build_corpus(cfg(tmp_path / "t.txt"), said.append)
    assert content(again) == content(first)
    assert any("older versions" in line for line in said)
