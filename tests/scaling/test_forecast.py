"""Forecasts of runs that were not made: their intervals by planted runs, the file, and its grading."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import linregress, t

from configs.scaling import synthetic
from experiments.scaling import forecast, grade
from experiments.scaling.__main__ import results_of
from experiments.scaling.progress import Progress, expected_loss
from tests.commands import ROOT
from tests.scaling.planted import record
from w2v_jax.errors import UserError
from w2v_jax.scaling import records
from w2v_jax.scaling.expected import expect
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.study import Planned, Study, runs

KEPT = {  # SHA-256 of every committed forecast: one that was graded is never edited
    "wiki.json": "0a4b2ca9f3020fc15ba27bb8dfe3592aa4813feb961a1ac3b7b8828fa0e0b977",
    "wiki_second.json": "8986e1a9746652633f593bbe2d5de42e22c9db48d1b52380f09dcf8be8c70994",
    "wiki_third.json": "61cd075d843d379a494cef7022c35f6fa9578504afd5397c4d901ce37bc2b0a4",
    "wiki_fourth.json": "71b519ecbe48ce0d8add7849f54e8f714efab6e2d093b7e57aa9f4d9ca340e23",
    "wiki_fifth.json": "e4728ed1f0afea5e16c1a06f6bfd352f3b676f369957678d2c4a22351c10f415",
    "frontier_wiki.json": "705c5fa0717a2c277471a153b76483a78775e234777e115578081d29018a753b",
    "frontier_wiki_floor.json": "7ca4be9681b3f7253e59f93bd1682b4bf95e1423d44f25c6761f46523836c075",
    "frontier_wiki_signed.json": "49c3d0ec1d56e67d2b688e4282f228ac23a09617d54f0fc406751680698295d0",
    "frontier_wiki_second.json": "e76dd9adf2276be5a6518a35cd94a9a22d2ba8c89fa541f359a0d983d9bd14f7",
    "frontier_wiki_third.json": "cfa2fd36abaed2c6927b8b9e32d76a0e2b430b4fd0fb8b1eb597fa63f903f3f3",
    "wiki_further.json": "9ba85fe255298908ba4551613dc0700dad208a93100b7e3082122f307a95794b",
    "wiki_further_joint.json": "860f5eab1678ffd01efe858aa5e7a7667ed87e2e74a39d178837f5cccfc1265c",
    "wiki_further_second_joint.json": "89d613748d9a08f39d41285831436a29ae71371b7250160319e51285a81c1c41",
    "wiki_further_second_sum.json": "37cb2519472de824b0ea5d27c226dc5c9780b0f9edb4d42ee3a69dfe3c245d5a",
    "wiki_further_frontier_small.json": "35ffc06242bbbb19ca6fe3686d1d842c9998ad6cce3649f3727d97bd49766d40",
    "wiki_further_frontier_second.json": "b329d169e9cde66880ff425a10f2d40bc7c39e541331f464d7b318cf7a9cba30",
    "language_further_frontier.json": "a6297f7548ec437fd4c0ee5f85998b3bc08384a47b487856b7c42210a8af2189",
    "language_further_known.json": "2332e46dae3d5f0b3cf9992853cabe35b5b5c9d00100e584cbba36447ed49066",
    "language_further_free.json": "38960d69f1b6e7a29ffbc6a94cd9a7106be0edad4811bbf9f917a828f642096a",
    "language_further_second_frontier.json": "36d556a52bfa10358041455a4927004e1a3cedde0272394e6ad79afb6b2a94d9",
    "wiki_sixth.json": "0a5d09ee83a9b30103a37bfc1f0040bcba15c4ccfbf002eb038279a2a10ab133",
    "tasks.json": "2301de9559af3923bf53c24f617f0e105d0ffab3f8993513c1fc15dca46bf38d",
    "tasks_second.json": "21135c6866d40be518b7dd3047ce26d08672260541ca594ee36d831155cd48c4",
    "tasks_third.json": "86d857749d8890f8bf480bf923c74744d40805fc2d6a70d38aa6fbc69c9f3b42",
    "wiki_tasks.json": "d13c15b83dfd56f0ceaf86fd8952f9089910069467972182ef991608d689a300",
    "wiki_tasks_second.json": "50c60edb716ae347ab9cb6e666bc7814d10131a99ca3f5df305fd715da568360",
    "vectors.json": "8515f35f846b450c0822387b168efe06ed2c046df4450f87f76a3de2b58b1155",
    "synthetic_100_free.json": "009d0c261c75edfac44caa9670346fe555b67128b2f01bc597858f56123fe7a0",
    "synthetic_100_known.json": "af064485a218bd1b07bd4d024997f65588d508cb48d6c21506eb9cbc0e172b33",
    "synthetic_10_free.json": "a22ade2e63ecbbc9cfd2d2f86450f1fd69185753b7478a3351d0b4e3bfdced53",
    "synthetic_10_known.json": "5034fc47816487fda9ac6cb904d3231e23e899876c122da77aaed205386665f2",
    "synthetic_second_free.json": "9093029f4f0cfc61930e0f3dfe2614dd199e84822f29b82ba7cfcae931695fbc",
    "synthetic_second_known.json": "59d71afa277a59509e199400b561ddd4e4f35a508e0d7b21992313be31618804",
    "frontier_tasks.json": "f21e431caa3e2fa9e18437558da046401329c42d99c440bd4f0c226d788cc74d",
    "frontier_tasks_thirty.json": "7c6de8de6cc6b3df6986841af0573bc8a1d877ecd7adaff0abb83575f1a14b00",
}
TRUE = (3.04, 40.0, 900.0, 0.6, 0.5)  # E, A, B, alpha, beta


def loss_of(n: np.ndarray, d: np.ndarray) -> np.ndarray:
    e, a, b, alpha, beta = TRUE
    return e + a / n**alpha + b / d**beta


def test_of_a_power_law_the_interval_of_a_further_run_is_students() -> None:
    rng = np.random.default_rng(0)
    x = np.geomspace(1e3, 1e6, 8)
    y = 9.0 * x**-0.07 * np.exp(rng.normal(0, 0.004, 8))
    fit = fit_power(x, y, floor=False)
    assert isinstance(fit, Fit)
    found, line = expect(fit, 1e8), linregress(np.log(x), np.log(y))
    residual = np.log(y) - line.intercept - line.slope * np.log(x)
    noise = np.sqrt((residual**2).sum() / 6)
    away = np.log(1e8) - np.log(x).mean()
    of_law = noise * np.sqrt(1 / 8 + away**2 / ((np.log(x) - np.log(x).mean()) ** 2).sum())
    reach = t.ppf(0.975, 6)
    # The fit is by the Huber loss, whose line is a little beside that of the squares.
    assert np.log(found.law.high / found.law.low) == pytest.approx(2 * reach * of_law, rel=0.02)
    assert np.log(found.loss.high / found.loss.low) == pytest.approx(2 * reach * np.hypot(of_law, noise), rel=0.1)
    with pytest.raises(ValueError, match="must be 1 positive numbers: x"):
        expect(fit, 1e8, 1e8)
    with pytest.raises(ValueError, match="must be 1 positive numbers"):
        expect(fit, -1.0)


def test_further_runs_are_inside_as_often_as_stated() -> None:
    """Twelve runs, and one at a hundred times the largest."""
    n, d = (x.ravel() for x in np.meshgrid(np.geomspace(3e3, 6e4, 4), np.geomspace(2e5, 2e6, 3)))
    held = of_law = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        fit = fit_parametric(n, d, loss_of(n, d) * np.exp(rng.normal(0, 0.003, 12)))
        assert isinstance(fit, Fit)
        found = expect(fit, 6e5, 2e7)
        further = float(loss_of(np.array(6e5), np.array(2e7)) * np.exp(rng.normal(0, 0.003)))
        held += found.loss.covers(further)
        of_law += found.law.covers(float(loss_of(np.array(6e5), np.array(2e7))))
    assert held >= 5 and of_law >= 5  # the seeds are fixed


@pytest.fixture
def small() -> Study:
    whole = synthetic.get_config()
    arm = dataclasses.replace(whole.arms["transformer"], seeds=(0,))
    return dataclasses.replace(whole, arms={"transformer": arm}, optimum=False)


@pytest.fixture
def larger(small: Study) -> list[Planned]:
    arm = dataclasses.replace(small.arms["transformer"], sizes=("model.dim=96", "model.dim=128"), tokens=(8e6,))
    return runs(dataclasses.replace(small, arms={"transformer": arm}), 200)


def made(planned: Sequence[Planned], path: Path, share: float = 1.0, optimum: float | None = None) -> Path:
    """Results in which every run has the loss of the planted law, times `share`."""
    rows = []
    for run in planned:
        loss = float(loss_of(np.array(float(run.ledger.parameters)), np.array(run.tokens)))
        known = {"run": run.name, "arm": run.arm, "config_hash": records.config_hash(run.config)}
        known |= {"parameters": run.ledger.parameters, "tokens": run.tokens, "training_flops": run.flops}
        rows.append(record(**known, heldout_loss=loss * share, optimum=optimum))
    records.write(path, rows)
    return path


def test_a_forecast_is_written_once_and_graded(
    small: Study, larger: list[Planned], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = made(runs(small, 200), tmp_path / "results.jsonl")
    file = tmp_path / "forecasts" / "a.json"
    assert forecast.write(file, results, small, larger, "free", "the command") == 0
    text = file.read_text(encoding="utf-8")
    found = json.loads(text)
    assert found["rests on"]["file"] == "results.jsonl" and len(found["rests on"]["sha256"]) == 64
    assert set(found["laws"]) == {"transformer"} and len(found["laws"]["transformer"]["runs"]) == 12
    for target, run in zip(found["targets"], larger, strict=True):
        true = float(loss_of(np.array(float(run.ledger.parameters)), np.array(run.tokens)))
        assert target["loss"][0] == pytest.approx(true, rel=1e-4)
        assert target["learning_rate"] == run.config.optimizer.learning_rate
        largest = max(r.ledger.parameters * r.tokens for r in runs(small, 200))
        assert target["times"] == pytest.approx(run.ledger.parameters * run.tokens / largest)
    with pytest.raises(UserError, match="is there already, and a forecast is never changed"):
        forecast.write(file, results, small, larger, "free", "again")
    assert file.read_text(encoding="utf-8") == text

    folder = tmp_path / "larger"
    folder.mkdir()
    with pytest.raises(UserError, match=r"2 run\(s\) are not in .* such as transformer_dim96"):
        grade.grade(file, folder)
    with pytest.raises(UserError, match="--workdir=.*none: no such folder"):
        grade.grade(file, tmp_path / "none")
    made(larger, folder / "results.jsonl")
    assert grade.grade(file, folder) == 0
    assert "2 of 2 inside" in capsys.readouterr().out
    made(larger, folder / "results.jsonl", share=1.05)
    assert grade.grade(file, folder) == 1
    said = capsys.readouterr().out
    assert "0 of 2 inside" in said and said.count("NO") == 2 and "-4.76%" in said
    made(larger[:1], folder / "results.jsonl")
    with pytest.raises(UserError, match=r"1 run\(s\) are not in .* make them, then grade again"):
        grade.grade(file, folder)
    ended = dataclasses.replace(
        records.read([folder / "results.jsonl"])[0], status="diverged", heldout_loss=None, error="not finite at step 3"
    )
    records.write(folder / "results.jsonl", [ended])
    why = (
        r"1 run\(s\) are not in .* make them, .*; 1 run\(s\) in .* such as transformer_.*, which diverged \(not finite"
    )
    with pytest.raises(UserError, match=why):
        grade.grade(file, folder)
    assert "has no digest" not in capsys.readouterr().out
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps({key: value for key, value in found.items() if key != grade.DIGEST}))
    made(larger, folder / "results.jsonl")
    assert grade.grade(bare, folder) == 0
    assert f"{bare}: has no digest: an edit cannot be seen; the commit is the proof" in capsys.readouterr().out
    found["targets"][0]["loss"] = [3.2, 3.1, 3.3]
    file.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UserError, match="was changed after it was written"):
        grade.grade(file, folder)


def test_a_forecast_below_the_best_possible_loss_is_doubted(
    small: Study, larger: list[Planned], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for optimum, warned in ((3.0, False), (3.5, True)):
        results = made(runs(small, 200), tmp_path / "results.jsonl", optimum=optimum)
        assert forecast.write(tmp_path / f"{optimum}.json", results, small, larger, "free", "the command") == 0
        assert ("below 3.5000, the best possible loss" in capsys.readouterr().out) == warned


def test_with_a_known_floor_its_distance_is_fitted(small: Study, larger: list[Planned], tmp_path: Path) -> None:
    results = made(runs(small, 200), tmp_path / "results.jsonl", optimum=TRUE[0])
    file = tmp_path / "a.json"
    assert forecast.write(file, results, small, larger, "known", "the command") == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    values = found["laws"]["transformer"]["values"]
    assert values["E"] == pytest.approx([TRUE[0]] * 3)
    assert values["alpha"][0] == pytest.approx(TRUE[3], rel=1e-3) and values["beta"][0] == pytest.approx(
        TRUE[4], rel=1e-3
    )
    for target, run in zip(found["targets"], larger, strict=True):
        true = float(loss_of(np.array(float(run.ledger.parameters)), np.array(run.tokens)))
        assert target["loss"][0] == pytest.approx(true, rel=1e-5) and target["loss"][1] > TRUE[0]
    made(runs(small, 200), results)
    with pytest.raises(UserError, match="--floor=known: .* arm transformer records no best possible loss"):
        forecast.write(tmp_path / "b.json", results, small, larger, "known", "the command")


def test_laws_may_be_the_folder_of_a_study(small: Study, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no results.jsonl"):
        results_of(str(tmp_path))
    with pytest.raises(UserError, match="--laws=nope.jsonl: no such file or folder; name"):
        results_of("nope.jsonl")
    own = made(runs(small, 200), tmp_path / "results-0-of-2.jsonl")
    assert results_of(str(tmp_path)) == own and results_of(str(own)) == own
    made(runs(small, 200), tmp_path / "results-1-of-2.jsonl")
    with pytest.raises(UserError, match="results-0-of-2.jsonl, results-1-of-2.jsonl; name one, such as --laws=.*/"):
        results_of(str(tmp_path))


def test_committed_forecasts_are_as_they_were_written_and_before_their_runs() -> None:
    folder = ROOT / "results" / "forecasts"
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")} == KEPT
    for name in KEPT:
        assert grade.read(folder / name)["targets"]
        rests_on = json.loads((folder / name).read_text(encoding="utf-8"))["rests on"]
        assert hashlib.sha256((folder / rests_on["file"]).read_bytes()).hexdigest() == rests_on["sha256"]


def test_a_forecast_names_the_runs_that_it_rests_on_and_counts_the_others(
    small: Study, larger: list[Planned], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One on the plateau, one that failed, one at another rate, and one that differs in more than its rate."""
    results = made(runs(small, 200), tmp_path / "results.jsonl")
    rows = records.read([results])
    rows[0] = dataclasses.replace(rows[0], heldout_unigram_loss=rows[0].heldout_loss)
    heads = {"model": {"heads": 2}, "optimizer": {"learning_rate": 0.1}}
    rows[1] = dataclasses.replace(rows[1], config=heads)
    worse = {"heldout_loss": (rows[1].heldout_loss or 0.0) + 1.0, "config_hash": "other"}
    rows.append(dataclasses.replace(rows[1], run="rate", config=heads | {"optimizer": {"learning_rate": 0.2}}, **worse))
    rows.append(dataclasses.replace(rows[1], run="heads", config=heads | {"model": {"heads": 1}}, **worse))
    rows.append(dataclasses.replace(rows[2], run="failed", status="failed", heldout_loss=None))
    records.write(results, rows)
    assert forecast.write(tmp_path / "a.json", results, small, larger, "free", "the command", "sum") == 0
    law = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["laws"]["transformer"]
    assert law["runs"] == [r.run for r in rows[1:12]]
    said = capsys.readouterr().out
    assert "rests on 11 run(s) of results.jsonl; left out: 1 run(s) on the plateau of single words; 1" in said
    assert "1 run(s) at other rates" in said and "such as heads, and differ from it in model.heads: only" in said
    assert law["left out"] and all(words in said for words in law["left out"])


def test_a_loss_at_a_known_floor_is_named(small: Study, larger: list[Planned], tmp_path: Path) -> None:
    results = made(runs(small, 200), tmp_path / "results.jsonl", optimum=4.0)
    with pytest.raises(UserError, match=r"--floor=known: .*results.jsonl: the run transformer_.* leave --floor out"):
        forecast.write(tmp_path / "a.json", results, small, larger, "known", "the command")


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "abc"},
        {"loss": [1.0, 2.0]},
        {"loss": [None, 1.0, 2.0]},
        {"times": None},
        {"loss": [3.2, 2.0, 3.1]},
        {"law": [3.0, 3.1, None]},
        {"tasks": {"a": [0.5, 0.6, 0.7]}},
        {"tasks": {"a": [1, None, 2]}},
    ],
    ids=str,
)
def test_a_damaged_forecast_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    target = {"run": "a", "arm": "b", "config_hash": "c", "parameters": 1, "tokens": 2.0, "training_flops": 3.0}
    target |= {"times": 10.0, "loss": [3.0, 2.0, None], "law": [3.0, None, 4.0]}
    file = tmp_path / "a.json"
    for content in ({"targets": [target | change], "made": "today"}, {"targets": [target]}, {"targets": [1]}):
        file.write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"--grade=.*a.json: (is no forecast|does not say when)"):
            grade.read(file)
    file.write_text(json.dumps({"targets": [target], "made": "today"}))
    assert grade.read(file)
    file.write_text("a,b")
    with pytest.raises(UserError, match=r"a.json: not a JSON object .*; name a file of --forecast"):
        grade.read(file)


def test_what_cannot_be_forecast(small: Study, larger: list[Planned], tmp_path: Path) -> None:
    results = made(runs(small, 200), tmp_path / "results.jsonl")
    file = tmp_path / "a.json"
    with pytest.raises(UserError, match="is in .* already; forecast runs that are not made"):
        forecast.write(file, results, small, runs(small, 200), "free", "")
    with pytest.raises(UserError, match="has no finished run of the arm lstm; it has transformer"):
        forecast.write(file, results, small, [larger[0]._replace(arm="lstm")], "free", "")
    few = made(runs(small, 200)[:4], tmp_path / "few.jsonl")
    with pytest.raises(UserError, match="arm transformer: no law, so no forecast: 4 run"):
        forecast.write(file, few, small, larger, "free", "")
    assert not file.exists()


@pytest.mark.parametrize("content", [None, "{}", '{"targets": []}', '{"targets": [{"run": "a"}]}'])
def test_other_files_are_no_forecasts(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match="no such file" if content is None else "is no forecast"):
        grade.grade(file, tmp_path)


def test_a_study_says_what_it_expects_of_a_run_once_its_runs_have_a_law(small: Study, tmp_path: Path) -> None:
    planned = runs(small, 200)
    finished = records.read([made(planned, tmp_path / "results.jsonl")])
    last, rest = planned[-1], [r for r in finished if r.run != planned[-1].name]
    found = expected_loss(last, rest)
    true = float(loss_of(np.array(float(last.ledger.parameters)), np.array(last.tokens)))
    assert found is not None and found.value == pytest.approx(true, rel=1e-4)
    assert expected_loss(last, rest[:5]) is None, "too few"
    assert expected_loss(last._replace(arm="lstm"), rest) is None, "of another arm"
    again = dataclasses.replace(rest[0], config={"optimizer": {"learning_rate": 1.0}})
    assert expected_loss(last, [*rest, again]) is None, "of several rates"
    out = io.StringIO()
    progress = Progress(planned, rest, out)
    progress.begin(last)
    progress.end(last, dataclasses.replace(rest[0], heldout_loss=1.01 * found.value), 1.0)
    assert f"expected {found.value:.4f} [" in out.getvalue() and "+1.00% from what was expected" in out.getvalue()
