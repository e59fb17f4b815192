"""Vectors written in other formats and types, and read back."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import w2v_jax
from tests.commands import refused, run
from w2v_jax import export
from w2v_jax.embeddings import Embeddings, load, save
from w2v_jax.errors import UserError
from w2v_jax.exported import write_result


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


def test_rows_that_are_lost_are_said(tmp_path: Path) -> None:
    tiny = Embeddings(["a", "b", "c"], np.array([[1e-9, 0], [1, 1e-9], [0, 0]], np.float32))
    with pytest.warns(UserWarning, match="1 rows have no number above 6e-05"):
        save(tiny, tmp_path / "v.npy", dtype="float16")
    with pytest.warns(UserWarning, match="1 rows hold a NaN or an infinity .'b' is the first.*skip_nan"):
        save(Embeddings(["a", "b"], np.array([[1, 1], [np.nan, 1]], np.float32)), tmp_path / "n.bin")


@pytest.mark.parametrize("name", ["v.npy", "folder"])
def test_files_are_replaced_together(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = make(), Embeddings(make().words[::-1], make().vectors[::-1] + 1, make().counts)
    save(old, tmp_path / name, dtype="int8")
    whole = sorted(tmp_path.rglob("*"))
    before = load(tmp_path / name).vectors

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m, pytest.raises(UserError, match="no space is left"):
        m.setattr(export, "write_vocab", full)
        save(new, tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == whole
    np.testing.assert_array_equal(load(tmp_path / name).vectors, before)
    replace, calls = os.replace, []

    def killed(*files: str) -> None:
        calls.append(files)
        if len(calls) > 1:
            raise KeyboardInterrupt
        replace(*files)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(os, "replace", killed)
        save(new, tmp_path / name, dtype="int8")
    with pytest.raises(UserError, match=r"vocab.txt: no such file"):  # and not new vectors under old words
        load(tmp_path / name)
    save(new, tmp_path / name)
    np.testing.assert_array_equal(load(tmp_path / name).vectors, new.vectors)
    assert not list(tmp_path.rglob("*scale*")) and not list(tmp_path.rglob(".*"))


def test_names_that_mean_something_else(tmp_path: Path) -> None:
    emb, other = make(), Embeddings(make().words[::-1], make().vectors)
    (tmp_path / "run").mkdir()
    save(emb, tmp_path / "native")
    with pytest.raises(UserError, match="beside vocab.txt this name is that of a native folder"):
        save(other, tmp_path / "native" / "vectors.npy")
    save(other, tmp_path / "run" / "vectors.npy")
    with pytest.raises(UserError, match="belongs to vectors.vocab.txt"):
        save(emb, tmp_path / "run", "native")
    (tmp_path / "run" / "vocab.txt").write_text("".join(f"{word}\t1\n" for word in emb.words))
    assert list(load(tmp_path / "run" / "vectors.npy").words) == list(other.words)
    save(emb, tmp_path / "v.scale.npy")
    with pytest.raises(UserError, match="has words of its own"):
        save(emb, tmp_path / "v.npy", dtype="int8")


def test_files_of_a_run_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    save(make().head(59), "run/vectors.bin")
    Path("run/vocab.txt").write_text("".join(f"w{i}\t1\n" for i in range(59)))
    Path("run/config.json").write_text('{"family": "word2vec", "model": {}}')
    write_result(Path("run"), {}, ["vectors.bin", "vocab.txt"])
    Path("link.bin").symlink_to("run/vectors.bin")
    before = Path("run/vectors.bin").read_bytes()
    for name, format in (("run/vectors.bin", "auto"), ("link.bin", "auto"), ("run", "native")):
        with pytest.raises(UserError, match="a file of the run in this folder, which stays"):
            save(make().head(9), name, format)
    refused(run("experiments.convert", "--vectors=run/vectors.bin", "--limit=2", "--out=run/vectors.bin"), "stays")
    assert Path("run/vectors.bin").read_bytes() == before and sorted(os.listdir("run")) == [
        *("config.json", "result.json", "vectors.bin", "vocab.txt")
    ]
    with pytest.raises(UserError, match="run: is a run folder; use w2v_jax.load, or --workdir=run"):
        load("run")
    assert len(w2v_jax.load("run", limit=7)) == 7
    with pytest.raises(UserError, match="counts=x: run is a run folder"):
        w2v_jax.load("run", counts="x")


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
    with pytest.warns(UserWarning, match="v.bin: the counts of the words are not in the file; a native folder, .npy"):
        save(make().head(59), "v.bin")
    for dtype, kept in (("float32", "100.0%"), ("int8", "")):
        done = run("experiments.convert", "--vectors=v.bin", "--out=w.npy", f"--dtype={dtype}")
        assert done.status == 0 and kept in done.out and f"59 words of 5 dimensions as {dtype}" in done.out
    assert 0.99 < float(done.out.split("read: ")[1].split(";")[0]) < 1
    refused(run("experiments.convert", "--vectors=v.bin"), "--out is missing")
    refused(run("experiments.convert", "--vectors=v.bin", "--out=w.txt", "--dtype=int8"), "text holds float32 only")
    refused(run("experiments.convert", "--vectors=w.npz", "--out=w.txt"), "w.npz: no such file")
