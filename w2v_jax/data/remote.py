"""Tokens in a bucket, of which a machine fetches what it reads: for language models its own lanes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax import storage
from w2v_jax.errors import UserError


class Remote:
    """A file of integers of one type as a read-only array [N], in blocks that are fetched when they are first read.

    It is sliced and asked for its length like an array; any other use fetches all of it. Blocks are kept in `folder`,
    each compared with its digest (SHA-256) when this process opens it.

    Raises OSError where a block cannot be fetched, UserError where its content is not that of its digest.
    """

    def __init__(self, address: str, folder: Path, dtype: str, size: int, block: int, digests: Sequence[str]) -> None:
        self.address, self.folder, self.dtype, self.shape = address, folder, np.dtype(dtype), (size,)
        self._block, self._digests = block, digests  # bytes of a block; a multiple of the size of a number
        self._open: dict[int, np.ndarray] = {}
        self._locks = [threading.Lock() for _ in range(16)]  # several threads read: one fetches a block

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            return self[key : key + 1][0] if isinstance(key, int) and 0 <= key < len(self) else np.asarray(self)[key]
        begin, stop, step = key.indices(len(self))
        if step != 1:
            return np.asarray(self)[key]
        each, parts = self._block // self.dtype.itemsize, []
        for number in range(begin // each, -(-stop // each) if stop > begin else 0):
            first = number * each
            parts.append(self._at(number)[max(begin - first, 0) : stop - first])
        if not parts:
            return np.zeros(0, self.dtype)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def _at(self, number: int) -> np.ndarray:
        """A block, memory-mapped."""
        with self._locks[number % len(self._locks)]:
            if number not in self._open:
                file = self.folder / f"{number:06d}"
                if not file.exists() or _digest(file.read_bytes()) != self._digests[number]:
                    self._fetch(number, file)
                self._open[number] = np.memmap(file, self.dtype, "r")
            return self._open[number]

    def _fetch(self, number: int, file: Path) -> None:
        begin = number * self._block
        data = storage.read_range(self.address, begin, min(begin + self._block, len(self) * self.dtype.itemsize))
        if _digest(data) != self._digests[number]:
            raise UserError(f"{self.address}: bytes from {begin:,} on do not match their digest; delete its folder")
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
        part.write_bytes(data)
        part.replace(file)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
