"""Operations of one training step, counted from its trace: every matrix product, as often as a loop runs it.

Values that are computed again for the gradient (`model.remat`) count again. A kernel counts its products for every
block of its grid, also those that a causal mask lets it skip: a bound from above.
"""

from __future__ import annotations

import math
from typing import Any

import jax

from w2v_jax.family import Family
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import Programs, placed, platform_of
from w2v_jax.train.step import make_step


def step_flops(made: Programs) -> float:
    """FLOPs of the matrix products of one step, on all devices together; a FLOP is a multiplication or an addition."""
    cfg, spec = made.cfg, made.spec
    if platform_of(made.mesh) == "gpu":  # its kernels can only be traced where cuDNN is; the products are the same
        cfg = placed(spec, spec.resolve(made.config.model, cfg.vocab_size), "cpu")
    step = make_step(spec, made.config, cfg, Horizon(1000, 1000))
    batch = dict(made.spec.trained.shapes(made.cfg, made.config.train.batch_size))

    def plain(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)

    return count(jax.make_jaxpr(step)(plain(made.state), plain(made.consts), batch).jaxpr)


def count(jaxpr: Any) -> float:
    """FLOPs of the matrix products of a jaxpr. Of a condition the dearest branch counts, of an open loop one turn."""
    total = 0.0
    for one in jaxpr.eqns:
        name, params = one.primitive.name, one.params
        if name == "dot_general":
            (left, _), _ = params["dimension_numbers"]
            contracted = math.prod(one.invars[0].aval.shape[i] for i in left)
            total += 2.0 * contracted * math.prod(one.outvars[0].aval.shape)
        elif name == "scan":
            total += params["length"] * count(params["jaxpr"].jaxpr)
        elif name == "cond":
            total += max(count(branch.jaxpr) for branch in params["branches"])
        elif name == "pallas_call":
            grid = params["grid_mapping"].grid
            total += math.prod(int(n) for n in grid) * count(params["jaxpr"])
        else:
            total += sum(count(inner) for inner in _inside(params))
    return total


def _inside(params: dict[str, Any]) -> list[Any]:
    """The jaxprs among the parameters of an operation that runs each of them once."""
    found = []
    for value in params.values():
        inner = getattr(value, "jaxpr", value)
        if hasattr(inner, "eqns"):
            found.append(inner)
    return found


def units_of(made: Programs) -> float:
    """`units` of a run's programs."""
    return units(made.spec, made.cfg, made.config.train.batch_size)


def units(spec: Family, cfg: Any, batch_size: int) -> float:
    """Units (tokens, words) of one step, of which `Family.flops` gives the FLOPs."""
    tokens = spec.trained.shapes(cfg, batch_size).get("tokens")
    return float(math.prod(tokens.shape)) if spec.flops(cfg)[1] == "token" and tokens is not None else float(batch_size)
