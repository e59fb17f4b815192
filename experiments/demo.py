"""The whole path on text that is already on this machine: train, evaluate, neighbours, map. `make demo` runs it.

All files are in one run folder, whose path is printed last. After an interruption the same command continues.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments.common import cli, config_flag
from w2v_jax.embeddings import Embeddings, load
from w2v_jax.evaluation import evaluate_all, table
from w2v_jax.figures.maps import draw_map
from w2v_jax.files import write_json
from w2v_jax.storage import to_path
from w2v_jax.train import loop

WORDS = ("array", "function", "string", "error", "file", "random", "matrix", "thread")
GROUPS = {
    "containers": ("list", "tuple", "dict", "set", "sequence", "mapping", "dictionary"),
    "arrays": ("array", "matrix", "tensor", "vector", "ndarray", "arrays"),
    "files": ("file", "directory", "path", "folder", "filename", "disk"),
    "network": ("server", "socket", "client", "connection", "http", "host", "port"),
    "errors": ("error", "exception", "raised", "warning", "failure", "traceback"),
    "statistics": ("mean", "variance", "distribution", "probability", "median", "deviation"),
    "learning": ("gradient", "optimizer", "loss", "training", "layer", "weights"),
    "time": ("time", "date", "day", "month", "year", "seconds", "hour"),
}


def neighbours(emb: Embeddings) -> str:
    """A line for each of `WORDS` with its five nearest neighbours and their cosines."""
    lines = []
    for word in (w for w in WORDS if w in emb):
        near = ", ".join(f"{w} {cosine:.2f}" for w, cosine in emb.nearest([word], topn=5))
        lines.append(f"  {word:>10}: {near}")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Runs the demo; returns its exit status."""
    f = flags.FLAGS
    workdir = to_path(f.workdir)
    config = config_flag.load_config(f.demo_config, **({"train.passes": f.passes} if f.passes else {}))
    config_flag.set_compile_cache(config.data.cache_dir)
    print("Skip-gram with negative sampling on the docstrings of the installed Python packages.", file=sys.stderr)
    result = loop.train(config, workdir)
    emb = load(workdir / "vectors.bin")
    scores = evaluate_all(emb)
    write_json(workdir / "evaluation.json", scores)
    groups = {name: [w for w in words if w in emb] for name, words in GROUPS.items()}
    shown = [w for words in groups.values() for w in words]
    draw_map(
        shown,
        emb.unit(np.array([emb.row(w) for w in shown])),
        workdir / "map.png",
        groups={name: words for name, words in groups.items() if words},
        vocabulary=len(emb),
        source=f"pydocs, {result['words']:,.0f} words trained on, seed {result['seed']}; python -m experiments.demo",
    )
    print(
        f"\n{result['passes']:.0f} passes, {result['words']:,.0f} words in {result['seconds']:.0f} s: "
        f"{result['words_per_second']:,.0f} words/s, loss {result['loss']:.4f}, held-out {result['heldout_loss']:.4f}\n"
    )
    print(f"{table(scores)}\n\nNearest neighbours by cosine\n{neighbours(emb)}")
    print(
        "\nvectors.bin (word2vec binary), C.bin, vocab.txt, map.png, evaluation.json, metrics.jsonl, tensorboard/, "
        "projector/, config.json, result.json and checkpoints/ are in"
    )
    print(workdir.resolve())
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("workdir", "runs/demo", "Run folder.")
    flags.DEFINE_string("demo_config", str(cli.ROOT / "configs" / "demo.py"), "Config file.")
    flags.DEFINE_float("passes", 0.0, "Passes over the text; 0 for those of the config.")
    cli.run(main, continues=True, by_first=True)
