"""Packed texts give the tokens of the plain one; text that is not UTF-8 and odd names are read by choice."""

import bz2
import gzip
import lzma
import os
import zipfile

import pytest
import zstandard

from tests import commands
from tests.data.corpora import config
from w2v_jax.data.corpus import build_corpus
from w2v_jax.errors import UserError

LINES = [f"w{chr(97 + i % 7)} common words été {chr(97 + i % 11)}x\n" for i in range(400)]
PACKED = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def tokens(corpus):
    return corpus.vocab.words, corpus.train.tokens.tolist(), corpus.heldout.tokens.tolist()


def test_every_kind_of_packed_file_gives_the_same_tokens(tmp_path):
    text = "".join(LINES)
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    expected = tokens(build_corpus(config(tmp_path, tmp_path / "t.txt")))
    for ending, pack in PACKED.items():
        data = text.encode()
        (tmp_path / f"t.txt{ending}").write_bytes(
            pack(data[:5000]) + pack(data[5000:])
        )  # two streams, one after the other
        assert tokens(build_corpus(config(tmp_path, tmp_path / f"t.txt{ending}"))) == expected, ending
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/second.txt", "".join(LINES[200:]))
        archive.writestr("a.txt", "".join(LINES[:200]).rstrip("\n"))  # the archive ends its last line
        archive.writestr("__MACOSX/._a.txt", b"\0\1")
        archive.writestr(".hidden", "no\n")
    said: list[str] = []
    assert tokens(build_corpus(config(tmp_path, tmp_path / "t.zip"), said.append)) == expected
    assert f"corpus: {tmp_path}/t.zip: 2 hidden files in it are left out" in said


@pytest.mark.parametrize("ending", [*PACKED, ".zip"])
def test_a_damaged_archive_is_named(tmp_path, ending):
    text, path = "".join(LINES).encode(), tmp_path / f"t.txt{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", text)
    else:
        path.write_bytes(PACKED[ending](text))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=f"t.txt{ending}: damaged or truncated"):
        build_corpus(config(tmp_path, path))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"t.txt{ending}(/a.txt)?: (damaged or truncated|not UTF-8|binary file)"):
        build_corpus(config(tmp_path, path))


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("rest", ["damaged", "junk"])
def test_what_follows_the_first_stream_is_read_or_refused(tmp_path, ending, rest):
    """Python's readers of .bz2 and .xz take a second stream that does not begin as one for the end."""
    data, path = PACKED[ending]("".join(LINES).encode()), tmp_path / f"t.txt{ending}"
    path.write_bytes(data + (b"x" + data[1:] if rest == "damaged" else b"junk"))
    with pytest.raises(UserError, match=f"t.txt{ending}: damaged or truncated"):
        build_corpus(config(tmp_path, path))


def test_padding_behind_a_stream_of_xz_is_none_of_the_text(tmp_path):
    data = lzma.compress(b"some words\n")
    (tmp_path / "t.xz").write_bytes(data + bytes(8) + data + bytes(4))
    assert build_corpus(config(tmp_path, tmp_path / "t.xz", heldout_every=0)).train.tokens.size == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tar.gz", gzip.compress(b"x", mtime=0), "t.tar.gz: .tar.gz files are not read; unpack it first"),
        ("t.tbz2", bz2.compress(b"x"), "t.tbz2: .tbz2 files are not read"),
        ("t.Z", b"\x1f\x9d\x90ab", "t.Z: .z files are not read"),
        (
            "t.txt",
            gzip.compress(b"some words", mtime=0),
            "t.txt: is a .gz file by its content; end its name in .gz, or unpack",
        ),
        ("t.txt", bz2.compress(b"some words"), "t.txt: is a .bz2 file by its content"),
        ("t.txt", b"\x1f\x9d\x90ab", "t.txt: is a .Z file by its content; unpack it first"),
        ("t.pdf", b"%PDF-1.7\n\xe2\xe3\n", "t.pdf: is a PDF, no text; convert it first"),
        ("t.txt", "some words\n".encode("utf-32"), "t.txt: is UTF-32; convert it first: iconv -f UTF-32"),
        (
            "t.gz",
            gzip.compress(b"a" * 257 + b"ustar\0" + b"b" * 300, mtime=0),
            "t.gz: is a tar archive; unpack it first",
        ),
        ("t.gz", b"some plain words\n", "t.gz: damaged .*if it is not packed, take .gz off its name"),
        (
            "t.gz",
            gzip.compress(b"some words\n" * 99, mtime=0)[:-9],
            r"t.gz: damaged or truncated compressed file \([^;]*\)$",
        ),
    ],
)
def test_what_is_no_text_is_named_by_its_content(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for errors in ("strict", "replace"):
        for source in ("text", "jsonl"):
            with pytest.raises(UserError, match=message):
                found = f"{source}:{tmp_path / name}"
                build_corpus(config(tmp_path, "", source=found, encoding_errors=errors))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"\x89PNG\0\1", "z.zip/b/pic: binary file .NUL at byte 4."),
        (b"caf\xe9 x", "z.zip/b/pic: not UTF-8 at byte 3"),
        (gzip.compress(b"some words", mtime=0), "z.zip/b/pic: is a .gz file by its content"),
    ],
)
def test_what_is_no_text_in_an_archive_is_named_by_member(tmp_path, bad, message):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.txt", "\ufeffsome words")
        archive.writestr("b/pic", bad)
        archive.writestr("c.txt", "more words\n")
    with pytest.raises(UserError, match=message):
        build_corpus(config(tmp_path, tmp_path / "z.zip"))


def test_a_bad_line_in_an_archive_is_named_by_member(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.jsonl", '\ufeff{"text": "a"}\n{"text": "b"}')
        archive.writestr("b.jsonl", '{"text": "a"}\n[1]\n')
    with pytest.raises(UserError, match=r"z.zip/b.jsonl:2: not a JSON object"):
        build_corpus(config(tmp_path, "", source=f"jsonl:{tmp_path}/z.zip"))


def test_a_zip_with_a_password_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.txt", "some words\n")
    data = bytearray((tmp_path / "t.zip").read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag of encryption
        data[data.index(mark) + at] |= 1
    (tmp_path / "t.zip").write_bytes(data)
    with pytest.raises(UserError, match="holds an encrypted file"):
        build_corpus(config(tmp_path, tmp_path / "t.zip"))


def test_text_that_is_not_utf8_by_choice(tmp_path):
    (tmp_path / "t.txt").write_bytes("grün und blau\nrot und grün\n".encode("latin-1") * 20)
    with pytest.raises(UserError, match="not UTF-8 at byte 2 .*data.encoding_errors=replace"):
        build_corpus(config(tmp_path, tmp_path / "t.txt"))
    said = []
    corpus = build_corpus(config(tmp_path, tmp_path / "t.txt", encoding_errors="replace"), said.append)
    assert corpus.report["replaced"] == 40 and any("40 characters U+FFFD" in line for line in said)
    assert set(corpus.vocab.words) == {"gr", "n", "und", "blau", "rot"}


def test_a_file_whose_name_is_not_utf8(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfcn.txt")
    with open(name, "w") as f:
        f.writelines(["some words here\n"] * 60)
    for _ in range(2):  # the second one reads the config of the first
        done = commands.train(name, tmp_path / "run", data__min_count=1, train__max_steps=1)
        assert done.status == 0 and done.result()["corpus"]["documents"] == 60, done.err


@pytest.mark.parametrize(
    ("document", "advice"), [("line", "give the text line breaks"), ("file", "set data.document=line")]
)
def test_the_advice_for_one_document_is_not_what_is_set(tmp_path, document, advice):
    (tmp_path / "t.txt").write_text("one line only of text\n")
    with pytest.raises(UserError, match=f"one document.*{advice}, set data.heldout_every=0"):
        build_corpus(config(tmp_path, tmp_path / "t.txt", document=document, heldout_every=2))
