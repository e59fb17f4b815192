"""The launcher with the training command of this project, in the fake cloud: the same bits whatever happens.

    python -m benchmarks.launch_real [--kinds=preempt,kill_run,reboot] [--out=results/launch_real.json]

A small skip-gram trains on one worker, undisturbed and then once for each kind of fault, which comes once a step was
seen. This checkout is shipped as it is. The word vectors must be those of the undisturbed run, bit for bit. A run takes
half a minute of one core. Exit status 1 when vectors differ or a machine is left.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.common import cli
from launch.cloud import ship, verbs
from launch.cloud.machine import Patience
from launch.fake.play import Play
from w2v_jax.files import write_json
from w2v_jax.tables import aligned

STEPS, FAULT_AT = 4000, 1000
WORDS = 300_000


def command(text: Path, workdir: Path) -> list[str]:
    """The training command: skip-gram with checkpoints every 500 steps."""
    changes = {
        "data.source": f"text:{text}", "model.dim": 16, "model.segment": 32, "train.batch_size": 256,
        "train.max_steps": STEPS, "train.passes": 100.0, "train.steps_per_call": 20, "checkpoint.every_steps": 500,
        "log.every_steps": 100, "mesh.data": 1, "data.heldout_every": 0,
    }  # fmt: skip
    flags_ = [f"--config.{key}={value}" for key, value in changes.items()]
    return ["python", "-m", "experiments.train", "--config=configs/skipgram.py", f"--workdir={workdir}", *flags_]


def live(kind: str, folder: Path, text: Path) -> dict[str, Any]:
    """One run; `kind` is empty or a kind of fault."""
    play = Play(folder, ship.ROOT, real_s=0.5)
    workdir = folder / "run"
    told: list[str] = []

    def before(line: list[str]) -> None:
        known = play.state.load("w2v")
        if kind and not told and known is not None and known.progress >= FAULT_AT:
            told.append(kind)
            play.fault(kind, only="experiments.train")

    play.before = before
    began = time.monotonic()
    asked = play.asked(command(text, workdir), accelerator="v5litepod-8", patience=Patience(reach_s=300.0))
    try:
        found = verbs.run(play.cloud("w2v"), play.state, "w2v", asked)
        left = play.left()
    finally:
        play.end()
    vectors = workdir / "vectors.bin"
    digest = hashlib.sha256(vectors.read_bytes()).hexdigest()[:16] if vectors.exists() else ""
    record = play.state.known("w2v")
    return {
        "fault": kind or "none", "happened": [f["kind"] for f in play.world()["told"]], "tries": record.tries,
        "trouble": found.sentence if found else "", "left": left, "vectors": digest,
        "kept": len(list(workdir.glob("launched-*.json"))), "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    below = Path(tempfile.mkdtemp(prefix="w2v_jax-real-"))
    rng = random.Random(0)
    names = ["".join(rng.choices("abcdefghij", k=4)) for _ in range(400)]
    text = below / "text.txt"
    text.write_text("\n".join(" ".join(rng.choices(names, k=20)) for _ in range(WORDS // 20)))
    try:
        found = [live(kind, below / (kind or "none"), text) for kind in ["", *flags.FLAGS.kinds]]
    finally:
        shutil.rmtree(below, ignore_errors=True)
    bad = [v for v in found if v["vectors"] != found[0]["vectors"] or not v["vectors"] or v["left"] or v["trouble"]]
    print(aligned([list(found[0]), *([str(x) for x in v.values()] for v in found)]))
    if flags.FLAGS.out:
        write_json(flags.FLAGS.out, {"command": cli.command("benchmarks.launch_real"), "runs": found})
    return int(bool(bad))


if __name__ == "__main__":
    flags.DEFINE_list("kinds", ["preempt", "kill_run", "reboot"], "Kinds of faults, one run each.")
    flags.DEFINE_string("out", "", "JSON file of the results.")
    cli.run(main)
