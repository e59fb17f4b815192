"""Where a word's time goes: microseconds a kept word by part of the training step.

    python -m benchmarks.budget --text=FILE [--only=skipgram-100,skipgram-300,cbow-100] [--out=results/budget]
    python -m benchmarks.budget --text=FILE --step --only=hs-100,cbow-300 --override=train.kernel=jax

Prints a table of the functions that the step is made of beside the whole step; writes OUT/budget.json. With --step only
the whole step is timed, for any loss: the parts are those of negative sampling by XLA.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from benchmarks.parts import PARTS, prepare, time_parts, time_step
from benchmarks.settings import Setting, chosen
from experiments.common import cli
from experiments.common.machine import machine
from w2v_jax.errors import UserError
from w2v_jax.files import write_json


def define_flags() -> None:
    """A call, not an import, defines the flags."""
    flags.DEFINE_string("text", None, "Text file, one document a line.")
    flags.DEFINE_list("only", ["skipgram-100", "skipgram-300", "cbow-100"], "Settings.")
    flags.DEFINE_bool("step", False, "Only the whole step.")
    flags.DEFINE_integer("repeats", 5, "Best of so many rounds.", lower_bound=1)
    flags.DEFINE_multi_string("override", [], "Further config override, e.g. train.batch_size=4096.")
    flags.DEFINE_string("cache_dir", "", "Corpus cache; the usual one without.")
    flags.DEFINE_string("out", "results/budget", "Folder of the results.")


def recipe(setting: Setting) -> dict[str, Any]:
    """What the setting changes of its config, as it is trained beside gensim."""
    return parse_overrides(setting.overrides())


def parse_overrides(given: Sequence[str]) -> dict[str, Any]:
    """`['train.batch_size=4096']` -> {'train.batch_size': 4096}. Raises UserError for one without '='."""
    out: dict[str, Any] = {}
    for item in given:
        key, equals, value = item.removeprefix("--").removeprefix("config.").partition("=")
        if not equals:
            raise UserError(f"--override={item}: is written KEY=VALUE")
        try:
            out[key] = json.loads(value)
        except ValueError:
            out[key] = value
    return out


def measure_setting(config_file: str, replace: dict[str, Any], repeats: int) -> dict[str, Any]:
    """All figures of one setting, in microseconds a kept word."""
    if not flags.FLAGS.step and replace["model.loss"] != "negative":
        raise UserError("the budget is by parts of negative sampling: choose a setting with that loss, or --step")
    case = prepare(config_file, replace, repeats)
    scale = 1e6 / case.kept
    timed = {} if flags.FLAGS.step else time_parts(case, repeats)
    parts = {name: seconds * scale for name, seconds in timed.items()}
    raw, kept = len(case.corpus.train.tokens), case.source.report.get("expected_kept")
    return {
        "us_per_kept_word": parts,
        "parts_sum": sum(parts.values()),
        "whole_step": time_step(case, repeats) * scale,
        "data_wall_alone": case.host_us,
        "data_cpu": case.host_cpu_us,
        "kept_words_per_step": case.kept,
        "kept_share": kept and kept / raw,
        "batch_size": case.config.train.batch_size,
    }


def table(results: dict[str, Any]) -> str:
    """One row a setting."""
    from w2v_jax.tables import aligned

    shown = {"whole_step": "whole step", "data_wall_alone": "data alone", "data_cpu": "data cpu"}
    parts = [part for part in PARTS if all(part in r["us_per_kept_word"] for r in results.values())]
    shown = {"parts_sum": "all parts"} | shown if parts else shown
    rows = [["us a kept word", *parts, *shown.values()]]
    for name, r in results.items():
        values = [r["us_per_kept_word"][part] for part in parts] + [r[key] for key in shown]
        rows.append([name, *(f"{v:.3f}" for v in values)])
    return aligned(rows)


def main(argv: Sequence[str]) -> int:
    """Prints the table and writes the figures."""
    given = flags.FLAGS
    if not given.text or not os.path.isfile(given.text):
        raise UserError(f"--text={given.text}: no such file; give a text file, one document a line")
    extra, results = parse_overrides(given.override), {}
    for setting in chosen(given.only):
        text = {
            "data.source": f"text:{os.path.abspath(given.text)}",
            "data.heldout_every": 0,
            "data.cache_dir": given.cache_dir,
        }
        replace = text | recipe(setting) | extra
        print(f"{setting.name} ...", file=sys.stderr, flush=True)
        results[setting.name] = measure_setting(setting.config, replace, given.repeats)
    rows = table(results)
    middle = statistics.median(r["kept_share"] or 1.0 for r in results.values())
    print(f"{rows}\n\n{middle:.1%} of the vocabulary's words are kept: times this share for a word of the text")
    os.makedirs(given.out, exist_ok=True)
    write_json(os.path.join(given.out, "budget.json"), {"machine": machine(), "settings": results})
    return 0


if __name__ == "__main__":
    define_flags()
    cli.run(main)
