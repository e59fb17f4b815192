"""Tables of `experiments.word_sense`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common import shares
from experiments.word_sense.seeds import pooled
from w2v_jax.papers import cited, value
from w2v_jax.tables import aligned

THEIRS = ("ELMo", "context2vec", "BERT-large")


def published() -> str:
    """Accuracies of others on Words in Context."""
    found = ", ".join(f"{name} {value('wic', f'cosine and threshold, {name}')}" for name in THEIRS)
    return f"by cosine and threshold, {cited('wic')}, quoted from memory: {found}"


def wic(results: Mapping[str, Any]) -> str:
    """Words in Context."""
    final = "test" in results["pairs"]
    head = ["model", "layers, chosen on train", "train", "dev", "dev, threshold of train", "threshold"]
    rows = [[*head, *(["test"] if final else [])]]
    for row in results["rows"]:
        cells = [
            f"{row['train']:.2%}",
            shares.told(row["dev"], results["pairs"]["dev"]),
            f"{row['dev_by_training_threshold']:.2%}",
        ]
        cells.append("none: SAME" if row["threshold"] is None else f"{row['threshold']:.3f}")
        cells += [shares.told(row["test"], results["pairs"]["test"])] if final else []
        rows.append([row["model"], row["chosen"], *cells])
    scored = [row[name] for row in results["rows"] for name in ("dev", *(["test"] if final else []))]
    sizes = ", ".join(f"{count:,} {name}" for name, count in results["pairs"].items())
    common = ", ".join(f"{name} {share:.1%}" for name, share in results["majority"].items())
    # Results of earlier versions lack the counts.
    twice = ", ".join(f"{count:,} of {name}" for name, count in results.get("also_in_training", {}).items() if count)
    used = "the threshold of dev; it is used once, for this" if final else "(--final)"
    return "\n".join(
        [
            f"Words in Context: {sizes} pairs; always the more frequent answer of train: {common}",
            *([f"also among the training pairs: {twice}"] if twice else []),
            aligned(rows, left=(0, 1)),
            f"train chose layers and mixtures, dev the threshold of column dev, test: {used}; {shares.about(scored)}",
            published(),
        ]
    )


def labelled(results: Mapping[str, Any]) -> str:
    """All labels: scores together and by word."""
    names = list(results["words"])
    head = ["model", "classifier", "micro", "by word", "recall", "macro F1", *names, "folds", "layers, chosen on train"]
    rows, texts = [head], sum(word["test"] for word in results["words"].values())
    for row in results["rows"]:
        cells = [
            shares.told(row["micro"], texts, 1, ""),
            *(f"{100 * row[key]:.1f}" for key in ("words", "recall", "f1")),
        ]
        cells += [f"{100 * w['accuracy']:.1f}/{100 * w['recall']:.1f}" for w in (row["by_word"][n] for n in names)]
        chosen = [f"{100 * row['folds']:.1f}", row["chosen"]] if "chosen" in row else ["-", "-"]
        rows.append([row["model"], row["classifier"], *cells, *chosen])
    counts = ", ".join(
        f"{name} {w['train']:,}/{w['test']:,} of {len(w['senses'])} senses" for name, w in results["words"].items()
    )
    lines = [
        f"training/test occurrences: {counts}",
        aligned(rows, left=(0, 1, len(head) - 1)),
        f"in per cent. micro: right of all {shares.ERROR} over test occurrences ({shares.BRACKETS}); by word: mean "
        "over words of the right; recall: mean over words of the mean recall of their senses; by word: right/recall. "
        "folds: recall of training folds (regression: right of one), which chose the layers",
    ]
    return "\n".join([*lines, *results["notes"]])


def few(rows: Sequence[Mapping[str, Any]], seed: int, notes: Sequence[str] = ()) -> str:
    """A few labels of each sense, with notes on words that have fewer."""
    counts = sorted({row["shots"] for row in rows})
    table = [["model", "classifier", *(f"{count} shots" if count > 1 else "1 shot" for count in counts)]]
    methods = list(dict.fromkeys((row["model"], row["classifier"]) for row in rows))
    for model, classifier in methods:
        found = {r["shots"]: r for r in rows if (r["model"], r["classifier"]) == (model, classifier)}
        cells = []
        for count in counts:
            error = found[count]["recall_error"]
            cells.append(f"{100 * found[count]['recall']:.1f}" + ("" if error is None else f" ± {100 * error:.1f}"))
        table.append([model, classifier, *cells])
    draws = rows[0]["draws"]
    return "\n".join(
        [
            "recall (mean over words of the mean recall of their senses) with a few labels of each sense, in per cent",
            aligned(table, left=(0, 1)),
            f"means of {draws} draws from seed {seed} ± one standard error over draws; all rows have the same draws; "
            "layers by the other words (of the regression, as the nearest centroid chooses them)",
            *notes,
        ]
    )


# ---- over seeds ----

ABOUT = "means over the seeds of a model ± half of the 95 % interval (Student's t); rows without ± are of one run"


def over_seeds(results: Mapping[str, Any]) -> str:
    """Both tables of labelled files with the seeds of a model in one row; empty where no model has several."""
    rows = pooled(results["rows"], ("micro", "words", "recall", "f1"))
    if not any("seeds" in row for row in rows):
        return ""
    shots = pooled(results["few"], ("micro", "recall"))
    counts = sorted({row["shots"] for row in shots})
    few_of = {(row["model"], row.get("classifier"), row["shots"]): row for row in shots}
    head = ["micro", "by word", "recall", "macro F1", *(f"{count} shot{'s' * (count > 1)}" for count in counts)]
    table = [["model", "classifier", "seeds", *head]]
    for row in rows:
        cells = [_cell(row, key) for key in ("micro", "words", "recall", "f1")]
        few_rows = [few_of.get((row["model"], row["classifier"], count)) for count in counts]
        cells += ["-" if found is None else _cell(found, "recall") for found in few_rows]
        table.append([row["model"], row["classifier"], str(row.get("seeds", 1)), *cells])
    return f"in per cent, shots: recall\n{aligned(table, left=(0, 1))}\n{ABOUT}"


def pairs_over_seeds(results: Mapping[str, Any]) -> str:
    """The same of Words in Context."""
    keys = [key for key in ("train", "dev", "dev_by_training_threshold", "test") if key in results["rows"][0]]
    rows = pooled(results["rows"], keys)
    if not any("seeds" in row for row in rows):
        return ""
    head = [{"dev_by_training_threshold": "dev, threshold of train"}.get(key, key) for key in keys]
    table = [["model", "seeds", *head]]
    table += [[row["model"], str(row.get("seeds", 1)), *(_cell(row, key) for key in keys)] for row in rows]
    return f"{aligned(table, left=(0,))}\n{ABOUT}"


def _cell(row: Mapping[str, Any], key: str) -> str:
    """A share in per cent, with the interval over seeds where there are several."""
    half = row.get(f"{key}_interval")
    return f"{100 * row[key]:.1f}" + ("" if half is None else f" ± {100 * half:.1f}")
