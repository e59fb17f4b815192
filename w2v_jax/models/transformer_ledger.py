"""What the parameters of the transformer are for; `w2v_jax.nn.cache` tells what its cache weighs."""

from __future__ import annotations

import math

from w2v_jax.models.transformer import TransformerConfig, arrays

NAMES = {"query": "queries", "keys": "keys", "values": "values", "output": "outputs"}


def parameter_ledger(cfg: TransformerConfig) -> dict[str, int]:
    """Trained numbers by what they are for.

    Returns:
      'embeddings', 'queries', 'keys', 'values', 'outputs', 'feed_forward', 'head' (0 where tied), and 'total' of these;
      beside it 'norms' (gains), 'mask' (the row of the token that hides others) and 'padding' (rows that bring the
      tables to a round size), which are not in the total. All but 'total' together are all numbers of `init`.
    """
    tree = arrays(cfg)
    size = {name: math.prod(leaf.shape) for name, leaf in {**tree["layers"], **_flat(tree)}.items()}
    table, norms = cfg.vocab_size * cfg.dim, ("norm", "norm_shared", "norm_attention", "norm_wide")
    counts = {
        "embeddings": table,
        **{title: size[name] for name, title in NAMES.items()},
        "feed_forward": size["up"] + size["down"],
        "head": 0 if cfg.tied else table,
    }
    tables = 1 if cfg.tied else 2
    return counts | {
        "total": sum(counts.values()),
        "norms": sum(size.get(name, 0) for name in norms),
        "mask": cfg.masked * cfg.dim,
        "padding": tables * (size["embed"] - table) - cfg.masked * cfg.dim,
    }


def _flat(tree: dict) -> dict:
    return {name: leaf for name, leaf in tree.items() if not isinstance(leaf, dict)}
