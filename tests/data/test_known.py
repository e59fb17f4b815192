"""The vocabulary of an earlier run beside stop words, left-out words and small texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.corpora import config
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.errors import UserError


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Makes the corpus of a text, nothing held out; with `run` its tokeniser is that of an earlier run."""

    def make(text: str, run: bool = False, **changes: Any) -> tuple[Corpus, list[str]]:
        (tmp_path / "t.txt").write_text(text)
        said: list[str] = []
        given = {"heldout_every": 0} | ({} if run else {"vocabulary_from": f"{tmp_path}/run"})
        found = build_corpus(config(tmp_path, tmp_path / "t.txt", **(given | changes)), said.append)
        if run:
            found.tokenizer.save(tmp_path / "run")
        return found, said

    return make


def counts(found: Corpus) -> dict[str, int]:
    return dict(zip(found.vocab.words, found.vocab.counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digits": "keep"}, "its text was cut by data.digits=drop, this by keep"),
        ({"normalise": "nfkc"}, "its text was cut by data.normalise=auto, this by nfkc"),
        ({"lowercase": False}, "its text was cut by data.lowercase=True, this by False"),
    ],
)
def test_words_cut_otherwise_are_refused(made: Any, changes: dict[str, Any], message: str) -> None:
    made("the cat", run=True)
    with pytest.raises(UserError, match=message):
        made("the dog", **changes)
    made("the dog", normalise="nfc")  # what auto is for words


def test_another_tokeniser_is_refused_and_the_same_in_another_file_is_not(made: Any, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    for name, words in (("a", ["the"]), ("b", ["the"]), ("c", ["the", "cat"])):
        model = tokenizers.Tokenizer(
            tokenizers.models.WordLevel({w: i for i, w in enumerate(["[UNK]", *words])}, unk_token="[UNK]")
        )
        model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        model.save(f"{tmp_path}/{name}.json")
    made("the cat", run=True, tokens=f"json:{tmp_path}/a.json")
    assert counts(made("the dog", tokens=f"json:{tmp_path}/b.json")[0]) == {"[UNK]": 2, "the": 2}
    with pytest.raises(UserError, match=r"data.tokens=json:\S*a.json, this by json:\S*c.json"):
        made("the dog", tokens=f"json:{tmp_path}/c.json")
    (tmp_path / "c.json").replace(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"another content of data.tokens=json:\S*a.json; restore it"):
        made("the dog", tokens=f"json:{tmp_path}/a.json")


def test_known_words_are_enough_however_rare(made: Any) -> None:
    made("the cat the cat", run=True)
    assert counts(made("a cat sat", min_count=5)[0]) == {"cat": 3, "the": 2}
    few = "none of its words is in the text, and no other occurs data.min_count=2 times there"
    with pytest.raises(UserError, match=f"data.vocabulary_from=.*: {few}; lower data.min_count"):
        made("a dog sat", min_count=2)


def test_words_that_the_new_run_leaves_out_go_also_where_they_were_known(made: Any, tmp_path: Path) -> None:
    made("the cat sat the", run=True)
    (tmp_path / "stop").write_text("the\n")
    found, said = made("the the dog\ncat\n", stop_words=f"{tmp_path}/stop")
    assert counts(found) == {"cat": 2, "dog": 1, "sat": 1}
    assert any("1 rarer ones and stop words dropped, 2 words (50.0%)" in line for line in said)
    found, said = made("the the the dog\ncat bird\n", skip_top=1, min_count=1)
    assert counts(found) == {"cat": 2, "bird": 1, "dog": 1, "sat": 1}
    assert any("the 1 most frequent and 0 rarer ones dropped, 3 words" in line for line in said)
    with pytest.raises(UserError, match="but words of data.stop_words or data.skip_top"):
        made("the the dog\n", skip_top=150)


def test_an_end_token_of_the_text_is_not_among_the_most_frequent(made: Any) -> None:
    text = "end end the the dog\nend end cat\n"
    found, said = made(text, run=True, skip_top=1, end_token="end")
    assert counts(found) == {"end": 6, "cat": 1, "dog": 1}
    assert any("the 1 most frequent and 0 rarer ones dropped, 2 words" in line for line in said)
    with pytest.raises(UserError, match="data.skip_top=3: leaves no word, the text has 3; lower it"):
        made(text, run=True, skip_top=3, end_token="end")
