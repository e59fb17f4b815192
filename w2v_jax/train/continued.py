"""Runs that start from an earlier one, or from word vectors on file (`train.start`).

The same text and the same settings, of which `train.passes` and `train.max_steps` may differ: the new run goes on at
the step of the earlier one, with its optimiser's state, and ends bit for bit as one run of that length. (Under a
schedule that falls with the length, the rate of the earlier steps is that of the earlier run.)

Anything else, such as new text: a new run whose tables begin with the rows of the words that both know, and with the
sums of squares of these rows; a word that is new begins as in any run. `Family.grow` says which row is which.

A file of word vectors: the rows of its words in the model's main table. Where the family makes vectors of parts, they
are set so that the words have the given vectors (`Family.given`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax import formats
from w2v_jax.config import Config
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.formats import Subwords
from w2v_jax.models import MODELS
from w2v_jax.recorded import differences, freeze, load, to_dict
from w2v_jax.storage import to_path
from w2v_jax.train.checkpoint import Checkpointer, Found
from w2v_jax.train.device import fetch
from w2v_jax.train.folder import CHECKPOINTS, CONFIG, RESULT
from w2v_jax.train.prepare import Run
from w2v_jax.train.programs import programs
from w2v_jax.train.step import TrainState
from w2v_jax.types import Say, Words

KEY = "train.start"
_LENGTHS = (KEY, "train.passes", "train.max_steps", "train.stop_at")  # keys that one long run may differ in
_SUMS = ("optimizer.rows", "optimizer.initial_square")  # the sums of squares go on where these are the same
_TOLD = ("model.architecture", "model.loss", *_SUMS)  # a difference in these is no mistake, but may be one


VECTORS = "vectors.bin"  # of a run folder


class Begun(NamedTuple):
    """What a run continued from; result.json and every checkpoint keep it as `continued_from`."""

    path: str
    step: int | None = None  # of the earlier run; None of a file
    corpus: str | None = None  # digest of its text
    words: int = 0  # of this run's vocabulary whose rows were taken over
    new_words: int = 0


def check(config: Config, workdir: Path) -> None:
    """UserError: `train.start` names nothing to start from. Looked at before the text is read."""
    path = to_path(config.train.start)
    if not path.exists():
        raise UserError(f"{KEY}={config.train.start}: no such file or folder; name a run folder or a file of vectors")
    if MODELS[config.family].train is None:
        raise UserError(f"{KEY}={config.train.start}: family={config.family} is fitted, not trained; leave it empty")
    if not (path / CONFIG).is_file():
        return
    if path.resolve() == workdir.resolve():
        raise UserError(
            f"{KEY}={config.train.start}: is the run's own --workdir, which continues by itself; leave it out"
        )
    earlier = _config(path)
    if earlier.family != config.family:
        raise UserError(f"{KEY}={config.train.start}: is a run of family={earlier.family}, this is {config.family}")
    if not (path / CHECKPOINTS).is_dir() or not (path / RESULT).is_file():
        raise UserError(f"{KEY}={config.train.start}: holds no finished run; its own command continues it")


def _config(path: Path) -> Config:
    found = load(path / CONFIG, MODELS)
    assert found is not None
    return found


def whole(run: Run, fixed: Mapping[str, Any], say: Say) -> tuple[Found, Begun] | None:
    """The whole last state of the earlier run, where this one is a longer run of the same; else None.

    UserError: the earlier run has made as many steps already.
    """
    path = to_path(run.config.train.start)
    if not (path / CONFIG).is_file():
        return None
    with Checkpointer(path / CHECKPOINTS, read_only=True, warn=say) as checkpoints:
        meta = checkpoints.latest_meta()
        if meta is None or any(meta.get(key) != value for key, value in fixed.items()):
            return None
        earlier = to_dict(freeze(meta["config"], MODELS))
        keys = [key for key in differences(earlier, to_dict(run.config)) if not key.startswith("data.")]
        if set(keys) - set(_LENGTHS):
            return None
        found = checkpoints.restore(run.programs.state)
    if found is None:
        raise UserError(f"{path / CHECKPOINTS}: no checkpoint; the run's own command continues it")
    if found[0] >= run.stop_step:
        more = f"this one ends at step {run.stop_step:,}; raise train.passes or train.max_steps"
        raise UserError(f"{KEY}={run.config.train.start}: has made {found[0]:,} steps, {more}")
    say(f"continuing {path} at step {found[0]:,} of {run.stop_step:,}")
    return found, Begun(str(path), found[0], fixed["corpus"], len(run.corpus.vocab.words))


def grown(run: Run, fresh: TrainState, say: Say) -> tuple[TrainState, Begun]:
    """A fresh state with the rows that the earlier run or the file has. UserError: its sizes do not fit."""
    path = to_path(run.config.train.start)
    return _from_run(run, fresh, path, say) if (path / CONFIG).is_file() else _from_file(run, fresh, path, say)


def _from_run(run: Run, fresh: TrainState, path: Path, say: Say) -> tuple[TrainState, Begun]:
    spec, earlier, tokenizer = run.programs.spec, _config(path), Tokenizer.load(path)
    if spec.grow is None:
        raise UserError(
            f"{KEY}={path}: family={run.config.family} goes on with the same text, vocabulary and settings only, and "
            "these differ"
        )
    before = Words(tokenizer.vocab.words, tokenizer.vocab.counts)
    after = Words(run.corpus.vocab.words, run.corpus.vocab.counts)
    own = Config(earlier.family, earlier.model, train=earlier.train, optimizer=earlier.optimizer, mesh=run.config.mesh)
    made = programs(own, before)
    taken = spec.grow(made.cfg, before, run.programs.cfg, after)
    with Checkpointer(path / CHECKPOINTS, read_only=True, warn=say) as checkpoints:
        found = checkpoints.restore(made.state)
    if found is None:
        raise UserError(f"{path / CHECKPOINTS}: no checkpoint; the run's own command continues it")
    step, old, meta = found
    state = fresh
    other = _others(earlier, run.config)
    for name, rows in taken.items():
        table = _filled(run, state.params[name], fetch(made.mesh, old.params[name]), rows)
        state = state.replace(params={**state.params, name: table})  # type: ignore[attr-defined]  # flax adds it
        if not set(_SUMS) & set(other) and name in state.row_state and name in old.row_state:
            sums = {
                key: _filled(run, leaf, fetch(made.mesh, old.row_state[name][key]), rows)
                for key, leaf in state.row_state[name].items()
            }
            state = state.replace(row_state={**state.row_state, name: sums})  # type: ignore[attr-defined]
    known = set(before.words or ())
    kept = sum(word in known for word in after.words or ())
    begun = Begun(str(path), step, meta.get("corpus"), kept, len(run.corpus.vocab.words) - kept)
    say(f"starting from {path} at its step {step:,}: {kept:,} words go on, {begun.new_words:,} are new")
    if other:
        anew = "; the sums of squares begin anew" if set(_SUMS) & set(other) else ""
        values = ", ".join(f"{key}={one[0]} there and {one[1]} here" for key, one in other.items())
        say(f"warning: {path} was trained otherwise: {values}; its vectors go on{anew}")
    return state, begun


def _others(earlier: Config, config: Config) -> dict[str, tuple[Any, Any]]:
    """The keys of `_TOLD` that differ, with both values."""
    had, has = (
        {key: getattr(getattr(one, part), name, None) for key in _TOLD for part, name in [key.split(".")]}
        for one in (earlier, config)
    )
    return {key: (had[key], has[key]) for key in _TOLD if had[key] != has[key]}


def _from_file(run: Run, fresh: TrainState, path: Path, say: Say) -> tuple[TrainState, Begun]:
    name = _main_table(run, fresh)
    table, words = fresh.params[name], run.corpus.tokenizer.names()
    given = formats.read(path, 0, None, "strict", False, None)
    if given.vectors.shape[1] != table.shape[1]:
        raise UserError(f"{KEY}={path}: has {given.vectors.shape[1]} dimensions, model.dim={table.shape[1]}")
    parts = given.subwords
    if parts is None and path.name == VECTORS:  # of a run, which has its n-grams beside
        parts = formats.read_ngrams(path.parent, given.vectors.shape[1])
    index = {word: i for i, word in enumerate(given.words)}
    rows = np.full(table.shape[0], -1, np.int64)
    rows[: len(words)] = [index.get(word, -1) for word in words]
    kept = int((rows >= 0).sum())
    if not kept:
        raise UserError(f"{KEY}={path}: holds none of the {len(words):,} words of the vocabulary")
    say(f"starting from {path}: {kept:,} of {len(words):,} words have a vector there")
    params = {**fresh.params, name: _filled(run, table, given.vectors, rows)}
    if run.programs.spec.given is not None:
        params |= _made(run, params, rows >= 0, parts, say)
    return fresh.replace(params=params), Begun(str(path), words=kept, new_words=len(words) - kept)  # type: ignore[attr-defined]


def _made(run: Run, params: Any, known: np.ndarray, parts: Subwords | None, say: Say) -> dict[str, jax.Array]:
    """The tables of a family that makes its vectors of parts: `known` are the rows of the main table with a vector."""
    spec, cfg = run.programs.spec, run.programs.cfg
    assert spec.given is not None and spec.subwords is not None
    host = {name: fetch(run.mesh, leaf) for name, leaf in params.items()}
    own = spec.subwords(cfg, host)
    same = parts is not None and _hashing(parts) == _hashing(own)
    if parts is not None and not same:
        had, has = (f"{n:,} of {a} to {b} characters" for n, a, b in (_hashing(parts), _hashing(own)))
        say(f"warning: its n-grams begin anew: the file has {had}, this run {has}")
    elif parts is not None:
        say("its n-grams go on")
    made = spec.given(cfg, host, run.programs.consts, known, parts if same else None)
    return {name: _placed(leaf, params[name]) for name, leaf in made.items()}


def _hashing(parts: Subwords) -> tuple[int, int, int]:
    """What decides which row an n-gram has: buckets, and the shortest and the longest n-gram."""
    return len(parts.buckets), parts.shortest, parts.longest


def _main_table(run: Run, fresh: TrainState) -> str:
    """The name of the parameter whose first rows are the family's first matrix of word vectors. UserError: there is
    none, or the matrix is made of other rows."""
    embed, names = run.programs.spec.embed, list[str]()

    def plain(params: Any) -> Any:
        found = {} if embed is None else embed(run.programs.cfg, params)
        names.extend(found)  # jit would return the dict sorted
        name = next(iter(found), "")
        return jnp.array_equal(found[name], params[name][: len(found[name])]) if name in params else jnp.bool_(False)

    if not jax.jit(plain)(fresh.params):
        given, need = run.config.train.start, f"family={run.config.family} has no table of word vectors"
        raise UserError(f"{KEY}={given}: {need}; give a run folder, or use model.vectors where the family has it")
    return names[0]


def _filled(run: Run, fresh: jax.Array, old: np.ndarray, rows: np.ndarray) -> jax.Array:
    """`fresh` with row i of it replaced by row rows[i] of `old` where that is 0 or more; sharded as `fresh`."""
    out = np.array(fetch(run.mesh, fresh))
    out[rows >= 0] = old[rows[rows >= 0]]
    return _placed(out, fresh)


def _placed(value: np.ndarray, like: jax.Array) -> jax.Array:
    """An array sharded as another."""
    return jax.make_array_from_callback(value.shape, like.sharding, lambda place: value[place])


def begun_of(meta: Mapping[str, Any]) -> Begun | None:
    """What the checkpoint of a run says it continued from."""
    entry = meta.get("continued_from")
    return Begun(**entry) if entry else None
