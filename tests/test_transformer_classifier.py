"""The transformer classifier: against a forward pass in numpy, and the lengths that its batches are padded to."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.examples import QUICK, labelled_texts, quick, random_params
from tests.transformer_reference import block, norm
from w2v_jax.errors import UserError
from w2v_jax.models.transformer_classifier import FAMILY, TransformerClassifierConfig
from w2v_jax.nn.lengths import at_shortest, equal_lengths

VOCAB, TIME = 30, 9
BASE = TransformerClassifierConfig(
    dim=5, hidden=8, heads=2, wide=2, max_length=TIME, vocab_size=VOCAB, pad_lengths=2, classes=3
)


def forward(cfg: TransformerClassifierConfig, params: Any, words: np.ndarray) -> np.ndarray:
    """Logits of one text by numpy, word by word and without padding; `params` are float64."""
    x = first = params["embed"][words] @ params["project"]
    given = {}
    if "norm_shared" in params:
        normed = norm(first, params["norm_shared"])
        given = {name: normed for name in ("keys", "values") if params[name].ndim == 2}
    for i in range(cfg.layers):
        weights = {name: value[i] for name, value in params["layers"].items()}
        for name in ("keys", "values"):
            weights[name] = params[name] if name in given else params[name][i]
        x = block(x, weights, cfg.heads, False, given)
    s = getattr(norm(x, params["norm"]), cfg.pool)(0)
    return np.asarray(s @ params["head"]["W"] + params["head"]["b"])


@pytest.mark.parametrize(
    ("keys_values", "pool", "loop"),
    [
        ("per_layer", "mean", "unrolled"),
        ("shared_k", "max", "scan"),
        ("shared_v", "max", "scan"),
        ("shared_kv", "mean", "scan"),
    ],
)
def test_the_transformer_is_that_of_numpy(keys_values: str, pool: str, loop: str) -> None:
    cfg = dataclasses.replace(BASE, keys_values=keys_values, pool=pool, loop=loop)
    params, batch = random_params(FAMILY, cfg, {}, seed=8), labelled_texts(5, TIME, VOCAB, 3, seed=0, junk=True)
    batch["label"][3] = -1

    def nats(params: Any) -> float:
        total = 0.0
        for words, length, label in zip(batch["tokens"], batch["length"], batch["label"], strict=True):
            raised = np.exp(forward(cfg, params, words[:length]))
            total -= np.log(raised[label] / raised.sum()) if label >= 0 else 0.0
        return total / 5

    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def run(params: Any) -> Any:
        given = (cfg, params, {}, batch["tokens"], batch["length"])
        found = jax.value_and_grad(lambda p: FAMILY.trained.loss(cfg, p, {}, {}, batch, None)[0])(params)
        return *found, FAMILY.classify(*given), FAMILY.encode.attention(*given)  # type: ignore[misc, union-attr]

    value, grads, logits, looks = quick(run, params)
    np.testing.assert_allclose(value, nats(exact), rtol=1e-5)
    leaves, tree = jax.tree.flatten(exact)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(exact)]
    rng = np.random.default_rng(9)
    for place, (name, grad) in enumerate(zip(names, jax.tree.leaves(grads), strict=True)):
        way = rng.standard_normal(grad.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [x + step * way if i == place else x for i, x in enumerate(leaves)]
            ends.append(nats(jax.tree.unflatten(tree, moved)))
        np.testing.assert_allclose((grad * way).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-3, atol=1e-5, err_msg=name)
    for row, n in enumerate(batch["length"]):
        np.testing.assert_allclose(logits[row], forward(cfg, exact, batch["tokens"][row, :n]), atol=1e-4)
        weights = np.asarray(looks[1][row, :, :n])
        np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
        assert (weights[..., :n] > 0).all() and not weights[..., n:].any(), "both ways, and never beyond the end"


def test_the_shortest_length_that_holds_a_batch_is_taken() -> None:
    assert equal_lengths(400, 4) == (100, 200, 300, 400) and equal_lengths(3, 8) == (1, 2, 3)
    lengths = equal_lengths(10, 3)
    assert lengths == (4, 7, 10)

    def work(length: int, params: Any, inputs: jax.Array) -> Any:
        return length * (params["w"] * inputs[:length].sum()).sum(), jnp.int32(length)

    def read(params: Any, needed: jax.Array) -> Any:
        value, length = at_shortest(work, lengths, needed, params, jnp.ones(10))
        return 3.0 * value, length

    params = {"w": jnp.array([2.0, 5.0])}
    run, plain = (
        jax.jit(fn).lower(params, np.int32(0)).compile(compiler_options=QUICK)
        for fn in (jax.value_and_grad(read, has_aux=True), read)
    )
    for needed, length in ((0, 4), (4, 4), (5, 7), (7, 7), (8, 10), (10, 10)):
        (value, got), grads = run(params, np.int32(needed))
        assert int(got) == length and float(value) == 3 * 7 * length**2
        np.testing.assert_array_equal(grads["w"], [3 * length**2] * 2)
        assert float(plain(params, np.int32(needed))[0]) == float(value), "the same without a gradient"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool": "last"}, "model.pool='last': must be one of mean, max"),
        ({"keys_values": "shared"}, "model.keys_values='shared': must be one of"),
        ({"heads": 3}, "model.heads=3: does not divide model.hidden=8"),
        ({"heads": 8}, "model.heads=8: makes heads 1 wide; rotary positions need an even width"),
        ({"pad_lengths": 0}, "model.pad_lengths=0: must be at least 1"),
        ({"loop": "while"}, "model.loop='while'"),
        ({"classes": 1}, "model.classes=1: must be at least 2"),
    ],
)
def test_impossible_options(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(BASE, **change)
