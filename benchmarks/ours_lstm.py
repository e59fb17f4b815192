"""Our side of the LSTM benchmark: the training step of `experiments.train`, fed ready-made arrays.

    python -m benchmarks.ours_lstm --steps=24

Prints one JSON line. The model is `w2v_jax.models.recurrent_lm`; compilation and the first STACK steps are not timed.
"""

from __future__ import annotations

import json

from benchmarks.our_steps import config_of, timed
from benchmarks.sides import LSTMSizes, Memory, arguments
from w2v_jax.models.recurrent_lm import RecurrentLMConfig


def main() -> None:
    sizes, steps = arguments(LSTMSizes)
    model = RecurrentLMConfig(
        cell="lstm", layers=sizes.layers, hidden=sizes.hidden, dim=sizes.hidden, length=sizes.length
    )
    print(json.dumps(timed(Memory(), config_of("recurrent_lm", model, sizes.batch), sizes, steps)))


if __name__ == "__main__":
    main()
