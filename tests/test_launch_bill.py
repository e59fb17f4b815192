"""No machine that costs money is forgotten, and what a command would lose or cannot have is told before it is paid."""

from __future__ import annotations

from typing import Any

import pytest

from launch.cloud import command, trouble, verbs
from launch.cloud.plan import Machine
from launch.cloud.watch import Limits
from launch.fake.play import Play, training
from tests.launching import ONE, STEPS, run, status
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others

BILL = "w2v still costs money; python -m launch.tpu down w2v --yes deletes it"
OTHER = {"zone": "us-east5-a", "accelerator": "v5litepod-16"}


def up(play: Play, **asked: Any) -> trouble.Trouble | None:
    return verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**asked))


def down(play: Play, **asked: Any) -> trouble.Trouble | None:
    return verbs.down(play.cloud("w2v"), play.state, "w2v", play.asked(**asked))


def test_a_machine_whose_run_has_ended_is_not_forgotten(play: Play) -> None:
    assert run(play, down=False, **ONE) is None
    assert play.said[-1] == BILL
    with pytest.raises(UserError, match=r"w2v was asked for with zone=us-west4-a; .* down w2v --yes first"):
        run(play, **OTHER)
    calls = play.world()["calls"]
    run(play, yes=False, **OTHER)
    dry = "\n".join(play.said)
    assert "# refused, unless this says that the earlier one is not there\n+ gcloud" in dry
    assert play.world()["calls"] == calls
    play.change(failing={"count": 9, "message": "INVALID_ARGUMENT: something new", "words": "describe"})
    with pytest.raises(UserError, match="was asked for with"):
        up(play, **OTHER)
    play.change(failing=None, zones=["us-east5-a"])
    with pytest.raises(UserError, match="was asked for with"):
        up(play, **OTHER)
    found = down(play)
    assert found is not None and found.key == "bad_zone", "its zone did exist: a run was started there"
    play.change(zones=["us-west4-a", "us-east5-a"])
    assert down(play, zone="us-east5-a") is None
    assert play.said[-1].startswith("w2v in us-east5-a of my-project-1 is gone; the record") and play.left()
    assert play.state.known("w2v").machine.zone == "us-west4-a"
    assert down(play) is None and play.left() == [] and play.state.names() == []


def test_flags_may_change_when_the_machine_is_gone(play: Play) -> None:
    assert up(play, **ONE) is None
    with pytest.raises(UserError, match="was asked for with"):
        up(play, yes=False, **OTHER)
    play.change(requests={}, nodes={})
    assert up(play, **OTHER) is None
    record = play.state.known("w2v")
    assert record.machine.zone == "us-east5-a" and record.until - record.asked > 23.9 * 3600
    assert down(play, **OTHER) is None and play.left() == []


def test_a_zone_that_does_not_exist_is_forgotten(play: Play) -> None:
    found = up(play, zone="us-west9-a", accelerator="v5litepod-8")
    assert found is not None and found.key == "bad_zone"
    assert down(play, zone="us-west9-a") is None and play.state.names() == []
    assert play.said[-1].startswith("w2v is forgotten; nothing can be there: Cloud TPU has no zone us-west9-a")


def test_hours_that_a_machine_does_not_have_are_not_promised(play: Play) -> None:
    assert up(play, max_hours=0.2, **ONE) is None
    found = run(play, training(9000), max_hours=30.0, down=False, **ONE)
    assert found is not None and found.key == "max_hours" and "30" not in found.sentence
    told = "\n".join(play.said)
    assert "as it was made; python -m launch.tpu down w2v --yes and then up --yes give more" in told
    assert "in 30 hours" not in told


def test_a_failed_run_tells_that_its_machine_costs_money(play: Play) -> None:
    assert run(play, ["python", "-c", "raise SystemExit(3)"], limits=Limits(False, 1), down=False, **ONE) is not None
    assert play.said[-1] == BILL
    assert status(play).next.endswith("w2v still costs money, python -m launch.tpu down w2v --yes deletes it")
    play.said.clear()
    assert run(play, limits=Limits(False, 1), **ONE) is None
    assert play.said[-1] == "w2v is deleted" and BILL not in play.said


def test_nothing_is_told_of_a_machine_that_is_gone(play: Play) -> None:
    play.fault("preempt", step=8)
    assert run(play, limits=Limits(False, 3), down=False, **ONE) is not None
    assert not any("cost money" in line or "costs money" in line for line in play.said)


def test_a_folder_that_is_lost_with_its_machine_is_told(play: Play) -> None:
    argv = [*training(STEPS)[:4], "--workdir=runs/a", "--steps=3"]
    run(play, argv, yes=False)
    assert sum(line.startswith("warning: --workdir=runs/a is on the disk") for line in play.said) == 1
    one, pod = (Machine("w2v", "us-west4-a", f"v5litepod-{n}") for n in (8, 16))
    assert command.warning(argv, one, ends=False) == "" and "lost" in command.warning(argv, one, ends=True)
    assert "the 4 hosts share no disk" in command.warning(["python", "--workdir", "runs/a"], pod, ends=False)
    assert command.warning(training(STEPS), pod, ends=True) == command.warning(["echo"], pod, ends=True) == ""


@pytest.mark.parametrize("yes", [False, True])
def test_a_config_that_is_not_shipped_is_refused(play: Play, yes: bool) -> None:
    argv = ["python", "-m", "experiments.train", "--config=standing.py", "--workdir=gs://play-bucket/run"]
    with pytest.raises(UserError, match=r"--config=standing.py: is not in the checkout .*did you mean 'standin.py'"):
        run(play, argv, yes=yes)
    assert play.world()["calls"] == 0
    with pytest.raises(UserError, match=r"standin.py: has no get_config\(\)"):  # it is shipped
        command.check_config([*argv[:3], "--config", "./standin.py"], play.source)


def test_the_project_that_is_missing_is_not_tried_again(play: Play) -> None:
    play.change(project="")
    found = run(play, down=False, **ONE)
    assert found is not None and found.key == "no_project" and "trying again" not in "\n".join(play.said)
    assert trouble.of_gcloud("new " * 100, Machine("w2v", "us-west4-a", "v6e-8"), "x").sentence.startswith(
        "x failed: ..."
    )


def test_the_lines_shown_without_yes_are_all_there(play: Play) -> None:
    run(play, yes=False, **ONE)
    assert sum(" delete w2v " in line for line in play.said) == 2
    assert " delete w2v " in play.said[-2], "at the end; nothing is left"
