"""20 Newsgroups by date, from JSON Lines: the words of subject and body, for `experiments.classify`.

    python -m experiments.classify --config=configs/classify_newsgroups.py --workdir=runs/newsgroups \
        --train=jsonl:newsgroups20/train.jsonl.xz --test=jsonl:newsgroups20/test.jsonl.xz

Hardware: 2 CPU cores. With all methods: 10 minutes, TF-IDF 84.0 %, LSA 78.6 % (docs/classify.md).
"""

import dataclasses

from configs import classify
from w2v_jax.config import Config


def get_config() -> Config:
    """The group of each post is its label; sources are named by --train and --test."""
    config = classify.get_config()
    data = dataclasses.replace(config.data, field="subject+body", label_field="group", labels="named")
    return dataclasses.replace(config, data=data)
