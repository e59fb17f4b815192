"""What the tests of every registered model share: its examples, and trees compared by name."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from tests.examples import trained_families

VOCAB = 50


def all_examples() -> list[Any]:
    """Every example of every trained family; tests/test_fitted.py shows how fitted ones are tested."""
    found = [(family, i, e) for family, spec in trained_families().items() for i, e in enumerate(spec.examples)]
    return [pytest.param(family, e, id=f"{family}-{i}") for family, i, e in found]


EVERY = pytest.mark.parametrize(("family", "example"), all_examples())


def shape_of(tree: Any, is_leaf: Any = None) -> Any:
    """The tree without its leaves."""
    return jax.tree.structure(tree, is_leaf=is_leaf)


def named(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


def same(a: Any, b: Any, tolerance: float = 2e-5) -> None:
    """Equal trees, to float tolerance of each leaf's largest number."""
    assert shape_of(a) == shape_of(b)
    for name, x in named(a).items():
        y = np.asarray(named(b)[name])
        scale = max(1.0, float(np.abs(y).max(initial=0)))
        np.testing.assert_allclose(np.asarray(x), y, rtol=0, atol=tolerance * scale, err_msg=name)
