"""Which flags of `experiments.scaling` go together: a flag that would do nothing is refused."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from w2v_jax.errors import UserError
from w2v_jax.storage import to_path

TRAINING = "training"
MODES = ("fit", "published", "compare", "grade", "score", "forecast", "coordinates", "plan")  # else training
OF_STUDY = (TRAINING, "plan", "forecast", "coordinates")  # what reads --config
FOR_FIT = ("drop_fewest_tokens_per_parameter", "where", "repeats", "best", "misfit", "delta", "budget")
USES: dict[str, tuple[Sequence[str], str]] = {  # flag -> where it is read, and how to say so
    **{name: (("fit",), "--fit") for name in FOR_FIT},
    "config": (OF_STUDY, "a study: training, --plan, --forecast and --coordinates"),
    "config.KEY": (OF_STUDY, "a study: training, --plan, --forecast and --coordinates"),
    "arms": (OF_STUDY, "the study of --config"),
    "size": (OF_STUDY, "the study of --config"),
    "floor": (("forecast",), "--forecast"),
    "law": (("forecast", "fit"), "--forecast and --fit"),
    "laws": (OF_STUDY, "--forecast and --size"),
    "device": (("plan", "fit"), "--plan and --budget"),
    "rate": (("plan",), "--plan"),
    "shard": ((TRAINING, "plan"), "training and --plan"),
    "out": (("fit", "published", "coordinates"), "--fit, --published and --coordinates"),
    "data_dir": ((TRAINING, "score"), "training and --score"),
    "keep": ((TRAINING,), "training"),
    "pack": ((TRAINING,), "training"),
}


def check() -> None:
    """UserError: two modes, a flag of another mode, --laws without what reads it, --out that is a file."""
    f = flags.FLAGS
    asked = [name for name in MODES if f[name].value]
    if len(asked) > 1:
        raise UserError(f"--{asked[0]} and --{asked[1]}: are two different commands; give one of them")
    mode = asked[0] if asked else TRAINING
    for name, (uses, said) in USES.items():
        if f[name].present and mode not in uses:
            raise UserError(f"--{name.removesuffix('.KEY')}: is for {said}")
    if f.device and mode == "fit" and not f.budget:
        raise UserError(f"--device: is for {USES['device'][1]}")
    if f.laws and mode != "forecast" and not f.size:
        raise UserError(f"--laws: is for {USES['laws'][1]}")
    if f.out and to_path(f.out).is_file():
        raise UserError(f"--out={f.out}: is a file; name a folder")
