"""Typed run configuration.

A config file's `get_config()` returns a frozen `Config`; `w2v_jax.overrides` replaces values in it by key. An unknown
key, a value of the wrong type or an impossible value is a `UserError` before any work starts.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

from w2v_jax.errors import check, check_choice, check_least, check_most, nearest


def score_range(labels: str) -> tuple[float, float] | None:
    """(lowest, highest) score that `data.labels` states, such as 1..5 or 0..1; None where it states no range."""
    low, dots, high = labels.partition("..")
    try:
        found = (float(low), float(high))
    except ValueError:
        return None
    return found if dots and -math.inf < found[0] < found[1] < math.inf else None


def own_tokens(tokens: str) -> bool:
    """Whether `data.tokens` names a tokeniser from outside: python:MODULE:FUNCTION or json:FILE."""
    kind, _, rest = tokens.partition(":")
    module, _, function = rest.rpartition(":")
    return (kind == "json" and bool(rest)) or (kind == "python" and bool(module) and function.isidentifier())


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """A generated language whose best possible loss is known exactly; `w2v_jax.data.synthetic` defines it."""

    words: int = 1000  # word types, including the sentence-final mark
    zipf: float = 1.0  # exponent: the word of rank r has frequency about r**-zipf
    topics: int = 8  # the words of a sentence come from one of them
    switch: float = 0.1  # probability that a sentence draws a new topic
    shared: float = 0.5  # share of fillers (neither subject nor verb) drawn from the words common to all topics
    senses: int = 50  # words that belong to two topics
    classes: int = 2  # of subjects and verbs, which agree
    distances: str = "1,2,4,8,16"  # from subject to verb, equally likely; rising
    lead: float = 1.0  # mean number of fillers before the subject
    tail: float = 4.0  # mean number of fillers after the verb
    tokens: int = 1_000_000  # length of source synthetic; the last sentence is completed
    heldout_tokens: int = 100_000  # length of synthetic:heldout
    test_tokens: int = 100_000  # length of synthetic:test
    seed: int = 0  # of the texts; the language does not depend on it

    def __post_init__(self) -> None:
        check(0 < self.zipf <= 10, "data.synthetic.zipf", self.zipf, "above 0 and at most 10")
        check(0 <= self.switch <= 1, "data.synthetic.switch", self.switch, "between 0 and 1")
        check(0 <= self.shared < 1, "data.synthetic.shared", self.shared, "0 or more and below 1")
        check_least(2, "data.synthetic", self, "classes")
        check_least(1, "data.synthetic", self, "topics", "tokens", "heldout_tokens", "test_tokens")
        check_most(10**6, "data.synthetic", self, "words")
        check_most(10**10, "data.synthetic", self, "tokens", "heldout_tokens", "test_tokens")  # hours to make
        least = 2 * self.classes + self.topics + 2
        need = f"at least {least}: one per topic, class and kind"
        check(self.words >= least, "data.synthetic.words", self.words, need)
        check(0 <= self.senses < self.words, "data.synthetic.senses", self.senses, "0 or more and below words")
        check(self.senses == 0 or self.topics >= 2, "data.synthetic.senses", self.senses, "0 when there is one topic")
        steps = self.distances.split(",")
        valid = all(d.isascii() and d.strip().isdigit() for d in steps) and int(steps[0]) > 0
        valid = valid and all(int(a) < int(b) for a, b in itertools.pairwise(steps)) and int(steps[-1]) <= 4096
        check(valid, "data.synthetic.distances", self.distances, "rising numbers from 1 to 4096 such as 1,2,4")
        check(0 <= self.lead < math.inf, "data.synthetic.lead", self.lead, "0 or more and finite")
        check(0 <= self.tail < math.inf, "data.synthetic.tail", self.tail, "0 or more and finite")
        room = self.lead + self.tail + int(steps[-1])
        check(room > 1, "data.synthetic.tail", self.tail, "above 0: no filler is left")
        check(0 <= self.seed < 2**31, "data.synthetic.seed", self.seed, "from 0 to 2**31 - 1")

    def distance_list(self) -> tuple[int, ...]:
        """`distances` as numbers."""
        return tuple(int(d) for d in self.distances.split(","))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The text, its words and documents, and the held-out part."""

    # pydocs | text:GLOB (also a folder; plain, .gz, .bz2, .xz, .zst, .zip) | tfds:NAME[/CONFIG][@SPLIT] |
    # jsonl:GLOB, each record a document | tsv:GLOB of labelled texts | pairs:GLOB of labelled pairs of texts |
    # synthetic (also synthetic:heldout, synthetic:test: other texts of the same language)
    source: str = "pydocs"
    heldout_source: str = ""  # if set, this is the held-out split, and training uses all of `source`
    test_source: str = ""  # the test split; empty for none
    field: str = "text"  # the text feature of a TFDS data set; text fields of jsonl:, joined by +, as subject+body
    label_field: str = "label"  # of labelled texts of jsonl: and tfds:, and of pairs in JSON Lines
    tfds_split: str = "train"  # of tfds: where source names none
    data_dir: str = ""  # folder of the TFDS record files; empty for the default of TFDS
    offline: bool = True  # never use the network; TFDS data must then be prepared on disk
    cache_dir: str = ""  # token files; empty for $W2V_JAX_CACHE or ~/.cache/w2v_jax
    lowercase: bool = True  # before any tokeniser; characters and bpe keep the text exactly only with False
    # words: letters and marks of any script | letters: runs of a-z, the rule of text8 (with lowercase=False A-Z too) |
    # punctuation: words and single marks | whitespace | characters: code points | bpe: byte-level BPE, trained on the
    # training documents until it has max_vocab tokens | python:MODULE:FUNCTION, which takes a text and returns its
    # tokens | json:FILE of Hugging Face tokenizers. See `w2v_jax.data.words`. A change of FILE, or of the file
    # of FUNCTION, makes the corpus anew; a change of what that file imports does not: take another cache_dir then.
    tokens: str = "words"
    encoding_errors: str = "strict"  # of text that is not UTF-8: strict (refused) | replace (by U+FFFD, counted)
    # Unicode's normal form: nfc | nfkc | none | auto (nfc for words, punctuation and whitespace, else none).
    normalise: str = "auto"
    digits: str = "drop"  # of data.tokens=words: drop | keep (as letters)
    document: str = "line"  # documents are: line | blank (separated by empty lines) | file
    # A token such as <eos> after every document of every split, in the vocabulary for any min_count and max_vocab. With
    # document=line an empty line is then a document too, as in the usual counts of WikiText.
    end_token: str = ""
    min_count: int = 5  # rarer words are outside the vocabulary; not for bpe
    max_vocab: int = 0  # keep only the most frequent words; 0 keeps all; bpe: size of the vocabulary, with end_token
    skip_top: int = 0  # leaves out the most frequent words, so many: a stop list for any language; not for bpe
    stop_words: str = ""  # text file of words, one a line, that are outside the vocabulary; empty for none
    # A run folder, or its vocab.txt: its words stay in the vocabulary however rare, without those that stop_words and
    # skip_top leave out; its counts are added; and its phrases, where it has some, are joined in the place of
    # data.phrases. For going on with a model on new text, see train.start.
    vocabulary_from: str = ""
    phrases: int = 0  # passes that join frequent pairs of words, as new_york; more passes make longer phrases
    phrase_score: str = "word2phrase"  # word2phrase | npmi; `w2v_jax.data.phrases` has the formulas
    # Pairs with a higher score are joined. 0 is no threshold: it stands for 100 with word2phrase, for 0.5 with npmi;
    # a tiny one such as 1e-12 joins all pairs above 0.
    phrase_threshold: float = 0.0
    phrase_min_count: int = 5  # pairs that occur less often are not joined
    unknown: str = "drop"  # words outside the vocabulary: drop | keep (as <unk>) | error (stops at the first one)
    # Reading `source` ends with the document that brings the training documents to so many tokens; 0 reads all. Byte
    # pairs are then made from as many words.
    tokens_limit: int = 0
    bpe_words: int = 0  # byte pairs are made from the first so many words of the training documents; 0: from all
    heldout_every: int = 100  # every n-th document is held out; 0 for none
    # All splits from their last token to their first, for models that read from the right. End tokens stay at the end
    # of their documents.
    reversed: bool = False
    block_tokens: int = 16_384  # blocks of whole documents have about this size; they are the unit of shuffling
    # Of labelled texts: binary (0, 1) | as_is | sst2 (0-1 negative, 2 left out, 3-4 positive) | named: any names; those
    # of the training texts, sorted, are 0, 1, ... Of pairs: binary (SAME or 1, DIFFERENT or 0) | the range of a score,
    # such as 1..5
    labels: str = "binary"
    synthetic: SyntheticConfig = SyntheticConfig()

    def __post_init__(self) -> None:
        forms = ("text:", "jsonl:", "tfds:", "tsv:", "pairs:", "synthetic:")
        known = self.source in ("pydocs", "synthetic") or self.source.startswith(forms)
        check(
            known,
            "data.source",
            self.source,
            "pydocs, synthetic, text:GLOB, jsonl:GLOB, tsv:GLOB, pairs:GLOB or tfds:NAME",
        )
        for key in ("heldout_source", "test_source"):
            value = getattr(self, key)
            need = "text:GLOB, jsonl:GLOB, tsv:GLOB, pairs:GLOB, tfds:NAME or synthetic:SPLIT"
            check(not value or value.startswith(forms), f"data.{key}", value, need)
        if not own_tokens(self.tokens):
            cuts = ("words", "letters", "punctuation", "whitespace", "characters", "bpe")
            check_choice("data.tokens", self.tokens, (*cuts, "python:MODULE:FUNCTION", "json:FILE"))
        check_choice("data.encoding_errors", self.encoding_errors, ("strict", "replace"))
        check_choice("data.normalise", self.normalise, ("auto", "nfc", "nfkc", "none"))
        check_choice("data.digits", self.digits, ("drop", "keep"))
        own = self.digits == "drop" or self.tokens == "words"
        check(own, "data.digits", self.digits, f"drop; data.tokens={self.tokens} has its own rule for digits")
        check_choice("data.document", self.document, ("line", "blank", "file"))
        word = self.end_token != "<unk>" and not any(c.isspace() or c == "\0" for c in self.end_token)
        check(word, "data.end_token", self.end_token, "a word without white space and not <unk>, such as <eos>")
        check_choice("data.unknown", self.unknown, ("drop", "keep", "error"))
        check_least(1, "data", self, "min_count", "block_tokens", "phrase_min_count")
        check_least(0, "data", self, "phrases")
        check_most(10, "data", self, "phrases")
        check_choice("data.phrase_score", self.phrase_score, ("word2phrase", "npmi"))
        limit = self.phrase_score != "npmi" or -1 <= self.phrase_threshold < 1
        check(
            limit, "data.phrase_threshold", self.phrase_threshold, "from -1 to below 1 for npmi, of which 1 is the most"
        )
        own = self.phrase_score == "npmi" or self.phrase_threshold >= 0
        check(own, "data.phrase_threshold", self.phrase_threshold, "0 or more for word2phrase")
        for key in ("stop_words", "phrases", "vocabulary_from"):
            worded = not getattr(self, key) or self.tokens not in ("characters", "bpe")
            check(worded, f"data.{key}", getattr(self, key), f"left out for data.tokens={self.tokens}: it is for words")
        check(self.tokens_limit >= 0, "data.tokens_limit", self.tokens_limit, "0 (no limit) or more")
        check(self.bpe_words >= 0, "data.bpe_words", self.bpe_words, "0 (all words) or more")
        own = not self.bpe_words or self.tokens == "bpe"
        check(own, "data.bpe_words", self.bpe_words, "0 where data.tokens is not bpe")
        check(self.max_vocab >= 0, "data.max_vocab", self.max_vocab, "0 (no limit) or more")
        need = "at least 257 (256 bytes and one more) for data.tokens=bpe"
        check(self.tokens != "bpe" or self.max_vocab >= 257, "data.max_vocab", self.max_vocab, need)
        own = self.skip_top == 0 or (self.skip_top > 0 and self.tokens != "bpe")
        check(own, "data.skip_top", self.skip_top, "0 or more, and 0 for data.tokens=bpe")
        every = self.heldout_every
        check(every >= 0 and every != 1, "data.heldout_every", every, "0 or above 1")
        most = 10**6
        check(
            self.tokens != "bpe" or self.max_vocab <= most, "data.max_vocab", self.max_vocab, f"at most {most} for bpe"
        )
        if score_range(self.labels) is None:
            kinds = ("binary", "as_is", "sst2", "named")
            need = f"{', '.join(kinds)}, or the range of a score such as 1..5, the lower end first"
            check(self.labels in kinds, "data.labels", self.labels, need + nearest(self.labels, kinds))
        check(all(self.field.split("+")), "data.field", self.field, "a field, or several as in subject+body")


KERNELS = ("auto", "jax", "native")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length of training, batches and seed."""

    seed: int = 0  # of initial values, order and every draw
    passes: float = 5.0  # over the training text
    max_steps: int = 0  # stops training early, without a change of the schedule; 0 is no limit
    # A run folder or a file of word vectors to start from: more passes over the same text, or new text with
    # data.vocabulary_from. See `w2v_jax.train.continued`.
    start: str = ""
    # Training ends when an evaluation (log.eval_every_steps) finds this share of the held-out places right (the metric
    # `correct`); 0: it does not.
    stop_at: float = 0.0
    # In the model's unit: centre words of word vectors, lanes of language models, texts of classifiers.
    batch_size: int = 4096
    accumulate: int = 1  # microbatches whose gradients are summed before an update; saves memory, changes no result
    steps_per_call: int = 64  # steps per call to the device; logs and checkpoints are written between calls
    # What makes the steps of word2vec on one CPU device. native: kernels in C++, compiled at the first use | jax: XLA |
    # auto: native where there is a compiler, else jax. Both have the same gradients up to rounding. Other models and
    # accelerators take jax. $W2V_JAX_KERNEL replaces auto.
    kernel: str = "auto"

    def __post_init__(self) -> None:
        check(0 <= self.seed < 2**31, "train.seed", self.seed, "from 0 to 2**31 - 1")
        check(self.passes > 0, "train.passes", self.passes, "above 0")
        check(self.max_steps >= 0, "train.max_steps", self.max_steps, "0 (no limit) or more")
        check(0 <= self.stop_at <= 1, "train.stop_at", self.stop_at, "0 (off) to 1, a share of right answers")
        check_least(1, "train", self, "batch_size", "accumulate", "steps_per_call")
        check_choice("train.kernel", self.kernel, KERNELS)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimisers: `rows` for gathered table rows, `dense` (optax) for every other leaf; one schedule for both."""

    rows: str = "adagrad"  # adagrad (row-wise) | adagrad_elementwise | sgd
    dense: str = "adagrad"  # sgd | adagrad | adamw
    learning_rate: float = 0.25  # the highest of the schedule
    # linear, cosine: decay to final_fraction of the rate | constant | step: times `decay` at every pass after
    # hold_passes | plateau: times `decay` when the held-out loss stops falling | wsd (warm-up, stable, decay): falls to
    # final_fraction in the last decay_fraction of the steps; see w2v_jax.train.optimizers
    schedule: str = "linear"
    final_fraction: float = 0.0001  # the last rate, as a share of learning_rate
    warmup_steps: int = 0  # the rate first rises linearly from 0 over this number of steps
    decay_fraction: float = 0.2  # wsd: share of the steps, to four decimals, in which the rate falls
    hold_passes: int = 4  # step
    decay: float = 0.5  # step and plateau
    patience: int = 1  # plateau: evaluations (log.eval_every_steps) without improvement before the rate falls
    min_improvement: float = 0.0  # plateau: nats below the best held-out loss that count as an improvement
    initial_square: float = 0.0  # adagrad of rows: start of the accumulators; above 0, a row's first updates are small
    clip_row: float = 0.0  # row-wise SGD: largest norm of the summed update of a row; 0 is no limit
    clip_norm: float = 0.0  # largest norm of all dense gradients together; 0 is no limit
    beta1: float = 0.9  # adamw
    beta2: float = 0.999  # adamw
    eps: float = 1e-8  # adamw
    weight_decay: float = 0.0  # adamw, decoupled; of leaves with 2 or more axes
    decay_embeddings: bool = False  # whether weight decay applies to embedding tables too

    def __post_init__(self) -> None:
        check_choice("optimizer.rows", self.rows, ("adagrad", "adagrad_elementwise", "sgd"))
        check_choice("optimizer.dense", self.dense, ("sgd", "adagrad", "adamw"))
        check_choice("optimizer.schedule", self.schedule, ("linear", "constant", "cosine", "step", "plateau", "wsd"))
        need = "above 0 and below 1e38, the end of 32-bit numbers"
        check(0 < self.learning_rate < 1e38, "optimizer.learning_rate", self.learning_rate, need)
        check(0 <= self.final_fraction <= 1, "optimizer.final_fraction", self.final_fraction, "between 0 and 1")
        check(self.warmup_steps >= 0, "optimizer.warmup_steps", self.warmup_steps, "0 (no warm-up) or more")
        check(1e-4 <= self.decay_fraction <= 1, "optimizer.decay_fraction", self.decay_fraction, "between 0.0001 and 1")
        check(0 < self.decay < 1, "optimizer.decay", self.decay, "above 0 and below 1")
        check_least(1, "optimizer", self, "patience")
        check_least(0, "optimizer", self, "hold_passes", "min_improvement", "initial_square", "weight_decay")
        check_least(0, "optimizer", self, "clip_row", "clip_norm")
        check_most(2**31 - 1, "optimizer", self, "warmup_steps", "hold_passes")  # steps are counted in 32 bits
        check(0 <= self.beta1 < 1, "optimizer.beta1", self.beta1, "0 or more and below 1")
        check(0 <= self.beta2 < 1, "optimizer.beta2", self.beta2, "0 or more and below 1")
        check(self.eps > 0, "optimizer.eps", self.eps, "above 0")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    # The interval. A checkpoint is saved every half interval, so that even a kill during a write loses at most one
    # interval, rounded up to whole calls.
    every_steps: int = 8192
    keep: int = 2  # newest checkpoints to keep; the best by held-out loss is kept too

    def __post_init__(self) -> None:
        check_least(1, "checkpoint", self, "every_steps", "keep")


@dataclasses.dataclass(frozen=True)
class LogConfig:
    every_steps: int = 256  # steps between lines of metrics.jsonl
    eval_every_steps: int = 0  # steps between evaluations of the held-out loss; 0 is once per pass
    eval_steps: int = 8  # batches of held-out text per evaluation; 0 is all of it
    tensorboard: bool = True  # also writes events for TensorBoard

    def __post_init__(self) -> None:
        check_least(1, "log", self, "every_steps")
        check_least(0, "log", self, "eval_every_steps", "eval_steps")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices: `data` splits batches; `model` splits vocabulary, heads and feed-forward units of the parameters."""

    data: int = 0  # 0: all devices divided by `model`
    model: int = 1  # 1: nothing is split
    fsdp: bool = False  # parameters and optimiser state split over `data` too, along the width of the model
    per_device: bool = False  # the shard_map variant of the step (data parallel only)

    def __post_init__(self) -> None:
        check(self.data >= 0, "mesh.data", self.data, "0 (all) or more")
        check_least(1, "mesh", self, "model")
        check(not (self.per_device and self.model > 1), "mesh.model", self.model, "1 when mesh.per_device is set")
        check(not (self.per_device and self.fsdp), "mesh.fsdp", self.fsdp, "False when mesh.per_device is set")


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. `family` is a key of `w2v_jax.models.MODELS`, `model` an instance of that family's config class."""

    family: str
    model: Any
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()
    mesh: MeshConfig = MeshConfig()
