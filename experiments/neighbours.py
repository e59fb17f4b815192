"""Looks up words: nearest neighbours, analogies, the odd one out.

  python -m experiments.neighbours --vectors=FILE dog doctor
  python -m experiments.neighbours --vectors=FILE --analogy king man woman     (king - man + woman)
  python -m experiments.neighbours --vectors=FILE --odd doctor nurse surgeon car

Vectors are word2vec text or binary, GloVe text, a fastText model (whose n-grams answer for unseen words) or a native
folder; --workdir=DIR takes those of a training run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from absl import flags

from experiments.common import cli
from experiments.common.vectors import define_source_flags, known_words, open_vectors
from w2v_jax.embeddings import Embeddings, Scored
from w2v_jax.errors import UserError
from w2v_jax.tables import aligned


def _neighbours(emb: Embeddings, words: Sequence[str]) -> str:
    """One table of nearest neighbours per word. UserError: words have no vector, once the others are answered."""
    f, blocks = flags.FLAGS, []
    there, lacking = known_words(emb, words)
    for word in there:
        found = emb.nearest(word, topn=f.topn, metric=f.metric, restrict=f.restrict)
        heading = [f"nearest to {word}", "distance" if f.metric == "euclidean" else "cosine"]
        blocks.append(aligned([heading, *([f"  {w}", f"{score:.4f}"] for w, score in found)]))
    if lacking:
        print("\n\n".join(blocks), end="\n" if blocks else "", flush=True)
        raise UserError(lacking)
    return "\n\n".join(blocks)


def _analogy(emb: Embeddings, words: Sequence[str]) -> str:
    """b - a + c for the words b, a, c, with the three words left out and with them kept."""
    if len(words) != 3:
        raise UserError(f"--analogy takes three words, {len(words)} given: king man woman asks for king - man + woman")
    (b, a, c), f = words, flags.FLAGS

    def ask(exclude: bool) -> Scored:
        if f.metric == "euclidean":
            return emb.nearest([b, c], [a], f.topn, "euclidean", f.restrict, exclude)
        return emb.analogy(a, b, c, f.topn, f.method, exclude, f.restrict)

    score = "distance" if f.metric == "euclidean" else f.method
    rows = [["query left out", score, "  query kept", score]]
    left, kept = ([(word, f"{value:.4f}") for word, value in ask(exclude)] for exclude in (True, False))
    for one, other in zip_longest(left, kept, fillvalue=("", "")):  # of few words fewer are left without the query
        rows.append([*one, f"  {other[0]}", other[1]])
    return f"{b} - {a} + {c}\n{aligned(rows, left=(0, 2))}"


def _odd(emb: Embeddings, words: Sequence[str]) -> str:
    """The words by their cosine with the mean of all, the odd one first."""
    ranked = emb.odd_one_out(words)
    rows = [["word", "cosine with the mean"], *([word, f"{fit:.4f}"] for word, fit in ranked)]
    return f"odd one out: {ranked[0][0]}\n{aligned(rows)}"


def main(argv: Sequence[str]) -> None:
    """Answers one question about the words on the command line."""
    words, f = list(argv[1:]), flags.FLAGS
    if f.analogy and f.odd:
        raise UserError("give --analogy or --odd, not both")
    for name in ("metric", "topn", "restrict") if f.odd else ():
        if f[name].present:
            raise UserError(
                f"--{name}: has no effect on --odd, which ranks the given words by their cosines; leave it out"
            )
    if f["method"].present and not f.analogy:
        raise UserError("--method: is for --analogy")
    if f.metric == "euclidean" and f.method != "3cosadd":
        raise UserError(f"--method={f.method} has no Euclidean form: leave out one of the two flags")
    if f.topn < 1:
        raise UserError(f"--topn={f.topn}: must be at least 1")
    if not words:
        raise UserError("no word given: python -m experiments.neighbours --vectors=FILE WORD ...")
    answer = _analogy if f.analogy else _odd if f.odd else _neighbours
    print(answer(open_vectors(), words))


if __name__ == "__main__":
    define_source_flags()
    flags.DEFINE_bool("analogy", False, "Three words b a c: which word is to c as b is to a?")
    flags.DEFINE_bool("odd", False, "Three words or more: which does not fit?")
    flags.DEFINE_integer("topn", 10, "Words to show.")
    flags.DEFINE_integer("restrict", 0, "Answer from the n most frequent words only; 0 is all.", 0)
    flags.DEFINE_enum("metric", "cosine", ["cosine", "euclidean"], "What nearest means.")
    flags.DEFINE_enum("method", "3cosadd", ["3cosadd", "3cosmul"], "Rule for --analogy under cosine.")
    cli.run(main, arguments=None)
