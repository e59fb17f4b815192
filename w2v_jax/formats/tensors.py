"""Word vectors as safetensors: `vectors` [V, D], `words` (UTF-8, a line feed between two) and, where there are any,
`counts` int64 [V] and, for int8, `scale` float32 [V]."""

from __future__ import annotations

from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from w2v_jax.errors import UserError
from w2v_jax.formats.native import settled
from w2v_jax.formats.rows import Options, Table

ENDING = ".safetensors"
_TYPES = ("F32", "F16", "F64", "I8")


def read_safetensors(path: str, limit: int, options: Options) -> Table:
    """The table of a file that `to_safetensors` made. UserError: a damaged file, or one without words."""
    try:
        with safe_open(path, framework="numpy") as f:
            known = set(f.keys())
            if not {"vectors", "words"} <= known:
                said = ", ".join(sorted(known)[:5]) or "nothing"
                raise UserError(f"{path}: holds {said}: word vectors need the tensors `vectors` and `words`")
            kinds = {name: (f.get_slice(name).get_dtype(), f.get_slice(name).get_shape()) for name in known}
            _check(path, kinds)
            n = kinds["vectors"][1][0]
            words = _split(path, f.get_tensor("words").tobytes(), options.errors)
            if len(words) != n:
                raise UserError(f"{path}: {len(words):,} words, but {n:,} vectors: damaged, or words with line feeds")
            vectors = f.get_slice("vectors")[: limit or n]
            counts, scales = (f.get_tensor(name) if name in known else None for name in ("counts", "scale"))
    except SafetensorError as e:
        raise UserError(
            f"{path}: damaged safetensors file ({' '.join(str(e).split())[:120]}); fetch it again"
        ) from None
    return settled(path, Table(words, vectors, counts), scales, limit, options)


def _check(path: str, kinds: dict[str, tuple[str, list[int]]]) -> None:
    """UserError: a tensor of another type or shape."""
    kind, shape = kinds["vectors"]
    if kind not in _TYPES or len(shape) != 2 or 0 in shape:
        need = f"must be [words, dimensions] of {', '.join(_TYPES)}"
        raise UserError(f"{path}: tensor `vectors` is {kind} {shape}: {need}")
    wanted = {"counts": ("I64", shape[:1]), "scale": ("F32", shape[:1])}
    for name, want in wanted.items():
        if name in kinds and (kinds[name][0], list(kinds[name][1])) != (want[0], list(want[1])):
            raise UserError(
                f"{path}: tensor `{name}` is {kinds[name][0]} {kinds[name][1]}: must be {want[0]} {want[1]}"
            )
    if kinds["words"][0] != "U8" or len(kinds["words"][1]) != 1:
        raise UserError(f"{path}: tensor `words` is {kinds['words'][0]}: must be the bytes of the words, U8")
    if (kind == "I8") != ("scale" in kinds):
        raise UserError(f"{path}: `vectors` is {kind}, and `scale` belongs to I8 vectors only, which need it")


def _split(path: str, data: bytes, errors: str) -> list[str]:
    try:
        return data.decode("utf-8", errors).split("\n")
    except UnicodeDecodeError:
        raise UserError(f"{path}: tensor `words`: not UTF-8; pass encoding_errors=replace") from None


def to_safetensors(table: Table, vectors: np.ndarray, scales: np.ndarray | None) -> bytes:
    """The bytes of a file: the words and counts of `table` with `vectors`, which may be of a smaller type."""
    tensors: dict[str, Any] = {"vectors": np.ascontiguousarray(vectors)}
    tensors["words"] = np.frombuffer("\n".join(table.words).encode(), np.uint8)
    if table.counts is not None:
        tensors["counts"] = np.asarray(table.counts, np.int64)
    if scales is not None:
        tensors["scale"] = scales
    return bytes(save(tensors, {"content": "word vectors"}))
