"""The cost and savings of sharing keys and values over all layers: the same transformer under all four switches.

  python -m experiments.keys_values --workdir=DIR --config=configs/keys_values.py [--seeds=0,1]
      [--rungs=per_layer,shared_kv] [--config.KEY=VALUE ...]

Trains one model per rung: `per_layer`, `shared_k`, `shared_v` and `shared_kv` at equal width, and `shared_kv_wide`,
wide enough for as many parameters as `per_layer`. Each rung and seed is trained in DIR/RUNG-SEED; the same command
continues an interrupted study. Then it times training steps of all rungs in turns. Prints a table and a paragraph;
writes results.json and keys_values.png into DIR.
Exit status: 0 done, 1 a loss diverged, 2 bad input, 128 + n stopped by signal n; a training saves first.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from experiments.common import cli, config_flag
from experiments.common.machine import accelerators, machine
from experiments.common.measuring import clock, repeated, size_of
from w2v_jax.config import Config, DataConfig, check, check_choice
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError
from w2v_jax.figures import keys_values as figure
from w2v_jax.models import transformer
from w2v_jax.models.transformer import KEYS_VALUES, TransformerConfig
from w2v_jax.nn.cache import cache_bytes
from w2v_jax.tables import aligned
from w2v_jax.train import loop

BASE, SHARED, WIDE = "per_layer", "shared_kv", "shared_kv_wide"
RUNGS = (*KEYS_VALUES, WIDE)
WORDS = {"shared_k": "keys shared", "shared_v": "values shared", SHARED: "both shared"}


def widened(model: TransformerConfig, vocab: int) -> TransformerConfig:
    """`shared_kv` of the width whose number of parameters is nearest to that of `per_layer`."""
    wanted = size_of("transformer", dataclasses.replace(model, keys_values=BASE), vocab)
    widths = range(model.dim, 2 * model.dim, 2 * model.heads)  # the width of a head must be even
    made = [dataclasses.replace(model, keys_values=SHARED, dim=width) for width in widths]
    return min(made, key=lambda m: abs(size_of("transformer", m, vocab) - wanted))


def rung(base: Config, name: str, vocab: int, seed: int) -> Config:
    """The config of one run."""
    model = widened(base.model, vocab) if name == WIDE else dataclasses.replace(base.model, keys_values=name)
    return dataclasses.replace(base, model=model, train=dataclasses.replace(base.train, seed=seed))


def bits_per_byte(loss: float, text: Mapping[str, Any], data: DataConfig) -> float:
    """Of the held-out text whose tokens have a mean `loss`, as `experiments.evaluate` gives it. Without an end token
    nothing predicts the first one."""
    predicted = text["heldout_tokens"] - (not data.end_token)
    return float(loss * predicted / (math.log(2) * text["heldout_bytes"]))


def trained(
    base: Config, rungs: Sequence[str], seeds: Sequence[int], workdir: Path
) -> tuple[dict[str, dict[str, Any]], int]:
    """({rung: sizes and 'runs', one per seed}, vocabulary size). UserError, Interrupted, Diverged: see `loop.train`."""
    vocab = len(build_corpus(base.data, lambda line: print(line, file=sys.stderr)).vocab)
    found: dict[str, dict[str, Any]] = {}
    for name in rungs:
        model = rung(base, name, vocab, 0).model
        cfg = transformer.resolve(model, vocab)
        sizes = {"parameters": size_of("transformer", model, vocab), "cache_bytes": cache_bytes(cfg.stack, cfg.dtype)}
        found[name] = {"dim": cfg.dim} | sizes | {"runs": []}
    for seed in seeds:  # the outer loop, so that an interrupted study has all rungs with the first seeds
        for name in rungs:
            print(f"--- {name}, seed {seed}", file=sys.stderr, flush=True)
            result = loop.train(rung(base, name, vocab, seed), workdir / f"{name}-{seed}")
            if result.get("heldout_loss") is None:
                raise UserError("data.heldout_every=0: holds nothing out, so there is no loss to compare; raise it")
            bits = bits_per_byte(result["heldout_loss"], result["corpus"], base.data)
            kept = {key: result[key] for key in ("steps", "words", "heldout_loss", "seconds", "device")}
            kept["unknown"] = result.get("heldout_unknown")  # None: a run of an older version
            found[name]["runs"].append({"seed": seed, "bits_per_byte": bits} | kept)
    return found, vocab


def table(found: dict[str, dict[str, Any]]) -> str:
    """One line per rung."""
    head = ["keys and values", "width", "parameters", "held-out nats/token", "by seed", "bits/byte"]
    rows = [[*head, "cache bytes/token", "training tokens/s"]]
    for name, entry in found.items():
        losses = [run["heldout_loss"] for run in entry["runs"]]
        bits = statistics.fmean(run["bits_per_byte"] for run in entry["runs"])
        scores = [f"{statistics.fmean(losses):.4f}", " ".join(f"{x:.4f}" for x in losses), f"{bits:.4f}"]
        rate = f"{entry['tokens_per_second']:,.0f}" if "tokens_per_second" in entry else "-"
        rows.append([name, f"{entry['dim']}", f"{entry['parameters']:,}", *scores, f"{entry['cache_bytes']:,}", rate])
    return aligned(rows)


def paragraph(found: dict[str, dict[str, Any]]) -> str:
    """The cost and savings of sharing, in words."""
    base = found[BASE]

    def against(name: str) -> str:
        pairs = zip(found[name]["runs"], base["runs"], strict=True)
        by_seed = [ours["heldout_loss"] - usual["heldout_loss"] for ours, usual in pairs]
        return f"{statistics.fmean(by_seed):+.4f} ({', '.join(f'{d:+.4f}' for d in by_seed)})"

    def times(name: str, key: str) -> float:
        return float(found[name][key] / base[key])

    lines = []
    unknown = base["runs"][0].get("unknown")
    if unknown:
        lines.append(
            f"{unknown:.1%} of the held-out tokens are <unk>, so bits a byte compare the lines of this table only."
        )
    shared = ", ".join(f"{words} {against(name)}" for name, words in WORDS.items() if name in found)
    if shared:
        what = "Held-out loss against keys and values of each layer's own, nats per token, mean and by seed"
        lines.append(f"{what}: {shared}.")
    if SHARED in found:
        left, smaller = 1 - times(SHARED, "parameters"), 1 / times(SHARED, "cache_bytes")
        lines.append(f"Sharing both saves {left:.1%} of the parameters, and its cache is {smaller:g} times smaller.")
    if WIDE in found:
        how = f"Both shared with as many parameters, at a width of {found[WIDE]['dim']}"
        lines.append(f"{how}: {against(WIDE)}, the cache {1 / times(WIDE, 'cache_bytes'):.1f} times smaller.")
    if "tokens_per_second" in base:
        rates = ", ".join(f"{name} {times(name, 'tokens_per_second'):.2f}" for name in found if name != BASE)
        lines.append(f"Tokens/s of a training step, relative to {BASE}: {rates}.")
    return " ".join(lines)


def main(argv: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    f = flags.FLAGS
    workdir = cli.workdir("give the folder of the ladder, e.g. --workdir=runs/keys_values", several=True)
    if not all(s.isdecimal() for s in f.seeds) or len(set(f.seeds)) < len(f.seeds) or not f.seeds:
        raise UserError(f"--seeds={','.join(f.seeds)}: must be different whole numbers such as 0,1")
    rungs = tuple(dict.fromkeys((BASE, *f.rungs)))  # the others are compared with BASE
    for name in rungs:
        check_choice("--rungs", name, RUNGS)
    base = config_flag.parsed(example="configs/keys_values.py")
    if base.family != "transformer" or base.model.masked:
        raise UserError(f"--config: family {base.family} is no causal transformer; give the config of one")
    check(not base.log.eval_steps, "log.eval_steps", base.log.eval_steps, "0 here, as losses are of all held-out text")
    config_flag.refuse("config", {"train.seed": "--seeds names them", "model.keys_values": "--rungs names them"})
    config_flag.set_compile_cache(base.data.cache_dir)
    command = cli.command("experiments.keys_values")
    found, vocab = trained(base, rungs, [int(s) for s in f.seeds], workdir)
    if f.seconds:
        times = clock([repeated(rung(base, name, vocab, 0), vocab) for name in rungs], f.seconds)
        for name, seconds in zip(rungs, times, strict=True):
            rates = [base.train.batch_size * base.model.length / s for s in seconds]
            found[name] |= {"tokens_per_second": statistics.median(rates), "rounds": rates}
    text = paragraph(found)
    about = {"command": command, "machine": machine(), "device": accelerators(), "vocabulary": vocab}
    print(f"{table(found)}\n\n{text}")
    paint = partial(figure.draw, found, BASE, source=command)
    numbers = about | {"rungs": found, "paragraph": text}
    cli.write_results(workdir / "results.json", numbers, workdir / "keys_values.png", paint)
    return 0


if __name__ == "__main__":
    config_flag.define()
    flags.DEFINE_string("workdir", None, "Folder with one run folder per rung and seed; made or continued.")
    flags.DEFINE_list("seeds", ["0", "1"], "Seeds of every rung.")
    flags.DEFINE_list("rungs", list(RUNGS), f"Rungs to compare; {BASE} is always included.")
    flags.DEFINE_float("seconds", 20.0, "Time for timing the steps of each rung at the end; 0 times none.", 0.0)
    cli.run(main, continues=True, by_first=True)
