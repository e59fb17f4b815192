"""The table of published numbers: what a mistake in its files says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from w2v_jax.errors import UserError
from w2v_jax.papers import CLAIMED_ACCURACY, PAPERS, read_numbers, value

HEADER = "paper\tnumber\tvalue\terror\tunit\tchecked\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("kaplen\tN alone\t0.076\t-\t%\tverified", "'kaplen' must be in papers.tsv"),
        ("kaplan\tN alone\t0.076\t-\t%\tverifed", "papers.tsv, and 'verifed' one of verified, un"),
        ("kaplan\tN alone\t0,076\t-\t%\tverified", "could not convert string to float: '0,076'"),
        ("kaplan\tN alone\t0.076\t%\tverified", "must be 6 fields separated by tabs"),
    ],
)
def test_a_mistake_names_its_file_and_line(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "published.tsv").write_text(f"{HEADER}{line}\n")
    with pytest.raises(UserError, match=f"published.tsv: line 2: .*{re.escape(message)}"):
        read_numbers(tmp_path / "published.tsv", PAPERS)


def test_numbers_that_are_computed_or_said_twice_agree() -> None:
    assert [value("notes", f"0.8^{k}") for k in (5, 10, 13)] == [0.8**k for k in (5, 10, 13)]
    assert value("notes", "next-word accuracy at 1M parameters") == 100 * CLAIMED_ACCURACY[1e6]
