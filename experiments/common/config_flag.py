"""`--config=configs/NAME.py` with typed overrides, for every command that takes the config of a run or a study."""

from __future__ import annotations

import dataclasses
import os
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from absl import flags

from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.storage import expanded, in_bucket, local_cache

flags.disclaim_key_flags()  # --help lists flags by the module that defines them: the command, not this one

T = TypeVar("T")
SHIPPED = Path(__file__).resolve().parents[2] / "configs"


def define(name: str = "config", text: str = "Config file, e.g. configs/demo.py") -> None:
    """Registers the flag of a config file and the flag of its overrides."""
    flags.DEFINE_string(name, None, f"{text}; override by --{name}.KEY=VALUE.")
    flags.DEFINE_multi_string(f"{name}.KEY", None, f"Another value for a key, such as --{name}.train.seed=1.")


def parsed(name: str = "config", default: Path | None = None, example: str = "configs/demo.py") -> Config:
    """The config of one run that the command line gives. UserError: see `given` and `load`."""
    path, changes = given(name, default, example)
    return load(path, Config, changes)


def given(name: str = "config", default: Path | None = None, example: str = "") -> tuple[str, dict[str, str]]:
    """(config file, {key: value} of the overrides) on the command line. UserError: no file, neither in the flag nor as
    `default`; it suggests `example`."""
    path = str(flags.FLAGS[name].value or default or "")
    return chosen(name, path, flags.FLAGS[f"{name}.KEY"].value or (), example)


def chosen(name: str, path: str, words: Iterable[str], example: str) -> tuple[str, dict[str, str]]:
    """As `given`, of the file and the overrides, KEY=VALUE each, of the flag `name`."""
    if not path:
        raise UserError(f"--{name} is missing: give a config file, e.g. --{name}={example}")
    pairs = [word.partition("=") for word in words]
    return path, {key: value for key, _, value in pairs}


def refuse(name: str, decided: Mapping[str, str]) -> None:
    """Refuses overrides that would have no effect, since the command sets these values itself.

    `decided` has what decides them by key; a key that ends in a dot stands for all below it. UserError: names the key.
    """
    for word in flags.FLAGS[f"{name}.KEY"].value or ():
        key = word.partition("=")[0]
        for own, what in decided.items():
            if key == own or (own.endswith(".") and key.startswith(own)):
                raise UserError(f"--{name}.{key}: would have no effect here, as {what}; leave it out")


def load_config(path: str, **changes: Any) -> Config:
    """The config of a run in a file, with dotted keys replaced (`**{"model.dim": 8}`), without a command line."""
    return load(path, Config, changes)


def load(path: str, kind: type[T], changes: Mapping[str, Any] | None = None) -> T:
    """The result of a config file's get_config(), with dotted keys replaced. UserError: names the file or the key."""
    path = expanded(path)
    if not Path(path).is_file():
        raise UserError(f"{path}: no such config file{_shipped(Path(path))}")
    try:
        names = runpy.run_path(path)
        if "get_config" not in names:
            raise UserError(f"{path}: has no get_config()")
        config = names["get_config"]()
    except UserError:
        raise
    except Exception as e:  # a user's file may raise anything
        hint = "; get_config() returns Config(...) itself now" if "'editable'" in str(e) else ""
        raise UserError(f"{path}: {type(e).__name__}: {' '.join(str(e).split())}{hint}") from None
    if not dataclasses.is_dataclass(config):
        raise UserError(f"{path}: get_config() must return Config(...) itself, or Study(...) for a study")
    if not isinstance(config, kind):
        other = "the config of one run; studies are in configs/scaling/"
        raise UserError(f"{path}: is {other if isinstance(config, Config) else 'a study, for experiments.scaling'}")
    return override(config, changes or {}, MODELS)


def _shipped(path: Path) -> str:
    """Where a config file of that name comes with this project, as the end of a message; '' where none does."""
    found = sorted(file for file in SHIPPED.rglob("*.py") if file.name == path.name)
    same = [file for file in found if file.parts[-len(path.parts) :] == path.parts]
    return f"; the one that comes with w2v_jax is {(same or found)[0]}" if found else ""


def set_compile_cache(cache_dir: str, least_seconds: float = 1.0) -> None:
    """Puts JAX's persistent compile cache below the data cache, unless the environment names one. It does not keep
    programs that compile in less than `least_seconds`. Below a bucket it does not lie: the local cache has it then."""
    import jax

    root = local_cache() if in_bucket(cache_dir) else Path(expanded(cache_dir or local_cache()))
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(root / "compiled"))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least_seconds)
