"""Three words in two dimensions, trained pair by pair with the project's own step; every update is kept.

*cat* and *dog* occur with *pet*, *animal* and *cute*, *microscope* with words of its own. A step sees one pair (word,
context), so it moves one word and never looks at another: only their shared contexts draw *cat* and *dog* together.

    loss = -log softmax(E[word] C^T)[context],    E[word] <- E[word] - rate dloss/dE[word],    C alike

or the loss of negative sampling (Mikolov et al. 2013b, arXiv 1310.4546). `w2v_jax.figures.nudges` draws the record.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig, check
from w2v_jax.errors import UserError
from w2v_jax.files import PathLike, atomic
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import Programs, programs, stand_in
from w2v_jax.types import Words

WORDS = ("cat", "dog", "microscope")
CONTEXTS = {
    "cat": ("pet", "animal", "cute"),
    "dog": ("pet", "animal", "cute"),
    "microscope": ("lens", "laboratory", "glass"),
}
SHARED, MEOW, BARK = ("pet", "animal", "cute", "furry"), ("meow", "purr"), ("bark", "growl")
LENS = ("lens", "laboratory", "glass", "slide")
# Contexts of cat and dog, by how many of the four each has to itself.
TWINS = {own: (SHARED[own:] + MEOW[:own], SHARED[own:] + BARK[:own]) for own in (0, 1, 2)}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of one run. The rate is constant, and large because a step holds a single pair."""

    updates: int = 360
    learning_rate: float = 0.25
    loss: str = "softmax"  # softmax | negative
    negatives: int = 3  # noise words per pair
    seed: int = 0

    def __post_init__(self) -> None:
        check(1 <= self.updates <= 10**6, "--updates", self.updates, "from 1 to 1000000")
        check(0 <= self.seed < 2**31 - 1, "--seed", self.seed, "from 0 to 2**31 - 2")


class Track(NamedTuple):
    """One run of T updates with V words in all."""

    vocab: tuple[str, ...]  # the three words, then the contexts
    pairs: np.ndarray  # int32 [T, 2] word and context of each update
    positions: np.ndarray  # float32 [T + 1, 3, 2] E of the three words, before the first update and after each
    loss: np.ndarray  # float32 [T] nats, of the update's own pair, before the update
    columns: np.ndarray  # float32 [V, 2] C at the end


def draw_pairs(contexts: Mapping[str, Sequence[str]], vocab: Sequence[str], updates: int, seed: int) -> np.ndarray:
    """Every (word, context) pair once per pass, each pass in its own order; int32 [updates, 2]."""
    index = {word: i for i, word in enumerate(vocab)}
    pairs = np.array([(index[w], index[c]) for w, near in contexts.items() for c in near], np.int32)
    rng = np.random.default_rng(seed)
    passes = -(-updates // len(pairs))
    return np.concatenate([rng.permutation(pairs) for _ in range(passes)])[:updates]


def train(contexts: Mapping[str, Sequence[str]], options: Options, vocab: Sequence[str] = ()) -> Track:
    """Trains on single pairs of the three words and their contexts, and keeps E of the words after every update.

    `vocab` is the words of `contexts` by default; words that never occur are outputs too. UserError: a bad option.
    """
    names = tuple(vocab) or tuple(dict.fromkeys([*WORDS, *(c for near in contexts.values() for c in near)]))
    pairs = draw_pairs(contexts, names, options.updates, options.seed)
    noise: dict[str, Any] = {"negatives": options.negatives, "shared_negatives": options.negatives}
    model = Word2VecConfig(loss=options.loss, dim=2, window=1, window_draw="full", segment=1, sample=0.0, **noise)
    config = Config(
        family="word2vec",
        model=model,
        train=TrainConfig(seed=options.seed, batch_size=1, steps_per_call=1),
        optimizer=OptimizerConfig(rows="sgd", dense="sgd", learning_rate=options.learning_rate, schedule="constant"),
        mesh=MeshConfig(data=1),
    )
    made, start, call = compiled(config, len(names))
    counts = np.bincount(pairs.reshape(-1), minlength=len(names))
    consts = jax.tree.map(jnp.asarray, made.spec.consts(made.cfg, Words(names, counts)))
    state, batches, positions, losses = start(consts), as_batches(pairs), [], []
    one, steps = jnp.int32(1), jnp.int32(options.updates)
    for i in range(options.updates):
        positions.append(state.params["E"][: len(WORDS)])  # a copy: the state is donated
        batch = {name: jnp.asarray(values[i : i + 1]) for name, values in batches.items()}
        state, metrics, _ = call(state, consts, batch, one, jnp.zeros(1, jnp.int32), Horizon(steps, steps))
        losses.append(metrics["loss"][0])
    positions.append(state.params["E"][: len(WORDS)])
    if not np.isfinite([*np.stack(positions).reshape(-1), *losses]).all():
        raise UserError(f"--learning_rate={options.learning_rate:g}: the vectors leave all bounds; give a smaller one")
    columns = np.asarray(state.params["C"][: len(names)])
    return Track(names, pairs, np.stack(positions), np.stack(losses), columns)


@functools.cache
def compiled(config: Config, vocab_size: int) -> tuple[Programs, Any, Any]:
    """(the programs of a run, its start and its training step compiled)."""
    made = programs(config, stand_in(config, vocab_size), jax.devices()[:1])
    return made, made.start().compile(), made.train(Horizon(1, 1)).compile()


def as_batches(pairs: np.ndarray) -> dict[str, np.ndarray]:
    """Steps of one pair each, of [T, 2], in the layout of the window source: no left context, the word, its context."""
    steps = len(pairs)
    tokens = np.stack([pairs[:, 0], pairs[:, 0], pairs[:, 1]], axis=1)[:, None]
    doc = np.tile(np.array([-1, 0, 0], np.int32), (steps, 1, 1))
    reach, words = np.ones((steps, 1, 1), np.int32), np.ones((steps, 1), np.int32)
    return {"tokens": tokens, "doc": doc, "reach": reach, "words": words}


def write(path: PathLike, options: Options, note: Callable[[str], None] = lambda line: None) -> None:
    """Trains the main run and the twins, with twice its updates, and writes an .npz for `w2v_jax.figures.nudges.read`.

    `note` takes lines for people. UserError: a bad option. OSError: the file cannot be written.
    """
    note(f"training {', '.join(WORDS)}: {options.updates:,} updates of one pair each")
    main = train(CONTEXTS, options)
    longer = dataclasses.replace(options, updates=2 * options.updates)
    # One vocabulary, so that the three differ in their contexts alone.
    vocab = tuple(dict.fromkeys([*WORDS, *SHARED, *MEOW, *BARK, *LENS]))
    twins = []
    for own, (cat, dog) in TWINS.items():
        note(f"training twins with {own} of {len(cat)} contexts of their own: {longer.updates:,} updates")
        twins.append(train({"cat": cat, "dog": dog, "microscope": LENS}, longer, vocab).positions[:, :2])
    about = {**dataclasses.asdict(options), "contexts": CONTEXTS, "twins": {str(k): v for k, v in TWINS.items()}}
    arrays: dict[str, Any] = {**main._asdict(), "words": WORDS, "about": json.dumps(about)}
    arrays |= {"twins_own": np.array(list(TWINS), np.int32), "twins": np.stack(twins)}
    with atomic(path) as f:
        np.savez_compressed(f, **arrays)
