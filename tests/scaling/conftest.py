"""The study of `small_study`, made once for the tests that start from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import Done
from tests.scaling.small_study import CONFIG, scaling


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study.py").write_text(CONFIG)
    return tmp_path / "study.py"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """The study made in one go, and its folder."""
    home = tmp_path_factory.mktemp("whole")
    (home / "study.py").write_text(CONFIG)
    return scaling(home / "study.py", home / "runs"), home / "runs"
