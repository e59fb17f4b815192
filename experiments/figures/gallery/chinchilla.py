"""The parametric law of the runs of Hoffmann et al. 2022, fitted here, by Besiroglu et al. 2024 and by themselves."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures import scaling
from w2v_jax.figures.published import Tolerance, beside
from w2v_jax.files import PathLike
from w2v_jax.papers import BESIROGLU, HOFFMANN
from w2v_jax.scaling import PUBLISHED
from w2v_jax.scaling.results import Value

_NEAR = "one standard error of the published"


def _values(result: Result) -> dict[str, Value]:
    """'parametric' of fit.json: by name 'value', 'low' and 'high'."""
    return {k: Value(*(float(v[x]) for x in ("value", "low", "high"))) for k, v in result["parametric"].items()}


def measure(result: Result) -> dict[str, float]:
    """The law's numbers."""
    return {name: value.value for name, value in _values(result).items()}


def draw(result: Result, out: PathLike, source: str) -> None:
    """Floor and exponents with their intervals, ours above those of others."""
    values = _values(result)
    groups = {name: {"ours, the same runs": values[name]} for name in ("E", "alpha", "beta")}
    for name, group in groups.items():
        group |= {law.name: law.value(name) for law in PUBLISHED if name in law.values}
    scaling.draw_forest(groups, out, source=source)


FIGURE = Figure(
    shows="the parametric law of 240 published runs, fitted here and by others",
    paper=BESIROGLU.cited,
    recipe=(
        Step(
            "experiments.scaling",
            ("--fit={chinchilla_figure4.csv}", "--drop_fewest_tokens_per_parameter=5", "--out={run}/fit"),
        ),
    ),
    data="245 runs read off Hoffmann et al. 2022, figure 4, by Besiroglu et al. 2024 "
    "(github.com/epoch-research/analyzing-chinchilla), five left out",
    collect=file("fit/fit.json", "table"),
    measure=measure,
    draw=draw,
    numbers=(
        *(
            beside(BESIROGLU, name, tolerance=Tolerance(_NEAR, n.value - n.error, n.value + n.error))
            for name, n in BESIROGLU.numbers.items()
        ),
        *(
            beside(HOFFMANN, name, what=f"{name}, Hoffmann's own fit", differs="fitted otherwise")
            for name in ("E", "alpha", "beta")
        ),
    ),
)
