"""Every family on every mesh of 1, 2 and 4 processes with 1, 4 and 8 devices in all: `results/meshes.json`.

    python -m tests.matrix [--minutes=60] [--only=2x8] [--families=subword] [--render]

Each part starts processes once and trains all families there: three steps, on made-up batches, the same for all. Losses
and parameters are compared with those of one process with one device. A part whose line stands in the record is kept,
so that the command may be stopped and repeated; `--only` computes it again. `--render` computes nothing, and prints the
table. On 2 cores all parts take about 20 minutes. Exit status 0: all are there, and within the tolerance; 1: not so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests import commands, meshes
from tests.examples import trained_families
from w2v_jax.files import read_json, write_json
from w2v_jax.tables import markdown

RECORD = commands.ROOT / "results/meshes.json"
SHAPES = [(p, d) for p in (1, 2, 4) for d in (1, 4, 8) if d >= p]  # processes, devices in all
SPLIT = ("data", "fsdp", "tensor")
# From a checkpoint of the shape before; the first starts. Each of 1, 2 and 4 processes follows each other.
CHAIN = [(1, 1), (4, 4), (1, 4), (2, 4), (4, 8), (2, 8), (1, 8)]
TOLERANCE = 5e-5  # of the largest number of each array, or of 1 where that is larger
Found = dict[str, np.ndarray]


def parts() -> list[str]:
    """The names of all parts: `2x8 fsdp` is 2 processes with 8 devices in all, fully sharded."""
    meshed = [f"{p}x{d} {layout}" for p, d in SHAPES for layout in SPLIT if d > 1]
    return [*meshed, *(f"{p}x{d} fitted" for p, d in SHAPES if d > 1), "checkpoints"]


def computed(processes: int, devices: int, folder: Path, *words: str) -> Found:
    """What `tests.meshes` computes in so many processes, with so many devices in all."""
    out = folder / "out.npz"
    line = [sys.executable, "-m", "tests.meshes", str(out), *words]
    if processes > 1:
        line[1:3] = ["-m", "launch.local", f"--processes={processes}", f"--devices={devices // processes}", "--",
                     "python", "-m", "tests.meshes"]  # fmt: skip
    environ = commands.environment(devices) | {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_PLATFORMS": "cpu",
        "NPROC": "32",
    }
    subprocess.run(line, cwd=commands.ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
    return dict(np.load(out))


def differences(found: Found, reference: Found, name: str, called: str) -> dict[str, Any]:
    """{'loss', 'parameters': largest difference of any array, 'where': its name}, or {'refused': why}."""
    if f"{name} refused" in found:
        return {"refused": str(found[f"{name} refused"])}
    mine = {key.removeprefix(name): x for key, x in found.items() if key.startswith(f"{name} ")}
    theirs = {key.removeprefix(called): x for key, x in reference.items() if key.startswith(f"{called} ")}
    if mine.keys() != theirs.keys():
        raise AssertionError(f"{name}: {sorted(mine)} is not {sorted(theirs)}")
    far = {
        key.strip(): float(np.abs(x - theirs[key]).max(initial=0) / max(1.0, np.abs(theirs[key]).max(initial=0)))
        for key, x in mine.items()
    }
    loss = max((far.pop(key) for key in list(far) if "[" not in key), default=0.0)  # what is no parameter
    where = max(far, key=lambda key: far[key]) if far else ""
    return {"loss": loss, "parameters": far.get(where, 0.0), "where": where}


def meshed(part: str, reference: Found, folder: Path, families: Sequence[str]) -> dict[str, Any]:
    """{family: its differences} of one part, of these trained families."""
    shape, _, layout = part.partition(" ")
    processes, devices = map(int, shape.split("x"))
    if layout == "fitted":
        found = computed(processes, devices, folder, *_text(folder, part))
        return {name: differences(found, reference, name, name) for name in meshes.fitted_families()}
    found = computed(processes, devices, folder, f"--layouts={layout}", f"--families={','.join(families)}")
    return {name: differences(found, reference, f"{name} {layout}", f"{name} one") for name in families}


def checkpoints(folder: Path) -> dict[str, Any]:
    """{`4x8`: differences} of a transformer that goes on from the checkpoint of the shape before, without one in one
    process as the reference."""
    out: dict[str, Any] = {}
    training = meshes.Training(meshes.config_of("transformer", "one"))
    state = training.start()
    for number, (processes, devices) in enumerate(CHAIN):
        mesh = "one" if devices == 1 else "fsdp" if devices == processes else "both"
        words = (f"--checkpoint={folder / 'saved'}", f"--mesh={mesh}", f"--call={number}")
        found = computed(processes, devices, folder, *words)
        state, loss = training.go_on(state, number)
        expected = {"alone loss": np.float64(loss)} | {f"alone {k}": x for k, x in training.arrays(state).items()}
        out[f"{number}: {processes}x{devices} {mesh}"] = differences(found, expected, "checkpoint", "alone")
    return out


def _text(folder: Path, name: str) -> list[str]:
    text = folder / "text.txt"
    text.write_text(commands.text_of(60, lines=120))
    return [f"--text={text}", f"--workdir={folder / name.replace(' ', '-')}"]


def table(record: dict[str, Any]) -> str:
    """A line for each part: families compared and refused, and the largest differences."""
    rows = [["processes x devices", "layout", "compared", "refused", "loss", "parameters", "of"]]
    for part in parts():
        cells = record.get(part)
        shape, _, layout = part.partition(" ")
        if cells is None:
            rows.append([shape, layout or "one after another", *["-"] * 5])
            continue
        kept = {name: cell for name, cell in cells.items() if "refused" not in cell}
        far = max(kept, key=lambda name: kept[name]["parameters"], default="")
        loss = f"{max(cell['loss'] for cell in kept.values()):.1e}" if kept else "-"
        most = f"{kept[far]['parameters']:.1e}" if kept and kept[far]["where"] else "-"
        refused = ", ".join(name for name in cells if name not in kept) if kept else "all"
        of = far if most != "-" else ""
        rows.append([shape, layout or "one after another", str(len(kept)), refused, loss, most, of])
    return markdown(rows)


def near(cell: dict[str, Any]) -> bool:
    """Whether a family's differences are within the tolerance, or its mesh was refused."""
    return "refused" in cell or max(cell["loss"], cell["parameters"]) <= TOLERANCE


def within(record: dict[str, Any]) -> bool:
    """Whether every part is there, and within the tolerance."""
    return all(part in record and all(map(near, record[part].values())) for part in parts())


def main(argv: Sequence[str] | None = None) -> int:
    """Computes the parts that are missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1e9, help="after so many no other part is begun")
    parser.add_argument("--only", default="", help="parts that begin with this, such as '2x8' or '4x4 fsdp'")
    parser.add_argument(
        "--families", default="", help="trained families to compute, and to add to parts that are there"
    )
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--folder", default="", help="keeps the reference between two calls")
    options, begun = parser.parse_args(argv), time.monotonic()
    record = read_json(RECORD) or {}
    with tempfile.TemporaryDirectory() as name:
        folder, kept = Path(name), Path(options.folder or name) / "reference.npz"
        reference = dict(np.load(kept)) if kept.exists() else Found()
        families = options.families.split(",") if options.families else list(trained_families())
        every = [part for part in parts() if not options.families or part.rpartition(" ")[2] in SPLIT]
        for part in () if options.render else every:
            if not part.startswith(options.only) or (part in record and not (options.only or options.families)):
                continue
            if time.monotonic() - begun > 60 * options.minutes:
                break
            if part != "checkpoints" and not reference:
                some = [f"--families={options.families}"] if options.families else _text(folder, "reference")
                reference = computed(1, 1, folder, "--layouts=one", *some)
                np.savez(kept, **reference)
            found = checkpoints(folder) if part == "checkpoints" else meshed(part, reference, folder, families)
            before = record.get(part, {}) if options.families else {}
            record[part] = before | found
            write_json(RECORD, record, indent=1)
            print(part, "done", flush=True)
    print(table(record))
    return 0 if within(record) else 1


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
