"""Keeps the results of runs for a figure: writes results/figures/NAME.json, from which it is drawn without the runs.

  python -m experiments.figure_records NAME --from=PATH[,PATH] --command='python -m ...' --data=TEXT --machine=TEXT
      [--seed=0,1] [--note=TEXT] [--out=FILE]

PATH is a run folder, or the file of results: for synthetic_optimum and ptb_curves the folders of evaluated runs, for
imdb_ladder and keys_values a results.json, for throughput a throughput.json, for gradients a gradients.json, for the
scaling_ ones a study's results.jsonl, for chinchilla the fit.json of `experiments.scaling --fit`. For wiki_map it is a
file of vectors with --groups and --pairs (see `experiments.figures map`) and --analogies, the share of analogies that
the same vectors answer. What a run wrote of paths is left out.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from experiments.common import cli
from experiments.figures import rebuild, rebuild_studies, registry
from w2v_jax.embeddings import load
from w2v_jax.errors import UserError, nearest
from w2v_jax.figures import convergence, optimum, records
from w2v_jax.scaling import analysis
from w2v_jax.scaling import records as study_records

DIGITS = 5  # significant, of vectors and curves: more than a picture shows


def rounded(values: np.ndarray) -> Any:
    """Nested lists of the values in DIGITS significant digits."""
    return np.vectorize(lambda x: float(f"{x:.{DIGITS}g}"), otypes=[float])(values).tolist()


def read_object(path: Path, *left_out: str) -> dict[str, Any]:
    """A JSON object without some of its keys. UserError: a missing or other file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; --from names what the experiment wrote")
    return {key: value for key, value in convergence.read_object(str(path)).items() if key not in left_out}


def of_map(paths: Sequence[Path]) -> dict[str, Any]:
    """The vectors that are drawn, of words in groups."""
    from experiments.figures.__main__ import parse_groups

    f = flags.FLAGS
    if not (f.groups and f.pairs and f.analogies is not None):
        raise UserError("wiki_map: needs --groups, --pairs and --analogies")
    emb, groups = load(paths[0]), parse_groups(f.groups)
    words = [word for members in groups.values() for word in members]
    return {
        "vocabulary": len(emb),
        "analogies": f.analogies,
        "groups": groups,
        "pairs": list(parse_groups(f.pairs).values()),
        "vectors": {word: rounded(np.asarray(emb.vectors[emb.row(word)])) for word in words},
    }


def of_optimum(paths: Sequence[Path]) -> dict[str, Any]:
    """Distances to the optimum by kind of word."""
    return {"runs": {label: dict(kinds) for label, kinds in optimum.read_runs(paths).items()}}


def of_curves(paths: Sequence[Path]) -> dict[str, Any]:
    """Loss, held-out loss and what the evaluation gave; of a transformer by windows that overlap."""
    runs = []
    for path, run in zip(paths, convergence.read_runs(paths), strict=True):
        scores = read_object(path / "evaluation.json")
        perplexity = {k: math.exp(scores[k].get("strided", scores[k])["nats_per_token"]) for k in ("heldout", "test")}
        runs.append(
            {
                "label": run.label,
                "validation": perplexity["heldout"],
                "test": perplexity["test"],
                "loss": rounded(run.loss),
                "heldout": rounded(run.heldout),
            }
        )
    return {"runs": runs}


def of_file(*left_out: str) -> Callable[[Sequence[Path]], dict[str, Any]]:
    """A file of results as it is, but for some keys."""
    return lambda paths: read_object(paths[0], *left_out)


def of_study(*keys: str) -> Callable[[Sequence[Path]], dict[str, Any]]:
    """Of each finished run in a results.jsonl these keys."""

    def read(paths: Sequence[Path]) -> dict[str, Any]:
        made = [dataclasses.asdict(r) for r in analysis.usable(study_records.read(paths))]
        return {"runs": [{key: row[key] for key in keys} for row in made]}

    return read


def of_vectors(paths: Sequence[Path]) -> dict[str, Any]:
    """Of each run of a study of word vectors its dimensions, its cost and its scores in the tests that are drawn."""
    runs = []
    for r in study_records.read(paths):
        row = dataclasses.asdict(r)
        scores = {test: round(float(row["quality"][test]), 5) for test in rebuild_studies.TESTS.values()}
        known = {key: row[key] for key in rebuild_studies.VECTORS}
        runs.append(known | {"dim": row["config"]["model"]["dim"], "quality": scores})
    return {"runs": runs}


def of_positions(paths: Sequence[Path]) -> dict[str, Any]:
    """Of each arm of a study the run whose loss by position is drawn."""
    arms = analysis.by_arm(analysis.usable(study_records.read(paths)))
    made = [dataclasses.asdict(r) for own in arms.values() if (r := analysis.read_longest(own))]
    kept = [{key: row[key] for key in rebuild_studies.POSITIONS} for row in made]
    return {"runs": [row | {"by_position": [round(x, 5) for x in row["by_position"]]} for row in kept]}


COLLECT: dict[str, Callable[[Sequence[Path]], dict[str, Any]]] = {
    "wiki_map": of_map,
    "synthetic_optimum": of_optimum,
    "throughput": of_file("command"),
    "ptb_curves": of_curves,
    "imdb_ladder": of_file("command", "vectors"),
    "gradients": of_file("command"),
    "keys_values": of_file("command", "device", "machine", "paragraph"),
    "scaling_synthetic": of_study(*rebuild_studies.FAMILIES),
    "scaling_wiki": of_study(*rebuild_studies.FAMILIES),
    "scaling_accuracy": of_study(*rebuild_studies.ACCURACY),
    "scaling_positions": of_positions,
    "scaling_word2vec": of_vectors,
    "chinchilla": of_file("table"),
}


def main(argv: Sequence[str]) -> int:
    """Writes the record; returns the exit status."""
    f = flags.FLAGS
    if len(argv) != 2 or argv[1] not in COLLECT:
        given = argv[1] if len(argv) > 1 else ""
        raise UserError(f"figure {given!r}: must be one of {', '.join(COLLECT)}{nearest(given, COLLECT)}")
    for flag in ("from", "command", "data", "machine"):
        if not f[flag].value:
            raise UserError(f"--{flag} is missing: results without it tell nothing")
    paths = [Path(part) for part in f["from"].value or []]
    result = COLLECT[argv[1]](paths)
    try:
        registry.ENTRIES[argv[1]].load(result)
    except rebuild.DAMAGED as e:
        raise UserError(f"{paths[0]}: cannot be drawn as {argv[1]} ({records.why(e)})") from None
    if not all(part.isdecimal() for part in f.seed):
        raise UserError(f"--seed={','.join(f.seed)}: must be whole numbers, with commas between them")
    seeds = [int(part) for part in f.seed]
    record = records.Record(f.command, f.data, seeds if len(seeds) > 1 else seeds[0], f.machine, result, f.note)
    for path in paths:
        if os.path.isabs(path) and str(path) in json.dumps(result):
            raise UserError(f"{path}: the results name this path; name the run by a relative one, and write them again")
    out = f.out or str(registry.RESULTS / f"{argv[1]}.json")
    os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
    records.write(out, record)
    print(f"record: {out} ({os.path.getsize(out):,} bytes)")
    return 0


if __name__ == "__main__":
    flags.DEFINE_list("from", None, "Run folders, or the file of results.")
    flags.DEFINE_string("command", None, "What gave the results.")
    flags.DEFINE_string("data", None, "What they were measured on.")
    flags.DEFINE_string("machine", None, "Cores, processor, versions; nothing that names the machine.")
    flags.DEFINE_list("seed", "0", "Of the runs.")
    flags.DEFINE_string("note", "", "What else has to be known.")
    flags.DEFINE_string("groups", None, "wiki_map: words by group, as of experiments.figures map.")
    flags.DEFINE_string("pairs", None, "wiki_map: country,capital;country,capital.")
    flags.DEFINE_float("analogies", None, "wiki_map: share of analogies answered right, 0 to 1.", 0.0, 1.0)
    flags.DEFINE_string("out", None, "The record; results/figures/NAME.json of the repository by default.")
    cli.run(main, arguments=1)
