"""Each verb of the launcher may be repeated; it ships what is not committed, and injects nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from launch.cloud import listing, plan, ship, verbs, workers
from launch.cloud.gcloud import execute
from launch.cloud.names import bucket_of
from launch.cloud.plan import Machine
from launch.cloud.watch import Watch
from launch.fake import gcloud as fake
from launch.fake import world as w
from launch.fake.play import Play, checkout, training
from tests.launching import ONE, STEPS, right, run, status, tpu
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others


# ---- each verb may be repeated ----


def test_a_worker_that_is_lost_at_one_look_alone_does_not_end_the_run(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, told = Watch._reports, []

    def reports(watch: Watch, verb: str, *words: str, reach_s: float) -> list[workers.Report]:
        found = real(watch, verb, *words, reach_s=reach_s)
        if verb == "poll" and not told and found[0].answer and found[0].state in ("installing", "running"):
            told.append(found[0].state)
            return [found[0]._replace(answer=found[0].answer | {"state": "lost"}), *found[1:]]
        return found

    monkeypatch.setattr(Watch, "_reports", reports)
    assert run(play, down=False, **ONE) is None and right(play, 1)
    assert told and play.state.known("w2v").tries == 1


def test_verbs_may_be_repeated(play: Play) -> None:
    asked = play.asked(down=False, **ONE)
    for _ in range(2):
        assert verbs.up(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert status(play).sentence == "w2v is ready, 1 worker, and runs nothing"
    assert run(play, down=False, **ONE) is None
    calls = play.world()["calls"]
    created = [line for line in play.said if " create w2v " in line]
    assert run(play, down=False, **ONE) is None, "it continues a finished workdir"
    assert [line for line in play.said if " create w2v " in line] == created and len(created) == 1
    assert play.world()["calls"] > calls
    for _ in range(2):
        assert verbs.stop(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert verbs.logs(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert play.said[-1] == f"step {STEPS}/{STEPS}: finished before"
    for _ in range(2):
        assert verbs.down(play.cloud("w2v"), play.state, "w2v", asked) is None
    assert play.left() == [] and play.state.names() == []


def test_a_second_launcher_takes_over_a_run_that_goes_on(play: Play) -> None:
    """The first is killed right after the start; the run is followed, not started again."""
    long = training(STEPS, pause=0.05)

    def killed(line: list[str]) -> None:
        if any("poll" in word for word in line):
            raise SystemError("kill -9")

    play.before = killed
    with pytest.raises(SystemError):
        run(play, long, **ONE)
    play.before = lambda line: None
    until = time.monotonic() + 10
    while not status(play).sentence.startswith("w2v runs on 1 worker"):
        assert time.monotonic() < until, status(play)
    assert run(play, long, **ONE) is None and right(play, 1)
    assert play.state.known("w2v").tries == 1 and "w2v: the run" in "\n".join(play.said)
    assert play.left() == []


def test_a_run_that_sigterm_stopped_is_not_taken_for_a_finished_one(play: Play) -> None:
    """Its exit status is 143, not 0: it is started again, and only then is its machine deleted."""
    sent, progress = list[int](), Path(play.folder) / "progress"

    def stopped(line: list[str]) -> None:
        if (
            not sent
            and any("poll" in word for word in line)
            and progress.exists()
            and int(progress.read_text() or 0) >= 3
        ):
            sent.append(w.kill(play.folder, only="standin", number=signal.SIGTERM))

    play.before = stopped
    assert run(play, training(STEPS, pause=0.05), **ONE) is None and right(play, 1)
    assert sent == [1] and play.state.known("w2v").tries == 2
    told = "\n".join(play.said)
    assert "[worker 0] ended with exit status 143" in told and "failed first (ended by signal 15)" in told
    assert play.left() == []
    found = verbs.logs(play.cloud("w2v"), play.state, "w2v", play.asked())
    assert found is not None and found.sentence == "w2v: the run ended well, and the machine is deleted"


def test_no_reinstall_while_the_lock_file_stays(play: Play) -> None:
    for _ in range(2):
        assert run(play, down=False, **ONE) is None
    home = Path(play.folder) / "nodes/w2v/0/w2v_jax"
    assert "already installed" in (home / "install.log").read_text()
    assert json.loads((home / "installed.json").read_text())["libtpu"].startswith("0.0.")


def test_what_is_not_committed_is_shipped_and_recorded(play: Play, tmp_path: Path) -> None:
    play.source = checkout(tmp_path / "changed")
    (play.source / "new.txt").write_text("not committed\n")
    (play.source / "setup.cfg").write_text("[metadata]\n")
    assert run(play, ["python", "-c", "print(open('new.txt').read())"], down=False, **ONE) is None
    assert "[worker 0] not committed" in play.said
    record = play.state.known("w2v")
    room = play.state.room("w2v") / "runs" / record.run_id
    patch = (room / "changes.patch").read_text()
    assert "+not committed" in patch and "-name = w2v_jax" in patch
    assert json.loads((room / "run.json").read_text())["commit"] == record.commit != ""
    apply = ["git", "apply", "--check", "--cached", str(room / "changes.patch")]
    assert subprocess.run(apply, cwd=play.source, check=False).returncode == 0
    assert not subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=play.source, check=False).returncode


# ---- what is printed, and nothing injected ----


def test_the_executable_runs_only_with_yes(play: Play, tmp_path: Path) -> None:
    path = f"{play.folder}/bin:{os.environ['PATH']}"
    play.change(call_s=30.0)
    words = ["run", "w2v", "--zone=us-west4-a", "--accelerator=v5litepod-8", "--poll-s=0.05", "--down"]
    words.append("--project=my-project-1")
    shown = tpu(*words, "--", "echo", "two words", path=path, state=tmp_path / "s")
    assert shown.returncode == 0 and "nothing was run" in shown.stdout
    assert play.world()["calls"] == 0 and not (tmp_path / "s").exists()
    lines = [shlex.split(line[2:]) for line in shown.stdout.splitlines() if line.startswith("+ ")]
    assert all(line[0] == "gcloud" for line in lines)
    for line in lines:  # each is a line that the fake, and gcloud by its reference, would take
        fake.parse(line[1:])
    done = tpu(*words, "--yes", "--", "echo", "two  words;", path=path, state=tmp_path / "s")
    assert done.returncode == 0, done.stderr
    assert "[worker 0] two  words;" in done.stdout and play.left() == []
    of_both = [
        {
            re.sub("owner=[0-9a-f]{8}", "", line).split(" --output")[0]
            for line in one.stdout.splitlines()
            if line[0] == "+"
        }
        for one in (shown, done)
    ]
    assert of_both[1] and of_both[1] <= of_both[0], "the label alone is drawn anew"


NASTY = ["a;rm -rf x", "$(touch x)", "`touch x`", "a\nb", "a'b", 'a"b', "--zone=x", "-x", "A", "a/../b", "", "a b", "é"]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("key", ["name", "zone", "project", "image", "service_account", "network", "valid_for"])
def test_nothing_is_injected_by_a_name(key: str, value: str) -> None:
    values: dict[str, Any] = {"name": "w2v", "zone": "us-west4-a", "accelerator": "v5litepod-16", key: value}
    if not value and key not in ("name", "zone"):
        Machine(**values)  # not given
        return
    with pytest.raises(UserError) as caught:
        Machine(**values)
    assert "\n" not in str(caught.value) and key in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["gs://", "gs:///x", "gs://A-b/x", "gs://a", "gs://-ab", "gs://a..b", "gs://goog-x", "gs://a;b/x", "gs://$(x)"],
)
def test_malformed_buckets(play: Play, path: str) -> None:
    with pytest.raises(UserError, match="is no name of a bucket"):
        bucket_of(path)
    with pytest.raises(UserError, match="is no name of a bucket"):
        run(play, ["python", "train.py", f"--workdir={path}"])
    assert play.world()["calls"] == 0


def test_the_words_of_the_command_reach_it_whole(play: Play) -> None:
    words = ["a;b", "$(touch x)", "`x`", "two words", "new\nline", "'", '"', "\\", "--flag=ü", "*", ""]
    argv = ["python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words]
    assert run(play, argv, down=False, **ONE) is None
    said = next(line for line in play.said if line.startswith("[worker 0] ["))
    assert json.loads(said.removeprefix("[worker 0] ")) == words
    assert not list(Path(play.folder).rglob("x"))
    assert not any(word in " ".join(play.said[:8]) for word in ("touch x",)), "no gcloud line carries the command"


def test_gcloud_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not on PATH: install the Google Cloud CLI"):
        execute(["no-such-gcloud", "x"], 5)
    words = ("up", "w2v", "--zone=us-west4-a", "--accelerator=v5litepod-8", "--yes")
    done = tpu(*words, path="/nowhere", state=tmp_path / "s")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


def test_a_machine_that_is_there_is_not_silently_another(play: Play) -> None:
    assert verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**ONE)) is None
    with pytest.raises(UserError, match="w2v was asked for with accelerator=v5litepod-8"):
        verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(accelerator="v5litepod-16"))
    play.state.file("w2v").write_text('{"machine": ')
    with pytest.raises(UserError, match="is damaged"):
        status(play)


def test_list_shows_what_nobody_remembers(play: Play) -> None:
    assert verbs.up(play.cloud("w2v"), play.state, "w2v", play.asked(**ONE)) is None
    play.run(plan.create(Machine("other", "us-west4-a", "v5litepod-8"), "/dev/null", 60.0), 5)
    assert listing.of(play.cloud("w2v"), play.state, "", "") is None
    assert play.said[-3] == "other  CREATING  us-west4-a  asked for by another folder or person"
    assert re.fullmatch(r"w2v  ACTIVE  us-west4-a  \$[\d.]+ an hour, 2[34]\.\d hours left  no run", play.said[-2])


def test_a_start_that_is_repeated_starts_nothing(play: Play) -> None:
    """As after a lost answer: the run of that id has ended, or goes on."""
    file = Path(play.folder) / "count"
    assert run(play, ["python", "-c", f"open({str(file)!r}, 'a').write('x')"], down=False, **ONE) is None
    reports, _ = workers.ask(play.cloud("w2v"), play.state.known("w2v").machine, "start")
    assert reports[0].state == "ended"
    time.sleep(0.5)
    assert file.read_text() == "x"


def test_files_that_git_does_not_know_are_told_or_refused(play: Play, tmp_path: Path) -> None:
    root = checkout(tmp_path / "new")
    (root / ".env").write_text("KEY=1")
    (root / "big.bin").write_bytes(b"x" * (3 * 2**20))
    asked = play.asked(training(STEPS), yes=False, **ONE)._replace(root=root)
    verbs.run(play.cloud("w2v"), play.state, "w2v", asked)
    told = (
        "2 files that git does not know, 3.0 MiB together: .env (5 bytes), big.bin (3.0 MiB); by its name the first may"
    )
    assert f"{told} be a secret; .gitignore" in play.said[0]
    with pytest.raises(UserError, match=r"--untracked_mib=2 is the most that is shipped: name them in .gitignore"):
        verbs.run(play.cloud("w2v"), play.state, "w2v", asked._replace(yes=True, untracked_mib=2.0))
    (root / ".gitignore").write_text("big.bin\n.env\n")
    verbs.run(play.cloud("w2v"), play.state, "w2v", asked._replace(untracked_mib=2.0))
    assert play.world()["calls"] == 0


def test_what_looks_like_a_secret(tmp_path: Path) -> None:
    root = checkout(tmp_path / "new")
    for name in ("tokenizer.py", "tokens.tsv", "tokenised.txt"):
        (root / name).write_text("many words")
    assert "secret" not in ship.untracked(root)[0]
    for name in ("hf_token", "token.txt", "access_token.json"):
        (root / name).write_text("x")
    [said] = ship.untracked(root)
    assert "together: access_token.json (1 bytes), hf_token (1 bytes), token.txt (1 bytes), token" in said
    assert "; by their names the first 3 may be secrets; .gitignore" in said


def test_lines_between_two_looks_are_not_dropped_silently(play: Play) -> None:
    argv = ["python", "-c", "for i in range(300): print('line', i)"]
    assert run(play, argv, down=False, **ONE) is None
    gap = next(i for i, line in enumerate(play.said) if "some lines are left out here" in line)
    assert play.said[gap + 1] == "[worker 0] line 260"


def test_commands_that_are_told_name_the_state_folder(tmp_path: Path) -> None:
    words = ["up", "w2v", "--zone=us-west4-a", "--accelerator=v5litepod-8"]
    done = tpu(*words, path=os.environ["PATH"], state=tmp_path / "s")
    assert f"python -m launch.tpu down w2v --state_dir={tmp_path / 's'} --yes" in done.stdout
    done = tpu("status", "w2v", path=os.environ["PATH"], state=tmp_path / "s")
    assert done.returncode == 2 and "no machine 'w2v'" in done.stderr
