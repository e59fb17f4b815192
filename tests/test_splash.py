"""The fused kernel of TPUs: it is attention, forward and backward, and leaves no T x T array in a program for TPUs."""

from __future__ import annotations

import dataclasses
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from tests.examples import quick
from w2v_jax.config import Config, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.nn import splash
from w2v_jax.nn.attention import attend, kernel
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import programs, stand_in
from w2v_jax.train.sharding import make_mesh


def both_ways(causal: bool, length: int, lengths: list[int] | None, rows: int = 2, mesh: MeshConfig | None = None):
    """((loss, output), gradients by q, k and v) of the kernel, interpreted, and of XLA's attention."""
    rng = np.random.default_rng(length)
    query, key, value, slope = rng.normal(size=(4, rows, length, 2, 4)).astype(np.float32)
    given = None if lengths is None else jnp.array(lengths, jnp.int32)

    def of(mix):
        def total(query, key, value):
            mixed = mix(query, key, value, causal=causal, lengths=given)
            return jnp.sum(mixed * slope), mixed

        return jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)

    def kernels(query, key, value, **given):
        return splash.mix(query, key, value, interpret=True, **given)

    if mesh is None:
        return quick(lambda *x: (of(kernels)(*x), of(attend)(*x)), query, key, value)
    devices = make_mesh(mesh, jax.devices()[: mesh.data * mesh.model])
    with jax.sharding.use_abstract_mesh(devices.abstract_mesh):
        split = NamedSharding(devices, PartitionSpec("data"))
        made = jax.jit(lambda *x: (of(kernels)(*x), of(attend)(*x)), in_shardings=split)
        return made(query, key, value)


@pytest.mark.parametrize(
    ("causal", "length", "lengths"),
    # 384 is 3 blocks of 128, of which a causal mask hides some; 140 is padded, and row 1 sees less than a block.
    [(True, 384, None), (False, 140, [140, 7])],
)
def test_the_kernel_is_attention_forward_and_backward(causal: bool, length: int, lengths: list[int] | None):
    found, expected = both_ways(causal, length, lengths)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_rows_and_heads_are_split_over_a_mesh():
    found, expected = both_ways(True, 100, None, 2, MeshConfig(data=2, model=2))
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_each_platform_has_its_kernel():
    assert kernel("tpu", "bfloat16", 64, 1024) == kernel("tpu", "float32", 64, 256) == "splash"
    assert kernel("tpu", "bfloat16", 64, 128) == kernel("cpu", "bfloat16", 64, 1024) == "xla"
    assert kernel("gpu", "bfloat16", 64, 1024) == "cudnn"
    place = MODELS["transformer"].place
    assert place is not None
    with pytest.raises(UserError, match="attention='splash': needs TPUs"):
        place(TransformerConfig(attention="splash"), "cpu")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="compiles for TPUs: needs libtpu")
def test_no_square_of_the_length_is_in_the_memory_of_a_tpu():
    from launch.preflight import topology_devices, without_tpu

    without_tpu()
    devices = topology_devices("v5e:2x2")
    model = TransformerConfig(layers=2, dim=128, heads=2, length=4096, dtype="bfloat16", vocab_size=256)
    sizes, squares = {}, {}
    for name in ("splash", "xla"):
        config = Config(
            family="transformer",
            model=dataclasses.replace(model, attention=name),
            train=TrainConfig(batch_size=4, steps_per_call=1),
            optimizer=OptimizerConfig(learning_rate=1e-3),
        )
        compiled = programs(config, stand_in(config), devices).train(Horizon(10, 10)).compile()
        sizes[name] = compiled.memory_analysis().temp_size_in_bytes
        squares[name] = len(re.findall(r"\[(?:\d+,)*4096,4096\]", compiled.as_text()))
    assert squares["splash"] == 0 < squares["xla"]
    assert sizes["splash"] < sizes["xla"] / 2  # N T^2 numbers of a text alone are 64 MiB in bfloat16
