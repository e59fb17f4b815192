"""The launcher and the fake cloud in one process, on one clock: hours pass in seconds, workers are real processes."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from launch.cloud.asked import Asked
from launch.cloud.gcloud import Clock, Cloud, Done
from launch.cloud.machine import Patience
from launch.cloud.plan import Line
from launch.cloud.state import Folder
from launch.cloud.watch import Limits
from launch.fake import gcloud, place
from launch.fake import world as w

BUCKET = "play-bucket"
RESULT = f"buckets/{BUCKET}/run/result.json"


def checkout(folder: Path) -> Path:
    """A small git checkout with the training stand-in, for the launcher to ship."""
    folder.mkdir(parents=True)
    for name in ("constraints-py312.txt", "setup.cfg"):
        shutil.copy(place.ROOT / name, folder)
    shutil.copy(place.ROOT / "launch/fake/standin.py", folder)
    who = ("-c", "user.name=play", "-c", "user.email=play@example.com", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("add", "--all"), (*who, "commit", "--quiet", "--message=stand-in")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


def training(steps: int, every: int = 5, pause: float = 0.004) -> list[str]:
    """The command of the stand-in."""
    flags = (f"--workdir=gs://{BUCKET}/run", f"--steps={steps}", f"--every={every}", f"--pause={pause}")
    return ["python", "-I", "-S", "standin.py", *flags]


class Play:
    """A fake cloud in `folder`, and launchers that work in it.

    `real_s` seconds really pass in each wait of the launcher, so that the workers get on meanwhile, and up to a second
    more until a look finds none of them at work: that helps on a busy computer, and promises nothing.
    """

    def __init__(self, folder: Path, source: Path, world: w.Json | None = None, real_s: float = 0.01) -> None:
        self.folder, self.source, self.real_s = str(folder.resolve() / "fake"), source, real_s
        place.make(
            self.folder, {"buckets": {BUCKET: {}}, **(world or w.new())} if world else w.new(buckets={BUCKET: {}})
        )
        self.state = Folder(folder / "state")
        self.said: list[str] = []
        self.before: Callable[[Line], None] = lambda line: None  # called before each line is run
        self.clock = Clock(self.now, self.sleep)

    def now(self) -> float:
        return float((Path(self.folder) / "clock").read_text())

    def sleep(self, seconds: float) -> None:
        self.before(["sleep"])
        with w.opened(self.folder) as world:
            w.advance(self.folder, world, seconds)
        end = time.monotonic() + 1.0
        time.sleep(self.real_s)
        while w.computing(f"{self.folder}/nodes") and time.monotonic() < end:
            time.sleep(0.005)  # a busy computer gives workers less of its time than the clock of the play

    def run(self, line: Line, seconds: float) -> Done:
        self.before(line)
        return Done(*gcloud.main(line[1:], self.folder, 60.0))

    def cloud(self, name: str) -> Cloud:
        """A new launcher process would have a new one."""
        return Cloud(self.state.room(name), self.run, self.clock, self.said.append)

    def asked(
        self,
        argv: Sequence[str] = (),
        limits: Limits = Limits(True, 8),  # noqa: B008  (a NamedTuple or frozen dataclass: no state)
        down: bool = True,
        max_hours: float | None = 24.0,
        patience: Patience | None = None,
        yes: bool = True,
        **machine: object,
    ) -> Asked:
        given = {"zone": "us-west4-a", "accelerator": "v5litepod-16", "spot": True, **machine}
        return Asked(
            given, argv, yes, max_hours, limits, patience or Patience(hung_s=400.0, startup_s=2000.0), down,
            root=self.source,
        )  # fmt: skip

    def world(self) -> w.Json:
        with w.opened(self.folder) as world:
            return dict(world)

    def change(self, **values: object) -> None:
        with w.opened(self.folder) as world:
            world.update(values)

    def fault(self, kind: str, **when: object) -> None:
        with w.opened(self.folder) as world:
            world["faults"].append({"kind": kind, **when})

    def result(self) -> str:
        """The parameters that the run ended with; empty while it has not."""
        file = Path(self.folder) / RESULT
        return file.read_text() if file.exists() else ""

    def left(self) -> list[str]:
        """What still costs money, or runs."""
        world = self.world()
        return [*world["requests"], *world["nodes"], *map(str, w.processes(f"{self.folder}/nodes"))]

    def end(self) -> None:
        place.end(self.folder)
