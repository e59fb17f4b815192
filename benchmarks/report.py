"""Measured runs -> the benchmark's figures, gates and tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.settings import DATA_WAIT_GATE, QUALITY_GATES, TESTS, Setting

Record = Mapping[str, Any]
Runs = Mapping[tuple[str, int], Record]  # (side, seed) -> its training, or its quality


def speed(setting: Setting, runs: Runs, words: int) -> dict[str, Any] | None:
    """Speed, memory and times apart of one setting; None before one pair is measured.

    words/s = words x passes / seconds on both sides. A ratio is that of one pair of runs (same seed, one after the
    other); the median over pairs is what the gate is held against.

    Args:
      runs: trainings of both sides by seed.
      words: of the text.
    """
    seeds = [seed for side, seed in runs if side == "ours" and ("gensim", seed) in runs]
    if not seeds:
        return None
    both = {side: [runs[side, seed] for seed in seeds] for side in ("ours", "gensim")}
    rate = {side: [words * r["key"]["passes"] / r["seconds"] for r in found] for side, found in both.items()}
    ratios = [a / b for a, b in zip(rate["ours"], rate["gensim"], strict=True)]

    def middle(side: str, name: str) -> float:
        return statistics.median(r[name] for r in both[side])

    memory = {side: middle(side, "peak_mb") for side in both}
    return {
        "pairs": len(seeds),
        "words_per_second": {side: statistics.median(values) for side, values in rate.items()},
        "all_words_per_second": rate,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "gate": setting.speed_gate,
        "aim": setting.speed_aim,
        "pass": statistics.median(ratios) >= setting.speed_gate,
        "peak_mb": memory,
        "memory_ratio": memory["ours"] / memory["gensim"],
        "data_wait": middle("ours", "data_wait"),
        "data_wait_pass": middle("ours", "data_wait") < DATA_WAIT_GATE,
        "compile_seconds": middle("ours", "compile_seconds"),
        "vocabulary_seconds": middle("gensim", "vocabulary_seconds"),
        "vocabulary": {side: found[0]["vocabulary"] for side, found in both.items()},
    }


def quality(runs: Runs) -> dict[str, Any] | None:
    """Mean scores of both sides over the seeds that both have, by test, and the gates; None without any."""
    seeds = [seed for side, seed in runs if side == "ours" and ("gensim", seed) in runs]
    if not seeds:
        return None
    out: dict[str, Any] = {}
    for test in TESTS:
        scores = {side: [runs[side, seed]["scores"].get(test) for seed in seeds] for side in ("ours", "gensim")}
        if any(score is None for found in scores.values() for score in found):
            continue
        ours, peer = (statistics.fmean(scores[side]) for side in ("ours", "gensim"))
        gate = -QUALITY_GATES[test] if test in QUALITY_GATES else None
        out[test] = {
            "ours": ours,
            "gensim": peer,
            "difference": ours - peer,
            "seeds": len(seeds),
            "all": scores,
            "gate": gate,
            "pass": gate is None or ours - peer >= gate,
        }
    return out


def failed(summary: Mapping[str, Any]) -> list[str]:
    """One line for each gate that a measured setting fails."""
    out = []
    for name, entry in summary["settings"].items():
        if entry["speed"] and not entry["speed"]["pass"]:
            out.append(f"{name}: speed {entry['speed']['ratio']:.2f} times gensim's, below {entry['speed']['gate']:g}")
        if entry["speed"] and not entry["speed"]["data_wait_pass"]:
            out.append(f"{name}: data wait {entry['speed']['data_wait']:.1%}, not below {DATA_WAIT_GATE:.0%}")
        for test, score in (entry["quality"] or {}).items():
            if not score["pass"]:
                out.append(f"{name}: {test} {score['difference']:+.3f} from gensim's, below {score['gate']:+.2f}")
    return out


def markdown(summary: Mapping[str, Any]) -> str:
    """The whole report as markdown that also reads well as plain text."""
    text, host = summary["text"], summary["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in host["versions"].items())
    lines = [
        f"Text: {text['words']:,} words in {text['lines']:,} lines, {summary['passes']} passes. "
        f"Machine: {host['cores_used']} of {host['cores']} cores, {host['cpu']}, {host['memory_gib']} GiB; "
        f"Python {host['python']}, {versions}.",
        "",
        _speed_table(summary["settings"]),
        "",
        _apart_table(summary),
    ]
    quality_rows = _quality_rows(summary["settings"])
    if quality_rows:
        heading = ["setting", "test", "ours", "gensim", "difference", "gate", "pass"]
        lines += ["", _table([heading, *quality_rows], left=2)]
    failures = failed(summary)
    lines += ["", "Gates: " + ("all that were measured pass." if not failures else "FAILED"), *failures]
    return "\n".join(lines) + "\n"


def _speed_table(settings: Mapping[str, Any]) -> str:
    rows = [["setting", "ours words/s", "gensim words/s", "ratio", "spread", "pairs", "gate", "aim", "pass"]]
    for name, entry in settings.items():
        s = entry["speed"]
        if s is None:
            rows.append([name, *["-"] * 8])
            continue
        rate = s["words_per_second"]
        gate, aim = (f"{s[k]:g}" if s[k] else "-" for k in ("gate", "aim"))
        spread = f"{min(s['ratios']):.2f} to {max(s['ratios']):.2f}"
        verdict = _verdict(s["pass"]) if s["gate"] else "-"
        counts = [f"{rate['ours']:,.0f}", f"{rate['gensim']:,.0f}", f"{s['ratio']:.2f}", spread, str(s["pairs"])]
        rows.append([name, *counts, gate, aim, verdict])
    return _table(rows)


def _apart_table(summary: Mapping[str, Any]) -> str:
    rows = [
        [
            *("setting", "ours peak MiB", "gensim peak MiB", "ratio", "data wait", "below 3 %"),
            *("compile s", "our corpus s", "gensim vocabulary s"),
        ]
    ]
    corpus = summary["corpus"]["seconds"] if summary["corpus"] else None
    for name, entry in summary["settings"].items():
        s = entry["speed"]
        if s is None:
            rows.append([name, *["-"] * 8])
            continue
        memory = [f"{s['peak_mb']['ours']:,.0f}", f"{s['peak_mb']['gensim']:,.0f}", f"{s['memory_ratio']:.2f}"]
        wait = [f"{s['data_wait']:.2%}", _verdict(s["data_wait_pass"])]
        apart = [f"{s['compile_seconds']:.1f}", "-" if corpus is None else f"{corpus:.1f}"]
        rows.append([name, *memory, *wait, *apart, f"{s['vocabulary_seconds']:.1f}"])
    return _table(rows)


def _quality_rows(settings: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, entry in settings.items():
        for test, s in (entry["quality"] or {}).items():
            gate, verdict = ("-", "-") if s["gate"] is None else (f"{s['gate']:+.2f}", _verdict(s["pass"]))
            rows.append(
                [name, test, f"{s['ours']:.3f}", f"{s['gensim']:.3f}", f"{s['difference']:+.3f}", gate, verdict]
            )
    return rows


def _verdict(ok: bool) -> str:
    return "yes" if ok else "NO"


def _table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A padded markdown table; the first `left` columns are flush left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i < left else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])
