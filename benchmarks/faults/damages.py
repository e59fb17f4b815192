"""Files that are damaged under a run: below a half-made run that is then continued, and below a finished one that is
then used. Several damages of one run share a child; a bad verdict counts only when a child of its own gives it too."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults import lives, outcome
from benchmarks.faults.kept import Kept, after_whole, copy
from benchmarks.faults.outcome import GOOD, Verdict
from benchmarks.faults.record import Fault, made
from benchmarks.faults.runs import CACHE, RUN

PAGE = 4096


class Damaged(NamedTuple):
    """A copy of a run with one damage."""

    name: str
    place: Path
    what: str
    finished: bool
    used: bool = False  # only the command that uses the run follows, not first the run's own, which mends it

    def jobs(self, kept: Kept) -> list[lives.Job]:
        """The commands that follow."""
        return kept.jobs(self.place)[int(self.used) :] if self.finished else [kept.job(self.place)]


def half(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: len(data) // 2])


def truncated(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def flipped(data: bytearray, rng: random.Random) -> bytes:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def zeroed(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data)) // PAGE * PAGE
    end = min(len(data), start + PAGE)
    data[start:end] = bytes(end - start)
    return bytes(data)


def noise(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randrange(1, 65))
    data[start:end] = rng.randbytes(end - start)
    return bytes(data)


WAYS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "half": half,
    "truncated": truncated,
    "flipped": flipped,
    "zeroed": zeroed,
    "noise": noise,
}
DELETED = "deleted"
# What is damaged -> (whether below a finished run, pattern of its files). A pattern that ends in a slash is of folders.
TARGETS: dict[str, tuple[bool, str]] = {
    "checkpoint": (False, f"{RUN}/**/checkpoints/*/**/*"),
    "metrics": (False, f"{RUN}/**/metrics.jsonl"),
    "config": (False, f"{RUN}/**/config.json"),
    "shards": (False, f"{CACHE}/*/*.*"),
    "vocabulary": (False, f"{CACHE}/*/vocab.txt"),
    "results_of_a_study": (False, f"{RUN}/results*.jsonl"),
    "result": (True, f"{RUN}/**/result.json"),
    "checkpoint_when_finished": (True, f"{RUN}/**/checkpoints/*/**/*"),
    "vocabulary_when_finished": (True, f"{RUN}/**/vocab.txt"),
    "tokenizer_when_finished": (True, f"{RUN}/**/tokenizer.json"),
    "config_when_finished": (True, f"{RUN}/**/config.json"),
    "vectors_when_finished": (True, f"{RUN}/**/*.bin"),
}
EXPORTED = ("vocabulary_when_finished", "tokenizer_when_finished", "vectors_when_finished")


def damage(kept: Kept, target: str, number: int, place: Path) -> Damaged | None:
    """Copies a run and damages one file of it, or deletes a file or a checkpoint; None where it has no such file."""
    name = f"{target}/{kept.run.name}/{number}"
    rng = random.Random(name)
    finished, pattern = TARGETS[target]
    source = kept.whole if finished else kept.half
    if finished and kept.run.use is None and target != "result":
        return None
    files = sorted(p.relative_to(source) for p in source.glob(pattern) if p.is_file() and p.stat().st_size)
    if not files:
        return None
    copy(source, place)
    file = place / rng.choice(files)
    way = rng.choice((*WAYS, DELETED))
    if way == DELETED:
        if target.startswith("checkpoint") and rng.random() < 0.5:  # a folder: of one step, of an item, or of all
            file = rng.choice([p for p in file.parents if place / RUN in p.parents])
            shutil.rmtree(file)
        else:
            file.unlink()
    else:
        before = file.read_bytes()
        after = before
        while after == before:
            after = WAYS[way](bytearray(before), rng)
            way, same = (way, True) if after != before else ("flipped", False)
        file.write_bytes(after)
    used = target in EXPORTED and number % 2 == 1
    return Damaged(name, place, f"{way} {file.relative_to(place)}{', then used' * used}", finished, used)


def damaged(kept: Kept, wanted: Sequence[tuple[str, int]], scratch: Path) -> list[Fault]:
    """Makes so many damages (target, number), runs the run's commands over each, and judges them."""
    found = [damage(kept, *w, scratch / f"{index}") for index, w in enumerate(wanted)]
    every = [d for d in found if d is not None]
    if not every:
        return []
    jobs = [d.jobs(kept) for d in every]
    endings = lives.finish(lives.begin([job for part in jobs for job in part]))
    faults = []
    for one, part in zip(every, jobs, strict=True):
        own, endings = endings[: len(part)], endings[len(part) :]
        verdict = judge(kept, one, own)
        if verdict.kind not in GOOD:
            target, _, number = one.name.split("/")
            again = damage(kept, target, int(number), one.place)
            assert again is not None
            verdict = judge(kept, again, lives.finish(lives.begin(part)))
        faults.append(made(one.name, verdict, one.what, left=len(outcome.left_behind(one.place))))
    return faults


def judge(kept: Kept, one: Damaged, endings: Sequence[lives.Ending]) -> Verdict:
    """The verdict on the commands over a damaged run."""
    if not one.finished:
        return outcome.judge(endings, after_whole(kept)[:1], outcome.content(one.place), kept.want)
    # Of a finished run, what its commands say counts: a damaged file that none of them reads stays as it is.
    evaluation = "evaluation.json"
    found, want = outcome.content(one.place), outcome.content(kept.whole)
    keys = {evaluation} & (found.keys() | want.keys())
    return outcome.judge(
        endings,
        after_whole(kept)[-len(endings) :],
        {k: found.get(k, "") for k in keys},
        {k: want.get(k, "") for k in keys},
    )
