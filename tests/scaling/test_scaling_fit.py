"""`experiments.scaling --fit` of tables with several arms: what each gets, and where its results go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.scaling.fit import Options, fit, named
from w2v_jax.errors import UserError


def line(arm: str, k: int, **change: object) -> str:
    row = {"arm": arm, "status": "finished", "parameters": 1000 * k, "tokens": 20000 * k, "heldout_loss": 5.0 - 0.1 * k}
    return json.dumps(row | change) + "\n"


def test_an_arm_without_a_run_does_not_keep_the_others_from_their_laws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One on the plateau, one without a loss; the arms after them are fitted."""
    flat = {"heldout_loss": 5.0, "heldout_accuracy": 0.1, "heldout_unigram_loss": 4.9, "heldout_unigram_accuracy": 0.1}
    table = tmp_path / "runs.jsonl"
    table.write_text(
        line("flat", 1, **flat) + line("none", 1, heldout_loss=None) + "".join(line("c", k) for k in (1, 2))
    )
    assert fit(table, Options(), str(tmp_path / "out")) == 0
    said = capsys.readouterr().out
    assert "arm flat\nno law of this arm: " in said and "all 1 are on the plateau" in said
    assert "arm none\nno law of this arm: " in said and "1 run(s) have no held-out loss" in said
    assert f"arm c\n{table}: 2 run(s)\n" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c"]
    table.write_text(line("flat", 1, **flat) + line("none", 1, heldout_loss=None))
    with pytest.raises(UserError, match=r"no run to fit; .* \(arm flat; no other arm has one either\)"):
        fit(table, Options(), None)


def test_a_bad_line_of_a_later_arm_ends_it_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "runs.jsonl"
    table.write_text(line("a", 1) + line("b", 1, tokens=1e300))
    with pytest.raises(UserError, match=r"line 2: column 'tokens': 1e\+300 is not from 1e-50 to 1e\+50"):
        fit(table, Options(), str(tmp_path / "out"))
    assert not capsys.readouterr().out and not (tmp_path / "out").exists()


def test_the_folder_of_an_arm_is_one_within_out_and_its_own(tmp_path: Path) -> None:
    arms = [
        "../../escaped",
        "a/b",
        "a%2Fb",
        "/absolute",
        "..",
        ".",
        "",
        "%",
        "a\nb",
        "x" * 300,
        "x" * 301,
        "rule_0.02, \u00e9",
    ]
    names = [named(arm) for arm in arms]
    assert len(set(names)) == len(arms) and named("rule_0.02, \u00e9") == "rule_0.02, \u00e9"
    for name in names:
        assert (tmp_path / name).parent == tmp_path and name not in (".", "..") and len(name.encode()) <= 255, name
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    table = home / "runs.jsonl"
    table.write_text(line("../../escaped", 1) + line("a/b", 1) + line(str(tmp_path / "absolute"), 1))
    fit(table, Options(), str(home / "out"))
    assert {path.parent.parent for path in tmp_path.rglob("fit.json")} == {home / "out"}
    assert len(list(home.rglob("fit.json"))) == 3
