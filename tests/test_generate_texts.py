"""How generated texts end, and the file of --jsonl beside the uncached model."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.generate.texts import check_stops, text_of
from tests.commands import refused, run
from tests.examples import quick, saved, whole_logits
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.train.restore import open_model

pytestmark = pytest.mark.xdist_group("generate_texts")
LENGTH = 8


def tokenizer_of(kind: str, words: tuple[str, ...], end: str = "") -> Tokenizer:
    names = (*words, end) if end else words
    return Tokenizer(kind, True, "drop", end, Vocabulary(names, np.arange(len(names), 0, -1)))


@pytest.mark.parametrize(
    ("stops", "text", "count", "ended", "stop"),
    [
        ([], "the cat . a dog", 4, "document", ""),
        (["."], "the cat", 1, "stop", "."),
        (["dog", " a"], "the cat .", 2, "stop", " a"),  # the one that comes first
        (["at"], "the c", 1, "stop", "at"),  # within a token, which is the last one
        (["cat"], "the", 0, "stop", "cat"),
        (["the"], "the cat . a dog", 4, "document", ""),  # of the prompt alone
    ],
)
def test_a_text_of_words_ends_before_the_first_stop(
    stops: list[str], text: str, count: int, ended: str, stop: str
) -> None:
    tokenizer = tokenizer_of("whitespace", ("the", "cat", ".", "a", "dog"), "<eos>")
    new = np.array([1, 2, 3, 4, 5], np.int32)
    expected = (text, count + (ended == "document"), ended, stop)
    assert text_of(tokenizer, np.array([5, 0], np.int32), new, stops, "tokens") == expected


def test_a_text_of_characters_ends_before_the_first_stop() -> None:
    tokenizer = tokenizer_of("characters", tuple("ab \n"))
    prompt, new = np.array([0], np.int32), np.array([1, 2, 3, 3, 0], np.int32)
    assert text_of(tokenizer, prompt, new, ["\n\n", "x"], "context") == ("ab ", 2, "stop", "\n\n")
    assert text_of(tokenizer, prompt, new, [], "context") == ("ab \n\na", 5, "context", "")


def test_stops_that_never_come_are_refused() -> None:
    words = tokenizer_of("whitespace", ("the", "cat"))
    check_stops(words, ["cat the", "e c"])
    for stop, message in (("", "--stop is empty"), ("Cat", "writes no 'C'"), ("\n", r"writes no '\\n'")):
        with pytest.raises(UserError, match=message):
            check_stops(words, [stop])
    with pytest.raises(UserError, match="writes no ' '"):
        check_stops(tokenizer_of("characters", tuple("ab")), ["a b"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = {"layers": 1, "dim": 8, "heads": 1, "length": LENGTH}
    return saved(tmp_path_factory.mktemp("texts") / "run", "transformer", **model)


def test_the_file_has_the_models_own_probabilities(home: Path, tmp_path: Path) -> None:
    """Whatever temperature and top_k made of them; the ends say why."""
    (tmp_path / "prompts.txt").write_text("the\nthe big dog the big dog\n")
    flags = ["--tokens=3", "--samples=6", "--temperature=3", "--top_k=8", "--seed=2", "--stop=cat"]
    words = [f"--workdir={home}", f"--prompts={tmp_path / 'prompts.txt'}", f"--jsonl={tmp_path / 'new/a.jsonl'}"]
    done = run("experiments.generate", *words, *flags)
    assert done.status == 0, done.err
    rows = [json.loads(line) for line in (tmp_path / "new/a.jsonl").read_text().splitlines()]
    assert [(r["prompt"], r["sample"], r["seed"]) for r in rows] == [
        (prompt, sample, 2) for prompt in ("the", "the big dog the big dog") for sample in range(1, 7)
    ]
    model = open_model(home)
    index = {word: i for i, word in enumerate(model.tokenizer.words)}
    inputs = np.zeros((len(rows), LENGTH), np.int32)
    for r, into in zip(rows, inputs, strict=True):
        ids = [index[w] for w in ("<eos>", *r["prompt"].split(), *r["tokens"])][:LENGTH]
        into[: len(ids)] = ids
    share = jax.nn.log_softmax(
        quick(lambda p: whole_logits(model.spec, model.cfg, p, {}, jnp.asarray(inputs)), model.params)
    )
    for r, own in zip(rows, np.asarray(share), strict=True):
        first = len(r["prompt"].split())
        wanted = [own[first + i, index[token]] for i, token in enumerate(r["tokens"])]
        np.testing.assert_allclose(r["log_probabilities"], wanted, atol=1e-4)
        words_of = [*r["prompt"].split(), *(t for t in r["tokens"] if t != "<eos>")]
        assert r["text"] == " ".join(words_of) and "cat" not in r["tokens"] and f":\n{r['text']}\n" in done.out
        full = "tokens" if first == 1 else "context"
        assert r["ended"] in ("stop", "document", full) and (r["ended"] != "stop" or r["stop"] == "cat")
        assert r["ended"] != full or len(r["tokens"]) == (3 if first == 1 else 2)
    assert {"context", "tokens", "stop"} <= {r["ended"] for r in rows}
    for said in ("as many as --tokens:", "the context is full:", "up to 'cat':"):
        assert said in done.out


def test_a_long_prompt_is_cut_aloud_or_named_with_all_that_are_refused(home: Path, tmp_path: Path) -> None:
    long = " ".join(["the"] * 20)
    words = ["experiments.generate", f"--workdir={home}", "--tokens=1"]
    done = run(*words, "--slide", f"--prompt={long}", "--stop=cat")
    assert done.status == 0 and done.err == "note: --prompt: the first 13 of 21 tokens are not read\n"
    file, target = tmp_path / "prompts.txt", tmp_path / "a.jsonl"
    file.write_text(f"the\n{long}\nthe zebra\n")
    message = r"prompts\.txt:2: 21 tokens .* \(2 of 3 prompts are refused: lines 2, 3\)"
    refused(run(*words, f"--prompts={file}", f"--jsonl={target}"), message)
    refused(run(*words, f"--jsonl={tmp_path}"), "--jsonl=.*: a folder; name the file")
    assert not target.exists()
