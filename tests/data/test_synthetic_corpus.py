"""The synthetic language as a corpus, and a model's distance to its optimum."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.common.config_flag import load_config
from w2v_jax.config import DataConfig, SyntheticConfig
from w2v_jax.data.bayes import Language, optimum_of_split
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError
from w2v_jax.evaluation.optimum import distance_to_optimum

SMALL = SyntheticConfig(words=120, topics=4, senses=10, tokens=20_000, heldout_tokens=3000, test_tokens=2000)


# ---- as a corpus ----


def data(tmp_path, **changes):
    base = {"source": "synthetic", "heldout_source": "synthetic:heldout", "test_source": "synthetic:test"}
    base |= {"tokens": "whitespace", "min_count": 1, "synthetic": SMALL, "cache_dir": str(tmp_path / "cache")}
    return DataConfig(**(base | changes))


@pytest.mark.parametrize("end_token", ["", "<eos>"])
def test_a_corpus_holds_exactly_the_generated_words(tmp_path, end_token):
    cfg = data(tmp_path, end_token=end_token)
    corpus = build_corpus(cfg)
    language = Language.from_config(SMALL, end_token or ".")
    sizes = {"train": 20_000, "heldout": 3000, "test": 2000}
    for number, (split, size) in enumerate(sizes.items()):
        part, text = getattr(corpus, split), language.generate(size, (0, number))
        words = [language.grammar.words[i] for i in text.ids]
        assert [corpus.vocab.words[t] for t in part.tokens] == words
        assert part.documents == words.count(end_token or ".")
        nats, again = optimum_of_split(cfg, split, corpus.vocab.words, part.tokens)
        assert np.array_equal(nats, language.log_likelihood(text.ids)[0])
        assert np.array_equal(again.distance, text.distance)
    assert build_corpus(cfg).digest == corpus.digest
    with pytest.raises(UserError, match="the heldout split is not the text of synthetic:heldout"):
        optimum_of_split(cfg, "heldout", corpus.vocab.words, corpus.test.tokens)
    with pytest.raises(UserError, match="the vocabulary lacks the word.*data.min_count=1"):
        optimum_of_split(cfg, "test", corpus.vocab.words[:-1], corpus.test.tokens)
    with pytest.raises(UserError, match="holds 'house', no word of the language"):
        optimum_of_split(cfg, "test", ["house", *corpus.vocab.words[1:]], corpus.test.tokens)


def test_another_seed_or_language_is_another_corpus(tmp_path):
    changes = [{}, {"seed": 1}, {"switch": 0.4}, {"tokens": 21_000}]
    texts = [dataclasses.replace(SMALL, **c) for c in changes]
    assert len({build_corpus(data(tmp_path, synthetic=t)).digest for t in texts}) == len(texts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": "letters"}, "data.tokens='letters': the words of data.source=synthetic hold digits"),
        ({"synthetic": dataclasses.replace(SMALL, tokens=300)}, "data.synthetic.tokens=300: .* never occur, such as"),
        ({"test_source": "synthetic:dev"}, "synthetic:dev: no such split; use train, heldout, test"),
        ({"end_token": "f0"}, "data.end_token='f0': is a word of the language"),
        ({"synthetic": SyntheticConfig(words=14, senses=0)}, "data.synthetic.words=14: too few"),
        ({"synthetic": SyntheticConfig(words=60, senses=50)}, "data.synthetic.senses=50: only .* words belong to"),
    ],
    ids=str,
)
def test_mistakes_in_the_source(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        build_corpus(data(tmp_path, **changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("distances", d) for d in ("", "0,1", "2,1", "1,1", "1;2", "-1", "1,5000", "1,,2", "\u0663")]
    + [("words", 13), ("topics", 0), ("switch", 1.5), ("shared", 1.0), ("classes", 1), ("zipf", math.nan)]
    + [("zipf", 99.0), ("lead", math.inf), ("senses", 1000)]
    + [
        (f.name, type(f.default)(-7)) for f in dataclasses.fields(SyntheticConfig) if isinstance(f.default, int | float)
    ],
)
def test_impossible_values(key, value):
    with pytest.raises(UserError, match=rf"data\.synthetic\.{key}="):
        SyntheticConfig(**{key: value})


def test_values_that_exclude_each_other():
    with pytest.raises(UserError, match="senses=1: must be 0 when there is one topic"):
        SyntheticConfig(topics=1, senses=1)
    with pytest.raises(UserError, match="tail=0.0: must be above 0"):
        SyntheticConfig(distances="1", lead=0.0, tail=0.0)


def test_a_command_line_can_change_every_key():
    changed = {"data.source": "synthetic", "data.synthetic.distances": "1,32", "data.synthetic.lead": 2}
    cfg = load_config("configs/demo.py", **changed).data
    assert cfg.synthetic.distance_list() == (1, 32) and cfg.synthetic.lead == 2.0


# ---- a model's distance to the optimum ----


def test_distance_to_optimum_by_hand():
    rng = np.random.default_rng(0)
    optimal, gap = rng.exponential(3, 5000), rng.normal(0.2, 0.5, 5000)
    distance = np.where(rng.random(5000) < 0.1, rng.choice([1, 8], 5000), 0)
    found = distance_to_optimum(optimal + gap, optimal, distance)
    assert list(found) == ["all", "other", "verb 1", "verb 8"]
    for kind, mask in {"all": distance >= 0, "other": distance == 0, "verb 8": distance == 8}.items():
        row = found[kind]
        assert row["positions"] == mask.sum()
        assert abs(row["gap"] - gap[mask].mean()) < 1e-12 and abs(row["optimum"] - optimal[mask].mean()) < 1e-12
        assert abs(row["model"] - row["optimum"] - row["gap"]) < 1e-12
        independent = gap[mask].std(ddof=1) / mask.sum() ** 0.5
        assert 0.7 * independent < row["standard_error"] < 1.4 * independent
    assert distance_to_optimum(optimal + 0.25, optimal)["all"]["standard_error"] < 1e-12


def test_standard_error_counts_runs_of_equal_gaps_once():
    """500 runs of 10 equal gaps hold no more than 500 numbers."""
    gap = np.repeat(np.random.default_rng(1).normal(0, 1, 500), 10)
    error = distance_to_optimum(3 + gap, np.full(5000, 3.0))["all"]["standard_error"]
    assert 0.7 / 500**0.5 < error < 1.4 / 500**0.5


def test_distance_to_optimum_refuses():
    with pytest.raises(UserError, match="model nats: inf at position 2"):
        distance_to_optimum(np.array([1.0, 2.0, np.inf]), np.ones(3))
    for model, optimal, distance in (
        (np.ones(3), np.ones(2), None),
        (np.ones(3), np.ones(3), np.zeros(2)),
        ([], [], None),
    ):
        with pytest.raises(ValueError, match="one shape"):
            distance_to_optimum(model, optimal, distance)
    assert math.isnan(distance_to_optimum(np.ones(1), np.ones(1))["all"]["standard_error"])
