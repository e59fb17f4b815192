"""The small study, whose answer is known: a generated language, and the loss of its best possible predictions.

    python -m experiments.scaling

Hardware: 2 CPU cores, 11 minutes for 9.6 TFLOP, 7 of them training.
"""

import dataclasses
from collections.abc import Callable, Mapping

from configs import recipes
from w2v_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, MeshConfig, SyntheticConfig, TrainConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Arm, Study

TOKENS = (240_000, 800_000, 2_500_000)  # more than a decade, whatever whole steps make of it
SEEDS = (0, 1)  # of the two families of the grid: their noise is measured and not assumed
RATES = {
    "transformer": {8: 0.012, 16: 0.01, 32: 0.008, 48: 0.005},
    "lstm": {8: 0.05, 16: 0.04, 32: 0.02, 64: 0.02},
    "elementwise": {8: 0.02, 24: 0.02, 64: 0.01},
    "shared_kv": {8: 0.012, 20: 0.01, 48: 0.005},
}


def sizes(form: str, rates: Mapping[int, float]) -> tuple[str, ...]:
    """One size a width; its learning rate was found by trying a few at 80,000 and 720,000 tokens."""
    return tuple(f"model.{form.format(width)} optimizer.learning_rate={rate}" for width, rate in rates.items())


def arms(
    run: Callable[[str, object], Config],
    transformer: TransformerConfig,
    elementwise: RecurrentLMConfig,
    rates: Mapping[str, Mapping[int, float]],
    most: float,
    seeds: tuple[int, ...] = (),
) -> dict[str, Arm]:
    """Transformer and LSTM over the study's grid; the elementwise RNN and shared keys and values at `most` tokens.

    Args:
      run: what the runs of a family and a model have in common.
      transformer: at any width.
      elementwise: the recurrent model at any width; the LSTM is like it.
      rates: {arm: {width: learning rate}}.
      most: tokens.
      seeds: of transformer and LSTM; the study's where empty.
    """
    shared = dataclasses.replace(transformer, keys_values="shared_kv")
    lstm = dataclasses.replace(elementwise, cell="lstm", forget_bias=1.0)
    recurrent = "dim={0} model.hidden={0}"
    return {
        "transformer": Arm(run("transformer", transformer), sizes("dim={}", rates["transformer"]), seeds=seeds),
        "lstm": Arm(run("recurrent_lm", lstm), sizes(recurrent, rates["lstm"]), seeds=seeds),
        "elementwise": Arm(run("recurrent_lm", elementwise), sizes(recurrent, rates["elementwise"]), (most,)),
        "shared_kv": Arm(run("transformer", shared), sizes("dim={}", rates["shared_kv"]), (most,)),
    }


def run(family: str, model: object) -> Config:
    """What the runs of an arm have in common."""
    return Config(
        family=family,
        model=model,
        train=TrainConfig(batch_size=4, steps_per_call=64),
        optimizer=dataclasses.replace(recipes.ADAMW, final_fraction=0.02, warmup_steps=30, beta2=0.98),
        checkpoint=CheckpointConfig(every_steps=100_000, keep=1),
        log=LogConfig(every_steps=256, eval_every_steps=1_000_000, eval_steps=0, tensorboard=False),
        mesh=MeshConfig(data=1),
    )


def get_config() -> Study:
    """Sentences of 200 words, subject and verb up to 8 words apart."""
    elementwise = RecurrentLMConfig(
        cell="elementwise", layers=1, hidden=16, dim=16, tied=True, length=64, init_scale=0.3, reset=0.25
    )
    transformer = TransformerConfig(layers=2, heads=2, dim=16, length=64, init_scale=0.1)
    return Study(
        data=DataConfig(
            source="synthetic",
            heldout_source="synthetic:heldout",
            tokens="whitespace",
            end_token=".",
            min_count=1,
            unknown="error",
            synthetic=SyntheticConfig(
                words=200,
                topics=4,
                switch=1.0,
                shared=0.3,
                senses=10,
                distances="1,2,4,8",
                tokens=2_600_000,
                heldout_tokens=50_000,
            ),
        ),
        tokens=TOKENS,
        window=64,
        optimum=True,
        arms=arms(run, transformer, elementwise, RATES, TOKENS[-1], SEEDS),
    )
