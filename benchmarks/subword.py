"""Vectors made of n-grams beside gensim's FastText on one text: similarity by how rare the words are, and analogies.

    python -m benchmarks.subword --text=wiki_en.00.txt --data_dir=word_eval --out=results/subword.json
        [--seeds=0,1,2] [--passes=5] [--minutes=3] [--render]

Each run is a process of its own. Both sides read the same words (letters in lower case, at least 5 times in the text),
with skip-gram, d = 100, window 5, 5 noise words, subsampling at 1e-3, n-grams of 3 to 6 characters in 200,000 buckets;
gensim has its default rate and one thread, ours the settings of configs/subword.py, and `plain` is configs/skipgram.py,
which has no vector of an unseen word. --set changes one side.

Pairs of all similarity sets in DATA_DIR are put into bins by the count of their rarer word in the text; *unseen* is a
word outside the vocabulary, whose vector is made of its n-grams alone. A bin has the mean of Spearman's correlation
over the sets with at least 20 pairs there, weighed by pairs. Analogies are questions-words by 3CosAdd among the
vocabulary, the sections on grammar (gram) and the others apart. Runs that --out holds are kept; --minutes begins no
further run after so many; --render only prints the table: means over seeds with 95 % intervals by Student's t.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import measure
from benchmarks.doc2vec import shown
from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.data.words import Rules, words_of
from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError
from w2v_jax.evaluation.analogies import analogies, read_questions
from w2v_jax.evaluation.similarity import read_pairs
from w2v_jax.files import read_json
from w2v_jax.tables import markdown

SIDES = ("ours", "gensim", "plain")
BINS = {"unseen": (0, 5), "5 to 19": (5, 20), "20 to 99": (20, 100), "100 and more": (100, 1 << 62)}
LEAST = 20  # pairs of a set in a bin
Vector = Callable[[str], np.ndarray | None]
NGRAMS = {"buckets": 200_000, "shortest": 3, "longest": 6}


def ours(text: Path, seed: int, passes: int, changes: dict[str, Any], parts: bool) -> tuple[Embeddings, Vector, float]:
    """(vectors of the vocabulary, vector of any word, seconds of training)."""
    from w2v_jax import train_vectors

    with tempfile.TemporaryDirectory() as folder:
        rules = {"data.tokens": "whitespace", "data.lowercase": False, "data.cache_dir": f"{folder}/cache"}
        changes = rules | {"log.tensorboard": False, "mesh.data": 1} | changes
        settings: dict[str, Any] = {"seed": seed, "passes": float(passes)} | (NGRAMS if parts else {})
        start = time.perf_counter()
        emb = train_vectors(text, f"{folder}/run", progress=False, changes=changes, **settings)
        seconds = time.perf_counter() - start
        rows = None if emb.subwords is None else np.array(emb.subwords.buckets)
    if emb.subwords is not None and rows is not None:  # the folder is gone
        emb = Embeddings(emb.words, emb.vectors, emb.counts, emb.subwords._replace(buckets=rows))
    return emb, lambda word: emb.vector(word) if word in emb or emb.makes(word) else None, seconds


def gensim(text: Path, seed: int, passes: int, changes: dict[str, Any]) -> tuple[Embeddings, Vector, float]:
    """The same by gensim."""
    from gensim.models import fasttext

    same = {"vector_size": 100, "window": 5, "min_count": 5, "negative": 5, "sample": 1e-3, "sg": 1}
    same |= {"bucket": NGRAMS["buckets"], "min_n": NGRAMS["shortest"], "max_n": NGRAMS["longest"]}
    start = time.perf_counter()
    model = fasttext.FastText(corpus_file=str(text), **same, epochs=passes, seed=seed, workers=1, **changes)
    seconds = time.perf_counter() - start
    counts = np.array([model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key])
    emb = Embeddings(tuple(model.wv.index_to_key), np.array(model.wv.vectors), counts)

    def vector(word: str) -> np.ndarray | None:
        try:
            return np.asarray(model.wv[word])
        except KeyError:  # it is too short to have n-grams
            return None

    return emb, vector, seconds


def binned(emb: Embeddings, vector: Vector, data_dir: Path) -> dict[str, dict[str, float]]:
    """{bin: {'spearman', 'pairs', 'found'}} over the similarity sets; a pair without vectors has cosine 0."""
    from scipy.stats import spearmanr

    assert emb.counts is not None
    counts = dict(zip(emb.words, emb.counts.tolist(), strict=True))
    total = {name: {"spearman": 0.0, "pairs": 0, "found": 0} for name in BINS}
    for file in sorted((data_dir / "similarity").glob("*.tsv")):
        pairs = [(a.lower(), b.lower(), score) for a, b, score in read_pairs(file)]
        rarer = np.array([min(counts.get(a, 0), counts.get(b, 0)) for a, b, _ in pairs])
        for name, (low, high) in BINS.items():
            some = [pairs[i] for i in np.flatnonzero((rarer >= low) & (rarer < high))]
            if len(some) < LEAST:
                continue
            cosines = [_cosine(vector(a), vector(b)) for a, b, _ in some]
            ranks = spearmanr(np.nan_to_num(cosines), [score for _, _, score in some]).statistic
            total[name]["spearman"] += float(np.nan_to_num(ranks)) * len(some)
            total[name]["pairs"] += len(some)
            total[name]["found"] += int(np.isfinite(cosines).sum())
    return {name: one | {"spearman": one["spearman"] / max(one["pairs"], 1)} for name, one in total.items()}


def _cosine(a: np.ndarray | None, b: np.ndarray | None) -> float:
    if a is None or b is None:
        return float("nan")
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))


def one(text: Path, data_dir: Path, side: str, seed: int, passes: int, changes: dict[str, Any]) -> dict[str, Any]:
    """A line of the record."""
    if side == "gensim":
        emb, vector, seconds = gensim(text, seed, passes, changes)
    else:
        emb, vector, seconds = ours(text, seed, passes, changes, parts=side == "ours")
    assert emb.counts is not None
    found = analogies(emb, read_questions(data_dir / "analogy/questions-words.txt"))
    sums = {"gram": [0.0, 0.0], "other": [0.0, 0.0]}
    for name, section in found.items():
        kind = sums["gram" if name.startswith("gram") else "other"]
        kind[0] += section.add
        kind[1] += section.asked
    return {
        **{"side": side, "seed": seed, "passes": passes, "changes": changes, "seconds": round(seconds, 1)},
        **{"vocabulary": len(emb), "words": int(np.sum(emb.counts)), "bins": binned(emb, vector, data_dir)},
        "analogies": {name: {"accuracy": add / max(n, 1), "count": int(n)} for name, (add, n) in sums.items()},
    }  # fmt: skip


def written(source: Path, out: Path) -> None:
    """The text as both sides read it: its words, a document a line."""
    if not source.is_file():
        raise UserError(f"--text={source}: no such file")
    rules = Rules("words", True)
    with open(source, encoding="utf-8") as lines, open(out, "w", encoding="utf-8") as f:
        f.writelines(" ".join(words_of(line, rules)) + "\n" for line in lines)


def table(runs: Sequence[dict[str, Any]]) -> str:
    """A line for each side and setting."""
    pairs = [f"{name} ({runs[0]['bins'][name]['pairs']:,} pairs)" for name in BINS] if runs else []
    rows = [["side", "seeds", *pairs, "analogies: grammar", "others", "words/s"]]
    for side, changes in sorted({(r["side"], json.dumps(r["changes"])) for r in runs}, reverse=True):
        some = [r for r in runs if (r["side"], json.dumps(r["changes"])) == (side, changes)]
        cells = []
        for of in (*(lambda r, n=name: r["bins"][n]["spearman"] for name in BINS),
                   *(lambda r, n=name: r["analogies"][n]["accuracy"] for name in ("gram", "other"))):  # fmt: skip
            cells.append(shown([of(r) for r in some], 3))
        speed = np.median([r["words"] * r["passes"] / r["seconds"] for r in some])
        rows.append([side if changes == "{}" else f"{side} {changes}", str(len(some)), *cells, f"{speed:,.0f}"])
    return markdown(rows)


def main(argv: Sequence[str]) -> int:
    """Makes what is missing, one process after another, and prints the table."""
    f = flags.FLAGS
    changes = {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in f.set or ())}
    if f.one:
        side, seed = f.one.split(",")
        print(json.dumps(one(Path(f.text), Path(f.data_dir), side, int(seed), f.passes, changes)))
        return 0
    record = read_json(Path(f.out)) or {"command": cli.command("benchmarks.subword"), "machine": machine(), "runs": []}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "words.txt")
        for seed, side in ((seed, side) for seed in f.seeds for side in f.sides):
            wanted = {"side": side, "seed": int(seed), "passes": f.passes, "changes": changes}
            there = any(all(run[key] == value for key, value in wanted.items()) for run in record["runs"])
            if there or f.render or time.monotonic() - begun > 60 * f.minutes:
                continue
            if not text.exists():
                written(Path(f.text), text)
            line = [sys.executable, "-m", "benchmarks.subword", *sys.argv[1:], f"--text={text}", f"--one={side},{seed}"]
            measure.add_run(record, line, Path(f.out))
    print(table(record["runs"]))
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("text", "", "Text file to train on.")
    flags.DEFINE_string("data_dir", "", "Folder with similarity/ and analogy/.")
    flags.DEFINE_string("out", "results/subword.json", "The record.")
    flags.DEFINE_list("sides", list(SIDES), f"Of {', '.join(SIDES)}.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Of training.")
    flags.DEFINE_integer("passes", 5, "Over the text.", 1)
    flags.DEFINE_multi_string("set", None, "KEY=VALUE of our config, or of gensim with --sides=gensim.")
    flags.DEFINE_float("minutes", 1e9, "After so many no other run is begun.")
    flags.DEFINE_bool("render", False, "Only prints the table.")
    flags.DEFINE_string("one", "", "For itself: SIDE,SEED of one run.")
    cli.run(main)
