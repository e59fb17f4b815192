"""What preflight says of a run on a slice: memory, limits, cost, and no where it does not fit."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax
import pytest

from launch import preflight, preflight_table, slices, verdict
from launch.chips import GIB, chip
from launch.flops import count
from launch.forecast import forecast, one_line
from launch.nearest import _ratio, likely, nearest
from launch.slices import Slice, slice_of, topology
from w2v_jax.config import Config, MeshConfig, TrainConfig
from w2v_jax.errors import UserError
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.tables import markdown
from w2v_jax.train import sharding

WORDS = Word2VecConfig(dim=16, window=2, segment=16, shared_negatives=8, negatives=2)


def here(gib: float = 1.0) -> Slice:
    """The 8 CPU devices of the tests with the figures of an H100 and so much memory."""
    return Slice("8 CPU devices", chip("h100")._replace(hbm_gib=gib), jax.devices())


def of_words(mesh: MeshConfig) -> Config:
    return Config("word2vec", WORDS, train=TrainConfig(batch_size=1024, steps_per_call=2), mesh=mesh)


def test_a_table_that_a_rule_no_longer_splits_does_not_fit(monkeypatch: pytest.MonkeyPatch):
    config, room = of_words(MeshConfig(model=4)), here(2.2e6 / GIB)
    split = forecast(config, room, 16_384)
    assert split.reasons == ()
    memory = split.programs["training"].memory
    assert memory is not None and memory.parameters == 2 * 16_384 * 16 * 4 / 4
    monkeypatch.setitem(sharding.RULES, "vocab", None)
    whole = forecast(config, room, 16_384)
    assert whole.reasons and whole.reasons[0].startswith("training needs 0.00 GiB of 0.00 GiB on a device")
    assert any(reason.startswith("evaluation needs") for reason in whole.reasons)


def test_a_table_that_a_rule_sends_whole_is_a_no(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    config = of_words(MeshConfig(model=4, fsdp=True))
    monkeypatch.setitem(sharding.FSDP_RULES, "embed", None)
    wanted = preflight.Wanted(nearest=False)
    assert preflight.report_forecast(config, here(), 16_384, wanted)
    assert capsys.readouterr().out.endswith("ok    go\n")
    monkeypatch.setitem(sharding.FSDP_RULES, "embed", "data")
    assert not preflight.report_forecast(config, here(), 16_384, wanted)
    assert "FAIL  no-go: table E (16384, 16) is sent whole in every step (all-gather)" in capsys.readouterr().out


def test_what_word2vec_sends_does_not_grow_with_the_vocabulary():
    """At a fixed batch of a device, from the compiled program."""
    small, large = (forecast(of_words(MeshConfig(model=4)), here(), size) for size in (4096, 16_384))
    assert sum(small.sent().values()) == sum(large.sent().values()) > 0
    twice = dataclasses.replace(of_words(MeshConfig(model=4)), train=TrainConfig(batch_size=2048, steps_per_call=2))
    assert sum(forecast(twice, here(), 4096).sent().values()) > 1.5 * sum(small.sent().values())


def gpt2_sized(**changes: Any) -> Config:
    model = TransformerConfig(
        layers=12, dim=768, heads=12, length=1024, dtype="bfloat16", loop="scan", remat=True, vocab_size=50_257
    )
    return Config(
        "transformer",
        dataclasses.replace(model, **changes),
        train=TrainConfig(batch_size=64, steps_per_call=1),
        mesh=MeshConfig(fsdp=True),
    )


def test_what_a_transformer_sends_has_no_array_of_all_tokens(monkeypatch: pytest.MonkeyPatch):
    """Each device sums the gradients of its own tokens' embeddings, as on GPUs and TPUs; tables are added."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
    model = TransformerConfig(layers=1, dim=32, heads=2, length=64, vocab_size=256)
    config = Config(
        "transformer", model, train=TrainConfig(batch_size=64, steps_per_call=1), mesh=MeshConfig(fsdp=True)
    )
    sent = forecast(config, here(), generation=False).moved.collectives
    assert 256 * 32 * 4 <= max(one.size for one in sent) < 64 * 64 * 32 * 4 / 4


def test_arithmetic_for_gpus_by_hand():
    found = forecast(gpt2_sized(), slice_of("gpu:8xH200"))
    weights = 12 * 12 * 768**2 + 50_304 * 768  # the table is padded to a multiple of 128 rows
    memory = found.programs["training"].memory
    assert memory is not None and memory.parameters == pytest.approx(4 * weights / 8, rel=1e-3)
    tokens = 64 * 1024
    table = 50_257 * 768
    model = 6 * tokens * (12 * 12 * 768**2 + table) + 6 * tokens * 1024 * 768 * 12
    assert found.model_flops == pytest.approx(model, rel=1e-3)
    # Run: the layers forward twice (remat) but for their last product, attention over all pairs, the padded head.
    layers, pairs, head = 12 * 12 * 768**2, 12 * 2 * 1024 * 768, 50_304 * 768
    assert found.flops == pytest.approx(tokens * (8 * (layers + pairs) - 2 * layers / 3 + 6 * head), rel=1e-3)
    assert found.limits["compute"] == pytest.approx(found.flops / (8 * 989e12))
    assert found.limits["network"] == pytest.approx(2 * 4 * weights * 7 / 8 / 4.5e11, rel=1e-3)
    assert found.mfu == pytest.approx(found.model_flops / found.flops)
    line = verdict.cost_line(found, 1e10, False)
    hours = 1e10 / found.rate / 3600
    assert f"at least {hours:.3g} hours on 8 chips" in line and f"${8 * hours * 10.6:,.2f}" in line
    assert "not known: write it into launch/chips.tsv" in verdict.cost_line(found, 1e10, True)


def test_arithmetic_of_rows_is_near_what_the_compiled_program_sends():
    """Word2vec on 2 x 4 devices: the rows gathered over data, and those summed over model."""
    config = of_words(MeshConfig(model=4))
    counted, compiled = (forecast(config, where, 16_384).sent() for where in (slice_of("gpu:8xH200"), here()))
    for key in (("all-gather", "data"), ("all-reduce", "model")):
        assert counted[key] == pytest.approx(compiled[key], rel=0.25)


def test_the_nearest_change_that_fits_is_found_and_the_batch_is_kept():
    where = slice_of("gpu:8xH200")
    small = Slice(where.name, where.chip._replace(hbm_gib=1.2), where.devices)
    config = dataclasses.replace(
        gpt2_sized(layers=2, dim=128, heads=2), train=TrainConfig(batch_size=8192, steps_per_call=1)
    )
    failed = forecast(config, small)
    assert failed.reasons and "training needs" in failed.reasons[0]
    change = nearest(failed)
    assert change is not None and set(change.keys) == {"train.accumulate"}
    guess = likely(failed)
    assert guess is not None and guess[0] == change.keys and guess[1] < 1.2 * GIB
    memory = change.forecast.programs["training"].memory
    assert memory is not None and memory.total < 1.2 * GIB
    hopeless = Slice(where.name, where.chip._replace(hbm_gib=0.002), where.devices)
    assert nearest(forecast(config, hopeless)) is None


def test_failures_of_the_compiler_are_one_line(monkeypatch: pytest.MonkeyPatch):
    said = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.12G of 15.75G hbm.\nExceeded by"
    assert one_line(ValueError(said)) == "needs 20.12 GiB of 15.75 GiB of hbm"
    said = "the total memory required for HLO temporaries (400.00G) exceeds available HBM (31.25G)."
    assert one_line(ValueError(said)) == "needs 400.00 GiB of 31.25 GiB for HLO temporaries"
    assert one_line(ValueError("a\n b")) == "does not compile: ValueError: a b"

    def broken(*given: Any) -> Any:
        raise RuntimeError("INTERNAL: two\nlines")

    monkeypatch.setattr("w2v_jax.train.programs.Program.compile", broken)
    found = forecast(of_words(MeshConfig()), here(), 4096, generation=False)
    said = "does not compile: RuntimeError: INTERNAL: two lines"
    assert found.reasons == (f"training {said}", f"evaluation {said}")


@dataclasses.dataclass(frozen=True)
class At:
    """A chip of a torus."""

    coords: tuple[int, int, int]


def test_names_of_slices_and_rates_of_their_networks():
    names = ["v5litepod-16", "v5e-256", "v6e-8", "v5p-128", "v5p-8", "v4-512", "v5e:2x4"]
    assert list(map(topology, names)) == [
        "v5e:4x4", "v5e:16x16", "v6e:2x4", "v5p:4x4x4", "v5p:2x2x1", "v4:4x8x8", "v5e:2x4",
    ]  # fmt: skip
    with pytest.raises(UserError, match="v5e-17: v5e has slices of"):
        topology("v5e-17")
    grid = [At((x, y, 0)) for x in range(4) for y in range(4)]
    v5e = Slice("v5e:4x4", chip("v5e"), grid)
    assert v5e.rate(grid[:4]) == 4.5e10  # one axis, not closed to a ring
    assert v5e.rate(grid) == 2 * 4.5e10
    row = [At((0, y, 0)) for y in range(16)]
    pod = Slice("v5e:16x16", chip("v5e"), [At((x, y, 0)) for x in range(16) for y in range(16)])
    assert pod.rate(row) == 2 * 4.5e10  # a ring: from both sides
    cube = [At((x, y, z)) for x in range(4) for y in range(4) for z in range(4)]
    assert Slice("v5p:4x4x4", chip("v5p"), cube).rate(cube) == 6 * 9e10
    gpus = slice_of("gpu:16xH100")
    assert gpus.rate(gpus.devices[:8]) == 4.5e11 and gpus.rate(gpus.devices) == 5e10
    with pytest.raises(UserError, match="gpu:8xH900|h900"):
        slice_of("gpu:8xH900")


def test_libtpu_must_be_the_one_that_jax_wants(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    wanted = next(r for r in slices.metadata.requires("jax") or () if r.startswith("libtpu==")).split(";")[0]
    monkeypatch.setattr(slices.metadata, "version", lambda name: wanted.removeprefix("libtpu==").replace("*", "1"))
    slices.check_libtpu("v5e-16")
    monkeypatch.setattr(slices.metadata, "version", lambda name: "0.0.1")
    with pytest.raises(UserError, match=rf"libtpu 0.0.1 does not belong to jax .*'{re.escape(wanted)}'"):
        slices.check_libtpu("v5e-16")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--topology=v5e-16: needs libtpu"):
        slices.check_libtpu("v5e-16")


def test_products_are_counted_as_often_as_loops_run_them():
    def run(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, _: (jax.checkpoint(lambda y: y @ y)(x), None), x, None, length=3)[0]

    assert count(jax.make_jaxpr(run)(jax.numpy.zeros((4, 4))).jaxpr) == 3 * 2 * 4**3


def test_the_page_is_that_of_the_records():
    records = [preflight_table.read(name, where) for name, where in preflight_table.wanted()]
    made = [one for one in records if "programs" in one]
    assert made and {"config", "slice"} <= set(records[-1])
    for one in made:
        assert preflight_table.path_of(one["config"], one["slice"]).is_file() and one["date"]
        names = {"training"} if one["slice"].startswith("gpu") else {"training", "evaluation"}
        assert names <= set(one["programs"]) and "jax" in one["versions"]
    assert {path.name for path in preflight_table.RECORDS.iterdir()} == {
        preflight_table.path_of(one["config"], one["slice"]).name for one in made
    }
    assert markdown(preflight_table.rows(records)) in preflight_table.PAGE.read_text(encoding="utf-8")


def test_a_line_of_the_table_is_the_forecast():
    found = forecast(gpt2_sized(layers=2, dim=128, heads=2), slice_of("gpu:8xH200"))
    one = preflight_table.summary(found, 1e9) | {"config": "gpt2", "slice": "8xH200"}
    header, line = preflight_table.rows([one])
    cells = dict(zip(header, line, strict=True))
    assert cells["verdict"] == "go" and cells["generation"] == "-" and cells["mesh"] == "8 x 1"
    assert float(cells["hours"]) == pytest.approx(1e9 / found.rate / 3600, rel=0.01)
    near = {"keys": {"train.accumulate": "2"}} | one
    text = preflight_table.rows([one | {"reasons": ["training does not fit"], "nearest": near}])[1][-1]
    assert text.startswith("no-go: training does not fit; fits with train.accumulate=2 (")


def test_a_failure_says_how_far_the_arithmetic_is_off():
    config, where = gpt2_sized(layers=2, dim=128, heads=2), slice_of("gpu:8xH200")
    fits = forecast(config, where)
    memory = fits.programs["training"].memory
    assert memory is not None
    said = f"needs {3 * memory.working / GIB * 1024:.6f} MiB of 1.00 GiB of hbm"
    failed = fits._replace(programs={"training": fits.programs["training"]._replace(memory=None, failure=said)})
    assert _ratio(failed, 0) == pytest.approx(3, rel=1e-3)
