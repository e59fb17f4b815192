"""The least memory that a training needs, from its config alone, before a text is read or a program is made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from w2v_jax import memory
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.train.gradients import with_row
from w2v_jax.train.programs import placed, platform_of
from w2v_jax.types import Words

LEAST_VOCABULARY = 2  # of a text that has not been read
_LEAST_BYTES = 2  # of a number that a step computes: bfloat16
_MOMENTS = {"sgd": 0, "adagrad": 1, "adamw": 2}  # numbers kept for each dense parameter


def check_memory(spec: Family, config: Config, mesh: Mesh, words: Words | None = None) -> None:
    """UserError, which names the option to lower, where the run needs more memory than its devices have together.

    The estimate is low, so that no run is refused that could have fitted: parameters, gradients and moments of dense
    arrays; the batches of one call; the rows that one step gathers, or one vector for each of its tokens; the pairs of
    tokens in one layer of attention. `words` is the vocabulary, None before the text is read.
    """
    platform, most = platform_of(mesh), _available(mesh)
    parts = _parts(spec, config, words, platform)
    if sum(parts.values()) > most:
        where = "this machine" if platform == "cpu" else "its devices together"
        memory.require(_key(spec, config, words, platform), parts, most, where)


def _available(mesh: Mesh) -> int:
    first = mesh.devices.flat[0]
    processes = len({device.process_index for device in mesh.devices.flat})
    limit = None if first.platform == "cpu" else (first.memory_stats() or {}).get("bytes_limit")
    return memory.of_machine() * processes if limit is None else int(limit) * mesh.size


def _parts(spec: Family, config: Config, words: Words | None, platform: str) -> dict[str, int]:
    least = max(LEAST_VOCABULARY, config.model.vocab_size)
    leaves = jax.tree.leaves(dict(spec.arrays(spec.resolve(config.model, len(words.counts) if words else least))))
    times = 2 + _MOMENTS[config.optimizer.dense]  # the gradient too; tables may be updated by rows, without either
    sizes = [math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in leaves]
    parameters = sum(size * (1 if "vocab" in leaf.axes else times) for size, leaf in zip(sizes, leaves, strict=True))
    cfg = spec.resolve(config.model, least)  # the batches do not depend on the vocabulary
    shapes = dict(spec.trained.shapes(cfg, config.train.batch_size))
    batch = sum(math.prod(s.shape) * s.dtype.itemsize for s in shapes.values())
    seen = spec.trained.attention(placed(spec, cfg, platform)) * (config.train.batch_size // config.train.accumulate)
    widths = [leaf.shape[leaf.axes.index("embed")] for leaf in leaves if "embed" in leaf.axes]
    return {
        "parameters": parameters,
        "the batches of a call": config.train.steps_per_call * batch,
        "the vectors of a step": _LEAST_BYTES * _vectors(spec, cfg, config, shapes) * min(widths, default=1),
        "attention": 4 * seen,
    }


def _total(*arguments: Any) -> int:
    return sum(_parts(*arguments).values())


def _vectors(spec: Family, cfg: Any, config: Config, shapes: dict[str, Any]) -> int:
    """Vectors that a microbatch looks up: the rows that it names, or one for each token of its largest entry."""
    count = max(math.prod(s.shape) for s in shapes.values())
    if max(count, cfg.vocab_size) < 2**31:  # larger ones are refused without this
        consts = spec.consts(cfg, Words(None, np.ones(cfg.vocab_size, np.int64)))

        def rows(consts: Any, batch: Any) -> Any:
            return spec.trained.rows(cfg, consts, with_row(batch), jax.random.key(0))[0]

        try:
            named = jax.tree.leaves(jax.eval_shape(rows, consts, shapes))
        except (OverflowError, ValueError, TypeError) as e:  # a shape beyond what an array may have
            raise UserError(f"{_largest(config)}: too large for an array ({' '.join(str(e).split())[:80]})") from None
        count = max([count, *(math.prod(x.shape) for x in named)])
    return count // config.train.accumulate


def _options(config: Config) -> Iterator[tuple[str, str, int, float]]:
    """(section, name, value, value / default) of every whole number of the model and of training."""
    for section in ("model", "train"):
        part = getattr(config, section)
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and isinstance(field.default, int):
                yield section, field.name, value, value / max(field.default, 1)


def _largest(config: Config) -> str:
    section, name, value, _ = max(_options(config), key=lambda option: option[3])
    return f"{section}.{name}={value}"


def _key(spec: Family, config: Config, words: Words | None, platform: str) -> str:
    """Of the options on which the estimate depends, the one that is furthest above its default, with its value."""

    def matters(section: str, name: str, value: int) -> bool:
        try:
            part = dataclasses.replace(getattr(config, section), **{name: value // 2})
            return _total(spec, dataclasses.replace(config, **{section: part}), words, platform) < now
        except UserError:  # it hangs together with another option, such as the width of a tied head
            return True

    now = _total(spec, config, words, platform)
    found = [
        (ratio, f"{section}.{name}={value}")
        for section, name, value, ratio in _options(config)
        if value > 1 and matters(section, name, value)
    ]
    return max(found)[1] if found else _largest(config)
