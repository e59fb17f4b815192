"""What a user may write as a name: machines, zones, projects, images, service accounts, buckets.

Every value that reaches a gcloud line is checked here first, so that none can be an option, a path or shell text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from w2v_jax.errors import UserError
from w2v_jax.storage import bucket_of

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
    "owner": (r"[0-9a-f]{8}", "eight digits of the launcher's own"),
}


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


def buckets(words: Iterable[str]) -> list[str]:
    """The buckets that a command line names, each once. UserError: one is malformed."""
    found = [bucket_of(part) for word in words for part in re.findall(r"gs://[^\s,*?\[\]']*", word)]
    return list(dict.fromkeys(found))
