"""Words that are given from outside: a list of stop words, the vocabulary of an earlier run. And what decides tokens
beside the keys of a config: the content of such files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from w2v_jax.config import DataConfig, own_tokens
from w2v_jax.data import own
from w2v_jax.data.phrases import Pass
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary
from w2v_jax.data.words import Rules, prepared, words_of
from w2v_jax.errors import UserError
from w2v_jax.storage import to_path


def rules(cfg: DataConfig) -> dict[str, Any]:
    """Digests in the place of the names of files, for the rules of a corpus; {} without any such file."""
    found: dict[str, Any] = {}
    if own_tokens(cfg.tokens):
        found |= {"own_tokens": own.digest_of(cfg.tokens), "own_cut": own.CUT}
    if cfg.stop_words:
        found["stop_words"] = hashlib.sha256("\n".join(sorted(stop_words(cfg))).encode()).hexdigest()
    if cfg.vocabulary_from:
        earlier = _earlier(cfg)
        known = _words(earlier)
        lines = [f"{w} {n}" for w, n in zip(known.words, known.counts.tolist(), strict=True)]
        lines += [f"{a} {b}" for pairs in earlier.phrases for a, b in (*pairs, ("", ""))]
        # Until 2026-11-30 such words stayed.
        lines += [f"without {w}" for w in sorted(stop_words(cfg).intersection(known.words))]
        lines += ["without the most frequent"] if cfg.skip_top else []
        found["vocabulary_from"] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return found


def vocabulary_from(cfg: DataConfig) -> Vocabulary:
    """The words of `cfg.vocabulary_from` with their counts, without the end token and `<unk>`, which each text counts
    for itself. UserError: no such file, a damaged one, or a run whose text was cut by other rules."""
    return _words(_earlier(cfg))


def _words(earlier: Tokenizer) -> Vocabulary:
    kept = [i for i, w in enumerate(earlier.words) if w not in (UNKNOWN, earlier.end_token)]
    return Vocabulary(tuple(earlier.words[i] for i in kept), earlier.vocab.counts[kept])


def phrases_from(cfg: DataConfig) -> tuple[Pass, ...]:
    """The pairs that the run `cfg.vocabulary_from` joins, by pass; none without one. UserError: as above."""
    return _earlier(cfg).phrases if cfg.vocabulary_from else ()


def _earlier(cfg: DataConfig) -> Tokenizer:
    path = to_path(cfg.vocabulary_from)
    if path.name == "vocab.txt":
        path = path.parent
    if not (path / "vocab.txt").is_file():
        raise UserError(
            f"data.vocabulary_from={cfg.vocabulary_from}: no run folder with a vocab.txt; name a finished run"
        )
    earlier = Tokenizer.load(path)
    for name, has in (("tokens", earlier.kind), *((n, getattr(earlier, n)) for n in ("lowercase", "digits"))):
        if getattr(cfg, name) != has and not (name == "tokens" and _same_file(cfg, earlier)):
            raise _cut_otherwise(cfg, f"data.{name}={has}, this by {getattr(cfg, name)}")
    if Rules.of(cfg).form != earlier.rules.form:
        raise _cut_otherwise(cfg, f"data.normalise={earlier.normalise}, this by {cfg.normalise}")
    if earlier.own and earlier.own != own.digest_of(cfg.tokens):
        raise _cut_otherwise(cfg, f"another content of data.tokens={earlier.kind}; restore it")
    return earlier


def _same_file(cfg: DataConfig, earlier: Tokenizer) -> bool:
    """Whether both have the same tokeniser in files of two names."""
    files = cfg.tokens.startswith("json:") and earlier.kind.startswith("json:")
    return files and own.digest_of(cfg.tokens) == earlier.own


def _cut_otherwise(cfg: DataConfig, how: str) -> UserError:
    return UserError(f"data.vocabulary_from={cfg.vocabulary_from}: its text was cut by {how}")


def stop_words(cfg: DataConfig) -> frozenset[str]:
    """The words of `cfg.stop_words`, one a line, folded as the text is; none without a file. UserError: no such file,
    not UTF-8, or no word in it."""
    if not cfg.stop_words:
        return frozenset()
    try:
        text = to_path(cfg.stop_words).read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(
            f"data.stop_words={cfg.stop_words}: no such file; give a text file with one word a line"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"data.stop_words={cfg.stop_words}: not UTF-8; convert it first") from None
    rules = Rules.of(cfg)
    lines = (prepared(line.strip(), rules) for line in text.splitlines())
    if cfg.tokens == "letters" and cfg.lowercase:  # whose cutter folds
        lines = (line.lower() for line in lines)
    found = frozenset(filter(None, lines))
    if not found:
        raise UserError(f"data.stop_words={cfg.stop_words}: holds no word; leave it empty for none")
    return found


def never_met(cfg: DataConfig) -> list[str]:
    """The stop words that the rule `cfg.tokens` cuts otherwise, so that no text has them as a word. The parts of a
    phrase are words; what a tokeniser from outside makes of a text is not known from its single tokens."""
    if own_tokens(cfg.tokens):
        return []
    rules, joined = Rules.of(cfg), bool(cfg.phrases or cfg.vocabulary_from)

    def whole(word: str) -> bool:
        return words_of(word, rules) == [word]

    found = (word for word in stop_words(cfg) if not whole(word))
    return sorted(word for word in found if not (joined and all(map(whole, filter(None, word.split("_"))))))


def stop_words_met(cfg: DataConfig, words: Collection[str]) -> dict[str, int]:
    """For the report of a corpus: how many stop words there are, and how many are among the `words` of the text."""
    given = stop_words(cfg)
    return {"stop_words": len(given), "stop_words_met": len(given.intersection(words))}
