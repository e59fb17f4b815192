"""Names of settings in gensim and fastText, and what says the same here: hints for those who come from there."""

from __future__ import annotations

_ARCHITECTURE = "is architecture='skipgram' or 'cbow' of train_vectors here"
_ALL_CORES = "is not needed: all cores work"
_NOT_HERE = "has no counterpart here: leave it out"
_LOG = "has no counterpart here: leave it out; the loss is shown, and with workdir kept in its metrics.jsonl"
_RULE = "has no counterpart here: min_count, max_vocab and stop_words decide which words are kept"

NAMES = {
    # gensim's, the older ones too
    "vector_size": "is dim here",
    "size": "is dim here",
    "epochs": "is passes here",
    "iter": "is passes here",
    "alpha": "is learning_rate here",
    "min_alpha": "is final_fraction here, a share of learning_rate",
    "start_alpha": "is learning_rate here",
    "end_alpha": "is final_fraction here, a share of learning_rate",
    "negative": "is negatives here",
    "sg": _ARCHITECTURE,
    "dm": "is form='dm' or 'dbow' of train_documents here",
    "dbow_words": "is words=True of train_documents here",
    "dm_mean": "is not needed: form='dm' takes the mean",
    "dm_concat": "has no counterpart here: form='dm' takes the mean",
    "cbow_mean": "is not needed: architecture='cbow' takes the mean",
    "hs": "is loss='hierarchical' here",
    "ns_exponent": "is noise_power here",
    "shrink_windows": "is window_draw here: 'full' for False",
    "max_final_vocab": "is max_vocab here",
    "max_vocab_size": _RULE,
    "trim_rule": _RULE,
    "min_n": "is shortest here",
    "max_n": "is longest here",
    "bucket": "is buckets here",
    "word_ngrams": "is not needed: buckets, shortest or longest choose n-grams",
    "sentences": "is the first argument here",
    "documents": "is the first argument here",
    "corpus_file": "is the first argument here",
    "workers": _ALL_CORES,
    "sorted_vocab": "is not needed: words are sorted by their counts",
    "batch_words": "is batch_size here, in centre words",
    "compute_loss": _LOG,
    "callbacks": _LOG,
    "hashfxn": _NOT_HERE,
    "null_word": _NOT_HERE,
    # fastText's
    "input": "is the first argument here",
    "model": _ARCHITECTURE,
    "lr": "is learning_rate here",
    "ws": "is window here",
    "epoch": "is passes here",
    "neg": "is negatives here",
    "minn": "is shortest here",
    "maxn": "is longest here",
    "minCount": "is min_count here",
    "t": "is sample here",
    "thread": _ALL_CORES,
    "pretrainedVectors": "is start here",
}
