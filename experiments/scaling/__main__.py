"""Scaling studies: makes a grid of runs, fits the laws that they follow, and says what is extrapolated.

  python -m experiments.scaling
  python -m experiments.scaling --config=configs/scaling/NAME.py --workdir=DIR [--config.KEY=VALUE ...] [--plan]
  python -m experiments.scaling --config=... --workdir=DIR --shard=0/2
  python -m experiments.scaling --fit=FILE.csv|results.jsonl [--drop_fewest_tokens_per_parameter=5]

Without a config, the small study of the synthetic language, whose best possible loss is known: 11 minutes on 2
cores. Every run goes through the one training loop, in DIR/runs; its result is one line of DIR/results.jsonl. Stopped
and started again, the command skips runs that ended and resumes the one under way. --shard=i/n makes every n-th part
and writes DIR/results-i-of-n.jsonl; results are merged by putting the files into one folder, or into one file. When all
runs are there it prints the laws and draws DIR/report.html with all figures.
A run that diverged or failed is recorded as such and not tried again; to try it, remove its line from the results.
--plan prints every run and what it costs, and makes none. --fit fits a table of runs and trains nothing.
Exit status: 0 done, 1 the fitted floor misses the best possible loss that is known, 2 bad input, 128 + n stopped by
signal n after saving.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from experiments.common import cli, config_flag
from w2v_jax.errors import UserError

if TYPE_CHECKING:
    from w2v_jax.scaling.records import Record
    from w2v_jax.scaling.study import Planned, Study

DEFAULT_CONFIG = cli.ROOT / "configs" / "scaling" / "synthetic.py"
DEFAULT_WORKDIR = "runs/scaling"


def parse_shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n". UserError: not two such numbers, i outside 0..n-1."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not int(match[1]) < int(match[2]):
        raise UserError(f"--shard={text}: must be i/n with i from 0 to n-1, such as 0/2 and 1/2")
    return int(match[1]), int(match[2])


def study_of_flags() -> Study:
    """The study that the flags name."""
    from w2v_jax.scaling.study import Study

    path, changes = config_flag.given(default=DEFAULT_CONFIG)
    return config_flag.load(path, Study, changes)


def make(shard: tuple[int, int]) -> int:
    """Makes the study's runs that are missing, then reports; returns the exit status."""
    from experiments.scaling import report
    from experiments.scaling.execute import clean, execute, open_text, planned
    from experiments.scaling.progress import Progress
    from w2v_jax.scaling import records, study

    f = flags.FLAGS
    wanted = study_of_flags()
    config_flag.set_compile_cache(wanted.data.cache_dir, least_seconds=0.1)
    workdir = Path(f.workdir)
    text = open_text(wanted, f.data_dir or "")
    every = planned(text)
    mine = study.shard(every, *shard)
    done = ended(workdir, every)
    own = workdir / ("results.jsonl" if shard[1] == 1 else f"results-{shard[0]}-of-{shard[1]}.jsonl")
    kept = records.read([own]) if own.exists() else []
    progress = Progress(mine, list(done.values()))
    for run in mine:
        if run.name in done:
            continue
        progress.begin(run)
        started = time.perf_counter()
        record = execute(run, text, workdir)
        kept.append(record)
        records.write(own, kept)
        done[run.name] = record
        if not f.keep:
            clean(workdir / "runs" / run.name)
        progress.end(run, record, time.perf_counter() - started)
    missing = [run.name for run in every if run.name not in done]
    if missing:
        print(f"{len(done)} of {len(every)} runs are in {workdir}; the others are those of other shards. Put all")
        print("results-*.jsonl into one folder, and the command without --shard reports.")
        return 0
    return report.report(wanted, [done[run.name] for run in every], workdir, cli.command("experiments.scaling"))


def ended(workdir: Path, every: Sequence[Planned]) -> dict[str, Record]:
    """The study's runs that are recorded in the folder, by name.

    Raises:
      UserError: a record of a run of that name with another config.
    """
    from w2v_jax.scaling import records

    paths = sorted(workdir.glob("results*.jsonl"))
    configs = {run.name: records.config_hash(run.config) for run in every}
    found: dict[str, Record] = {}
    for record in records.read(paths):
        if record.run in configs and record.config_hash != configs[record.run]:
            raise UserError(
                f"--workdir={workdir}: holds the run {record.run} of another study; use the same values, or another "
                "workdir"
            )
        if record.run in configs:
            found[record.run] = record
    return found


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    if f.fit:
        from experiments.scaling import fit

        return fit.fit(Path(f.fit), f.drop_fewest_tokens_per_parameter, f.out)
    if f.drop_fewest_tokens_per_parameter:
        raise UserError("--drop_fewest_tokens_per_parameter: is for --fit")
    shard = parse_shard(f.shard)
    if f.plan:
        from experiments.scaling import plan

        return plan.show(study_of_flags(), shard, Path(f.workdir), f.device, f.rate)
    return make(shard)


if __name__ == "__main__":
    config_flag.define(text="Study, e.g. configs/scaling/wiki.py; the small synthetic one without")
    flags.DEFINE_string("workdir", DEFAULT_WORKDIR, "Folder of the study; made or continued.")
    flags.DEFINE_bool("plan", False, "Print every run and its costs; run nothing.")
    flags.DEFINE_string("fit", None, "Table of runs to fit: .csv or .jsonl; trains nothing.")
    flags.DEFINE_integer("drop_fewest_tokens_per_parameter", 0, "--fit: leaves out so many runs.", 0)
    flags.DEFINE_string("out", None, "--fit: folder for the figures and fit.json; none are written without.")
    flags.DEFINE_string("shard", "0/1", "i/n: this machine's part of the runs.")
    flags.DEFINE_string("device", None, "--plan: device and number, such as v5e:64; without, this machine.")
    flags.DEFINE_float("rate", 0.0, "--plan: FLOPs a second of all devices together, where it is known.", 0.0)
    flags.DEFINE_string("data_dir", None, "Test files of word vectors; a small built-in list without.")
    flags.DEFINE_bool("keep", False, "Keep the checkpoints of finished runs.")
    cli.run(main, continues=True)
