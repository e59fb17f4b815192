"""Small parts of the launcher: sizes, prices, pairs of versions, bad command lines, the lock of libtpu."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from launch.chips import TABLE, chips
from launch.cloud import plan, prices, ship
from launch.cloud.agent import lock
from launch.cloud.machine import Patience
from launch.cloud.plan import Machine
from launch.cloud.workers import LINES, new_lines
from launch.fake import gcloud as fake
from launch.fake import world as w
from launch.fake.play import BUCKET
from tests.commands import run as command
from tests.launching import ROOT
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others


# ---- small parts ----


SIZES = {  # (chips, hosts), by the pages of Cloud TPU
    "v5litepod-1": (1, 1), "v5litepod-8": (8, 1), "v5litepod-16": (16, 4), "v5litepod-256": (256, 64),
    "v4-8": (4, 1), "v4-32": (16, 4), "v5p-8": (4, 1), "v5p-384": (192, 48), "v6e-8": (8, 1), "v6e-64": (64, 16),
}  # fmt: skip


def test_sizes_of_slices() -> None:
    for name, (count, hosts) in SIZES.items():
        machine = Machine("a", "us-west4-a", name, slices=3)
        assert (machine.piece.chips, machine.workers) == (count, 3 * hosts), name
    none = ("v5litepod-12", "v5litepod-512", "v6e-24", "v5p-24", "v4-80")  # of a pod's chips in no such shape
    for bad in ("v5litepod-3", "v5p-7", "v5e-16", "v9-8", "v4", "v4-0", "v4-8;x", *none):
        with pytest.raises(UserError, match="--accelerator"):
            Machine("a", "us-west4-a", bad)


def test_jax_and_libtpu_are_a_pair_before_anything_is_asked_for() -> None:
    assert ship.pair_of("jax==0.11.2\njaxlib==0.11.2\n") == {"jax": "0.11.2", "libtpu": "0.0.48.*"}
    assert ship.pair_of("jax==0.11.2\nlibtpu==0.0.48.3\n")["libtpu"] == "0.0.48.3"
    for text, message in (
        ("numpy==2\n", "pins no jax"),
        ("jax==9.9\n", "has no libtpu that was checked"),
        ("jax==0.11.2\nlibtpu==0.0.50\n", "does not belong to jax==0.11.2"),
        ("jax==0.11.2\nlibtpu==0.0.480\n", "does not belong"),
    ):
        with pytest.raises(UserError, match=message):
            ship.pair_of(text)
    for file in ("constraints-py311.txt", "constraints-py312.txt"):
        assert ship.pair_of((ROOT / file).read_text())


def test_prices(tmp_path: Path) -> None:
    """Of all chips of all slices, from the table that the user may edit."""
    assert f"128 chips: ${64 * 2 * chips()['v5p'].usd:,.2f} an hour" in prices.sentence(
        "v5p-128", 2, False, 3.0, "us-x-a"
    )
    own = tmp_path / "own.tsv"
    own.write_text(TABLE.read_text().replace("\t1.20\t0.2977\t", "\t2.00\t-\t"))
    here = "us-central1-a"
    assert "$32.00 an hour, at most $96.00 in 3 hours" in prices.sentence("v5litepod-16", 1, False, 3.0, here, str(own))
    assert "has no price of v5e spot" in prices.sentence("v5litepod-16", 1, True, 3.0, here, str(own))
    tiny = prices.sentence("v5litepod-1", 1, True, 0.004, here)
    assert "an hour, less than $0.01 in 0.004 hours" in tiny


def test_prices_are_those_of_the_zone() -> None:
    """Of the rows of launch/regional_prices.tsv; elsewhere nothing is promised."""
    spot = prices.sentence("v5litepod-16", 1, True, 12.0, "us-west4-a", later_s=600.0)
    assert "$8.41 an hour, at most $102.27 in 12 hours and 10 minutes (list prices of us-west4-a" in spot
    assert prices.per_chip("v6e", True, "europe-west4-b").usd == 1.782
    for spot_, zone in ((False, "us-west4-a"), (True, "us-south1-a")):
        said = prices.sentence("v5litepod-16", 1, spot_, 12.0, zone)
        assert "at most" not in said and f"those of {zone} are not known here" in said


def test_new_lines() -> None:
    assert new_lines(["a", "b"], ["b", "c"]) == ["c"]
    assert new_lines(["a", "b"], ["a", "b"]) == []
    assert new_lines(["a", "b"], ["x", "y"]) == ["x", "y"]
    assert new_lines([], ["a"]) == ["a"]
    many = [str(i) for i in range(LINES)]
    assert new_lines(["x"], many, "gap") == new_lines([], many, "gap") == ["gap", *many]
    assert new_lines(many, [*many[1:], "next"], "gap") == ["next"]


def test_the_fake_knows_the_flags_of_gcloud() -> None:
    machine = Machine("a", "us-west4-a", "v4-16", slices=2, spot=True, project="my-project-1", internal_ips=True,
                      service_account="me@my-project-1.iam.gserviceaccount.com", valid_for="6h")  # fmt: skip
    for line in (plan.create(machine, "a.sh", 60.0), plan.delete(machine), plan.remote(machine, "a-0", "x", "/tmp")):
        assert fake.parse(line[1:]).flags["--zone"] == "us-west4-a"
    flex = Machine("a", "us-west4-a", "v5litepod-8", flex_start=True)
    assert fake.parse(plan.create(flex, "a.sh", 60.5)[1:]).flags["--max-run-duration"] == "60s"
    for words in ("compute tpus queued-resources create a --max-run-duration=60s", "compute tpus tpu-vm explode a"):
        with pytest.raises(w.Refused):
            fake.parse(words.split())
    assert BUCKET and Patience().of("PROVISIONING") == 1800


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no verb"),
        ("upp w2v", "did you mean 'up'"),
        ("up", "no name"),
        ("up A --zone=us-west4-a --accelerator=v4-8", "name 'A': must be small letters"),
        ("up a --accelerator=v4-8", "--zone is missing"),
        ("up a --zone=us-west4 --accelerator=v4-8", "--zone='us-west4': must be a zone"),
        ("up a --zone=us-west4-a --accelerator=v5e", "--accelerator='v5e'"),
        ("up a --zone=us-west4-a --accelerator=v4-8 -- true", "only run takes a command"),
        ("run a --zone=us-west4-a --accelerator=v4-8", "no command"),
        ("run a --zone=us-west4-a --accelerator=v4-8 --max_hours=0 -- true", "--max_hours=0"),
        (
            "up a --zone=us-west4-a --accelerator=v4-8 --flex-start --spot",
            "--flex_start: is a kind of machine of its own",
        ),
        (
            "up a --zone=us-west4-a --accelerator=v4-8 --flex-start --max-hours=168",
            "--max_hours=168: with --flex_start",
        ),
        ("up a --max-tries=-3", "max_tries"),
        ("up a --no-spot --zone=us-west4-a --accelerator=v5litepod-12", "'v5litepod-12': v5litepod has no slice"),
        ("status a --state-dir=a,b", "--state_dir='a,b': gcloud cannot take"),
        ("status a --state-dir=a:b", "--state_dir='a:b': gcloud cannot take"),
        ("status never", "no machine 'never'"),
        ("list a", "list takes no name"),
        ("up a --zone=us-west4-a --accelerator=v4-8 --slices=0", "--slices=0"),
        ("up a --keep-alife", "did you mean 'keep_alive'"),
    ],
)
def test_bad_command_lines(words: str, message: str, tmp_path: Path) -> None:
    done = command("launch.tpu", f"--state_dir={tmp_path / 's'}", *shlex.split(words))
    assert done.status == 2 and message in done.err and len(done.err.strip().splitlines()) == 1, done.err
    assert not (tmp_path / "s").exists()


def test_the_lock_of_libtpu_is_removed_only_when_its_owner_is_dead(tmp_path: Path) -> None:
    file = tmp_path / "libtpu_lockfile"
    holder = "import sys, time; f = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(60)"
    assert lock.free_lock(str(file)) == ""
    with subprocess.Popen([sys.executable, "-c", holder, str(file)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"open\n"
        assert f"process {owner.pid} (" in lock.free_lock(str(file)) and file.exists()
        owner.kill()
        owner.wait()
    assert lock.free_lock(str(file)) == "" and not file.exists()
