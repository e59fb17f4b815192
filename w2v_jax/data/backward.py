"""A text from its last token to its first, for language models that read from the right."""

from __future__ import annotations

from typing import Any

import numpy as np

from w2v_jax.data.remote import Remote


class Backward:
    """Tokens x_0 .. x_{N-1} as a read-only array x_{N-1} .. x_0; nothing is copied but what is read.

    With `ended`, x_{N-1} ends the last document. It then comes last instead of first, so that every document, read
    backward, is followed by its end token: `a b . c d .` becomes `d c . b a .`.

    It is sliced and asked for its length like an array; any other use reads all of it.
    """

    def __init__(self, tokens: np.ndarray | Remote, ended: bool) -> None:
        self._tokens = tokens if isinstance(tokens, Remote) else np.asarray(tokens)  # slices of a map are slow
        self._turned = len(tokens) - int(ended and len(tokens) > 0)  # tokens before the last end
        self.dtype, self.shape = tokens.dtype, (len(tokens),)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice) or key.step not in (None, 1):
            return np.asarray(self)[key]
        begin, stop, _ = key.indices(len(self))
        first, last = min(begin, self._turned), min(max(begin, stop), self._turned)
        turned = self._tokens[self._turned - last : self._turned - first][::-1]
        end = self._tokens[max(begin, self._turned) : max(begin, stop)] if stop > self._turned else turned[:0]
        return np.concatenate([turned, end]) if len(end) else turned

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def turned(offsets: np.ndarray) -> np.ndarray:
    """Where the documents of a text begin when it is read backward, int64 [D + 1] of int64 [D + 1]."""
    return np.asarray(offsets[-1] - offsets[::-1], np.int64)
