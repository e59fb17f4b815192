"""Settings of word2vec tried on a text, one after another in one process, by the scores of the development part.

    python -m benchmarks.trials --text=FILE --data_dir=DIR [--setting=skipgram-100] [--side=ours] [--seeds=0,1]
        '{}' '{"optimizer.initial_square": 1.0}'

Each argument is a JSON object of changes: keys of our config, or arguments of gensim with --side=gensim. Prints a row
for each: WordSim-353, MEN and a tenth of the analogies (`benchmarks.quality`), and the first two by the count of the
rarer word. --out gets a line for each run, with the scores of all sets, and what it holds is not run again. Nothing is
timed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure, quality, text
from benchmarks.ours import code_digest, data_overrides
from benchmarks.settings import Setting, chosen
from w2v_jax.embeddings import Embeddings, load_run
from w2v_jax.evaluation.analogies import add_up, analogies, read_questions
from w2v_jax.evaluation.frequency import similarity_by_frequency
from w2v_jax.evaluation.similarity import read_pairs, similarity
from w2v_jax.tables import markdown

Scores = dict[str, float]


def ours(setting: Setting, source: str, cache: str, seed: int, passes: int, changes: dict[str, Any]) -> Embeddings:
    """The vectors of one training by our side, with counts."""
    from experiments.common.config_flag import load_config
    from w2v_jax.models import MODELS
    from w2v_jax.overrides import override
    from w2v_jax.train import loop

    given = [*data_overrides(source, cache), *setting.overrides()]
    keys = dict(part.removeprefix("--config.").split("=", 1) for part in given)
    keys |= {"train.seed": str(seed), "train.passes": str(float(passes)), "log.tensorboard": "false"}
    config = override(override(load_config(setting.config), keys, MODELS), changes, MODELS)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        loop.train(config, Path(folder, "run"))
        return load_run(Path(folder, "run"), Path(folder, "run", "vectors.bin"))


def gensim(setting: Setting, source: str, seed: int, passes: int, changes: dict[str, Any]) -> Embeddings:
    """The same by gensim, by one worker."""
    from gensim.models import word2vec

    options = {**setting.peer(), **changes}
    wv = word2vec.Word2Vec(corpus_file=source, seed=seed + 1, epochs=passes, workers=1, **options).wv
    return Embeddings(tuple(wv.index_to_key), wv.vectors, wv.expandos["count"])


def scored(emb: Embeddings, data_dir: Path) -> Scores:
    """Of all similarity sets and both parts of the analogies; by frequency as 'seen ...' over all sets, 'dev ...'
    over those of development."""
    sets = {path.stem: read_pairs(path) for path in sorted((data_dir / "similarity").glob("*.tsv"))}
    found = {name: similarity(emb, pairs).spearman for name, pairs in sets.items()}
    for kind, some in (("seen", sets), ("dev", {n: sets[n] for n in quality.DEVELOPMENT if n in sets})):
        found |= {f"{kind} {name}": one["spearman"] for name, one in similarity_by_frequency(emb, some).items()}
    for part, sections in quality.split(read_questions(data_dir / "analogy" / "questions-words.txt")).items():
        all_ = add_up(list(analogies(emb, sections, quality.RESTRICT).values()))
        found[part] = all_.add / all_.asked if all_.asked else None
    return {name: float(score) for name, score in found.items() if score is not None}


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Means over the seeds, by setting, side and change."""
    tests = [*quality.DEVELOPMENT, *(name for name in runs[0]["scores"] if name.startswith("dev "))] if runs else []
    groups: dict[tuple[str, str, str], list[Scores]] = {}
    for run in runs:
        key = run["key"]
        groups.setdefault((key["setting"], key["side"], json.dumps(key["changes"])), []).append(run["scores"])
    rows = [["setting", "side", "change", "seeds", *tests]]
    for group, found in groups.items():
        means = [f"{statistics.fmean(one[test] for one in found):.3f}" for test in tests]
        rows.append([*group, str(len(found)), *means])
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("changes", nargs="+", type=json.loads)
    parser.add_argument("--text", required=True)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--setting", default="skipgram-100")
    parser.add_argument("--side", choices=["ours", "gensim"], default="ours")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/word2vec_trials.jsonl"))
    args = parser.parse_args()
    (setting,), about, store = chosen([args.setting]), text.describe(args.text), measure.Store(args.out)
    fixed = {"setting": setting.name, "side": args.side, "text": about["sha256"][:16], "words": about["words"]}
    runs = []
    with tempfile.TemporaryDirectory() as cache:
        for changes in args.changes:
            for seed in map(int, args.seeds.split(",")):
                key = {**fixed, "passes": args.passes, "changes": changes, "seed": seed}
                key |= {"code": code_digest()} if args.side == "ours" else {}
                run = store.find(key)
                if run is None:
                    made = (setting, args.text, cache, seed, args.passes, changes)
                    emb = ours(*made) if args.side == "ours" else gensim(setting, args.text, *made[3:])
                    run = store.add(key, {"scores": scored(emb, args.data_dir)})
                runs.append(run)
                print(table(runs[-1:]).splitlines()[-1], flush=True)
    print(table(runs))


if __name__ == "__main__":
    main()
