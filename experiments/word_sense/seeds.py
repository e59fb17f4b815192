"""Several seeds of one model under one name, and the results of several calls together.

A run whose name ends in @ and a seed, such as masked@0, belongs to the group of the rest, `masked`. The rows of a group
are given as means over its seeds with 95 % intervals by Student's t; those of a single run stay as they are.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common.seeds import interval
from w2v_jax.errors import UserError
from w2v_jax.files import PathLike, read_json

_SEED = re.compile(r"@([^\s,+@]+)")
ALL = "regression on all cosines"  # a row of Words in Context that is of the runs that were read together


def group_of(name: str) -> str:
    """The name without seeds: 'masked@0, word hidden' is of 'masked, word hidden'."""
    return _SEED.sub("", name)


def expanded(parts: Sequence[str], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each part of a join as a run: itself, or where it names a group, for every seed the run of that seed.

    `('masked', 'words')` of the runs masked@0, masked@1 and words is `[('masked@0', 'words'), ('masked@1', 'words')]`.
    KeyError: a part that is neither a run nor a group, or groups without a seed in common.
    """
    runs = {(group_of(name), *_SEED.findall(name)[:1]): name for name in names}
    groups = [part for part in parts if part not in names]
    if not groups:
        return [tuple(parts)]
    seeds = [[key[1] for key in runs if len(key) > 1 and key[0] == part] for part in groups]
    common = [seed for seed in seeds[0] if all(seed in of_group for of_group in seeds)]
    if not common:
        raise KeyError(groups[0])
    return [tuple(part if part in names else runs[part, seed] for part in parts) for seed in common]


def pooled(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each group, classifier and number of shots, in the order of the first run of each.

    Numbers `keys` become means, with 'NAME_interval', half of the 95 % interval, and 'seeds', their number; the curves
    over layers and the scores by word become means. A row of a single run stays as it is.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((group_of(row["model"]), *_key(row)[1:]), []).append(row)
    return [dict(of[0]) if len(of) == 1 else _mean(key[0], of, keys) for key, of in groups.items()]


def _mean(name: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    out = {k: rows[0][k] for k in ("classifier", "shots", "draws") if k in rows[0]} | {"model": name}
    for key in keys:
        if key in rows[0]:
            values = [float(row[key]) for row in rows]
            out |= {key: statistics.fmean(values), f"{key}_interval": interval(values)}
    for nested in ("curves", "by_word"):
        if nested in rows[0]:
            out[nested] = _mean_tree([row[nested] for row in rows])
    return out | {"seeds": len(rows)}


def _mean_tree(trees: Sequence[Any]) -> Any:
    """Means of the numbers at the places that all trees have; None where a tree has none there."""
    if isinstance(trees[0], Mapping):
        return {key: _mean_tree([tree[key] for tree in trees]) for key in trees[0] if all(key in t for t in trees)}
    return None if any(value is None for value in trees) else statistics.fmean(trees)


def together(results: dict[str, Any], others: Sequence[PathLike]) -> dict[str, Any]:
    """`results` with the rows of other files of results before its own. The regression on all cosines, which is of the
    runs that one call read together, is left out where pairs of several calls come together.

    UserError: no such file, results of other texts, a name that is another run there, or other rows of a run.
    """
    for path in reversed(others):
        found = read_json(path)
        if found is None or not {"runs", "command"} <= found.keys():
            raise UserError(f"--results={path}: no results of experiments.word_sense; name its results.json")
        for name, folder in found["runs"].items():
            if results["runs"].get(name, folder) != folder:
                raise UserError(f"--results={path}: {name!r} is another run there, {folder}; give one another name")
        for part, same in (("labelled", ("words", "notes", "seed")), ("wic", ("pairs", "majority"))):
            if part not in found:
                continue
            theirs, ours = found[part], results.get(part)
            if ours is not None and any(theirs[key] != ours[key] for key in same):
                raise UserError(f"--results={path}: was measured on other texts or with another seed; leave it out")
            results[part] = _added(theirs, ours or theirs | {"rows": [], "few": []}, path)
        results["runs"] = found["runs"] | results["runs"]
        results["commands"] = [*found.get("commands", [found["command"]]), *results.get("commands", [])]
    return results


def _added(first: dict[str, Any], then: dict[str, Any], path: PathLike) -> dict[str, Any]:
    out = dict(then)
    for rows in ("rows", "few"):
        if rows in first:
            known = {_key(row): row for row in first[rows] if row["model"] != ALL or not then[rows]}
            for row in then[rows]:
                # The baselines of the counts stand in both.
                if row["model"] != ALL and known.setdefault(_key(row), row) != row:
                    raise UserError(f"--results={path}: has other rows of {row['model']!r}; leave one of the two out")
            out[rows] = list(known.values())
    return out


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["model"], row.get("classifier"), row.get("shots")
