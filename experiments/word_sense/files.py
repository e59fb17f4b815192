"""Labelled files of occurrences: every run and every baseline, with all labels and with a few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.word_sense import answers, few, labelled
from experiments.word_sense.vectors import Candidate, Named, Vectors, read
from w2v_jax.data.senses import Occurrence, plain, read_occurrences
from w2v_jax.evaluation.senses import beside

Say = Callable[[str], None]


class Read(NamedTuple):
    """The occurrences of both files, and their words."""

    train: str
    test: str
    known: list[Occurrence]
    asked: list[Occurrence]
    words: list[labelled.Word]
    seed: int


def read_files(train: str, test: str, any_form: bool, seed: int, say: Say) -> Read:
    """The occurrences of --train and --test; the seed is that of folds and draws. UserError: bad files."""
    known, asked = (read_occurrences(path, any_form, say) for path in (train, test))
    return Read(train, test, known, asked, labelled.words_of(known, asked, seed, train), seed)


def compare(
    encoders: Sequence[Named], joins: Sequence[tuple[str, ...]], files: Read, draws: int, say: Say
) -> tuple[dict[str, Any], dict[str, answers.Table]]:
    """All rows, and the table of each."""
    known, asked, words = files.known, files.asked, files.words
    rows, shots = few.baselines(words, known, asked, draws, files.seed)
    runs: dict[str, tuple[labelled.Run, list[Candidate]]] = {}
    texts = [[plain(o.tokens) for o in part] for part in (known, asked)]
    places = [[o.place for o in part] for part in (known, asked)]

    def add(run: labelled.Run, layered: bool = True) -> None:
        found = [row if layered else row | {"curves": {}} for row in labelled.rows_of(run)]
        picked = [Candidate(**row["candidate"]) for row in found[: len(labelled.CLASSIFIERS)]]
        runs[run.vectors.name] = run, picked
        rows.extend(found)
        shots.extend(few.few_shots(run, draws, files.seed))
        say(f"{run.vectors.name}: " + ", ".join(f"{r['classifier']} {r['recall']:.1%}" for r in found) + " recall")

    for named in encoders:
        add(labelled.Run(read(named, texts, places, say), words))
    for parts in joins:
        add(labelled.Run(joined(" + ".join(parts), [runs[part] for part in parts]), words), layered=False)
    tables = {answers.name_of("labelled", r): answers.of_words(asked, words, r.pop(labelled.ANSWERS)) for r in rows}
    found = {
        "train": files.train,
        "test": files.test,
        "words": {w.name: {"senses": list(w.senses), "train": len(w.known), "test": len(w.asked)} for w in words},
        "notes": notes(words, known, asked),
        "rows": rows,
        "few": shots,
        "few_notes": few.notes(words),
        "seed": files.seed,
    }
    return found, tables


def notes(words: Sequence[labelled.Word], known: Sequence[Occurrence], asked: Sequence[Occurrence]) -> list[str]:
    """What a reader of the scores should know of the files."""
    out = []
    for word in words:
        alone = sorted(set(word.truth.tolist()) - set(word.labels.tolist()))
        if alone:
            names = ", ".join(word.senses[i] for i in alone)
            count = int(sum((word.truth == i).sum() for i in alone))
            out.append(f"{word.name}: training never has {names}: its {count} test occurrences are wrong for all rows")
    left = sorted({o.word for o in known} - {word.name for word in words})
    if left:
        out.append(f"not in the test file, left out: {', '.join(left)}")
    seen = {(o.word, o.tokens) for o in known}
    twice = sum((o.word, o.tokens) in seen for o in asked)
    if twice:
        out.append(f"{twice:,} test texts stand in the training file too")
    return out


def joined(name: str, runs: Sequence[tuple[labelled.Run, Sequence[Candidate]]]) -> Vectors:
    """The chosen mixtures of several runs side by side: a layer of those for 1-NN, and one of those for centroids."""
    words = runs[0][0].words
    first = runs[0][0].vectors
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for kind in range(len(labelled.CLASSIFIERS)):
        for side, rows in enumerate(parts):
            width = sum(run.vectors.parts[0][chosen[kind].weights[0][0]].shape[1] for run, chosen in runs)
            out = np.zeros((len(first.parts[side][0]), width), np.float32)
            for i, word in enumerate(words):
                of_runs = [(run.known if side == 0 else run.asked)(i, chosen[kind]) for run, chosen in runs]
                out[word.known if side == 0 else word.asked] = beside(of_runs)
            rows.append(out)
    layers = tuple(f"side by side, as for {kind}" for kind in labelled.CLASSIFIERS)
    return Vectors(name, layers, parts, first.seen, sum(run.vectors.seconds for run, _ in runs))
