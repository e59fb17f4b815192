"""Training a transformer language model beside eager PyTorch: tokens/s and peak memory of whole steps.

    pip install -e '.[bench]' --extra-index-url https://download.pytorch.org/whl/cpu
    python -m benchmarks.transformer [--pairs=5] [--steps=24] [--out=results/transformer]

4 layers of 256 with 4 heads, batch 32, length 128, vocabulary 8,192, float32, AdamW; the peer is the same model, number
for number, with `scaled_dot_product_attention`, and both sides are fed arrays that are there. Every run is a fresh
process; the sides alternate. Prints a table and writes OUT/summary.json. Exit status 1 when a gate fails: the median
over pairs of our tokens/s by PyTorch's is below 1, our median peak memory above the baseline after the imports is
larger than PyTorch's, the models differ in size, or our side imported TensorFlow.
"""

from __future__ import annotations

from functools import partial

from benchmarks.pairs import Comparison, compare, define_flags
from benchmarks.sides import TransformerSizes
from experiments.common import cli

COMPARISON = Comparison(
    {"ours": "benchmarks.ours_transformer", "torch": "benchmarks.peer_torch_transformer"},
    TransformerSizes(),
    alike=True,
)


if __name__ == "__main__":
    define_flags("results/transformer")
    cli.run(partial(compare, COMPARISON))
