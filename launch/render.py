"""Writes the run of a command as a file for GKE or Slurm, on standard output.

    python -m launch.render gke NAME --accelerator=v5litepod-16 --image=IMAGE [--slices=2] [--spot] -- COMMAND
    python -m launch.render slurm NAME --nodes=2 --gpus=8 [--time=24:00:00] [--partition=P] -- COMMAND

Nothing is run. Exit status: 0 done, 2 bad input.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.common import cli
from launch.cloud import command as commands
from launch.cloud import render, ship
from launch.cloud.accelerators import slice_of
from w2v_jax.errors import UserError, nearest


def main(argv: Sequence[str]) -> int:
    """Prints the file; returns the exit status."""
    words = list(argv[1:])
    if len(words) < 2:
        raise UserError("no name: python -m launch.render gke|slurm NAME -- COMMAND")
    kind, name, *command = words
    f = flags.FLAGS
    here = Path(f.folder) if f.folder else ship.ROOT
    configs = commands.check_config(command, here, shipped=False)
    if kind == "gke":
        text = render.jobset(
            name, f.accelerator, f.image, command, f.slices, f.restarts, f.service_account, f.spot, f.max_hours
        )
        piece = slice_of(f.accelerator)
        devices = (f.slices * piece.chips, f.slices * piece.hosts)
    elif kind == "slurm":
        text = render.slurm(name, command, f.nodes, f.gpus, f.time, f.partition, f.account, f.folder)
        devices = (f.nodes * f.gpus, f.nodes * f.gpus)
    else:
        raise UserError(f"{kind!r}: must be gke or slurm{nearest(kind, ('gke', 'slurm'))}")
    commands.check_mesh(command, configs, *devices)
    print(text, end="")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("accelerator", "", "gke: type and size of a slice, e.g. v5litepod-16.")
    flags.DEFINE_string("image", "", "gke: container image with this project and its environment.")
    flags.DEFINE_integer("slices", 1, "gke: number of slices, joined by the data-centre network.")
    flags.DEFINE_integer("restarts", 20, "gke: how often all pods are started again.", lower_bound=0)
    flags.DEFINE_string("service_account", "", "gke: Kubernetes service account, which may use the bucket.")
    flags.DEFINE_bool("spot", False, "gke: on spot nodes.")
    flags.DEFINE_float("max_hours", 24.0, "gke: longest time of one start.", lower_bound=0.01, upper_bound=8760)
    flags.DEFINE_integer("nodes", 1, "slurm: number of machines.")
    flags.DEFINE_integer("gpus", 8, "slurm: GPUs, and processes, of each machine.")
    flags.DEFINE_string("time", "24:00:00", "slurm: longest time of one start.")
    flags.DEFINE_string("partition", "", "slurm: partition.")
    flags.DEFINE_string("account", "", "slurm: account.")
    flags.DEFINE_string("folder", "", "slurm: the checkout; the folder of sbatch when empty.")
    cli.run(main, arguments=None)
