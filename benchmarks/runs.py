"""Means over all recorded runs of the word2vec benchmark.

    python -m benchmarks.runs [--file=results/word2vec_runs.jsonl] [--passes=5] [--text=dd71fe23c295034c]

A row for each setting, side and change (overrides of ours, arguments of gensim): all its runs, of whatever code and
whether or not they helped to choose a setting, with mean and range of each score. Only runs of one text are comparable:
--text is the start of its digest, that of the longest series by default.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.settings import SEEN, chosen
from w2v_jax.tables import markdown

SHOWN = ("ws353", "men", "simlex999", "analogies")
Row = tuple[str, str, str]
# Values of settings that older lines do not name.
UNNAMED = {
    "skipgram-300": {"model.segment": "128", "model.noise_dtype": "float32"},
    "cbow-100": {"optimizer.initial_square": "1.0"},
    "cbow-300": {
        "optimizer.initial_square": "1.0",
        "train.batch_size": "2048",
        "model.noise_dtype": "float32",
        "model.gradient_dtype": "float32",
    },
    "hs-cbow-100": {"optimizer.initial_square": "1.0", "train.batch_size": "2048"},
}


def change(key: dict[str, Any]) -> str:
    """What a run had that its setting has not by itself."""
    if key["side"] == "gensim":
        return " ".join(f"{name}={value}" for name, value in key.get("peer", {}).items())
    recipe, given = (
        dict(part.removeprefix("--config.").split("=", 1) for part in parts)  # of two with one name the later holds
        for parts in (chosen([key["setting"]])[0].extra, key["code"][1:])
    )
    given = UNNAMED.get(key["setting"], {}) | given
    return " ".join(f"{name}={value}" for name, value in given.items() if recipe.get(name) != value)


def grouped(records: Sequence[dict[str, Any]], passes: int, text: str) -> dict[Row, list[dict[str, float]]]:
    """The scores of the runs, by (setting, side, change), in the order of these."""
    found: dict[Row, list[dict[str, float]]] = defaultdict(list)
    for record in records:
        key = record["key"]
        if (key["kind"], key["passes"]) == ("quality", passes) and key["text"].startswith(text):
            found[key["setting"], key["side"], change(key)].append(record["scores"])
    return dict(sorted(found.items()))


def table(found: dict[Row, list[dict[str, float]]], tests: Sequence[str]) -> str:
    """Mean and, of several runs, range; '-' where a test was not scored."""
    rows = [["setting", "side", "change", "runs", *tests]]
    for row, scores in found.items():
        cells = []
        for test in tests:
            values = [one[test] for one in scores if test in one]
            spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.3f}{spread}" if values else "-")
        rows.append([*row, str(len(scores)), *cells])
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path, default=Path("results/word2vec_runs.jsonl"))
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--text", default="")
    parser.add_argument("--tests", default=",".join(SHOWN), help=f"names between commas, such as {SEEN[0]!r}")
    args = parser.parse_args()
    records = [json.loads(line) for line in args.file.read_text(encoding="utf-8").splitlines()]
    text = args.text or Counter(r["key"]["text"] for r in records).most_common(1)[0][0]
    print(table(grouped(records, args.passes, text), args.tests.split(",")))


if __name__ == "__main__":
    main()
