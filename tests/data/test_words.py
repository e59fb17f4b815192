"""How text is cut into words: every rule against its definition, in many scripts; what leaves the text is counted."""

import random
import re
import sys
import unicodedata
from collections import Counter

import pytest

from tests.data.corpora import config
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.words import JOINERS, NAMES, SOFT_HYPHEN, Rules, of_kinds, prepared, words_of

WORDS, LETTERS, MARKS = Rules("words", True), Rules("letters", True), Rules("punctuation", True)
SCRIPTS = {
    "l'\u00e9t\u00e9 na\u00efve \u00eatre, d\u00e9j\u00e0!": [
        "l'\u00e9t\u00e9",
        "na\u00efve",
        "\u00eatre",
        "d\u00e9j\u00e0",
    ],
    "Stra\u00dfe \u00dcber-Gr\u00f6\u00dfe": ["stra\u00dfe", "\u00fcber", "gr\u00f6\u00dfe"],
    "\u041f\u043e-\u0440\u0443\u0441\u0441\u043a\u0438": ["\u043f\u043e", "\u0440\u0443\u0441\u0441\u043a\u0438"],
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e": [
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\u0926\u0941\u0928\u093f\u092f\u093e",
    ],
    "\u0995\u09cd\u09b7\u09c7\u09a4\u09cd\u09b0": ["\u0995\u09cd\u09b7\u09c7\u09a4\u09cd\u09b0"],
    "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd": ["\u0ba4\u0bae\u0bbf\u0bb4\u0bcd"],
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22": ["\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22"],
    "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627 \u0628\u0643": [
        "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627",
        "\u0628\u0643",
    ],
    "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd": ["\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd"],
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645": ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"],
    "\u0915\u094d\u200d\u0937": ["\u0915\u094d\u200d\u0937"],
    "Donau\u00addampf": ["donaudampf"],
    "\u1112\u1161\u11ab\u1100\u1173\u11af": ["\ud55c\uae00"],
    "\U00010400\U00010401 x": ["\U00010428\U00010429", "x"],  # Deseret, beyond 16 bits
    "d\u2019eau rock'n'roll 'tis dogs' a''b": ["d\u2019eau", "rock'n'roll", "tis", "dogs", "a", "b"],
    "a\u200c b\u200d, \u200cc": ["a", "b", "c"],
}


@pytest.mark.parametrize("text", SCRIPTS)
def test_words_are_whole_in_any_script(text):
    assert words_of(text, WORDS) == SCRIPTS[text]
    assert [w for w in words_of(text, MARKS) if of_kinds(w)["L"]] == SCRIPTS[text]
    assert words_of(unicodedata.normalize("NFD", text), WORDS) == SCRIPTS[text], "composed or not, it is one word"


def test_digits_punctuation_and_normal_forms_by_choice():
    text = "H2O, \uff21 \ufb01n e\u0301"
    assert words_of(text, WORDS) == ["h", "o", "\uff41", "\ufb01n", "\u00e9"]
    assert words_of(text, WORDS._replace(digits="keep", normalise="nfkc")) == ["h2o", "a", "fin", "\u00e9"]
    assert words_of(text, WORDS._replace(normalise="none"))[-1] == "e\u0301"
    assert words_of("x_y 3.5", MARKS) == ["x", "_", "y", "3", ".", "5"]
    assert words_of("Don't stop, she said.", MARKS) == ["don't", "stop", ",", "she", "said", "."]
    assert words_of("the dogs' caf\u00e9", MARKS) == ["the", "dogs", "'", "caf\u00e9"]
    assert words_of("A <unk>  b,\n c", Rules("whitespace", False)) == ["A", "<unk>", "b,", "c"]


def whole_unicode(seed: int) -> str:
    """Characters of every block, each between two others, with joiners among them."""
    rng = random.Random(seed)
    codes = [c for c in (*range(1, 0x3100), *range(0x3100, sys.maxunicode, 23)) if not 0xD800 <= c < 0xE000]
    return "".join(f"{chr(c)}{rng.choice(['a', ' ', chr(0x301), *JOINERS, '1'])}" for c in codes)


def kind(c: str) -> str:
    return "Z" if c.isspace() else unicodedata.category(c)[0]


def by_hand(text: str, letters: str, apart: bool) -> list[str]:
    """The rule of the documentation, one character after the other."""
    out, word = [], ""
    for i, c in enumerate(text):
        after = kind(text[i + 1]) if i + 1 < len(text) else "Z"
        inside = kind(c) in letters or (word and (kind(c) == "M" or (c in JOINERS and after in letters)))
        # After a joiner comes a letter, so the word goes on.
        if inside:
            word += c
            continue
        out += [word] if word else []
        word = ""
        if apart and kind(c) != "Z":
            out.append(c)
    return out + ([word] if word else [])


@pytest.mark.parametrize(
    ("rules", "letters"),
    [(WORDS, "L"), (WORDS._replace(digits="keep"), "LN"), (MARKS, "LN")],
    ids=["words", "digits", "marks"],
)
def test_the_rules_character_by_character(rules, letters):
    text = whole_unicode(0)
    folded = unicodedata.normalize("NFC", text).replace(SOFT_HYPHEN, "").lower()
    assert prepared(text, rules) == folded
    expected = by_hand(folded, letters, rules.tokens == "punctuation")
    assert words_of(text, rules) == expected


def test_letters_are_exactly_the_pattern_on_every_code_point():
    # Each character stands between letters, so that one which lower-cases to a letter would join them.
    text = "".join(f"a{chr(c)}b " for c in range(1, sys.maxunicode + 1) if not 0xD800 <= c < 0xE000)
    assert words_of(text, LETTERS) == re.findall("[a-z]+", text.lower())
    rng = random.Random(0)
    text = "".join(rng.choices("abZQ \n\t'-_.\u00e9\u212a\u0130\u00df\u03a30", k=20_000))
    assert words_of(text, LETTERS) == re.findall("[a-z]+", text.lower())
    assert words_of(text, Rules("letters", False)) == re.findall("[a-zA-Z]+", text)


@pytest.mark.parametrize(("tokens", "lost"), [("words", 2), ("letters", 2), ("punctuation", 2), ("characters", 0)])
def test_soft_hyphens_are_counted_with_what_leaves_a_text(tokens, lost, tmp_path):
    (tmp_path / "t.txt").write_text("Donau\u00addampf\nno\u00ad ab\n", encoding="utf-8")
    said = []
    report = build_corpus(config(tmp_path, tmp_path / "t.txt", tokens=tokens, heldout_every=2), said.append).report
    assert report["lost"]["other characters"] == lost
    assert (f"corpus: in no word: {lost} other characters" in said) == bool(lost)


@pytest.mark.parametrize("tokens", ["words", "letters", "punctuation"])
def test_what_leaves_a_text_is_counted_by_kind(tokens, tmp_path):
    """Against a count character by character of the text and of its words."""
    lines = [
        "\u041c\u0438\u0440 42, it's na\u00efve! \u20ac5 \u0928\u092e\u0938\u094d\u0924\u0947 \u0301x",
        "plain words only",
        "caf\u00e9 caf\u00e9\u200b",
    ]
    (tmp_path / "t.txt").write_text("\n".join(lines * 3) + "\n", encoding="utf-8")
    said = []
    report = build_corpus(config(tmp_path, tmp_path / "t.txt", tokens=tokens, heldout_every=4), said.append).report
    rules = Rules(tokens, True)
    words = [w for line in lines * 3 for w in words_of(line, rules)]
    text = Counter(map(kind, "".join(prepared(line, rules) for line in lines * 3)))
    kept = Counter(map(kind, "".join(words)))
    assert report["lost"] == {name: text[k] - kept[k] for k, name in NAMES.items()}
    assert report["letters"] == text["L"]
    share = (text["L"] - kept["L"]) / text["L"]
    warned = [line for line in said if "of the letters of this text; data.tokens=words" in line]
    assert len(warned) == (tokens == "letters") and (not warned or f" {share:.1%} " in warned[0])
    assert (share > 0.05) == (tokens == "letters")
    line = next((line for line in said if line.startswith("corpus: in no word: ")), "")
    assert all((f" {n:,} {name}" in line) == bool(n) for name, n in report["lost"].items())
    assert bool(line) == (tokens != "punctuation")


def test_a_corpus_whose_tokens_the_rules_changed_is_another(tmp_path):
    """Plain text keeps the digest that checkpoints know; text with marks, which was cut otherwise before, does not."""
    digests = []
    for name, text in (("plain", "a b c\nd e f\n"), ("marked", "a b c\nd e\u0301 f\n")):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
        found = build_corpus(config(tmp_path, tmp_path / f"{name}.txt", tokens="punctuation", heldout_every=0))
        digests.append(found.digest == found.directory.name)
    assert digests == [True, False]


def test_the_limits_that_the_documentation_names():
    for form in ("nfc", "nfkc"):
        rules = Rules("words", True, form)
        assert words_of("don\u2019t don't", rules) == ["don\u2019t", "don't"]
        assert words_of("\u0130I", rules) == ["i\u0307i"]
        assert words_of("col\u00b7legi a\u200eb", rules) == ["col", "legi", "a", "b"]
