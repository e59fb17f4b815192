"""Paragraph vectors: losses and gradients by hand in numpy, lanes of documents, inference, and a small run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import doc2vec as config
from configs import doc2vec_dm
from tests.commands import run
from tests.examples import batch_size_for, device_consts, random_batch, random_params, with_rows
from w2v_jax import configure, documents, load, load_documents, train_documents
from w2v_jax.data.blocks import window_source
from w2v_jax.data.chunks import chunks_of
from w2v_jax.data.corpus import Tokens
from w2v_jax.data.pipeline import stacked
from w2v_jax.doc_vectors import DM, RECIPE
from w2v_jax.errors import UserError
from w2v_jax.models import doc2vec
from w2v_jax.models.doc2vec import FAMILY, Doc2VecConfig
from w2v_jax.train.gradients import gather_rows
from w2v_jax.train.inference import infer

SIZES: dict[str, Any] = {"dim": 6, "window": 2, "segment": 8, "shared_negatives": 4, "sample": 0.0, "documents": 40}
VOCAB = 50


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(cfg: Doc2VecConfig, params: Any, batch: Any, noise: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    """(loss, gradients of D, E and C) of negative sampling, one centre and one pair after another, in float64."""
    table = {k: np.asarray(v, np.float64) for k, v in params.items()}
    grad = {k: np.zeros_like(v) for k, v in table.items()}
    total, weight = 0.0, cfg.negatives / cfg.shared_negatives

    def score(row: int, hidden: np.ndarray, target: int) -> np.ndarray:
        """Adds one prediction to loss and gradient of C; returns the gradient by `hidden`."""
        nonlocal total
        back = np.zeros(cfg.dim)
        for word, sign, w in [(target, 1, 1.0), *((n, -1, weight) for n in noise[row])]:
            x = sign * (hidden @ table["C"][word])
            total += w * np.log1p(np.exp(-x))
            g = -w * sign * sigmoid(-x)
            grad["C"][word] += g * hidden
            back += g * table["C"][word]
        return back

    for row, column in np.ndindex(batch["reach"].shape):
        place = column + cfg.window
        doc, tokens = batch["doc"][row], batch["tokens"][row]
        if doc[place] < 0:
            continue
        own = int(batch["document"][row, column])
        vector = table["D"][own] if own < cfg.documents else np.zeros(cfg.dim)
        near = [j for j in range(place - cfg.window, place + cfg.window + 1) if j != place and doc[j] == doc[place]]
        if cfg.form == "dm":
            parts = [(table["D"], own, grad["D"])] if own < cfg.documents else []
            hidden = (vector + sum(table["E"][tokens[j]] for j in near)) / (1 + len(near))
            back = score(row, hidden, tokens[place])
            back = back / (1 + len(near)) if cfg.context_gradient == "mean" else back
            for _, at, into in [*parts, *((table["E"], tokens[j], grad["E"]) for j in near)]:
                into[at] += back
            continue
        back = score(row, vector, tokens[place])
        if own < cfg.documents:
            grad["D"][own] += back
        for j in near if cfg.words else ():
            grad["E"][tokens[place]] += score(row, table["E"][tokens[place]], tokens[j])
    return total, grad


@pytest.mark.parametrize(
    "settings",
    [
        {"form": "dbow"},
        {"form": "dbow", "words": True, "window_draw": "full"},
        {"form": "dm", "window_draw": "full"},
        {"form": "dm", "window_draw": "full", "context_gradient": "mean"},
    ],
)
def test_loss_and_gradient_are_those_of_the_formula(settings: dict[str, Any]) -> None:
    cfg = FAMILY.resolve(Doc2VecConfig(**SIZES, **settings), VOCAB)
    consts = device_consts(FAMILY, cfg, VOCAB)
    params = random_params(FAMILY, cfg, consts, seed=1)
    batch = with_rows(random_batch(FAMILY, cfg, batch_size_for(FAMILY, cfg, 2), np.random.default_rng(2)))
    assert (batch["document"] >= cfg.documents).any() and (batch["doc"] < 0).any()
    key = jax.random.key(0)
    ids, drawn = doc2vec.rows(cfg, consts, batch, key)
    assert ids.keys() == params.keys() and ("E" in params) == cfg.has_inputs

    def value(params: Any) -> Any:
        return doc2vec.loss(cfg, params | gather_rows(params, ids), consts, {}, drawn, key)[0]

    ours, grads = jax.jit(jax.value_and_grad(value))(params)
    want, hand = by_hand(cfg, params, batch, np.asarray(drawn["noise"]))
    assert float(ours) == pytest.approx(want, rel=1e-5)
    for name, wanted in hand.items():
        assert np.abs(wanted).max() > 1e-2
        np.testing.assert_allclose(grads[name], wanted, atol=2e-5 * max(1.0, np.abs(wanted).max()), err_msg=name)


def test_lanes_hold_every_token_once_with_its_document() -> None:
    rng = np.random.default_rng(3)
    offsets = np.cumsum([0, *rng.integers(1, 30, 60)])
    tokens = Tokens(np.arange(offsets[-1]) % 1000, offsets)
    shapes = doc2vec.shapes(Doc2VecConfig(window=2, segment=8), 64)
    source = window_source(tokens, np.ones(1000), shapes, seed=1, block_tokens=50, shuffle=False, lanes=True)
    steps = source.steps_per_epoch
    made = stacked(source, 0, steps, steps)
    assert made["document"].shape == (steps, 8, 8) and made["words"].sum() == offsets[-1]
    centres = made["tokens"][..., 2:10]
    there = made["doc"][..., 2:10] >= 0
    np.testing.assert_array_equal(np.sort(centres[there]), np.arange(offsets[-1]))
    owner = np.searchsorted(offsets, centres[there], "right") - 1
    np.testing.assert_array_equal(made["document"][there], owner)
    # A lane goes on: the first centre of a step follows the last of the step before, unless a block ends between.
    follows = centres[1:, :, 0] == centres[:-1, :, -1] + 1
    assert follows.mean() > 0.6
    long = int(np.argmax(np.diff(offsets)))
    assert len(np.unique(np.nonzero((made["document"] == long) & there)[0])) >= np.diff(offsets)[long] // 8


def test_chunks_are_the_documents_in_order() -> None:
    texts = [np.arange(20, dtype=np.int32), np.zeros(0, np.int32), np.arange(30, 33, dtype=np.int32)]
    made = chunks_of(texts, np.ones(40), 2, 8, np.array([5, 6, 7]), 0)
    assert made["tokens"].shape == (3, 3, 12) and made["reach"].shape == (3, 3, 8)
    for row, text in enumerate(texts):
        there = made["doc"][:, row, 2:10] >= 0
        np.testing.assert_array_equal(made["tokens"][:, row, 2:10][there], text)
        assert set(made["reach"][:, row][there]) <= {1, 2} and (made["reach"][:, row][~there] == 0).all()
    np.testing.assert_array_equal(made["tokens"][1, 0], np.arange(6, 18))  # with the halo of both sides
    half = [chunks_of(some, np.full(40, 0.5), 2, 8, np.array(names), 3) for some, names in
            ((texts, [5, 6, 7]), (texts[2:] + texts[:1], [7, 5]))]  # fmt: skip
    for mine, other in ((0, 1), (2, 0)):  # draws depend on the name alone
        kept = [made["tokens"][:, row][made["doc"][:, row] >= 0] for made, row in zip(half, (mine, other), strict=True)]
        np.testing.assert_array_equal(*kept)
    assert 0 < (half[0]["doc"][..., 2:10] == 0).sum() < 20


TOPICS = (("cat", "dog", "fox", "hen", "cow"), ("red", "blue", "pink", "grey", "teal"))


def texts_of(count: int, seed: int) -> list[list[str]]:
    """Documents of one topic each, in turn."""
    rng = np.random.default_rng(seed)
    return [list(rng.choice(TOPICS[i % 2], 30)) for i in range(count)]


SMALL: dict[str, Any] = {"dim": 8, "min_count": 1, "segment": 8, "batch_size": 64, "steps_per_call": 8, "sample": 0.0}
SMALL |= {"passes": 12.0, "progress": False, "changes": {"mesh.data": 1}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doc2vec")
    texts = {f"doc {i}": text for i, text in enumerate(texts_of(40, seed=0))}
    texts["nothing"] = []
    texts["last"] = list(TOPICS[1]) * 6
    changes = SMALL["changes"] | {"data.cache_dir": str(folder / "cache")}
    train_documents(texts, folder / "run", **SMALL | {"changes": changes})
    return folder


def test_documents_of_a_topic_are_near_and_new_ones_too(home: Path) -> None:
    docs = load_documents(home / "run")
    assert len(docs) == 41 and "nothing" not in docs and docs["last"].shape == (8,)
    units = docs.get_normed_vectors()
    topic = np.append(np.arange(40) % 2, 1)
    cosines = units @ units.T
    same = topic[:, None] == topic[None]
    assert cosines[same].min() > cosines[~same].max()
    assert all(int(name.split()[-1]) % 2 for name, _ in docs.most_similar("last", topn=5))
    new = docs.infer([" ".join(text) for text in texts_of(2, seed=9)])
    for vector, kind in zip(new, (0, 1), strict=True):
        assert all(int(i.removeprefix("doc ")) % 2 == kind for i, _ in docs.similar_by_vector(vector, topn=5))


def test_a_vector_depends_on_its_text_and_seed_alone(home: Path) -> None:
    docs = load_documents(home / "run")
    texts = [*texts_of(4, seed=7), [], ["nowhere"], list(TOPICS[0]) * 40]
    with pytest.warns(UserWarning, match=r"2 of 7 texts have no word that the model knows.*: the first is texts\[4\]"):
        every = docs.infer(texts)
    assert every.shape == (7, 8) and not every[4:6].any() and every[:4].any(axis=1).all()
    np.testing.assert_allclose(docs.infer(" ".join(texts[2])), every[2], atol=1e-6)
    np.testing.assert_allclose(docs.infer(texts[::-1])[::-1], every, atol=1e-6)
    assert np.abs(docs.infer(texts[2:3], seed=1)[0] - every[2]).max() > 1e-3
    assert np.abs(docs.infer(texts[2:3], passes=1)[0] - every[2]).max() > 1e-3
    model = docs.model
    assert model is not None
    np.testing.assert_allclose(documents(model, [" ".join(texts[0])])[0], every[0], atol=1e-6)
    for passes in (-1, 1.5, "3"):
        with pytest.raises(UserError, match=f"passes={passes!r}: must be a whole number"):
            infer(model, [], passes=passes)
    for bad, message in (
        (None, "texts=None: give a list of texts"),
        ({"a": "cat"}, "texts is a mapping, whose keys are no text: give its .values"),
        (["a", None], "texts.1.=None: must be a string"),
        ([["cat", 3]], "texts.0.: token 3: must be a string"),
    ):
        with pytest.raises(UserError, match=message):
            docs.infer(bad)
    assert docs.word_vectors["cat"].shape == (8,)  # of C, the only ones of PV-DBOW


def test_rows_are_numbered_without_a_name(home: Path, fresh_cache: Path) -> None:
    (home / "text.txt").write_text("\n".join(" ".join(text) for text in texts_of(20, seed=1)))
    docs = train_documents(home / "text.txt", **SMALL | {"passes": 1.0}, form="dm")
    assert docs.words == [str(i) for i in range(20)] and docs.word_vectors["cat"].shape == (8,)


def test_what_the_numbers_leave_out_is_told(
    tmp_path: Path, fresh_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("a b a\n\n???\nb a b\n")
    docs = train_documents(tmp_path / "text.txt", **SMALL | {"passes": 1.0})
    assert docs.words == ["0", "1"] and "warning: 2 of 4 documents hold no known word" in capsys.readouterr().err


def test_documents_without_a_known_word_are_told(fresh_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = train_documents({"x": "a b a", "y": "c", "z": "b a"}, **SMALL | {"passes": 1.0, "min_count": 2})
    assert docs.words == ["x", "z"]
    assert "warning: 1 of 3 documents hold no known word and have no vector: 'y' is" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="2 of 3 words of the texts that the model does not know left out: 'c' is"):
        docs.infer([["c", "a"], "d"])


def test_phrases_are_joined_in_tokens_too(fresh_cache: Path) -> None:
    texts = ["new york is new", "york in new york", "is in new york"] * 9
    phrases = {"phrases": 1, "phrase_threshold": 0.5, "phrase_min_count": 2}
    docs = train_documents(texts, **SMALL | {"passes": 1.0} | phrases)
    assert docs.model is not None and "new_york" in docs.model.tokenizer.words
    found = docs.infer("new york new york")
    assert found.any()
    np.testing.assert_array_equal(docs.infer([["new", "york"] * 2])[0], found)
    np.testing.assert_array_equal(documents(docs.model, [["new", "york"] * 2])[0], found)


def test_other_ids_of_the_same_texts_are_refused(home: Path, tmp_path: Path, fresh_cache: Path) -> None:
    settings = SMALL | {"passes": 1.0}
    train_documents({"x": "a b", "y": "b a"}, tmp_path / "run", **settings)
    with pytest.raises(UserError, match="documents.txt: holds other ids than the given ones for the same texts"):
        train_documents({"x": "a b", "z": "b a"}, tmp_path / "run", **settings)
    assert load_documents(tmp_path / "run").words == ["x", "y"]
    with pytest.warns(UserWarning, match="2 texts of one word each, .*; the tokens of one text"):
        load_documents(tmp_path / "run").infer(["a", "b"])
    with pytest.raises(UserError, match=r"documents.vocab.txt: no such file; .*load_documents"):
        load(tmp_path / "run" / "documents.npy")


def test_the_recipe_is_that_of_the_config() -> None:
    assert configure("doc2vec", RECIPE) == config.get_config()
    assert configure("doc2vec", RECIPE | DM | {"model.form": "dm"}) == doc2vec_dm.get_config()


@pytest.mark.parametrize(
    ("texts", "settings", "message"),
    [
        ({"a\nb": "x"}, {}, "id 'a.nb' of a document: must be a string of one line"),
        ({3: "x"}, {}, "id 3 of a document"),
        (["a b"], {"heldout_every": 10}, "leave out heldout_every and document"),
        (["a b a b"] * 9, {"documents": 4}, "model.documents=4: the text has 9 training documents; set"),
        (["a b"], {"form": "dmm"}, "did you mean 'dm'"),
        (["a b"], {"form": "dm", "words": True}, "model.words=True"),
        (["a b"], {"documents": 0}, "model.documents=0"),
        ([], {}, "the iterable is empty"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_cache: Path, texts: Any, settings: Any, message: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(UserError, match=message) as caught:
        train_documents(texts, **SMALL | settings)
    assert "\n" not in str(caught.value) and not [p for p in tmp_path.iterdir() if p != fresh_cache]


def test_damage_is_one_line(home: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(home / "run", tmp_path / "run")
    (tmp_path / "run/documents.txt").write_text("one\n")
    with pytest.raises(UserError, match=r"documents.txt: has 1 ids for 41 documents"):
        load_documents(tmp_path / "run")
    (tmp_path / "run/documents.npy").write_bytes(b"junk")
    with pytest.raises(UserError, match="does not match its digest"):
        load_documents(tmp_path / "run")


def test_no_row_is_shared_by_documents_of_no_text() -> None:
    """D has more rows than documents, and the loss of a document beyond them does not depend on D."""
    cfg = Doc2VecConfig(documents=1023)
    assert cfg.padded_documents == 1024 and dataclasses.replace(cfg, documents=1024).padded_documents == 2048
    leaf = doc2vec.arrays(dataclasses.replace(cfg, vocab_size=9))["D"]
    assert leaf.shape == (1024, 100) and jnp.ones(1).dtype == leaf.dtype


def test_features_of_a_run(home: Path) -> None:
    """`experiments.classify` infers the training texts and the test texts alike."""
    rows = [f"{i % 2}\t{' '.join(text)}\n" for i, text in enumerate(texts_of(40, seed=3))]
    (home / "train.tsv").write_text("".join(rows[:28]))
    (home / "test.tsv").write_text("".join(rows[28:]))
    sources = (f"--train=tsv:{home}/train.tsv", f"--test=tsv:{home}/test.tsv", f"--run=docs={home}/run")
    done = run("experiments.classify", *sources, "--methods=", f"--workdir={home}/classify")
    assert done.status == 0 and "docs" in done.out and "100.00%" in done.out, done.out + done.err
