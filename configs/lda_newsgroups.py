"""LDA of 20 Newsgroups by date: 100 topics of subjects and bodies, scored on the test posts.

    python -m experiments.train --config=configs/lda_newsgroups.py --workdir=runs/lda_newsgroups \
        --config.data.source=jsonl:newsgroups20/train.jsonl.xz \
        --config.data.heldout_source=jsonl:newsgroups20/test.jsonl.xz

The files have one JSON object a line with the fields subject and body. --config.model.method=vb or gibbs fits the same
model in another way. Hardware: 2 CPU cores, half a minute when
nothing else runs. The held-out loss ends at 8.11 nats per token over the 16,767 words kept, from left to right.
"""

from w2v_jax.config import Config, DataConfig
from w2v_jax.models.lda import LDAConfig


def get_config() -> Config:
    """The 150 most frequent words are left out as a stop list, and those seen fewer than 10 times."""
    train, test = (f"jsonl:newsgroups20/{split}.jsonl.xz" for split in ("train", "test"))
    return Config(
        family="lda",
        model=LDAConfig(topics=100, method="cvb0", sweeps=20),
        data=DataConfig(source=train, heldout_source=test, field="subject+body", min_count=10, skip_top=150),
    )
