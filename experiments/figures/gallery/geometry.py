"""How contextual the vectors of words are, by layer: a masked, a causal and an LSTM model beside word vectors."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file, train
from w2v_jax.figures import geometry
from w2v_jax.figures.published import beside
from w2v_jax.papers import cited

_TEXT = "data.source=text:{wiki_en/*.txt}"
_WORDS = ("data.tokens=punctuation", "data.unknown=keep", "data.max_vocab=32768", "data.end_token=<eos>")
_START = "model.vectors={run}/skipgram128/vectors.bin"
_RUNS = "{run}/masked,{run}/causal,{run}/lstm,{run}/skipgram128"
_CAUSAL = ("model.objective=causal", "model.mask_share=0.15", "train.passes=0.4")
_LSTM = (
    *("data.max_vocab=32768", "model.layers=2", "model.hidden=128", "model.dim=128", "model.length=64"),
    *("model.dropout=0", "model.reset=0.3", "model.noise_words=2048", "train.batch_size=64", "train.passes=0.1"),
    *("optimizer.warmup_steps=150", "log.eval_steps=8"),
)
_LARGER = "theirs has 12 layers of 768 and read at least a hundred times as much"
_SVD = "theirs is what a truncated SVD reports as its share, our column `along`; see docs/senses.md"


def measure(result: Result) -> dict[str, float]:
    """The last layer of each trained model: similarity of any two words and of a word and its sentence; shares."""
    found: dict[str, float] = {}
    for name, run in result["runs"].items():
        last = run["layers"][-1]
        found[f"any two words, {name}"] = last["anisotropy"]
        found[f"a word and its sentence, above any two, {name}"] = last["intra_sentence"] - last["anisotropy"]
        found[f"explained by one vector, {name}"] = last["explained"]
        found[f"along that vector, {name}"] = last["along"]
    return found


FIGURE = Figure(
    shows="how contextual the vectors of words are, by layer",
    paper=cited("ethayarajh"),
    recipe=(
        train("configs/skipgram.py", "skipgram128", _TEXT, "model.dim=128", "train.passes=3", *_WORDS),
        train("configs/context_masked.py", "masked", _TEXT, _START),
        train("configs/context_masked.py", "causal", _TEXT, _START, *_CAUSAL),
        train("configs/language.py", "lstm", _TEXT, _START, *_LSTM),
        Step("experiments.geometry", f"--workdirs={_RUNS} --senses={{senseval_four.train.tsv}} --out={{run}}/geometry"),
    ),
    data="English Wikipedia, 30 million tokens; 20,000 words of its held-out part are read",
    collect=file("geometry/geometry.json", "command"),
    measure=measure,
    draw=lambda result, out, source: geometry.draw(result, out, source),
    numbers=(
        beside("ethayarajh", "any two words, BERT, layer 12", "any two words, masked", differs=_LARGER),
        beside("ethayarajh", "any two words, GPT-2, layer 12", "any two words, causal", differs=_LARGER),
        beside(
            "ethayarajh",
            "a word and its sentence, above any two, BERT, layer 12",
            "a word and its sentence, above any two, masked",
            differs=_LARGER,
        ),
        beside(
            "ethayarajh",
            "a word and its sentence, above any two, GPT-2, layer 12",
            "a word and its sentence, above any two, causal",
            differs=_LARGER,
        ),
        beside(
            "ethayarajh",
            "explained by one vector, above chance, at most",
            "along that vector, masked",
            differs=_SVD,
        ),
    ),
)
