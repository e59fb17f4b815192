"""Pairs of posts of 20 Newsgroups: SAME if both are of one group.

Two settings. `seen`: training and test posts are of all groups. `unseen`: the groups are cut in two by the seed; pairs
to train on are of the first part of the groups, test pairs of the other. Posts of the training pairs are always of the
training file, those of the test pairs of the test file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2v_jax.config import DataConfig
from w2v_jax.data.labelled import read_labelled
from w2v_jax.errors import UserError
from w2v_jax.files import write_text

SETTINGS = ("seen", "unseen")
HELD = 10  # one in so many posts of the training file is for the held-out pairs


def read(source: str) -> tuple[list[tuple[str, str]], int]:
    """((group, text) of every post of a file of JSON Lines with the fields group, subject and body, its white space
    joined; how many posts without a word are left out)."""
    cfg = DataConfig(source=source, labels="named", field="subject+body", label_field="group")
    found = read_labelled(source, cfg, None)
    posts = [(found.names[label], " ".join(text.split())) for label, text in found.examples]
    kept = [(group, text) for group, text in posts if text]
    return kept, len(posts) - len(kept)


def draw(posts: list[tuple[str, str]], count: int, rng: np.random.Generator) -> list[str]:
    """`count` lines LABEL<TAB>TEXT<TAB>TEXT, by turns of one group and of two. Groups are equally likely, and so are
    the posts of a group. UserError: fewer than two groups, or a group with one post."""
    groups: dict[str, list[str]] = {}
    for name, text in posts:
        groups.setdefault(name, []).append(text)
    names = sorted(groups)
    few = [name for name in names if len(groups[name]) < 2]
    if len(names) < 2 or few:
        raise UserError(
            f"--newsgroups: needs two groups of two posts at least; {', '.join(few) or 'one group'} has less"
        )
    lines = []
    for i in range(count):
        if i % 2:
            first, second = (names[k] for k in rng.choice(len(names), 2, replace=False))
            texts = [groups[g][rng.integers(len(groups[g]))] for g in (first, second)]
        else:
            group = groups[names[rng.integers(len(names))]]
            texts = [group[k] for k in rng.choice(len(group), 2, replace=False)]
        lines.append("\t".join(["DIFFERENT" if i % 2 else "SAME", *texts]))
    return lines


def make(folder: str, out: Path, count: int, seed: int) -> list[str]:
    """Writes SETTING/{train,dev,test}.tsv into `out`, the same files for the same seed: `count` training pairs, and a
    fifth as many held-out and test pairs. Returns lines about them. UserError: see `read` and `draw`."""
    (train, of_train), (test, of_test) = (read(f"jsonl:{folder}/{name}.jsonl*") for name in ("train", "test"))
    names = sorted({group for group, _ in train})
    rng = np.random.default_rng(seed)
    known = {names[k] for k in rng.permutation(len(names))[: len(names) // 2]}
    said = [f"groups of the unseen setting to train on: {', '.join(sorted(known))}"]
    if of_train or of_test:
        said.append(
            f"left out, as they have no word: {of_train:,} posts of the training file, {of_test:,} of the test file"
        )
    for setting in SETTINGS:
        first = train if setting == "seen" else [post for post in train if post[0] in known]
        last = test if setting == "seen" else [post for post in test if post[0] not in known]
        parts = {
            "train": ([post for i, post in enumerate(first) if i % HELD], count),
            "dev": (first[::HELD], count // 5),
            "test": (last, count // 5),
        }
        for name, (posts, pairs) in parts.items():
            path = out / setting / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, "\n".join(draw(posts, pairs, rng)) + "\n")
            said.append(f"{path}: {pairs:,} pairs of {len(posts):,} posts")
    return said
