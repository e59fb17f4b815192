"""The table of `tests/test_bad_table.py`: bad configs, texts, tables, vectors, run folders and labels.

{h} is the folder that `tests.bad_files.files` fills, {c} the folder of the configs. A command line is cut as a shell
would; beside it stands what the one line must say.
"""

from __future__ import annotations

from tests.bad_commands import LABELLED, OTHERS, TRAIN
from tests.bad_documents import DOCUMENTS

FIT = "experiments.scaling --workdir={h}/out --fit={h}/"
# Overrides of {c}/skipgram.py, and what the line says beside the key.
OVERRIDES = {
    "model.window=0": "must be at least 1",
    "model.window=100000000": "must be at most 100",
    "model.dim=0": "must be at least 1",
    "model.dim=-5": "must be at least 1",
    "model.dim=many": "of type int",
    "model.dim=2.5": "of type int",
    "model.dim=99999999999": "would need at least .* TB of memory .parameters 819 TB., and this machine has",
    "model.dim=99999999999999999999": "between -2..63 and 2..63",
    "model.shared_negatives=1000000000000": "would need at least .* of memory .the vectors of a step",
    "model.shared_negatives=100000000000": "would need at least",
    "model.noise_every=3": "must be a divisor of model.segment=32",
    "model.noise_dtype=float16": "must be one of float32, bfloat16",
    "model.gradient_dtype=half": "must be one of float32, bfloat16",
    "model.gradient_dtype=bfloat16 --config.model.loss=hierarchical": "needs model.loss=negative, not hierarchical",
    "model.dmi=9": "did you mean 'model.dim'.",
    "modle.dim=9": "did you mean 'model.dim'.",
    "model.loss=negativ": "did you mean 'negative'",
    "model.window_draw=(((((": "must be one of auto, expected",
    "model.vocab_size=99999999999": "would need at least",
    "train.passes=-1": "must be above 0",
    "train.passes=nan": "must be a finite number",
    "train.passes=inf": "must be a finite number",
    "train.batch_size=100": "model.segment=32",
    "train.batch_size=128000000000": "would need at least .* of memory .the batches of a call",
    "train.steps_per_call=100000000000": "would need at least .* of memory .the batches of a call",
    "train.accumulate=3": "does not divide",
    "train.seed=-1": "from 0 to",
    "train.max_steps=-1": "0 .no limit. or more",
    "optimizer.learning_rate=0": "must be above 0",
    "optimizer.learning_rate=1e300": "must be above 0 and below 1e38",
    "optimizer.warmup_steps=99999999999": "must be at most 2147483647",
    "optimizer.schedule=liner": "did you mean 'linear'",
    "optimizer.decay_fraction=0": "must be between 0.0001 and 1",
    "optimizer.eps=inf": "must be a finite number",
    "data.source=lorem": "text:GLOB",
    "data.source=synthetik": "synthetic",
    "data.source=text:": "name a file, a folder or a glob",
    "data.min_count=0": "must be at least 1",
    "data.heldout_every=1": "0 or above 1",
    "data.tokens=bpe --config.data.max_vocab=999999999999": "at most 1000000 for bpe",
    "data.end_token=<unk>": "not <unk>",
    "train.start={h}/none": "no such file or folder",
    "data.phrases=-1": "0 or more",
    "data.phrases=99": "at most 10",
    "data.phrases=1 --config.data.tokens=characters": "it is for words",
    "data.phrase_score=pmi": "did you mean 'npmi'",
    "data.phrase_score=npmi --config.data.phrase_threshold=3": "below 1 for npmi",
    "data.stop_words={h}/none.txt": "no such file",
    "data.tokens=python:cut": "python:MODULE:FUNCTION",
    "data.tokens=python:no_such_module_here:cut": "cannot import",
    "data.tokens=json:{h}/text.txt": "no tokenizer.json",
    "data.vocabulary_from={h}/none": "no run folder",
    "data.synthetic.tokens=1000000000000000": "must be at most 10000000000",
    "data.synthetic.words=1000000000000": "must be at most 1000000",
    "data.synthetic.distances=(((((": "rising numbers",
    "log.tensorboard=perhaps": "of type bool",
    "checkpoint.keep=0": "must be at least 1",
    "mesh.data=16": "8 devices",
    "mesh.data=8": "train.batch_size=128",
    "mesh.model=3": "does not divide the 8 devices",
    "family=word3vec": "did you mean 'word2vec'",
}
SOURCES = {
    "none.txt": "no such file or folder",
    "*.none": "matches no file",
    "loop_a": "Too many levels of symbolic links",
    "dangling": "No such file",
    "circle/**": "again: a link to a folder that it lies in",
    "empty.txt": "the file is empty",
    "nul.txt": "binary file .NUL at byte 11.",
    "latin.txt": "not UTF-8 at byte 2",
    "mac.txt": "its lines end in carriage returns alone; convert them first",
    "once.txt": "no word occurs that often",
    "one.txt": "one document, and none can be held out",
    "digits.txt": "no word found under data.tokens='words'",
    "long.txt": "more than 16,777,216 characters without white space",
    "bomb.txt.gz": "more than 16,777,216 characters without white space",
    "bomb.txt.xz": "more than 16,777,216 characters without white space",
    "cut.txt.gz": "damaged or truncated compressed file",
    "not.txt.xz": "damaged or truncated compressed file",
    "text.zst": "damaged or truncated compressed file",
    "text.bz2": "damaged or truncated compressed file",
    "text.zip": "damaged or truncated compressed file",
    "text.7z": ".7z files are not read",
}
TABLES = {
    "none.csv": "no such file",
    "empty.csv": "the file is empty",
    "mac.csv": "carriage returns alone",
    "deep.jsonl": "line 1: not JSON",
    "list.jsonl": "line 1: not an object",
    "huge.jsonl": "is not a number",
    "no_loss.csv": "no column 'heldout_loss' or 'loss'",
    "doubled.csv": "column 'loss' appears twice",
    "short.csv": "line 2: 2 fields, the header has 3",
    "word.csv": "line 2: column 'loss': 'low' is not a number",
    "minus.csv": "line 2: column 'tokens': -2 is not a positive number",
    "endless.csv": "not a positive number",
    "runs.txt": "must end in .csv or .jsonl",
    "few.jsonl --drop_fewest_tokens_per_parameter=5": "cannot drop 5 of 1 run",
}
VECTORS = {
    "none.bin": "no such file or folder",
    "empty.txt": "the file is empty",
    "nan.txt": "line 2: vector of 'a': a NaN",
    "short.vec": "truncated",
    "wide.vec": "more than 2 numbers in every line, but 2 were expected",
    "wordy.vec": "'x' is not a number",
    "header.vec": "header '99999999999 99999999'",
    "cut.bin": "truncated",
    "more.bin": "more data after the header's 16 words",
    "words.model": "not a format read here",
    "text.zst": "packed in a way that is not read here",
    "lm": "is a run folder; use w2v_jax.load, or --workdir=",
    "loop_a": "no such file or folder",
}
FOLDERS = {  # of runs
    "deep": "config.json: not a JSON object .nested too deep.; restore it",
    "deep_value": "model=.*: must be a group of keys",
    "surrogate": "must be text in UTF-8",
    "strange": "did you mean 'dim'",
    "no_family": "config has no family",
    "no_json": "config.json: not a JSON object",
}
CONFIGS = {
    "none_such.py": "no such config file",
    "syntax.py": "SyntaxError",
    "import.py": "no_such_module",
    "none.py": "has no get_config",
    "raises.py": "division by zero",
    "loop_a": "no such config file",
}
LABELS = {
    "one_label.tsv": "all training texts have label 1",
    "label.tsv": "label 'x' is no integer",
    "outside.tsv": "label 7 is outside 0..1",
    "no_tab.tsv": "no tab",
    "empty_text.tsv": "holds one text, and none can be held out",
    "mac.tsv": "carriage returns alone",
    "nul.tsv": "holds a NUL",
    "none.tsv": "matches no file",
    "bomb.tsv.gz": "the line is longer than 16,777,216 bytes",
    "circle/**": "again: a link to a folder that it lies in",
}


def cases() -> list[tuple[str, str]]:
    """(command line, what the line must say), all of them."""
    found = [(f"{TRAIN} --config.{key}", part) for key, part in OVERRIDES.items()]
    found += [(f"{TRAIN} --config.data.source='text:{{h}}/{name}'", part) for name, part in SOURCES.items()]
    found += [(f"{FIT}{name}", part) for name, part in TABLES.items()]
    found += [(f"experiments.neighbours --vectors={{h}}/{name} dog", part) for name, part in VECTORS.items()]
    found += [(f"{LABELLED} --train='tsv:{{h}}/{name}'", part) for name, part in LABELS.items()]
    for command in ("train", "demo", "launch.preflight"):
        flag = "--demo_config" if command == "demo" else "--config"
        module = command if "." in command else f"experiments.{command}"
        found += [(f"{module} {flag}={{h}}/{name} --workdir={{h}}/out", part) for name, part in CONFIGS.items()]
    for name, part in FOLDERS.items():
        found += [(f"experiments.{c} --workdir={{h}}/{name}", part) for c in ("evaluate", "generate", "inspect")]
        found.append((f"{TRAIN} --workdir={{h}}/{name}", part))
    return found + [
        (f"{command} {words}", part) for command, each in (OTHERS | DOCUMENTS).items() for words, part in each.items()
    ]
