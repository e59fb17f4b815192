"""Texts and the cache in a bucket: built once, by one machine or by all of a run, and fetched where it is read."""

from __future__ import annotations

import dataclasses
import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.buckets import Troubled
from tests.buckets import text as text  # a fixture
from tests.data.test_slices import everyone
from w2v_jax import lease as leases
from w2v_jax import storage
from w2v_jax.config import DataConfig
from w2v_jax.data import cache, shared
from w2v_jax.data import corpus as corpora
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.lanes import lane_source
from w2v_jax.data.pipeline import stacked
from w2v_jax.data.remote import Remote
from w2v_jax.errors import UserError
from w2v_jax.lease import Lease

pytestmark = pytest.mark.xdist_group("buckets cache")  # one worker: one emulator


def test_text_in_a_bucket_is_the_same_corpus(text: Path, bucket: str, tmp_path: Path) -> None:
    for name, folder in (("a.txt.gz", "one"), ("b.txt", "one")):
        (tmp_path / folder).mkdir(exist_ok=True)
        data = text.read_bytes()
        (tmp_path / folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)
        storage.put(tmp_path / folder / name, f"{bucket}/one/{name}")
    found = [
        build_corpus(DataConfig(source=f"text:{where}/*.txt*", cache_dir=str(tmp_path / cache), min_count=2))
        for where, cache in ((tmp_path / "one", "cache 1"), (f"{bucket}/one", "cache 2"))
    ]
    assert found[0].digest == found[1].digest and found[0].report == found[1].report
    with pytest.raises(UserError, match="matches no file"):
        build_corpus(DataConfig(source=f"text:{bucket}/none/*.txt", cache_dir=str(tmp_path)))


def elsewhere(patch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """From now on this is another machine, without a cache of its own; the list gets a line for each text it reads."""
    patch.setenv("W2V_JAX_CACHE", str(folder))
    read: list[str] = []
    count = corpora.count

    def counted(*arguments: Any) -> Any:
        read.append(str(folder))
        return count(*arguments)

    patch.setattr(corpora, "count", counted)
    return read


def test_a_cache_in_a_bucket_is_built_once_and_fetched(text: Path, bucket: str, tmp_path: Path) -> None:
    storage.put(text, f"{bucket}/text.txt")
    cfg = DataConfig(source=f"text:{bucket}/text.txt", cache_dir=f"{bucket}/cache", min_count=2)
    found, said = [], list[str]()
    for machine in ("one", "two", "three"):
        with pytest.MonkeyPatch.context() as patch:
            read = elsewhere(patch, tmp_path / machine)
            found.append(build_corpus(cfg, said.append))
            assert len(read) == (machine == "one")
        assert found[-1].directory.is_relative_to(tmp_path / machine)
    assert len({c.digest for c in found}) == 1 and sum("fetches" in line for line in said) == 2
    plain = build_corpus(dataclasses.replace(cfg, cache_dir=str(tmp_path / "plain")))
    assert [f.read_bytes() for f in sorted(plain.directory.iterdir())] == [
        f.read_bytes() for f in sorted(found[1].directory.iterdir())
    ]


def test_a_damaged_cache_in_a_bucket_is_built_again(text: Path, bucket: str, tmp_path: Path) -> None:
    cfg = DataConfig(source=f"text:{text}", cache_dir=f"{bucket}/cache", min_count=2)
    said: list[str] = []
    for machine in ("one", "two", "three"):
        with pytest.MonkeyPatch.context() as patch:
            read = elsewhere(patch, tmp_path / machine)
            tokens = f"{bucket}/cache/{build_corpus(cfg, said.append).directory.name}/train.tokens"
            assert len(read) == (machine != "three")
        if machine == "one":
            data = bytearray(storage.read_bytes(tokens))
            data[7] ^= 1
            storage.write_bytes(tokens, bytes(data))
            assert not said.clear()
    assert sum("train.tokens: does not match its digest" in line for line in said) == 1


@pytest.mark.parametrize("ends", ["done", "released"])
def test_a_machine_waits_for_the_one_that_builds(ends: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 0.6)
    monkeypatch.setattr(shared, "_LOOK_S", 0.05)
    builder, done, said = Lease(f"{bucket}/corpus.lock"), threading.Event(), list[str]()
    assert builder.acquire(print)

    def wait() -> bool:
        with shared._claimed(builder.address, done.is_set, said.append):
            return builder._ended.is_set() or done.is_set()

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait)
        while not said:
            time.sleep(0.02)
        assert "another machine reads the same text" in said[0] and not waiting.done()
        builder.release() if ends == "released" else done.set()
        assert waiting.result(20)
    builder.release()


def test_a_process_waits_for_the_one_that_builds_on_its_machine(tmp_path: Path) -> None:
    note, inside, go_on, said = tmp_path / "note.json", threading.Event(), threading.Event(), list[str]()

    def build() -> float:
        with shared.building_alone("", note, lambda: False, said.append):
            inside.set()
            assert go_on.wait(20)
            return time.monotonic()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(build)
        assert inside.wait(20)
        second = pool.submit(build)
        while not said:
            time.sleep(0.02)
        go_on.set()
        assert "another process" in said[0] and second.result(20) > first.result(20)


def test_the_processes_of_a_run_make_a_corpus_in_a_bucket_together(text: Path, bucket: str, tmp_path: Path) -> None:
    for i in range(3):
        part = tmp_path / f"{i}.txt"
        part.write_text("\n".join(text.read_text().splitlines()[i * 100 : i * 100 + 100]))
        storage.put(part, f"{bucket}/text/{i}.txt")
    old = f"{bucket}/cache/building-{int(time.time()) - 90_000}-7"
    for killed in (old, f"{bucket}/cache/building-{int(time.time()) - 60}-7"):
        storage.write_bytes(f"{killed}/documents-0", b"1")
    cfg = DataConfig(source=f"text:{bucket}/text/*.txt", cache_dir=f"{bucket}/cache", min_count=2)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("W2V_JAX_CACHE", str(tmp_path / "machine"))
        found = everyone(2, lambda crew: build_corpus(cfg, said.append))
    assert found[0].digest == found[1].digest, found
    assert sum("2 processes read the text" in line for line in said) == 2
    plain = build_corpus(dataclasses.replace(cfg, cache_dir=str(tmp_path / "plain")))
    home = found[0].directory.name
    for file in plain.directory.iterdir():
        assert storage.read_bytes(f"{bucket}/cache/{home}/{file.name}") == file.read_bytes()
    left = {name.split("/")[-2] for name in storage.listing(f"{bucket}/cache/building-*")}
    assert len(left) == 1 and old.split("/")[-1] not in left, "of killed ones only what is younger than a day"


@pytest.fixture
def long(text: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """A corpus in a bucket whose token files are long: each has several blocks."""
    monkeypatch.setattr(cache, "BLOCK", 64)
    monkeypatch.setattr(cache, "LONG", 256)
    cfg = DataConfig(source=f"text:{text}", cache_dir=f"{bucket}/cache", min_count=2, end_token="<eos>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("W2V_JAX_CACHE", str(tmp_path / "builder"))
        assert not isinstance(build_corpus(cfg).train.tokens, Remote), "it has the file that it made"
    monkeypatch.setenv("W2V_JAX_CACHE", str(tmp_path / "other"))
    return cfg


def test_a_process_fetches_the_blocks_of_its_own_lanes(long: DataConfig, server: Troubled, tmp_path: Path) -> None:
    plain = build_corpus(dataclasses.replace(long, cache_dir=str(tmp_path / "plain")))
    shapes = {name: jax.ShapeDtypeStruct((8, 5), np.int32) for name in ("tokens", "targets")}
    shapes |= {name: jax.ShapeDtypeStruct((8,), np.int32) for name in ("start", "words")}
    wanted = lane_source(plain.train, shapes, start_id=plain.tokenizer.end_id)
    for process in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("W2V_JAX_CACHE", str(tmp_path / f"host{process}"))
            corpus = build_corpus(long)
            assert isinstance(corpus.train.tokens, Remote) and not (corpus.directory / "train.tokens").exists()
            source = lane_source(corpus.train, shapes, start_id=corpus.tokenizer.end_id)
            for step in range(source.steps_per_epoch):
                mine, theirs = (stacked(s, step, step + 1, 1, process, 4) for s in (source, wanted))
                assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
            blocks = len(list((corpus.directory / "train.tokens.blocks").iterdir()))
            every = -(-plain.train.tokens.nbytes // 64)
            assert 0 < blocks <= every / 4 + 2, "a quarter of the text, and the blocks that it shares"
            again = lane_source(build_corpus(long).train, shapes, start_id=corpus.tokenizer.end_id)
            server.seen.clear()
            first, expected = (stacked(s, 0, 1, 1, process, 4)["targets"] for s in (again, wanted))
            assert np.array_equal(first, expected)
            assert not server.seen, "what this machine has is not asked for again"


def test_tokens_in_a_bucket_are_read_like_an_array(long: DataConfig, tmp_path: Path) -> None:
    tokens = build_corpus(long).train.tokens
    plain = np.asarray(build_corpus(dataclasses.replace(long, cache_dir=str(tmp_path / "plain"))).train.tokens)
    assert isinstance(tokens, Remote) and len(tokens) == len(plain) and tokens.dtype == plain.dtype
    for key in (slice(31, 33), slice(0, 0), slice(40, 20), slice(-7, None), slice(3, 90, 2), 5, -1, np.array([2, 90])):
        assert np.array_equal(tokens[key], plain[key]), key
    assert np.array_equal(np.asarray(tokens), plain) and np.array_equal(
        np.bincount(tokens[10:99]), np.bincount(plain[10:99])
    )


def test_a_damaged_block_is_fetched_again_and_one_in_the_bucket_is_refused(long: DataConfig) -> None:
    first = build_corpus(long)
    assert isinstance(first.train.tokens, Remote)
    wanted = first.train.tokens[0:40].tolist()
    file = first.directory / "train.tokens.blocks/000000"
    file.write_bytes(b"\0" * 64)
    assert build_corpus(long).train.tokens[0:40].tolist() == wanted
    address = first.train.tokens.address
    data = bytearray(storage.read_bytes(address))
    data[130] ^= 1
    storage.write_bytes(address, bytes(data))
    with pytest.raises(UserError, match="train.tokens: bytes from 128 on do not match their digest"):
        build_corpus(long).train.tokens[:]
