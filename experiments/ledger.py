"""The parameters of a language model by part, the size of its cache or state, and its FLOPs: for all four ways in which
a transformer shares keys and values, and for all cells of a recurrent model.

  python -m experiments.ledger --config=configs/notes_transformer.py [--vocab=50000] [--config.model.KEY=VALUE ...]
  python -m experiments.ledger --workdir=RUN

The total of a transformer leaves out norms, rows of padding and the mask's row, which have lines of their own; that of
a recurrent model leaves out rows of padding. FLOPs are those of matrix products in training, forward and backward, with
attention over model.length tokens. The size of the vocabulary is that of the run, or of a config model.vocab_size where
it states it (--vocab is refused then), else --vocab, else what data.max_vocab lets in: <eos> and <unk> come on top of
so many words. A text with fewer words has a smaller one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags

from experiments.common import cli, config_flag
from w2v_jax.config import Config, DataConfig
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS, recurrent_lm
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import KEYS_VALUES, TransformerConfig, flops
from w2v_jax.models.transformer_ledger import parameter_ledger
from w2v_jax.nn.arrays import real_size
from w2v_jax.nn.cache import cache_bytes
from w2v_jax.nn.recurrent import CELLS
from w2v_jax.recorded import load
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned
from w2v_jax.train.folder import CONFIG


def full_vocabulary(data: DataConfig) -> int:
    """The tokens of a text with more words than `data.max_vocab`; 0 where that is not set."""
    if not data.max_vocab or data.tokens == "bpe":  # whose end token is one of them
        return data.max_vocab
    return data.max_vocab + bool(data.end_token) + (data.unknown == "keep")


def table(cfg: TransformerConfig) -> str:
    """The ledger of a resolved model, one column per way of sharing."""
    models = [dataclasses.replace(cfg, keys_values=way) for way in KEYS_VALUES]
    ledgers = [parameter_ledger(model) for model in models]
    bytes_of = [cache_bytes(model.stack, model.dtype) for model in models]
    rows = [["parameters", *KEYS_VALUES]]
    rows += [[name.replace("_", " "), *(f"{ledger[name]:,}" for ledger in ledgers)] for name in ledgers[0]]
    rows += [
        [f"cache, bytes per token ({cfg.dtype})", *(f"{n:,}" for n in bytes_of)],
        [f"cache, MiB for {cfg.length:,} tokens", *(f"{n * cfg.length / 2**20:,.1f}" for n in bytes_of)],
        ["times smaller", *(f"{bytes_of[0] / n:.3g}" for n in bytes_of)],
        ["training FLOPs per token", *(f"{flops(model)[0]:,.0f}" for model in models)],
    ]
    return aligned(rows)


def recurrent_table(cfg: RecurrentLMConfig) -> str:
    """The same of a recurrent model, one column per cell: of all that its sizes allow."""
    cells = [cell for cell in CELLS if cfg.dim == cfg.hidden or not CELLS[cell].elementwise]
    models = [dataclasses.replace(cfg, cell=cell) for cell in cells]
    parts = [recurrent_parts(model) for model in models]
    rows = [["parameters", *(model.cell for model in models)]]
    rows += [[name, *(f"{of_cell[name]:,}" for of_cell in parts)] for name in parts[0]]
    rows += [
        ["state, bytes per text", *(f"{recurrent_lm.size(model)[0]:,}" for model in models)],
        ["training FLOPs per token", *(f"{recurrent_lm.flops(model)[0]:,.0f}" for model in models)],
    ]
    return aligned(rows)


def recurrent_parts(cfg: RecurrentLMConfig) -> dict[str, int]:
    """Trained numbers by part, and their 'total'; outside of it 'padding', the rows that round the tables up."""
    tree = recurrent_lm.arrays(cfg)

    def count(part: Any) -> int:
        return sum(real_size(leaf, cfg.vocab_size) for leaf in jax.tree.leaves(part))

    head = tree["head"]
    counts = {
        "embeddings": count(tree.get("embed")),  # 0: given vectors that are not trained
        "layers": count(tree["layers"]),
        "head": count(head.get("table")),
        "biases of the head": count(head["bias"]),
    }
    whole = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
    return counts | {"total": sum(counts.values()), "padding": whole - sum(counts.values())}


def chosen() -> tuple[Config, int]:
    """The config of --config or --workdir, and the size of its vocabulary. UserError: none, both, or no size."""
    f = flags.FLAGS
    if f.workdir is None:
        config = config_flag.parsed(example="configs/notes_transformer.py")
        stated = getattr(config.model, "vocab_size", 0)
        if stated and f.vocab:
            raise UserError(
                f"--vocab={f.vocab}: the config states model.vocab_size={stated}; leave --vocab out, or set "
                "--config.model.vocab_size=0"
            )
        return config, stated or f.vocab or full_vocabulary(config.data)
    for name in ("config", "config.KEY", "vocab"):
        if f[name].present:
            raise UserError(f"--workdir, --{name}: the run has its own; give one of the two")
    folder = to_path(f.workdir)
    found = load(folder / CONFIG, MODELS)
    if found is None:
        raise UserError(f"--workdir={f.workdir}: holds no run (no {CONFIG}); name the folder of a training run")
    return found, Tokenizer.load(folder).size if found.family in TABLES else 0


def of_transformer(cfg: TransformerConfig) -> str:
    """What is printed of a transformer."""
    sizes = f"{cfg.layers} layers of {cfg.dim}, {cfg.heads} heads, {cfg.vocab_size:,} tokens, {cfg.objective}"
    return f"{sizes}\n\n{table(cfg)}"


def of_recurrent(cfg: RecurrentLMConfig) -> str:
    """What is printed of a recurrent model."""
    sizes = f"{cfg.layers} layers of {cfg.hidden}, embeddings of {cfg.dim}, {cfg.vocab_size:,} tokens"
    return f"{sizes}{', tied' if cfg.tied else ''}\n\n{recurrent_table(cfg)}"


TABLES: dict[str, Callable[[Any], str]] = {"transformer": of_transformer, "recurrent_lm": of_recurrent}


def main(argv: Sequence[str]) -> None:
    """Prints the table."""
    config, size = chosen()
    if config.family not in TABLES:
        what = "--config" if flags.FLAGS.workdir is None else "--workdir"
        raise UserError(f"{what}: family {config.family} is no language model; give one of {', '.join(TABLES)}")
    if not size:
        raise UserError("--vocab is missing: the config states neither model.vocab_size nor data.max_vocab")
    print(TABLES[config.family](MODELS[config.family].resolve(config.model, size)))


if __name__ == "__main__":
    config_flag.define()
    flags.DEFINE_string("workdir", None, "Run folder, in the place of a config.")
    flags.DEFINE_integer("vocab", 0, "Tokens of the vocabulary, where the config does not state them.", 0)
    cli.run(main)
