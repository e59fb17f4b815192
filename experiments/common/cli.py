"""What every command shares: flags that fail in one line, endings and their exit status, where results are told."""

from __future__ import annotations

import errno
import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from absl import app, flags

from w2v_jax.errors import Diverged, Interrupted, UserError, nearest
from w2v_jax.files import write_json

ROOT = Path(__file__).resolve().parents[2]  # of the repository

# Without an accelerator plug-in in use, libtpu (if installed) and TensorFlow print pages of complaints at start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


class _Stopped(KeyboardInterrupt):
    """A SIGTERM outside training; what lets Ctrl-C through lets it through too."""


def run(main: Callable[[Sequence[str]], int | None], arguments: int | None = 0, continues: bool = False) -> None:
    """Runs `main(argv)` under absl and ends the process.

    Exit status: what `main` returns; 1 where a loss diverged; 2 after one `error:` line for a `UserError` or `OSError`;
    128 + n after signal n.

    Args:
      main: the command.
      arguments: words beside flags that it takes at most; any number where None.
      continues: whether the same command goes on where a signal stopped it, which is then said, of SIGTERM too.
    """

    def checked(argv: Sequence[str]) -> int | None:
        logging.getLogger("jax").setLevel(logging.WARNING)  # or it tells of every back end that is not there
        if arguments is not None and len(argv) > 1 + arguments:
            hint = ", overrides --config.KEY=VALUE" if "config" in flags.FLAGS else ""
            raise UserError(f"unexpected argument {argv[1 + arguments]!r}; flags are written --name=value{hint}")
        return main(argv)

    before = signal.signal(signal.SIGTERM, _stop) if continues else None
    try:
        app.run(checked, flags_parser=_parse)
    except UserError as e:
        status = fail(str(e))
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        status = 141
    except OSError as e:
        status = fail(describe(e))
    except Diverged as e:
        fail(str(e))
        status = 1
    except Interrupted as e:
        status = _stopped(str(e), e.number, continues)
    except KeyboardInterrupt as e:
        number = signal.SIGTERM if isinstance(e, _Stopped) else signal.SIGINT
        status = _stopped(f"stopped by {number.name}" if continues else "interrupted", number, continues)
    finally:
        if continues:
            signal.signal(signal.SIGTERM, before)
    sys.exit(status)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise _Stopped


def _stopped(what: str, number: int, continues: bool) -> int:
    """Says what stopped the command, and how to go on; returns the exit status."""
    print(f"{what}. The same command continues: {shlex.join(sys.orig_argv)}" if continues else what, file=sys.stderr)
    return 128 + number


def _parse(argv: Sequence[str]) -> list[str]:
    """absl's flag parser, with every mistake turned into one line."""
    try:
        return flags.FLAGS(_overrides(argv))
    except flags.UnrecognizedFlagError as e:
        raise UserError(f"unknown flag --{e.flagname}{nearest(e.flagname, flags.FLAGS)}") from None
    except flags.Error as e:
        raise UserError(" ".join(str(e).split())) from None


def _overrides(argv: Sequence[str]) -> list[str]:
    """Gives `--config.KEY=VALUE` to the flag that collects overrides, `--config.KEY`; its value may also be the next
    word, and that of a switch may be left out: `--config.KEY` is true and `--noconfig.KEY` false."""
    found: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        match = re.fullmatch(r"--?(no)?(\w+)\.([^=]+)(?:=(.*))?", word, re.DOTALL)
        if word == "--":
            return [*found, word, *words]
        if match and f"{match[2]}.KEY" in flags.FLAGS:
            off, name, key, value = match.groups()
            if value is None:
                given = not off and words and not re.match(r"-\D", words[0])
                value = words.pop(0) if given else str(not off)
            word = f"--{name}.KEY={key}={value}"
        found.append(word)
    return found


def describe(e: OSError) -> str:
    """One line for an operating-system error: the file, the reason, and what to do where that is known."""
    where = e.filename or "a file"
    advice = {
        errno.ENOSPC: "no space is left on the device: free some and run the same command again",
        errno.EFBIG: "the file would pass the size limit: raise it and run the same command again",
        errno.EDQUOT: "the disk quota is used up: free some and run the same command again",
        errno.EACCES: "permission denied: choose another path or change its permissions",
        errno.EROFS: "the file system is read-only: choose another path",
    }
    return f"{where}: {advice.get(e.errno or 0, e.strerror or str(e))}"


def fail(message: str) -> int:
    """Prints the one line and returns the exit status 2."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    return 2


def workdir(need: str) -> Path:
    """The folder of --workdir. UserError, with what is needed, where it is missing."""
    if not flags.FLAGS.workdir:
        raise UserError(f"--workdir is missing: {need}")
    return Path(flags.FLAGS.workdir)


def command(module: str) -> str:
    """The command line of `python -m MODULE`, for reports."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def write_results(results: Path, numbers: dict[str, Any], picture: Path, paint: Callable[[Path], object]) -> None:
    """Writes the numbers as JSON and draws the picture; prints where they are."""
    results.parent.mkdir(parents=True, exist_ok=True)
    write_json(results, numbers, indent=1)
    paint(picture)
    print(f"\nresults: {results}\npicture: {picture}")
