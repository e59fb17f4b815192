"""Vectors written in other formats and types, and read back."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.commands import refused, run
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError


def make(v: int = 60, d: int = 5) -> Embeddings:
    vectors = np.random.default_rng(0).normal(0, 2, (v, d)).astype(np.float32)
    vectors[3] = 0
    return Embeddings([f"w{i}" for i in range(v - 1)] + ["New York é"], vectors, np.arange(v, 0, -1))


FILES = ["v.npy", "v.safetensors", "folder"]
BOUND = {"float32": 0.0, "float16": 2.0**-11, "int8": 0.5 / 127}


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_read_back(tmp_path: Path, name: str, dtype: str) -> None:
    emb = make()
    save(emb, tmp_path / name, dtype=dtype)
    back = load(tmp_path / name)
    assert list(back.words) == list(emb.words) and back.counts is not None
    np.testing.assert_array_equal(back.counts, emb.counts)
    assert back.vectors.dtype == np.float32
    # float16 rounds each number to 11 bits; int8 to half a step of the row's scale.
    size = np.abs(emb.vectors) if dtype == "float16" else np.abs(emb.vectors).max(axis=1, keepdims=True)
    assert (np.abs(back.vectors - emb.vectors) <= BOUND[dtype] * size * 1.0001).all()
    assert (dtype == "float32") == bool((back.vectors == emb.vectors).all())
    few = load(tmp_path / name, limit=7)
    np.testing.assert_array_equal(few.vectors, back.vectors[:7])
    assert few.words == back.words[:7]


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    emb = make()
    save(emb, tmp_path / "v.npy", dtype="float16")
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), emb.vectors.astype(np.float16))
    assert (tmp_path / "v.vocab.txt").read_text("utf-8").splitlines()[-1] == "New York é\t1"
    save(emb, tmp_path / "v.safetensors", dtype="int8")
    found = load_file(tmp_path / "v.safetensors")
    np.testing.assert_allclose(found["vectors"] * found["scale"][:, None], emb.vectors, atol=0.05)
    assert found["words"].tobytes().decode().split("\n") == list(emb.words)


@pytest.mark.parametrize("name", ["v.txt.gz", "v.vec.gz", "v.bin.gz"])
def test_packed_files(tmp_path: Path, name: str) -> None:
    emb = make().head(50)
    save(emb, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    save(emb, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first  # no time in it
    save(emb, tmp_path / "plain", "binary" if "bin" in name else "text")
    assert gzip.decompress(first) == (tmp_path / "plain").read_bytes()
    back = load(tmp_path / name)
    np.testing.assert_array_equal(back.vectors, emb.vectors)
    kv = pytest.importorskip("gensim.models").KeyedVectors
    theirs = kv.load_word2vec_format(str(tmp_path / name), binary="bin" in name)
    np.testing.assert_array_equal(theirs["w7"], emb["w7"])


def test_a_map_of_npy_stays_on_disk(tmp_path: Path) -> None:
    save(make(), tmp_path / "v.npy")
    assert isinstance(load(tmp_path / "v.npy", mmap=True).vectors, np.memmap)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("v.bin", {"dtype": "int8"}, "binary holds float32 only"),
        ("v.npy", {"dtype": "int4"}, "dtype='int4': must be one of"),
        ("v.npy.gz", {}, "npy is not packed"),
        ("v.csv", {}, "unknown ending '.csv'"),
        ("none/v.npy", {}, "no such folder"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, path: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        save(make().head(9), tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_numbers_that_a_type_cannot_hold(tmp_path: Path) -> None:
    large = Embeddings(["a"], np.array([[1e5, 1]], np.float32))
    with pytest.raises(UserError, match="above 65504"):
        save(large, tmp_path / "v.npy", dtype="float16")
    save(large, tmp_path / "v.npy", dtype="int8")
    with pytest.raises(UserError, match="NaN"):
        save(Embeddings(["a"], np.array([[np.nan, 1]], np.float32)), tmp_path / "n.npy", dtype="int8")


def spoil(**changes: np.ndarray | None):
    def to(path: Path) -> None:
        tensors = load_file(path) | changes
        save_file({k: v for k, v in tensors.items() if v is not None}, path)

    return to


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("v.npy", lambda p: p.with_name("v.vocab.txt").unlink(), "v.vocab.txt: no such file"),
        ("v.npy", lambda p: p.with_name("v.scale.npy").unlink(), "v.scale.npy: no such file"),
        ("v.npy", lambda p: np.save(p.with_name("v.scale.npy"), np.ones(3, np.float32)), r"must be float32 \[60\]"),
        ("v.npy", lambda p: p.write_bytes(b"junk"), "not a whole .npy array"),
        ("v.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-9]), "damaged safetensors"),
        ("v.safetensors", lambda p: p.write_bytes(b""), "damaged safetensors"),
        ("v.safetensors", spoil(words=None), "need the tensors `vectors` and `words`"),
        ("v.safetensors", spoil(words=np.frombuffer(b"a\nb", np.uint8)), "2 words, but 60 vectors"),
        ("v.safetensors", spoil(words=np.frombuffer(b"\xff" * 9, np.uint8)), "not UTF-8"),
        ("v.safetensors", spoil(scale=None), "`scale` belongs to I8"),
        ("v.safetensors", spoil(scale=np.ones(3, np.float32)), r"must be F32 \[60\]"),
        ("v.safetensors", spoil(vectors=np.ones((60, 5), np.int64)), r"I64 \[60, 5\]: must be"),
        ("v.safetensors", spoil(scale=np.full(60, np.nan, np.float32)), "row 0: .*NaN"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, name: str, harm, message: str) -> None:
    save(make(), tmp_path / name, dtype="int8")
    harm(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_command_says_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(make().head(59), "v.bin")
    for dtype, kept in (("float32", "100.0%"), ("int8", "")):
        done = run("experiments.convert", "--vectors=v.bin", "--out=w.npy", f"--dtype={dtype}")
        assert done.status == 0 and kept in done.out and f"59 words of 5 dimensions as {dtype}" in done.out
    assert 0.99 < float(done.out.split("read: ")[1].split(";")[0]) < 1
    refused(run("experiments.convert", "--vectors=v.bin"), "--out is missing")
    refused(run("experiments.convert", "--vectors=v.bin", "--out=w.txt", "--dtype=int8"), "text holds float32 only")
    refused(run("experiments.convert", "--vectors=w.npz", "--out=w.txt"), "w.npz: no such file")
