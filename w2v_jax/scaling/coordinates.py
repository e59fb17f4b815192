"""The coordinate check: how far a few steps move the states of a model, by its width and depth.

Under a scale rule that transfers rates (`w2v_jax.nn.transfer`) the states and logits move equally far at every size;
under the standard parametrisation some of them move farther the wider the model is, until training diverges (Yang et
al. 2022, arXiv 2203.03466, appendix D.1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import Config
from w2v_jax.models import MODELS
from w2v_jax.train import optimizers
from w2v_jax.types import Words

STEPS = 4
WORDS = 64  # vocabulary of the random text
ROWS = 8


class Moved(NamedTuple):
    """Root mean squares over batch, places and units."""

    states: np.ndarray  # float [layers + 1], of the change of the embeddings and of the states after every layer
    logits: float  # of the change of the logits
    start: np.ndarray  # float [layers + 1], of the states at the start


def moved(config: Config, steps: int = STEPS, seed: int = 0) -> Moved:
    """Trains a causal language model for a few steps at the full rate on one random batch, and measures.

    The batch has the length of the model, `ROWS` rows and `WORDS` words; the optimiser and the rate are the config's.

    Raises TypeError: a family without states, or fitted.
    """
    spec = MODELS[config.family]
    encode = spec.encode
    if encode is None or encode.logits is None:
        raise TypeError(f"family {config.family} has no states and logits")
    states_of, logits_of = encode.states, encode.logits
    words = Words(counts=np.ones(WORDS, np.int64), words=tuple(map(str, range(WORDS))))
    cfg = spec.resolve(config.model, WORDS)
    consts = spec.consts(cfg, words)
    batch = _batch(spec, cfg, seed)
    params = jax.jit(lambda key: spec.trained.init(key, cfg, consts))(jax.random.key(seed))
    carry = spec.trained.carry(cfg, ROWS)
    tokens, lengths = batch["tokens"], jnp.full(ROWS, batch["tokens"].shape[1])
    optimizer = optimizers.dense(config.optimizer, spec.axes(cfg), spec.rates(cfg))

    @jax.jit
    def measured(params: Any) -> tuple[list[Any], Any]:
        states = states_of(cfg, params, consts, tokens, lengths)
        return states, logits_of(cfg, params, states[-1])

    @jax.jit
    def step(params: Any, kept: Any) -> tuple[Any, Any]:
        def loss(params: Any) -> Any:
            return spec.trained.loss(cfg, params, consts, carry, batch, None)[0]

        update, kept = optimizer.update(jax.grad(loss)(params), kept, params)
        rate = config.optimizer.learning_rate
        return jax.tree.map(lambda p, u: p - rate * u, params, update), kept

    before, logits = measured(params)
    kept = optimizer.init(params)
    for _ in range(steps):
        params, kept = step(params, kept)
    after, logits_after = measured(params)
    states = np.array([_rms(b - a) for a, b in zip(before, after, strict=True)])
    return Moved(states, _rms(logits_after - logits), np.array([_rms(a) for a in before]))


def _batch(spec: Any, cfg: Any, seed: int) -> dict[str, Any]:
    """A random text in the shape of the family's batches."""
    shapes = spec.trained.shapes(cfg, ROWS)
    rng = np.random.default_rng(seed)
    length = shapes["tokens"].shape[1]
    text = rng.integers(0, WORDS, (ROWS, length + 1))
    batch = {name: jnp.zeros(shape.shape, shape.dtype) for name, shape in shapes.items()}
    batch["tokens"], batch["targets"] = jnp.asarray(text[:, :-1], jnp.int32), jnp.asarray(text[:, 1:], jnp.int32)
    return batch | {"row": jnp.arange(ROWS), "global_rows": jnp.float32(ROWS)}


def _rms(x: Any) -> float:
    return float(jnp.sqrt(jnp.mean(jnp.square(x.astype(jnp.float32)))))
