"""What a user may write as a name: machines, zones, projects, images, service accounts, buckets.

Every value that reaches a gcloud line is checked here first, so that none can be an option, a path or shell text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from w2v_jax.errors import UserError

_LABEL = r"[a-z]([a-z0-9-]{0,%d}[a-z0-9])?"
# Key -> (regular expression, what it must be). Longest names leave room for "-0", the node of a slice.
_FORMS = {
    "name": (_LABEL % 50, "small letters, digits and hyphens, a letter first, at most 52 of them"),
    "zone": (r"[a-z]+-[a-z]+[0-9]+-[a-z]", "a zone, e.g. us-west4-a"),
    "project": (r"([a-z][a-z0-9.-]{1,60}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", "the id of a project, e.g. my-project-1"),
    "image": (r"[a-z0-9][a-z0-9.-]{0,80}", "a machine image, e.g. v2-alpha-tpuv5-lite"),
    "service_account": (r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com", "NAME@PROJECT.iam.gserviceaccount.com"),
    "network": (_LABEL % 61, "the name of a network: small letters, digits and hyphens"),
    "valid_for": (r"[1-9][0-9]{0,5}[smhd]", "a duration, e.g. 6h"),
}
_BUCKET = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"


def check(key: str, value: str) -> str:
    """The value itself. UserError: it is empty, or gcloud would refuse it or read it as something else."""
    form, need = _FORMS[key]
    if not value:
        raise UserError(f"--{key} is missing: {need}")
    if not re.fullmatch(form, value):
        raise UserError(f"--{key}={value!r}: must be {need}")
    return value


def check_name(value: str) -> str:
    """The name of a machine, which is no flag. UserError: as `check`."""
    form, need = _FORMS["name"]
    if not re.fullmatch(form, value):
        raise UserError(f"name {value!r}: must be {need}")
    return value


def bucket_of(path: str) -> str:
    """The bucket of a gs:// path. UserError: Cloud Storage has no bucket of that name."""
    name = path.removeprefix("gs://").split("/", 1)[0]
    parts = name.split(".")
    good = re.fullmatch(_BUCKET, name) and all(0 < len(p) <= 63 for p in parts) and (len(parts) > 1 or len(name) <= 63)
    if not good or name.startswith("goog") or re.fullmatch(r"[0-9.]+", name):
        need = "3 to 63 small letters, digits, hyphens, underscores or dots, a letter or digit first and last"
        raise UserError(f"{path!r}: {name!r} is no name of a bucket: {need}")
    return name


def buckets(words: Iterable[str]) -> list[str]:
    """The buckets that a command line names, each once. UserError: one is malformed."""
    found = [bucket_of(part) for word in words for part in re.findall(r"gs://[^\s,*?\[\]']*", word)]
    return list(dict.fromkeys(found))
