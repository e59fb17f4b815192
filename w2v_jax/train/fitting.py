"""Runs of families that are fitted in sweeps over the whole text: as `w2v_jax.train.loop`, with sweeps for steps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from w2v_jax.config import Config, to_dict
from w2v_jax.errors import Diverged, Interrupted
from w2v_jax.train import folder
from w2v_jax.train.device import all_finite, here, largest
from w2v_jax.train.fingerprint import fingerprint
from w2v_jax.train.logs import Record
from w2v_jax.train.prepare import check_same_text
from w2v_jax.train.stop import signals
from w2v_jax.types import Family, Say, Words


def fit(family: Family, config: Config, workdir: Path, say: Say) -> dict[str, Any]:
    """Makes all remaining sweeps, saves after each and finishes the run folder; returns and raises as `loop.train`."""
    part = family.fit
    assert part is not None
    text = family.text(config.model, config.data, say)
    check_same_text(text.digest)
    cfg = family.resolve(config.model, len(text.vocab.words))
    consts = family.consts(cfg, Words(text.vocab.words, text.vocab.counts))
    last = min(part.sweeps(cfg), config.train.max_steps or part.sweeps(cfg))
    fixed = {"corpus": text.digest, "tokenizer": text.tokenizer.digest, "consts": fingerprint(consts)}
    seconds, metrics = 0.0, dict[str, float]()
    with folder.opened(workdir, config, last, float(last)) as (checkpoints, log), signals() as seen:
        state = part.start(cfg, text, config.train.seed)
        target = here({"params": part.params(cfg, state), "fit": state})
        written: str | None = None  # digest of the log
        step, found = 0, checkpoints.restore(target, lambda meta: folder.check_fixed(workdir, meta, fixed))
        if found is not None:
            step, state, meta = found[0], found[1]["fit"], found[2]
            seconds, metrics, written = meta["seconds"], meta["metrics"], meta.get("log")
            log.note(f"continuing at sweep {step:,} of {last:,}")
        log.truncate_after(step, written)
        while step < last:
            began = time.perf_counter()
            state, metrics = part.advance(cfg, text, state)
            step, seconds = step + 1, seconds + time.perf_counter() - began
            if not all_finite(state):
                raise Diverged(f"the state is not finite after sweep {step:,}; the sweep before is saved in {workdir}")
            extra = {name: value for name, value in metrics.items() if name not in ("loss", "heldout_loss")}
            held = metrics.get("heldout_loss")
            log.write(Record(step, float(step), metrics.get("loss"), held, seconds=seconds), extra)
            meta = fixed | {"seconds": seconds, "metrics": metrics, "config": to_dict(config), "log": log.digest}
            number = largest(seen[0] if seen else 0)
            tree = {"params": part.params(cfg, state), "fit": state}
            checkpoints.save(step, tree, meta, held, step == last or bool(number))
            if number and step < last:
                raise Interrupted(step, number)
    matrices = {} if family.embed is None else family.embed(cfg, part.params(cfg, state))
    own = {"family": config.family, "steps": step, "passes": float(step), "seconds": seconds, **metrics}
    result = folder.finish(workdir, text, matrices, own | folder.about(config, text))
    if seen:
        raise Interrupted(step, seen[0])
    return result
