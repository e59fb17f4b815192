"""The senses of words: the contexts of a word on a map, in clusters, with the words that tell them apart.

  python -m experiments.senses --workdir=RUN --words=mole,doctor,bank [--text=text:FILES]
      [--sentence='I saw a mole at the zoo' --sentence='I have a mole on my hip']
  python -m experiments.senses --workdir=RUN --planted [--beside=RUN]

Draws occurrences of each word from the run's own text, or from the data source --text, and prints how many there are.
A trained model of any family reads them (`w2v_jax.context.ContextEncoder`); its vectors of the word are clustered
without labels, into as many clusters as the silhouette says or --clusters. Each cluster comes with the words around
that the others have less, the words that a masked or causal model predicts in the place, and example sentences. Given
sentences are put on the map, each with its cluster; one that has its word twice has two rows. A word that occurs fewer
than --least times is named and left out.
Writes senses.json, report.md, report.html (one file without scripts) and pictures/senses_WORD.png into --out.

--planted measures a run on the synthetic language, whose words with two senses are known: planted.json has how well
clusters match the senses by layer, beside the best possible. The vectors of --beside, such as a language model of
reversed text (data.reversed), then stand beside those of the run, layer by layer.
Time: about half a minute of one core to read 44 MB of compressed Wikipedia, then a few seconds a word. Exit status:
0 done, 2 bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments.common import cli, page
from experiments.common.page import Section
from experiments.senses import planted
from experiments.senses.clusters import Word, central, look
from experiments.senses.occurrences import Found, of_sentences, read
from w2v_jax.config import check_choice
from w2v_jax.context import ContextEncoder, join
from w2v_jax.errors import UserError
from w2v_jax.evaluation.induction import METHODS
from w2v_jax.figures.maps import PROJECTIONS
from w2v_jax.figures.sense_map import Labelled, draw
from w2v_jax.files import write_json
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned
from w2v_jax.train.restore import open_model

LABELS = 5  # labelled points of a cluster
PLACE = 6  # words beside a word in a label


def names_of(found: Word) -> list[str]:
    """Each cluster by the first words around it, or else those predicted in the place."""
    return [", ".join((c.typical or c.substitutes or c.nearest)[:5]) or "others" for c in found.clusters]


def wanted() -> list[str]:
    """The words of --words, each once. UserError: none."""
    words = list(dict.fromkeys(word.strip() for word in flags.FLAGS.words or [] if word.strip()))
    if not words:
        raise UserError("--words is missing: give words to look at, e.g. --words=mole,bank")
    return words


def known(encoder: ContextEncoder, words: Sequence[str]) -> list[str]:
    """The words as the run's tokeniser writes them. UserError: one that it cuts into several words, or none."""
    out = []
    for word in words:
        cut = encoder.cut(word)
        if len(cut) != 1:
            what = f"cuts it into {' '.join(cut)!r}" if cut else "has no word in it"
            raise UserError(f"--words={word}: must be one word; the run's tokeniser {what}")
        out.append(cut[0])
    return list(dict.fromkeys(out))


def few(found: Sequence[Found], least: int) -> tuple[list[Found], list[str]]:
    """(the words with enough occurrences, a line about each of the others). UserError: no word has."""
    enough = [f for f in found if f.total >= least]
    said = [f"{f.word}: occurs {f.total:,} times, and --least={least} are needed" for f in found if f.total < least]
    if not enough:
        raise UserError(f"too few occurrences: {'; '.join(said)}; give other words, more text or a lower --least")
    return enough, said


def paint(found: Word, out: Path, about: str) -> dict[str, Any]:
    """Draws one word; returns its part of senses.json."""
    f, drawn = flags.FLAGS, found.found.drawn
    labels = [
        Labelled(i, drawn[i].shown(PLACE))
        for rank in range(LABELS)
        for k in range(len(found.clusters))
        for i in central(found.vectors, found.induced, k)[rank : rank + 1]
    ]
    plane = draw(
        found.found.word,
        found.vectors,
        found.induced.labels,
        names_of(found),
        labels,
        out,
        given=found.given,
        sentences=[o.shown(PLACE) for o in found.sentences],
        static=found.static,
        total=found.found.total,
        about=about,
        projection=f.projection,
        seed=f.seed,
        source=cli.command("experiments.senses"),
    )
    clusters = [c._asdict() | {"examples": [o.shown(20) for o in c.examples]} for c in found.clusters]
    given = zip(found.sentences, found.nearest, found.words, strict=True)
    silhouette = found.induced.silhouette
    return {
        "word": found.found.word,
        "total": found.found.total,
        "read": len(drawn),
        "told": found.told,
        "silhouette": None if np.isnan(silhouette) else silhouette,
        "explained": plane.explained,
        "clusters": clusters,
        "sentences": [
            {"text": " ".join(o.words), "shown": o.shown(len(o.words)), "cluster": k + 1, "words": w}
            for o, k, w in given
        ],
    }


def tables(result: dict[str, Any]) -> tuple[list[list[str]], list[list[str]], list[list[str]]]:
    """(clusters, example sentences, given sentences) of a word."""
    said = "predicted in the place" if any(c["substitutes"] for c in result["clusters"]) else "nearest word vectors"
    clusters = [["cluster", "contexts", "share", "words around", said]]
    examples = [["cluster", "sentence"]]
    for k, c in enumerate(result["clusters"], 1):
        share = f"{c['size'] / result['read']:.0%}"
        clusters.append(
            [str(k), f"{c['size']:,}", share, ", ".join(c["typical"]), ", ".join(c["substitutes"] or c["nearest"])]
        )
        examples += [[str(k), text] for text in c["examples"]]
    given = [["given sentence", "cluster", said]]
    given += [[s["shown"], str(s["cluster"]), ", ".join(s["words"])] for s in result["sentences"]]
    return clusters, examples, given


def report(results: Sequence[dict[str, Any]], pictures: Sequence[Path], about: str, out: Path) -> None:
    """Prints the tables and writes the page."""
    sections = []
    for result, picture in zip(results, pictures, strict=True):
        clusters, examples, given = tables(result)
        silhouette = result["silhouette"]
        how = "one cluster" if len(clusters) == 2 else f"{len(clusters) - 1} clusters"
        how += "" if silhouette is None else f", mean silhouette {silhouette:.2f}"
        how += f". {result['told'].capitalize()}" if result["told"] else ""
        line = f"{result['word']}: {result['read']:,} of {result['total']:,} occurrences were read; {how}."
        print(f"\n{line}\n{aligned(clusters, left=(0, 3, 4))}")
        sections.append(Section(result["word"], (line,), clusters, pictures=(picture,)))
        sections.append(
            Section(f"{result['word']}: examples", ("The nearest to the middle of each cluster.",), examples)
        )
        if len(given) > 1:
            print(aligned(given, left=(0, 2)))
            sections.append(Section(f"{result['word']}: given sentences", (), given))
    page.write(out, f"Senses by {about}", sections, cli.command("experiments.senses"))
    print(f"\npage: {out / page.PAGE}\nresults: {out / 'senses.json'}")


def maps(encoder: ContextEncoder, out: Path) -> None:
    """Occurrences, clusters and maps of all words."""
    f = flags.FLAGS
    words = known(encoder, wanted())
    sentences = of_sentences(f.sentence or [], words, encoder)
    with cli.as_flag(f"layer={f.layer}", f"layer {f.layer}"):
        layer = encoder.layer(f.layer)
    found = read(encoder.model.config.data, f.text or "", words, encoder, f.most, f.seed)
    enough, said = few(found, f.least)
    for one in enough:
        if f.clusters > len(one.drawn):
            raise UserError(
                f"--clusters={f.clusters}: {one.word!r} has {len(one.drawn)} occurrences; give at most as many, or 0, "
                "which chooses"
            )
    if said:
        print("\n".join(said), file=sys.stderr)
    about = f"{encoder.model.config.family}, {encoder.names[layer]}"
    results: list[dict[str, Any]] = []
    pictures: list[Path] = []
    for one in enough:
        own = [occurrence for word, occurrence in sentences if word == one.word]
        seen = look(encoder, layer, one, own, f.examples, f.clusters, f.method, f.seed)
        pictures.append(out / "pictures" / f"senses_{len(pictures)}.png")
        results.append(paint(seen, pictures[-1], about))
    left_out = [{"word": one.word, "total": one.total} for one in found if one.total < f.least]
    model = {"workdir": str(f.workdir), "family": encoder.model.config.family, "step": encoder.model.step}
    record = {"command": cli.command("experiments.senses"), "model": model, "layer": encoder.names[layer]}
    write_json(out / "senses.json", record | {"words": results, "too_few": left_out}, indent=1)
    report(results, pictures, about, out)


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    f = flags.FLAGS
    folder = cli.workdir("name the folder of a training run, e.g. --workdir=runs/masked")
    if f.text == "":
        raise UserError("--text is empty: name a data source, e.g. text:FILE, or leave it out")
    check_choice("--method", f.method, METHODS)
    if not f.planted:
        wanted()
    elif f.words or f.sentence or f.text:
        raise UserError("--planted: takes the words and the text of the run; leave --words, --sentence and --text out")
    if f.beside and not f.planted:
        raise UserError("--beside: is for --planted")
    with cli.as_flag("hide_target", "hide_target"):
        encoder = ContextEncoder(open_model(folder), hide_target=f.hide_target, window=f.window)
    with cli.as_flag("beside"):
        beside = ContextEncoder.open(f.beside, window=f.window) if f.beside else None
    out = cli.writable("out", to_path(f.out) if f.out else folder / "senses")
    if not f.planted:
        return maps(encoder, out)
    found = planted.planted(encoder.model, f.most, f.seed)
    both = encoder if beside is None else join(encoder, beside)
    result = planted.measure(both, found, f.method, f.seed)
    print(f"{result['occurrences']:,} occurrences of {result['words']} words with two senses")
    print(aligned(planted.rows(result)))
    if result["told"]:
        print(result["told"])
    out.mkdir(parents=True, exist_ok=True)
    about = {"command": cli.command("experiments.senses"), "family": encoder.model.config.family}
    write_json(out / "planted.json", about | result, indent=1)
    print(f"\nresults: {out / 'planted.json'}")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Folder of a training run of any family.")
    flags.DEFINE_list("words", None, "Words to look at, between commas.")
    flags.DEFINE_string("text", None, "Data source of the occurrences, e.g. text:FILES; by default the run's own.")
    flags.DEFINE_multi_string("sentence", None, "A sentence to put on the map; may be repeated.")
    flags.DEFINE_bool("planted", False, "Measures the planted senses of a run on the synthetic language.")
    flags.DEFINE_string("beside", None, "With --planted: a run whose vectors stand beside those of the first.")
    flags.DEFINE_string("out", None, "Folder of the results; by default WORKDIR/senses.")
    flags.DEFINE_integer("layer", -1, "Layer whose vectors are clustered, from the end if negative.")
    flags.DEFINE_bool("hide_target", False, "Hides the word from a masked model: its vector is what the others say.")
    flags.DEFINE_integer("window", 10, "Words on each side that count, where a model has word vectors only.", 1)
    flags.DEFINE_integer("most", 400, "Most occurrences of a word to read.", 3, 100_000)
    flags.DEFINE_integer("least", 20, "Occurrences that a word needs.", 3)
    flags.DEFINE_integer("clusters", 0, "Number of clusters; 0: chosen by the silhouette, up to 5.", 0, 8)
    flags.DEFINE_string("method", "kmeans", f"Clustering: {' or '.join(METHODS)}.")
    flags.DEFINE_enum("projection", "pca", PROJECTIONS, "Map of the vectors.")
    flags.DEFINE_integer("examples", 5, "Example sentences of each cluster.", 1, 100)
    flags.DEFINE_integer("seed", 0, "Of the drawn occurrences, the clusters and the map.", 0, 2**31 - 1)
    cli.run(main, by_first=True)
