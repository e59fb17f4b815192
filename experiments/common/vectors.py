"""Word vectors that a command reads: the flags that name them, shared by evaluate, neighbours and figures."""

from __future__ import annotations

import os
import sys
import warnings

from absl import flags

from w2v_jax.embeddings import Embeddings, load
from w2v_jax.errors import UserError
from w2v_jax.formats import read_vocab

flags.disclaim_key_flags()  # --help lists flags by the module that defines them: the command, not this one


def define_source_flags() -> None:
    """Flags that say which vectors are meant. A call, not an import, defines them: two commands share them."""
    flags.DEFINE_string("vectors", None, "File or native folder of word vectors.")
    flags.DEFINE_string("workdir", None, "Run folder, in the place of --vectors: its vectors.bin and vocab.txt.")
    flags.DEFINE_integer("limit", 0, "Read only the first LIMIT words; 0 is all.")
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
    from w2v_jax.config import load, to_dict
    from w2v_jax.models import MODELS  # here: vectors of other origin need no JAX

    config = load(os.path.join(workdir, "config.json"), MODELS)
    dim = to_dict(config)["model"].get("dim", emb.dim) if config else emb.dim
    if dim != emb.dim:
        raise UserError(f"{file}: {emb.dim} dimensions, but config.json says model.dim={dim}: not of the same run")
