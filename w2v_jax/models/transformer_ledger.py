"""What the parameters of the transformer weigh; `w2v_jax.nn.cache` tells it of the cache."""

from __future__ import annotations

from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.nn.cache import copies


def parameter_ledger(cfg: TransformerConfig) -> dict[str, int]:
    """Trained numbers by what they are for.

    Returns:
      'embeddings', 'queries', 'keys', 'values', 'outputs', 'feed_forward', 'head' (0 where tied), and 'total' of these;
      beside it 'norms' (gains), 'mask' (the row of the token that hides others) and 'padding' (rows that bring the
      tables to a round size), which are not in the total. All but 'total' together are all numbers of `init`.
    """
    square, times = cfg.dim**2, copies(cfg.stack)
    tables = 1 if cfg.tied else 2
    counts = {
        "embeddings": cfg.vocab_size * cfg.dim,
        "queries": cfg.layers * square,
        "keys": times["keys"] * square,
        "values": times["values"] * square,
        "outputs": cfg.layers * square,
        "feed_forward": 2 * cfg.wide * cfg.layers * square,
        "head": 0 if cfg.tied else cfg.vocab_size * cfg.dim,
    }
    any_shared = cfg.stack.shared_keys or cfg.stack.shared_values
    return counts | {
        "total": sum(counts.values()),
        "norms": (2 * cfg.layers + 1 + any_shared) * cfg.dim,
        "mask": cfg.masked * cfg.dim,
        "padding": (tables * (cfg.padded_vocab - cfg.vocab_size) - cfg.masked) * cfg.dim,
    }
