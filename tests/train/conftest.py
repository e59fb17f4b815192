"""A trained run that the tests of the training loop share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import Done, train


@pytest.fixture(scope="session")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A run that nothing interrupted, and what it printed."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return workdir, train(text, workdir, checkpoint__every_steps=32)
