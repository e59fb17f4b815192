"""The config of a command is loaded before a machine is bought: what the command would refuse is refused at once."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from launch.cloud import command, verbs
from launch.fake.play import Play
from tests.commands import run as ours
from tests.launching import ROOT
from tests.launching import play as play  # a fixture
from tests.launching import source as source  # a fixture
from w2v_jax.errors import UserError

pytestmark = pytest.mark.xdist_group("launch_tpu")  # one worker: its processes would slow down those of others

TRAIN = "experiments.train --config=configs/lm1b_pod.py --workdir=gs://play-bucket/run"
REFUSED = [
    f"{TRAIN} --config.train.pases=3",
    f"{TRAIN} --config.optimizer.learning_rate fast",
    f"{TRAIN} --config.train.batch_size=64 --config.train.passes=0",
    f"{TRAIN} --noconfig.model.dim",
    "experiments.train --config=configs/scaling/wiki.py --workdir=gs://play-bucket/run",
    "experiments.train --workdir=gs://play-bucket/run",
    "experiments.scaling --config=configs/demo.py --workdir=runs/study",
    "experiments.scaling --config.tokens_per_step=0 --workdir=runs/study",
    "experiments.topics --workdir=runs/topics --lda.model.alpha=-1",
    "launch.preflight --config=configs/scaling/wiki.py --config.no.such=1",
]


def launch(play: Play, words: list[str], yes: bool) -> None:
    verbs.run(play.cloud("w2v"), play.state, "w2v", play.asked(words, yes=yes)._replace(root=ROOT))


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: words[:60])
def test_what_the_command_would_refuse_is_refused_with_its_line(
    words: str, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    line = ours(*shlex.split(words)).err
    monkeypatch.chdir(play.folder)
    for yes in (False, True):
        with pytest.raises(UserError) as e:
            launch(play, ["python", "-u", "-m", *shlex.split(words)], yes)
        assert f"error: {e.value}\n" == line
    assert play.world()["calls"] == 0 and play.left() == [] and play.said == []


def test_the_command_of_launch_local_is_looked_at() -> None:
    words = f"python -m launch.local --processes=2 -- python -m {REFUSED[0]}"
    with pytest.raises(UserError, match=r"'train.pases' \(did you mean 'train.passes'\?\)"):
        command.check_config(shlex.split(words), ROOT)


@pytest.mark.parametrize(
    "words",
    [
        f"python -m {TRAIN} --config.data.source=text:gs://there/*.txt --config.train.start=gs://there/run",
        f"python -m {TRAIN} --config.model.dim 64 --config.mesh.fsdp --noconfig.data.lowercase",
        "python -m experiments.scaling --config=configs/scaling/pod.py --workdir=gs://play-bucket/study --shard=0/4",
        "python -m experiments.pairs --explain",
        "python -m experiments.train --flagfile=gs://there/flags",
        "python -m of.others --config=there.yaml --config.no.such=1",
        "python mine.py -m experiments.train --config=there.yaml",
        "bash -c 'python -m experiments.train --config=there.py'",
        "python -m",
    ],
)
def test_what_only_the_machine_can_tell_is_not_refused(words: str) -> None:
    command.check_config(shlex.split(words), ROOT)


def test_every_command_with_a_config_is_known() -> None:
    found = {}
    for folder in ("benchmarks", "experiments", "launch"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            names = re.findall(r'^    config_flag\.define\((?:"(\w+)")?', text, re.M)
            if names:
                module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
                found[module] = {name or "config" for name in names}
                for own in command.CONFIGS[module].values():
                    assert Path(own.default).name in text, module
    assert {module: set(flags) for module, flags in command.CONFIGS.items()} == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("python -m experiments.trian --config=configs/demo.py", r"trian: .* \(did you mean 'experiments.train'"),
        (f"python -m {TRAIN} --config.mesh.model=3", r"mesh.model=3: does not divide the 16 devices"),
        (f"python -m {TRAIN} --worrkdir=gs://play-bucket/run", r"unknown flag --worrkdir \(did you mean 'workdir'\?\)"),
    ],
)  # fmt: skip
def test_a_module_a_mesh_and_a_flag_are_checked_before_anything_is_paid(play: Play, words: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        launch(play, shlex.split(words), yes=True)
    assert play.world()["calls"] == 0 and play.said == []


def test_the_flags_of_a_package_are_checked_and_others_are_not_started(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown flag --shart"):
        command.check_flags(shlex.split("python -m experiments.scaling --shart=0/4 --workdir=runs/a"), ROOT)
    (tmp_path / "other.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    command.check_flags(["python", "-m", "other"], tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_text_of_this_machine_is_told() -> None:
    def told(value: str, key: str = "data.source", start: str = TRAIN) -> list[str]:
        words = f"python -m {start} --config.{key}={value}"
        return command.sources(command.check_config(shlex.split(words), ROOT), ROOT)

    [said] = told("text:/home/me/t.txt")
    assert said.startswith("warning: --config.data.source=text:/home/me/t.txt is not in the checkout")
    assert told("text:gs://there/t.txt") == told("text:docs/*.md") == told("text:docs") == told("text:./docs") == []
    assert told("text:.") == told("tfds:lm1b") == []
    for key in ("data.heldout_source", "data.test_source"):
        [said] = told("pairs:mine.tsv@1,2,3", key)
        assert said.startswith(f"warning: --config.{key}=pairs:mine.tsv@1,2,3 is not in the checkout")
        assert told("tsv:README.md", key) == told("pairs:README.md@1,2,3", key) == []
    [said] = told("/home/me/glove.txt", "model.vectors", "experiments.train --config=configs/sentiment.py")
    assert said.startswith("warning: --config.model.vectors=/home/me/glove.txt is not in the checkout")
