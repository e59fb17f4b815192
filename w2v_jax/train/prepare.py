"""The fixed parts of a run: text, programs, constants, batches and length."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from w2v_jax.config import Config
from w2v_jax.data.corpus import Corpus
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.train.device import place
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import Programs, check_rows, programs
from w2v_jax.train.sharding import make_mesh
from w2v_jax.types import Consts, Say, Source, Words


class Run(NamedTuple):
    """Everything that stays fixed during a run."""

    programs: Programs
    corpus: Corpus
    consts: Consts  # on the devices
    source: Source
    horizon: Horizon
    stop_step: int  # where this run ends

    @property
    def config(self) -> Config:
        return self.programs.config

    @property
    def mesh(self) -> Mesh:
        return self.programs.mesh


def prepare(config: Config, say: Say) -> Run:
    """Reads the corpus and builds the fixed parts. UserError: the config does not fit the corpus or the devices."""
    spec = MODELS[config.family]
    check_rows(spec, config, make_mesh(config.mesh))  # before the text is read
    corpus = spec.text(config.model, config.data, say)
    check_same_text(corpus.digest)
    if config.optimizer.schedule == "plateau" and corpus.heldout.documents == 0:
        raise UserError("optimizer.schedule='plateau': needs held-out text; set data.heldout_every above 1")
    made = programs(config, Words(corpus.vocab.words, corpus.vocab.counts))
    source = spec.trained.source(made.cfg, corpus, "train", config.train.batch_size, config.train.seed)
    consts = jax.tree.map(lambda x: place(made.mesh, x), made.consts)
    length = config.train.passes * source.steps_per_epoch
    if length >= 2**31:  # they are counted in 32 bits
        raise UserError(
            f"train.passes={config.train.passes:g}: makes {length:.3g} steps; at most 2**31 - 1 are possible"
        )
    total = max(1, math.ceil(length))
    stop = min(total, config.train.max_steps or total)
    return Run(made, corpus, consts, source, Horizon(total, source.steps_per_epoch), stop)


def check_same_text(digest: str) -> None:
    """Raises UserError unless every process of the run has read the same text: another would hang in a collective."""
    if jax.process_count() > 1:
        mine = np.uint32(int(digest[:8], 16))
        if len({int(d) for d in multihost_utils.process_allgather(mine)}) > 1:
            raise UserError("data.source: the processes of this run read different texts; give all the same files")
