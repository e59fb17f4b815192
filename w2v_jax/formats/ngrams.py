"""What makes vectors of unseen words, beside the vectors of a run: ngrams.npy and ngrams.json."""

from __future__ import annotations

import numpy as np

from w2v_jax.errors import UserError
from w2v_jax.exported import check
from w2v_jax.files import PathLike, read_json
from w2v_jax.formats.subwords import Subwords
from w2v_jax.storage import local_copy, to_path

NGRAMS, NGRAMS_JSON = "ngrams.npy", "ngrams.json"


def read_ngrams(folder: PathLike, dim: int) -> Subwords | None:
    """The n-grams of a run folder, whose rows stay on disk; None where it has none. UserError: damaged files, or of
    another dimension than `dim`."""
    home = to_path(folder)
    lengths = read_json(home / NGRAMS_JSON)
    if lengths is None:
        return None
    for name in (NGRAMS, NGRAMS_JSON):
        if not (home / name).is_file():
            raise UserError(f"{home / name}: no such file; the run's training command writes it again")
        check(home / name)
    try:
        rows = np.load(local_copy(home / NGRAMS), mmap_mode="r", allow_pickle=False)
        found = Subwords(rows, int(lengths["shortest"]), int(lengths["longest"]))
    except (ValueError, KeyError, TypeError, EOFError) as e:
        raise UserError(f"{home / NGRAMS}: damaged ({type(e).__name__}: {e}); train the run again") from None
    if rows.ndim != 2 or rows.shape[1] != dim or not len(rows) or rows.dtype != np.float32:
        raise UserError(
            f"{home / NGRAMS}: {rows.dtype} {rows.shape}: must be float32 [buckets, {dim}], of the same run"
        )
    return found
