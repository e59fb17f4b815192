"""What ends a command: input that the user can mend, a signal, a loss that diverged. `experiments.common.cli` prints
each as one line and chooses the exit status. From Python the borders of the package have `user_errors`."""

from __future__ import annotations

import contextlib
import difflib
import errno
import numbers
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
_CALLERS = "w2v_jax_of_caller"  # attribute of an OSError that the text given by a caller raised


class UserError(Exception):
    """Bad input. The message is one line naming the file, key or value, and what to do about it."""


class Interrupted(Exception):
    """Signal `number` ended training. `step` is the step that was reached, and saved unless `kept` is False, as in a
    temporary folder; None: the loss had diverged, and a state that diverged is not saved."""

    def __init__(self, step: int | None, number: int, kept: bool = True) -> None:
        where = "while its loss was not finite" if step is None else f"at step {step:,}"
        if not kept:
            where += ": nothing of it is kept; workdir=FOLDER keeps a run, and the same call continues it"
        elif step is not None:
            where += ", which is saved"
        super().__init__(f"stopped by {signal.Signals(number).name} {where}")
        self.step, self.number = step, number


class Diverged(Exception):
    """The loss is not finite. The message names the step, the last good checkpoint and what to try."""

    number = 0  # of the signal that came meanwhile


def describe(e: OSError) -> str:
    """One line for an operating-system error: the file, the reason, and advice for the common ones."""
    advice = {
        errno.ENOSPC: "no space is left on the device: free some and run the same command again",
        errno.EFBIG: "the file would pass the size limit: raise it and run the same command again",
        errno.EDQUOT: "the disk quota is used up: free some and run the same command again",
        errno.EACCES: "permission denied: choose another path or change its permissions",
        errno.EROFS: "the file system is read-only: choose another path",
    }
    said = e.strerror or " ".join(map(str, e.args)) or type(e).__name__  # numpy's errors have no number
    return f"{e.filename or 'a file'}: {advice.get(e.errno or 0, said)}"


def one_line(text: str) -> str:
    """`text` with what cannot be printed, such as a line end in the name of a file, as Python writes it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turns an OSError of a block, or of a function that it decorates, into a UserError with the line that a command
    prints; the OSError is its cause. A pipe without a reader stays one, as it is no mistake."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as e:
        if from_caller(e):
            raise
        raise UserError(one_line(describe(e))) from e


@contextlib.contextmanager
def python_errors(whole_keys: bool = False) -> Iterator[None]:
    """`user_errors` whose messages name arguments and not flags: `--workdir=F` becomes `workdir=F`, and
    `--config.train.start=F` becomes `start=F`, with `whole_keys` `train.start=F`. For what no command calls."""
    try:
        with user_errors():
            yield
    except (UserError, Diverged) as e:
        key = r"" if whole_keys else r"(?:[a-z_]+\.)*"
        e.args = (re.sub(rf"(?<!\S)--(?:config\.{key})?(?=[a-z])", "", str(e)),)
        raise


def of_caller(parts: Iterable[T]) -> Iterator[T]:
    """What the caller's own iterable yields; its OSErrors pass `user_errors` as they are."""
    try:
        yield from parts
    except OSError as e:
        setattr(e, _CALLERS, True)
        raise


def from_caller(e: OSError) -> bool:
    """Whether the text that a caller gave raised it, see `of_caller`."""
    return bool(getattr(e, _CALLERS, False))


def renamed(message: str, names: Mapping[str, str]) -> str:
    """A message with the keys of a config as the user gave them: {key: name}, such as a flag."""
    keys = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![\w.])(?:{keys})(?![\w.])", lambda key: names[key[0]], message)


def nearest(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'dim'?)"` for the known name closest to `name`, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


# ---- checks of config values ----


def check(ok: bool, key: str, value: Any, need: str) -> None:
    """Raises `UserError` unless `ok`: the value of `key` must be `need`."""
    if not ok:
        raise UserError(f"{key}={value!r}: must be {need}")


def check_whole(key: str, value: Any, least: int, need: str = "") -> None:
    """Raises `UserError` unless `value` is a whole number of at least `least`; the message says `need`, if given."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    check(whole and value >= least, key, value, need or f"a whole number of at least {least}")


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises `UserError` unless `value` is one of `choices`; it names the nearest."""
    if value not in choices:
        raise UserError(f"{key}={value!r}: must be one of {', '.join(choices)}{nearest(str(value), choices)}")


def check_least(least: int, section: str, cfg: Any, *keys: str) -> None:
    """Raises `UserError` for the first of the keys of `cfg`, which is `section`, that is below `least`."""
    for key in keys:
        value = getattr(cfg, key)
        check(value >= least, f"{section}.{key}", value, f"at least {least}" if least else "0 or more")


def check_most(most: int, section: str, cfg: Any, *keys: str) -> None:
    """Raises `UserError` for the first of the keys of `cfg`, which is `section`, that is above `most`."""
    for key in keys:
        value = getattr(cfg, key)
        check(value <= most, f"{section}.{key}", value, f"at most {most}")
