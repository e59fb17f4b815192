"""The parameters of a transformer by part, the size of its cache and its FLOPs, for all four ways of sharing keys and
values.

  python -m experiments.ledger --config=configs/notes_transformer.py [--vocab=50000] [--config.model.KEY=VALUE ...]

The total leaves out norms, rows of padding and the mask's row, which have lines of their own. FLOPs are those of
matrix products in training, forward and backward, with attention over model.length tokens. The size of the vocabulary
is model.vocab_size where the config states it, else --vocab, else data.max_vocab.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from absl import flags

from experiments.common import cli, config_flag
from w2v_jax.errors import UserError
from w2v_jax.models.transformer import KEYS_VALUES, TransformerConfig, flops, resolve
from w2v_jax.models.transformer_ledger import parameter_ledger
from w2v_jax.nn.cache import cache_bytes
from w2v_jax.tables import aligned


def table(cfg: TransformerConfig) -> str:
    """The ledger of a resolved model, one column per way of sharing."""
    models = [dataclasses.replace(cfg, keys_values=way) for way in KEYS_VALUES]
    ledgers = [parameter_ledger(model) for model in models]
    bytes_of = [cache_bytes(model.stack, model.dtype) for model in models]
    rows = [["parameters", *KEYS_VALUES]]
    rows += [[name.replace("_", " "), *(f"{ledger[name]:,}" for ledger in ledgers)] for name in ledgers[0]]
    rows += [
        [f"cache, bytes per token ({cfg.dtype})", *(f"{n:,}" for n in bytes_of)],
        [f"cache, MiB for {cfg.length:,} tokens", *(f"{n * cfg.length / 2**20:,.1f}" for n in bytes_of)],
        ["times smaller", *(f"{bytes_of[0] / n:.3g}" for n in bytes_of)],
        ["training FLOPs per token", *(f"{flops(model)[0]:,.0f}" for model in models)],
    ]
    return aligned(rows)


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    f = flags.FLAGS
    config = config_flag.parsed(example="configs/notes_transformer.py")
    if config.family != "transformer":
        raise UserError(f"--config: family {config.family} is no transformer; give the config of one")
    size = config.model.vocab_size or f.vocab or config.data.max_vocab
    if not size:
        raise UserError("--vocab is missing: the config states neither model.vocab_size nor data.max_vocab")
    cfg = resolve(config.model, size)
    print(f"{cfg.layers} layers of {cfg.dim}, {cfg.heads} heads, {cfg.vocab_size:,} tokens, {cfg.objective}\n")
    print(table(cfg))


if __name__ == "__main__":
    config_flag.define()
    flags.DEFINE_integer("vocab", 0, "Tokens of the vocabulary, where the config does not state them.", 0)
    cli.run(main)
