"""Tables of runs: what is read, what is left out, and one line for every kind of bad file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.commands import ROOT
from w2v_jax.errors import UserError
from w2v_jax.scaling.run_table import NoRun, read_arms, read_table
from w2v_jax.scaling.where import parse


def test_csv_with_flops_gets_its_tokens(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\ufeffparameters, training_flop ,loss,note\n1e6,6e12,3.5,a\n\n2e6,6e12,3.25,\n", encoding="utf-8")
    runs = read_table(path)
    np.testing.assert_array_equal(runs.parameters, [1e6, 2e6])
    np.testing.assert_array_equal(runs.tokens, [1e6, 5e5])
    np.testing.assert_array_equal(runs.loss, [3.5, 3.25])
    assert runs.notes == ("tokens of 2 run(s) are FLOPs / (6 parameters): the table has none",)


def test_jsonl_leaves_out_what_is_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    rows = [
        {"parameters": 1000, "tokens": 5000, "heldout_loss": 4.0, "loss": 9.0, "status": "finished"},
        {"parameters": 2000, "status": "diverged", "heldout_loss": None},
        {"parameters": 2000, "training_flops": 12e6, "heldout_loss": 3.0},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    runs = read_table(path)
    np.testing.assert_array_equal(runs.loss, [4.0, 3.0])
    np.testing.assert_array_equal(runs.tokens, [5000, 1000])
    np.testing.assert_array_equal(runs.flops, [3e7, 12e6])
    assert "1 run(s) left out: status" in runs.notes[0] and len(runs.notes) == 3


def test_repeated_runs_count_once(tmp_path: Path) -> None:
    """Results merged twice, rows copied, and a run that was made again: each would narrow the intervals."""
    csv = tmp_path / "runs.csv"
    csv.write_text("parameters,tokens,loss\n" + 4 * "10,100,3.5\n20,100,3.25\n" + "10,100,3.25\n")
    runs = read_table(csv)
    np.testing.assert_array_equal(runs.parameters, [10, 20, 10])
    np.testing.assert_array_equal(runs.loss, [3.5, 3.25, 3.25])
    assert "6 row(s) repeat a run, and count once" in runs.notes
    first = {"run": "a_s0", "parameters": 1000, "tokens": 5000, "loss": 4.0}
    rows = [first, first | {"run": "b_s0", "loss": 3.9}, first | {"loss": 3.8}, first | {"run": "a_s1", "loss": 4.1}]
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    runs = read_table(path)
    np.testing.assert_array_equal(runs.loss, [3.8, 3.9, 4.1])
    assert "1 row(s) repeat a run, and count once" in runs.notes


def test_runs_of_equal_numbers_or_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Losses of two digits agree by chance; a column `run` may hold the model, and amounts of text tell its runs."""
    path = tmp_path / "runs.csv"
    path.write_text("run,parameters,tokens,loss\na,10,100,3.5\nb,10,100,3.5\na,10,200,3.4\na,20,200,3.4\n")
    runs = read_table(path)
    np.testing.assert_array_equal(runs.tokens, [100, 100, 200, 200])
    assert not any("repeat" in note for note in runs.notes)
    path.write_text("run,parameters,tokens,loss\na,10,100,3.5\na,10,100,3.25\na,20,100,3.1\n")
    runs = read_table(path)
    np.testing.assert_array_equal(runs.loss, [3.25, 3.1])
    assert runs.notes[0] == "1 row(s) repeat a run, and count once"
    assert "1 of them, such as a, have another loss than the last row" in runs.notes[1]


def test_one_loss_counts_for_all_rows(tmp_path: Path) -> None:
    """The loss of the training text would stand for an empty cell."""
    path = tmp_path / "runs.csv"
    head = "parameters,tokens,heldout_loss,loss,status\n10,100,3.5,2.5,finished\n"
    path.write_text(head + "20,100,,2.4,finished\n")
    with pytest.raises(UserError, match="line 3: no 'heldout_loss', which other rows have, and 'loss' may be another"):
        read_table(path)
    path.write_text(head + "20,100,,2.4,diverged\n")
    np.testing.assert_array_equal(read_table(path).loss, [3.5])
    path.write_text(head.replace("3.5", "") + "20,100,,2.4,finished\n")
    np.testing.assert_array_equal(read_table(path).loss, [2.5, 2.4])


def test_what_conditions_leave_out_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("arm,parameters,tokens,loss\na,10,100,3.5\na,10,200,3.4\nb,10,300,3.4\n,10,300,3.3\n")
    assert "1 row(s) left out: they do not hold --where" in read_table(path, arm="a", where=parse("tokens>=200")).notes
    assert read_arms(path) == (("a", "b"), 1, ())
    path.write_text("arm,status,parameters,tokens,loss\na,finished,10,100,3.5\nb,failed,10,200,3.4\n")
    assert read_arms(path) == (("a",), 0, ("b",))


def test_one_name_with_two_configs_is_two_runs_and_said(tmp_path: Path) -> None:
    first = {"run": "a_s0", "config_hash": "1", "parameters": 1000, "tokens": 5000, "loss": 4.0}
    path = tmp_path / "runs.jsonl"
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in (first, first, first | {"config_hash": "2", "loss": 3.0}))
    )
    runs = read_table(path)
    np.testing.assert_array_equal(runs.loss, [4.0, 3.0])
    assert "1 row(s) repeat a run, and count once" in runs.notes
    assert "1 name(s), such as a_s0, have several configs, and each counts" in " ".join(runs.notes)


def test_runs_on_the_plateau_of_single_words_are_left_out_of_the_committed_study() -> None:
    path = ROOT / "results" / "scaling_wiki.jsonl"
    runs = read_table(path, arm="lstm")
    assert len(runs.loss) == 9 and "3 run(s) left out, on the plateau of single words" in runs.notes[0]
    assert [len(read_table(path, arm=arm).loss) for arm in ("transformer", "elementwise", "shared_kv")] == [12, 3, 3]


def test_an_export_is_read_as_it_is_named(tmp_path: Path) -> None:
    """Names of Weights & Biases are not unique, and its columns may stand in a condition."""
    path = tmp_path / "wandb.csv"
    rows = "a,finished,x,1e6,2e7,4.0\na,finished,,2e6,2e7,3.5\nb,crashed,x,3e6,2e7,3.0\n"
    path.write_text("Name,State,Group,parameters,tokens,loss\n" + rows)
    assert read_arms(path).names == ("x", "no group")
    runs = read_table(path)
    np.testing.assert_array_equal(runs.loss, [4.0, 3.5])
    assert runs.notes[0] == "1 run(s) left out: status is not 'finished'"
    for text in ("Group=x", "Name=a,Group=x", "State=finished,parameters<=1e6", "arm=x"):
        assert len(read_table(path, where=parse(text)).loss) == 1, text


def test_numbers_in_other_units_are_noticed(tmp_path: Path) -> None:
    def notes(text: str) -> str:
        (tmp_path / "runs.csv").write_text(text)
        return "; ".join(read_table(tmp_path / "runs.csv").notes)

    right = "parameters,tokens,training_flops,loss,vocabulary\n1e6,2e7,1.3e14,4.1,8192\n"
    assert "warning" not in notes(right)
    assert "FLOPs of 1 run(s) are 1.08e+09 times" in notes(right.replace("2e7", "0.02"))
    assert "the loss of 1 run(s), such as 60.3, is above 9.01" in notes(right.replace("4.1", "60.3"))
    bare = "parameters,tokens,loss\n1e6,2e7,9.2\n1e6,1e8,9666.6\n"
    assert "the loss of 1 run(s), such as 9667, is above 13.8" in notes(bare)


def test_the_fewest_tokens_a_parameter_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("parameters,tokens,loss\n10,100,1\n10,1,2\n10,50,3\n10,20,4\n")
    runs = read_table(path, drop_fewest_tokens_per_parameter=2)
    np.testing.assert_array_equal(runs.loss, [1, 3])
    assert "2 run(s)" in runs.notes[-1] and "up to 2" in runs.notes[-1]
    with pytest.raises(UserError, match="cannot drop 4 of 4 run"):
        read_table(path, drop_fewest_tokens_per_parameter=4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"parameters,tokens,loss\n", "no run to fit"),
        ("a.csv", b"parameters,tokens,loss\n1,2,\xff\n", "line 2: not UTF-8"),
        (
            "a.csv",
            b"parameter,tokens,loss\n1,2,3\n",
            "line 1: no column 'parameters' (is it 'parameter'? then rename it)",
        ),
        (
            "a.csv",
            b"parameters,token,loss\n1,2,3\n",
            "no column 'tokens' or 'training_flops' or 'training_flop' (is it 'token'",
        ),
        ("a.csv", b"parameters,tokens,x\n1,2,3\n", "no column 'heldout_loss' or 'loss'; add one"),
        ("a.csv", b"parameters;tokens;loss\n1;2;3\n", "line 1: fields are separated by ';'; save the file with commas"),
        ("a.csv", b"parameters\ttokens\tloss\n1\t2\t3\n", "line 1: fields are separated by tabs"),
        (
            "a.csv",
            b"N,D,L\n1,2,3\n",
            "no column 'parameters' (is it 'N'? then rename it), no column 'tokens' or 'training_flops' or "
            "'training_flop' (is it 'D'? then rename it), no column 'heldout_loss' or 'loss' (is it 'L'? then rename "
            "it); add them",
        ),
        ("a.csv", b"parameters,tokens,loss,loss\n1,2,3,4\n", "line 1: column 'loss' appears twice"),
        ("a.csv", b"parameters,tokens,loss\n1,2\n", "line 2: 2 fields, the header has 3"),
        ("a.csv", b"parameters,tokens,loss\n1,2,3\n1,two,3\n", "line 3: column 'tokens': 'two' is not a number"),
        ("a.csv", b"parameters,tokens,loss\n1,2,nan\n", "line 2: column 'loss': nan is not a positive number"),
        ("a.csv", b"parameters,tokens,loss\n-1,2,3\n", "line 2: column 'parameters': -1 is not a positive number"),
        ("a.csv", b"parameters,tokens,loss\n1,0,3\n", "line 2: column 'tokens': 0 is not a positive number"),
        ("a.csv", b"parameters,tokens,loss\n1,,3\n", "line 2: no column 'tokens'"),
        (
            "a.csv",
            b"parameters,tokens,loss\n1,2,3\n1e300,2,3\n",
            "line 3: column 'parameters': 1e300 is not from 1e-50 to",
        ),
        (
            "a.csv",
            b"parameters,tokens,loss\n1,2,3\n1,2,3\n1e12,2,3\n",
            "line 4: column 'parameters': 1e+12 is more than",
        ),
        ("a.csv", b"parameters,tokens,loss\n1,2,1e-300\n", "line 2: column 'loss': 1e-300 is not from 1e-50 to 1e+50"),
        (
            "a.csv",
            b'parameters,tokens,loss,x\n1,2,3,"a\n2,3,4,b\n',
            "line 2: not a row of a .csv file (unexpected end of data)",
        ),
        ("a.csv", b'parameters,tokens,loss,x\n1,2,3,"a\n2,3,4,"b"\n', 'is a quote (") not closed, or not doubled'),
        ("a.jsonl", b"{\n", "line 1: not JSON"),
        ("a.jsonl", b"[1]\n", "line 1: not an object"),
        ("a.jsonl", b'{"parameters": 1, "tokens": true, "loss": 1}\n', "column 'tokens': 'True' is not a number"),
        ("a.jsonl", b'{"parameters": 1, "tokens": 1, "loss": NaN}\n', "column 'loss': nan is not a positive"),
        ("a.jsonl", b'{"parameters": 1, "tokens": 1, "loss": 1, "loss": 2}\n', "column 'loss' appears twice"),
        ("a.jsonl", b'{"parameters": 1, "tokens": 1}\n', "line 1: no column 'heldout_loss' or 'loss'"),
        ("a.jsonl", b'{"parameters": 1, "tokens": 1, "loss": 1, "status": "failed"}\n', "1 run(s) have another status"),
        ("a.txt", b"x", "must end in .csv or .jsonl"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as e:
        read_table(path)
    assert message in str(e.value) and str(path) in str(e.value) and "\n" not in str(e.value)


def test_a_run_without_a_held_out_loss_is_left_out_and_counted(tmp_path: Path) -> None:
    """Its block loss is another quantity, and no other row is to be renamed."""
    path = tmp_path / "runs.jsonl"
    first = {"run": "a", "parameters": 1000, "tokens": 5000, "heldout_loss": 4.0, "heldout_block_loss": 4.1}
    rows = [
        first,
        first | {"run": "b", "heldout_loss": None},
        {"parameters": 9, "heldout_loss": None, "status": "failed"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    runs = read_table(path)
    assert runs.loss.tolist() == [4.0] and "1 run(s) left out: without a held-out loss" in runs.notes
    path.write_text(json.dumps(rows[1]))
    with pytest.raises(NoRun, match=r"no run to fit; 1 run\(s\) have no held-out loss"):
        read_table(path)
    path.write_text(json.dumps({"parameters": 1000, "tokens": 5000, "heldout_block_loss": 4.1}))
    with pytest.raises(UserError, match=r"no column 'heldout_loss' or 'loss'; add one"):
        read_table(path)
    csv = tmp_path / "runs.csv"
    csv.write_text("parameters,tokens,heldout_loss\n10,100,3.5\n20,100,\n")
    assert read_table(csv).loss.tolist() == [3.5]


def test_of_a_search_the_best_run_of_each_seed_counts(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("parameters,tokens,loss,seed\n10,100,3.5,0\n10,100,3.4,0\n10,100,3.1,b\n20,100,3.0,0\n")
    runs = read_table(path, best=True)
    assert runs.loss.tolist() == [3.4, 3.1, 3.0]
    assert "1 run(s) left out: another of equal parameters, tokens and seed has a lower loss" in runs.notes
    path.write_text("parameters,tokens,loss\n10,100,3.5\n10,100,3.1\n")
    runs = read_table(path, best=True)
    assert runs.loss.tolist() == [3.1] and "no column 'seed' tells seeds" in runs.notes[0]


def test_a_field_may_go_on_over_lines(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    text = 'parameters,tokens,note,loss\n10,100,"two\n\nlines, ""quoted""",3.5\n20,100,,x\n'
    path.write_text(text)
    with pytest.raises(UserError, match="line 5: column 'loss': 'x' is not a number"):
        read_table(path)
    path.write_text(text.replace(",x", ',3.25\n30,100,"a",3.1'))
    assert read_table(path).loss.tolist() == [3.5, 3.25, 3.1]
    assert len(read_table(path, where=parse("note=a")).loss) == 1


def test_conditions_with_spaces_commas_and_other_signs(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text('parameters,tokens,loss,my note\n10,100,3,"a, b"\n20,100,2,a=b\n30,100,1,\n')
    for text, sizes in {
        'my note="a, b"': [10],
        "my note = a=b,": [20],
        '"my note"!="a, b"': [20],
        "parameters>10,parameters<30": [20],
        'parameters!=10,parameters<="30"': [20, 30],
    }.items():
        assert read_table(path, where=parse(text)).parameters.tolist() == sizes, text
        assert parse(",".join(condition.text for condition in parse(text))) == parse(text)


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_table(tmp_path / "none.csv")
