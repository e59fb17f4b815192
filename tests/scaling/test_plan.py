"""What `--plan` says of a step and of memory, by hand."""

from __future__ import annotations

import dataclasses

import pytest

from experiments.scaling.step_cost import SPARE, cost, room_of
from experiments.scaling.together import packed
from launch.slices import AbsentGpu
from w2v_jax.config import Config, DataConfig, MeshConfig, OptimizerConfig, TrainConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Arm, Planned, Study, runs

WORDS, LENGTH, BATCH, TOKENS = 100, 16, 8, 12_800.0


def planned(**mesh: object) -> Planned:
    run = Config(
        family="transformer",
        model=TransformerConfig(dim=8, layers=2, heads=2, length=LENGTH),
        train=TrainConfig(batch_size=BATCH),
        optimizer=OptimizerConfig(dense="adamw"),
        mesh=dataclasses.replace(MeshConfig(), **mesh),  # type: ignore[arg-type]
    )
    arms = {"t": Arm(run, ("model.dim=8",))}
    return runs(Study(DataConfig(source="synthetic"), arms, tokens=(TOKENS,)), WORDS, activations=True)[0]


def test_a_step_takes_the_largest_of_three_times() -> None:
    run = planned()
    room = room_of("v5e", 4, hbm=1e9, rate=1e12)
    slow, quick = 1e6, 1e30
    its = cost(run, WORDS, room, slow)
    assert its.steps == TOKENS / (BATCH * LENGTH) and its.limit == "rate"
    assert its.seconds == pytest.approx(run.ledger.flops_per_token * BATCH * LENGTH / slow)
    assert its.whole == pytest.approx(run.flops / slow)
    branch = cost(run._replace(shared=0.75 * TOKENS), WORDS, room, slow)
    assert branch.steps == its.steps / 4 and branch.seconds == its.seconds
    its = cost(run, WORDS, room, quick)
    assert (its.limit, its.seconds) == ("launch", room.launch) and room.launch > 0
    its = cost(run, WORDS, room._replace(rate=1e3), quick)
    dense = run.ledger.without_embeddings / run.ledger.parameters
    assert its.limit == "memory" and its.seconds == pytest.approx(2 * dense * run.ledger.state_bytes / 1e3)
    sharded = cost(planned(fsdp=True), WORDS, room._replace(rate=1e3), quick)
    assert sharded.seconds == pytest.approx(its.seconds / 4), "each device has a quarter of the state"


def test_whether_a_run_fits() -> None:
    run = planned()
    ledger = run.ledger
    least = ledger.state_bytes + 4 * ledger.without_embeddings
    most = SPARE * (ledger.state_bytes + 4 * ledger.parameters + ledger.activation_bytes / 4)
    assert least < most
    for memory, fits in ((least - 1, "no"), (least + 1, "perhaps"), (most - 1, "perhaps"), (most + 1, "yes")):
        assert cost(run, WORDS, room_of("v5e", 4, memory, 1e12), 1e9).fits == fits
    assert cost(planned(fsdp=True), WORDS, room_of("v5e", 4, least / 4 + 1, 1e12), 1e9).fits == "perhaps"
    gathered = most / 4 + SPARE * (2 * 4 * ledger.without_embeddings + ledger.activation_bytes * (1 / 4 - 1 / 16))
    for memory, fits in ((gathered - 1, "perhaps"), (gathered + 1, "yes")):
        assert cost(planned(fsdp=True), WORDS, room_of("v5e", 4, memory, 1e12), 1e9).fits == fits
    assert cost(planned(model=3), WORDS, room_of("v5e", 4, 1e12, 1e12), 1e9).fits == "no", "3 does not divide 4"
    assert cost(run, WORDS, room_of("v5e", 3, 1e12, 1e12), 1e9).fits == "no", "8 rows do not divide over 3 devices"


def test_small_runs_are_packed_and_large_ones_trained_together() -> None:
    run, devices = planned(), [AbsentGpu(i, i // 4, "cpu", "cpu") for i in range(8)]
    runs = [run._replace(name=str(flops), flops=flops) for flops in (1.0, 1.2, 20.0, 50.0)]

    def names(hosts: int, runs: list[Planned]) -> list[str]:
        return [r.name for r in packed(runs, hosts, devices[:4], devices)]  # type: ignore[arg-type]

    assert names(2, runs) == ["1.0", "1.2"] and names(2, runs[1:2]) == [], "a lone run would leave a process idle"
    assert names(2, [runs[2]._replace(name=str(i)) for i in range(5)]) == list("01234")
    trunk = [r._replace(trunk="t") for r in runs[:3]]
    assert names(2, trunk) == [], "a trunk is as large as its runs together"
    assert sorted(names(2, [*trunk, runs[2]._replace(name="other")])) == ["1.0", "1.2", "20.0", "other"]
    few = run._replace(config=dataclasses.replace(run.config, mesh=MeshConfig(data=4)))
    assert names(2, [few]) == [few.name], "the mesh has no place for the devices of two"
    wide = run._replace(config=dataclasses.replace(run.config, mesh=MeshConfig(data=8)))
    assert names(2, [wide, *runs[:2]]) == ["1.0", "1.2"]
