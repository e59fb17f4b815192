"""Text from trained models: the loop over new tokens, the command beside the uncached model, and what it refuses."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.commands import ROOT, Done, refused, run
from tests.examples import WORDS, quick, saved, whole_logits
from w2v_jax.family import Decode
from w2v_jax.models.generation import prefill, text_keys, write
from w2v_jax.nn.sampling import Sampling, sample
from w2v_jax.train.restore import Model, open_model

pytestmark = pytest.mark.xdist_group("generate")  # one worker: they share trained models

PROMPT, LENGTH = "the big dog", 24
MODEL = {"layers": 2, "dim": 8, "heads": 2, "length": LENGTH, "keys_values": "shared_kv"}

# ---- the loop ----


def counting(vocab: int) -> Decode:
    """After token i comes i + 1; what is kept is how many tokens were read, which must fit into the capacity."""

    def start(cfg: Any, rows: int, capacity: int) -> Any:
        return {"read": jnp.zeros((rows, 1), jnp.int32), "room": jnp.int32(capacity)}

    def step(cfg: Any, params: Any, consts: Any, kept: Any, tokens: Any) -> Any:
        read = kept["read"] + tokens.shape[1]
        following = jax.nn.one_hot((tokens[:, -1] + 1) % vocab, vocab) * cfg
        return jnp.where(read <= kept["room"], following, -following), kept | {"read": read}

    return Decode(lambda cfg, params: params, start, step, lambda cfg: (4, 0), lambda cfg: None, lambda cfg: "")


def written(decode: Decode, cfg: Any, sampling: Sampling, count: int, end_id: int | None, rows: int) -> Any:
    prompt = jnp.asarray([7, 3], jnp.int32)
    logits, kept = prefill(decode, cfg, rows, len(prompt) + count - 1, {}, {}, prompt)
    keys = text_keys(5, rows)
    tokens, lengths, _ = quick(
        lambda *given: write(decode, cfg, sampling, count, end_id, None, {}, {}, *given), kept, logits, keys
    )
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


def test_probabilities_that_are_not_asked_for_change_no_draw() -> None:
    decode = counting(10)
    logits, kept = prefill(decode, 0.5, 3, 21, {}, {}, jnp.asarray([7, 3], jnp.int32))
    found, bare = (
        quick(
            lambda *given, scored=scored: write(decode, 0.5, Sampling(), 20, 6, None, {}, {}, *given, scored=scored),
            *(kept, logits, text_keys(5, 3)),
        )
        for scored in (True, False)
    )
    assert found.tokens.tolist() == bare.tokens.tolist() and found.lengths.tolist() == bare.lengths.tolist()
    assert found.nats.shape == (3, 20) and bare.nats.shape == (3, 0)


# ---- the command ----


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`recurrent_lm`, a run folder that a training wrote, and `transformer`, one like it of random parameters: its
    training would take most of the time of these tests to compile."""
    folder = tmp_path_factory.mktemp("generate")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(60)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    settings = {"model.layers": 1, "model.dim": 8, "model.hidden": 8, "train.passes": 2.0, "train.batch_size": 2}
    settings |= {"train.steps_per_call": 2, "data.source": f"text:{folder / 'text.txt'}", "mesh.data": 1}
    overrides = [f"--config.{k}={v}" for k, v in (settings | {"log.tensorboard": False}).items()]
    words = [f"--config={ROOT / 'configs/language.py'}", f"--workdir={folder / 'recurrent_lm'}", *overrides]
    done = run("experiments.train", *words)
    assert done.status == 0, done.err
    saved(folder / "transformer", "transformer", **MODEL)
    return folder


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
    found = quick(lambda params: whole_logits(model.spec, model.cfg, params, {}, inputs), model.params)
    return np.asarray(found[0, : len(ids)])


@pytest.mark.parametrize(
    ("family", "flags", "kept"),
    [
        (
            "transformer",
            ("--top_k=1", "--samples=2"),
            r"cache: 64 bytes per token \(keys and values shared by 2 layers\); separate in each layer 128, 2 ",
        ),
        ("recurrent_lm", ("--greedy",), "state: 64 bytes per text of any length"),  # h and c, 8 numbers each
    ],
)
def test_greedy_text_and_the_table_are_those_of_the_uncached_model(
    home: Path, family: str, flags: tuple[str, ...], kept: str
) -> None:
    done = generated(home / family, *flags, "--tokens=12", "--show=3")
    words, *others = texts(done)
    assert others == [words] * (len(flags) - 1)
    model = open_model(home / family)
    logits, given = logits_of(model, words), len(PROMPT.split())
    likeliest = [model.tokenizer.words[i] for i in logits.argmax(-1)]
    assert words[:given] == PROMPT.split() and words[given:] == likeliest[given : len(words)]
    assert len(words) == given + 12 or words[-1] == "<eos>"
    share = np.asarray(jax.nn.softmax(logits[given]))
    rows = re.findall(r"^(\S+) +(\d+\.\d\d)$", done.out, re.M)
    assert [word for word, _ in rows] == [model.tokenizer.words[i] for i in np.argsort(-share)[:3]]
    np.testing.assert_allclose([float(p) for _, p in rows], 100 * np.sort(share)[:-4:-1], atol=0.0051)
    assert f"{family}, step {model.step}, " in done.out and "read: <eos> the big dog\n" in done.out
    rows, padded = len(model.tokenizer.words), model.cfg.padded_vocab
    real = sum(x.size * rows // padded if padded in x.shape else x.size for x in jax.tree.leaves(model.params))
    assert rows < padded and f", {real:,} parameters: " in done.out
    assert re.search(kept, done.out) and re.search(r"speed: prompt 4 tokens in .*/s\)", done.out)


def test_beyond_the_context_a_text_goes_on_from_the_last_half_of_it(home: Path) -> None:
    """Beside the uncached model, which reads anew whatever the rule leaves of the text."""
    from w2v_jax.models.generation import Slide, before

    model, slide, count = open_model(home / "transformer"), Slide(LENGTH, LENGTH // 2), 2 * LENGTH
    decode = model.spec.decode
    assert decode is not None
    ids, keys, sampling = np.array([10, 1, 2, 0, 4], np.int32), text_keys(5, 2), Sampling(0.7)
    weights = decode.weights(model.cfg, model.params)
    logits, kept = quick(lambda *given: prefill(decode, model.cfg, 2, LENGTH, *given), weights, {}, jnp.asarray(ids))
    found = quick(
        lambda *given: write(decode, model.cfg, sampling, count, None, slide, weights, {}, *given),
        *(kept, logits, keys, before(slide, ids)),
    )

    def drawn(inputs: Any, last: Any, place: Any) -> Any:
        logits = whole_logits(model.spec, model.cfg, model.params, {}, inputs)[:, last]
        return sample(logits, jax.vmap(jax.random.fold_in, (0, None))(keys, place), sampling)

    rows, first, draw = [ids.tolist(), ids.tolist()], 0, jax.jit(drawn)
    for place in range(count):
        if len(rows[0]) - first > LENGTH:  # the last token is read, too
            first = len(rows[0]) - LENGTH // 2
        size = len(rows[0]) - first
        tokens = draw(jnp.asarray([row[first:] + [0] * (LENGTH - size) for row in rows]), size - 1, place)
        rows = [[*row, token] for row, token in zip(rows, tokens.tolist(), strict=True)]
    assert first > LENGTH and found.tokens.tolist() == [row[len(ids) :] for row in rows]
    done = generated(home / "transformer", "--slide", f"--tokens={count}", "--seed=3", "--temperature=3", "--samples=4")
    assert max(map(len, texts(done))) > LENGTH and done.err == ""
    full = " ".join(["the"] * LENGTH)  # one too many with the start of the document, which is left out
    longer = generated(home / "transformer", "--slide", "--tokens=1", "--show=0", prompt=full)
    assert f"read: {full}\n" in longer.out and texts(longer)[0][:LENGTH] == full.split()
    refused(generated(home / "recurrent_lm", "--slide"), "--slide: this model carries its state")


def test_unknown_words_are_not_written_where_they_are_not_wanted(tmp_path: Path) -> None:
    at = saved(tmp_path / "run", "recurrent_lm", ("<unk>", *WORDS), cell="elementwise", hidden=8, dim=8)
    flags = ("--tokens=20", "--temperature=2", "--samples=4")
    plain, known = generated(at, *flags), generated(at, "--known", *flags)
    assert any("<unk>" in words for words in texts(plain)) and not any("<unk>" in words for words in texts(known))
    rows = [re.findall(r"^(\S+) +(\d+\.\d\d)$", done.out, re.M) for done in (plain, known)]
    assert rows[0] == rows[1] and "<unk>" in dict(rows[0]), "the table is the model's own"


def test_prompts_of_a_file_are_as_each_alone(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, file, more = home / "recurrent_lm", tmp_path / "prompts.txt", ("--tokens=6", "--samples=2")
    file.write_text("the big dog\n\nfox\nthe red cat\n")
    done = run("experiments.generate", f"--workdir={at}", f"--prompts={file}", *more)
    single = [generated(at, *more, prompt=prompt) for prompt in ("the big dog", "fox", "the red cat")]
    assert texts(done) == [words for one in single for words in texts(one)] and "prompt 3 of 3\n" in done.out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"fox\n")))
    piped = run("experiments.generate", f"--workdir={at}", "--prompts=-", *more)
    assert texts(piped) == texts(single[1])
    file.write_bytes(b"the\nd\xe9\n")
    words = ["experiments.generate", f"--workdir={at}", f"--prompts={file}"]
    refused(run(*words), r"prompts\.txt: not UTF-8 at byte 5")
    refused(run(*words, "--prompt=the"), "--prompt, --prompts: give one of the two")
    file.write_text("the\nthe zebra\n")
    refused(
        run(words[0], f"--workdir={home / 'transformer'}", words[2]),
        r"prompts\.txt:2: 'zebra' is not in the vocabulary",
    )
    file.write_text("\n")
    refused(run(*words), r"prompts\.txt: holds no prompt; write one a line")
    refused(run(*words[:2], f"--prompts={tmp_path / 'none'}"), "none: No such file")


def test_a_seed_gives_the_same_texts_however_many(home: Path) -> None:
    at, more = home / "recurrent_lm", ("--tokens=16", "--temperature=1.5", "--show=0")
    three = texts(generated(at, *more, "--seed=3", "--samples=3"))
    assert len(three) == 3 and len({tuple(words) for words in three}) == 3
    assert texts(generated(at, *more, "--seed=3")) == three[:1]
    assert texts(generated(at, *more, "--seed=4")) != three[:1]


def test_a_text_from_nothing_and_one_up_to_the_end_of_the_context(home: Path) -> None:
    at = home / "transformer"
    begun = generated(home / "recurrent_lm", "--tokens=1", prompt="")
    assert begun.status == 0 and "read: <eos>\n" in begun.out and begun.err == ""
    full = " ".join(["the"] * (LENGTH - 1))  # with the start of the document all of the context
    done = generated(at, "--tokens=5", prompt=full)
    assert done.status == 0 and done.err == "note: the model's context ends after 1 of 5 new tokens; --slide goes on\n"
    assert "text 1 of 1, 1 new token" in done.out
    longer = f"--prompt: {LENGTH + 1} tokens .*; the context of the model is {LENGTH} .model.length"
    refused(generated(at, prompt=f"{full} the"), longer)


def test_words_that_the_model_does_not_know(home: Path, tmp_path: Path) -> None:
    refused(generated(home / "transformer", prompt="the zebra"), "--prompt: 'zebra' is not in the vocabulary")
    dropping = saved(tmp_path / "dropping", "recurrent_lm", end="", cell="elementwise", hidden=8, dim=8)
    done = generated(dropping, "--tokens=1", prompt="The zebra saw an old zebra")
    assert "read: the saw\n" in done.out and done.err == "note: not in the vocabulary, left out: zebra, an, old\n"
    refused(generated(dropping, prompt="zebra"), "--prompt='zebra': no word of it is in the model's vocabulary")
    refused(generated(dropping, prompt=""), "--prompt is empty: the model has no end token")


def test_flags_that_cannot_be(home: Path) -> None:
    at = home / "transformer"
    refused(run("experiments.generate"), "--workdir is missing")
    refused(run("experiments.generate", f"--workdir={home}"), "holds no run")
    refused(generated(at, "--temperature=-1"), r"--temperature=-1\.0: must be 0 \(greedy\)")
    refused(generated(at, "--top_p=0"), "--top_p=0.0: must be above 0")
    refused(generated(at, "--top_k=-1"), "--top_k=-1: must be 0")
    refused(generated(at, "--tokens=0"), "--tokens=0: must be at least 1")
    refused(generated(at, "--samples=0"), "--samples=0: must be at least 1")
    refused(generated(at, "--seed=-1"), "--seed=-1: must be 0 or more")
    refused(generated(at, "--greedy", "--samples=2"), "--samples=2: greedy texts are all the same")
    refused(generated(at, "--greedy", "--temperature=0.5"), "--greedy, --temperature=0.5: .*one of the two")
    refused(run("experiments.generate", f"--workdir={at}", "the dog"), "unexpected argument 'the dog'")


def test_run_folders_that_cannot_write(home: Path, tmp_path: Path) -> None:
    """A masked model, heads that do not divide the width, another tokeniser, other families."""
    masked = saved(tmp_path / "masked", "transformer", **MODEL, objective="masked")
    refused(generated(masked), "model.objective='masked': .*only causal models generate")
    odd = tmp_path / "odd"
    odd.mkdir()
    config = json.loads((home / "transformer" / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps(config | {"model": config["model"] | {"heads": 3}}))
    refused(generated(odd), "model.heads=3: does not divide model.dim=8")
    other = saved(tmp_path / "other", "transformer", tuple(reversed(WORDS)), **MODEL)
    shutil.rmtree(other / "checkpoints")
    shutil.copytree(home / "transformer" / "checkpoints", other / "checkpoints")
    refused(generated(other), "tokenizer.json: another tokeniser or vocabulary than checkpoint 7 was trained with")
    for family in ("word2vec", "recurrent_classifier"):
        (odd / "config.json").write_text(json.dumps({"family": family, "model": {}}))
        refused(generated(odd), f"family='{family}' writes no text; name a run folder of recurrent_lm, transformer$")
