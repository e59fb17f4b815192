"""What a run ended with, and whether that is what the undisturbed run ended with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.faults.lives import Ending
from benchmarks.faults.runs import RUN

SAME, REFUSED, AGAIN, SILENT, WRONG = "same", "refused", "again", "silent", "wrong"
GOOD = (SAME, REFUSED, AGAIN)
# Clock values, and what belongs to the place, the process or the version of the code.
PASSING = {
    *("seconds", "words_per_second", "data_wait", "waited", "command", "file", "workdir"),
    *("revision", "machine", "peak_bytes", "device", "jax"),
    *("sha256", "log"),  # digests of files with clock values
}
SAID = re.compile(r"(?i)^(?!corpus: \d|pass ).*(warning|cannot be used|damaged|again)")


class Verdict(NamedTuple):
    """One of SAME (bit for bit as undisturbed, and no word), REFUSED (one line, status 2), AGAIN (the damage is said,
    and the end is the same bit for bit), SILENT (status 0 with another end) or WRONG (anything else); and why."""

    kind: str
    why: str = ""


def lasting(value: Any) -> Any:
    """JSON without its clock values."""
    if isinstance(value, dict):
        return {key: lasting(part) for key, part in value.items() if key not in PASSING}
    return [lasting(part) for part in value] if isinstance(value, list) else value


def _digest(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(lasting(value), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def content(place: Path) -> dict[str, str]:
    """Digests of all that a run leaves, by file: of checkpoints the newest one's arrays and record, of JSON what is no
    clock value. Events for TensorBoard, locks and the cache are left out."""
    run, found = place / RUN, {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if (
            not path.is_file()
            or path.name.startswith(".")
            or re.search(r"(^|/)(tensorboard|checkpoints|checkpoints\.damaged)/", name)
        ):
            continue
        try:
            if path.suffix == ".json":
                found[name] = _digest(json.loads(path.read_bytes()))
            elif path.suffix == ".jsonl":
                found[name] = _digest([json.loads(line) for line in path.read_bytes().splitlines()])
            else:
                found[name] = _digest(path.read_bytes())
        except (ValueError, RecursionError):
            found[name] = "unreadable"
    for folder in sorted(run.rglob("checkpoints")):
        steps = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []
        record = folder / str(steps[-1] if steps else "") / "meta" / "metadata"
        try:
            found[str(folder.relative_to(run))] = f"{steps} {_digest(json.loads(record.read_bytes())['record'])}"
        except (OSError, ValueError, KeyError):
            found[str(folder.relative_to(run))] = f"{steps} unreadable"
    return found


def left_behind(place: Path) -> list[str]:
    """Files under a temporary name: what a killed write leaves."""
    names = (str(p.relative_to(place)) for p in place.rglob("*") if p.name != ".lock")
    return sorted(n for n in names if re.search(r"(^|/)\.|\.tmp|building-|orbax-checkpoint-tmp", n))


def said(out: str) -> Any:
    """What a command printed, without clock values: its last line as JSON, else all of it."""
    try:
        return lasting(json.loads(out.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return re.sub(r"[0-9.,:]+ ?(s|seconds|words/s|ms)\b", "", out)


def where(err: str) -> str:
    """The places of the last two frames of a traceback."""
    frames = re.findall(r'File "[^"]*?([\w.]+/[\w.]+)", line (\d+)', err)
    return "at " + ", ".join(f"{file}:{line}" for file, line in frames[-2:])


def refusal(ending: Ending) -> Verdict | None:
    """The verdict on a command that did not end well; None where it ended with status 0."""
    errors = [line for line in ending.err.splitlines() if line.lower().startswith("error")]
    last = (ending.err.strip().splitlines() or ["it said nothing"])[-1][:300]
    if ending.status is None:
        return Verdict(WRONG, f"hangs: {last}")
    if "Traceback" in ending.err:
        return Verdict(WRONG, f"traceback, status {ending.status}: {last} {where(ending.err)}")
    if ending.status == 0:
        return None
    if ending.status == 2 and len(errors) == 1 and last.startswith("error: "):
        return Verdict(REFUSED, errors[0][:300])
    return Verdict(WRONG, f"status {ending.status}: {last}")


def _newest(checkpoints: str) -> str:
    """Of what `content` says of a folder of checkpoints: the step and the digest of the newest."""
    match = re.fullmatch(r"\[(?:.*, )?(\d+)\] (\w+)", checkpoints)
    return f"{match[1]} {match[2]}" if match else checkpoints


def _steps(checkpoints: str) -> set[str]:
    """Of the same, all steps."""
    return set(re.findall(r"\d+(?=[,\]])", checkpoints))


def judge(endings: Sequence[Ending], whole: Sequence[Ending], found: dict[str, str], want: dict[str, str]) -> Verdict:
    """The verdict on commands over a run that had a fault, beside the same commands over the undisturbed one."""
    for ending in endings:
        verdict = refusal(ending)
        if verdict is not None:
            return verdict
    other = [k for k in sorted(want.keys() | found.keys()) if want.get(k) != found.get(k)]
    other += [f"output {i}" for i, (a, b) in enumerate(zip(endings, whole, strict=True)) if said(a.out) != said(b.out)]
    spoken = next((line for e in endings for line in e.err.splitlines() if SAID.search(line)), "")
    if other and all(name.endswith("metrics.jsonl") for name in other) and "metrics.jsonl" in spoken:
        return Verdict(AGAIN, spoken[:300])  # lines of a log cannot be made again: that they are lost is said
    scored = all(name.startswith(("evaluation.", "output ")) for name in other)
    if other and scored and re.search(r"warning: checkpoint \d+ in .* is (damaged .*; trying|gone)", spoken):
        return Verdict(AGAIN, spoken[:300])  # of a finished run the next best checkpoint is scored
    newest = all(n.endswith("checkpoints") and _newest(want.get(n, "")) == _newest(found.get(n, "")) for n in other)
    if other and newest and all(_steps(want[name]) < _steps(found[name]) for name in other) and not spoken:
        return Verdict(SAME)  # a process that died while it removed an older checkpoint; the next save removes it
    if other and newest and re.search(r"warning: checkpoint \d+ in .*(its held-out loss is lost|is gone)", spoken):
        return Verdict(AGAIN, spoken[:300])  # which older checkpoint is kept; the newest is the same bit for bit
    if other:
        why = f"other {', '.join(other)}"
        return Verdict(WRONG, f"{why}; said: {spoken[:200]}") if spoken else Verdict(SILENT, why)
    return Verdict(AGAIN, spoken[:300]) if spoken else Verdict(SAME)
