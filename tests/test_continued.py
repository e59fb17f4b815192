"""Runs that start from an earlier one, or from vectors on file."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.commands import final_arrays, text_of
from w2v_jax import configure, fit, load, train_vectors
from w2v_jax.config import Config
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS
from w2v_jax.models.huffman import huffman_paths, same_nodes
from w2v_jax.overrides import override
from w2v_jax.train import continued
from w2v_jax.train.loop import train
from w2v_jax.train.prepare import prepare

pytestmark = pytest.mark.xdist_group("continued")  # one worker: they share a trained run

SMALL = {
    **{"model.dim": 8, "model.segment": 32, "model.window": 2, "model.shared_negatives": 8, "mesh.data": 1},
    **{"train.batch_size": 128, "train.steps_per_call": 4, "data.min_count": 1, "data.heldout_every": 0},
    **{"optimizer.schedule": "constant", "log.tensorboard": False, "train.passes": 2.0},
}
OLD, NEW = "the king saw a cat and a dog\n" * 60, "the zebra saw a king and a yak\na yak\n" * 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, and the run `old`."""
    folder = tmp_path_factory.mktemp("continued")
    for name, text in (("old", OLD), ("new", NEW), ("other", text_of(30, lines=300, width=9))):
        (folder / f"{name}.txt").write_text(text)
    fit(make(folder, "old"), folder / "run")
    return folder


def make(home: Path, text: str, **keys: Any) -> Config:
    named = {name.replace("__", "."): value for name, value in keys.items()}
    data = {"data.source": f"text:{home}/{text}.txt", "data.cache_dir": str(home / "cache")}
    return configure("word2vec", SMALL | data | named)


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        ({"train__passes": 1.0}, {"train__passes": 3.0}),
        (
            {
                "train__passes": 3.0,
                "train__max_steps": 9,
                "optimizer__schedule": "linear",
                "model__loss": "hierarchical",
            },
            {"train__passes": 3.0, "optimizer__schedule": "linear", "model__loss": "hierarchical"},
        ),
    ],
    ids=["more passes", "more steps of one schedule"],
)
def test_more_training_on_the_same_text_ends_as_one_long_run(
    home: Path, tmp_path: Path, first: dict[str, Any], rest: dict[str, Any]
) -> None:
    fit(make(home, "other", **first), tmp_path / "first")
    result = fit(make(home, "other", **rest, train__start=str(tmp_path / "first")), tmp_path / "second")
    fit(make(home, "other", **rest), tmp_path / "long")
    assert final_arrays(tmp_path / "second") == final_arrays(tmp_path / "long")
    assert (tmp_path / "second/vectors.bin").read_bytes() == (tmp_path / "long/vectors.bin").read_bytes()
    assert (tmp_path / "second/vectors.bin").read_bytes() != (tmp_path / "first/vectors.bin").read_bytes()
    ended = json.loads((tmp_path / "first/result.json").read_text())
    begun = result["continued_from"]
    assert begun["path"] == str(tmp_path / "first") and begun["step"] == ended["steps"] < result["steps"]
    assert begun["corpus"] == ended["corpus_digest"] == result["corpus_digest"] and begun["new_words"] == 0
    assert json.loads((tmp_path / "second/config.json").read_text())["train"]["start"] == str(tmp_path / "first")
    lines = [json.loads(line)["step"] for line in (tmp_path / "second/metrics.jsonl").read_text().splitlines()]
    assert lines and min(lines) > begun["step"]


def begin(config: Config) -> tuple[Any, Any, Any]:
    """(the run, its fresh state, the state that `train.start` gives) without a step."""
    run = prepare(config, lambda line: None)
    fresh = run.programs.start().compile()(run.consts)
    assert continued.whole(run, {"corpus": run.corpus.digest, "tokenizer": "", "consts": {}}, lambda line: None) is None
    return run, fresh, continued.grown(run, fresh, lambda line: None)


def test_new_text_with_new_words_grows_the_tables(home: Path) -> None:
    config = make(home, "new", train__start=str(home / "run"), data__vocabulary_from=str(home / "run"))
    run, fresh, (state, begun) = begin(config)
    old = load(home / "run")
    counts = dict(zip(run.corpus.vocab.words, run.corpus.vocab.counts.tolist(), strict=True))
    assert counts["king"] == 120 and counts["cat"] == 60 and counts["yak"] == 120 and counts["zebra"] == 60
    assert begun.words == len(old) == 7 and begun.new_words == 2
    for word, i in run.corpus.vocab.index.items():
        want = old[word] if word in old else np.asarray(fresh.params["E"][i])
        np.testing.assert_array_equal(np.asarray(state.params["E"][i]), want)
        assert (np.asarray(state.row_state["E"]["square"][i]) > 0) == (word in old)
        assert np.asarray(state.params["C"][i]).any() == (word in old)
    # The noise is that of the counts of both texts.
    np.testing.assert_array_equal(
        run.consts["alias"], MODELS["word2vec"].consts(run.programs.cfg, run.corpus.vocab)["alias"]
    )
    assert state.params["E"].sharding == fresh.params["E"].sharding and int(state.step) == 0


def test_a_tree_keeps_the_nodes_that_part_the_same_words(home: Path, tmp_path: Path) -> None:
    fit(make(home, "old", model__loss="hierarchical"), tmp_path / "tree")
    config = make(home, "new", model__loss="hierarchical", train__start=str(tmp_path / "tree"))
    run, fresh, (state, _) = begin(override(config, {"data.vocabulary_from": str(tmp_path / "tree")}, MODELS))
    assert np.asarray(state.params["C"]).any() or not np.asarray(fresh.params["C"]).any()
    _, _, (state, _) = begin(override(config, {"model.loss": "negative"}, MODELS))
    assert not np.asarray(state.params["C"]).any() and np.asarray(state.row_state["E"]["square"]).any()


def test_same_nodes_by_brute_force() -> None:
    draw = np.random.default_rng(1)
    old = np.sort(draw.choice(np.arange(3, 400), 20, replace=False))[::-1]
    new = np.concatenate([old + np.arange(20, 0, -1) // 9, [2, 1]])
    rows = np.array([*range(20), -1, -1])

    def sides(counts: np.ndarray, name: Any) -> list[tuple[frozenset[int], frozenset[int]]]:
        nodes, signs = huffman_paths(counts)
        out = []
        for node in range(len(counts) - 1):
            parts = []
            for sign in (1, -1):
                parts.append(
                    frozenset(
                        name(w)
                        for w, p in itertools.product(range(len(counts)), range(nodes.shape[1]))
                        if nodes[w, p] == node and signs[w, p] == sign and name(w) >= 0
                    )
                )
            out.append((parts[0], parts[1]))
        return out

    before, after = sides(old, lambda w: w), sides(new, lambda w: int(rows[w]))
    want = [before.index(pair) if all(pair) and pair in before else -1 for pair in after]
    assert same_nodes(old, new, rows).tolist() == want and max(want) >= 0
    assert same_nodes(old, old, np.arange(20)).tolist() == list(range(19))


def test_a_start_from_vectors_on_file(home: Path, tmp_path: Path) -> None:
    given = Embeddings(["king", "nowhere", "the"], np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32))
    save(given, tmp_path / "given.safetensors")
    run, fresh, (state, begun) = begin(make(home, "old", train__start=str(tmp_path / "given.safetensors")))
    assert begun == continued.Begun(str(tmp_path / "given.safetensors"), None, None, 2, 5)
    for word, i in run.corpus.vocab.index.items():
        want = given[word] if word in given else np.asarray(fresh.params["E"][i])
        np.testing.assert_array_equal(np.asarray(state.params["E"][i]), want)
    for path, options, message in (
        ("given.safetensors", {"model__dim": 4}, "has 8 dimensions, model.dim=4"),
        ("none.bin", {}, "no such file or folder"),
    ):
        with pytest.raises(UserError, match=message):
            train(make(home, "old", train__start=str(tmp_path / path), **options), tmp_path / "out")
    save(Embeddings(["nowhere"], given.vectors[:1]), tmp_path / "strange.bin")
    with pytest.raises(UserError, match="holds none of the 7 words"):
        begin(make(home, "old", train__start=str(tmp_path / "strange.bin")))


def test_vectors_of_parts_begin_as_they_are_given(home: Path, tmp_path: Path) -> None:
    """A subword model from the file of another: its words have the given vectors, and unseen ones where n-grams are
    hashed alike."""
    keys = {"optimizer__learning_rate": 0.3, "model__longest": 4, "train__passes": 1.0}
    data = {f"data.{name}": getattr(make(home, "old").data, name) for name in ("source", "cache_dir", "min_count")}

    def of_parts(**more: Any) -> Config:
        return configure("subword", SMALL | data | {name.replace("__", "."): v for name, v in (keys | more).items()})

    fit(of_parts(model__buckets=60), tmp_path / "run")
    old, said = load(tmp_path / "run"), list[str]()
    for buckets in (60, 50):
        config = of_parts(model__buckets=buckets, train__start=str(tmp_path / "run" / "vectors.bin"))
        run = prepare(config, said.append)
        fresh = run.programs.start().compile()(run.consts)
        state, _ = continued.grown(run, fresh, said.append)
        spec, cfg = MODELS["subword"], run.programs.cfg
        made = np.asarray(spec.vectors(cfg, state.params, run.consts)["E"])
        np.testing.assert_allclose(made, old[list(run.corpus.vocab.words)], atol=1e-6)
        parts = spec.subwords(cfg, state.params)  # type: ignore[misc]
        assert np.array_equal(parts.vector("zebra"), old["zebra"]) == (buckets == 60)
        assert ("warning: its n-grams begin anew: the file has 60 of 3 to 4" in said[-1]) == (buckets == 50)


def test_another_objective_is_told(home: Path) -> None:
    keys = {"train__start": str(home / "run"), "data__vocabulary_from": str(home / "run")}
    for more, anew in (({}, False), ({"optimizer__initial_square": 3.0}, True)):
        said: list[str] = []
        run = prepare(make(home, "new", **keys, model__architecture="cbow", **more), said.append)
        state, _ = continued.grown(run, run.programs.start().compile()(run.consts), said.append)
        assert "model.architecture=skipgram there and cbow here" in said[-1]
        assert said[-1].endswith("the sums of squares begin anew") == anew
        square = np.asarray(state.row_state["E"]["square"])
        assert np.array_equal(square, np.full_like(square, 3.0)) == anew


def test_a_table_of_several_rows_a_word_takes_no_file(home: Path, tmp_path: Path) -> None:
    save(Embeddings(["king"], np.ones((1, 8), np.float32)), tmp_path / "one.bin")
    own = {key: value for key, value in SMALL.items() if key != "model.window"}
    data = {"data.source": f"text:{home}/old.txt", "data.cache_dir": str(home / "cache")}
    config = configure("multi_sense", own | data | {"train.start": str(tmp_path / "one.bin"), "model.senses": 2})
    with pytest.raises(UserError, match="family=multi_sense has no table of word vectors"):
        begin(config)


def test_what_cannot_be_started_from(home: Path, tmp_path: Path) -> None:
    run = str(home / "run")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.json").write_text((home / "run/config.json").read_text())
    for config, message in (
        (make(home, "old", train__start=run), "has made .* steps, this one ends at step .*; raise train.passes"),
        (make(home, "new", train__start=run, model__dim=4), "the earlier run has model.dim=8, this one 4"),
        (make(home, "old", train__start=str(tmp_path / "empty")), "holds no finished run"),
        (make(home, "old", train__start=str(tmp_path / "out")), "is the run's own --workdir"),
        (configure("glove", {"train.start": run}), "is a run of family=word2vec, this is glove"),
        (configure("lsa", {"train.start": run}), "is fitted, not trained"),
    ):
        if "own --workdir" in message:
            (tmp_path / "out").mkdir(exist_ok=True)
            (tmp_path / "out/config.json").write_text((home / "run/config.json").read_text())
            config = make(home, "old", train__start=str(tmp_path / "out"))
            (tmp_path / "out/config.json").write_text(json.dumps(_tree(config)))
        with pytest.raises(UserError, match=message) as caught:
            train(config, tmp_path / ("out" if "own --workdir" in message else "fresh"))
        assert "\n" not in str(caught.value)


def test_a_folder_says_how_its_run_is_trained_longer(home: Path) -> None:
    run = home / "run"
    for keys, hint in (({"train__passes": 3.0}, True), ({"train__passes": 1.0}, False), ({"train__seed": 1}, False)):
        with pytest.raises(UserError, match="config differs in train") as caught:
            train(make(home, "old", **keys), run)
        assert str(caught.value).endswith(f"give a new --workdir and add --config.train.start={run}") == hint
    with pytest.raises(UserError, match="holds a run of family word2vec, not glove; use another workdir$"):
        train(configure("glove", {}), run)


def test_messages_from_python_name_arguments(home: Path) -> None:
    run = home / "run"
    with pytest.raises(UserError, match="^workdir=.* add train.start=") as caught:
        fit(make(home, "old", train__passes=3.0), run)
    assert "--" not in str(caught.value)


def _tree(config: Config) -> dict[str, Any]:
    from w2v_jax.recorded import to_dict

    return to_dict(config)


def test_train_vectors_goes_on(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New sentences from a run, its words kept; and more passes over the same sentences, as one long run."""
    monkeypatch.setenv("W2V_JAX_CACHE", str(home / "cache"))
    small = {key: value for key, value in SMALL.items() if key != "train.passes"}
    old, new = ([line.split() for line in text.splitlines()] for text in (OLD, NEW))
    options: dict[str, Any] = {"changes": small, "progress": False}
    first = train_vectors(old, tmp_path / "a", passes=1, **options)
    more = train_vectors(old, tmp_path / "b", passes=2, start=tmp_path / "a", **options)
    long = train_vectors(old, tmp_path / "c", passes=2, **options)
    np.testing.assert_array_equal(more.vectors, long.vectors)
    assert (more.vectors != first.vectors).any() and list(more.counts) == list(first.counts)  # type: ignore[arg-type]
    wider = train_vectors(new, start=tmp_path / "b", passes=1, **options)
    assert set(wider.words) == {*first.words, "zebra", "yak"} and wider.get_vecattr("king", "count") == 120


def test_equal_vectors_on_any_number_of_devices(home: Path) -> None:
    """What a run starts with does not depend on how its tables are split."""
    keys = {"train__start": str(home / "run"), "data__vocabulary_from": str(home / "run")}
    _, _, (one, _) = begin(make(home, "new", **keys))
    _, _, (several, _) = begin(make(home, "new", **keys, mesh__data=2, mesh__model=2))
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(several.params), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
