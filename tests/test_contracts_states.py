"""What every registered model keeps to, part two: its states by layer and token, and decoding token by token."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.contracts import EVERY, VOCAB, all_examples, same
from tests.examples import device_consts, quick, random_params, whole_logits
from w2v_jax.models import MODELS


def _decoding() -> list[Any]:
    """The examples that go token by token: all of such families but those that predict hidden tokens."""
    found = [p for p in all_examples() if MODELS[p.values[0]].decode is not None]
    return [p for p in found if MODELS[p.values[0]].encode.causal(p.values[1])]  # type: ignore[union-attr]


@pytest.mark.parametrize(("family", "example"), _decoding())
def test_token_by_token_is_the_whole_text(family: str, example: Any) -> None:
    """A prompt, then one by one; and what is kept weighs what `size` says."""
    spec = MODELS[family]
    assert spec.decode is not None
    decode, cfg, rows, length = spec.decode, spec.resolve(example, VOCAB), 2, 6
    consts = device_consts(spec, cfg, VOCAB)
    params = random_params(spec, cfg, consts, seed=1)
    tokens = jnp.asarray(np.random.default_rng(2).integers(0, VOCAB, (rows, length)), jnp.int32)
    assert (decode.context(cfg) or length) >= length

    def run(params: Any, tokens: Any) -> Any:
        weights, kept, found = decode.weights(cfg, params), decode.start(cfg, rows, length), []
        step = jax.jit(partial(decode.step, cfg))  # traced once for the two single tokens
        for cut in (slice(0, 4), slice(4, 5), slice(5, 6)):
            logits, kept = step(weights, consts, kept, tokens[:, cut])
            found.append(logits)
        return jnp.stack(found, axis=1), whole_logits(spec, cfg, params, consts, tokens)

    found, whole = quick(run, params, tokens)
    assert found.dtype == jnp.float32
    same(found, whole[:, 3:])

    def weight(rows: int, capacity: int) -> int:
        kept = jax.eval_shape(lambda: decode.start(cfg, rows, capacity))
        return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(kept))

    fixed, each = decode.size(cfg)
    assert weight(5, 7) - weight(4, 7) == fixed + 7 * each and fixed + each > 0


@EVERY
def test_states_of_every_layer_by_token(family: str, example: Any) -> None:
    """Padding changes nothing within a text, a causal state nothing that follows, and each layer adds to the last."""
    spec = MODELS[family]
    assert spec.encode is not None
    encode, cfg = spec.encode, spec.resolve(example, VOCAB)
    consts = device_consts(spec, cfg, VOCAB)
    params = random_params(spec, cfg, consts, seed=1)
    rng = np.random.default_rng(2)
    tokens, lengths = rng.integers(0, VOCAB, (3, 6)).astype(np.int32), np.array([6, 4, 2], np.int32)
    other = np.where(np.arange(6)[None] < lengths[:, None], tokens, (tokens + 7) % VOCAB)  # beyond the end
    later = tokens.copy()
    later[:, 3] = (tokens[:, 3] + 1) % VOCAB
    full = np.full(3, 6, np.int32)
    texts, ends = np.concatenate([tokens, other, tokens, later]), np.concatenate([lengths, lengths, full, full])
    states = quick(lambda p, t, n: encode.states(cfg, p, consts, t, n), params, texts, ends)
    first, padded, whole, moved = ([np.asarray(x[at : at + 3]) for x in states] for at in (0, 3, 6, 9))
    assert len(first) == encode.layers(cfg) + 1
    assert all(x.shape[:2] == (3, 6) and x.ndim == 3 for x in first)
    for a, b in zip(first, padded, strict=True):
        for row, n in enumerate(lengths):
            np.testing.assert_allclose(a[row, :n], b[row, :n], atol=1e-5)
    assert not np.allclose(whole[-1][:, 3:], moved[-1][:, 3:])
    np.testing.assert_array_equal(whole[0][:, :3], moved[0][:, :3])
    before = [np.allclose(a[:, :3], b[:, :3], atol=1e-6) for a, b in zip(whole, moved, strict=True)]
    assert all(before) == (encode.causal(cfg) or len(first) == 1), before
    if encode.attention is not None:
        looks = quick(lambda p, t: encode.attention(cfg, p, consts, t, lengths), params, tokens)
        assert len(looks) == encode.layers(cfg)
        for look in looks:
            assert look.shape[0::2] == (3, 6) and look.shape[3] == 6 and look.dtype == jnp.float32
            np.testing.assert_allclose(np.asarray(look)[2, :, :2, :2].sum(-1), 1.0, rtol=1e-5)
    if spec.classify is not None:
        logits = quick(lambda p, t: spec.classify(cfg, p, consts, t, lengths), params, other)
        assert logits.shape == (3, cfg.classes) and np.isfinite(logits).all()
