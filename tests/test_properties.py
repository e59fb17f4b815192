"""Any bytes in a file of vectors, a table, a tokeniser, a token cache or a config give a result or one line."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.data.corpora import config as data_config
from tests.mutations import damaged, result_or_line, tries
from w2v_jax.config import Config, DataConfig
from w2v_jax.data.corpus import build_corpus
from w2v_jax.data.labelled import read_labelled
from w2v_jax.data.tokenizer import Tokenizer
from w2v_jax.embeddings import Embeddings, save
from w2v_jax.embeddings import load as load_vectors
from w2v_jax.exported import write_result
from w2v_jax.models import MODELS
from w2v_jax.overrides import override
from w2v_jax.recorded import load, to_dict
from w2v_jax.scaling.run_table import read_arms, read_table
from w2v_jax.tables import read_tsv

EMB = Embeddings(["the", "dög", "cat"], np.arange(1, 13, dtype=np.float32).reshape(3, 4), np.array([5, 3, 1]))
CSV = b"run,arm,status,parameters,tokens,training_flops,loss,vocabulary\n" + b"".join(
    b"r%d,a,finished,%d,%d,%d,3.%d,900\n" % (i, 1000 * i, 20000 * i, 120000000 * i * i, i) for i in range(1, 4)
)
JSONL = b'{"parameters": 1000, "tokens": 20000.0, "heldout_loss": 3.5, "arm": "a"}\n' * 2


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("properties")
    for name in ("binary", "text", "glove", "native"):
        save(EMB, folder / name, name)
    (folder / "packed.gz").write_bytes(gzip.compress((folder / "text").read_bytes()))
    words = "the big dog ran and the cat sat\n\na fox saw the dog\n" * 6
    (folder / "text.txt").write_text(words)
    for tokens, size in (("letters", 0), ("bpe", 270)):
        changes = {"tokens": tokens, "max_vocab": size, "heldout_every": 0, "end_token": "<eos>", "unknown": "keep"}
        build_corpus(data_config(folder, folder / "text.txt", **changes)).tokenizer.save(folder / tokens)
    return folder


def in_file(folder: Path, path: Path, content: bytes, read: Callable[[Path], Any]) -> Any:
    """`read(folder)` while the file holds `content`."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return result_or_line(lambda: read(folder))
    finally:
        path.write_bytes(before)


def use_vectors(path: Path, **options: Any) -> Any:
    emb = load_vectors(path, **options)
    assert np.isfinite(emb.norms).all() and len(emb.words) == len(emb.vectors) == len(set(emb.words)) > 0
    emb.nearest(emb.words[0], metric="euclidean")
    return emb


@pytest.mark.parametrize("name", ["binary", "text", "glove", "packed.gz"])
def test_vectors(name: str, home: Path) -> None:
    path = home / name

    @tries(60)
    @given(damaged(path.read_bytes()), st.sampled_from([{}, {"limit": 2}, {"encoding_errors": "replace"}]))
    def check(content: bytes, options: dict[str, Any]) -> None:
        in_file(path, path, content, lambda file: use_vectors(file, **options))

    check()


@pytest.mark.parametrize("name", ["vectors.npy", "vocab.txt"])
def test_native_vectors(name: str, home: Path) -> None:
    folder = home / "native"

    # numpy's own reader of a header that is cut raises what Python's tokeniser does.
    @tries(60)
    @given(damaged((folder / name).read_bytes()), st.booleans())
    @example(np.lib.format.magic(1, 0) + b"\x10\0{'descr': (\n    ", False)
    def check(content: bytes, mmap: bool) -> None:
        in_file(folder, folder / name, content, lambda path: use_vectors(path, mmap=mmap))

    check()


@pytest.mark.parametrize(("name", "valid"), [("runs.csv", CSV), ("runs.jsonl", JSONL)], ids=["csv", "jsonl"])
def test_tables(name: str, valid: bytes, home: Path) -> None:
    path = home / name
    path.write_bytes(valid)

    def read(file: Path) -> None:
        runs = read_table(file)
        assert all(np.isfinite(a).all() and (a > 0).all() for a in runs[:4])
        assert all("\n" not in note for note in runs.notes)
        read_arms(file)

    @tries(100)
    @given(damaged(valid))
    @example(valid.replace(b",", b"\r", 1))
    @example(valid.replace(b"a", b'"', 1))
    def check(content: bytes) -> None:
        in_file(path, path, content, read)
        in_file(path, path, content, lambda file: list(read_tsv(file, 3)))

    check()


RECORDS = b'{"text": "the dog", "label": "a\\u00e9"}\n{"text": "a \xc3\xa9\\ud83d\\ude00", "label": 1}\n' * 2


def test_records(home: Path, tmp_path: Path) -> None:
    path = home / "records.jsonl"
    path.write_bytes(RECORDS)
    running = {"source": f"jsonl:{path}", "heldout_every": 0, "tokens": "characters"}

    @tries(40)
    @given(damaged(RECORDS), st.sampled_from(["strict", "replace"]))
    def check(content: bytes, errors: str) -> None:
        rules = {"encoding_errors": errors}
        running_text = data_config(tmp_path, path, **running, **rules)
        in_file(path, path, content, lambda _: build_corpus(running_text))
        named = DataConfig(labels="named", **rules)
        found = in_file(path, path, content, lambda file: read_labelled(f"jsonl:{file}", named, None))
        if found is not None:
            assert all(0 <= label < len(found.names) for label, _ in found.examples)
            assert "".join(found.names).encode() and "\n" not in "".join(found.names)

    check()


@pytest.mark.parametrize("kind", ["letters", "bpe"])
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt"])
def test_tokenizers(kind: str, name: str, home: Path) -> None:
    folder = home / kind
    entry = json.loads((folder / "tokenizer.json").read_text())

    def use(folder: Path) -> None:
        tokenizer = Tokenizer.load(folder)
        ids = tokenizer.encode("The dog\tran zéro")
        tokenizer.decode(ids)
        tokenizer.pieces(range(tokenizer.size))
        assert len(tokenizer.digest) == 64 and (tokenizer.end_id or 0) < tokenizer.size
        assert all(0 <= i < tokenizer.size for i in ids)

    @tries(60)
    @given(damaged((folder / name).read_bytes()))
    def check(content: bytes) -> None:
        # With the digest of the damaged vocabulary, or that alone would be refused.
        digest = hashlib.sha256(content).hexdigest() if name == "vocab.txt" else entry["vocab"]
        other = content if name == "tokenizer.json" else json.dumps(entry | {"vocab": digest}).encode()
        in_file(folder, folder / "tokenizer.json", other, lambda at: in_file(at, at / name, content, use))

    check()


def test_the_token_cache(home: Path, tmp_path: Path) -> None:
    settings = data_config(tmp_path, home / "text.txt", heldout_every=4)
    first = build_corpus(settings)
    wanted = [a.tolist() for part in (first.train, first.heldout) for a in (part.tokens, part.offsets)]
    kept = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    shutil.copytree(tmp_path / "cache", tmp_path / "copy")

    @tries(60)
    @given(st.sampled_from(sorted(kept)).flatmap(lambda path: st.tuples(st.just(path), damaged(kept[path]))))
    def check(case: tuple[Path, bytes]) -> None:
        path, content = case
        path.write_bytes(content)
        again = build_corpus(settings)
        assert [a.tolist() for part in (again.train, again.heldout) for a in (part.tokens, part.offsets)] == wanted
        assert again.vocab.words == first.vocab.words and again.digest == first.digest

    check()


def test_configs(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for family in MODELS:
        config = Config(family, MODELS[family].examples[0])
        valid = json.dumps(to_dict(config)).encode()
        path.write_bytes(valid)

        @tries(60)
        @given(damaged(valid))
        def check(content: bytes) -> None:
            found = in_file(path, path, content, lambda file: load(file, MODELS))
            if found is not None:
                assert json.loads(json.dumps(to_dict(found), allow_nan=False))

        check()


def test_exports_of_a_run(home: Path, tmp_path: Path) -> None:
    """A damaged record, or damaged vectors beside it: what is read is what was written, or nothing is."""
    (tmp_path / "config.json").write_text("{}")
    vectors, found = tmp_path / "vectors.bin", tmp_path / "result.json"
    shutil.copy(home / "binary", vectors)
    write_result(tmp_path, {"loss": 1.5, "steps": 3}, ["vectors.bin"])

    @tries(60)
    @given(st.sampled_from([(path, path.read_bytes()) for path in (vectors, found)]), st.data())
    def check(file: tuple[Path, bytes], data: st.DataObject) -> None:
        path, valid = file
        content = data.draw(damaged(valid))
        emb = in_file(vectors, path, content, load_vectors)
        assert emb is None or path == found or content == valid
        assert emb is None or emb.vectors.tobytes() == EMB.vectors.tobytes()

    check()


KEYS = ["model.dim", "model.loss", "train.passes", "train.seed", "data.lowercase", "data.end_token", "family", "model"]
VALUES = st.one_of(
    st.text(max_size=12), st.integers().map(str), st.floats().map(str), st.sampled_from(["(" * 300, "1" * 5000, "(1,"])
)


def test_overrides() -> None:
    config = Config("word2vec", MODELS["word2vec"].examples[0])

    @tries(80)
    @given(st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), VALUES, max_size=3))
    def check(changes: dict[str, str]) -> None:
        found = result_or_line(lambda: override(config, changes, MODELS))
        assert found is None or json.dumps(to_dict(found), allow_nan=False)

    check()
