"""The paid hours run while a machine is there, not in the queue, and a reboot does not make them longer."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from launch.cloud import prices, verbs
from launch.cloud.machine import Patience
from launch.cloud.plan import LATER_S
from launch.cloud.watch import Limits
from launch.fake import world as w
from launch.fake.play import Play, training
from tests.launching import ONE, right, run, status
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others


def killed_at(play: Play, state: str) -> None:
    """The launcher is killed once a request is in a state, or a line of gcloud has that word."""

    def kill(line: list[str]) -> None:
        if state in line or state in {r["state"] for r in play.world()["requests"].values()}:
            play.before = lambda line: None
            raise SystemError("kill -9")

    play.before = kill


def until(play: Play, true: Callable[[], bool], step_s: float = 60.0) -> bool:
    """Lets the time of the play pass until it is true. The scripts of machines are real processes, which a busy
    computer may start late: only after a minute of real time is it False."""
    end = time.monotonic() + 60.0
    while not (found := true()) and time.monotonic() < end:
        play.sleep(step_s)
        time.sleep(0.1)
    return found


def test_the_queue_takes_nothing_from_the_paid_hours(play: Play) -> None:
    play.change(wait_s=3600.0)
    play.fault("preempt", step=8)  # the second machine gets what the first has left

    def before(line: list[str]) -> None:
        play.real_s = 0.2 if play.world()["nodes"] else 0.0  # the paid hours are six waits

    play.before = before
    assert run(play, max_hours=0.5, patience=Patience(hung_s=9000.0, poll_s=300.0), **ONE) is None and right(play, 1)
    record = play.state.known("w2v")
    assert record.queued == 0 and record.until - w.START > 2 * 3600 + 0.4 * 3600


def test_hours_of_a_request_that_another_command_waited_for_run_from_its_machine(play: Play) -> None:
    play.change(wait_s=7200.0)
    killed_at(play, "WAITING_FOR_RESOURCES")
    with pytest.raises(SystemError):
        verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(max_hours=1.0, **ONE))
    seconds = play.state.known("w2v").queued
    assert 3500 < seconds <= 3600
    play.sleep(9000.0)  # it waits for two hours and is made; nobody looks
    made = play.world()["nodes"]["w2v"]["made"]
    assert verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(max_hours=None, **ONE)) is None
    assert play.state.known("w2v").until == pytest.approx(made + LATER_S / 2 + seconds) and made < play.now() - 1000


def test_a_machine_whose_hours_are_over_was_not_taken_away(play: Play) -> None:
    found = run(play, training(9000), max_hours=0.1, limits=Limits(True, 9), patience=Patience(poll_s=600.0), **ONE)
    assert found is not None and found.key == "max_hours" and play.left() == []
    assert "taken away" not in "\n".join(play.said)


def test_a_machine_that_reboots_without_the_launcher_ends_at_the_same_time(play: Play) -> None:
    killed_at(play, "scp")
    with pytest.raises(SystemError):
        run(play, max_hours=2.0, **ONE)
    end = play.world()["nodes"]["w2v"]["made"] + 2 * 3600 + LATER_S
    play.fault("reboot")
    play.real_s = 0.3
    play.sleep(3600.0)
    status(play)  # a call of gcloud: the reboot is due
    assert [fault["kind"] for fault in play.world()["told"]] == ["reboot"] and play.left()
    play.sleep(end - 600 - play.now())
    assert play.left(), "the script holds to the end"
    play.sleep(end + 600 - play.now())
    assert until(play, lambda: play.left() == [], 10.0) and play.now() <= end + 1800
    assert status(play).key == "max_hours"


def test_the_price_of_the_sum_has_the_minutes_until_the_machine_deletes_itself(play: Play) -> None:
    run(play, yes=False, max_hours=2.0, **ONE)
    script = (play.state.room("w2v") / "startup.sh").exists()
    rate = 8 * prices.per_chip("v5e", True, "us-west4-a").usd
    assert f"at most ${rate * (2 + LATER_S / 3600):.2f} in 2 hours and 10 minutes" in play.said[0] and not script


def test_a_machine_whose_account_may_not_delete_it_stays_and_that_was_told(play: Play) -> None:
    play.change(default_may=False)
    killed_at(play, "scp")
    with pytest.raises(SystemError):
        run(play, max_hours=0.5, **ONE)
    assert any(line.startswith("warning: without --service-account") for line in play.said)
    calls = play.world()["calls"]
    play.sleep(3600.0)
    assert until(play, lambda: play.world()["calls"] > calls), "the script asks when the hours are over"
    assert play.left()
    play.change(default_may=True)
    assert until(play, lambda: not play.world()["requests"]), "the script asks again"
