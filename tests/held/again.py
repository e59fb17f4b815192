"""Continues and evaluates a copy of every held run, in a process whose compiler is set as when they were made.

    python -m tests.held.again FILE

writes {name: {'status', 'err', 'found'}} as JSON. `found` is the outcome, or absent where the run or a command failed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.held import runs


def again(name: str) -> dict[str, Any]:
    """What becomes of one held run."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        runs.place_texts(Path())
        shutil.copytree(runs.HELD / name / runs.RUN, runs.RUN)
        done = runs.train(name)
        ended: dict[str, Any] = {"status": done.status, "err": done.err}
        if done.status == 0:
            try:
                ended["found"] = runs.outcome(name)
            except Exception:  # the other runs are still to be told of
                ended |= {"status": -1, "err": done.err + traceback.format_exc()}
        return ended


if __name__ == "__main__":
    FigureCanvasAgg.print_png = lambda *_, **__: None  # nobody looks at the pictures
    ended = {name: again(name) for name in runs.RUNS}
    Path(sys.argv[1]).write_text(json.dumps(ended), encoding="utf-8")
