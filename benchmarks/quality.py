"""Scores of one file of vectors, for the benchmark.

    python -m benchmarks.quality --vectors=FILE --data_dir=DIR --json=FILE [--counts=FILE]

Similarity by Spearman's rank correlation; analogies by 3CosAdd among the first 30,000 words, query words excluded and
questions with an unknown word skipped. With --counts (lines of `word count`) the similarity sets are scored by the
frequency of the rarer word, too. The JSON file gets all of `w2v_jax.evaluation`'s results, standard output the few that
the benchmark compares.

Settings are chosen on the development part alone: WordSim-353, MEN, and the tenth of the analogies (questions-words)
that `in_development` names. The rest is reported.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from typing import Any

from w2v_jax.evaluation.analogies import Question, Sections

RESTRICT = 30_000
DEVELOPMENT = ("ws353", "men", "analogies_dev")  # scores that settings may be chosen by
PARTS = 10  # one of so many parts of the questions is for development


def in_development(question: Question) -> bool:
    """Whether a question belongs to the development part: by a digest of its words, for ever the same."""
    digest = hashlib.sha256(" ".join(question).lower().encode()).digest()
    return int.from_bytes(digest[:8], "big") % PARTS == 0


def split(sections: Sections) -> dict[str, Sections]:
    """{'analogies_dev', 'analogies_rest'} of the questions, by section."""
    return {
        part: {name: [q for q in found if in_development(q) == chosen] for name, found in sections.items()}
        for part, chosen in (("analogies_dev", True), ("analogies_rest", False))
    }


def scores(results: dict[str, Any]) -> dict[str, float]:
    """Score by the benchmark's name of the test, from the results of `evaluate_all` and `analogy_parts`; tests without
    a score left out."""
    found = {name: one["spearman"] for name, one in results["similarity"].items()}
    for name, test in (("analogies", "questions-words"), ("msr", "msr"), ("bats", "bats")):
        found[name] = results["analogy"].get(test, {}).get("all", {}).get("accuracy_add")
    found |= {f"seen {name}": one["spearman"] for name, one in results["frequency"].items()}
    found |= {name: one["accuracy_add"] for name, one in results.get("parts", {}).items()}
    return {name: float(score) for name, score in found.items() if score is not None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--counts")
    args = parser.parse_args()

    from w2v_jax.embeddings import load
    from w2v_jax.evaluation import evaluate_all
    from w2v_jax.evaluation.analogies import add_up, analogies, read_questions
    from w2v_jax.files import write_json

    emb = load(args.vectors, counts=args.counts)
    results = evaluate_all(emb, args.data_dir, RESTRICT)
    questions = os.path.join(args.data_dir, "analogy", "questions-words.txt")
    if os.path.isfile(questions):
        parts = split(read_questions(questions)).items()
        results["parts"] = {name: add_up(list(analogies(emb, s, RESTRICT).values())).shares() for name, s in parts}
    write_json(args.json, results)
    print(json.dumps({"scores": scores(results)}))


if __name__ == "__main__":
    main()
