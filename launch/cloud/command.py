"""What can be told of the command of a run before anything is bought: its config, and its folder."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.common import cli
from launch.cloud import plan, ship
from launch.cloud.gcloud import Cloud
from launch.cloud.plan import Machine
from launch.cloud.trouble import Trouble
from w2v_jax.errors import UserError, nearest


def _value(argv: Sequence[str], flag: str) -> str:
    """The value of a flag of the command, as --flag=VALUE or --flag VALUE; empty when it is not given."""
    found = ""
    for i, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name in (f"--{flag}", f"-{flag}"):
            found = value if equals else next(iter(argv[i + 1 : i + 2]), "")
    return found


class _File(NamedTuple):
    """A config file that a command of ours takes."""

    default: str = ""
    example: str = ""  # where there is no default: the command ends without the flag, and suggests this file


# Module -> flag -> its file. What takes another flag in its place, such as --explain, has neither default nor example.
CONFIGS: dict[str, dict[str, _File]] = {
    "benchmarks.doc2vec": {"config": _File()},
    "experiments.classify": {"config": _File("configs/classify.py"), "lda": _File("configs/classify_lda.py")},
    "experiments.keys_values": {"config": _File(example="configs/keys_values.py")},
    "experiments.ledger": {"config": _File()},
    "experiments.pairs": {"config": _File()},
    "experiments.scaling": {"config": _File("configs/scaling/synthetic.py")},
    "experiments.sentiment": {
        "config": _File("configs/sentiment.py"),
        "transformer": _File("configs/sentiment_transformer.py"),
    },
    "experiments.sweep": {"config": _File(example="configs/skipgram.py")},
    "experiments.topics": {"config": _File("configs/topics.py"), "lda": _File("configs/topics_lda.py")},
    "experiments.train": {"config": _File(example="configs/demo.py")},
    "launch.preflight": {"config": _File(example="configs/demo.py")},
}


def _module(argv: Sequence[str]) -> tuple[str, list[str]]:
    """(MODULE, the words after it) of `python -m MODULE`, also under `launch.local`; empty for any other command."""
    if "-m" not in argv or not Path(argv[0]).name.startswith("python"):
        return "", []
    at = argv.index("-m")
    if not all(word.startswith("-") for word in argv[1:at]):  # a file, and -m is a flag of its own
        return "", []
    module, words = "".join(argv[at + 1 : at + 2]), list(argv[at + 2 :])
    if module == "launch.local" and "--" in words:
        return _module(words[words.index("--") + 1 :])
    return module, words


def check_config(argv: Sequence[str], root: Path, shipped: bool = True) -> list[Any]:
    """The configs of a command of ours. UserError: a module or a config file that is not among the files that are
    shipped, or a config that does not load with the overrides; the line is then that of the command. No text is read,
    and no device is asked for. Where nothing is `shipped`, what is not below `root` is not looked at."""
    module, words = _module(argv)
    found = []
    if shipped:
        _check_module(module, root)
    flags = {} if _value(words, "flagfile") else CONFIGS.get(module, {})  # such a file may have any flag
    words = cli.overrides(words, [f"{flag}.KEY" for flag in flags])
    for flag, own in flags.items():
        file, key = _value(words, flag), f"--{flag}.KEY="
        changes = [word.removeprefix(key) for word in words if word.startswith(key)]
        if file and shipped:
            _check_shipped(flag, file, root)
        elif file and not (root / file).is_file():
            continue
        if file or own.example or (changes and own.default):
            found.append(_load(module, flag, file or own.default, changes, own.example, root))
    return found


def _check_module(module: str, root: Path) -> None:
    """UserError: the checkout has the package of a module, and not the module."""
    top = module.partition(".")[0]
    if not top or not (root / top).is_dir():
        return
    paths = [Path(name).with_suffix("") for name in ship.files(root) if name.endswith(".py")]
    known = [".".join(path.parts).removesuffix(".__main__") for path in paths if path.name != "__init__"]
    if module not in known:
        raise UserError(f"python -m {module}: is not in the checkout that is shipped, {root}{nearest(module, known)}")


def check_flags(argv: Sequence[str], root: Path) -> None:
    """UserError: a command of ours does not take one of its flags, or not with that value. The module is started for
    it, and ends once it has read its flags."""
    module, words = _module(argv)
    at = root.joinpath(*module.split("."))
    files = [file for file in (at.with_suffix(".py"), at / "__main__.py") if module and file.is_file()]
    if not files or not re.search(r"(?m)^    cli\.run\(", files[0].read_text(encoding="utf-8")):
        return  # a program that may not know the flag that ends it
    if _value(words, "flagfile"):
        return
    line = [sys.executable, "-m", module, "--only_check_args", *words]
    env = {**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(line, cwd=root, env=env, capture_output=True, text=True, timeout=120, errors="replace")
        told = [said for said in done.stderr.splitlines() if said.startswith("error: ")]
        if done.returncode == 2 and told:
            raise UserError(told[-1].removeprefix("error: "))


def check_mesh(argv: Sequence[str], configs: Sequence[Any], chips: int, processes: int) -> None:
    """UserError: the mesh of a run does not divide the chips."""
    if _module(argv)[0] != "experiments.train":
        return
    from launch.slices import AbsentGpu  # imports JAX, which no other verb needs
    from w2v_jax.train.sharding import make_mesh

    for config in configs:
        make_mesh(config.mesh, [AbsentGpu(i, i * processes // chips, "chip") for i in range(chips)])  # type: ignore[misc]


_TEXTS = ("data.source", "data.heldout_source", "data.test_source")
_FILES = ("data.stop_words", "model.vectors", "model.counts")


def sources(configs: Sequence[Any], root: Path) -> list[str]:
    """A line for each text and each other file of a run that is on this machine alone."""
    found: dict[str, None] = {}
    shipped = ship.files(root)
    for config in configs:
        for key in (*_TEXTS, *_FILES):
            part, _, name = key.partition(".")
            value = str(getattr(getattr(config, part, None), name, ""))
            path = _local_path(value) if key in _TEXTS else value
            if path and not path.startswith("gs://") and not _is_among(path, shipped):
                found[
                    f"warning: --config.{key}={value} is not in the checkout that is shipped, and the machine "
                    "has no other file of yours; take gs://BUCKET/FILE"
                ] = None
    return list(found)


def _local_path(source: str) -> str:
    """The file, folder or glob of a text; empty where it is of another kind."""
    kind, _, path = source.partition(":")
    if kind == "pairs":
        path = re.sub(r"@[0-9]+,[0-9]+,[0-9]+(,[0-9]+=.*)?$", "", path)
    return path if kind in ("text", "jsonl", "tsv", "pairs") else ""


def _is_among(path: str, shipped: Sequence[str]) -> bool:
    path = os.path.normpath(path)
    return path == "." or any(fnmatch.fnmatch(name, path) or name.startswith(f"{path}/") for name in shipped)


def no_bucket(cloud: Cloud, bucket: str, machine: Machine) -> Trouble | None:
    """A bucket that does not exist. Whether the machine may use it, only the machine can tell."""
    done = cloud(plan.bucket(bucket), 60)
    if not done.status or not ("404" in done.err or "not found" in done.err or "does not exist" in done.err):
        return None
    place = f"--location={machine.zone.rpartition('-')[0]}"
    return Trouble(
        "no_bucket", f"the bucket gs://{bucket} does not exist", f"gcloud storage buckets create gs://{bucket} {place}"
    )


def _check_shipped(flag: str, file: str, root: Path) -> None:
    shipped = ship.files(root)
    if Path(file).as_posix() not in shipped:
        known = [name for name in shipped if name.endswith(Path(file).suffix or ".py")]
        raise UserError(f"--{flag}={file}: is not in the checkout that is shipped, {root}{nearest(file, known)}")


def _load(module: str, flag: str, file: str, changes: Sequence[str], example: str, root: Path) -> Any:
    from experiments.common import config_flag  # imports JAX, which no other verb needs
    from w2v_jax.config import Config
    from w2v_jax.scaling.study import Study

    kinds: dict[str, type] = {"experiments.scaling": Study, "launch.preflight": object}
    path, values = config_flag.chosen(flag, file, changes, example)
    with contextlib.chdir(root):  # the worker runs the command in the folder of the source
        return config_flag.load(path, kinds.get(module, Config), values)


def warning(argv: Sequence[str], machine: Machine, ends: bool) -> str:
    """One line where the folder of the run is lost with its machine, or its hosts share none; empty otherwise. `ends`:
    the launcher deletes the machine, or makes it again."""
    folder = _value(argv, "workdir")
    if not folder or folder.startswith("gs://"):
        return ""
    why = []
    if machine.spot or ends:
        why.append("it is lost with the machine")
    if machine.workers > 1:
        why.append(f"the {machine.workers} hosts share no disk")
    if not why:
        return ""
    return f"warning: --workdir={folder} is on the disk of the machine: {', and '.join(why)}; take gs://BUCKET/FOLDER"
