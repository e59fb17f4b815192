"""The sides of `benchmarks.topics`: each trains and hands its topics out as it goes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from w2v_jax.data import documents

ALPHA, ETA = 0.1, 0.01  # priors of all sides
OURS = ("vb", "cvb0", "gibbs")
SIDES = (*OURS, "sklearn", "gensim", "tomotopy")
Options = dict[str, Any]
Take = Callable[[Any], None]  # takes topics [K, V] that are the result so far
SETTINGS: dict[str, dict[str, Any]] = {  # options of each side that are not the defaults of `ours` and the others
    "vb": {"sweeps": 10, "batch": 1024, "kappa": 0.6, "tau": 4.0},
    "cvb0": {"sweeps": 30, "warm": True, "inner": 3, "batch": 256},
    "gibbs": {"sweeps": 100, "batch": 4096},
    "sklearn": {"passes": 8},
    "gensim": {"passes": 6},
    "tomotopy": {"sweeps": 300},
}


def split(file: Path, name: str) -> tuple[Any, int]:
    """A split with `tokens` and `offsets`; and the size of the vocabulary."""
    held = np.load(file)
    return SimpleNamespace(tokens=held[f"{name}_tokens"], offsets=held[f"{name}_offsets"]), len(held["words"])


def ours(method: str, text: Any, vocab: int, topics: int, seed: int, options: Options, take: Take) -> dict[str, Any]:
    """Our family, by its own functions. The seconds hold all compiling, which a second start then leaves out."""
    import jax

    from w2v_jax.models import lda

    none = SimpleNamespace(tokens=text.tokens[:0], offsets=np.zeros(1, int))
    settings: Options = {"alpha": ALPHA, "eta": ETA, "fit_alpha": "no", "fit_eta": False} | options
    cfg = lda.LDAConfig(topics=topics, method=method, vocab_size=vocab, **settings)
    work = lda.prepare(cfg, SimpleNamespace(train=text, heldout=none), seed, jax.local_devices())

    def sweep(state: Any) -> Any:
        for _ in range(work.steps):
            state, _ = lda.advance(cfg, work, state)
        return jax.block_until_ready(state)

    began = time.perf_counter()
    state = sweep(work.start(seed))
    cold = time.perf_counter() - began
    for number in range(cfg.sweeps):
        state = sweep(state) if number else state
        take(lambda state=state: np.asarray(lda.params(cfg, state)["topics"]))
    began = time.perf_counter()
    sweep(work.start(seed))
    warm = time.perf_counter() - began
    return {"version": f"jax {jax.__version__}, {len(jax.devices())} CPU devices", "compiling": cold - warm}


def sklearn(text: Any, vocab: int, topics: int, seed: int, options: Options, take: Take) -> dict[str, Any]:
    import sklearn
    from sklearn.decomposition import LatentDirichletAllocation

    rows = documents.counts(text, vocab)
    passes = options.pop("passes", 12)
    settings = {"batch_size": 1024, "n_jobs": 1} | options
    model = LatentDirichletAllocation(
        topics,
        doc_topic_prior=ALPHA,
        topic_word_prior=ETA,
        learning_method="online",
        random_state=seed,
        total_samples=rows.shape[0],
        **settings,
    )
    for _ in range(passes):
        model.partial_fit(rows)
        take(lambda: model.components_ / model.components_.sum(1, keepdims=True))
    return {"version": f"scikit-learn {sklearn.__version__}"}


def gensim(text: Any, vocab: int, topics: int, seed: int, options: Options, take: Take) -> dict[str, Any]:
    import gensim
    from gensim.models import LdaMulticore

    rows = documents.counts(text, vocab)
    corpus = [
        list(zip(rows.indices[a:b].tolist(), rows.data[a:b].tolist(), strict=True))
        for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    ]
    passes = options.pop("passes", 12)

    class Watched(LdaMulticore):  # type: ignore[misc]  # gensim has no types
        def do_mstep(self, *given: Any, **named: Any) -> None:
            super().do_mstep(*given, **named)
            take(lambda: self.get_topics())

    Watched(
        corpus,
        num_topics=topics,
        id2word={i: str(i) for i in range(vocab)},
        workers=2,
        passes=passes,
        alpha=[ALPHA] * topics,
        eta=ETA,
        random_state=seed,
        eval_every=None,
        **options,
    )
    return {"version": f"gensim {gensim.__version__}"}


def tomotopy(text: Any, vocab: int, topics: int, seed: int, options: Options, take: Take) -> dict[str, Any]:
    import tomotopy

    sweeps, every = options.pop("sweeps", 300), options.pop("every", 10)
    model = tomotopy.LDAModel(k=topics, alpha=ALPHA, eta=ETA, seed=seed, **options)
    model.optim_interval = 0
    for a, b in zip(text.offsets[:-1], text.offsets[1:], strict=True):
        if b > a:
            model.add_doc([str(w) for w in text.tokens[a:b]])
    model.train(0)
    place = np.array([int(w) for w in model.used_vocabs])

    def matrix() -> np.ndarray:
        found = np.zeros((topics, vocab))
        found[:, place] = [model.get_topic_word_dist(k) for k in range(topics)]
        return found

    for _ in range(sweeps // every):
        model.train(every, workers=2)
        take(matrix)
    return {"version": f"tomotopy {tomotopy.__version__} ({tomotopy.isa})"}


def side(name: str, file: Path, topics: int, seed: int, options: Options, out: Path) -> None:
    """One side in this process: writes its snapshots to `out`, prints their seconds as one JSON line."""
    if name in OURS:
        import jax

        jax.config.update("jax_num_cpu_devices", 2)
    text, vocab = split(file, "train")
    snapshots, seconds, processor = [], list[float](), list[float]()
    paused = cpu_paused = 0.0
    start, cpu_start = time.perf_counter(), time.process_time()

    def take(get: Callable[[], np.ndarray]) -> None:
        nonlocal paused, cpu_paused
        topics_now = None
        now, cpu = time.perf_counter(), time.process_time()
        if not seconds or now - start - paused > 1.08 * seconds[-1]:
            topics_now = np.asarray(get(), np.float32)
            seconds.append(now - start - paused)
            processor.append(cpu - cpu_start - cpu_paused)
            snapshots.append(topics_now)
        paused += time.perf_counter() - now
        cpu_paused += time.process_time() - cpu

    if name in OURS:
        about = ours(name, text, vocab, topics, seed, options, take)
    else:
        about = {"sklearn": sklearn, "gensim": gensim, "tomotopy": tomotopy}[name](
            text, vocab, topics, seed, options, take
        )
    np.save(out, np.stack(snapshots))
    print(json.dumps(about | {"seconds": seconds, "processor": processor}))
