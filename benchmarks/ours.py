"""Our side of the word2vec benchmark: the training command, what is read from it, and the corpus build by itself.

    python -m benchmarks.ours --text=FILE --cache_dir=DIR

builds the corpus in an empty cache and prints its time as one JSON line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Finished
from benchmarks.settings import Setting
from w2v_jax.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
# What the result of a training depends on.
_CODE = ("w2v_jax/train", "w2v_jax/data", "w2v_jax/models", "w2v_jax/nn", "w2v_jax/losses.py", "w2v_jax/config.py")
_CODE_FILES = ("configs/skipgram.py", "configs/cbow.py", "experiments/train.py")


def code_digest() -> str:
    """Digest of the source files that training depends on: results of other code are not taken for this one's."""
    files = [ROOT / name for name in _CODE_FILES]
    for name in _CODE:
        path = ROOT / name
        files += sorted(p for p in path.rglob("*") if p.suffix in (".py", ".cc", ".h")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def data_overrides(text: str, cache_dir: str) -> list[str]:
    """The text as both sides see it: all of it trained on, one document a line."""
    return [
        f"--config.data.source=text:{text}",
        "--config.data.heldout_every=0",
        "--config.data.tokens=letters",
        f"--config.data.cache_dir={cache_dir}",
    ]


def command(
    setting: Setting, text: str, cache_dir: str, workdir: Path, seed: int, passes: int, extra: Sequence[str]
) -> list[str]:
    """The training command. Compiled afresh every time, so that compile time is what a first run has."""
    return [
        *(sys.executable, "-m", "experiments.train", f"--config={ROOT / setting.config}", f"--workdir={workdir}"),
        *data_overrides(text, cache_dir),
        *setting.overrides(),
        f"--config.train.passes={float(passes)}",
        f"--config.train.seed={seed}",
        "--compile_cache=false",
        *extra,
    ]


def measured(done: Finished) -> dict[str, Any]:
    """{'seconds', 'data_wait', 'compile_seconds', 'vocabulary', 'loss'} of a finished training process.

    Raises:
      UserError: the result lacks a value, or it is of a run that was finished before (nothing was compiled).
    """
    found = re.search(r"compiled in ([0-9.]+) s", done.stderr)
    if found is None:
        raise UserError("the training process said no compile time: was its workdir in use before?")
    try:
        taken = {name: done.result[name] for name in ("seconds", "data_wait", "vocabulary", "loss")}
    except KeyError as e:
        raise UserError(f"the result of experiments.train lacks {e}") from None
    return taken | {"compile_seconds": float(found[1])}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", required=True)
    parser.add_argument("--cache_dir", required=True)
    args = parser.parse_args()

    from w2v_jax.config import DataConfig
    from w2v_jax.data.corpus import build_corpus

    start = time.perf_counter()
    cfg = DataConfig(source=f"text:{args.text}", tokens="letters", heldout_every=0, cache_dir=args.cache_dir)
    corpus = build_corpus(cfg)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "vocabulary": len(corpus.vocab), "report": corpus.report}))


if __name__ == "__main__":
    main()
