"""The model card of a run: a short Markdown page of its data, settings and scores, from the files of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from w2v_jax.errors import UserError
from w2v_jax.exported import CONFIG, read_result
from w2v_jax.files import read_json, write_text
from w2v_jax.tables import duration, markdown

CARD = "card.md"
_SIZES = ("documents", "words", "types_kept", "train_tokens", "heldout_tokens", "test_tokens")


def check(workdir: Path) -> tuple[Any, dict[str, Any]]:
    """The config and the result of a run. UserError: it has not ended."""
    from w2v_jax.models import MODELS
    from w2v_jax.recorded import load

    config, result = load(workdir / CONFIG, MODELS), read_result(workdir)
    if config is None or result is None:
        raise UserError(f"{workdir}: holds no finished run, of which a card could be written; continue it first")
    return config, result


def write(workdir: Path, scores: str) -> Path:
    """Writes card.md into a run folder and returns its path; `scores` is the text of the evaluation.

    UserError: the run has not ended.
    """
    from w2v_jax.models import MODELS
    from w2v_jax.recorded import to_dict

    config, result = check(workdir)
    plain = to_dict(type(config)(config.family, MODELS[config.family].config()))
    changed = {k: v for k, v in _flat(to_dict(config)).items() if v != _flat(plain).get(k)}
    data = {k: v for k, v in changed.items() if k.startswith("data.")} | {"data.source": config.data.source}
    settings = {k: v for k, v in changed.items() if k not in data and k != "family"}
    parts = [
        f"# {config.family}: {workdir.name}",
        "Made by `python -m experiments.evaluate --workdir=... --card` from the files of the run.",
        "## Data",
        _table("key", data),
        _table("size", _of(result)),
        "## Settings",
        "What differs from the defaults; `config.json` has all values.",
        _table("key", settings),
        "## Training",
        _table("", _training(result)),
        "## Scores",
        f"```\n{scores}\n```",
    ]
    if (begun := result.get("continued_from")) is not None:
        parts.insert(5, f"Continued from `{begun['path']}`: {begun['words']:,} words kept, {begun['new_words']:,} new.")
    if (workdir / "vectors.bin").is_file():
        parts += ["## Use", f'```python\nimport w2v_jax\n\nemb = w2v_jax.load("{workdir.name}")\n```']
    if (workdir / "documents.npy").is_file():
        opened = f'docs = w2v_jax.load_documents("{workdir.name}")'
        parts += ["The documents have their own vectors:", f"```python\nimport w2v_jax\n\n{opened}\n```"]
    write_text(workdir / CARD, "\n\n".join(part for part in parts if part) + "\n")
    return workdir / CARD


def scores_of(file: Path) -> str:
    """The scores of a language model as text, from its evaluation file."""
    found = read_json(file) or {}
    lines = [f"text: {found['source']}"] if "source" in found else []
    for split, one in found.items():
        if isinstance(one, dict):
            numbers = {k: v for k, v in one.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
            lines += [split, *(f"  {name}: {value:.6g}" for name, value in numbers.items())]
    return "\n".join(lines)


def _of(result: dict[str, Any]) -> dict[str, Any]:
    report = result.get("corpus", {})
    sizes = {name.replace("_", " "): f"{report[name]:,}" for name in _SIZES if report.get(name)}
    return sizes | {"vocabulary": f"{result.get('vocabulary', 0):,}", "digest": str(result.get("corpus_digest"))[:16]}


def _training(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("steps", "passes", "loss", "heldout_loss", "words_per_second", "seed", "device", "jax")
    found = {key.replace("_", " "): _shown(result[key]) for key in keys if result.get(key) is not None}
    return found | {"time": duration(float(result.get("seconds") or 0))}


def _shown(value: Any) -> str:
    return f"{value:,.5g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _table(name: str, rows: dict[str, Any]) -> str:
    return (
        markdown([[name, "value"], *([f"`{k}`" if "." in k else k, str(v)] for k, v in rows.items())]) if rows else ""
    )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out
