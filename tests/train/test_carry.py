"""What a model carries from step to step, in one piece and in parts: microbatches, devices, held-out batches.

The model is a leaky sum with a dense readout, small enough to be done again in numpy:

    h <- leak * h * (0 at a start) + x + noise of the row,    loss = sum over rows of |h w + b - y|^2 / 2 / global rows
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import QUICK
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.family import Family, Train
from w2v_jax.nn.arrays import constant
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import make_call, make_eval
from w2v_jax.train.sharding import batch_sharding, make_mesh, replicated
from w2v_jax.train.step import init_state, state_sharding
from w2v_jax.types import Leaf

ROWS, DIM, OUT, STACK, COUNT, RATE, LEAK = 32, 3, 2, 4, 3, 0.05, 0.8


@dataclasses.dataclass(frozen=True)
class Leaky:
    """Options of the model."""

    noise: float = 0.0


def batch(cfg: Leaky, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    shapes = {"x": (size, DIM), "y": (size, OUT), "start": (size,)}
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}


def init(rng: Any, cfg: Leaky, consts: Any) -> Any:
    return {"w": 0.5 * jax.random.normal(rng, (DIM, OUT)), "b": jnp.zeros(OUT)}


def loss(cfg: Leaky, params: Any, consts: Any, carry: Any, batch: Any, rng: Any) -> Any:
    h = jnp.where(batch["start"][:, None] > 0, 0.0, LEAK * carry["h"]) + batch["x"]
    if rng is not None:
        h += cfg.noise * jax.vmap(lambda row: jax.random.normal(jax.random.fold_in(rng, row), (DIM,)))(batch["row"])
    each = 0.5 * jnp.sum((h @ params["w"] + params["b"][None] - batch["y"]) ** 2, axis=-1)
    count = jnp.float32(each.shape[0])
    return each.sum() / batch["global_rows"], ({"h": h}, {"loss": (each.sum(), count), "words": (count, count)})


FAMILY = Family(
    config=Leaky,
    resolve=lambda cfg, vocab_size: cfg,
    text=lambda *_: None,
    consts=lambda cfg, words: {},
    arrays=lambda cfg: {"w": Leaf((DIM, OUT), (None, None), constant(0.0)), "b": Leaf((OUT,), (None,), constant(0.0))},
    flops=lambda cfg: (1.0, "row"),
    examples=(),
    train=Train(
        shapes=batch,
        source=lambda *_: None,  # type: ignore[arg-type, return-value]
        init=init,
        carry=lambda cfg, rows: {"h": jnp.zeros((rows, DIM))},
        rows=lambda cfg, consts, batch, rng: ({}, batch),
        loss=loss,
    ),
)


def batches() -> dict[str, np.ndarray]:
    """STACK steps; some rows start anew at some of them."""
    rng = np.random.default_rng(0)
    given = {k: rng.standard_normal((STACK, *s.shape)) for k, s in batch(Leaky(), ROWS).items()}
    return {k: (v > 0.5 if k == "start" else v).astype(np.float32) for k, v in given.items()}


def run(
    devices: int = 1, accumulate: int = 1, mesh: MeshConfig | None = None, noise: float = 0.0, **optimizer: Any
) -> tuple[Any, Any, str]:
    """(state, metrics, compiled text) of COUNT steps on the first `devices` devices."""
    config = Config(
        "leaky",
        Leaky(noise),
        train=TrainConfig(batch_size=ROWS, steps_per_call=STACK, accumulate=accumulate),
        optimizer=OptimizerConfig(dense="sgd", learning_rate=RATE, schedule="constant", **optimizer),
        mesh=mesh or MeshConfig(),
    )
    on = make_mesh(config.mesh, jax.devices()[:devices])
    state = init_state(FAMILY, config, config.model, {})
    call: Any = make_call(FAMILY, config, config.model, Horizon(10, 10), on, state, {})
    state = jax.device_put(jax.device_get(state), state_sharding(FAMILY, config.model, on, state))
    given = jax.device_put(batches(), batch_sharding(on))
    args: Any = (state, {}, given, jnp.int32(COUNT), jnp.zeros(devices, jnp.int32))
    made = call.lower(*args).compile(compiler_options=QUICK)
    state, metrics, _ = made(*args)
    return state, metrics, made.as_text()


def by_hand(update: bool) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    """(params, h, summed loss) of the first COUNT steps in numpy."""
    params = {k: np.asarray(v, np.float64) for k, v in init(jax.random.key(0), Leaky(), {}).items()}
    h, total = np.zeros((ROWS, DIM)), 0.0
    for i in range(COUNT):
        x, y, start = (batches()[k][i].astype(np.float64) for k in ("x", "y", "start"))
        h = LEAK * h * (1 - start)[:, None] + x
        error = h @ params["w"] + params["b"] - y
        total += 0.5 * float((error**2).sum())
        if update:
            params["w"] -= RATE * h.T @ error / ROWS
            params["b"] -= RATE * error.mean(0)
    return params, h, total


def agree(a: Any, b: Any) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(
            np.asarray(x), np.asarray(y), rtol=0, atol=2e-6 * max(1, np.abs(np.asarray(y)).max())
        )


def test_the_carry_goes_with_its_row_from_step_to_step() -> None:
    state, metrics, _ = run()
    params, h, total = by_hand(update=True)
    agree(state.params, params)
    np.testing.assert_allclose(state.carry["h"], h, atol=1e-5)
    assert float(metrics["loss"][0]) == pytest.approx(total, rel=1e-5)
    assert float(metrics["loss"][1]) == COUNT * ROWS


PER_DEVICE = MeshConfig(per_device=True)


@pytest.mark.parametrize(
    ("devices", "accumulate", "mesh", "clip"),
    [
        (1, 2, None, 0.4),
        (1, 32, None, 0.4),
        (8, 1, None, 0.0),
        (8, 2, None, 0.4),
        (8, 4, PER_DEVICE, 0.4),
        (8, 2, MeshConfig(model=2), 0.4),
    ],
)
def test_parts_make_the_same_step_as_the_whole(
    devices: int, accumulate: int, mesh: MeshConfig | None, clip: float
) -> None:
    """With draws by row. A clipped norm has to be that of the summed gradient."""
    want, counted = alone(clip)
    state, metrics, text = run(devices, accumulate, mesh, noise=0.3, clip_norm=clip)
    agree((state, metrics), (want, counted))
    rows = devices // (mesh.model if mesh else 1)
    assert state.carry["h"].sharding.shard_shape((ROWS, DIM)) == (ROWS // rows, DIM)
    for collective in ("all-gather", "all-to-all", "collective-permute"):
        assert f" {collective}(" not in text, "rows and carry stay on their device"


@functools.cache
def alone(clip: float) -> tuple[Any, Any]:
    """(state, metrics) on one device, in one piece."""
    return run(noise=0.3, clip_norm=clip)[:2]


def test_the_limit_of_the_norm_is_one_that_these_gradients_pass() -> None:
    free, clipped = (alone(clip)[0].params["w"] for clip in (0.0, 0.4))
    assert np.abs(free - clipped).max() > 1e-3


@pytest.mark.parametrize(("devices", "mesh"), [(1, None), (8, None), (8, PER_DEVICE)])
def test_rows_that_do_not_divide_into_microbatches_are_refused(devices: int, mesh: MeshConfig | None) -> None:
    with pytest.raises(UserError, match=rf"^train.accumulate=3: does not divide the {ROWS // devices} rows"):
        run(devices, 3, mesh)


def evaluation(devices: int = 1) -> Any:
    """The evaluation on so many devices."""
    config = Config("leaky", Leaky(noise=0.3), train=TrainConfig(batch_size=ROWS))
    mesh = make_mesh(config.mesh, jax.devices()[:devices])
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), Leaky(), {}))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), shapes)
    return make_eval(FAMILY, config, config.model, mesh, shapes)


def test_evaluation_carries_from_one_held_out_batch_to_the_next() -> None:
    params = init(jax.random.key(0), Leaky(), {})
    first = {k: v[:COUNT] for k, v in batches().items()}
    evaluate: Any = evaluation()
    got = evaluate(params, {}, first, jnp.int32(0))
    *_, total = by_hand(update=False)
    assert float(got["loss"][0]) == pytest.approx(total, rel=1e-5)
    apart = [evaluate(params, {}, {k: v[i : i + 1] for k, v in first.items()}, jnp.int32(0)) for i in range(COUNT)]
    assert abs(sum(float(m["loss"][0]) for m in apart) - total) > 1.0, "the carry matters"
    assert float(evaluate(params, {}, first, jnp.int32(0))["loss"][0]) == float(got["loss"][0]), "from the start again"


def test_held_out_rows_and_their_carry_are_split_over_the_devices() -> None:
    params = init(jax.random.key(0), Leaky(), {})
    args = (params, {}, batches(), jnp.int32(0))
    want = evaluation()(*args)
    made = evaluation(8).lower(*args).compile()
    agree(made(*args), want)
    text = made.as_text()
    assert f"f32[{ROWS // 8},{DIM}]" in text and f"f32[{ROWS},{DIM}]" not in text
