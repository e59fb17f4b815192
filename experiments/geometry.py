"""How contextual the vectors of words are, layer by layer: the measures of Ethayarajh 2019 (arXiv 1909.00512).

  python -m experiments.geometry --workdirs=DIR[,DIR...] [--text=SOURCE] [--words=N] [--senses=FILE] [--out=DIR]

All runs read the same sentences, each alone: those of the first run's held-out text (of its training text where it has
none), or of `--text`, a data source such as text:FILE, of which about N words are read. For every layer it prints the
similarity of any two words, of the occurrences of one word, and of a word and its sentence; how much of a word's
vectors a single vector explains; and how far a vector moves from layer to layer, beside the published findings. Runs of
word vectors give the vector of the word and the mean of those around it. A word without a vector in some layer of a
run is left out of the measures of this run, and counted. With --senses, a file of labelled occurrences
(WORD<TAB>SENSE<TAB>INDEX<TAB>TEXT), a linear probe tells how well each layer knows the sense of its word. Writes
geometry.json and geometry.png into the folder `--out`, by default the first run's.

Time: seconds a run on 2 CPU cores. Exit status: 0 done, 2 bad input.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from threadpoolctl import threadpool_limits

from experiments.common import cli
from experiments.common.language import changes_of_flags, corpus_of
from w2v_jax.context import ContextEncoder
from w2v_jax.data.senses import Occurrence, plain, read_occurrences
from w2v_jax.errors import UserError
from w2v_jax.evaluation.geometry import LEAST, Geometry, measure
from w2v_jax.evaluation.sense_labels import probe
from w2v_jax.figures import geometry as picture
from w2v_jax.papers import NUMBERS, PAPERS
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned

ENDS = frozenset(".!?")
PROBED = 500  # labelled occurrences of a word that a probe reads, at most
LONGEST = 50  # words of a sentence; a longer one is cut
UNKNOWN = "\ufffd"  # read as a word outside the vocabulary by every tokeniser
# Columns of the table: heading -> the number of a layer.
COLUMNS = {
    "any two": lambda g: g.anisotropy,
    "own word": lambda g: g.self_similarity,
    "adjusted": lambda g: g.self_adjusted,
    "sentence": lambda g: g.intra_sentence,
    "adjusted ": lambda g: g.intra_adjusted,
    "explained": lambda g: g.explained,
    "adjusted  ": lambda g: g.explained_adjusted,
    "centred": lambda g: g.centred,
    "along": lambda g: g.along,
    "length": lambda g: g.length,
    "moved": lambda g: g.moved,
    "turned": lambda g: g.turned,
}


class Text(NamedTuple):
    """The sentences that are read."""

    sentences: list[list[str]]
    split: str  # what they are from
    short: int  # words of pieces of fewer than 3 words, which are left out


def opened(workdirs: Sequence[str]) -> dict[str, ContextEncoder]:
    """The encoders of the runs by the names of their folders. UserError: no run, or two folders of one name."""
    if not workdirs:
        raise UserError(
            "--workdirs is missing: name the folders of trained runs, e.g. --workdirs=runs/masked,runs/causal"
        )
    names = [to_path(workdir).name for workdir in workdirs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--workdirs: two folders are called {name!r}; rename one, as results are named by folder")
    with cli.as_flag("workdirs"):
        return {name: ContextEncoder.open(workdir) for name, workdir in zip(names, workdirs, strict=True)}


def sentences_of(encoder: ContextEncoder, source: str, words: int, seed: int = 0, **changes: Any) -> Text:
    """About `words` words in sentences of 3 to LONGEST, of documents in a random order. `changes` are those of the
    run's `DataConfig`.

    UserError: no such text, or one without a sentence.
    """
    model = encoder.model
    corpus = corpus_of(model, source, reversed=False, **changes)
    split = "test" if source else "heldout" if corpus.heldout.documents else "train"
    tokens = getattr(corpus, split)
    out: list[list[str]] = []
    count = short = 0
    for d in np.random.default_rng(seed).permutation(tokens.documents):
        ids = np.asarray(tokens.tokens[tokens.offsets[d] : tokens.offsets[d + 1]])
        of_document = _words(encoder, ids[ids != model.tokenizer.end_id])
        sentences = cut(of_document)
        short += len(of_document) - sum(map(len, sentences))
        for sentence in sentences:
            out.append(sentence)
            count += len(sentence)
            if count >= words:
                return Text(out, split, short)
    if not out:
        raise UserError(f"{source or model.config.data.source}: has no sentence of 3 words; give another --text")
    return Text(out, split, short)


def notes(text: Text) -> list[str]:
    """What a reader of the table should know of the sentences."""
    out = []
    if not any(word in ENDS for sentence in text.sentences for word in sentence):
        out.append(
            f"note: the text has none of the words {' '.join(sorted(ENDS))}, which end sentences: pieces of up to "
            f"{LONGEST} words stand for them in the columns of sentences"
        )
    if text.short:
        out.append(f"left out: {text.short:,} words in pieces of fewer than 3 words")
    return out


def _words(encoder: ContextEncoder, ids: np.ndarray) -> list[str]:
    tokenizer = encoder.model.tokenizer
    if tokenizer.kind in ("bpe", "characters"):
        return encoder.cut(tokenizer.decode(ids.tolist()))
    return [UNKNOWN if i == tokenizer.unknown_id else tokenizer.words[i] for i in ids.tolist()]


def cut(words: Sequence[str]) -> list[list[str]]:
    """Sentences of 3 to LONGEST words, which end with one of `ENDS`, at LONGEST words, or with the text."""
    out: list[list[str]] = [[]]
    for word in words:
        out[-1].append(word)
        if word in ENDS or len(out[-1]) == LONGEST:
            out.append([])
    return [sentence for sentence in out if len(sentence) >= 3]


def labels_of(encoders: Sequence[ContextEncoder], sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """(the type of each word, -1 for marks, numbers and words that a run does not know; its sentence), int [N]."""
    index: dict[str, int] = {}
    for sentence in sentences:
        for word in sentence:
            if word not in index:
                known = word.isalpha() and not any(e.model.tokenizer.outside(word) for e in encoders)
                index[word] = len(index) if known else -1
    types = np.array([index[word] for sentence in sentences for word in sentence])
    return types, np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])


def with_vectors(layers: Sequence[np.ndarray]) -> np.ndarray:
    """The occurrences, bool [N], that have a vector after every layer: one of zeros was not read."""
    return np.logical_and.reduce([np.asarray(layer).any(1) for layer in layers])


def measured(
    name: str, encoder: ContextEncoder, sentences: Sequence[Sequence[str]], types: np.ndarray, of_sentence: np.ndarray
) -> tuple[list[Geometry], int]:
    """(the geometry of every layer, the words that are left out because they have no vector). UserError: too few words
    have one."""
    read = encoder.encode(sentences, [range(len(sentence)) for sentence in sentences])
    there = with_vectors(read.layers)
    known = types[there]
    known = known[known >= 0]
    if not len(known) or np.unique(known, return_counts=True)[1].max() < LEAST:
        raise UserError(
            f"--workdirs: {name} has vectors of {int(there.sum()):,} of {len(there):,} words of the text, of no word "
            f"{LEAST}; read more text (--words), or text that this run knows (--text)"
        )
    found = measure([layer[there] for layer in read.layers], types[there], of_sentence[there])
    return found, int((~there).sum())


def senses_of(path: str, seed: int = 0) -> list[tuple[list[Occurrence], np.ndarray]]:
    """(at most `PROBED` occurrences, the number of the sense of each) of every word of a labelled file, drawn with
    `seed`. UserError: a bad file, or a word of one sense."""
    every = read_occurrences(path)
    out = []
    for word in dict.fromkeys(o.word for o in every):
        own = [o for o in every if o.word == word]
        some = [own[i] for i in sorted(np.random.default_rng(seed).permutation(len(own))[:PROBED])]
        names, labels = np.unique([o.sense for o in some], return_inverse=True)
        if len(names) < 2:
            raise UserError(f"--senses={path}: word {word!r} has one sense only, {names[0]!r}; leave it out")
        out.append((some, labels))
    return out


def probed(encoder: ContextEncoder, words: Sequence[tuple[list[Occurrence], np.ndarray]]) -> list[float]:
    """For every layer the mean over words of `sense_labels.probe`."""
    found = []
    for some, labels in words:
        read = encoder.encode([plain(o.tokens) for o in some], [[o.place] for o in some])
        with threadpool_limits(1):  # for products this small, threads wait for each other longer than they compute
            found.append([probe(layer, labels) for layer in read.layers])
    return [float(np.mean(of_layer)) for of_layer in zip(*found, strict=True)]


def table(names: Sequence[str], found: Sequence[Geometry], senses: Sequence[float] | None = None) -> str:
    """One row for each layer."""
    rows = [["", *(heading.strip() for heading in COLUMNS), *([] if senses is None else ["sense"])]]
    for i, (name, layer) in enumerate(zip(names, found, strict=True)):
        values = [number(layer) for number in COLUMNS.values()] + ([] if senses is None else [senses[i]])
        rows.append([name, *("-" if math.isnan(v) else f"{v:.3f}" for v in values)])
    return aligned(rows)


def published() -> str:
    """What the paper found, from `w2v_jax/published.tsv`."""
    rows = [[what, f"{n.value:g}", n.checked] for (paper, what), n in NUMBERS.items() if paper == "ethayarajh"]
    return f"{PAPERS['ethayarajh'].source}\n{aligned([['published', '', ''], *rows])}"


def main(argv: Sequence[str]) -> None:
    """Measures all runs; prints tables, writes JSON and a picture."""
    f = flags.FLAGS
    if f.words < 1000:
        raise UserError(f"--words={f.words}: must be at least 1000, or few words occur often enough")
    changes = changes_of_flags()
    encoders = opened(f.workdirs or [])
    out = to_path(f.out or f.workdirs[0])
    first = next(iter(encoders.values()))
    given = sentences_of(first, f.text, f.words, **changes)
    sentences, split = given.sentences, given.split
    types, of_sentence = labels_of(list(encoders.values()), sentences)
    often = int((np.unique(types[types >= 0], return_counts=True)[1] >= LEAST).sum())
    if not often:
        raise UserError(f"--words={f.words}: no word occurs {LEAST} times in {len(types):,} words; read more text")
    text = f"{f.text or {'heldout': 'held-out text', 'train': 'training text'}[split]} of {next(iter(encoders))}"
    print(
        f"{len(types):,} words in {len(sentences):,} sentences ({text}), {often:,} words of {LEAST} occurrences or more"
    )
    for note in notes(given):
        print(note)
    words = senses_of(f.senses) if f.senses else None
    runs: dict[str, Any] = {}
    for name, encoder in encoders.items():
        print(f"reading with {name}", file=sys.stderr)
        found, left = measured(name, encoder, sentences, types, of_sentence)
        known = None if words is None else probed(encoder, words)
        family = encoder.model.config.family
        print(f"\n{name}: {family}, step {encoder.model.step:,}\n{table(encoder.names, found, known)}")
        if left:
            print(f"left out: {left:,} of {len(types):,} words, which have no vector in some layer of this run")
        layers = [json.loads(json.dumps(g._asdict()).replace("NaN", "null")) for g in found]
        for layer, value in zip(layers, known or (), strict=known is not None):
            layer["sense"] = value
        about_run = {"family": family, "step": encoder.model.step, "left_out": left}
        runs[name] = about_run | {"names": encoder.names, "layers": layers}
    print(f"\n{published()}")
    if words is not None:
        chance = float(np.mean([1 / (labels.max() + 1) for _, labels in words]))
        about_senses = f"sense: recall of a linear probe by folds, {len(words)} words of {f.senses}"
        print(f"\n{about_senses}; one sense for all: {chance:.3f}")
    about = {"text": text, "words": len(types), "sentences": len(sentences), "types": often}
    result = {"command": cli.command("experiments.geometry"), **about, "runs": runs}

    def paint(path: Path) -> None:
        picture.draw(result, path, f"{text}; {cli.command('experiments.geometry')}")

    cli.write_results(out / "geometry.json", result, out / "geometry.png", paint)


if __name__ == "__main__":
    flags.DEFINE_list("workdirs", None, "Folders of trained runs, separated by commas.")
    flags.DEFINE_string(
        "text", "", "Data source of the text, such as text:FILE; the first run's held-out text if empty."
    )
    flags.DEFINE_enum(
        "encoding_errors", "strict", ["strict", "replace"], "What of --text is not UTF-8: refused, or signs."
    )
    flags.DEFINE_integer("words", 20_000, "Words that are read.")
    flags.DEFINE_string("senses", "", "Labelled occurrences to probe, WORD<TAB>SENSE<TAB>INDEX<TAB>TEXT.")
    flags.DEFINE_string("out", None, "Folder of the results; the first run's if empty.")
    cli.run(main, by_first=True)
