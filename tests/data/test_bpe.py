"""Byte-level BPE against a plain one: merges, names, vocabulary, and vectors of byte pairs."""

import collections
import functools
import hashlib
import json
import random

import numpy as np
import pytest

from tests import commands
from tests.data.corpora import TEXT, build_text, rows
from w2v_jax.data import bpe, sources
from w2v_jax.data.counter import SPLITS
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.data.vocabulary import escape
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.errors import UserError
from w2v_jax.models.vectors import start_vectors


@pytest.fixture
def build(tmp_path):
    return functools.partial(build_text, tmp_path)


def plain_bpe(words: dict[bytes, int], merges: int) -> list[bytes]:
    """Byte-pair encoding by its definition: the most frequent pair becomes a token, again and again."""
    split = {w: [bytes([b]) for b in w] for w in words}
    found = []
    for _ in range(merges):
        pairs: collections.Counter[tuple[bytes, bytes]] = collections.Counter()
        for w, parts in split.items():
            for pair in zip(parts, parts[1:], strict=False):
                pairs[pair] += words[w]
        (left, right), _count = pairs.most_common(1)[0]
        assert list(pairs.values()).count(_count) == 1, "a tie: the order of merges would be a matter of taste"
        found.append(left + right)
        for parts in split.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == (left, right):
                    parts[i : i + 2] = [left + right]
                i += 1
    return found


def test_merges_are_those_of_the_definition(build):
    words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 7, "été": 3}
    text = "".join(f"{w}\n" * n for w, n in words.items())
    expected = plain_bpe({w.encode(): n for w, n in words.items()}, 4)
    c = build(text, tokens="bpe", max_vocab=256 + 4)
    tokens = set(map(bpe.as_bytes, c.vocab.words))
    assert tokens == {bytes([b]) for b in range(256)} | set(expected) and b"hug" in tokens
    assert c.tokenizer.pieces(c.tokenizer.encode("hugs un bug")) == ["hug", "s", "▁", "un", "▁", "b", "ug"]


def test_bpe_is_the_same_for_the_same_text(build, tmp_path):
    first = build(TEXT * 3, tokens="bpe", max_vocab=300, cache_dir=str(tmp_path / "one"))
    again = build(TEXT * 3, tokens="bpe", max_vocab=300, cache_dir=str(tmp_path / "two"))
    assert first.digest == again.digest and first.directory != again.directory
    names = sorted(p.name for p in first.directory.iterdir())
    assert names == sorted(p.name for p in again.directory.iterdir())
    for name in names:
        assert (first.directory / name).read_bytes() == (again.directory / name).read_bytes()


def token_of(content: bytes) -> str:
    """The token as the library writes it."""
    return "".join(next(c for c, b in bpe.byte_of().items() if b == byte) for byte in content)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" für".encode(), "▁für"),
        ("日本".encode(), "日本"),
        ("日本".encode()[:4], "日<0xE6>"),
        (b"\xc3", "<0xC3>"),
        (b"<0xC3>", r"\x3c0xC3>"),
        (b"a < b", "a▁<▁b"),
        (" ▁".encode(), r"▁\u2581"),
        (b"\n\\n", r"\n\\n"),
        ("\u3000\xa0".encode(), r"\u3000\xa0"),
    ],
)
def test_a_byte_pair_is_shown_as_text(content, text):
    assert bpe.shown(token_of(content)) == text
    assert bpe.from_shown(text) == token_of(content)


def test_what_is_shown_tells_all_byte_pairs_apart():
    rng = random.Random(0)
    signs = [" ", "▁", "<", "<0x", "C3>", "\\", "\\u2581", "\n", "ü", "日", "\u200d", "😀"]
    parts = [*(sign.encode() for sign in signs), *(bytes([b]) for b in range(256))]
    tokens = {token_of(b"".join(rng.choices(parts, k=rng.randint(1, 5)))) for _ in range(5000)}
    texts = {bpe.shown(token) for token in tokens}
    assert len(texts) == len(tokens) and {bpe.from_shown(text) for text in texts} == tokens
    assert all(text.isprintable() and " " not in text for text in texts)


def test_saved_byte_pairs_read_as_text_and_older_files_still_open(build, tmp_path):
    """The digest, by which checkpoints know their tokeniser, is that of the tokens themselves."""
    made = build("für dich, für mich\n日本語の文\n" * 9, tokens="bpe", max_vocab=270, end_token="<eos>").tokenizer
    made.save(tmp_path / "new")
    lines = (tmp_path / "new" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    names = [line.partition("\t")[0] for line in lines]
    assert names == made.pieces(range(made.size)) and {"für", "▁", "<eos>", "<0xE6>"} <= set(names)
    assert not any("Ã" in name or "Ġ" in name for name in names)
    made.vocab.save(tmp_path / "vocab.txt", escape)  # as it was before: the tokens themselves
    old = (tmp_path / "vocab.txt").read_bytes()
    assert "fÃ¼r".encode() in old
    entry = json.loads((tmp_path / "new" / "tokenizer.json").read_text()) | {"format": 1}
    entry["vocab"] = hashlib.sha256(old).hexdigest()
    (tmp_path / "tokenizer.json").write_text(json.dumps(entry))
    for folder in (tmp_path / "new", tmp_path):
        found = Tokenizer.load(folder)
        assert found.words == made.words and found.digest == made.digest and found.end_id == made.end_id
        assert found.decode(found.encode("für 日本")) == "für 日本"
        assert found.pieces(found.encode(" für")) == made.pieces(made.encode(" für"))


def test_vectors_of_byte_pairs_are_found_by_either_name(build, tmp_path):
    tokenizer = build("für dich, für mich\n" * 9, tokens="bpe", max_vocab=262).tokenizer
    matrix = np.arange(tokenizer.size, dtype=np.float32)[:, None] + 1
    for names in (tokenizer.pieces(range(tokenizer.size)), list(tokenizer.words)):
        save(Embeddings(names[::-1], matrix[::-1]), tmp_path / "v.bin")
        found = start_vectors(str(tmp_path / "v.bin"), tokenizer.words, 1, tokenizer.size, 0.1)
        np.testing.assert_array_equal(found, matrix)


@pytest.mark.parametrize("end", ["", "<eos>"])
def test_bpe_vocabulary_has_the_size_asked_for(build, end):
    c = build(TEXT * 3, tokens="bpe", max_vocab=300, end_token=end, min_count=1000)
    assert c.tokenizer.size == len(c.vocab) == 300
    assert c.vocab.counts.tolist() == sorted(c.vocab.counts.tolist(), reverse=True)
    # The end token is none of the text's: its letters are encoded as any other.
    ids = c.tokenizer.encode("the <eos> mat")
    assert c.tokenizer.decode(ids) == "the <eos> mat" and (not end or c.tokenizer.end_id not in ids)


def test_bpe_is_trained_on_training_documents_only(build, tmp_path):
    (tmp_path / "valid.txt").write_text("zzzz zzzz zzzz\n" * 50)
    held = "the cat\n\nzzzz zzzz zzzz\n" * 20  # the empty line has no number
    for c in (
        build(held, tokens="bpe", max_vocab=270, heldout_every=2),
        build("the cat\n" * 20, tokens="bpe", max_vocab=270, heldout_source=f"text:{tmp_path / 'valid.txt'}"),
    ):
        assert not any("zz" in w for w in c.vocab.words) and "Ġcat" in c.vocab.words
        assert c.tokenizer.decode(rows(c.heldout)[0]) == "zzzz zzzz zzzz"
        assert c.heldout.words == 3 * c.heldout.documents


def test_bpe_held_out_documents_are_those_of_the_other_tokenisers(build):
    """Empty documents do not shift the numbers, whether they stay (with an end token) or not."""
    text = "a\n\nb b\n \nc\n\nd\ne\n"
    for end in ("", "<eos>"):
        word = build(text, tokens="whitespace", heldout_every=2, end_token=end, unknown="keep")
        pair = build(text, tokens="bpe", max_vocab=258, heldout_every=2, end_token=end)
        for split in SPLITS:
            assert getattr(pair, split).documents == getattr(word, split).documents
            assert getattr(pair, split).words == getattr(word, split).words
            assert getattr(pair, split).bytes == getattr(word, split).bytes


def test_bpe_errors(build, monkeypatch):
    with pytest.raises(UserError, match="data.end_token='mat': is a token of this text too"):
        build("mat mat\n" * 9, tokens="bpe", max_vocab=300, end_token="mat")
    for end in ("für", "▁für"):
        with pytest.raises(UserError, match=f"data.end_token='{end}': is a token of this text too"):
            build("für\na für\n" * 9, tokens="bpe", max_vocab=300, end_token=end)
    with pytest.raises(UserError, match="no word found"):
        build(" \n\n", tokens="bpe", max_vocab=300)
    digests = iter("ab")
    monkeypatch.setattr(sources._Hashed, "drain", lambda self: self.hash.update(next(digests).encode()))
    with pytest.raises(UserError, match="changed while it was read"):
        build("mat mat\n", tokens="bpe", max_vocab=300)


def test_vectors_of_byte_pairs_bear_readable_names_everywhere(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    rng = random.Random(0)
    words = ["für", "das", "Haus", "日本語", "の", "文", "über", "dich"]
    (tmp_path / "t.txt").write_text("".join(" ".join(rng.choices(words, k=12)) + "\n" for _ in range(80)))
    run = tmp_path / "run"
    options = {"data__tokens": "bpe", "data__max_vocab": 290, "data__lowercase": False, "train__passes": 1.0}
    done = commands.train(tmp_path / "t.txt", run, **options)
    assert done.status == 0, done.err
    tokenizer = Tokenizer.load(run)
    names = tokenizer.pieces(range(tokenizer.size))
    assert {"▁für", "▁日本語", "▁über", "▁", "<0xC3>"} <= set(names)
    theirs = gensim.KeyedVectors.load_word2vec_format(
        str(run / "vectors.bin"), binary=True, fvocab=str(run / "vocab.txt")
    )
    assert theirs.index_to_key == names
    assert theirs.get_vecattr("▁für", "count") == tokenizer.vocab.counts[names.index("▁für")]
    rows = (run / "projector" / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert [row.partition("\t")[0] for row in rows] == ["word", *names]
    found = commands.run("experiments.neighbours", f"--workdir={run}", "▁日本語", "--topn=289")
    assert found.status == 0 and "nearest to ▁日本語" in found.out and "\n  ▁für " in found.out
