"""What digests cost: of checkpoints, as a share of the steps between two of them, and of the token cache at opening.

    python -m benchmarks.faults.digests [--words=2000000] [--vocabulary=60000] [--dim=100] [--out=FILE.json]

Skip-gram vectors are trained with configs/skipgram.py on made-up text. A step is the time between digests over its
steps, with scoring and saving. The digest of the whole state (`train/fingerprint.py`), one for each save, is timed
where the run takes it; the share is that at the config's own interval, with a save every half interval. The token cache
is read by SHA-256 as each opening does (`data/corpus.py`), from the page cache, with a file of 200 MB. Exit status 1
where the digests of checkpoints take 1 % of the processor time or more.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from configs import skipgram
from experiments.common import cli
from w2v_jax.files import write_json

REPEATS, GOAL = 7, 0.01


def clocks() -> np.ndarray:
    """(seconds, processor seconds of this process): on a shared machine the second say more than the first."""
    return np.array([time.perf_counter(), time.process_time()])


def of_cache(tokens: int) -> dict[str, Any]:
    """Seconds and GB/s of the SHA-256 of a token file; the median of REPEATS."""
    from w2v_jax.data.cache import digest_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tokens"
        np.random.default_rng(0).integers(0, 60_000, tokens, np.uint16).tofile(path)
        size, found = path.stat().st_size, []
        for _ in range(REPEATS):
            begin = clocks()
            digest_of(path)
            found.append(clocks() - begin)
    wall, cpu = np.median(found, axis=0).tolist()
    return {"bytes": size, "gigabytes_per_second": size / wall / 1e9, "per_processor_second": size / cpu / 1e9}


def of_checkpoints(words: int, vocabulary: int, dim: int) -> dict[str, Any]:
    """Seconds of a step and of a digest of the whole state, and the share of digests in training."""
    from w2v_jax.train import checkpoint, loop

    config, taken, real = skipgram.get_config(), [], checkpoint.fingerprint

    def timed(tree: Any) -> dict[str, int]:
        begin = clocks()
        found = real(tree)  # whole numbers: the device has finished
        taken.append((begin, clocks()))
        return found

    often = max(2, words // config.train.batch_size // 4)
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder) / "text.txt", words, vocabulary)
        run = dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, dim=dim),
            data=dataclasses.replace(config.data, source=f"text:{folder}/text.txt", cache_dir=f"{folder}/cache"),
            train=dataclasses.replace(config.train, passes=2.0),
            checkpoint=dataclasses.replace(config.checkpoint, every_steps=often),
        )
        checkpoint.fingerprint = timed
        try:
            result = loop.train(run, Path(folder) / "run")
        finally:
            checkpoint.fingerprint = real
    digest = np.median([end - begin for begin, end in taken[1:]], axis=0)  # the first one compiles
    between = np.array([after[0] - before[1] for before, after in itertools.pairwise(taken)])
    step = between.sum(axis=0) / result["steps"] * len(taken) / len(between)
    every = config.checkpoint.every_steps // 2
    share = digest / (digest + every * step)
    return {
        "vocabulary": result["vocabulary"],
        "dim": dim,
        "steps": result["steps"],
        "steps_between_saves": every,
        "wall": {"step_seconds": step[0], "digest_seconds": digest[0], "share": share[0]},
        "processor": {"step_seconds": step[1], "digest_seconds": digest[1], "share": share[1]},
    }


def write_text(path: Path, words: int, vocabulary: int) -> None:
    """Zipfian text in lines of 20 words."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(5, vocabulary + 5)
    ids = rng.choice(vocabulary, (words // 20, 20), p=share / share.sum())
    names = np.array(["".join(chr(97 + int(d)) for d in f"{i:06d}") for i in range(vocabulary)])
    path.write_text("".join(" ".join(names[line]) + "\n" for line in ids))


def main(argv: Sequence[str]) -> int:
    """Measures both and prints them; returns the exit status."""
    f = flags.FLAGS
    found = {"checkpoints": of_checkpoints(f.words, f.vocabulary, f.dim), "token_cache": of_cache(100_000_000)}
    print(json.dumps(found, indent=2))
    if f.out:
        write_json(f.out, found)
    return int(found["checkpoints"]["processor"]["share"] >= GOAL)


if __name__ == "__main__":
    flags.DEFINE_integer("words", 2_000_000, "Length of the made-up text.", lower_bound=100_000)
    flags.DEFINE_integer("vocabulary", 60_000, "Its different words.", lower_bound=100)
    flags.DEFINE_integer("dim", 100, "Dimensions of the vectors.", lower_bound=1)
    flags.DEFINE_string("out", None, "File of the results.")
    cli.run(main)
