"""Records of a study's runs: their file, their hash, and which of them are fitted."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT
from tests.scaling.planted import record
from w2v_jax.config import Config, OptimizerConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.recorded import freeze
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.fitted import Fit, Refusal

LSTM = Config("recurrent_lm", RecurrentLMConfig(layers=1, dim=8, hidden=8, tied=True, length=8))


def test_records_survive_the_file_and_merge_by_concatenation(tmp_path: Path) -> None:
    first, second = [record(run="a"), record(run="b", by_position=[1.0, 0.5])], [record(run="c", quality={"x": 0.5})]
    records.write(tmp_path / "1.jsonl", first)
    records.write(tmp_path / "2.jsonl", second)
    together = (tmp_path / "1.jsonl").read_bytes() + (tmp_path / "2.jsonl").read_bytes()
    (tmp_path / "all.jsonl").write_bytes(together)
    assert records.read([tmp_path / "all.jsonl"]) == [*first, *second]
    assert records.read([tmp_path / "1.jsonl", tmp_path / "2.jsonl"]) == [*first, *second]


def test_a_run_that_finished_outweighs_one_that_failed(tmp_path: Path) -> None:
    failed, finished = record(status="failed", heldout_loss=None), record()
    for order in ([failed, finished], [finished, failed]):
        records.write(tmp_path / "r.jsonl", order)
        assert records.read([tmp_path / "r.jsonl"]) == [finished]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: not a JSON object"),
        ('{"run": "a"}', "line 2: has no arm"),
        (json.dumps(dataclasses.asdict(record(tokens=-1.0))), "line 2: tokens=-1.0"),
        (json.dumps(dataclasses.asdict(record(heldout_loss=math.nan))), "line 2: heldout_loss=nan: must be a finite"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps(dataclasses.asdict(record())) + f"\n{line}\n")
    with pytest.raises(UserError, match=message):
        records.read([tmp_path / "r.jsonl"])


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        ({"heldout_loss": "3.1"}, "a finite number"),
        ({"heldout_loss": -1.0}, "above 0"),
        ({"heldout_loss": 0.0}, "above 0"),
        ({"parameters": 0}, "above 0"),
        ({"parameters": True}, "a number of 0 or more"),
        ({"seed": "a"}, "a finite number"),
        ({"optimum": "x"}, "a finite number"),
        ({"vocabulary": [2]}, "a finite number"),
        ({"status": "done"}, "one of finished, diverged, failed"),
        ({"run": None}, "a text"),
        ({"tasks": [1]}, "numbers by name"),
        ({"tasks": {"next word": None}}, "numbers by name"),
        ({"by_position": [1.0, "b"]}, "a list of numbers"),
        ({"config": "x"}, "what a study writes"),
        ({"config": {"optimizer": {"learning_rate": "fast"}}}, "what a study writes"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path: Path, change: dict[str, Any], needed: str) -> None:
    """No law, comparison or grade meets it."""
    (name,) = change
    line = json.dumps(dataclasses.asdict(record()) | change)
    (tmp_path / "r.jsonl").write_text(f"{json.dumps(dataclasses.asdict(record()))}\n{line}\n")
    with pytest.raises(UserError, match=rf"r.jsonl, line 2: {name}=.*: must be {needed}; remove the line"):
        records.read([tmp_path / "r.jsonl"])


def test_a_table_is_no_results_file(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("parameters,tokens,loss\n1,2,3\n")
    with pytest.raises(UserError, match=r"runs.csv, line 1: not JSON; name the results.jsonl of a study"):
        records.read([tmp_path / "runs.csv"])


def test_the_hash_is_of_what_decides_the_result() -> None:
    def change(**keys: Any) -> str:
        return records.config_hash(dataclasses.replace(LSTM, **keys))

    own = records.config_hash(LSTM)
    assert change(log=dataclasses.replace(LSTM.log, every_steps=3)) == own
    assert change(data=dataclasses.replace(LSTM.data, cache_dir="x")) == own
    assert change(train=TrainConfig(seed=1)) != own
    assert change(optimizer=OptimizerConfig(learning_rate=0.1)) != own


def test_runs_of_the_published_study_keep_their_hashes() -> None:
    """Keys that came later change no hash at their defaults; otherwise the study would be trained again."""
    published = [json.loads(line) for line in (ROOT / "results/scaling_wiki.jsonl").read_text().splitlines()]
    for run in published:
        assert records.config_hash(freeze(run["config"], MODELS)) == run["config_hash"], run["run"]


# Which runs are fitted


def test_the_best_rate_counts_and_unfinished_runs_do_not() -> None:
    made = [record(run="a", heldout_loss=3.0), record(run="b", heldout_loss=2.5), record(run="c", status="diverged")]
    assert [r.run for r in analysis.usable(made)] == ["b"]


def test_runs_on_the_plateau_of_single_words_are_left_out_of_every_fit() -> None:
    """By the recorded baseline, or by accuracies that agree in every digit where the losses are the highest."""
    plan = [(n, d) for n in (1e3, 1e4, 1e5) for d in (1e5, 1e6, 1e7)]
    losses = [3.0 + 20 / n**0.5 + 200 / d**0.5 for n, d in plan]
    base = {"heldout_unigram_loss": 4.0, "heldout_unigram_accuracy": 0.1}
    for known, accuracy in (({}, 0.1), (base, 0.1004)):
        made = []
        for i, ((n, d), loss) in enumerate(zip(plan, losses, strict=True)):
            flat = d == 1e5
            score = {"heldout_loss": 4.01 if flat else loss, "heldout_accuracy": accuracy if flat else 0.2 + 0.01 * i}
            made.append(record(run=f"{n}_{d}", parameters=int(n), tokens=d, training_flops=6 * n * d, **score, **known))
        law = analysis.laws("lstm", made)
        assert [r.tokens for r in law.plateau] == [1e5] * 3
        assert isinstance(law.parametric, Fit) and law.parametric.points == 6
        # As good in loss, but more than the most frequent word was found; or better than single words.
        for other in ({"heldout_accuracy": 0.15}, {"heldout_loss": 3.9} if known else {"heldout_accuracy": 0.09}):
            assert len(analysis.fitted_runs([*made[1:], dataclasses.replace(made[0], **other)])[1]) < 3
    every = analysis.laws("lstm", [r for r in made if r.tokens == 1e5])
    assert isinstance(every.parametric, Refusal) and "all 3 run(s) are on the plateau" in every.parametric.reason


def test_claims_are_joined_by_a_line_in_the_logarithm() -> None:
    assert analysis.claimed_accuracy(1e6) == 0.70
    assert analysis.claimed_accuracy(1e7) == pytest.approx(0.725)
    assert math.isnan(analysis.claimed_accuracy(9e5))


def test_a_planted_law_and_floor_are_found_from_records() -> None:
    made = []
    for n in (1e3, 3e3, 1e4, 3e4, 1e5):
        for d in (1e5, 3e5, 1e6, 3e6):
            loss = 2.0 + 40 / n**0.5 + 300 / d**0.5
            made.append(
                record(
                    run=f"{n}_{d}",
                    parameters=int(n),
                    tokens=d,
                    training_flops=6 * n * d,
                    heldout_loss=loss,
                    optimum=2.0,
                )
            )
    found = analysis.laws("lstm", made)
    (floor,) = analysis.floors([found], made)
    assert floor.holds and floor.fitted == pytest.approx(2.0, abs=1e-3)
    assert not floor._replace(optimum=2.5).holds
    other = [*made, record(run="other", optimum=2.1)]
    assert not analysis.floors([found], other) and analysis.apart(made) is None
    assert analysis.apart(other) == f"{made[0].run} and other record the best possible losses 2 and 2.1"
