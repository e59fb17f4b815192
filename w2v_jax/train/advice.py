"""What to try where a training failed: its loss is not finite, or the model knows less than the counts of tokens."""

from __future__ import annotations

from w2v_jax.config import OptimizerConfig


def against_divergence(opt: OptimizerConfig, rows: bool, dense: bool) -> str:
    """The options to try, of those that have an effect on a model with tables that are updated by `rows`, with other,
    `dense` arrays, or with both."""
    tries = [f"optimizer.learning_rate below {opt.learning_rate:g}"]
    if rows and opt.rows == "sgd":
        tries += ["optimizer.rows=adagrad", _lower("clip_row", opt.clip_row)]
    if dense:
        tries.append(_lower("clip_norm", opt.clip_norm))
    if not opt.warmup_steps:
        tries.append("optimizer.warmup_steps above 0")
    return ", ".join(tries[:-1]) + f" or {tries[-1]}" if len(tries) > 1 else tries[0]


def _lower(name: str, value: float) -> str:
    return f"optimizer.{name} {f'below {value:g}' if value else 'above 0'}"


def wrecked(loss: float | None, counts: float | None) -> str | None:
    """A warning where a finished language model has a higher held-out loss than the counts of tokens; else None."""
    if loss is None or counts is None or loss <= counts:
        return None
    return (
        f"warning: the held-out loss {loss:.4f} is above {counts:.4f}, that of the counts of tokens alone: the model "
        "is of no use yet; train it longer, or with a lower optimizer.learning_rate"
    )
