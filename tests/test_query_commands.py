"""The two commands as they are run: output, exit status, one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import commands
from tests.commands import Done
from w2v_jax.embeddings import Embeddings, save

pytestmark = pytest.mark.xdist_group("query")  # one worker: they share a run folder

WORDS = ["king", "man", "woman", "queen", "pear", "doctor", "value", "values", "array", "arrays"]


def command(name: str, *arguments: str) -> Done:
    return commands.run(f"experiments.{name}", *arguments)


def refused(done: Done, *parts: str) -> None:
    assert done.status == 2, done.err
    assert done.err.startswith("error: ") and done.err.count("\n") == 1, done.err
    assert all(part in done.err for part in parts), done.err


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """What a training run leaves behind, as far as these commands read it."""
    x = np.random.default_rng(0).normal(0, 0.1, (10, 5)).astype(np.float32)
    x[4:, :3] = 0
    x[:4, :3] = [[1, 1, 0.2], [1, 0, 0.1], [0, 0.2, 1], [0.1, 1, 1.3]]
    folder = tmp_path_factory.mktemp("run")
    emb = Embeddings(WORDS, x, np.arange(100, 0, -10))
    save(emb, folder / "vectors.bin")
    save(emb, folder / "native")
    (folder / "vocab.txt").write_bytes((folder / "native" / "vocab.txt").read_bytes())
    return folder


def test_neighbours(run_folder):
    with commands.start("-m", "experiments.neighbours", f"--workdir={run_folder}", "king", "pear", "--topn=3") as p:
        out, err = p.communicate(timeout=120)
    done = Done(p.returncode, out, err)
    assert done.status == 0 and done.err == ""
    blocks = done.out.strip().split("\n\n")
    assert [b.split()[:3] for b in blocks] == [["nearest", "to", "king"], ["nearest", "to", "pear"]]
    assert all(len(b.split("\n")) == 4 for b in blocks)
    native = command("neighbours", f"--vectors={run_folder / 'native'}", "king", "--metric=euclidean", "--topn", "2")
    assert native.status == 0 and "distance" in native.out and native.out.count("\n") == 3


def test_analogy_and_odd_one_out(run_folder):
    done = command("neighbours", f"--workdir={run_folder}", "--analogy", "king", "man", "woman", "--topn=2")
    assert done.status == 0
    lines = done.out.split("\n")
    assert lines[0] == "king - man + woman" and lines[2].split()[0] == "queen" and "query kept" in lines[1]
    mul = command("neighbours", f"--workdir={run_folder}", "--analogy", "--method=3cosmul", "king", "man", "woman")
    assert mul.out.split("\n")[2].split()[0] == "queen"
    lines = command("neighbours", f"--workdir={run_folder}", "--analogy", "--restrict=5", "king", "man", "woman").out
    assert len(lines.splitlines()) == 2 + 5, "as many as there are with the query kept"
    odd = command("neighbours", f"--workdir={run_folder}", "--odd", "king", "man", "doctor")
    assert odd.out.startswith("odd one out: doctor\n")


def test_a_missing_word_gets_suggestions(run_folder):
    done = command("neighbours", f"--workdir={run_folder}", "king", "doctr")
    refused(done, "'doctr'", "doctor")
    assert done.out.startswith("nearest to king") and done.out.count("\n") == 10, "what is known is answered"
    done = command("neighbours", f"--workdir={run_folder}", "doctr", "xyzzy", "vale")
    refused(done, "3 words are not among the 10 words", "'doctr' (nearest in spelling: doctor), 'xyzzy', 'vale' (n")
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["king"], ["--vectors=FILE or --workdir=DIR"]),
        (["--vectors=RUN/vectors.bin"], ["no word given"]),
        (["--vectors=RUN/vectors.bin", "--analogy", "king", "man"], ["three words, 2 given"]),
        (["--vectors=RUN/vectors.bin", "--odd", "king", "man"], ["three different words"]),
        (["--vectors=RUN/none.bin", "king"], ["none.bin", "no such file"]),
        (["--vectors=RUN/vectors.bin", "king", "--topn=0"], ["--topn=0"]),
        (["--vectors=RUN/vectors.bin", "king", "man", "pear", "--odd", "--topn=3"], ["--topn: has no effect on --odd"]),
        (["--vectors=RUN/vectors.bin", "king", "--method=3cosmul"], ["--method: is for --analogy"]),
        (["--vectors=RUN/vectors.bin", "king", "--metrik=x"], ["--metrik", "metric"]),
        (["--workdir=RUN/native", "king"], ["vectors.bin", "no such file"]),
    ],
)
def test_wrong_questions(run_folder, arguments, parts):
    refused(command("neighbours", *(a.replace("RUN", str(run_folder)) for a in arguments)), *parts)


def test_evaluate_prints_a_table_and_writes_json(run_folder, tmp_path):
    done = command("evaluate", f"--workdir={run_folder}")
    assert done.status == 0, done.err
    assert "gram plural" in done.out and "2/30" in done.out
    results = json.loads((run_folder / "evaluation.json").read_text())
    assert results["vectors"] == {"words": 10, "dim": 5} and results["analogy"]["builtin"]["all"]["asked"] == 2
    assert results["frequency"] == {}
    (tmp_path / "similarity").mkdir()
    (tmp_path / "similarity" / "own.tsv").write_text("king\tqueen\t9\nking\tpear\t1\nking\tnone\t1\n")
    vectors = f"--vectors={run_folder / 'native'}"
    done = command("evaluate", vectors, f"--data_dir={tmp_path}", f"--json={tmp_path / 'r.json'}", "--limit=7")
    assert done.status == 0 and "own" in done.out and "2/3" in done.out
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["similarity"]["own"]["spearman"] == pytest.approx(1) and results["vectors"]["words"] == 7


def test_scores_of_two_files_of_a_run_stand_side_by_side(run_folder, tmp_path):
    for name in ("C.bin", "vectors.bin"):
        (tmp_path / name).write_bytes((run_folder / "vectors.bin").read_bytes())
    (tmp_path / "C.txt").write_text("king 1 0\nqueen 0 1\n")
    for name in ("C.bin", "C.txt", "vectors.bin"):
        assert command("evaluate", f"--vectors={tmp_path / name}").status == 0
    found = {path.name: json.loads(path.read_text())["vectors"]["words"] for path in tmp_path.glob("*.json")}
    assert found == {"evaluation_C.bin.json": 10, "evaluation_C.txt.json": 2, "evaluation.json": 10}
    scores = tmp_path / "new" / "s.json"
    assert command("evaluate", f"--vectors={tmp_path / 'C.txt'}", f"--json={scores}").status == 0 and scores.is_file()


def test_evaluate_refuses(run_folder, tmp_path):
    vectors = f"--vectors={run_folder / 'vectors.bin'}"
    refused(command("evaluate", vectors, f"--data_dir={tmp_path}"), str(tmp_path), "no test file")
    refused(command("evaluate", f"--workdir={tmp_path}"), "vectors.bin", "no such file")
    for json_file, said in (
        ("/dev/null/x.json", "/dev/null: is a file"),
        (tmp_path, "a folder; name the file"),
        ("", ""),
    ):
        refused(command("evaluate", "--vectors=none.bin", f"--json={json_file}"), "--json", said)
    (tmp_path / "cut.bin").write_bytes((run_folder / "vectors.bin").read_bytes()[:-30])
    refused(command("evaluate", f"--vectors={tmp_path / 'cut.bin'}"), "cut.bin", "byte", "truncated")


def test_files_of_two_runs_are_told_apart(run_folder, tmp_path):
    for name in ("vectors.bin", "vocab.txt"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({"family": "word2vec", "model": {"dim": 300}}))
    refused(command("evaluate", f"--workdir={tmp_path}"), "5 dimensions", "model.dim=300")
    (tmp_path / "config.json").write_text(json.dumps({"family": "word2vec", "model": {"dim": 5}}))
    (tmp_path / "vocab.txt").write_text("other\t4\nwords\t3\n")
    refused(command("neighbours", f"--workdir={tmp_path}", "king"), "'king' is not in vocab.txt")
    assert not (tmp_path / "evaluation.json").exists()
