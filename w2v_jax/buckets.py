"""The file system behind `gs://`: gcsfs, made to wait out a server that is busy and to say what is wrong in one line.

Only `w2v_jax.storage` imports this file, and only when a path names a bucket.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import json
import math
import os
import random
import sys
import time
from typing import Any

import aiohttp
import fsspec
import google.auth.exceptions
import requests
from fsspec.asyn import sync_wrapper
from gcsfs.core import GCSFileSystem, quote
from gcsfs.retry import ChecksumError, HttpError, is_retriable

PATIENCE_S = 300.0  # that a server which is busy or out of reach is asked again; gcsfs itself stops after about 30 s
TIMEOUT_S = 120.0  # of one request: gcsfs would wait for ever for a server that is silent
_BOUNDARY = "w2v-jax-4d1f0c6e9b7a"
_LATE_S = 10.0  # after which the waiting is told
_ERRORS = (
    HttpError,
    ChecksumError,
    requests.exceptions.RequestException,
    google.auth.exceptions.GoogleAuthError,
    aiohttp.ClientError,
    TimeoutError,
)
ADVICE = {
    401: (errno.EACCES, "the credentials are refused: gcloud auth application-default login"),
    403: (errno.EACCES, "permission denied: give this account the role roles/storage.objectUser on the bucket"),
    404: (errno.ENOENT, "no such bucket or object: check the name, or make the bucket: gcloud storage buckets create"),
    412: (errno.EEXIST, "another process wrote it meanwhile"),
}


class _Bucket(GCSFileSystem):
    """GCSFileSystem whose every failure is an OSError that names the object, and that asks a busy server longer."""

    _answered = False  # a server that never answered is not asked so long: there may be no network

    async def _call(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        began, told = time.monotonic(), False
        while True:
            try:
                found = await super()._call(method, path, *args, **kwargs)
                self._answered = True
                return found
            except _ERRORS as e:
                waited = time.monotonic() - began if self._answered or isinstance(e, HttpError) else math.inf
                if not (isinstance(e, TimeoutError) or is_retriable(e)) or waited > PATIENCE_S:
                    raise as_oserror(e, _name(path, args, kwargs)) from None
                if not told and waited > _LATE_S:
                    told = True
                    why = getattr(e, "code", None) or type(e).__name__
                    print(
                        f"warning: {_name(path, args, kwargs)}: the server does not answer ({why}); it is asked again "
                        f"for up to {PATIENCE_S:.0f} s",
                        file=sys.stderr,
                        flush=True,
                    )
                await asyncio.sleep(min(2.0 ** min(waited / 10, 5), 30) * (0.5 + random.random()))
            except OSError as e:
                if e.errno is None or not e.filename:
                    raise as_oserror(e, _name(path, args, kwargs)) from None
                raise

    async def _write_if(self, path: str, data: bytes, generation: int) -> int:
        """Writes an object if it has this generation (0: none); returns the new one. FileExistsError: it has not."""
        bucket, key, _ = self.split_path(path)
        target = f"{self._location}/upload/storage/v1/b/{quote(bucket)}/o"
        body = _multipart(json.dumps({"name": key}).encode(), data)
        headers = {"Content-Type": f"multipart/related; boundary={_BOUNDARY}"}
        asked = {"uploadType": "multipart", "ifGenerationMatch": str(generation)}
        try:
            made = await self._call("POST", target, **asked, headers=headers, data=body, json_out=True)
            return int(made["generation"])
        except FileExistsError:
            # The answer to a first try may have been lost on the way.
            if await self._cat_file(path) != data:
                raise
            return int((await self._info(path))["generation"])

    write_if = sync_wrapper(_write_if)

    async def _mkdir(self, path: str, *args: Any, **kwargs: Any) -> None:
        """There are no folders to make; and the library would make a bucket that does not exist, and bill it."""

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """As `_mkdir`."""

    async def _isdir(self, path: str) -> bool:
        return await self._kind(path) == "directory"

    async def _isfile(self, path: str) -> bool:
        return await self._kind(path) == "file"

    async def _kind(self, path: str) -> str:
        # The library's own answer "no" wherever the server gave an error: a run that is there would begin anew.
        try:
            return str((await self._info(path))["type"])
        except FileNotFoundError:
            return "nothing"


def _multipart(about: bytes, data: bytes) -> bytes:
    """The body of an upload in one request (RFC 2387): a JSON record, then the content."""
    sections = (b"application/json; charset=UTF-8", about), (b"application/octet-stream", data)
    edge, line = b"--" + _BOUNDARY.encode(), b"\r\n"
    return b"".join(edge + line + b"Content-Type: " + kind + line * 2 + x + line for kind, x in sections) + edge + b"--"


def as_oserror(e: BaseException, name: str) -> OSError:
    """The failure of a request as an OSError with a number, a reason with advice, and the name of the object."""
    code = getattr(e, "code", None) or getattr(e, "status", None)
    if isinstance(e, FileNotFoundError):
        code = 404
    elif isinstance(e, FileExistsError):
        code = 412
    elif isinstance(e, OSError) and str(e).startswith("Forbidden"):
        code = 403
    elif isinstance(e, google.auth.exceptions.GoogleAuthError):
        code = 401
    try:
        number, reason = ADVICE[int(code)]  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError):
        said = " ".join(str(e).split())[:160] or type(e).__name__
        number, reason = (
            errno.EREMOTEIO,
            f"the server gives an error ({said}): run the same command again",
        )
    return OSError(number, reason, name)


def _name(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The address that a request is about."""
    parts = [str(a) for a in args] or [p for p in path.split("/b/")[-1].split("?")[0].split("/") if p not in ("b", "o")]
    key = kwargs.get("name") or kwargs.get("prefix")
    found = "/".join(parts[:2] if "o/{}" in path else parts[:1])
    return f"gs://{found}" + (f"/{key}" if key else "")


@functools.lru_cache(maxsize=1)
def connected() -> _Bucket:
    """The file system of this process, also behind every `etils.epath.Path` of a bucket."""
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):
        os.environ.setdefault("TENSORSTORE_GCS_HTTP_URL", emulator)
    for scheme in ("gs", "gcs"):
        fsspec.register_implementation(scheme, _Bucket, clobber=True)
        # Another process may write at any time: nothing that was listed is remembered.
        fsspec.config.conf[scheme] = {"use_listings_cache": False, "consistency": "md5", "requests_timeout": TIMEOUT_S}
    return fsspec.filesystem("gcs")
