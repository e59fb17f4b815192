"""Accuracy of word2vec against the words/s of its training, ours and gensim's, with what the machine would allow."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.figures.figure import Figure, Result, Step, read_object
from w2v_jax.figures import sweeps

SEEDS = (0, 1)  # of the scores; the speeds are of other runs, with seed SPEED_SEED
SPEED_SEED = 10
SIDES = ("ours", "gensim")
MODELS = ("skip-gram", "CBOW", "hierarchical")
SCORES = {"total": "analogies, %", "men": "MEN, Spearman"}
DIMS = (50, 100, 200, 300)
PEER = ("skip-gram:100", "skip-gram:300", "CBOW:100", "CBOW:300", "hierarchical:100")  # gensim's, which are slow
WINDOW, NEGATIVES = 5, 5
# The recipes at d = 300.
_LARGE = {
    "skipgram": "model.segment=64,optimizer.learning_rate=0.2,optimizer.initial_square=0.0",
    "cbow": "train.batch_size=4096",
}
_TEXT = "--config.data.source=text:{run}/wiki.txt --config.data.tokens=letters --config.data.heldout_every=0"
_SCORED = "--data_dir={word_eval}"


def _sweeps(kind: str, seeds: str, flags: str) -> tuple[Step, ...]:
    """Both sides in {run}/KIND/...: skip-gram with both losses, CBOW, gensim."""
    sizes = [f"model.dim={dim}" for dim in DIMS]
    ours = {
        config: [f"{size},{large}" if size.endswith("=300") else size for size in sizes]
        for config, large in _LARGE.items()
    }
    ours["skipgram"] += [f"{size},model.loss=hierarchical" for size in sizes]
    common = f"--seeds={seeds} {flags} --config.train.passes=1 --config.log.tensorboard=False {_TEXT}"
    made = [
        Step(
            "experiments.sweep",
            f"--config=configs/{config}.py --workdir={{run}}/{kind}/{config} --vary={';'.join(vary)} {common}",
            "--config.",
        )
        for config, vary in ours.items()
    ]
    peer = f"--text={{run}}/wiki.txt --workdir={{run}}/{kind}/gensim --runs={','.join(PEER)} --seeds={seeds} {flags}"
    return (*made, Step("benchmarks.peer_sweep", peer))


def _runs(folder: Path) -> list[dict[str, Any]]:
    """Every run of both sides, with its side, model and size."""
    found = []
    for config in ("skipgram", "cbow"):
        for run in read_object(folder / config / "sweep.json")["runs"]:
            tree = run["changes"].get("model.loss") == "hierarchical"
            model = "CBOW" if config == "cbow" else "hierarchical" if tree else "skip-gram"
            found.append({"side": "ours", "model": model, "dim": int(run["changes"]["model.dim"]), **run})
    return found + [{"side": "gensim", **run} for run in read_object(folder / "gensim" / "sweep.json")["runs"]]


def collect(run: Path) -> dict[str, Any]:
    """Scores of every run, the words/s of the runs that were made for them, and the limits."""
    limits = read_object(run / "limits.json", "machine")
    about = ("side", "model", "dim", "seed")
    scored = [
        {key: one[key] for key in about} | {key: round(one["scores"][key], 5) for key in SCORES}
        for one in _runs(run / "quality")
    ]
    timed = [
        {key: one[key] for key in about}
        | {"words_per_second": round(limits["words"] * one["passes"] / one["seconds"], 1)}
        for one in _runs(run / "speed")
    ]
    return {"runs": scored, "speeds": timed, "limits": limits}


def needs(model: str, dim: int, path: float) -> dict[str, tuple[str, float]]:
    """What a kept word needs, by limit: ('operations' or 'bytes', their number).

    A centre has WINDOW + 1 pairs on average, as the window is drawn. Skip-gram scores each against a word and NEGATIVES
    noise words, or against the `path` nodes above it; CBOW scores the mean of the window once. A score takes 2 d
    operations forward and 4 d backward. The fewest bytes: the word's two rows of float32 are read and written once. If
    nothing is kept between two scores, each reads and writes a row, and so does each pair for its input: a program that
    keeps rows in the caches nearest to the core can be faster than this.
    """
    pairs = WINDOW + 1
    scores = {"skip-gram": pairs * (1 + NEGATIVES), "CBOW": 1 + NEGATIVES, "hierarchical": pairs * path}[model]
    row = 2 * 4 * dim
    return {
        "limit: arithmetic": ("operations", 6.0 * dim * scores),
        "limit: memory, two rows a word": ("bytes", 2.0 * row),
        "memory, rows moved for every score": ("bytes", (scores + pairs) * row),
    }


def allowed(model: str, dim: int, limits: Mapping[str, Any]) -> dict[str, float]:
    """Words of the text a second, by limit."""
    rates = {"operations": limits["operations"], "bytes": limits["bytes"][str(dim)]}
    need = needs(model, dim, limits["path"]).items()
    return {name: rates[unit] / (limits["kept"] * count) for name, (unit, count) in need}


def scores(result: Result, side: str, model: str, key: str) -> dict[int, list[float]]:
    """{size: a score for each seed}."""
    out: dict[int, list[float]] = {}
    for run in result["runs"]:
        if (run["side"], run["model"]) == (side, model):
            out.setdefault(int(run["dim"]), []).append(float(run[key]))
    return out


def speed(result: Result, side: str, model: str, dim: int) -> float:
    """Words/s of the fastest run: other work on the machine can only slow one."""
    at = (side, model, dim)
    return max(run["words_per_second"] for run in result["speeds"] if (run["side"], run["model"], run["dim"]) == at)


def measure(result: Result) -> dict[str, float]:
    """Words/s, scores as means over the seeds, and the limits."""
    found = dict[str, float]()
    for model in MODELS:
        for side in SIDES:
            for key, unit in SCORES.items():
                for dim, values in scores(result, side, model, key).items():
                    found[f"{model}, {side}, d = {dim}: {unit}"] = statistics.fmean(values)
                    found[f"{model}, {side}, d = {dim}: words/s"] = speed(result, side, model, dim)
        for dim in DIMS:
            found |= {f"{model}, d = {dim}: {k}": v for k, v in allowed(model, dim, result["limits"]).items()}
    return found


def draw(result: Result, out: str, source: str) -> None:
    """A panel for each score and model: lines of both sides over the sizes, and our scores at the limits' speeds."""
    panels = []
    for key, unit in SCORES.items():
        for model in MODELS:
            lines = []
            for i, side in enumerate(SIDES):
                own = scores(result, side, model, key)
                points = [(speed(result, side, model, dim), values) for dim, values in own.items()]
                lines.append(sweeps.Line(side, sorted(points), i))
            ours = scores(result, "ours", model, key)
            by_limit: dict[str, list[tuple[float, list[float]]]] = {}
            for dim, values in ours.items():
                for name, at in allowed(model, dim, result["limits"]).items():
                    by_limit.setdefault(name, []).append((at, [statistics.fmean(values)]))
            lines += [sweeps.Line(k, sorted(p), i, theirs=True) for i, (k, p) in enumerate(by_limit.items(), 2)]
            where = "words/s, by falling d: 300 to 50"
            panels.append(sweeps.Panel(f"{model}: {unit.partition(',')[0]}", where, unit, lines, log_x=True))
    sweeps.draw(panels, out, source, columns=len(MODELS))


FIGURE = Figure(
    shows="accuracy of word2vec against words/s of training, ours and gensim's, with the machine's limits",
    paper="none: what speed costs in accuracy, and what the machine would allow",
    recipe=(
        Step("benchmarks.text", "--shards={wiki_en.0[0-3].txt} --out={run}/wiki.txt"),
        *_sweeps("quality", ",".join(map(str, SEEDS)), _SCORED),
        *_sweeps("speed", str(SPEED_SEED), ""),
        Step("benchmarks.limits", "--text={run}/wiki.txt --out={run}/limits.json"),
    ),
    data="English Wikipedia, 4 shards, 6,463,689 words, read once; analogies of the first 30,000 words",
    seed=SEEDS,
    collect=collect,
    measure=measure,
    draw=draw,
)
