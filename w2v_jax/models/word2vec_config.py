"""The options of word2vec, `w2v_jax.models.word2vec`, which its relatives share."""

from __future__ import annotations

import dataclasses

from w2v_jax.config import check, check_choice, check_least, check_most
from w2v_jax.errors import UserError
from w2v_jax.nn.layers import pad_to

PAD_VOCAB = 1024  # the tables have a multiple of this many rows
MOST_WINDOW = 100  # the programs hold each offset of the window: larger ones take minutes to compile


@dataclasses.dataclass(frozen=True)
class Word2VecConfig:
    """The defaults are those of the C tool where it has them."""

    architecture: str = "skipgram"  # skipgram: centre predicts neighbours | cbow: mean of neighbours predicts centre
    loss: str = "negative"  # negative | hierarchical | softmax
    dim: int = 100  # of the vectors
    window: int = 5  # most words on each side
    # expected | sampled | full (no dynamic window); auto: expected for skip-gram, else sampled
    window_draw: str = "auto"
    negatives: int = 5  # noise words per pair (k)
    shared_negatives: int = 64  # noise words that the centres of a row share, weighted as k per pair
    segment: int = 256  # centres per row (L)
    # n: noise is scored for every nth centre, with weight n. The mean is the same, the variance higher, the products
    # fewer. Neighbouring centres of CBOW share most of their window and lose little.
    noise_every: int = 1
    noise_power: float = 0.75  # noise words are drawn by count ** noise_power
    noise_dtype: str = "float32"  # float32 | bfloat16, of what is multiplied for noise words; sums are float32
    # float32 | bfloat16, of gradients on their way from the loss to the update of a table, which sums them in float32;
    # saves memory traffic where kernels for CPUs train
    gradient_dtype: str = "float32"
    # CBOW averages its window. tool: each of its words gets the whole gradient of the average, as in the C tool | mean:
    # its share, the true derivative (Irsoy et al. 2021, arXiv 2012.15332)
    context_gradient: str = "tool"
    sample: float = 1e-3  # subsampling threshold, 0 for none
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_choice("model.architecture", self.architecture, ("skipgram", "cbow"))
        check_choice("model.loss", self.loss, ("negative", "hierarchical", "softmax"))
        check_choice("model.context_gradient", self.context_gradient, ("tool", "mean"))
        check_choice("model.noise_dtype", self.noise_dtype, ("float32", "bfloat16"))
        check_choice("model.gradient_dtype", self.gradient_dtype, ("float32", "bfloat16"))
        if self.gradient_dtype == "bfloat16" and self.loss != "negative":
            raise UserError(f"model.gradient_dtype='bfloat16': needs model.loss=negative, not {self.loss}")
        check_choice("model.window_draw", self.window_draw, ("auto", "expected", "sampled", "full"))
        check_least(1, "model", self, "dim", "window", "negatives", "shared_negatives", "segment", "noise_every")
        check_most(MOST_WINDOW, "model", self, "window")
        whole = self.segment % self.noise_every == 0
        check(whole, "model.noise_every", self.noise_every, f"a divisor of model.segment={self.segment}")
        check(self.noise_power >= 0, "model.noise_power", self.noise_power, "0 or more")
        check(self.sample >= 0, "model.sample", self.sample, "0 (no subsampling) or more")
        if self.architecture == "cbow" and self.window_draw == "expected":
            raise UserError("model.window_draw='expected': CBOW's loss is not linear in pairs; use sampled or full")

    @property
    def draw(self) -> str:
        """`window_draw` with auto resolved."""
        auto = "expected" if self.architecture == "skipgram" else "sampled"
        return auto if self.window_draw == "auto" else self.window_draw

    @property
    def padded_vocab(self) -> int:
        """V', rows of both tables."""
        return pad_to(self.vocab_size, PAD_VOCAB)
