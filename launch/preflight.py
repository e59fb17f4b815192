"""Checks a run before it costs anything, and says what it will do on a slice that is not there.

    python -m launch.preflight --config=configs/NAME.py --workdir=DIR [--config.KEY=VALUE]
    python -m launch.preflight --config=configs/NAME.py --topology=v5e-16 [--tokens=1e10] [--spot] [--nonearest]

Run it with the config and launcher of the training command. It prints one line per check: the config is valid, every
process answers, devices are seen, the workdir can be written, mesh and rows divide, training and held-out scoring
compile, with their memory per device.

With `--topology` the programs of training, evaluation and generation are compiled for TPUs that are not there (needs
libtpu, not a TPU): v5e-16, v5p-128 or v6e:4x4. Of each the memory of a device by part is printed, then FLOPs of a step,
bytes of every kind of collective, the limits of compute, memory and network, tokens a second and MFU at most, hours and
cost of `--tokens`, and go or no-go with the reason and the nearest change that fits. `gpu:8xH200` does the same by
arithmetic alone. The figures of chips and their prices stand in launch/chips.tsv. Of a study (configs/scaling/NAME.py)
every size of every arm is lowered and the largest of each arm is compiled.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from absl import flags

from experiments.common import cli, config_flag
from experiments.common.measuring import parameters
from launch import verdict
from launch.chips import GIB, chip_of
from launch.distributed import Place, initialize, managed, place
from launch.forecast import HORIZON, forecast, tried
from launch.hlo import KINDS
from launch.nearest import likely, nearest
from launch.slices import Slice, slice_of, without_tpu
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.scaling.study import Study, sized
from w2v_jax.storage import check_writable, in_bucket, to_path
from w2v_jax.train.programs import check_rows, programs, stand_in
from w2v_jax.train.sharding import make_mesh


class Wanted(NamedTuple):
    """What a forecast is asked for."""

    tokens: float = 0.0  # 0: what the config trains
    spot: bool = False
    nearest: bool = True  # look for a change that fits
    generation: bool = True  # compile the programs that write text


AS_IT_IS = Wanted()


def check_processes(here: Place | None, timeout_s: float) -> str:
    """Every process of the run answers within `timeout_s`, and then joins. Raises UserError naming the missing ones."""
    initialize(max(1, int(timeout_s)))
    return f"{jax.process_count()} process{'es' if jax.process_count() > 1 else ''} ({managed() or 'joined here'})"


def check_devices() -> str:
    """JAX sees devices, the same number in every process."""
    by_process = dict(Counter(device.process_index for device in jax.devices()))
    if len(set(by_process.values())) > 1:
        raise UserError(f"processes see different numbers of devices: {by_process}: restart the machine that lacks any")
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}, {jax.local_device_count()} in this process"


def check_mesh(config: Config, devices: Sequence[Any]) -> str:
    """Mesh and rows divide over the devices, by the rules of the run itself. UserError: names the keys."""
    mesh = make_mesh(config.mesh, devices)
    rows = check_rows(MODELS[config.family], config, mesh)
    data, model = mesh.shape["data"], mesh.shape["model"]
    idle = f" ({len(devices) - mesh.size} of {len(devices)} devices idle)" if mesh.size < len(devices) else ""
    return f"data {data} x model {model}{idle}; {rows * data} rows a batch = {data} x {rows}"


def check_workdir(workdir: str) -> str:
    """A file can be written and removed in the folder, or in the nearest folder above it that exists."""
    if in_bucket(workdir):
        try:
            check_writable(workdir)
        except OSError as e:
            raise UserError(f"{e.filename}: {e.strerror}") from None
        return f"{workdir} can be written"
    folder = to_path(workdir).absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; choose another --workdir")
    try:
        with tempfile.TemporaryFile(dir=folder) as f:
            f.write(b"preflight")
            f.flush()
    except OSError as e:
        raise UserError(f"{workdir}: cannot be written ({e.strerror}); choose another --workdir") from None
    return f"{workdir} can be written, {shutil.disk_usage(folder).free / GIB:.1f} GiB free"


def check_step(config: Config, devices: Sequence[Any] | None, vocab_size: int) -> str:
    """Training and held-out scoring compile for the devices. Returns their memory per device, and their collectives.

    These are the programs of the run. It finds them in its compile cache if its text has the stated vocabulary and
    `log.eval_steps` batches of held-out text. On several CPU devices the training program contains the length of the
    schedule, so that a decaying schedule is compiled again.
    """
    words = stand_in(config, vocab_size)
    made, count = programs(config, words, devices), config.log.eval_steps or 1
    lines = [f"V = {len(words.counts):,}", _compiled("training", made.train(HORIZON))]
    lines.append(_compiled(f"scoring of {count} held-out batches", made.evaluate(count)))
    if not config.log.eval_steps:
        lines.append("log.eval_steps=0: the run scores all of the held-out text in one call, which needs more memory")
    if not made.takes_horizon and config.optimizer.schedule in ("linear", "cosine", "step"):
        lines.append("the run compiles training again, for the length of its text")
    return "; ".join(lines)


def _compiled(what: str, program: Any) -> str:
    compiled, seconds, failure = tried(program.compile)
    if compiled is None:
        raise UserError(f"{what} {failure}")
    parts = [f"{what} compiled in {seconds:.0f} s"]
    if (memory := compiled.memory_analysis()) is not None:
        sizes = (memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes)
        names = ("arguments", "outputs", "working space")
        parts.append("a device: " + ", ".join(f"{n} {s / GIB:.3f} GiB" for n, s in zip(names, sizes, strict=True)))
        if memory.alias_size_in_bytes:
            parts.append(f"{memory.alias_size_in_bytes / GIB:.3f} GiB of the outputs in place of arguments")
    text = compiled.as_text() or ""
    found = [f"{n} {kind}" for kind in KINDS if (n := text.count(f" {kind}(") + text.count(f" {kind}-start("))]
    return ", ".join([*parts, "collectives: " + (" + ".join(found) or "none")])


def largest_of(study: Study, arm: str, devices: Sequence[Any], vocab_size: int) -> tuple[str, Config]:
    """(a line, the config of the largest size of an arm): every size of it lowers. UserError: names the size that does
    not."""
    vocab_size, sizes, weights = study.vocabulary or vocab_size, study.arms[arm].sizes, []
    configs = [dataclasses.replace(sized(study.arms[arm].run, size), data=study.data) for size in sizes]
    for size, config in zip(sizes, configs, strict=True):
        try:
            made = programs(config, stand_in(config, vocab_size), devices)
            if getattr(devices[0], "client", None) is not None:  # not GPUs that are only counted
                made.train(HORIZON).lower()
        except UserError as e:
            raise UserError(f"size {size!r}: {e}") from None
        weights.append(parameters(made.state.params))
    largest = weights.index(max(weights))
    return f"{len(sizes)} size{'s' if len(sizes) > 1 else ''} lower; the largest, {sizes[largest]!r}", configs[largest]


def lowered(study: Study, arm: str, devices: Sequence[Any], vocab_size: int, found: list[Config]) -> str:
    """The line of `largest_of`; `found` gets the config. UserError: as there."""
    line, config = largest_of(study, arm, devices, vocab_size)
    found.append(config)
    return line


def check_arm(study: Study, arm: str, devices: Sequence[Any], vocab_size: int) -> str:
    """Every size of an arm lowers; the largest compiles. UserError: names the size that does not."""
    line, config = largest_of(study, arm, devices, vocab_size)
    return f"{line}: {check_step(config, devices, study.vocabulary or vocab_size)}"


def report_forecast(config: Config, where: Slice, vocab_size: int, wanted: Wanted, name: str = "") -> bool:
    """Prints what a run will do on a slice, and go or no-go; False for no-go."""
    try:
        found = forecast(config, where, vocab_size, wanted.generation)
    except UserError as e:
        print(f"FAIL  {name}forecast: {e}", flush=True)
        return False
    tokens = wanted.tokens or config.train.max_steps * found.units
    for line in [*verdict.lines(found, tokens, wanted.spot), *(f"note: {remark}" for remark in found.remarks)]:
        print(f"ok    {name}{line}", flush=True)
    if not found.reasons:
        print(f"ok    {name}go", flush=True)
        return True
    for reason in found.reasons:
        print(f"FAIL  {name}no-go: {reason}", flush=True)
    if not wanted.nearest:
        if guess := likely(found, vocab_size):
            keys = " ".join(f"--config.{key}={value}" for key, value in guess[0].items())
            print(f"      {name}by arithmetic, not compiled, {keys} fits ({guess[1] / GIB:.1f} GiB)", flush=True)
    else:
        change = nearest(found, vocab_size)
        print(f"      {name}{'nothing near it was found to fit' if change is None else f'nearest that fits: {change}'}")
    return False


def report(name: str, check: Callable[[], str]) -> bool:
    """Runs one check and prints its line; False when it failed. Only failures are printed by every process."""
    try:
        line = check()
        if jax.process_index() == 0:  # the processes have joined: that is the first check
            print(f"ok    {name}: {line}", flush=True)
    except UserError as e:
        print(f"FAIL  {name}: {e}", flush=True)
        return False
    return True


def preflight(
    config: Config | Study,
    workdir: str,
    topology: str,
    vocab_size: int,
    timeout_s: float,
    wanted: Wanted = AS_IT_IS,
) -> int:
    """Makes every check, and returns the number of those that failed.

    An empty `workdir` is not checked. `topology` names a slice, '' the devices that are here. `vocab_size` is used
    where the config does not state it, and other processes have `timeout_s` seconds to answer.
    """
    if topology:
        without_tpu()
    if not report("processes", lambda: check_processes(place(), timeout_s)):
        return 1  # asking for devices would wait for the missing ones
    name = f"a study of {len(config.arms)} arms" if isinstance(config, Study) else config.family
    report("config", lambda: f"{name}, every key and value")
    devices: list[Any] = []
    where: list[Slice] = []

    def find() -> str:
        if topology:
            where.append(slice_of(topology))
            devices.extend(where[0].devices)
            return f"{where[0].name}: {len(devices)} x {devices[0].device_kind}"
        devices.extend(jax.devices())
        here = chip_of(devices[0].device_kind)
        if here is not None and here.tpu:
            where.append(Slice("the devices here", here, devices))
        return check_devices()

    results = [report("topology" if topology else "devices", find)]
    if workdir:
        results.append(report("workdir", lambda: check_workdir(workdir)))
    if not results[0]:
        return results.count(False)
    if isinstance(config, Study):
        for arm in config.arms:
            if not where:
                results.append(report(f"arm {arm}", partial(check_arm, config, arm, devices, vocab_size)))
                continue
            found: list[Config] = []
            results.append(report(f"arm {arm}", partial(lowered, config, arm, devices, vocab_size, found)))
            for largest in found:
                most = wanted._replace(tokens=wanted.tokens or max(config.arms[arm].tokens or config.tokens or (0,)))
                vocabulary = config.vocabulary or vocab_size
                results.append(report_forecast(largest, where[0], vocabulary, most, f"arm {arm}: "))
    else:
        results.append(report("mesh", lambda: check_mesh(config, devices)))
        if results[-1] and where:
            results.append(report_forecast(config, where[0], vocab_size, wanted))
        elif results[-1]:
            results.append(report("step", lambda: check_step(config, devices, vocab_size)))
    return results.count(False)


def main(argv: Sequence[str]) -> int:
    """Prints the checks; returns the exit status."""
    chosen = flags.FLAGS
    path, changes = config_flag.given(example="configs/demo.py")
    wanted: Any = config_flag.load(path, object, changes)  # a Config or a Study
    if chosen.compile_cache:
        config_flag.set_compile_cache(wanted.data.cache_dir)
    asked = Wanted(chosen.tokens, chosen.spot, chosen.nearest, chosen.generation)
    failed = preflight(wanted, chosen.workdir, chosen.topology, chosen.vocab_size, chosen.timeout, asked)
    if failed:
        print(f"error: {failed} check{'s' if failed > 1 else ''} failed", file=sys.stderr)
        # Exits without waiting for the other processes, which may be missing.
        sys.stdout.flush()
        os._exit(2)
    return 0


if __name__ == "__main__":
    config_flag.define()
    flags.DEFINE_string("workdir", "", "The run's folder.")
    flags.DEFINE_string("topology", "", "Compile for this slice, which need not exist: v5e-16, v5e:2x4, gpu:8xH200.")
    flags.DEFINE_float("tokens", 0.0, "Tokens or words to state hours and cost of; 0: what the config says.", 0.0)
    flags.DEFINE_bool("spot", False, "Cost at the price of spot machines.")
    flags.DEFINE_bool("nearest", True, "Where a run does not fit, look for the nearest change that does.")
    flags.DEFINE_bool("generation", True, "Also compile the programs that write text.")
    flags.DEFINE_integer("vocab_size", 50_000, "Words of the vocabulary, where the config does not state them.")
    flags.DEFINE_bool("compile_cache", True, "Keep compiled programs in the cache folder, for the run.")
    flags.DEFINE_integer("timeout", 60, "Seconds to wait for the other processes.", lower_bound=1)
    cli.run(main)
