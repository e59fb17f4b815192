"""What every command shares: flags that fail in one line, and user errors that end with exit status 2."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags

from w2v_jax.errors import UserError, nearest

ROOT = Path(__file__).resolve().parents[2]  # of the repository

# Without an accelerator plug-in in use, libtpu (if installed) and TensorFlow print pages of complaints at start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def _parse(argv: Sequence[str]) -> list[str]:
    """absl's flag parser, with every mistake turned into one line."""
    own = list(argv[: argv.index("--")]) if "--" in argv else argv
    if any(word.startswith(("--config", "-config", "--transformer", "-transformer")) for word in own):
        from experiments.common import config_flag  # not every command has a config: those start without JAX

        config_flag.check_command_line(own)
    try:
        return flags.FLAGS(list(argv))
    except flags.UnrecognizedFlagError as e:
        raise UserError(f"unknown flag --{e.flagname}{nearest(e.flagname, flags.FLAGS)}") from None
    except flags.Error as e:
        raise UserError(" ".join(str(e).split())) from None
    except (KeyError, AttributeError) as e:  # ml_collections: an override of a key that the config lacks
        text = str(e.args[0]) if e.args else str(e)
        text = text.strip("\"'").replace("\\n", " ").replace("\\'", "'").replace('\\"', '"')
        raise UserError("config override: " + " ".join(text.split())) from None
    except (TypeError, ValueError) as e:  # ml_collections: an override of the wrong type
        raise UserError("config override: " + " ".join(str(e).split())) from None
    except OSError as e:
        raise UserError(describe(e)) from None


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


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs `main(argv)` under absl; a `UserError` or `OSError` becomes one `error:` line and exit status 2."""

    def guarded(argv: Sequence[str]) -> int | None:
        logging.getLogger("jax").setLevel(logging.WARNING)  # or it tells of every back end that is not there
        try:
            return main(argv)
        except UserError as e:
            return fail(str(e))
        except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
            return 141
        except OSError as e:
            return fail(describe(e))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    try:
        app.run(guarded, flags_parser=_parse)
    except UserError as e:
        sys.exit(fail(str(e)))


def fail(message: str) -> int:
    """Prints the one line and returns the exit status 2."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    return 2
