"""A machine of another person, folder or project is neither used nor deleted by accident, and none is lost."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from launch.cloud import listing, verbs
from launch.cloud.gcloud import Cloud, Done
from launch.cloud.machine import Look, foreign, told
from launch.cloud.plan import Line, Machine
from launch.cloud.request import Withdrawn
from launch.cloud.state import Folder, Record
from launch.cloud.trouble import Trouble
from launch.cloud.watch import Watch
from launch.fake import gcloud as fake
from launch.fake.play import Play, training
from tests.launching import ONE, run, status
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others


def up(play: Play, **asked: Any) -> Trouble | None:
    return verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**{**ONE, **asked}))


def down(play: Play, **asked: Any) -> Trouble | None:
    return verbs.down(play.cloud("w2v"), play.state, "w2v", play.asked(**{**ONE, **asked}))


def stopped(play: Play, **asked: Any) -> Trouble | None:
    return verbs.stop(play.cloud("w2v"), play.state, "w2v", play.asked(**{**ONE, **asked}))


def another(play: Play, tmp_path: Path) -> Folder:
    """The state folder of a second person takes the place of the first one's, which is returned."""
    first, play.state = play.state, Folder(tmp_path / "second")
    play.said.clear()
    return first


def test_a_machine_of_another_folder_is_left_alone(play: Play, tmp_path: Path) -> None:
    """Not used, not deleted at the end of --keep-alive, and not by down; one folder's own machine stays its own."""
    assert up(play) is None
    mine, request = another(play, tmp_path), play.world()["requests"]
    found = run(play, **ONE)
    assert found is not None and found.key == "foreign" and "another folder or person (ACTIVE)" in found.sentence
    assert play.world()["requests"] == request and not any("resources delete" in line for line in play.said)
    assert play.state.names() == [], "nothing is remembered of it"
    assert "cost money" not in "\n".join(play.said)
    play.state = mine
    record = play.state.known("w2v")
    record.machine = dataclasses.replace(record.machine, owner="0" * 8)  # its own was deleted since
    play.state.save(record)
    for command in (stopped, down):
        found = command(play)
        assert found is not None and found.key == "foreign" and play.world()["requests"] == request
        assert play.state.names() == ([] if command is down else ["w2v"])
    assert found is not None and "down w2v --zone=us-west4-a --project=my-project-1 --yes" in found.next
    assert down(play) is None and play.left() == [], "a zone was given"


def test_whose_machine_it_is() -> None:
    machine = Machine("w2v", "us-west4-a", "v5litepod-8", slices=2, owner="01234567")
    request = {
        "state": {"state": "ACTIVE"},
        "tpu": {"nodeSpec": [{
            "multisliceParams": {"nodeCount": 2},
            "node": {"acceleratorType": "v5litepod-8", "labels": {"w2v-jax-owner": "01234567"}},
        }]},
    }  # fmt: skip
    own = told(request)
    assert own == Look("ACTIVE", accelerator="v5litepod-8", slices=2, owner="01234567")
    assert foreign(machine, own, asked=True) is None
    for other, asked in (
        (own._replace(owner="76543210"), True),
        (own._replace(owner=""), False),
        (own._replace(slices=1), True),
        (own._replace(accelerator="v6e-8"), True),
    ):
        assert foreign(machine, other, asked) is not None
        assert foreign(machine, other._replace(state="DELETING"), asked) is None, "it will be gone"
    assert foreign(machine, Look("ACTIVE"), asked=True) is None, "made before there were labels"


def test_the_project_is_kept(play: Play) -> None:
    assert up(play) is None
    play.change(project="my-project-2")
    assert status(play).sentence == "w2v is ready, 1 worker, and runs nothing"
    assert down(play) is None and play.left() == [] and play.said[-1] == "w2v is gone"


def test_a_machine_in_a_zone_that_is_not_seen_any_more_is_not_forgotten(play: Play) -> None:
    assert up(play) is None
    play.change(zones=["us-east5-a"])
    found = down(play)
    assert found is not None and found.key == "bad_zone" and "may cost money" in found.sentence
    assert play.state.names() == ["w2v"] and play.left()


def test_ctrl_c_at_the_first_look_leaves_what_is_there(play: Play) -> None:
    assert up(play) is None

    def interrupt(line: Line) -> None:
        if "queued-resources" in line:
            play.before = lambda line: None
            raise KeyboardInterrupt

    play.said.clear()
    for command in (up, run):
        play.before = interrupt
        with pytest.raises(KeyboardInterrupt) as caught:
            command(play, **ONE)
        assert not isinstance(caught.value, Withdrawn)
        assert "a machine that is there costs money until its --max_hours are over" in play.said[-1]
        assert "the run goes on" not in play.said[-1], "none was started"
    assert [r["state"] for r in play.world()["requests"].values()] == ["ACTIVE"]
    assert not play.state.known("w2v").withdrawn and not any("resources delete" in line for line in play.said)


def test_up_tells_of_a_machine_that_it_cannot_use(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(watch: Watch) -> None:
        raise KeyboardInterrupt

    play.change(faults=[{"kind": "dead"}])
    found = up(play)
    assert found is not None and found.key == "missing"
    assert play.said[-1] == "w2v still costs money; python -m launch.tpu down w2v --yes deletes it"
    monkeypatch.setattr(Watch, "reach", interrupted)
    with pytest.raises(KeyboardInterrupt):
        up(play)
    assert play.said[-1].startswith("w2v: a machine that is there costs money") and play.left()


def test_status_of_a_machine_that_runs_nothing_names_its_bill(play: Play) -> None:
    assert up(play, max_hours=2.0) is None
    assert re.search(r"-- COMMAND; w2v costs money .(1.9|2.0) hours left., python", status(play).next)


def test_cloud_tpu_ends_a_request_that_nobody_watches(play: Play) -> None:
    def killed(line: Line) -> None:
        if play.world()["requests"]:
            raise SystemError("kill -9")

    play.change(capacity={"v5litepod": 0})
    play.before = killed
    with pytest.raises(SystemError):
        up(play)
    play.before = lambda line: None
    play.sleep(24 * 3600 + 700)
    assert status(play).key == "queue_over"
    assert any(" --valid-until-duration=87000s " in line for line in play.said)


def test_a_run_that_was_stopped_makes_room_for_another(play: Play) -> None:
    def interrupt(line: Line) -> None:
        if any("poll" in word for word in line):
            play.before = lambda line: None
            raise KeyboardInterrupt

    play.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(play, training(9000), down=False, **ONE)
    with pytest.raises(UserError, match="stop w2v --yes first"):
        run(play, ["true"], down=False, **ONE)
    assert stopped(play) is None and play.state.known("w2v").outcome == "it was stopped"
    assert run(play, ["true"], down=False, **ONE) is None


def test_the_account_of_a_machine(play: Play) -> None:
    """What has none is told of, and may not be able to delete itself."""
    account = "trainer@my-project-1.iam.gserviceaccount.com"
    play.change(accounts=[account], default_may=False)
    up(play, yes=False, service_account=account)
    assert not any("without --service-account" in line for line in play.said)
    up(play, yes=False)
    assert sum(line.startswith("warning: without --service-account ") for line in play.said) == 1
    words = [
        "compute",
        "tpus",
        "queued-resources",
        "delete",
        "w2v",
        "--force",
        "--quiet",
        "--async",
        "--zone=us-west4-a",
    ]
    for given in ("", account):
        assert up(play, service_account=given) is None
        home = f"{play.folder}/nodes/w2v/0"
        assert "PERMISSION_DENIED" in fake.main(words, play.folder, machine=home)[2]
        play.change(bindings=[f"serviceAccount:{account} roles/tpu.admin projects/my-project-1"])
        assert fake.main(words, play.folder, machine=home)[0] == (0 if given else 1)
        play.change(bindings=[])
        assert down(play) is None


# ---- list ----


def remember(folder: Folder, name: str, zone: str, project: str, asked: float = 1.0) -> None:
    machine = Machine(name, zone, "v5litepod-8", project=project)
    folder.save(Record(machine, asked=asked, until=7200.0, argv=["true"]))


def listed(folder: Folder, answers: dict[str, Any], zone: str = "", project: str = "") -> tuple[list[str], Any]:
    """(what `list` prints beside the lines of gcloud, what it returns), at second 3600. `answers`: by zone and project,
    the requests, or an error."""
    said: list[str] = []

    def answer(line: Line, seconds: float) -> Done:
        if line[1:3] == ["config", "get-value"]:
            return Done(0, "p-default\n", "")
        given = dict(word.partition("=")[::2] for word in line if word.startswith("--"))
        found = answers.get(f"{given['--zone']} {given['--project']}", [])
        return Done(1, "", found) if isinstance(found, str) else Done(0, json.dumps(found), "")

    cloud = Cloud(folder.path, answer, tell=said.append)
    cloud.clock = cloud.clock._replace(now=lambda: 3600.0)
    found = listing.of(cloud, folder, zone, project)
    return [line for line in said if not line.startswith("+ ")], found


def request(name: str, **more: Any) -> dict[str, Any]:
    node = {"acceleratorType": "v5litepod-8"}
    return {"name": f"x/{name}", "state": {"state": "ACTIVE"}, "tpu": {"nodeSpec": [{"node": node}]}, **more}


def test_list_has_every_machine_of_a_name_with_its_price(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    remember(folder, "a", "us-central1-b", "project-1")
    remember(folder, "b", "us-central1-a", "project-1")
    ours, theirs = [request("a")], [request("a"), request("b", state={"state": "FAILED"})]
    said, found = listed(folder, {"us-central1-b project-1": ours, "us-central1-a project-1": theirs})
    assert found is None
    price = r"$9.60 an hour"
    assert said == [
        f"a  ACTIVE  us-central1-a  {price}  asked for by another folder or person",
        f"a  ACTIVE  us-central1-b  {price}, 1.0 hours left  true",
        "b  FAILED  us-central1-a  true",
        "# asked: us-central1-a of project-1, us-central1-b of project-1; --zone=ZONE asks in another zone",
    ]
    for state, end in (("PROVISIONING", ""), ("ACTIVE", ", 1.0 hours left")):
        folder.save(dataclasses.replace(folder.known("a"), queued=0.0 if end else 3600.0))
        said, _ = listed(folder, {"us-central1-b project-1": [request("a", state={"state": state})]})
        assert said[0] == f"a  {state}  us-central1-b  {price}{end}  true", (
            "the hours of a request that waits: none yet"
        )
    said, _ = listed(folder, {"us-central1-b project-1": ours}, zone="us-central1-b")
    assert said[1:3] == [
        "b  absent  us-central1-a of project-1  true",
        "# asked: us-central1-a of project-1, us-central1-b of p-default, us-central1-b of project-1; "
        "--zone=ZONE asks in another zone",
    ]


def test_list_says_what_it_does_not_know(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    remember(folder, "a", "us-west4-a", "project-1")
    remember(folder, "c", "us-east5-a", "project-1")
    folder.file("b").write_text("{")
    said, found = listed(folder, {"us-west4-a project-1": "ERROR: Please run: $ gcloud auth login"})
    assert found is not None and found.key == "no_login"
    assert said[0].startswith("b  unknown  ") and "b.json: is damaged" in said[0]
    assert said[1:3] == ["a  unknown  us-west4-a  true", "c  absent  us-east5-a  true"]
    assert listed(folder, {})[1].key == "damaged"
    with pytest.raises(UserError, match="--project=project-1: list takes it with --zone=ZONE"):
        listed(folder, {}, project="project-1")


def test_a_mistyped_zone_does_not_end_every_list(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    answers = {"us-west9-a project-1": "NOT_FOUND: Location us-west9-a is not found or access is unauthorized."}
    remember(folder, "a", "us-west9-a", "project-1", asked=0.0)
    assert listed(folder, answers)[1] is None
    remember(folder, "b", "us-west9-a", "project-1")
    said, found = listed(folder, answers)
    assert found is not None and found.key == "bad_zone" and said[1].startswith("b  unknown  us-west9-a")
