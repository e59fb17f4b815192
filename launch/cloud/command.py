"""What can be told of the command of a run before anything is bought: its config, and its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.common import cli
from launch.cloud import ship
from launch.cloud.plan import Machine
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


def check_config(argv: Sequence[str], root: Path) -> None:
    """UserError: a command of ours names a config file that is not among those that are shipped, or one that does not
    load with the overrides; the line is then that of the command. No text is read, and no device is asked for."""
    module, words = _module(argv)
    flags = {} if _value(words, "flagfile") else CONFIGS.get(module, {})  # such a file may have any flag
    words = cli.overrides(words, [f"{flag}.KEY" for flag in flags])
    for flag, own in flags.items():
        file, key = _value(words, flag), f"--{flag}.KEY="
        changes = [word.removeprefix(key) for word in words if word.startswith(key)]
        if file:
            _check_shipped(flag, file, root)
        if file or own.example or (changes and own.default):
            _check_values(module, flag, file or own.default, changes, own.example, root)


def _check_shipped(flag: str, file: str, root: Path) -> None:
    shipped = ship.files(root)
    if Path(file).as_posix() not in shipped:
        known = [name for name in shipped if name.endswith(Path(file).suffix or ".py")]
        raise UserError(f"--{flag}={file}: is not in the checkout that is shipped, {root}{nearest(file, known)}")


def _check_values(module: str, flag: str, file: str, changes: Sequence[str], example: str, root: Path) -> None:
    from experiments.common import config_flag  # imports JAX, which no other verb needs
    from w2v_jax.config import Config
    from w2v_jax.scaling.study import Study

    kinds: dict[str, type] = {"experiments.scaling": Study, "launch.preflight": object}
    path, values = config_flag.chosen(flag, file, changes, example)
    with contextlib.chdir(root):  # the worker runs the command in the folder of the source
        config_flag.load(path, kinds.get(module, Config), values)


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
