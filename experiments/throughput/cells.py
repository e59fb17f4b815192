"""The measurements of `experiments.throughput`: its options, models of equal parameters, and their speed."""

from __future__ import annotations

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import cli
from experiments.common.machine import accelerators, machine
from experiments.common.measuring import Call, clock, repeated, size_of
from w2v_jax.config import Config, OptimizerConfig, TrainConfig, check, check_choice
from w2v_jax.errors import UserError
from w2v_jax.family import Decode
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.running_text import PAD_VOCAB
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.nn.layers import pad_to
from w2v_jax.tables import duration
from w2v_jax.train.programs import placed
from w2v_jax.types import Array, Params

LSTM, AT_ONCE, ONE_BY_ONE = "LSTM", "transformer", "transformer, one token after another"
MULTIPLES = (64, 16, 8, 4, 2, 1)  # factors of the LSTM's width: round widths are fast
NEAR = 0.01  # largest relative difference in parameters for a round width


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a study, each with the help text of its flag."""

    lengths: tuple[int, ...] = cli.option((32, 128, 512, 2048), "Tokens of a text, rising.")
    layers: int = cli.option(4, "Layers of both models.")
    dim: int = cli.option(256, "Width of the transformer; the LSTM's follows.")
    heads: int = cli.option(4, "Heads of the transformer.")
    vocab: int = cli.option(8192, "Tokens of the vocabulary.")
    tokens: int = cli.option(4096, "Tokens of a training step, which has at least one text.")
    batch: int = cli.option(1, "Prompts read together.")
    seconds: float = cli.option(3.0, "Time for measuring each cell, beside compiling and warming up.")
    dtype: str = cli.option("float32", "Type of the transformer, float32 or bfloat16. The LSTM is float32.")

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.lengths, self.lengths[1:], strict=False))
        fits = rising and bool(self.lengths) and self.lengths[0] >= 2
        check(fits, "--lengths", ",".join(map(str, self.lengths)), "rising numbers of at least 2 such as 32,128,512")
        for key in ("layers", "dim", "heads", "tokens", "batch"):
            check(getattr(self, key) >= 1, f"--{key}", getattr(self, key), "at least 1")
        check(self.vocab >= 2, "--vocab", self.vocab, "at least 2")
        check(self.dim % (2 * self.heads) == 0, "--heads", self.heads, f"such that --dim={self.dim} makes even heads")
        check(0 < self.seconds <= 3600, "--seconds", self.seconds, "above 0 and at most 3600")
        check(self.batch <= 65536, "--batch", self.batch, "at most 65536")
        check_choice("--dtype", self.dtype, ("float32", "bfloat16"))

    def rows(self, length: int) -> int:
        """Texts of a training step."""
        return max(1, self.tokens // length)


def transformer_of(options: Options, length: int) -> TransformerConfig:
    """The transformer that sees `length` tokens; no parameter depends on the length."""
    layers, dim, heads = options.layers, options.dim, options.heads
    return TransformerConfig(layers=layers, dim=dim, heads=heads, length=length, dtype=options.dtype)


def lstm_of(layers: int, hidden: int, length: int) -> RecurrentLMConfig:
    """An LSTM whose head is its embedding."""
    return RecurrentLMConfig(cell="lstm", layers=layers, hidden=hidden, dim=hidden, tied=True, length=length)


def equal_width(wanted: int, layers: int, vocab: int) -> int:
    """The width H of the LSTM with about `wanted` parameters: the roundest one within NEAR of them, else the nearest.

    With V' rows in the table and a bias for each there are 8 L H^2 + (V' + 4 L) H + V' parameters.
    """
    rows = pad_to(vocab, PAD_VOCAB)
    linear = rows + 4 * layers
    exact = (math.sqrt(linear**2 + 32.0 * layers * max(0, wanted - rows)) - linear) / (16 * layers)
    for multiple in MULTIPLES:
        near = max(multiple, round(exact / multiple) * multiple)
        if abs(size_of("recurrent_lm", lstm_of(layers, near, 1), vocab) / wanted - 1.0) <= NEAR:
            break
    return near


def training(family: str, model: Any, options: Options, rows: int) -> Call:
    """One whole training step per call, from the state after the last call."""
    optimizer = OptimizerConfig(dense="adamw", learning_rate=1e-3, schedule="constant", weight_decay=0.01)
    return repeated(Config(family, model, train=TrainConfig(batch_size=rows), optimizer=optimizer), options.vocab)


def read_at_once(decode: Decode, cfg: Any, params: Params, tokens: Array) -> Array:
    """Logits float32 [B, V] of the token after the prompts int32 [B, T], which are read in one step. A transformer
    computes all positions of a layer together, a recurrent model one after another."""
    return decode.step(cfg, decode.weights(cfg, params), {}, decode.start(cfg, *tokens.shape), tokens)[0]


def read_one_by_one(decode: Decode, cfg: Any, params: Params, tokens: Array) -> Array:
    """The same logits; each token goes through all layers before the next, with the cache of those before it."""
    weights = decode.weights(cfg, params)

    def one(kept: Any, token: Array) -> tuple[Any, None]:
        # The logits are not used, so that the compiler drops their product.
        return decode.step(cfg, weights, {}, kept, token[:, None])[1], None

    kept, _ = jax.lax.scan(one, decode.start(cfg, *tokens.shape), tokens[:, :-1].T)
    return decode.step(cfg, weights, {}, kept, tokens[:, -1:])[0]


def reading(read: Callable[..., Array], family: str, model: Any, options: Options) -> Call:
    """One prompt per call. Its first token is the likeliest one after the last prompt, so that no two calls overlap."""
    spec = MODELS[family]
    cfg = placed(spec, spec.resolve(model, options.vocab), jax.devices()[0].platform)
    params = jax.jit(lambda: spec.trained.init(jax.random.key(0), cfg, {}))()
    text = np.random.default_rng(0).integers(0, options.vocab, (options.batch, cfg.length), np.int32)
    tokens, first = jnp.asarray(text), jnp.asarray(text[:, 0])

    def after(params: Any, tokens: Array, first: Array) -> Array:
        return jnp.argmax(read(spec.decode, cfg, params, tokens.at[:, 0].set(first)), axis=-1).astype(jnp.int32)

    compiled = jax.jit(after).lower(params, tokens, first).compile()

    def one() -> Any:
        nonlocal first
        first = compiled(params, tokens, first)
        return first

    return one


def measure(options: Options) -> dict[str, Any]:
    """Measures every cell: JSON values by name, {name: [cell by length]} of `cells` for 'training' and 'prompt'.
    UserError: the device's memory does not hold a model or a text."""
    transformer = size_of("transformer", transformer_of(options, 2), options.vocab)
    hidden = equal_width(transformer, options.layers, options.vocab)
    lstm = size_of("recurrent_lm", lstm_of(options.layers, hidden, 1), options.vocab)
    found: dict[str, Any] = {"parameters": {LSTM: lstm, AT_ONCE: transformer}, "lstm_hidden": hidden}
    found |= {"device": accelerators(), "machine": machine(), "training": {}, "prompt": {}}
    begin, done = time.monotonic(), 0
    for length in options.lengths:
        for work in ("training", "prompt"):
            now = cells(work, options, hidden, length)
            for name, cell in now.items():
                found[work].setdefault(name, []).append(cell)
            done += 1
            left = (time.monotonic() - begin) / done * (2 * len(options.lengths) - done)
            rates = ", ".join(f"{name} {cell['tokens_per_second']:,.0f}" for name, cell in now.items())
            print(f"{work} at {length:,}: {rates} tokens/s; {duration(left)} left", file=sys.stderr, flush=True)
    return found


def cells(work: str, options: Options, hidden: int, length: int) -> dict[str, dict[str, Any]]:
    """The cells of one kind of work at one length, by name: 'length', 'rows', 'tokens_per_second', and its 'rounds'."""
    lstm = ("recurrent_lm", lstm_of(options.layers, hidden, length))
    transformer = ("transformer", transformer_of(options, length))
    rows = options.rows(length) if work == "training" else options.batch
    try:
        if work == "training":
            calls = {LSTM: training(*lstm, options, rows), AT_ONCE: training(*transformer, options, rows)}
        else:
            calls = {
                LSTM: reading(read_at_once, *lstm, options),
                ONE_BY_ONE: reading(read_one_by_one, *transformer, options),
                AT_ONCE: reading(read_at_once, *transformer, options),
            }
        times = clock(list(calls.values()), options.seconds)
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e):
            raise
        what = "--tokens or --lengths" if work == "training" else "--batch or --lengths"
        raise UserError(f"--lengths: {work} at {length:,} does not fit the device's memory; give smaller {what}") from e
    found = {}
    for name, seconds in zip(calls, times, strict=True):
        rounds = [rows * length / s for s in seconds]
        rate = rows * length / statistics.median(seconds)
        found[name] = {"length": length, "rows": rows, "tokens_per_second": rate, "rounds": rounds}
    return found
