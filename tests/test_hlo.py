"""What a step moves, read from the text of a compiled program: by hand on a small text, and of a program of ours."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from launch.hlo import axes_of, groups_of, moved, size_of

# A call of steps_per_call = 10 turns. In each, 3 turns over layers: a weight of [3, 8, 8] is read in slices, the sum
# [3, 8] is written in place, 4 devices sum [8, 8]; a kernel's attributes take several lines. `%copy` runs once a call.
TEXT = """HloModule step, is_scheduled=true

%slice_of_layer (param_0: f32[3,8,8], param_1: s32[]) -> f32[8,8] {
  %param_0 = f32[3,8,8]{2,1,0} parameter(0)
  %param_1 = s32[] parameter(1)
  ROOT %dynamic-slice.1 = f32[1,8,8]{2,1,0} dynamic-slice(%param_0, %param_1, %param_1, %param_1)
}

%write_row (param_2: f32[3,8], param_3: f32[1,8], param_4: s32[]) -> f32[3,8] {
  %param_2 = f32[3,8]{1,0} parameter(0)
  %param_3 = f32[1,8]{1,0} parameter(1)
  %param_4 = s32[] parameter(2)
  ROOT %dynamic-update-slice.1 = f32[3,8]{1,0} dynamic-update-slice(%param_2, %param_3, %param_4, %param_4)
}

%layers_cond (p: (s32[], f32[3,8,8], f32[3,8], f32[1,8])) -> pred[] {
  %constant.3 = s32[]{:T(128)} constant(3)
  %p.1 = (s32[], f32[3,8,8]{2,1,0}, f32[3,8]{1,0}, f32[1,8]{1,0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%p.1), index=0
  ROOT %lt.1 = pred[] compare(%i.1, %constant.3), direction=LT
}

%layers_body (p: (s32[], f32[3,8,8], f32[3,8], f32[1,8])) -> (s32[], f32[3,8,8], f32[3,8], f32[1,8]) {
  %p.2 = (s32[], f32[3,8,8]{2,1,0}, f32[3,8]{1,0}, f32[1,8]{1,0}) parameter(0)
  %i.2 = s32[] get-tuple-element(%p.2), index=0
  %w = f32[3,8,8]{2,1,0} get-tuple-element(%p.2), index=1
  %sums = f32[3,8]{1,0} get-tuple-element(%p.2), index=2
  %row = f32[1,8]{1,0} get-tuple-element(%p.2), index=3
  %layer = f32[1,8,8]{2,1,0} fusion(%w, %i.2), kind=kLoop, calls=%slice_of_layer
  %all-reduce.1 = f32[1,8,8]{2,1,0:T(8,128)S(1)} all-reduce(%layer), channel_id=1, replica_groups=[2,2]<=[4]
  %kernel = f32[8,8]{1,0} custom-call(%layer), target="tpu", frontend_attributes={kernel_metadata={
"block": "512"
}}, metadata={op_name="kernel"}
  %written = f32[3,8]{1,0} fusion(%sums, %row, %i.2), kind=kLoop, calls=%write_row
  ROOT %t = (s32[], f32[3,8,8]{2,1,0}, f32[3,8]{1,0}, f32[1,8]{1,0}) tuple(%i.2, %w, %written, %row)
}

%steps_cond (q: (s32[], s32[])) -> pred[] {
  %q.1 = (s32[], s32[]) parameter(0)
  %i.3 = s32[] get-tuple-element(%q.1), index=0
  %n.3 = s32[] get-tuple-element(%q.1), index=1
  ROOT %lt.2 = pred[] compare(%i.3, %n.3), direction=LT
}

%steps_body (q: (s32[], s32[])) -> (s32[], s32[]) {
  %q.2 = (s32[], s32[]) parameter(0)
  %held = (s32[], f32[3,8,8]{2,1,0}, f32[3,8]{1,0}, f32[1,8]{1,0}) tuple()
  %while.1 = (s32[], f32[3,8,8], f32[3,8], f32[1,8]) while(%held), condition=%layers_cond, body=%layers_body
  ROOT %q.3 = (s32[], s32[]) tuple(%q.2)
}

ENTRY %main (a: f32[1000]) -> (s32[], s32[]) {
  %a = f32[1000]{0} parameter(0)
  %copy = f32[1000]{0} copy(%a)
  %start = (s32[], s32[]) tuple()
  ROOT %while.2 = (s32[], s32[]) while(%start), condition=%steps_cond, body=%steps_body
}
"""


def test_a_text_counted_by_hand():
    found = moved(TEXT, steps_per_call=10, devices=4)
    slice_read, summed, kernel, in_place = 256 + 256 + 4, 256, 256 + 256, 32 + 32 + 4  # 4: an index
    once_a_call = 2 * 4000 / 10
    assert found.memory == 3 * (slice_read + summed + kernel + in_place) + once_a_call
    (one,) = found.collectives
    assert (one.kind, one.size, one.times, one.groups) == ("all-reduce", 256, 3, ((0, 1), (2, 3)))
    assert one.sent() == 3 * 2 * 256 * (1 / 2)  # a ring: each half is sent twice


@pytest.mark.parametrize(
    ("written", "groups"),
    [
        ("replica_groups={{0,2},{1,3}}, x", ((0, 2), (1, 3))),
        ("replica_groups={}, x", ((0, 1, 2, 3),)),
        ("replica_groups=[2,2]<=[2,2]T(1,0), x", ((0, 2), (1, 3))),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}, x", ((0, 2), (1, 3))),
        ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}, x", ((0, 1, 2, 3),)),
        ("source_target_pairs={{0,1},{1,0}}, x", ((0, 1), (1, 0))),
    ],
)
def test_groups_in_every_notation(written: str, groups: tuple[tuple[int, ...], ...]):
    assert groups_of(written, 4) == groups


def test_sizes_and_axes():
    assert size_of("(bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, f32[4]{0})") == 28
    assert size_of("(bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, f32[4]{0})", hbm_only=True) == 16
    assert size_of("pred[7]{0}") == 7 and size_of("f8e4m3fn[8]{0}") == 8
    # The mesh is data 2 x model 4: 0..3 are the first row.
    assert axes_of([(0, 1, 2, 3)], 2, 4) == "model"
    assert axes_of([(0, 4), (1, 5)], 2, 4) == "data"
    assert axes_of([tuple(range(8))], 2, 4) == "data+model"


def test_the_collectives_of_a_program_of_ours():
    """A product whose contracted axis is split over 4 devices, 5 times in a loop: 5 sums of the result over `model`."""
    mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "model"))

    def run(x: jax.Array, w: jax.Array) -> jax.Array:
        keep = NamedSharding(mesh, PartitionSpec(None, "model"))

        def turn(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return jax.lax.with_sharding_constraint(jnp.tanh(x @ w), keep), None

        return jax.lax.scan(turn, x, None, length=5)[0]

    specs = (PartitionSpec(None, "model"), PartitionSpec("model", None))
    made = jax.jit(run, in_shardings=tuple(NamedSharding(mesh, s) for s in specs))
    text = made.lower(jnp.zeros((16, 32)), jnp.zeros((32, 32))).compile().as_text()
    found = moved(text, 1, 8).collectives
    assert sum(one.times for one in found) == 5
    assert {axes_of(one.groups, 2, 4) for one in found} == {"model"}
    assert {one.size for one in found} == {16 * 32 * 4.0}
