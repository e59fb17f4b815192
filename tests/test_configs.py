"""The typed config: every mistake is one line that names the key; every file in configs/ loads and lowers."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax
import pytest

from experiments.common.config_flag import load_config
from w2v_jax.config import Config, MeshConfig, OptimizerConfig
from w2v_jax.errors import UserError, nearest
from w2v_jax.models import MODELS
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.models.word2vec import Word2VecConfig
from w2v_jax.overrides import override
from w2v_jax.recorded import RESUMABLE, differences, freeze, load, to_dict
from w2v_jax.train.optimizers import Horizon
from w2v_jax.train.programs import programs, stand_in

FOLDER = Path(__file__).parents[1] / "configs"
FILES = sorted(f for f in FOLDER.glob("*.py") if f.stem not in ("__init__", "recipes"))
EVERY_FILE = pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
BASE = Config("word2vec", Word2VecConfig())


def changed(key: str, value: Any) -> dict[str, Any]:
    """The base config as a plain tree with one dotted key set, whether it exists or not."""
    tree = to_dict(BASE)
    *parents, last = key.split(".")
    part = tree
    for name in parents:
        part = part[name]
    part[last] = value
    return tree


def test_there_are_configs() -> None:
    assert {"demo", "skipgram", "cbow"} <= {f.stem for f in FILES}


@EVERY_FILE
def test_a_config_file_loads_lowers_and_says_how_to_run_it(file: Path) -> None:
    config = load_config(str(file))
    assert freeze(json.loads(json.dumps(to_dict(config))), MODELS) == config
    header = ast.get_docstring(ast.parse(file.read_text())) or ""
    assert "python -m experiments." in header and "Hardware" in header
    if MODELS[config.family].fit is not None:
        return  # no step to lower
    model = min(config.mesh.model, 4)
    devices = len(jax.devices())
    rows = -(-config.train.batch_size // devices) * devices  # a recipe for one device need not divide over eight
    small = {"model.vocab_size": 2000, "train.steps_per_call": 2, "mesh.model": model, "mesh.data": 0}
    small["train.batch_size"] = rows
    tried = load_config(str(file), **small)
    text = programs(tried, stand_in(tried)).train(Horizon(1000, 1000)).lower().as_text()
    assert f"mhlo.num_partitions = {devices}" in text
    donated = text.count("tf.aliasing_output") + text.count("jax.buffer_donor")
    assert donated >= 3, "the step's number and two tables at least are updated in place"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.dmi", 3, "config has no key 'model.dmi' (did you mean 'dim'?)"),
        ("optimizer.learning_rat", 1.0, "config has no key 'optimizer.learning_rat' (did you mean 'learning_rate'?)"),
        ("trian", {}, "config has no key 'trian' (did you mean 'train'?)"),
        ("family", "word2vek", "word2vec (did you mean 'word2vec'?)"),
        ("model.dim", "100", "model.dim='100': must be of type int"),
        ("model.dim", 100.5, "model.dim=100.5: must be of type int"),
        ("model.dim", True, "model.dim=True: must be of type int"),
        ("data.lowercase", 1, "data.lowercase=1: must be of type bool"),
        ("data.source", None, "data.source=None: must be of type str"),
        ("model.dim", 0, "model.dim=0: must be at least 1"),
        ("model.window", -2, "model.window=-2: must be at least 1"),
        ("model.loss", "sofmax", "must be one of negative, hierarchical, softmax (did you mean 'softmax'?)"),
        ("data.source", "texts:x", "data.source='texts:x': must be pydocs"),
        ("data.heldout_every", 1, "data.heldout_every=1: must be 0 or above 1"),
        ("train.seed", 2**31, "train.seed=2147483648: must be from 0"),
        ("train.passes", 0.0, "train.passes=0.0: must be above 0"),
        ("optimizer.learning_rate", float("nan"), "optimizer.learning_rate=nan: must be a finite number"),
        ("optimizer.final_fraction", 1.5, "optimizer.final_fraction=1.5: must be between 0 and 1"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        freeze(changed(key, value), MODELS)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_whole_numbers_pass_for_floats_only() -> None:
    config = freeze(changed("train.passes", 2), MODELS)
    assert config.train.passes == 2.0 and isinstance(config.train.passes, float)


def test_values_that_exclude_each_other() -> None:
    with pytest.raises(UserError, match="mesh.model=2: must be 1 when mesh.per_device is set"):
        MeshConfig(model=2, per_device=True)
    with pytest.raises(UserError, match="window_draw='expected': CBOW"):
        Word2VecConfig(architecture="cbow", window_draw="expected")


def test_every_number_is_checked() -> None:
    """No size or count may be negative, in any section: a new option without a check fails here."""
    for section in (f.name for f in dataclasses.fields(Config) if f.name != "family"):
        part = getattr(BASE, section)
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            filled_in = section == "model" and field.name == "vocab_size"
            if isinstance(value, bool) or not isinstance(value, (int, float)) or filled_in:
                continue
            with pytest.raises(UserError, match=f"{section}.{field.name}=-7"):
                dataclasses.replace(part, **{field.name: type(value)(-7)})


def test_files_that_are_no_configs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file$"):
        load_config(str(tmp_path / "none.py"))
    # From another folder than the checkout, or of an installed package.
    with pytest.raises(
        UserError, match=f"no such config file; the one that comes with w2v_jax is {FOLDER / 'demo.py'}"
    ):
        load_config(str(tmp_path / "configs" / "demo.py"))
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="has no get_config"):
        load_config(str(tmp_path / "empty.py"))
    # Of the time when a config file returned a tree that could be edited.
    (tmp_path / "old.py").write_text("from w2v_jax.config import editable\n")
    with pytest.raises(UserError, match=r"old.py: .*get_config\(\) returns Config\(...\) itself"):
        load_config(str(tmp_path / "old.py"))
    (tmp_path / "old.py").write_text("def get_config():\n    return {'family': 'word2vec'}\n")
    with pytest.raises(UserError, match=r"old.py: get_config\(\) must return Config\(...\) itself"):
        load_config(str(tmp_path / "old.py"))
    with pytest.raises(UserError, match="synthetic.py: is a study"):
        load_config(str(FOLDER / "scaling" / "synthetic.py"))
    # What a file says is checked as what a command line says.
    text = "from w2v_jax.config import *\nfrom w2v_jax.models.word2vec import Word2VecConfig\ndef get_config():\n"
    (tmp_path / "types.py").write_text(f"{text}    return Config('word2vec', Word2VecConfig(dim=7.0))\n")
    with pytest.raises(UserError, match="model.dim=7.0: must be of type int"):
        load_config(str(tmp_path / "types.py"))
    (tmp_path / "types.py").write_text(f"{text}    return Config('transformer', Word2VecConfig())\n")
    with pytest.raises(UserError, match="no key 'model.architecture'"):
        load_config(str(tmp_path / "types.py"))
    skipgram = str(FOLDER / "skipgram.py")
    with pytest.raises(UserError, match=r"no key 'model.dmi' \(did you mean 'model.dim'\?\)"):
        load_config(skipgram, **{"model.dmi": 3})
    with pytest.raises(UserError, match="dim.*int"):
        load_config(skipgram, **{"model.dim": "many"})
    assert load_config(skipgram, **{"model.dim": 7, "train.passes": 2}).model.dim == 7


def test_round_trips() -> None:
    optimizer = OptimizerConfig(rows="sgd", learning_rate=math.pi / 100, clip_row=0.5)
    config = dataclasses.replace(BASE, model=Word2VecConfig(dim=7, sample=1e-5), optimizer=optimizer)
    assert freeze(json.loads(json.dumps(to_dict(config))), MODELS) == config
    assert override(config, {"model.dim": 9}, MODELS).model.dim == 9 and config.model.dim == 7


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("model.dim", "64", 64),
        ("train.passes", "2", 2.0),
        ("optimizer.learning_rate", "1e-3", 0.001),
        ("data.offline", "False", False),
        ("data.offline", "f", False),
        ("mesh.fsdp", "TRUE", True),
        ("mesh.fsdp", "1", True),
        ("data.cache_dir", "1e-3", "1e-3"),
        ("data.source", "text:a, 'b'.txt", "text:a, 'b'.txt"),
        ("data.synthetic.seed", "3", 3),
    ],
)
def test_text_is_read_as_the_type_of_its_key(key: str, text: str, value: Any) -> None:
    part: Any = override(BASE, {key: text}, MODELS)
    for name in key.split("."):
        part = getattr(part, name)
    assert part == value and type(part) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("model.dmi", "3", "config has no key 'model.dmi' (did you mean 'model.dim'?)"),
        ("modle.dim", "3", "config has no key 'modle.dim' (did you mean 'model.dim'?)"),
        ("model", "3", "config has no key 'model'"),
        ("model.dim.x", "3", "config has no key 'model.dim.x' (did you mean 'model.dim'?)"),
        ("model.dim", "2.5", "model.dim='2.5': must be of type int"),
        ("model.dim", "", "model.dim='': must be of type int"),
        ("train.passes", "many", "train.passes='many': must be of type float"),
        ("mesh.fsdp", "perhaps", "mesh.fsdp='perhaps': must be of type bool"),
        ("mesh.fsdp", "2", "mesh.fsdp='2': must be of type bool"),
        ("train.seed", "-1", "train.seed=-1: must be from 0"),
        ("family", "transformer", "config has no key 'model.architecture'"),
    ],
)
def test_an_override_that_cannot_be_is_one_line(key: str, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        override(BASE, {key: text}, MODELS)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_values_that_depend_on_one_another_are_replaced_together() -> None:
    config = Config("transformer", TransformerConfig(dim=8, heads=4, layers=1, length=8))
    both = override(config, {"model.dim": "12", "model.heads": "3"}, MODELS)
    assert (both.model.dim, both.model.heads) == (12, 3)
    for alone in ({"model.dim": "12"}, {"model.heads": "3"}):
        with pytest.raises(UserError, match="model.heads="):
            override(config, alone, MODELS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"family": ', "not a JSON object"),
        ("[1, 2]", "not a JSON object (a list)"),
        ("{}", "config has no family: it must be given"),
        ('{"family": "word2vec"}', "config has no model: it must be given"),
        ('{"family": "word3vec", "model": {}}', "family='word3vec'"),
        ('{"family": "word2vec", "model": 3}', "model=3: must be a group of keys"),
        ('{"family": "word2vec", "model": {}, "data": 3}', "data=3: must be a group of keys"),
        ('{"family": "word2vec", "model": {"dim": [3]}}', "model.dim=[3]: must be of type int"),
        ('{"family": "word2vec", "model": {}, "data": {"synthetic": []}}', "data.synthetic=[]: must be a group"),
    ],
)
def test_json_that_is_no_config_is_one_line_with_file_and_key(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert load(path, MODELS) is None
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(path, MODELS)
    assert f"{path}: {message}" in str(error.value) and "\n" not in str(error.value)
    path.write_text(json.dumps(to_dict(BASE)))
    assert load(path, MODELS) == BASE


def test_differences_name_what_a_continued_run_may_not_change() -> None:
    old = to_dict(BASE)
    assert differences(old, to_dict(BASE)) == []
    assert differences(old, changed("model.dim", 7)) == ["model.dim"]
    assert differences(old, changed("optimizer.rows", "sgd")) == ["optimizer.rows"]
    both = changed("train.seed", 4)
    both["data"]["min_count"] = 1
    assert differences(old, both) == ["data.min_count", "train.seed"]
    assert differences(changed("train.extra", 1), old) == ["train.extra"], "a key that only one side has"
    free = {"log.every_steps": 3, "checkpoint.keep": 9, "mesh.model": 4, "data.cache_dir": "x", "data.data_dir": "y"}
    free |= {"data.offline": False, "model.memory_mb": 64}
    assert {k if k in RESUMABLE else k.split(".")[0] for k in free} == set(RESUMABLE)
    for key, value in free.items():
        assert differences(old, changed(key, value)) == [], key


def test_nearest_offers_only_what_is_close() -> None:
    assert nearest("negtives", ["negatives", "dim"]) == " (did you mean 'negatives'?)"
    assert nearest("zzz", ["negatives", "dim"]) == ""
