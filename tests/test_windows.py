"""The worked examples of window samples, by hand."""

import collections

import pytest

from tests.windows import cbow_samples, clean, ngrams, skipgram_pairs

NURSE = clean("The nurse assisted the doctor with the patient's treatment at the hospital")


def test_nurse_sentence_is_cleaned_to_twelve_tokens():
    assert " ".join(NURSE) == "the nurse assisted the doctor with the patient treatment at the hospital"
    assert len(set(NURSE)) == 9
    assert clean("I saw a mole", stop=("i", "a")) == ["saw", "mole"]


def test_nurse_cbow_samples():
    samples = cbow_samples(NURSE, 2)
    assert len(samples) == 12
    assert samples[0] == (("nurse", "assisted"), "the")
    assert samples[1] == (("the", "assisted", "the"), "nurse")
    assert samples[2] == (("the", "nurse", "the", "doctor"), "assisted")
    assert samples[-1] == (("at", "the"), "hospital")


def test_nurse_skipgram_pairs():
    pairs = skipgram_pairs(NURSE, 2)
    assert len(pairs) == 42
    assert [len(contexts) for contexts, _ in cbow_samples(NURSE, 2)] == [2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 3, 2]
    assert len(set(pairs)) == 32
    assert [c for w, c in pairs if w == "doctor"] == ["assisted", "the", "with", "the"]
    assert {c for w, c in pairs if w == "the"} == set(NURSE) - {"the"}
    counts = collections.Counter(pairs)
    assert all(counts[(a, b)] == counts[(b, a)] for a, b in pairs)


def test_ngrams_and_mole():
    cat = ["the", "cat", "sat", "on", "the", "mat"]
    assert ngrams(cat, 3) == [("the", "cat", "sat"), ("cat", "sat", "on"), ("sat", "on", "the"), ("on", "the", "mat")]
    assert ngrams(cat, 7) == []
    mole = clean("I saw a mole at the zoo")
    assert [c for w, c in skipgram_pairs(mole, 2) if w == "mole"] == ["saw", "a", "at", "the"]


def test_edges():
    assert skipgram_pairs(["alone"], 3) == [] and cbow_samples(["alone"], 3) == []
    for bad in (lambda: skipgram_pairs("ab", 0), lambda: cbow_samples("ab", 0), lambda: ngrams("ab", 0)):
        with pytest.raises(ValueError):
            bad()
