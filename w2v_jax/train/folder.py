"""One run's folder: its config, result, vectors. Its files decide whether a run starts, continues or is finished."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from w2v_jax.config import Config, own_tokens
from w2v_jax.embeddings import Embeddings, write
from w2v_jax.errors import UserError
from w2v_jax.export import projector_above, write_documents, write_ngrams
from w2v_jax.exported import CHECKPOINTS as CHECKPOINTS
from w2v_jax.exported import CONFIG as CONFIG
from w2v_jax.exported import RESULT as RESULT
from w2v_jax.exported import damaged, has_checkpoint, write_result
from w2v_jax.exported import read_result as read_result
from w2v_jax.family import Family
from w2v_jax.files import read_json, remove_parts, write_json
from w2v_jax.formats import Subwords
from w2v_jax.lease import held
from w2v_jax.models import MODELS
from w2v_jax.recorded import differences, freeze, load, to_dict
from w2v_jax.storage import check_writable, in_bucket
from w2v_jax.train import console, world
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.logs import RunLog, tell
from w2v_jax.types import Say, Text

# What only the process that trains writes: a regular expression of names.
WRITTEN = r"writable|config\.json|result\.json|launched-.*\.json|.*\.bin|projector|tokenizer\.json|vocab\.txt"
WRITTEN += r"|projector_config\.pbtxt|ngrams\.(npy|json)|documents\.(npy|txt)"
TOKENIZER = ("tokenizer.json", "vocab.txt")
PROJECTED = 10_000  # words for the TensorBoard projector, which draws no more


def open_run(workdir: Path, config: Config) -> dict[str, Any] | None:
    """Opens a run folder; returns the result of a finished run of the same config, else None.

    None also where exported files of a finished run are damaged or gone while a checkpoint is there, with a warning:
    the run then continues at its end, and writes them again.

    Whether the folder can be written is only tried here: `opened` makes it and writes config.json, once the input is
    good. UserError: the folder holds a run of another config (the differing keys are named), or it is a file. OSError:
    it cannot be written.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir}: is a file; choose a folder")
    if world.index() == 0 and in_bucket(workdir):
        check_writable(workdir)
    elif world.index() == 0:
        new = not workdir.exists()
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / f".writable.{os.getpid()}.tmp"
        try:
            probe.touch()
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
                if new:
                    workdir.rmdir()
    return _finished(workdir) if _holds(workdir, config) else None


def _finished(workdir: Path) -> dict[str, Any] | None:
    """The result of a finished run whose exported files are as it wrote them, or cannot be written again."""
    result = read_result(workdir)
    bad = damaged(workdir) if result is not None else []
    if not bad:
        return result
    again = has_checkpoint(workdir)
    cure = "written again from the checkpoint" if again else "no checkpoint is left to write it again from"
    tell(f"warning: {workdir}: {', '.join(bad)}: gone, or not as the run wrote it; {cure}")
    return None if again else result


def _holds(workdir: Path, config: Config) -> bool:
    """Whether the folder has a config.json. Raises UserError when it is that of another run."""
    saved = load(workdir / CONFIG, MODELS)
    if saved is None:
        return False
    # As a config: a run that is older than an option has its default.
    keys = differences(to_dict(saved), to_dict(config))
    if keys:
        check_family(workdir, saved.family, config.family)
        longer = _longer(workdir, saved, config) if set(keys) <= {"train.passes", "train.max_steps"} else ""
        raise UserError(
            f"--workdir={workdir}: holds a run whose config differs in {', '.join(keys)}; "
            f"use the same values or another workdir{longer}"
        )
    return True


def check_family(workdir: Path, held: str, wanted: str) -> None:
    """UserError: the folder holds a run of another family, which differs in most keys."""
    if held != wanted:
        raise UserError(f"--workdir={workdir}: holds a run of family {held}, not {wanted}; use another workdir")


def _longer(workdir: Path, saved: Config, config: Config) -> str:
    """How to train a finished run longer, where that is what the config asks for."""
    most, before = config.train.max_steps or math.inf, saved.train.max_steps or math.inf
    more = config.train.passes >= saved.train.passes and most >= before
    if not more or MODELS[config.family].train is None or not (workdir / RESULT).exists():
        return ""
    return f"; to train it longer, give a new --workdir and add --config.train.start={workdir}"


@contextlib.contextmanager
def claimed(workdir: Path, config: Config) -> Iterator[None]:
    """Holds the run folder, which is made, for this process until the end of the block, or of the process.

    UserError: another process trains in it, or has begun a run of another config there since it was opened.
    """
    problem = f"--workdir={workdir}: another process trains in it; wait, or choose another"
    if in_bucket(workdir):
        lease = held(str(workdir / ".lock"), problem, tell)
        try:
            _holds(workdir, config)
            yield
        finally:
            lease.release()
        return
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / ".lock", "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(problem) from None
        except OSError:  # file systems without locks
            pass
        _holds(workdir, config)
        yield


def keep_launch(workdir: Path) -> None:
    """Keeps what `launch.tpu` shipped, commit and patch, as launched-ID.json, one for each start by it."""
    if file := os.environ.get("W2V_JAX_LAUNCH"):
        about = read_json(file)
        if about is not None:
            write_json(workdir / f"launched-{Path(str(about['id'])).name}.json", about)


@contextlib.contextmanager
def opened(
    workdir: Path, config: Config, steps: int, passes: float, pinned: int | None = None
) -> Iterator[tuple[Checkpointer, RunLog]]:
    """The checkpoints and the log of a run folder, claimed, with its config.json written.

    The checkpoint of step `pinned` is kept.

    UserError: another process trains in it, or its checkpoints are of another config.
    """
    first = world.index() == 0
    with (
        # Only now that the input is good: a run that never began must not claim the folder for a wrong config.
        claimed(workdir, config) if first else contextlib.nullcontext(),
        console.kept(workdir / console.LOG) if first else contextlib.nullcontext(),
        Checkpointer(workdir / CHECKPOINTS, keep=config.checkpoint.keep, pinned=pinned) as checkpoints,
    ):
        # config.json may be gone, or that of another run: what a checkpoint was trained with stands in it.
        _check_config(workdir, checkpoints.latest_meta(), config)
        if first:
            if not in_bucket(workdir):
                remove_parts(workdir, WRITTEN)
            write_json(workdir / CONFIG, to_dict(config))
            keep_launch(workdir)
        with RunLog(workdir, tensorboard=config.log.tensorboard, total_steps=steps, total_passes=passes) as log:
            try:
                yield checkpoints, log
            # RuntimeError: of a device; what ends a run on purpose is none. UserError: `train.start` does not fit.
            except (MemoryError, RuntimeError, UserError):
                if first and checkpoints.latest_step() is None:  # a run that never fitted claims nothing
                    for name in (CONFIG, *TOKENIZER):
                        (workdir / name).unlink(missing_ok=True)
                raise


def keep_tokenizer(workdir: Path, text: Text) -> None:
    """Writes the tokeniser of a run that trains, by the first process: its checkpoints can be opened before it ends."""
    if world.index() == 0:
        text.tokenizer.save(workdir)


def tell_gone(checkpoints: Checkpointer, best: int | None) -> None:
    """Warns where the checkpoint that was saved as the best of a run, of step `best`, is not on disk any more."""
    if best is not None and best not in checkpoints.steps():
        left = ", ".join(map(str, checkpoints.steps())) or "none"
        tell(f"warning: checkpoint {best} in {checkpoints.directory}, the best of the run, is gone; left: {left}")


def best_of(workdir: Path, meta: Mapping[str, Any]) -> int | None:
    """The step of the best checkpoint that a run has saved, by its result or by its newest checkpoint's `meta`; None
    where neither says it."""
    result = None
    with contextlib.suppress(UserError):  # a damaged result is told by the run's own command
        result = read_json(workdir / RESULT)
    if isinstance(result, dict) and "best_heldout_step" in result:
        return result["best_heldout_step"] or result.get("steps")
    return (meta.get("best") or (None, None))[1]


def _check_config(workdir: Path, meta: Mapping[str, Any] | None, config: Config) -> None:
    """Raises UserError where a checkpoint was trained with another config, whatever config.json says."""
    saved = freeze(meta["config"], MODELS) if meta else config
    keys = differences(to_dict(saved), to_dict(config))
    if keys:
        check_family(workdir, saved.family, config.family)
        raise UserError(
            f"--workdir={workdir}: its checkpoints were trained with another config ({', '.join(keys)}); "
            "use the same values or another workdir"
        )


def check_fixed(workdir: Path, meta: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Raises UserError where a checkpoint was trained on another text or other constants than `fixed`."""
    for key, value in fixed.items():
        if meta.get(key) != value:
            raise UserError(
                f"--workdir={workdir}: its checkpoint was trained on another {key}; "
                "restore the text it was trained on, with its stop words and tokeniser, or use another workdir"
            )


def check_text(workdir: Path, config: Config, family: Family, digest: str | None, say: Say) -> None:
    """Raises UserError where the text of a finished run, or what says how it is cut, has changed since; says so where
    it cannot be read any more.

    `digest` is that of the text it was trained on; None for runs of older versions, which are not checked.
    """
    if digest is None:
        return
    try:
        now = family.text(config.model, config.data, lambda line: None).digest
    except (UserError, OSError) as e:
        say(f"warning: {workdir}: the text of this finished run cannot be read any more ({e})")
        return
    if now != digest:
        data, what = config.data, [f"the text of data.source={config.data.source}"]
        what += [f"the list data.stop_words={data.stop_words}"] if data.stop_words else []
        what += [f"the tokeniser data.tokens={data.tokens}"] if own_tokens(data.tokens) else []
        what += [f"the words of data.vocabulary_from={data.vocabulary_from}"] if data.vocabulary_from else []
        raise UserError(
            f"--workdir={workdir}: holds a finished run, but {' or '.join(what)} has changed since; restore it, or use "
            "another workdir"
        )


def export_vectors(workdir: Path, words: tuple[str, ...], counts: np.ndarray, matrices: dict[str, Any]) -> list[str]:
    """Writes the matrices of `Family.embed`, [V, D] each: the first as `vectors.bin` (word2vec binary) and `projector/`
    (for TensorBoard), the others as `NAME.bin`. Returns the names of the files."""
    files = []
    for index, (name, matrix) in enumerate(matrices.items()):
        emb = Embeddings(words, np.asarray(matrix, np.float32), counts=counts)
        files.append(f"{name}.bin" if index else "vectors.bin")
        write(emb, workdir / files[-1], "binary")
        if index == 0:
            write(emb.head(PROJECTED), workdir / "projector", "projector")
            _show_projector(workdir)
    return files


def _show_projector(workdir: Path) -> None:
    """Lets TensorBoard's projector open from the run folder, and from the folder of several runs, where it looks beside
    the events only and takes no file from elsewhere."""
    projector_above(workdir)
    events = workdir / "tensorboard"
    if in_bucket(workdir) or not events.is_dir():
        return
    for file in sorted((workdir / "projector").iterdir()):
        with contextlib.suppress(FileNotFoundError):
            (events / file.name).unlink()
        try:
            os.link(file, events / file.name)
        except OSError:  # a file system without links
            shutil.copyfile(file, events / file.name)


def finish(
    workdir: Path,
    text: Text,
    matrices: dict[str, Any],
    result: dict[str, Any],
    parts: Subwords | None = None,
    documents: np.ndarray | None = None,
) -> dict[str, Any]:
    """Writes vectors, tokeniser and result of a finished run, by the first process; returns the result. `parts` make
    vectors of unseen words; see `w2v_jax.embeddings.load_run`. `documents` [N, D] are those of the training text."""
    if world.index() == 0:
        words = tuple(text.tokenizer.names()) if matrices else ()
        files = export_vectors(workdir, words, text.vocab.counts, matrices) if matrices else []
        keep_tokenizer(workdir, text)
        files += [] if parts is None else write_ngrams(workdir, parts)
        files += [] if documents is None else write_documents(workdir, documents)
        # Last: its presence means that the run is finished. A loss may have overflowed, which JSON cannot say.
        whole = {k: None if _endless(v) else v for k, v in result.items()}
        write_result(workdir, whole, [*files, *TOKENIZER])
    return result


def _endless(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def about(config: Config, text: Text) -> dict[str, Any]:
    """The entries of every result about its text and its machine."""
    return {
        "vocabulary": len(text.vocab.words),
        "corpus": text.report,
        "corpus_digest": text.digest,
        "seed": config.train.seed,
        "device": f"{len(world.devices())} x {world.devices()[0].device_kind}",
        "jax": jax.__version__,
    }
