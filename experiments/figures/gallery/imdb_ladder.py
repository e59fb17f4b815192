"""The ladder of sentiment classifiers on IMDB, all over the same frozen word vectors."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file, train
from w2v_jax.figures import ladder
from w2v_jax.figures.published import Tolerance, beside
from w2v_jax.files import PathLike
from w2v_jax.papers import DAI, DAI_LISTED, FOLKLORE


def measure(result: Result) -> dict[str, float]:
    """Test accuracy of each model, in per cent."""
    return {str(row["model"]): 100.0 * float(row["test_accuracy"]) for row in result["models"]}


def draw(result: Result, out: PathLike, source: str) -> None:
    """'majority' (a share) and 'models' of the ladder's results.json."""
    ladder.draw(result["models"], float(result["majority"]), out, source)


FIGURE = Figure(
    shows="test accuracy on IMDB of classifiers over the same frozen vectors",
    paper=DAI.cited,
    recipe=(
        Step("benchmarks.text", ("--shards={wiki_en.0[0-7].txt}", "--out={run}/corpus/wiki.txt")),
        Step("benchmarks.text", ("--labelled={imdb/train.tsv}", "--out={run}/corpus/imdb.txt")),
        train(
            "configs/skipgram.py",
            "vectors",
            "data.source=text:{run}/corpus/*.txt",
            "model.dim=300",
            "model.segment=128",
            "optimizer.learning_rate=0.2",
            "optimizer.initial_square=0.0",
        ),
        Step(
            "experiments.sentiment",
            (
                "--vectors={run}/vectors/vectors.bin",
                "--train=tsv:{imdb/train.tsv}",
                "--test=tsv:{imdb/test.tsv}",
                "--workdir={run}/ladder",
                "--config=configs/sentiment.py",
            ),
            "--config.",
        ),
    ),
    data="IMDB, 25,000 test reviews; frozen vectors from Wikipedia and the training reviews",
    collect=file("ladder/results.json", "command", "vectors"),
    measure=measure,
    draw=draw,
    numbers=(
        beside(FOLKLORE, "averaged vectors, logistic regression", "average", differs="other vectors"),
        beside(
            DAI,
            "LSTM over word2vec",
            "lstm",
            Tolerance("the lower end of what was aimed at with frozen vectors, 86 to 90", lowest=86.0),
            differs="theirs goes on training the vectors",
        ),
        beside(DAI_LISTED, "SA-LSTM", "lstm", differs="theirs is pre-trained on unlabelled reviews"),
    ),
)
