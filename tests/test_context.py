"""`ContextEncoder`: against the states of one text at a time, and sums in numpy."""

from __future__ import annotations

import dataclasses
import functools
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

from w2v_jax.config import Config, DataConfig
from w2v_jax.context import ContextEncoder, Encoder, join, select
from w2v_jax.context.cut import Cut, Cutter
from w2v_jax.context.rows import Frame, Row, Seen, batches, lengths_of, rows_of
from w2v_jax.data import bpe
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import UNKNOWN, Vocabulary
from w2v_jax.errors import UserError
from w2v_jax.evaluation.senses import mixed, unit
from w2v_jax.models import MODELS
from w2v_jax.models.recurrent_classifier import RecurrentClassifierConfig
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.train.restore import Model

WORDS = ("<eos>", UNKNOWN, *"abcdefgh", "-")
TINY = TransformerConfig(layers=2, dim=8, heads=2, length=8, init_scale=0.5, wide=2)
TEXT = ["a", "b-c", "d", "zebra", "e"]  # 7 tokens


def data_of(**rules: Any) -> DataConfig:
    return DataConfig(**{"tokens": "punctuation", "end_token": "<eos>", "unknown": "keep", "max_vocab": 257} | rules)


def tokenizer_of(**rules: Any) -> Tokenizer:
    return Tokenizer.of(data_of(**rules), Vocabulary(WORDS, np.arange(len(WORDS), 0, -1)), None)


@functools.cache
def model_of(family: str, cfg: Any, **rules: Any) -> Model:
    """Random parameters."""
    spec, tokenizer, rng = MODELS[family], tokenizer_of(**rules), np.random.default_rng(0)
    cfg = dataclasses.replace(cfg, vocab_size=tokenizer.size)
    shapes = jax.eval_shape(lambda: spec.trained.init(jax.random.key(0), cfg, {}))
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.5, s.shape), jnp.float32), shapes)
    return Model(spec, Config(family, cfg, data_of(**rules)), cfg, params, {}, tokenizer, 1)


def states_of(model: Model, ids: list[int]) -> list[np.ndarray]:
    """[T, D] of each layer, of one text without padding."""
    found = model.applied.states(model.params, model.consts, np.array([ids], np.int32), np.array([len(ids)], np.int32))
    return [np.asarray(layer[0]) for layer in found]


def ids_of(text: str) -> list[int]:
    return [WORDS.index(word) for word in text.split()]


MASKED = dataclasses.replace(TINY, objective="masked", length=12)
MODELS_READ = [
    ("transformer", MASKED, "<eos> a b - c d <unk> e <eos>", 1),
    ("transformer", dataclasses.replace(TINY, length=12), "<eos> a b - c d <unk> e", 1),
    ("recurrent_lm", RecurrentLMConfig(layers=2, hidden=6, dim=5), "<eos> a b - c d <unk> e", 1),
    ("recurrent_classifier", RecurrentClassifierConfig(hidden=6, dim=5, bidirectional=True), "a b - c d <unk> e", 0),
]


@pytest.mark.parametrize(("family", "cfg", "read", "lead"), MODELS_READ)
def test_vectors_are_the_mean_states_of_the_tokens_of_a_word(family: str, cfg: Any, read: str, lead: int) -> None:
    encoder = ContextEncoder(model_of(family, cfg))
    other = ["c", "d"]  # of another length
    found = encoder.encode([other, TEXT], [[1], [4, 1, 3]])
    of_text, of_other = states_of(encoder.model, ids_of(read)), states_of(encoder.model, [0] * lead + [4, 5])
    assert len(found.layers) == len(encoder.names) == len(of_text)
    for layer, states in zip(found.layers, of_text, strict=True):
        np.testing.assert_allclose(layer[1], states[lead + 6], atol=2e-6)
        np.testing.assert_allclose(layer[2], states[lead + 1 : lead + 4].mean(0), atol=2e-6)
        np.testing.assert_allclose(layer[3], states[lead + 5], atol=2e-6)
    if "masked" not in str(cfg) and family != "recurrent_classifier":  # these read nothing after the word
        np.testing.assert_allclose(found.layers[-1][0], of_other[-1][-1], atol=2e-6)
    assert found.seen == Seen(words=4, unknown=1)
    for pool, place in (("first", 1), ("last", 3)) if family == "transformer" else ():
        layer = dataclasses.replace(encoder, pool=pool).encode([TEXT], [[1]], [-1]).layers[0]
        np.testing.assert_allclose(layer[0], of_text[-1][lead + place], atol=2e-6)


def test_all_words_of_texts_and_one_of_each_are_the_same() -> None:
    encoder = ContextEncoder(model_of("transformer", MASKED))
    with pytest.warns(UserWarning, match=r"of 9 words 1 outside the vocabulary$"):
        of_texts = encoder.words([TEXT, "h a - b"], layer=1)
    assert [x.shape for x in of_texts] == [(5, 8), (4, 8)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(encoder.at([TEXT], [1], layer=1)[0], of_texts[0][1], atol=1e-6)
    assert encoder.words([]) == [] and encoder.at([], []).shape == (0, 8)
    assert encoder.cut("A, b!") == ["a", ",", "b", "!"] and encoder.find("h a - b", "-") == 2


def test_eight_devices_give_the_vectors_of_one() -> None:
    model = model_of("transformer", MASKED)
    rng = np.random.default_rng(0)
    texts = [rng.choice(list("abcdefgh"), size).tolist() for size in rng.integers(1, 30, 60)]
    places = [int(rng.integers(len(text))) for text in texts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = ContextEncoder(model, batch=64).encode(texts, [[place] for place in places])
        eight = ContextEncoder(model, batch=64, devices=jax.devices()).encode(texts, [[place] for place in places])
        alone = [ContextEncoder(model).at([text], [place]) for text, place in zip(texts[:5], places[:5], strict=True)]
    assert len(jax.devices()) == 8 and one.seen == eight.seen and one.seen.windowed > 0
    for a, b in zip(one.layers, eight.layers, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    np.testing.assert_allclose(np.concatenate(alone), one.layers[-1][:5], atol=2e-6)  # no text depends on others


def test_a_hidden_word_is_read_as_the_mask() -> None:
    model = model_of("transformer", MASKED)
    mask = len(WORDS)
    encoder = ContextEncoder(model, hide_target=True)
    found = encoder.encode([TEXT], [[1, 3]])
    for number, ids in enumerate(([0, 2, mask, mask, mask, 5, 1, 6, 0], [0, *ids_of("a b - c d"), mask, 6, 0])):
        states = states_of(model, ids)
        wanted = states[-1][[2, 3, 4] if number == 0 else [6]].mean(0)
        np.testing.assert_allclose(found.layers[-1][number], wanted, atol=2e-6)
    letters = ContextEncoder(model_of("transformer", MASKED, tokens="letters"), hide_target=True)
    unread = letters.encode([["a", "!", "b"]], [[1]])  # no token: one mask
    np.testing.assert_allclose(unread.layers[-1][0], states_of(letters.model, [0, 2, mask, 3, 0])[-1][2], atol=2e-6)


def test_a_model_of_reversed_texts_reads_them_so() -> None:
    model = model_of("recurrent_lm", RecurrentLMConfig(layers=1, hidden=6, dim=6))
    found = ContextEncoder(model, backward=True).encode([TEXT], [[1]])
    states = states_of(model, ids_of("<eos> e <unk> d c - b a"))
    np.testing.assert_allclose(found.layers[1][0], states[1][4:7].mean(0), atol=2e-6)
    first = ContextEncoder(model, backward=True, pool="first").at([TEXT], [1])
    np.testing.assert_allclose(first[0], states[1][6], atol=2e-6)
    so_trained = ContextEncoder(model_of("recurrent_lm", model.config.model, reversed=True)).encode([TEXT], [[1]])
    np.testing.assert_array_equal(so_trained.layers[1], found.layers[1])
    both = join(ContextEncoder(model), ContextEncoder(model, backward=True))
    ahead = ContextEncoder(model).at([TEXT], [1])
    np.testing.assert_allclose(
        both.at([TEXT], [1]), np.concatenate([unit(ahead), unit(found.layers[1])], 1) / np.sqrt(2), atol=2e-6
    )
    assert both.names == ("word vectors", "layer 1")


# ---- rows ----


def cut_of(lengths: list[int]) -> Cut:
    """Words of the given numbers of tokens; the tokens count up from 0."""
    bounds = np.cumsum([0, *lengths])
    ids = [np.arange(a, b, dtype=np.int32) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    return Cut(tuple("w" * len(lengths)), ids, np.zeros(len(lengths), bool))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("context", [1, 2, 7, 16])
def test_windows_hold_the_word_and_the_words_around_it(causal: bool, backward: bool, context: int) -> None:
    lengths = [*np.random.default_rng(1).integers(0, 4, 40).tolist(), 13, 14, 15, 16, 17, 1, 1, 1]
    cut, frame = cut_of(lengths), Frame(context, 1000, causal, backward=backward)
    targets = [(100 + i, i) for i in range(len(lengths))]
    rows, seen = rows_of(cut, targets, frame)
    total, read = sum(lengths), set()
    for row in rows:
        assert len(row.tokens) == context
        for number, first, stop in row.spans:
            read.add(number)
            ids = cut.ids[number - 100]
            wanted = ids[-context:][::-1] if backward else ids[:context]
            np.testing.assert_array_equal(row.tokens[first:stop], wanted)
            if lengths[number - 100] < context // 4:
                before = first if causal else min(first, len(row.tokens) - stop)
                at_edge = min(row.tokens) == 0 or max(row.tokens) == total - 1
                assert at_edge or before >= (context // 2 if causal else context // 4)
            assert rows_of(cut, [(number, number - 100)], frame)[0][0].tokens.tolist() == row.tokens.tolist()
    assert read == {100 + i for i, n in enumerate(lengths) if n}
    assert seen.windowed == len(read) and seen.unread == len(lengths) - len(read)
    assert seen.shortened == sum(n > context for n in lengths)
    assert len(rows) <= -(-total // max(1, context // 4)) + 6


def test_a_text_that_just_fits_is_read_whole() -> None:
    cut = cut_of([1] * 6)
    (row,), seen = rows_of(cut, [(0, 5)], Frame(8, 99, False))
    assert row.tokens.tolist() == [99, 0, 1, 2, 3, 4, 5, 99] and row.spans == [(0, 6, 7)] and not seen.windowed
    (row,), _ = rows_of(cut, [(0, 5)], Frame(7, 99, True))
    assert row.tokens.tolist() == [99, 0, 1, 2, 3, 4, 5] and row.spans == [(0, 6, 7)]
    (row,), seen = rows_of(cut, [(0, 5)], Frame(7, 99, False))
    assert seen.windowed == 1 and len(row.tokens) == 6


def test_batches_hold_every_row_once_in_few_shapes() -> None:
    rng = np.random.default_rng(2)
    rows = [Row(np.full(n, i, np.int32), [(i, 0, 1)]) for i, n in enumerate(rng.integers(1, 101, 500).tolist())]
    rows += [Row(np.full(9, 500, np.int32), [(500, 0, 1), (501, 1, 3)])]
    assert lengths_of(100) == (16, 24, 32, 48, 64, 96, 100) and lengths_of(16) == (16,) and lengths_of(5) == (5,)
    seen, shapes = [], set()
    for part in batches(rows, 100, 1000, 8):
        shapes.add((part.tokens.shape, part.spans.shape))
        assert part.tokens.size <= 1000 + 8 * 100 and len(part.tokens) % 8 == 0 and (part.lengths >= 1).all()
        for tokens, length, numbers in zip(part.tokens, part.lengths, part.numbers, strict=True):
            assert (tokens[length:] == 0).all()
            seen += numbers[numbers >= 0].tolist()
            if numbers[0] >= 0:
                assert len(rows[numbers[0]].tokens) == length and (tokens[:length] == tokens[0]).all()
    assert sorted(seen) == list(range(502)) and len(shapes) <= 3 * 7 + 1
    few = list(batches(rows[:60], 100, 8000, 1))  # a few rows are not padded to a whole batch
    assert sum(len(part.tokens) for part in few) <= 60 + 7 * 63


# ---- word vectors only ----


def test_word_vectors_give_the_word_and_means_of_its_window() -> None:
    model = model_of("word2vec", Word2VecConfig(dim=4))
    table = np.asarray(model.params["E"])[: len(WORDS)]
    encoder = ContextEncoder(model, window=2)
    text = ["a", "b", "c-d", "e", "f", "a"]
    found = encoder.encode([text, ["h"]], [[3, 0], [0]])
    near, share = ids_of("b c - d f a"), np.arange(len(WORDS), 0, -1) / np.arange(len(WORDS) + 1).sum()
    weights = 1e-3 / (1e-3 + share)
    np.testing.assert_allclose(found.layers[0], table[ids_of("e a h")], rtol=1e-6)
    np.testing.assert_allclose(found.layers[1][0], table[near].mean(0), atol=1e-6)
    np.testing.assert_allclose(found.layers[2][0], (weights[near, None] * table[near]).mean(0), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(found.layers[1][1], table[ids_of("b c - d")].mean(0), atol=1e-6)
    assert not found.layers[1][2].any() and encoder.static and not ContextEncoder(model_of("transformer", TINY)).static
    assert found.seen == Seen(words=3, alone=1)
    assert encoder.encode([["h"]], [[0]], [0]).seen == Seen(words=1), "the vector of the word has no window"
    with pytest.warns(UserWarning, match="of 1 words 1 without a known word around, given zeros for the window"):
        encoder.at([["h"]], [0], layer=1)
    letters = ContextEncoder(model_of("word2vec", Word2VecConfig(dim=4), tokens="letters"))
    with pytest.warns(UserWarning, match="of 1 words 1 without a token, given zeros"):
        assert not letters.at([["!"]], [0], layer=0).any()


# ---- mixtures and mistakes ----


def test_mixtures_and_single_layers() -> None:
    encoder = ContextEncoder(model_of("transformer", MASKED))
    layers = encoder.encode([TEXT, ["a"]], [[0], [0]]).layers
    wanted = 0.5 * layers[0] / np.linalg.norm(layers[0], axis=1, keepdims=True)
    wanted = wanted + 2.0 * layers[2] / np.linalg.norm(layers[2], axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.at([TEXT, ["a"]], [0, 0], layer=[0.5, 0, 2]), wanted, atol=1e-6)
    mixture = select(encoder, [0.5, 0, 2])
    assert mixture.names == ("mixture",) and select(encoder, -1).names == ("layer 2",)
    np.testing.assert_allclose(mixture.at([TEXT, ["a"]], [0, 0]), wanted, atol=1e-6)
    np.testing.assert_allclose(select(encoder, 1).at([TEXT, ["a"]], [0, 0], layer=0), layers[1], atol=1e-6)
    np.testing.assert_array_equal(mixed([np.zeros((1, 2)), np.ones((1, 2))], [1, 0]), np.zeros((1, 2)))


def test_byte_pairs_are_those_of_a_word_after_a_blank() -> None:
    text = "the mole dug a hole, the moles dug holes. " * 20
    model = bpe.train([text], 290)
    vocab = Vocabulary(("<eos>", *bpe.names(model)), np.ones(model.get_vocab_size() + 1, np.int64))
    tokenizer = Tokenizer.of(DataConfig(tokens="bpe", end_token="<eos>", max_vocab=291), vocab, model)
    cutter = Cutter(tokenizer)
    raw = "The moles, dug!"
    assert cutter.words(raw) == ["the", "moles", ",", "dug", "!"]
    assert np.concatenate(cutter(raw).ids).tolist() == tokenizer.encode(raw).tolist()
    assert [ids.tolist() for ids in cutter(["the", "moles"]).ids] == [
        tokenizer.encode(" the").tolist(),
        tokenizer.encode(" moles").tolist(),
    ]


def test_tokens_of_an_own_tokeniser_are_not_cut_again(tmp_path: Path) -> None:
    """A name such as `Ġdog` cut as text would be other tokens; a given word is the one after a blank."""
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel({"the": 0, "Ġdog": 1, "Ġruns": 2, "[UNK]": 3}, "[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.save(str(tmp_path / "own.json"))
    (tmp_path / "t.txt").write_text("the dog runs\n" * 3)
    kind = f"json:{tmp_path}/own.json"
    data = DataConfig(f"text:{tmp_path}/t.txt", tokens=kind, min_count=1, heldout_every=0, cache_dir=str(tmp_path))
    cutter = Cutter(build_corpus(data).tokenizer)
    cut = cutter("the dog runs")
    assert cut.words == ("the", "Ġdog", "Ġruns") and not cut.unknown.any()
    assert np.concatenate(cut.ids).tolist() == cutter.tokenizer.encode("the dog runs").tolist()
    assert cutter(["dog"]).ids[0].tolist() == [cutter.tokenizer.vocab.index["Ġdog"]]
    assert cutter(["cat"]).unknown.tolist() == [True]


def test_mistakes_are_one_line() -> None:
    masked, causal = model_of("transformer", MASKED), model_of("transformer", TINY)
    encoder: Encoder = ContextEncoder(masked)
    static = ContextEncoder(model_of("word2vec", Word2VecConfig(dim=4)))
    narrow = ContextEncoder(model_of("recurrent_lm", RecurrentLMConfig(layers=2, hidden=6, dim=5)))
    for call, message in (
        (lambda: ContextEncoder(causal, hide_target=True), "hide_target: is for masked models"),
        (lambda: ContextEncoder(static.model, hide_target=True), "hide_target: is for masked models"),
        (lambda: ContextEncoder(masked, pool="max"), "pool='max': must be one of mean, first, last"),
        (lambda: ContextEncoder(masked, context=13), "context=13: the model was trained on at most 12 tokens"),
        (lambda: ContextEncoder(masked, batch=0), "encoder.batch=0: must be at least 1"),
        (lambda: encoder.at([TEXT], [5]), "text 0: no word 5: it has 5 words, counted from 0"),
        (lambda: encoder.at([TEXT], [-1]), "text 0: no word -1"),
        (lambda: encoder.at([TEXT], []), "1 texts and 0 places"),
        (lambda: encoder.encode([TEXT], []), "1 texts and 0 lists of places"),
        (lambda: encoder.encode([TEXT], [[1, 1]]), "text 0: a word is named twice"),
        (lambda: encoder.at([TEXT], [1], layer=3), "layer 3: must be from -3 to 2"),
        (lambda: encoder.at([TEXT], [1], layer=[1, 2]), "2 weights for 3 layers"),
        (lambda: encoder.at([TEXT], [1], layer=[0, 0, 0]), "layers all of weight 0"),
        (lambda: narrow.at([TEXT], [1], layer=[1, 1, 0]), r"layers of widths \[5, 6\]"),
        (lambda: encoder.find(TEXT, "mole"), "'mole': not a word of the text: 'a b-c d"),
        (lambda: select(encoder, [1, 2]), "2 weights for the 3 layers: word vectors, layer 1, layer 2"),
        (lambda: join(encoder), "join: needs at least two encoders"),
        (lambda: join(encoder, select(encoder, 1)), "join: encoders of 3, 1 layers"),
    ):
        with pytest.raises(UserError, match=re.compile(message)):
            call()
