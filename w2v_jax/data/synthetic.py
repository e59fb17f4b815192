"""A synthetic language whose best possible loss is known exactly: its grammar, and text drawn from it.

Sentence s has a hidden topic z, class c and distance d:

    z_1 ~ Uniform(K);   z_s = z_(s-1) with probability 1 - switch, else ~ Uniform(K)
    c ~ Uniform(C);     d ~ Uniform(distances)
    sentence = A fillers, subject, d - 1 fillers, verb, B fillers, mark
    p(A = n) = (1 - q) q^n, q = lead / (1 + lead);   B likewise with `tail`

    filler  ~ shared f(w) + (1 - shared) t_z(w)      f: words of all topics, t_z: words of topic z
    subject ~ n_c(w);   verb ~ v_c(w)                of the same class c, exactly d words apart

Fillers do not depend on c, and the mark ends a sentence. As a hidden Markov model, state: emission -> next state:

    (z, lead):      filler -> (z, lead), q_lead | subject of class c -> (z, c, d), (1 - q_lead) / C / #distances
    (z, c, r > 1):  filler -> (z, c, r - 1)
    (z, c, 1):      verb of class c -> (z, tail)
    (z, tail):      filler -> (z, tail), q_tail | mark -> (z', lead), 1 - q_tail times the switch above

The first state is (z_1, lead). A word type has one kind: f, t (one topic, or two for a word with two senses), n_c, v_c
or the mark. Words have weights rank^-zipf (Zipf 1949). By falling weight, each goes to the kind with the least weight
for its share of running text; within its kind a word's probability is proportional to its weight. So the frequencies of
the whole text follow the weights closely, and each kind has the same power law. A word with two senses gives half its
weight to either topic.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from w2v_jax.config import DataConfig, SyntheticConfig
from w2v_jax.data.raw import END, Hash, RawText
from w2v_jax.errors import UserError

SPLITS = ("train", "heldout", "test")
FULL_STOP = "."  # the mark, where documents have no end token
RULES = 1  # raise it when the same config gives another text
_SENTENCES = 4096  # drawn at a time

FILLER, END_MARK, SUBJECT = 0, 1, 2  # kinds; a subject of class c is SUBJECT + c, a verb SUBJECT + C + c


@dataclasses.dataclass(frozen=True, eq=False)
class Grammar:
    """The language's parameters. V words, K topics, C classes; word 0 is the mark."""

    words: tuple[str, ...]  # [V], the others by falling weight
    kinds: np.ndarray  # int64 [V]
    emission: np.ndarray  # float64 [K, V], p(w | kind of w, topic): each row sums to 1 over the words of each kind
    two_senses: np.ndarray  # bool [V], words of two topics
    classes: int
    distances: tuple[int, ...]
    lead: float
    tail: float
    switch: float

    @property
    def topics(self) -> int:
        return len(self.emission)


class Sample(NamedTuple):
    """Text of N words with its hidden variables. A sentence ends with a mark (id 0)."""

    ids: np.ndarray  # int32 [N]
    topic: np.ndarray  # int32 [N], of the sentence: the sense of a word with two senses
    distance: np.ndarray  # int32 [N], at a verb the number of words back to its subject, elsewhere 0


# ---- the words ----


def grammar(cfg: SyntheticConfig, mark: str = FULL_STOP) -> Grammar:
    """The language of `cfg`; `mark` is the sentence-final word.

    UserError: too few words for all topics and classes, more words with two senses than topic words, or a mark that is
    a word of the language.
    """
    weights = np.arange(1, cfg.words, dtype=float) ** -cfg.zipf
    weights /= weights.sum()
    roles, member = _allocate(cfg, weights)
    names = _names(roles, member, cfg.classes)
    if mark in names:
        raise UserError(f"data.end_token={mark!r}: is a word of the language; choose another, such as <eos>")
    return Grammar(
        words=(mark, *names),
        kinds=np.concatenate([[END_MARK], np.where(roles < 0, FILLER, roles + SUBJECT)]),
        emission=np.concatenate([np.ones((cfg.topics, 1)), _emission(cfg, weights, roles, member)], axis=1),
        two_senses=np.concatenate([[False], member.sum(1) == 2]),
        classes=cfg.classes,
        distances=cfg.distance_list(),
        lead=cfg.lead,
        tail=cfg.tail,
        switch=cfg.switch,
    )


def _allocate(cfg: SyntheticConfig, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(int [W]: -2 a word of all topics, -1 of some, c a subject of class c, C + c a verb; bool [W, K]: of topic)."""
    fillers = cfg.lead + cfg.tail + float(np.mean(cfg.distance_list())) - 1.0
    of_topic, of_class = [fillers * (1 - cfg.shared) / cfg.topics] * cfg.topics, [1 / cfg.classes] * (2 * cfg.classes)
    kinds = np.array([-2, *[-1] * cfg.topics, *range(2 * cfg.classes)])
    shares = np.array([fillers * cfg.shared, *of_topic, *of_class])
    roles = kinds[_deal(weights, shares, np.ones_like(weights)).argmax(1)]
    topical = np.flatnonzero(roles == -1)
    if cfg.senses > len(topical):
        raise UserError(
            f"data.synthetic.senses={cfg.senses}: only {len(topical)} words belong to topics; give fewer, or more words"
        )
    # Evenly spread over the ranks, exactly `senses` words have two owners.
    owners = 1 + np.diff(np.arange(len(topical) + 1) * cfg.senses // max(len(topical), 1))
    member = np.zeros((len(weights), cfg.topics), bool)
    member[topical] = _deal(weights[topical], np.ones(cfg.topics), owners)
    if set(kinds[shares > 0]) != set(roles) or not member.any(0).all():
        raise UserError(f"data.synthetic.words={cfg.words}: too few, a topic or class got none; give more words")
    return roles, member


def _deal(weights: np.ndarray, shares: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """bool [W, M]: the owners of each word, those with the least sum of weights, with this word, over their share.

    `weights` float64 [W] fall; an owner with 0 of `shares` float64 [M] gets nothing; `owners` [W] share a word evenly.
    """
    given, sums = np.zeros((len(weights), len(shares)), bool), np.zeros(len(shares))
    scale = np.divide(1.0, shares, out=np.full(len(shares), np.inf), where=shares > 0)
    for i, (weight, n) in enumerate(zip(weights.tolist(), owners.astype(int).tolist(), strict=True)):
        to = np.argsort((sums + weight / n) * scale, kind="stable")[:n]
        given[i, to] = True
        sums[to] += weight / n
    return given


def _emission(cfg: SyntheticConfig, weights: np.ndarray, roles: np.ndarray, member: np.ndarray) -> np.ndarray:
    """float64 [K, W], see `Grammar.emission`."""
    own = member.T * weights / member.sum(1).clip(1)
    emission = (1 - cfg.shared) * own / own.sum(1, keepdims=True)
    for role in np.unique(roles[roles != -1]).tolist():
        here = roles == role
        emission[:, here] = (cfg.shared if role == -2 else 1.0) * weights[here] / weights[here].sum()
    return emission


def _names(roles: np.ndarray, member: np.ndarray, classes: int) -> list[str]:
    """f3: of all topics; t2w5: of topic 2; t2t6w1: of topics 2 and 6; n4sg, v4pl: subjects and verbs by class."""
    endings = ["sg", "pl"] if classes == 2 else [f"c{i}" for i in range(classes)]
    seen: dict[tuple[str, str], int] = {}
    names = []
    for role, topics in zip(roles.tolist(), member, strict=True):
        if role >= 0:
            stem, ending = "n" if role < classes else "v", endings[role % classes]
        else:
            stem, ending = "".join(f"t{z}" for z in np.flatnonzero(topics)) + "w" if role == -1 else "f", ""
        number = seen[stem, ending] = seen.get((stem, ending), -1) + 1
        names.append(f"{stem}{number}{ending}")
    return names


# ---- drawing text ----


def sample(g: Grammar, tokens: int, seed: int | tuple[int, ...]) -> Sample:
    """The fewest whole sentences with at least `tokens` words; a longer text begins with the shorter one."""
    return Sample(*(np.concatenate(parts) for parts in zip(*sentences(g, tokens, seed), strict=True)))


def sentences(g: Grammar, tokens: int, seed: int | tuple[int, ...]) -> Iterator[Sample]:
    """The text of `sample`, some thousand sentences at a time."""
    rng = np.random.default_rng(seed)
    topic = -1
    while tokens > 0:
        block = _block(g, rng, topic)
        ends = np.flatnonzero(block.ids == 0) + 1
        stop = int(ends[min(int(np.searchsorted(ends, tokens)), len(ends) - 1)])
        yield Sample(*(part[:stop] for part in block))
        topic, tokens = int(block.topic[-1]), tokens - stop


def _block(g: Grammar, rng: np.random.Generator, topic: int) -> Sample:
    """`_SENTENCES` sentences after one of `topic` (below 0: the first of the text).

    Every draw is one uniform number through an inverse distribution function: of these alone NumPy keeps the stream
    from version to version.
    """
    n = _SENTENCES
    u = rng.random((6, n))
    redrawn = u[0] < g.switch
    redrawn[0] |= topic < 0
    last = np.maximum.accumulate(np.where(redrawn, np.arange(n), -1))
    topics = np.where(last < 0, topic, (u[1] * g.topics).astype(np.int64)[last])
    lead, tail = _geometric(u[2], g.lead), _geometric(u[3], g.tail)
    cls = (u[4] * g.classes).astype(np.int64)
    d = np.array(g.distances)[(u[5] * len(g.distances)).astype(np.int64)]
    length = lead + d + tail + 2
    subject = np.cumsum(length) - length + lead
    kinds = np.full(int(length.sum()), FILLER)
    kinds[subject] = SUBJECT + cls
    kinds[subject + d] = SUBJECT + g.classes + cls
    kinds[np.cumsum(length) - 1] = END_MARK
    distance = np.zeros(len(kinds), np.int32)
    distance[subject + d] = d
    topic_at = np.repeat(topics, length)
    return Sample(_words(g, rng.random(len(kinds)), kinds, topic_at), topic_at.astype(np.int32), distance)


def _geometric(u: np.ndarray, mean: float) -> np.ndarray:
    """int64: n with probability (1 - q) q^n, q = mean / (1 + mean)."""
    return np.floor(np.log1p(-u) / np.log(mean / (1 + mean))).astype(np.int64) if mean else np.zeros(len(u), np.int64)


def _words(g: Grammar, u: np.ndarray, kinds: np.ndarray, topics: np.ndarray) -> np.ndarray:
    """int32 [N]: a word of each kind under each topic."""
    ids = np.zeros(len(u), np.int32)
    groups = kinds * g.topics + topics
    for group in np.unique(groups).tolist():
        kind, z = divmod(group, g.topics)
        here = groups == group
        of_kind = np.flatnonzero((g.kinds == kind) & (g.emission[z] > 0))
        up_to = np.cumsum(g.emission[z, of_kind])
        at = np.searchsorted(up_to, u[here] * up_to[-1], "right")
        ids[here] = of_kind[np.minimum(at, len(of_kind) - 1)]
    return ids


# ---- as a source of text ----


def plan(cfg: SyntheticConfig, split: str) -> tuple[int, tuple[int, int]]:
    """(least number of words of a split's text, its seed), for `sample`. UserError for an unknown split."""
    if split not in SPLITS:
        raise UserError(f"synthetic:{split}: no such split; use {', '.join(SPLITS)}")
    tokens = {"train": cfg.tokens, "heldout": cfg.heldout_tokens, "test": cfg.test_tokens}[split]
    return tokens, (cfg.seed, SPLITS.index(split))


def text(cfg: DataConfig, split: str = "train") -> RawText:
    """The text of one split, one sentence per document.

    The mark is `cfg.end_token`, which the tokeniser puts after each document, or else a full stop in the text. Either
    way the tokens of a corpus are exactly the words of the language. UserError: see `grammar`; an unknown split;
    data.tokens=letters, which would remove the digits; when read, a word that never occurs in a training text.
    """
    tokens, seed = plan(cfg.synthetic, split)
    if cfg.tokens == "letters":
        raise UserError("data.tokens='letters': the words of data.source=synthetic hold digits; set whitespace")
    g = grammar(cfg.synthetic, cfg.end_token or FULL_STOP)
    table = np.array([END if cfg.end_token else f"{FULL_STOP} {END}", *g.words[1:]], object)
    key = json.dumps([RULES, split, cfg.end_token, dataclasses.asdict(cfg.synthetic)])
    stamp = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()

    def chunks(content: Hash) -> Iterator[tuple[str, int]]:
        seen, done = np.zeros(len(g.words), bool), 0
        for block in sentences(g, tokens, seed):
            seen[block.ids] = True
            chunk = " ".join(table[block.ids]) + " "
            content.update(chunk.encode())
            done += len(chunk)
            yield chunk, done
        if split == "train" and not seen.all():
            raise UserError(
                f"data.synthetic.tokens={tokens}: {int((~seen).sum())} of {len(seen)} words never occur, such as "
                f"{g.words[int(np.argmin(seen))]}; give more tokens or fewer words"
            )

    return RawText(f"synthetic {key}", stamp, True, 0, chunks)
