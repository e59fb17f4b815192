"""What every test starts from: 8 virtual CPU devices, strict ranks, no caches of the user's, no network.

The environment is set while this file is imported, before any test module imports JAX or TensorFlow; commands that
tests start as separate processes inherit it (all but the number of devices).
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Most of the suite's time is compilation, and its arrays are tiny: LLVM's optimisations cost more than they save.
# Without the fusion emitters a program compiles in less than half of the time. Two workers keep two cores busy: a
# program that is cut into parts, to be compiled side by side, only costs more.
QUICK_FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if version("jaxlib").startswith("0.10."):  # later ones end the process at a flag that they do not know
    QUICK_FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_FLAGS}".strip()
# XLA waits inside a thread for the other devices of a collective. With no more threads than devices, its choice where
# cores are few, none may be left for what those devices still compute: an abort seen once under load, never repeated.
os.environ.setdefault("NPROC", "32")
if os.environ["JAX_PLATFORMS"] == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # TensorFlow takes all of a GPU's memory as soon as it sees one

# One folder a session for token shards and compiled programs; the workers of pytest-xdist inherit the controller's.
_OWNER = "PYTEST_XDIST_WORKER" not in os.environ
if _OWNER:
    os.environ["W2V_JAX_TEST_SCRATCH"] = tempfile.mkdtemp(prefix="w2v_jax_tests_")
_SCRATCH = Path(os.environ["W2V_JAX_TEST_SCRATCH"])
os.environ["W2V_JAX_CACHE"] = str(_SCRATCH / "cache")
# Tests compile programs of XLA, which are what most of them are about; those of the kernels ask for them by name.
os.environ.setdefault("W2V_JAX_KERNEL", "jax")
# Tests compile the same programs again and again, in several processes: all but the smallest are kept.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_SCRATCH / "compiled")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"

import jax  # noqa: E402  (after the environment is set)

from tests.buckets import bucket as bucket  # noqa: E402  (fixtures for every test)
from tests.buckets import server as server  # noqa: E402

if os.environ["JAX_PLATFORMS"] == "cpu":
    jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Traced programs are many small objects that stay. By default the collector would walk through them at every turn.
gc.set_threshold(100_000, 20, 50)

# `make check` runs pytest with --fast, which leaves out these files. Each takes over 8 seconds of one core: it runs
# commands, trains, starts processes or compiles whole models. Of the contracts the first example of each family stays.
# A new file is fast until it is named here; `make test` runs everything.
DEAR = {
    "": "attention_inspect bad_files bad_input bad_table benchmarks benchmarks_lstm benchmarks_transformer "
    "buckets_runs context demo faults figures figures_gallery figures_maps figures_recipes fitted generate "
    "given_vectors gradients held_runs inspect keys_values language launch meshes multiprocess readme "
    "recurrent_lm resume senses sentiment several throughput transformer transformer_lm word2vec_training",
    "data": "data_corpus data_corpus_errors",
    "scaling": "ledger scaling_command study",
    "train": "carry checkpoint fingerprint loop loop_continued programs restore step trunk",
}
CONTRACTS = ("test_contracts", "test_contracts_states")
TESTS = Path(__file__).parent
_LEFT_OUT = {TESTS / folder / f"test_{name}.py" for folder, names in DEAR.items() for name in names.split()}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out what takes long, as tests/conftest.py names it")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.getoption("--fast") and collection_path in _LEFT_OUT else None


def pytest_unconfigure() -> None:
    if _OWNER:
        shutil.rmtree(_SCRATCH, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share a costly fixture stay on one worker, which a pytest that pytest-xdist does not know undoes."""
    if config.getoption("--fast"):
        left = r"-[1-9]\d*\]$|classifier|one_device_is_eight"
        later = [i for i in items if i.path.stem in CONTRACTS and re.search(left, i.name)]
        items[:] = [i for i in items if i not in later]
        config.hook.pytest_deselected(items=later)
    lost = [i for i in items if i.get_closest_marker("xdist_group") and "@" not in i.nodeid]
    if lost and getattr(config.option, "loadgroup", False):
        raise pytest.UsageError(f"{lost[0].nodeid}: pytest-xdist lost its group; install the pinned pytest")


@pytest.fixture(scope="module", autouse=True)
def unburdened() -> Iterator[None]:
    """Hides what a module leaves behind, compiled programs above all, from the garbage collector: it would walk through
    gigabytes of them again and again."""
    yield
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data named by $W2V_JAX_DATA; a test that asks for it is skipped when there is none."""
    folder = os.environ.get("W2V_JAX_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data: set W2V_JAX_DATA to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small text of made-up words, of which some are too rare. Modules may have another of their own."""
    from tests.commands import text_of

    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(text_of(900))
    return path


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $W2V_JAX_CACHE for one test."""
    folder = tmp_path / "w2v_jax_cache"
    monkeypatch.setenv("W2V_JAX_CACHE", str(folder))
    return folder
