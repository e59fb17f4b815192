"""Scaling studies: trains a grid of models, fits scaling laws to them, and marks what is extrapolated.

  python -m experiments.scaling
  python -m experiments.scaling --config=configs/scaling/NAME.py --workdir=DIR [--config.KEY=VALUE ...] [--plan]
  python -m experiments.scaling --config=... --workdir=DIR --shard=0/2
  python -m experiments.scaling --config=... --workdir=DIR --arms=NAME,NAME
  python -m experiments.scaling --fit=FILE.csv|results.jsonl [--budget=1e21 [--device=v5e:64]] [--where=COLUMN=VALUE]
      [--drop_fewest_tokens_per_parameter=5] [--misfit=loss --delta=1e-3] [--repeats] [--best] [--out=DIR]
  python -m experiments.scaling --published=FOLDER [--out=DIR]
  python -m experiments.scaling --forecast=FILE.json --laws=results.jsonl --config=configs/scaling/LARGER.py
  python -m experiments.scaling --grade=FILE.json --workdir=DIR
  python -m experiments.scaling --score='NAME source=FILE test_source=FILE' [--score=vectors] [--score='wic folder=DIR']
      --workdir=DIR
  python -m experiments.scaling --compare=DIR,DIR
  python -m experiments.scaling --coordinates --config=configs/scaling/NAME.py [--out=DIR]

Without a config, the small study of the synthetic language, whose best possible loss is known: 11 minutes on 2
cores. Every run trains in DIR/runs, and its result is one line of DIR/results.jsonl. Stopped and started again, the
command skips finished runs and resumes the interrupted one. --shard=i/n runs one of n parts and writes
DIR/results-i-of-n.jsonl; put these files into one folder, or into one file, to merge them. When all runs are there the
command prints the laws and writes DIR/report.html with all figures. A run that diverged or failed is recorded and not
tried again; remove its line from the results to try it again.
Under several processes (`launch.local`, or one on each host of a slice) all of them train a run together; small runs
are trained side by side, one a process, and recorded in DIR/results-host-N.jsonl. --nopack trains all together.
--arms makes these arms of the study alone; the same folder takes the others later.
--plan prints every run with its cost and trains nothing. --fit fits a table of runs and trains nothing; with --budget
it also says which parameters and tokens that many FLOPs should buy. --published fits the tables of published studies in
FOLDER and prints ours beside their numbers.
--forecast writes the expected loss of every run of a study, with intervals, before the runs are made, by the laws of
the results of another one. --grade compares them with what came. --score
adds the accuracy of the finished models (made with --keep) on labelled texts or on Words in Context, or the tests of
their word vectors, to the results; forecasts then have these tasks, too. --compare prints two studies beside one
another.
--size=300K puts a run of that many parameters in the place of the study's sizes: its width, heads, layers, rate and
tokens follow from the laws of --laws, within what those were fitted to.
--coordinates prints how far a few steps move the states of every size of a study: equally far, where rates transfer.
Exit status: 0 done, 1 the fitted floor misses the known best possible loss, no law has a floor to check, --budget has
no answer, or a forecast is outside its interval, 2 bad input, 128 + n stopped by signal n; a training saves first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from experiments.common import cli, config_flag
from launch import distributed
from w2v_jax.errors import UserError
from w2v_jax.storage import to_path

if TYPE_CHECKING:
    from experiments.scaling.fit import Options
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
    """The study of --config, those of its arms that --arms names, the sizes of --size."""
    from w2v_jax.scaling.study import Study, of_arms

    path, changes = config_flag.given(default=DEFAULT_CONFIG)
    study = config_flag.load(path, Study, changes)
    f = flags.FLAGS
    if f.arms:
        study = of_arms(study, f.arms)
    if not f.size:
        return study
    from experiments.scaling import dial
    from w2v_jax.scaling import recipe

    if not f.laws:
        raise UserError("--size: needs --laws, the results.jsonl of a finished study")
    return dial.turned(study, results_of(f.laws), recipe.parse(f.size))


def results_of(laws: str) -> Path:
    """The results that --laws names: a file, or a folder that has one. UserError: a folder that has none or several."""
    path = to_path(laws)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"--laws={laws}: no such file or folder; name the results.jsonl of a finished study")
    files = sorted(path.glob("results*.jsonl"))
    if len(files) == 1:
        return files[0]
    if not files:
        raise UserError(f"--laws={laws}: has no results.jsonl; name the results of a finished study")
    names = ", ".join(file.name for file in files)
    how = f"name one, such as --laws={files[0]}; parts of one study first join into one file"
    raise UserError(f"--laws={laws}: has several, {names}; {how}")


def make(shard: tuple[int, int]) -> int:
    """Trains the missing runs of the shard, then reports when all are there; returns the exit status."""
    from experiments.scaling.execute import open_text, planned
    from experiments.scaling.together import apart, train, train_packed
    from w2v_jax.scaling import study
    from w2v_jax.train import world

    f = flags.FLAGS
    workdir = cli.for_several("workdir", to_path(f.workdir))
    wanted = study_of_flags()
    config_flag.set_compile_cache(wanted.data.cache_dir, least_seconds=0.1)
    distributed.initialize()
    text = open_text(wanted, f.data_dir or "")
    every = planned(text)
    mine = study.shard(every, *shard)
    stem = "results" if shard[1] == 1 else f"results-{shard[0]}-of-{shard[1]}"

    def missing() -> list[Planned]:
        """Decided by process 0, so that all train the same runs."""
        done = world.from_first(lambda: list(ended(workdir, every)))
        return [run for run in mine if run.name not in done]

    left = missing()
    lists = apart(left) if f.pack else []
    if lists:
        train_packed(lists, text, workdir, stem, f.keep)
        left = missing()
    first = world.index() == 0
    done = list(ended(workdir, every).values()) if first else []
    train(mine if first else left, done, text, workdir, workdir / f"{stem}.jsonl", f.keep)
    return world.from_first(lambda: finish(wanted, every, workdir))


def finish(wanted: Study, every: Sequence[Planned], workdir: Path) -> int:
    """The report of a study of which all runs are there, or what is missing; returns the exit status."""
    from experiments.scaling import report

    done = ended(workdir, every)
    if len(done) < len(every):
        print(f"{len(done)} of {len(every)} runs are in {workdir}; the others belong to other shards.")
        print("Put all results-*.jsonl into one folder and run the command without --shard for the report.")
        return 0
    return report.report(wanted, [done[run.name] for run in every], workdir, cli.command("experiments.scaling"))


def ended(workdir: Path, every: Sequence[Planned]) -> dict[str, Record]:
    """The study's recorded runs by name. UserError: a run of one of these names with another config."""
    from w2v_jax.scaling import records

    configs = {run.name: records.config_hash(run.config) for run in every}
    found = [r for r in records.read(sorted(workdir.glob("results*.jsonl"))) if r.run in configs]
    strange = next((r.run for r in found if r.config_hash != configs[r.run]), None)
    if strange:
        where = f"--workdir={workdir}: holds the run {strange} of another study"
        raise UserError(f"{where}; use the same values, or another workdir")
    return {r.run: r for r in found}


def fit_options() -> Options:
    """How --fit reads and fits. UserError: a bad condition, budget or delta."""
    from experiments.scaling import budget
    from experiments.scaling.fit import Options
    from w2v_jax.scaling.robust import Misfit
    from w2v_jax.scaling.where import parse

    f = flags.FLAGS
    if not 0 < f.delta < math.inf:
        raise UserError(f"--delta={f.delta}: must be a positive number")
    if f.device:
        from experiments.scaling.plan import chips_of_flag

        chips_of_flag(f.device)  # a mistake shows before the fit
    if f.law == "frontier":
        raise UserError(
            "--law=frontier: is for --forecast; --fit prints the law of the frontier beside any other --law"
        )
    if f.law in ("joint", "best") and f.budget:
        raise UserError(f"--law={f.law}: --budget reads the least of the sum of powers; leave one of the two out")
    return Options(
        f.drop_fewest_tokens_per_parameter,
        tuple(parse(f.where or "")),
        f.repeats,
        f.best,
        Misfit(f.delta, f.misfit == "log"),
        tuple(budget.parse(f.budget)) if f.budget else (),
        f.device,
        f.law or "sum",
    )


def write_forecast() -> int:
    """Forecasts the study of --config by the results of --laws; returns the exit status."""
    from experiments.scaling import forecast
    from experiments.scaling.execute import open_text, planned

    f = flags.FLAGS
    if not f.laws:
        raise UserError("--forecast: needs --laws, the results.jsonl of a finished study")
    file, results = to_path(f.forecast), results_of(f.laws)
    forecast.check(file, results)  # mistakes show before the text is read
    wanted = study_of_flags()
    distributed.initialize()
    runs = planned(open_text(wanted))
    command = cli.command("experiments.scaling")
    return forecast.write(file, results, wanted, runs, f.floor, command, f.law or "best")


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    from experiments.scaling import modes

    f = flags.FLAGS
    modes.check()
    if f.fit:
        from experiments.scaling import fit

        return fit.fit(to_path(f.fit), fit_options(), f.out)
    if f.published:
        from experiments.scaling import published

        return published.make(to_path(f.published), f.out, cli.command("experiments.scaling"))
    if f.compare:
        from experiments.scaling import compare

        return compare.compare(f.compare)
    if f.grade:
        from experiments.scaling import grade

        return grade.grade(to_path(f.grade), to_path(f.workdir))
    if f.score:
        from experiments.scaling import score

        return score.score(f.score, to_path(f.workdir), f.data_dir or "")
    if f.forecast:
        return write_forecast()
    if f.coordinates:
        from experiments.scaling import coordinates

        return coordinates.make(study_of_flags(), f.out, cli.command("experiments.scaling"))
    shard = parse_shard(f.shard)
    if f.plan:
        from experiments.scaling import plan

        return plan.show(study_of_flags(), shard, to_path(f.workdir), f.device, f.rate)
    return make(shard)


if __name__ == "__main__":
    config_flag.define(text="Study, e.g. configs/scaling/wiki.py; the small synthetic one without")
    flags.DEFINE_string("workdir", DEFAULT_WORKDIR, "Folder of the study; made or continued.")
    flags.DEFINE_bool("plan", False, "Print every run and its cost; train nothing.")
    flags.DEFINE_string("fit", None, "Table of runs to fit, .csv or .jsonl; train nothing.")
    flags.DEFINE_integer("drop_fewest_tokens_per_parameter", 0, "--fit: number of runs to leave out.", 0)
    flags.DEFINE_string(
        "where",
        None,
        "--fit: rows to keep: column=value, !=, or with a number <, >, <=, >=; several with commas; names and values "
        'with such signs in "...".',
    )
    flags.DEFINE_bool("best", False, "--fit: of runs of equal parameters, tokens and seed, the one of the lowest loss.")
    flags.DEFINE_bool("repeats", False, "--fit: count rows that repeat a run.")
    flags.DEFINE_enum(
        "misfit", "log", ["log", "loss"], "--fit: the errors whose Huber loss is least, of log loss or loss."
    )
    flags.DEFINE_float("delta", 1e-3, "--fit: delta of the Huber loss.")
    flags.DEFINE_string("budget", None, "--fit: training FLOPs, several with commas; prints the best run of each.")
    flags.DEFINE_string("published", None, "Folder of tables of published studies, which are fitted again.")
    flags.DEFINE_string("forecast", None, "File for the expected losses of the study of --config; trains nothing.")
    flags.DEFINE_string("laws", None, "--forecast, --size: results.jsonl, or folder, of the study they rest on.")
    flags.DEFINE_string(
        "size", None, "Parameters such as 300K, or several: in the place of the study's sizes; see --laws."
    )
    flags.DEFINE_enum(
        "floor",
        "free",
        ["free", "fitted", "signed", "known"],
        "--forecast: free, a law of N and D has a fitted floor, that of --law=frontier none; fitted, both have one; "
        "signed, that of --law=frontier has an offset of either sign; known, the recorded best possible loss.",
    )
    flags.DEFINE_enum(
        "law",
        None,
        ["best", "sum", "joint", "frontier"],
        "--forecast, --fit: a sum of powers of N and D, their joint law, or the one that is closer to the runs; best "
        "without for --forecast, sum for --fit. frontier, --forecast: a power of the FLOPs of the best runs.",
    )
    flags.DEFINE_string("grade", None, "A file of --forecast, to be compared with the results in --workdir.")
    flags.DEFINE_multi_string(
        "score",
        None,
        "A task that the kept models of --workdir are scored on: 'vectors', 'wic folder=DIR', or 'NAME source=... "
        "test_source=...' with keys of data; may be repeated.",
    )
    flags.DEFINE_string("compare", None, "Two studies to print beside one another: DIR,DIR or their results.jsonl.")
    flags.DEFINE_bool("coordinates", False, "Print the coordinate check of the study of --config; train nothing.")
    flags.DEFINE_string("out", None, "--fit, --published, --coordinates: folder of figures and JSON; else none.")
    flags.DEFINE_list("arms", [], "Arms of the study, with commas; all without.")
    flags.DEFINE_string("shard", "0/1", "i/n: this machine's part of the runs.")
    flags.DEFINE_string("device", None, "--plan, --budget: device and number, such as v5e:64.")
    flags.DEFINE_float("rate", 0.0, "--plan: FLOPs per second of all devices together, where known.", 0.0)
    flags.DEFINE_string("data_dir", None, "Test files of word vectors; a small built-in list by default.")
    flags.DEFINE_bool("keep", False, "Keep the checkpoints of finished runs.")
    flags.DEFINE_bool("pack", True, "Several processes: train small runs side by side, one a process.")
    cli.run(main, continues=True)
