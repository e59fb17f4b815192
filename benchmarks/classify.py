"""The rows of `experiments.classify` beside pipelines of scikit-learn over the same texts, words and splits.

    python -m benchmarks.classify --ours=runs/newsgroups/results.json --out=results/classify_newsgroups.json

Ours are results.json of `experiments.classify`, of one set of texts. For each of its methods that has a peer,
scikit-learn makes the features from the texts (CountVectorizer with our words, then Normalizer, TfidfTransformer or
TruncatedSVD) and fits LogisticRegression with its own settings; GridSearchCV chooses its C on the same held-out texts.
For LDA the features are ours, fitted again, as scikit-learn's model is another one. Accuracies on the test texts must
differ by at most `--tolerance` points. What --out holds of scikit-learn's side is kept as long as it would be the same:
it needs the texts, our words and dimensions alone, but for LDA. --methods compares a part, and those anew. Takes 20
minutes for 20 Newsgroups on 2 cores.
Exit status: 0 done, 1 a method is further below, 2 bad input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.classify import features
from experiments.classify.digests import TEXTS, of_texts
from experiments.classify.texts import Texts, bags, read
from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.config import DataConfig, check_choice
from w2v_jax.data.words import Rules, words_of
from w2v_jax.errors import UserError
from w2v_jax.files import read_json, write_json
from w2v_jax.models import MODELS
from w2v_jax.overrides import build
from w2v_jax.recorded import freeze
from w2v_jax.tables import aligned
from w2v_jax.types import Say

Rows = Sequence[Mapping[str, Any]]

# C of scikit-learn, for features as they are: the values around the best one, in decades, as a fit takes minutes. Those
# of LDA are in half decades, as ours: its features are ours, so nothing else may differ.
STRENGTHS = {
    "counts": (0.1, 1.0),
    "shares": (100.0, 1000.0, 10000.0, 100000.0),
    "tfidf": (1.0, 10.0, 100.0),
    "lsa": (0.001, 0.01, 0.1),
    "lda": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),  # of features of variance 1
}
SAME = ("data", "labels", "training_texts", "heldout_texts", "test_texts", "test_share", "majority", TEXTS)
MOST = 1000  # steps of L-BFGS
# Its default solver, L-BFGS, is not done with the shares of 20 Newsgroups in 1,000 steps: features as small as these
# want a large C, and the default tolerance is large beside their gradients.
SOLVERS: dict[str, dict[str, Any]] = {"shares": {"solver": "newton-cg", "tol": 1e-5}}


def pipeline(method: str, data: DataConfig, words: Sequence[str], dimensions: int) -> Any:
    """scikit-learn's features for one of our methods."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
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
    return make_pipeline(counter, *between[method])


def peer(method: str, data: DataConfig, texts: Texts, dimensions: int, config: Any, say: Say) -> dict[str, Any]:
    """Accuracy of scikit-learn on the test texts, its C and seconds; `config` is that of our LDA."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.preprocessing import StandardScaler

    found = bags(data, texts)
    start = time.perf_counter()
    fitted = np.ones(len(texts.train), bool) if texts.refit else ~texts.held
    if method == "lda":
        ours = features.fitted(freeze(config, MODELS), found, say)
        scaler = StandardScaler().fit(ours.train[fitted])
        train, test = scaler.transform(ours.train), scaler.transform(ours.test)
    else:
        making = pipeline(method, data, found.vocab.words, dimensions)
        making.fit([text for text, kept in zip(texts.train, fitted, strict=True) if kept])
        train, test = making.transform(texts.train), making.transform(texts.test)
    made = time.perf_counter() - start
    classifier = LogisticRegression(max_iter=MOST, **SOLVERS.get(method, {}))
    split = PredefinedSplit(np.where(texts.held, 0, -1))
    search = GridSearchCV(classifier, {"C": STRENGTHS[method]}, cv=split, refit=False).fit(train, texts.labels)
    best = classifier.set_params(**search.best_params_).fit(train[fitted], texts.labels[fitted])
    return {
        "accuracy": float(best.score(test, texts.test_labels)),
        "C": search.best_params_["C"],
        "heldout": float(search.best_score_),
        "solver": best.solver,
        "steps": int(best.n_iter_[0]),
        "seconds_features": made,
        "seconds_fit": time.perf_counter() - start - made,
    }


def compared(ours: dict[str, Any], say: Say, only: Sequence[str] = (), before: Rows = ()) -> list[dict[str, Any]]:
    """One row per method that has a peer. Those of `only` are compared anew. Of the others scikit-learn's side is that
    of the rows `before` where it would be the same; else they are compared, unless `only` names some. UserError: the
    texts are others than those of `ours`."""
    data = build(DataConfig, ours["data"], {})
    texts = read(data, ours["test_share"], say)
    if of_texts(texts) != ours[TEXTS]:
        what = "the texts have changed since they were classified"
        raise UserError(f"{data.source}: {what}; run experiments.classify again")
    rows = []
    for row in ours["methods"]:
        if row["method"] not in STRENGTHS:
            continue
        other = None if row["method"] in only else _known(row, before)
        if other is None and row["method"] in (only or STRENGTHS):
            other = peer(row["method"], data, texts, row["dimensions"], ours.get("configs", {}).get("lda"), say)
        if other is None:
            continue
        keys = ("method", "dimensions", "accuracy", "error", "seconds_features", "seconds_fit")
        rows.append({key: row[key] for key in keys} | {"scikit_learn": other})
        rows[-1]["points_above"] = 100.0 * (row["accuracy"] - other["accuracy"])
        say(f"{row['method']}: {row['accuracy']:.2%}, scikit-learn {other['accuracy']:.2%}")
    return rows


def _known(row: Mapping[str, Any], before: Rows) -> dict[str, Any] | None:
    keys = ("method", "dimensions", *(("accuracy",) if row["method"] == "lda" else ()))
    return next((dict(old["scikit_learn"]) for old in before if all(old[key] == row[key] for key in keys)), None)


def joined(paths: Sequence[str]) -> dict[str, Any]:
    """The results of all files as one. UserError: one holds none, or they are of different texts."""
    whole: dict[str, Any] = {}
    for path in paths:
        found = read_json(path)
        if found is None or "methods" not in found:
            raise UserError(f"--ours={path}: holds no results of experiments.classify")
        if TEXTS not in found:
            what = f"has no {TEXTS}, it is of an earlier version"
            raise UserError(f"--ours={path}: {what}; run experiments.classify again, in another --workdir")
        if whole and any(whole[key] != found[key] for key in SAME):
            raise UserError(f"--ours={path}: is of other texts than {paths[0]}; name results of the same command")
        methods = [*whole.get("methods", ()), *found["methods"]]
        whole = found | {"methods": methods, "configs": whole.get("configs", {}) | found.get("configs", {})}
    return whole


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
    for name in f.methods:
        check_choice("--methods", name, ("none", *STRENGTHS))
    ours, before = joined(f.ours), read_json(f.out) or {}
    labels = {key: ours[key] for key in ("labels", "training_texts", "heldout_texts", "test_texts", "majority", TEXTS)}
    old = before.get("beside", ()) if before.get("texts") == labels else ()
    rows = compared(ours, lambda line: print(line, file=sys.stderr, flush=True), f.methods, old)
    print(table(rows))
    all_ours = [{key: value for key, value in row.items() if key != "confusion"} for row in ours["methods"]]
    result = {"texts": labels, "ours": all_ours, "beside": rows, "machine": machine()}
    write_json(f.out, result, indent=1)
    return int(any(row["points_above"] < -f.tolerance for row in rows))


if __name__ == "__main__":
    flags.DEFINE_list("ours", [], "results.json of experiments.classify; several are of the same texts.")
    flags.DEFINE_list(
        "methods", [], f"Methods to compare anew, of {', '.join(STRENGTHS)}, or none; else all that --out lacks."
    )
    flags.DEFINE_string("out", None, "JSON file to write.")
    flags.DEFINE_float("tolerance", 0.5, "Points of accuracy that ours may be below.")
    cli.run(main)
