"""`experiments.classify --text` and `--texts`: labels of new texts by a classifier that was kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from experiments.classify import digests, features
from experiments.classify.digests import TEXTS
from experiments.classify.features import COUNTED
from experiments.classify.kept import Kept, read, tokenizer_of
from experiments.classify.texts import Texts, bags_of
from experiments.common import cli
from experiments.common.vectors import warnings_in_lines
from experiments.common.words import notes_on
from w2v_jax.config import DataConfig
from w2v_jax.data import documents
from w2v_jax.data.in_memory import words_told
from w2v_jax.data.raw import whole_documents
from w2v_jax.data.sources import raw_text
from w2v_jax.data.tfds_source import prepare_advice
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.data.weighting import Collection
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError, nearest, renamed
from w2v_jax.evaluation.linear import Rows
from w2v_jax.files import read_json, write_text
from w2v_jax.models import MODELS
from w2v_jax.overrides import build
from w2v_jax.recorded import freeze
from w2v_jax.storage import to_path
from w2v_jax.train.programs import placed
from w2v_jax.train.restore import open_model
from w2v_jax.types import Say, Words

flags.disclaim_key_flags()  # --help lists flags by the module that defines them: the command, not this one

OTHERS = (  # of a comparison
    *("train", "heldout", "test", "test_share", "methods", "vectors", "encoding_errors", "run", "max_tokens"),
    *("config", "config.KEY", "lda", "lda.KEY"),
)
_AS_COMPARED = ("encoding_errors", "data_dir", "offline", "tfds_split")  # keys of the data that new texts have too


class Made(NamedTuple):
    """New texts as a method represents them."""

    rows: Rows  # [N, F]
    tokenizer: Tokenizer
    note: str = ""


def define() -> None:
    """Registers the flags."""
    flags.DEFINE_multi_string("text", None, "A text for a classifier of --workdir to label; may be repeated.")
    flags.DEFINE_string(
        "texts", None, "Texts without labels to label: text:GLOB (one a line), jsonl:GLOB or tfds:NAME."
    )
    flags.DEFINE_string("field", None, "Text fields of the records of --texts; those of the comparison by default.")
    flags.DEFINE_string("method", None, "The method that labels them; by default the best on the held-out texts.")
    flags.DEFINE_string("out", None, "File for the labels, tab-separated; they are printed by default.")


def wanted() -> bool:
    """Whether texts are to be labelled. UserError: flags that mean nothing with these, or without."""
    f = flags.FLAGS
    if f.text is None and f.texts is None:
        for flag in ("method", "field", "out"):
            if f[flag].value is not None:
                raise UserError(f"--{flag}: is for new texts; give them in --text or --texts, or leave it out")
        return False
    if f.text is not None and f.texts is not None:
        raise UserError("--text, --texts: give one of the two")
    if f.text is not None and f["field"].present:
        raise UserError("--text, --field: a text of the command line has no fields; leave --field out")
    for flag in OTHERS:
        if f[flag].present:
            raise UserError(f"--{flag.removesuffix('.KEY')}: is for a comparison, not for new texts; leave it out")
    return True


def run(say: Say) -> None:
    """Labels the texts of the flags. UserError: bad input."""
    f = flags.FLAGS
    workdir = cli.workdir("name the folder of a comparison, e.g. --workdir=runs/classify", reads=True)
    out = None if f.out is None else cli.writable_file("out", f.out, "labels.tsv")
    results = read_json(workdir / "results.json", "name the folder of a comparison")
    if results is None or not results.get("methods") or TEXTS not in results:
        raise UserError(f"--workdir={workdir}: holds no comparison; make one with --train first")
    row = row_of(results["methods"], f.method, say)
    kept = read(workdir, row["method"], results[TEXTS])
    data = build(DataConfig, results["data"], MODELS)
    texts = list(_texts_of_flags(f.text, f.texts, f.field, data))
    lines = table(labelled(row, kept, data, results["labels"], texts, f.text is not None, say), results["labels"])
    if out is None:
        print(lines, end="")
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, lines)
        say(f"labels: {out}")


def row_of(rows: Sequence[dict[str, Any]], method: str | None, say: Say) -> dict[str, Any]:
    """The row of a method, or the one of the highest accuracy on held-out texts, the first of equals. UserError: no
    such method."""
    names = [row["method"] for row in rows]
    if method is not None and method not in names:
        raise UserError(f"--method={method}: was not compared; choose of {', '.join(names)}{nearest(method, names)}")
    scores = [row["heldout"][f"{row['strength']:g}"] for row in rows]
    at = names.index(method) if method is not None else int(np.argmax(scores))
    best = "" if method is not None else ", the best of the comparison there"
    say(f"method: {names[at]}, {scores[at]:.2%} of the held-out texts{best}")
    return rows[at]


def _texts_of_flags(
    given: Sequence[str] | None, source: str | None, field: str | None, data: DataConfig
) -> Iterator[str]:
    """The texts to label. UserError: an empty one on the command line, or a bad source."""
    if given is not None:
        if not all(text.strip() for text in given):
            raise UserError("--text is empty: give a text, e.g. --text='The dog was cute'")
        yield from given
        return
    assert source is not None
    if not source.startswith(("text:", "jsonl:", "tfds:")):
        need = "text:GLOB, one a line, jsonl:GLOB or tfds:NAME[@SPLIT]"
        raise UserError(f"--texts={source}: names no texts without labels; they are {need}")
    cfg = DataConfig(source=source, field=field or data.field, **{key: getattr(data, key) for key in _AS_COMPARED})
    # The comparison decides where data sets are; where it says nothing, TFDS's own variable does.
    names = {"data.source": "--texts", "data.field": "--field"} | prepare_advice(data)
    try:
        yield from whole_documents(raw_text(cfg).chunks(hashlib.blake2b()))
    except UserError as e:
        raise UserError(renamed(str(e), names)) from None


# ---- features ----


def made_of(row: dict[str, Any], kept: Kept, data: DataConfig, texts: Sequence[str]) -> Made:
    """The features of new texts by the method of a row. UserError: what they are made with has changed."""
    settings, method = row["settings"], row["method"]
    if "run" in settings:
        return _of_run(row, texts)
    if "vectors" in settings:
        path = features.file_of(settings["vectors"])
        _check_digest(method, settings["vectors"], digests.of_vectors(path), settings["sha256"])
        with warnings_in_lines():
            emb = load(path, encoding_errors=settings["encoding_errors"])
        vocab = Vocabulary(tuple(emb.words), np.zeros(len(emb.words), np.int64))
        tokenizer = tokenizer_of(data, kept.arrays, vocab)
        return Made(documents.means(bags_of(tokenizer, alone(texts)).counts, emb.vectors), tokenizer)
    tokenizer = tokenizer_of(data, kept.arrays)
    counts = bags_of(tokenizer, alone(texts)).counts
    if "config" not in settings:
        assert method in COUNTED
        seen = Collection._make(kept.arrays[name] for name in Collection._fields)
        return Made(features.weighed(method, counts, seen), tokenizer)
    config = freeze(settings["config"], MODELS)
    spec = MODELS[config.family]
    assert spec.represent is not None
    cfg = placed(spec, spec.resolve(config.model, tokenizer.size), jax.local_devices()[0].platform)
    words = Words(tokenizer.vocab.words, tokenizer.vocab.counts)
    return Made(spec.represent(cfg, kept.arrays, spec.consts(cfg, words), counts), tokenizer)


def _of_run(row: dict[str, Any], texts: Sequence[str]) -> Made:
    """Features by a trained run, which is as it was."""
    settings, method = row["settings"], row["method"]
    _check_digest(method, settings["run"], digests.of_run(settings["run"]), settings["sha256"])
    with cli.as_flag("run"):
        model = open_model(to_path(settings["run"]))
    found = features.of_run(row["task"], model, alone(texts), settings["max_tokens"])
    made = next(part for part in found if part.method == method)
    note = next((part for part in made.note.split("; ") if " are cut " in part), "")  # words are told by `labelled`
    return Made(made.train, model.tokenizer, note)


def _check_digest(method: str, path: str, now: str, then: str) -> None:
    if not to_path(path).exists():
        raise UserError(f"{path}: not there; {method} reads it for its features; restore it, or name another --method")
    if now != then:
        raise UserError(f"{path}: has changed since {method} was fitted; restore it, or name another --method")


def alone(texts: Sequence[str]) -> Texts:
    """New texts in the place of training texts, without labels; nothing is scored."""
    count = len(texts)
    nothing = np.zeros(0, np.int64)
    return Texts((), list(texts), np.zeros(count, np.int64), np.zeros(count, bool), True, [], nothing)


# ---- labels ----


class Labelled(NamedTuple):
    """What a classifier says of N texts, of K labels."""

    texts: Sequence[str]
    known: list[int]  # words of each text that the method knows
    chances: np.ndarray  # float64 [N, K]


def labelled(
    row: dict[str, Any], kept: Kept, data: DataConfig, names: Sequence[str], texts: Sequence[str], each: bool, say: Say
) -> Labelled:
    """The labels of new texts. `say` gets what is not read: of `each` text its words, or their number. UserError: no
    word of the texts is known, or what the features are made with has changed."""
    made = made_of(row, kept, data, texts)
    found = [made.tokenizer.encode_counted(text) for text in texts]
    outside = sum(count for _, count in found)
    known = [len(ids) - (count if made.tokenizer.unknown == "keep" else 0) for ids, count in found]
    if not any(known):
        flag = "text" if each else "texts"
        raise UserError(f"--{flag}: {row['method']} knows no word of it; give another text, or another --method")
    if each:
        for note in dict.fromkeys(note for text in texts for note in notes_on(made.tokenizer, text, flag="text")):
            say(note)
    else:
        tokens = sum(len(ids) for ids, _ in found)
        say(f"texts: {len(texts):,} to label, {words_told(tokens, outside, made.tokenizer.unknown)}")
    if made.note:
        say(f"note: {made.note}")
    if none := sum(not count for count in known):
        say(f"note: {none:,} texts without a known word get the label of an empty one, which says nothing of them")
    return Labelled(texts, known, kept.model.probabilities(made.rows, len(names)))


def table(found: Labelled, names: Sequence[str]) -> str:
    """A line per text: its label, the probability of every label, the words that are known, and the text with white
    space as blanks."""
    lines = ["\t".join(["label", *(f"p({name})" for name in names), "known_words", "text"])]
    for text, known, chances in zip(found.texts, found.known, found.chances, strict=True):
        cells = [names[int(chances.argmax())], *(f"{x:.6f}" for x in chances), str(known)]
        lines.append("\t".join([*cells, re.sub(r"\s", " ", text)]))
    return "\n".join(lines) + "\n"
