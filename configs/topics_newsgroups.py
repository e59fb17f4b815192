"""Topics of 20 Newsgroups: LSA of subjects and bodies, split by date; the words of the posts, none removed by hand.

    python -m experiments.topics --config=configs/topics_newsgroups.py --workdir=runs/newsgroups

The files have one JSON object a line with the fields subject and body. LDA is fitted to the same text with as many
topics (configs/topics_lda.py). Hardware: 2 CPU cores; the result is in docs/topics.md.
"""

import dataclasses

from configs import topics
from w2v_jax.config import Config


def get_config() -> Config:
    """20 topics; the test posts are the held-out text."""
    config = topics.get_config()
    train, test = (f"jsonl:newsgroups20/{split}.jsonl.xz" for split in ("train", "test"))
    data = dataclasses.replace(config.data, source=train, heldout_source=test, field="subject+body")
    return dataclasses.replace(config, data=data)
