"""Scores of one file of vectors, for the benchmark.

    python -m benchmarks.quality --vectors=FILE --data_dir=DIR --json=FILE

Similarity by Spearman's rank correlation; analogies by 3CosAdd among the first 30,000 words, query words excluded and
questions with an unknown word skipped. The JSON file gets all of `w2v_jax.evaluation`'s results, standard output the
few that the benchmark compares.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

RESTRICT = 30_000


def scores(results: dict[str, Any]) -> dict[str, float]:
    """Score by the benchmark's name of the test, from the results of `evaluate_all`; tests without a score left out."""
    found = {}
    for name in ("ws353", "men", "simlex999"):
        found[name] = results["similarity"].get(name, {}).get("spearman")
    for name, test in (("analogies", "questions-words"), ("msr", "msr"), ("bats", "bats")):
        found[name] = results["analogy"].get(test, {}).get("all", {}).get("accuracy_add")
    return {name: float(score) for name, score in found.items() if score is not None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--json", required=True)
    args = parser.parse_args()

    from w2v_jax.embeddings import load
    from w2v_jax.evaluation import evaluate_all
    from w2v_jax.files import write_json

    results = evaluate_all(load(args.vectors), args.data_dir, RESTRICT)
    write_json(args.json, results)
    print(json.dumps({"scores": scores(results)}))


if __name__ == "__main__":
    main()
