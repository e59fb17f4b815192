"""What a failed write of a checkpoint means, whatever raised it."""

from __future__ import annotations

import errno
import os
import re

# tensorstore and orbax raise ValueError for files that are gone.
_GONE = re.compile(r"NOT_FOUND|No ArrayMetadata found|No such file or directory")


def as_oserror(e: Exception, where: str) -> OSError | None:
    """The error as an OSError that names `where`; None when no file is the cause."""
    if isinstance(e, FileNotFoundError) or (isinstance(e, ValueError) and _GONE.search(str(e))):
        return OSError(errno.ENOENT, "it was removed while it was written; run the same command again", where)
    if isinstance(e, OSError) and e.errno:
        return OSError(e.errno, os.strerror(e.errno), where)
    # tensorstore raises ValueError with the system's number in its text, in two spellings.
    code = re.search(r"(?i)os[ _]error(?:_code)?\W*(\d+)", str(e))
    return OSError(int(code[1]), os.strerror(int(code[1])), where) if code else None
