"""Word meaning from counts to transformers, in JAX: one tokeniser, one training loop, one evaluation, one ledger.

    from w2v_jax import train_vectors

    print(train_vectors("corpus/*.txt").most_similar("king"))

Any family, with every step by itself:

    import w2v_jax as w2v

    config = w2v.configure("lsa", {"data.source": "text:corpus/*.txt", "model.dim": 100})
    w2v.fit(config, "runs/lsa")
    words = w2v.load("runs/lsa")
    print(words.nearest("king"), w2v.evaluate(words))

The names below are those of `w2v_jax.api`. They are loaded when they are first used: `import w2v_jax` alone is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from w2v_jax.api import ContextEncoder as ContextEncoder
    from w2v_jax.api import configure as configure
    from w2v_jax.api import count as count
    from w2v_jax.api import documents as documents
    from w2v_jax.api import evaluate as evaluate
    from w2v_jax.api import fit as fit
    from w2v_jax.api import load as load
    from w2v_jax.api import load_documents as load_documents
    from w2v_jax.api import open_run as open_run
    from w2v_jax.api import save as save
    from w2v_jax.api import train_documents as train_documents
    from w2v_jax.api import train_vectors as train_vectors

__version__ = "0.1.0"
__all__ = ["ContextEncoder", "configure", "count", "documents", "evaluate", "fit", "load", "open_run", "save"]
__all__ += ["load_documents", "train_documents", "train_vectors"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from w2v_jax import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
