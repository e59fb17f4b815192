"""The parametric law of the runs of Hoffmann et al. 2022, fitted here, by Besiroglu et al. 2024 and by themselves."""

from __future__ import annotations

from experiments.figures.figure import Figure, Result, Step, file
from w2v_jax.figures.published import Published, Tolerance, beside
from w2v_jax.figures.scaling import draw_forest
from w2v_jax.papers import NUMBERS, cited
from w2v_jax.scaling.fitted import Value
from w2v_jax.scaling.published import others

_FLAGS = "--fit={chinchilla_figure4.csv} --drop_fewest_tokens_per_parameter=5 --out={run}/fit"


def _refitted(name: str) -> Published:
    n = NUMBERS["besiroglu", name]
    near = Tolerance("one standard error of the published", n.value - n.error, n.value + n.error)
    return beside("besiroglu", name, tolerance=near)


def values(result: Result) -> dict[str, Value]:
    """'parametric' of fit.json: by name 'value', 'low' and 'high'."""
    return {k: Value(*(float(v[x]) for x in ("value", "low", "high"))) for k, v in result["parametric"].items()}


def draw(result: Result, out: str, source: str) -> None:
    """Floor and exponents with their intervals, ours above those of others."""
    ours = values(result)
    groups = {name: {"ours, the same runs": ours[name]} | others(name) for name in ("E", "alpha", "beta")}
    draw_forest(groups, out, source=source)


FIGURE = Figure(
    shows="the parametric law of 240 published runs, fitted here and by others",
    paper=cited("besiroglu"),
    recipe=(Step("experiments.scaling", _FLAGS),),
    data="245 runs read off Hoffmann et al. 2022, figure 4, by Besiroglu et al. 2024 "
    "(github.com/epoch-research/analyzing-chinchilla), five left out",
    collect=file("fit/fit.json", "table"),
    measure=lambda result: {name: value.value for name, value in values(result).items()},
    draw=draw,
    numbers=(
        *map(_refitted, ("E", "A", "B", "alpha", "beta")),
        *(
            beside("hoffmann", name, what=f"{name}, Hoffmann's own fit", differs="fitted otherwise")
            for name in ("E", "alpha", "beta")
        ),
    ),
)
