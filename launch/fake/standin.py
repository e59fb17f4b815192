"""A stand-in for training in the fake cloud: steps, checkpoints in the bucket, an exact result.

    python3 -I -S standin.py --workdir=gs://BUCKET/RUN --steps=N [--every=N] [--pause=SECONDS]

Every process of the run holds a part of the parameters, a hash that depends on every step in order, and waits for the
others at each step. Process 0 commits a checkpoint when all parts are there. A run that continues from the last commit
ends with the parameters of an undisturbed one; one that loses or repeats a step does not.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import hashlib
import json
import os
import signal
import sys
import time

PEER_S = 20.0  # a step without the others for so long means that they are gone


def local(path: str) -> str:
    """The folder that stands for a gs:// path."""
    return os.path.join(os.environ["W2V_FAKE_FOLDER"], "buckets", path.removeprefix("gs://"))


def following(value: str, step: int) -> str:
    return hashlib.sha256(f"{value} {step}".encode()).hexdigest()


def expected(ranks: int, steps: int) -> list[str]:
    """The parameters of an undisturbed run."""
    found = []
    for rank in range(ranks):
        value = f"part {rank}"
        for step in range(1, steps + 1):
            value = following(value, step)
        found.append(value)
    return found


def put(path: str, text: str) -> None:
    """A whole object, as a bucket has it."""
    part = f"{path}.{os.getpid()}.part"
    with open(part, "w", encoding="ascii") as f:
        f.write(text)
    os.replace(part, path)


def get(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
        return f.read()
    return ""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    flags = dict(word.lstrip("-").split("=", 1) for word in words)
    rank, ranks = int(os.environ.get("W2V_JAX_PROCESS_ID", 0)), int(os.environ.get("W2V_JAX_PROCESSES", 1))
    steps, every, pause = int(flags["steps"]), int(flags.get("every", 5)), float(flags.get("pause", 0.005))
    bucket = local(flags["workdir"].removeprefix("gs://").split("/")[0])
    if not os.path.isdir(bucket):
        say(f"error: {flags['workdir']}: the specified bucket does not exist")
        return 2
    workdir = local(flags["workdir"])
    os.makedirs(workdir, exist_ok=True)
    # Two runs in one workdir would spoil it; a real run claims it by a generation precondition.
    claim = open(os.path.join(workdir, f"claim-{rank}"), "w")  # noqa: SIM115  (held until the process ends)
    fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if get(os.path.join(workdir, "result.json")):
        say(f"step {steps:,}/{steps:,}: finished before")
        return 0
    return train(workdir, rank, ranks, steps, every, pause)


def train(workdir: str, rank: int, ranks: int, steps: int, every: int, pause: float) -> int:
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    began = json.loads(get(os.path.join(workdir, "commit")) or '{"step": 0}')["step"]
    value = get(os.path.join(workdir, f"part-{began}-{rank}")) if began else f"part {rank}"
    say(f"continuing at step {began:,} of {steps:,}")
    # Where each process is, in this start of the run: files of an earlier start count for nothing.
    here = os.path.join(workdir, f"at-{began}-{{}}")
    put(here.format(rank), str(began))
    for step in range(began + 1, steps + 1):
        until = time.monotonic() + PEER_S
        while any(int(get(here.format(r)) or -1) < step - 1 for r in range(ranks)):
            if time.monotonic() > until:
                say("error: cannot join the run's processes: peers are gone")
                return 1
            if stopping:
                break
            time.sleep(0.002)
        if stopping:
            say(f"stopped by SIGTERM at step {step - 1:,}")
            return 143
        trip()
        value = following(value, step)
        time.sleep(pause)
        if step % every == 0 or step == steps:
            put(os.path.join(workdir, f"part-{step}-{rank}"), value)
        put(here.format(rank), str(step))
        if rank == 0:
            if step % every == 0 or step == steps:
                commit(workdir, ranks, step)
            put(os.path.join(os.environ["W2V_FAKE_FOLDER"], "progress"), str(step))
            say(f"pass 0.1  step {step:,}/{steps:,}")
        while 0 < int(get(os.path.join(os.environ["W2V_FAKE_FOLDER"], "hold")) or 0) <= step and not stopping:
            time.sleep(0.005)  # a fault is due at this step
    if rank == 0:
        parts = [get(os.path.join(workdir, f"part-{steps}-{r}")) for r in range(ranks)]
        put(os.path.join(workdir, "result.json"), json.dumps(parts))
    return 0


def commit(workdir: str, ranks: int, step: int) -> None:
    """Notes a checkpoint once every part of it is there."""
    until = time.monotonic() + PEER_S
    while not all(get(os.path.join(workdir, f"part-{step}-{r}")) for r in range(ranks)):
        if time.monotonic() > until:
            say("error: cannot join the run's processes: peers are gone")
            sys.exit(1)
        time.sleep(0.002)
    put(os.path.join(workdir, "commit"), json.dumps({"step": step}))


def trip() -> None:
    """Does what a fault has ordered for this worker."""
    home = os.path.expanduser("~")
    if os.path.exists(os.path.join(home, "hang")):
        os.remove(os.path.join(home, "hang"))
        while True:
            time.sleep(0.05)
    if os.path.exists(os.path.join(home, "crash")):
        text = get(os.path.join(home, "crash"))
        os.remove(os.path.join(home, "crash"))
        say(text or "Traceback (most recent call last): RuntimeError")
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
