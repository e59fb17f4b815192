"""The files and the console line of a run."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from w2v_jax.tables import duration
from w2v_jax.train.logs import Record, RunLog


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(step: int, **values: float) -> Record:
    return Record(step=step, passes=step / 100, **{"loss": 10.0 / step, **values})


def lines(workdir: Path) -> list[dict[str, float | None]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def run_log(workdir: Path, tensorboard: bool = False, **options: object) -> RunLog:
    return RunLog(workdir, tensorboard=tensorboard, total_steps=100, **{"console": io.StringIO(), **options})  # type: ignore[arg-type]


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that is `seconds` later at every look."""
    times = iter(range(10_000))
    return lambda: seconds * next(times)


def test_every_record_is_one_line_of_valid_json(tmp_path: Path) -> None:
    full = Record(10, 0.5, 2.5, 2.75, 1e6, 0.01, 0.25, 3.5)
    with run_log(tmp_path / "run") as log:
        log.write(full, {"perplexity": 12.0})
        log.write(Record(20, 1.0, loss=float("nan")))
    names = ("loss", "heldout_loss", "words_per_second", "data_wait", "learning_rate", "seconds")
    first = dict(zip(names, (2.5, 2.75, 1e6, 0.01, 0.25, 3.5), strict=True))
    assert lines(tmp_path / "run") == [
        {"step": 10, "pass": 0.5, **first, "perplexity": 12.0},
        {"step": 20, "pass": 1.0, **dict.fromkeys(names)},
    ]
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_resuming_drops_later_lines_and_half_written_ones(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    with run_log(tmp_path) as log:
        for step in (10, 20, 30):
            log.write(record(step))
    with file.open("a") as f:
        f.write('{"step": 40, "pa')
    with run_log(tmp_path) as log:
        log.truncate_after(30)
    with file.open("a") as f:
        f.write('{"step": 40, "pass": 0.4}')  # whole but for its end of line
    with run_log(tmp_path) as log:  # without a restore only what a kill cut short goes
        log.write(record(50))
    assert [line["step"] for line in lines(tmp_path)] == [10, 20, 30, 50]
    with run_log(tmp_path) as log:
        log.truncate_after(20)
        assert [line["step"] for line in lines(tmp_path)] == [10, 20]
        log.write(record(30, loss=7.0))
        written = log.digest
    assert [line["loss"] for line in lines(tmp_path)] == [1.0, 0.5, 7.0]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]
    whole = file.read_bytes()
    for damaged in (whole, whole.replace(b"0.5", b"0.4"), whole[whole.index(b"\n") + 1 :]):
        file.write_bytes(damaged)
        console = io.StringIO()
        with run_log(tmp_path, console=console) as log:
            log.truncate_after(30, written)
        assert ("lost or changed" in console.getvalue()) == (damaged != whole)
    with run_log(tmp_path) as log:
        log.truncate_after(0)
        assert file.read_text() == ""


def test_tensorboard_reads_the_events_and_forgets_undone_steps(tmp_path: Path) -> None:
    for restored, loss in ((0, 3.0), (0, 1.0), (20, 2.0)):  # at 0 the second time: a run that starts again
        with run_log(tmp_path, tensorboard=True) as log:
            log.truncate_after(restored)
            for step in range(restored + 10, 50, 10):
                log.write(Record(step, step / 100, loss=loss, words_per_second=5.0 if step == 40 else None))
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {"loss", "pass", "words_per_second"}
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]
    assert [(e.step, e.value) for e in read.Scalars("words_per_second")] == [(40, 5.0)]


def test_writing_events_does_not_import_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; from w2v_jax.train.logs import Record, RunLog\n"
        f"with RunLog({str(tmp_path)!r}, tensorboard=True, total_steps=1) as log: log.write(Record(1, 1.0, loss=0.5))\n"
        "assert 'tensorboard' in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_plain_console_is_limited_in_rate_and_shows_the_end(tmp_path: Path) -> None:
    console = io.StringIO()
    # 2.004: half a step more than 2 passes, as far as the line can tell.
    with run_log(tmp_path, console=console, total_passes=2.004, plain_every=5.0, clock=ticking(2.0)) as log:
        for step in (10, 20, 30, 40, 50):
            log.write(record(step, heldout_loss=3.0, words_per_second=1234567.8, data_wait=0.004))
    rest = "held-out 3.0000  1,234,568 words/s  data wait 0.4%"
    assert console.getvalue().splitlines() == [
        f"pass 0.10/2  step 10/100 (10.0%)  loss 1.0000  {rest}  0:00:18 left",
        f"pass 0.40/2  step 40/100 (40.0%)  loss 0.2500  {rest}  0:00:12 left",
        f"pass 0.50/2  step 50/100 (50.0%)  loss 0.2000  {rest}  0:00:10 left",
    ]


def test_terminal_line_is_rewritten_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    console = Terminal()
    with run_log(tmp_path, console=console) as log:
        log.write(record(10, heldout_loss=3.0))
        log.write(record(20))
        log.note("saved step 20")
        log.write(record(30))
    assert console.getvalue().count("\n") == 2  # the note, and the end
    shown = [piece.split("\x1b[K")[0] for piece in console.getvalue().replace("\n", "").split("\r")[1:]]
    assert [piece[:28] for piece in shown] == [f"pass 0.{n}  step {n}/100 ({n}.0%)"[:28] for n in (10, 20)] + [
        "",
        "pass 0.30  step 30/100 (30.0%)"[:28],
    ]
    assert all(len(piece) <= 39 for piece in shown) and "\x1b[Ksaved step 20\n" in console.getvalue()


def test_time_left_starts_at_the_restored_step(tmp_path: Path) -> None:
    console = io.StringIO()
    with run_log(tmp_path, console=console, clock=ticking(60.0)) as log:
        log.truncate_after(80)
        log.write(record(90))  # 10 steps in a minute, 10 to go
    assert console.getvalue().endswith("0:01:00 left\n")
    assert [duration(x) for x in (0.4, 59.6, 3661, 360000)] == ["0:00:00", "0:01:00", "1:01:01", "100:00:00"]


@pytest.mark.parametrize("tensorboard", [False, True])
def test_a_full_disk_is_an_error_and_leaves_whole_lines(tmp_path: Path, tensorboard: bool) -> None:
    log = run_log(tmp_path, tensorboard=tensorboard)
    log.write(record(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "metrics.jsonl").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))  # room for a part of the next line
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            log.write(record(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines(tmp_path)] == [10]
    log.close()


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    console = io.StringIO()
    with run_log(tmp_path / "run", tensorboard=True, console=console) as log:
        log.truncate_after(3)
        log.write(record(10))
        log.note("hello")
    assert not (tmp_path / "run").exists() and console.getvalue() == ""
