"""Features of texts by the methods of `experiments.classify`: weights of words, topics, means of vectors, states."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse as sp

from experiments.classify.texts import Bags, Texts, bags, bags_of, tokens_of
from w2v_jax.config import Config, DataConfig
from w2v_jax.data import documents, weighting
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.in_memory import words_told
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError
from w2v_jax.evaluation.linear import Rows
from w2v_jax.models import MODELS
from w2v_jax.nn.layers import pad_to
from w2v_jax.states import encode_of
from w2v_jax.storage import to_path
from w2v_jax.train import fitting
from w2v_jax.train.inference import infer
from w2v_jax.train.restore import Model, check_forward
from w2v_jax.types import Say, Words

COUNTED = ("counts", "shares", "tfidf", "bm25")
WIDTH = 64  # texts are padded to a multiple of this number of tokens
ROWS, NUMBERS = 256, 1 << 24  # texts of a batch, and numbers of its states and attention, at most


class Features(NamedTuple):
    """What one method says about the texts."""

    method: str
    train: Rows  # [N, F]
    test: Rows  # [M, F]
    seconds: float
    note: str = ""  # one line, for the reader of the results


def counted(method: str, found: Bags) -> Features:
    """Weights of words by `w2v_jax.data.weighting`, sparse [N, V]. Statistics are those of the training texts."""
    start = time.perf_counter()
    train, test = found.counts, found.test_counts
    seen = weighting.collection([train], train.shape[1])
    weights = weighting.inverse_frequency(seen)
    make: dict[str, Callable[[sp.csr_matrix], sp.csr_matrix]] = {
        "counts": lambda rows: rows.astype(np.float32),
        "shares": weighting.shares,
        "tfidf": lambda rows: weighting.tfidf(rows, weights),
        "bm25": lambda rows: weighting.bm25(rows, seen),
    }
    made = make[method]
    return Features(method, made(train), made(test), time.perf_counter() - start)


def check_sizes(flag: str, config: Config, found: Bags) -> None:
    """UserError: the texts hold fewer words or documents than LSA has dimensions, or LDA topics. `flag` has the config.
    The fits refuse it too, but only after the methods before them."""
    key = "topics" if config.family == "lda" else "dim"
    size = getattr(config.model, key)
    known = int((np.diff(found.train.offsets) > 0).sum())
    limits = [(known, "training texts with a known word")]
    if config.family == "lsa":
        limits = [(len(found.vocab), "words of the vocabulary"), (found.train.documents, "training texts")]
    most, what = min(limits)
    if size > most:
        raise UserError(
            f"{config.family}: model.{key}={size:,} is more than the {most:,} {what}; "
            f"give --{flag}.model.{key}={min(50, most)}, or leave {config.family} out of --methods"
        )


def fitted(config: Config, found: Bags, say: Say) -> Features:
    """Documents by a family that is fitted to the training texts, as `Family.represent` says, [N, D]."""
    spec, start = MODELS[config.family], time.perf_counter()
    if spec.fit is None or spec.represent is None:
        raise UserError(f"family={config.family!r}: gives documents no vectors; choose another config")
    task = fitting.begin(spec, config, found, jax.local_devices())
    consts = spec.consts(task.cfg, Words(found.vocab.words, found.vocab.counts))
    state = task.part.start(task.cfg, task.work, config.train.seed)
    for step, now, metrics, _ in fitting.steps(task, state, 0, task.last):
        state = now
        if metrics:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            done = f"sweep {step / task.per_sweep:g} of {task.part.sweeps(task.cfg)}"
            say(f"{config.family}: {done}, {shown}, {time.perf_counter() - start:.0f} s")
    params = task.part.params(task.cfg, state)
    train, test = (spec.represent(task.cfg, params, consts, x) for x in (found.counts, found.test_counts))
    return Features(config.family, train, test, time.perf_counter() - start)


def means(name: str, emb: Embeddings, cfg: DataConfig, texts: Texts) -> Features:
    """The mean vector of the words of each text that have one, zeros where none has, [N, D]."""
    start = time.perf_counter()
    found = bags(cfg, texts, emb.words)
    if not found.counts.nnz:
        raise UserError(f"{name}: has a vector for none of the words of the training texts; name other vectors")
    train, test = (documents.means(rows, emb.vectors) for rows in (found.counts, found.test_counts))
    return Features(f"mean of {name}", train, test, time.perf_counter() - start, covered(found))


def covered(found: Bags) -> str:
    """How many words are known and how many are not, and how many texts hold no known word."""
    said = _words((found.train, found.test), found.outside, found.tokenizer)
    return "; ".join(x for x in (said, wordless(found)) if x)


def wordless(found: Bags) -> str:
    """How many texts hold no known word."""
    none = [int((np.diff(rows.indptr) == 0).sum()) for rows in (found.counts, found.test_counts)]
    return f"{none[0]:,} training and {none[1]:,} test texts without a known word" if any(none) else ""


def _words(known: Sequence[Tokens], outside: int, tokenizer: Tokenizer) -> str:
    return words_told(sum(len(part.tokens) for part in known), outside, tokenizer.unknown)


def of_run(name: str, model: Model, texts: Texts, most: int) -> Iterator[Features]:
    """What a trained run says: documents by `Family.represent`, or inferred as new ones by `Family.documents`, or the
    mean and the last of the states after its last layer. UserError: its family has none of these."""
    start = time.perf_counter()
    if model.spec.represent is not None:
        found = bags_of(model.tokenizer, texts)
        counts = (found.counts, found.test_counts)
        rows = [model.spec.represent(model.cfg, model.params, model.consts, x) for x in counts]
        yield Features(name, rows[0], rows[1], time.perf_counter() - start, covered(found))
        return
    if model.spec.documents is not None:
        known, outside = tokens_of(model.tokenizer, texts)
        rows = [infer(model, [part.tokens[a:b] for a, b in itertools.pairwise(part.offsets)]) for part in known]
        yield Features(name, rows[0], rows[1], time.perf_counter() - start, _words(known, outside, model.tokenizer))
        return
    check_forward(model, name)
    # A language model begins a text after an end token: in training each text followed that of another.
    first = None if encode_of(model).logits is None else model.tokenizer.end_id
    known, outside = tokens_of(model.tokenizer, texts)
    if not len(known[0].tokens):
        raise UserError(f"{name}: knows none of the words of the training texts; choose another run")
    if model.spec.decode is not None:
        most = min(most, (model.spec.decode.context(model.cfg) or most + 1) - (first is not None))
    cut = sum(int((np.diff(part.offsets) > most).sum()) for part in known)
    note = _words(known, outside, model.tokenizer) + (f"; {cut:,} texts are cut after {most:,} tokens" if cut else "")
    (mean, last), (test_mean, test_last) = (states(model, part, most, first) for part in known)
    seconds = time.perf_counter() - start
    yield Features(f"{name}, mean state", mean, test_mean, seconds, note)
    yield Features(f"{name}, last state", last, test_last, seconds, note)


def states(model: Model, part: Tokens, most: int, first: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(mean over the tokens, last one) of the states after the last layer, float32 [N, D] each, from the first `most`
    tokens of each text; zeros for a text without any. The token `first` is read before each, and is not in the mean."""
    sizes, lead = np.minimum(np.diff(part.offsets), most).astype(np.int32), int(first is not None)
    one = jax.eval_shape(
        model.applied.states, model.params, model.consts, np.zeros((1, WIDTH), np.int32), np.ones(1, np.int32)
    )
    dim, width = one[-1].shape[-1], sum(x.shape[-1] for x in one)
    mean, last = np.zeros((len(sizes), dim), np.float32), np.zeros((len(sizes), dim), np.float32)
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    while len(order):
        # The longest of the texts that are left, with a number of rows that depends on the padded length alone.
        length = pad_to(int(sizes[order[-1]]) + lead, WIDTH)
        rows = max(1, min(ROWS, len(sizes), NUMBERS // (length * (width + length))))
        order, batch = order[:-rows], order[-rows:]
        tokens, lengths = np.zeros((rows, length), np.int32), np.ones(rows, np.int32)
        lengths[: len(batch)] = sizes[batch] + lead
        tokens[:, :lead] = first or 0
        for row, text in enumerate(batch):
            begin = part.offsets[text]
            tokens[row, lead : lead + sizes[text]] = part.tokens[begin : begin + sizes[text]]
        found = np.asarray(model.applied.states(model.params, model.consts, tokens, lengths)[-1])
        top, count = found[: len(batch), lead:], sizes[batch]
        there = np.arange(length - lead)[None] < count[:, None]
        mean[batch] = np.where(there[..., None], top, 0.0).sum(1) / count[:, None]
        last[batch] = top[np.arange(len(batch)), count - 1]
    return mean, last


def name_of(path: str) -> tuple[str, str]:
    """(name, path) of NAME=PATH; without a name it is the last part of the path, with its folder for vectors.bin.
    UserError: there is no path."""
    if not path:
        raise UserError("--vectors or --run is empty: give a file of word vectors, or the folder of a run")
    name, equals, rest = path.partition("=")
    if equals and name and rest:
        return name, rest
    file = to_path(path)
    return (file.parent.name if file.name == "vectors.bin" else file.name) or path, path
