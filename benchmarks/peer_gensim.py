"""The peer: gensim's Word2Vec over a text file, in a process of its own.

    python -m benchmarks.peer_gensim --text=FILE --vectors=FILE --seed=0 --passes=5 --workers=2 --options=JSON

Prints one JSON line. The vocabulary scan is timed apart from training. Vectors are written as word2vec binary.
"""

from __future__ import annotations

import argparse
import json
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", required=True)
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--passes", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--options", required=True, help="further arguments of Word2Vec, as a JSON object")
    args = parser.parse_args()

    import gensim
    from gensim.models import word2vec

    if word2vec.FAST_VERSION < 0 or word2vec.CORPUSFILE_VERSION < 0:
        sys.exit("error: gensim was installed without its compiled code: its speed would mean nothing")
    options = json.loads(args.options)
    model = word2vec.Word2Vec(seed=args.seed, epochs=args.passes, workers=args.workers, **options)
    start = time.perf_counter()
    model.build_vocab(corpus_file=args.text)
    scanned = time.perf_counter()
    model.train(
        corpus_file=args.text,
        total_examples=model.corpus_count,
        total_words=model.corpus_total_words,
        epochs=model.epochs,
    )
    trained = time.perf_counter()
    model.wv.save_word2vec_format(args.vectors, binary=True)
    result = {
        "seconds": trained - scanned,
        "vocabulary_seconds": scanned - start,
        "words": model.corpus_total_words,
        "vocabulary": len(model.wv),
        "gensim": gensim.__version__,
        "options": options,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
