"""What a report says of its own worth: noise of seeds, the future left out, the checklist; and studies compared."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.stats import chi2
from scipy.stats import f as fisher

from configs.scaling import synthetic
from experiments.scaling import compare, export, sections, trust
from experiments.scaling.found import Found
from tests.scaling.planted import record
from w2v_jax.errors import UserError
from w2v_jax.recorded import to_dict
from w2v_jax.scaling import analysis, records
from w2v_jax.scaling.cells import cells
from w2v_jax.scaling.fit import fit_parametric, fit_power
from w2v_jax.scaling.fitted import Fit, predict
from w2v_jax.scaling.records import Record
from w2v_jax.scaling.run_table import read_table
from w2v_jax.scaling.study import runs
from w2v_jax.scaling.trust import future, lack_of_fit, spread

NOISE = 0.004


def planted(seeds: int = 2, noise: float = NOISE, raised: float = 0.0) -> list[Record]:
    """The transformers of the small study, with losses of a known law; those of the largest run `raised` by a share."""
    study = dataclasses.replace(synthetic.get_config(), optimum=False)
    arm = dataclasses.replace(study.arms["transformer"], seeds=tuple(range(seeds)))
    planned = runs(dataclasses.replace(study, arms={"transformer": arm}), 200)
    rng, found = np.random.default_rng(0), []
    most = max(run.flops for run in planned)
    for run in planned:
        n, d = float(run.ledger.parameters), run.tokens
        loss = 3.04 + 40 / n**0.6 + 900 / d**0.5
        loss *= float(np.exp(rng.normal(0, noise))) * (1 + raised * (run.flops == most))
        known = {"run": run.name, "arm": run.arm, "config_hash": records.config_hash(run.config), "heldout_loss": loss}
        known |= {"parameters": run.ledger.parameters, "tokens": d, "training_flops": run.flops}
        found.append(record(**known, seed=run.config.train.seed, config=to_dict(run.config)))
    return found


def found(folder: Path, made: list[Record]) -> Found:
    study = synthetic.get_config()
    study = dataclasses.replace(study, arms={"transformer": study.arms["transformer"]}, optimum=False)
    return Found(study, made, made, [analysis.laws("transformer", made)], [], folder, "planted")


def test_the_spread_of_seeds_is_pooled_over_sizes() -> None:
    a, b = [3.0, 3.1, 3.2], [2.0, 2.02]
    made = [record(run=f"a{i}", heldout_loss=x) for i, x in enumerate(a)]
    made += [record(run=f"b{i}", parameters=5, heldout_loss=x) for i, x in enumerate(b)]
    made.append(record(run="alone", parameters=9, heldout_loss=7.0))
    own = spread(made)
    squares = sum(np.var(np.log(x)) * len(x) for x in (a, b))
    assert own is not None and own.sizes == 2 and own.runs == 5
    assert own.deviation.value == pytest.approx(np.sqrt(squares / 3))
    assert own.deviation.high == pytest.approx(np.sqrt(squares / chi2.ppf(0.025, 3)))
    assert own.needed == pytest.approx(3.182446 * np.sqrt(2 * squares / 3), rel=1e-5)
    other = [record(run=f"r{r}", config={"optimizer": {"learning_rate": r}}) for r in (0.1, 0.2)]
    assert spread(other) is None and spread(made[-1:]) is None


def test_amounts_of_text_that_a_seed_changes_by_a_few_words_are_one() -> None:
    tokens = np.array([751_209.0, 1_500_000.0, 749_930.0, 1_531_000.0, 751_931.0])
    assert cells(tokens[:, None]).tolist() == [0, 1, 0, 2, 0] and cells(np.empty((0, 2))).tolist() == []
    dense = 1e6 * 1.015 ** np.arange(100.0)  # no chain of near ones is one amount
    assert np.bincount(cells(dense[:, None])).max() == 2
    between = np.array([(5.0, 1.0e6), (9.0, 1.015e6), (5.0, 1.03e6), (9.0, 1.0e6)])  # nor does another size join two
    assert cells(between).tolist() == [0, 2, 1, 2]
    own = spread([record(run=f"r{x}", tokens=x, heldout_loss=3.0 + x / 1e8) for x in tokens.tolist()])
    assert own is not None and (own.sizes, own.runs) == (1, 3)
    exact = planted(seeds=2)
    drawn = [dataclasses.replace(r, tokens=r.tokens * (1 + 1e-3 * (i % 2))) for i, r in enumerate(exact)]
    fits = [fit_parametric(*(analysis.columns(made)[i] for i in (0, 1, 3))) for made in (exact, drawn)]
    whole, near = (lack_of_fit(fit) for fit in fits if isinstance(fit, Fit))
    assert whole is not None and near is not None and near.ratio == pytest.approx(whole.ratio, rel=0.05)


def test_the_planted_spread_is_found() -> None:
    own = spread(planted(seeds=4))
    assert own is not None and own.deviation.covers(NOISE) and own.sizes == 12 and own.runs == 48


def test_the_future_is_forecast_from_the_cheaper_runs() -> None:
    made = planted(seeds=3)
    rows = future(made)
    most = max(r.training_flops for r in made)
    assert len(rows) >= 2 and [row.runs for row in rows] == sorted({row.runs for row in rows})
    for row in rows:
        cheaper = [r for r in made if r.training_flops <= row.flops]
        assert row.runs == len(cheaper) and row.times == pytest.approx(most / row.flops) and row.times > 1.5
        target = [r.heldout_loss for r in made if r.training_flops == most]
        assert row.came == pytest.approx(np.exp(np.mean(np.log(target))))
    last = rows[-1]
    assert last.expected is not None and last.expected.covers(last.came) and abs(last.error) < 0.01
    # The target itself must not be among the runs that are fitted.
    moved = future(planted(seeds=3, raised=0.5))
    assert moved[-1].expected == last.expected and moved[-1].error == pytest.approx(-1 / 3, abs=0.01)


def test_the_sections_say_so(tmp_path: Path) -> None:
    its = found(tmp_path, planted())
    (noise,) = trust.seeds(its)
    assert noise.table[1][:3] == ["transformer", "12", "24"] and re.match(r"0\.\d\d% \[", noise.table[1][3])
    (left_out,) = trust.foretold(its)
    assert {row[0] for row in left_out.table[1:]} == {"transformer"} and left_out.table[-1][-1] == "yes"
    (checks,) = trust.checklist(its)
    answers = dict(checks.table[1:])
    assert answers["Which optimiser and schedule?"] == "adamw, cosine" and answers["Seeds?"] == "0, 1"
    assert answers["How many parameters?"].startswith("3,176 to 65,136")
    assert answers["How many points in each fit?"] == "24"
    assert answers["What is minimised?"] == "Huber loss of log loss, delta 0.001"
    assert all(answer and "None" not in answer for answer in answers.values())
    (picture,) = sections.over_training(its)[0].pictures
    assert np.unique(imread(picture)).size > 10
    assert {"law", "floor, E", "extrapolation"} <= {row[0] for row in trust.glossary(its)[0].table}


def test_one_seed_and_no_run_have_no_noise(tmp_path: Path) -> None:
    assert "is not known" in trust.seeds(found(tmp_path, planted(seeds=1)))[0].text[0]
    nothing = found(tmp_path, planted())._replace(made=[], usable=[], laws=[])
    assert not [*trust.seeds(nothing), *trust.foretold(nothing), *trust.checklist(nothing), *trust.glossary(nothing)]


def test_runs_are_exported_with_every_key(tmp_path: Path) -> None:
    made = planted(seeds=1)
    export.write([*made, record(run="other", config={"model": {"new": True}})], tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert len(rows) == 13 and rows[0]["Name"] == made[0].run and rows[0]["Group"] == "transformer"
    assert float(rows[3]["heldout_loss"]) == made[3].heldout_loss
    assert (
        rows[0]["config.model.dim"] == "8"
        and rows[0]["config.model.new"] == ""
        and rows[-1]["config.model.new"] == "True"
    )
    assert rows[0]["config.optimizer.learning_rate"] == "0.012"


def test_the_export_gives_the_same_runs_to_a_fit(tmp_path: Path) -> None:
    """Also those that failed, or that a baseline shows to be on the plateau."""
    made = planted(seeds=1)
    level = {"heldout_accuracy": 0.05, "heldout_unigram_loss": 5.0, "heldout_unigram_accuracy": 0.05}
    made[0] = dataclasses.replace(made[0], heldout_loss=5.01, **level)
    made[1] = dataclasses.replace(made[1], status="failed", heldout_loss=None)
    export.write(made, tmp_path / "runs.csv")
    records.write(tmp_path / "results.jsonl", made)
    csv_runs, own = (read_table(tmp_path / name, arm="transformer") for name in ("runs.csv", "results.jsonl"))
    assert len(own.loss) == len(made) - 2 and csv_runs.notes == own.notes
    for one, other in zip(csv_runs[:4], own[:4], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_that_is_worse_than_a_guess_is_named(tmp_path: Path) -> None:
    made = [dataclasses.replace(r, vocabulary=200) for r in planted(seeds=1)]
    assert not any("uniform guess" in line for line in sections.laws(found(tmp_path, made)).text)
    made[2] = dataclasses.replace(made[2], heldout_loss=46_376.0)
    its = found(tmp_path, made)
    assert any(f"such as {made[2].run} with 46376 nats" in line for line in sections.laws(its).text)
    assert "NOT left out" in dict(trust.checklist(its)[0].table)["What was left out?"]
    made[2] = dataclasses.replace(made[2], heldout_unigram_loss=5.0)  # then it is on the plateau, and left out
    its = found(tmp_path, made)
    assert not any("uniform guess" in line for line in sections.laws(its).text)
    assert "1 run(s) on the plateau" in dict(trust.checklist(its)[0].table)["What was left out?"]


def test_what_was_left_out_is_said_by_reason(tmp_path: Path) -> None:
    made = planted(seeds=1)
    assert dict(trust.checklist(found(tmp_path, made))[0].table)["What was left out?"] == "nothing"
    config = made[5].config | {"optimizer": made[5].config["optimizer"] | {"learning_rate": 0.5}}
    other = made[5].config | {"model": made[5].config["model"] | {"heads": 77}}
    worse = (made[5].heldout_loss or 0.0) + 0.1
    made.append(dataclasses.replace(made[5], run="rate", config=config, heldout_loss=worse))
    made.append(dataclasses.replace(made[5], run="heads", config=other, heldout_loss=worse))
    made.append(dataclasses.replace(made[5], run="failed", status="failed", heldout_loss=None))
    made[2] = dataclasses.replace(made[2], heldout_unigram_loss=2.0, heldout_unigram_accuracy=0.5, heldout_accuracy=0.1)
    its = found(tmp_path, analysis.usable(made))._replace(made=made)
    assert dict(trust.checklist(its)[0].table)["What was left out?"] == (
        "1 run(s) that failed or diverged; 1 run(s) at other rates, of which the best counts; 1 run(s) that differ "
        "from a better one of equal parameters, tokens and seed in model.heads; 1 run(s) that are worse than the "
        "counts of tokens alone were NOT left out"
    )
    said = " ".join(sections.laws(its).text)
    assert "such as heads, and differ from it in model.heads" in said
    assert f"worse than the counts of tokens alone, such as {made[2].run} with" in said


def test_the_schedules_of_several_arms_are_told_apart(tmp_path: Path) -> None:
    made = planted(seeds=1)
    optimizer = made[0].config["optimizer"]
    for r in planted(seeds=1):
        config = r.config | {"optimizer": optimizer | {"schedule": "wsd"}}
        made.append(dataclasses.replace(r, arm="trunk", config=config, made_flops=0.1 * r.training_flops))
    answers = dict(trust.checklist(found(tmp_path, made))[0].table)
    assert answers["Which optimiser and schedule?"] == "transformer: adamw, cosine; trunk: adamw, wsd"
    assert answers["Final or intermediate losses?"].endswith("are shared by the runs of trunk of one size and seed")


def study_at(folder: Path, made: list[Record]) -> Path:
    folder.mkdir()
    records.write(folder / "results.jsonl", made)
    return folder


def test_two_studies_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = study_at(tmp_path / "one", planted())
    two = study_at(tmp_path / "two", [*planted(raised=0.1), record(run="x", arm="lstm")])
    assert compare.compare(f"{one},{two}") == 0
    said = capsys.readouterr().out
    table = [line for line in said.splitlines() if re.match(r"\s*[\d,]+  +[\d,]+  ", line)]
    assert len(table) == 12 and sum(line.endswith("yes") for line in table) == 1
    assert "+10.00%" in next(line for line in table if line.endswith("yes"))
    assert "alpha" in said and "overlap" in said and f"only in {two}: lstm" in said


def test_a_comparison_is_in_order_and_counts_what_it_does_not_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = planted()[::-1]
    drawn = [dataclasses.replace(r, tokens=r.tokens * 1.001) for r in made[4:]]
    drawn.append(dataclasses.replace(made[0], run="failed", status="failed", heldout_loss=None))
    one, two = study_at(tmp_path / "one", made), study_at(tmp_path / "two", drawn)
    assert compare.compare(f"{one},{two}") == 0
    said = capsys.readouterr().out
    table = [re.split("  +", line.strip())[:2] for line in said.splitlines() if re.match(r"\s*[\d,]+  +[\d,]+  ", line)]
    sizes = [tuple(int(x.replace(",", "")) for x in row) for row in table]
    assert len(sizes) == 10 and sizes == sorted(sizes)
    assert "in one alone: 2 of the first, 0 of the second" in said
    assert f"transformer of {two}: left out of the laws: 1 run(s) that failed or diverged" in said


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda a, b: f"{a}", "must be two folders"),
        (lambda a, b: f"{a},{b / 'none'}", "has no results.jsonl"),
        (lambda a, b: f"{a},{b}", "no arm is in both; they have transformer and lstm"),
    ],
    ids=["one", "absent", "other arms"],
)
def test_what_cannot_be_compared(make, why: str, tmp_path: Path) -> None:  # noqa: ANN001
    one = study_at(tmp_path / "one", planted(seeds=1))
    two = study_at(tmp_path / "two", [record(run="x", arm="lstm")])
    with pytest.raises(UserError, match=why):
        compare.compare(make(one, two))


def test_the_report_tries_the_joint_law_where_the_sum_is_wrong(tmp_path: Path) -> None:
    made, rng, together = planted(noise=0.001), np.random.default_rng(0), []
    for r in made:
        n, d = float(r.parameters or 0), float(r.tokens or 0)
        loss = 2.0 + ((60 / n**0.4) ** (1 / 0.3) + (120 / d**0.3) ** (1 / 0.3)) ** 0.3
        together.append(dataclasses.replace(r, heldout_loss=loss * float(np.exp(rng.normal(0, 0.001)))))
    (section,) = trust.seeds(found(tmp_path, together))
    assert re.search(r"F = [\d.e+]+, chance \S+: WRONG FORM; joint law: F = [\d.]+, chance 0\.\d", section.table[1][-1])
    (straight,) = trust.seeds(found(tmp_path, made))
    assert "WRONG FORM" not in straight.table[1][-1]


def test_lack_of_fit_is_the_f_test_of_means_against_seeds() -> None:
    """A line through cells of three seeds, where the sums of squares are those of an analysis of variance."""
    x = np.repeat(np.geomspace(1e3, 1e6, 6), 3)
    rng = np.random.default_rng(1)
    straight = 9.0 * x**-0.07 * np.exp(rng.normal(0, 0.004, 18))
    bent = straight * np.exp(0.004 * np.log(x / 3e4) ** 2)
    for y, wrong in ((straight, False), (bent, True)):
        fit = fit_power(x, y, floor=False)
        assert isinstance(fit, Fit)
        found = lack_of_fit(fit)
        assert found is not None and found.wrong is wrong
        groups = np.log(y).reshape(6, 3)
        within = ((groups - groups.mean(1, keepdims=True)) ** 2).sum() / 12
        law = np.log(predict(fit, x)).reshape(6, 3)[:, 0]
        assert found.ratio == pytest.approx(3 * ((groups.mean(1) - law) ** 2).sum() / 4 / within, rel=1e-6)
        assert found.chance == pytest.approx(fisher.sf(found.ratio, 4, 12))
    alone = fit_power(x[::3], straight[::3], floor=False)
    assert isinstance(alone, Fit) and lack_of_fit(alone) is None
