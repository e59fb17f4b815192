"""The jitted functions that apply a model and never change it: losses of tokens, states, labels, generated text.

`Programs.applied` has those of a run on its mesh, `restore.Model.applied` those of a trained model on one device.
Evaluation, generation and inspection take them from here and compile none of a family's functions themselves.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from w2v_jax.family import Family
from w2v_jax.models import generation
from w2v_jax.nn.sampling import Sampling
from w2v_jax.train.step import laid_out
from w2v_jax.types import Array, Consts, Params


@dataclasses.dataclass(frozen=True)
class Applied:
    """The functions of one model. Each is compiled at its first call, and again for arguments of other shapes.

    TypeError: the family has no such function.
    """

    spec: Family
    cfg: Any  # the family's config, with its sizes and the platform's choices filled in
    mesh: Mesh | None = None  # of the parameters and texts; None: one device
    fsdp: bool = False  # whether the parameters are fully sharded over the mesh

    @cached_property
    def score(self) -> Any:
        """(params, consts, carry, batch) -> (nats of every target, whether it was the likeliest, carry): `Score`."""
        return jax.jit(partial(self._part("score"), self.cfg))

    @cached_property
    def states(self) -> Any:
        """(params, consts, tokens int32 [B, T], lengths int32 [B]) -> L + 1 float32 arrays [B, T, D]."""
        states = self._part("encode").states
        return self._of_texts(lambda *inputs: [x.astype(jnp.float32) for x in states(*inputs)])

    @cached_property
    def inside(self) -> Any:
        """As `states` -> (`states`, where each token looks: L arrays float32 [B, N, T, T], None without attention)."""
        encode = self._part("encode")

        def run(*inputs: Any) -> tuple[list[Array], list[Array] | None]:
            states = [x.astype(jnp.float32) for x in encode.states(*inputs)]
            return states, None if encode.attention is None else encode.attention(*inputs)

        return self._of_texts(run)

    def pooled(self, layers: tuple[int, ...]) -> Any:
        """(params, consts, tokens int32 [B, T], lengths int32 [B], spans int32 [B, K, 2]) -> float32 [B, K, D_l] of
        each of `layers`: the mean of the states from token spans[..., 0] up to spans[..., 1]; zeros for an empty span.

        The states themselves stay on the device, and those of later layers are never computed.
        """
        states = self._part("encode").states

        def run(cfg: Any, params: Params, consts: Consts, tokens: Array, lengths: Array, spans: Array) -> list[Array]:
            place = jnp.arange(tokens.shape[1])
            of_span = (place[None, None] >= spans[..., :1]) & (place[None, None] < spans[..., 1:])
            share = of_span / jnp.maximum(1, of_span.sum(-1, keepdims=True))
            there = (place[None] < lengths[:, None])[..., None]  # beyond a row's length states are not defined
            found = states(cfg, params, consts, tokens, lengths)
            kept = [jnp.where(there, found[layer].astype(jnp.float32), 0.0) for layer in layers]
            return [jnp.einsum("bkt,btd->bkd", share, x, precision="highest") for x in kept]

        return self._of_texts(run)

    @cached_property
    def labels(self) -> Any:
        """As `states` -> probabilities of a classifier's labels, float32 [B, classes]."""
        classify = self._part("classify")
        return self._of_texts(lambda *inputs: jax.nn.softmax(classify(*inputs), axis=1))

    @cached_property
    def vectors(self) -> Any:
        """As `states` -> vectors of the texts, float32 [B, F], of `Compare`."""
        return self._of_texts(self._part("compare").vectors)

    @cached_property
    def pairs(self) -> Any:
        """(params, vectors [B, F], vectors [B, F]) -> (distances [B], scores [B]), of `Compare`."""
        return jax.jit(partial(self._part("compare").pairs, self.cfg))

    @cached_property
    def weights(self) -> Any:
        """(params) -> the parameters laid out for `prefill` and `write`."""
        return jax.jit(partial(self._part("decode").weights, self.cfg))

    def prefill(self, rows: int, capacity: int) -> Any:
        """(weights, consts, prompt int32 [T]) -> (logits, memory of `rows` texts): `generation.prefill`."""
        return jax.jit(partial(generation.prefill, self._part("decode"), self.cfg, rows, capacity))

    def write(
        self,
        sampling: Sampling,
        count: int,
        end_id: int | None,
        slide: generation.Slide | None = None,
        scored: bool = True,
    ) -> Any:
        """(weights, consts, memory, logits, keys, with `slide` also `Before`) -> `Texts` of at most `count` new tokens:
        `generation.write`."""
        given = self._part("decode"), self.cfg, sampling, count, end_id, slide
        return jax.jit(partial(generation.write, *given, scored=scored))

    def _part(self, name: str) -> Any:
        part = getattr(self.spec, name)
        if part is None:
            raise TypeError(f"this family has no {name!r}")
        return part

    def _of_texts(self, function: Callable[..., Any]) -> Any:
        """A function of texts, jitted. On a mesh its rows are split over `data`, and parameters gathered, as in
        training."""
        if self.mesh is None:
            return jax.jit(partial(function, self.cfg))
        mesh, axes = self.mesh, self.spec.axes(self.cfg)

        def on_mesh(params: Params, consts: Consts, *texts: Array) -> Any:
            whole = laid_out(mesh if self.fsdp else None, axes, params)
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return function(self.cfg, whole, consts, *texts)

        return jax.jit(on_mesh, out_shardings=NamedSharding(mesh, PartitionSpec("data")))


@functools.lru_cache(maxsize=16)
def applied(spec: Family, cfg: Any) -> Applied:
    """The functions of a model on one device; the same object, with what it has compiled, for the same model."""
    return Applied(spec, cfg)
