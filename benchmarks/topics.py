"""LDA beside scikit-learn, gensim and tomotopy on 20 Newsgroups: seconds to equal held-out perplexity, peak memory.

    python -m benchmarks.topics --data=DATA/newsgroups20 --work=/tmp/topics --out=results/topics.json

Each side runs alone in a process, on 2 cores, and takes its topics K x V out as it goes. Its clock stops while it does,
and covers neither reading nor importing. One evaluator scores all topics: see `perplexity`. A peer's level is its
lowest perplexity and 1 %; the seconds of a peer are those until it reaches it, and ours those until we do.

Preprocessing, one for all: subject and body in lower case; words are runs of 3 letters or more; without scikit-learn's
English stop words, words in fewer than 10 training documents and words in more than half of them.
"""

from __future__ import annotations

import argparse
import collections
import json
import lzma
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.measure import Store, run, use_cores
from w2v_jax.data import documents
from w2v_jax.evaluation.topics import completion, halves

ALPHA, ETA = 0.1, 0.01  # priors of all sides
SIDES = ("vb", "cvb0", "gibbs", "sklearn", "gensim", "tomotopy")
OURS = ("vb", "cvb0", "gibbs")
TOLERANCE = 1.01  # of a peer's lowest perplexity: nobody is charged for a flat end
Options = dict[str, Any]
Take = Callable[[Any], None]  # takes topics [K, V] that are the result so far


# ---- text ----


def prepare(data: Path, work: Path) -> Path:
    """Writes both splits as word ids; returns the file."""
    out = work / "newsgroups.npz"
    if out.exists():
        return out
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    def texts(split: str) -> list[list[str]]:
        with lzma.open(data / f"{split}.jsonl.xz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        words = (re.findall("[a-z]+", f"{row['subject']}\n{row['body']}".lower()) for row in rows)
        return [[w for w in some if len(w) > 2 and w not in ENGLISH_STOP_WORDS] for some in words]

    train, test = texts("train"), texts("test")
    spread = collections.Counter(w for text in train for w in set(text))
    words = sorted((w for w, n in spread.items() if 10 <= n <= len(train) / 2), key=lambda w: (-spread[w], w))
    number = {w: i for i, w in enumerate(words)}
    arrays: dict[str, Any] = {"words": np.array(words)}
    for name, some in (("train", train), ("test", test)):
        ids = [[number[w] for w in text if w in number] for text in some]
        arrays[f"{name}_tokens"] = np.array([w for text in ids for w in text], np.uint16)
        arrays[f"{name}_offsets"] = np.append(0, np.cumsum([len(text) for text in ids]))
    work.mkdir(parents=True, exist_ok=True)
    np.savez(out, **arrays)
    return out


def split(file: Path, name: str) -> tuple[Any, int]:
    """A split with `tokens` and `offsets`; and the size of the vocabulary."""
    held = np.load(file)
    return SimpleNamespace(tokens=held[f"{name}_tokens"], offsets=held[f"{name}_offsets"]), len(held["words"])


# ---- sides: each trains and hands its topics out ----


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

    class Watched(LdaMulticore):  # type: ignore[misc]
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


# ---- evaluator ----


def evaluator(test: Any, vocab: int) -> Callable[[np.ndarray], float]:
    """The function topics [K, V] -> perplexity of the second halves of the test documents (every second word).

    A document's mixture comes from its first half: theta_k in proportion to n_k + alpha_k, iterated from an even start
    with the topics as they are. Alpha begins at `ALPHA` for all topics. It is fitted once to the first halves, by
    Minka's fixed point, for each matrix by itself.
    """
    import jax
    import jax.numpy as jnp

    from w2v_jax.data.bags import bags, deal
    from w2v_jax.models import lda_vb
    from w2v_jax.nn.dirichlet import fit_counts

    seen, scored = (
        documents.counts(SimpleNamespace(tokens=t, offsets=o), vocab) for t, o in halves(test.tokens, test.offsets)
    )
    data = bags(seen, deal(np.diff(seen.indptr), 512, 1, 0))
    fit = jax.jit(partial(lda_vb.fit_documents, collapsed=True, most=30, tolerance=2e-3))

    def fold(table: Any, alpha: Any) -> np.ndarray:
        gamma = np.tile(np.asarray(alpha), (seen.shape[0] + 1, 1))
        for words, counts, slot, ids, sizes in zip(*(part[:, 0] for part in data), strict=True):
            tile = lda_vb.Tile(words, counts, slot, sizes)
            gamma[ids] = np.asarray(fit(tile, table, alpha, lda_vb.cold(jnp.asarray(sizes), alpha)).gamma)
        return gamma[:-1]

    def perplexity(topics: np.ndarray) -> float:
        beta = jnp.asarray(topics, jnp.float32).T
        table = beta / jnp.maximum(beta.max(1, keepdims=True), 1e-30)
        alpha = jnp.full(beta.shape[1], ALPHA, jnp.float32)
        alpha = fit_counts(jnp.asarray(fold(table, alpha)) - alpha[None], alpha, False, 50)
        gamma = fold(table, alpha)
        return float(np.exp(completion(gamma / gamma.sum(1, keepdims=True), np.asarray(beta.T, np.float64), scored)))

    return perplexity


def reached(seconds: list[float], perplexities: list[float], level: float) -> float | None:
    """The seconds until a curve is at `level` or below, None where it never is."""
    return next((s for s, p in zip(seconds, perplexities, strict=True) if p <= level), None)


def compare(curves: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each peer its level and the seconds of both sides to it; `warm` leaves out our first sweep's compiling.

    The compiling is what our first sweep took beyond the first sweep of a second start in the same process.
    """
    found = {}
    for peer in (name for name in curves if name not in OURS):
        level = TOLERANCE * min(curves[peer]["perplexity"])
        theirs = reached(curves[peer]["seconds"], curves[peer]["perplexity"], level)
        assert theirs is not None
        row: dict[str, Any] = {"level": level, "seconds": theirs}
        for name in (n for n in OURS if n in curves):
            ours_at = reached(curves[name]["seconds"], curves[name]["perplexity"], level)
            warm = None if ours_at is None else max(ours_at - curves[name]["compiling"], 1e-9)
            row[name] = {"seconds": ours_at, "times": ours_at and theirs / ours_at}
            row[name] |= {"without_compiling": warm, "times_without_compiling": warm and theirs / warm}
        found[peer] = row
    return found


def table(results: dict[str, Any]) -> str:
    """The comparison as lines."""
    lines = []
    for topics, result in results.items():
        for peer, row in result["compared"].items():
            line = f"{topics} topics, {peer}: perplexity {row['level']:.0f} in {row['seconds']:.1f} s"
            for name in OURS:
                at = row.get(name) or {}
                if at.get("seconds") is None:
                    line += f"; {name}: not reached"
                else:
                    line += f"; {name} {at['seconds']:.1f} s ({at['times']:.1f} x; without compiling"
                    line += f" {at['without_compiling']:.1f} s, {at['times_without_compiling']:.1f} x)"
            lines.append(line)
    return "\n".join(lines)


SETTINGS: dict[str, dict[str, Any]] = {  # options of each side that are not the defaults of `ours` and the others
    "vb": {"sweeps": 10, "batch": 1024, "kappa": 0.6, "tau": 4.0},
    "cvb0": {"sweeps": 20, "warm": True, "inner": 20},
    "gibbs": {"sweeps": 100, "batch": 4096},
    "sklearn": {"passes": 8},
    "gensim": {"passes": 6},
    "tomotopy": {"sweeps": 300},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of 20 Newsgroups as train and test .jsonl.xz")
    parser.add_argument("--work", type=Path, required=True, help="folder for the text and the snapshots")
    parser.add_argument("--out", type=Path, help="result file")
    parser.add_argument("--topics", default="20,100")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", help="one side in this process: for the benchmark itself")
    args = parser.parse_args()
    file = prepare(args.data, args.work)
    if args.run:
        name, topics = args.run.split(":")
        side(name, file, int(topics), args.seed, dict(SETTINGS[name]), args.work / f"{name}-{topics}.npy")
        return 0
    use_cores(2)
    store, results = Store(args.work / "runs.jsonl"), {}
    for topics in args.topics.split(","):
        for name in args.sides.split(","):
            key = {"side": name, "topics": int(topics), "seed": args.seed}
            if store.find(key) is None:
                command = [sys.executable, "-m", "benchmarks.topics", f"--data={args.data}", f"--work={args.work}"]
                done = run(
                    [*command, f"--run={name}:{topics}", f"--seed={args.seed}"], args.work / f"{name}-{topics}.log"
                )
                store.add(key, done.result | {"peak_mb": done.peak_mb, "options": SETTINGS[name]})
                print(f"{name}, {topics} topics: {done.seconds:.0f} s", flush=True)
    if not args.out:
        return 0
    test, vocab = split(file, "test")
    perplexity = evaluator(test, vocab)
    for topics in args.topics.split(","):
        curves: dict[str, Any] = {}
        for name in args.sides.split(","):
            record = store.find({"side": name, "topics": int(topics), "seed": args.seed})
            assert record is not None
            scored = {"perplexity": name, "topics": int(topics), "seed": args.seed}
            found = store.find(scored)
            if found is None:
                matrices = np.load(args.work / f"{name}-{topics}.npy")
                found = store.add(scored, {"values": [round(perplexity(matrix), 2) for matrix in matrices]})
            curve = {k: v for k, v in record.items() if k != "key"}
            curves[name] = curve | {"perplexity": found["values"]}
        results[topics] = {"curves": curves, "compared": compare(curves)}
    from experiments.common.machine import machine
    from w2v_jax.files import write_json

    write_json(args.out, {"machine": machine(), "tolerance": TOLERANCE, "alpha": ALPHA, "eta": ETA, "topics": results})
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
