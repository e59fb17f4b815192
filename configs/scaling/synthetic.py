"""The small study, whose answer is known: a generated language, and the loss of its best possible predictions.

    python -m experiments.scaling

Hardware: 2 CPU cores, about 10 minutes.
"""

import ml_collections

from w2v_jax.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    LogConfig,
    MeshConfig,
    OptimizerConfig,
    SyntheticConfig,
    TrainConfig,
)
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Arm, Study, editable

TOKENS = (80_000, 240_000, 720_000, 2_160_000)


def run(family: str, model: object, rate: float) -> Config:
    """What the runs of an arm have in common."""
    return Config(
        family=family,
        model=model,
        train=TrainConfig(batch_size=4, steps_per_call=64),
        optimizer=OptimizerConfig(
            dense="adamw",
            learning_rate=rate,
            schedule="cosine",
            final_fraction=0.02,
            warmup_steps=30,
            clip_norm=1.0,
            beta2=0.98,
        ),
        checkpoint=CheckpointConfig(every_steps=100_000, keep=1),
        log=LogConfig(every_steps=256, eval_every_steps=1_000_000, eval_steps=0, tensorboard=False),
        mesh=MeshConfig(data=1),
    )


def get_config() -> ml_collections.ConfigDict:
    """Transformer and LSTM over a full grid; the elementwise RNN and shared keys and values at three sizes."""
    transformer = TransformerConfig(layers=2, heads=2, dim=16, length=64, init_scale=0.05)
    shared = TransformerConfig(layers=2, heads=2, dim=16, length=64, init_scale=0.05, keys_values="shared_kv")
    lstm = RecurrentLMConfig(cell="lstm", layers=1, hidden=16, dim=16, tied=True, length=64, forget_bias=1.0)
    elementwise = RecurrentLMConfig(cell="elementwise", layers=1, hidden=16, dim=16, tied=True, length=64)
    both = " model.hidden="
    return editable(
        Study(
            data=DataConfig(
                source="synthetic",
                heldout_source="synthetic:heldout",
                tokens="whitespace",
                end_token=".",
                min_count=1,
                unknown="error",
                synthetic=SyntheticConfig(
                    words=500,
                    topics=4,
                    switch=1.0,
                    senses=20,
                    distances="1,2,4,8",
                    tokens=1_700_000,
                    heldout_tokens=50_000,
                ),
            ),
            tokens=TOKENS,
            window=64,
            optimum=True,
            arms={
                "transformer": Arm(
                    run("transformer", transformer, 5e-3),
                    ("model.dim=8", "model.dim=16", "model.dim=32", "model.dim=64"),
                ),
                "lstm": Arm(
                    run("recurrent_lm", lstm, 1e-2),
                    tuple(f"model.dim={d}{both}{d}" for d in (8, 16, 32, 64)),
                ),
                "elementwise": Arm(
                    run("recurrent_lm", elementwise, 1e-2),
                    tuple(f"model.dim={d}{both}{d}" for d in (8, 24, 64)),
                    TOKENS[-1:],
                ),
                "shared_kv": Arm(
                    run("transformer", shared, 5e-3),
                    ("model.dim=8", "model.dim=24", "model.dim=64"),
                    TOKENS[-1:],
                ),
            },
        )
    )
