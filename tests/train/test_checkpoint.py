"""Checkpoints: layout independence, damage of every kind, retention, failed writes."""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from tests.train.states import DIM, ROWS, mesh, same, shardings, state, target
from w2v_jax.errors import UserError
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.failed_write import as_oserror
from w2v_jax.train.orbax_noise import silence_orbax

pytestmark = pytest.mark.xdist_group("checkpoint")  # one worker: they share two checkpoints


def files_of(folder: Path) -> list[Path]:
    return sorted((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Writes past `limit` bytes fail with EFBIG, as a full disk fails with ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints 10 and 20 written on one device; tests damage copies of it."""
    folder = tmp_path_factory.mktemp("two") / "checkpoints"
    with Checkpointer(folder, keep=2) as ckpt:
        for step in (10, 20):
            ckpt.save(step, state(step, mesh(1)), {"at": step})
    return folder


@pytest.fixture
def copy(two: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two, tmp_path / "checkpoints"))


def restore(folder: Path, on: Mesh | None = None) -> tuple[Any, list[str]]:
    warnings: list[str] = []
    with Checkpointer(folder, keep=2, read_only=True, warn=warnings.append) as ckpt:
        return ckpt.restore(target(on or mesh(1))), warnings


# Round trips


@pytest.mark.parametrize(("saved", "wanted"), [((1, 1), (8, 4)), ((8, 4), (1, 1)), ((8, 1), (4, 4)), ((8, 8), (8, 2))])
def test_round_trip_between_layouts(tmp_path: Path, saved: tuple[int, int], wanted: tuple[int, int]) -> None:
    before, on = state(3, mesh(*saved)), mesh(*wanted)
    meta = {"config": {"dim": 3, "name": "é"}, "list": [1, 2.5, None]}
    with Checkpointer(tmp_path / "c", keep=1) as ckpt:
        assert ckpt.restore(target(on)) is None
        assert ckpt.save(3, before, meta)
        assert not ckpt.save(3, before, meta)
    with Checkpointer(tmp_path / "c", keep=1) as ckpt:
        found = ckpt.restore(target(on))
    assert found is not None and found[0] == 3 and found[2] == meta
    assert same(found[1], before)
    assert all(x.sharding == s for x, s in zip(jax.tree.leaves(found[1]), jax.tree.leaves(shardings(on)), strict=True))


def test_restores_one_part(two: Path) -> None:
    on = mesh(8, 2)
    with Checkpointer(two, read_only=True) as ckpt:
        newest = ckpt.restore_part("params", target(on)["params"])
        older = ckpt.restore_part("params", target(on)["params"], step=10)
        with pytest.raises(UserError, match="no checkpoint of step 15; it has \\[10, 20\\]"):
            ckpt.restore_part("params", target(on)["params"], step=15)
    assert (
        newest is not None and newest[0] == 20 and same(newest[1], state(20, on)["params"]) and newest[2] == {"at": 20}
    )
    assert older is not None and older[0] == 10 and same(older[1], state(10, on)["params"])


def test_donated_buffers_do_not_reach_the_checkpoint(tmp_path: Path) -> None:
    overwrite = jax.jit(lambda x: jax.tree.map(lambda y: y * 0 - 1, x), donate_argnums=0)
    for i, on in enumerate((mesh(1), mesh(8, 8), mesh(8))):
        live = {"E": jax.jit(lambda: jnp.ones((4096, 512)), out_shardings=NamedSharding(on, P("model")))()}
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), live)
        with Checkpointer(tmp_path / str(i)) as ckpt:
            ckpt.save(1, live, {})
            live = overwrite(live)
            found = ckpt.restore(like)
        assert found is not None and float(found[1]["E"].min()) == 1.0
        assert float(live["E"].max()) == -1.0


# Retention


def test_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    losses = {1: 5.0, 2: 3.0, 3: None, 4: 4.0, 5: float("nan"), 6: 3.5}
    with Checkpointer(tmp_path / "c", keep=2) as ckpt:
        for step, loss in losses.items():
            ckpt.save(step, {"x": jnp.full(3, step)}, {}, loss=loss)
        assert (ckpt.latest_step(), ckpt.best_step()) == (6, 2)
    assert sorted(p.name for p in (tmp_path / "c").iterdir() if p.name.isdigit()) == ["2", "5", "6"]
    with Checkpointer(tmp_path / "c", keep=1, asynchronous=False) as ckpt:  # the losses are found again
        assert ckpt.best_step() == 2
        ckpt.save(7, {"x": jnp.full(3, 7)}, {}, loss=2.0)
        assert ckpt.best_step() == 7
    assert sorted(p.name for p in (tmp_path / "c").iterdir() if p.name.isdigit()) == ["7"]


def test_unfinished_writes_are_cleaned_up_by_the_writer_only(copy: Path) -> None:
    left = Path(shutil.copytree(copy / "20", copy / "30.orbax-checkpoint-tmp"))
    found, warnings = restore(copy)
    assert found[0] == 20 and not warnings and left.exists()
    with Checkpointer(copy, keep=2) as ckpt:
        assert ckpt.latest_step() == 20
        ckpt.save(30, state(30, mesh(1)), {})
    assert not left.exists()


# Damage


@pytest.mark.filterwarnings("error")  # pytest makes warnings of what Python prints about forgotten failures
def test_truncated_or_deleted_files_fall_back(two: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    largest = files_of(two / "20")[-1].relative_to(two)

    def another_step(c: Path) -> None:
        shutil.rmtree(c / "20")
        shutil.copytree(c / "10", c / "20")

    def empty_folder(c: Path) -> None:
        shutil.rmtree(c / "20")
        (c / "20").mkdir()

    def other_meta(c: Path) -> None:
        record = c / "20" / "meta" / "metadata"
        text = record.read_text()
        assert text.count('"at": 20') == 1
        record.write_text(text.replace('"at": 20', '"at": 21'))

    cases: dict[str, Callable[[Path], object]] = {
        "truncated": lambda c: (c / largest).write_bytes((c / largest).read_bytes()[:1000]),
        "empty": lambda c: (c / largest).write_bytes(b""),
        "deleted": lambda c: (c / largest).unlink(),
        "no arrays": lambda c: shutil.rmtree(c / "20" / "state"),
        "no record": lambda c: shutil.rmtree(c / "20" / "meta"),
        "nothing": empty_folder,
        "edited": other_meta,
        "another step's": another_step,
    }
    for name, harm in cases.items():
        folder = Path(shutil.copytree(two, tmp_path / name))
        harm(folder)
        found, warnings = restore(folder)
        assert found is not None and found[0] == 10 and same(found[1], state(10, mesh(1))), name
        assert len(warnings) == 1 and "\n" not in warnings[0] and "checkpoint 20" in warnings[0], (name, warnings)
    gc.collect()  # Python reports forgotten failures here
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("best", [2, 3])
def test_a_damaged_record_of_the_best_is_told_though_a_newer_one_is_restored(tmp_path: Path, best: int) -> None:
    """Another one may have been half removed when the process died."""
    with Checkpointer(tmp_path / "c", keep=1, asynchronous=False) as ckpt:
        for step, loss in {1: 3.0, 2: 1.0, 3: 2.0}.items():
            ckpt.save(step, {"x": jnp.full(3, step)}, {"best": [2.0, best]}, loss=loss)
    record = tmp_path / "c" / "2" / "meta" / "metadata"
    record.write_bytes(record.read_bytes()[:100])
    warnings: list[str] = []
    with Checkpointer(tmp_path / "c", keep=1, asynchronous=False, warn=warnings.append) as ckpt:
        found = ckpt.restore({"x": jnp.zeros(3, jnp.int32)})
        assert found is not None and found[0] == 3
        told = ["checkpoint 2 " in line and "loss is lost" in line for line in warnings]
        assert told == ([True] if best == 2 else [])
        ckpt.save(4, {"x": jnp.full(3, 4)}, {}, loss=5.0)
        assert ckpt.best_step() == 3
    assert sorted(p.name for p in (tmp_path / "c").iterdir() if p.name.isdigit()) == ["3", "4"]


def test_a_flipped_bit_in_the_arrays_falls_back(copy: Path) -> None:
    largest = files_of(copy / "20")[-1]
    intact, size = largest.read_bytes(), largest.stat().st_size
    assert size > ROWS * DIM  # the table itself
    rng = np.random.default_rng(0)
    silent = 0
    for bit in (size * 4, *rng.integers(size * 8, size=8)):
        flip(largest, int(bit))
        found, warnings = restore(copy)
        largest.write_bytes(intact)
        if not warnings:  # a byte that no leaf is read from
            assert found[0] == 20 and same(found[1], state(20, mesh(1)))
            continue
        assert found[0] == 10 and same(found[1], state(10, mesh(1))) and len(warnings) == 1
        silent += "does not match its digest" in warnings[0]
    assert silent >= 1  # at least one that orbax itself reads without complaint


def test_a_flipped_bit_in_any_file_never_gives_wrong_values(copy: Path) -> None:
    rng = np.random.default_rng(0)
    fallen = 0
    for file in files_of(copy / "20"):
        intact = file.read_bytes()
        flip(file, int(rng.integers(len(intact) * 8)))
        found, warnings = restore(copy)
        file.write_bytes(intact)
        step = found[0]
        assert step in (10, 20) and same(found[1], state(step, mesh(1))) and found[2] == {"at": step}, file
        assert len(warnings) == (step == 10)
        fallen += step == 10
    assert fallen >= 3


def test_training_goes_on_after_a_fall_back(copy: Path) -> None:
    flip(files_of(copy / "20")[-1], 80_000)
    warnings: list[str] = []
    with Checkpointer(copy, keep=2, warn=warnings.append) as ckpt:
        found = ckpt.restore(target(mesh(1)))
        assert found is not None and found[0] == 10 and ckpt.latest_step() == 10
        assert ckpt.save(20, state(21, mesh(1)), {"again": True})
    found, later = restore(copy)
    assert found[0] == 20 and same(found[1], state(21, mesh(1))) and found[2] == {"again": True}
    assert len(warnings) == 1 and not later


def test_nothing_intact_is_an_error(copy: Path) -> None:
    for step in ("10", "20"):
        files_of(copy / step)[-1].unlink()
    with pytest.raises(UserError, match=r"checkpoints: no intact checkpoint \(damaged: 10, 20\)"):
        restore(copy)


def test_another_model_is_an_error_not_damage(two: Path) -> None:
    with Checkpointer(two, read_only=True) as ckpt:
        with pytest.raises(UserError, match=r"20: params/E is float32\[512, 64\], but float32\[500, 64\] here"):
            ckpt.restore(target(mesh(1), rows=500))
        wide = target(mesh(1))
        wide["params"]["bias"] = wide["params"]["scale"]
        with pytest.raises(UserError, match="has no params/bias"):
            ckpt.restore(wide)
        narrow = target(mesh(1))
        del narrow["rng"]
        with pytest.raises(UserError, match="contains rng"):
            ckpt.restore(narrow)


# Failed writes


def test_tasks_that_orbax_gathered_and_abandoned_are_not_logged() -> None:
    """asyncio names no file of theirs; it may log them long after the failure, when they are collected."""
    silence_orbax()
    kept = []
    for place in (os.path.join("lib", "orbax", "write.py"), os.path.join("lib", "other", "write.py")):
        with pytest.raises(ZeroDivisionError) as caught:
            exec(compile("1 / 0", place, "exec"))  # a frame of that file
        said = "_GatheringFuture exception was never retrieved"
        entry = logging.LogRecord("asyncio", logging.ERROR, "base_events.py", 1, said, (), caught._excinfo)
        kept.append(bool(logging.getLogger("asyncio").filter(entry)))
    assert kept == [False, True]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_failed_write_surfaces_and_leaves_older_checkpoints(
    copy: Path, asynchronous: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    ckpt = Checkpointer(copy, keep=2, asynchronous=asynchronous)
    with file_size_limit(20_000), pytest.raises(OSError, match="File too large") as caught:
        ckpt.save(30, state(30, mesh(1)), {}, loss=0.1)
        ckpt.save(40, state(40, mesh(1)), {})
    assert caught.value.filename == str(copy / "30")
    assert ckpt.latest_step() == 20 and ckpt.best_step() is None
    assert sorted(p.name for p in copy.iterdir() if p.name.isdigit()) == ["10", "20"]
    ckpt.save(50, state(50, mesh(1)), {})  # with space again, it goes on
    ckpt.close()
    assert sorted(p.name for p in copy.iterdir() if p.name.isdigit()) == ["20", "50"]
    assert restore(copy)[0][0] == 50
    gc.collect()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (ValueError('NOT_FOUND: Error opening "zarr" driver: Error writing "E/.zarray"'), errno.ENOENT),
        (ValueError("No ArrayMetadata found for process_index=0 in the checkpoint directory"), errno.ENOENT),
        (ValueError("Checkpoint directory does not exist: run/checkpoints/8.orbax-checkpoint-tmp"), errno.ENOENT),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/elsewhere"), errno.ENOENT),
        (ValueError("RESOURCE_EXHAUSTED: Failed to write [OS error 28: No space left on device]"), errno.ENOSPC),
        (TypeError("a mistake in the program"), None),
    ],
)
def test_a_failed_write_names_the_checkpoint_whatever_raised_it(error: Exception, number: int | None) -> None:
    """The first two are those of a folder that is deleted during a write."""
    found = as_oserror(error, "run/checkpoints/8")
    assert (found and (found.errno, found.filename)) == (number and (number, "run/checkpoints/8"))


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("")
    with pytest.raises(UserError, match="is a file"):
        Checkpointer(tmp_path / "c")


def test_reading_makes_nothing(tmp_path: Path) -> None:
    assert restore(tmp_path / "none") == (None, [])
    assert not (tmp_path / "none").exists()
