"""Trains any config of any model family: `python -m experiments.train --config=configs/NAME.py --workdir=DIR`.

The same command continues an interrupted workdir, and prints the result of a finished one.
Exit status: 0 finished, 1 the loss diverged, 2 bad input, 128 + n stopped by signal n. A signal saves first, once
training has begun; before the first call there is nothing new to save.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from absl import flags

from experiments.common import cli, config_flag
from launch import distributed
from w2v_jax.errors import UserError
from w2v_jax.train import loop


def profile_steps(value: list[str] | None) -> tuple[int, int] | None:
    """(first, last) of the flag. UserError: not two rising numbers."""
    if value is None:
        return None
    if len(value) != 2 or not all(v.isdigit() for v in value) or int(value[0]) >= int(value[1]):
        raise UserError(f"--profile_steps={','.join(value)}: must be two rising step numbers, e.g. 100,200")
    return int(value[0]), int(value[1])


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    config = config_flag.parsed()
    workdir = cli.workdir("give the folder of the run, e.g. --workdir=runs/demo")
    steps = profile_steps(f.profile_steps)
    if f.compile_cache:
        config_flag.set_compile_cache(config.data.cache_dir)
    distributed.initialize()
    print(json.dumps(loop.train(config, workdir, profile=steps)))
    return 0


if __name__ == "__main__":
    config_flag.define()
    flags.DEFINE_string("workdir", None, "Run folder: made, continued, or read when it is finished.")
    flags.DEFINE_list("profile_steps", None, "FIRST,LAST: traces these steps into WORKDIR/profile.")
    flags.DEFINE_bool("compile_cache", True, "Keeps compiled programs in the cache folder for the next start.")
    cli.run(main, continues=True)
