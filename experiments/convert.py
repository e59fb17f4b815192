"""Writes word vectors in another format or in fewer bytes, and says what that costs.

  python -m experiments.convert --workdir=runs/mine --out=mine.safetensors --dtype=int8
  python -m experiments.convert --vectors=FILE --out=vectors.txt.gz

The ending of --out says the format: .bin, .txt and .vec (each also with .gz), .npy (with NAME.vocab.txt), .safetensors,
or none for a folder that can be memory-mapped. --format names another: glove, projector, or fasttext, fastText's .bin
with the n-grams of a sub-word model. The last line says how near the written vectors are to those read. Exit status 2:
bad input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments.common import cli
from experiments.common.vectors import define_source_flags, open_vectors, warnings_in_lines
from w2v_jax import export
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError
from w2v_jax.storage import stat, to_path

NEAR, ASKED = 10, 500  # neighbours compared, of so many of the most frequent words


def loss(before: Embeddings, after: Embeddings) -> tuple[float, float]:
    """(the lowest cosine of a vector with its original, the share of the `NEAR` nearest neighbours that stay).

    The most frequent `ASKED` words are asked for their neighbours among the first 50,000.
    """
    some = np.flatnonzero(before.norms > 0)
    cosine = float(np.einsum("nd,nd->n", before.unit(some), after.unit(some)).min(initial=1.0))
    pools = [one.head(50_000) for one in (before, after)]
    asked = [word for word in before.words[:ASKED] if before.vector(word).any() and after.vector(word).any()]
    kept = [len(set.intersection(*({w for w, _ in one.nearest(word, topn=NEAR)} for one in pools))) for word in asked]
    return cosine, float(np.mean(kept)) / min(NEAR, max(len(before) - 1, 1)) if kept else 1.0


def size(out: str, format: str) -> int:
    """Bytes of the files that were written."""
    return sum(stat(file).st_size for file in export.files_of(out, format) if to_path(file).is_file())


def main(argv: Sequence[str]) -> None:
    """Reads, writes, and reads again what was written."""
    f = flags.FLAGS
    if not f.out:
        raise UserError("--out is missing: name the file to write, such as vectors.safetensors")
    emb = open_vectors()
    with warnings_in_lines():
        save(emb, f.out, f.format, f.dtype)
    said = f"{f.out}: {len(emb):,} words of {emb.dim} dimensions"
    if f.format == "projector":
        print(said)
        return
    after = load(f.out)
    print(f"{said} as {f.dtype}, {size(f.out, f.format) / 1e6:,.1f} MB")
    if f.workdir and (to_path(f.workdir) / export.DOCUMENTS).is_file():
        print("documents: the file has words alone; w2v_jax.load_documents opens them, and w2v_jax.save writes them")
    cosine, kept = loss(emb, after)
    if emb.subwords is not None and after.subwords is None:
        print("unseen words: the file has the words of the table alone; --format=fasttext has what makes others")
    print(f"lowest cosine with the vectors read: {cosine:.6f}; {kept:.1%} of the {NEAR} nearest neighbours stay")


if __name__ == "__main__":
    define_source_flags()
    flags.DEFINE_string("out", None, "File or folder to write.")
    flags.DEFINE_enum("format", "auto", ["auto", *export.FORMATS], "Format, where the ending of --out does not say it.")
    flags.DEFINE_enum("dtype", "float32", list(export.DTYPES), "Type of the numbers in native, npy and safetensors.")
    cli.run(main, by_first=True)
