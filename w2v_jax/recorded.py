"""The config of a run as JSON: written into its folder, read back, and compared with another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from w2v_jax.config import Config, DataConfig
from w2v_jax.errors import UserError
from w2v_jax.files import PathLike, read_json
from w2v_jax.overrides import build

# Keys that may differ when a run is continued: text, order and steps stay what they are. The mesh may change the last
# bits, and the others which steps are saved and scored.
RESUMABLE = ("log", "checkpoint", "mesh", "data.cache_dir", "data.data_dir", "data.offline", "model.memory_mb")


# Rules of `DataConfig` that came after corpora and studies were published: at their defaults they change no digest.
LATER_RULES = (
    *("normalise", "digits", "encoding_errors", "label_field", "skip_top", "tokens_limit", "bpe_words"),
    *("stop_words", "vocabulary_from", "phrases", "phrase_score", "phrase_threshold", "phrase_min_count"),
)


def later_rules(cfg: DataConfig) -> dict[str, Any]:
    """The `LATER_RULES` that are not at their defaults."""
    found = {name: getattr(cfg, name) for name in LATER_RULES if getattr(cfg, name) != getattr(DataConfig, name)}
    if cfg.phrases and not cfg.phrase_threshold and cfg.phrase_score == "word2phrase":
        found["phrase_threshold"] = 100.0  # until 2026-12 it stood for 10: what was cached so is another text
    return found


def to_dict(cfg: Any) -> dict[str, Any]:
    """The config as nested dicts for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(cfg)))


def freeze(tree: Mapping[str, Any], models: Mapping[str, Any]) -> Config:
    """The validated `Config` of nested mappings such as `to_dict` returns. UserError: see `w2v_jax.overrides.build`."""
    return build(Config, tree, models)


def load(path: PathLike, models: Mapping[str, Any]) -> Config | None:
    """The config in a run's config.json; None where there is no file. UserError: no config; names file and key."""
    tree = read_json(path)
    try:
        return None if tree is None else freeze(tree, models)
    except UserError as e:
        raise UserError(f"{path}: {e}; restore it, or choose another workdir") from None


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between two config dicts, without those in `RESUMABLE`."""
    out: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        path, a, b = prefix + key, old.get(key), new.get(key)
        if path in RESUMABLE:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            out += differences(a, b, f"{path}.")
        elif a != b:
            out.append(path)
    return out
