"""Scores the checkpoints of a run, for the curves of `experiments.figures convergence`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError
from w2v_jax.evaluation.analogies import add_up, analogies
from w2v_jax.evaluation.builtin import analogy_sections, similarity_pairs
from w2v_jax.evaluation.similarity import similarity
from w2v_jax.evaluation.suite import chosen_tests
from w2v_jax.figures.convergence import QUALITY
from w2v_jax.files import read_json, write_text
from w2v_jax.formats import read_vocab
from w2v_jax.models import MODELS
from w2v_jax.recorded import load
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.folder import CHECKPOINTS, CONFIG, RESULT
from w2v_jax.types import Words


def evaluate_checkpoints(workdir: Path, data_dir: str | None, note: Callable[[str], None] = lambda line: None) -> None:
    """Scores the vectors at the start and at every kept checkpoint of a finished run; writes quality.jsonl.

    UserError: no finished run, no checkpoint, no test files, a family without word vectors.
    """
    config, result = load(workdir / CONFIG, MODELS), read_json(workdir / RESULT)
    if config is None or result is None or not (workdir / "vocab.txt").is_file():
        raise UserError(f"{workdir}: no finished run; --evaluate needs its config.json, result.json and vocab.txt")
    spec = MODELS[config.family]
    if spec.embed is None:
        raise UserError(f"{workdir}: family {config.family} has no word vectors to score")
    words, counts = read_vocab(str(workdir / "vocab.txt"))
    cfg = spec.resolve(config.model, len(words))
    consts = spec.consts(cfg, Words(words, np.asarray(counts)))
    start: Any = None
    family = spec.train
    if family is not None:  # a fitted family has no vectors before its first sweep
        start = jax.jit(lambda key: family.init(key, cfg, consts))(jax.random.key(config.train.seed))
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), spec.arrays(cfg))
    folder = workdir / CHECKPOINTS
    steps = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []
    if not steps:
        raise UserError(f"{folder}: no checkpoint to evaluate")
    passes_a_step = result["passes"] / result["steps"]
    rows: list[dict[str, Any]] = []
    with Checkpointer(folder, read_only=True) as checkpoints:
        for step in [0] * (start is not None) + steps:
            found = checkpoints.restore_part("params", target, step) if step else (0, start, {})
            if found is None:
                continue
            matrix = np.asarray(next(iter(spec.vectors(cfg, found[1], consts).values())))
            told = (lambda line: None) if rows else note  # the folder is the same at every checkpoint
            scores = quality(Embeddings(words, matrix), data_dir, note=told)
            row = {"pass": step * passes_a_step, "step": step, **scores}
            values = ", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
            note(f"{workdir.name}: {values}")
            rows.append(row)
    write_text(workdir / QUALITY, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def quality(
    emb: Embeddings,
    data_dir: str | None,
    restrict: int = 30_000,
    note: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Spearman on MEN, WS-353 and SimLex-999, or on a folder's own sets where it has none of these, and 3CosAdd on the
    Google analogies; None where undefined.

    Scores the test files in `data_dir`, or the built-in list without a folder. `note` and UserError: as of
    `chosen_tests`.
    """
    out: dict[str, Any]
    if data_dir is None:
        out, sections = {"similarity": similarity(emb, similarity_pairs()).spearman}, analogy_sections()
    else:
        sets, sections = chosen_tests(data_dir, ("men", "ws353", "simlex999"), note)
        out = {name: similarity(emb, pairs).spearman for name, pairs in sets.items()}
    if sections:
        scores = analogies(emb, sections, restrict)
        out["analogies"] = add_up(list(scores.values())).shares()["accuracy_add"]
    return {**out, "data": "built-in list" if data_dir is None else os.path.basename(os.path.abspath(data_dir))}
