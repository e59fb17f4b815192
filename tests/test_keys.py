"""docs/keys.md: every key of every config class, with its default and a meaning, in step with the code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from experiments import keys
from w2v_jax.config import DataConfig
from w2v_jax.errors import UserError
from w2v_jax.models import MODELS

ROOT = Path(__file__).parents[1]


def test_every_key_has_a_meaning() -> None:
    found = keys.parts()
    assert [f"{part}: {key.name}" for part, all_of in found.items() for key in all_of if not key.meaning] == []
    for name, family in MODELS.items():
        want = [f"model.{field.name}" for field in dataclasses.fields(family.config)]
        assert [key.name for key in found[name]] == want
    assert {key.name for key in found["data"]} >= {f"data.{f.name}" for f in dataclasses.fields(DataConfig)} - {
        "data.synthetic"
    }


def test_the_page_is_that_of_the_code() -> None:
    written = keys.page(keys.chosen([])).rstrip("\n") + "\n"
    assert (ROOT / "docs" / "keys.md").read_text() == written, "python -m experiments.keys --markdown > docs/keys.md"


def test_the_meaning_is_the_comment_above_and_beside() -> None:
    @dataclasses.dataclass(frozen=True)
    class Small:
        # of all
        # that there is
        first: int = 3  # a | b
        second: str = "x"  # its own

    a, b = keys.keys_of(Small, "model.")
    assert a == ("model.first", "3", "of all that there is a | b") and b == ("model.second", "'x'", "its own")
    assert "| `model.first` | `3` | of all that there is a / b |" in keys.page({"small": [a]})


def test_parts_and_single_keys_are_chosen_by_name() -> None:
    found = keys.chosen(["data.tokens", "lda.topics", "mesh"])
    assert [(part, [key.name for key in some][:1]) for part, some in found.items()] == [
        ("data", ["data.tokens"]),
        ("lda", ["model.topics"]),
        ("mesh", ["mesh.data"]),
    ]
    assert "--config.data.tokens='words'" in keys.text(found)
    with pytest.raises(UserError, match=r"data\.token: no part.*data\.tokens"):
        keys.chosen(["data.token"])
    group = [key.name for key in keys.chosen(["data.synthetic"])["data"]]
    assert len(group) > 3 and all(name.startswith("data.synthetic.") for name in group)
