"""Distance of language models to the best possible loss of the synthetic language, by distance of agreement."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from w2v_jax.errors import UserError
from w2v_jax.figures.convergence import CONFIG
from w2v_jax.figures.style import BARS, DASHED, drawing, look
from w2v_jax.files import PathLike, read_json
from w2v_jax.storage import name_of

EVALUATION = "evaluation.json"
Distances = Mapping[str, Mapping[str, float]]  # of `w2v_jax.evaluation.optimum.distance_to_optimum`


def read_runs(workdirs: Sequence[PathLike]) -> dict[str, Distances]:
    """Distances of runs on their test text by model. UserError: a run not evaluated, or of another language."""
    found: dict[str, Distances] = {}
    for workdir in [os.fspath(w) for w in workdirs]:
        record, config = (read_json(os.path.join(workdir, name)) or {} for name in (EVALUATION, CONFIG))
        if not record:
            hint = f"python -m experiments.evaluate --workdir={workdir}"
            raise UserError(f"{os.path.join(workdir, EVALUATION)}: no such file; first run {hint}")
        distances = next((record[s]["optimum"] for s in ("test", "heldout") if record.get(s, {}).get("optimum")), None)
        if distances is None:
            wanted = "evaluate without --text; the run's texts must be synthetic, synthetic:heldout and synthetic:test"
            raise UserError(f"{os.path.join(workdir, EVALUATION)}: has no distance to an optimum; {wanted}")
        model = config["model"] if isinstance(config.get("model"), dict) else {}
        label = f"{model.get('cell', config.get('family'))}, {model.get('layers')} x {model.get('hidden')}"
        found[label if label not in found else f"{label} ({name_of(workdir)})"] = distances
    return found


def draw(runs: Mapping[str, Distances], out: PathLike, source: str = "") -> None:
    """Nats above the optimum at verbs, against the words from their subject; the legend gives the mean of all words."""
    with drawing(out, (7.6, 4.8), source) as fig:
        axes = fig.subplots()
        steps: set[int] = set()
        for i, (name, kinds) in enumerate(runs.items()):
            at = {int(kind.split()[1]): entry for kind, entry in kinds.items() if kind.startswith("verb ")}
            steps |= set(at)
            x = sorted(at)
            label = f"{name}: {kinds['all']['gap']:.4f} ± {kinds['all']['standard_error']:.4f} over all words"
            errors = [2 * at[d]["standard_error"] for d in x]
            axes.errorbar(x, [at[d]["gap"] for d in x], errors, **look(i, label), **BARS)
        axes.axhline(0.0, label="best possible", **DASHED)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(steps), [str(d) for d in sorted(steps)])
        axes.set(xlabel="words from subject to verb", ylabel="nats above the optimum at the verb")
        axes.set_title("Distance to the best possible loss (bars: two standard errors)")
        axes.legend()
