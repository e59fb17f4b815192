"""What is copied to the workers: the commit with what is not committed, and what to run."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch.cloud import agent, plan
from launch.cloud.agent.install import matches
from w2v_jax.errors import UserError
from w2v_jax.files import write_json

ROOT = Path(__file__).resolve().parents[2]
_PYTHON = "3.12"  # the images bring 3.10, for which JAX makes no wheels any more; uv fetches this one
_CONSTRAINTS = "constraints-py312.txt"
_SECRET = re.compile(
    r"(^|/)\.env|\.(pem|key|p12|pfx)$|id_(rsa|dsa|ecdsa|ed25519)|credential|secret|token(?![a-z])|passw", re.I
)
_MAIN = "import sys\nfrom launch.cloud.agent.main import main\nsys.exit(main(sys.argv[1:]))\n"


class Source(NamedTuple):
    """The files that are shipped, and what they are."""

    archive: Path  # .tar.gz
    commit: str
    patch: str  # from the commit to the archive; empty when all was committed
    tree: str  # git's name of the archive's content
    lock: str  # hash of everything that the install depends on
    pair: Mapping[str, str]  # jax and libtpu, which belong together


def _git(root: Path, *words: str, env: Mapping[str, str] | None = None) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode:
        why = " ".join(done.stderr.decode(errors="replace").split())[:300]
        raise UserError(f"{root}: git {words[0]} failed ({why}); the launcher ships a git checkout")
    return done.stdout


def pair_of(constraints: str, file: str = _CONSTRAINTS) -> dict[str, str]:
    """{"jax": version, "libtpu": version} of a constraints file. UserError: no jax is pinned, or no checked pair."""
    pins = dict(re.findall(r"(?m)^(jax|jaxlib|libtpu)==(\S+)", constraints))
    pairs = tomllib.loads(Path(__file__).with_name("pairs.toml").read_text(encoding="utf-8"))
    if "jax" not in pins:
        raise UserError(f"{file}: pins no jax, so that nothing says which libtpu belongs to it; add jax==VERSION")
    if pins["jax"] not in pairs:
        raise UserError(
            f"{file}: jax=={pins['jax']} has no libtpu that was checked (known: {', '.join(pairs)}); "
            "check the pair and add it to launch/cloud/pairs.toml"
        )
    wanted = pairs[pins["jax"]]
    if "libtpu" in pins and not matches(pins["libtpu"], wanted):
        raise UserError(f"{file}: libtpu=={pins['libtpu']} does not belong to jax=={pins['jax']}, which wants {wanted}")
    return {"jax": pins["jax"], "libtpu": pins.get("libtpu", wanted)}


def install_lines(pair: Mapping[str, str]) -> list[list[str]]:
    """What makes the environment on a worker, run in the folder of the source."""
    target = "../venv"
    return [
        ["python3", "-m", "pip", "install", "--quiet", "--user", "uv"],
        ["uv", "venv", "--quiet", "--python", _PYTHON, target],
        ["uv", "pip", "install", "--quiet", "--python", f"{target}/bin/python", "--constraint", _CONSTRAINTS,
         "--editable", ".[tpu]", f"libtpu=={pair['libtpu']}"],
    ]  # fmt: skip


def files(root: Path = ROOT) -> list[str]:
    """The files that are shipped, as paths below `root`. UserError: there is no git checkout."""
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode(errors="replace")
    return [name for name in dict.fromkeys(listed.split("\0")) if name and (root / name).exists()]


def untracked(root: Path = ROOT, most_mib: float = 20.0) -> list[str]:
    """A line about the files that are shipped though git does not know them; none where there are none. Those that
    look like secrets are named first, and counted, then the largest. UserError: they are too large together."""
    listed = _git(root, "ls-files", "-z", "--others", "--exclude-standard").decode(errors="replace")
    sizes = {name: (root / name).lstat().st_size for name in listed.split("\0") if name and (root / name).exists()}
    if not sizes:
        return []
    secret = {name for name in sizes if _SECRET.search(name)}
    order = sorted(sizes, key=lambda name: (name not in secret, -sizes[name], name))
    some = ", ".join(f"{name} ({_size(sizes[name])})" for name in order[:5])
    more = f" and {len(order) - 5} more" if len(order) > 5 else ""
    total = sum(sizes.values())
    what = f"{plan.count(len(order), 'file')} that git does not know, {_size(total)} together: {some}{more}"
    if total > most_mib * 2**20:
        raise UserError(
            f"{root}: {what}; --untracked_mib={most_mib:g} is the most that is shipped: name them in .gitignore, or "
            "give a larger one"
        )
    said = "; by its name the first may be a secret" if len(secret) == 1 else ""
    if len(secret) > 1:
        said = f"; by their names the first {len(secret)} may be secrets"
    return [f"warning: shipped with the commit, and kept with the run: {what}{said}; .gitignore leaves files out"]


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size:,} bytes"


def check(root: Path = ROOT) -> None:
    """UserError: there is no git checkout to ship, or its jax and libtpu are no pair."""
    pair_of((root / _CONSTRAINTS).read_text(encoding="utf-8"))
    _git(root, "rev-parse", "HEAD")


def source(folder: Path, root: Path = ROOT) -> Source:
    """Packs the checkout at `root` into `folder`. UserError: it is no git checkout, or jax and libtpu are no pair."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = pair_of((root / _CONSTRAINTS).read_text(encoding="utf-8"))
    commit = _git(root, "rev-parse", "HEAD").decode().strip()
    # A second index takes in what is changed and new, without touching the user's own.
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _git(root, "read-tree", "HEAD", env=index)
        _git(root, "add", "--all", env=index)
        tree = _git(root, "write-tree", env=index).decode().strip()
        patch = _git(root, "diff", "--cached", "--binary", "HEAD", env=index)
    archive = folder / plan.SOURCE
    part = archive.with_name(f".{archive.name}.part")
    _git(root, "archive", "--format=tar.gz", f"--output={part}", tree)
    os.replace(part, archive)
    text = patch.decode(errors="surrogateescape")
    told = [(root / name).read_bytes() for name in ("setup.cfg", _CONSTRAINTS)] + [repr(install_lines(pair)).encode()]
    lock = hashlib.sha256(b"\0".join(told)).hexdigest()[:16]
    return Source(archive, commit, text, tree, lock, pair)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a worker is to run."""

    id: str
    argv: Sequence[str]
    source: Source
    seconds_left: float  # of the paid hours
    delete: Sequence[str]  # the line that deletes the machine
    install_s: float = 1800.0


def pack_agent(file: Path) -> None:
    """The agent as one file that Python runs: a zip of its modules under their own names."""
    here = Path(agent.__file__).parent
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("__main__.py", _MAIN)
        for name in ("launch/__init__.py", "launch/cloud/__init__.py"):
            packed.writestr(name, "")
        for module in sorted(here.glob("*.py")):
            packed.write(module, f"launch/cloud/agent/{module.name}")


def about(run: Run) -> dict[str, Any]:
    """What is kept with a run: its command, the commit, and the patch of what was not committed."""
    return {"id": run.id, "argv": list(run.argv), "commit": run.source.commit, "patch": run.source.patch}


def note(run: Run, folder: Path) -> None:
    """Keeps what was shipped with a run: its command, commit and patch."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", {k: v for k, v in about(run).items() if k != "patch"})
    (folder / "changes.patch").write_bytes(run.source.patch.encode(errors="surrogateescape"))


def pack(run: Run, folder: Path) -> list[str]:
    """Writes agent, source and spec into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pack_agent(folder / plan.AGENT)
    if run.source.archive.parent != folder:
        shutil.copyfile(run.source.archive, folder / plan.SOURCE)
    spec = {
        "id": run.id,
        "argv": list(run.argv),
        "launch": about(run),
        "lock": run.source.lock,
        "install": install_lines(run.source.pair),
        "install_s": run.install_s,
        "pair": dict(run.source.pair),
        "seconds_left": max(0.0, run.seconds_left),
        "delete": list(run.delete),
    }
    write_json(folder / plan.SPEC, spec)
    return [str(folder / name) for name in (plan.AGENT, plan.SOURCE, plan.SPEC)]
