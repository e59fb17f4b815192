"""The one exception that means "the user can mend this": commands print it as one line and exit with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The message is one line naming the file, key or value, and what to do about it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'dim'?)"` for the known name closest to `name`, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
