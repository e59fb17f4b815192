"""Tokens/s of `ContextEncoder` beside the plain forward pass.

    python -m benchmarks.context [--workdirs DIR ...] [--out=FILE]

A masked transformer with random parameters, or every trained run of --workdirs, reads made-up sentences of words of its
vocabulary, 25 on average, at most as many as the model reads at a time. `all words` gives the
vectors of every word after the last layer, `all layers` those after every layer, `one word` those of one word of each
sentence: from lists of words to arrays on the host. `forward` is the jitted pass alone: padded batches that are made
before go in, and the states after the last layer stay on the device. The four take turns; a ratio is the median over
rounds of two times measured one after the other. Processor time is that of all threads. Memory is what the compiled
program of the largest batch needs beside parameters and inputs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.machine import machine
from w2v_jax.config import Config, DataConfig
from w2v_jax.context import ContextEncoder
from w2v_jax.context.rows import Batch, batches, rows_of
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.files import write_json
from w2v_jax.models import MODELS
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned
from w2v_jax.train.restore import Model


def model_of(cfg: TransformerConfig, vocabulary: int) -> Model:
    """Random parameters, and words w0, w1, ... by falling count."""
    spec = MODELS["transformer"]
    words = tuple(f"w{i}" for i in range(vocabulary - 1))
    counts = np.arange(vocabulary, 0, -1)
    data = DataConfig(tokens="whitespace", end_token="<eos>", unknown="keep")
    tokenizer = Tokenizer.of(data, Vocabulary((*words, "<eos>"), counts), None)
    cfg = spec.resolve(cfg, vocabulary)
    assert spec.place is not None
    cfg = spec.place(cfg, jax.local_devices()[0].platform)
    return Model(spec, Config("transformer", cfg), cfg, spec.trained.init(jax.random.key(0), cfg, {}), {}, tokenizer, 0)


def sentences(count: int, words: Sequence[str], most: int = 100, seed: int = 0) -> list[list[str]]:
    """Zipfian draws of words, the most frequent first; lengths from 5, exponential, of mean 25 and at most `most`."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(10, len(words) + 10)
    lengths = np.minimum(most, 5 + rng.exponential(20.0, count)).astype(int)
    ids = rng.choice(len(words), int(lengths.sum()), p=share / share.sum())
    return [[words[i] for i in part] for part in np.split(ids, np.cumsum(lengths)[:-1])]


def texts_of(encoder: ContextEncoder, count: int) -> list[list[str]]:
    """Sentences that the model of an encoder reads in one piece, of words that its tokeniser cuts into one."""
    end = encoder.frame.end
    names = [word for i, word in enumerate(encoder.model.tokenizer.words) if i != end]
    words = [word for word in names if encoder.cut(word) == [word]]
    return sentences(count, words, min(100, encoder.frame.context - 2))  # without the tokens at both ends


def prepared(encoder: ContextEncoder, texts: Sequence[Sequence[str]]) -> list[Batch]:
    """The batches that the encoder reads, for all words."""
    cuts = [encoder.cutter(text) for text in texts]
    rows = [row for cut in cuts for row in rows_of(cut, [(i, i) for i in range(len(cut.words))], encoder.frame)[0]]
    return list(batches(rows, encoder.frame.context, encoder.batch, 1))


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(seconds, seconds of processor time) of a call."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def measure(encoder: ContextEncoder, texts: Sequence[list[str]], rounds: int) -> dict[str, Any]:
    """Medians of all that is measured."""
    model, read = encoder.model, prepared(encoder, texts)
    assert model.spec.encode is not None
    states = model.spec.encode.states
    forward = jax.jit(lambda params, tokens, lengths: states(model.cfg, params, model.consts, tokens, lengths)[-1])
    every, one = [range(len(text)) for text in texts], [[len(text) // 2] for text in texts]
    last = len(encoder.names) - 1
    work: dict[str, Callable[[], Any]] = {
        "forward": lambda: [forward(model.params, b.tokens, b.lengths).block_until_ready() for b in read],
        "all words": lambda: encoder.encode(texts, every, [last]),
        "all layers": lambda: encoder.encode(texts, every),
        "one word": lambda: encoder.encode(texts, one, [last]),
    }
    for call in work.values():
        call()  # compiles
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            found[name].append(timed(call))
    times = {name: np.array(values) for name, values in found.items()}
    tokens = sum(int(b.lengths[(b.numbers >= 0).any(1)].sum()) for b in read)
    rows = {
        name: {
            "tokens_per_second": float(tokens / np.median(values[:, 0])),
            "processor_seconds_per_million": float(1e6 * np.median(values[:, 1]) / tokens),
            "ratio": float(np.median(times["forward"][:, 0] / values[:, 0])),
            "processor_ratio": float(np.median(times["forward"][:, 1] / values[:, 1])),
        }
        for name, values in times.items()
    }
    return {"tokens": tokens, "sentences": len(texts), "rounds": rounds, "rows": rows} | memory(encoder, read, forward)


def memory(encoder: ContextEncoder, read: Sequence[Batch], forward: Any) -> dict[str, Any]:
    """Bytes that the programs of the largest batch need beside parameters and inputs."""
    model, layers = encoder.model, tuple(range(len(encoder.names)))
    largest = max(read, key=lambda b: b.tokens.size)
    inputs = [jnp.asarray(x) for x in (largest.tokens, largest.lengths, largest.spans)]
    programs = {
        "forward": forward.lower(model.params, *inputs[:2]),
        "all words": model.applied.pooled(layers[-1:]).lower(model.params, model.consts, *inputs),
        "all layers": model.applied.pooled(layers).lower(model.params, model.consts, *inputs),
    }
    sizes = {}
    for name, lowered in programs.items():
        need = lowered.compile().memory_analysis()
        sizes[name] = int(need.temp_size_in_bytes + need.output_size_in_bytes)
    return {"batch_tokens": int(largest.tokens.size), "bytes": sizes}


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    rows = [["", "tokens/s", "of forward", "processor s a million", "of forward", "MiB of a batch"]]
    for name, row in results["rows"].items():
        size = results["bytes"].get(name)
        cells = [f"{row['tokens_per_second']:,.0f}", f"{row['ratio']:.0%}"]
        cells += [f"{row['processor_seconds_per_million']:.1f}", f"{row['processor_ratio']:.0%}"]
        rows.append([name, *cells, "-" if size is None else f"{size / 2**20:.0f}"])
    return aligned(rows)


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """{name: results} of every model. UserError: no trained run in a folder, or one of word vectors alone."""
    if not args.workdirs:
        cfg = TransformerConfig(layers=args.layers, dim=args.dim, length=args.length, objective="masked")
        size = {"layers": args.layers, "dim": args.dim, "length": args.length, "vocabulary": args.vocabulary}
        encoders = {"random parameters": (ContextEncoder(model_of(cfg, args.vocabulary)), size)}
    else:
        encoders = {to_path(run).name: (ContextEncoder.open(run), {}) for run in args.workdirs}
    for name, (encoder, _) in encoders.items():
        if encoder.static:
            raise UserError(f"--workdirs: {name} has word vectors only, and no forward pass; leave it out")
    found = {}
    for name, (encoder, size) in encoders.items():
        found[name] = measure(encoder, texts_of(encoder, args.sentences), args.rounds) | size
        print(f"{name}\n{table(found[name])}\n", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdirs", nargs="*", default=[], help="trained runs; by default random parameters")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=32_768)
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/context.json"))
    args = parser.parse_args()
    try:
        models = measured(args)
    except UserError as e:
        parser.error(str(e))
    write_json(args.out, {"models": models, "machine": machine()}, indent=1)


if __name__ == "__main__":
    main()
