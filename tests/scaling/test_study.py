"""Studies as lists of runs: grids, budgets, rates, arms, shards."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import pytest

from experiments.common.config_flag import load
from tests.commands import ROOT
from w2v_jax.config import Config, DataConfig, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.overrides import override
from w2v_jax.scaling.study import Arm, Study, cost_of, of_arms, runs, shard, sized, trunks, with_passes
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import programs, stand_in

VOCAB = 50
TRANSFORMER = Config("transformer", TransformerConfig(layers=1, dim=8, heads=1, length=8))
LSTM = Config("recurrent_lm", RecurrentLMConfig(layers=1, dim=8, hidden=8, tied=True, length=8))
STUDY = Study(
    data=DataConfig(source="synthetic"),
    tokens=(1000, 3000),
    arms={
        "transformer": Arm(TRANSFORMER, ("model.dim=8", "model.dim=16")),
        "lstm": Arm(LSTM, ("model.dim=4 model.hidden=4", "model.dim=8 model.hidden=8"), (3000,)),
    },
)


def test_every_arm_size_and_amount_is_a_run_the_cheapest_first() -> None:
    found = runs(STUDY, VOCAB)
    assert sorted(run.name for run in found) == [
        "lstm_dim4-hidden4_3000_s0",
        "lstm_dim8-hidden8_3000_s0",
        "transformer_dim16_1000_s0",
        "transformer_dim16_3000_s0",
        "transformer_dim8_1000_s0",
        "transformer_dim8_3000_s0",
    ]
    assert [run.flops for run in found] == sorted(run.flops for run in found)
    for run in found:
        assert run.flops == run.ledger.flops_per_token * run.tokens
        assert run.config.data == STUDY.data


def test_a_size_may_have_its_own_tokens_and_runs_may_be_too_expensive() -> None:
    arm = Arm(TRANSFORMER, ("model.dim=8 tokens=2e3", "model.dim=16"))
    own = dataclasses.replace(STUDY, arms={"transformer": arm})
    names = {"transformer_dim8_2000_s0", "transformer_dim16_1000_s0", "transformer_dim16_3000_s0"}
    assert {run.name for run in runs(own, VOCAB)} == names
    most = max(run.flops for run in runs(own, VOCAB))
    assert len(runs(dataclasses.replace(own, most_flops=most), VOCAB)) == 3
    assert len(runs(dataclasses.replace(own, most_flops=0.99 * most), VOCAB)) == 2
    with pytest.raises(UserError, match="most_flops=1: every run of the study is above it"):
        runs(dataclasses.replace(own, most_flops=1.0), VOCAB)
    alone = Arm(TRANSFORMER, ("model.dim=8 tokens=2e3",))
    assert len(runs(dataclasses.replace(own, tokens=(), arms={"transformer": alone}), VOCAB)) == 1
    with pytest.raises(UserError, match=r"arms.transformer.tokens"):
        dataclasses.replace(own, tokens=())
    for bad in ("tokens=0", "tokens=x", "tokens=1 tokens=2", "tokens=inf"):
        with pytest.raises(UserError, match="tokens must be one positive number, such as tokens=2e6"):
            runs(dataclasses.replace(own, arms={"a": Arm(TRANSFORMER, (bad,))}), VOCAB)


def test_budgets_make_equal_flops_and_rates_multiply_the_arms() -> None:
    by_cost = dataclasses.replace(STUDY, tokens=(), budgets=(1e7, 1e8))
    assert {f"{run.flops:.6g}" for run in runs(by_cost, VOCAB) if run.arm == "transformer"} == {"1e+07", "1e+08"}
    tried = runs(dataclasses.replace(STUDY, rates=(0.5, 2.0)), VOCAB)
    base = LSTM.optimizer.learning_rate
    assert {run.config.optimizer.learning_rate for run in tried if run.arm == "lstm"} == {0.5 * base, 2 * base}
    assert len(tried) == 2 * len(runs(STUDY, VOCAB))


def test_named_arms_stay_alone() -> None:
    assert of_arms(STUDY, ["lstm"]).arms == {"lstm": STUDY.arms["lstm"]}
    assert list(of_arms(STUDY, ["lstm", "transformer"]).arms) == ["transformer", "lstm"]  # the study's order
    assert runs(of_arms(STUDY, ["lstm"]), VOCAB) == [run for run in runs(STUDY, VOCAB) if run.arm == "lstm"]
    message = r"--arms=lstn: must be one of transformer, lstm \(did you mean 'lstm'\?\)"
    with pytest.raises(UserError, match=message):
        of_arms(STUDY, ["lstn"])


def test_a_study_is_overridden_as_on_a_command_line() -> None:
    assert override(STUDY, {}, MODELS) == STUDY
    changed = override(
        STUDY,
        {
            "data.source": "text:a.txt",
            "tokens": "(240000,)",
            "seeds": "(0, 1)",
            "rates": "[1, 2.5]",
            "window": "8",
            "arms.lstm.run.model.length": "16",
            "arms.lstm.sizes": "('model.dim=4 model.hidden=4', 'model.dim=6 model.hidden=6')",
            "arms.transformer.sizes": "model.dim=4",
            "arms.transformer.seeds": "7",
        },
        MODELS,
    )
    assert all(run.config.data.source == "text:a.txt" for run in runs(changed, VOCAB))
    assert (changed.tokens, changed.seeds, changed.rates, changed.window) == ((240_000,), (0, 1), (1.0, 2.5), 8)
    assert changed.arms["lstm"].run.model.length == 16 and len(changed.arms["lstm"].sizes) == 2
    assert changed.arms["transformer"].sizes == ("model.dim=4",) and changed.arms["transformer"].seeds == (7,)
    assert override(STUDY, {"tokens": "()", "budgets": "(1e11,1e12)"}, MODELS).budgets == (1e11, 1e12)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("seeds", "(0, 0.5)", "seeds=0.5: must be of type int"),
        ("tokens", "many", "tokens='many': must be of type float"),
        ("tokens", "(0,)", "tokens=.*above 0"),
        ("arms.lstm.run.model.dmi", "3", "no key 'arms.lstm.run.model.dmi' .*'arms.lstm.run.model.dim'"),
        ("arms.lstm.run.model.dim", "x", "arms.lstm.run.model.dim='x': must be of type int"),
        ("arms.gru.tokens", "(1,)", "no key 'arms.gru.tokens'"),
        ("arms.lstm.run.data.source", "text:a.txt", "no key 'arms.lstm.run.data.source'"),  # a study has one text
    ],
)
def test_an_override_of_a_study_that_cannot_be_is_refused(key: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        override(STUDY, {key: text}, MODELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.dmi=8", "no key 'model.dmi'.*dim"),
        ("model.dim", "must be key=value"),
        ("model.dim=wide", "model.dim='wide': must be of type int"),
        ("model.dim=0", "model.dim=0: must be at least 1"),
        ("model.heads=3", "does not divide"),
        ("model.dim.x=3", "no key 'model.dim.x'"),
        ("model.dim=8 data.source=text:a.txt", "data.source is the study's"),
    ],
)
def test_a_size_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sized(TRANSFORMER, text)


def test_a_size_may_be_quoted_and_typed_as_on_a_command_line() -> None:
    changed = sized(LSTM, "model.cell='gru' model.tied=True optimizer.learning_rate=1 model.dim=4 model.hidden=4")
    assert (changed.model.cell, changed.optimizer.learning_rate, changed.model.dim) == ("gru", 1.0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": ()}, "arms.transformer.tokens"),
        ({"tokens": (0,)}, "tokens=.*above 0"),
        ({"budgets": (1e9,)}, "budgets=.*empty where tokens"),
        ({"arms": {}}, "arms=.*at least one"),
        ({"seeds": ()}, "seeds=.*at least one"),
        ({"optimum": True, "data": DataConfig()}, "optimum=True"),
    ],
)
def test_a_study_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dataclasses.replace(STUDY, **change)


def test_two_runs_of_one_name_are_refused() -> None:
    arms = {"transformer": Arm(TRANSFORMER, ("model.dim=8", "model.dim=8"))}
    with pytest.raises(UserError, match="two runs are called transformer_dim8_1000_s0"):
        runs(dataclasses.replace(STUDY, arms=arms), VOCAB)


@pytest.mark.parametrize("steps", [2, 3, 7, 1000])
def test_tokens_become_whole_steps(steps: int) -> None:
    run = runs(STUDY, VOCAB)[0]
    for steps_per_pass in (3, 333, 1 << 20):
        tokens = 64.0 * steps
        config = with_passes(run._replace(tokens=tokens), steps_per_pass, 64 * steps_per_pass)
        assert math.ceil(config.train.passes * steps_per_pass) == steps


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_all_runs_once_and_about_equally_dear(count: int) -> None:
    every = runs(dataclasses.replace(STUDY, tokens=(1000, 1500, 2000, 3000)), VOCAB)
    parts = [shard(every, i, count) for i in range(count)]
    assert sorted(run.name for part in parts for run in part) == sorted(run.name for run in every)
    loads = [sum(run.flops for run in part) for part in parts]
    assert max(loads) <= sum(loads) / count + max(run.flops for run in every)
    with pytest.raises(ValueError, match="index"):
        shard(every, count, count)


STABLE = dataclasses.replace(TRANSFORMER, optimizer=OptimizerConfig(schedule="wsd", decay_fraction=0.25))
BRANCHES = dataclasses.replace(
    STUDY,
    tokens=(1000, 2000, 4000),
    seeds=(0, 1),
    arms={"stable": Arm(STABLE, ("model.dim=8", "model.dim=16")), "cosine": Arm(TRANSFORMER, ("model.dim=8",))},
)


def test_runs_of_wsd_that_differ_in_tokens_alone_are_one_trunk() -> None:
    """What is made of them: the longest up to its decay, and a quarter of each."""
    every = {run.name: run for run in runs(BRANCHES, VOCAB)}
    groups = [[run.name for run in group] for group in trunks([*every.values()])]
    shared = [g for g in groups if len(g) > 1]
    wanted = [[f"stable_dim{d}_{t}_s{s}" for t in (1000, 2000, 4000)] for d in (8, 16) for s in (0, 1)]
    assert sorted(shared) == sorted(wanted) and len(groups) == len(shared) + 6
    first, second, third = (every[name] for name in wanted[0])
    assert third.begins == (second.name, first.name) and second.begins == (first.name,) and first.begins == ()
    assert (first.shared, second.shared, third.shared) == (0, 750, 1500)
    assert cost_of([first, second, third]) == pytest.approx(third.flops * (0.75 + 0.25 * (1 + 1 / 2 + 1 / 4)))
    assert all(run.made == run.flops and run.begins == () for name, run in every.items() if name[0] == "c")
    for change in ({"max_steps": 5}, {"stop_at": 0.5}, {"start": "runs/before"}):
        config = dataclasses.replace(STABLE, train=TrainConfig(**change))
        other = runs(dataclasses.replace(BRANCHES, arms={"stable": Arm(config, ("model.dim=8",))}), VOCAB)
        assert not any(run.begins or run.shared for run in other)


@pytest.mark.parametrize("count", [2, 3])
def test_shards_keep_the_runs_of_a_trunk_together(count: int) -> None:
    every = runs(BRANCHES, VOCAB)
    parts = [shard(every, i, count) for i in range(count)]
    assert sorted(run.name for part in parts for run in part) == sorted(run.name for run in every)
    for part in parts:
        assert {name for run in part for name in run.begins} <= {run.name for run in part}
    loads = [cost_of(part) for part in parts]
    assert max(loads) <= sum(loads) / count + max(cost_of(group) for group in trunks(every))


CONFIGS = sorted(f for f in (ROOT / "configs" / "scaling").glob("*.py") if f.name != "__init__.py")


@functools.cache  # studies share arms
def lowered(config: Config) -> str:
    """The training step of one layer on eight devices, over which a recipe for one device need not divide."""
    small = {"train.steps_per_call": 2, "mesh.data": 0}
    small |= {"train.batch_size": -(-config.train.batch_size // 8) * 8}
    small |= {"model.layers": 1} if hasattr(config.model, "layers") else {}
    changed = override(config, small, MODELS)
    return programs(changed, stand_in(changed, 2000)).train(Horizon(10, 10)).lower().as_text()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_study_of_the_project_can_be_planned_and_its_arms_lower(path: Path) -> None:
    study = load(str(path), Study)
    planned = runs(study, study.vocabulary or 1000)
    assert len(planned) >= 3
    for arm in study.arms:
        assert "mhlo.num_partitions = 8" in lowered(next(run.config for run in planned if run.arm == arm))
    text = path.read_text(encoding="utf-8").split('"""')[1]
    assert "python -m experiments.scaling" in text and "Hardware" in text


def test_the_small_study_is_what_the_command_promises() -> None:
    """At most 20 TFLOP, a full grid of two families, two more at three sizes; no text is read twice."""
    study = load(str(ROOT / "configs" / "scaling" / "synthetic.py"), Study)
    planned = runs(study, study.data.synthetic.words)
    assert sum(run.flops for run in planned) <= 20e12
    grid = {arm: {(run.ledger.parameters, run.tokens) for run in planned if run.arm == arm} for arm in study.arms}
    for arm in ("transformer", "lstm"):
        sizes, amounts = ({pair[i] for pair in grid[arm]} for i in range(2))
        assert len(grid[arm]) == len(sizes) * len(amounts) and max(sizes) > 10 * min(sizes) and len(sizes) >= 4
    assert len(grid["elementwise"]) == len(grid["shared_kv"]) == 3
    assert max(run.tokens for run in planned) <= study.data.synthetic.tokens


def test_the_pod_study_goes_from_a_million_parameters_to_a_billion() -> None:
    study = load(str(ROOT / "configs" / "scaling" / "pod.py"), Study)
    sizes = {run.ledger.parameters for run in runs(study, study.vocabulary)}
    assert min(sizes) == pytest.approx(1e6, rel=0.1) and max(sizes) == pytest.approx(1e9, rel=0.1)
