"""Words in Context: is a word meant alike in two texts? By the cosine of its two vectors and a threshold.

The training pairs choose the layer or mixture. The development pairs choose the threshold, and nothing else. The test
pairs are scored once, where the command asks for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.word_sense import answers
from experiments.word_sense.labelled import ANSWERS
from experiments.word_sense.seeds import ALL
from experiments.word_sense.vectors import Candidate, Mixer, Named, Vectors, best, read
from w2v_jax.data.senses import Pair, plain, read_pairs
from w2v_jax.errors import UserError
from w2v_jax.evaluation import linear
from w2v_jax.evaluation.classification import accuracy_error, majority
from w2v_jax.evaluation.senses import WAYS, beside, best_threshold, cosines

PAPER = "Pilehvar and Camacho-Collados 2019 (arXiv 1808.09121)"
Say = Callable[[str], None]


def splits(folder: Path, final: bool, say: Say) -> dict[str, list[Pair]]:
    """The pairs of train.tsv, dev.tsv and, if `final`, test.tsv. UserError: as `read_pairs`; a split of one label."""
    names = ("train", "dev", "test") if final else ("train", "dev")
    found = {name: read_pairs(str(folder / f"{name}.tsv"), say) for name in names}
    for name, pairs in found.items():
        if len({pair.same for pair in pairs}) < 2:
            raise UserError(f"{folder / name}.tsv: holds {'T' if pairs[0].same else 'F'} only; both are needed")
    return found


def vectors_of(named: Named, pairs: dict[str, list[Pair]], say: Say) -> Vectors:
    """Of both texts of every pair: two parts for each split."""
    texts = [[plain(pair.texts[side]) for pair in part] for part in pairs.values() for side in (0, 1)]
    places = [[pair.places[side] for pair in part] for part in pairs.values() for side in (0, 1)]
    return read(named, texts, places, say)


def score(vectors: Vectors, pairs: dict[str, list[Pair]]) -> dict[str, Any]:
    """One row: what training chose, accuracies, thresholds."""
    same = {name: np.array([pair.same for pair in part]) for name, part in pairs.items()}
    both = [np.concatenate([a, b]) for a, b in zip(vectors.parts[0], vectors.parts[1], strict=True)]
    mixer = Mixer(both)

    def cosine(candidate: Candidate, part: int) -> np.ndarray:
        return cosines(*(mixer.of(candidate, vectors.parts[2 * part + side]) for side in (0, 1)))

    def measure(candidate: Candidate) -> float:
        known = mixer.known(candidate)
        half = len(known) // 2
        return best_threshold(cosines(known[:half], known[half:]), same["train"])[1]

    chosen, _, curves = best(vectors, measure)
    found = {"model": vectors.name, "chosen": chosen.told(vectors.layers), "candidate": chosen._asdict()}
    found |= by_threshold({name: cosine(chosen, i) for i, name in enumerate(pairs)}, same)
    return found | {"curves": curves, "seen": vectors.seen._asdict(), "seconds": vectors.seconds}


def by_threshold(values: dict[str, np.ndarray], same: dict[str, np.ndarray]) -> dict[str, Any]:
    """Accuracies of values of the pairs of each split: on train by its own best threshold, on dev by its own, on dev
    again by that of train, and on test by that of dev; with the answers of the latter two. 'threshold' is None where
    saying SAME of all of dev is best."""
    of_train, on_train = best_threshold(values["train"], same["train"])
    threshold, on_dev = best_threshold(values["dev"], same["dev"])
    found = {
        "train": on_train,
        "dev": on_dev,
        "error": accuracy_error(on_dev, len(same["dev"])),
        "threshold": threshold if np.isfinite(threshold) else None,  # of JSON, which has no infinity
        "dev_by_training_threshold": float(((values["dev"] >= of_train) == same["dev"]).mean()),
    }
    alike = {name: values[name] >= threshold for name in ("dev", "test") if name in values}
    if "test" in values:
        right = float((alike["test"] == same["test"]).mean())
        found |= {"test": right, "test_error": accuracy_error(right, len(same["test"]))}
    return found | {ANSWERS: alike}


def regression(runs: Sequence[Vectors], pairs: dict[str, list[Pair]]) -> dict[str, Any]:
    """One row: logistic regression from the cosines of every layer of all runs, as they are and centred. Unlike the
    other rows it is fitted to the labels of the training pairs; a fifth of them chooses its strength."""
    same = {name: np.array([pair.same for pair in part]) for name, part in pairs.items()}
    columns: dict[str, list[np.ndarray]] = {name: [] for name in pairs}
    for run in runs:
        mixer = Mixer([np.concatenate([a, b]) for a, b in zip(run.parts[0], run.parts[1], strict=True)])
        for layer, way in itertools.product(range(len(run.layers)), WAYS[:2]):
            candidate = Candidate(((layer, 1.0),), way)
            for i, name in enumerate(pairs):
                sides = (mixer.of(candidate, run.parts[2 * i + side]) for side in (0, 1))
                columns[name].append(cosines(*sides))
    features = {name: np.stack(found, axis=1) for name, found in columns.items()}
    held = np.arange(len(same["train"])) % 5 == 0
    every = np.concatenate(list(features.values()))
    fitted = linear.fit(features["train"], same["train"].astype(int), 2, every, held)
    bounds = np.cumsum([len(part) for part in features.values()])[:-1]
    values = dict(zip(features, np.split(fitted.probabilities[:, 1], bounds), strict=True))
    found = {
        "model": ALL,
        "chosen": f"{features['train'].shape[1]} cosines, C={fitted.strength:g}",
    }
    return found | by_threshold(values, same) | {"curves": {}, "seconds": 0.0}


def joined(name: str, parts: Sequence[tuple[Vectors, Candidate]]) -> Vectors:
    """The chosen mixtures of several runs side by side, as a run of one layer."""
    mixers = [Mixer([np.concatenate([a, b]) for a, b in zip(v.parts[0], v.parts[1], strict=True)]) for v, _ in parts]
    rows = [
        [beside([mixer.of(candidate, v.parts[i]) for mixer, (v, candidate) in zip(mixers, parts, strict=True)])]
        for i in range(len(parts[0][0].parts))
    ]
    seconds = sum(v.seconds for v, _ in parts)
    return Vectors(name, ("chosen mixtures side by side",), tuple(rows), parts[0][0].seen, seconds)


def compare(
    encoders: Sequence[Named], joins: Sequence[tuple[str, ...]], pairs: dict[str, list[Pair]], say: Say
) -> tuple[dict[str, Any], dict[str, answers.Table]]:
    """All rows, and the table of each: of the development pairs, and of the test pairs where these are there."""
    known: dict[str, tuple[Vectors, Candidate]] = {}
    rows = []
    for named in encoders:
        vectors = vectors_of(named, pairs, say)
        row = score(vectors, pairs)
        known[vectors.name] = vectors, Candidate(**row["candidate"])
        rows.append(row)
        say(f"{vectors.name}: {row['chosen']}: {row['dev']:.2%} of dev")
    for names in joins:
        rows.append(score(joined(" + ".join(names), [known[n] for n in names]), pairs) | {"curves": {}})
    rows.append(regression([vectors for vectors, _ in known.values()], pairs))
    tables = {answers.name_of("wic", row): answers.of_pairs(pairs, row.pop(ANSWERS)) for row in rows}
    same = {name: np.array([pair.same for pair in part], int) for name, part in pairs.items()}
    found = {
        "pairs": {name: len(part) for name, part in pairs.items()},
        "majority": {name: majority(same["train"], part) for name, part in same.items()},
        "rows": rows,
    }
    return found, tables
