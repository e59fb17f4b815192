"""`experiments.scaling --score`: tasks scored by the finished models of a study, into its results.

A task is a labelled text, whose classes a logistic regression reads from the mean of a model's last states; `wic`,
Words in Context: is a word meant alike in two texts, by the cosine of its two states; or `vectors`: the similarity and
analogy tests of the table of word vectors.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.classify import features
from experiments.classify.texts import Texts, read
from experiments.scaling.execute import quality
from experiments.word_sense import wic
from experiments.word_sense.vectors import Named
from w2v_jax.config import DataConfig
from w2v_jax.context.encoder import ContextEncoder
from w2v_jax.data.senses import Pair
from w2v_jax.errors import UserError
from w2v_jax.evaluation import linear
from w2v_jax.evaluation.classification import classification
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.scaling import records
from w2v_jax.scaling.records import FINISHED, Record
from w2v_jax.storage import to_path
from w2v_jax.train.folder import CHECKPOINTS
from w2v_jax.train.restore import Model, open_model

VECTORS, SENSES = "vectors", "wic folder="
MOST = "max_tokens"  # of a text that a model reads
FIRST = "texts"  # of each source that are taken, from its beginning; 0 for all
READ = 128
EXAMPLE = "'sst2 source=tsv:sst/train.tsv test_source=tsv:sst/test.tsv labels=sst2'"


class Wanted(NamedTuple):
    """A labelled task."""

    data: DataConfig
    most: int
    first: int


Task = tuple[Wanted, Texts] | dict[str, list[Pair]]  # a labelled task with its texts, or the pairs of `wic`


def parse(text: str) -> tuple[str, Wanted | Path | None]:
    """The name of a task, and what it is: labelled, of "NAME key=value ..." with keys of `DataConfig`, max_tokens and
    texts; the folder of `wic`; or None, `vectors`. UserError: no such."""
    name, *pairs = text.split() or [""]
    if text.strip() == VECTORS:
        return VECTORS, None
    folder = text.strip().removeprefix(SENSES)
    if folder and folder != text.strip():
        return "wic", to_path(folder)
    values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if not name or "=" in name or len(values) < len(pairs) or not {"source", "test_source"} <= set(values):
        raise UserError(
            f"--score={text}: must be {VECTORS}, {SENSES}DIR, or a name with a source and a test_source: {EXAMPLE}"
        )
    most, first = values.pop(MOST, str(READ)), values.pop(FIRST, "0")
    if not most.isdecimal() or not int(most):
        raise UserError(f"--score={text}: {MOST}={most}: must be 1 or more")
    if not first.isdecimal():
        raise UserError(f"--score={text}: {FIRST}={first}: must be 0, for all, or more")
    try:
        return name, Wanted(override(DataConfig(), values, MODELS), int(most), int(first))
    except UserError as e:
        raise UserError(f"--score={text}: {e}") from None


def score(wanted: Sequence[str], workdir: Path, data_dir: str) -> int:
    """Scores every finished run on each task whose name its record does not have, and writes the results file after
    each run.

    UserError: a bad task; no results; a run whose checkpoints are gone.
    """
    tasks = [parse(text) for text in wanted]
    names = [name for name, _ in tasks]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice:
        raise UserError(f"--score: two tasks are called {twice}; give each a name of its own")
    known = {name: _read(task) for name, task in tasks if task is not None}
    vectors_too = (VECTORS, None) in tasks
    files = sorted(workdir.glob("results*.jsonl"))
    if not files:
        raise UserError(f"--score: --workdir={workdir}: holds no results*.jsonl; make the study with --keep first")
    for file in files:
        found = records.read([file])
        gone = [r.run for r in found if r.status == FINISHED and not (workdir / "runs" / r.run / CHECKPOINTS).is_dir()]
        if gone:
            raise UserError(f"--score: {file}: the checkpoints of {gone[0]} are gone; make the study again with --keep")
        for i, record in enumerate(found):
            if record.status == FINISHED:
                found[i] = _scored(record, workdir / "runs" / record.run, known, data_dir if vectors_too else None)
                records.write(file, found)
    return 0


def _read(task: Wanted | Path) -> Task:
    if isinstance(task, Wanted):
        return task, read(task.data, 0.2, _say, task.first)
    return wic.splits(task, final=False, say=_say)


def _scored(record: Record, where: Path, known: dict[str, Task], data_dir: str | None) -> Record:
    """The record with what the tasks came to."""
    shares = dict(record.tasks or {})
    left = {name: task for name, task in known.items() if name not in shares}
    model = open_model(where) if left else None
    for name, task in left.items():
        assert model is not None
        shares[name] = (
            _senses(record.run, model, task) if isinstance(task, dict) else _classes(record.run, model, *task)
        )
    if data_dir is not None and (where / "vectors.bin").exists():
        found = quality(where, data_dir)
        shares |= found
        if not found:
            _say(f"{record.run}: no test of word vectors has enough of its words; give --data_dir or another text")
    _say(f"{record.run}: " + ", ".join(f"{name} {share:.4f}" for name, share in shares.items()))
    return dataclasses.replace(record, tasks=shares)


def _classes(name: str, model: Model, task: Wanted, texts: Texts) -> float:
    """The share of test texts whose class the regression finds."""
    mean = next(iter(features.of_run(name, model, texts, task.most)))
    fitted = linear.fit(mean.train, texts.labels, len(texts.names), mean.test, texts.held, texts.refit)
    return classification(fitted.probabilities, texts.test_labels).accuracy


def _senses(name: str, model: Model, pairs: dict[str, list[Pair]]) -> float:
    """The share of development pairs told by the layer and the threshold of the training pairs."""
    vectors = wic.vectors_of(Named(name, ContextEncoder(model)), pairs, _say)
    return float(wic.score(vectors, pairs)["dev_by_training_threshold"])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
