"""Words in context: one vector a word, from any layer of any trained model.

`ContextEncoder` reads the states of a model, `select` takes a layer or a mixture of layers of an encoder, and `join`
puts the vectors of several encoders side by side.
"""

from w2v_jax.context.base import Encoded, Encoder, join, select
from w2v_jax.context.encoder import ContextEncoder
from w2v_jax.context.rows import Seen

__all__ = ["ContextEncoder", "Encoded", "Encoder", "Seen", "join", "select"]
