"""Raw tokens/s of the data path: `python -m benchmarks.data_throughput [--source=text:GLOB] [--epochs=3]`.

Counts and encodes the text (a synthetic Zipfian token file when no source is given), then reads whole epochs through
tf.data with subsampling (1e-3), packing and windows, as training does, and prints one line for each.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.blocks import window_source
from w2v_jax.data.corpus import Tokens, build_corpus
from w2v_jax.models.word2vec import Word2VecConfig, shapes


def zipfian(words: int, vocabulary: int, seed: int = 0) -> tuple[Tokens, np.ndarray]:
    """(documents of 75 tokens on average with Zipfian words, int64 [V] counts)."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(10, vocabulary + 10)
    tokens = rng.choice(vocabulary, words, p=share / share.sum()).astype(np.uint16)
    inner = np.sort(rng.choice(words - 1, words // 75, replace=False) + 1)
    offsets = np.concatenate([[0], inner, [words]]).astype(np.int64)
    return Tokens(tokens, offsets, words), np.bincount(tokens, minlength=vocabulary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="", help="text:GLOB; without it a made-up token file of 12 million words")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument("--segment", type=int, default=64)
    parser.add_argument("--steps_per_call", type=int, default=64)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        if args.source:
            start = time.perf_counter()
            corpus = build_corpus(
                DataConfig(source=args.source, tokens="letters", cache_dir=cache, heldout_every=0), print
            )
            seconds = time.perf_counter() - start
            words = int(corpus.report["words"])
            print(f"counted and encoded: {words:,} words in {seconds:.2f} s, {words / seconds / 1e6:.2f} million/s")
            tokens, counts = corpus.train, corpus.vocab.counts
        else:
            tokens, counts = zipfian(12_000_000, 60_000)
        share = np.maximum(counts / counts.sum(), 1e-12)
        keep = np.minimum(1.0, np.sqrt(1e-3 / share) + 1e-3 / share)
        measure(tokens, keep, args)


def measure(tokens: Tokens, keep: np.ndarray, args: argparse.Namespace) -> None:
    """Reads `args.epochs` whole epochs and prints raw tokens/s and processor time a raw token."""
    entries = shapes(Word2VecConfig(window=5, segment=args.segment), args.batch_size)
    source = window_source(tokens, keep, entries, seed=0, block_tokens=16_384)
    for _ in source.iterate(0, 1):  # imports TensorFlow, counts the first epoch
        pass
    source = window_source(tokens, keep, entries, seed=1, block_tokens=16_384)
    wall, cpu, words = time.perf_counter(), time.process_time(), 0
    for stack in source.iterate(0, args.epochs * source.steps_per_epoch, args.steps_per_call):
        words += int(stack["words"].sum())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert words == args.epochs * len(tokens.tokens)
    kept = source.report["expected_kept"] / len(tokens.tokens)
    print(
        f"batches: {words:,} raw tokens in {wall:.2f} s, {words / wall / 1e6:.1f} million/s, "
        f"{cpu / words * 1e9:.0f} ns of processor time a raw token ({kept:.0%} kept)"
    )


if __name__ == "__main__":
    main()
