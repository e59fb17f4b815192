"""`--config=configs/NAME.py` with typed overrides, shared by every command that takes a run's config."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
from ml_collections import config_flags

from w2v_jax.config import Config, freeze
from w2v_jax.errors import UserError, nearest
from w2v_jax.models import MODELS

NAMES = ("config", "transformer")  # flags that name a config file; the second is the last rung's of the ladder


def define(name: str = "config", text: str = "Config file, e.g. configs/demo.py") -> Any:
    """Registers the flag of a config file, one of NAMES; read it with `parsed` after flags are parsed."""
    return config_flags.DEFINE_config_file(name, None, f"{text}; override by --{name}.KEY=VALUE.")


def parsed(flag: Any) -> Config:
    """The frozen config of the command line. Raises UserError when none was given or a value is impossible."""
    if flag.value is None:
        raise UserError("--config is missing: give a config file, e.g. --config=configs/demo.py")
    return freeze(flag.value, MODELS)


def check_command_line(words: Sequence[str]) -> None:
    """Raises UserError when a config file cannot be loaded, or an override names a key that it lacks.

    Done before ml_collections parses the line: its own errors name neither the file nor the nearest key.
    """
    for name in NAMES:
        paths = [w.partition("=")[2] for w in words if re.match(rf"--?{name}=", w)]
        paths += [path for word, path in itertools.pairwise(words) if word in (f"--{name}", f"-{name}")]
        if not paths or not paths[-1]:
            continue
        known = list(_keys(load_tree(paths[-1]).to_dict()))
        for word in words:
            key = re.match(rf"--?{name}\.([^=]+)", word)
            if key:
                _check_key(key[1], known)


def load_config(path: str, **replace: Any) -> Config:
    """The frozen config of a file, with dotted keys replaced (`**{"model.dim": 8}`), without any command line."""
    tree = load_tree(path)
    known = list(_keys(tree.to_dict()))
    for key in replace:
        _check_key(key, known)
    try:
        tree.update_from_flattened_dict(replace)
    except TypeError as e:
        raise UserError("config override: " + " ".join(str(e).split())) from None
    return freeze(tree, MODELS)


def load_tree(path: str) -> ml_collections.ConfigDict:
    """What a config file's get_config() returns. Raises UserError naming the file and what is wrong with it."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such config file")
    module_spec = importlib.util.spec_from_file_location("config_file", path)
    if module_spec is None or module_spec.loader is None:
        raise UserError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise UserError(f"{path}: has no get_config()")
        tree = module.get_config()
    except UserError:
        raise
    except Exception as e:  # anything may happen in a file that somebody is writing
        raise UserError(f"{path}: {type(e).__name__}: {' '.join(str(e).split())}") from None
    if not isinstance(tree, ml_collections.ConfigDict):
        raise UserError(f"{path}: get_config() must return w2v_jax.config.editable(Config(...))")
    return tree


def _check_key(key: str, known: Sequence[str]) -> None:
    if key not in known:
        raise UserError(f"config has no key {key!r}{nearest(key, known)}")


def _keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of the leaves."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def set_compile_cache(cache_dir: str, least_seconds: float = 1.0) -> None:
    """Points JAX's persistent compile cache below the data cache, unless the environment names one. Programs that
    compile in less than `least_seconds` are not kept."""
    import jax

    root = Path(cache_dir or os.environ.get("W2V_JAX_CACHE") or "~/.cache/w2v_jax").expanduser()
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(root / "compiled"))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least_seconds)
