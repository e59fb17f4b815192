"""Fitting a table by the command line: conditions, budgets, repeats, and the tables of published studies."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.scaling import budget, published
from experiments.scaling.fit import Options, fit
from w2v_jax.errors import UserError
from w2v_jax.papers import NUMBERS
from w2v_jax.scaling import allocation
from w2v_jax.scaling.run_table import read_columns, read_table
from w2v_jax.scaling.where import parse


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Runs of a known surface at five budgets, each with two rates, of which one is worse by a tenth."""
    lines = ["parameters,tokens,training_flops,loss,learning_rate,schedule"]
    for c in np.geomspace(1e17, 1e21, 5):
        for n in np.sqrt(c / 120) * np.geomspace(0.2, 5, 7):
            d = c / (6 * n)
            loss = 1.69 + 406.4 / n**0.34 + 410.7 / d**0.28
            lines += [f"{n},{d},{c},{loss},0.001,cosine", f"{n},{d},{c},{1.1 * loss},0.01,cosine"]
    lines.append("1e9,1e9,6e18,9.9,0.001,constant")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_budget_buys_the_optimum_of_the_surface(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = Options(where=tuple(parse("schedule=cosine")), best=True, budgets=(1e21, 1e24), device="v5e:256")
    assert fit(table, options, None) == 0
    said = capsys.readouterr().out
    assert (
        "35 run(s)\n" in said and "35 run(s) left out: another of equal parameters and tokens has a lower loss" in said
    )
    row = next(line for line in said.splitlines() if line.startswith("1.000e+24"))
    ours = [float(x) for x in re.findall(r"(\S+) \[", row)]
    g = (0.34 * 406.4 / (0.28 * 410.7)) ** (1 / 0.62)
    n = g * (1e24 / 6) ** (0.28 / 0.62)
    assert ours[0] == pytest.approx(n, rel=1e-3) and ours[1] == pytest.approx(1e24 / 6 / n, rel=1e-3)
    assert ours[2] == pytest.approx(1.69 + 406.4 / n**0.34 + 410.7 / (1e24 / 6 / n) ** 0.28, rel=1e-3)
    assert "1e+03 times" in row and row.endswith(":00") is False
    memory = 16 * n / 256 / 2**30
    assert f"{memory:.3g} of 15.75" in row
    assert re.search(r"would miss this N by \S+% at 1.000e\+21, \S+% at 1.000e\+24", said)
    assert "rate and batch are not by this table" in said
    rate = 1.79 * n**-0.712 * (1e24 / 6 / n) ** 0.307
    assert f"learning rate {rate:.3g}" in said
    assert (
        "(extrapolated)\nthese laws come from runs of N from 2.147e+08 to 1.074e+09 and D from 4.000e+09 to 1" in said
    )
    assert fit(table, Options(where=tuple(parse("schedule=cosine")), best=True, budgets=(6e19,)), None) == 0
    assert "extrapolated" not in capsys.readouterr().out
    assert NUMBERS["steplaw", "rate, coefficient"].checked == "unverified"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("schedule", "must be column=value"),
        ("=3", "must be column=value"),
        ("a==3", "must be column=value"),
        ("a=<3", "must be column=value"),
        ('a="b', "must be column=value"),
        ("a=b, c", r"' c' must be .*; put what holds such signs or a comma in"),
        ("schedule=", "must be column=value"),
        ("shedule=cosine", "no column 'shedule' .did you mean 'schedule'"),
        ("schedule<=3", "cannot be compared with 'schedule<=3'"),
        ("tokens<=x", "'x' must be a number"),
        ("schedule=linear", "no run to fit"),
    ],
)
def test_bad_conditions(table: Path, text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        read_table(table, where=parse(text))


def test_conditions_compare_numbers_as_numbers(table: Path) -> None:
    assert len(read_table(table, where=parse("learning_rate=1e-3,schedule=cosine")).loss) == 35
    assert len(read_table(table, where=parse("training_flops<=1e+18, learning_rate>=0.005")).loss) == 14
    columns = read_columns(table, ["learning_rate", "loss"], parse("schedule=constant"))
    assert columns["learning_rate"].tolist() == [0.001] and columns["loss"].tolist() == [9.9]
    with pytest.raises(UserError, match="no column 'learning_rates' .did you mean 'learning_rate'"):
        read_columns(table, ["learning_rates"])


def test_rows_that_repeat_count_where_asked(table: Path) -> None:
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    assert [len(read_table(table, repeats=r).loss) for r in (False, True)] == [71, 72]


def sweep(path: Path) -> Path:
    """Two arms of rates and batches about planted optima, those of b eight times as high, each with diverged runs."""
    lines = ["arm,status,parameters,tokens,learning_rate,batch_tokens,heldout_loss,loss"]
    for arm, times in (("a", 1.0), ("b", 8.0)):
        for n in np.geomspace(1e7, 1e9, 3):
            for d in np.geomspace(2e8, 2e10, 3):
                loss, rate, batch = 1.8 + 400 / n**0.34 + 2000 / d**0.37, times * n**-0.4, 10 * d**0.5
                for i in range(-2, 3):
                    for j in range(-2, 3):
                        own = f"{rate * 2**i},{batch * 2**j},{loss * (1 + 0.002 * (i * i + j * j) + 1e-5 * i)}"
                        lines.append(f"{arm},finished,{n},{d},{own},0.1")
                lines.append(f"{arm},diverged,{n},{d},{64 * rate},{batch},{0.99 * loss},")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rates_are_those_of_the_finished_runs_of_the_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, options = sweep(tmp_path / "rates.csv"), Options(best=True, drop=2)
    runs = options.read(path, "b")
    assert len(runs.loss) == 7
    laws = budget.rates_of(options.read_rates(path, "b"), runs)
    assert len(laws.cells) == 7, "those of the runs that are not dropped"
    assert float(laws.rate.at(N=1e8, D=1e9)) == pytest.approx(8 * 1e8**-0.4, rel=0.01)
    its = allocation.Allocation(1e20, *(published.Value(x, x, x) for x in (1e8, 1e9, 3.0)), 1.0)
    budget.show_rates(lambda: options.read_rates(path, "a"), runs, [its])
    assert f"learning rate {1e8**-0.4:.2g}" in capsys.readouterr().out


def test_a_budget_says_what_it_counts_and_what_is_far(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = tuple(parse("schedule=cosine"))
    assert fit(table, Options(where=where, best=True, budgets=(1e23,)), None) == 0
    said = capsys.readouterr().out
    assert "the table's own FLOPs" not in said and re.search(
        r"1.000e\+23 FLOPs: D = \S+ is \S+ times the largest", said
    )
    more = [line.split(",") for line in table.read_text().splitlines()]
    rows = [row if i == 0 else [*row[:2], str(1.5 * float(row[2])), *row[3:]] for i, row in enumerate(more)]
    table.write_text("\n".join(map(",".join, rows)) + "\n")
    assert fit(table, Options(where=where, best=True, budgets=(1e23,)), None) == 0
    again = capsys.readouterr().out
    assert "own FLOPs are 1.5 times 6 N D (1.5 to 1.5); budgets here are 6 N D: divide FLOPs of that" in again
    bias = [re.findall(r"would miss this N by (\S+)%", text) for text in (said, again)]
    assert float(bias[0][0]) == pytest.approx(float(bias[1][0]), abs=0.5)


@pytest.mark.parametrize(("ratio", "law"), [(20, "C, no cheaper"), (None, "D, at the largest size")])
def test_a_table_of_one_ratio_or_one_size_has_a_law(
    tmp_path: Path, ratio: int | None, law: str, capsys: pytest.CaptureFixture[str]
) -> None:
    d = np.geomspace(1e8, 1e10, 8)
    n = np.full(8, 1e7) if ratio is None else d / ratio
    rows = [f"{a},{b},{1.8 + 400 / a**0.34 + 2000 / b**0.37}" for a, b in zip(n, d, strict=True)]
    (tmp_path / "runs.csv").write_text("parameters,tokens,loss\n" + "\n".join(rows) + "\n")
    assert fit(tmp_path / "runs.csv", Options(), str(tmp_path / "out")) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(law))
    assert re.search(r" 8  A = .*, alpha = 0\.\d+ \[", line)
    found = json.loads((tmp_path / "out" / "fit.json").read_text())["of one size"]
    assert next(found[name] for name in found if name.startswith(law))["runs"] == 8


@pytest.mark.parametrize("text", ["", "-1", "0", "1e21,", "many", "inf", "nan"])
def test_bad_budgets(text: str) -> None:
    with pytest.raises(UserError, match="must be FLOPs such as 1e21"):
        budget.parse(text)


def test_results_are_written_and_read_back_with_open_intervals() -> None:
    rows = [
        published.Row("vpnls", "Hoffmann, E", published.published("vpnls", "Hoffmann, E"), published.Value(1, 0, 2), 9)
    ]
    back = published.of_json(json.loads(json.dumps(published.as_json(rows, {}, {}))))
    assert back[0].ours == rows[0].ours and math.isnan(back[0].published.low) and back[0].held


def test_published_numbers_come_out_again(shared_data: Path) -> None:
    """Quick ones; the gallery's record has all of them."""
    tables = shared_data / "scaling"
    for its in published.OPTIMA:
        row = published.optima(tables, its)
        assert row.held
        if row.paper == "porian":
            assert row.ours.value == pytest.approx(row.published.value, abs=1e-4)  # as it is printed
    rows, about = published.surface(tables, published.SURFACES[1], resamples=30)
    assert all(row.held for row in rows)
    assert about["misfitting"]["objective"] == pytest.approx(0.0050217, abs=5e-8)
