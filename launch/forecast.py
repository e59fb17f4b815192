"""What a run will do on a slice: memory by part, the limits on a step, hours and cost, and whether it fits.

    seconds of a step ~ max(FLOPs / peak, bytes of HBM / its rate, sum over collectives of bytes / rate of their links)

The three limits are taken from the compiled program. No program reaches the peak, and the three only partly overlap, so
tokens a second and MFU are called "at most". They are no strict bounds: bytes of HBM may be counted too high, and
collectives are summed as if none overlapped. For GPUs nothing is compiled: memory and network are then
arithmetic from shapes and shardings, and the memory limit is that of reading and writing the state.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from launch.chips import GIB
from launch.flops import step_flops, units_of
from launch.hlo import Collective, Moved, axes_of, moved
from launch.slices import Slice
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.models.generation import text_keys
from w2v_jax.nn.sampling import Sampling
from w2v_jax.scaling.ledger import ledger
from w2v_jax.train.applied import Applied
from w2v_jax.train.gradients import with_row
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import Programs, programs, stand_in

HORIZON = Horizon(1000, 1000)  # stands in for the length of a schedule, which only the text tells


class Memory(NamedTuple):
    """Bytes on one device while a program runs."""

    parameters: float
    optimizer: float  # state of the optimiser, and the carry
    batch: float  # the batches of one call, and constants
    working: float  # what the program makes in between, and its outputs

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


class Compiled(NamedTuple):
    """One program of a run, compiled or counted for a slice."""

    memory: Memory | None  # None: it does not compile
    seconds: float  # to compile
    text: str  # of the compiled program
    failure: str  # one line; empty where it compiled


class Forecast(NamedTuple):
    """What one step does, and what it needs. Times are in seconds."""

    config: Config
    where: Slice
    mesh: tuple[int, int]  # data, model
    programs: dict[str, Compiled]  # training, evaluation, generation
    flops: float  # of a step, on all devices
    model_flops: float
    units: float  # of a step
    unit: str
    moved: Moved  # by one device
    limits: dict[str, float]  # compute, memory, network
    reasons: tuple[str, ...]  # why it is a no-go; empty for go
    remarks: tuple[str, ...]

    @property
    def limit(self) -> str:
        """The largest of the limits."""
        return max(self.limits, key=lambda name: self.limits[name])

    @property
    def rate(self) -> float:
        """Units a second at most."""
        return self.units / self.limits[self.limit]

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation at most: of the peak of all chips."""
        return self.model_flops / self.limits[self.limit] / (len(self.where.devices) * self.where.chip.flops)

    def sent(self) -> dict[tuple[str, str], float]:
        """{(kind of collective, axes of the mesh): bytes that a device receives in a step}."""
        total: dict[tuple[str, str], float] = defaultdict(float)
        for one in self.moved.collectives:
            total[one.kind, axes_of(one.groups, *self.mesh)] += one.sent()
        return dict(total)


def forecast(config: Config, where: Slice, vocab_size: int = 0, generation: bool = True) -> Forecast:
    """Compiles a run for a slice, or counts it, and says what a step will do.

    `generation` also compiles the programs that write text, on one device. UserError: the mesh or the vocabulary does
    not fit the config; a program that does not compile or fit is a reason of the result, not an error.
    """
    words = stand_in(config, vocab_size)
    made = programs(config, words, where.devices)
    mesh = (made.mesh.shape["data"], made.mesh.shape["model"])
    if where.compiles:
        found = {
            "training": compiled(made.train(HORIZON), made),
            "evaluation": compiled(made.evaluate(config.log.eval_steps or 1), made, kept=True),
        }
        if generation and can_write(made):
            found["generation"] = written(made, where.devices[0])
        happens = moved(found["training"].text, config.train.steps_per_call, made.mesh.size)
    else:
        found, happens = counted(made, len(words.counts))
    flops, units = step_flops(made), units_of(made)
    each, unit = made.spec.flops(made.cfg)
    limits = {
        "compute": flops / (made.mesh.size * where.chip.flops),
        "memory": happens.memory / where.chip.hbm_rate,
        "network": sum(
            one.sent() / where.rate([made.mesh.devices.flat[i] for i in one.groups[0]]) for one in happens.collectives
        ),
    }
    reasons, remarks = judged(made, where, found, happens)
    return Forecast(
        config, where, mesh, found, flops, each * units, units, unit, happens, limits, tuple(reasons), tuple(remarks)
    )


def on_a_device(tree: Any) -> float:
    """Bytes of a tree of shapes with shardings on one device."""
    return float(
        sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree) if x.size)
    )


def compiled(program: Any, made: Programs, kept: bool = False) -> Compiled:
    """Compiles a program of a run and reads its memory. `kept`: the optimiser's state stays in memory beside it."""
    done, seconds, failure = tried(program.compile)
    if done is None:
        return Compiled(None, seconds, "", failure)
    memory = done.memory_analysis()
    text = done.as_text() or ""
    if memory is None:
        return Compiled(None, seconds, text, "the compiler does not say what memory it needs")
    whole, parameters = on_a_device(made.state), on_a_device(made.state.params)
    arguments = float(memory.argument_size_in_bytes)
    held = parameters if kept else whole
    outputs = max(0, memory.output_size_in_bytes - memory.alias_size_in_bytes) + memory.generated_code_size_in_bytes
    parts = Memory(
        parameters,
        whole - parameters,
        max(0.0, arguments - held),
        float(memory.temp_size_in_bytes + outputs) + min(0.0, arguments - held),
    )
    return Compiled(parts, seconds, text, "")


def tried(compile: Callable[[], Any]) -> tuple[Any, float, str]:
    """(the compiled program, or None; seconds; why it does not compile, on one line). UserError: as `compile`."""
    start = time.monotonic()
    try:
        return compile(), time.monotonic() - start, ""
    except UserError:
        raise
    except Exception as e:  # any error of the compiler
        return None, time.monotonic() - start, one_line(e)


def one_line(error: Exception) -> str:
    """A failure of the compiler on one line; of memory only how much was needed and how much there is."""
    text = " ".join(str(error).split())
    used = re.search(r"Used ([\d.]+)([KMG]) of ([\d.]+)([KMG]) (\w+)", text)
    if used:
        return f"needs {used[1]} {used[2]}iB of {used[3]} {used[4]}iB of {used[5]}"
    over = re.search(r"required for (.*?) \(([\d.]+)([KMG])\) exceeds available HBM \(([\d.]+)([KMG])\)", text)
    if over:
        return f"needs {over[2]} {over[3]}iB of {over[4]} {over[5]}iB for {over[1]}"
    return f"does not compile: {type(error).__name__}: {text[:300]}"


def can_write(made: Programs) -> bool:
    """Whether the model of a run writes text."""
    return bool(made.spec.decode and made.spec.encode and made.spec.encode.causal(made.cfg))


def written(made: Programs, device: Any) -> Compiled:
    """The loop that writes one text of the model's longest length, half of it the prompt, on one device."""
    spec, decode = made.spec, made.spec.decode
    assert decode is not None
    alone, whole = jax.sharding.SingleDeviceSharding(device), decode.context(made.cfg) or 1024

    def there(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=alone), tree)

    applied = Applied(spec, made.cfg)
    weights = there(jax.eval_shape(applied.weights, made.state.params))
    logits, kept = jax.eval_shape(
        applied.prefill(1, whole), weights, made.consts, jax.ShapeDtypeStruct((whole // 2,), "int32")
    )
    keys = jax.eval_shape(lambda: text_keys(0, 1))
    loop = applied.write(Sampling(), whole - whole // 2, None)
    shapes = (weights, *map(there, (made.consts, kept, logits, keys)))
    done, seconds, failure = tried(lambda: loop.lower(*shapes).compile())
    if done is None:
        return Compiled(None, seconds, "", failure)
    memory, size = done.memory_analysis(), on_a_device(weights)
    rest = float(memory.argument_size_in_bytes) - size
    working = float(memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes)
    return Compiled(Memory(size, 0.0, rest, working), seconds, done.as_text() or "", "")


def counted(made: Programs, vocabulary: int) -> tuple[dict[str, Compiled], Moved]:
    """Memory and traffic of the training step from shapes and shardings alone, without a compiler.

    Working space: what the gradient keeps of one microbatch, and gradients, and under full sharding the gathered
    parameters. Network: sums of gradients, the gathering of parameters, and the rows of tables; what tensor parallelism
    sends of a transformer is not in it.
    """
    config, (data, model) = made.config, (made.mesh.shape["data"], made.mesh.shape["model"])
    whole, parameters = on_a_device(made.state), on_a_device(made.state.params)
    dense = {k: v for k, v in made.state.params.items() if k not in made.state.row_state}
    gathered = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(dense)) / model
    kept = ledger(config, vocabulary).activation_bytes / data / model
    shapes = made.spec.trained.shapes(made.cfg, config.train.batch_size).values()
    batch = sum(math.prod(s.shape) * s.dtype.itemsize for s in shapes) / data * config.train.steps_per_call
    working = kept + gathered * (2 if config.mesh.fsdp else 1)
    memory = Memory(parameters, whole - parameters, batch, working)
    rows = tuple(tuple(range(j, data * model, model)) for j in range(model))
    columns = tuple(tuple(range(i * model, (i + 1) * model)) for i in range(data))
    kinds = ("all-gather", "reduce-scatter") if config.mesh.fsdp else ("all-reduce",)
    sent = [Collective(kind, gathered, rows, 1.0) for kind in kinds]
    by_rows = {k: made.state.params[k] for k in made.state.row_state}
    moving = 2 * (whole - on_a_device((by_rows, made.state.row_state)))
    for size in _rows_touched(made).values():  # read by the loss, gathered from all devices, and updated
        moving += size * (2 / data + 2 + 3 / model)
        sent += [Collective("all-gather", size, rows, 1.0), Collective("all-reduce", size / data, columns, 1.0)]
    sent = [one for one in sent if len(one.groups[0]) > 1 and one.size]
    return {"training": Compiled(memory, 0.0, "", "")}, Moved(moving, tuple(sent))


def _rows_touched(made: Programs) -> dict[str, float]:
    """Bytes of the rows that one step gathers of each table that is updated by rows, on all devices together."""
    spec, batch = made.spec.trained, dict(made.spec.trained.shapes(made.cfg, made.config.train.batch_size))

    def ids(consts: Any, batch: Any) -> Any:
        return spec.rows(made.cfg, consts, with_row(batch), jax.random.key(0))[0]

    consts = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), made.consts)
    found = jax.eval_shape(ids, consts, batch)
    widths = {name: made.state.params[name].shape[1] * made.state.params[name].dtype.itemsize for name in found}
    return {name: float(index.size * widths[name]) for name, index in found.items()}


def judged(made: Programs, where: Slice, found: dict[str, Compiled], happens: Moved) -> tuple[list[str], list[str]]:
    """(why the run cannot or should not be made so, what else to know)."""
    reasons: list[str] = []
    remarks: list[str] = []
    room = where.chip.hbm
    for name, program in found.items():
        said = reasons if name != "generation" else remarks
        if program.failure:
            said.append(f"{name} {program.failure}")
        elif program.memory is not None and program.memory.total > room:
            said.append(f"{name} needs {program.memory.total / GIB:.2f} GiB of {room / GIB:.2f} GiB on a device")
    reasons.extend(gathered_tables(made, happens))
    if not made.config.log.eval_steps:
        remarks.append("log.eval_steps=0: the run scores all held-out text in one call, which needs more memory")
    if not where.compiles and made.mesh.shape["model"] > 1 and len(made.state.params) > len(made.state.row_state):
        remarks.append("network: what mesh.model sends to split the layers is not counted for GPUs, so time is too low")
    if where.compiles and made.mesh.size < len(where.devices):
        remarks.append(f"{len(where.devices) - made.mesh.size} of {len(where.devices)} devices are idle")
    return reasons, remarks


def gathered_tables(made: Programs, happens: Moved) -> list[str]:
    """Tables that are updated by rows, and yet sent whole: the time of a step then grows with the vocabulary."""
    found, axes = [], made.mesh.shape
    for name in made.state.row_state:
        table = made.state.params[name]
        whole = float(table.size * table.dtype.itemsize)
        shard = float(math.prod(table.sharding.shard_shape(table.shape)) * table.dtype.itemsize)
        # A sum is over the device's own part, or more; a gathered table is larger than that part.
        sizes = {shard, *(whole / n for n in (1, axes["data"], axes["model"]) if whole / n > shard)}
        kinds = sorted(
            {
                one.kind
                for one in happens.collectives
                if one.size in sizes and (one.size > shard or "reduce" in one.kind)
            }
        )
        if kinds:
            found.append(f"table {name} {tuple(table.shape)} is sent whole in every step ({', '.join(kinds)})")
    return found
