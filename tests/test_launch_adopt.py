"""A machine that is adopted is this folder's own: dead it is made again, and Ctrl-C deletes its request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch.cloud import verbs
from launch.cloud.machine import Patience
from launch.cloud.plan import Line
from launch.cloud.request import Withdrawn
from launch.cloud.state import Folder
from launch.cloud.trouble import Trouble
from launch.fake import world as w
from launch.fake.play import Play, training
from tests.launching import ONE, STEPS, run, status
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others


def up(play: Play, adopt: bool = True, **asked: Any) -> Trouble | None:
    return verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**{**ONE, **asked})._replace(adopt=adopt))


def down(play: Play) -> Trouble | None:
    return verbs.down(play.cloud("w2v"), play.state, "w2v", play.asked(**ONE))


def another(play: Play, tmp_path: Path) -> None:
    """The state folder of a second person takes the place of the first one's."""
    play.state = Folder(tmp_path / "second")
    play.said.clear()


def deletes(play: Play) -> int:
    return sum("queued-resources delete" in line for line in play.said)


def counting(play: Play, most: int = 200) -> None:
    """A command that asks for ever ends."""
    calls = iter(range(most))

    def count(line: Line) -> None:
        if next(calls, None) is None:
            pytest.fail(f"more than {most} lines")

    play.before = count


def waiting(play: Play) -> None:
    """The first folder's request waits, and nobody watches it."""
    play.change(capacity={"v5litepod": 0})
    play.before = killing(play, "WAITING_FOR_RESOURCES")
    with pytest.raises(SystemError):
        up(play, adopt=False)


def killing(play: Play, state: str, error: type[BaseException] = SystemError) -> Callable[[Line], None]:
    def kill(line: Line) -> None:
        if line == ["sleep"] and any(r["state"] == state for r in play.world()["requests"].values()):
            play.before = lambda line: None
            raise error

    return kill


def test_a_machine_is_adopted_when_that_is_said(play: Play, tmp_path: Path) -> None:
    assert up(play) is None
    another(play, tmp_path)
    asked = play.asked(training(STEPS), down=False, accelerator="v5litepod-16")._replace(adopt=True)
    found = verbs.run(play.cloud("w2v"), play.state, "w2v", asked)
    assert found is not None and found.sentence.endswith("is 1 x v5litepod-8, not 1 x v5litepod-16")
    asked = play.asked(training(STEPS), down=False, **ONE)._replace(adopt=True)
    assert verbs.run(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert run(play, down=False, **ONE) is None, "it is this folder's own now"
    assert down(play) is None and play.left() == []


@pytest.mark.parametrize("state", ["FAILED", "SUSPENDED", "PREEMPTED"])
def test_a_dead_machine_that_is_adopted_is_made_again(play: Play, tmp_path: Path, state: str) -> None:
    assert up(play, adopt=False) is None
    with w.opened(play.folder) as world:
        for thing in (world["nodes"] if state == "PREEMPTED" else world["requests"]).values():
            thing["state"] = state
    another(play, tmp_path)
    counting(play)
    assert up(play) is None
    assert deletes(play) == 1 and [r["state"] for r in play.world()["requests"].values()] == ["ACTIVE"]
    record = play.state.known("w2v")
    assert not record.adopted, "it was made here"


def test_ctrl_c_deletes_a_request_that_was_adopted(play: Play, tmp_path: Path) -> None:
    waiting(play)
    another(play, tmp_path)
    play.before = killing(play, "WAITING_FOR_RESOURCES", KeyboardInterrupt)
    with pytest.raises(Withdrawn):
        up(play)
    assert "w2v: interrupted; the request is withdrawn" in play.said and deletes(play) and play.left() == []


def test_an_adopted_request_that_waits_too_long_is_deleted(play: Play, tmp_path: Path) -> None:
    waiting(play)
    another(play, tmp_path)
    found = up(play, patience=Patience(waiting_s=600.0))
    assert found is not None and found.sentence.endswith("the request is deleted")
    assert deletes(play) and play.left() == []


def test_of_an_adopted_machine_no_end_is_promised(play: Play, tmp_path: Path) -> None:
    """Its script is of the first folder, whose hours are not known."""
    assert up(play, adopt=False, max_hours=72.0) is None
    assert "at most" in play.said[0]
    another(play, tmp_path)
    for adopt in (True, False):
        play.said.clear()
        assert up(play, adopt=adopt, max_hours=3.0 if adopt else 5.0) is None
        assert "at most" not in play.said[0] and f" in {3 if adopt else 5} hours" in play.said[0]
        assert sum(line.startswith("warning: a machine that is adopted deletes itself") for line in play.said) == 1
        assert not any("ends itself in" in line for line in play.said)
    assert "costs money, python" in status(play).next
    assert down(play) is None
    play.said.clear()
    assert up(play, adopt=False) is None and "at most" in play.said[0], "one of its own"
