"""The benchmarks' own arithmetic, and one run of the whole comparison on a few thousand words."""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import budget, measure, ours, quality, report, runs, text, trials, word2vec
from benchmarks.faults import digests
from benchmarks.settings import SETTINGS, chosen
from experiments.common.config_flag import load_config
from tests.commands import run
from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError
from w2v_jax.evaluation.similarity import read_pairs, similarity
from w2v_jax.train import loop

ROOT = Path(__file__).resolve().parent.parent


def test_text_is_words_of_paragraphs(tmp_path: Path) -> None:
    for i, content in enumerate(("= A Title =\nIt's 7 o'clock, Ωmega.\n\n", "= Two =\nCAFÉ = 3 =\n12 34\n")):
        with lzma.open(tmp_path / f"s.{i}.txt.xz", "wt", encoding="utf-8") as f:
            f.write(content)
    out = tmp_path / "text.txt"
    assert text.prepare(str(tmp_path / "s.*.txt.xz"), str(out)) == 6
    assert out.read_text() == "it s o clock mega\ncaf\n"
    about = text.describe(str(out))
    assert (about["words"], about["lines"], about["bytes"]) == (6, 2, 22)


def test_bad_text_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "text.txt"
    with pytest.raises(UserError, match="no file matches"):
        text.prepare(str(tmp_path / "*.xz"), str(out))
    (tmp_path / "a.xz").write_bytes(lzma.compress(b"whole words here\n" * 100)[:-20])
    with pytest.raises(UserError, match=r"a\.xz"):
        text.prepare(str(tmp_path / "*.xz"), str(out))
    assert [p.name for p in tmp_path.iterdir()] == ["a.xz"]
    with pytest.raises(UserError, match="no such file"):
        text.describe(str(out))
    out.write_text("all letters\nThe rest\n")  # gensim would read The, and ours the
    with pytest.raises(UserError, match=r"text\.txt: line 2 has 'T'"):
        text.describe(str(out))


def test_store_finds_runs_again_after_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    store = measure.Store(path)
    store.add({"seed": 0}, {"seconds": 1.0})
    store.add({"seed": 0}, {"seconds": 2.0})
    with open(path, "a") as f:
        f.write('{"key": {"seed": 1}, "sec')
    again = measure.Store(path)
    assert again.find({"seed": 1}) is None
    again.add({"seed": 2}, {"seconds": 3.0})
    found = measure.Store(path)
    assert [found.find({"seed": i}) and found.find({"seed": i})["seconds"] for i in range(3)] == [2.0, None, 3.0]  # type: ignore[index]


def test_a_process_is_measured_by_itself(tmp_path: Path) -> None:
    held = np.ones(2**26)  # 512 MiB in this process must not show in a child's peak
    small = [sys.executable, "-c", "print('{\"a\": 1}')"]
    large = [sys.executable, "-c", "import time; x = b'x' * (200 << 20); time.sleep(.3); print('{}')"]
    first, second = (measure.run(c, tmp_path / "log") for c in (small, large))
    assert held.sum() and first.result == {"a": 1}
    assert first.peak_mb < 100 < 200 < second.peak_mb < 300
    with pytest.raises(UserError, match="status 3: went wrong"):
        measure.run(
            [sys.executable, "-c", "import sys; print('went wrong', file=sys.stderr); sys.exit(3)"], tmp_path / "log"
        )


def _train(side: str, seconds: float, **more: float) -> dict[str, Any]:
    apart = {"compile_seconds": 1.0, "data_wait": 0.01} if side == "ours" else {"vocabulary_seconds": 1.0}
    return {"key": {"passes": 5}, "seconds": seconds, "peak_mb": 100.0, "vocabulary": 7, **apart, **more}


def test_speed_is_the_median_of_pairwise_ratios() -> None:
    setting = chosen(["skipgram-100"])[0]
    times = {"ours": (10.0, 10.0, 20.0), "gensim": (30.0, 15.0, 42.0)}  # ratios 3, 1.5, 2.1
    runs = {(side, seed): _train(side, s) for side, all_ in times.items() for seed, s in enumerate(all_)}
    runs["ours", 3] = _train("ours", 1e-3)  # without its partner it must not count
    found = report.speed(setting, runs, words=1000)
    assert found is not None and found["pairs"] == 3
    np.testing.assert_allclose(found["ratios"], [3, 1.5, 2.1])
    assert found["ratio"] == pytest.approx(2.1) and found["pass"] and found["data_wait_pass"]
    assert found["words_per_second"] == {"ours": pytest.approx(500), "gensim": pytest.approx(5000 / 30)}
    slow = {**runs, ("ours", 2): _train("ours", 22.0, data_wait=0.5), ("ours", 0): _train("ours", 30.0, data_wait=0.5)}
    found = report.speed(setting, slow, words=1000)
    assert found is not None and not found["pass"] and not found["data_wait_pass"]
    assert report.speed(setting, {("ours", 0): runs["ours", 0]}, 1000) is None


def test_quality_gates_hold_means_against_the_peer() -> None:
    def score(**values: float) -> dict[str, Any]:
        return {"scores": values}

    runs = {
        ("ours", 0): score(men=0.50, ws353=0.60, analogies=0.3),
        ("ours", 1): score(men=0.52, ws353=0.62, analogies=0.3),
        ("gensim", 0): score(men=0.53, ws353=0.63, analogies=0.3),
        ("gensim", 1): score(men=0.53, ws353=0.62, analogies=0.3),
    }
    found = report.quality(runs)
    assert found is not None and found["men"]["difference"] == pytest.approx(-0.02) and not found["men"]["pass"]
    assert found["ws353"]["difference"] == pytest.approx(-0.015) and found["ws353"]["pass"]
    assert found["analogies"]["pass"] and "simlex999" not in found
    lines = report.failed({"settings": {"skipgram-100": {"speed": None, "quality": found}}})
    assert len(lines) == 1 and "men -0.020" in lines[0]


def test_words_by_frequency_have_a_gate_each() -> None:
    runs: dict[tuple[str, int], dict[str, Any]] = {
        ("ours", 0): {"scores": {"seen below 20": 0.40, "seen 20 to 99": 0.40, "analogies_dev": 0.2}},
        ("gensim", 0): {"scores": {"seen below 20": 0.42, "seen 20 to 99": 0.409, "analogies_dev": 0.3}},
    }
    found = report.quality(runs)
    assert found is not None and {name: one["pass"] for name, one in found.items()} == {
        "analogies_dev": True, "seen below 20": False, "seen 20 to 99": True,
    }  # fmt: skip


def test_settings_are_chosen_on_a_tenth_of_the_questions_that_stays_the_same() -> None:
    chosen_by = [("Athens", "Greece", "Oslo", "Norway"), ("boy", "girl", "king", "queen"), ("a", "b", "c", "d")]
    parts = quality.split({"one": chosen_by, "two": [("x", "y", str(i), "z") for i in range(2000)]})
    dev, rest = parts["analogies_dev"], parts["analogies_rest"]
    assert list(dev) == list(rest) == ["one", "two"] and len(dev["one"]) + len(rest["one"]) == 3
    assert len(dev["two"]) == 205 and dev["two"][:3] == [("x", "y", str(i), "z") for i in (5, 15, 16)]
    assert set(dev["two"]).isdisjoint(rest["two"]) and len(dev["two"]) + len(rest["two"]) == 2000
    question = dev["two"][0]
    assert quality.in_development((question[0].upper(), *question[1:]))


def test_recorded_runs_are_averaged_by_what_was_changed() -> None:
    def line(side: str, men: float, code: list[str], **more: Any) -> dict[str, Any]:
        key = {"kind": "quality", "side": side, "setting": "skipgram-300", "passes": 5, "text": "ab12", "code": code}
        return {"key": {**key, **more}, "scores": {"men": men}}

    recipe = chosen(["skipgram-300"])[0].extra
    records = [
        line("ours", 0.4, ["one"]),
        line("ours", 0.6, ["two", *recipe]),
        line("ours", 0.8, ["two", "--config.model.segment=9", *recipe]),
        line("ours", 0.9, ["two", *recipe, "--config.model.window=3"]),
        line("gensim", 0.5, ["one"], peer={"alpha": 0.05}),
        line("gensim", 0.1, ["one"], passes=1),
        line("gensim", 0.1, ["one"], text="cd34"),
        line("ours", 0.2, ["one", "--config.train.batch_size=4096"], setting="cbow-300"),
    ]
    text = runs.table(runs.grouped(records, 5, "ab"), ["men", "ws353"])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert lines == [
        [
            "cbow-300",
            "ours",
            "optimizer.initial_square=1.0 model.noise_dtype=float32 model.gradient_dtype=float32",
            "1",
            "0.200",
            "-",
        ],
        ["skipgram-300", "gensim", "alpha=0.05", "1", "0.500", "-"],
        ["skipgram-300", "ours", "", "2", "0.700 (0.600 to 0.800)", "-"],
        ["skipgram-300", "ours", "model.segment=128 model.noise_dtype=float32", "1", "0.400", "-"],
        ["skipgram-300", "ours", "model.window=3", "1", "0.900", "-"],
    ]


def test_trials_train_the_setting_with_its_changes_and_keep_their_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Any] = []
    words = [f"w{i}" for i in range(50)]
    emb = Embeddings(words, np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32), np.full(50, 7))
    monkeypatch.setattr(loop, "train", lambda config, folder: made.append(config))
    monkeypatch.setattr(trials, "load_run", lambda *folders: emb)
    for part, name, lines in (
        ("similarity", "men.tsv", [f"{a}\t{b}\t{i}" for i, (a, b) in enumerate(zip(words, words[1:], strict=False))]),
        ("similarity", "ws353.tsv", ["w0\tw9\t1", "w3\tw7\t2", "w1\tw8\t5"]),
        ("analogy", "questions-words.txt", [": all", *(" ".join(words[i : i + 4]) for i in range(40))]),
    ):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / name).write_text("\n".join(lines) + "\n")
    (tmp_path / "text.txt").write_text("a b c\n")
    line = ["trials", f"--text={tmp_path / 'text.txt'}", f"--data_dir={tmp_path}", f"--out={tmp_path / 'runs.jsonl'}"]
    line += ["--seeds=3", "--setting=skipgram-300", '{"optimizer.learning_rate": 0.7}']
    monkeypatch.setattr(sys, "argv", line)
    for _ in range(2):
        trials.main()
    assert len(made) == 1 and len((tmp_path / "runs.jsonl").read_text().splitlines()) == 1
    optimizer, model = made[0].optimizer, made[0].model
    assert (optimizer.learning_rate, optimizer.initial_square, model.dim, model.segment) == (0.7, 0.0, 300, 64)
    assert (made[0].train.seed, made[0].train.passes) == (3, 5.0)
    shown = [line for line in capsys.readouterr().out.splitlines() if "0.7" in line]
    men = similarity(emb, read_pairs(tmp_path / "similarity/men.tsv")).spearman
    assert len(set(shown)) == 1 and f"{men:.3f}" in shown[0]


def test_peer_and_sides_of_a_benchmark_are_checked() -> None:
    assert word2vec.read_peer('{"alpha": 0.05}') == {"alpha": 0.05}
    for wrong in ("[1]", "alpha=.05"):
        with pytest.raises(UserError, match="--peer="):
            word2vec.read_peer(wrong)


def test_settings_are_the_ones_agreed_on() -> None:
    peers = {s.name: s.peer() for s in SETTINGS}
    assert {n: (p["sg"], p["alpha"], p["hs"], p["negative"], p["vector_size"]) for n, p in peers.items()} == {
        "skipgram-100": (1, 0.025, 0, 5, 100),
        "skipgram-300": (1, 0.025, 0, 5, 300),
        "cbow-100": (0, 0.05, 0, 5, 100),
        "cbow-300": (0, 0.05, 0, 5, 300),
        "hs-100": (1, 0.025, 1, 0, 100),
        "hs-cbow-100": (0, 0.05, 1, 0, 100),
    }
    start = load_config("configs/cbow.py").optimizer.initial_square
    for setting in SETTINGS:
        if setting.config == "configs/cbow.py":
            assert f"--config.optimizer.initial_square={start}" in setting.overrides()
    with pytest.raises(UserError, match="skipgram-300"):
        chosen(["skipgram300"])
    assert [(s.speed_gate, s.speed_aim) for s in SETTINGS[:3]] == [(2.0, 4.0), (1.5, 4.0), (1.0, 2.0)]
    assert {(s.speed_gate, s.speed_aim) for s in SETTINGS[3:]} == {(0.0, 2.0)}


def test_the_budget_times_the_recipe_that_is_trained() -> None:
    found = {s.name: load_config(s.config, **budget.recipe(s)) for s in SETTINGS}
    assert {name: (c.model.dim, c.model.loss, c.model.segment, c.train.batch_size) for name, c in found.items()} == {
        "skipgram-100": (100, "negative", 256, 2048),
        "skipgram-300": (300, "negative", 64, 2048),
        "cbow-100": (100, "negative", 128, 2048),
        "cbow-300": (300, "negative", 128, 4096),
        "hs-100": (100, "hierarchical", 256, 2048),
        "hs-cbow-100": (100, "hierarchical", 128, 8192),
    }


def test_compile_time_is_needed() -> None:
    result = {"seconds": 2.0, "data_wait": 0.0, "vocabulary": 5, "loss": 1.0}
    done = measure.Finished(result, "x\ncompiled in 2.5 s\n", 9.0, 100.0)
    assert ours.measured(done)["compile_seconds"] == 2.5
    with pytest.raises(UserError, match="no compile time"):
        ours.measured(measure.Finished(result, "", 9.0, 100.0))


def test_whole_comparison_on_a_small_text(tmp_path: Path) -> None:
    pytest.importorskip("gensim")
    digests.write_text(tmp_path / "text.txt", 6000, 3000)
    words = sorted(set((tmp_path / "text.txt").read_text().split()))[:40]
    for part, name, lines in (
        ("similarity", "men", [f"{a}\t{b}\t{i}" for i, (a, b) in enumerate(zip(words[::2], words[1::2], strict=True))]),
        ("analogy", "questions-words", [": all", *(" ".join(words[i : i + 4]) for i in range(8))]),
    ):
        (tmp_path / "eval" / part).mkdir(parents=True)
        ending = "tsv" if part == "similarity" else "txt"
        (tmp_path / "eval" / part / f"{name}.{ending}").write_text("\n".join(lines) + "\n")
    command = [
        *("benchmarks.word2vec", f"--text={tmp_path / 'text.txt'}"),
        *(f"--data_dir={tmp_path / 'eval'}", f"--out={tmp_path / 'out'}", "--only=cbow-100", "--cores=1"),
        *("--pairs=1", "--seeds=1", "--passes=1", "--override=--config.log.tensorboard=false"),
    ]
    done = run(*command)
    assert done.status in (0, 1), done.err
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    entry = summary["settings"]["cbow-100"]
    assert summary["text"]["words"] == 6000 and entry["speed"]["pairs"] == 1
    assert entry["speed"]["vocabulary"]["ours"] == entry["speed"]["vocabulary"]["gensim"]
    assert {"men", "analogies"} <= set(entry["quality"])
    counts = next((tmp_path / "out").glob("counts-*.txt")).read_text().split()
    assert sum(map(int, counts[1::2])) == 6000
    assert (done.status == 1) == bool(report.failed(summary))
    assert "| cbow-100" in done.out and (tmp_path / "out/table.md").read_text() in done.out
    before = (tmp_path / "out/runs.jsonl").read_text()
    again = run(*command)
    assert again.status == done.status and (tmp_path / "out/runs.jsonl").read_text() == before
