"""The options of the transformer language model, `w2v_jax.models.transformer`, and what its relatives share of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from w2v_jax.config import check, check_choice, check_least, check_most
from w2v_jax.errors import UserError
from w2v_jax.formats import ENCODING_ERRORS
from w2v_jax.models.running_text import PAD_VOCAB
from w2v_jax.nn import masking
from w2v_jax.nn.attention import IMPLEMENTATIONS, kernel
from w2v_jax.nn.blocks import Stack
from w2v_jax.nn.head import CHUNK
from w2v_jax.nn.layers import pad_to
from w2v_jax.nn.transfer import Scale, check_powers

# name -> (whether all layers share keys, whether they share values)
KEYS_VALUES = {
    "per_layer": (False, False),
    "shared_k": (True, False),
    "shared_v": (False, True),
    "shared_kv": (True,) * 2,
}
LOOPS = ("auto", "scan", "unrolled")


def check_heads(key: str, dim: int, heads: int) -> None:
    """UserError: model.`key`=`dim` does not split into `heads` of an even width."""
    if dim % heads:
        raise UserError(f"model.heads={heads}: does not divide model.{key}={dim}")
    if dim // heads % 2:
        raise UserError(f"model.heads={heads}: makes heads {dim // heads} wide; rotary positions need an even width")


def check_base(base_dim: int, heads: int) -> None:
    """UserError: model.base_dim does not split into the heads of the base."""
    if base_dim % heads:
        raise UserError(f"model.base_dim={base_dim}: is not a multiple of its {heads} heads; set model.base_heads")


def place_loop(cfg: Any, platform: str) -> Any:
    """`cfg` with `loop` decided: unrolled layers are faster on CPUs and GPUs; scan keeps the programs of pods small."""
    auto = "scan" if platform == "tpu" else "unrolled"
    return dataclasses.replace(cfg, loop=auto) if cfg.loop == "auto" else cfg


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    layers: int = 4  # blocks
    dim: int = 256  # width of the blocks and of the word vectors
    heads: int = 4  # of attention in each block
    wide: int = 4  # units of the feed-forward layer, in multiples of dim
    length: int = 128  # tokens of a window; a prediction sees no others
    objective: str = "causal"  # causal: the next token | masked: hidden tokens, from both sides
    keys_values: str = "per_layer"  # per_layer | shared_k | shared_v | shared_kv: once, from the embeddings
    tied: bool = True  # the head's table is the embedding
    dropout: float = 0.0  # share dropped of embeddings and of what each layer adds
    init_scale: float = 0.02  # standard deviation of the weights at the start
    # File of word vectors (word2vec, GloVe or fastText) that the embedding starts from, scaled to init_scale
    vectors: str = ""
    encoding_errors: str = "strict"  # words of that file that are not UTF-8: strict | replace | ignore
    mask_share: float = masking.SHARE  # of the tokens that objective=masked hides and predicts
    whole_words: bool = False  # objective=masked hides all tokens of a word, where they are byte pairs
    within_documents: bool = False  # attention sees only tokens of the same document
    noise_words: int = 0  # words that stand for the vocabulary in the softmax of training; 0: all of it
    dtype: str = "float32"  # float32 | bfloat16, of the computation; parameters are float32
    loop: str = "auto"  # scan: compiles one layer | unrolled: all | auto: scan on TPUs, unrolled elsewhere
    remat: bool = False  # values inside a layer are recomputed for its gradient instead of kept
    attention: str = "auto"  # xla | cudnn | splash | auto: cudnn on GPUs in bfloat16, splash on TPUs
    head_chunk: int = CHUNK  # tokens whose logits are in memory at a time
    base_dim: int = 0  # width at which rate and init_scale were chosen, for the scale rule; 0: the standard one
    base_heads: int = 0  # heads at that width; 0: as many as here
    base_layers: int = 0  # depth at which they were chosen; 0: depth is not scaled
    table_rate: float = 1.0  # multiplies the rate of the embedding and of the head's table
    table_power: float = 0.0  # this rate is divided by (width / base_dim) to this power
    logits_power: float = 1.0  # logits are divided by (width / base_dim) to this power
    vocab_size: int = 0  # filled in by `resolve`

    def __post_init__(self) -> None:
        check_least(1, "model", self, "layers", "dim", "heads", "wide", "length", "head_chunk")
        check_most(1000, "model", self, "layers")  # the programs hold each layer
        check_choice("model.objective", self.objective, ("causal", "masked"))
        check_choice("model.keys_values", self.keys_values, tuple(KEYS_VALUES))
        check_choice("model.dtype", self.dtype, ("float32", "bfloat16"))
        check_choice("model.loop", self.loop, LOOPS)
        check_choice("model.attention", self.attention, IMPLEMENTATIONS)
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "0 or more and below 1")
        check(self.init_scale > 0, "model.init_scale", self.init_scale, "above 0")
        check_powers(self.table_rate, self.table_power, self.logits_power, self.base_dim)
        check_choice("model.encoding_errors", self.encoding_errors, ENCODING_ERRORS)
        check(0 < self.mask_share < 1, "model.mask_share", self.mask_share, "above 0 and below 1")
        check_least(0, "model", self, "noise_words", "base_dim", "base_heads", "base_layers")
        if self.base_heads and not self.base_dim:
            raise UserError(f"model.base_heads={self.base_heads}: needs model.base_dim, the width that had these heads")
        check_base(self.base_dim, self.base_heads or self.heads)
        check_heads("dim", self.dim, self.heads)
        if not self.masked and self.mask_share != masking.SHARE:
            raise UserError(f"model.mask_share={self.mask_share}: needs model.objective=masked; nothing is hidden here")
        if self.whole_words and not self.masked:
            raise UserError("model.whole_words=True: needs model.objective=masked; nothing is hidden here")
        if self.within_documents and self.attention == "splash":
            raise UserError("model.attention='splash': takes no model.within_documents; use auto")
        if self.attention == "cudnn" and self.dtype != "bfloat16":
            raise UserError("model.attention='cudnn': needs model.dtype=bfloat16")

    @property
    def masked(self) -> bool:
        """Whether the targets are hidden tokens, not next ones."""
        return self.objective == "masked"

    @property
    def padded_vocab(self) -> int:
        """V', rows of the tables. Under the masked objective row V of the embedding is the mask."""
        return pad_to(self.vocab_size + self.masked, PAD_VOCAB)

    @property
    def scale(self) -> Scale:
        """The size against that of the base; see `w2v_jax.nn.transfer`."""
        width = self.dim / self.base_dim if self.base_dim else 1.0
        heads = width * (self.base_heads or self.heads) / self.heads if self.base_dim else 1.0
        depth = self.layers / self.base_layers if self.base_layers else 1.0
        return Scale(width, heads, depth, self.base_layers, self.table_power, self.logits_power)

    @property
    def stack(self) -> Stack:
        """The blocks; `hidden_states` chooses the loop over them."""
        return Stack(
            self.layers,
            self.dim,
            self.heads,
            self.wide * self.dim,
            *KEYS_VALUES[self.keys_values],
            causal=not self.masked,
            dropout=self.dropout,
            remat=self.remat,
            implementation=self.attention,
            scale=self.scale,
        )


def place(cfg: TransformerConfig, platform: str) -> TransformerConfig:
    """`cfg` with `loop` and `attention` decided; see `place_loop` and `w2v_jax.nn.attention.kernel`."""
    cfg = place_loop(cfg, platform)
    if cfg.attention == "splash" and platform != "tpu":
        raise UserError("model.attention='splash': needs TPUs; use auto")
    if cfg.attention != "auto":
        return cfg
    best = kernel(platform, cfg.dtype, cfg.dim // cfg.heads, cfg.length)
    return dataclasses.replace(cfg, attention="xla" if cfg.within_documents else best)  # only XLA's takes any mask
