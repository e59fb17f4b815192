"""Scores what was trained. Prints a table and writes a JSON file.

  python -m experiments.evaluate --vectors=FILE --data_dir=DIR
  python -m experiments.evaluate --workdir=DIR

Word vectors: similarity, analogies, categorisation. A language model's run folder: perplexity of the held-out and the
test text with the state carried through all of it, the same by word and by byte, and loss by position; --text=SOURCE
scores another text. A transformer sees a window at a time: its text is scored by blocks, and by overlapping windows
that start every --stride tokens, where every token has at least the rest of a window before it.

Vectors are word2vec text or binary, GloVe text or a native folder; a workdir is what `experiments.train` wrote. The
data folder holds similarity/, analogy/ and categorization/; without one a small built-in list gives an indication.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.common import cli
from experiments.common.vectors import define_source_flags, open_vectors, source
from w2v_jax.errors import UserError
from w2v_jax.evaluation import evaluate_all, table
from w2v_jax.files import write_json


def _is_language_model(workdir: str) -> bool:
    from w2v_jax.config import load
    from w2v_jax.models import MODELS  # here: to look at vectors needs no JAX
    from w2v_jax.train.folder import CONFIG

    config = load(Path(workdir) / CONFIG, MODELS)
    return config is not None and MODELS[config.family].score is not None


def main(argv: Sequence[str]) -> None:
    """Prints the table and writes the results."""
    if flags.FLAGS.workdir and _is_language_model(flags.FLAGS.workdir):
        from experiments.common import language

        target = flags.FLAGS.json or os.path.join(flags.FLAGS.workdir, "evaluation.json")
        language.evaluate(Path(flags.FLAGS.workdir), flags.FLAGS.text or "", Path(target), flags.FLAGS.stride)
        return
    for name in ("text", "stride"):
        if flags.FLAGS[name].value is not None:
            raise UserError(f"--{name}: is for the run folder of a language model (--workdir=DIR)")
    path = source()
    emb = open_vectors()
    results = evaluate_all(emb, flags.FLAGS.data_dir, flags.FLAGS.restrict)
    print(table(results))
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    target = flags.FLAGS.json or os.path.join(folder, "evaluation.json")
    write_json(target, {"file": path, **results})
    print(f"\nresults: {target}")


if __name__ == "__main__":
    define_source_flags()
    flags.DEFINE_string("data_dir", None, "Folder of test files; a small built-in list without.")
    flags.DEFINE_integer("restrict", 30_000, "Analogies use the n most frequent words only; 0 is all.")
    flags.DEFINE_string("text", None, "Language models: the data source to score, e.g. text:FILE.")
    flags.DEFINE_integer("stride", None, "Transformers: tokens from one scored window to the next; half a window.")
    flags.DEFINE_string("json", None, "Results file; evaluation.json beside the vectors by default.")
    cli.run(main)
