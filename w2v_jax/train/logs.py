"""Logs of a run while it trains: `metrics.jsonl`, TensorBoard events and one console line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from w2v_jax.files import atomic, parse_json
from w2v_jax.storage import to_path
from w2v_jax.tables import duration
from w2v_jax.train import console, world
from w2v_jax.train.appended import Appended, Sent, appended

METRICS_FILE = "metrics.jsonl"
BAR, WIDE = 20, 100  # characters of the progress bar, and of a line that has room for it


def tell(line: str) -> None:
    """Prints a line on standard error, once for all processes."""
    if world.index() == 0:
        print(line, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Record:
    """One log interval. A value that was not measured is None."""

    step: int
    passes: float  # over the training text so far; written as "pass"
    loss: float | None = None  # nats per counted unit, mean over the interval
    heldout_loss: float | None = None
    words_per_second: float | None = None
    data_wait: float | None = None  # share of the interval without a call to compute, for lack of data; an upper limit
    learning_rate: float | None = None
    seconds: float | None = None  # of training, since the run began


class RunLog:
    """Writes a run's records; on every process but the first it does nothing.

    `workdir`, made if missing, gets `metrics.jsonl`, one JSON object per line, and with `tensorboard` event files in
    `tensorboard/`. The progress line on `console` (standard error by default) counts to `total_steps` and
    `total_passes`; it is rewritten in place on a terminal, elsewhere printed every `plain_every` seconds. Any method
    raises OSError when a file cannot be written; the failed line is then removed whole.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        tensorboard: bool,
        total_steps: int,
        total_passes: float | None = None,
        console: TextIO | None = None,
        plain_every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._active = world.index() == 0
        self._workdir = to_path(workdir)
        self._tensorboard = tensorboard
        self._first_step = 0
        self._metrics: Appended | Sent | None = None
        self._events: _Events | None = None
        self._lines = hashlib.blake2b(digest_size=16)  # of all lines of the file
        self.progress = Progress(console or sys.stderr, total_steps, total_passes, plain_every, clock)

    @property
    def digest(self) -> str:
        """Of all lines so far, in hexadecimal."""
        return self._lines.hexdigest()

    def truncate_after(self, step: int, digest: str | None = None) -> None:
        """Drops lines after `step`, to which the run was restored, and a half-written last line.

        `digest` is that of the lines up to `step`, when they were written: a warning says so where others are left.
        """
        self._first_step = step
        self.progress.begin(step)
        if not self._active:
            return
        path = self._workdir / METRICS_FILE
        kept = _keep_lines(path, step)
        self._lines = hashlib.blake2b(kept, digest_size=16)
        if digest is not None and digest != self.digest:
            lines = kept.count(b"\n")
            self.note(
                f"warning: {path}: lines up to step {step:,} were lost or changed since they were written; "
                f"{lines:,} are kept. What was trained does not depend on them"
            )

    def write(self, record: Record, extra: Mapping[str, float] | None = None) -> None:
        """Appends one record with `extra` named values. Values that are not finite are written as null."""
        if not self._active:
            return
        self._open()
        values = dataclasses.asdict(record)
        step = values.pop("step")
        line = {"step": step, "pass": values.pop("passes"), **values, **(extra or {})}
        line = {key: value if value is not None and math.isfinite(value) else None for key, value in line.items()}
        assert self._metrics is not None
        data = json.dumps(line, allow_nan=False).encode() + b"\n"
        self._metrics.write(data)
        self._lines.update(data)
        if self._events is not None:
            self._events.scalars(step, {k: v for k, v in line.items() if k != "step" and v is not None})
        self.progress.show(record)

    def sync(self) -> None:
        """Returns when a bucket has what was written, for a checkpoint that counts on it. Raises OSError."""
        for file in (self._metrics, self._events):
            if file is not None:
                file.sync()

    def note(self, text: str) -> None:
        """Prints a separate line on the console."""
        if self._active:
            self.progress.note(text)

    def close(self) -> None:
        """Closes the files and ends the progress line."""
        if self._active:
            self.progress.end()
        for file in (self._metrics, self._events):
            if file is not None:
                file.close()
        self._metrics = self._events = None

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        if self._metrics is not None:
            return
        path = self._workdir / METRICS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep_lines(path, None)
        self._metrics = appended(path)
        if self._tensorboard:
            self._events = _Events(self._workdir / "tensorboard", self._first_step)


@dataclasses.dataclass
class Progress:
    """The console line: pass, step, loss, held-out loss, words/s, data wait, time left.

    The time left follows from the seconds per step between lines; each new line counts half, all older ones half.
    """

    console: TextIO
    total_steps: int
    total_passes: float | None
    plain_every: float
    clock: Callable[[], float]
    _printed: float = -math.inf
    _unprinted: str | None = None
    _in_line: bool = False
    _heldout: float | None = None
    _seconds_per_step: float | None = None
    _last: tuple[float, int] = (0.0, 0)

    def __post_init__(self) -> None:
        self.begin(0)

    def begin(self, step: int) -> None:
        """Starts the clock of the time left at `step`, once everything is compiled."""
        self._last = (self.clock(), step)

    def show(self, record: Record) -> None:
        """Shows a record; where there is no terminal, only when the last line is old enough."""
        now = self.clock()
        then, before = self._last
        if record.step > before:
            latest = (now - then) / (record.step - before)
            old = self._seconds_per_step
            self._seconds_per_step = latest if old is None else 0.5 * (old + latest)
        self._last = (now, record.step)
        line = self._line(record)
        notebook = console.in_notebook(self.console)
        if self.console.isatty() or notebook:
            width = WIDE if notebook else shutil.get_terminal_size().columns - 1  # a wrapped line cannot be rewritten
            bar = f"{self._bar(record.step)} " if width >= WIDE - 1 else ""
            self.console.write(f"\r{f'{bar}{line}'[:width]}\x1b[K")
            self._in_line = True
        elif now - self._printed >= self.plain_every:
            self.console.write(line + "\n")
            self._printed, self._unprinted = now, None
        else:
            self._unprinted = line
        self.console.flush()

    def note(self, text: str) -> None:
        """Prints a separate line, clear of the progress line."""
        self.console.write(f"\r\x1b[K{text}\n" if self._in_line else f"{text}\n")
        self._in_line = False
        self.console.flush()

    def end(self) -> None:
        """Keeps the last line, and prints it if it was not shown yet."""
        if self._in_line or self._unprinted is not None:
            self.console.write((self._unprinted or "") + "\n")
            self.console.flush()
        self._in_line, self._unprinted = False, None

    def _bar(self, step: int) -> str:
        done = min(BAR, BAR * step // max(self.total_steps, 1))
        return f"[{'#' * done}{'-' * (BAR - done)}]"

    def _line(self, record: Record) -> str:
        self._heldout = record.heldout_loss if record.heldout_loss is not None else self._heldout
        whole = "" if self.total_passes is None else f"/{max(0.01, round(self.total_passes, 2)):g}"
        passes = f"{record.passes:.2f}{whole}"
        done = f"{record.step:,}/{self.total_steps:,} ({record.step / max(self.total_steps, 1):.1%})"
        parts = [f"pass {passes}", f"step {done}"]
        if record.loss is not None:
            parts.append(f"loss {record.loss:.4f}")
        if self._heldout is not None:
            parts.append(f"held-out {self._heldout:.4f}")
        if record.words_per_second is not None:
            parts.append(f"{record.words_per_second:,.0f} words/s")
        if record.data_wait is not None:
            parts.append(f"data wait {record.data_wait:.1%}")
        if self._seconds_per_step is not None:
            parts.append(f"{duration(self._seconds_per_step * max(self.total_steps - record.step, 0))} left")
        return "  ".join(parts)


class _Events:
    """A TensorBoard event file, through TensorBoard's own record format and messages.

    Its EventFileWriter is not used: it reports a full disk from another thread, and leaves half an event there.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        folder.mkdir(parents=True, exist_ok=True)
        before = any(folder.glob("events.out.tfevents.*"))
        stem = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        taken = sum(1 for _ in folder.glob(f"{stem}.*"))
        self._file = appended(folder / f"{stem}.{taken}")
        self._writer = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if before:  # tells readers to forget events after the step that was restored, also where the run starts again
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(step=first_step + 1, session_log=start)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        pairs = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(step=step, summary=self._summary(value=pairs))

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._writer.close()

    def _write(self, **fields: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **fields).SerializeToString())


def _keep_lines(path: Path, last_step: int | None) -> bytes:
    """Removes lines past `last_step`, and lines that a kill cut short, from a metrics file; returns the others."""
    if not path.exists():
        return b""
    before = path.read_bytes()
    kept = b"".join(line for line in before.splitlines(keepends=True) if _is_kept(line, last_step))
    if kept != before:
        with atomic(path) as f:
            f.write(kept)
    return kept


def _is_kept(line: bytes, last_step: int | None) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        step = parse_json(line)["step"]
        return last_step is None or step <= last_step
    except (ValueError, KeyError, TypeError):
        return False
