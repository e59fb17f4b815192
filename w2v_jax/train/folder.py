"""One run's folder: its config, result, vectors. What is in it decides whether a run starts, continues or is
finished."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from w2v_jax.config import Config, differences, load, to_dict
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.files import read_json, write_text
from w2v_jax.models import MODELS

PROJECTED = 10_000  # words for the TensorBoard projector, which draws no more
CONFIG, RESULT, CHECKPOINTS = "config.json", "result.json", "checkpoints"


def open_run(workdir: Path, config: Config) -> dict[str, Any] | None:
    """Makes or opens a run folder for `config`; the caller writes its config.json once the input proved good.

    Returns:
      The result of a finished run of the same config, else None.

    Raises:
      UserError: the folder holds a run of another config (the differing keys are named), or it is no folder.
      OSError: it cannot be written.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir}: is a file; choose a folder")
    if jax.process_index() == 0:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / f".writable.{os.getpid()}"
        try:
            probe.touch()
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
    wanted = to_dict(config)
    saved = load(workdir / CONFIG, MODELS)
    if saved is not None:
        # As a config: a run from before an option existed has its default.
        keys = differences(to_dict(saved), wanted)
        if keys:
            raise UserError(
                f"--workdir={workdir}: holds a run whose config differs in {', '.join(keys)}; "
                "use the same values or another workdir"
            )
        result = read_json(workdir / RESULT)
        if result is not None:
            return result
    return None


@contextlib.contextmanager
def claimed(workdir: Path) -> Iterator[None]:
    """Holds the run folder for this process until the end of the block, or of the process.

    Raises:
      UserError: another process trains in it.
    """
    with open(workdir / ".lock", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"--workdir={workdir}: another process trains in it; wait, or choose another") from None
        except OSError:  # file systems without locks
            pass
        yield


def export_vectors(workdir: Path, words: tuple[str, ...], counts: np.ndarray, matrices: dict[str, Any]) -> list[Path]:
    """Writes the vectors for use elsewhere: `vectors.bin` (the main matrix; word2vec binary), one `NAME.bin` for every
    other matrix, `vocab.txt` (word and count) and `projector/` for the TensorBoard projector.

    Args:
      matrices: of `ModelSpec.embed`, [V, D] each, the main one first.
    """
    paths = []
    for index, (name, matrix) in enumerate(matrices.items()):
        emb = Embeddings(words, np.asarray(matrix, np.float32), counts=counts)
        paths.append(workdir / ("vectors.bin" if index == 0 else f"{name}.bin"))
        save(emb, paths[-1], "binary")
        if index == 0:
            save(emb.head(PROJECTED), workdir / "projector", "projector")
    write_text(workdir / "vocab.txt", "".join(f"{w}\t{int(c)}\n" for w, c in zip(words, counts, strict=True)))
    return paths
