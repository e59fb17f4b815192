"""The ladder of sentiment classifiers on IMDB, all over the same frozen word vectors."""

from __future__ import annotations

from experiments.figures.figure import LARGE_VECTORS, Figure, Step, file, train
from w2v_jax.figures import ladder
from w2v_jax.figures.published import Tolerance, beside
from w2v_jax.papers import cited

_LEAST = Tolerance("the lower end of what was aimed at with frozen vectors, 86 to 90", lowest=86.0)
_FLAGS = (
    "--config=configs/sentiment.py --vectors={run}/vectors/vectors.bin --workdir={run}/ladder "
    "--config.data.tokens=letters "
    "--train=tsv:{imdb/train.tsv} --test=tsv:{imdb/test.tsv}"
)

FIGURE = Figure(
    shows="test accuracy on IMDB of classifiers over the same frozen vectors",
    paper=cited("dai"),
    recipe=(
        Step("benchmarks.text", "--shards={wiki_en.0[0-7].txt} --out={run}/corpus/wiki.txt"),
        Step("benchmarks.text", "--labelled={imdb/train.tsv} --out={run}/corpus/imdb.txt"),
        train("configs/skipgram.py", "vectors", "data.source=text:{run}/corpus/*.txt", *LARGE_VECTORS),
        Step("experiments.sentiment", _FLAGS, "--config."),
    ),
    data="IMDB, 25,000 test reviews; frozen vectors from Wikipedia and the training reviews",
    collect=file("ladder/results.json", "command", "vectors"),
    measure=lambda result: {str(row["model"]): 100.0 * float(row["test_accuracy"]) for row in result["models"]},
    draw=lambda result, out, source: ladder.draw(result["models"], float(result["majority"]), out, source),
    numbers=(
        beside("folklore", "averaged vectors, logistic regression", "average", differs="other vectors"),
        beside("dai", "LSTM over word2vec", "lstm", _LEAST, differs="theirs goes on training the vectors"),
        beside("wizwand", "SA-LSTM", "lstm", differs="theirs is pre-trained on unlabelled reviews"),
    ),
)
