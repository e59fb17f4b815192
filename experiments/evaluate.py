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

import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import cli
from w2v_jax.embeddings import Embeddings, load
from w2v_jax.errors import UserError
from w2v_jax.evaluation import evaluate_all, table
from w2v_jax.export import atomic
from w2v_jax.formats import read_vocab

SOURCE_FLAGS = ("vectors", "workdir", "limit", "encoding_errors")


def define_source_flags() -> None:
    """Flags that say which vectors are meant. A call, not an import, defines them: two commands share them."""
    flags.DEFINE_string("vectors", None, "File or native folder of word vectors.")
    flags.DEFINE_string("workdir", None, "Run folder, in the place of --vectors: its vectors.bin and vocab.txt.")
    flags.DEFINE_integer("limit", 0, "Read the first so many words only; 0 is all.")
    flags.DEFINE_enum("encoding_errors", "strict", ["strict", "replace", "ignore"], "Words that are not UTF-8.")


def source() -> str:
    """The path of the vectors that the flags name. UserError: neither flag or both, or no vectors there."""
    vectors, workdir = flags.FLAGS.vectors, flags.FLAGS.workdir
    if bool(vectors) == bool(workdir):
        raise UserError("give either --vectors=FILE or --workdir=DIR")
    if vectors:
        return str(vectors)
    if not os.path.isdir(workdir):
        raise UserError(f"{workdir}: no such folder; --workdir is the folder of a training run")
    for name in ("vectors.bin", "vocab.txt"):
        if not os.path.isfile(os.path.join(workdir, name)):
            raise UserError(
                f"{os.path.join(workdir, name)}: no such file; has the run ended? Its own command continues it"
            )
    return os.path.join(workdir, "vectors.bin")


def open_vectors() -> Embeddings:
    """Loads what the flags name, warnings in one line each.

    Raises:
      UserError: as `w2v_jax.embeddings.load`, and when the files of a run folder do not belong together.
    """
    path = source()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        emb = load(path, limit=flags.FLAGS.limit, encoding_errors=flags.FLAGS.encoding_errors, mmap=os.path.isdir(path))
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    if flags.FLAGS.workdir:
        _check_run(emb, flags.FLAGS.workdir)
    return emb


def _check_run(emb: Embeddings, workdir: str) -> None:
    """Refuses vectors that another run left in the folder: other words, or another dimension than its config's."""
    file, vocab = os.path.join(workdir, "vectors.bin"), os.path.join(workdir, "vocab.txt")
    known = set(read_vocab(vocab)[0])
    strange = next((word for word in emb.words if word not in known), None)
    if strange is not None:
        raise UserError(f"{file}: word {strange!r} is not in vocab.txt: the two are not of the same run")
    config = os.path.join(workdir, "config.json")
    if not os.path.isfile(config):
        return
    try:
        with open(config, encoding="utf-8") as f:
            dim = json.load(f)["model"]["dim"]
    except (ValueError, KeyError, TypeError):
        return  # a family without a dimension, or not a config of ours: nothing to compare with
    if dim != emb.dim:
        raise UserError(f"{file}: {emb.dim} dimensions, but config.json says model.dim={dim}: not of the same run")


def _is_language_model(workdir: str) -> bool:
    from w2v_jax.models import MODELS  # here: to look at vectors needs no JAX
    from w2v_jax.train.folder import CONFIG, read_json

    config = read_json(Path(workdir) / CONFIG)
    spec = MODELS.get(config["family"]) if config and isinstance(config.get("family"), str) else None
    return spec is not None and spec.score is not None


def main(argv: Sequence[str]) -> None:
    """Prints the table and writes the results."""
    if len(argv) > 1:
        raise UserError(f"unexpected argument {argv[1]!r}; flags are written --name=value")
    if flags.FLAGS.workdir and _is_language_model(flags.FLAGS.workdir):
        from experiments import language

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
    with atomic(target) as f:
        f.write((json.dumps({"file": path, **results}, indent=2, allow_nan=False) + "\n").encode())
    print(f"\nresults: {target}")


if __name__ == "__main__":
    define_source_flags()
    flags.DEFINE_string("data_dir", None, "Folder of test files; a small built-in list without.")
    flags.DEFINE_integer("restrict", 30_000, "Analogies ask and answer with the first so many words; 0 is all.")
    flags.DEFINE_string("text", None, "Language models: the data source to score, e.g. text:FILE.")
    flags.DEFINE_integer("stride", None, "Transformers: tokens from one scored window to the next; half a window.")
    flags.DEFINE_string("json", None, "Results file; evaluation.json beside the vectors by default.")
    cli.run(main)
