"""Draws the project's figures again from committed results, makes them anew, and draws what your own runs hold.

  python -m experiments.figures --list
  python -m experiments.figures NAME [--out=NAME.png] [--results=results/figures]
  python -m experiments.figures NAME --run=DIR [--data=FOLDER] [--set=KEY=VALUE ...] [--keep [--note=TEXT]]
  python -m experiments.figures map --vectors=FILE --groups='doctor,nurse,surgeon;teacher,student;car'
  python -m experiments.figures map --workdir=DIR [--words=a,b,c] [--projection=pca|tsne|mds] [--top=200] [--out=PNG]
  python -m experiments.figures nudges --out=DIR
  python -m experiments.figures convergence --workdir=DIR[,DIR...] [--evaluate [--data_dir=DIR]] [--out=PNG]
  python -m experiments.figures optimum --workdir=DIR[,DIR...] [--out=PNG]

--list names every figure with its paper and that paper's numbers. NAME, one of them, is drawn without training into the
current folder, with ours beside what was published; exit status 1 when a stated tolerance is missed.

--run runs the commands of the figure's recipe in DIR, draws DIR/NAME.png and prints the new numbers beside the
published and the committed ones. The same command continues an interrupted recipe. --data is the folder of the texts
that the recipe names. --set changes keys of the recipe's configs, or flags of the command that measures, for a smaller
run: --set=train.passes=0.1. --keep makes the result the committed record, with the commit of the code, and draws the
picture of the docs.

The other commands draw from run folders. map: words on a plane, coloured by the groups given (also as a JSON file
{"name": ["word", ...], ...}) or by k-means; without words, the most frequent ones. nudges: three words in two
dimensions, with an arrow for every update. convergence: loss and quality against passes; --evaluate first scores every
checkpoint that the run kept (train with --config.checkpoint.keep=100) and writes quality.jsonl. optimum: the distance
of language models from the best possible loss of the synthetic language, after experiments.evaluate. Pictures are
.png, .pdf or .svg.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.common import cli
from experiments.common.vectors import define_source_flags, known_words, open_vectors, source
from experiments.figures import show
from experiments.figures.gallery import figures
from w2v_jax.errors import UserError, nearest
from w2v_jax.figures import convergence, maps, nudges, optimum, style
from w2v_jax.files import parse_json
from w2v_jax.storage import name_of, to_path
from w2v_jax.tables import aligned


def small_print(*facts: str) -> str:
    """The line below a picture: the facts, and the command that drew it."""
    return "; ".join([*facts, cli.command("experiments.figures")])


def parse_groups(text: str) -> dict[str, list[str]]:
    """Groups of words by name from `a,b;name:c,d`, or from a .json file with an object, or a list, of lists of words.

    A group without a name is named by its words. UserError: a bad file, a group without words, a word in two groups.
    """
    parts = [part.rpartition(":") for part in text.split(";")]
    listed = _groups_file(text) if text.endswith(".json") else [(n.strip(), _listed(words)) for n, _, words in parts]
    groups: dict[str, list[str]] = {}
    seen: set[str] = set()
    for name, words in listed:
        name = name or ", ".join(words[:4]) + (", …" if len(words) > 4 else "")
        if not words or name in groups:
            raise UserError(f"--groups={text}: group {name!r} {'is there twice' if words else 'has no words'}")
        for word in words:
            if word in seen:
                raise UserError(f"--groups={text}: {word!r} is there twice; a word has one group")
            seen.add(word)
        groups[name] = words
    return groups


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _groups_file(path: str) -> list[tuple[str, list[str]]]:
    try:
        value = parse_json(to_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; --groups takes a .json file or a,b;c,d") from None
    except ValueError as e:
        raise UserError(f"{path}: not JSON ({e})") from None
    unnamed = [("", words) for words in value] if isinstance(value, list) else []
    listed = list(value.items()) if isinstance(value, dict) else unnamed
    good = all(isinstance(words, list) and all(isinstance(w, str) for w in words) for _, words in listed)
    if not listed or not good:
        raise UserError(f'{path}: must hold {{"name": ["word", ...], ...}} or [["word", ...], ...]')
    return listed


def draw_map(out: str | None) -> None:
    """Draws words on a plane."""
    f = flags.FLAGS
    if f.words and f.groups:
        raise UserError("give --words or --groups, not both")
    if f.top < 3:
        raise UserError(f"--top={f.top}: must be at least 3")
    groups = parse_groups(f.groups) if f.groups else None
    asked = _listed(f.words or "")
    path = source()
    target = out or os.path.join(path if to_path(path).is_dir() else os.path.dirname(path), "map.png")
    style.check_ending(target)
    emb = open_vectors()
    words = list(dict.fromkeys(asked)) or [w for group in (groups or {}).values() for w in group]
    words = words or list(emb.words[: f.top])
    if lacking := known_words(emb, words)[1]:
        raise UserError(f"--{'groups' if groups else 'words'}: {lacking}")
    vectors = np.stack([emb.vector(word) for word in words])
    facts = small_print(f"vectors: {name_of(path)}", f"seed {f.seed}")
    known: dict[str, Any] = {"clusters": f.clusters, "seed": f.seed, "vocabulary": len(emb), "source": facts}
    plane = maps.draw_map(words, vectors, target, groups, f.projection, **known)
    if note := style.escapes_note(words):
        print(f"warning: {note}", file=sys.stderr)
    if plane.explained:
        print(f"{len(words)} words; the plane shows {sum(plane.explained):.1%} of their variance")
    print(f"distances in the plane agree with those of the vectors by Spearman's {plane.agreement:.3f}\nmap: {target}")


def draw_nudges(out: str | None) -> None:
    """Trains three words, prints cosines and draws every update."""
    from experiments.figures import nudges as training

    f = flags.FLAGS
    folder = to_path(out or "nudges")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out={folder}: is a file; nudges takes a folder")
    rate = {} if f.learning_rate is None else {"learning_rate": f.learning_rate}
    options = training.Options(updates=f.updates, loss=f.loss, seed=f.seed, **rate)
    folder.mkdir(parents=True, exist_ok=True)
    training.write(folder / "nudges.npz", options, note=lambda line: print(line, file=sys.stderr))
    run = nudges.read(folder / "nudges.npz")
    print(nudge_tables(run))
    facts = small_print(f"E of word2vec skip-gram, {f.loss}, rate {options.learning_rate:g}, seed {f.seed}")
    nudges.draw(run, folder / "nudges.png", facts)
    print(f"\npicture: {folder / 'nudges.png'}\nrecording: {folder / 'nudges.npz'}")


def nudge_tables(run: nudges.Nudges) -> str:
    """Cosines of the words before and after, and of the twins at the end, as text."""
    rows = [["cosine", "before", "after"]]
    rows += [[name, f"{values[0]:.4f}", f"{values[-1]:.4f}"] for name, values in nudges.cosines(run).items()]
    lasting = slice(-max(1, run.twins.shape[1] // 4), None)
    twins = [["twins' contexts", "cosine", "distance / length"]]
    for own, pair, gap in zip(run.twins_own, run.twins, nudges.gaps(run), strict=True):
        name = "all shared" if own == 0 else f"{own} of their own"
        cosine = nudges.cosine(pair[:, 0], pair[:, 1])
        twins.append([name, f"{cosine[lasting].mean():.4f}", f"{gap[lasting].mean():.4f}"])
    return f"{aligned(rows)}\n\n{aligned(twins)}\n(means over the last quarter of {run.twins.shape[1] - 1:,} updates)"


def _workdirs(picture: str, out: str | None) -> tuple[list[str], str]:
    """The run folders of --workdir, and the path of the picture."""
    workdirs = list(dict.fromkeys(_listed(flags.FLAGS.workdir or "")))
    if not workdirs:
        raise UserError("no run folder given: --workdir=DIR[,DIR...]")
    target = out or os.path.join(workdirs[0], picture)
    style.check_ending(target)
    return workdirs, target


def draw_convergence(out: str | None) -> None:
    """Draws loss and quality against passes, and prints their ends."""
    workdirs, target = _workdirs("convergence.png", out)
    if flags.FLAGS.evaluate:
        from experiments.figures.quality import evaluate_checkpoints

        for workdir in workdirs:
            evaluate_checkpoints(to_path(workdir), flags.FLAGS.data_dir, note=print)
    runs = convergence.read_runs(workdirs)
    rows = [["run", "curve", "first", "last", "95 % of the way by pass"]]
    for run in runs:
        for name, curve in {"held-out loss": run.heldout, **run.quality}.items():
            if len(curve):
                at = convergence.settled(curve)
                ends = [f"{curve[i, 1]:.4f}" for i in (0, -1)]
                rows.append([run.label, name, *ends, "-" if at is None else f"{at:.2f}"])
    print(aligned(rows, left=(0, 1)))
    convergence.draw(runs, target, small_print("metrics.jsonl and quality.jsonl of each run"))
    print(f"\npicture: {target}")


def draw_optimum(out: str | None) -> None:
    """Draws and prints the distance of runs from the best possible loss."""
    from w2v_jax.evaluation.optimum import table

    workdirs, target = _workdirs("optimum.png", out)
    runs = optimum.read_runs(workdirs)
    for name, distances in runs.items():
        print(f"{name}\n{table(distances)}\n")
    optimum.draw(runs, target, small_print("evaluation.json of each run"))
    print(f"picture: {target}")


COMMANDS = {"map": draw_map, "nudges": draw_nudges, "convergence": draw_convergence, "optimum": draw_optimum}
_REMAKE = ("data", "set", "keep", "note")  # flags beside --run
_OWN = {  # flags of each command
    "map": "vectors workdir limit skip_nan encoding_errors words groups projection top clusters seed",
    "nudges": "loss updates learning_rate seed",
    "convergence": "workdir evaluate data_dir",
    "optimum": "workdir",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command or draws the figure that the first argument names; returns the exit status."""
    known = (*COMMANDS, *figures())
    f = flags.FLAGS
    if f.list:
        given = [*argv[1:], *(f"--{flag}" for flag in sorted(_flags_of(*known)) if f[flag].present)]
        if given:
            raise UserError(f"--list: {given[0]} means nothing beside it: leave it out")
        print(show.listing(figures()))
        return 0
    if len(argv) < 2:
        raise UserError(f"no figure named: python -m experiments.figures --list, or {'|'.join(known)}")
    name = argv[1]
    if name not in known:
        raise UserError(f"figure {name!r}: must be one of {', '.join(known)}{nearest(name, known)}")
    if f.out and name != "nudges":  # which takes a folder
        _check_picture(f.out)
    for flag in sorted(_flags_of(*known) - _flags_of(name)):
        if f[flag].present:
            raise UserError(f"--{flag} means nothing to the figure {name}: leave it out")
    if name in COMMANDS:
        COMMANDS[name](f.out)
        return 0
    results = to_path(f.results) if f.results else show.RESULTS
    if not f.run:
        for flag in _REMAKE:
            if f[flag].present:
                raise UserError(f"--{flag} is for --run=DIR, which makes the figure anew")
        return show.redraw(name, figures()[name], f.out or f"{name}.png", results)
    options: dict[str, Any] = {"data": f.data, "settings": f.set, "out": f.out, "keep": f.keep, "note": f.note}
    return show.remake(name, figures()[name], to_path(f.run), results=results, **options)


def _check_picture(out: str) -> None:
    """UserError: the name of --out is not that of a picture."""
    try:
        style.check_ending(out)
    except UserError as e:
        raise UserError(f"--out={e}; give one, such as --out={out}.png") from None


def _flags_of(*names: str) -> set[str]:
    """The flags of any of these figures."""
    made = ("results", "run", *_REMAKE)
    return {"out"}.union(*((_OWN[name].split() if name in _OWN else made) for name in names))


def _define_flags() -> None:
    define_source_flags()
    where = "By default beside the vectors, in the run folder, or NAME.png."
    flags.DEFINE_string("out", None, f"Picture; for nudges, a folder. {where}")
    flags.DEFINE_bool("list", False, "Name every figure, its paper and that paper's numbers.")
    flags.DEFINE_string("results", None, "NAME: folder of the committed results; that of the repository by default.")
    flags.DEFINE_string("run", None, "NAME: folder in which the recipe is run, or continued.")
    flags.DEFINE_string("data", None, "--run: folder with the texts and test files that the recipe names.")
    flags.DEFINE_multi_string("set", [], "--run: KEY=VALUE of the recipe's configs or flags; may be given again.")
    flags.DEFINE_bool("keep", False, "--run: write the record, and the picture of the docs.")
    flags.DEFINE_string("note", "", "--keep: a note for the record.")
    flags.DEFINE_integer("seed", 0, "Of the projection and the clusters; of nudges' training.", 0, 2**31 - 2)
    flags.DEFINE_string("words", None, "map: words to draw, a,b,c.")
    flags.DEFINE_string("groups", None, "map: groups of words, a,b;name:c,d or a .json file.")
    flags.DEFINE_enum("projection", "pca", maps.PROJECTIONS, "map: projection to the plane.")
    flags.DEFINE_integer("top", 200, "map: number of first words to draw, without --words and --groups.")
    flags.DEFINE_integer("clusters", 0, "map: clusters of k-means, without --groups; 0 chooses.")
    flags.DEFINE_enum("loss", "softmax", ["softmax", "negative"], "nudges: the loss.")
    flags.DEFINE_integer("updates", 360, "nudges: number of updates, of one pair each.")
    flags.DEFINE_float("learning_rate", None, "nudges: constant rate; a suitable one by default.")
    flags.DEFINE_bool("evaluate", False, "convergence: score every kept checkpoint first.")
    flags.DEFINE_string("data_dir", None, "convergence --evaluate: test files; a small built-in list without.")


if __name__ == "__main__":
    _define_flags()
    cli.run(main, arguments=1, continues=True, by_first=True)
