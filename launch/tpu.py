"""Runs a command on Cloud TPU, and keeps it running.

    python -m launch.tpu up|run|status|logs|attach|stop|down|list NAME [--FLAG=VALUE ...] [-- COMMAND]

    python -m launch.tpu run w2v --zone=us-west4-a --accelerator=v5litepod-16 --spot --keep_alive --down \\
        --service_account=NAME@PROJECT.iam.gserviceaccount.com \\
        -- python -m experiments.train --config=configs/lm1b_pod.py --workdir=gs://BUCKET/lm1b

up asks for a machine; run also ships this checkout, installs it and runs the command on every worker; status says in
one sentence what is wrong; logs, attach and stop are for a run that goes on; down deletes the machine. Every gcloud
line is printed first. What would change anything is run only with --yes: it costs money. Each verb may be repeated.
Exit status: 0 done, 1 the sentence that is printed says what is wrong, 2 bad input, 128 + n signal n.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.common import cli
from launch.cloud import listing, verbs
from launch.cloud.asked import Asked
from launch.cloud.gcloud import Cloud
from launch.cloud.machine import Patience
from launch.cloud.state import Folder
from launch.cloud.trouble import Trouble
from launch.cloud.watch import Limits
from w2v_jax.errors import UserError, nearest

_MACHINE = (
    ("zone", "Zone, e.g. us-west4-a."),
    ("accelerator", "Type and size of a slice, e.g. v5litepod-16."),
    ("project", "Cloud project; gcloud's default when empty."),
    ("image", "Machine image; that of the accelerator when empty."),
    ("service_account", "Service account of the machine, which reads and writes the bucket."),
    ("network", "VPC network; the default one when empty."),
    ("valid_for", "How long the request may wait in the queue, e.g. 6h; then Cloud TPU ends it. [--waiting_s + 600 s]"),
)
_Verb = Callable[[Cloud, Folder, str, Asked], Trouble | None]
_OF_NAME: dict[str, _Verb] = {
    "up": verbs.up, "run": verbs.run, "status": verbs.state, "logs": verbs.logs, "attach": verbs.attach,
    "stop": verbs.stop, "down": verbs.down,
}  # fmt: skip
_VERBS = (*_OF_NAME, "list")
_TAKES_COMMAND = ("run",)


def machine_flags() -> dict[str, Any]:
    """The flags of the machine that were given."""
    keys = [key for key, _ in _MACHINE] + ["slices", "spot", "flex_start", "internal_ips"]
    return {key: flags.FLAGS[key].value for key in keys if flags.FLAGS[key].present}


def asked(argv: Sequence[str]) -> Asked:
    """What the flags ask for. UserError: an impossible value."""
    f = flags.FLAGS
    if f.max_hours is not None and not 0 < f.max_hours <= 24 * 365:
        raise UserError(f"--max_hours={f.max_hours:g}: must be above 0 and at most a year")
    seconds = {key: getattr(f, key) for key in ("waiting_s", "hung_s", "startup_s", "poll_s")}
    down = f.keep_alive if f.down is None else f.down
    tries = f.max_tries or (20 if f.keep_alive else 3)
    return Asked(
        machine_flags(), argv, f.yes, f.max_hours, Limits(f.keep_alive, tries), Patience(**seconds), down, f.prices,
        worker=f.worker, lines=f.lines, untracked_mib=f.untracked_mib, adopt=f.adopt,
    )  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Runs one verb; returns the exit status."""
    words = list(argv[1:])
    usage = f"python -m launch.tpu {'|'.join(_VERBS)} NAME"
    if not words:
        raise UserError(f"no verb: {usage}")
    verb, *words = words
    if verb not in _VERBS:
        raise UserError(f"unknown verb {verb!r}{nearest(verb, _VERBS)}: {usage}")
    folder = Folder(flags.FLAGS.state_dir)
    if verb == "list":
        if words:
            raise UserError(f"unexpected argument {words[0]!r}: list takes no name")
        f = flags.FLAGS
        return report(listing.of(cloud_in(folder.path), folder, f.zone, f.project, f.prices))
    if not words:
        raise UserError(f"no name: python -m launch.tpu {verb} NAME")
    name, *rest = words
    if rest and verb not in _TAKES_COMMAND:
        raise UserError(f"unexpected argument {rest[0]!r}: only run takes a command, after --")
    try:
        found = _OF_NAME[verb](cloud_in(folder.room(name)), folder, name, asked(rest))
    except UserError as e:
        raise UserError(placed(str(e))) from None
    return report(found)


def cloud_in(folder: Path) -> Cloud:
    """The cloud; commands in what it tells name the state folder."""
    cloud = Cloud(folder)
    tell = cloud.tell
    cloud.tell = lambda text: tell(placed(text))
    return cloud


def placed(text: str) -> str:
    """The same, and commands of the launcher in it have --state_dir where this one has: they can be typed as told."""
    flag = flags.FLAGS["state_dir"]
    if flag.value == flag.default:
        return text
    given = f" --state_dir={shlex.quote(str(flag.value))}"
    pattern = rf"python -m launch\.tpu (?:list|(?:{'|'.join(_OF_NAME)}) [a-z][a-z0-9-]*)"
    return re.sub(pattern, lambda match: match[0] + given, text)


def report(found: Trouble | None) -> int:
    """Prints what is wrong, if anything; returns the exit status."""
    if found is None:
        return 0
    print(placed(str(found)))
    return 0 if found.key == "ok" else 1


def dashes(argv: Sequence[str]) -> list[str]:
    """Flags may be written with hyphens, --keep-alive and --no-spot, as those of gcloud."""

    def ours(match: re.Match[str]) -> str:
        name = match[0].lstrip("-").replace("-", "_")
        off = name.startswith("no_") and name[3:] in flags.FLAGS
        return f"--no{name[3:]}" if off else f"--{name}"

    end = list(argv).index("--") if "--" in argv else len(argv)
    return [re.sub(r"^--?[a-z-]+", ours, w) if w.startswith("-") else w for w in argv[:end]] + list(argv[end:])


if __name__ == "__main__":
    for key, text in _MACHINE:
        flags.DEFINE_string(key, "", text)
    flags.DEFINE_integer("slices", 1, "Number of slices, joined by the data-centre network.")
    flags.DEFINE_bool("spot", False, "Cheaper, and may be taken away at any time.")
    flags.DEFINE_bool("flex_start", False, "Cloud TPU itself ends the machine after --max_hours, at most 7 days.")
    flags.DEFINE_bool("internal_ips", False, "No external addresses; SSH goes through Identity-Aware Proxy.")
    flags.DEFINE_bool("keep_alive", False, "run: makes the machine again when it was taken away, and goes on.")
    flags.DEFINE_bool("down", None, "run: deletes the machine when the run has ended. Default: with --keep_alive.")
    flags.DEFINE_bool("adopt", False, "up, run: take a machine that another --state_dir asked for.")
    flags.DEFINE_integer("max_tries", 0, "run: starts of the run. 0: 20 with --keep_alive, else 3.", lower_bound=0)
    flags.DEFINE_float("max_hours", None, "Paid hours: then the run is stopped and the machine deletes itself. [24]")
    flags.DEFINE_float("untracked_mib", 20.0, "run: MiB of files that git does not know, at most.", lower_bound=0)
    flags.DEFINE_string("prices", "", "Your own table of chips and prices, in the form of launch/chips.tsv.")
    flags.DEFINE_string("state_dir", "~/.w2v_jax/tpu", "Folder of the launcher's own files.")
    flags.DEFINE_integer("worker", 0, "logs: the worker, counted over all slices; -1 for all.")
    flags.DEFINE_integer("lines", 40, "logs: how many lines.", lower_bound=1, upper_bound=400)
    flags.DEFINE_float("waiting_s", Patience.waiting_s, "Longest wait in the queue, in seconds.", lower_bound=1)
    flags.DEFINE_float("hung_s", Patience.hung_s, "Seconds without a step after which a run hangs.", lower_bound=1)
    flags.DEFINE_float("startup_s", Patience.startup_s, "The same, until the first step.", lower_bound=1)
    flags.DEFINE_float("poll_s", Patience.poll_s, "Seconds between two looks.", lower_bound=0.05)
    flags.DEFINE_bool("yes", False, "Run the lines that change something. This costs money.")
    sys.argv = dashes(sys.argv)
    cli.run(main, arguments=None, continues=True)
