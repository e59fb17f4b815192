"""IsoFLOP profiles: transformers of six widths at equal training FLOPs, and the best size at each budget.

    python -m experiments.scaling --config=configs/scaling/isoflop.py --workdir=runs/isoflop \
        --config.data.source='text:wiki_en/*.txt.xz' [--config.budgets='(1e11,1e12)']

A small model sees much text and a large one little, at the same cost; a parabola through the losses has its minimum at
the compute-optimal size (Hoffmann et al. 2022, arXiv 2203.15556, approach 2). Text and tokens as in
`configs/scaling/wiki.py`.

Hardware: 2 CPU cores, about a quarter of an hour by `--plan`.
"""

from configs.scaling import wiki
from configs.scaling.synthetic import sizes
from w2v_jax.models.transformer import TransformerConfig
from w2v_jax.scaling.study import Arm, Study

RATES = {12: 0.012, 16: 0.01, 24: 0.008, 32: 0.006, 48: 0.005, 64: 0.004}


def get_config() -> Study:
    """Sources: pydocs (no download), text:GLOB, tfds:NAME."""
    model = TransformerConfig(layers=4, heads=2, dim=32, length=128, head_chunk=512)
    arm = Arm(wiki.run("transformer", model), sizes("dim={}", RATES))
    return Study(data=wiki.DATA, budgets=(6e11, 2e12, 6e12), window=128, arms={"transformer": arm})
