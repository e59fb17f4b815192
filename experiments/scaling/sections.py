"""The sections of a study's report, each from the runs and their laws alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.common.page import Section
from experiments.scaling import trust
from experiments.scaling.found import Found
from w2v_jax.figures import scaling as law_figures
from w2v_jax.figures import scaling_study as figures
from w2v_jax.scaling import analysis
from w2v_jax.scaling.analysis import CLAIMED_ACCURACY, Laws
from w2v_jax.scaling.describe import describe, describe_largest, published_table, show
from w2v_jax.scaling.fitted import Fit, Refusal
from w2v_jax.scaling.plateau import RULE
from w2v_jax.scaling.published import others
from w2v_jax.scaling.records import FINISHED, Record
from w2v_jax.scaling.transferred import Tried, tried


def sections(found: Found) -> list[Section]:
    """The sections for which the study has results."""
    parts = [overview(found), *floor_check(found), families(found), *over_training(found), laws(found)]
    parts += [*trust.seeds(found), *trust.foretold(found), *published(found), *accuracy(found), *positions(found)]
    parts += [*rates(found), *word_vectors(found), *trust.checklist(found), *trust.glossary(found), runs(found)]
    return [part for part in parts if part.text or part.table or part.facts or part.pictures]


def overview(found: Found) -> Section:
    """How many runs there are, what they cost, and those that failed."""
    done = [r for r in found.made if r.status == FINISHED]
    seconds = math.fsum((r.seconds if r.made_seconds is None else r.made_seconds) or 0.0 for r in found.made)
    whole = math.fsum(r.training_flops for r in done)
    flops = math.fsum(r.training_flops if r.made_flops is None else r.made_flops for r in done)
    total = f"{flops / 1e12:.4g} TFLOP in {seconds / 60:.1f} min of training."
    text = [f"{len(done)} of {len(found.made)} runs finished: {total}"]
    if flops < 0.999 * whole:
        alone = f"Each alone would be {whole / 1e12:.4g} TFLOP"
        text.append(f"{alone}: runs of schedule wsd begin where the next shorter one decays.")
    text += [f"{r.run} {r.status}: {r.error}" for r in found.made if r.status != FINISHED]
    return Section("Study", tuple(text))


def runs(found: Found) -> Section:
    """A table of every run."""
    head = ["run", "parameters", "without emb.", "tokens", "TFLOP", "held-out nats/token", "accuracy", "words/s"]
    known = any(r.optimum is not None for r in found.made)
    rows = [[*head, *(["above optimum"] if known else [])]]
    for r in sorted(found.made, key=lambda r: (r.arm, r.parameters, r.tokens, r.seed)):
        sizes = [f"{r.parameters:,}", f"{r.parameters_without_embeddings:,}", f"{r.tokens:,.0f}"]
        loss = r.status if r.status != FINISHED else _text(r.heldout_loss, ".4f")
        gap = None if r.optimum is None or r.heldout_loss is None else r.heldout_loss - r.optimum
        row = [r.run, *sizes, f"{r.training_flops / 1e12:.4g}", loss, _text(r.heldout_accuracy, ".1%")]
        row += [_text(r.words_per_second, ",.0f"), *([_text(gap, ".4f")] if known else [])]
        rows.append(row)
    return Section("Runs", baselines(found.made), rows)


def baselines(made: Sequence[Record]) -> tuple[str, ...]:
    """What the counts of tokens alone give, and the share of `<unk>`, beside the losses and accuracies of the table."""
    known = [r for r in made if r.heldout_unigram_loss is not None]
    lines = dict.fromkeys(
        f"By the counts of tokens alone: {r.heldout_unigram_loss:.4f} nats/token, accuracy "
        f"{_text(r.heldout_unigram_accuracy, '.1%')}; {_text(r.heldout_unknown, '.1%')} of the held-out tokens are "
        "<unk>."
        for r in known
    )
    return tuple(lines)


def families(found: Found) -> Section:
    """Loss of all arms against size and FLOPs."""
    if not found.usable:
        return Section("Loss by size and cost")
    curves = analysis.loss_curves({law.arm: found.of(law.arm) for law in found.laws})
    out = found.folder / "families.png"
    laws = {law.arm: law for law in found.laws}
    figures.draw_families(*curves, out, laws=laws, optimum=optimum(found), source=found.small)
    return Section("Loss by size and cost", pictures=(out,))


def over_training(found: Found) -> list[Section]:
    """Loss by tokens a parameter, of each size with two amounts of text or more."""
    curves = {law.arm: analysis.over_trained(found.of(law.arm)) for law in found.laws}
    curves = {arm: own for arm, own in curves.items() if own}
    if not curves:
        return []
    out = found.folder / "over_training.png"
    figures.draw_over_training(curves, out, optimum=optimum(found), source=found.small)
    return [Section("Loss by tokens a parameter", pictures=(out,))]


def optimum(found: Found) -> float | None:
    """The best possible loss, where known and the same for all runs."""
    return (
        None if analysis.apart(found.usable) else next((r.optimum for r in found.usable if r.optimum is not None), None)
    )


def floor_check(found: Found) -> list[Section]:
    """Fitted floors beside the best possible loss."""
    if not found.study.optimum:
        return []
    rows = [["arm", "fitted floor E", "95 % interval", "best possible", "E - best possible", "verdict"]]
    text = [
        "The fits are checked against the truth: the best possible loss of this text is known. It is computed on the "
        "positions on which the models were scored."
    ]
    for f in found.floors:
        verdict = "inside the interval" if f.holds else f"MISSED by {f.miss:.4f} nats"
        verdict += ", which is free below" if f.holds and f.low <= 0 else ""
        span = f"{f.low:.4f} to {f.high:.4f}"
        rows.append([f.arm, f"{f.fitted:.4f}", span, f"{f.optimum:.4f}", f"{f.fitted - f.optimum:+.4f}", verdict])
    if differ := analysis.apart(found.usable):
        text.append(f"The runs were scored on different positions, so no floor is checked: {differ}.")
    if not found.floors:
        text.append("No arm has a law with a floor, so nothing can be checked, and the command ends with status 1.")
    return [Section("The fitted floor and the truth", tuple(text), rows if found.floors else ())]


def laws(found: Found) -> Section:
    """A table of all fits, and of the reasons for no fit."""
    facts, pictures, table = [], [], [["arm", "loss by", "fitted values and their 95 % intervals"]]
    text = []
    for law in found.laws:
        if law.plateau:
            names = ", ".join(r.run for r in law.plateau)
            text.append(f"{law.arm}: {len(law.plateau)} run(s) left out of the fits, {RULE}: {names}.")
        text += trust.doubts(found, law.arm)
        for name, result in law.named().items():
            if isinstance(result, Refusal):
                table.append([law.arm, name, f"not fitted: {result.reason}"])
            else:
                table.append([law.arm, name, ", ".join(show(key, v) for key, v in result.values.items())])
                facts.append(f"{law.arm}: {name}\n{describe(result)}")
        pictures += _law_pictures(found, law)
        if isinstance(law.parametric, Fit) and law.parametric.heldout is not None:
            text.append(f"{law.arm}: {describe_largest(law.parametric.heldout)}.")
    return Section("Laws", tuple(text), table, tuple(facts), tuple(pictures))


def _law_pictures(found: Found, law: Laws) -> list[Path]:
    source, out = f"{law.arm}: {found.small}", []
    # Where the sign of alpha is unknown the band covers the whole picture.
    if isinstance(law.by_size_floor, Fit) and not law.by_size_floor.values["alpha"].covers(0.0):
        out.append(found.folder / f"{law.arm}_size.png")
        law_figures.draw_law(law.by_size_floor, out[-1], floor=optimum(found), source=source)
    return out + law_figures.draw_fits(law.parametric, law.isoflop, found.folder, f"{law.arm}_", source)


def published(found: Found) -> list[Section]:
    """Our exponents beside published ones, and the differences between the settings."""
    fits = {law.arm: law.parametric for law in found.laws if isinstance(law.parametric, Fit)}
    if not fits:
        return []
    groups = {
        f"{name}, of {size}": {f"ours, {arm}": fit.values[name] for arm, fit in fits.items()} | others(name)
        for name, size in (("alpha", "parameters"), ("beta", "tokens"))
    }
    out = found.folder / "published.png"
    law_figures.draw_forest(groups, out, source=found.small)
    sizes = [r.parameters for r in found.usable]
    ours = (
        f"Ours: {min(sizes):,} to {max(sizes):,} parameters, {found.study.data.source}, vocabulary "
        f"{max(r.vocabulary or 0 for r in found.usable):,}, N counts all parameters, D all tokens of training, less "
        "than one pass unless the table says otherwise. The published exponents are of other texts, other vocabularies "
        "and sizes thousands of times larger; floors change exponents by construction."
    )
    return [Section("Beside published laws", (ours,), published_table(), (), (out,))]


def accuracy(found: Found) -> list[Section]:
    """Next-word accuracy by size beside the notes' claims."""
    scored = [r for r in found.usable if r.heldout_accuracy is not None]
    if not scored:
        return []
    measured = {law.arm: analysis.accuracies(found.of(law.arm)) for law in found.laws}
    measured = {arm: (sizes, shares) for arm, (sizes, shares) in measured.items() if len(sizes)}
    out = found.folder / "accuracy.png"
    figures.draw_accuracy(measured, CLAIMED_ACCURACY, out, source=found.small)
    best = max(scored, key=lambda r: r.heldout_accuracy or 0.0)
    return [Section("Next-word accuracy", (accuracy_verdict(best),), pictures=(out,))]


def accuracy_verdict(best: Record) -> str:
    """The notes' claims beside the best run, in words."""
    claims = ", ".join(f"{share:.0%} at {size:.0e}" for size, share in CLAIMED_ACCURACY.items()).replace("e+", "e")
    said = f"The notes claim {claims} parameters. The best run here, {best.run} with {best.parameters:,} parameters, "
    said += f"finds {best.heldout_accuracy or 0:.1%} of the held-out words. "
    if best.heldout_unigram_accuracy is not None:
        said += f"The most frequent one alone is {best.heldout_unigram_accuracy:.1%} of them. "
    if best.heldout_unknown and best.heldout_known_accuracy is not None:
        said += f"{best.heldout_unknown:.1%} are <unk>; of the others it finds {best.heldout_known_accuracy:.1%}. "
    claim = analysis.claimed_accuracy(best.parameters)
    if math.isnan(claim):
        return said + "Its size is below the smallest of the claims, so they are neither shown nor refuted here."
    verdict = "the claim holds" if (best.heldout_accuracy or 0) >= claim else "the claim does not hold"
    return said + f"At this size they claim {claim:.1%}: {verdict} for this text."


def positions(found: Found) -> list[Section]:
    """Loss by position in the context, of the largest run of each arm."""
    curves, above, text = dict[str, np.ndarray](), dict[str, np.ndarray](), []
    for law in found.laws:
        best = analysis.read_longest(found.of(law.arm))
        if best is None:
            continue
        name = f"{law.arm}, {best.parameters:,} parameters"
        curve = curves[name] = np.array(best.by_position)
        if best.optimum_by_position:  # the difficulty of each place of the text cancels
            curve = above[name] = curve - best.optimum_by_position
        early, late = analysis.gains(curve)
        text.append(
            f"{law.arm}: the loss falls by {early:.3f} nats from token 1 of the context to token {len(curve) // 4}, "
            f"and by {late:.3f} from there to token {len(curve)}."
        )
    if not curves:
        return []
    out = found.folder / "positions.png"
    known = len(above) == len(curves)
    ahead, rest = analysis.behind(curves)
    for name, spans in rest.items():
        parts = ", ".join(f"{nats:+.3f} at tokens {a} to {b}" for a, b, nats in spans)
        text.append(f"{name}, beside {ahead} at the same places: {parts}.")
    beside = "" if known or not rest else ahead
    figures.draw_positions(above if known else curves, out, above=known, beside=beside, source=found.small)
    first = (
        "Kaplan et al. 2020 (Figure 7) find that LSTMs gain nothing beyond fewer than 100 tokens of context, while "
        "transformers improve through all of it."
    )
    return [Section("Loss by position in the context", (first, *text), pictures=(out,))]


def rates(found: Found) -> list[Section]:
    """Loss by learning rate at each size, and what the best rate of the smallest size costs the others."""
    if not found.study.rates:
        return []
    first = ["arm", "parameters", "without emb.", "tokens", "rates", "best", "loss there", "at an end", "regret"]
    rows = [[*first, "at most"]]
    panels: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    left = []
    for (arm, tokens), sizes in tried(found.made).items():
        rate = float(sizes[0].rates[sizes[0].best])
        left += [left_rates(f"{arm}, {size.parameters:,} parameters, {tokens:,} tokens", size) for size in sizes]
        for size in sizes:
            own = [arm, f"{size.parameters:,}", f"{size.without_embeddings:,}", f"{tokens:,}", str(len(size.rates))]
            best = [f"{size.rates[size.best]:.2g}", f"{size.losses[size.best]:.4f}"]
            edge = "no" if not size.at_an_end else "yes, of those that count" if size.wider else "yes: widen it"
            most = "" if size is sizes[0] else _text(size.most_regret(rate), ".2%") or "-"
            regrets = [f"{size.regret(rate):.2%}", most]
            rows.append([*own, *best, edge, *regrets])
            curves = panels.setdefault(f"{arm}, {tokens:,} tokens", {})
            curves[f"{size.parameters:,} parameters"] = size.rates, size.losses
    out = found.folder / "rates.png"
    figures.draw_rates(panels, out, source=found.small)
    text = (
        "Regret: the loss at the best rate of the arm's smallest size over the lowest loss of this size, less 1. "
        "Losses are means over the seeds. At most: the regret among the rates tried is below this with 95 % "
        "confidence, by Student's t of the difference in loss between two rates, seed by seed; -: one seed alone, or a "
        "run at that rate diverged. The smallest size has no such limit: its own runs chose the rate."
    )
    return [Section("Learning rate by size", (text, *filter(None, left)), rows, pictures=(out,))]


def left_rates(name: str, size: Tried) -> str:
    """The rates of a size that do not count, with their runs; empty without any."""
    parts = []
    for d in size.dropped:
        lossless = f", of which {', '.join(map(str, d.lossless))} ended without a loss" if d.lossless else ""
        parts.append(f"{d.rate:.3g} ({len(d.seeds)} run(s), of seed(s) {', '.join(map(str, d.seeds))}{lossless})")
    counted = ", ".join(map(str, size.seeds))
    said = f"{name}: {len(parts)} rate(s) left out, for want of the seed(s) {counted} that the others have"
    return f"{said}: {'; '.join(parts)}." if parts else ""


def word_vectors(found: Found) -> list[Section]:
    """Quality of word vectors by dimensions and training words."""
    quality = analysis.vector_quality(found.made)
    if not quality.cells:
        return []
    rows = [["dimensions", "training words", *quality.scores, "words/s", "state MB", "peak so far, MB"]]
    for i, dim in enumerate(quality.dims):
        for j, amount in enumerate(quality.words):
            cell = quality.cells.get((dim, amount))
            if cell:
                scores = [_text(float(grid[i, j]), ".3f") for grid in quality.scores.values()]
                speed = statistics.fmean(r.words_per_second or 0.0 for r in cell)
                peak = max(r.peak_bytes or 0 for r in cell) / 1e6
                costs = [f"{speed:,.0f}", f"{cell[0].parameters * 4 / 1e6:,.1f}", f"{peak:,.0f}"]
                rows.append([str(dim), f"{amount:,.0f}", *scores, *costs])
    out = found.folder / "word_vectors.png"
    shown = dict(list(quality.scores.items())[:4])
    figures.draw_heat(quality.dims, quality.words, shown, out, source=found.small)
    return [Section("Word vectors: dimensions and training words", (), rows, pictures=(out,))]


def _text(value: float | None, form: str) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:{form}}"
