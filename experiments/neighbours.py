"""Looks words up: the nearest ones, analogies, the odd one out.

  python -m experiments.neighbours --vectors=FILE dog doctor
  python -m experiments.neighbours --vectors=FILE --analogy king man woman     (king - man + woman)
  python -m experiments.neighbours --vectors=FILE --odd doctor nurse surgeon car

Vectors are word2vec text or binary, GloVe text or a native folder; --workdir=DIR takes those of a training run.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from experiments.common import cli
from experiments.common.vectors import define_source_flags, open_vectors
from w2v_jax.embeddings import Embeddings, Scored
from w2v_jax.errors import UserError
from w2v_jax.tables import aligned


def _neighbours(emb: Embeddings, words: Sequence[str]) -> str:
    """One block of nearest words for each word asked."""
    metric, blocks = flags.FLAGS.metric, []
    for word in words:
        found = emb.nearest(word, topn=flags.FLAGS.topn, metric=metric, restrict=flags.FLAGS.restrict)
        heading = [f"nearest to {word}", "distance" if metric == "euclidean" else "cosine"]
        blocks.append(aligned([heading, *([f"  {w}", f"{score:.4f}"] for w, score in found)]))
    return "\n\n".join(blocks)


def _analogy(emb: Embeddings, words: Sequence[str]) -> str:
    """b - a + c for the words b, a, c, with the three words left out and with them kept."""
    if len(words) != 3:
        raise UserError(f"--analogy takes three words, {len(words)} given: king man woman asks for king - man + woman")
    b, a, c = words

    def ask(exclude: bool) -> Scored:
        topn, restrict = flags.FLAGS.topn, flags.FLAGS.restrict
        if flags.FLAGS.metric == "euclidean":
            return emb.nearest([b, c], [a], topn, "euclidean", restrict, exclude)
        return emb.analogy(a, b, c, topn, flags.FLAGS.method, exclude, restrict)

    score = "distance" if flags.FLAGS.metric == "euclidean" else flags.FLAGS.method
    rows = [["query left out", score, "  query kept", score]]
    for (word, value), (kept, kept_value) in zip(ask(True), ask(False), strict=False):
        rows.append([word, f"{value:.4f}", f"  {kept}", f"{kept_value:.4f}"])
    return f"{b} - {a} + {c}\n{aligned(rows, left=(0, 2))}"


def _odd(emb: Embeddings, words: Sequence[str]) -> str:
    """The words by how well they fit the mean of all, the odd one first."""
    ranked = emb.odd_one_out(words)
    rows = [["word", "cosine with the mean"], *([word, f"{fit:.4f}"] for word, fit in ranked)]
    return f"odd one out: {ranked[0][0]}\n{aligned(rows)}"


def main(argv: Sequence[str]) -> None:
    """Answers one question about the words on the command line."""
    words = list(argv[1:])
    if flags.FLAGS.analogy and flags.FLAGS.odd:
        raise UserError("give --analogy or --odd, not both")
    if flags.FLAGS.metric == "euclidean" and flags.FLAGS.method != "3cosadd":
        raise UserError(f"--method={flags.FLAGS.method} has no Euclidean form: leave out one of the two flags")
    if flags.FLAGS.topn < 1:
        raise UserError(f"--topn={flags.FLAGS.topn}: must be at least 1")
    if not words:
        raise UserError("no word given: python -m experiments.neighbours --vectors=FILE WORD ...")
    emb = open_vectors()
    answer = _analogy if flags.FLAGS.analogy else _odd if flags.FLAGS.odd else _neighbours
    print(answer(emb, words))


if __name__ == "__main__":
    define_source_flags()
    flags.DEFINE_bool("analogy", False, "Three words b a c: which word is to c as b is to a?")
    flags.DEFINE_bool("odd", False, "Three words or more: which does not fit?")
    flags.DEFINE_integer("topn", 10, "Words to show.")
    flags.DEFINE_integer("restrict", 0, "Answer from the n most frequent words only; 0 is all.")
    flags.DEFINE_enum("metric", "cosine", ["cosine", "euclidean"], "What nearest means.")
    flags.DEFINE_enum("method", "3cosadd", ["3cosadd", "3cosmul"], "Rule for --analogy under cosine.")
    cli.run(main, arguments=None)
