"""Every family on some mesh of some processes: `python -m tests.meshes OUT.npz --layouts=data,fsdp` and further flags.

Each process runs it; process 0 writes what was computed. All families are tried in one start, as starting is dear.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tests.examples import batch_size_for, random_batch, trained_families, words_of
from w2v_jax.config import Config, DataConfig, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train import loop, world
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.device import fetch, place, send, send_flag
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import Programs, programs

VOCAB, DIM, ROWS, STEPS = 48, 8, 8, 3  # words; up to 8 devices divide the width and the batch; steps of one call
LAYOUTS = {"data": MeshConfig(), "fsdp": MeshConfig(fsdp=True), "tensor": MeshConfig(model=2)}
LAYOUTS |= {"both": MeshConfig(model=2, fsdp=True), "one": MeshConfig(data=1)}
CALLS = 4  # of `continued`


def config_of(family: str, layout: str) -> Config:
    """The first example of a family on a mesh, of a width that it divides."""
    spec = MODELS[family]
    model = dataclasses.replace(spec.examples[0], dim=DIM - (family == "glove"))  # which has a bias beside its vectors
    train = TrainConfig(batch_size=batch_size_for(spec, spec.resolve(model, VOCAB), ROWS), steps_per_call=STEPS)
    return Config(family, model, OptimizerConfig(learning_rate=0.05), train, mesh=LAYOUTS[layout])


class Training:
    """One family's training on made-up batches, without a text. What it compiles is used again: see `training_of`."""

    def __init__(self, config: Config) -> None:
        self.made: Programs = programs(config, words_of(VOCAB))
        self.mesh = self.made.mesh
        self.consts = jax.tree.map(lambda x: place(self.mesh, x), self.made.consts)
        self.call = self.made.training(Horizon(CALLS * STEPS, CALLS * STEPS), self.consts)

    @functools.cached_property
    def first(self) -> Any:
        """The compiled program of `start`."""
        return self.made.start().compile()

    def start(self) -> Any:
        return self.first(self.consts)

    def batches(self, number: int) -> dict[str, np.ndarray]:
        """This process's rows of the batches of a call."""
        rng, size = np.random.default_rng(number), self.made.config.train.batch_size
        steps = [random_batch(self.made.spec, self.made.cfg, size, rng) for _ in range(STEPS)]
        whole = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
        share = {name: x.shape[1] // world.count() for name, x in whole.items()}
        return {name: x[:, world.index() * share[name] :][:, : share[name]] for name, x in whole.items()}

    def go_on(self, state: Any, number: int) -> tuple[Any, float]:
        """(the state after call `number`, its mean loss)."""
        stack = send(self.mesh, self.batches(number))
        state, metrics, _ = self.call(state, stack, place(self.mesh, np.int32(STEPS)), send_flag(self.mesh, 0))
        total, count = jax.device_get(metrics["loss"])
        return state, float(total) / float(count)

    def arrays(self, state: Any) -> dict[str, np.ndarray]:
        """The whole parameters."""
        return {
            jax.tree_util.keystr(p): fetch(self.mesh, x) for p, x in jax.tree_util.tree_leaves_with_path(state.params)
        }


@functools.lru_cache(maxsize=4)
def training_of(family: str, layout: str) -> Training:
    """The training of a family, made once a process. UserError: the mesh cannot split the model."""
    return Training(config_of(family, layout))


def trained(family: str, layout: str) -> dict[str, np.ndarray]:
    """Loss and parameters after one call. UserError: the mesh cannot split the model."""
    training = training_of(family, layout)
    state, loss = training.go_on(training.start(), 0)
    return {"loss": np.float64(loss)} | training.arrays(state)


def continued(family: str, layout: str, folder: Path, number: int, found: bool) -> dict[str, np.ndarray]:
    """Loss and parameters of call `number` of a family, after the checkpoint in `folder`, which is replaced."""
    training = training_of(family, layout)
    with Checkpointer(folder) as checkpoints:
        restored = checkpoints.restore(training.made.state)
        assert (restored is not None) == found
        state, loss = training.go_on(training.start() if restored is None else restored[1], number)
        checkpoints.save((number + 1) * STEPS, state, {}, block=True)
    return {"loss": np.float64(loss)} | training.arrays(state)


def fitted(family: str, text: Path, workdir: Path) -> dict[str, np.ndarray]:
    """What a fitted family's run logs, and its vectors or the first of its arrays."""
    config = Config(family, MODELS[family].examples[0], data=DataConfig(source=f"text:{text}", min_count=2))
    result = loop.train(config, workdir, say=lambda line: None)
    return {k: np.float64(v) for k, v in result.items() if isinstance(v, float) and k not in ("seconds",)}


def fitted_families() -> list[str]:
    """The families that are solved, by name."""
    return [name for name, spec in MODELS.items() if spec.fit is not None]


def cells(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(name, arrays) of everything that was asked for."""
    families = options.families.split(",") if options.families else list(trained_families())
    for family in families if options.layouts else ():
        for layout in options.layouts.split(","):
            try:
                yield f"{family} {layout}", trained(family, layout)
            except UserError as e:
                yield f"{family} {layout}", {"refused": np.array(str(e))}
    if options.checkpoint:
        saved = Path(options.checkpoint)
        yield "checkpoint", continued(options.saved_family, options.mesh, saved, options.call, options.call > 0)
    for family in (options.fitted.split(",") if options.fitted else fitted_families()) if options.text else ():
        yield family, fitted(family, Path(options.text), Path(options.workdir) / family)


def main(argv: Sequence[str] | None = None) -> None:
    """Computes what the flags name."""
    from launch import distributed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    for name in ("layouts", "families", "checkpoint", "text", "fitted", "workdir"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--mesh", default="both")
    parser.add_argument("--saved_family", default="transformer")
    parser.add_argument("--call", type=int, default=0)
    options = parser.parse_args(argv)
    distributed.initialize()
    found = {f"{name} {key}": x for name, arrays in cells(options) for key, x in arrays.items()}
    if world.index() == 0:
        np.savez(options.out, **found)


if __name__ == "__main__":
    main()
