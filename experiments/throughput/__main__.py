"""Tokens per second by length of the text: an LSTM and a transformer of about as many parameters.

  python -m experiments.throughput [--out=runs/throughput] [--lengths=32,128,512,2048]

A recurrent model reads one token after another; a transformer takes all tokens of a text at once. The notes say that
this is about 100 times as fast. The command measures it on this device, by length:

- training: whole steps with AdamW on --tokens tokens, cut into texts of the length;
- prompt: --batch texts of the length, read up to the logits that follow, by the LSTM, by the transformer at once, and
  by the same transformer one token after another with its cache.

Both models have --layers layers and a head that is the embedding. The LSTM's width makes the parameters equal to 1 %,
or as nearly as a width can; the verdict then says by how much they differ. Prints a table and a verdict on the 100;
writes throughput.json and throughput.png into --out. About 4 minutes on 2 cores.
Exit status: 0 measured, whatever the verdict; `experiments.figures throughput` ends with 1 where the claim is missed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from absl import flags

from experiments.common import cli
from experiments.common.machine import cores
from experiments.throughput.cells import AT_ONCE, LSTM, NEAR, ONE_BY_ONE, Options, measure
from w2v_jax import papers
from w2v_jax.errors import UserError
from w2v_jax.figures import throughput as figure
from w2v_jax.storage import to_path
from w2v_jax.tables import aligned

CLAIM = papers.value("notes", "all at once, beside one after another")
LOW, HIGH = figure.ABOUT
EQUAL = "of equal parameters"
# Comparisons: (work, the faster way, the slower way, two phrases of a sentence).
RATIOS = {
    "training_by_lstm": ("training", AT_ONCE, LSTM, "trains on texts", f"as the LSTM {EQUAL}"),
    "prompt_by_lstm": ("prompt", AT_ONCE, LSTM, "reads a prompt", f"as the LSTM {EQUAL}"),
    "prompt_by_itself": ("prompt", AT_ONCE, ONE_BY_ONE, "reads a prompt at once", "as one token after another"),
}


def of_lengths(words: Sequence[str]) -> tuple[int, ...]:
    """The numbers of --lengths. UserError: a word that is no number."""
    if not all(word.strip().isdecimal() for word in words):
        raise UserError(f"--lengths={','.join(words)!r}: must be rising numbers of at least 2 such as 32,128,512")
    return tuple(map(int, words))


def judge(largest: float) -> str:
    """'holds' where the ratio is between LOW and HIGH, else 'less' or 'more'."""
    return "less" if largest < LOW else "more" if largest > HIGH else "holds"


def verdicts(found: Mapping[str, Any], lengths: Sequence[int]) -> dict[str, dict[str, Any]]:
    """For each of RATIOS the ratio of speeds by length; the largest, its length, and the verdict on CLAIM there."""
    out = {}
    for name, (work, fast, slow, _, _) in RATIOS.items():
        speeds = [[cell["tokens_per_second"] for cell in found[work][way]] for way in (fast, slow)]
        by_length = {n: quick / long for n, quick, long in zip(lengths, *speeds, strict=True)}
        at = max(by_length, key=lambda n: by_length[n])
        out[name] = {
            "ratios": {str(n): r for n, r in by_length.items()},
            "largest": by_length[at],
            "length": at,
            "verdict": judge(by_length[at]),
        }
    return out


def sentence(name: str, verdict: Mapping[str, Any], parameters: Mapping[str, int]) -> str:
    """One verdict in words; `parameters` of both models."""
    _, _, _, does, what = RATIOS[name]
    apart = parameters[LSTM] / parameters[AT_ONCE] - 1.0
    if abs(apart) > NEAR:
        what = what.replace(EQUAL, f"with {abs(apart):.1%} {'more' if apart > 0 else 'fewer'} parameters")
    end = {"holds": "it holds here", "less": "not here", "more": "more than that here"}[verdict["verdict"]]
    times = f"{verdict['largest']:.{2 if verdict['largest'] < 10 else 0}f}"
    return (
        f"On this device the transformer {does} of {verdict['length']:,} tokens {times} times as fast {what}; "
        f"the notes say about {CLAIM:g}: {end}."
    )


def tables(options: Options, found: Mapping[str, Any], judged: Mapping[str, Any]) -> str:
    """Tokens/s and ratios by length, of training and of prompts."""
    training = [["training, tokens/s", "texts", LSTM, AT_ONCE, "by LSTM"]]
    prompt = [["prompt, tokens/s", LSTM, "one by one", AT_ONCE, "by LSTM", "by one by one"]]
    for i, n in enumerate(options.lengths):
        rates = {
            work: {name: f"{cells[i]['tokens_per_second']:,.0f}" for name, cells in found[work].items()}
            for work in ("training", "prompt")
        }
        times = {name: f"{verdict['ratios'][str(n)]:.2f}" for name, verdict in judged.items()}
        cells = [rates["training"][name] for name in (LSTM, AT_ONCE)]
        training.append([f"{n:,}", str(options.rows(n)), *cells, times["training_by_lstm"]])
        cells = [rates["prompt"][name] for name in (LSTM, ONE_BY_ONE, AT_ONCE)]
        prompt.append([f"{n:,}", *cells, times["prompt_by_lstm"], times["prompt_by_itself"]])
    return f"{aligned(training)}\n\n{aligned(prompt)}"


def facts(options: Options, found: Mapping[str, Any]) -> str:
    """Sizes and device on one line."""
    size, device, machine = found["parameters"], found["device"], found["machine"]
    name = device["kind"] if device["platform"] != "cpu" else f"{cores(machine['cores_used'])} of {machine['cpu']}"
    return (
        f"{name}; {options.layers} layers; transformer {options.dim} wide, {size[AT_ONCE]:,} parameters, "
        f"{options.dtype}; LSTM {found['lstm_hidden']} wide, {size[LSTM]:,} parameters, float32"
    )


def main(argv: Sequence[str]) -> int:
    """Measures, prints, writes; returns the exit status."""
    options = cli.options(Options, lengths=of_lengths(flags.FLAGS.lengths))
    out = cli.for_several("out", to_path(flags.FLAGS.out))
    out.mkdir(parents=True, exist_ok=True)
    found = measure(options)
    judged = verdicts(found, options.lengths)
    command = cli.command("experiments.throughput")
    lines = [sentence(name, verdict, found["parameters"]) for name, verdict in judged.items()]
    print("\n\n".join([facts(options, found), tables(options, found, judged), "\n".join(lines)]))
    about = {"command": command, "options": dataclasses.asdict(options), "claim": CLAIM, "about": [LOW, HIGH]}
    drawn = figure.panels(found, options.tokens, options.batch)
    paint = partial(figure.draw, options.lengths, drawn, source=f"{facts(options, found)}; {command}")
    cli.write_results(out / "throughput.json", about | found | {"verdicts": judged}, out / "throughput.png", paint)
    return 0


if __name__ == "__main__":
    cli.define_options(Options)
    flags.DEFINE_string("out", "runs/throughput", "Folder of throughput.json and throughput.png.")
    cli.run(main, by_first=True)
