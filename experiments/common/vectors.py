"""The flags that name word vectors, shared by evaluate, neighbours and figures, and the vectors that they name."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from w2v_jax.embeddings import Embeddings, load
from w2v_jax.errors import UserError
from w2v_jax.formats import Unmapped, read_ngrams, read_vocab
from w2v_jax.storage import to_path

flags.disclaim_key_flags()  # --help lists flags by the module that defines them: the command, not this one


def define_source_flags() -> None:
    """Registers the flags that name vectors."""
    flags.DEFINE_string("vectors", None, "File or native folder of word vectors.")
    flags.DEFINE_string("workdir", None, "Run folder, instead of --vectors: its vectors.bin and vocab.txt.")
    flags.DEFINE_integer("limit", 0, "Read only the first LIMIT words; 0 is all.")
    flags.DEFINE_bool("skip_nan", False, "Leave out rows with a NaN or an infinity, and say how many.")
    define_encoding_errors()


def define_encoding_errors() -> None:
    """Registers --encoding_errors."""
    text = "Words that are not UTF-8: refused, with a sign for what is none, or without it."
    flags.DEFINE_enum("encoding_errors", "strict", ["strict", "replace", "ignore"], text)


def source() -> str:
    """The path of the vectors that the flags name. UserError: neither flag or both, or no vectors there."""
    vectors, workdir = flags.FLAGS.vectors, flags.FLAGS.workdir
    if bool(vectors) == bool(workdir):
        raise UserError("give either --vectors=FILE or --workdir=DIR")
    if vectors:
        return str(vectors)
    if not to_path(workdir).is_dir():
        raise UserError(f"{workdir}: no such folder; --workdir is the folder of a training run")
    found = to_path(workdir) / "vectors.bin"
    if not found.is_file():
        _refuse_classifier(to_path(workdir))
    for file in (found, found.with_name("vocab.txt")):
        if not file.is_file():
            raise UserError(f"{file}: no such file; the run's own command continues it, or writes the file again")
    return str(found)


def _refuse_classifier(workdir: Path) -> None:
    """UserError: the run is a classifier, which never writes vectors."""
    from w2v_jax.models import MODELS  # imported here because vectors need no JAX
    from w2v_jax.recorded import load

    config = load(workdir / "config.json", MODELS)
    if config is not None and MODELS[config.family].classify is not None:
        command = f"python -m experiments.sentiment --workdir={workdir} --text='...'"
        raise UserError(
            f"{workdir}: a classifier ({config.family}) has no vectors of words; its scores are in "
            f"{workdir / 'result.json'}, and {command} labels a text"
        )


@contextlib.contextmanager
def warnings_in_lines() -> Iterator[None]:
    """Prints warnings of the block in one line each, once it has come to its end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)


def open_vectors() -> Embeddings:
    """Loads the vectors that the flags name, and prints warnings in one line each. UserError: see `load`; or the files
    of a run folder do not belong together."""
    path, f = source(), flags.FLAGS
    with warnings_in_lines():
        options = {"limit": f.limit, "encoding_errors": f.encoding_errors, "skip_nan": f.skip_nan}
        try:
            emb = load(path, mmap=to_path(path).is_dir(), **options)
        except Unmapped:  # smaller numbers
            emb = load(path, **options)
    if f.workdir:
        known = _check_run(emb, to_path(f.workdir))
        emb = dataclasses.replace(emb, counts=known, subwords=read_ngrams(f.workdir, emb.dim))
    return emb


def known_words(emb: Embeddings, words: Sequence[str]) -> tuple[list[str], str]:
    """(the words that have a vector, one line on all that have none, or '')."""
    missing = [word for word in dict.fromkeys(words) if word not in emb and not emb.makes(word)]
    there = [word for word in words if word not in missing]
    if not missing:
        return there, ""
    if len(missing) == 1:
        try:
            emb.row(missing[0])
        except UserError as e:
            return there, str(e)
    near = [(word, ", ".join(emb.suggest(word, 3))) for word in missing]
    named = ", ".join(f"{word!r}{f' (nearest in spelling: {others})' if others else ''}" for word, others in near)
    return there, f"{len(missing)} words are not among the {len(emb):,} {emb.NAME}s of these vectors: {named}"


def _check_run(emb: Embeddings, workdir: Path) -> np.ndarray | None:
    """The counts of vocab.txt, None if it has none. Refuses vectors of another run: with other words than vocab.txt, or
    another dimension than config.json."""
    file, (words, counts) = workdir / "vectors.bin", read_vocab(workdir / "vocab.txt")
    known = dict(zip(words, range(len(words)), strict=True))
    strange = next((word for word in emb.words if word not in known), None)
    if strange is not None:
        raise UserError(f"{file}: word {strange!r} is not in vocab.txt: the two are not of the same run")
    from w2v_jax.models import MODELS  # imported here because other vectors need no JAX
    from w2v_jax.recorded import load, to_dict

    config = load(workdir / "config.json", MODELS)
    dim = to_dict(config)["model"].get("dim", emb.dim) if config else emb.dim
    if dim != emb.dim:
        raise UserError(f"{file}: {emb.dim} dimensions, but config.json says model.dim={dim}: not of the same run")
    return None if counts is None else counts[[known[word] for word in emb.words]]
