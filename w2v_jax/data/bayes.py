"""The best possible predictions for the synthetic language, by the forward algorithm.

For the hidden Markov model of `synthetic` the forward algorithm (Rabiner 1989) gives p(w_t | w_<t) exactly. Its state
space has the size topics x classes x distances, but the posterior over it is a product and takes O(K) per word:

    p(state | w_<t) = p(z | w_<t) p(r | phase)

The words of the sentence so far fix its phase: before the subject, after the verb, or j words after a subject of class
c, because each word has one kind. In the last of these the number r of words left to the verb has its prior given
d > j, since fillers do not depend on r; and no kind of word depends on the topic. Hence

    p(w_t | w_<t) = p(kind of w_t | phase) sum_z p(z | w_<t) e_z(w_t)
    p(verb | j)   = #{d = j + 1} / #{d > j}
    p(z | w_<=t)  ~ p(z | w_<t) e_z(w_t), then, after a mark, (1 - switch) p(z | w_<=t) + switch / K

with e_z(w) the probability of w among the words of its kind. All in float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from w2v_jax.config import DataConfig, SyntheticConfig
from w2v_jax.data import synthetic
from w2v_jax.data.synthetic import END_MARK, FILLER, SUBJECT, Grammar, Sample
from w2v_jax.errors import UserError

_BYTES = 1 << 25  # of the likelihoods by topic that are looked up at a time


class State(NamedTuple):
    """What is known before the next word, for B lanes."""

    topics: np.ndarray  # float64 [B, K]
    phase: np.ndarray  # int64 [B]: 0 before the subject, 1 after the verb, 2 + c D + j: j words after subject c


@dataclasses.dataclass(frozen=True, eq=False)
class Language:
    """The observer that knows the grammar and has seen the words so far."""

    grammar: Grammar

    @classmethod
    def from_config(cls, cfg: SyntheticConfig, mark: str = synthetic.FULL_STOP) -> Language:
        """The language of `cfg`. Raises UserError as `synthetic.grammar` does."""
        return cls(synthetic.grammar(cfg, mark))

    def generate(self, tokens: int, seed: int | tuple[int, ...]) -> Sample:
        """Whole sentences of at least `tokens` words, as `synthetic.sample`."""
        return synthetic.sample(self.grammar, tokens, seed)

    def start(self, lanes: int = 1) -> State:
        """Before the first word of a text."""
        k = self.grammar.topics
        return State(np.full((lanes, k), 1.0 / k), np.zeros(lanes, np.int64))

    def log_likelihood(self, ids: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """(-log p(w_t | w_<t) of every word, float64 of the shape of `ids`; the state after the last word).

        Their mean is the best possible loss: no model that does not know the text is below it in expectation. `ids` are
        int [N] or [B, N]; `state` is the result of an earlier call, None at the start of a text. UserError: a word that
        cannot follow (with its position), or an id outside the language.
        """
        lanes = self._lanes(ids)
        phase, by_topic, state = self._filter(lanes, self.start(len(lanes)) if state is None else state)
        p = self._automaton[0][phase, self.grammar.kinds[lanes]] * by_topic
        wrong = ~(p > 0)
        if wrong.any():
            at = int(wrong.any(0).argmax())
            word = self.grammar.words[lanes[wrong[:, at].argmax(), at]]
            raise UserError(f"position {at}: {word} cannot follow here; the text is not of this synthetic language")
        return -np.log(p).reshape(np.shape(ids)), state

    def predict(self, ids: np.ndarray, state: State | None = None) -> np.ndarray:
        """p(next word | words so far), float64 [V] for ids [N], [B, V] for ids [B, N]. N may be 0."""
        state = self.log_likelihood(ids, state)[1]
        p = self._automaton[0][state.phase][:, self.grammar.kinds] * (state.topics @ self.grammar.emission)
        return p if np.ndim(ids) == 2 else p[0]

    def topic_posterior(self, ids: np.ndarray, at: np.ndarray, causal: bool = False) -> np.ndarray:
        """p(topic of the word at place `at` of each passage | the words of the passage), float64 [B, K].

        It is the sense of a word with two: no observer of the passage alone is right more often than by its largest
        topic. By the forward-backward algorithm over z, as no kind of word depends on it; a passage starts anywhere,
        where each topic is equally likely. `ids` int [B, N], -1 after the end of a passage; `at` int [B]. With
        `causal` the words after `at` are not read. UserError: an id outside the language.
        """
        ids, at = np.asarray(ids, np.int64), np.asarray(at, np.int64)
        there = ids >= 0
        ids = self._lanes(np.where(there, ids, 0))
        g, places = self.grammar, np.arange(ids.shape[1])[None]

        def run(order: np.ndarray, read: np.ndarray) -> np.ndarray:
            """p(z | the words of `read`, in the order of the places), with the change of topic at their marks."""
            z = np.full((len(ids), g.topics), 1.0 / g.topics)
            for i in order.tolist():
                word, mark = ids[:, i], (ids[:, i] == 0)[:, None]
                after = np.where(
                    mark, (1 - g.switch) * z + g.switch * z.mean(1, keepdims=True), z * g.emission[:, word].T
                )
                z = np.where(read[:, i, None], after / np.maximum(after.sum(1, keepdims=True), 1e-300), z)
            return z

        own = g.emission[:, ids[np.arange(len(ids)), at]].T
        found = own * run(places[0], there & (places < at[:, None]))
        if not causal:
            found = found * run(places[0][::-1], there & (places > at[:, None]))
        return found / found.sum(1, keepdims=True)

    def agreement_accuracy_ceiling(self, text: Sample) -> dict[int, float]:
        """By distance, how often the likeliest class of a verb is right, given the words before it and its kind.

        It is 1.0 as long as every subject has one class; guessing reaches 1 / C.
        """
        phase = self._filter(self._lanes(text.ids), self.start())[0][0]
        first = SUBJECT + self.grammar.classes
        verbs = text.distance > 0
        right = self._automaton[0][phase[verbs], first:].argmax(1) == self.grammar.kinds[text.ids[verbs]] - first
        return {d: float(right[text.distance[verbs] == d].mean()) for d in np.unique(text.distance[verbs]).tolist()}

    def table(self, vocabulary: Sequence[str]) -> np.ndarray:
        """int64 [len(vocabulary)]: the language's id of each word. UserError: the two do not hold the same words."""
        index = {w: i for i, w in enumerate(self.grammar.words)}
        foreign, missing = sorted(set(vocabulary) - set(index)), sorted(set(index) - set(vocabulary))
        if foreign or missing:
            what = f"holds {foreign[0]!r}, no word of the language" if foreign else f"lacks the word {missing[0]!r}"
            raise UserError(
                f"the vocabulary {what}: the optimum needs data.source=synthetic, data.tokens=whitespace, "
                "data.min_count=1 and data.max_vocab=0"
            )
        return np.array([index[w] for w in vocabulary], np.int64)

    # ---- the forward step ----

    @cached_property
    def _automaton(self) -> tuple[np.ndarray, np.ndarray]:
        """(p(kind | phase) float64 [P, 2 + 2 C], the phase that follows int64 [P, 2 + 2 C])."""
        g, longest = self.grammar, max(self.grammar.distances)
        p = np.zeros((2 + g.classes * longest, 2 + 2 * g.classes))
        follows = np.zeros(p.shape, np.int64)
        q_lead, q_tail = g.lead / (1 + g.lead), g.tail / (1 + g.tail)
        p[0, FILLER], p[0, SUBJECT : SUBJECT + g.classes] = q_lead, (1 - q_lead) / g.classes
        p[1, FILLER], p[1, END_MARK], follows[1, FILLER] = q_tail, 1 - q_tail, 1
        for c in range(g.classes):
            first, verb = 2 + c * longest, SUBJECT + g.classes + c
            follows[0, SUBJECT + c] = first
            for j in range(longest):
                hazard = g.distances.count(j + 1) / sum(d > j for d in g.distances)
                p[first + j, [FILLER, verb]] = 1 - hazard, hazard
                follows[first + j, [FILLER, verb]] = first + min(j + 1, longest - 1), 1
        return p, follows

    def _lanes(self, ids: np.ndarray) -> np.ndarray:
        ids = np.atleast_2d(np.asarray(ids)).astype(np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self.grammar.words):
            bad = int(ids[(ids < 0) | (ids >= len(self.grammar.words))][0])
            raise UserError(f"word id {bad}: the synthetic language has the ids 0 to {len(self.grammar.words) - 1}")
        return ids

    def _filter(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray, State]:
        """(phase before each word [B, N], sum_z p(z | w_<t) e_z(w_t) [B, N], the state after the last word)."""
        g, (lanes, n) = self.grammar, ids.shape
        follows, width = self._automaton[1].ravel(), self._automaton[1].shape[1]
        phases, by_topic = np.zeros((n, lanes), np.int64), np.zeros((n, lanes))
        topics, phase, likelihood = state.topics, state.phase, np.ascontiguousarray(g.emission.T)
        step = max(1, _BYTES // (8 * lanes * g.topics))
        for begin in range(0, n, step):
            words = np.ascontiguousarray(ids[:, begin : begin + step].T)
            kinds, e = g.kinds[words], likelihood[words]
            redrawn = g.switch * (kinds == END_MARK)[..., None]
            ends = redrawn.any((1, 2)).tolist()
            # A word that cannot follow gives 0 / 0 here; the caller refuses the result.
            with np.errstate(invalid="ignore", divide="ignore"):
                for t in range(len(words)):
                    phases[begin + t] = phase
                    phase = follows.take(phase * width + kinds[t])
                    topics = topics * e[t]
                    total = by_topic[begin + t] = topics.sum(1)
                    topics /= total[:, None]
                    if ends[t]:
                        topics += redrawn[t] * (1.0 / g.topics - topics)
        return phases.T, by_topic.T, State(topics, phase)


def rivals(cfg: DataConfig, vocabulary: Sequence[str]) -> np.ndarray:
    """For each verb one verb of every other class, which its subject forbids: int64 [C - 1, V], and each other word
    itself.

    The verbs of a class are ranked as the vocabulary of the language is; verb k goes with verb k of the other classes,
    or with the last where a class has fewer. UserError: `vocabulary` is not that of the language.
    """
    language = Language.from_config(cfg.synthetic, cfg.end_token or synthetic.FULL_STOP)
    g, ids = language.grammar, language.table(vocabulary)
    back = np.argsort(ids)  # from the language's id to the vocabulary's
    found = np.tile(np.arange(len(ids)), (g.classes - 1, 1))
    verbs = [back[np.flatnonzero(g.kinds == SUBJECT + g.classes + c)] for c in range(g.classes)]
    for c, own in enumerate(verbs):
        for i in range(g.classes - 1):
            other = verbs[(c + 1 + i) % g.classes]
            found[i, own] = other[np.minimum(np.arange(len(own)), len(other) - 1)]
    return found


def optimum_of_split(
    cfg: DataConfig, split: str, vocabulary: Sequence[str], tokens: np.ndarray
) -> tuple[np.ndarray, Sample]:
    """(the optimal nats of each token of a split, float64 [N]; the split's text with its hidden variables).

    The first token is predicted from the start of a text, the state that follows an end token. `cfg` is the data
    section of the corpus, `vocabulary` its words by id, `tokens` int [N] the split's documents end to end. UserError:
    the tokens are not exactly the text of the synthetic split of this name.
    """
    language = Language.from_config(cfg.synthetic, cfg.end_token or synthetic.FULL_STOP)
    ids = language.table(vocabulary)[tokens]
    text = language.generate(*synthetic.plan(cfg.synthetic, split))
    if not np.array_equal(ids, text.ids):
        raise UserError(
            f"the {split} split is not the text of synthetic:{split}; set data.heldout_source=synthetic:heldout "
            "and data.test_source=synthetic:test, so that nothing is cut out of a text"
        )
    return language.log_likelihood(ids)[0], text
