"""The baseline of every language model: how often each token occurs, and nothing else."""

from __future__ import annotations

import numpy as np

from w2v_jax.types import Text


def unigram(counts: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of a model whose every prediction is p(v) = (counts[v] + 1) / (sum counts + V).

    The added 1 (Laplace's rule) gives a token that the training text lacks some probability.

    Args:
      counts: int [V], of the training text.
      targets: int [N].

    Returns:
      (-ln p of each target, float64 [N]; whether no token is more frequent, bool [N]).
    """
    shares = (counts + 1.0) / (counts.sum() + len(counts))
    return -np.log(shares)[targets], counts[targets] == counts.max()


def targets_of(text: Text, split: str) -> np.ndarray:
    """The tokens of a split that a language model predicts, int [N]: the first only where an end token precedes it."""
    return np.asarray(getattr(text, split).tokens)[int(text.tokenizer.end_id is None) :]


def known_of(text: Text, targets: np.ndarray) -> np.ndarray:
    """Which targets are not `<unk>`, bool [N]."""
    unknown = text.tokenizer.unknown_id
    return np.ones(len(targets), bool) if unknown is None else targets != unknown


def baseline(text: Text, split: str) -> dict[str, float]:
    """{'unknown': the share of `<unk>`, 'unigram_loss', 'unigram_accuracy'} of a split, {} where it has no target."""
    targets = targets_of(text, split)
    if not len(targets):
        return {}
    nats, correct = unigram(np.asarray(text.vocab.counts), targets)
    share = 1.0 - float(known_of(text, targets).mean())
    return {"unknown": share, "unigram_loss": float(nats.mean()), "unigram_accuracy": float(correct.mean())}
