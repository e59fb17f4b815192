"""LSTM language model on the Penn Treebank: the "small" recipe of Zaremba et al. 2014 (arXiv 1409.2329).

    python -m experiments.train --config=configs/ptb.py --workdir=runs/ptb \
        --config.data.source=text:ptb.train.txt --config.data.heldout_source=text:ptb.valid.txt \
        --config.data.test_source=text:ptb.test.txt
    python -m experiments.evaluate --workdir=runs/ptb

2 layers of 200 units, no dropout, 20 lanes of 20 tokens, plain SGD: 4 passes at the full rate, halved at each of the 9
that follow, gradient norm clipped. The published rate 1 and norm 5 are for losses summed over the 20 steps; here a loss
is a mean, so they are 20 and 0.25. Files are those of Mikolov's preparation, plain or .xz, one sentence a line.

Hardware: 2 CPU cores, about 25 minutes. Test perplexity 107.4 from the checkpoint with the lowest validation loss,
after 6 of the 13 passes (docs/benchmarks_language.md); the published figure is 114.5.
"""

from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig


def get_config() -> Config:
    """Words as they stand, `<unk>` among them, `<eos>` after each line."""
    return Config(
        family="recurrent_lm",
        model=RecurrentLMConfig(cell="lstm", layers=2, hidden=200, dim=200, length=20, init_scale=0.1),
        data=DataConfig(
            source="text:ptb.train.txt",
            heldout_source="text:ptb.valid.txt",
            test_source="text:ptb.test.txt",
            tokens="whitespace",
            lowercase=False,
            min_count=1,
            unknown="error",
            end_token="<eos>",
        ),
        train=TrainConfig(batch_size=20, passes=13.0, steps_per_call=50),
        optimizer=OptimizerConfig(
            dense="sgd", learning_rate=20.0, schedule="step", hold_passes=4, decay=0.5, clip_norm=0.25
        ),
        checkpoint=CheckpointConfig(every_steps=2400),
        log=LogConfig(every_steps=100, eval_steps=0),
    )
