"""The sections of a report that say how far it can be trusted, and what its words mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from experiments.common.page import Section
from experiments.scaling.found import Found
from w2v_jax.scaling.analysis import Laws, above_chance, below_counts, columns, fitted_runs
from w2v_jax.scaling.bootstrap import ENOUGH
from w2v_jax.scaling.describe import cell, number
from w2v_jax.scaling.fit import RESAMPLES, fit_parametric
from w2v_jax.scaling.fitted import Fit
from w2v_jax.scaling.laws import JOINT
from w2v_jax.scaling.left_out import counts, warning
from w2v_jax.scaling.records import FINISHED, Record
from w2v_jax.scaling.robust import LOGS
from w2v_jax.scaling.trust import future, lack_of_fit, spread

GLOSSARY = (
    ("N", "parameters of a model, all of them unless a table says without embeddings"),
    ("D", "tokens that a run was trained on, repeats counted"),
    ("C", "FLOPs of the whole training, forward and backward, by the ledger of each family"),
    ("loss", "mean nats a token on held-out text, at the same places for all models"),
    ("law", "a sum of falling powers and a floor that is fitted to the losses of many runs"),
    ("joint law", "a law in which too small a model gains less from more text, and the other way round"),
    ("floor, E", "the loss that a law says no amount of parameters and tokens would get below"),
    ("exponent", "alpha and beta: ten times the size divides the distance from the floor by 10 to this power"),
    ("95 % interval", "made so that of a hundred such studies some 95 would hold the true number"),
    ("extrapolation", "what a law says beyond twice the largest run; drawn dashed"),
    ("IsoFLOP", "runs of several sizes at one cost; the best of them is the optimum of that cost"),
    ("noise", "the standard deviation of log loss about a law, or between seeds"),
    ("not fitted", "the runs cannot support the law; the reason is beside it, and nothing was guessed"),
)


def seeds(found: Found) -> list[Section]:
    """The spread between seeds of each arm, and what it makes impossible."""
    rows = [["arm", "sizes", "runs", "spread of the loss", "two runs differ from", "lack of fit of N and D"]]
    for law in found.laws:
        own = spread(found.of(law.arm))
        if own is not None:
            low, high = own.deviation.low, own.deviation.high
            deviation = f"{own.deviation.value:.2%} [{low:.2%}, {high:.2%}]"
            doubt = lack_of_fit(law.parametric) if isinstance(law.parametric, Fit) else None
            lacks = "-" if doubt is None else f"F = {doubt.ratio:.3g}, chance {doubt.chance:.1g}"
            lacks += f": WRONG FORM{_joint(found, law)}" if doubt is not None and doubt.wrong else ""
            rows.append([law.arm, str(own.sizes), str(own.runs), deviation, f"{own.needed:.2%}", lacks])
    if len(rows) == 1:
        unknown = "No two runs differ by their seeds alone, so the noise is not known."
        return [Section("Noise between seeds", (unknown,))] if found.laws else []
    why = (
        "Spread: the standard deviation of log loss between runs that differ by their seeds alone, with its 95 % "
        "interval. Two single runs whose losses differ by less than the next column cannot be told apart, and no "
        "forecast of one run can be held closer than about that. Lack of fit: where the chance is small, the runs are "
        "farther from the law than their seeds are from one another; the law then has the wrong form for them, and its "
        "intervals are too narrow beyond them. The joint law is then tried, too, and --forecast takes the closer one: "
        f"{JOINT.formula}."
    )
    return [Section("Noise between seeds", (why,), rows)]


def _joint(found: Found, law: Laws) -> str:
    """What the joint law comes to on the same runs."""
    n, d, _, loss = columns(fitted_runs(found.of(law.arm))[0])
    fit = fit_parametric(n, d, loss, law=JOINT)
    doubt = lack_of_fit(fit) if isinstance(fit, Fit) else None
    return "" if doubt is None else f"; joint law: F = {doubt.ratio:.3g}, chance {doubt.chance:.1g}"


def doubts(found: Found, arm: str) -> list[str]:
    """Runs of an arm that are in the fits although they have learned nothing, and runs that count as one by mistake."""
    above = [r for r in above_chance(found.usable) if r.arm == arm]
    worse = [r for r in below_counts(found.usable) if r.arm == arm and r not in above]
    text = []
    if above:
        worst = max(above, key=lambda r: r.heldout_loss or 0.0)
        text.append(
            f"Warning: {arm}: {len(above)} run(s) predict worse than a uniform guess, such as {worst.run} with "
            f"{worst.heldout_loss:.5g} nats. They have most likely diverged, and they are in the fits."
        )
    if worse:
        worst = max(worse, key=lambda r: r.heldout_loss or 0.0)
        text.append(
            f"Warning: {arm}: {len(worse)} run(s) predict worse than the counts of tokens alone, such as {worst.run} "
            f"with {worst.heldout_loss:.4f} nats (by counts {worst.heldout_unigram_loss:.4f}). They are in the fits."
        )
    if (doubt := warning(found.left_out(arm))) is not None:
        text.append(f"Warning: {arm}: {doubt}.")
    return text


def foretold(found: Found) -> list[Section]:
    """What the cheaper runs of each arm would have said of its most expensive ones."""
    rows = [["arm", "runs fitted", "up to FLOPs", "target", "forecast", "came", "error", "inside"]]
    reasons = []
    for law in found.laws:
        for row in future(found.of(law.arm)):
            cells = [law.arm, str(row.runs), number(row.flops), f"{row.times:.3g} times"]
            if row.expected is None:
                runs = f"{law.arm}, {row.runs} run(s) up to {number(row.flops)} FLOPs"
                reasons.append(f"{runs}: not fitted: {row.reason}.")
                continue
            inside = "yes" if row.expected.covers(row.came) else "no"
            rows.append([*cells, cell(row.expected), f"{row.came:.4f}", f"{row.error:+.2%}", inside])
    if len(rows) == 1 and not reasons:
        return []
    why = (
        "The law of N and D is fitted to the cheaper runs alone and asked for the most expensive ones (the mean of "
        "their seeds), with the 95 % interval of one further run. This is after the fact: nothing was written down "
        "before; see --forecast for that."
    )
    return [Section("With the future left out", (why, *reasons), rows if len(rows) > 1 else ())]


def checklist(found: Found) -> list[Section]:
    """The questions of Li et al. 2025 (Misfitting, arXiv 2502.18969), answered by the study itself."""
    done = [r for r in found.made if r.status == FINISHED]
    if not done:
        return []
    rows = [["question", "answer"], *_setup(found, done), *_fitting(found)]
    why = (
        "What a reader needs to repeat the study and to judge it, after the checklist of Li et al. 2025 (arXiv "
        "2502.18969). Filled in from the configs and the fits."
    )
    return [Section("Checklist", (why,), rows)]


def _setup(found: Found, done: Sequence[Record]) -> list[list[str]]:
    """Hypothesis, models and training."""
    n, d = [r.parameters for r in done], [r.tokens for r in done]
    ratio = [r.tokens / r.parameters for r in done]
    optimizers = [r.config.get("optimizer", {}) for r in done]
    schedules = [f"{o.get('dense')}, {o.get('schedule')}" for o in optimizers]
    rates = sorted({float(o["learning_rate"]) for o in optimizers if "learning_rate" in o})
    tried = (
        f"{len(found.study.rates)} at each size, the best counts"
        if found.study.rates
        else "one at each size, chosen by hand before the study"
    )
    lengths = _several(r.config.get("model", {}).get("length") for r in done)
    batches = _several(r.config.get("train", {}).get("batch_size") for r in done)
    return [
        ["What forms are fitted?", "E + A/N^alpha + B/D^beta; powers of N, D and C alone, with and without a floor"],
        ["Which models?", "; ".join(f"{arm}: {len(found.of(arm))} runs" for arm in found.study.arms)],
        ["How many parameters?", f"{min(n):,} to {max(n):,}, embeddings counted; also fitted without"],
        ["How much text?", f"{min(d):,.0f} to {max(d):,.0f} tokens; {min(ratio):.3g} to {max(ratio):.3g} a parameter"],
        ["Which text?", f"{found.study.data.source}, cut by {found.study.data.tokens}; vocabulary {_vocabulary(done)}"],
        ["How are FLOPs counted?", "every product of the step by the ledger, forward and backward; not 6 N D"],
        ["Which optimiser and schedule?", _by_arm(done, schedules)],
        ["How were rates chosen?", f"{tried}; {', '.join(f'{r:g}' for r in rates)}"],
        ["Batch and context?", f"{batches} texts of {lengths} tokens"],
        ["Seeds?", ", ".join(map(str, sorted({r.seed for r in done})))],
        ["Final or intermediate losses?", "final: each run decays to its own end" + _trunks(done)],
        ["Which loss?", "held-out nats a token, each token with at least half a window before it"],
    ]


def _trunks(done: Sequence[Record]) -> str:
    arms = dict.fromkeys(r.arm for r in done)
    own = dict.fromkeys(r.arm for r in done if r.made_flops is not None and r.made_flops < 0.999 * r.training_flops)
    which = f" of {', '.join(own)}" if len(own) < len(arms) else ""
    return f"; the steps before it are shared by the runs{which} of one size and seed" if own else ""


def _by_arm(done: Sequence[Record], values: Sequence[str]) -> str:
    """What all runs have alike, or what each arm has."""
    arms: dict[str, list[str]] = {}
    for r, value in zip(done, values, strict=True):
        arms.setdefault(r.arm, []).append(value)
    said = {arm: "; ".join(dict.fromkeys(own)) for arm, own in arms.items()}
    return values[0] if len(set(values)) == 1 else "; ".join(f"{arm}: {own}" for arm, own in said.items())


def _left_out(found: Found) -> str:
    """Runs that no law is fitted to, by reason, and those that might have been left out."""
    several = len(found.study.arms) > 1
    arms = {f"{arm}: " if several else "": counts(found.left_out(arm)) for arm in found.study.arms}
    parts = [before + "; ".join(said) for before, said in arms.items() if said] or ["nothing"]
    above = above_chance(found.usable)
    worse = [r for r in below_counts(found.usable) if r not in above]
    for runs, than in ((above, "a uniform guess"), (worse, "the counts of tokens alone")):
        if runs:
            parts.append(f"{len(runs)} run(s) that are worse than {than} were NOT left out")
    return "; ".join(parts)


def _fitting(found: Found) -> list[list[str]]:
    """How the laws were fitted."""
    fits = [law.parametric for law in found.laws if isinstance(law.parametric, Fit)]
    refused = [law.arm for law in found.laws if not isinstance(law.parametric, Fit)]
    how = [
        f"{'a region by the likelihood ratio' if fit.whole else f'{RESAMPLES} bootstrap draws'} ({fit.points} runs)"
        for fit in fits
    ]
    return [
        ["How many points in each fit?", ", ".join(str(fit.points) for fit in fits) or "no law of N and D was fitted"],
        ["What was left out?", _left_out(found)],
        ["What is minimised?", str(fits[0].misfit if fits else LOGS)],
        ["By which algorithm?", "variable projection over a grid of exponents, then damped Newton steps"],
        ["How are intervals made?", "; ".join(dict.fromkeys(how)) or f"bootstrap from {ENOUGH} runs a parameter"],
        [
            "Which fits were refused?",
            ", ".join(f"of N and D, {arm}" for arm in refused) or "none of N and D; see the table of laws for others",
        ],
        ["Validated how?", "the most expensive runs from the cheaper ones, above; errors by cross-validation"],
        ["Is the code there?", f"this project; {found.small}"],
    ]


def _vocabulary(done: Sequence[Record]) -> str:
    return _several(r.vocabulary for r in done)


def _several(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(v) for v in values if v is not None)) or "not recorded"


def glossary(found: Found) -> list[Section]:
    """What the words of the report mean."""
    return [Section("Words", (), [["word", "meaning"], *map(list, GLOSSARY)])] if found.usable else []
