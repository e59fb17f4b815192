"""Vectors of texts: the mean and SIF against formulas by hand; the projector from the folders above; the model card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.evaluate import card
from tests.commands import ROOT, run, text_of
from w2v_jax import averages, configure, fit, load
from w2v_jax.embeddings import Embeddings
from w2v_jax.errors import UserError
from w2v_jax.formats import Subwords

EMB = Embeddings(
    ["the", "king", "cat", "sat"],
    np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32),
    np.array([60, 25, 10, 5]),
)
TEXTS = ["The king, the cat!", ["sat", "nowhere"], "nothing known", ["king", "king", "cat"], "the the the"]


def test_means_by_hand() -> None:
    x = EMB.vectors
    with pytest.warns(UserWarning, match=r"\d of \d texts have no word with a vector, and get zeros") as told:
        found = averages.mean(EMB).vectors(TEXTS)
    assert str(told[0].message) == "3 of 14 words of the texts without a vector left out: 'nowhere' is the first"
    want = [(2 * x[0] + x[1] + x[2]) / 4, x[3], np.zeros(5), (2 * x[1] + x[2]) / 3, x[0]]
    np.testing.assert_allclose(found, want, atol=1e-6)
    assert found.dtype == np.float32 and averages.mean(EMB).vectors([]).shape == (0, 5)


@pytest.mark.parametrize("r", [0, 1, 2])
def test_sif_by_hand(r: int) -> None:
    p = np.array([0.6, 0.25, 0.1, 0.05])
    w = 0.01 / (0.01 + p)
    x = EMB.vectors.astype(np.float64) * w[:, None]
    rows = np.array([(2 * x[0] + x[1] + x[2]) / 4, x[3], np.zeros(5), (2 * x[1] + x[2]) / 3, x[0]])
    common = np.linalg.svd(rows)[2][:r]
    made = averages.sif(EMB, TEXTS, a=0.01, components=r)
    np.testing.assert_allclose(made.vectors(TEXTS), rows - rows @ common.T @ common, atol=1e-6)
    new = (x[1] + x[3]) / 2
    np.testing.assert_allclose(made.vectors(["king sat"])[0], new - new @ common.T @ common, atol=1e-6)


def test_unseen_words_that_ngrams_make_count() -> None:
    able = Embeddings(EMB.words, EMB.vectors, EMB.counts, Subwords(np.eye(7, 5, dtype=np.float32), 3, 3))
    found = averages.sif(able, TEXTS, components=0).vectors([["kings"]])[0]
    np.testing.assert_allclose(found, able.vector("kings"))


def test_mistakes_are_one_line() -> None:
    for call, message in (
        (lambda: averages.sif(Embeddings(EMB.words, EMB.vectors), TEXTS), "needs the counts.*kv.get_vecattr"),
        (lambda: averages.sif(EMB, TEXTS, a=0), "a=0: must be a number above 0"),
        (lambda: averages.sif(EMB, TEXTS, a="x"), "a='x': must be a number above 0"),
        (lambda: averages.sif(EMB, TEXTS, components=1.5), "components=1.5: must be a whole number"),
        (lambda: averages.sif(EMB, TEXTS, components=5), "below the 5 dimensions"),
        (lambda: averages.sif(EMB, ["nothing"]), "the 1 texts have fewer directions"),
        (lambda: averages.mean(EMB).vectors("the king"), "texts='the king': is one text; give a list"),
        (lambda: averages.mean(EMB).vectors([b"king"]), "word 107: must be a string"),
        (lambda: averages.mean(EMB).vectors([["king", 3]]), "word 3: must be a string"),
        (lambda: averages.mean(EMB).vectors(["king", None]), "texts.1.=None: must be a string or a list of words"),
        (lambda: averages.mean(EMB).vectors({"king": "the"}), "texts is a mapping, .*: give its .values"),
        (lambda: averages.mean(EMB).vectors(None), "texts=None: give a list of texts"),
    ):
        with pytest.raises(UserError, match=message):
            call()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    (folder / "text.txt").write_text(text_of(30, lines=200, width=9))
    keys = {"data.source": f"text:{folder}/text.txt", "data.cache_dir": f"{folder}/cache", "data.min_count": 1}
    keys |= {"model.dim": 8, "model.segment": 32, "train.batch_size": 128, "train.steps_per_call": 4, "mesh.data": 1}
    fit(configure("word2vec", keys | {"train.passes": 1.0}), folder / "runs" / "mine")
    return folder


@pytest.mark.parametrize(
    ("above", "name"), [("runs/mine", "."), ("runs", "mine/tensorboard"), ("runs/mine/projector", ".")]
)
def test_the_projector_opens_from_the_folders_above(home: Path, above: str, name: str) -> None:
    plugin = pytest.importorskip("tensorboard.plugins.projector.projector_plugin")
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from werkzeug.test import Client

    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(str(home / above))
    events.Reload()
    provider = data_provider.MultiplexerDataProvider(events, str(home / above))
    apps = plugin.ProjectorPlugin(
        base_plugin.TBContext(logdir=str(home / above), data_provider=provider, multiplexer=events)
    ).get_plugin_apps()
    runs = json.loads(Client(apps["/runs"]).get("/runs").data)
    assert name in runs
    (entry,) = json.loads(Client(apps["/info"]).get(f"/info?run={name}").data)["embeddings"]
    query = f"run={name}&name={entry['tensorName'].replace(' ', '%20')}"
    tensor = Client(apps["/tensor"]).get(f"/tensor?{query}")
    emb = load(home / "runs/mine")
    np.testing.assert_allclose(np.frombuffer(tensor.data, np.float32).reshape(len(emb), 8), emb.vectors, rtol=1e-6)
    metadata = Client(apps["/metadata"]).get(f"/metadata?{query}").data.decode()
    assert metadata.splitlines()[1].split("\t")[0] == emb.words[0]


def test_the_card_says_data_settings_and_scores(home: Path) -> None:
    done = run("experiments.evaluate", f"--workdir={home}/runs/mine", "--card")
    assert done.status == 0 and f"card: {home}/runs/mine/card.md" in done.out
    text = (home / "runs/mine" / card.CARD).read_text()
    result = json.loads((home / "runs/mine/result.json").read_text())
    assert text.startswith("# word2vec: mine\n") and len(text.splitlines()) < 120
    for part in (f"text:{home}/text.txt", "`model.dim`", "`train.batch_size`", f"{result['steps']:,}", "Spearman"):
        assert part in text, part
    assert "`model.window`" not in text  # a default
    assert result["corpus_digest"][:16] in text and 'w2v_jax.load("mine")' in text
    (home / "empty").mkdir()
    with pytest.raises(UserError, match="holds no finished run"):
        card.write(home / "empty", "")


def test_the_page_of_the_flag_is_documented() -> None:
    assert "--card" in (ROOT / "docs/vectors.md").read_text()
