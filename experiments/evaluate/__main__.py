"""Scores word vectors or a language model. Prints a table and writes a JSON file.

  python -m experiments.evaluate --vectors=FILE --data_dir=DIR
  python -m experiments.evaluate --workdir=DIR

Word vectors: similarity, analogies, categorisation. Language models: perplexity of the held-out and the test text with
the state carried through all of it, the same per word and per byte, and the loss by position; --text=SOURCE scores
another text in their place, and needs no text of the run; its scores are in evaluation_text.json. With
--encoding_errors=replace it may hold what is not UTF-8. A transformer sees one window at a time: its text is scored
by blocks, and by overlapping windows that start every --stride tokens, where every token has at least the rest of a
window before it. --tokens=FILE also writes the nats of each token of that text, a line each; there every document is
read by itself, from a fresh state, and so it is in the last line of the table.

Scores of the vectors of a run are in its evaluation.json, those of another file in evaluation_FILE.json beside it.
Vectors are word2vec text or binary, GloVe text, a fastText model or a native folder; a workdir is a run folder of
`experiments.train`.
Of several processes the first does all of this, on its own devices.
The data folder has similarity/, analogy/ and categorization/; without it a small built-in list gives an indication.
--data_dir may also be one file of a test.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.common import cli
from experiments.common.processes import by_first
from experiments.common.vectors import define_source_flags, open_vectors, source
from experiments.evaluate import card
from w2v_jax.errors import UserError
from w2v_jax.evaluation import evaluate_all, table
from w2v_jax.exported import family_of
from w2v_jax.files import write_json
from w2v_jax.storage import to_path


def _is_language_model(workdir: str) -> bool:
    from w2v_jax.models import MODELS  # imported here because vectors need no JAX
    from w2v_jax.recorded import load
    from w2v_jax.train.folder import CONFIG

    config = load(to_path(workdir) / CONFIG, MODELS)
    return config is not None and MODELS[config.family].score is not None


def _tokens_file() -> Path | None:
    """The file of --tokens. UserError: no --text, or no name."""
    f = flags.FLAGS
    if f.tokens is None:
        return None
    if f.text is None:
        raise UserError("--tokens: is for the text of --text; name one, e.g. --text=text:FILE")
    return cli.writable_file("tokens", f.tokens, "tokens.tsv")


def _of_vectors(path: str) -> str:
    """Where the scores of vectors are written: evaluation.json beside the vectors of a run and in a native folder.
    Other files give their names, so that the scores of one do not replace those of another, or of a language model."""
    if to_path(path).is_dir():
        return os.path.join(path, "evaluation.json")
    folder, name = os.path.split(path)
    own = name == "vectors.bin" and not (family_of(to_path(folder)) and _is_language_model(folder))
    return os.path.join(folder, "evaluation.json" if own else f"evaluation_{name}.json")


def main(argv: Sequence[str]) -> None:
    """Prints the table and writes the results."""
    by_first(scored)


def scored() -> None:
    """The command's work, in one process."""
    f = flags.FLAGS
    given = None if f.json is None else cli.writable_file("json", f.json, "scores.json")
    if f.card and f.workdir and to_path(f.workdir).is_dir():
        card.check(to_path(f.workdir))  # before anything is scored
    if f.workdir and _is_language_model(f.workdir):
        from experiments.common import language

        if f.text == "":  # would score the run's own texts as if they had been asked for
            raise UserError("--text is empty: name a data source, e.g. text:FILE, or leave it out")
        for name in ("vectors", "limit", "skip_nan", "data_dir", "restrict"):
            if f[name].present:
                raise UserError(f"--{name}: is for word vectors, and --workdir={f.workdir} is a language model")
        # Of another text: not into the file that figures and cards read as the scores of the run.
        target = given or to_path(f.workdir) / ("evaluation_text.json" if f.text else "evaluation.json")
        language.evaluate(to_path(f.workdir), f.text or "", target, f.stride, _tokens_file())
        if f.card:
            print(f"card: {card.write(to_path(f.workdir), card.scores_of(target))}")
        return
    for name in ("text", "stride", "tokens"):
        if f[name].value is not None:
            raise UserError(f"--{name}: is for the run folder of a language model (--workdir=DIR)")
    if f.card and not f.workdir:
        raise UserError("--card: is for a run folder (--workdir=DIR), whose config and result it describes")
    path = source()
    results = evaluate_all(open_vectors(), f.data_dir, f.restrict)
    print(table(results))
    target = given or to_path(_of_vectors(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, {"file": path, **results})
    print(f"\nresults: {target}")
    if f.card:
        print(f"card: {card.write(to_path(f.workdir), table(results))}")


if __name__ == "__main__":
    define_source_flags()
    flags.DEFINE_string("data_dir", None, "Folder of test files, or one such file; a small built-in list by default.")
    flags.DEFINE_integer("restrict", 30_000, "Analogies use only the n most frequent words; 0 is all.", 0)
    flags.DEFINE_string("text", None, "Language models: the data source to score, e.g. text:FILE.")
    flags.DEFINE_string("tokens", None, "With --text: a TSV file to write, with the nats of each token of that text.")
    flags.DEFINE_integer("stride", None, "Transformers: tokens from window to window; half a window by default.")
    flags.DEFINE_bool("card", False, "Also write card.md into the run folder: its data, settings and scores.")
    flags.DEFINE_string(
        "json", None, "Results file; evaluation.json in the run, _text.json of --text, _FILE.json beside other vectors."
    )
    cli.run(main)
