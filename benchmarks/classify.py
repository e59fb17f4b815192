"""The rows of `experiments.classify` beside pipelines of scikit-learn over the same texts, words and splits.

    python -m benchmarks.classify --ours=runs/newsgroups/results.json --out=results/classify_newsgroups.json

Ours is a results.json of `experiments.classify`. For each of its methods that has a peer, scikit-learn makes the
features from the texts (CountVectorizer with our words, then Normalizer, TfidfTransformer or TruncatedSVD) and fits
LogisticRegression with its own settings; GridSearchCV chooses its C on the same held-out texts. Accuracies on the test
texts must differ by at most `--tolerance` points. Takes 20 minutes for 20 Newsgroups on 2 cores.
Exit status: 0 done, 1 a method is further below, 2 bad input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.classify.texts import Texts, bags, read
from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.config import DataConfig
from w2v_jax.data.words import Rules, words_of
from w2v_jax.errors import UserError
from w2v_jax.files import read_json, write_json
from w2v_jax.overrides import build
from w2v_jax.tables import aligned

# C of scikit-learn, for features as they are: the values around the best one.
STRENGTHS = {
    "counts": (0.1, 1.0),
    "shares": (100.0, 1000.0, 10000.0),
    "tfidf": (1.0, 10.0, 100.0),
    "lsa": (0.001, 0.01, 0.1),
}
MOST = 300  # steps of L-BFGS


def pipeline(method: str, data: DataConfig, words: Sequence[str], dimensions: int) -> Any:
    """scikit-learn's features and classifier for one of our methods."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    rules = Rules.of(data)
    counter = CountVectorizer(analyzer=lambda text: words_of(text, rules), vocabulary=list(words))
    between = {
        "counts": (),
        "shares": (Normalizer("l1"),),
        "tfidf": (TfidfTransformer(),),
        "lsa": (TfidfTransformer(), TruncatedSVD(dimensions, n_iter=7, random_state=0), StandardScaler()),
    }
    return make_pipeline(counter, *between[method]), LogisticRegression(max_iter=MOST)


def peer(method: str, data: DataConfig, texts: Texts, dimensions: int) -> dict[str, Any]:
    """Accuracy of scikit-learn on the test texts, its C and seconds."""
    from sklearn.model_selection import GridSearchCV, PredefinedSplit

    words = bags(data, texts).vocab.words
    start = time.perf_counter()
    features, classifier = pipeline(method, data, words, dimensions)
    fitted = np.ones(len(texts.train), bool) if texts.refit else ~texts.held
    features.fit([text for text, kept in zip(texts.train, fitted, strict=True) if kept])
    train, test = features.transform(texts.train), features.transform(texts.test)
    made = time.perf_counter() - start
    split = PredefinedSplit(np.where(texts.held, 0, -1))
    search = GridSearchCV(classifier, {"C": STRENGTHS[method]}, cv=split, refit=False).fit(train, texts.labels)
    best = classifier.set_params(**search.best_params_).fit(train[fitted], texts.labels[fitted])
    return {
        "accuracy": float(best.score(test, texts.test_labels)),
        "C": search.best_params_["C"],
        "heldout": float(search.best_score_),
        "steps": int(best.n_iter_[0]),
        "seconds_features": made,
        "seconds_fit": time.perf_counter() - start - made,
    }


def compared(ours: dict[str, Any], say: Any) -> list[dict[str, Any]]:
    """One row per method that has a peer. UserError: the texts are others than those of `ours`."""
    data = build(DataConfig, ours["data"], {})
    texts = read(data, ours["test_share"], say)
    if len(texts.test) != ours["test_texts"] or list(texts.names) != ours["labels"]:
        raise UserError("the texts have changed since they were classified; run experiments.classify again")
    rows = []
    for row in ours["methods"]:
        if row["method"] in STRENGTHS:
            other = peer(row["method"], data, texts, row["dimensions"])
            keys = ("method", "dimensions", "accuracy", "error", "seconds_features", "seconds_fit")
            rows.append({key: row[key] for key in keys} | {"scikit_learn": other})
            rows[-1]["points_above"] = 100.0 * (row["accuracy"] - other["accuracy"])
            say(f"{row['method']}: {row['accuracy']:.2%}, scikit-learn {other['accuracy']:.2%}")
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    shown = [["method", "ours", "scikit-learn", "points above", "seconds", "its seconds"]]
    for row in rows:
        other = row["scikit_learn"]
        seconds = [f"{x['seconds_features'] + x['seconds_fit']:.0f}" for x in (row, other)]
        accuracy = f"{row['accuracy']:.2%} ± {row['error']:.2%}"
        shown.append([row["method"], accuracy, f"{other['accuracy']:.2%}", f"{row['points_above']:+.2f}", *seconds])
    return aligned(shown)


def main(argv: Sequence[str]) -> int:
    """Compares and writes; returns the exit status."""
    f = flags.FLAGS
    if not (f.ours and f.out):
        raise UserError("--ours and --out are needed: a results.json of experiments.classify, and a file to write")
    ours = read_json(f.ours)
    if ours is None or "methods" not in ours:
        raise UserError(f"--ours={f.ours}: holds no results of experiments.classify")
    rows = compared(ours, lambda line: print(line, file=sys.stderr, flush=True))
    print(table(rows))
    labels = {key: ours[key] for key in ("labels", "training_texts", "heldout_texts", "test_texts", "majority")}
    all_ours = [{key: value for key, value in row.items() if key != "confusion"} for row in ours["methods"]]
    result = {"texts": labels, "ours": all_ours, "beside": rows, "machine": machine()}
    write_json(f.out, result, indent=1)
    return int(any(row["points_above"] < -f.tolerance for row in rows))


if __name__ == "__main__":
    flags.DEFINE_string("ours", None, "results.json of experiments.classify.")
    flags.DEFINE_string("out", None, "JSON file to write.")
    flags.DEFINE_float("tolerance", 0.5, "Points of accuracy that ours may be below.")
    cli.run(main)
