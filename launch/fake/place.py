"""Makes the folder of a fake cloud: its state, and the executables that stand for gcloud and for those of a worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from launch.fake import world as w

ROOT = Path(__file__).resolve().parents[2]
_GCLOUD = """#!{python} -IS
import sys
sys.path.insert(0, {root!r})
from launch.fake.gcloud import command
sys.exit(command({folder!r}))
"""
# On a worker: pip and uv install nothing, and the environment's Python is the one that runs the fake.
_PYTHON3 = """#!/bin/bash
if [ "$1 $2" = "-m pip" ]; then exit 0; fi
exec {python} "$@"
"""
_UV = """#!/bin/bash
take() {{ [ -e "$HOME/$1" ] && rm -f "$HOME/$1"; }}
case "$1 $2" in
"venv "*)
  target="${{@: -1}}"
  mkdir -p "$target/bin"
  printf '#!/bin/bash\\nexec {runs} "$@"\\n' > "$target/bin/python"
  chmod +x "$target/bin/python" ;;
"pip install")
  if take uv_half; then kill -9 $PPID; exit 1; fi
  if take uv_hangs; then sleep 1000; fi
  if take uv_fails; then echo "error: Failed to fetch https://pypi.org/simple/jax/: connection closed"; exit 1; fi
  libtpu="${{@: -1}}"
  {{ grep -E '^jax(lib)?==' "$PWD/constraints-py312.txt"; echo "${{libtpu/%.\\*/.1}}"; }} > ../venv/versions ;;
"pip freeze")
  if [ -e "$HOME/uv_versions" ]; then cat "$HOME/uv_versions"; rm -f "$HOME/uv_versions"
  else cat ../venv/versions; fi ;;
*) echo "uv: unknown command $1 $2" >&2; exit 2 ;;
esac
"""


# Time on a worker is that of the fake's clock.
_SLEEP = """#!/bin/bash
now() {{ cut -d. -f1 {folder}/clock; }}
until=$(( $(now) + ${{1%.*}} ))
while [ "$(now)" -lt "$until" ]; do /bin/sleep 0.4; done
"""
_DATE = """#!/bin/bash
if [ "$*" = +%s ]; then cut -d. -f1 {folder}/clock; else exec /bin/date "$@"; fi
"""


def make(folder: str | os.PathLike[str], world: w.Json | None = None, keep: bool = False) -> Path:
    """Makes the folder, with a new world unless it has one that is to be kept; returns the folder of executables."""
    path = Path(folder).expanduser().resolve()
    tools = path / "bin"
    for part in (tools, path / "buckets", path / "nodes"):
        part.mkdir(parents=True, exist_ok=True)
    python = os.path.realpath(sys.executable)
    texts = {
        "gcloud": _GCLOUD.format(python=python, root=str(ROOT), folder=str(path)),
        "python3": _PYTHON3.format(python=python),
        "sleep": _SLEEP.format(folder=path),
        "date": _DATE.format(folder=path),
        "uv": _UV.format(runs=sys.executable),
    }
    for name, text in texts.items():
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755)
    if not keep or not (path / w.FILE).exists():
        w.save(str(path), world or w.new())
        for bucket in (world or {}).get("buckets", {}):
            (path / "buckets" / bucket).mkdir(exist_ok=True)
    return tools


def end(folder: str | os.PathLike[str]) -> int:
    """Ends every process of the workers of a fake cloud; returns how many there were."""
    return w.kill(os.path.join(os.path.realpath(folder), "nodes"))
