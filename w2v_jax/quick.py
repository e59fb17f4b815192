"""Word vectors of any text in one call: `from w2v_jax import train_vectors`."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.config import Config, DataConfig, OptimizerConfig, TrainConfig
from w2v_jax.elsewhere import NAMES
from w2v_jax.embeddings import Embeddings, load_run
from w2v_jax.errors import Interrupted, UserError, nearest, of_caller, python_errors
from w2v_jax.files import PathLike, atomic, given_path
from w2v_jax.models import MODELS
from w2v_jax.models.word2vec import LONGER
from w2v_jax.overrides import override
from w2v_jax.recorded import load as load_config
from w2v_jax.storage import in_bucket, open_read, to_path
from w2v_jax.train import loop
from w2v_jax.train.console import WarningsOnly
from w2v_jax.train.folder import CONFIG, read_result

FAMILY, PARTS = "word2vec", "subword"
_OF_PARTS = ("model.buckets", "model.shortest", "model.longest")  # keys of the family `subword` alone
SENTENCES = "sentences.txt"  # in the run folder: an iterable as a file
_ENDINGS = (".txt", ".jsonl", ".gz", ".bz2", ".xz", ".zst", ".zip")  # of files of text
_SHOWN = 60  # characters of a string that is no path
TAGGED = "give {tag: words} to train_documents, as {d.tags[0]: d.words for d in documents}"
# What configs/skipgram.py and configs/cbow.py have beside the defaults; a test compares them.
RECIPES: dict[str, dict[str, Any]] = {
    "skipgram": {
        **{"train.batch_size": 2048, "train.steps_per_call": 128},
        **{"optimizer.learning_rate": 0.3, "optimizer.initial_square": 0.1},
    },
    "cbow": {
        **{"model.segment": 128, "model.noise_every": 4, "train.batch_size": 2048, "train.steps_per_call": 128},
        **{"optimizer.learning_rate": 0.6, "optimizer.initial_square": 10.0},
    },
}


@python_errors()
def train_vectors(
    text: PathLike | Iterable[Any],
    workdir: PathLike | None = None,
    *,
    start: PathLike | None = None,
    progress: bool = True,
    changes: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Embeddings:
    """Trains word2vec on a text and returns its vectors: `train_vectors("text.txt", dim=100, passes=5)`.

    Args:
      text: a file, a folder or a glob (also a source such as `jsonl:FILE`, see `data.source`), or an iterable of
        sentences, read once: strings, which are cut by `data.tokens`, or lists of tokens, which are taken as they are.
      workdir: run folder to keep; what is there is continued. None: a temporary one, which is removed.
      start: run folder or file of vectors to start from (`train.start`); of a run folder the words stay in the
        vocabulary and their counts are added, unless `vocabulary_from` is given.
      progress: show a bar and lines about the text on standard error; without, warnings alone.
      changes: dotted keys of the config, as in `w2v_jax.configure`.
      settings: the same by their last name: `dim`, `window`, `architecture`, `min_count`, `passes`, `seed`, and so on.

    With `buckets`, `shortest` or `longest` the vectors are made of n-grams (family subword), and unseen words have one.
    The settings are those of configs/skipgram.py, or of configs/cbow.py with architecture="cbow"; no text is held out.

    Raises:
      UserError: no text, no word that is frequent enough, an unknown setting, a workdir that holds another run or may
        not be written to.
      Interrupted: a signal came; with a workdir the state is saved, and the same call continues. Else nothing is kept.
    """
    keys = keys_of(settings, changes, PARTS)
    if start is not None:
        _once("train.start", keys, "start", start)
        keys["train.start"] = str(
            to_path(given_path("start", start, "the path of a run folder, or of a file of vectors"))
        )
    with place(workdir, progress) as (folder, own):
        return _trained(text, folder, own | keys)


@contextlib.contextmanager
def place(workdir: PathLike | None, progress: bool) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(run folder, keys of the config that go with it): `workdir`, or a temporary one that is removed at the end.
    Without `progress` warnings alone are written to standard error. Interrupted of a temporary one says that nothing
    is kept.
    """
    with contextlib.ExitStack() as stack:
        if not progress:
            stack.enter_context(contextlib.redirect_stderr(WarningsOnly(sys.stderr)))
        if workdir is not None:
            folder = to_path(given_path("workdir", workdir))
            if folder.exists() and not folder.is_dir():
                raise UserError(f"workdir={folder}: is a file; name a folder")
            yield folder, {}
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="w2v_jax-")))
        try:
            yield folder / "run", {"data.cache_dir": str(folder / "cache"), "log.tensorboard": False}
        except Interrupted as e:
            raise Interrupted(e.step, e.number, kept=False) from None


def _trained(text: PathLike | Iterable[Any], folder: Path, keys: dict[str, Any]) -> Embeddings:
    recipe = RECIPES["cbow" if keys.get("model.architecture") == "cbow" else "skipgram"]
    family = PARTS if set(_OF_PARTS) & set(keys) else FAMILY
    base = override(Config(family, MODELS[family].config()), {"data.heldout_every": 0} | recipe, MODELS)
    override(base, keys, MODELS)  # a mistake among the keys shows before an iterable is read
    with given(text, folder) as source:
        config = override(base, source | keys, MODELS)
        if "data.vocabulary_from" not in keys and "data.tokens" not in keys:
            _check_cut(config, "data.tokens" in source)
        if config.train.start and "data.vocabulary_from" not in keys:
            config = override(config, {"data.vocabulary_from": _earlier_words(config)}, MODELS)
        loop.train(config, folder)
    return load_run(folder, folder / "vectors.bin")


def _check_cut(config: Config, lists: bool) -> None:
    """UserError: lists of tokens where the run to start from cut its text, or text where it had lists."""
    earlier = load_config(to_path(config.train.start) / CONFIG, MODELS) if config.train.start else None
    if earlier is None or lists == (earlier.data.tokens == "whitespace"):
        return
    said = f"start={config.train.start}: that run's text was cut by data.tokens={earlier.data.tokens}"
    if lists:
        raise UserError(f"{said}, and lists of tokens are taken as they are: give the sentences as strings")
    plain = "tokens='whitespace', lowercase=False, normalise='none'"
    if earlier.data.tokens == "whitespace":
        raise UserError(f"{said}, as lists of tokens are: give such lists, or {plain}")


def _earlier_words(config: Config) -> str:
    """`data.vocabulary_from` for a run that starts from another: as it was there if the text is the same, else that
    run; empty where it starts from a file."""
    folder = to_path(config.train.start)
    earlier = load_config(folder / CONFIG, MODELS)
    if earlier is None:
        return ""
    same = override(config, {"data.vocabulary_from": earlier.data.vocabulary_from}, MODELS)
    digest = MODELS[config.family].text(same.model, same.data, lambda line: None).digest
    known = (read_result(folder) or {}).get("corpus_digest")
    return earlier.data.vocabulary_from if digest == known else str(folder)


def source_of(path: str) -> str:
    """`data.source` of a path, unless it is one. UserError: nothing is there."""
    kind, colon, _ = path.partition(":")
    if path in ("pydocs", "synthetic") or (colon and kind in ("text", "jsonl", "tfds", "synthetic")):
        return path
    root = os.path.expanduser(path)
    if path and not in_bucket(path) and not glob.has_magic(path) and not _there(root):
        shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
        raise UserError(f"{shown!r}: no such file or folder; one string is a path, and texts are given in a list")
    return f"text:{path}"


def _there(path: str) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # a NUL in it
        return False


@contextlib.contextmanager
def given(text: PathLike | Iterable[Any], folder: Path) -> Iterator[dict[str, Any]]:
    """The keys of the config that read a text: a path as it is, sentences from a file of the run folder.

    Where no run begins, the file goes again, and a folder that was made for it. UserError: see `written`.
    """
    if isinstance(text, (str, os.PathLike)):
        yield {"data.source": source_of(os.fspath(text))}
        return
    file, made, begun = folder / SENTENCES, not folder.exists(), (folder / CONFIG).is_file()
    new, wrote = not file.exists(), False
    if begun and new:
        earlier = load_config(folder / CONFIG, MODELS)
        if earlier is None or earlier.data.source != _source(file):
            raise UserError(f"{folder}: holds a run of another text; give another workdir")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        own = written(text, file)
        wrote = new
        yield own
    except BaseException as e:
        if isinstance(e, UserError):  # data.document is of files
            e.args = (str(e).replace(LONGER, "give longer sentences"),)
        if begun or not (folder / CONFIG).is_file():  # no run began
            if wrote:
                file.unlink(missing_ok=True)
            if made:
                with contextlib.suppress(OSError):  # it holds something else
                    folder.rmdir()
        raise


def _source(file: Path) -> str:
    return f"text:{glob.escape(str(file))}"


def written(sentences: Iterable[Any], path: Path) -> dict[str, Any]:
    """Writes sentences to a file, one a line, and returns the keys of the config that read it.

    UserError: none, a mapping, something else than strings or lists of strings, both kinds, a token with white space,
    names of files alone; the file holds other sentences.
    """
    check_sentences(sentences)
    if isinstance(sentences, Mapping):
        raise UserError("the text is a mapping, whose keys are no text: give its .values(), or use train_documents")
    parts = of_caller(sentences)
    first = next(parts, parts)
    if first is parts:
        raise UserError("no sentence to train on: the iterable is empty (a generator can be read only once)")
    lines, digest, words = _lines if isinstance(first, str) else _joined, hashlib.sha256(), False
    names = lines is _lines
    with atomic(path) as f:
        for number, line in enumerate(lines(itertools.chain([first], parts)), 1):
            try:
                data = line.encode() + b"\n"
            except UnicodeEncodeError as e:
                raise UserError(
                    f"sentence {number}: {line[e.start]!r} is half a character; decode the text again"
                ) from None
            words = words or not line.isspace() and bool(line)
            names = names and _names_file(line)
            digest.update(data)
            f.write(data)
        if not words:
            raise UserError("no sentence has a word: all are empty")
        if names:
            what = "a list holds texts, and names of files are none"
            raise UserError(f"{first!r}: {what}: give one path or glob as a string, or the lines of the files")
        _same(path, digest.digest())
    keys = {"data.source": _source(path)}
    if lines is _lines:
        return keys
    return keys | {"data.tokens": "whitespace", "data.lowercase": False, "data.normalise": "none"}


def check_sentences(given: Any) -> None:
    """UserError: nothing that sentences or documents can be read from."""
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise UserError(f"the text is {_kind(given)}: give a path as a str, or an iterable of texts")


def _names_file(line: str) -> bool:
    """Whether what should be a text is the name of a file."""
    return len(line.split()) == 1 and (line.lower().endswith(_ENDINGS) or os.path.isfile(line))


def _same(path: Path, digest: bytes) -> None:
    """UserError: what is there is not what would be written, which must not be lost."""
    if path.is_file():
        with open_read(path) as f:
            if hashlib.file_digest(f, "sha256").digest() != digest:  # type: ignore[arg-type]
                what = "holds other sentences than the given ones, and stays"
                raise UserError(f"{path}: {what}; give another workdir, or remove the file")


def _kind(value: Any) -> str:
    return (
        "bytes" if isinstance(value, (bytes, bytearray)) else "None" if value is None else f"a {type(value).__name__}"
    )


def keys_of(settings: Mapping[str, Any], changes: Mapping[str, Any] | None, family: str) -> dict[str, Any]:
    """Dotted keys of settings by their last names, and of changes. UserError: one is given as both, or it names a text
    beside the given one."""
    for name, value in settings.items():
        _once(dotted(name, family), changes or {}, name, value)
    keys = {dotted(name, family): value for name, value in settings.items()} | dict(changes or {})
    if "data.source" in keys:
        what = "names a text, and so does the first argument, as 'text:FILE' would there"
        raise UserError(f"data.source={keys['data.source']!r}: {what}: leave one out")
    return {name: _plain(value) for name, value in keys.items()}


def _once(key: str, keys: Mapping[str, Any], name: str, value: Any) -> None:
    """UserError: a key that an argument says is said by others too."""
    if key in keys:
        raise UserError(f"{name}={value!r} and {key}={keys[key]!r} of changes are one setting: leave one out")


def _plain(value: Any) -> Any:
    """A setting as a config holds it: numpy's numbers and paths are taken, too."""
    return (
        value.item() if isinstance(value, np.generic) else os.fspath(value) if isinstance(value, os.PathLike) else value
    )


def _lines(sentences: Iterable[Any]) -> Iterator[str]:
    for number, sentence in enumerate(sentences, 1):
        if not isinstance(sentence, str):
            raise UserError(f"sentence {number}: is {_kind(sentence)}, the first is a string: give one kind")
        yield " ".join(sentence.replace("\0", " ").split())


def _joined(sentences: Iterable[Any]) -> Iterator[str]:
    for number, sentence in enumerate(sentences, 1):
        if is_tagged(sentence):
            raise UserError(f"sentence {number}: is {_kind(sentence)}: {TAGGED}")
        if isinstance(sentence, (str, bytes, bytearray)) or not isinstance(sentence, Iterable):
            more = ", and a path is given alone, not in a list" if isinstance(sentence, os.PathLike) else ""
            raise UserError(f"sentence {number}: is {_kind(sentence)}: must be a string or a list of tokens{more}")
        tokens = list(sentence)
        for token in tokens:
            if not isinstance(token, str) or token.split() != [token] or "\0" in token:
                bad = "is no string" if not isinstance(token, str) else "is empty or has white space: join it by _"
                raise UserError(f"sentence {number}: token {token!r} {bad}")
        yield " ".join(tokens)


def is_tagged(text: Any) -> bool:
    """Whether a text is one of gensim's TaggedDocument, a tuple of words and tags."""
    return hasattr(text, "words") and hasattr(text, "tags")


def dotted(name: str, family: str) -> str:
    """The key of a setting of a family that is named by its last part. UserError: none has this name."""
    parts = {"model": MODELS[family].config, "data": DataConfig, "train": TrainConfig, "optimizer": OptimizerConfig}
    known = {field.name: f"{part}.{field.name}" for part, one in parts.items() for field in dataclasses.fields(one)}
    if name not in known and name in NAMES:
        raise UserError(f"{name}: {NAMES[name]}; docs/python.md has gensim's names beside ours")
    if name not in known:
        raise UserError(f"{name}: no setting of this name{nearest(name, known)}; docs/keys.md lists them")
    return known[name]
