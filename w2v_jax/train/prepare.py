"""The fixed parts of a run: text, programs, constants, batches, length and held-out scoring."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from w2v_jax.config import Config, TrainConfig
from w2v_jax.data.corpus import Corpus
from w2v_jax.data.meeting import together
from w2v_jax.data.unigram import baseline
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train import world
from w2v_jax.train.device import place, send
from w2v_jax.train.estimate import check_memory
from w2v_jax.train.kernel import native
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import Programs, check_rows, programs
from w2v_jax.train.sharding import make_mesh
from w2v_jax.types import Consts, Params, Say, Source, Words


class Run(NamedTuple):
    """Everything that stays fixed during a run."""

    programs: Programs
    corpus: Corpus
    consts: Consts  # on the devices
    source: Source
    horizon: Horizon
    stop_step: int  # where this run ends
    baseline: dict[str, float]  # of the held-out text, see `w2v_jax.data.unigram`; {} for other than language models
    kernel: str  # what makes the steps, native or jax: see `train.kernel`

    @property
    def config(self) -> Config:
        return self.programs.config

    @property
    def mesh(self) -> Mesh:
        return self.programs.mesh


def prepare(config: Config, say: Say) -> Run:
    """Reads the corpus and builds the fixed parts. UserError: the config does not fit the corpus or the devices."""
    spec = MODELS[config.family]
    mesh = make_mesh(config.mesh)
    check_rows(spec, config, mesh)  # before the text is read
    check_memory(spec, config, mesh)
    with together(world.crew()):
        corpus = spec.text(config.model, config.data, say)
    check_same_text(corpus.digest)
    if config.optimizer.schedule == "plateau" and corpus.heldout.documents == 0:
        raise UserError("optimizer.schedule='plateau': needs held-out text; set data.heldout_every above 1")
    if config.train.stop_at and corpus.heldout.documents == 0:
        raise UserError(f"train.stop_at={config.train.stop_at:g}: needs held-out text, of which this run has none")
    words = Words(corpus.vocab.words, corpus.vocab.counts)
    check_memory(spec, config, mesh, words)
    made = programs(config, words)
    by_kernels, warning = native(spec, config, made.cfg, mesh)
    if warning:
        say(warning)
    if config.train.stop_at and "correct" not in _metrics(made):
        raise UserError(
            f"train.stop_at={config.train.stop_at:g}: {config.family} has no held-out accuracy; leave it at 0"
        )
    source = spec.trained.source(made.cfg, corpus, "train", config.train.batch_size, config.train.seed)
    consts = jax.tree.map(lambda x: place(made.mesh, x), made.consts)
    length = config.train.passes * source.steps_per_epoch
    if length >= 2**31:  # they are counted in 32 bits
        raise UserError(
            f"train.passes={config.train.passes:g}: makes {length:.3g} steps; at most 2**31 - 1 are possible"
        )
    total = steps_of(config.train, source.steps_per_epoch)
    stop = min(total, config.train.max_steps or total)
    known = baseline(corpus, "heldout") if spec.score is not None else {}
    if known:
        say(
            f"held-out text: {known['unknown']:.1%} of its tokens are <unk>; by the counts of tokens alone: "
            f"loss {known['unigram_loss']:.4f}, accuracy {known['unigram_accuracy']:.2%}"
        )
    horizon, kernel = Horizon(total, source.steps_per_epoch), "native" if by_kernels else "jax"
    return Run(made, corpus, consts, source, horizon, stop, known, kernel)


def steps_of(train: TrainConfig, steps_per_epoch: int) -> int:
    """Steps of a run on a text of which a pass has `steps_per_epoch`, without `train.max_steps`."""
    return max(1, math.ceil(train.passes * steps_per_epoch))


def _metrics(made: Programs) -> set[str]:
    """Names of what an evaluation measures."""
    program = made.evaluate(1)
    return set(jax.eval_shape(program.function, *program.arguments))


def held_out(run: Run, say: Say) -> Callable[[Params], dict[str, float]]:
    """params -> the means of 'loss' and the family's other metrics, on `log.eval_steps` held-out batches (0: all).

    The batches are read once and kept on the devices, each device holding its own rows. {} without held-out text. A
    metric that counts nothing there is absent, the loss too: no pair or token was scored. `say` takes a warning of it.
    """
    if run.corpus.heldout.documents == 0:
        return lambda params: {}
    spec, train = run.programs.spec, run.config.train
    source = spec.trained.source(run.programs.cfg, run.corpus, "heldout", train.batch_size, train.seed)
    steps = min(source.steps_per_epoch, run.config.log.eval_steps or source.steps_per_epoch)
    (stack,) = source.iterate(0, steps, steps, world.index(), world.count())
    batches, first = send(run.mesh, stack), place(run.mesh, np.int32(0))
    evaluate = run.programs.evaluate(steps).compile()

    def score(params: Params) -> dict[str, float]:
        pairs = jax.device_get(evaluate(params, run.consts, batches, first))
        found = {name: float(total) / float(count) for name, (total, count) in pairs.items() if count}
        if "loss" not in found:
            say("warning: the held-out text has no pair or token to score: there is no held-out loss")
        return found

    return score


def check_same_text(digest: str) -> None:
    """Raises UserError unless every process of the run has read the same text: another would hang in a collective."""
    if world.count() > 1:
        mine = np.uint32(int(digest[:8], 16))
        if len({int(d) for d in multihost_utils.process_allgather(mine)}) > 1:
            raise UserError("data.source: the processes of this run read different texts; give all the same files")
