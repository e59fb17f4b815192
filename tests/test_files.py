"""Outputs: files are written whole; links are followed; devices and pipes are written to, never replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from w2v_jax import storage
from w2v_jax.data import shared
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError
from w2v_jax.files import remove_parts, write_text
from w2v_jax.train import folder


def test_a_full_device_is_an_error_and_stays_a_device() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    before = os.stat("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write_text("/dev/full", "x\n")
    assert caught.value.filename == "/dev/full"
    after = os.stat("/dev/full")
    assert stat.S_ISCHR(after.st_mode) and after.st_ino == before.st_ino


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "words\n")
    reader.join(timeout=20)
    assert read == [b"words\n"] and stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(Path("there") / "a.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "there" / "a.txt").read_text() == "new"
    assert [f.name for f in (tmp_path / "there").iterdir()] == ["a.txt"]
    (tmp_path / "later.txt").symlink_to(Path("there") / "b.txt")
    write_text(tmp_path / "later.txt", "made")
    assert (tmp_path / "there" / "b.txt").read_text() == "made"


def test_a_tilde_that_the_shell_left_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bash leaves that of --workdir=~/run."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("W2V_JAX_CACHE", "~/cache")
    write_text("~/a.txt", "words")
    words = Embeddings(["a", "b"], np.eye(2, dtype=np.float32))
    save(words, "~/vectors.bin")
    assert load("~/vectors.bin").words == ["a", "b"]
    same = (storage.to_path("~/a.txt"), Path(storage.real("~/a.txt")), Path(storage.local_copy("~/a.txt")))
    assert same == (tmp_path / "a.txt",) * 3 and storage.read_bytes("~/a.txt") == b"words"
    assert storage.local_cache() == tmp_path / "cache" and storage.stat("~/a.txt").st_size == 5
    assert not list(Path().iterdir())


@pytest.mark.parametrize("key", ["", "/proc/none/cache"])
def test_a_cache_that_cannot_be_made_says_how_to_name_another(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below /proc nobody makes a folder, root neither."""
    monkeypatch.setenv("W2V_JAX_CACHE", "/proc/none")
    hint = "data.cache_dir=/proc/none/cache: .*name another folder$" if key else "the cache .*by W2V_JAX_CACHE or data"
    with pytest.raises(UserError, match=hint):
        shared.made_root(key, "index")


def test_a_letter_that_standard_output_lacks_ends_no_command() -> None:
    code = "from w2v_jax.train import console; console.streams(); print('caf\u00e9', flush=True)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "caf\\xe9\n" and not done.returncode, done.stderr


def test_what_a_killed_process_left_is_removed_by_name(tmp_path: Path) -> None:
    own = [".projector.123.tmp", ".vectors.bin.7.tmp", ".config.json.99.tmp", ".writable.8.tmp"]
    others = [".evaluation.json.5.tmp", ".lock", "vectors.bin", ".vectors.bin.tmp", "projector"]
    for name in own + others:
        if "projector" in name:
            (tmp_path / name).mkdir()
            (tmp_path / name / "vectors.tsv").write_text("half")
        else:
            (tmp_path / name).write_text("half")
    remove_parts(tmp_path, folder.WRITTEN)
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(others)
    remove_parts(tmp_path / "not_there", folder.WRITTEN)
