"""Text from trained models: the loop over new tokens, the command beside the uncached model, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.commands import ROOT, Done, refused, run, train
from w2v_jax.models.generation import prefill, text_keys, write
from w2v_jax.nn.sampling import Sampling
from w2v_jax.train.restore import Model, open_model
from w2v_jax.types import Decode

pytestmark = pytest.mark.xdist_group("generate")  # one worker: they share trained models

PROMPT, LENGTH = "the big dog", 24
WORDS = ["the", "big", "dog", "cat", "ran", "sat", "and", "fox", "red", "saw"]
KINDS = ("transformer", "recurrent_lm")

# ---- the loop ----


def counting(vocab: int) -> Decode:
    """After token i comes i + 1; what is kept is how many tokens were read, which must fit into the capacity."""

    def start(cfg: Any, rows: int, capacity: int) -> Any:
        return {"read": jnp.zeros((rows, 1), jnp.int32), "room": jnp.int32(capacity)}

    def step(cfg: Any, params: Any, consts: Any, kept: Any, tokens: Any) -> Any:
        read = kept["read"] + tokens.shape[1]
        following = jax.nn.one_hot((tokens[:, -1] + 1) % vocab, vocab) * cfg
        return jnp.where(read <= kept["room"], following, -following), kept | {"read": read}

    return Decode(start, step, lambda cfg: (4, 0), lambda cfg: None)


def written(decode: Decode, cfg: Any, sampling: Sampling, count: int, end_id: int | None, rows: int) -> Any:
    prompt = jnp.asarray([7, 3], jnp.int32)
    logits, kept = prefill(decode, cfg, rows, len(prompt) + count - 1, {}, {}, prompt)
    keys = text_keys(5, rows)
    tokens, lengths = jax.jit(lambda: write(decode, cfg, sampling, count, end_id, {}, {}, kept, logits, keys))()
    return [row[:n].tolist() for row, n in zip(np.asarray(tokens), np.asarray(lengths), strict=True)]


def test_the_loop_reads_what_it_wrote_and_stops_at_the_end_token() -> None:
    decode, greedy = counting(10), Sampling(0.0)
    assert written(decode, 1.0, greedy, 5, None, 2) == [[4, 5, 6, 7, 8]] * 2
    assert written(decode, 1.0, greedy, 5, 6, 1) == [[4, 5, 6]], "the end token is the last"
    assert written(decode, 1.0, greedy, 5, 4, 1) == [[4]] and written(decode, 1.0, greedy, 1, None, 1) == [[4]]


def test_every_text_draws_for_itself_and_anew_at_every_place() -> None:
    decode = counting(10)
    many = written(decode, 0.0, Sampling(), 200, None, 3)  # all tokens are equally likely
    assert written(decode, 0.0, Sampling(), 200, None, 1) == many[:1]
    assert many[0] != many[1] != many[2] and min(len(set(text)) for text in many) == 10
    ended = written(decode, 0.0, Sampling(), 200, 6, 3)
    assert ended == [text[: text.index(6) + 1] for text in many], "texts end apart, and the others go on"


# ---- the command ----


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders of two tiny models of the same text, and the text."""
    folder = tmp_path_factory.mktemp("generate")
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, len(WORDS) + 1)
    lines = [" ".join(rng.choice(WORDS, rng.integers(3, 9), p=share / share.sum())) for _ in range(60)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    for kind in KINDS:
        done = run("experiments.train", *arguments(folder, kind, folder / kind))
        assert done.status == 0, done.err
    return folder


def arguments(folder: Path, kind: str, workdir: Path, *more: str) -> list[str]:
    config, sizes = {
        "transformer": ("transformer", {"layers": 2, "dim": 8, "heads": 2, "keys_values": "shared_kv"}),
        "recurrent_lm": ("language", {"layers": 2, "dim": 8, "hidden": 8}),
    }[kind]
    settings = {f"model.{k}": v for k, v in sizes.items()} | {"model.length": LENGTH, "mesh.data": 1}
    settings |= {"data.source": f"text:{folder / 'text.txt'}", "log.tensorboard": False, "train.batch_size": 2}
    settings |= {"train.passes": 4.0, "train.steps_per_call": 4, "optimizer.learning_rate": 0.02}
    overrides = [f"--config.{k}={v}" for k, v in settings.items()]
    return [f"--config={ROOT / 'configs' / config}.py", f"--workdir={workdir}", *overrides, *more]


def generated(workdir: Path, *more: str, prompt: str = PROMPT) -> Done:
    return run("experiments.generate", f"--workdir={workdir}", f"--prompt={prompt}", *more)


def texts(done: Done) -> list[list[str]]:
    """The words of each text; the end token where one says that it came."""
    assert done.status == 0, done.err
    found = re.findall(r"^text \d+ of \d+, \d+ new tokens?(.*):\n(.*)$", done.out, re.M)
    assert found, done.out
    return [[*words.split(), *(["<eos>"] if "ends" in how else [])] for how, words in found]


def logits_of(model: Model, words: list[str]) -> np.ndarray:
    """[T + 1, V] after the start of the document and after each word, by the uncached model."""
    ids = [model.tokenizer.words.index(word) for word in ["<eos>", *words]]
    inputs = jnp.asarray([ids + [0] * (LENGTH - len(ids))])
    found = model.spec.apply(model.cfg, model.params, model.consts, inputs, model.spec.carry(model.cfg, 1))
    return np.asarray(found["logits"][0, : len(ids)])


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_text_and_the_table_are_those_of_the_uncached_model(home: Path, kind: str) -> None:
    done = generated(home / kind, "--greedy", "--tokens=12", "--show=3")
    (words,) = texts(done)
    model = open_model(home / kind)
    logits, given = logits_of(model, words), len(PROMPT.split())
    likeliest = [model.tokenizer.words[i] for i in logits.argmax(-1)]
    assert words[:given] == PROMPT.split() and words[given:] == likeliest[given : len(words)]
    assert len(words) == given + 12 or words[-1] == "<eos>"
    share = np.asarray(jax.nn.softmax(logits[given]))
    rows = re.findall(r"^(\S+) +(\d+\.\d\d)$", done.out, re.M)
    assert [word for word, _ in rows] == [model.tokenizer.words[i] for i in np.argsort(-share)[:3]]
    np.testing.assert_allclose([float(p) for _, p in rows], 100 * np.sort(share)[:-4:-1], atol=0.0051)
    assert f"{kind}, step " in done.out and "read: <eos> the big dog\n" in done.out
    kept = {
        "transformer": "cache: 64 bytes a token .*shared by all layers, 2 layers.*; of each layer's own 128, 2 times",
        "recurrent_lm": "state: 128 bytes a text, whatever its length",  # h and c of two layers of 8
    }
    assert re.search(kept[kind], done.out) and re.search(r"speed: prompt 4 tokens in .*/s\)", done.out)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_texts_however_many(home: Path, kind: str) -> None:
    more = ("--tokens=16", "--temperature=1.5", "--show=0", "--seed=3")
    three = texts(generated(home / kind, "--samples=3", *more))
    assert len(three) == 3 and len({tuple(words) for words in three}) == 3
    assert texts(generated(home / kind, *more)) == three[:1]
    assert texts(generated(home / kind, *more[:-1], "--seed=4")) != three[:1]
    assert texts(generated(home / kind, *more, "--top_k=1")) == texts(generated(home / kind, "--greedy", "--tokens=16"))


def test_a_text_from_nothing_and_one_up_to_the_end_of_the_context(home: Path) -> None:
    begun = generated(home / "transformer", "--tokens=4", prompt="")
    assert len(texts(begun)[0]) <= 4 and "read: <eos>\n" in begun.out and begun.err == ""
    full = " ".join(["the"] * (LENGTH - 1))  # with the start of the document all of the context
    done = generated(home / "transformer", "--tokens=5", prompt=full)
    assert done.status == 0 and done.err == "note: the model's context ends after 1 of 5 new tokens\n"
    assert "text 1 of 1, 1 new token" in done.out
    longer = f"{full} the"
    refused(
        generated(home / "transformer", prompt=longer),
        rf"--prompt: {LENGTH + 1} tokens .*the context of the model is {LENGTH} \(model\.length\)",
    )
    assert len(texts(generated(home / "recurrent_lm", "--tokens=3", prompt=longer))[0]) > LENGTH, "no limit here"


def test_words_that_the_model_does_not_know(home: Path, tmp_path: Path) -> None:
    refused(generated(home / "recurrent_lm", prompt="the zebra"), "--prompt: 'zebra' is not in the vocabulary")
    dropping = tmp_path / "dropping"
    words = arguments(home, "recurrent_lm", dropping, "--config.data.unknown=drop", "--config.data.end_token=''")
    assert run("experiments.train", *words).status == 0
    done = generated(dropping, "--tokens=2", prompt="the zebra saw a zebra")
    assert "read: the saw\n" in done.out and done.err == "note: not in the vocabulary, left out: zebra, a\n"
    refused(generated(dropping, prompt="zebra"), "--prompt='zebra': no word of it is in the model's vocabulary")
    refused(generated(dropping, prompt=""), "--prompt is empty: the model has no end token")


def test_flags_that_cannot_be(home: Path) -> None:
    at = home / "transformer"
    refused(run("experiments.generate"), "--workdir is missing")
    refused(run("experiments.generate", f"--workdir={home}"), "holds no run")
    refused(generated(at, "--temperature=-1"), r"temperature=-1\.0: must be 0 \(greedy\)")
    refused(generated(at, "--top_p=0"), "top_p=0.0: must be above 0")
    refused(generated(at, "--tokens=0"), "--tokens=0: must be at least 1")
    refused(generated(at, "--samples=0"), "--samples=0: must be at least 1")
    refused(generated(at, "--seed=-1"), "--seed=-1: must be 0 or more")
    refused(generated(at, "--greedy", "--samples=2"), "--samples=2: greedy texts are all the same")
    refused(generated(at, "--greedy", "--temperature=0.5"), "--greedy, --temperature=0.5: .*one of the two")
    refused(run("experiments.generate", f"--workdir={at}", "the dog"), "unexpected argument 'the dog'")


def changed(source: Path, target: Path, **model: Any) -> Path:
    """A run folder whose config.json says otherwise."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    config["model"] |= model
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_run_folders_that_cannot_write(home: Path, tmp_path: Path) -> None:
    """A masked model, heads that do not divide the width, another tokeniser, word vectors."""
    words = arguments(home, "transformer", tmp_path / "masked", "--config.model.objective=masked")
    assert run("experiments.train", *words).status == 0
    refused(generated(tmp_path / "masked"), "model.objective='masked': .*only causal models generate")
    refused(
        run("experiments.train", *arguments(home, "transformer", tmp_path / "odd", "--config.model.heads=3")),
        "model.heads=3: does not divide model.dim=8",
    )
    refused(generated(changed(home / "transformer", tmp_path / "heads", heads=3)), "model.heads=3: does not divide")
    other = changed(home / "transformer", tmp_path / "other")
    vocabulary = tmp_path / "vocabulary"
    (tmp_path / "text.txt").write_text((home / "text.txt").read_text().replace("fox", "owl"))
    assert run("experiments.train", *arguments(tmp_path, "recurrent_lm", vocabulary)).status == 0
    for name in ("tokenizer.json", "vocab.txt"):
        shutil.copy(vocabulary / name, other / name)
    refused(generated(other), "tokenizer.json: another tokeniser or vocabulary than checkpoint")
    done = train(home / "text.txt", tmp_path / "vectors", train__batch_size=16, train__passes=1.0)
    assert done.status == 0, done.err
    refused(generated(tmp_path / "vectors"), "family='word2vec' writes no text; name .* recurrent_lm, transformer$")
