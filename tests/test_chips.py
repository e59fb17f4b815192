"""The table of chips: figures, prices, names of accelerator types, and what it says of a bad edit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from launch.chips import TABLE, accelerator, chip, chip_of, chips
from w2v_jax.errors import UserError


def test_the_table_has_a_source_for_every_chip_and_a_date_for_every_price():
    table = chips()
    assert {"v4", "v5e", "v5p", "v6e", "h100", "h200"} <= set(table)
    for c in table.values():
        assert len(c.source) > 20
        assert math.isnan(c.usd) or (c.date.startswith("20") and c.region != "-")
    # Of two chips the newer computes faster than its memory grew: intensities from arithmetic, not from the table.
    assert table["v5e"].flops / table["v5e"].hbm_rate == pytest.approx(240.5, rel=0.01)
    assert table["h200"].flops / table["h200"].hbm_rate == pytest.approx(206.0, rel=0.01)


def test_types_of_cloud_tpu_are_counted_in_chips_or_cores():
    assert [(c.name, n) for c, n in map(accelerator, ["v5litepod-16", "v5e-256", "v5p-128", "v4-8", "v6e-8"])] == [
        ("v5e", 16), ("v5e", 256), ("v5p", 64), ("v4", 4), ("v6e", 8),
    ]  # fmt: skip
    for bad in ("v5p-127", "v5litepod", "v5litepod-0", "v3-8", "v5e-16; rm -rf /", ""):
        with pytest.raises(UserError, match="must be a type of Cloud TPU"):
            accelerator(bad)


def test_chips_are_found_by_the_name_that_jax_gives_them():
    assert [chip_of(kind).name for kind in ("TPU v5", "TPU v5 lite", "NVIDIA H100 80GB HBM3")] == ["v5p", "v5e", "h100"]
    for other in ("cpu", "NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB", "NVIDIA H100 PCIe", "NVIDIA H100 NVL"):
        assert chip_of(other) is None, "another board has other figures"
    with pytest.raises(UserError, match=r"v5x: must be one of .*v5e"):
        chip("v5x")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [(9, "cheap", "usd_per_hour='cheap': must be a price"), (2, "-1", "bf16_flops='-1': must be a number above 0")],
)
def test_a_bad_edit_is_one_line_with_its_place(tmp_path: Path, column: int, value: str, said: str):
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    fields = lines[-1].split("\t")
    fields[column] = value
    edited = tmp_path / "chips.tsv"
    edited.write_text("\n".join([*lines[:-1], "\t".join(fields)]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"chips.tsv: line {len(lines)}: {said}"):
        chips(edited)
    fields[column] = "-"
    edited.write_text("\n".join([*lines[:-1], "\t".join(fields)]) + "\n", encoding="utf-8")
    if column == 9:
        assert math.isnan(chips(edited)[fields[0]].usd)
