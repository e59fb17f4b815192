"""`experiments.scaling --size`: the study of --config at other sizes, each with the tokens that suit it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

from experiments.scaling import forecast
from w2v_jax.errors import UserError
from w2v_jax.scaling import records
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.recipe import Recipe, study_of
from w2v_jax.scaling.study import Study
from w2v_jax.tables import aligned


def turned(study: Study, results: Path, asked: Sequence[float]) -> Study:
    """The study with `asked` parameters in the place of its sizes, by the laws of the `results` of a finished study;
    prints each run with what it rests on.

    UserError: no law of an arm; a size that the recipe refuses.
    """
    made = records.read([results])
    arms = [name for name in study.arms if any(r.arm == name for r in made)]
    if not arms:
        raise UserError(f"--laws={results}: has no run of the arms {', '.join(study.arms)}")
    known = forecast.fits(results, arms, forecast.FREE)
    laws = {name: law.fit for name, law in known.items()}
    words = {r.vocabulary for r in made if r.vocabulary}
    if len(words) != 1:
        raise UserError(f"--laws={results}: its runs have {len(words)} sizes of vocabulary; one is needed")
    changed, found = study_of(study, laws, asked, words.pop())
    print(aligned(_rows(changed, found), left=(0, 8)))
    for name, fit in laws.items():
        print(_source(name, fit, results))
        forecast.print_rests_on(name, known[name], results)
    return changed


def _rows(study: Study, found: Sequence[Recipe]) -> list[list[str]]:
    rows = [["arm", "asked", "parameters", "tokens", "tokens / parameter", "batch", "rate", "decay", "size"]]
    order = iter(found)
    for name, arm in study.arms.items():
        run = arm.run
        batch = run.train.batch_size * getattr(run.model, "length", 1)
        for _ in arm.sizes:
            one = next(order)
            counts = [f"{one.asked:,.0f}", f"{one.parameters:,}", f"{one.tokens:,.0f}"]
            ratio = f"{one.tokens / one.parameters:.3g}"
            optimizer = run.optimizer
            same = [f"{batch:,}", f"{optimizer.learning_rate:g}", f"{optimizer.weight_decay:g}"]
            rows.append([name, *counts, ratio, *same, one.size])
    return rows


def _source(name: str, fit: Fit, results: Path) -> str:
    low, high = fit.smallest, fit.largest
    digest = hashlib.sha256(results.read_bytes()).hexdigest()[:12]
    spans = f"{low[0]:,.0f} to {high[0]:,.0f} parameters, {low[1]:,.0f} to {high[1]:,.0f} tokens"
    exponents = ", ".join(f"{key} = {fit.values[key].value:.3g}" for key in ("alpha", "beta") if key in fit.values)
    noise = f"noise {100 * fit.noise:.2g} % of the loss" if math.isfinite(fit.noise) else ""
    return f"{name}: from {fit.points} runs of {results} ({digest}), {spans}; {exponents}; {noise}"
