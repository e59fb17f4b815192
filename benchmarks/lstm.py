"""Training an LSTM language model beside eager PyTorch: tokens/s and peak memory of whole steps.

    pip install -e '.[bench]' --extra-index-url https://download.pytorch.org/whl/cpu
    python -m benchmarks.lstm [--pairs=5] [--steps=24] [--out=results/lstm]

The extra index has the CPU builds of torch (the peer's version is then `2.13.0+cpu`). 2 layers of 256, batch 32, length
128, vocabulary 8,192, float32, AdamW; both sides are fed arrays that are there. Every run is a fresh process; the sides
alternate. Prints a table and writes OUT/summary.json. Exit status 1 when a gate fails: the median over pairs of our
tokens/s by PyTorch's is below 1, our median peak memory above the baseline after the imports is larger than PyTorch's,
or our side imported TensorFlow.
"""

from __future__ import annotations

from functools import partial

from benchmarks.pairs import Comparison, compare, define_flags
from benchmarks.sides import LSTMSizes
from experiments.common import cli

# PyTorch's cell has two biases a gate, of which one would do: the numbers of parameters differ by 2,048.
COMPARISON = Comparison({"ours": "benchmarks.ours_lstm", "torch": "benchmarks.peer_torch"}, LSTMSizes())


if __name__ == "__main__":
    define_flags("results/lstm")
    cli.run(partial(compare, COMPARISON))
