"""A recurrent language model on any text: words of a capped vocabulary, byte pairs or characters.

    python -m experiments.train --config=configs/language.py --workdir=runs/language \
        [--config.data.source=text:FILE|tfds:NAME|pydocs --config.data.tokens=punctuation|bpe|characters \
         --config.data.max_vocab=8192 --config.model.cell=lstm|gru|rnn|elementwise|elementwise_bounded|lstm_elementwise]
    python -m experiments.evaluate --workdir=runs/language

Without options: the documentation of the installed packages (pydocs, no download), 8,192 words, an LSTM of 2 x 256.
WikiText-2: --config.data.source=text:wikitext2.train.txt --config.data.heldout_source=text:wikitext2.valid.txt
--config.data.test_source=text:wikitext2.test.txt --config.data.tokens=whitespace --config.data.unknown=error
--config.data.max_vocab=0. Tiny Shakespeare by characters: --config.data.source=text:tinyshakespeare.txt
--config.data.tokens=characters --config.data.document=blank --config.data.heldout_every=10 --config.data.max_vocab=0.

Hardware: 2 CPU cores, about 20 minutes on an AMD EPYC by the time left that it prints; no result is recorded.
"""

import dataclasses

from configs import recipes
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, TrainConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig


def get_config() -> Config:
    """Every result is also given by word and by byte, so that tokenisers compare."""
    return Config(
        family="recurrent_lm",
        model=RecurrentLMConfig(cell="lstm", layers=2, hidden=256, dim=256, length=64, dropout=0.1, tied=True),
        data=DataConfig(
            source="pydocs", tokens="punctuation", min_count=1, max_vocab=8192, unknown="keep", end_token="<eos>"
        ),
        train=TrainConfig(batch_size=32, passes=3.0, steps_per_call=20),
        optimizer=dataclasses.replace(
            recipes.ADAMW, learning_rate=3e-3, final_fraction=0.1, warmup_steps=100, weight_decay=0.01
        ),
        checkpoint=CheckpointConfig(every_steps=500),
        log=LogConfig(every_steps=20, eval_steps=0),
    )
