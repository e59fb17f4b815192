"""The parameters of the transformer by their purpose; `w2v_jax.nn.cache` gives the size of its cache."""

from __future__ import annotations

import math

from w2v_jax.models.transformer import TransformerConfig, arrays
from w2v_jax.types import Leaf

NAMES = {"query": "queries", "keys": "keys", "values": "values", "output": "outputs"}


def parameter_ledger(cfg: TransformerConfig) -> dict[str, int]:
    """Trained numbers: 'embeddings', 'queries', 'keys', 'values', 'outputs', 'feed_forward', 'head' (0 where tied), and
    'total' of these. Outside of it: 'norms' (gains), 'mask' (row of the mask token) and 'padding' (rows that round the
    tables up). All entries but 'total' add up to the size of `init`.
    """
    tree = arrays(cfg)
    leaves = tree["layers"] | {name: leaf for name, leaf in tree.items() if isinstance(leaf, Leaf)}
    size = {name: math.prod(leaf.shape) for name, leaf in leaves.items()}
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
