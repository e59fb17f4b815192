"""Opens a trained model from its run folder, without the text it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from w2v_jax.config import Config
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.family import Family
from w2v_jax.models import MODELS
from w2v_jax.recorded import differences, freeze, load, to_dict
from w2v_jax.train.applied import Applied, applied
from w2v_jax.train.checkpoint import Checkpointer
from w2v_jax.train.device import here
from w2v_jax.train.fingerprint import fingerprint
from w2v_jax.train.folder import CHECKPOINTS, CONFIG, RESULT, TOKENIZER, best_of, tell_gone
from w2v_jax.train.logs import tell
from w2v_jax.train.programs import placed
from w2v_jax.types import Consts, Params, Words


class Model(NamedTuple):
    """A trained model, ready to be applied."""

    spec: Family
    config: Config
    cfg: Any  # the family's config, resolved
    params: Params
    consts: Consts
    tokenizer: Tokenizer
    step: int  # of the checkpoint
    corpus: str | None = None  # digest of the text and how it is cut, where the checkpoint says it
    best_of: int | None = None  # steps of the finished run of which `step` is the best by held-out loss

    @property
    def applied(self) -> Applied:
        """Its compiled functions: losses of tokens, states, labels, generated text."""
        return applied(self.spec, self.cfg)


def check_forward(model: Model, what: str) -> None:
    """UserError: `what` needs a model that reads from the left, and this one was trained on reversed text."""
    if model.config.data.reversed:
        raise UserError(f"{what}: the run has data.reversed=True, its model reads from the right; choose another run")


def _tell_unfinished(workdir: Path, step: int, meta: Mapping[str, Any]) -> None:
    """Notes that a run whose checkpoint of `step`, with its `meta`, is used has not ended."""
    total = meta.get("stop_step")  # older checkpoints do not say it
    tell(f"note: {workdir}: not finished: step {step:,}" + (f" of {total:,}" if total else ""))


def _check_belongs(
    workdir: Path, step: int, meta: Mapping[str, Any], config: Config, tokenizer: Tokenizer, consts: Consts
) -> None:
    """UserError: the checkpoint of `step`, with its `meta`, is of another config, vocabulary or other constants."""
    keys = differences(to_dict(freeze(meta["config"], MODELS)), to_dict(config))
    if keys:
        raise UserError(
            f"{workdir / CHECKPOINTS / str(step)}: its config differs from {CONFIG} in {', '.join(keys)}: "
            "not of the same run; restore either"
        )
    if meta.get("tokenizer") != tokenizer.digest:
        raise UserError(
            f"{workdir / 'tokenizer.json'}: another tokeniser or vocabulary than checkpoint {step} was trained with; "
            "restore the run's own tokenizer.json and vocab.txt"
        )
    if meta["consts"] != fingerprint(consts):
        what = ", ".join(consts) or "none"
        raise UserError(
            f"{workdir / CHECKPOINTS / str(step)}: was trained with other constants than are found here ({what}); "
            "restore the files that the config names"
        )


def open_model(workdir: Path) -> Model:
    """A run's best checkpoint by held-out loss, or the newest where none was scored, on this process's first device.
    One that is damaged or gone gives a warning and way to the next best. Of a run that has not ended it is the newest,
    with a note.

    UserError: no run there, or none with a checkpoint and a tokeniser yet; a checkpoint of another config, model or
    vocabulary, or trained with other constants (such as word vectors); damaged files.
    """
    config = load(workdir / CONFIG, MODELS)
    if config is None:
        raise UserError(f"--workdir={workdir}: holds no run (no {CONFIG}); name the folder of a training run")
    for name in (*TOKENIZER, CHECKPOINTS):
        if not (workdir / name).exists():
            again = "the run's own command continues it, or writes that again"
            raise UserError(f"--workdir={workdir}: holds a run without {name}; {again}")
    tokenizer = Tokenizer.load(workdir)
    spec = MODELS[config.family]
    cfg = placed(spec, spec.resolve(config.model, tokenizer.size), jax.local_devices()[0].platform)
    words = Words(tokenizer.vocab.words, tokenizer.vocab.counts)
    consts = jax.tree.map(jnp.asarray, spec.consts(cfg, words))
    ended = (workdir / RESULT).is_file()
    with Checkpointer(workdir / CHECKPOINTS, read_only=True) as checkpoints:
        best, last = best_of(workdir, checkpoints.latest_meta() or {}), checkpoints.latest_step()
        if ended:
            tell_gone(checkpoints, best)
        restore = checkpoints.restore_best if ended else checkpoints.restore_part
        found = restore("params", here(spec.arrays(cfg)))
    if found is None:
        raise UserError(f"{workdir / CHECKPOINTS}: no checkpoint; the run's own command continues it")
    step, params, meta = found
    _check_belongs(workdir, step, meta, config, tokenizer, consts)
    if not ended:
        _tell_unfinished(workdir, step, meta)
    steps = last if ended and step == best else None
    return Model(spec, config, cfg, params, consts, tokenizer, step, meta.get("corpus"), steps)
