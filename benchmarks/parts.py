"""Times the functions that a training step is made of, each jitted by itself on batches of the real text."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

STEPS = 32  # distinct batches that are timed
PARTS = ("draws", "gather", "windows", "positives", "negatives", "sum", "scatter")


class Case(NamedTuple):
    """One setting with its corpus, ready to time."""

    config: Any
    cfg: Any  # resolved model config
    corpus: Any
    consts: Any
    source: Any
    batches: list[dict[str, Any]]  # on the device, one step each
    stack: dict[str, Any]  # the same, stacked
    kept: float  # centres a step
    host_us: float  # of making batches: wall time a kept word, nothing else running
    host_cpu_us: float  # processor time of the same


def prepare(config_file: str, replace: dict[str, Any], repeats: int) -> Case:
    """Builds the corpus, takes STEPS batches of it, and times the making of batches."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from experiments.common.config_flag import load_config
    from w2v_jax.data.corpus import build_corpus
    from w2v_jax.models import MODELS
    from w2v_jax.types import Words

    config = load_config(config_file, **replace)
    spec = MODELS[config.family]
    corpus = build_corpus(config.data)
    cfg = spec.resolve(config.model, len(corpus.vocab))
    source = spec.trained.source(cfg, corpus, "train", config.train.batch_size, 0)
    steps = min(STEPS, source.steps_per_epoch)
    stack = next(source.iterate(0, steps, steps))
    width = cfg.window
    centres = stack["doc"][..., width : stack["doc"].shape[-1] - width]
    kept = float((centres >= 0).sum()) / steps
    wall, cpu = [], []
    stop = min(source.steps_per_epoch, 8 * config.train.steps_per_call)
    for seed in range(repeats):  # a fresh source each, so that planning an epoch is in the time
        fresh = spec.trained.source(cfg, corpus, "train", config.train.batch_size, seed)
        begin, busy = time.perf_counter(), time.process_time()
        words = 0
        for made in fresh.iterate(0, stop, config.train.steps_per_call):
            words += int((made["doc"][..., width : made["doc"].shape[-1] - width] >= 0).sum())
        wall.append((time.perf_counter() - begin) / words * 1e6)
        cpu.append((time.process_time() - busy) / words * 1e6)
    rows = jnp.arange(next(iter(stack.values())).shape[1], dtype=jnp.int32)
    batches = [{k: jnp.asarray(v[i]) for k, v in stack.items()} | {"row": rows} for i in range(steps)]
    vocabulary = Words(corpus.vocab.words, corpus.vocab.counts)
    vocabulary = Words(corpus.vocab.words, corpus.vocab.counts)
    consts = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), spec.consts(cfg, vocabulary))
    whole = {k: jnp.asarray(v) for k, v in stack.items()}
    return Case(
        *(config, cfg, corpus, consts, source, batches, whole, kept),
        *(min(wall), min(cpu)),
    )


def clock(step: Callable[[int], Any], count: int, repeats: int) -> float:
    """Seconds of one `step(i)`: the best of `repeats` rounds over i in range(count), after one to warm up."""
    import jax

    best = float("inf")
    for round_ in range(repeats + 1):
        begin = time.perf_counter()
        out = None
        for i in range(count):
            out = step(i)
        jax.block_until_ready(out)
        if round_:
            best = min(best, (time.perf_counter() - begin) / count)
    return best


def pieces(cfg: Any) -> dict[str, Callable[..., Any]]:
    """The two halves of the loss with their gradients, and the weights of the windows, as the model computes them.

    'positives' and 'negatives' are functions of (E rows, C rows, weights) -> gradients. CBOW's hidden vectors belong to
    its positives; its negatives take the place of them as an array.
    """
    import jax
    import jax.numpy as jnp

    from w2v_jax.losses import scale_forward, shared_noise, softplus, window_scores, window_sum, window_weights

    window, outward = cfg.window, cfg.architecture == "skipgram"

    def weigh(batch: Any) -> Any:
        return window_weights(batch["doc"], batch["reach"], window=window, draw=cfg.draw)

    def positive(inputs: Any, outputs: Any, weights: Any) -> Any:
        length = weights.shape[1]
        if outward:
            scores = window_scores(inputs, outputs[:, : length + 2 * window], window)
            return jnp.sum(weights * softplus(-scores))
        size = weights.sum(-1)
        hidden = scale_forward(window_sum(inputs, weights), 1.0 / jnp.maximum(size, 1.0)[..., None])
        return jnp.sum((size > 0) * softplus(-jnp.sum(hidden * outputs[:, :length], axis=-1)))

    def negative(inputs: Any, outputs: Any, weights: Any) -> Any:
        length = weights.shape[1]
        size = weights.sum(-1)
        if outward:
            return shared_noise(inputs, outputs[:, length + 2 * window :], size, cfg.negatives, cfg.noise_every)
        hidden, counted = inputs[:, window : window + length], (size > 0).astype(jnp.float32)
        return shared_noise(hidden, outputs[:, length:], counted, cfg.negatives, cfg.noise_every)

    return {
        "windows": jax.jit(weigh),
        "positives": jax.jit(jax.value_and_grad(positive, (0, 1))),
        "negatives": jax.jit(jax.value_and_grad(negative, (0, 1))),
    }


def time_parts(case: Case, repeats: int) -> dict[str, float]:
    """Seconds of a step by part (PARTS), the parts alone."""
    import jax

    from w2v_jax.models import MODELS
    from w2v_jax.train.gradients import gather_rows

    spec, cfg, count = MODELS[case.config.family], case.cfg, len(case.batches)
    params = random_params(case)
    draw = jax.jit(lambda consts, batch: spec.trained.rows(cfg, consts, batch, jax.random.key(0)))
    ids = [draw(case.consts, batch)[0] for batch in case.batches]
    gather = jax.jit(gather_rows)
    rows = gather(params, ids[0])
    run = pieces(cfg)
    weights = [run["windows"](batch) for batch in case.batches]

    def loss(name: str) -> float:
        return clock(lambda i: run[name](rows["E"], rows["C"], weights[i]), count, repeats)

    return {
        "draws": clock(lambda i: draw(case.consts, case.batches[i]), count, repeats),
        "gather": clock(lambda i: gather(params, ids[i]), count, repeats),
        "windows": clock(lambda i: run["windows"](case.batches[i]), count, repeats),
        "positives": loss("positives"),
        "negatives": loss("negatives"),
        **time_optimizer(case, params, ids, repeats),
    }


def random_params(case: Case) -> dict[str, Any]:
    """Tables as the model's, but random in every entry: at the start one of them is 0."""
    import jax

    from w2v_jax.models import MODELS

    init = MODELS[case.config.family].trained.init
    made = jax.jit(lambda consts: init(jax.random.key(0), case.cfg, consts))(case.consts)
    return {k: 0.1 * jax.random.normal(jax.random.key(i), v.shape) for i, (k, v) in enumerate(made.items())}


def time_optimizer(case: Case, params: dict[str, Any], ids: list[Any], repeats: int) -> dict[str, float]:
    """Seconds of a step for both tables: summing duplicate rows, and the rest of the update."""
    import jax
    import jax.numpy as jnp

    from w2v_jax.nn.segments import sum_duplicates
    from w2v_jax.train import rows

    count, kind = len(ids), case.config.optimizer.rows
    out = {"sum": 0.0, "scatter": 0.0}
    for name, table in params.items():
        size = table.shape[0]
        flat = [step[name].reshape(-1) for step in ids]
        grads = 1e-3 * jax.random.normal(jax.random.key(9), (flat[0].size, table.shape[1]))
        total = jax.jit(lambda index, grads, size=size: sum_duplicates(index, grads, size))
        update = jax.jit(
            lambda table, state, index, grads: rows.update(kind, table, state, index, grads, jnp.float32(1e-3)),
            donate_argnums=(0, 1),
        )
        held: list[Any] = [jnp.array(table), rows.init(kind, table)]  # donated: a copy of the table

        def step(i: int, held: list[Any] = held, flat: Any = flat, grads: Any = grads, update: Any = update) -> Any:
            held[:] = update(held[0], held[1], flat[i], grads)
            return held[0]

        def add(i: int, flat: Any = flat, grads: Any = grads, total: Any = total) -> Any:
            return total(flat[i], grads)

        summing = clock(add, count, repeats)
        whole = clock(step, count, repeats)
        out["sum"] += summing
        out["scatter"] += max(0.0, whole - summing)
    return out


def time_step(case: Case, repeats: int) -> float:
    """Seconds of a step inside the call that training makes."""
    import jax.numpy as jnp
    import numpy as np

    from w2v_jax.train.optimizers import Horizon
    from w2v_jax.train.programs import programs
    from w2v_jax.types import Words

    count = len(case.batches)
    config = dataclasses.replace(case.config, train=dataclasses.replace(case.config.train, steps_per_call=count))
    made = programs(config, Words(case.corpus.vocab.words, case.corpus.vocab.counts))
    call = made.training(Horizon(10**6, 10**6), case.consts)
    state = made.start().compile()(case.consts).replace(params=random_params(case))
    stop = jnp.zeros(made.mesh.size, jnp.int32)
    held: list[Any] = [state]

    def one(_: int) -> Any:
        held[0], metrics, _ = call(held[0], case.stack, np.int32(count), stop)
        return metrics

    return clock(one, 1, repeats) / count
