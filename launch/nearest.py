"""The nearest change of a config that fits a slice, where the config itself does not.

Changes are tried in this order: those that keep every result first, a smaller batch last. A change is compiled only
where arithmetic says that it may fit: state and batches from shapes, working space in proportion to what the gradient
keeps, at the ratio that the compiled program had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from launch.forecast import Forecast, Memory, counted, forecast, on_a_device
from launch.slices import Slice
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.train.programs import programs, stand_in


class Change(NamedTuple):
    """Keys and values, and what a run with them does."""

    keys: dict[str, str]
    forecast: Forecast

    def __str__(self) -> str:
        return " ".join(f"--config.{key}={value}" for key, value in self.keys.items())


def changes(config: Config) -> Iterator[dict[str, str]]:
    """Changes that save memory or traffic, the nearest first."""
    train, mesh = config.train, config.mesh
    if config.log.eval_steps != 1:
        yield {"log.eval_steps": "1"}
    for parts in (2, 4, 8, 16):
        yield {"train.accumulate": str(train.accumulate * parts)}
    remat = {"model.remat": "True"} if getattr(config.model, "remat", True) is False else {}
    if remat:
        yield remat
    fsdp = {} if mesh.fsdp or mesh.per_device else {"mesh.fsdp": "True"}
    for more in (fsdp, fsdp | remat, fsdp | remat | {"train.accumulate": str(train.accumulate * 8)}):
        if more:
            yield more
    if not mesh.per_device:
        for split in (2, 4, 8):
            yield {"mesh.model": str(mesh.model * split)}
            yield {"mesh.model": str(mesh.model * split)} | fsdp | remat
    for part in (2, 4, 8, 16):
        if train.batch_size % part == 0:
            yield {"train.batch_size": str(train.batch_size // part)} | remat


def nearest(failed: Forecast, vocab_size: int = 0, tries: int = 3) -> Change | None:
    """The first change that fits, of those of which at most `tries` are compiled; None: none of them does."""
    config, where = failed.config, failed.where
    ratio = _ratio(failed, vocab_size)
    for keys in changes(config):
        try:
            changed = override(config, keys, MODELS)
            if not _may_fit(changed, where, vocab_size, ratio):
                continue
            found = forecast(changed, where, vocab_size, generation=False)
        except UserError:  # the change does not divide, or the family has no such key
            continue
        if not found.reasons:
            return Change(keys, found)
        tries -= where.compiles
        if not tries:
            return None
    return None


def likely(failed: Forecast, vocab_size: int = 0) -> tuple[dict[str, str], float] | None:
    """(the first change that fits by arithmetic, which nothing compiled; bytes on a device by arithmetic); None: none
    does."""
    ratio = _ratio(failed, vocab_size)
    for keys in changes(failed.config):
        try:
            changed = override(failed.config, keys, MODELS)
            if _may_fit(changed, failed.where, vocab_size, ratio):
                return keys, estimated(changed, failed.where, vocab_size, ratio).total
        except UserError:  # the change does not divide, or the family has no such key
            continue
    return None


def estimated(config: Config, where: Slice, vocab_size: int, ratio: float = 1.0) -> Memory:
    """Memory of the training step by arithmetic, its working space times `ratio`."""
    words = stand_in(config, vocab_size)
    memory = counted(programs(config, words, where.devices), len(words.counts))[0]["training"].memory
    assert memory is not None
    return memory._replace(working=memory.working * ratio)


def _may_fit(config: Config, where: Slice, vocab_size: int, ratio: float) -> bool:
    """Whether the state, and then all of the training step, has room by arithmetic."""
    state = on_a_device(programs(config, stand_in(config, vocab_size), where.devices).state)
    return state <= where.chip.hbm and estimated(config, where, vocab_size, ratio).total <= where.chip.hbm


def _ratio(failed: Forecast, vocab_size: int) -> float:
    """Working space as compiled, or as the compiler asked for in vain, / by arithmetic; 1 where neither is known."""
    program = failed.programs["training"]
    asked = re.match(r"needs ([\d.]+) ([KMG])iB", program.failure)
    needed = float(asked[1]) * 1024 ** (1 + "KMG".index(asked[2])) if asked else 0.0
    found = program.memory.working if program.memory else needed
    return found / max(1.0, estimated(failed.config, failed.where, vocab_size).working) if found else 1.0
