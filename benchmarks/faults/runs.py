"""The small runs that get faults: one of each family of the registry, two of word2vec, and a study.

All names in a command are relative to the run's own folder, which holds its texts, its cache and the run folder: a copy
of the folder continues like the folder itself.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from w2v_jax.models import MODELS

ROOT = Path(__file__).resolve().parents[2]
RUN, CACHE = "run", "cache"
INTERVAL, CALL = 16, 4  # steps between two checkpoints, and in a call
COMMON = {
    "data.cache_dir": CACHE,
    "train.steps_per_call": CALL,
    "log.every_steps": 8,
    "checkpoint.every_steps": INTERVAL,
    "log.tensorboard": False,
    "mesh.data": 1,
}
TEXT = {
    "data.source": "text:words.txt",
    "data.heldout_every": 10,
    "train.batch_size": 4,
    "train.passes": 1.0,
    "optimizer.learning_rate": 0.03,
}
WORDS = TEXT | {
    "data.block_tokens": 128,
    "data.min_count": 2,
    "model.dim": 4,
    "model.window": 3,
    "model.segment": 32,
    "model.sample": 0.01,
    "train.batch_size": 128,  # 4 rows: for 4 processes, too
    "train.passes": 2.0,
    "optimizer.learning_rate": 0.3,
}
LABELS = {
    "data.source": "tsv:train.tsv",
    "data.test_source": "tsv:test.tsv",
    "train.batch_size": 8,
    "train.passes": 2.0,
    "optimizer.learning_rate": 0.03,
}
VECTORS = LABELS | {"model.vectors": "vectors.txt", "model.dim": 4}
# Of a family: (name of the run, config file, overrides).
KNOWN: dict[str, tuple[tuple[str, str, dict[str, Any]], ...]] = {
    "word2vec": (
        ("skipgram", "skipgram", WORDS | {"model.shared_negatives": 16, "log.tensorboard": True}),
        ("cbow", "cbow", WORDS | {"model.loss": "hierarchical"}),
    ),
    "recurrent_lm": (
        ("lstm", "language", TEXT | {"model.dim": 4, "model.hidden": 4, "model.length": 8, "model.dropout": 0.2}),
    ),
    "transformer": (
        (
            "transformer",
            "transformer",
            TEXT
            | {"model.dim": 4, "model.layers": 2, "model.heads": 2, "model.dropout": 0.2, "model.length": 8}
            | {"model.keys_values": "shared_kv", "model.loop": "scan", "optimizer.warmup_steps": 5},
        ),
    ),
    "pair_encoder": (
        (
            "pair_encoder",
            "pairs_sick",
            LABELS
            | {"data.source": "pairs:pairs.tsv", "data.heldout_source": "", "data.test_source": ""}
            | {"data.labels": "binary", "model.loss": "contrastive", "model.hidden": 4, "model.dim": 4}
            | {"model.vectors": "vectors.txt", "model.max_length": 16, "model.pad_lengths": 1},
        ),
    ),
    "recurrent_classifier": (("recurrent_classifier", "sentiment", VECTORS | {"model.hidden": 5}),),
    "transformer_classifier": (
        (
            "transformer_classifier",
            "sentiment_transformer",
            VECTORS
            | {"model.hidden": 4, "model.layers": 1, "model.heads": 2, "model.max_length": 16}
            | {"model.pad_lengths": 1, "model.dropout": 0.2, "optimizer.warmup_steps": 5},
        ),
    ),
}
STUDY = "study"
STUDY_FILE = """
from benchmarks.faults.runs import study
get_config = study
"""
FAMILY_FILE = """
from w2v_jax.config import Config
from w2v_jax.models import MODELS
def get_config():
    return Config(family={family!r}, model=MODELS[{family!r}].examples[0])
"""


class Small(NamedTuple):
    """One small run: the commands that make it and, where there is one, that use the finished run."""

    name: str
    module: str
    arguments: tuple[str, ...]
    use: tuple[str, tuple[str, ...]] | None = None


def small_runs() -> dict[str, Small]:
    """Every run by name. A family that is not in `KNOWN` runs the first of its examples."""
    found = []
    for family, spec in MODELS.items():
        own = LABELS if spec.classify is not None else TEXT
        for name, config, change in KNOWN.get(family, ((family, "", own),)):
            path = str(ROOT / "configs" / f"{config}.py") if config else f"{family}.config.py"
            flags = tuple(f"--config.{key}={value}" for key, value in (COMMON | change).items())
            given = (f"--config={path}", f"--workdir={RUN}", *flags)
            # Vectors that were given are not written again, so there is nothing to evaluate.
            ability = (spec.embed is not None and "model.vectors" not in change) or spec.score is not None
            use: tuple[str, tuple[str, ...]] | None = None
            if ability:
                use = "experiments.evaluate", (f"--workdir={RUN}",)
            if spec.classify is not None:
                use = ("experiments.sentiment", (f"--workdir={RUN}", "--text=ba du ki"))
            found.append(Small(name, "experiments.train", given, use))
    # A shard makes its runs and leaves out the report, which takes longer than they do.
    given = ("--config=study.config.py", f"--workdir={RUN}", "--shard=0/2", "--keep")
    found.append(Small(STUDY, "experiments.scaling", given))
    return {run.name: run for run in found}


def study() -> Any:
    """A study of two arms with two amounts of text; one of two shards makes one run of each amount."""
    from experiments.common.config_flag import load_config
    from w2v_jax.scaling.study import Arm, Study

    keys = {key: value for key, value in COMMON.items() if not key.startswith("data.")}
    runs = {}
    for arm, config, change in (KNOWN["word2vec"][0], KNOWN["recurrent_lm"][0]):
        own = {k: v for k, v in change.items() if not k.startswith("data.") and k != "log.tensorboard"}
        runs[arm] = load_config(str(ROOT / "configs" / f"{config}.py"), **(keys | own))
    data = load_config(
        str(ROOT / "configs" / "language.py"), **{k: v for k, v in TEXT.items() if k[:5] == "data."}
    ).data
    arms = {arm: Arm(run, ("model.dim=4",)) for arm, run in runs.items()}
    return Study(data=dataclasses.replace(data, cache_dir=CACHE), tokens=(1500.0, 2500.0), arms=arms)


def place_texts(place: Path) -> None:
    """Writes the texts, vectors and config files of all runs into a folder."""
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = np.array([a + b for a in "bdfgklmnprst" for b in "aeiou"])
    share = 1 / np.arange(2, len(names) + 2)
    lines = rng.choice(names, (260, 12), p=share / share.sum())
    (place / "words.txt").write_text("".join(" ".join(line) + "\n" for line in lines))
    for name, count in (("train.tsv", 90), ("test.tsv", 12)):
        texts = rng.choice(names, (count, 8), p=share / share.sum())
        rows = [f"{rng.integers(2)}\t{' '.join(text)}\n" for text in texts]
        (place / name).write_text("".join(rows))
    rows = [f"{name} {' '.join(f'{x:.4f}' for x in rng.standard_normal(4))}\n" for name in names]
    (place / "vectors.txt").write_text("".join(rows))
    whole = [" ".join(text) for text in rng.choice(names, (180, 8), p=share / share.sum())]
    rows = [f"{rng.integers(2)}\t{a}\t{b}\n" for a, b in zip(whole[::2], whole[1::2], strict=True)]
    (place / "pairs.tsv").write_text("".join(rows))
    (place / "study.config.py").write_text(STUDY_FILE)
    for family in MODELS:
        if family not in KNOWN:
            (place / f"{family}.config.py").write_text(FAMILY_FILE.format(family=family))
