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
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Most of the suite's time is compilation, and its arrays are tiny: LLVM's optimisations cost more than they save.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
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
# Tests compile the same programs again and again, in several processes: all but the smallest are kept.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_SCRATCH / "compiled")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"

import jax  # noqa: E402  (after the environment is set)

if os.environ["JAX_PLATFORMS"] == "cpu":
    jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


# `make check` runs pytest with --fast. It leaves out the files below, each over 8 seconds of one core: they run commands,
# train, start processes or compile whole models. Of the contracts it keeps the first example of each family. A new file
# is fast until it is named here; `make test` runs everything.
DEAR = frozenset(
    """
    data/test_data_corpus.py scaling/test_scaling_command.py scaling/test_study.py train/test_carry.py
    train/test_checkpoint.py train/test_loop.py train/test_programs.py train/test_restore.py train/test_step.py
    """.split()
)
TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out the files that tests/conftest.py calls dear")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    dear = collection_path.is_relative_to(TESTS) and collection_path.relative_to(TESTS).as_posix() in DEAR
    return True if dear and config.getoption("--fast") else None


def pytest_unconfigure() -> None:
    if _OWNER:
        shutil.rmtree(_SCRATCH, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share a costly fixture stay on one worker, which a pytest that pytest-xdist does not know undoes."""
    if config.getoption("--fast"):
        later = [i for i in items if i.path.name == "test_contracts.py" and re.search(r"-[1-9]\d*\]$", i.name)]
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


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $W2V_JAX_CACHE for one test."""
    folder = tmp_path / "w2v_jax_cache"
    monkeypatch.setenv("W2V_JAX_CACHE", str(folder))
    return folder
