"""The forecast of every shipped pod config on its slices, as records and as the table of docs/preflight.md.

    python -m launch.preflight_table [--only=gpt2_pod@v5e-16,...] [--minutes=60] [--render] [--fill]

Needs libtpu (`pip install -e '.[tpu]'`), no TPU. Each config on each slice is compiled, training, evaluation and
generation, and written into results/preflight/ as soon as it is done; records that are there are kept, unless `--only`
names them. `--fill` adds generation to records without it, compiled once for each kind of chip. `--render` compiles
nothing and writes the table between the markers of docs/preflight.md from the records.
A config on a slice takes one to three minutes on 2 cores; after `--minutes` no other is begun. Exit status 0: the table
is whole; 1: some are missing.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.util
import json
import math
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from experiments.common import cli
from experiments.common.config_flag import load
from launch.chips import GIB
from launch.forecast import Compiled, Forecast, can_write, forecast, written
from launch.nearest import likely, nearest
from launch.slices import price, slice_of, without_tpu
from launch.verdict import hours
from w2v_jax.config import Config
from w2v_jax.errors import UserError
from w2v_jax.files import write_json, write_text
from w2v_jax.scaling.study import Study, sized
from w2v_jax.tables import markdown
from w2v_jax.train.programs import programs, stand_in

ROOT = Path(__file__).resolve().parent.parent
RECORDS, PAGE = ROOT / "results/preflight", ROOT / "docs/preflight.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


class Entry(NamedTuple):
    """A config, the size of its vocabulary, the tokens that hours and cost are of, and its slices."""

    file: str
    vocabulary: int
    tokens: float
    slices: tuple[str, ...]


POD = ("v5e-16", "v5e-256", "v5p-128", "gpu:8xH200")
SHIPPED = {
    "gpt2_pod": Entry("configs/gpt2_pod.py", 50_257, 1e10, POD),
    "lm1b_pod": Entry("configs/lm1b_pod.py", 400_000, 4e9, POD),
    "transformer_1b_pod": Entry("configs/transformer_1b_pod.py", 32_000, 2e10, POD),
    "context_pod": Entry("configs/context_pod.py", 131_074, 1.3e10, ("v5e-16", "gpu:8xH200")),
    "scaling/pod": Entry("configs/scaling/pod.py", 32_000, 1.6e10, ("v5e-8", "gpu:8xH200")),
}


def wanted() -> list[tuple[str, str]]:
    """(config, slice) of every line of the table."""
    return [(name, where) for name, entry in SHIPPED.items() for where in entry.slices]


def config_of(name: str) -> Config:
    """A shipped config; of a study its largest run."""
    entry = SHIPPED[name]
    found: Any = load(str(ROOT / entry.file), object)
    if not isinstance(found, Study):
        return found
    arm = next(iter(found.arms.values()))
    return dataclasses.replace(sized(arm.run, arm.sizes[-1]), data=found.data)


def path_of(name: str, where: str) -> Path:
    """The record of a config on a slice."""
    return RECORDS / f"{name}.{where}.json".replace("/", "_").replace(":", "_")


def read(name: str, where: str) -> dict[str, Any]:
    """The record of a config on a slice; of one that was not made only the two names."""
    path = path_of(name, where)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"config": name, "slice": where}


def record(name: str, where: str, generation: bool = True) -> dict[str, Any]:
    """Compiles a config for a slice and returns what it found, as JSON can hold it."""
    entry, at = SHIPPED[name], slice_of(where)
    found = forecast(config_of(name), at, entry.vocabulary, generation)
    out = summary(found, entry.tokens) | {"config": name, "slice": where}
    if found.reasons:
        change = nearest(found, entry.vocabulary)
        out["nearest"] = None if change is None else {"keys": change.keys} | summary(change.forecast, entry.tokens)
        if change is None and (guess := likely(found, entry.vocabulary)):
            out["likely"] = {"keys": guess[0], "bytes": guess[1]}
    return out


def summary(found: Forecast, tokens: float) -> dict[str, Any]:
    """The figures of a forecast."""
    took = hours(found, tokens)
    return {
        "date": datetime.date.today().isoformat(),
        "versions": {p: version(p) for p in ("jax", "jaxlib", "libtpu") if importlib.util.find_spec(p)},
        "chips": len(found.where.devices),
        "topology": found.where.name,
        "mesh": list(found.mesh),
        "hbm_bytes": found.where.chip.hbm,
        "programs": {key: _program(p) for key, p in found.programs.items()},
        "flops": found.flops,
        "model_flops": found.model_flops,
        "units": found.units,
        "unit": found.unit,
        "hbm_moved": found.moved.memory,
        "received": {f"{kind} over {axes}": round(size) for (kind, axes), size in found.sent().items()},
        "limits": found.limits,
        "rate": found.rate,
        "mfu": found.mfu,
        "tokens": tokens,
        "hours": took,
        "usd": None if math.isnan(price(found.where, took)) else price(found.where, took),
        "reasons": list(found.reasons),
        "remarks": list(found.remarks),
    }


def _program(found: Compiled) -> dict[str, Any]:
    memory = None if found.memory is None else {k: round(v) for k, v in found.memory._asdict().items()}
    return {"bytes": memory, "seconds": round(found.seconds, 1), "failure": found.failure}


def fill(minutes: float, begun: float) -> None:
    """Compiles generation for the records that have none, on one device of each kind of chip."""
    done: dict[tuple[str, str], dict[str, Any]] = {}
    for name, where in wanted():
        one = read(name, where)
        if "programs" not in one or "generation" in one["programs"] or where.startswith("gpu:"):
            continue
        if time.monotonic() - begun > 60 * minutes:
            return
        at, config = slice_of(where), config_of(name)
        made = programs(config, stand_in(config, SHIPPED[name].vocabulary), at.devices)
        if not can_write(made):
            continue
        if (key := (name, at.chip.name)) not in done:
            done[key] = _program(written(made, at.devices[0])) | {"date": datetime.date.today().isoformat()}
            print(f"{name} writes text on one chip of {at.chip.name}: {_gib(done[key])} GiB", flush=True)
        one["programs"]["generation"] = done[key]
        write_json(path_of(name, where), one, indent=1)


def rows(records: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The table: one line for each record, the header first."""
    names = ["training, GiB", "evaluation", "generation", "of", "compute, ms", "memory", "network", "at most", "MFU"]
    out = [["config", "slice", "mesh", *names, "tokens or words", "hours", "US$", "verdict"]]
    for one in records:
        if "programs" not in one:
            out.append([one["config"], one["slice"], *["-"] * (len(out[0]) - 3), "not compiled yet"])
            continue
        said = "go" if not one["reasons"] else "no-go: " + "; ".join(one["reasons"])
        if one["reasons"] and (near := one.get("nearest")):
            keys = " ".join(f"{k}={v}" for k, v in near["keys"].items())
            said += f"; fits with {keys} ({_gib(near['programs']['training'])} GiB)"
        elif guess := one.get("likely"):
            keys = " ".join(f"{k}={v}" for k, v in guess["keys"].items())
            said += f"; by arithmetic, not compiled, {keys} fits ({guess['bytes'] / GIB:.1f} GiB)"
        step = [f"{one['limits'][key] * 1e3:.3g}" for key in ("compute", "memory", "network")]
        step += [f"{one['rate']:,.3g}/s", f"{one['mfu']:.0%}", f"{one['tokens']:.3g}", f"{one['hours']:.3g}"]
        step.append("-" if one["usd"] is None else f"{one['usd']:,.0f}")
        if one["programs"]["training"]["bytes"] is None:  # the step was not compiled, so nothing is known of it
            step = ["-"] * len(step)
        memory = [_gib(one["programs"].get(key)) for key in ("training", "evaluation", "generation")]
        mesh = " x ".join(map(str, one["mesh"]))
        out.append([one["config"], one["slice"], mesh, *memory, f"{one['hbm_bytes'] / GIB:.2f}", *step, said])
    return out


def _gib(program: dict[str, Any] | None) -> str:
    if program is None:
        return "-"
    return "no" if program["bytes"] is None else f"{sum(program['bytes'].values()) / GIB:.2f}"


def render() -> int:
    """Writes the table into the page; returns how many lines of it are missing."""
    made = [(name, where, path_of(name, where)) for name, where in wanted()]
    records = [read(name, where) for name, where, _ in made]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    write_text(PAGE, f"{before}{BEGIN}\n{markdown(rows(records))}\n{END}{after}")
    return sum(not path.is_file() for _, _, path in made)


def main(argv: Sequence[str]) -> int:
    """Compiles what is asked for, and writes the table."""
    chosen, begun = flags.FLAGS, time.monotonic()
    without_tpu()
    only = [tuple(word.partition("@")[::2]) for word in chosen.only]
    for name, where in only:
        if (name, where) not in wanted():
            raise UserError(f"--only={name}@{where}: must be one of {', '.join(f'{n}@{w}' for n, w in wanted())}")
    if chosen.fill:
        fill(chosen.minutes, begun)
    for name, where in () if chosen.render or chosen.fill else only or wanted():
        if not only and path_of(name, where).is_file():
            continue
        if time.monotonic() - begun > 60 * chosen.minutes:
            break
        found = record(name, where, chosen.generation)
        RECORDS.mkdir(parents=True, exist_ok=True)
        write_json(path_of(name, where), found, indent=1)
        print(f"{name} on {where}: {'; '.join(found['reasons']) or 'go'}", flush=True)
    missing = render()
    print(f"{PAGE.relative_to(ROOT)}: {f'{missing} lines missing' if missing else 'whole'}")
    return 1 if missing else 0


if __name__ == "__main__":
    flags.DEFINE_list("only", [], "CONFIG@SLICE to compile again, such as gpt2_pod@v5e-16.")
    flags.DEFINE_float("minutes", 1e9, "After so many no other one is begun.", 0.0)
    flags.DEFINE_bool("generation", True, "Also compile the programs that write text.")
    flags.DEFINE_bool("fill", False, "Only compile generation, for the records that have none.")
    flags.DEFINE_bool("render", False, "Write the table from the records, without compiling.")
    cli.run(main)
