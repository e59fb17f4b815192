"""Word meaning from counts to transformers, in JAX: one tokeniser, one training loop, one evaluation, one ledger."""

__version__ = "0.1.0"
