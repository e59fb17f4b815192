"""A cloud on this machine, to try the launcher without paying: a fake `gcloud` that starts local processes as workers.

    python -m launch.fake DIR                  makes it, and prints the line that puts it on PATH
    python -m launch.fake DIR fault preempt    the machine is taken away
    python -m launch.fake DIR end              ends the processes of its workers

Each call of it lets 20 seconds of its own clock pass: with `--poll_s=1` the launcher waits for seconds, not minutes.
Quota, capacity, zones and times are in DIR/world.json and may be edited. Exit status: 0 done, 2 bad input.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.common import cli
from launch.fake import faults, place
from launch.fake import world as w
from w2v_jax.errors import UserError, nearest

CALL_S = 20.0  # seconds of the fake's clock a call


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    words = list(argv[1:])
    if not words:
        raise UserError("no folder: python -m launch.fake DIR")
    folder = Path(words[0]).expanduser().resolve()
    if words[1:] == []:
        tools = place.make(folder, w.new(call_s=CALL_S), keep=True)
        print(f"export PATH={shlex.quote(str(tools))}:$PATH")
        return 0
    if not (folder / w.FILE).exists():
        raise UserError(f"{folder}: holds no fake cloud; make it with python -m launch.fake {words[0]}")
    if words[1:] == ["end"]:
        print(f"ended {place.end(folder)} processes")
        return 0
    if words[1] != "fault" or len(words) != 3 or words[2] not in faults.KINDS:
        hint = nearest(words[2], faults.KINDS) if len(words) > 2 else ""
        raise UserError(f"{' '.join(words[1:])}: must be end, or fault {'|'.join(faults.KINDS)}{hint}")
    fault = {"kind": words[2]} | ({} if flags.FLAGS.worker is None else {"worker": flags.FLAGS.worker})
    if flags.FLAGS.text:
        fault["text"] = flags.FLAGS.text
    with w.opened(str(folder)) as world:
        world["faults"].append(fault)
    print(f"{words[2]}: at the next call of the fake gcloud, once a machine is ACTIVE")
    return 0


if __name__ == "__main__":
    flags.DEFINE_integer("worker", None, "fault: of this worker only, counted over all slices.", lower_bound=0)
    flags.DEFINE_string("text", "", "fault crash: what the worker prints.")
    cli.run(main, arguments=None)
