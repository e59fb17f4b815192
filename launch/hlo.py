"""What one step of a compiled program moves: bytes of the memory, and bytes sent by each kind of collective.

Read from the text that XLA prints of a compiled program (`compiled.as_text()`). A loop whose number of turns is a
constant counts that often. The outer loop of a training call has no constant: it is the loop over steps, and everything
is given for one turn of it. Of a condition the branch that moves the most is counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_SIZES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2, "c64": 8, "c128": 16, "token": 0, "opaque": 0}
_FREE = {
    *("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "while", "conditional", "call", "after-all"),
    *("partition-id", "replica-id", "opt-barrier", "add-dependency", "custom-call-start", "async-start"),
    "async-update",
}
_READS_PART = ("dynamic-slice", "slice", "gather")
_ARRAY = re.compile(r"\b([a-z]+\d*(?:e\d+m\d+\w*)?)\[([\d,]*)\](\{[^}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    shape: str
    op: str
    operands: tuple[str, ...]
    rest: str  # attributes


class Collective(NamedTuple):
    """One collective operation, as often as a step runs it."""

    kind: str
    size: float  # bytes of the whole array on each device: the result of a gather, the input of the others
    groups: tuple[tuple[int, ...], ...]  # places in the mesh, row after row, that exchange with one another
    times: float  # a step

    def sent(self) -> float:
        """Bytes that every device receives in a step, by the best known ring."""
        n = max(map(len, self.groups))
        if self.kind == "collective-permute":
            return self.times * self.size
        return self.times * self.size * (n - 1) / n * (2 if self.kind == "all-reduce" else 1)


class Moved(NamedTuple):
    """What one step moves, on each device."""

    memory: float  # bytes read from and written to HBM
    collectives: tuple[Collective, ...]


def computations(text: str) -> tuple[str, dict[str, dict[str, Instruction]]]:
    """(name of the entry, computation -> its instructions by name) of a module's text."""
    entry, current = "", None
    found: dict[str, dict[str, Instruction]] = {}
    for line in text.splitlines():
        if line.rstrip() == "}":  # attributes of a kernel take several lines, of which one may begin with }
            current = None
        elif not line.startswith(" ") and line.endswith("{") and (name := re.match(r"(ENTRY )?%?([\w.\-]+) ", line)):
            current = found.setdefault(name[2], {})
            entry = name[2] if name[1] else entry
        elif current is not None and (made := _instruction(line)):
            current[made.name] = made
    return entry, found


def _instruction(line: str) -> Instruction | None:
    match = re.match(r"\s+(?:ROOT )?%([\w.\-]+) = ", line)
    if match is None:
        return None
    rest = line[match.end() :]
    end = _closing(rest) if rest.startswith("(") else rest.find(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    op = rest[: rest.find("(")]
    rest = rest[len(op) :]
    end = _closing(rest)
    if op in ("constant", "parameter"):
        return Instruction(match[1], shape, op, (), rest[1:])  # begins with the value, or with the place
    return Instruction(match[1], shape, op, tuple(_NAME.findall(rest[:end])), rest[end:])


def _closing(text: str) -> int:
    """The place after the bracket that closes the first one."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and c == ")":
            return i + 1
    return len(text)


def size_of(shape: str, hbm_only: bool = False) -> float:
    """Bytes of an array or of all arrays of a tuple; `hbm_only` leaves out those that are kept on the core."""
    total = 0.0
    for dtype, dims, layout in _ARRAY.findall(shape):
        if hbm_only and re.search(r"S\([1-9]\d*\)", layout):
            continue
        bits = re.search(r"\d+", dtype)
        each = _SIZES.get(dtype, 1 if dtype.startswith("f8") else int(bits[0]) / 8 if bits else 0)
        total += each * math.prod(int(d) for d in dims.split(",") if d)
    return total


def moved(text: str, steps_per_call: int = 1, devices: int = 1) -> Moved:
    """What a step of the program moves. `devices` are those of its mesh, for groups that the text leaves out."""
    entry, found = computations(text)

    def walk(name: str, times: float, inner: bool) -> tuple[float, list[Collective]]:
        memory, body = 0.0, found.get(name, {})
        sent: list[Collective] = []
        for made in body.values():
            memory += times * _touched(made, body, found)
            sent.extend(_collective(made, body, name, times, devices))
            if made.op == "while":
                turns = _turns(made, found)
                known = turns if turns is not None else (1 if inner else steps_per_call)
                more = walk(_called(made, "body")[0], times * known, inner or turns is None)
                memory, sent = memory + more[0], sent + more[1]
            elif made.op == "conditional":
                branches = _called(made, "branch_computations") or (
                    *_called(made, "true_computation"),
                    *_called(made, "false_computation"),
                )
                more = max((walk(b, times, inner) for b in branches), key=lambda found: found[0])
                memory, sent = memory + more[0], sent + more[1]
            elif made.op in ("call", "async-start"):
                for called in (*_called(made, "to_apply"), *_called(made, "calls")):
                    more = walk(called, times, inner)
                    memory, sent = memory + more[0], sent + more[1]
            elif made.op == "fusion":  # its memory is counted from outside, its collectives are not
                sent.extend(walk(_called(made, "calls")[0], times, inner)[1])
        return memory, sent

    memory, sent = walk(entry, 1 / steps_per_call, False)
    return Moved(memory, tuple(sent))


def _called(made: Instruction, key: str) -> tuple[str, ...]:
    match = re.search(rf"\b{key}=(?:\{{([^}}]*)\}}|%?([\w.\-]+))", made.rest)
    return () if match is None else tuple(_NAME.findall(match[1])) if match[1] is not None else (match[2],)


def _turns(made: Instruction, found: dict[str, dict[str, Instruction]]) -> int | None:
    """How often a loop turns; None where that is not a constant."""
    known = re.search(r'known_trip_count\\?":\{\\?"n\\?":\\?"(\d+)', made.rest)
    if known:
        return int(known[1])
    constants = [
        int(value[0])
        for one in found.get(_called(made, "condition")[0], {}).values()
        if one.op == "constant" and one.shape.startswith("s32[]") and (value := re.match(r"-?\d+", one.rest))
    ]
    return max(constants) if constants else None


def _touched(made: Instruction, body: dict[str, Instruction], found: dict[str, dict[str, Instruction]]) -> float:
    """Bytes of HBM that an instruction reads and writes."""
    if made.op in _FREE or made.op.endswith("-done"):
        return 0.0
    out = size_of(made.shape, hbm_only=True)
    if made.op == "fusion":
        return _by_fusion(made, body, found[_called(made, "calls")[0]])
    given = [size_of(body[x].shape, hbm_only=True) if x in body else 0.0 for x in made.operands]
    if made.op in _READS_PART:
        return 2 * out
    if made.op == "slice-start":
        return _first(made.shape, hbm_only=True) + _first(made.shape)
    if made.op == "copy-start":
        return _first(made.shape, hbm_only=True) + sum(given)
    if made.op == "dynamic-update-slice":
        return 2 * given[1]
    if made.op == "scatter":
        return 3 * given[-1]
    if made.op.removesuffix("-start") in KINDS and made.op.endswith("-start"):
        return 2 * sum(given)
    return out + sum(given)


def _first(shape: str, hbm_only: bool = False) -> float:
    """Bytes of the first array of a tuple: where an asynchronous copy writes."""
    match = _ARRAY.search(shape)
    return size_of(match[0], hbm_only) if match else 0.0


def _by_fusion(made: Instruction, body: dict[str, Instruction], inside: dict[str, Instruction]) -> float:
    """Of a fusion: what it reads of each operand, which may be a slice, and what it writes, which may be in place."""
    order = sorted((one for one in inside.values() if one.op == "parameter"), key=lambda one: _numbers(one.rest)[:1])
    total = 0.0
    for given, parameter in zip(made.operands, order, strict=False):
        whole = size_of(body[given].shape, hbm_only=True) if given in body else 0.0
        total += min(whole, _read(parameter.name, inside)) if whole else 0.0
    root = list(inside.values())[-1]
    results = [inside[x] for x in root.operands if x in inside] if root.op == "tuple" else [root]
    shapes = [m[0] for m in re.finditer(_ARRAY, made.shape)]
    for result, shape in zip(results, shapes, strict=False):
        if not (written := size_of(shape, hbm_only=True)):
            continue
        while result.op in ("bitcast", "copy", "reshape") and result.operands and result.operands[0] in inside:
            result = inside[result.operands[0]]
        if result.op == "dynamic-update-slice":
            written = size_of(inside[result.operands[1]].shape)
        elif result.op == "scatter":
            written = 2 * size_of(inside[result.operands[-1]].shape)
        total += written
    return total


def _read(name: str, inside: dict[str, Instruction]) -> float:
    """Bytes that a fused computation reads of a parameter."""
    total = 0.0
    for one in inside.values():
        if name not in one.operands:
            continue
        first = one.operands[0] == name
        if first and one.op in _READS_PART:
            total += size_of(one.shape)
        elif first and one.op in ("dynamic-update-slice", "scatter"):
            continue  # changed in place
        elif one.op == "bitcast":
            total += _read(one.name, inside)
        else:
            return math.inf
    return total


def _collective(
    made: Instruction, body: dict[str, Instruction], inside: str, times: float, devices: int
) -> Iterator[Collective]:
    kind = made.op.removesuffix("-start")
    if kind not in KINDS:
        return
    given = sum(size_of(body[x].shape) for x in made.operands if x in body)
    size = given
    if kind == "all-gather":
        size = size_of(made.shape) - (given if made.op.endswith("-start") else 0)
    if kind == "all-reduce" and "all-reduce-scatter" in inside:  # the name that libtpu gives to the two in one
        kind = "reduce-scatter"
    groups = groups_of(made.rest, devices)
    if max(map(len, groups), default=0) > 1:
        yield Collective(kind, size, groups, times)


def groups_of(attributes: str, devices: int) -> tuple[tuple[int, ...], ...]:
    """The groups of a collective: listed, as a reshaped range, or as axes of a named mesh."""
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", attributes):
        return tuple(_numbers(p) for p in re.findall(r"\{([\d,]+)", pairs[1]))
    if named := re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(([^)]*(?:\([^)]*\))?)\))? \{([^}]*)\}", attributes
    ):
        sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", named[1])}
        ids = _range(named[2], math.prod(sizes.values())).reshape(tuple(sizes.values()))
        chosen = [i for i, name in enumerate(sizes) if f"'{name}'" in named[3]]
        others = [i for i in range(len(sizes)) if i not in chosen]
        grid = ids.transpose(*others, *chosen).reshape(-1, math.prod(ids.shape[i] for i in chosen))
        return tuple(map(tuple, grid.tolist()))
    if ranged := re.search(r"replica_groups=\[(\d+),(\d+)\]<=(\[[\d,]+\](?:T\([\d,]+\))?)", attributes):
        shape = (int(ranged[1]), int(ranged[2]))
        return tuple(map(tuple, _range(ranged[3], math.prod(shape)).reshape(shape).tolist()))
    if listed := re.search(r"replica_groups=\{(\{.*?\})\}", attributes):
        return tuple(_numbers(g) for g in re.findall(r"\{([\d,]*)\}", listed[1]))
    return (tuple(range(devices)),)


def _range(written: str | None, count: int) -> np.ndarray:
    """The numbers of `[2,4]T(1,0)`: 0, 1, 2, ... in that shape, its axes in that order; a list of numbers as it is."""
    match = re.match(r"\[([\d,]+)\](?:T\(([\d,]+)\))?$", written or "")
    if match is None:
        listed = _numbers(written or "")
        return np.array(listed) if len(listed) == count else np.arange(count)
    shape = _numbers(match[1])
    numbers = np.arange(math.prod(shape)).reshape(shape)
    return numbers.transpose(_numbers(match[2])) if match[2] else numbers


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(x) for x in re.findall(r"\d+", text))


def axes_of(groups: Sequence[Sequence[int]], data: int, model: int) -> str:
    """The mesh axes over which the members of a group differ: 'data', 'model' or 'data+model'."""
    varied = [len({i // model for i in g}) > 1 for g in groups], [len({i % model for i in g}) > 1 for g in groups]
    return "+".join(name for name, found in zip(("data", "model"), varied, strict=True) if any(found)) or "data"
