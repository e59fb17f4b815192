"""`data.reversed`: a text from its right end, against the same text turned round in the file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.corpora import build_text, config, rows, sample_lines
from w2v_jax.config import DataConfig
from w2v_jax.data.backward import Backward
from w2v_jax.data.corpus import Corpus, build_corpus
from w2v_jax.data.remote import Remote
from w2v_jax.errors import UserError
from w2v_jax.models import running_text
from w2v_jax.models.recurrent_lm import RecurrentLMConfig
from w2v_jax.scaling.records import config_hash


def turned(text: str) -> str:
    return "\n".join(" ".join(line.split()[::-1]) for line in text.split("\n")[::-1])


def batches(corpus: Corpus) -> list[dict[str, np.ndarray]]:
    """Of a whole pass, tokens as words."""
    source = running_text.source(RecurrentLMConfig(length=5), corpus, "train", 4, 0)
    names = np.array(["-", *corpus.vocab.words])
    found = source.iterate(0, source.steps_per_epoch)
    return [b | {"tokens": names[b["tokens"] + 1], "targets": names[b["targets"] + 1]} for b in found]


@pytest.mark.parametrize("end", ["<eos>", ""])
def test_a_text_read_from_the_right_is_the_turned_text_read_from_the_left(end: str, tmp_path: Path) -> None:
    text = "\n".join(line for line in sample_lines(30) if line)
    (tmp_path / "there").mkdir()
    left, right = (build_text(tmp_path, text, end_token=end, reversed=turn) for turn in (False, True))
    file = build_text(tmp_path / "there", turned(text), end_token=end)
    for corpus in (right, file):
        words = [[corpus.vocab.words[i] for i in row] for row in rows(corpus.train)]
        assert words == [[*line.split(), *([end] if end else [])] for line in turned(text).split("\n")]
    assert left.directory == right.directory, "the same files"
    assert left.digest != right.digest and left.vocab.words == right.vocab.words
    for ours, theirs in zip(batches(right), batches(file), strict=True):
        for name in ("targets", "start", "words"):
            np.testing.assert_array_equal(ours[name], theirs[name])
        there = ours["targets"] != "-"  # elsewhere inputs are token 0, of either vocabulary
        np.testing.assert_array_equal(ours["tokens"][there], theirs["tokens"][there])


def test_every_split_is_turned_and_held_out_documents_stay_held_out(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a b\nc d\ne f\ng h\n")
    made: dict[str, Any] = {"end_token": ".", "tokens": "whitespace", "heldout_every": 2, "reversed": True}
    corpus = build_corpus(config(tmp_path, tmp_path / "t.txt", **made, unknown="keep"))
    shown = [" ".join(corpus.vocab.words[i] for i in part.tokens[:]) for part in (corpus.train, corpus.heldout)]
    assert shown == ["f e . b a .", "<unk> <unk> . <unk> <unk> ."]


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("kind", ["array", "blocks"])
def test_every_slice_is_that_of_the_turned_list(ended: bool, kind: str, tmp_path: Path) -> None:
    plain = np.arange(7, dtype=np.uint16)
    tokens: Any = plain
    if kind == "blocks":  # of a bucket, here all fetched before
        from hashlib import sha256

        parts = [plain[at : at + 2].tobytes() for at in range(0, 7, 2)]
        for number, part in enumerate(parts):
            (tmp_path / f"{number:06d}").write_bytes(part)
        tokens = Remote("gs://none/tokens", tmp_path, "uint16", 7, 4, [sha256(part).hexdigest() for part in parts])
    found, wanted = Backward(tokens, ended), ([5, 4, 3, 2, 1, 0, 6] if ended else [6, 5, 4, 3, 2, 1, 0])
    assert len(found) == 7 and np.asarray(found).tolist() == wanted and found[-2] == wanted[-2]
    assert found[1::2].tolist() == wanted[1::2]
    for begin, stop in itertools.product((None, *range(-8, 10)), repeat=2):
        assert found[begin:stop].tolist() == wanted[begin:stop], (begin, stop)
    assert Backward(plain[:0], ended)[:].tolist() == []


def test_it_changes_the_digest_of_a_run_and_labelled_texts_refuse_it() -> None:
    from configs import language
    from w2v_jax.config import Config
    from w2v_jax.data.labelled_corpus import check_rules

    found = language.get_config()
    turned_round = Config(found.family, found.model, DataConfig(found.data.source, reversed=True))
    assert config_hash(Config(found.family, found.model, DataConfig(found.data.source))) != config_hash(turned_round)
    with pytest.raises(UserError, match=r"data.reversed=True: has no effect on labelled texts"):
        check_rules(DataConfig("tsv:x", reversed=True), None)
