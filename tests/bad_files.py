"""What the commands of `tests/bad_inputs.py` read: a little that is good, and much that is not."""

from __future__ import annotations

import gzip
import json
import lzma
import os
from pathlib import Path

import numpy as np

from tests.commands import text_of
from tests.examples import saved
from w2v_jax.embeddings import Embeddings, save

DEEP = "[" * 200_000
RUNS = '{"parameters": 1000, "tokens": 20000, "loss": 3.5}\n'
BOMB = b"a" * (96 << 20)


def files(h: Path) -> None:
    """Fills a folder with what the commands of the table read: little that is good, and much that is not."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(12)] + ["dog", "good", "won", "the"]
    save(Embeddings(words, rng.normal(0, 1, (16, 4)).astype(np.float32), np.arange(16, 0, -1)), h / "vec", "native")
    save(Embeddings(words, rng.normal(0, 1, (16, 4)).astype(np.float32)), h / "vec/vectors.bin", "binary")
    saved(h / "lm", "recurrent_lm", layers=1, dim=8, hidden=8, length=16)
    saved(h / "gpt", "transformer", layers=1, dim=8, heads=2, length=16)
    for name, content in {
        "text.txt": text_of(900),
        "good.tsv": "0\tw1 w2\n1\tw3 w4\n" * 9,
        "one_label.tsv": "1\tw1 w2\n" * 9,
        "label.tsv": "x\tw1 w2\n",
        "outside.tsv": "7\tw1 w2\n",
        "no_tab.tsv": "1 w1 w2\n",
        "empty_text.tsv": "1\t  \n",
        "docs.txt": "ba be bi\nbe bi bo\nbo ba bu\n" * 9,
        "labelled.tsv": "".join(f"{i % 2}\tw{i % 9} w{i % 5} w{i * i % 7}\n" for i in range(60)),
        "blank.tsv": "0\t \n1\t  \n" * 9,
        "named.tsv": "ham\tw1 w2\nspam\tw2 w3\n" * 9,
        "eggs.tsv": "eggs\tw1 w2\n",
        "mixed.jsonl": '{"text": "w1", "label": 1}\n[1]\n',
        "no_label.jsonl": '{"text": "w1 w2"}\n',
        "pairs.tsv": "".join(f"{i % 2}\tw{i % 9} w1\tw{i * 7 % 11} w3\n" for i in range(60)),
        "one_side.tsv": "SAME\tw1 w2\n" * 9,
        "no_second.tsv": "SAME\tw1 w2\t \n" * 9,
        "no_first.tsv": "SAME\t\tw1 w2\n" * 9,
        "maybe.tsv": "MAYBE\tw1\tw2\n" * 9,
        "grades.tsv": "9\tw1\tw2\n" * 9,
        "nan_grade.tsv": "nan\tw1\tw2\n" * 9,
        "all_same.tsv": "".join(f"SAME\tw{i % 9}\tw{i % 7}\n" for i in range(40)),
        "strangers.tsv": "SAME\tzz\tyy\nDIFFERENT\tyy\tzz\n" * 20,
        "senses.tsv": "w1\ta\t0\tw1 w2\nw1\tb\t1\tw3 w1\n" * 9,
        "sense_out.tsv": "w1\ta\t2\tw1 w2\n",
        "sense_word.tsv": "w1\ta\t1\tw1 dog\n",
        "sense_one.tsv": "w1\ta\t0\tw1 w2\n" * 9,
        "sense_forms.tsv": "w1\ta\t0\tw1 w2\nW1\tb\t0\tw1 w3\n",
        "sense_short.tsv": "w1\ta\tw1 w2\n",
        "mac.tsv": "1\tw1\r0\tw2\r",
        "nul.tsv": "1\tw\0\n",
        "mac.txt": "one two\rtwo one\rtwo three\r",
        "mac.csv": "parameters,tokens,loss\r1000,20000,3.5\r",
        "once.txt": "each word is here once only\nlike all of these\n",
        "one.txt": "one document and one line of one document",
        "digits.txt": "1 2 3\n4 5 6\n",
        "empty.txt": "",
        "deep.jsonl": DEEP + "\n",
        "deep.json": DEEP,
        "list.json": "[1]",
        "words.json": '{"a": [1]}',
        "empty.csv": "",
        "no_loss.csv": "parameters,tokens\n1,2\n",
        "doubled.csv": "loss,loss,parameters,tokens\n1,1,1,1\n",
        "short.csv": "parameters,tokens,loss\n1,2\n",
        "word.csv": "parameters,tokens,loss\n1,2,low\n",
        "minus.csv": "parameters,tokens,loss\n1,-2,3\n",
        "endless.csv": "parameters,tokens,loss\n1,2,inf\n",
        "huge.jsonl": RUNS.replace("1000", "1" + "0" * 400),
        "few.jsonl": RUNS,
        "list.jsonl": "[1, 2]\n",
        "runs.txt": RUNS,
        "sim_nan/similarity/a.tsv": "dog\tgood\tnan\n",
        "sim_inf/similarity/a.tsv": "dog\tgood\tinf\n",
        "sim_word/similarity/a.tsv": "dog\tgood\thigh\n",
        "sim_two/similarity/a.tsv": "dog\tgood\n",
        "sim_empty/readme": "nothing",
        "nan.txt": "2 2\na 1 nan\nb 1 2\n",
        "short.vec": "3 2\na 1 2\nb 1 2\n",
        "wide.vec": "2 2\na 1 2 3\nb 1 2 3\n",
        "wordy.vec": "2 2\na 1 x\nb 1 2\n",
        "header.vec": "99999999999 99999999\n",
        "words.model": "gensim",
        "syntax.py": "def get_config(:\n",
        "import.py": "import no_such_module\n",
        "none.py": "x = 1\n",
        "raises.py": "def get_config():\n    return 1 / 0\n",
        "deep/config.json": DEEP,
        "deep_value/config.json": '{"family": "word2vec", "model": ' + "[" * 500 + "]" * 500 + "}",
        "surrogate/config.json": json.dumps({"family": "word2vec", "model": {"loss": "\ud800"}}),
        "strange/config.json": '{"family": "word2vec", "model": {"dmi": 3}}',
        "no_family/config.json": "{}",
        "no_json/config.json": "{",
        "deep_record/wiki_map.json": DEEP,
        "deep_rows/metrics.jsonl": DEEP + "\n",
        "deep_scores/evaluation.json": DEEP,
        "file": "",
    }.items():
        path = h / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    _bytes(h)


def _bytes(h: Path) -> None:
    """Files that are no text, and links."""
    (h / "bomb.txt.gz").write_bytes(gzip.compress(BOMB, 1))
    (h / "bomb.txt.xz").write_bytes(lzma.compress(BOMB, preset=0))
    (h / "bomb.tsv.gz").write_bytes(gzip.compress(b"1\t" + BOMB, 1))
    (h / "long.txt").write_bytes(b"a" * ((1 << 24) + (1 << 21)))
    (h / "nul.txt").write_bytes(b"some words\n\0\1\2 more\n" * 50)
    (h / "latin.txt").write_bytes("grün\n".encode("latin-1") * 50)
    (h / "cut.txt.gz").write_bytes(gzip.compress(b"some words\n" * 999)[:-20])
    (h / "not.txt.xz").write_bytes(b"text")
    for name in ("text.zst", "text.bz2", "text.zip", "text.7z"):
        (h / name).write_bytes(b"(\xb5/\xfd")
    data = (h / "vec/vectors.bin").read_bytes()
    (h / "cut.bin").write_bytes(data[:-9])
    (h / "more.bin").write_bytes(data + b"more")
    os.symlink(h / "loop_b", h / "loop_a")
    os.symlink(h / "loop_a", h / "loop_b")
    (h / "circle").mkdir()
    (h / "circle/a.txt").write_text("some words\n")
    os.symlink(h / "circle", h / "circle/again")
    os.symlink(h / "nowhere", h / "dangling")
