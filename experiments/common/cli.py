"""What every command shares: flags with one-line errors, exit statuses, options as dataclasses, files of results."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import faulthandler
import logging
import math
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from absl import app, flags

from experiments import end_at_once, stopped
from experiments.common import processes
from w2v_jax.errors import Diverged, Interrupted, UserError, describe, nearest, one_line, renamed
from w2v_jax.exported import family_of
from w2v_jax.files import write_json
from w2v_jax.overrides import encodes
from w2v_jax.storage import in_bucket, to_path
from w2v_jax.train import console, stop

ROOT = Path(__file__).resolve().parents[2]  # of the repository
if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

flags.disclaim_key_flags()  # --help lists flags by the module that defines them: the command, not this one

# Without an accelerator plug-in in use, libtpu (if installed) and TensorFlow print pages of complaints at start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
console.reopen()  # before anything else is opened


def run(
    main: Callable[[Sequence[str]], int | None],
    arguments: int | None = 0,
    continues: bool = False,
    by_first: bool = False,
) -> None:
    """Runs `main(argv)` under absl and ends the process with the status that it returns.

    A `UserError` or `OSError` prints one `error:` line and gives status 2, a loss that diverged gives status 1, signal
    n gives 128 + n. `arguments` is the most words beside flags, None for any number. A command that `continues` after
    a signal, SIGTERM included, says so. Where one done `by_first` is started as several processes, the first does the
    work on its own devices, and the others wait. Standard error may be full or closed: that ends nothing. SIGUSR1
    prints the stack of every thread there, and ends nothing: it shows where a command hangs.
    """

    def checked(argv: Sequence[str]) -> int | None:
        logging.getLogger("jax").setLevel(logging.WARNING)  # or it reports every back end that is not there
        if arguments is not None and len(argv) > 1 + arguments:
            hint = ", overrides --config.KEY=VALUE" if "config" in flags.FLAGS else ""
            raise UserError(f"unexpected argument {argv[1 + arguments]!r}; flags are written --name=value{hint}")
        try:
            status = processes.by_first(lambda: main(argv)) if by_first else main(argv)
            sys.stdout.flush()  # an error is told here, and not by Python at its end
            if stop.early:  # a library has swallowed it
                raise KeyboardInterrupt(stop.early[0])
            return status
        except (UserError, OSError, Diverged, Interrupted):
            raise
        except Exception:  # a library that was interrupted may raise an error of its own
            if not stop.early:
                raise
            raise KeyboardInterrupt(stop.early[0]) from None

    console.streams()
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)

    def end(number: int, frame: FrameType | None) -> None:
        """SIGTERM outside training acts as Ctrl-C, which closes open files. A second one ends the process at once."""
        stop.early.append(number)
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt(number)

    wanted = [signal.SIGTERM] if continues else []
    if continues and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup does
        wanted.append(signal.SIGHUP)
    # A shell's background job ignores it.
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, end_at_once):
        wanted.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in wanted}
    unraised, sys.unraisablehook = sys.unraisablehook, _without_signals(sys.unraisablehook)
    try:
        app.run(checked, flags_parser=_parse)
    except (UserError, OSError, Diverged, Interrupted, KeyboardInterrupt) as e:
        status = _ending(e, continues)
    except (MemoryError, RuntimeError) as e:  # RuntimeError: of a device, by XLA
        if not isinstance(e, MemoryError) and "RESOURCE_EXHAUSTED" not in str(e):
            raise
        status = _ending(UserError(f"out of memory ({str(e)[:200] or 'of this machine'}); choose smaller sizes"), False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if signal.getsignal(signal.SIGALRM) is _again:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        stop.early.clear()
        stop.noted.clear()
        sys.unraisablehook = unraised
        atexit.register(_quietly)
    sys.exit(status)


def _ending(e: BaseException, continues: bool) -> int:
    """Prints one line about what ended the command; returns the exit status."""
    _drop_output()
    if isinstance(e, BrokenPipeError):  # the reader of the output, such as `head`, has ended
        return 141
    if isinstance(e, Interrupted | KeyboardInterrupt):
        number = e.number if isinstance(e, Interrupted) else e.args[0] if e.args else signal.SIGINT
        what = str(e) if isinstance(e, Interrupted) else f"stopped by {signal.Signals(number).name}"
        hint = f". The same command continues: {shlex.join(sys.orig_argv)}" if continues else ""
        print(f"{what}{hint}", file=sys.stderr)
        stopped.append(number)
        return 128 + number
    print(f"error: {one_line(describe(e) if isinstance(e, OSError) else str(e))}", file=sys.stderr, flush=True)
    return 1 if isinstance(e, Diverged) else 2


def _without_signals(tell: Callable[[Any], object]) -> Callable[[Any], None]:
    """A hook for exceptions that a callback of a library (JAX has one for garbage collection) cannot pass on: a noted
    signal among them is raised again, once the callback has ended."""

    def hook(what: Any) -> None:
        if not (stop.early and issubclass(what.exc_type, KeyboardInterrupt)):
            tell(what)
            return
        signal.signal(signal.SIGALRM, _again)
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    return hook


def _again(number: int, frame: FrameType | None) -> None:
    """Raises the signal that was swallowed, unless training has begun, which ends by it after a save."""
    if stop.early and signal.getsignal(stop.early[0]) is signal.SIG_DFL:
        raise KeyboardInterrupt(stop.early[0])


def _quietly() -> None:
    """All is written: Ctrl-C while libraries clean up ends the process, without a traceback of theirs."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _drop_output() -> None:
    """Drops what standard output does not take, or Python complains about it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_text(argv: Sequence[str]) -> None:
    """UserError: bytes that are not UTF-8, but for the name of a text. Python holds them as lone surrogates, which no
    file of results can."""
    cache = os.environ.get("W2V_JAX_CACHE", "")
    for name, value in (*(("", word) for word in argv), ("W2V_JAX_CACHE=", cache)):
        if not encodes(value) and not re.match(r"--config\.data\.\w*source=", value):
            raise UserError(f"{name}{value!r}: holds bytes that are not UTF-8; write it in UTF-8, or rename the file")


def _parse(argv: Sequence[str]) -> list[str]:
    """absl's flag parser; every mistake is a one-line UserError."""
    _check_text(argv)
    try:
        left = flags.FLAGS(overrides(argv, set(flags.FLAGS)))
    except flags.UnrecognizedFlagError as e:
        raise UserError(f"unknown flag --{e.flagname}{nearest(e.flagname, flags.FLAGS)}") from None
    except flags.Error as e:
        raise UserError(" ".join(str(e).split())) from None
    for name, value in flags.FLAGS.flag_values_dict().items():
        if isinstance(value, float) and not math.isfinite(value):  # passes every bound, and then every comparison
            raise UserError(f"--{name}={value}: must be a finite number")
    return left


def overrides(argv: Sequence[str], known: Container[str]) -> list[str]:
    """Rewrites `--config.KEY=VALUE`, `--config.KEY VALUE` and the switches `--config.KEY`, `--noconfig.KEY` for the
    flag that collects overrides: `--config.KEY=KEY=VALUE`. `known` has the flags that do, such as config.KEY."""
    found: list[str] = []
    words = list(argv)
    while words and words[0] != "--":
        word = words.pop(0)
        match = re.fullmatch(r"--?(no)?(\w+)\.([^=]+)(?:=(.*))?", word, re.DOTALL)
        if match and f"{match[2]}.KEY" in known:
            off, name, key, value = match.groups()
            if value is None:
                value = words.pop(0) if not off and words and not re.match(r"-\D", words[0]) else str(not off)
            word = f"--{name}.KEY={key}={value}"
        found.append(word)
    return [*found, *words]


def option(default: Any, text: str) -> Any:
    """A field of a dataclass of options, with the help text of its flag."""
    return dataclasses.field(default=default, metadata={"help": text})


def define_options(kind: type) -> None:
    """Registers a flag for every `option` of a dataclass, of the type of its default; a tuple gives a list."""
    define: dict[type, Callable[..., Any]] = {int: flags.DEFINE_integer, float: flags.DEFINE_float}
    for field in dataclasses.fields(kind):
        if isinstance(field.default, tuple):
            flags.DEFINE_list(field.name, list(map(str, field.default)), field.metadata["help"])
        else:
            define.get(type(field.default), flags.DEFINE_string)(field.name, field.default, field.metadata["help"])


def options(kind: type[T], **changes: Any) -> T:
    """The dataclass of options that the flags give, with some fields replaced. UserError: as its own checks."""
    values = {field.name: flags.FLAGS[field.name].value for field in dataclasses.fields(kind)}
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in (values | changes).items()})


def workdir(need: str, reads: bool = False, several: bool = False) -> Path:
    """The folder of --workdir. UserError: the flag is missing, and `need` says what to give; or no result could be
    written there in the end, unless the command only `reads`; or as `for_several`, where `several` runs or results go
    there."""
    if not flags.FLAGS.workdir:
        raise UserError(f"--workdir is missing: {need}")
    folder = to_path(flags.FLAGS.workdir)
    return folder if reads else for_several("workdir", folder) if several else writable("workdir", folder)


def for_several(flag: str, folder: Path) -> Path:
    """As `writable`, of a command that puts several runs or results into a folder. UserError: it is a run's own."""
    family = family_of(writable(flag, folder))
    if family is not None:
        raise UserError(f"--{flag}={folder}: holds a run of family {family}; name a new folder")
    return folder


@contextlib.contextmanager
def as_flag(flag: str, told: str = "--workdir") -> Iterator[None]:
    """Messages of the block that speak of `told` speak of the flag that this command has for it."""
    try:
        yield
    except UserError as e:
        raise UserError(renamed(str(e), {told: f"--{flag}"})) from None


def writable(flag: str, folder: Path) -> Path:
    """The folder that a flag names. UserError: nothing could be written there in the end."""
    if in_bucket(folder):
        return folder
    above = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not above.is_dir():
        what = "a link that leads to no folder" if above.is_symlink() else "a file"
        where = "" if above == folder else f"{above} "
        raise UserError(f"--{flag}={folder}: {where}is {what}; choose a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"--{flag}={folder}: nothing may be written into {above}; choose another folder")
    return folder


def writable_file(flag: str, value: str, example: str) -> Path:
    """The file that a flag names; folders that it needs are made when it is written. UserError: no name, a folder, or
    nothing could be written there in the end."""
    if not value:
        raise UserError(f"--{flag} is empty: name the file to write, e.g. --{flag}={example}")
    file = to_path(value)
    if file.is_dir():
        raise UserError(f"--{flag}={file}: a folder; name the file to write")
    writable(flag, file.parent)
    return file


def command(module: str) -> str:
    """The command line of `python -m MODULE`, for reports."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def write_results(
    results: Path, numbers: dict[str, Any], picture: Path | None = None, paint: Callable[[Path], object] | None = None
) -> None:
    """Writes the numbers as JSON, draws the picture, where there is one, and prints the paths."""
    results.parent.mkdir(parents=True, exist_ok=True)
    write_json(results, numbers, indent=1)
    if picture is not None and paint is not None:
        paint(picture)
    print(f"\nresults: {results}" + ("" if picture is None else f"\npicture: {picture}"))
